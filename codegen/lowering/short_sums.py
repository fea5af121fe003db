"""Rescaling with one shift: numbers for tn_elementwise.h and tn_reduce.h, with proof.

The reference rescales one operand, adds and rescales the sum, with three roundings. The short form
takes out = (floor(a * m / 2^8) + floor(b * n / 2^8) + offset) >> SHIFT. There are only 65,536 pairs
of operands, so every pair is tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHIFT = 21  # TN_SHORT_SHIFT
FRACTION = 8  # bits of the products that are dropped
NO_BOUND = 2**40
STEPS = (0, 8, -8, 24, -24, 64, -64)  # added to a multiplier, in turn; magnitudes ~ 2^29
BYTES = np.arange(-128, 128, dtype=np.int64)


@dataclass(frozen=True)
class ShortSum:
    """a_multiplier, b_multiplier and offset, all int32."""

    a: int
    b: int
    offset: int


def short_sum(
    outputs: NDArray[np.int64], a: float, b: float, low: int, high: int
) -> ShortSum | None:
    """Numbers that give `outputs` [256, 256], limited to low..high, for all operands a (rows) and b
    (columns) from -128 on; None where none are found. The real multipliers are `a` and `b`."""
    least, most = _bounds(outputs, low, high)
    exact = [round(np.ldexp(real, SHIFT + FRACTION)) for real in (a, b)]
    if max(map(abs, exact)) + max(STEPS) >= 2**31:
        return None
    for step_a in STEPS:
        first = (BYTES * (exact[0] + step_a)) >> FRACTION
        for step_b in STEPS:
            second = (BYTES * (exact[1] + step_b)) >> FRACTION
            sums = first[:, None] + second
            lowest, highest = int((least - sums).max()), int((most - sums).min())
            offset = (lowest + highest) // 2
            reach = int(np.abs(first).max() + np.abs(second).max()) + abs(offset)
            if lowest < highest and reach < 2**31:
                return ShortSum(exact[0] + step_a, exact[1] + step_b, offset)
    return None


def short_multiple(
    sums: NDArray[np.int64], outputs: NDArray[np.int64], real: float
) -> tuple[int, int] | None:
    """(multiplier, offset) with (sum * multiplier + offset) >> SHIFT, limited to an int8, the
    output for each of `sums`; None where none are found. The real multiplier is `real`."""
    least, most = _bounds(outputs, -128, 127)
    exact = round(np.ldexp(real, SHIFT))
    for multiplier in (exact, exact + 1, exact - 1):
        products = sums * multiplier
        lowest, highest = int((least - products).max()), int((most - products).min())
        offset = (lowest + highest) // 2
        if lowest < highest and int(np.abs(products).max()) + abs(offset) < 2**31:
            return multiplier, offset
    return None


def _bounds(
    outputs: NDArray[np.int64], low: int, high: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least value, and the one behind the most, whose floor(value / 2^SHIFT), limited to low..high,
    is the output so limited."""
    limited = np.clip(outputs, low, high)
    least = np.where(limited > low, limited << SHIFT, -NO_BOUND)
    return least, np.where(limited < high, (limited + 1) << SHIFT, NO_BOUND)
