"""Which cuts into stages are worth planning exactly.

One pass over all kernels as a single stage tells how many rows each ring would hold. With these,
the memory of any stage is a sum, and dynamic programming over the cuts finds the partition of least
memory; the planner then lays out the few best exactly. Branches need no special case: values that
cross a cut are whole, values inside a stage are rings, skip connections included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np

from thumbnet.codegen.rings import local_values, waiting_rows
from thumbnet.codegen.streaming import Flow, Ints, rows_of, stage_steps
from thumbnet.codegen.ticks import Clock, row_lives

BANDS = (1, 2, 4)  # rows a step that are tried
_FAR = 1 << 60


@dataclass(frozen=True)
class Choice:
    """A partition: `stages` as (first kernel, end kernel); rows a step, by kernel; kernels that run
    as reducers; and how much it costs in time, in steps."""

    stages: tuple[tuple[int, int], ...]
    bands: tuple[int, ...]
    reducers: frozenset[int]
    overhead: int


def layer_by_layer(flow: Flow) -> Choice:
    """Every kernel a stage of its own."""
    count = len(flow.kernels)
    return Choice(tuple((i, i + 1) for i in range(count)), (1,) * count, frozenset(), 0)


def candidates(flow: Flow, *, wide: bool = False) -> list[Choice]:
    """Partitions to lay out: layer by layer, and the best by estimate for several limits; `wide`:
    for limits up to what layer by layer needs."""
    count = len(flow.kernels)
    found = {layer_by_layer(flow)}
    if count < 2:
        return list(found)
    for estimate in _estimates(flow):
        variant, bands = estimate.flow, estimate.bands
        for stages in estimate.partitions(wide=wide):
            overhead = sum(estimate.steps(a, b) for a, b in stages)
            streamed = (i for a, b in stages if b - a > 1 for i in range(a, b))
            reducers = frozenset(i for i in streamed if variant.kernels[i].unit_rows)
            found.add(Choice(stages, (bands,) * count, reducers, overhead))
    return sorted(found, key=lambda c: (c.overhead, c.stages, c.bands, sorted(c.reducers)))


@lru_cache(maxsize=1)  # asked twice of the same flow
def _estimates(flow: Flow) -> list[_Estimate]:
    """With the kernels as they are, and with every reducer that there is."""
    kernels = flow.kernels
    reducing = [k for k in kernels if k.as_reducer is not None]
    reduced = flow.with_kernels([k.as_reducer or k for k in kernels]) if reducing else flow
    streamed = [_waiting(reduced, bands) for bands in BANDS]
    # Whether a kernel takes its rows as they come or at the end, it ends at the same moment, so
    # what others make waits as long as ever; but its own input waits for it with all its rows.
    own = (flow.tensor(flow.value_of[read.tensor]) for k in reducing for read in k.reads)
    all_rows = {tensor.name: tensor.rows for tensor in own}
    found = []
    for variant, waits in ((flow, all_rows), (reduced, {}))[: 2 if reducing else 1]:
        fixed = _fixed(variant)
        found += [
            _Estimate(variant, bands, {**waiting, **waits}, fixed)
            for bands, waiting in zip(BANDS, streamed, strict=True)
        ]
    return found


def _waiting(flow: Flow, bands: int) -> dict[str, int]:
    """How many rows of each local value wait at most when all kernels are one stage."""
    count = len(flow.kernels)
    clock = Clock(flow, stage_steps(flow, 0, count, (bands,) * count), 0, count)
    return {v: waiting_rows(*row_lives(clock, v)) for v in local_values(flow, 0, count)}


def _fixed(flow: Flow) -> Ints:
    """Bytes of every stage, by [first, end], but for rings: the larger of what goes in and out
    whole, what passes by, and the largest scratch."""
    going_in, going_out, passing = (_Rectangles(len(flow.kernels) + 1) for _ in range(3))
    for value in {**flow.maker, **dict.fromkeys(flow.readers, 0)}:
        maker, last = _life(flow, value)
        nbytes = flow.tensor(value).nbytes
        passing.add(maker + 1, last + 1, 0, last + 1, nbytes)
        going_in.add(maker + 1, last + 1, last + 1, None, nbytes)
        end = None if value in flow.whole else last + 1
        going_out.add(0, maker + 1, maker + 1, end, nbytes)
    scratch = np.zeros_like(passing.sums())
    for i, kernel in enumerate(flow.kernels):
        scratch[i, i + 1] = kernel.scratch_bytes
    return passing.sums() + np.maximum(going_in.sums(), going_out.sums()) + _most_inside(scratch)


def _life(flow: Flow, value: str) -> tuple[int, int]:
    """The kernel that makes a value and the last that reads it; -1 and past the end for others."""
    maker = flow.maker.get(value, -1)
    readers = flow.readers.get(value)
    if readers is None:
        return maker, len(flow.kernels) if value in flow.whole else maker
    return maker, max(i for i, _ in readers)


class _Rectangles:
    """Numbers that are each added to a rectangle of a square table."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.corners: list[tuple[int, int, int]] = []

    def add(self, top: int, bottom: int, left: int, right: int | None, number: int) -> None:
        """To rows [top, bottom) and columns [left, right), `right` None for all."""
        self.corners += [(top, left, number), (bottom, left, -number)]
        if right is not None:
            self.corners += [(top, right, -number), (bottom, right, number)]

    def sums(self) -> Ints:
        table = np.zeros((self.size + 1, self.size + 1), dtype=np.int64)
        if self.corners:
            rows, columns, numbers = np.array(self.corners, dtype=np.int64).T
            np.add.at(table, (rows, columns), numbers)
        return table.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]


def _most_inside(points: Ints) -> Ints:
    """By [first, end]: the largest of the points (i, j) with first <= i and j <= end."""
    return np.maximum.accumulate(np.maximum.accumulate(points[::-1], axis=0), axis=1)[::-1]


def _sum_inside(points: Ints) -> Ints:
    return points[::-1].cumsum(axis=0).cumsum(axis=1)[::-1]


class _Estimate:
    """Additive memory estimates of stages, from the rings that one single stage would have."""

    def __init__(self, flow: Flow, bands: int, waiting: Mapping[str, int], fixed: Ints) -> None:
        self.flow = flow
        self.bands = bands
        count = len(flow.kernels)
        # Of the rows of a ring, those of one band come while others read them; the slots that they
        # take serve all rings in turn.
        waits, comes = np.zeros((2, count + 1, count + 1), dtype=np.int64)
        local = set(local_values(flow, 0, count))
        for value in {**flow.maker, **dict.fromkeys(flow.readers, 0)}:
            tensor, (maker, last) = flow.tensor(value), _life(flow, value)
            if value in flow.whole or maker < 0:
                continue
            if value in local:
                band = min(bands, waiting[value])
                waits[maker, last + 1] += (waiting[value] - band) * tensor.row_bytes
                comes[maker, last + 1] = max(comes[maker, last + 1], band * tensor.row_bytes)
            else:
                waits[maker, last + 1] += tensor.nbytes
        rings = _sum_inside(waits) + _most_inside(comes)
        rings[np.arange(count), np.arange(1, count + 1)] = 0  # stages of one kernel
        self.memory: list[list[int]] = (fixed + rings).T.tolist()  # bytes by [end][first]
        steps_of = (-(-rows_of(flow.graph, kernel) // bands) for kernel in flow.kernels)
        self.steps_before = list(accumulate(steps_of, initial=0))

    def steps(self, first: int, end: int) -> int:
        """Steps of a stage beyond the one that a stage of a single kernel has."""
        return self.steps_before[end] - self.steps_before[first] - 1 if end - first > 1 else 0

    def partitions(self, *, wide: bool) -> list[tuple[tuple[int, int], ...]]:
        """The partition of least memory, and those of fewest steps within 5, 15 and 40 % more;
        `wide`: and so on by 20 %, up to layer by layer."""
        least = [0]
        for end in range(1, len(self.memory)):
            least.append(min(map(max, least, self.memory[end])))
        limits = [slack * least[-1] for slack in (1.0, 1.05, 1.15, 1.4)]
        most = max(self.memory[i + 1][i] for i in range(len(self.memory) - 1))
        while wide and limits[-1] < most:
            limits.append(1.2 * limits[-1])
        found = []
        for limit in limits:
            stages = self._fewest_steps(int(limit))
            if stages not in found:
                found.append(stages)
        return found

    def _fewest_steps(self, limit: int) -> tuple[tuple[int, int], ...]:
        before = self.steps_before
        best, start = [0], [0]  # by end: the fewest steps up to there, where the last stage starts
        saved = [0]  # best - before
        for end in range(1, len(self.memory)):
            memory = self.memory[end]
            fewest, first = _FAR, end - 1
            for i in range(end - 1):
                if memory[i] <= limit and saved[i] < fewest:
                    fewest, first = saved[i], i
            fewest += before[end] - 1
            if memory[end - 1] <= limit and best[end - 1] < fewest:
                fewest, first = best[end - 1], end - 1
            best.append(min(fewest, _FAR))
            saved.append(best[end] - before[end])
            start.append(first)
        stages: list[tuple[int, int]] = []
        end = len(start) - 1
        while end:
            stages.append((start[end], end))
            end = start[end]
        return tuple(reversed(stages))
