"""When each row of each value is in use: the blocks that get addresses.

Time is counted in ticks, one row of one step; a tick has two instants, 2 t - 1 and 2 t. A row that
is read last at tick t is in use up to 2 t, a row that is written at tick t from 2 t on: so a kernel's
output row never lies on a row that it still reads. Where the kernel reads element by element before
it writes (`Overlap` in kernel.py), its input row is in use only up to 2 t - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.arena import Block
from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import Kernel, Read
from thumbnet.codegen.schedule import Step, row_name, scratch_name
from thumbnet.codegen.streaming import Flow, rows_of, window_rows

Ints = NDArray[np.int64]


def is_elementwise(read: Read, output: Tensor) -> bool:
    """Whether the contract lets a row of the output lie over the row of the input it reads."""
    window = read.window
    return read.overlap.mode == "elements" and window is not None and (
        output.rows == 1 or (window.stride, window.before, window.size) == (1, 0, 1)
    )


def unit_distance(read: Read, nbytes: int) -> int:
    """Least distance of an output below an input of `nbytes` at which each output unit ends below
    the next input unit."""
    units = nbytes // read.overlap.input_unit
    step = read.overlap.output_unit - read.overlap.input_unit
    return max(step, step * (units - 1), 0) if units > 1 else 0


@dataclass(frozen=True, eq=False)
class Lifetimes:
    """`blocks` to place. `times` is one more than the last instant; `step_of` gives the step of
    each instant. `shares[row]` is a row whose address an elementwise kernel's row takes over."""

    blocks: list[Block]
    times: int
    step_of: Ints
    shares: dict[str, str]


@dataclass(eq=False)
class _Clock:
    """Ticks of a step sequence, by kernel and row."""

    flow: Flow
    steps: Sequence[Step]
    tick: list[Ints] = field(default_factory=list)  # by kernel: the tick of each row
    first: list[Ints] = field(default_factory=list)  # the first tick of that row's step
    last: list[Ints] = field(default_factory=list)  # the last one
    ticks: int = 0

    def __post_init__(self) -> None:
        for kernel in self.flow.kernels:
            rows = rows_of(self.flow.graph, kernel)
            for each in (self.tick, self.first, self.last):
                each.append(np.zeros(rows, dtype=np.int64))
        step_of: list[int] = []
        for number, step in enumerate(self.steps):
            band, count = slice(step.y_begin, step.y_end), step.y_end - step.y_begin
            self.tick[step.kernel][band] = self.ticks + np.arange(count)
            self.first[step.kernel][band] = self.ticks
            self.last[step.kernel][band] = self.ticks + count - 1
            self.ticks += count
            step_of += [number] * (2 * count)
        # instants 0 .. 2 * ticks: two before each write, and the end of the run
        self.times = 2 * self.ticks + 2
        self.step_of = np.array([0, *step_of, len(self.steps)][: self.times], dtype=np.int64)

    def instant(self, tick: Ints) -> Ints:
        """The instant at which rows of a tick are written and read."""
        return 2 * tick + 1


def lifetimes(
    flow: Flow,
    steps: Sequence[Step],
    storage_of: dict[str, str],
    states: frozenset[str],
    inputs: frozenset[str],
    outputs: frozenset[str],
    streamed: frozenset[str],
) -> Lifetimes:
    """The blocks of every storage: variables (`states`), whole values, each row of the values in
    `streamed`, and scratch. `inputs` and `outputs` are values."""
    clock = _Clock(flow, steps)
    blocks = [_always(s, flow.tensor(s).nbytes, clock.times) for s in sorted(states)]
    shares: dict[str, str] = {}
    for value, storage in storage_of.items():
        if storage in states:
            continue
        tensor = flow.tensor(value)
        birth, death = _row_lives(clock, value, inputs, outputs)
        if value in inputs and value not in flow.readers:
            death[:] = clock.times  # the caller writes it even if the model never looks
        if value in streamed:
            blocks += _row_blocks(value, tensor, birth, death)
        else:
            start = np.arange(tensor.rows, dtype=np.int64) * tensor.row_bytes
            size = np.full(tensor.rows, tensor.row_bytes, dtype=np.int64)
            below = _in_place(flow, value, states, storage_of, streamed)
            blocks.append(Block(value, tensor.nbytes, start, size, birth, death, below))
    blocks = _shared_rows(clock, blocks, streamed, shares)
    for i, kernel in enumerate(flow.kernels):
        if kernel.scratch_bytes:
            blocks.append(_scratch(clock, i, kernel))
    return Lifetimes(blocks, clock.times, clock.step_of, shares)


def _always(name: str, nbytes: int, times: int) -> Block:
    cell = np.array([nbytes], dtype=np.int64)
    return Block(name, nbytes, cell * 0, cell, cell * 0, cell * 0 + times)


def _row_lives(
    clock: _Clock, value: str, inputs: frozenset[str], outputs: frozenset[str]
) -> tuple[Ints, Ints]:
    """Birth and death of each row of a value."""
    flow, tensor = clock.flow, clock.flow.tensor(value)
    maker = flow.maker.get(value)
    birth = np.zeros(tensor.rows, dtype=np.int64)
    if maker is not None:
        kernel = flow.kernels[maker]
        if kernel.unit_rows:
            birth[:] = clock.instant(clock.tick[maker][-1:])
        elif any(r.overlap.mode == "none" for r in kernel.reads):
            birth[:] = clock.instant(clock.first[maker])
        else:
            birth[:] = clock.instant(clock.tick[maker])
    death = birth.copy()
    if value in outputs:
        death[:] = clock.times
    for reader, read in flow.readers.get(value, ()):
        np.maximum(death, _last_reads(clock, reader, read, value), out=death)
    return birth, death


def _last_reads(clock: _Clock, reader: int, read: Read, value: str) -> Ints:
    """For each row of the value, the last instant at which this reader needs it; 0 for never."""
    flow = clock.flow
    kernel, view, own = flow.kernels[reader], flow.tensor(read.tensor), flow.tensor(value)
    output = flow.tensor(kernel.output)
    needed = np.zeros(own.nbytes // max(own.row_bytes, 1), dtype=np.int64)
    when = clock.last if read.overlap.mode == "none" and not kernel.unit_rows else clock.tick
    early = 1 if is_elementwise(read, output) and _read_once(flow, kernel, value) else 0
    instants = clock.instant(when[reader]) - early
    for y in range(rows_of(flow.graph, kernel)):
        first, end = window_rows(read, view, y)
        if first < end:
            low = first * view.row_bytes // own.row_bytes
            high = -(-end * view.row_bytes // own.row_bytes)
            np.maximum(needed[low:high], instants[y], out=needed[low:high])
    return needed


def _read_once(flow: Flow, kernel: Kernel, value: str) -> bool:
    return sum(flow.value_of[r.tensor] == value for r in kernel.reads) == 1


def _row_blocks(value: str, tensor: Tensor, birth: Ints, death: Ints) -> list[Block]:
    zero, size = np.zeros(1, dtype=np.int64), np.full(1, tensor.row_bytes, dtype=np.int64)
    return [
        Block(row_name(value, y), tensor.row_bytes, zero, size, birth[y : y + 1], death[y : y + 1])
        for y in range(tensor.rows)
    ]


def _scratch(clock: _Clock, index: int, kernel: Kernel) -> Block:
    """Scratch is in use during each step of its kernel; a reducer's from its first to its last."""
    first, last = np.unique(clock.first[index]), np.unique(clock.last[index])
    if kernel.unit_rows:
        first, last = first[:1], last[-1:]
    size = np.full(len(first), kernel.scratch_bytes, dtype=np.int64)
    birth, death = clock.instant(first), clock.instant(last)
    return Block(scratch_name(index), kernel.scratch_bytes, size * 0, size, birth - 1, death)


# ---- outputs over their own inputs -------------------------------------------------------------


def _in_place(
    flow: Flow,
    value: str,
    states: frozenset[str],
    storage_of: dict[str, str],
    streamed: frozenset[str],
) -> tuple[tuple[str, int, int], ...]:
    """What an elementwise kernel's whole output may overlap from below only: its whole inputs."""
    maker = flow.maker.get(value)
    if maker is None:
        return ()
    kernel = flow.kernels[maker]
    found = []
    for read in kernel.reads:
        source = flow.value_of[read.tensor]
        if not is_elementwise(read, flow.tensor(value)) or not _read_once(flow, kernel, source):
            continue
        if source not in streamed and storage_of[source] not in states:
            nbytes = flow.tensor(source).nbytes
            found.append((source, unit_distance(read, nbytes), nbytes))
    return tuple(found)


def _shared_rows(
    clock: _Clock, blocks: list[Block], streamed: frozenset[str], shares: dict[str, str]
) -> list[Block]:
    """Where an elementwise kernel reads a streamed row for the last time, its own streamed row takes
    over the address: the two become one block. Otherwise the input row must outlive the output's
    birth, because only equal addresses are safe inside a row."""
    flow = clock.flow
    by_name = {b.name: b for b in blocks}
    for index, kernel in enumerate(flow.kernels):
        made = flow.value_of[kernel.output]
        output = flow.tensor(kernel.output)
        taken: set[int] = set()
        for read in kernel.reads:
            source = flow.value_of[read.tensor]
            if not is_elementwise(read, output) or not _read_once(flow, kernel, source):
                continue
            if source not in streamed and made not in streamed:
                continue
            smaller = read.overlap.output_unit <= read.overlap.input_unit
            for y in range(output.rows):
                written = int(clock.instant(clock.tick[index][y : y + 1])[0])
                if source not in streamed:
                    _outlive(by_name, source, y, written)
                    continue
                name = row_name(source, y)
                while name in shares:
                    name = shares[name]
                block = by_name[name]
                if int(block.death[0]) != written - 1:
                    continue
                if made in streamed and smaller and y not in taken:
                    own = by_name.pop(row_name(made, y))
                    shares[row_name(made, y)] = name
                    by_name[name] = Block(name, block.nbytes, block.start, block.size, block.birth,
                                          own.death)  # fmt: skip
                    taken.add(y)
                else:
                    by_name[name] = Block(name, block.nbytes, block.start, block.size, block.birth,
                                          block.death + 1)  # fmt: skip
    return list(by_name.values())


def _outlive(by_name: dict[str, Block], source: str, y: int, written: int) -> None:
    """Keeps row y of a whole value in use at instant `written` if it died just before."""
    death = by_name[source].death
    if death[y] == written - 1:
        death[y] = written
