"""Schedules: the checker against planted overlaps, the planner against the checker, and the C that
comes out against the reference."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import random_network
from tflite_builder import Builder, Spec, reference

from thumbnet.codegen.arena import Block, _critical, _Packing, place
from thumbnet.codegen.checker import check_schedule
from thumbnet.codegen.compile import Options, compile_model, load_graph, plan_model
from thumbnet.codegen.errors import BudgetError, ScheduleError
from thumbnet.codegen.graph import Graph, Operator
from thumbnet.codegen.kernel import FEED, Kernel
from thumbnet.codegen.lowering.registry import lower_all
from thumbnet.codegen.order import best_order
from thumbnet.codegen.partition import Choice
from thumbnet.codegen.schedule import ALIGNMENT, Schedule, Storage
from thumbnet.codegen.streaming import Flow
from thumbnet.codegen.toolchain import host_library

Array = NDArray[Any]
Planned = Callable[[int], Schedule]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """The schedule of random network number `seed`."""
    folder = tmp_path_factory.mktemp("networks")

    def plan(seed: int) -> Schedule:
        path = folder / f"random_{seed}.tflite"
        path.write_bytes(random_network(seed))
        return plan_model(load_graph(path))[0]

    return plan


def _moved(schedule: Schedule, name: str, offset: int) -> Schedule:
    storages = {**schedule.storages, name: replace(schedule.storages[name], offset=offset)}
    size = max(s.offset + s.nbytes for s in storages.values())
    return replace(schedule, storages=storages, arena_bytes=max(size, schedule.arena_bytes))


def _alive_together(a: Storage, b: Storage) -> bool:
    return a.first <= b.last and b.first <= a.last


@pytest.mark.parametrize("seed", range(40))
def test_planned_schedules_are_sound_and_near_the_bound(seed: int, planned: Planned) -> None:
    schedule = planned(seed)
    check_schedule(schedule)
    assert schedule.lower_bound <= schedule.arena_bytes
    assert schedule.arena_bytes <= 1.35 * schedule.lower_bound + 64


def test_planted_overlaps_are_caught_or_harmless(
    tmp_path: Path, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each storage is put onto each other one that is in use at the same time. The checker refuses;
    where it does not, because the bytes that matter never meet, the C must still be right."""
    caught, accepted = 0, []
    for seed in range(12):
        path = tmp_path / f"net_{seed}.tflite"
        path.write_bytes(random_network(seed))
        schedule = plan_model(load_graph(path))[0]
        for a in schedule.storages.values():
            for b in schedule.storages.values():
                if a is b or not _alive_together(a, b):
                    continue
                planted = _moved(schedule, a.name, b.offset)
                try:
                    check_schedule(planted)
                except ScheduleError:
                    caught += 1
                else:
                    if a.offset != b.offset:
                        accepted.append((path, planted))
    assert caught > 100
    assert len(accepted) > 3
    for i, (path, planted) in enumerate(accepted[:: max(1, len(accepted) // 8)]):
        monkeypatch.setattr("thumbnet.codegen.steps.plan_in_forms", lambda g, mode, p=planted: p)
        compiled = compile_model(path, tmp_path / f"out_{i}", Options(target="host", name="net"))
        values = _values(planted, i)
        expected = reference(path.read_bytes(), [values], len(planted.graph.outputs))
        library = host_library(compiled.folder, work_dir)
        assert _run(library, planted, "net", values) == [e.tobytes() for e in expected]


def test_checker_catches_an_output_one_word_too_close(planned: Planned) -> None:
    """The planner's distances are the least: ALIGNMENT less is refused."""
    tight = 0
    for seed in range(30):
        schedule = planned(seed)
        for kernel in schedule.kernels:
            output = schedule.storage(kernel.output)
            for read in kernel.reads:
                source = schedule.storage(read.tensor)
                overlapping = (
                    output.offset < source.offset < output.offset + output.nbytes
                    and source.last == output.first
                )
                if overlapping and read.overlap.mode == "rows":
                    nearest = source.offset
                    for distance in range(source.offset - output.offset, -1, -ALIGNMENT):
                        try:
                            check_schedule(_moved(schedule, source.name, output.offset + distance))
                        except ScheduleError:
                            break
                        nearest = output.offset + distance
                    assert nearest - output.offset > 0
                    tight += 1
    assert tight > 3


def test_checker_catches_broken_steps(planned: Planned) -> None:
    schedule = planned(3)
    steps = schedule.steps
    with pytest.raises(ScheduleError):
        check_schedule(replace(schedule, steps=steps[:-1]))
    with pytest.raises(ScheduleError):
        check_schedule(replace(schedule, steps=steps[::-1]))
    short = replace(steps[0], y_end=steps[0].y_end - 1)
    with pytest.raises(ScheduleError):
        check_schedule(replace(schedule, steps=(short, *steps[1:])))
    with pytest.raises(ScheduleError, match="out of turn"):
        check_schedule(replace(schedule, steps=(steps[0], *steps)))


def test_checker_catches_storages_outside_of_the_arena(planned: Planned) -> None:
    schedule = planned(3)
    with pytest.raises(ScheduleError, match="outside"):
        check_schedule(replace(schedule, arena_bytes=schedule.arena_bytes - ALIGNMENT))
    name = next(iter(schedule.storages))
    with pytest.raises(ScheduleError, match="aligned"):
        check_schedule(_moved(schedule, name, schedule.storages[name].offset + 1))


# ---- placing and ordering --------------------------------------------------------------------


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_place_respects_distances(raw: list[tuple[int, int, int]], random: Any) -> None:
    blocks = [Block(f"b{i}", n, f, f + length) for i, (n, f, length) in enumerate(raw)]
    distances = {
        (a.name, b.name): random.randrange(0, a.nbytes + 1) if random.random() < 0.2 else a.nbytes
        for a in blocks
        for b in blocks
        if a is not b and a.first <= b.last and b.first <= a.last
    }
    offsets, total = place(blocks, distances, 0, tries=20)
    for a in blocks:
        assert offsets[a.name] % ALIGNMENT == 0 and offsets[a.name] >= 0
        assert offsets[a.name] + a.nbytes <= total
    for (lower, upper), distance in distances.items():
        apart = offsets[upper] - offsets[lower]
        assert apart >= distance or -apart >= distances[upper, lower]


def test_blocks_that_may_lie_in_one_place_make_no_circle() -> None:
    """Two blocks of distance 0 upon a third: the chain goes on to that one."""
    gap = [[(1, 0, 0), (2, 48, 16)], [(0, 0, 0), (2, 48, 16)], [(0, 16, 48), (1, 16, 48)]]
    packing = _Packing(64, [2, 0, 1], [48, 48, 0])
    assert _critical(packing, gap, [16, 16, 48]) == [0, 1, 2]


def test_order_is_the_best_of_all() -> None:
    """Two branches, one of which should be finished first: exhaustive search agrees."""
    sizes = [8, 30, 2, 20, 3, 1]  # operator i makes sizes[i] bytes
    after = [frozenset(s) for s in (set(), {0}, {1}, {0}, {3}, {2, 4})]
    users = [{i for i, a in enumerate(after) if j in a} for j in range(len(after))]

    def live(ran: int) -> int:
        return sum(
            sizes[j] for j in range(6) if ran >> j & 1 and any(not ran >> u & 1 for u in users[j])
        )

    def peak(ran: int, op: int) -> int:
        return live(ran) + sizes[op]

    def total(order: list[int]) -> int:
        ran, worst = 0, 0
        for op in order:
            worst = max(worst, peak(ran, op))
            ran |= 1 << op
        return worst

    def orders(ran: int = 0) -> list[list[int]]:
        ready = [i for i in range(6) if not ran >> i & 1 and all(ran >> j & 1 for j in after[i])]
        return [[i, *rest] for i in ready for rest in orders(ran | 1 << i)] or [[]]

    every = [order for order in orders() if len(order) == 6]
    assert total(best_order(after, peak, live)) == min(map(total, every)) < max(map(total, every))
    greedy = best_order(after, peak, live, limit=1)
    assert sorted(greedy) == list(range(6))
    assert total(greedy) < max(map(total, every))


# ---- the C that comes out --------------------------------------------------------------------


def _values(schedule: Schedule, seed: int) -> Array:
    shape = schedule.graph.tensors[schedule.graph.inputs[0]].shape
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def _feed(loaded: ctypes.CDLL, arena: Any, name: str, values: Array) -> None:
    """Rows one by one from a buffer that is overwritten each time; ready after the last only."""
    begin, feed = getattr(loaded, f"{name}_begin"), getattr(loaded, f"{name}_feed")
    begin(arena)
    rows = values[0] if values.ndim == 4 else values[None]
    buffer = ctypes.create_string_buffer(rows[0].nbytes)
    ready = []
    for row in rows:
        buffer.raw = row.tobytes()
        ready.append(feed(arena, buffer))
    assert ready == [0] * (len(rows) - 1) + [1]
    assert feed(arena, buffer) == 1  # one too many changes nothing


def _run(library: Path, schedule: Schedule, name: str, values: Array) -> list[bytes]:
    loaded = ctypes.CDLL(str(library))
    arena = (ctypes.c_uint64 * (schedule.arena_bytes // 8 + 2))()
    ctypes.memset(arena, 0x5A, ctypes.sizeof(arena))
    base = ctypes.addressof(arena)
    if schedule.kernels and schedule.kernels[0].kind == FEED:
        _feed(loaded, arena, name, values)
    else:
        source = schedule.storage(schedule.graph.inputs[0])
        ctypes.memmove(base + source.offset, values.tobytes(), values.nbytes)
        getattr(loaded, f"{name}_run")(arena)
    ends = [schedule.storage(t) for t in schedule.graph.outputs]
    return [ctypes.string_at(base + e.offset, e.nbytes) for e in ends]


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_equal_the_reference(seed: int, tmp_path: Path, work_dir: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(random_network(seed))
    compiled = compile_model(path, tmp_path / "out", Options(target="host"))
    library = host_library(compiled.folder, work_dir, dsp=bool(seed % 2))
    schedule = compiled.schedule
    values = _values(schedule, seed)
    expected = reference(path.read_bytes(), [values], len(schedule.graph.outputs))
    assert _run(library, schedule, "net", values) == [e.tobytes() for e in expected]


@pytest.mark.parametrize("mode", ["whole", "rows", "stepper"])
def test_a_model_without_a_kernel_and_one_with_many_calls(
    mode: str, tmp_path: Path, work_dir: Path
) -> None:
    nothing, many = Builder(), Builder()
    x = nothing.input((1, 4, 2, 2), scale=0.05)
    shape = nothing.constant(np.array([1, 16], np.int32))
    nothing.output(nothing.op("RESHAPE", [x, shape], Spec((1, 16), scale=0.05)))
    x = many.input((1, 4, 2, 1), scale=0.05)
    many.output(many.op("CONCATENATION", [x] * 40, Spec((1, 4, 2, 40), scale=0.05), axis=3))
    for name, model in (("nothing", nothing), ("many", many)):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(model.build())
        options = Options(
            target="host", input="rows" if mode == "rows" else "whole", stepper=mode == "stepper"
        )
        compiled = compile_model(path, tmp_path / f"{name}_out", options)
        values = _values(compiled.schedule, 1)
        library = host_library(compiled.folder, work_dir)
        expected = values if name == "nothing" else np.concatenate([values] * 40, axis=3)
        assert _run(library, compiled.schedule, name, values) == [expected.tobytes()]


def test_rows_are_fed_one_by_one_under_large_strides(tmp_path: Path, work_dir: Path) -> None:
    b = Builder()
    x, rows = b.input((1, 400, 1, 1), scale=0.05), 400
    for kernel, stride, channels, scale in ((9, 4, 2, 0.04), (5, 2, 3, 0.03)):
        rows = -(-rows // stride)
        shape = (channels, kernel, 1, channels - 1)
        w = np.random.default_rng(kernel).integers(-9, 9, shape).astype(np.int8)
        weights = b.constant(w, 0.01)
        x = b.op(
            "CONV_2D", [x, weights, -1], Spec((1, rows, 1, channels), scale=scale), padding="SAME",
            stride_h=stride, stride_w=1, dilation_h_factor=1, dilation_w_factor=1,
            fused_activation_function="NONE",
        )  # fmt: skip
    b.output(x)
    path = tmp_path / "net.tflite"
    path.write_bytes(b.build())
    compiled = compile_model(path, tmp_path / "out", Options(target="host", input="rows"))
    fed = [s for s in compiled.schedule.steps if s.kernel == 0]
    assert len(fed) == 400
    values = _values(compiled.schedule, 1)
    library = host_library(compiled.folder, work_dir)
    expected = reference(path.read_bytes(), [values], 1)
    assert _run(library, compiled.schedule, "net", values) == [e.tobytes() for e in expected]
    joined = replace(fed[0], y_end=2)
    broken = replace(compiled.schedule, steps=(joined, *compiled.schedule.steps[2:]))
    with pytest.raises(ScheduleError):
        check_schedule(broken)


@pytest.mark.parametrize("mode", ["whole", "rows", "stepper"])
def test_more_rows_than_int16_counts(mode: str, tmp_path: Path, work_dir: Path) -> None:
    rows = 33000
    b = Builder()
    x = b.input((1, rows, 1, 2), scale=0.05)
    for stride, scale in ((2, 0.04), (1, 0.03)):
        w = b.constant(np.array([[[3, -2]]] * 6, np.int8).reshape(2, 3, 1, 2), 0.01)
        rows //= stride
        x = b.op(
            "CONV_2D", [x, w, -1], Spec((1, rows, 1, 2), scale=scale), padding="SAME",
            stride_h=stride, stride_w=1, dilation_h_factor=1, dilation_w_factor=1,
            fused_activation_function="NONE",
        )  # fmt: skip
    axes = b.constant(np.array([1, 2], np.int32))
    b.output(b.op("MEAN", [x, axes], Spec((1, 2), scale=0.03), keep_dims=False))
    path = tmp_path / "net.tflite"
    path.write_bytes(b.build())
    options = Options(
        target="host", input="rows" if mode == "rows" else "whole", stepper=mode == "stepper"
    )
    compiled = compile_model(path, tmp_path / "out", options)
    values = _values(compiled.schedule, 1)
    library = host_library(compiled.folder, work_dir)
    expected = reference(path.read_bytes(), [values], 1)
    assert _run(library, compiled.schedule, "net", values) == [e.tobytes() for e in expected]


@pytest.mark.parametrize("seed", [41, 44, 52])
def test_steps_are_cut_to_a_bound(seed: int, tmp_path: Path, work_dir: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(random_network(seed))
    whole = compile_model(path, tmp_path / "whole", Options(target="host", stepper=True))
    longest = whole.manifest.longest_step_cycles
    assert longest is not None
    limit = longest // 2
    options = Options(target="host", max_step_cycles=limit)
    cut = compile_model(path, tmp_path / "cut", options)
    assert cut.manifest.stepper and cut.manifest.longest_step_cycles is not None
    assert cut.manifest.longest_step_cycles <= limit
    assert len(cut.schedule.steps) > len(whole.schedule.steps)
    values = _values(cut.schedule, seed)
    expected = reference(path.read_bytes(), [values], len(cut.schedule.graph.outputs))
    library = host_library(cut.folder, work_dir)
    assert _run(library, cut.schedule, "net", values) == [e.tobytes() for e in expected]
    with pytest.raises(BudgetError, match="smallest step of layer"):
        compile_model(path, tmp_path / "no", Options(target="host", max_step_cycles=10))
    assert not (tmp_path / "no").exists()


def _whole_network(band: int) -> Callable[..., list[Choice]]:
    """One stage for everything, `band` rows a step."""

    def choose(flow: Flow, **_: bool) -> list[Choice]:
        count = len(flow.kernels)
        return [Choice(((0, count),), (band,) * count, frozenset(), 0)]

    return choose


def _cut(seed: int) -> Callable[..., list[Choice]]:
    """Random stages and random bands."""

    def choose(flow: Flow, **_: bool) -> list[Choice]:
        random, count = np.random.default_rng(seed), len(flow.kernels)
        cuts = sorted({0, count, *(int(c) for c in random.integers(0, count + 1, 3))})
        bands = tuple(int(b) for b in random.integers(1, 5, count))
        return [Choice(tuple(pairwise(cuts)), bands, frozenset(), 0)]

    return choose


def _with_less_scratch(graph: Graph, operators: Sequence[Operator]) -> list[Kernel]:
    return [kernel.with_less_scratch or kernel for kernel in lower_all(graph, operators)]


@pytest.mark.parametrize("seed", range(40, 60))
@pytest.mark.parametrize(
    "mode", ["one row", "three rows", "random", "less scratch", "rows", "stepper"]
)
def test_every_way_to_run_gives_the_reference(
    seed: int, mode: str, tmp_path: Path, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choosers = {"one row": _whole_network(1), "three rows": _whole_network(3), "random": _cut(seed)}
    if mode in choosers:
        monkeypatch.setattr("thumbnet.codegen.planner.candidates", choosers[mode])
    if mode == "less scratch":
        monkeypatch.setattr("thumbnet.codegen.planner.lower_all", _with_less_scratch)
    path = tmp_path / "net.tflite"
    path.write_bytes(random_network(seed))
    options = Options(
        target="host", input="rows" if mode == "rows" else "whole", stepper=mode == "stepper"
    )
    compiled = compile_model(path, tmp_path / "out", options)
    schedule = compiled.schedule
    values = _values(schedule, seed)
    expected = reference(path.read_bytes(), [values], len(schedule.graph.outputs))
    library = host_library(compiled.folder, work_dir, dsp=bool(seed % 2))
    assert _run(library, schedule, "net", values) == [e.tobytes() for e in expected]


@pytest.mark.parametrize("seed", range(8))
def test_in_place_equals_out_of_place(
    seed: int, tmp_path: Path, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(random_network(seed))
    tight = compile_model(path, tmp_path / "tight", Options(target="host"))

    def place_apart(
        blocks: list[Block], distances: dict[tuple[str, str], int], bound: int, tries: int
    ) -> tuple[dict[str, int], int]:
        size = {b.name: b.nbytes for b in blocks}
        return place(blocks, {pair: size[pair[0]] for pair in distances}, bound, tries)

    monkeypatch.setattr("thumbnet.codegen.layouts.place", place_apart)
    apart = compile_model(path, tmp_path / "apart", Options(target="host"))
    assert tight.schedule.arena_bytes <= apart.schedule.arena_bytes
    shape = tight.schedule.graph.tensors[tight.schedule.graph.inputs[0]].shape
    values = np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)
    results = [
        _run(host_library(c.folder, work_dir), c.schedule, "net", values) for c in (tight, apart)
    ]
    assert results[0] == results[1]
