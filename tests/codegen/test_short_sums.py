"""Short forms of sums and means, against what they stand for, for every operand."""

from __future__ import annotations

import numpy as np
import pytest

from thumbnet.codegen.lowering.quantize import (
    multiply_by_quantized_multiplier,
    quantize_multiplier,
)
from thumbnet.codegen.lowering.short_sums import BYTES, FRACTION, SHIFT, short_multiple, short_sum


def test_sums_of_models_are_mostly_short() -> None:
    """Scales as layers have them; outputs of the numbers found are those asked for."""
    rng = np.random.default_rng(3)
    short = 0
    for _ in range(40):
        a, b = rng.uniform(0.2, 1.5, 2)
        zero_point, low = int(rng.integers(-128, 127)), int(rng.choice([-128, -128, -20]))
        exact = a * BYTES[:, None] + b * BYTES
        outputs = np.floor(np.abs(exact) + 0.5).astype(np.int64) * np.sign(exact).astype(np.int64)
        outputs += zero_point
        found = short_sum(outputs, a, b, low, 127)
        if found is None:
            continue
        short += 1
        sums = ((BYTES * found.a) >> FRACTION)[:, None] + ((BYTES * found.b) >> FRACTION)
        assert np.abs(sums).max() + abs(found.offset) < 2**31
        limited = np.clip((sums + found.offset) >> SHIFT, low, 127)
        np.testing.assert_array_equal(limited, np.clip(outputs, low, 127))
    assert short > 30


def test_ties_on_both_sides_of_zero_are_not_short() -> None:
    exact = (BYTES[:, None] + BYTES) / 2
    outputs = (np.floor(np.abs(exact) + 0.5) * np.sign(exact)).astype(np.int64)
    assert short_sum(outputs, 0.5, 0.5, -128, 127) is None
    assert short_sum(outputs - 128, 0.5, 0.5, -128, 127) is not None  # one side is cut off


def test_what_leaves_an_int32_is_not_short() -> None:
    outputs = np.clip(BYTES[:, None] * 900 + BYTES, -128, 127)
    assert short_sum(outputs, 900.0, 1.0, -128, 127) is None


@pytest.mark.parametrize(
    ("count", "real", "zero_point", "is_short"),
    [(3, 1.0, 6, True), (9, 1.0, -128, True), (49, 0.7, -128, True), (49, 0.7, 6, False)],
)
def test_means(count: int, real: float, zero_point: int, is_short: bool) -> None:
    """Rounding twice is no straight line through zero; below it there is nothing with -128."""
    multiplier, shift = quantize_multiplier(real)
    more = count.bit_length() - 1
    multiplier, shift = (multiplier << more) // count, shift - more  # as the reference has it
    sums = np.arange(-128 * count, 127 * count + 1)
    scaled = multiply_by_quantized_multiplier(sums - zero_point * count, multiplier, shift)
    found = short_multiple(sums, scaled - 7, real / count)
    assert (found is not None) == is_short
    if found is not None:
        limited = np.clip((sums * found[0] + found[1]) >> SHIFT, -128, 127)
        np.testing.assert_array_equal(limited, np.clip(scaled - 7, -128, 127))
