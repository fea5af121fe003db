"""How close storages may come in a whole schedule, put together from its stages.

Lifetimes.py tells the distances among what a stage's kernels touch. All else that is live meanwhile
waits, and lies still: two intervals of bytes, of which one is always the same, may come as close as
the extremes of the other allow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thumbnet.codegen.lifetimes import FAR
from thumbnet.codegen.stages import Shape
from thumbnet.codegen.streaming import Ints


class Meetings:
    """Storages are numbers; the first `always` of them are held whatever runs."""

    def __init__(self, nbytes: Ints, always: int) -> None:
        count = len(nbytes)
        self.nbytes = nbytes
        self.always = always
        self.gaps = np.full((count, count), -FAR, dtype=np.int64)  # [lower, upper]
        self.first = np.full(count, FAR, dtype=np.int64)  # step
        self.last = np.full(count, -1, dtype=np.int64)

    def add_all(self) -> None:
        """All of them at once."""
        self.gaps = np.repeat(self.nbytes[:, None], len(self.nbytes), axis=1)
        self.first[:] = self.last[:] = 0

    def add(
        self,
        shape: Shape,
        begin: int,
        touched: Sequence[int],
        running: Sequence[int],
        scratch: Sequence[int],
        waiting: Ints,
        kept: Ints,
    ) -> None:
        """A stage whose first step is `begin`. `touched` are the storages of `shape.touched`,
        `scratch` those of its kernels `running`; of `waiting` ones the last `kept` bytes are."""
        nbytes, seen = self.nbytes, shape.touched
        low, high = np.full_like(nbytes, FAR), np.full_like(nbytes, -FAR)
        low[: self.always], high[: self.always] = 0, nbytes[: self.always]
        full = nbytes[waiting]
        low[waiting], high[waiting] = full - kept, full
        own = np.array(touched, dtype=np.int64)
        low[own], high[own] = seen.low, seen.high
        gaps = high[:, None] - low
        gaps[own[:, None], own] = seen.gaps
        self._span(waiting, begin, begin + len(shape.steps) - 1)
        self._span(own, begin + seen.first, begin + seen.last)
        for kernel, storage in zip(running, scratch, strict=True):
            size, steps = nbytes[storage], np.flatnonzero(shape.steps.kernel == kernel)
            gaps[storage], gaps[:, storage] = size - low, high
            gaps[storage, own], gaps[own, storage] = (
                size - seen.own_low[kernel],
                seen.own_high[kernel],
            )
            gaps[storage, storage] = -FAR
            if steps.size:
                self._span(storage, begin + int(steps[0]), begin + int(steps[-1]))
        np.maximum(self.gaps, gaps, out=self.gaps)

    def _span(self, storages: Ints | int, first: Ints | int, last: Ints | int) -> None:
        self.first[storages] = np.minimum(self.first[storages], first)
        self.last[storages] = np.maximum(self.last[storages], last)

    def spans(self) -> list[tuple[int, int]]:
        """First and last step at which each storage is live; 0, 0 where it never is."""
        first = np.where(self.last >= 0, self.first, 0).tolist()
        return list(zip(first, np.maximum(self.last, 0).tolist(), strict=True))

    def distances(self, names: Sequence[str]) -> dict[tuple[str, str], int]:
        """(lower, upper) -> least distance from start to start, for all pairs that ever meet."""
        meets = self.gaps > -FAR // 2
        np.fill_diagonal(meets, False)
        lower, upper = np.nonzero(meets)
        found = np.clip(self.gaps[lower, upper], 0, self.nbytes[lower])
        pairs = zip(lower.tolist(), upper.tolist(), found.tolist(), strict=True)
        return {(names[i], names[j]): distance for i, j, distance in pairs}
