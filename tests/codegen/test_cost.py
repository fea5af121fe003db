"""The cost report against what is compiled and what the emulator measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import refusal_of, result_of, thumbnet
from random_networks import random_network
from sample_models import SAMPLES

from thumbnet.codegen.compile import Options, compile_graph, compile_model, load_graph
from thumbnet.codegen.cost import Cost, cost
from thumbnet.codegen.cycles import MODEL, layer_cycles
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.loop_counts import layer_counts
from thumbnet.codegen.planner import WHOLE, plan
from thumbnet.codegen.variants import plan_in_forms
from thumbnet.tools.fit_cycles import measure
from thumbnet.tools.random_graphs import FAMILIES, mobilenet

SLOW = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(40, 500)]
EVALUATION = [("mobilenet", 101), ("resnet", 103), ("ds_cnn", 105), ("plain", 107)]


def _graph(path: Path, data: bytes) -> Graph:
    path.write_bytes(data)
    return load_graph(path)


def _assert_exact(path: Path, tmp_path: Path) -> None:
    """Arena and weights are those of the compiled model."""
    for optimize in ("balanced", "latency"):
        options = Options(target="host", optimize=optimize)
        manifest = compile_model(path, tmp_path / optimize, options).manifest
        told = cost(load_graph(path), "host", optimize)
        assert told.arena_bytes == manifest.arena_bytes
        assert told.weights_bytes == manifest.weights_bytes
        assert told.macs == manifest.macs
        assert told.code_bytes is None


@pytest.mark.parametrize("seed", [*range(40), *SLOW])
def test_arena_and_weights_are_exact(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(random_network(seed))
    _assert_exact(path, tmp_path)


@pytest.mark.parametrize("name", SAMPLES)
def test_arena_and_weights_of_samples_are_exact(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(SAMPLES[name]().build())
    _assert_exact(path, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_arena_and_weights_of_built_graphs_are_exact(family: str, tmp_path: Path) -> None:
    for seed in (1, 2):
        graph = FAMILIES[family](seed)
        compiled = compile_graph(graph, Path("net.tflite"), tmp_path / str(seed), Options("host"))
        told = cost(graph, "host")
        manifest = compiled.manifest
        assert (told.arena_bytes, told.weights_bytes) == (
            manifest.arena_bytes,
            manifest.weights_bytes,
        )


def test_parameters_are_weights_and_biases(tmp_path: Path) -> None:
    graph = _graph(tmp_path / "net.tflite", SAMPLES["small_cnn"]().build())
    convolutions = (8 * 27 + 8) + (8 * 9 + 8) + (12 * 8 + 12)
    assert cost(graph).params == convolutions + 48 * 5 + 5


def test_every_loop_has_a_cost() -> None:
    """What the families contain is in the fitted model, but for what never showed up alone."""
    known = json.loads(MODEL.read_text())["costs"]
    loops = {
        name
        for make in FAMILIES.values()
        for seed in range(200, 204)
        for counts in layer_counts(plan(make(seed)))
        for name in counts
    }
    assert len(loops - known.keys()) <= 3, loops - known.keys()


def test_wrong_choices_are_refused() -> None:
    with pytest.raises(ToolError, match="cortex-m4"):
        cost(mobilenet(1), "cortex-m5")
    with pytest.raises(ToolError, match="balanced"):
        cost(mobilenet(1), optimize="speed")


@pytest.mark.usefixtures("qemu")
def test_cycles_and_code_are_near_the_emulator() -> None:
    """Networks that the model was not fitted to; docs/cost.md states the error over many more."""
    cycles, code = [], []
    for family, seed in EVALUATION:
        measured = measure(FAMILIES[family](seed))
        told = cost(measured.graph)
        assert told.code_bytes is not None
        cycles.append(abs(told.cycles / measured.cycles - 1))
        code.append(abs(told.code_bytes / measured.code["cortex-m4"] - 1))
    assert np.median(cycles) < 0.05 and max(cycles) < 0.12
    assert max(code) < 0.5


def test_layers_add_up() -> None:
    graph = mobilenet(3)
    told, layers = cost(graph), layer_cycles(plan_in_forms(graph, WHOLE))
    assert isinstance(told, Cost) and all(n >= 0 for n in layers)
    assert 0 <= told.cycles - sum(layers) < 1000


# ---- the command -----------------------------------------------------------------------------


def test_command_prints_the_report(tmp_path: Path) -> None:
    path = tmp_path / "small_cnn.tflite"
    path.write_bytes(SAMPLES["small_cnn"]().build())
    said = result_of(thumbnet(tmp_path, "cost", path, "--json"))
    told = cost(load_graph(path))
    assert told.code_bytes is not None
    assert said == {
        "model": "small_cnn",
        "target": "cortex-m4",
        "macs": told.macs,
        "params": told.params,
        "arena_bytes": told.arena_bytes,
        "flash": {
            "code": told.code_bytes,
            "weights": told.weights_bytes,
            "total": told.code_bytes + told.weights_bytes,
        },
        "cycles": told.cycles,
        "forms": {},
    }
    text = thumbnet(tmp_path, "cost", path, "--target", "cortex-m0").stdout
    assert "arena" in text and f"{told.arena_bytes:,}" in text


@pytest.mark.parametrize("name", ["arch.npz", "folder"])
def test_command_refuses_what_has_no_report(name: str, tmp_path: Path) -> None:
    kind, message = refusal_of(thumbnet(tmp_path, "cost", name, "--json"))
    assert kind == "unsupported" and name in message
