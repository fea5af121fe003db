"""Offsets in the arena: near-exact packing of storages with pairwise distances.

The problem is dynamic storage allocation (NP-hard) with one generalisation: two blocks that live at
the same time need not be disjoint; each ordered pair has its own least distance between starts
(lifetimes.py), so that an output may lie over the input that it consumes. Blocks are placed one by
one at the lowest offset that fits; the order is improved until the arena meets the lower bound or
the budget of tries is spent. Deterministic.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add

from thumbnet.codegen.schedule import align


@dataclass(frozen=True)
class Block:
    """`nbytes`, in use from step `first` to step `last` inclusive: only a hint for the order."""

    name: str
    nbytes: int
    first: int
    last: int


#: (lower, upper) -> least distance from the start of block `lower` up to the start of `upper`, both
#: ways round for every pair that is ever in use together; other pairs do not matter to each other.
Distances = Mapping[tuple[str, str], int]

#: By block: its neighbours j, how far above j it must start, and how far below.
Gaps = Sequence[Sequence[tuple[int, int, int]]]


PATIENCE = 300  # tries without a smaller arena before the search ends


def place(
    blocks: Sequence[Block], distances: Distances, lower_bound: int, tries: int
) -> tuple[dict[str, int], int]:
    """Offsets by block name, and the arena's size in bytes; both multiples of ALIGNMENT. More
    `tries` may give less than fewer do, never more."""
    index = {b.name: i for i, b in enumerate(blocks)}
    gap: list[list[tuple[int, int, int]]] = [[] for _ in blocks]
    aligned = {pair: align(distance) for pair, distance in distances.items()}
    for (lower, upper), below in aligned.items():
        gap[index[lower]].append((index[upper], aligned[upper, lower], below))
    sizes = [align(b.nbytes) for b in blocks]
    target = align(lower_bound)
    packings = [_pack(order, gap, sizes) for order in _orders(blocks, sizes)]
    best = min(packings, key=lambda packing: packing.total)
    best = _improve(best, gap, sizes, target, tries)
    return {b.name: best.offsets[i] for i, b in enumerate(blocks)}, best.total


def _orders(blocks: Sequence[Block], sizes: Sequence[int]) -> list[list[int]]:
    """Orders to start from. Chains of outputs over their inputs pack well when time runs backwards;
    blocks of a single step (scratch) fill the gaps last."""
    indices = range(len(blocks))

    def brief(i: int) -> bool:
        return blocks[i].first == blocks[i].last

    return [
        sorted(indices, key=lambda i: (brief(i), -blocks[i].last, -blocks[i].first, i)),
        sorted(indices, key=lambda i: (brief(i), -sizes[i], blocks[i].first, i)),
        sorted(indices, key=lambda i: (brief(i), blocks[i].first, i)),
        sorted(indices, key=lambda i: (brief(i), blocks[i].first - blocks[i].last, -sizes[i], i)),
        sorted(indices, key=lambda i: (-sizes[i], -blocks[i].last, i)),
    ]


@dataclass(frozen=True)
class _Packing:
    total: int
    order: list[int]
    offsets: list[int]


def _pack(order: list[int], gap: Gaps, sizes: Sequence[int]) -> _Packing:
    """Each block in turn at the lowest offset that its placed neighbours allow."""
    offsets = [-1] * len(sizes)
    for i in order:
        offsets[i] = _lowest(gap[i], offsets)
    return _Packing(_total(offsets, sizes), order, offsets)


def _repack(
    like: _Packing, order: list[int], moved: Sequence[int], same: int, gap: Gaps,
    sizes: Sequence[int],
) -> _Packing | None:  # fmt: skip
    """`_pack` of an order that differs from `like`'s in where the blocks `moved` are, none of them
    among the first `same`; None if the arena would be larger."""
    offsets = [-1] * len(sizes)
    stale = bytearray(len(sizes))  # whether a neighbour has moved
    for i in moved:
        stale[i] = 1
        for j, _, _ in gap[i]:
            stale[j] = 1
    for i in order[:same]:
        offsets[i] = like.offsets[i]
    for i in order[same:]:
        before = like.offsets[i]
        if not stale[i]:
            offsets[i] = before
            continue
        offset = offsets[i] = _lowest(gap[i], offsets)
        if offset + sizes[i] > like.total:
            return None
        if offset != before:
            for j, _, _ in gap[i]:
                stale[j] = 1
    return _Packing(_total(offsets, sizes), order, offsets)


def _lowest(neighbours: Sequence[tuple[int, int, int]], offsets: Sequence[int]) -> int:
    """Where a block may start: each placed neighbour forbids the open interval (its start - below,
    its start + above)."""
    forbidden = [
        (at - below, at + above) for j, above, below in neighbours if (at := offsets[j]) >= 0
    ]
    forbidden.sort()
    lowest = 0
    for start, end in forbidden:
        if lowest <= start:
            break
        if lowest < end:
            lowest = end
    return lowest


def _total(offsets: Sequence[int], sizes: Sequence[int]) -> int:
    return max(map(add, offsets, sizes), default=0)


def _improve(
    best: _Packing,
    gap: Gaps,
    sizes: Sequence[int],
    target: int,
    tries: int,
) -> _Packing:
    """Local search over orders: blocks, mostly of the critical chain, move beside others."""
    if best.total <= target:
        return best
    chance = random.Random(len(sizes))
    number, share = chance.getrandbits, chance.random

    def below(limit: int) -> int:
        bits = limit.bit_length()
        while (drawn := number(bits)) >= limit:
            pass
        return drawn

    chain, chain_total = _critical(best, gap, sizes), best.total
    since = 0
    for _ in range(tries):
        if best.total <= target or since == PATIENCE:
            break
        since += 1
        if best.total < chain_total:
            chain, chain_total, since = _critical(best, gap, sizes), best.total, 0
        order, same, moves = list(best.order), len(sizes), []
        for _ in range(1 + below(3)):
            pool = chain if share() < 0.6 else order
            moved = pool[below(len(pool))]
            pool = chain if share() < 0.6 else order
            beside = pool[below(len(pool))]
            source = order.index(moved)
            order.pop(source)
            goal = source if beside == moved else order.index(beside) + below(2)
            order.insert(goal, moved)
            moves.append(moved)
            same = min(same, source, goal)
        best = _repack(best, order, moves, same, gap, sizes) or best
    return best


def _critical(packing: _Packing, gap: Gaps, sizes: Sequence[int]) -> list[int]:
    """The blocks that make the arena as large as it is: one at its top, the one that it stands on,
    and so on down."""
    offsets = packing.offsets
    ends = list(map(add, offsets, sizes))
    block = ends.index(max(ends))
    chain, left = [block], set(range(len(sizes))) - {block}
    while offsets[block] > 0:
        at = offsets[block]
        under = [j for j, above, _ in gap[block] if j in left and offsets[j] + above == at]
        if not under:  # blocks that need no distance from each other may lie in one place
            break
        block = under[0]
        left.remove(block)
        chain.append(block)
    return chain
