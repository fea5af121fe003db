"""Fixed-point requantisation: what TensorFlow Lite computes, in numpy and at compile time.

The C twin is `runtime/tn_requantize.h`. A real multiplier M is `multiplier * 2**(shift - 31)` with
`multiplier` in [2**30, 2**31) (or 0); `shift` > 0 shifts left before the multiplication, < 0 right
after it. Source: TensorFlow Lite's QuantizeMultiplier, gemmlowp's fixed-point definitions.
"""

from __future__ import annotations

from math import floor, frexp, isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thumbnet.codegen.errors import UnsupportedError

INT32_MIN = -(2**31)
INT32_MAX = 2**31 - 1
DTYPE_RANGE = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Return (multiplier, shift) of a real multiplier, as TFLite's QuantizeMultiplier does.

    Values below 2**-32 become (0, 0). Raises ValueError when `real` is negative, not finite or
    needs a left shift beyond 30.
    """
    if not isfinite(real) or real < 0:
        raise ValueError(f"a requantisation multiplier must be finite and not negative: {real}")
    if real == 0:
        return 0, 0
    fraction, shift = frexp(real)
    multiplier = floor(fraction * 2.0**31 + 0.5)
    if multiplier == 2**31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise ValueError(f"a requantisation multiplier of {real} is too large")
    return multiplier, shift


def quantize_multipliers(
    real: ArrayLike,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`quantize_multiplier` over an array of doubles: (multipliers, shifts)."""
    values = np.ravel(np.asarray(real, np.float64))
    for value in values[~np.isfinite(values) | (values < 0) | (values >= 2.0**29)]:
        quantize_multiplier(float(value))  # raises where one is too large
    fractions, shifts = np.frexp(values)
    multipliers = np.floor(fractions * 2.0**31 + 0.5).astype(np.int64)
    full = multipliers == 2**31
    multipliers[full] //= 2
    shifts = shifts + full
    tiny = (shifts < -31) | (values == 0)
    multipliers[tiny], shifts[tiny] = 0, 0
    return multipliers.astype(np.int32), shifts.astype(np.int32)


def round_half_away(value: float) -> int:
    """Nearest integer, halves away from zero (C's round)."""
    return floor(value + 0.5) if value >= 0 else -floor(-value + 0.5)


def activation_range(
    activation: str, scale: float | np.float32, zero_point: int, dtype: str
) -> tuple[int, int]:
    """Quantised output range (min, max), both included, of a fused activation.

    `scale` is used as float32, as TensorFlow Lite does. Raises UnsupportedError for an activation
    other than NONE, RELU, RELU_N1_TO_1 and RELU6.
    """
    low, high = DTYPE_RANGE[dtype]

    def quantize(value: float) -> int:
        quotient = float(np.float32(value) / np.float32(scale))
        return zero_point + round_half_away(min(max(quotient, -(2.0**31)), 2.0**31))

    if activation == "NONE":
        return low, high
    if activation == "RELU":
        return max(low, quantize(0.0)), high
    if activation == "RELU6":
        return max(low, quantize(0.0)), min(high, quantize(6.0))
    if activation == "RELU_N1_TO_1":
        return max(low, quantize(-1.0)), min(high, quantize(1.0))
    raise UnsupportedError(
        f"fused activation {activation} is not supported; use NONE, RELU, RELU6 or RELU_N1_TO_1"
    )


# ---- numpy twins of tn_requantize.h ---------------------------------------------------------


def saturating_rounding_doubling_high_mul(a: ArrayLike, b: ArrayLike) -> NDArray[np.int64]:
    """round(a * b / 2**31), halves up; INT32_MIN * INT32_MIN saturates. Values are int32."""
    x, y = np.asarray(a, np.int64), np.asarray(b, np.int64)
    return np.minimum((x * y + (1 << 30)) >> 31, INT32_MAX)


def rounding_divide_by_pot(x: ArrayLike, exponent: ArrayLike) -> NDArray[np.int64]:
    """round(x / 2**exponent), halves away from zero. `x` is int32, `exponent` in 0..31."""
    value, e = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    half = (np.int64(1) << e) >> 1
    return np.where(e == 0, value, (value - (value < 0) + half) >> e)


def multiply_by_quantized_multiplier(
    x: ArrayLike, multiplier: ArrayLike, shift: ArrayLike
) -> NDArray[np.int64]:
    """x * multiplier * 2**(shift - 31), rounded twice as TensorFlow Lite does.

    `x * 2**shift` of a left shift wraps to int32 as on the target. Arguments broadcast.
    """
    value, s = np.asarray(x, np.int64), np.asarray(shift, np.int64)
    shifted = value << np.maximum(s, 0)
    wrapped = ((shifted + 2**31) & 0xFFFFFFFF) - 2**31
    product = saturating_rounding_doubling_high_mul(wrapped, multiplier)
    return rounding_divide_by_pot(product, np.maximum(-s, 0))
