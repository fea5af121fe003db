"""Rows of one size that share slots: as few as there can be, and tables that the C reads alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_network
from tflite_builder import Builder, Spec

from thumbnet.codegen.checker import check_schedule
from thumbnet.codegen.compile import load_graph, plan_model
from thumbnet.codegen.emit_steps import ring_table
from thumbnet.codegen.errors import ScheduleError
from thumbnet.codegen.partition import Choice
from thumbnet.codegen.schedule import Ring, Schedule
from thumbnet.codegen.streaming import Flow


def _chain(folder: Path, kernels: list[tuple[int, int]], rows: int = 24) -> Path:
    """Convolutions (kernel height, stride) over [1, rows, 4, 4]."""
    b = Builder()
    x = b.input((1, rows, 4, 4), scale=0.05)
    for i, (kernel, stride) in enumerate(kernels):
        rows = -(-rows // stride)
        w = np.random.default_rng(i).integers(-9, 9, (4, kernel, 3, 4)).astype(np.int8)
        x = b.op(
            "CONV_2D", [x, b.constant(w, 0.01), -1], Spec((1, rows, 4, 4), scale=0.04 - 0.002 * i),
            padding="SAME", stride_h=stride, stride_w=1, dilation_h_factor=1,
            dilation_w_factor=1, fused_activation_function="NONE",
        )  # fmt: skip
    b.output(x)
    path = folder / "chain.tflite"
    path.write_bytes(b.build())
    return path


def _one_stage(path: Path, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    def choose(flow: Flow) -> list[Choice]:
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
    row_bytes = 4 * 4
    assert len(schedule.rings) == 4
    assert schedule.storages[slots].nbytes == (4 * 2 + 2) * row_bytes


def test_a_stride_of_two_needs_three_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = _one_stage(_chain(tmp_path, [(3, 1), (3, 2)]), monkeypatch)
    (ring,) = schedule.rings.values()
    assert ring.rows == 3 and len(set(ring.slots)) == 3


@pytest.mark.parametrize("seed", range(20))
def test_slots_are_as_few_as_rows_live_at_once(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are counted by executing the steps: made by their kernel's, gone after the last that
    reads them."""
    path = tmp_path / "net.tflite"
    path.write_bytes(random_network(seed))
    schedule = _one_stage(path, monkeypatch)
    storages = {schedule.storage_of[value] for value in schedule.rings}
    for storage in storages:
        values = [v for v in schedule.rings if schedule.storage_of[v] == storage]
        row_bytes = schedule.graph.tensors[values[0]].row_bytes
        most = sum(schedule.rings[v].rows for v in values)
        assert schedule.storages[storage].nbytes <= most * row_bytes
        used = {slot for v in values for slot in schedule.rings[v].slots}
        assert used == set(range(schedule.storages[storage].nbytes // row_bytes))


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
@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.integers(1, 700))
def test_tables_hold_every_slot(pattern: list[int], rows: int) -> None:
    """Decoded as `tn_row` does."""
    slots = tuple(pattern[y % len(pattern)] for y in range(rows))
    period, *table = ring_table(Ring(1, slots))
    assert 0 <= period < 256 and len(table) <= rows
    assert tuple(table[y % period if period else y] for y in range(rows)) == slots


def test_tables_without_a_short_period_hold_all_rows() -> None:
    slots = tuple(np.random.default_rng(1).integers(0, 200, 600).tolist())
    assert ring_table(Ring(200, slots)) == (0, *slots)
