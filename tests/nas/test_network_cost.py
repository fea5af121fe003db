"""What architectures cost: the same as the networks that are trained, quantised and compiled."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dying import die
from torch import nn

from thumbnet.codegen.compile import Options, compile_graph
from thumbnet.codegen.cost import Cost
from thumbnet.codegen.cost import cost as graph_cost
from thumbnet.codegen.errors import ModelFormatError, ToolError, UnsupportedError
from thumbnet.codegen.frontends.pytorch.program import lower_program
from thumbnet.codegen.frontends.pytorch.quantize import quantize
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import optimize, simplify
from thumbnet.codegen.planner import Mode, plan
from thumbnet.codegen.tflm_memory import greedy_arena, whole_tensors
from thumbnet.nas.architecture import Architecture, Bottleneck, Stem, macs, parameters
from thumbnet.nas.cost import (
    STACK_RESERVE,
    CostOracle,
    Deployment,
    Limits,
    NetworkCost,
    cost_bounds,
    exceeds,
    network_cost,
)
from thumbnet.nas.cost_graph import cost_graph
from thumbnet.nas.network import build
from thumbnet.nas.search_space import SMALL_IMAGES, SPECTROGRAMS, sample

BLOCKS = (
    Bottleneck(8, 0, residual=True),
    Bottleneck(12, 24, (5, 3), (2, 2), squeeze=8),
    Bottleneck(12, 36, residual=True),
)
WITH_HEAD = Architecture((20, 14, 3), Stem(8), BLOCKS, 24, 5)
WITHOUT = Architecture((16, 16, 1), Stem(6, (5, 5), (1, 1)), BLOCKS[1:], 0, 3, "relu")
UNPADDED = Architecture(
    (24, 12, 1),
    Stem(8, (3, 3), (1, 2)),
    (
        Bottleneck(8, 16, residual=True),
        Bottleneck(12, 24, (4, 3)),
        Bottleneck(12, 36, (5, 3), residual=True),
    ),
    0,
    4,
    "relu",
    pad_rows=False,
)
GATED = Architecture(
    (12, 12, 2),
    Stem(8),
    tuple(Bottleneck(8, 16, squeeze=8, residual=True) for _ in range(3)),
    16,
    6,
)
FUSED = Architecture(
    (24, 12, 1),
    Stem(8, (3, 3), (1, 2)),
    (
        Bottleneck(12, 0, (5, 3), (2, 2), fused=True),
        Bottleneck(16, 0, (3, 3), fused=True, pad=False),
        Bottleneck(16, 0, (3, 1), residual=True),
        Bottleneck(12, 24, (3, 1), pad=False),
    ),
    0,
    4,
    "relu",
    pad_rows=False,
)
WHOLE = Deployment()
NETWORKS = {
    "head": WITH_HEAD,
    "no head": WITHOUT,
    "unpadded": UNPADDED,
    "gated": GATED,
    "fused": FUSED,
}


def drawn(seed: int, template: Any = SMALL_IMAGES) -> Architecture:
    """A small member of a search space."""
    random = np.random.default_rng(seed)
    shape = (20, 20, 3) if template is SMALL_IMAGES else (49, 16, 1)
    stride = template.stem_strides[seed % len(template.stem_strides)]
    space = template.space(0.3, shape, stride, 4)
    return space.architecture(sample(space, random))


@cache
def trained_graph(architecture: Architecture, seed: int = 0) -> Graph:
    """What the compiler gets of a network whose batch norms have seen something."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = build(architecture)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    height, width, channels = architecture.input_shape
    images = [(torch.randn(2, channels, height, width),) for _ in range(2)]
    program = quantize(network.eval(), (images[0][0][:1],), images)
    return simplify(lower_program(program, "network", "network").graph)


def described(graph: Graph) -> list[Any]:
    tensors = {n: (t.shape, t.dtype, t.data is None) for n, t in graph.tensors.items()}
    return [graph.inputs, graph.outputs, graph.macs, tensors, *map(repr, graph.operators)]


# ---- the graph -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_is_that_of_the_trained_network(name: str) -> None:
    """Operator for operator; and what its costs depend on besides is what training gives, but for
    MEANs of which some may be computed the short way, by a function of its own."""
    architecture = NETWORKS[name]
    made, trained = cost_graph(architecture), trained_graph(architecture)
    assert described(made) == described(trained)
    for how in ("balanced", "latency"):
        told, found = graph_cost(made, optimize=how), graph_cost(trained, optimize=how)
        assert replace(told, cycles=found.cycles, code_bytes=found.code_bytes) == found
        assert told.code_bytes is not None and found.code_bytes is not None
        assert told.code_bytes <= found.code_bytes <= 1.15 * told.code_bytes
        assert_promised(told.cycles, found.cycles)


@pytest.mark.parametrize(("template", "seed"), [(SMALL_IMAGES, 23), (SPECTROGRAMS, 2)])
def test_drawn_networks_cost_what_trained_ones_do(template: Any, seed: int) -> None:
    architecture = drawn(seed, template)
    *promised, cycles = told(architecture)
    *found, needed = of_graph(graph_cost(trained_graph(architecture, seed)))
    assert promised == found
    assert_promised(cycles, needed)


def assert_promised(told: int, found: int) -> None:
    """What is told is a limit: about half of all means requantise faster than they are taken to."""
    assert found <= told <= 1.02 * found


def told(architecture: Architecture, deployment: Deployment = WHOLE) -> list[int]:
    found = network_cost(architecture, deployment)
    assert found.params == parameters(architecture)
    return [found.macs, found.arena_bytes, found.weights_bytes, found.code_bytes, found.cycles]


def of_graph(cost: Cost) -> list[int]:
    code = cost.code_bytes or 0
    return [cost.macs, cost.arena_bytes, cost.weights_bytes, code, cost.cycles]


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_of_one_shape_are_told_apart(name: str) -> None:
    """Kernels are lowered once for each geometry: the costs are those of kernels of its own."""
    graph = cost_graph(NETWORKS[name])
    assert told(NETWORKS[name]) == of_graph(graph_cost(graph))
    rows = Deployment(input="rows", optimize="latency")
    mode = Mode(row_fed=True)
    assert told(NETWORKS[name], rows) == of_graph(graph_cost(graph, "cortex-m4", "latency", mode))


def test_a_stream_costs_what_one_call_does() -> None:
    streamed = Options(input="stream:2")
    graph = streamed.applied(cost_graph(UNPADDED))
    assert told(UNPADDED, Deployment(input="stream:2")) == of_graph(graph_cost(graph))
    assert graph.macs < macs(UNPADDED) / 2
    with pytest.raises(UnsupportedError, match="pads along time"):
        network_cost(WITH_HEAD, Deployment(input="stream"))


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("name", ["head", "unpadded"])
def test_the_compiled_model_costs_what_was_told(name: str, tmp_path: Path) -> None:
    """Arena and weights to the byte; the stack is within what is reserved for it."""
    graph = trained_graph(NETWORKS[name])
    manifest = compile_graph(graph, Path("network"), tmp_path / "c", Options()).manifest
    found = network_cost(NETWORKS[name])
    assert (found.arena_bytes, found.weights_bytes) == (
        manifest.arena_bytes,
        manifest.weights_bytes,
    )
    assert manifest.code_bytes is not None and manifest.stack_bytes is not None
    assert abs(found.code_bytes / manifest.code_bytes - 1) < 0.1
    assert 0.5 * STACK_RESERVE < manifest.stack_bytes <= STACK_RESERVE


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trained_network_never_costs_more(name: str) -> None:
    """What training left constant or unread is cut when the network is compiled."""
    found, told = graph_cost(optimize(trained_graph(NETWORKS[name]))), network_cost(NETWORKS[name])
    assert found.macs == told.macs
    assert found.arena_bytes <= told.arena_bytes and found.weights_bytes <= told.weights_bytes
    assert found.cycles <= told.cycles


def test_macs_are_the_nominal_ones() -> None:
    for seed in range(6):
        architecture = drawn(seed)
        assert network_cost(architecture).macs == macs(architecture)


def test_what_is_too_large_to_plan_is_refused() -> None:
    wide = replace(WITHOUT, head=65536, classes=65536)
    for architecture in (wide, replace(WITHOUT, input_shape=(60000, 16, 1))):
        with pytest.raises(UnsupportedError, match="at most"):
            network_cost(architecture)
    with pytest.raises(ModelFormatError, match="no rows"):
        network_cost(replace(UNPADDED, input_shape=(5, 5, 1)))


# ---- memory of TensorFlow Lite Micro ---------------------------------------------------------


def test_tflm_is_charged_whole_tensors_and_layer_by_layer() -> None:
    ours, theirs = network_cost(WITH_HEAD), network_cost(WITH_HEAD, Deployment(memory="tflm"))
    graph = cost_graph(WITH_HEAD)
    assert theirs.arena_bytes == greedy_arena(whole_tensors(graph)) > ours.arena_bytes
    layer_by_layer = plan(graph, Mode(optimize="size"))
    assert all(s.end_kernel - s.first_kernel == 1 for s in layer_by_layer.stages)
    assert theirs.cycles <= ours.cycles
    assert (theirs.macs, theirs.weights_bytes) == (ours.macs, ours.weights_bytes)


# ---- limits ----------------------------------------------------------------------------------

COST = NetworkCost(1000, 200, 10_000, 30_000, 5_000, 2_000_000)


def test_the_first_limit_that_is_broken_is_named() -> None:
    need = 10_000 + STACK_RESERVE
    assert exceeds(COST, Limits()) is None
    assert exceeds(COST, Limits(need, 35_000, 2_000_000)) is None
    said = exceeds(COST, Limits(need - 1, 34_000, 1))
    assert said is not None and said.startswith("SRAM") and "1 more than" in said
    said = exceeds(COST, Limits(None, 34_000, 1))
    assert said is not None and said.startswith("flash") and "1000 more" in said
    said = exceeds(COST, Limits(cycles=1_999_990))
    assert said is not None and said.startswith("time") and "10 more" in said
    assert COST.flash == 35_000 and NetworkCost(**COST.to_json()) == COST


def test_a_limit_of_sram_costs_cycles_where_it_must() -> None:
    fast = Deployment(optimize="latency")
    architecture = drawn(3)
    free = network_cost(architecture, fast)
    limit = free.arena_bytes * 7 // 10
    tight = network_cost(architecture, fast, Limits(sram=limit))
    assert tight.arena_bytes <= limit and tight.cycles > free.cycles
    assert tight.weights_bytes <= free.weights_bytes  # of faster forms fewer fit


@pytest.mark.parametrize(
    "deployment",
    [
        WHOLE,
        Deployment(input="rows", optimize="latency"),
        Deployment(optimize="size", target="cortex-m0"),
        Deployment(memory="tflm"),
        Deployment("host"),
    ],
)
def test_bounds_never_refuse_what_would_fit(deployment: Deployment) -> None:
    """And are near enough to refuse something. Faster forms may bring code of their own."""
    least_code = 0.2 if deployment.optimize == "latency" else 0.7
    for architecture in [*NETWORKS.values(), *map(drawn, range(6)), drawn(1, SPECTROGRAMS)]:
        least = cost_bounds(architecture, deployment)
        told = network_cost(architecture, deployment)
        assert (least.macs, least.params) == (told.macs, told.params)
        assert 0 < least.arena_bytes <= told.arena_bytes
        assert 0.9 * told.weights_bytes < least.weights_bytes <= told.weights_bytes
        assert least_code * told.code_bytes <= least.code_bytes <= told.code_bytes
        assert 0.8 * told.cycles < least.cycles <= told.cycles


def test_bounds_of_a_stream() -> None:
    deployment = Deployment(input="stream")
    least, told = cost_bounds(UNPADDED, deployment), network_cost(UNPADDED, deployment)
    assert least.arena_bytes <= told.arena_bytes and least.flash <= told.flash
    assert 0.7 * told.cycles < least.cycles <= told.cycles


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "cortex-m5"},
        {"optimize": "speed"},
        {"input": "columns"},
        {"memory": "tvm"},
        {"memory": "tflm", "input": "rows"},
    ],
)
def test_there_are_no_other_deployments(wrong: dict[str, str]) -> None:
    with pytest.raises(ToolError, match="input|target|optimize|memory"):
        Deployment(**wrong)


# ---- many ------------------------------------------------------------------------------------


def test_an_oracle_tells_the_same_over_processes() -> None:
    """In order, each once, in one process or several."""
    asked = [drawn(seed) for seed in (0, 1, 2, 0)]
    expected = [network_cost(architecture) for architecture in asked]
    with CostOracle(processes=2) as oracle:
        assert oracle.costs(asked) == expected
        assert oracle.costs(asked[:1]) == expected[:1]
    assert CostOracle().costs(asked) == expected
    assert CostOracle().costs([]) == []


def test_an_oracle_computes_each_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def count(architecture: Architecture, *_: Any) -> NetworkCost:
        counted.append(architecture.digest)
        return COST

    monkeypatch.setattr("thumbnet.nas.cost.network_cost", count)
    oracle = CostOracle()
    for _ in range(2):
        assert oracle.costs([GATED, WITHOUT, GATED]) == [COST] * 3
    assert oracle.cost(WITHOUT) == COST
    assert counted == [GATED.digest, WITHOUT.digest]


def test_an_oracle_passes_refusals_on() -> None:
    with (
        CostOracle(Deployment(input="stream"), processes=2) as oracle,
        pytest.raises(UnsupportedError, match="pads along time"),
    ):
        oracle.costs([WITH_HEAD, WITHOUT])


def test_a_process_that_dies_is_a_tool_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match="0 processes"):
        CostOracle(processes=0)
    with CostOracle(processes=2) as oracle:
        with monkeypatch.context() as patched:
            patched.setattr("thumbnet.nas.cost.network_cost", die)
            with pytest.raises(ToolError, match="processes=1"):
                oracle.costs([WITH_HEAD, WITHOUT])
        assert oracle.cost(WITHOUT) == network_cost(WITHOUT)
