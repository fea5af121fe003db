"""What one call of a kernel does in a run, and how often its loops run so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from thumbnet.codegen.kernel import Call

Counts = dict[str, float]


@dataclass(frozen=True, eq=False)
class Work:
    """What one call of a kernel does in a run: `heights` of its bands of rows, how many of each."""

    call: Call
    heights: Mapping[int, int]
    in_pitch: int  # bytes of an input row
    out_pitch: int
    out_rows: int
    in_ring: bool  # whether an input is a ring
    out_ring: bool
    counts: Counts = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return sum(self.heights.values())

    @property
    def rows(self) -> int:
        return sum(height * n for height, n in self.heights.items())

    def number(self, name: str) -> int:
        """A field of the layer descriptor that is a number."""
        value = self.call.fields[name]
        assert isinstance(value, int)
        return value

    def numbers(self, *names: str) -> list[int]:
        return [self.number(name) for name in names]

    @property
    def clamps(self) -> bool:
        """Whether outputs are limited to less than an int8 holds."""
        return (self.number("out_min"), self.number("out_max")) != (-128, 127)

    def add(self, name: str, times: float) -> None:
        if times:
            self.counts[name] = self.counts.get(name, 0) + times

    def runs(self, flat: bool) -> dict[int, int]:
        """Rows that are computed as one flat run, how often: bands, or single rows."""
        return dict(self.heights) if flat else {1: self.rows}


def rows_inside(work: Work, kernel: str = "kernel_h") -> tuple[int, int]:
    """Rows under the windows of all output rows: inside the input, and outside."""
    in_h, height, stride, pad = work.numbers("in_h", kernel, "stride_h", "pad_top")
    first = np.arange(work.out_rows) * stride - pad
    rows = first[:, None] + np.arange(height) * work.number("dilation_h")
    inside = int(np.count_nonzero((rows >= 0) & (rows < in_h)))
    return inside, rows.size - inside


def count_outputs(work: Work, where: str, times: float) -> None:
    """`times` outputs through tn_requantize_s8."""
    work.add(f"{where}.fast" if work.number("fast_requantize") else f"{where}.exact", times)
    if work.clamps:
        work.add(f"{where}.clamp", times)
