"""When each row of a step sequence is made and last read.

Time is counted in ticks: one row of one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.kernel import Read, RowWindow
from thumbnet.codegen.schedule import Step
from thumbnet.codegen.streaming import Flow, rows_of

Ints = NDArray[np.int64]


class Clock:
    """Ticks of a step sequence: which kernel and row each one is."""

    def __init__(self, flow: Flow, steps: Sequence[Step]) -> None:
        self.flow = flow
        counts = [s.y_end - s.y_begin for s in steps]
        self.ticks = sum(counts)
        self.step = np.repeat(np.arange(len(steps)), counts)
        self.kernel = np.repeat(np.array([s.kernel for s in steps], dtype=np.int64), counts)
        self.begin = np.repeat(np.array([s.y_begin for s in steps], dtype=np.int64), counts)
        starts = np.cumsum([0, *counts[:-1]]) if counts else np.zeros(0, dtype=np.int64)
        self.row = np.arange(self.ticks) - np.repeat(starts, counts) + self.begin
        self._ticks_of = {k: np.flatnonzero(self.kernel == k) for k in range(len(flow.kernels))}
        self.needs: dict[tuple[int, int, bool], Ints] = {}  # of reader_needs
        marks = self.kernel == np.arange(len(flow.kernels))[:, None]
        self._past_with = np.cumsum(marks, axis=1, dtype=np.int64)
        self._past = self._past_with - marks

    def ticks_of(self, kernel: int) -> Ints:
        return self._ticks_of[kernel]

    def stands(self, kernel: int, *, after_row: bool) -> Ints:
        """By tick: how many of the kernel's rows are past; with `after_row` its own tick's too."""
        return self._past_with[kernel] if after_row else self._past[kernel]

    def of_kernel(self, kernel: int, *, spanning: bool) -> Ints:
        """The kernel's own ticks, or all from its first to its last."""
        own = self.ticks_of(kernel)
        return np.arange(own[0], own[-1] + 1) if spanning and own.size else own


def made_bytes(clock: Clock, value: str, inputs: Sequence[str]) -> Ints:
    """Per tick: bytes of the value that exist, the row of this tick included."""
    flow, tensor = clock.flow, clock.flow.tensor(value)
    maker = flow.maker.get(value)
    if maker is None:
        full = tensor.nbytes if value in inputs else 0
        return np.full(clock.ticks, full, dtype=np.int64)
    made = np.zeros(clock.ticks, dtype=np.int64)
    own = clock.ticks_of(maker)
    if flow.kernels[maker].unit_rows:
        made[own[-1] :] = tensor.nbytes
        return made
    made[own] = (clock.row[own] + 1) * tensor.row_bytes
    return np.maximum.accumulate(made)


def needed_from(clock: Clock, value: str, outputs: frozenset[str]) -> Ints:
    """Per tick: the lowest byte of the value that this tick or a later one still reads."""
    flow, nbytes = clock.flow, clock.flow.tensor(value).nbytes
    needs = [reader_needs(clock, i, read, nbytes) for i, read in flow.readers.get(value, ())]
    if value in outputs or not needs:
        return np.full(clock.ticks, 0 if value in outputs else nbytes, dtype=np.int64)
    needed = needs[0]
    for more in needs[1:]:
        needed = np.minimum(needed, more)
    return needed


def reader_needs(
    clock: Clock, reader: int, read: Read, nbytes: int, *, after_row: bool = False
) -> Ints:
    """Per tick: the lowest byte that the reader reads now or later; `nbytes` once it is done.

    With `after_row`, its own tick counts as past.
    """
    key = (reader, id(read), after_row)
    if key not in clock.needs:
        clock.needs[key] = _needs_of(clock, reader, read, nbytes, after_row)
    return clock.needs[key]


def _needs_of(clock: Clock, reader: int, read: Read, nbytes: int, after_row: bool) -> Ints:
    flow, view = clock.flow, clock.flow.tensor(read.tensor)
    kernel = flow.kernels[reader]
    first = _first_needed(
        read.window, view.rows, view.row_bytes, rows_of(flow.graph, kernel), nbytes
    )
    stands = clock.stands(reader, after_row=after_row)
    if read.overlap.mode == "none" and not kernel.unit_rows:
        own = clock.ticks_of(reader)  # the whole band is read while any of it is written
        stands = stands.copy()
        stands[own] = clock.begin[own]
    return first[stands]


@lru_cache(maxsize=4096)
def _first_needed(
    window: RowWindow | None, rows: int, row_bytes: int, total: int, nbytes: int
) -> Ints:
    """[total + 1]: the lowest byte that output rows y and later read; `nbytes` where none do."""
    first = np.full(total + 1, nbytes, dtype=np.int64)
    if window is None:
        first[:-1] = 0 if rows else nbytes
        return first
    begin = np.arange(total, dtype=np.int64) * window.stride - window.before
    end = np.minimum(begin + window.size, rows)
    begin = np.maximum(begin, 0)
    first[:-1] = np.where(begin < end, begin * row_bytes, nbytes)
    return np.minimum.accumulate(first[::-1])[::-1].copy()


def row_lives(clock: Clock, value: str) -> tuple[Ints, Ints]:
    """First and last tick of each row of a value that a kernel makes and none reads whole."""
    rows, row_bytes = clock.flow.tensor(value).rows, clock.flow.tensor(value).row_bytes
    maker = clock.flow.maker[value]
    born = clock.ticks_of(maker)
    if clock.flow.kernels[maker].unit_rows:
        born = np.repeat(born[-1:], rows)
    needed = needed_from(clock, value, frozenset())
    dead = np.searchsorted(needed, np.arange(rows, dtype=np.int64) * row_bytes, side="right") - 1
    return born, np.maximum(born, dead)
