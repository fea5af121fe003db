"""When each byte of each storage is live, and from that how close two storages may come.

Time is counted in ticks: one row of one step. At each tick a storage occupies an interval of its
bytes: a whole value grows upwards as its rows are made and shrinks from below as its last reader
goes on; a variable, scratch, and a ring in which rows wait occupy all they have. Two storages must
keep, at every tick at which both are live, the end of the lower one's interval below the start of
the upper one's: the largest such overlap over all ticks is the least distance between their starts.
An output that overwrites its own dying input, a stage's rings that grow into the image that the
stage consumes, and two plain tensors are all the same case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import Read, RowWindow
from thumbnet.codegen.schedule import Step
from thumbnet.codegen.streaming import Flow, rows_of

_FAR = np.int64(1) << 40

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lifetimes:
    """Rows of the arrays are storages in the order of `names`, columns are ticks.

    `low` and `high` bound the live bytes; where a storage is dead, low is far above high.
    `in_place[(output, input)]` is the least distance while the kernel that reads the one and makes
    the other runs, under the contract of its `Overlap`.
    """

    names: tuple[str, ...]
    nbytes: Ints
    low: Ints
    high: Ints
    step_of_tick: Ints
    in_place: dict[tuple[str, str], int]
    shared: Ints  # per tick: bytes that an elementwise kernel's row and its input's row share

    def distances(self) -> dict[tuple[str, str], int]:
        """(lower, upper) -> least distance from start to start, for all pairs that ever meet."""
        found: dict[tuple[str, str], int] = {}
        for i, name in enumerate(self.names):
            live = np.flatnonzero(self.high[i] > -_FAR)
            if not live.size:
                continue
            when = slice(live[0], live[-1] + 1)
            gaps = (self.high[i, when] - self.low[:, when]).max(axis=1)
            for j in np.flatnonzero(gaps > -_FAR // 2):
                if i != j:
                    key = (name, self.names[j])
                    found[key] = min(max(int(gaps[j]), 0), int(self.nbytes[i]))
        return {k: self.in_place.get(k, d) for k, d in found.items()}

    def live_bytes(self, steps: int) -> tuple[int, ...]:
        """By step: the most bytes that are live at one of its ticks."""
        live = np.maximum(self.high - self.low, 0).sum(axis=0) - self.shared
        most = np.zeros(max(steps, 1), dtype=np.int64)
        np.maximum.at(most, self.step_of_tick, live)
        return tuple(int(n) for n in most)

    def span(self, name: str) -> tuple[int, int]:
        """First and last step at which the storage is live."""
        i = self.names.index(name)
        ticks = np.flatnonzero(self.high[i] > self.low[i])
        if not ticks.size:
            return 0, 0
        return int(self.step_of_tick[ticks[0]]), int(self.step_of_tick[ticks[-1]])


@dataclass(frozen=True)
class Held:
    """What a storage is: a whole value, a ring of `ring` rows, a variable or a kernel's scratch."""

    name: str
    nbytes: int
    values: tuple[str, ...] = ()
    ring: int = 0
    passing: int = -1  # see schedule.Storage
    always: bool = False  # a variable
    kernel: int = -1  # scratch of this kernel


def lifetimes(
    flow: Flow,
    steps: Sequence[Step],
    held: Sequence[Held],
    storage_of: Mapping[str, str],
    inputs: Sequence[str],
    outputs: frozenset[str],
) -> Lifetimes:
    """`inputs` are live from the first tick, `outputs` (values) to the last."""
    clock = _Clock(flow, steps)
    names = tuple(h.name for h in held)
    nbytes = np.array([h.nbytes for h in held], dtype=np.int64)
    if not clock.ticks:  # nothing runs: inputs are outputs
        zero = np.zeros((len(held), 1), dtype=np.int64)
        return Lifetimes(names, nbytes, zero, zero + nbytes[:, None], zero[:1, 0], {}, zero[:1, 0])
    low = np.full((len(held), clock.ticks), _FAR, dtype=np.int64)
    high = np.full((len(held), clock.ticks), -_FAR, dtype=np.int64)
    for i, item in enumerate(held):
        if item.always:
            low[i], high[i] = 0, item.nbytes
        elif item.kernel >= 0:
            mask = clock.of_kernel(item.kernel, spanning=bool(flow.kernels[item.kernel].unit_rows))
            low[i, mask], high[i, mask] = 0, item.nbytes
        else:
            _value_interval(clock, item, item.values[0], low[i], high[i], inputs, outputs)
    in_place, shared = _in_place(clock, held, storage_of, outputs, low, high)
    return Lifetimes(names, nbytes, low, high, clock.step, in_place, shared)


class _Clock:
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
        self.needs: dict[tuple[int, int, bool], Ints] = {}  # of _reader_needs
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


def _value_interval(
    clock: _Clock,
    item: Held,
    value: str,
    low: Ints,
    high: Ints,
    inputs: Sequence[str],
    outputs: frozenset[str],
) -> None:
    made = _made_bytes(clock, value, inputs)
    needed = _needed_from(clock, value, outputs)
    live = needed < made
    maker = clock.flow.maker.get(value)
    if maker is not None:  # a value that nothing reads is still written
        live[clock.ticks_of(maker)] = True
    if item.ring:
        low[live], high[live] = 0, item.nbytes
        if item.passing >= 0:
            row_bytes = clock.flow.tensor(value).row_bytes
            first, end = needed // row_bytes, made // row_bytes
            if maker is not None:  # the row that is being made counts, needed or not
                own = clock.ticks_of(maker)
                first[own] = np.minimum(first[own], clock.row[own])
            odd = end // 2 - first // 2
            passes = odd if item.passing else end - first - odd
            high[live & (passes == 0)] -= row_bytes
        return
    low[live] = needed[live]
    high[live] = made[live]
    if maker is None and value in inputs:  # all of it is written, also rows that nothing reads
        low[0] = 0
    if maker is not None and not clock.flow.kernels[maker].unit_rows:
        own = clock.ticks_of(maker)  # a row is written even if nothing ever reads it
        low[own] = np.minimum(low[own], clock.row[own] * clock.flow.tensor(value).row_bytes)


def _made_bytes(clock: _Clock, value: str, inputs: Sequence[str]) -> Ints:
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


def _needed_from(clock: _Clock, value: str, outputs: frozenset[str]) -> Ints:
    """Per tick: the lowest byte of the value that this tick or a later one still reads."""
    flow, nbytes = clock.flow, clock.flow.tensor(value).nbytes
    needs = [_reader_needs(clock, i, read, nbytes) for i, read in flow.readers.get(value, ())]
    if value in outputs or not needs:
        return np.full(clock.ticks, 0 if value in outputs else nbytes, dtype=np.int64)
    needed = needs[0]
    for more in needs[1:]:
        needed = np.minimum(needed, more)
    return needed


def _reader_needs(
    clock: _Clock, reader: int, read: Read, nbytes: int, *, after_row: bool = False
) -> Ints:
    """Per tick: the lowest byte that the reader reads now or later; `nbytes` once it is done.

    With `after_row`, its own tick counts as past.
    """
    key = (reader, id(read), after_row)
    if key not in clock.needs:
        clock.needs[key] = _needs_of(clock, reader, read, nbytes, after_row)
    return clock.needs[key]


def _needs_of(clock: _Clock, reader: int, read: Read, nbytes: int, after_row: bool) -> Ints:
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


# ---- outputs over their own inputs -------------------------------------------------------------


def is_elementwise(read: Read, output: Tensor) -> bool:
    """Whether the contract lets a row of the output lie over the row of the input it reads."""
    window = read.window
    return (
        read.overlap.mode == "elements"
        and window is not None
        and (output.rows == 1 or (window.stride, window.before, window.size) == (1, 0, 1))
    )


def unit_distance(read: Read, source: Tensor) -> int:
    """Least distance at which each output unit ends below the next input unit."""
    units = source.nbytes // read.overlap.input_unit
    step = read.overlap.output_unit - read.overlap.input_unit
    return max(step, step * (units - 1), 0) if units > 1 else 0


def _in_place(
    clock: _Clock,
    held: Sequence[Held],
    storage_of: Mapping[str, str],
    outputs: frozenset[str],
    low: Ints,
    high: Ints,
) -> tuple[dict[tuple[str, str], int], Ints]:
    """Distances of elementwise outputs below their inputs, which may share their rows."""
    flow = clock.flow
    index = {h.name: i for i, h in enumerate(held)}
    found: dict[tuple[str, str], int] = {}
    shared = np.zeros(clock.ticks, dtype=np.int64)
    for k, kernel in enumerate(flow.kernels):
        output = flow.tensor(kernel.output)
        for read in kernel.reads:
            value = flow.value_of[read.tensor]
            i, o = index[storage_of[value]], index[storage_of[flow.value_of[kernel.output]]]
            once = sum(flow.value_of[r.tensor] == value for r in kernel.reads) == 1
            if not is_elementwise(read, output) or held[i].ring or held[o].ring or i == o:
                continue
            if held[i].always or held[o].always or not once or value in outputs:
                continue
            nbytes = flow.tensor(value).nbytes
            needed = _reader_needs(clock, k, read, nbytes, after_row=True)
            for reader, other in flow.readers[value]:
                if reader != k:
                    needed = np.minimum(needed, _reader_needs(clock, reader, other, nbytes))
            own = clock.ticks_of(k)
            still = np.flatnonzero((needed < nbytes) & (low[i] < _FAR))
            gap = int((high[o][still] - needed[still]).max(initial=0))
            if int((needed[own] - low[i][own]).min()) >= 0:
                found[held[o].name, held[i].name] = min(
                    max(gap, unit_distance(read, flow.tensor(read.tensor)), 0), held[o].nbytes
                )
                shared[own] = np.maximum(shared[own], np.minimum(needed, nbytes)[own] - low[i][own])
    return found, shared
