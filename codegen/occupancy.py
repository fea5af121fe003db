"""What lies where in the arena at each moment of a run, read back from a schedule: for pictures.

Time runs over *samples*: a step of one row is flat from its start to its end, a step of many rows
passes through the middle of each of them. All storages share the samples, so what does not overlap
in the schedule does not overlap where the samples are joined by lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.lifetimes import Held, Lifetimes, lifetimes
from thumbnet.codegen.schedule import CONTROL, Ring, Schedule, Storage, scratch_name
from thumbnet.codegen.streaming import Flow, make_flow
from thumbnet.codegen.ticks import Clock, row_lives

Floats = NDArray[np.float64]

INPUT, OUTPUT, STATE, COUNTERS = "input", "output", "state", "counters"
TENSOR, RING, SCRATCH, SUM = "tensor", "ring", "scratch", "sum"
ROLES = (TENSOR, RING, INPUT, OUTPUT, STATE, SCRATCH, SUM, COUNTERS)


@dataclass(frozen=True, eq=False)
class Piece:
    """An unbroken while of a storage's life: at time[i] (in steps) the bytes from low[i] up to
    high[i] of the arena are live."""

    time: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Area:
    """All that a picture shows of one storage, or of one value whose rows lie in a storage that it
    shares: then `name` is the value's. `layer` makes it, -1 for what is there before."""

    name: str
    storage: Storage
    role: str  # one of ROLES
    layer: int
    pieces: tuple[Piece, ...]


def areas(schedule: Schedule) -> tuple[Area, ...]:
    """The live bytes of every storage, or of every value in it whose rows flow, in order of birth;
    what never lives is left out."""
    clock = Clock(_flow(schedule), schedule.steps)
    lives = _lives(schedule, clock)
    time, tick = _samples(schedule, lives)
    maker = {schedule.value_of[k.output]: i for i, k in enumerate(schedule.kernels)}
    scratch = {scratch_name(i): i for i in range(len(schedule.kernels))}
    found = []
    for i, name in enumerate(lives.names):
        storage = schedule.storages[name]
        rings = _rings_in(schedule, name)
        for value, pieces in _rows(clock, storage, rings, time, tick).items():
            found.append(Area(value, storage, RING, maker[value], pieces))
        if rings:
            continue
        low, high = lives.low[i][tick], lives.high[i][tick]
        pieces = tuple(
            Piece(time[a:b], low[a:b] + float(storage.offset), high[a:b] + float(storage.offset))
            for a, b in _runs(high > low, time)
        )
        if pieces:
            layer = scratch.get(name, maker.get(name, -1))
            found.append(Area(name, storage, _role(schedule, name, layer), layer, pieces))
    return tuple(sorted(found, key=lambda a: (a.pieces[0].time[0], -a.storage.nbytes)))


def _rows(
    clock: Clock,
    storage: Storage,
    rings: Mapping[str, Ring],
    time: Floats,
    tick: NDArray[np.int64],
) -> dict[str, tuple[Piece, ...]]:
    """By value: a piece for each row in its slot."""
    lives = {value: row_lives(clock, value) for value in rings}
    begins = {
        (ring.slots[y], int(born))
        for value, ring in rings.items()
        for y, born in enumerate(lives[value][0])
    }
    found = {}
    for value, ring in rings.items():
        row_bytes = clock.flow.tensor(value).row_bytes
        pieces = []
        for slot, born, dead in zip(ring.slots, *lives[value], strict=True):
            start = time[np.searchsorted(tick, born, side="left")]
            taken_over = dead > born and (slot, int(dead)) in begins
            end = np.searchsorted(tick, dead, side="left" if taken_over else "right")
            low = float(storage.offset + slot * row_bytes)
            span = np.array([start, time[end if taken_over else end - 1]])
            if span[1] > span[0]:
                pieces.append(Piece(span, np.full(2, low), np.full(2, low + row_bytes)))
        found[value] = tuple(pieces)
    return {value: pieces for value, pieces in found.items() if pieces}


def peak_steps(schedule: Schedule) -> tuple[int, int]:
    """The first step at which most bytes live, and the end of the run of such steps; 0, 1 where
    there is no step."""
    live = schedule.live_bytes[: len(schedule.steps)]
    if not live:
        return 0, 1
    first = end = live.index(max(live))
    while end < len(live) and live[end] == live[first]:
        end += 1
    return first, end


def _rings_in(schedule: Schedule, storage: str) -> dict[str, Ring]:
    """The rings that lie in a storage, by value; none where it holds something whole."""
    return {v: r for v, r in schedule.rings.items() if schedule.storage_of[v] == storage}


def _inputs(schedule: Schedule) -> tuple[str, ...]:
    made = {schedule.value_of[k.output] for k in schedule.kernels}
    return tuple(name for name in schedule.graph.inputs if name not in made)


def _outputs(schedule: Schedule) -> frozenset[str]:
    return frozenset(schedule.value_of[name] for name in schedule.graph.outputs)


def _flow(schedule: Schedule) -> Flow:
    states = {s.tensor for s in schedule.graph.states}
    kept = _outputs(schedule) | set(_inputs(schedule))
    kept |= {value for value, storage in schedule.storage_of.items() if storage in states}
    return make_flow(schedule.graph, schedule.kernels, schedule.value_of, kept)


def _lives(schedule: Schedule, clock: Clock) -> Lifetimes:
    """The planner's own idea of what lives when."""
    states = {s.tensor for s in schedule.graph.states}
    inputs = _inputs(schedule)
    scratch = {scratch_name(i): i for i in range(len(schedule.kernels))}
    held = []
    for name, storage in schedule.storages.items():
        if name in states or name == CONTROL:
            held.append(Held(name, storage.nbytes, always=True))
        elif name in scratch:
            held.append(Held(name, storage.nbytes, kernel=scratch[name]))
        else:
            unread = name in inputs and name not in clock.flow.readers
            held.append(Held(name, storage.nbytes, _rings_in(schedule, name), always=unread))
    return lifetimes(clock, held, schedule.storage_of, inputs, _outputs(schedule))


def _samples(schedule: Schedule, lives: Lifetimes) -> tuple[Floats, NDArray[np.int64]]:
    """When, in steps, and at which tick each sample is."""
    time: list[float] = []
    tick: list[int] = []
    begin = 0
    counts = [s.y_end - s.y_begin for s in schedule.steps] or [lives.low.shape[1]]
    for step, count in enumerate(counts):
        middle = [step + (y + 0.5) / count for y in range(count)] if count > 1 else []
        time += [step, *middle, step + 1]
        tick += [begin, *range(begin, begin + len(middle)), begin + count - 1]
        begin += count
    return np.array(time, dtype=np.float64), np.array(tick, dtype=np.int64)


def _runs(live: NDArray[np.bool_], time: Floats) -> list[tuple[int, int]]:
    """Stretches [begin, end) of samples without a break, each of some duration."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], live.astype(np.int8), [0]])))
    pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(a, b) for a, b in pairs if time[b - 1] > time[a]]


def _role(schedule: Schedule, name: str, layer: int) -> str:
    if name == CONTROL:
        return COUNTERS
    if name in {s.tensor for s in schedule.graph.states}:
        return STATE
    if name in _outputs(schedule):
        return OUTPUT
    if name in schedule.graph.inputs:
        return INPUT
    if layer >= 0 and name == scratch_name(layer):
        return SUM if schedule.kernels[layer].unit_rows else SCRATCH
    return TENSOR
