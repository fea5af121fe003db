"""Exact numpy twins of the fixed-point functions behind LOGISTIC, TANH and SOFTMAX.

A number is an int32 "raw" with I integer bits: value = raw * 2**(I - 31); ``q(I)`` names the format
below. All functions take and return int64 arrays that hold int32 values. Source: the published
definitions of gemmlowp's fixed-point exponential, logistic and hyperbolic tangent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.lowering.quantize import (
    INT32_MAX,
    INT32_MIN,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)

Raw = NDArray[np.int64]

# exp(-2**k) in q(0), for k = -2, -1, ... 4
_EXP_FACTORS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
_EXP_MINUS_EIGHTH = 1895147668
_ONE_THIRD = 715827883
_48_OVER_17 = 1515870810  # q(2)
_MINUS_32_OVER_17 = -1010580540  # q(2)


def _saturating_shift_left(x: Raw, bits: int) -> Raw:
    result: Raw = np.clip(x << bits, INT32_MIN, INT32_MAX)
    return result


def _exp_near_zero(a: Raw) -> Raw:
    """exp of a q(0) number in [-1/4, 0): a Taylor polynomial around -1/8, in q(0)."""
    mul = saturating_rounding_doubling_high_mul
    x = a + (1 << 28)
    x2 = mul(x, x)
    x3, x4 = mul(x2, x), mul(x2, x2)
    inner = mul(rounding_divide_by_pot(x4, 2) + x3, _ONE_THIRD) + x2
    tail = rounding_divide_by_pot(inner, 1)
    return _EXP_MINUS_EIGHTH + mul(_EXP_MINUS_EIGHTH, x + tail)


def exp_on_negative_values(a: Raw, integer_bits: int) -> Raw:
    """exp of a q(integer_bits) number <= 0, in q(0). `integer_bits` is at most 5."""
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    low = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(_saturating_shift_left(low, integer_bits))
    remainder = low - a
    for index, factor in enumerate(_EXP_FACTORS):
        exponent = index - 2
        if integer_bits > exponent:
            bit = (remainder >> (fraction_bits + exponent)) & 1
            product = saturating_rounding_doubling_high_mul(result, factor)
            result = np.where(bit != 0, product, result)
    return np.where(a == 0, INT32_MAX, result)


def _reciprocal_of_half_one_plus(a: Raw) -> Raw:
    """2 / (1 + a) in q(2), for a q(0) number in [0, 1): Newton's division."""
    mul = saturating_rounding_doubling_high_mul
    half_denominator = (a + INT32_MAX + 1) >> 1
    x = _48_OVER_17 + mul(half_denominator, _MINUS_32_OVER_17)
    for _ in range(3):
        error = (1 << 29) - mul(half_denominator, x)
        x = x + _saturating_shift_left(mul(x, error), 2)
    return x


def one_over_one_plus(a: Raw) -> Raw:
    """1 / (1 + a) in q(0), for a q(0) number in [0, 1)."""
    return _saturating_shift_left(_reciprocal_of_half_one_plus(a), 1)


def logistic(a: Raw, integer_bits: int) -> Raw:
    """The logistic function of a q(integer_bits) number, in q(0)."""
    positive = one_over_one_plus(exp_on_negative_values(-np.abs(a), integer_bits))
    result = np.where(a > 0, positive, INT32_MAX - positive)
    return np.where(a == 0, 1 << 30, result)


def tanh(a: Raw, integer_bits: int) -> Raw:
    """The hyperbolic tangent of a q(integer_bits) number, in q(0)."""
    power = exp_on_negative_values(-np.abs(a), integer_bits + 1)  # exp(-2 |a|)
    magnitude = _saturating_shift_left(_reciprocal_of_half_one_plus(power) - (1 << 29), 2)
    return np.where(a == 0, 0, np.where(a < 0, -magnitude, magnitude))
