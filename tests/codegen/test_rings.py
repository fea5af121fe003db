"""Rows of one size that share slots: as few as there can be, and tables that the C reads alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_builder import Builder, Spec

from thumbnet.codegen.checker import check_schedule
from thumbnet.codegen.compile import load_graph, plan_model
from thumbnet.codegen.errors import ScheduleError
from thumbnet.codegen.partition import Choice
from thumbnet.codegen.schedule import Ring, Schedule
from thumbnet.codegen.streaming import Flow, window_rows


def _chain(
    folder: Path, kernels: list[tuple[int, int]], rows: int = 24, channels: int = 16
) -> Path:
    """Convolutions (kernel height, stride) over [1, rows, 8, channels]."""
    b = Builder()
    x = b.input((1, rows, 8, channels), scale=0.05)
    for i, (kernel, stride) in enumerate(kernels):
        rows = -(-rows // stride)
        w = (
            np.random.default_rng(i)
            .integers(-9, 9, (channels, kernel, 3, channels))
            .astype(np.int8)
        )
        x = b.op(
            "CONV_2D", [x, b.constant(w, 0.01), -1],
            Spec((1, rows, 8, channels), scale=0.04 - 0.002 * i),
            padding="SAME", stride_h=stride, stride_w=1, dilation_h_factor=1,
            dilation_w_factor=1, fused_activation_function="NONE",
        )  # fmt: skip
    b.output(x)
    path = folder / "chain.tflite"
    path.write_bytes(b.build())
    return path


def _one_stage(path: Path, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    def choose(flow: Flow, **_: bool) -> list[Choice]:
        count = len(flow.kernels)
        return [Choice(((0, count),), (1,) * count, frozenset(), 0)]

    monkeypatch.setattr("thumbnet.codegen.planner.candidates", choose)
    return plan_model(load_graph(path))[0]


def test_rings_share_the_slot_of_the_row_that_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four windows of three rows: two rows of each wait; two slots more serve them all, for the row
    that came last and for the one that is made of it."""
    schedule = _one_stage(_chain(tmp_path, [(3, 1)] * 5), monkeypatch)
    (slots,) = {schedule.storage_of[value] for value in schedule.rings}
    row_bytes = 8 * 16
    assert len(schedule.rings) == 4
    assert schedule.storages[slots].nbytes == (4 * 2 + 2) * row_bytes


def test_a_stride_of_two_needs_three_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = _one_stage(_chain(tmp_path, [(3, 1), (3, 2)]), monkeypatch)
    (ring,) = schedule.rings.values()
    assert ring.rows == 3 and len(set(ring.slots)) == 3


def _most_rows_at_once(schedule: Schedule, values: list[str]) -> int:
    """Counted by executing the steps: a row lives from the row of its kernel that makes it to the
    last row of a kernel that reads it. A row that only an elementwise kernel still reads may give
    its slot to the row which that makes: it is not counted when it is read for the last time."""
    made_at: dict[tuple[str, int], int] = {}
    last_read: dict[tuple[str, int], int] = {}
    tick = 0
    for step in schedule.steps:
        kernel = schedule.kernels[step.kernel]
        for y in range(step.y_begin, step.y_end):
            for read in kernel.reads:
                value = schedule.value_of[read.tensor]
                first, end = window_rows(read, schedule.graph.tensors[read.tensor], y)
                over = read.overlap.mode == "elements" and kernel.output in values
                for row in range(first, end):
                    last_read[value, row] = tick - 1 if over and not kernel.unit_rows else tick
            made_at[schedule.value_of[kernel.output], y] = tick
            tick += 1
    alive = [0] * (tick + 1)
    for (value, row), born in made_at.items():
        if value in values:
            for t in range(born, max(born, last_read.get((value, row), born)) + 1):
                alive[t] += 1
    return max(alive)


@pytest.mark.parametrize("seed", range(20))
def test_slots_are_as_few_as_rows_live_at_once(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = np.random.default_rng(seed).integers(1, [6, 3], (4, 2)).tolist()
    schedule = _one_stage(_chain(tmp_path, [(3, 1), *map(tuple, kernels)]), monkeypatch)
    assert schedule.rings
    for storage in {schedule.storage_of[value] for value in schedule.rings}:
        values = [v for v in schedule.rings if schedule.storage_of[v] == storage]
        row_bytes = schedule.graph.tensors[values[0]].row_bytes
        count = schedule.storages[storage].nbytes // row_bytes
        assert count == _most_rows_at_once(schedule, values)
        assert {s for v in values for s in schedule.rings[v].slots} == set(range(count))


def test_slots_are_not_shared_for_more_flash_than_they_spare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = _one_stage(_chain(tmp_path, [(3, 1)] * 5, rows=600, channels=4), monkeypatch)
    assert len({schedule.storage_of[value] for value in schedule.rings}) == 4
    assert all(len(ring.table) <= 1 + 2 * 3 for ring in schedule.rings.values())


def test_more_rows_than_a_byte_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = _one_stage(
        _chain(tmp_path, [(1, 1), (300, 1), (3, 1)], rows=700, channels=4), monkeypatch
    )
    tall = max(schedule.rings, key=lambda value: schedule.rings[value].rows)
    assert schedule.rings[tall].rows == 300
    assert schedule.storages[schedule.storage_of[tall]].nbytes == 300 * 8 * 4


@pytest.mark.parametrize("seed", range(8))
def test_the_checker_refuses_a_slot_that_is_taken(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = [(3, 1), (5, 1), (3, 2), (3, 1)]
    schedule = _one_stage(_chain(tmp_path, kernels), monkeypatch)
    random = np.random.default_rng(seed)
    value = sorted(schedule.rings)[int(random.integers(len(schedule.rings)))]
    slots = list(schedule.rings[value].slots)
    row = int(random.integers(1, len(slots) - 2))
    slots[row] = slots[row - 1]  # that of a row which some window holds together with it
    rings = {**schedule.rings, value: replace(schedule.rings[value], slots=tuple(slots))}
    check_schedule(schedule)
    with pytest.raises(ScheduleError):
        check_schedule(replace(schedule, rings=rings))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=40), st.integers(1, 700))
def test_tables_hold_every_slot(pattern: list[int], rows: int) -> None:
    """Decoded as `tn_row` does."""
    slots = tuple(pattern[y % len(pattern)] for y in range(rows))
    period, *table = Ring(1, slots).table
    assert len(table) == period <= min(rows, len(pattern))
    assert tuple(table[y % period] for y in range(rows)) == slots


def test_the_checker_refuses_slots_that_no_table_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = _one_stage(_chain(tmp_path, [(3, 1), (3, 1)]), monkeypatch)
    ((value, ring),) = schedule.rings.items()
    for slots in ((-1, *ring.slots[1:]), (1 << 16, *ring.slots[1:]), ring.slots[1:]):
        rings = {value: replace(ring, slots=slots)}
        with pytest.raises(ScheduleError, match="slots"):
            check_schedule(replace(schedule, rings=rings))
