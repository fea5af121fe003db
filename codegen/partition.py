"""Which cuts into stages are worth planning exactly.

One pass over all kernels as a single stage tells how many rows each ring would hold. With these,
the memory of any stage is a sum, and dynamic programming over the cuts finds the partition of least
memory; the planner then lays out the few best exactly. Branches need no special case: values that
cross a cut are whole, values inside a stage are rings, skip connections included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thumbnet.codegen.schedule import Stage
from thumbnet.codegen.streaming import Flow, ring_rows, rows_of, stage_steps

STEP_OVERHEAD = 1  # every step of a stage of several kernels


@dataclass(frozen=True)
class Choice:
    """A partition: `stages` as (first kernel, end kernel); rows a step, by kernel; kernels that run
    as reducers; and how much it costs in time, in steps."""

    stages: tuple[tuple[int, int], ...]
    bands: tuple[int, ...]
    reducers: frozenset[int]
    overhead: int


def candidates(flow: Flow) -> list[Choice]:
    """Partitions to lay out: layer by layer, and the best by estimate for several limits."""
    count = len(flow.kernels)
    singles = tuple((i, i + 1) for i in range(count))
    plain = Choice(singles, (1,) * count, frozenset(), 0)
    if count < 2:
        return [plain]
    found = [plain]
    for bands in (1, 2, 4):
        estimate = _Estimate(flow, (bands,) * count)
        for stages in estimate.partitions():
            overhead = sum(estimate.steps(a, b) for a, b in stages)
            choice = Choice(stages, (bands,) * count, frozenset(), overhead)
            if all(choice.stages != c.stages or choice.bands != c.bands for c in found):
                found.append(choice)
    return found


class _Estimate:
    """Additive memory estimates of stages, from the rings that one single stage would have."""

    def __init__(self, flow: Flow, bands: Sequence[int]) -> None:
        self.flow = flow
        self.count = len(flow.kernels)
        steps = stage_steps(flow, 0, self.count, bands)
        stage = Stage(0, self.count, 0, len(steps))
        rings = ring_rows(flow, [stage], steps)
        self.ring_bytes = {v: r * flow.tensor(v).row_bytes for v, r in rings.items()}
        self.rows = [
            -(-rows_of(flow.graph, k) // bands[i]) for i, k in enumerate(flow.kernels)
        ]
        self.last_reader = {v: max(i for i, _ in r) for v, r in flow.readers.items()}

    def steps(self, first: int, end: int) -> int:
        """Steps of a stage beyond the one that a stage of a single kernel has."""
        return sum(self.rows[first:end]) - 1 if end - first > 1 else 0

    def memory(self, first: int, end: int) -> int:
        """Bytes of the stage: the larger of what goes in and out whole, what passes by, rings, and
        the largest scratch."""
        flow = self.flow
        going_in = going_out = passing = rings = 0
        for value in {**flow.maker, **dict.fromkeys(flow.readers, 0)}:
            maker = flow.maker.get(value, -1)
            last = self.last_reader.get(value, maker)
            if value in flow.whole and value not in flow.readers:
                last = self.count
            if maker >= end or last < first:
                continue
            nbytes = flow.tensor(value).nbytes
            if maker < first:
                if last >= end:
                    passing += nbytes
                else:
                    going_in += nbytes
            elif last >= end or value in flow.whole:
                going_out += nbytes
            elif end - first > 1:
                rings += self.ring_bytes.get(value, nbytes)
        scratch = max(k.scratch_bytes for k in flow.kernels[first:end])
        return passing + max(going_in, going_out) + rings + scratch

    def partitions(self) -> list[tuple[tuple[int, int], ...]]:
        """The partition of least memory, and those of fewest steps within 5, 15 and 40 % more."""
        table = [
            [self.memory(i, j) if j > i else 0 for j in range(self.count + 1)]
            for i in range(self.count)
        ]
        least = [0] + [1 << 60] * self.count
        for j in range(1, self.count + 1):
            least[j] = min(max(least[i], table[i][j]) for i in range(j))
        found = []
        for slack in (1.0, 1.05, 1.15, 1.4):
            stages = self._fewest_steps(table, int(least[-1] * slack))
            if stages not in found:
                found.append(stages)
        return found

    def _fewest_steps(
        self, table: Sequence[Sequence[int]], limit: int
    ) -> tuple[tuple[int, int], ...]:
        best: list[tuple[int, int]] = [(0, 0)] + [(1 << 60, 0)] * self.count
        for j in range(1, self.count + 1):
            options = [
                (best[i][0] + self.steps(i, j), i) for i in range(j) if table[i][j] <= limit
            ]
            best[j] = min(options, default=(1 << 60, j - 1))
        stages: list[tuple[int, int]] = []
        end = self.count
        while end:
            stages.append((best[end][1], end))
            end = best[end][1]
        return tuple(reversed(stages))
