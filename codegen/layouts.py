"""A graph's kernels in order, and layouts of their partitions: steps, bounds, addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from thumbnet.codegen.arena import Block, place
from thumbnet.codegen.binding import Binding, bind
from thumbnet.codegen.cycles import kernel_cycles
from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.kernel import FEED, Kernel
from thumbnet.codegen.lifetimes import Held
from thumbnet.codegen.loop_counts import turns_of
from thumbnet.codegen.lowering.registry import Lower
from thumbnet.codegen.meetings import Meetings
from thumbnet.codegen.order import operator_order
from thumbnet.codegen.partition import Choice
from thumbnet.codegen.schedule import (
    CONTROL,
    Schedule,
    Stage,
    Storage,
    align,
    counter_bytes,
    scratch_name,
)
from thumbnet.codegen.stages import Form, StageLayout, Stages
from thumbnet.codegen.streaming import Flow, make_flow, rows_of


@dataclass(frozen=True)
class Mode:
    """How the caller drives the model (it brings the input row by row, or runs it step by step),
    and what the schedule should spare: see `plan`. `max_sram` and `max_flash` are in bytes;
    `max_flash` None: no flash is traded for time (see variants.py)."""

    row_fed: bool = False
    stepper: bool = False
    optimize: str = "balanced"  # or latency, size
    max_sram: int | None = None
    max_flash: int | None = None
    target: str = "cortex-m4"
    step_rows: tuple[int, ...] = ()  # by kernel, at most so many rows a step; () for no limit

    @property
    def has_control(self) -> bool:
        """Whether a counter for each layer lives in the arena between calls."""
        return self.row_fed or self.stepper


WHOLE = Mode()


@dataclass(frozen=True, eq=False)
class Order:
    """The kernels of a graph in the order of least peak memory, to be cut into stages."""

    binding: Binding
    flow: Flow
    mode: Mode
    stages: Stages
    alone: dict[int, StageLayout] = field(default_factory=dict)  # whole, by kernel
    known_cycles: dict[tuple[StageLayout, Kernel], int] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, mode: Mode, lower: Lower) -> Order:
        """Raises UnsupportedError."""
        binding = bind(graph)
        kernels = lower(binding.graph, binding.operators)
        ordered = [kernels[i] for i in operator_order(binding, kernels)]
        if mode.row_fed:
            ordered = [_feed(binding.graph), *ordered]
        flow = _flow(binding, ordered, mode)
        states = {s.tensor for s in graph.states}
        apart = {value for value, storage in binding.storage_of.items() if storage in states}
        apart |= {name for name in _inputs(graph, mode) if name not in flow.readers}
        outputs = frozenset(binding.value_of[name] for name in graph.outputs)
        stages = Stages(
            flow, binding.storage_of, frozenset(apart), _inputs(binding.graph, mode), outputs
        )
        return cls(binding, flow, mode, stages)

    def plan(self, choice: Choice, *, shared: bool) -> Plan:
        """A partition laid out; `shared`: rows of several values may share slots."""
        chosen = [
            kernel.as_reducer if i in choice.reducers and kernel.as_reducer is not None else kernel
            for i, kernel in enumerate(self.flow.kernels)
        ]
        stages = [self._stage(choice, *stage, shared=shared) for stage in choice.stages]
        return Plan(self, choice, tuple(chosen), tuple(stages))

    def _stage(self, choice: Choice, first: int, end: int, *, shared: bool) -> StageLayout:
        if end - first == 1 and not self.mode.step_rows:
            found = self.alone.get(first)
            if found is None:
                form = Form((), split=False, reducers=frozenset(), shared=True)
                found = self.alone[first] = self.stages.layout(first, end, form)
            return found
        bands, limit = choice.bands, self.mode.step_rows
        if limit:
            alone = end - first == 1  # a layer alone runs in bands as high as may be
            bands = limit if alone else tuple(map(min, bands, limit))
        reducers = choice.reducers.intersection(range(first, end))
        return self.stages.layout(first, end, Form(bands, bool(limit), reducers, shared))

    def held_always(self, kernels: Sequence[Kernel], steps: int) -> list[Held]:
        """What is held whatever runs: variables, counters, inputs that nothing reads."""
        graph = self.flow.graph
        states = [s.tensor for s in graph.states]
        held = [Held(s, graph.tensors[s].nbytes, always=True) for s in states]
        if self.mode.has_control:
            rows = max((rows_of(graph, kernel) for kernel in kernels), default=0)
            counter = counter_bytes(steps, rows)
            held.append(Held(CONTROL, counter * (1 + len(kernels)), always=True))
        unread = (name for name in self.inputs if name not in self.flow.readers)
        return [*held, *(Held(name, graph.tensors[name].nbytes, always=True) for name in unread)]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs that lie in the arena before a run."""
        return _inputs(self.flow.graph, self.mode)

    @property
    def outputs(self) -> frozenset[str]:
        """Values that the model gives."""
        return frozenset(self.binding.value_of[name] for name in self.flow.graph.outputs)

    def cycles(self, kernel: Kernel, stage: StageLayout, heights: Mapping[int, int]) -> int:
        """Estimated, of a kernel that runs in a stage in steps of `heights`."""
        value_of, rings = self.flow.value_of, stage.rings

        def is_ring(tensor: str) -> bool:
            return value_of[tensor] in rings

        streamed = stage.end - stage.first > 1
        tensors = self.flow.graph.tensors
        return kernel_cycles(kernel, turns_of(kernel, tensors, heights, is_ring, streamed))


def _feed(graph: Graph) -> Kernel:
    """The pseudo kernel of the rows that the caller brings."""
    if len(graph.inputs) != 1:
        raise UnsupportedError(
            f"{graph.source}: --input rows needs a model with one input, this one has "
            f"{len(graph.inputs)}; compile it with --input whole"
        )
    return Kernel(name=graph.inputs[0], kind=FEED, reads=(), output=graph.inputs[0], calls=())


def _inputs(graph: Graph, mode: Mode) -> tuple[str, ...]:
    return () if mode.row_fed else graph.inputs


def _flow(binding: Binding, kernels: Sequence[Kernel], mode: Mode) -> Flow:
    graph = binding.graph
    states = {s.tensor for s in graph.states}
    kept = {binding.value_of[name] for name in graph.outputs} | set(_inputs(graph, mode))
    kept |= {value for value, storage in binding.storage_of.items() if storage in states}
    return make_flow(graph, kernels, binding.value_of, frozenset(kept))


# ---- one partition -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plan:
    """A partition, laid out and bounded stage by stage; it gets addresses when `placed`."""

    order: Order
    choice: Choice
    kernels: tuple[Kernel, ...]
    stages: tuple[StageLayout, ...]
    _placed: dict[int, tuple[dict[str, int], int]] = field(default_factory=dict)  # by tries

    @cached_property
    def count(self) -> int:
        """Of steps."""
        return sum(len(stage.shape.steps) for stage in self.stages)

    @cached_property
    def always(self) -> list[Held]:
        """What is held whatever runs."""
        return self.order.held_always(self.kernels, self.count)

    @cached_property
    def scratch(self) -> list[int]:
        """By kernel: bytes that it needs only while it runs, which a reducer's are not."""
        return [0 if kernel.unit_rows else kernel.scratch_bytes for kernel in self.kernels]

    @cached_property
    def peaks(self) -> list[int]:
        """By kernel: most bytes that are live while it runs."""
        always = sum(held.nbytes for held in self.always)
        peaks = (stage.waits + peak for stage in self.stages for peak in stage.shape.peaks)
        return [always + n + more for n, more in zip(peaks, self.scratch, strict=True)]

    @cached_property
    def lower_bound(self) -> int:
        """No placement can need less than the bytes that are live at once."""
        if not self.count:  # nothing runs: inputs are outputs
            return sum(held.nbytes for held in self._held(()))
        return max(self.peaks)

    @property
    def shares(self) -> bool:
        """Whether rows of several values share slots."""
        return any(stage.shares for stage in self.stages)

    @cached_property
    def cycles(self) -> int:
        """Estimated, of one call."""
        known = self.order.known_cycles
        total = 0
        for stage in self.stages:
            for k, heights in enumerate(stage.shape.heights, stage.first):
                key = stage, self.kernels[k]
                if key not in known:
                    known[key] = self.order.cycles(self.kernels[k], stage, heights)
                total += known[key]
        return total

    def with_less_scratch(self) -> Plan | None:
        """The same with less scratch where that lowers the bound; None where it does not."""
        saved = [
            kernel.scratch_bytes - kernel.with_less_scratch.scratch_bytes
            if kernel.with_less_scratch is not None
            else 0
            for kernel in self.kernels
        ]
        bound = max((peak - less for peak, less in zip(self.peaks, saved, strict=True)), default=0)
        if bound >= self.lower_bound:
            return None
        kernels = tuple(
            kernel.with_less_scratch if kernel.with_less_scratch and peak > bound else kernel
            for kernel, peak in zip(self.kernels, self.peaks, strict=True)
        )
        return Plan(self.order, self.choice, kernels, self.stages)

    def placed(self, tries: int) -> Schedule:
        """The schedule. More `tries` at placing it may give a smaller arena, never a larger one."""
        layout, (offsets, arena_bytes) = self.layout, self._addresses(tries)
        steps = tuple([step for laid in self.stages for step in laid.steps])
        order, binding = self.order, self.order.binding
        slots = layout.slots
        return Schedule(
            graph=order.flow.graph,
            kernels=self.kernels,
            stages=layout.stages,
            steps=steps,
            storages={
                b.name: Storage(b.name, b.nbytes, b.first, b.last, offsets[b.name])
                for b in layout.blocks
            },
            value_of=binding.value_of,
            storage_of={**binding.storage_of, **{v: h.name for h in slots for v in h.rings}},
            rings={value: ring for held in slots for value, ring in held.rings.items()},
            initial_value=binding.initial_value,
            final_value=binding.final_value,
            arena_bytes=arena_bytes,
            live_bytes=self._live_bytes(),
        )

    def arena_bytes(self, tries: int) -> int:
        """Of the schedule that `placed` gives."""
        return self._addresses(tries)[1]

    def _addresses(self, tries: int) -> tuple[dict[str, int], int]:
        """Offsets by storage, and the arena's size."""
        if tries not in self._placed:
            least = align(max(self.lower_bound, 1))
            done = (p for n, p in self._placed.items() if n < tries and p[1] <= least)
            found = next(done, None)
            if found is None:
                layout = self.layout
                offsets, total = place(layout.blocks, layout.distances, self.lower_bound, tries)
                found = offsets, max(total, align(1))
            self._placed[tries] = found
        return self._placed[tries]

    @cached_property
    def layout(self) -> Layout:
        """What gets addresses, and what they must keep to."""
        order = self.order
        stages: list[Stage] = []
        slots: list[list[Held]] = []
        begin = 0
        for number, laid in enumerate(self.stages, 1):
            stages.append(Stage(laid.first, laid.end, begin, begin + len(laid.shape.steps)))
            begin = stages[-1].end_step
            slots.append([each.held(number) for each in laid.slots])
        shared = tuple([held for each in slots for held in each])
        held = self._held(shared)
        meetings = self._meetings(held, stages, slots)
        outputs = order.outputs
        blocks = []
        for item, (first, last) in zip(held, meetings.spans(), strict=True):
            before = item.always or item.name in order.inputs
            after = item.always or item.name in outputs
            blocks.append(
                Block(item.name, item.nbytes, -1 if before else first, begin if after else last)
            )
        distances = meetings.distances([h.name for h in held])
        return Layout(tuple(stages), shared, blocks, distances)

    def _live_bytes(self) -> tuple[int, ...]:
        always = sum(held.nbytes for held in self.always)
        live: list[int] = []
        for laid in self.stages:
            scratch = np.array(self.scratch[laid.first : laid.end], dtype=np.int64)
            shape = laid.shape
            live += (shape.live + scratch[shape.steps.kernel] + (laid.waits + always)).tolist()
        return tuple(live) or (self.lower_bound,)

    def _held(self, slots: Sequence[Held]) -> tuple[Held, ...]:
        apart = {held.name for held in self.always}
        rings = {value for held in slots for value in held.rings}
        whole = [
            Held(value, self.order.flow.tensor(value).nbytes)
            for value, storage in self.order.binding.storage_of.items()
            if storage not in apart and value not in rings
        ]
        scratch = [
            Held(scratch_name(i), kernel.scratch_bytes, kernel=i)
            for i, kernel in enumerate(self.kernels)
            if kernel.scratch_bytes
        ]
        return (*self.always, *slots, *whole, *scratch)

    def _meetings(
        self, held: Sequence[Held], stages: Sequence[Stage], slots: Sequence[Sequence[Held]]
    ) -> Meetings:
        """Of storages in the order of `held`; `slots` are those of each stage."""
        index = {each.name: i for i, each in enumerate(held)}
        found = Meetings(np.array([each.nbytes for each in held], dtype=np.int64), len(self.always))
        if not self.count:
            found.add_all()
        waiting = self.order.stages.waiting
        values = [v for v in waiting if v in index]
        places = np.array([index[v] for v in values], dtype=np.int64)
        numbers = {value: i for i, value in enumerate(values)}
        kept = np.array([waiting[v] for v in values], dtype=np.int64).T.copy()
        for laid, stage, own in zip(self.stages, stages, slots, strict=True):
            if stage.first_step == stage.end_step:
                continue
            names = [each.name for each in own]
            names += [*laid.whole, *(scratch_name(laid.first + k) for k in laid.shape.reducers)]
            touched = [index[name] for name in names]
            plain = [k for k in range(laid.end - laid.first) if self.scratch[laid.first + k]]
            scratch = [index[scratch_name(laid.first + k)] for k in plain]
            now = kept[laid.first]
            for value in laid.whole:
                now[numbers[value]] = 0
            waits = np.flatnonzero(now)
            begin = stage.first_step
            found.add(laid.shape, begin, touched, plain, scratch, places[waits], now[waits])
        return found


@dataclass(frozen=True, eq=False)
class Layout:
    """Stages, storages of shared slots, and all storages with the distances that they must keep."""

    stages: tuple[Stage, ...]
    slots: tuple[Held, ...]
    blocks: list[Block]
    distances: dict[tuple[str, str], int]
