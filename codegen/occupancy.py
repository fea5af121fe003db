"""What lies where in the arena at each moment of a run, read back from a schedule: for pictures.

Time runs over *samples*: a step of one row is flat from its start to its end, a step of many rows
passes through the middle of each of them. All storages share the samples, so what does not overlap
in the schedule does not overlap where the samples are joined by lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.lifetimes import Held, Lifetimes, lifetimes
from thumbnet.codegen.schedule import CONTROL, Ring, Schedule, Storage, scratch_name
from thumbnet.codegen.streaming import make_flow
from thumbnet.codegen.ticks import Clock

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
    """All that a picture shows of one storage. `layer` makes it, -1 for what is there before."""

    storage: Storage
    role: str  # one of ROLES
    layer: int
    pieces: tuple[Piece, ...]


def areas(schedule: Schedule) -> tuple[Area, ...]:
    """The live bytes of every storage, in order of birth; storages that never live are left out."""
    lives = _lives(schedule)
    time, tick = _samples(schedule, lives)
    maker = {
        schedule.storage_of[schedule.value_of[k.output]]: i
        for i, k in reversed(list(enumerate(schedule.kernels)))
    }
    scratch = {scratch_name(i): i for i in range(len(schedule.kernels))}
    found = []
    for i, name in enumerate(lives.names):
        storage = schedule.storages[name]
        low, high = lives.low[i][tick], lives.high[i][tick]
        pieces = tuple(
            Piece(time[a:b], low[a:b] + float(storage.offset), high[a:b] + float(storage.offset))
            for a, b in _runs(high > low, time)
        )
        if pieces:
            layer = scratch.get(name, maker.get(name, -1))
            found.append(Area(storage, _role(schedule, storage, layer), layer, pieces))
    return tuple(sorted(found, key=lambda a: (a.pieces[0].time[0], -a.storage.nbytes)))


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


def rings_in(schedule: Schedule, storage: str) -> dict[str, Ring]:
    """The rings that lie in a storage, by value; none where it holds something whole."""
    return {v: r for v, r in schedule.rings.items() if schedule.storage_of[v] == storage}


def _lives(schedule: Schedule) -> Lifetimes:
    """The planner's own idea of what lives when."""
    graph, value_of = schedule.graph, schedule.value_of
    states = {s.tensor for s in graph.states}
    made = {value_of[k.output] for k in schedule.kernels}
    inputs = tuple(name for name in graph.inputs if name not in made)
    outputs = frozenset(value_of[name] for name in graph.outputs)
    kept = outputs | set(inputs)
    kept |= {value for value, storage in schedule.storage_of.items() if storage in states}
    flow = make_flow(graph, schedule.kernels, value_of, kept)
    scratch = {scratch_name(i): i for i in range(len(schedule.kernels))}
    held = []
    for name, storage in schedule.storages.items():
        if name in states or name == CONTROL:
            held.append(Held(name, storage.nbytes, always=True))
        elif name in scratch:
            held.append(Held(name, storage.nbytes, kernel=scratch[name]))
        else:
            unread = name in inputs and name not in flow.readers
            held.append(Held(name, storage.nbytes, rings_in(schedule, name), always=unread))
    clock = Clock(flow, schedule.steps)
    return lifetimes(clock, held, schedule.storage_of, inputs, outputs)


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


def _role(schedule: Schedule, storage: Storage, layer: int) -> str:
    name, graph = storage.name, schedule.graph
    if name == CONTROL:
        return COUNTERS
    if name in {s.tensor for s in graph.states}:
        return STATE
    if name in {schedule.value_of[n] for n in graph.outputs}:
        return OUTPUT
    if name in graph.inputs:
        return INPUT
    if layer >= 0 and name == scratch_name(layer):
        return SUM if schedule.kernels[layer].unit_rows else SCRATCH
    return RING if rings_in(schedule, name) else TENSOR
