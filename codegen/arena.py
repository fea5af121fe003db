"""Offsets in the arena: near-exact packing of storages with pairwise distances.

The problem is dynamic storage allocation (NP-hard) with one generalisation: two blocks that live at
the same time need not be disjoint; each ordered pair has its own least distance between starts, so
that an output may lie over the input that it consumes. Blocks are placed one by one at the lowest
offset that fits; the order is improved until the arena meets the lower bound or the budget of tries
is spent. Deterministic.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thumbnet.codegen.schedule import align


@dataclass(frozen=True)
class Block:
    """`nbytes` live from step `first` to `last`, both inclusive."""

    name: str
    nbytes: int
    first: int
    last: int


#: (lower, upper) -> least distance from the start of block `lower` up to the start of `upper`.
Distances = Mapping[tuple[str, str], int]


def place(
    blocks: Sequence[Block], distances: Distances, lower_bound: int, tries: int = 400
) -> tuple[dict[str, int], int]:
    """Offsets by block name, and the arena's size in bytes; both multiples of ALIGNMENT.

    `distances` holds the pairs that may overlap; all others that live together are disjoint.
    """
    count = len(blocks)
    gap: list[list[tuple[int, int, int]]] = [[] for _ in range(count)]
    for i, a in enumerate(blocks):
        for j, b in enumerate(blocks):
            if i != j and a.first <= b.last and b.first <= a.last:
                above = align(distances.get((b.name, a.name), b.nbytes))  # a starts above b
                below = align(distances.get((a.name, b.name), a.nbytes))  # a starts below b
                gap[i].append((j, above, below))
    sizes = [align(b.nbytes) for b in blocks]
    target = align(lower_bound)
    best: tuple[int, list[int]] | None = None
    for order in _orders(blocks, sizes):
        best = _better(best, _lowest_fit(order, gap, sizes), sizes)
        if best[0] <= target:
            break
    assert best is not None
    best = _improve(best, blocks, gap, sizes, target, tries)
    return {b.name: best[1][i] for i, b in enumerate(blocks)}, best[0]


def _orders(blocks: Sequence[Block], sizes: Sequence[int]) -> list[list[int]]:
    indices = range(len(blocks))
    return [
        sorted(indices, key=lambda i: (-sizes[i], blocks[i].first, i)),
        sorted(indices, key=lambda i: (blocks[i].first, i)),
        sorted(indices, key=lambda i: (-blocks[i].last, -blocks[i].first, i)),
        sorted(indices, key=lambda i: (-(blocks[i].last - blocks[i].first), -sizes[i], i)),
    ]


def _lowest_fit(
    order: Sequence[int], gap: Sequence[Sequence[tuple[int, int, int]]], sizes: Sequence[int]
) -> list[int]:
    offsets = [-1] * len(sizes)
    for i in order:
        placed = [
            (offsets[j] + above, offsets[j] - below)
            for j, above, below in gap[i]
            if offsets[j] >= 0
        ]
        # Each placed neighbour forbids the open interval (its start - below, its start + above).
        for candidate in sorted({0, *(low for low, _ in placed)}):
            if all(candidate >= low or candidate <= high for low, high in placed):
                offsets[i] = candidate
                break
    return offsets


def _better(
    best: tuple[int, list[int]] | None, offsets: list[int], sizes: Sequence[int]
) -> tuple[int, list[int]]:
    total = max((o + s for o, s in zip(offsets, sizes, strict=True)), default=0)
    return (total, offsets) if best is None or total < best[0] else best


def _improve(
    best: tuple[int, list[int]],
    blocks: Sequence[Block],
    gap: Sequence[Sequence[tuple[int, int, int]]],
    sizes: Sequence[int],
    target: int,
    tries: int,
) -> tuple[int, list[int]]:
    """Random restarts from the best order: blocks at the top of the arena move to the front."""
    chance = random.Random(len(blocks))
    order = sorted(range(len(blocks)), key=lambda i: (best[1][i], i))
    for _ in range(tries):
        if best[0] <= target:
            break
        trial = list(order)
        top = [i for i in trial if best[1][i] + sizes[i] == best[0]]
        moved = chance.choice(top if chance.random() < 0.6 else trial)
        trial.remove(moved)
        trial.insert(chance.randrange(len(trial) + 1), moved)
        if chance.random() < 0.5 and len(trial) > 1:
            i, j = chance.sample(range(len(trial)), 2)
            trial[i], trial[j] = trial[j], trial[i]
        offsets = _lowest_fit(trial, gap, sizes)
        total = max(o + s for o, s in zip(offsets, sizes, strict=True))
        if total <= best[0]:
            order = trial
            best = (total, offsets)
    return best
