"""One stage by itself: its steps, slots and most live bytes, whatever the stages around it.

While a stage runs, values that other stages make or read lie whole and still. So what happens in it
follows from its own kernels, in which forms and bands they run: partitions that have a stage in
common share its layout, which is made once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from thumbnet.codegen.kernel import FEED, Kernel, Read
from thumbnet.codegen.lifetimes import FAR, Held, Lifetimes, lifetimes
from thumbnet.codegen.rings import Slots, make_slots
from thumbnet.codegen.schedule import Ring, Step, scratch_name
from thumbnet.codegen.streaming import Flow, Ints, StageSteps, stage_steps
from thumbnet.codegen.ticks import Clock, first_needed


@dataclass(frozen=True)
class Form:
    """How the kernels of a stage run: see `streaming.stage_steps` and `rings.make_slots`."""

    bands: tuple[int, ...]
    split: bool
    reducers: frozenset[int]  # kernels of the stage that run as reducers
    shared: bool


@dataclass(frozen=True, eq=False)
class Touched:
    """Storages that a stage's kernels write or read, and when: its slots, then values that are
    whole, then the scratch of reducers. `low` and `high` bound the bytes that are ever live,
    `first` and `last` the steps; where one is never live, low and first are far above them.
    `gaps` are those of `Lifetimes`. `own_low`, `own_high` [kernel, storage] bound what is live
    while the kernel runs."""

    low: Ints
    high: Ints
    first: Ints
    last: Ints
    gaps: Ints
    own_low: Ints
    own_high: Ints


@dataclass(frozen=True, eq=False)
class Shape:
    """What a layout is whatever its kernels and values are called: they are numbers, in the order
    in which the stage names them. `live`, by step, and `peaks`, by kernel, lack what only waits
    while the stage runs, and scratch, but for that of reducers. `heights`, by kernel: how many of
    its steps are of how many rows."""

    steps: StageSteps
    heights: tuple[Mapping[int, int], ...]
    slots: tuple[tuple[int, int, tuple[tuple[int, Ring], ...]], ...]  # row bytes, count, rings
    whole: tuple[int, ...]  # values
    reducers: tuple[int, ...]  # kernels
    live: Ints
    peaks: tuple[int, ...]
    touched: Touched


@dataclass(frozen=True, eq=False)
class StageLayout:
    """Of kernels [first, end). `waits`: bytes that wait while it runs, untouched, but for what is
    always held."""

    first: int
    end: int
    slots: tuple[Slots, ...]
    whole: tuple[str, ...]
    waits: int
    shape: Shape

    @property
    def steps(self) -> Iterator[Step]:
        steps = self.shape.steps
        return iter(StageSteps(steps.kernel + self.first, steps.begin, steps.end))

    @cached_property
    def shares(self) -> bool:
        """Whether rows of several values share slots."""
        return any(len(slots.rings) > 1 for slots in self.slots)

    @cached_property
    def rings(self) -> frozenset[str]:
        """Values that are rings."""
        return frozenset(value for slots in self.slots for value in slots.rings)


MOST_KNOWN = 8_000
_known: dict[tuple[object, ...], Shape] = {}


class Stages:
    """The stages of one order of kernels.

    `storage_of` names the values that have a storage; `apart` are those that are always held, as
    variables are; `inputs` are live from the start, `outputs` (values) to the end.
    """

    def __init__(
        self,
        flow: Flow,
        storage_of: Mapping[str, str],
        apart: frozenset[str],
        inputs: Sequence[str],
        outputs: frozenset[str],
    ) -> None:
        self.flow = flow
        self.storage_of = storage_of
        self.inputs = inputs
        self.outputs = outputs
        self._flows: dict[frozenset[int], Flow] = {frozenset(): flow}
        self._layouts: dict[tuple[int, int, Form], StageLayout] = {}
        self._facts: dict[Kernel, tuple[object, ...]] = {}
        count = len(flow.kernels)
        self.waiting = {v: self._waiting_bytes(v) for v in storage_of if v not in apart}
        self._passing = [sum(w[cut] for w in self.waiting.values()) for cut in range(count + 1)]

    def layout(self, first: int, end: int, form: Form) -> StageLayout:
        key = first, end, form
        if key not in self._layouts:
            self._layouts[key] = self._laid_out(first, end, form)
        return self._layouts[key]

    def flow_of(self, reducers: frozenset[int]) -> Flow:
        """The flow in which these kernels are reducers."""
        if reducers not in self._flows:
            kernels = [
                kernel.as_reducer if i in reducers and kernel.as_reducer is not None else kernel
                for i, kernel in enumerate(self.flow.kernels)
            ]
            self._flows[reducers] = self.flow.with_kernels(kernels)
        return self._flows[reducers]

    def _laid_out(self, first: int, end: int, form: Form) -> StageLayout:
        flow = self.flow_of(form.reducers)
        values = self._values(flow, first, end)
        key = self._key(flow, first, end, form, values)
        shape = _known.get(key)
        if shape is None:
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            shape = _known[key] = self._shape(flow, first, end, form, values)
        names = list(values)
        slots = tuple([
            Slots(row_bytes, count, {names[i]: ring for i, ring in rings})
            for row_bytes, count, rings in shape.slots
        ])  # fmt: skip
        touched = sum(waiting[first] for v in names if (waiting := self.waiting.get(v)))
        waits = self._passing[first] - touched
        return StageLayout(first, end, slots, tuple([names[i] for i in shape.whole]), waits, shape)

    def _values(self, flow: Flow, first: int, end: int) -> dict[str, int]:
        """Numbers of the values that the stage makes or reads, and of inputs that it brings."""
        numbers: dict[str, int] = {}
        for kernel in flow.kernels[first:end]:
            numbers.setdefault(flow.value_of[kernel.output], len(numbers))
            for read in kernel.reads:
                numbers.setdefault(flow.value_of[read.tensor], len(numbers))
        if not first:
            for name in self.inputs:
                numbers.setdefault(name, len(numbers))
        return numbers

    def _key(
        self, flow: Flow, first: int, end: int, form: Form, values: Mapping[str, int]
    ) -> tuple[object, ...]:
        """All that `_shape` depends on."""
        value_of = flow.value_of
        kernels = tuple([
            (
                self._fact(kernel),
                values[value_of[kernel.output]],
                *[values[value_of[read.tensor]] for read in kernel.reads],
            )
            for kernel in flow.kernels[first:end]
        ])  # fmt: skip
        facts = tuple([self._value_fact(flow, value, first, end) for value in values])
        bands = form.bands[first:end] if form.split or end - first > 1 else ()
        return bands, form.split, form.shared, not first, kernels, facts

    def _fact(self, kernel: Kernel) -> tuple[object, ...]:
        found = self._facts.get(kernel)
        if found is None:
            output, tensors = self.flow.tensor(kernel.output), self.flow.graph.tensors
            reads = [(read, tensors[read.tensor]) for read in kernel.reads]
            found = self._facts[kernel] = (
                kernel.kind == FEED,
                kernel.band,
                kernel.unit_rows,
                kernel.scratch_bytes if kernel.unit_rows else 0,
                (output.rows, output.row_bytes),
                *((r.window, r.overlap, t.rows, t.row_bytes, t.nbytes) for r, t in reads),
            )
        return found

    def _value_fact(self, flow: Flow, value: str, first: int, end: int) -> tuple[object, ...]:
        tensor, waiting = flow.tensor(value), self.waiting.get(value)
        maker, readers = flow.maker.get(value), flow.readers.get(value, ())
        return (
            tensor.nbytes,
            tensor.rows,
            value in flow.whole,
            value in self.outputs,
            value in self.inputs,
            maker is None or maker < first,
            bool(readers) and readers[-1][0] >= end,
            waiting and (waiting[first], waiting[end]),
        )

    def _shape(
        self, flow: Flow, first: int, end: int, form: Form, values: Mapping[str, int]
    ) -> Shape:
        steps = stage_steps(flow, first, end, form.bands, split=form.split)
        clock = Clock(flow, steps, first, end)
        slots = make_slots(clock, first, end, shared=form.shared)
        held = [each.held(0) for each in slots]
        in_slots = {value: item.name for item in held for value in item.rings}
        whole = [v for v in values if v in self.waiting and v not in in_slots]
        held += [Held(value, flow.tensor(value).nbytes) for value in whole]
        reducers = [k for k in range(first, end) if flow.kernels[k].unit_rows]
        reducers = [k for k in reducers if flow.kernels[k].scratch_bytes]
        held += [Held(scratch_name(k), flow.kernels[k].scratch_bytes, kernel=k) for k in reducers]
        storage_of = {**self.storage_of, **in_slots}
        lives = lifetimes(clock, held, storage_of, self.inputs, self.outputs)
        live, peaks = np.zeros(len(steps), np.int64), np.zeros(end - first, np.int64)
        if len(steps):
            by_tick = lives.live_by_tick()
            np.maximum.at(live, clock.step, by_tick)
            np.maximum.at(peaks, clock.kernel - first, by_tick)
        heights: list[dict[int, int]] = [{} for _ in peaks]
        rows = (steps.end - steps.begin).tolist()
        for kernel, height in zip((steps.kernel - first).tolist(), rows, strict=True):
            heights[kernel][height] = heights[kernel].get(height, 0) + 1
        return Shape(
            steps=StageSteps(steps.kernel - first, steps.begin, steps.end),
            heights=tuple(heights),
            slots=tuple(
                (each.row_bytes, each.count, tuple((values[v], r) for v, r in each.rings.items()))
                for each in slots
            ),
            whole=tuple(values[v] for v in whole),
            reducers=tuple(k - first for k in reducers),
            live=live,
            peaks=tuple(peaks.tolist()),
            touched=_touched(clock, lives),
        )

    def _waiting_bytes(self, value: str) -> list[int]:
        """By cut before each kernel: how much of a value is kept across it."""
        flow, count = self.flow, len(self.flow.kernels)
        tensor = flow.tensor(value)
        maker = flow.maker.get(value, -1 if value in self.inputs else count)
        needed, kept = (0 if value in self.outputs else tensor.nbytes), [0] * (count + 1)
        readers = sorted(flow.readers.get(value, ()), key=lambda entry: -entry[0])
        at = 0
        for cut in range(count, maker, -1):
            while at < len(readers) and readers[at][0] >= cut:
                needed = min(needed, self._first_byte(*readers[at], tensor.nbytes))
                at += 1
            kept[cut] = tensor.nbytes - needed
        return kept

    def _first_byte(self, reader: int, read: Read, nbytes: int) -> int:
        return int(first_needed(self.flow, reader, read, nbytes)[0])


def _touched(clock: Clock, lives: Lifetimes) -> Touched:
    low, high = lives.low, lives.high
    kernels = [clock.ticks_of(k) for k in clock.kernels]
    live = high > low
    ever = live.any(axis=1)
    last = live.shape[1] - 1 - live[:, ::-1].argmax(axis=1)
    return Touched(
        low=low.min(axis=1),
        high=high.max(axis=1),
        first=np.where(ever, lives.step_of_tick[live.argmax(axis=1)], FAR),
        last=np.where(ever, lives.step_of_tick[last], -FAR),
        gaps=lives.gaps(),
        own_low=np.stack([low[:, own].min(axis=1, initial=FAR) for own in kernels]),
        own_high=np.stack([high[:, own].max(axis=1, initial=-FAR) for own in kernels]),
    )
