"""Addresses: near-exact packing of blocks whose bytes live at different times.

The problem is dynamic storage allocation (NP-hard) with one generalisation: a block is a set of
cells, each with a lifetime of its own, so that two blocks may overlap wherever their cells never
live together. A whole tensor is a block with a cell for each row; a row of a streamed tensor is a
block of its own; so an output that overwrites the rows that it has consumed, rows that wait in turn
at one address, and two plain tensors side by side are one case. Blocks are placed one by one at the
lowest address that fits; the order is improved until the arena meets the lower bound or the budget
of tries is spent. Deterministic.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.schedule import ALIGNMENT, align

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Block:
    """Bytes [start, start + size) of the block are in use from time `birth` to `death` inclusive.

    The four arrays have one item for each cell. `below` names blocks that this one may overlap only
    from below: (name, distance, nbytes) keeps it `distance` or more under that block's start, or
    wholly above its `nbytes`.
    """

    name: str
    nbytes: int
    start: Ints
    size: Ints
    birth: Ints
    death: Ints
    below: tuple[tuple[str, int, int], ...] = ()


def live_bytes(blocks: Sequence[Block], times: int) -> Ints:
    """Bytes in use at each time 0 .. times - 1."""
    change = np.zeros(times + 1, dtype=np.int64)
    for block in blocks:
        np.add.at(change, np.maximum(block.birth, 0), block.size)
        np.add.at(change, np.minimum(block.death + 1, times), -block.size)
    return np.cumsum(change)[:times]


def place(
    blocks: Sequence[Block], lower_bound: int, tries: int = 24
) -> tuple[dict[str, int], int]:
    """Offsets by block name, and the arena's size in bytes; both multiples of ALIGNMENT."""
    target = align(lower_bound)
    best: _Packing | None = None
    for order in _orders(blocks):
        packing = _pack(blocks, order)
        if best is None or packing.total < best.total:
            best = packing
        if best.total <= target:
            break
    assert best is not None
    best = _improve(blocks, best, target, tries)
    return {b.name: best.offsets[i] for i, b in enumerate(blocks)}, best.total


def _orders(blocks: Sequence[Block]) -> list[list[int]]:
    """Orders to start from: large blocks first; or as time runs, forwards and backwards."""
    indices = range(len(blocks))
    born = [int(b.birth.min(initial=0)) for b in blocks]
    dies = [int(b.death.max(initial=0)) for b in blocks]
    nbytes = [b.nbytes for b in blocks]
    return [
        sorted(indices, key=lambda i: (-nbytes[i], born[i], i)),
        sorted(indices, key=lambda i: (-nbytes[i], -dies[i], i)),
        sorted(indices, key=lambda i: (-dies[i], -born[i], i)),
        sorted(indices, key=lambda i: (born[i], -nbytes[i], i)),
    ]


@dataclass(frozen=True)
class _Packing:
    total: int
    order: list[int]
    offsets: list[int]


class _Placed:
    """Cells that have an address, as growing arrays."""

    def __init__(self, cells: int) -> None:
        self.low, self.high, self.birth, self.death = (
            np.zeros(cells, dtype=np.int64) for _ in range(4)
        )
        self.count = 0

    def add(self, block: Block, offset: int) -> None:
        here = slice(self.count, self.count + len(block.start))
        self.low[here] = block.start + offset
        self.high[here] = block.start + block.size + offset
        self.birth[here], self.death[here] = block.birth, block.death
        self.count = here.stop

    def forbidden(self, block: Block) -> tuple[Ints, Ints]:
        """Open intervals of offsets at which a cell of `block` would meet one that lives with it."""
        n = self.count
        meets = (self.birth[:n] <= block.death[:, None]) & (block.birth[:, None] <= self.death[:n])
        own, other = np.nonzero(meets)
        low = self.low[other] - block.start[own] - block.size[own]
        return low, self.high[other] - block.start[own]


def _pack(blocks: Sequence[Block], order: list[int]) -> _Packing:
    """Each block in turn at the lowest offset that what is placed allows."""
    placed = _Placed(sum(len(b.start) for b in blocks))
    offsets = [-1] * len(blocks)
    index = {b.name: i for i, b in enumerate(blocks)}
    above: dict[int, list[tuple[int, int, int]]] = {}  # block -> blocks that must keep below it
    for i, block in enumerate(blocks):
        for name, distance, nbytes in block.below:
            above.setdefault(index[name], []).append((i, distance, nbytes))
    total = 0
    for i in order:
        block = blocks[i]
        low, high = placed.forbidden(block)
        extra: list[tuple[int, int]] = []
        for name, distance, nbytes in block.below:
            if (other := offsets[index[name]]) >= 0:
                extra.append((other - distance, other + nbytes))
        for j, distance, nbytes in above.get(i, ()):
            if offsets[j] >= 0:
                extra.append((offsets[j] - nbytes, offsets[j] + distance))
        offsets[i] = _lowest(low, high, extra)
        placed.add(block, offsets[i])
        total = max(total, offsets[i] + align(block.nbytes))
    return _Packing(total, order, offsets)


def _lowest(low: Ints, high: Ints, extra: list[tuple[int, int]]) -> int:
    """The least multiple of ALIGNMENT that lies in none of the open intervals."""
    if extra:
        low = np.concatenate([low, [e[0] for e in extra]])
        high = np.concatenate([high, [e[1] for e in extra]])
    order = np.argsort(low, kind="stable")
    offset = 0
    for a, b in zip(low[order].tolist(), high[order].tolist(), strict=True):
        if a >= offset:
            break
        if b > offset:
            offset = -(-b // ALIGNMENT) * ALIGNMENT
    return offset


def _improve(blocks: Sequence[Block], best: _Packing, target: int, tries: int) -> _Packing:
    """Local search over orders: blocks, mostly those at the top of the arena, move elsewhere."""
    chance = random.Random(len(blocks))
    for _ in range(tries):
        if best.total <= target:
            break
        top = [i for i in best.order if best.offsets[i] + align(blocks[i].nbytes) == best.total]
        order = list(best.order)
        for _ in range(chance.randint(1, 3)):
            moved = chance.choice(top if chance.random() < 0.5 else order)
            order.remove(moved)
            order.insert(chance.randrange(len(order) // 2 + 1), moved)
        packing = _pack(blocks, order)
        if packing.total <= best.total:
            best = packing
    return best
