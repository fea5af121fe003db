"""The choice of forms, against every choice that there is, and compiled."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbnet.codegen.compile import Options, compile_graph, plan_model
from thumbnet.codegen.cycles import layer_cycles
from thumbnet.codegen.errors import BudgetError
from thumbnet.codegen.flash import weights_bytes
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.passes import optimize
from thumbnet.codegen.planner import plan
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.toolchain import host_library
from thumbnet.codegen.variants import LITTLE_MORE, Option, cheapest
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.random_graphs import Net, mobilenet

KERNEL = Kernel("", "", (), "", ())
FAST = Options("cortex-m4", "latency")


def _options(bytes_and_cycles: list[tuple[int, int]]) -> list[Option]:
    return [Option(KERNEL, *each) for each in [(0, 50), *bytes_and_cycles]]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=3).map(_options),
        max_size=5,
    ),
    st.integers(-5, 120),
)
def test_no_choice_takes_fewer_cycles(layers: list[list[Option]], room: int) -> None:
    def total(chosen: tuple[Option, ...] | list[Option]) -> tuple[int, int]:
        return sum(o.cycles for o in chosen), sum(o.nbytes for o in chosen)

    possible = [c for c in product(*layers) if total(c)[1] <= max(room, 0)]
    chosen = cheapest(layers, room)
    assert len(chosen) == len(layers)
    assert all(any(o is one for one in of) for o, of in zip(chosen, layers, strict=True))
    assert total(chosen) == min(map(total, possible))


def _network() -> Graph:
    net = Net(2)
    x = net.conv(net.input(1, 16, 16, 3), 8, (3, 3))
    x = net.conv(x, 16, (3, 3))
    x = net.binary("ADD", net.conv(x, 16, (3, 3), activation="NONE"), x)
    x = net.conv(x, 32, (3, 3), (2, 2))
    return optimize(net.graph("forms", net.head(net.conv(x, 32, (3, 3)), 4)))


@pytest.fixture(scope="module")
def network() -> Graph:
    return _network()


def _plan(graph: Graph, **options: int) -> Schedule:
    return plan_model(graph, replace(FAST, **options).mode)[0]


def _forms(schedule: Schedule) -> list[str]:
    return [kernel.form for kernel in schedule.kernels if kernel.form]


def test_more_flash_never_costs_cycles(network: Graph) -> None:
    free = _plan(network)
    assert _forms(free) == ["winograd 4x4"] * 3
    most, known, cycles = weights_bytes(free) + 40_000, [], []
    for flash in range(20_000, most, (most - 20_000) // 12):
        schedule = _plan(network, max_flash=flash)
        assert weights_bytes(schedule) <= max(flash, weights_bytes(_plan(network, max_flash=0)))
        known.append(_forms(schedule))
        cycles.append(sum(layer_cycles(schedule)))
    assert cycles == sorted(cycles, reverse=True) and cycles[-1] == sum(layer_cycles(free))
    assert not known[0] and len({tuple(forms) for forms in known}) > 3
    assert any("winograd 2x2" in forms for forms in known)


def test_forms_are_given_up_for_sram(network: Graph) -> None:
    free, none = _plan(network), _plan(network, max_flash=0)
    assert free.arena_bytes > none.arena_bytes
    for limit in range(none.arena_bytes, free.arena_bytes, 512):
        schedule = _plan(network, max_sram=limit)
        assert schedule.arena_bytes <= limit
        assert sum(layer_cycles(schedule)) <= sum(layer_cycles(none))


def test_other_choices_and_cores_trade_no_flash(network: Graph) -> None:
    for options in (
        Options("cortex-m4", "balanced"),
        Options("cortex-m4", "size"),
        Options("cortex-m0", "latency"),
        Options("cortex-m3", "latency", max_flash=1 << 20),
    ):
        assert not _forms(plan_model(network, options.mode)[0])


def test_compiled_outputs_are_the_same(network: Graph, tmp_path: Path) -> None:
    runs, manifests = [], []
    for how in ("balanced", "latency"):
        folder = tmp_path / how
        compiled = compile_graph(network, Path("net.tflite"), folder, Options("host", how))
        manifests.append(compiled.manifest)
        runs.append(HostModel(host_library(folder), compiled.manifest))
    assert [layer.form for layer in manifests[1].layers if layer.form] == ["winograd 4x4"] * 3
    assert "CONV_2D, winograd 4x4" in (tmp_path / "latency" / "report.html").read_text()
    for call in random_calls(manifests[0].inputs, 6):
        raw = [np.ascontiguousarray(a).tobytes() for a in call]
        assert runs[0](raw) == runs[1](raw)


# ---- tensors that become int16 -------------------------------------------------------------------


def _separable(seed: int = 1) -> Graph:
    """Pairs of depthwise and pointwise layers: folded requantisation, and not; an odd count of
    pixels; a tensor that two layers read, which stays int8."""
    net = Net(seed)
    x = net.conv(net.input(1, 18, 18, 3), 8, (3, 3))
    x = net.conv(net.depthwise(x, 3), 16)
    x = net.conv(net.depthwise(x, 5, 2), 24, activation="NONE")
    x = net.conv(net.depthwise(x, 7), 16)
    x = net.depthwise(x, 3)
    x = net.binary("ADD", net.conv(x, 16, activation="NONE"), x)
    return optimize(net.graph("separable", net.head(net.conv(net.depthwise(x, 3, 2), 12), 4)))


def test_tensors_between_depthwise_and_pointwise_layers_become_int16() -> None:
    graph = _separable()
    schedule, without = _plan(graph), _plan(graph, max_flash=0)
    wide = [name for name, t in schedule.graph.tensors.items() if t.dtype == "int16"]
    outputs = {k.output: k for k in schedule.kernels}
    assert len(wide) == 4 and {outputs[name].kind for name in wide} == {"DEPTHWISE_CONV_2D"}
    calls = [k.calls[0] for k in schedule.kernels if k.form == "int16"]
    unrolled = [call for call in calls if "unrolled" in call.function]
    assert {call.numbers[2] for call in calls} == {0, 1}  # even and odd counts of pixels
    assert unrolled and any(call.numbers[3] for call in calls if call not in unrolled)
    assert sum(layer_cycles(schedule)) < sum(layer_cycles(without))
    assert not any(t.dtype == "int16" for t in without.graph.tensors.values())
    for limit in range(without.arena_bytes, schedule.arena_bytes, 1024):
        assert _plan(graph, max_sram=limit).arena_bytes <= limit


def test_outputs_with_widened_tensors_are_the_same(tmp_path: Path) -> None:
    graph, runs, manifests = _separable(), [], []
    for how in ("balanced", "latency"):
        compiled = compile_graph(graph, Path("net.tflite"), tmp_path / how, Options("host", how))
        manifests.append(compiled.manifest)
        runs.append(HostModel(host_library(tmp_path / how), compiled.manifest))
    assert any("int16" in layer.form for layer in manifests[1].layers)
    for call in random_calls(manifests[0].inputs, 6):
        raw = [np.ascontiguousarray(a).tobytes() for a in call]
        assert runs[0](raw) == runs[1](raw)


# ---- what is refused -----------------------------------------------------------------------------


def test_too_little_flash_is_refused_as_ever(network: Graph, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="more than --max-flash"):
        options = replace(FAST, max_flash=10_000)
        compile_graph(network, Path("net.tflite"), tmp_path / "small", options)


# ---- forms that need little more flash ----------------------------------------------------------


@pytest.mark.parametrize("seed", (2, 3))
def test_faster_forms_leave_the_arena_as_it_is(seed: int, tmp_path: Path) -> None:
    graph = mobilenet(seed)
    usual, chosen = plan(graph), plan_model(graph)[0]
    assert _forms(chosen) and not _forms(usual)
    assert chosen.arena_bytes <= usual.arena_bytes
    assert sum(layer_cycles(chosen)) < sum(layer_cycles(usual))
    assert weights_bytes(chosen) <= LITTLE_MORE * weights_bytes(usual)
    runs = []
    for how in ("balanced", "size"):
        compiled = compile_graph(graph, Path("net.tflite"), tmp_path / how, Options("host", how))
        assert bool(_forms(compiled.schedule)) == (how == "balanced")
        runs.append(HostModel(host_library(tmp_path / how), compiled.manifest))
    for call in random_calls(compiled.manifest.inputs, 3):
        raw = [np.ascontiguousarray(a).tobytes() for a in call]
        assert runs[0](raw) == runs[1](raw)


def test_cores_without_the_dsp_extension_take_no_other_forms() -> None:
    for target in ("cortex-m0", "cortex-m3"):
        assert not _forms(plan_model(mobilenet(1), Options(target).mode)[0])
