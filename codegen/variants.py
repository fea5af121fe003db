"""Which layers take a faster form, where it fits or needs more flash.

Flash for time: a multiple-choice knapsack, solved exactly: of each layer one form, together within
the flash that is left, fewest estimated cycles. Layers are few and forms fewer, so all choices that
no other beats in both bytes and cycles are kept from layer to layer (Nemhauser and Ullmann 1969).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import inf

from thumbnet.codegen.cycles import kernel_cycles, layer_cycles
from thumbnet.codegen.flash import (
    constant_bytes,
    estimated_code,
    kernel_code_bytes,
    weights_bytes,
)
from thumbnet.codegen.graph import Graph, Operator
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.layouts import Mode
from thumbnet.codegen.loop_counts import turns_of
from thumbnet.codegen.lowering.registry import Lower, lower_all
from thumbnet.codegen.planner import plan
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.streaming import rows_of
from thumbnet.codegen.targets import target as target_named

LITTLE_MORE = 1.125  # times the bytes of a layer's constants, by default
MUCH_LESS = 0.93  # of a layer's cycles, by default
MOST_IN_VAIN = 6  # choices of forms in a row that fit and save nothing
MOST_WORSE = 3  # choices of tensors to widen in a row that save nothing
CODE_MARGIN = 1.1  # of the estimate, which is of all forms that there are


@dataclass(frozen=True)
class Option:
    """One form of one layer. `nbytes` are of flash, beyond the usual form's."""

    form: Kernel
    nbytes: int
    cycles: int


def cheapest(options: Sequence[Sequence[Option]], room: int) -> list[Option]:
    """One option of each layer: fewest cycles within `room` bytes, then fewest bytes, then the
    earliest. The first of each layer costs no bytes."""
    fronts: list[list[tuple[int, int, int, int]]] = [[(0, 0, 0, 0)]]  # bytes, cycles, came from, by
    for layer in options:
        more = sorted(
            (nbytes + option.nbytes, cycles + option.cycles, before, i)
            for before, (nbytes, cycles, _, _) in enumerate(fronts[-1])
            for i, option in enumerate(layer)
            if nbytes + option.nbytes <= max(room, 0)
        )
        front: list[tuple[int, int, int, int]] = []
        for each in more:
            if not front or each[1] < front[-1][1]:
                front.append(each)
        fronts.append(front)
    chosen, at = [], len(fronts[-1]) - 1
    for layer, front in zip(reversed(options), reversed(fronts), strict=False):
        _, _, at, i = front[at]
        chosen.append(layer[i])
    return chosen[::-1]


def plan_in_forms(graph: Graph, mode: Mode, lower: Lower = lower_all) -> Schedule:
    """`planner.plan` of an optimised graph with the forms of its layers that the mode is for.
    Raises UnsupportedError."""
    if mode.optimize == "size" or not target_named(mode.target).forms:
        return plan(graph, mode, lower)
    if mode.optimize == "latency" and mode.max_flash is not None:
        return plan_within_flash(graph, mode, lower)
    return plan_within_arena(graph, mode, lower)


def plan_within_arena(graph: Graph, mode: Mode, lower: Lower = lower_all) -> Schedule:
    """`planner.plan` of an optimised graph; layers that run alone take faster forms where those
    need little more flash and the arena stays as it is, or for "latency" within `mode.max_sram`.
    Forms for which it does not are given up, that of most live bytes first.
    Raises UnsupportedError."""
    usual: list[Kernel] = []

    def first(graph: Graph, operators: Sequence[Operator]) -> list[Kernel]:
        usual[:] = lower(graph, operators)
        return usual

    schedule = plan(graph, mode, first)
    limit = schedule.arena_bytes
    if mode.optimize == "latency" and mode.max_sram is not None:
        limit = max(limit, mode.max_sram)
    place = {kernel.output: i for i, kernel in enumerate(usual)}
    kernels, live = list(usual), {}
    for stage in schedule.stages:
        kernel = schedule.kernels[stage.first_kernel]
        if stage.end_kernel - stage.first_kernel > 1 or stage.end_step - stage.first_step > 1:
            continue
        options = [
            option
            for option in small_options(schedule.graph, kernel)
            if _most_live(schedule, stage.first_step, option.form) <= limit
        ]
        form = min(options, key=lambda option: option.cycles).form
        if form is not kernel:
            kernels[place[kernel.output]] = form
            live[place[kernel.output]] = _most_live(schedule, stage.first_step, form)
    within = replace(mode, max_sram=limit)
    while live:
        faster = plan(graph, within, _as_chosen(kernels))
        if faster.arena_bytes <= limit:
            return min(schedule, faster, key=lambda s: sum(layer_cycles(s)))
        given_up = max(live, key=live.__getitem__)
        kernels[given_up] = usual[given_up]
        del live[given_up]
    return schedule


def _most_live(schedule: Schedule, step: int, form: Kernel) -> int:
    """About the most bytes that are live while a layer that runs in one step takes this form."""
    own = schedule.kernels[schedule.steps[step].kernel]
    live = schedule.live_bytes[step] + form.scratch_bytes - own.scratch_bytes
    output = schedule.graph.tensors[own.output].nbytes
    for read, other in zip(form.reads, own.reads, strict=True):
        if read.window is not None and other.window is not None:
            x = schedule.graph.tensors[read.tensor]
            more = (read.window.before - other.window.before) * x.row_bytes
            live += min(more, x.nbytes, output)
    return live


def plan_within_flash(graph: Graph, mode: Mode, lower: Lower = lower_all) -> Schedule:
    """`planner.plan` of an optimised graph whose layers take faster forms within `mode.max_flash`
    bytes of weights and estimated code, and within `mode.max_sram` of arena where that can be.

    Forms that need more scratch than there is room for are given up, that of most scratch first,
    until that no longer saves cycles; `plan_within_arena` may then know better ones. Then tensors
    from a depthwise to a pointwise layer become int16 where both have such a form; the largest is
    given up first. Raises UnsupportedError.
    """
    usual: list[Kernel] = []

    def first(graph: Graph, operators: Sequence[Operator]) -> list[Kernel]:
        usual[:] = lower(graph, operators)
        return usual

    schedule = plan(graph, mode, first)
    assert mode.max_flash is not None
    forms = list(chain.from_iterable(kernel.faster for kernel in usual))
    code = estimated_code(schedule, mode.target) - kernel_code_bytes(usual, mode.target)
    code += kernel_code_bytes([*usual, *forms], mode.target) - _assembly_bytes(forms)
    room = mode.max_flash - weights_bytes(schedule) - round(CODE_MARGIN * code)
    options = [_options(schedule.graph, kernel, kernel.faster) for kernel in usual]
    found = [_Found(schedule, usual)]
    fewest, in_vain = inf, 0
    while forms and in_vain < MOST_IN_VAIN:
        best = cheapest(options, room)
        if all(option.form is kernel for option, kernel in zip(best, usual, strict=True)):
            break
        kernels = [option.form for option in best]
        schedule = plan(graph, mode, _as_chosen(kernels))
        found.append(_Found(schedule, kernels))
        alone = sum(option.cycles for option in best)
        if _fits(schedule, mode):
            cycles = sum(layer_cycles(schedule))
            if cycles <= alone:
                break
            in_vain = in_vain + 1 if cycles >= fewest else 0
            fewest = min(fewest, cycles)
        given_up = max(
            (i for i, option in enumerate(best) if option.form is not usual[i]),
            key=lambda i: best[i].form.scratch_bytes,
        )
        if len(found) == 2:
            options = [_that_may_fit(layer, found[0].schedule, mode) for layer in options]
            small = plan_within_arena(graph, mode, lower)
            if weights_bytes(small) - weights_bytes(found[0].schedule) <= room:
                found.append(_Found(small, []))
        options[given_up] = [o for o in options[given_up] if o is not best[given_up]]
    best_found = _best(found, mode)
    if not best_found.kernels:
        return best_found.schedule
    return _best([best_found, *_widened(graph, mode, usual, best_found)], mode).schedule


def _that_may_fit(options: list[Option], schedule: Schedule, mode: Mode) -> list[Option]:
    """The usual form, and those with which the layer of `schedule` would fit if it ran alone."""
    if mode.max_sram is None:
        return options
    usual, *others = options
    kernel = next(i for i, k in enumerate(schedule.kernels) if k.output == usual.form.output)
    steps = [i for i, step in enumerate(schedule.steps) if step.kernel == kernel]
    if len(steps) > 1:
        return options
    return [usual, *[o for o in others if _most_live(schedule, steps[0], o.form) <= mode.max_sram]]


@dataclass(frozen=True, eq=False)
class _Found:
    """A schedule and, by operator, the kernels that it is of."""

    schedule: Schedule
    kernels: list[Kernel]


def _best(found: Sequence[_Found], mode: Mode) -> _Found:
    """The one of fewest cycles of those that fit, if any do."""
    return min(found, key=lambda f: (not _fits(f.schedule, mode), sum(layer_cycles(f.schedule))))


@dataclass(frozen=True, eq=False)
class _Pair:
    """Kernels i and j, with forms that have an int16 tensor between them: the bytes that this grows
    by, and the estimated cycles that the forms save for each of them."""

    i: int
    j: int
    producer: Kernel
    reader: Kernel
    nbytes: int
    worth: float


def _widened(graph: Graph, mode: Mode, usual: Sequence[Kernel], base: _Found) -> Iterator[_Found]:
    """`base` with tensors widened, fewer each time, until that no longer saves cycles: given up
    first are those that are worth least, and once more the largest."""
    pairs = list(_pairs(graph, usual, base.kernels))
    for ordered in (
        sorted(pairs, key=lambda pair: -pair.worth),
        sorted(pairs, key=lambda pair: pair.nbytes),
    ):
        yield from _fewer_each_time(graph, mode, base, ordered)


def _fewer_each_time(
    graph: Graph, mode: Mode, base: _Found, pairs: list[_Pair]
) -> Iterator[_Found]:
    assert mode.max_flash is not None
    fewest, worse = inf, 0
    while pairs and worse < MOST_WORSE:
        kernels, tensors = list(base.kernels), dict(graph.tensors)
        for pair in pairs:
            kernels[pair.i], kernels[pair.j] = pair.producer, pair.reader
            between = pair.producer.output
            tensors[between] = replace(tensors[between], dtype="int16")
        schedule = plan(replace(graph, tensors=tensors), mode, _as_chosen(kernels))
        flash = weights_bytes(schedule) + CODE_MARGIN * estimated_code(schedule, mode.target)
        if flash <= mode.max_flash:
            yield _Found(schedule, kernels)
            if _fits(schedule, mode):
                cycles = sum(layer_cycles(schedule))
                worse = worse + 1 if cycles >= fewest else 0
                fewest = min(fewest, cycles)
        pairs.pop()


def _pairs(graph: Graph, usual: Sequence[Kernel], kernels: Sequence[Kernel]) -> Iterator[_Pair]:
    """Those where the first kernel's output is read by the second one alone. `kernels` are in the
    forms that they have otherwise."""
    readers: dict[str, list[int]] = {}
    for j, kernel in enumerate(usual):
        for read in kernel.reads:
            readers.setdefault(read.tensor, []).append(j)
    for i, kernel in enumerate(usual):
        reading, producer = readers.get(kernel.output, []), _widened_output(graph, kernel)
        if producer is None or len(reading) != 1 or kernel.output in graph.outputs:
            continue
        (j,) = reading
        reader = usual[j].widened_input
        if reader is not None:
            now, wide = (
                sum(_cycles_alone(graph, form) for form in forms)
                for forms in ((kernels[i], kernels[j]), (producer, reader))
            )
            nbytes = graph.tensors[kernel.output].nbytes
            yield _Pair(i, j, producer, reader, nbytes, (now - wide) / nbytes)


def _as_chosen(kernels: list[Kernel]) -> Lower:
    return lambda graph, operators: kernels


def _fits(schedule: Schedule, mode: Mode) -> bool:
    return mode.max_sram is None or schedule.arena_bytes <= mode.max_sram


def small_options(graph: Graph, kernel: Kernel, optimize: str = "balanced") -> list[Option]:
    """Those of `all_options` that need little more flash than the usual one, no code made for the
    layer alone, and much less time."""
    usual, *options = _options(graph, kernel, kernel.faster, optimize)
    if not options:
        return [usual]
    most, slowest = (LITTLE_MORE - 1) * constant_bytes([kernel]), MUCH_LESS * usual.cycles
    assembly = _assembly_bytes([kernel])
    return [
        usual,
        *(
            option
            for option in options
            if option.nbytes <= most
            and option.cycles <= slowest
            and _assembly_bytes([option.form]) <= assembly
        ),
    ]


def all_options(graph: Graph, kernel: Kernel, optimize: str = "latency") -> list[Option]:
    """The forms of a kernel as a layer alone runs them, the usual one first, the widened last."""
    forms = [kernel, *kernel.faster]
    wide = [form.widened_output for form in forms] + [form.widened_input for form in forms]
    others = [*kernel.faster, *[form for form in wide if form is not None]]
    return _options(graph, kernel, others, optimize)


def _options(
    graph: Graph, kernel: Kernel, forms: Sequence[Kernel], optimize: str = "latency"
) -> list[Option]:
    own = constant_bytes([kernel]) + _assembly_bytes([kernel]) if forms else 0
    more = [constant_bytes([form]) + _assembly_bytes([form]) - own for form in forms]
    return [
        Option(form, nbytes, _cycles_alone(graph, form, optimize))
        for form, nbytes in zip((kernel, *forms), (0, *more), strict=True)
    ]


def _widened_output(graph: Graph, kernel: Kernel) -> Kernel | None:
    """The form with an int16 output, where there is one; of several that of fewest cycles."""
    forms = [form.widened_output for form in (kernel, *kernel.faster)]
    wide = [form for form in forms if form is not None]
    return min(wide, key=lambda form: _cycles_alone(graph, form), default=None)


def _cycles_alone(graph: Graph, form: Kernel, optimize: str = "latency") -> int:
    """As a layer alone runs it."""
    turns = turns_of(form, graph.tensors, {rows_of(graph, form): 1}, lambda _: False, False)
    return kernel_cycles(form, turns, optimize)


def _assembly_bytes(kernels: Sequence[Kernel]) -> int:
    """Of code that is made for the numbers of a layer."""
    return sum(call.assembly for kernel in kernels for call in kernel.calls)
