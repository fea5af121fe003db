"""Requantisation in two instructions where it is exact: one rounding instead of two.

An output of zero point -128 that saturates as an int8 does is a step function of its accumulator:
255 steps up, at most. Where the steps of (addend + round(x' * multiplier / 2^32)) >> 4, x' the
accumulator plus an offset that its bias takes in, lie at the same accumulators, both are the same
function. Offsets are looked for whose part of a step is nearly what the double rounding adds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.lowering.packing import Requantization

SHORT = 2  # of Requantization.fast: tn_requantize_short
SHIFTS = range(5, 21)  # right shifts of the usual form that there is a short one for
Ints = NDArray[np.int64]
BITS = 4  # TN_SHORT_BITS
_OFFSETS = (1 << 10, 1 << 13, 1 << 16)  # that are looked at
_TRIED = 32  # of them, the nearest


def shortened(numbers: Requantization, output: dict[str, int]) -> Requantization:
    """`numbers` in the short form, or as they are where it is not exact for every channel."""
    saturates = (output["out_zero_point"], output["out_min"], output["out_max"]) == (
        -128,
        -128,
        127,
    )
    if numbers.fast != 1 or not saturates or not np.all(np.isin(numbers.shift, SHIFTS)):
        return numbers
    found = []
    for doubled, shift, largest in zip(
        numbers.multiplier.tolist(), numbers.shift.tolist(), numbers.largest.tolist(), strict=True
    ):
        multiplier = (doubled + 2**32) // 2
        short = _short(multiplier, shift, largest)
        if short is None:
            return numbers
        found.append(short)
    offset, multiplier, addend = np.array(found, np.int64).reshape(-1, 3).T
    largest = np.abs(numbers.largest) + np.abs(offset)
    return replace(
        numbers,
        bias=(numbers.bias + offset).astype(np.int32),
        multiplier=multiplier.astype(np.int32),
        shift=addend.astype(np.int16),
        fast=SHORT,
        largest=largest,
    )


@lru_cache(maxsize=4096)
def _steps(multiplier: int, shift: int) -> Ints:
    """The least accumulators of outputs -127 to 127: floor((x * multiplier + 2^30) / 2^31) is at
    least (n - 1/2) * 2^shift for the nth."""
    least = [(2 * n - 1) << (shift - 1) for n in range(1, 256)]
    return np.array([-(-((rounded << 31) - (1 << 30)) // multiplier) for rounded in least])


@lru_cache(maxsize=1 << 16)
def _short(multiplier: int, shift: int, largest: int) -> tuple[int, int, int] | None:
    """Offset of the accumulator, multiplier and addend that make the same steps up to `largest`."""
    real = multiplier * 2.0 ** -(31 + shift)
    steps = _steps(multiplier, shift)
    reached = int(np.count_nonzero(steps <= largest))
    steps = np.minimum(steps[: reached + 1], largest + 1)  # the next one is not made
    output = np.arange(1, len(steps) + 1)
    for count in _OFFSETS:
        offset = -np.arange(min(count, int(2 ** (14 - BITS) / real)))
        part = 2**BITS * (offset * real - 0.5 - 2.0 ** -(shift + 1)) + 0.5
        whole = np.round(part).astype(np.int64)
        apart = np.abs(part - whole)
        nearest = np.argsort(apart, kind="stable")[:_TRIED]
        offset, whole = offset[nearest, None], whole[nearest, None]
        # at x the step is made, before it is not: multiplier * x >= level > multiplier * (x - 1)
        level, x = (((output << BITS) + whole) << 32) - (1 << 31), steps + offset
        made = slice(None), slice(reached)
        low, high = _multipliers(x[made], level[made])
        not_before = _multipliers(1 - x, 1 - level)
        most = np.maximum(low, not_before[0])
        fitting = np.flatnonzero(most <= np.minimum(high, not_before[1]))
        if len(fitting):
            i = fitting[0]
            return int(offset[i, 0]), int(most[i]), -(128 << BITS) - int(whole[i, 0])
    return None


def _multipliers(x: Ints, level: Ints) -> tuple[Ints, Ints]:
    """By row: the least and the largest int32 m >= 1 with m * x >= level for all of the row."""
    up, down = x > 0, x < 0
    low = np.where(up, -(-level // np.where(up, x, 1)), 1)
    high = np.where(down, level // np.where(down, x, -1), 2**31 - 1)
    low[(x == 0) & (level > 0)] = 2**31
    return low.max(axis=1, initial=1), high.min(axis=1, initial=2**31 - 1)
