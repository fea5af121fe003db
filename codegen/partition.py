"""Which cuts into stages are worth planning exactly.

One pass over all kernels as a single stage tells how many rows each ring would hold. With these,
the memory of any stage is a sum, and dynamic programming over the cuts finds the partition of least
memory; the planner then lays out the few best exactly. Branches need no special case: values that
cross a cut are whole, values inside a stage are rings, skip connections included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from thumbnet.codegen.rings import local_values, waiting_rows
from thumbnet.codegen.streaming import Flow, rows_of, stage_steps
from thumbnet.codegen.ticks import Clock, row_lives


@dataclass(frozen=True)
class Choice:
    """A partition: `stages` as (first kernel, end kernel); rows a step, by kernel; kernels that run
    as reducers; and how much it costs in time, in steps."""

    stages: tuple[tuple[int, int], ...]
    bands: tuple[int, ...]
    reducers: frozenset[int]
    overhead: int


def candidates(flow: Flow, *, wide: bool = False) -> list[Choice]:
    """Partitions to lay out: layer by layer, and the best by estimate for several limits; `wide`:
    for limits up to what layer by layer needs."""
    count = len(flow.kernels)
    singles = tuple((i, i + 1) for i in range(count))
    plain = Choice(singles, (1,) * count, frozenset(), 0)
    if count < 2:
        return [plain]
    found = {plain}
    for variant in _variants(flow):
        for bands in (1, 2, 4):
            estimate = _Estimate(variant, (bands,) * count)
            for stages in estimate.partitions(wide=wide):
                overhead = sum(estimate.steps(a, b) for a, b in stages)
                streamed = (i for a, b in stages if b - a > 1 for i in range(a, b))
                reducers = frozenset(i for i in streamed if variant.kernels[i].unit_rows)
                found.add(Choice(stages, (bands,) * count, reducers, overhead))
    return sorted(found, key=lambda c: (c.overhead, c.stages, c.bands, sorted(c.reducers)))


def _variants(flow: Flow) -> list[Flow]:
    """The kernels as they are, and with every reducer that there is."""
    reduced = [kernel.as_reducer or kernel for kernel in flow.kernels]
    if all(kernel.as_reducer is None for kernel in flow.kernels):
        return [flow]
    return [flow, flow.with_kernels(reduced)]


class _Estimate:
    """Additive memory estimates of stages, from the rings that one single stage would have."""

    def __init__(self, flow: Flow, bands: Sequence[int]) -> None:
        self.flow = flow
        self.count = len(flow.kernels)
        steps = stage_steps(flow, 0, self.count, bands)
        clock = Clock(flow, steps)
        # Of the rows of a ring, those of one band come while others read them; the slots that they
        # take serve all rings in turn.
        self.coming: dict[str, int] = {}  # bytes
        self.waiting: dict[str, int] = {}
        for value in local_values(flow, 0, self.count):
            row_bytes, rows = flow.tensor(value).row_bytes, waiting_rows(*row_lives(clock, value))
            band = min(bands[flow.maker[value]], rows)
            self.coming[value], self.waiting[value] = band * row_bytes, (rows - band) * row_bytes
        steps_of = (-(-rows_of(flow.graph, k) // bands[i]) for i, k in enumerate(flow.kernels))
        self.steps_before = list(accumulate(steps_of, initial=0))
        self.last_reader = {v: max(i for i, _ in r) for v, r in flow.readers.items()}

    def steps(self, first: int, end: int) -> int:
        """Steps of a stage beyond the one that a stage of a single kernel has."""
        return self.steps_before[end] - self.steps_before[first] - 1 if end - first > 1 else 0

    def memory(self) -> list[list[int]]:
        """Bytes of every stage, by [first][end]: the larger of what goes in and out whole, what
        passes by, rings, and the largest scratch.

        Each value counts as the same thing for a rectangle of stages: `[:m]` are those that begin
        before kernel m, `[:, m:]` those that end at m or later. Entries with end <= first mean
        nothing.
        """
        flow = self.flow
        going_in, going_out, passing, waiting, coming, scratch = np.zeros(
            (6, self.count + 1, self.count + 1), dtype=np.int64
        )
        for value in {**flow.maker, **dict.fromkeys(flow.readers, 0)}:
            maker = flow.maker.get(value, -1)
            last = self.last_reader.get(value, maker)
            if value in flow.whole and value not in flow.readers:
                last = self.count
            nbytes = flow.tensor(value).nbytes
            passing[maker + 1 : last + 1, : last + 1] += nbytes
            going_in[maker + 1 : last + 1, last + 1 :] += nbytes
            if value in flow.whole:
                going_out[: maker + 1, maker + 1 :] += nbytes
                continue
            going_out[: maker + 1, maker + 1 : last + 1] += nbytes
            inside = slice(maker + 1), slice(last + 1, None)
            waiting[inside] += self.waiting.get(value, nbytes)
            coming[inside] = np.maximum(coming[inside], self.coming.get(value, 0))
        for i, kernel in enumerate(flow.kernels):
            inside = slice(i + 1), slice(i + 1, None)
            least = kernel.with_less_scratch or kernel
            scratch[inside] = np.maximum(scratch[inside], least.scratch_bytes)
        waiting += coming
        waiting[np.arange(self.count), np.arange(1, self.count + 1)] = 0  # stages of one kernel
        table: list[list[int]] = (
            passing + np.maximum(going_in, going_out) + waiting + scratch
        ).tolist()
        return table

    def partitions(self, *, wide: bool) -> list[tuple[tuple[int, int], ...]]:
        """The partition of least memory, and those of fewest steps within 5, 15 and 40 % more;
        `wide`: and so on by 20 %, up to layer by layer."""
        table = self.memory()
        least = [0] + [1 << 60] * self.count
        for j in range(1, self.count + 1):
            least[j] = min(max(least[i], table[i][j]) for i in range(j))
        limits = [slack * least[-1] for slack in (1.0, 1.05, 1.15, 1.4)]
        most = max(table[i][i + 1] for i in range(self.count))
        while wide and limits[-1] < most:
            limits.append(1.2 * limits[-1])
        found = []
        for limit in limits:
            stages = self._fewest_steps(table, int(limit))
            if stages not in found:
                found.append(stages)
        return found

    def _fewest_steps(
        self, table: Sequence[Sequence[int]], limit: int
    ) -> tuple[tuple[int, int], ...]:
        best: list[tuple[int, int]] = [(0, 0)] + [(1 << 60, 0)] * self.count
        for j in range(1, self.count + 1):
            options = [(best[i][0] + self.steps(i, j), i) for i in range(j) if table[i][j] <= limit]
            best[j] = min(options, default=(1 << 60, j - 1))
        stages: list[tuple[int, int]] = []
        end = self.count
        while end:
            stages.append((best[end][1], end))
            end = best[end][1]
        return tuple(reversed(stages))
