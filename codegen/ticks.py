"""When each row of a step sequence is made and last read.

Time is counted in ticks: one row of one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from thumbnet.codegen.kernel import Read, RowWindow
from thumbnet.codegen.schedule import Step
from thumbnet.codegen.streaming import Flow, Ints, StageSteps, as_arrays, rows_of


class Clock:
    """Ticks of a step sequence: which kernel and row each one is.

    The steps are those of kernels [first, end) (default: all); kernels before are past, those after
    have not begun.
    """

    def __init__(
        self, flow: Flow, steps: Sequence[Step] | StageSteps, first: int = 0, end: int | None = None
    ) -> None:
        self.flow = flow
        self.kernels = range(first, len(flow.kernels) if end is None else end)
        arrays = steps if isinstance(steps, StageSteps) else as_arrays(steps)
        counts = arrays.end - arrays.begin
        self.step = np.repeat(np.arange(len(counts)), counts)
        self.ticks = len(self.step)
        self.kernel = arrays.kernel[self.step]
        self.begin = arrays.begin[self.step]
        self.row = np.arange(self.ticks) + (arrays.begin - np.cumsum(counts) + counts)[self.step]
        self.needs: dict[tuple[int, int, bool], Ints] = {}  # of reader_needs
        self.lives: dict[str, tuple[Ints, Ints]] = {}  # of row_lives
        self._stands: dict[tuple[int, bool], Ints] = {}
        by_kernel = np.argsort(self.kernel, kind="stable")
        ends = np.cumsum(np.bincount(self.kernel, minlength=len(flow.kernels))).tolist()
        self._ticks_of = [by_kernel[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    def ticks_of(self, kernel: int) -> Ints:
        return self._ticks_of[kernel]

    def stands(self, kernel: int, *, after_row: bool) -> Ints:
        """By tick: how many of the kernel's rows are past; with `after_row` its own tick's too."""
        key = kernel, after_row
        if key not in self._stands:
            if kernel in self.kernels:
                marks = self.kernel == kernel
                past = np.cumsum(marks, dtype=np.int64)
                self._stands[kernel, True], self._stands[kernel, False] = past, past - marks
            else:
                before = kernel < self.kernels.start
                rows = rows_of(self.flow.graph, self.flow.kernels[kernel]) if before else 0
                self._stands[key] = np.full(self.ticks, rows, dtype=np.int64)
        return self._stands[key]

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
    if maker not in clock.kernels:
        full = tensor.nbytes if maker < clock.kernels.start else 0
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
    kernel = clock.flow.kernels[reader]
    first = first_needed(clock.flow, reader, read, nbytes)
    stands = clock.stands(reader, after_row=after_row)
    if read.overlap.mode == "none" and not kernel.unit_rows and reader in clock.kernels:
        own = clock.ticks_of(reader)  # the whole band is read while any of it is written
        stands = stands.copy()
        stands[own] = clock.begin[own]
    return first[stands]


def first_needed(flow: Flow, reader: int, read: Read, nbytes: int) -> Ints:
    """[rows + 1]: the lowest byte that the reader still reads when so many of its rows are past."""
    return _first_needed(*_window_of(flow, reader, read), nbytes)


def _window_of(flow: Flow, reader: int, read: Read) -> tuple[RowWindow | None, int, int, int]:
    """What the reader's rows read of which rows, of how many bytes; and how many rows it has."""
    view = flow.tensor(read.tensor)
    return read.window, view.rows, view.row_bytes, rows_of(flow.graph, flow.kernels[reader])


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
    if value not in clock.lives:
        clock.lives[value] = _row_lives(clock, value)
    return clock.lives[value]


def _row_lives(clock: Clock, value: str) -> tuple[Ints, Ints]:
    flow, tensor = clock.flow, clock.flow.tensor(value)
    born = clock.ticks_of(flow.maker[value])
    if flow.kernels[flow.maker[value]].unit_rows:
        born = np.repeat(born[-1:], tensor.rows)
    dead = born
    for reader, read in flow.readers.get(value, ()):
        last = _last_reads(*_window_of(flow, reader, read), tensor.nbytes)
        own = clock.ticks_of(reader)
        if read.overlap.mode == "none" and not flow.kernels[reader].unit_rows:
            bands = clock.begin[own]  # all of a band is read while any of it is written
            ends = own[np.searchsorted(bands, bands, side="right") - 1]
        else:
            ends = own
        dead = np.maximum(dead, np.where(last < 0, -1, ends[last]))
    return born, dead


@lru_cache(maxsize=4096)
def _last_reads(
    window: RowWindow | None, rows: int, row_bytes: int, total: int, nbytes: int
) -> Ints:
    """[rows]: the last of the reader's rows that reads this row or an earlier one; -1 for none."""
    first = _first_needed(window, rows, row_bytes, total, nbytes)
    starts = np.arange(rows, dtype=np.int64) * row_bytes
    return np.searchsorted(first, starts, side="right") - 1
