"""From a lowered graph to a schedule: order, stages, liveness, offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from thumbnet.codegen.arena import Block, place
from thumbnet.codegen.binding import Binding, bind
from thumbnet.codegen.cycles import layer_cycles
from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.kernel import FEED, Kernel
from thumbnet.codegen.lifetimes import Held, Lifetimes, lifetimes
from thumbnet.codegen.lowering.registry import lower_all
from thumbnet.codegen.order import operator_order
from thumbnet.codegen.partition import Choice, candidates
from thumbnet.codegen.rings import Slots, make_slots
from thumbnet.codegen.schedule import (
    CONTROL,
    Schedule,
    Stage,
    Step,
    Storage,
    align,
    counter_bytes,
    scratch_name,
)
from thumbnet.codegen.streaming import Flow, make_flow, rows_of, stage_steps
from thumbnet.codegen.ticks import Clock

NEARLY_LEAST = 1.05  # of the least arena: what `--optimize balanced` may spend on time
NEARLY_FASTEST = 1.10  # of the cycles of layer by layer: what it may spend on memory
MOST_PLACED = 5  # candidates, by lower bound, that get addresses
FEW_TRIES, MANY_TRIES = 100, 1500  # at placing them, and the one that is taken


@dataclass(frozen=True)
class Mode:
    """How the caller drives the model (it brings the input row by row, or runs it step by step),
    and what the schedule should spare: see `plan`. `max_sram` is in bytes."""

    row_fed: bool = False
    stepper: bool = False
    optimize: str = "balanced"  # or latency, size
    max_sram: int | None = None
    step_rows: tuple[int, ...] = ()  # by kernel, at most so many rows a step; () for no limit

    @property
    def has_control(self) -> bool:
        """Whether a counter for each layer lives in the arena between calls."""
        return self.row_fed or self.stepper


WHOLE = Mode()


def plan(graph: Graph, mode: Mode = WHOLE) -> Schedule:
    """The schedule of an optimised graph. Raises UnsupportedError.

    The candidates are partitions into stages, with full scratch and with less of it where that
    lowers the bound. "balanced": of those estimated within NEARLY_FASTEST of layer by layer, the
    few of lowest bound get addresses; of these within NEARLY_LEAST of the least arena, the one of
    fewest cycles is taken. "latency": the one of fewest cycles. Where a choice needs more than
    `max_sram`, the one of fewest cycles that does not is taken, or failing that the one of least
    arena. "size": the one of fewest steps, which has the smallest tables.
    """
    binding = bind(graph)
    kernels = lower_all(binding.graph, binding.operators)
    order = operator_order(binding, kernels)
    ordered = [kernels[i] for i in order]
    if mode.row_fed:
        ordered = [_feed(binding.graph), *ordered]
    choices = candidates(_flow(binding, ordered, mode))
    plans = _plans(binding, ordered, choices, mode)
    if mode.optimize == "size":
        return _placed(min(plans, key=lambda p: (p.choice.overhead, p.lower_bound)))
    steps = min(p.choice.overhead for p in plans)
    limit = NEARLY_FASTEST * min(p.cycles for p in plans if p.choice.overhead == steps)
    if all(p.cycles > limit for p in plans if p.choice.overhead > steps):
        wide = candidates(_flow(binding, ordered, mode), wide=True)
        more = [choice for choice in wide if choice not in choices]
        plans = sorted([*plans, *_plans(binding, ordered, more, mode)], key=_by_bound)
    if mode.optimize == "latency":
        schedule = _placed(min(plans, key=lambda p: (p.cycles, p.lower_bound)))
    else:
        schedule = _balanced(plans, limit)
    if mode.max_sram is None or schedule.arena_bytes <= mode.max_sram:
        return schedule
    return _fitting(plans, mode.max_sram) or min(schedule, _balanced(plans), key=_arena)


def _by_bound(each: _Plan) -> tuple[int, int]:
    return each.lower_bound, each.choice.overhead


def _arena(schedule: Schedule) -> int:
    return schedule.arena_bytes


def _fitting(plans: Sequence[_Plan], max_sram: int) -> Schedule | None:
    """The first, by cycles, whose arena is at most `max_sram`."""
    possible = [p for p in plans if p.lower_bound <= max_sram]
    for each in sorted(possible, key=lambda p: (p.cycles, p.lower_bound)):
        schedule = _placed(each)
        if schedule.arena_bytes <= max_sram:
            return schedule
    return None


def _plans(
    binding: Binding, kernels: Sequence[Kernel], choices: Sequence[Choice], mode: Mode
) -> list[_Plan]:
    """All candidates, by rising bound. The first few come with a ring of its own for each value,
    too: shared slots are fewer, but neighbours fit less closely around them."""

    def both(kernels: Sequence[Kernel], choice: Choice, *, shared: bool) -> list[_Plan]:
        full = _layout(binding, kernels, choice, mode, shared=shared)
        spared = _with_less_scratch(full)
        if spared is None:
            return [full]
        return [full, _layout(binding, spared, choice, mode, shared=shared)]

    plans = [p for choice in choices for p in both(kernels, choice, shared=True)]
    plans.sort(key=_by_bound)
    first = dict.fromkeys(p.choice for p in plans[:MOST_PLACED] if p.shares)
    plans += [p for choice in first for p in both(kernels, choice, shared=False)]
    return sorted(plans, key=_by_bound)


def _balanced(plans: Sequence[_Plan], most_cycles: float = inf) -> Schedule:
    """Of plans by rising bound, those of at most so many cycles; see `plan`."""
    near: list[_Plan] = []
    for each in plans:
        if near and each.lower_bound > near[0].lower_bound * NEARLY_LEAST:
            break
        if each.cycles <= most_cycles:
            near.append(each)
        if len(near) == MOST_PLACED:
            break
    arenas = [_placed(each, FEW_TRIES).arena_bytes for each in near]
    limit = min(arenas) * NEARLY_LEAST
    fitting = [(p.cycles, n, i) for i, (p, n) in enumerate(zip(near, arenas, strict=True))]
    return _placed(near[min(entry for entry in fitting if entry[1] <= limit)[2]])


def _with_less_scratch(plan: _Plan) -> list[Kernel] | None:
    """The kernels with less scratch where that lowers the bound; None where it does not."""
    kernels = plan.flow.kernels
    peaks, saved = [0] * len(kernels), [0] * len(kernels)
    for step, live in zip(plan.schedule.steps, plan.schedule.live_bytes, strict=False):
        peaks[step.kernel] = max(peaks[step.kernel], live)
    for i, kernel in enumerate(kernels):
        if kernel.with_less_scratch is not None:
            saved[i] = kernel.scratch_bytes - kernel.with_less_scratch.scratch_bytes
    bound = max((peak - less for peak, less in zip(peaks, saved, strict=True)), default=0)
    if bound >= plan.lower_bound:
        return None
    return [
        kernel.with_less_scratch if kernel.with_less_scratch and peak > bound else kernel
        for kernel, peak in zip(kernels, peaks, strict=True)
    ]


def _feed(graph: Graph) -> Kernel:
    """The pseudo kernel of the rows that the caller brings."""
    if len(graph.inputs) != 1:
        raise UnsupportedError(
            f"{graph.source}: --input rows needs a model with one input, this one has "
            f"{len(graph.inputs)}; compile it with --input whole"
        )
    return Kernel(name=graph.inputs[0], kind=FEED, reads=(), output=graph.inputs[0], calls=())


def _inputs(graph: Graph, mode: Mode) -> tuple[str, ...]:
    """Inputs that lie in the arena before a run."""
    return () if mode.row_fed else graph.inputs


def _flow(binding: Binding, kernels: Sequence[Kernel], mode: Mode) -> Flow:
    graph = binding.graph
    states = {s.tensor for s in graph.states}
    kept = {binding.value_of[name] for name in graph.outputs} | set(_inputs(graph, mode))
    kept |= {value for value, storage in binding.storage_of.items() if storage in states}
    return make_flow(graph, kernels, binding.value_of, frozenset(kept))


@dataclass(frozen=True, eq=False)
class _Plan:
    """A schedule without storages, and what they will be."""

    choice: Choice
    schedule: Schedule
    flow: Flow
    held: tuple[Held, ...]
    lifetimes: Lifetimes

    @property
    def lower_bound(self) -> int:
        return self.schedule.lower_bound

    @property
    def shares(self) -> bool:
        """Whether rows of several values share slots."""
        return any(len(item.rings) > 1 for item in self.held)

    @cached_property
    def cycles(self) -> int:
        return sum(layer_cycles(self.schedule))


def _layout(
    binding: Binding, kernels: Sequence[Kernel], choice: Choice, mode: Mode, *, shared: bool
) -> _Plan:
    chosen = [
        kernel.as_reducer if i in choice.reducers and kernel.as_reducer is not None else kernel
        for i, kernel in enumerate(kernels)
    ]
    flow = _flow(binding, chosen, mode)
    stages: list[Stage] = []
    steps: list[Step] = []
    for first, end in choice.stages:
        bands = choice.bands
        if mode.step_rows:
            alone = end - first == 1  # a layer alone runs in bands as high as may be
            bands = mode.step_rows if alone else tuple(map(min, bands, mode.step_rows))
        made = stage_steps(flow, first, end, bands, split=bool(mode.step_rows))
        stages.append(Stage(first, end, len(steps), len(steps) + len(made)))
        steps += made
    clock = Clock(flow, steps)
    slots = make_slots(clock, stages, shared=shared)
    rings = {value: ring for each in slots for value, ring in each.rings.items()}
    storage_of = {**binding.storage_of, **{v: s.name for s in slots for v in s.rings}}
    held = _held(binding, flow, slots, mode, len(steps))
    graph = binding.graph
    outputs = frozenset(binding.value_of[name] for name in graph.outputs)
    lives = lifetimes(clock, held, storage_of, _inputs(graph, mode), outputs)
    schedule = Schedule(
        graph=graph,
        kernels=flow.kernels,
        stages=tuple(stages),
        steps=tuple(steps),
        storages={},
        value_of=binding.value_of,
        storage_of=storage_of,
        rings=rings,
        initial_value=binding.initial_value,
        final_value=binding.final_value,
        arena_bytes=0,
        live_bytes=lives.live_bytes(len(steps)),
    )
    return _Plan(choice, schedule, flow, held, lives)


def _held(
    binding: Binding, flow: Flow, slots: Sequence[Slots], mode: Mode, steps: int
) -> tuple[Held, ...]:
    graph = binding.graph
    states = [s.tensor for s in graph.states]
    held = [Held(s, graph.tensors[s].nbytes, always=True) for s in states]
    if mode.has_control:
        rows = max((rows_of(graph, kernel) for kernel in flow.kernels), default=0)
        counter = counter_bytes(steps, rows)
        held.append(Held(CONTROL, counter * (1 + len(flow.kernels)), always=True))
    held += [Held(each.name, each.count * each.row_bytes, each.rings) for each in slots]
    in_slots = {value for each in slots for value in each.rings}
    for value, storage in binding.storage_of.items():
        if storage not in states and value not in in_slots:
            unread = value in _inputs(graph, mode) and value not in flow.readers
            held.append(Held(value, graph.tensors[value].nbytes, always=unread))
    for i, kernel in enumerate(flow.kernels):
        if kernel.scratch_bytes:
            held.append(Held(scratch_name(i), kernel.scratch_bytes, kernel=i))
    return tuple(held)


def _placed(plan: _Plan, tries: int = MANY_TRIES) -> Schedule:
    schedule = plan.schedule
    graph, end = schedule.graph, len(schedule.steps)
    kept = {schedule.value_of[name] for name in graph.outputs}
    spans = plan.lifetimes.spans()
    for item in plan.held:
        first, last = spans[item.name]
        if item.always or (item.name in graph.inputs and item.name not in plan.flow.maker):
            first = -1
        if item.always or item.name in kept:
            last = end
        spans[item.name] = first, last
    blocks = [Block(h.name, h.nbytes, *spans[h.name]) for h in plan.held]
    offsets, arena_bytes = place(blocks, plan.lifetimes.distances(), plan.lower_bound, tries)
    return replace(
        schedule,
        storages={
            h.name: Storage(h.name, h.nbytes, *spans[h.name], offsets[h.name]) for h in plan.held
        },
        arena_bytes=max(arena_bytes, align(1)),
    )
