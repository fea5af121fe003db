"""Graphs run in C layer by layer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_networks import random_network
from sample_models import SAMPLES

from thumbnet.codegen.frontends.tflite import load_tflite
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import optimize
from thumbnet.tools.arrays import Array
from thumbnet.tools.single_layers import (
    TakenApart,
    compiled_for_host,
    compiled_layers,
    taken_apart,
    with_outputs,
)


def _graph(folder: Path, model: bytes) -> Graph:
    path = folder / "model.tflite"
    path.write_bytes(model)
    return optimize(load_tflite(path))


def _input(graph: Graph, seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    tensors = [graph.tensors[name] for name in graph.inputs]
    return {
        t.name: random.integers(
            np.iinfo(t.dtype).min, np.iinfo(t.dtype).max + 1, t.shape, dtype=t.dtype
        )
        for t in tensors
    }


def _made(graph: Graph) -> list[str]:
    return [name for op in graph.operators for name in op.outputs]


MODELS = {
    "residual": SAMPLES["residual"]().build,
    "branches": SAMPLES["branches"]().build,
    "uint8_edges": SAMPLES["uint8_edges"]().build,
    "two_inputs": SAMPLES["two_inputs"]().build,
    "random": lambda: random_network(11),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("every", [1, 3])
def test_layers_fed_with_the_networks_own_values(tmp_path: Path, name: str, every: int) -> None:
    """Known are all tensors, or each third: the layers then give the network's values."""
    graph = _graph(tmp_path, MODELS[name]())
    given = _input(graph, 1)
    values = given | compiled_for_host(with_outputs(graph, _made(graph)))(given)
    known = [*_made(graph)[::every], *graph.outputs]
    apart = taken_apart(graph, known)
    found = compiled_layers(apart)(apart.feeds(values))
    assert set(found) == set(known)
    for tensor, value in found.items():
        np.testing.assert_array_equal(value, values[tensor])


def _kinds(apart: TakenApart) -> dict[str, tuple[str, ...]]:
    return {layer.tensor: layer.operators for layer in apart.layers}


def test_a_layer_sees_nothing_but_what_it_is_fed(tmp_path: Path) -> None:
    graph = _graph(tmp_path, SAMPLES["small_cnn"]().build())
    apart = taken_apart(graph, _made(graph))
    assert _kinds(apart) == {op.outputs[0]: (op.kind,) for op in graph.operators}
    values = {n: np.zeros(graph.tensors[n].shape, np.int8) for n in (*graph.inputs, *_made(graph))}
    run = compiled_for_host(apart.graph)
    before = run(apart.feeds(values))
    changed = _made(graph)[1]
    readers = {op.outputs[0] for op in graph.consumers(changed)}
    after = run(apart.feeds(values | {changed: np.full_like(values[changed], 90)}))
    assert {name for name in before if not np.array_equal(before[name], after[name])} == readers


def test_what_several_layers_need_is_in_each(tmp_path: Path) -> None:
    """An unknown tensor between known ones is computed for everyone who reads it."""
    graph = _graph(tmp_path, SAMPLES["residual"]().build())
    forks = [name for name in _made(graph) if len(graph.consumers(name)) > 1]
    assert forks
    fork = graph.producer(forks[0])
    assert fork is not None
    known = set(_made(graph)) - {forks[0]}
    layers = _kinds(taken_apart(graph, known))
    for op in graph.consumers(forks[0]):
        assert layers[op.outputs[0]] == (fork.kind, op.kind)


def test_float_edges_are_integers(tmp_path: Path) -> None:
    graph = _graph(tmp_path, SAMPLES["float_edges"]().build())
    assert graph.float_inputs and graph.float_outputs
    given = _input(graph, 3)
    whole = compiled_for_host(graph)(given)
    again = compiled_for_host(replace(graph, float_inputs=frozenset(), float_outputs=frozenset()))
    assert [a.tobytes() for a in whole.values()] == [a.tobytes() for a in again(given).values()]
