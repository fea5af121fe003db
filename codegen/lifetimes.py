"""When each byte of each storage is live, and from that how close two storages may come.

At each tick (ticks.py) a storage occupies an interval of its bytes: a whole value grows upwards as
its rows are made and shrinks from below as its last reader goes on; slots of rows reach from the
lowest in use to the highest; a variable and scratch occupy all they have. Two storages must
keep, at every tick at which both are live, the end of the lower one's interval below the start of
the upper one's: the largest such overlap over all ticks is the least distance between their starts.
An output that overwrites its own dying input, a stage's rings that grow into the image that the
stage consumes, and two plain tensors are all the same case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import Read
from thumbnet.codegen.schedule import Ring
from thumbnet.codegen.streaming import Ints
from thumbnet.codegen.ticks import Clock, made_bytes, needed_from, reader_needs, row_lives

FAR = np.int64(1) << 40


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

    def gaps(self) -> Ints:
        """[lower, upper]: least distance from start to start; far below 0 where they never meet."""
        found = np.full((len(self.names), len(self.names)), -FAR, dtype=np.int64)
        for i in range(len(self.names)):
            live = np.flatnonzero(self.high[i] > -FAR)
            if live.size:
                when = slice(live[0], live[-1] + 1)
                found[i] = (self.high[i, when] - self.low[:, when]).max(axis=1)
        index = {name: i for i, name in enumerate(self.names)}
        for (lower, upper), distance in self.in_place.items():
            found[index[lower], index[upper]] = distance
        return found

    def live_by_tick(self) -> Ints:
        """Bytes that are live."""
        live: Ints = np.maximum(self.high - self.low, 0).sum(axis=0) - self.shared
        return live


@dataclass(frozen=True, eq=False)
class Held:
    """What a storage is: a whole value, the slots of `rings` (by value), a variable or a kernel's
    scratch."""

    name: str
    nbytes: int
    rings: Mapping[str, Ring] = field(default_factory=dict)
    always: bool = False  # a variable, counters, an input that nothing reads
    kernel: int = -1  # scratch of this kernel


def lifetimes(
    clock: Clock,
    held: Sequence[Held],
    storage_of: Mapping[str, str],
    inputs: Sequence[str],
    outputs: frozenset[str],
) -> Lifetimes:
    """`inputs` are live from the first tick, `outputs` (values) to the last. Where the clock is
    that of a stage, `held` may lack what the stage neither makes nor reads."""
    flow = clock.flow
    names = tuple(h.name for h in held)
    nbytes = np.array([h.nbytes for h in held], dtype=np.int64)
    if not clock.ticks:  # nothing runs: inputs are outputs
        zero = np.zeros((len(held), 1), dtype=np.int64)
        return Lifetimes(names, nbytes, zero, zero + nbytes[:, None], zero[:1, 0], {}, zero[:1, 0])
    low = np.full((len(held), clock.ticks), FAR, dtype=np.int64)
    high = np.full((len(held), clock.ticks), -FAR, dtype=np.int64)
    for i, item in enumerate(held):
        if item.always:
            low[i], high[i] = 0, item.nbytes
        elif item.kernel >= 0:
            mask = clock.of_kernel(item.kernel, spanning=bool(flow.kernels[item.kernel].unit_rows))
            low[i, mask], high[i, mask] = 0, item.nbytes
        elif item.rings:
            _slot_bounds(clock, item, low[i], high[i])
        else:
            _value_bounds(clock, item.name, low[i], high[i], inputs, outputs)
    in_place, shared = _in_place(clock, held, storage_of, outputs, low, high)
    return Lifetimes(names, nbytes, low, high, clock.step, in_place, shared)


def _slot_bounds(clock: Clock, item: Held, low: Ints, high: Ints) -> None:
    """From the lowest slot in use to the end of the highest."""
    count = 1 + max(max(ring.slots) for ring in item.rings.values())
    change = np.zeros((count, clock.ticks + 1), dtype=np.int8)
    for value, ring in item.rings.items():
        slots, (born, dead) = np.array(ring.slots), row_lives(clock, value)
        np.add.at(change, (slots, born), 1)
        np.add.at(change, (slots, dead + 1), -1)
    taken = np.cumsum(change, axis=1, dtype=np.int8)[:, :-1] > 0
    live = taken.any(axis=0)
    low[live] = (taken.argmax(axis=0) * (item.nbytes // count))[live]
    high[live] = ((count - taken[::-1].argmax(axis=0)) * (item.nbytes // count))[live]


def _value_bounds(
    clock: Clock,
    value: str,
    low: Ints,
    high: Ints,
    inputs: Sequence[str],
    outputs: frozenset[str],
) -> None:
    made = made_bytes(clock, value, inputs)
    needed = needed_from(clock, value, outputs)
    live = needed < made
    maker = clock.flow.maker.get(value)
    if maker is not None:  # a value that nothing reads is still written
        live[clock.ticks_of(maker)] = True
    low[live] = needed[live]
    high[live] = made[live]
    if maker is None and value in inputs and not clock.kernels.start:
        low[0] = 0  # all of it is written, also rows that nothing reads
    if maker is not None and not clock.flow.kernels[maker].unit_rows:
        own = clock.ticks_of(maker)  # a row is written even if nothing ever reads it
        low[own] = np.minimum(low[own], clock.row[own] * clock.flow.tensor(value).row_bytes)


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
    clock: Clock,
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
    for k in clock.kernels:
        kernel = flow.kernels[k]
        output = flow.tensor(kernel.output)
        for read in kernel.reads:
            if not is_elementwise(read, output):
                continue
            value = flow.value_of[read.tensor]
            i = index.get(storage_of[value], -1)
            o = index.get(storage_of[flow.value_of[kernel.output]], -1)
            if i < 0 or o < 0 or i == o or held[i].rings or held[o].rings:
                continue
            once = sum(flow.value_of[r.tensor] == value for r in kernel.reads) == 1
            if held[i].always or held[o].always or not once or value in outputs:
                continue
            nbytes = flow.tensor(value).nbytes
            needed = reader_needs(clock, k, read, nbytes, after_row=True)
            for reader, other in flow.readers[value]:
                if reader != k:
                    needed = np.minimum(needed, reader_needs(clock, reader, other, nbytes))
            own = clock.ticks_of(k)
            still = np.flatnonzero((needed < nbytes) & (low[i] < FAR))
            gap = int((high[o][still] - needed[still]).max(initial=0))
            if int((needed[own] - low[i][own]).min()) >= 0:
                found[held[o].name, held[i].name] = min(
                    max(gap, unit_distance(read, flow.tensor(read.tensor)), 0), held[o].nbytes
                )
                shared[own] = np.maximum(shared[own], np.minimum(needed, nbytes)[own] - low[i][own])
    return found, shared
