"""From a lowered graph to a schedule: order, stages, liveness, offsets."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from thumbnet.codegen.graph import Graph
from thumbnet.codegen.layouts import WHOLE, Mode, Order, Plan
from thumbnet.codegen.lowering.registry import Lower, lower_all
from thumbnet.codegen.partition import Choice, candidates, layer_by_layer
from thumbnet.codegen.schedule import Schedule, align

__all__ = ["WHOLE", "Mode", "plan"]

NEARLY_LEAST = 1.05  # of the least arena: what `--optimize balanced` may spend on time
NEARLY_FASTEST = 1.10  # of the cycles of layer by layer: what it may spend on memory
MOST_PLACED = 5  # candidates, by lower bound, that get addresses
FEW_TRIES, MANY_TRIES = 100, 1500  # at placing them, and the one that is taken


def plan(graph: Graph, mode: Mode = WHOLE, lower: Lower | None = None) -> Schedule:
    """The schedule of an optimised graph. `lower` gives its kernels, None: as compiled.
    Raises UnsupportedError.

    The candidates are partitions into stages, with full scratch and with less of it where that
    lowers the bound. "balanced": of those estimated within NEARLY_FASTEST of layer by layer, the
    few of lowest bound get addresses; of these within NEARLY_LEAST of the least arena, the one of
    fewest cycles is taken. "latency": the one of fewest cycles. Where a choice needs more than
    `max_sram`, the one of fewest cycles that does not is taken, or failing that the one of least
    arena. "size": the one of fewest steps, which has the smallest tables.
    """
    order = Order.of(graph, mode, lower or lower_all)
    if mode.optimize == "size":  # nothing has fewer steps than layer by layer
        plans = _plans(order, [layer_by_layer(order.flow)])
        return min(plans, key=lambda p: p.lower_bound).placed(MANY_TRIES)
    choices = candidates(order.flow)
    plans = _plans(order, choices)
    steps = min(p.choice.overhead for p in plans)
    limit = NEARLY_FASTEST * min(p.cycles for p in plans if p.choice.overhead == steps)
    if all(p.cycles > limit for p in plans if p.choice.overhead > steps):
        wide = candidates(order.flow, wide=True)
        more = [choice for choice in wide if choice not in choices]
        plans = sorted([*plans, *_plans(order, more)], key=_by_bound)
    if mode.optimize == "latency":
        schedule = min(plans, key=lambda p: (p.cycles, p.lower_bound)).placed(MANY_TRIES)
    else:
        schedule = _balanced(plans, limit)
    if mode.max_sram is None or schedule.arena_bytes <= mode.max_sram:
        return schedule
    spared = [spared for p in plans if (spared := p.with_less_scratch()) is not None]
    plans = sorted([*plans, *spared], key=_by_bound)
    return _fitting(plans, mode.max_sram) or min(schedule, _balanced(plans), key=_arena)


def _by_bound(each: Plan) -> tuple[int, int]:
    return each.lower_bound, each.choice.overhead


def _arena(schedule: Schedule) -> int:
    return schedule.arena_bytes


def _fitting(plans: Sequence[Plan], max_sram: int) -> Schedule | None:
    """The first, by cycles, whose arena is at most `max_sram`."""
    possible = [p for p in plans if p.lower_bound <= max_sram]
    for each in sorted(possible, key=lambda p: (p.cycles, p.lower_bound)):
        if each.arena_bytes(MANY_TRIES) <= max_sram:
            return each.placed(MANY_TRIES)
    return None


def _plans(order: Order, choices: Sequence[Choice]) -> list[Plan]:
    """All candidates, by rising bound. The first few come with a ring of its own for each value,
    too: shared slots are fewer, but neighbours fit less closely around them."""
    plans = sorted([order.plan(choice, shared=True) for choice in choices], key=_by_bound)
    first = dict.fromkeys(p.choice for p in plans[:MOST_PLACED] if p.shares)
    plans += [order.plan(choice, shared=False) for choice in first]
    return sorted(plans, key=_by_bound)


def _balanced(plans: Sequence[Plan], most_cycles: float = inf) -> Schedule:
    """Of plans by rising bound, those of at most so many cycles; see `plan`."""
    near: list[Plan] = []
    for each in plans:
        if near and each.lower_bound > near[0].lower_bound * NEARLY_LEAST:
            break
        if each.cycles <= most_cycles:
            near.append(each)
        if len(near) == MOST_PLACED:
            break
    return _fewest_cycles(near).placed(MANY_TRIES)


def _fewest_cycles(near: Sequence[Plan]) -> Plan:
    """The plan of fewest cycles whose arena is within NEARLY_LEAST of the least, among equals the
    one of least arena. Only those get addresses whose bounds leave it open."""
    arenas = [align(max(p.lower_bound, 1)) for p in near]  # no less than this
    open_ones = sorted(range(len(near)), key=arenas.__getitem__)

    def close(i: int) -> None:
        arenas[i] = near[i].arena_bytes(FEW_TRIES)
        open_ones.remove(i)

    for cycles in sorted({p.cycles for p in near}):
        equals = [i for i, p in enumerate(near) if p.cycles == cycles]
        while True:
            best = min(equals, key=lambda i: (arenas[i], i))
            if best not in open_ones:
                break
            close(best)
        while open_ones and arenas[best] > min(arenas) * NEARLY_LEAST:
            close(open_ones[0])
        if arenas[best] <= min(arenas) * NEARLY_LEAST:
            return near[best]
    raise AssertionError("one of them has the least arena")
