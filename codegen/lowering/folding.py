"""Requantisation folded into one multiplication: numbers for tn_requantize_folded, with proof.

The reference rounds twice. As a function of the accumulator it is a staircase of at most 255 steps,
and so is floor((x * multiplier + b) / 2^n): they are equal for every accumulator that can occur if
the steps are at the same places. Where the output's zero point is not -128, halves of negative
values, which the reference rounds away from zero, rarely leave such a straight line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIGHT = 3  # what tn_requantize_folded shifts by behind the high word of the product
WIDE_RIGHT = 11  # and tn_requantize_folded_256
LARGEST = 2**22  # an accumulator's magnitude up to here keeps all products within int64
NEAR = np.arange(-48, 49)  # multipliers around the exact one that are tried
NO_STEP = 2**52  # a bound where there is none


@dataclass(frozen=True, eq=False)
class Folded:
    """Per channel. `offset` is added to the sum of even channels, to 256 times that of odd ones,
    whose `addend` is 0."""

    offset: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    addend: NDArray[np.int64]


def first_steps(
    multiplier: NDArray[np.int64],
    shift: NDArray[np.int64],
    zero_point: int,
    largest: NDArray[np.int64],
) -> NDArray[np.int64]:
    """[C, 255]: the least accumulator in -largest..largest whose output is j = -127..127 or more,
    largest + 1 where there is none. Multipliers >= 2^30, right shifts 1..23."""
    level = np.arange(-127, 128) - zero_point
    product = (level << shift[:, None]) - (1 << (shift[:, None] - 1)) + (level <= 0)
    least = -(((1 << 30) - (product << 31)) // multiplier[:, None])
    return np.clip(least, -largest[:, None], largest[:, None] + 1)


def fold(
    multiplier: NDArray[np.int64],
    shift: NDArray[np.int64],
    zero_point: int,
    largest: NDArray[np.int64],
) -> Folded | None:
    """Numbers of all channels, or None where some channel has none.

    Multipliers and right shifts are those of the reference, magnitudes of accumulators `largest`.
    """
    if np.any(largest > LARGEST) or np.any(shift > 23):
        return None
    steps = first_steps(multiplier, shift, zero_point, largest)
    exact = np.rint(np.ldexp(multiplier.astype(np.float64), 1 + RIGHT - shift)).astype(np.int64)
    folded = Folded(*(np.zeros(len(multiplier), np.int64) for _ in range(3)))
    for c in range(len(multiplier)):
        scale = 256 if c % 2 else 1
        tried = exact[c] + NEAR * max(1, exact[c] >> 26)
        tried = tried[(tried > 0) & (tried < 2**31)]
        low, high = bounds(steps[c], int(largest[c]), tried, scale, scale << (32 + RIGHT))
        for i in np.argsort(low - high):
            found = (_wide if c % 2 else narrow)(int(low[i]), int(high[i]), int(tried[i]))
            if found is not None and abs(found[0]) + scale * int(largest[c]) < 2**31:
                folded.multiplier[c] = tried[i]
                folded.offset[c], folded.addend[c] = found
                break
        else:
            return None
    return folded


def bounds(
    steps: NDArray[np.int64], largest: int, multiplier: NDArray[np.int64], scale: int, divisor: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """By multiplier: all b, low <= b < high, with the steps of floor((x * multiplier + b) /
    divisor) at x = scale * steps. `steps` are first_steps of a channel."""
    level = np.arange(-127, 128) * divisor
    reached, passed = steps <= largest, steps > -largest
    at = scale * steps * multiplier[:, None]
    low = np.where(reached, level - at, -NO_STEP).max(axis=1)
    high = np.where(passed, level - at + scale * multiplier[:, None], NO_STEP).min(axis=1)
    return low, high


def _wide(low: int, high: int, multiplier: int) -> tuple[int, int] | None:
    """The least offset, with low <= offset * multiplier < high; addend 0."""
    offset = _nearest(low, high, multiplier)
    return None if offset is None else (offset, 0)


def narrow(low: int, high: int, multiplier: int) -> tuple[int, int] | None:
    """Offset and addend, with low <= offset * multiplier + addend * 2^32 < high."""
    if low >= high:
        return None
    addend = _nearest(low, high, 2**32)
    if addend is not None:
        return 0, addend
    offset = _first_between(multiplier, 2**32, low % 2**32, (high - 1) % 2**32)
    return None if offset is None else (offset, (high - 1 - offset * multiplier) >> 32)


def _nearest(low: int, high: int, step: int) -> int | None:
    """The n nearest to 0 with low <= n * step < high."""
    least, most = -(-low // step), (high - 1) // step
    return min(max(least, 0), most) if least <= most else None


def _first_between(factor: int, modulus: int, low: int, high: int) -> int | None:
    """The least n >= 0 with low <= factor * n mod modulus <= high; 0 <= low <= high < modulus."""
    if low == 0:
        return 0
    if factor == 0:
        return None
    n = -(-low // factor)
    if factor * n <= high:
        return n
    turns = _first_between(modulus % factor, factor, -high % factor, -low % factor)
    return None if turns is None else -(-(low + modulus * turns) // factor)
