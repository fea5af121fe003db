"""Operator order of least peak memory.

Best-first search over the sets of operators that have run: the peak of a set is the least over all
ways to reach it, so the first complete set taken from the queue is optimal. Chains, and chains with
a few branches, have few such sets; past `limit` of them the model's own order is kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

#: peak(ran, operator) -> bytes needed while `operator` runs, the bit set `ran` having run before.
PeakOf = Callable[[int, int], int]


def best_order(after: Sequence[frozenset[int]], peak_of: PeakOf, limit: int = 20000) -> list[int]:
    """An order of the operators 0 .. len(after) - 1 that respects `after` and has least peak.

    Among equals the earlier operator of the model goes first, so a chain keeps its order.
    """
    count = len(after)
    needs = [sum(1 << i for i in before) for before in after]
    everything = (1 << count) - 1
    queue: list[tuple[int, tuple[int, ...], int]] = [(0, (), 0)]
    done: set[int] = set()
    while queue and len(done) < limit:
        peak, order, ran = heapq.heappop(queue)
        if ran in done:
            continue
        done.add(ran)
        if ran == everything:
            return list(order)
        for i in range(count):
            if not ran >> i & 1 and needs[i] & ran == needs[i]:
                reached = ran | 1 << i
                if reached not in done:
                    entry = (max(peak, peak_of(ran, i)), (*order, i), reached)
                    heapq.heappush(queue, entry)
    return _model_order(needs, count)


def _model_order(needs: Sequence[int], count: int) -> list[int]:
    order: list[int] = []
    ran = 0
    while len(order) < count:
        ready = next(i for i in range(count) if not ran >> i & 1 and needs[i] & ran == needs[i])
        order.append(ready)
        ran |= 1 << ready
    return order
