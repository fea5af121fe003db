"""Operator order of least peak memory.

Two best-first searches over the sets of operators that have run. In the first the cost of a set is
its peak, the least over all ways to reach it, so the first complete set taken from the queue has
the least peak there is. The second keeps below that peak and makes the sum of squares of all
operators' memory least, so that the rest of the network is in good order too. Chains, and chains
with a few branches, have few such sets; past `limit` of them the order is greedy: what leaves the
least memory in use goes next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from thumbnet.codegen.binding import Binding
from thumbnet.codegen.kernel import Kernel

#: peak(ran, operator) -> bytes needed while `operator` runs, the bit set `ran` having run before.
PeakOf = Callable[[int, int], int]
#: live(ran) -> bytes that must be kept when the bit set `ran` has run.
LiveOf = Callable[[int], int]


def best_order(
    after: Sequence[frozenset[int]], peak_of: PeakOf, live_of: LiveOf, limit: int = 2000
) -> list[int]:
    """An order of the operators 0 .. len(after) - 1 that respects `after` and has least peak.

    Among equals the earlier operator of the model goes first, so a chain keeps its order.
    """
    needs = [sum(1 << i for i in before) for before in after]
    least = _search(needs, lambda cost, ran, i: max(cost, peak_of(ran, i)), limit)
    if least is None:
        return _greedy_order(needs, peak_of, live_of)

    def squares(cost: int, ran: int, i: int) -> int | None:
        peak = peak_of(ran, i)
        return cost + peak * peak if peak <= least[0] else None

    best = _search(needs, squares, limit)
    return least[1] if best is None else best[1]


def _search(
    needs: Sequence[int], cost_after: Callable[[int, int, int], int | None], limit: int
) -> tuple[int, list[int]] | None:
    """The least cost and its order; None when more than `limit` sets would have to be looked at.

    `cost_after(cost, ran, i)` is the cost of running i next, None where that may not be.
    """
    count = len(needs)
    everything = (1 << count) - 1
    queue: list[tuple[int, tuple[int, ...], int]] = [(0, (), 0)]
    done: set[int] = set()
    while queue and len(done) < limit:
        cost, order, ran = heapq.heappop(queue)
        if ran in done:
            continue
        done.add(ran)
        if ran == everything:
            return cost, list(order)
        for i in range(count):
            reached = ran | 1 << i
            if reached != ran and reached not in done and needs[i] & ran == needs[i]:
                further = cost_after(cost, ran, i)
                if further is not None:
                    heapq.heappush(queue, (further, (*order, i), reached))
    return None


def _greedy_order(needs: Sequence[int], peak_of: PeakOf, live_of: LiveOf) -> list[int]:
    order: list[int] = []
    ran, left = 0, list(range(len(needs)))
    while left:
        ready = [i for i in left if needs[i] & ran == needs[i]]
        at = ran
        chosen = min(ready, key=lambda i: (live_of(at | 1 << i), peak_of(at, i), i))
        order.append(chosen)
        left.remove(chosen)
        ran |= 1 << chosen
    return order


def operator_order(binding: Binding, kernels: Sequence[Kernel]) -> list[int]:
    """The order of least peak memory when every kernel runs whole; its output may lie over an input
    that it reads last, where its contract allows any overlap."""
    graph, value_of = binding.graph, binding.value_of
    states = {s.tensor for s in graph.states}
    size = {v: graph.tensors[v].nbytes for v, s in binding.storage_of.items() if s not in states}
    made = [value_of[k.output] for k in kernels]
    read = [{value_of[r.tensor] for r in k.reads} & size.keys() for k in kernels]
    over = [
        {value_of[r.tensor] for r in k.reads if r.overlap.mode != "none"} & size.keys()
        for k in kernels
    ]
    maker = {v: i for i, v in enumerate(made)}
    users = {v: sum(1 << i for i, r in enumerate(read) if v in r) for v in size}
    kept = {value_of[name] for name in graph.outputs}

    def peak(ran: int, kernel: int) -> int:
        live, dying = kernels[kernel].scratch_bytes, 0
        for value, nbytes in size.items():
            if value == made[kernel] or (value in maker and not ran >> maker[value] & 1):
                continue
            left = users[value] & ~ran
            if value in over[kernel] and left == 1 << kernel and value not in kept:
                dying += nbytes
            elif left or value in kept:
                live += nbytes
        return live + max(dying, size.get(made[kernel], 0))

    def live(ran: int) -> int:
        return sum(
            nbytes
            for value, nbytes in size.items()
            if (value not in maker or ran >> maker[value] & 1)
            and (users[value] & ~ran or value in kept)
        )

    return best_order(binding.after, peak, live)
