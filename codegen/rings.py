"""Which slot each waiting row takes: rings, and slots that tensors with rows of one size share.

Inside a stage a row lives from the tick that makes it to the last that reads it. Rows of equal size
share a run of slots: the next row goes to any slot that is free, so a window of three rows keeps no
idle third slot while it waits, and as many slots are enough as rows ever live at once (colouring an
interval graph, which taking rows by birth does optimally). A ring is the case of one tensor.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from thumbnet.codegen.lifetimes import Held, is_elementwise, unit_distance
from thumbnet.codegen.schedule import Ring
from thumbnet.codegen.streaming import Flow, Ints
from thumbnet.codegen.ticks import Clock, row_lives


@dataclass(frozen=True, eq=False)
class Slots:
    """`count` slots of `row_bytes`, and the ring of each value whose rows lie in them."""

    row_bytes: int
    count: int
    rings: Mapping[str, Ring]

    def held(self, stage: int) -> Held:
        """Their storage; those of several values are called after the number of the stage."""
        shared = f"rows of {self.row_bytes} bytes, stage {stage}"
        name = shared if len(self.rings) > 1 else next(iter(self.rings))
        return Held(name, self.count * self.row_bytes, self.rings)


def local_values(flow: Flow, first: int, end: int) -> list[str]:
    """Values that the stage of kernels [first, end) makes and nothing outside of it reads."""
    if end - first == 1:
        return []
    made = (flow.value_of[flow.kernels[i].output] for i in range(first, end))
    return [
        value
        for value in made
        if value not in flow.whole
        and flow.readers.get(value)
        and all(first <= i < end for i, _ in flow.readers[value])
    ]


def waiting_rows(born: Ints, dead: Ints) -> int:
    """The most rows that live at one tick; rows are born and die in order."""
    alive = np.arange(len(born)) + 1 - np.searchsorted(dead, born, side="left")
    return int(alive.max(initial=0))


def make_slots(clock: Clock, first: int, end: int, *, shared: bool = True) -> list[Slots]:
    """The slots of the stage of kernels [first, end), one set for every size of row, or where they
    are not `shared` for every value; values all of whose rows wait at once are left out: they are
    whole.

    Slots are not shared either where the tables that tell who is where would take more flash than
    sharing can spare: the row that comes, for all values but one.
    """
    flow = clock.flow
    found = []
    groups: dict[int, dict[str, tuple[Ints, Ints]]] = {}
    for value in local_values(flow, first, end):
        lives = row_lives(clock, value)
        if waiting_rows(*lives) < flow.tensor(value).rows:
            groups.setdefault(flow.tensor(value).row_bytes, {})[value] = lives
    for row_bytes, lives_of in groups.items():
        if shared and len(lives_of) > 1:
            slots = _assign(clock, row_bytes, lives_of)
            tables = {ring.table for ring in slots.rings.values()}
            if sum(2 * len(table) for table in tables) <= (len(lives_of) - 1) * row_bytes:
                found.append(slots)
                continue
        found += [_ring_of_its_own(clock, v, row_bytes, lives_of[v]) for v in lives_of]
    return found


def _ring_of_its_own(clock: Clock, value: str, row_bytes: int, lives: tuple[Ints, Ints]) -> Slots:
    """Rows in turn, unless slots that repeat soon leave the last one free for a while."""
    slots = _assign(clock, row_bytes, {value: lives})
    if slots.rings[value].table[0] <= 2 * slots.count:
        return slots
    turns = tuple(y % slots.count for y in range(len(lives[0])))
    return Slots(row_bytes, slots.count, {value: Ring(slots.count, turns)})


def _assign(clock: Clock, row_bytes: int, lives_of: Mapping[str, tuple[Ints, Ints]]) -> Slots:
    """Rows in order of birth; there is one more slot only when none is free. Rows that live longer
    than the mean take the lowest free slot and the others the highest, so that the last slots are
    used late, or only for a while: neighbours in the arena may lie there too."""
    rows = sorted(
        (int(born), value, y)
        for value, (births, _) in lives_of.items()
        for y, born in enumerate(births.tolist())
    )
    deaths = {value: dead.tolist() for value, (_, dead) in lives_of.items()}
    total = sum(len(d) for d in deaths.values())
    mean = sum(int((dead - born).sum()) for born, dead in lives_of.values()) / total
    slots: dict[str, list[int]] = {value: [] for value in lives_of}
    over = {value: _overwritten(clock, value, lives_of) for value in lives_of}
    last_use: list[int] = []  # by slot: the last tick at which it is taken
    free: list[int] = []  # slots, rising
    taken: list[tuple[int, int]] = []  # a heap: last tick, slot
    for born, value, y in rows:
        last = deaths[value][y]
        while taken and taken[0][0] < born:
            until, slot = heappop(taken)
            if until == last_use[slot]:  # else another row took it over, or it is free already
                insort(free, slot)
                last_use[slot] = -1
        slot = -1
        for source in over[value]:
            if deaths[source][y] == born and last_use[slots[source][y]] == born:
                slot = slots[source][y]
        if slot < 0:
            if not free:
                free.append(len(last_use))
                last_use.append(-1)
            slot = free.pop(0 if last - born >= mean else -1)
        last_use[slot] = last
        heappush(taken, (last, slot))
        slots[value].append(slot)
    rings = {
        value: Ring(waiting_rows(*lives_of[value]), tuple(places))
        for value, places in slots.items()
    }
    return Slots(row_bytes, len(last_use), rings)


def _overwritten(clock: Clock, value: str, among: Mapping[str, object]) -> list[str]:
    """Values of the same slots whose row y the value's row y may be written over."""
    flow = clock.flow
    kernel = flow.kernels[flow.maker[value]]
    if kernel.unit_rows:
        return []
    output, reads = flow.tensor(kernel.output), [flow.value_of[r.tensor] for r in kernel.reads]
    return [
        source
        for source, read in zip(reads, kernel.reads, strict=True)
        if source in among
        and reads.count(source) == 1
        and is_elementwise(read, output)
        and unit_distance(read, flow.tensor(read.tensor)) == 0
    ]
