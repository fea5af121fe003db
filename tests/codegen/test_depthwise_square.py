"""How depthwise sums become outputs: numbers that are exact, and tiles that cover a row."""

from __future__ import annotations

import numpy as np
import pytest

from thumbnet.codegen.lowering.depthwise_square import (
    Numbers,
    column_order,
    square_numbers,
    square_tile,
)
from thumbnet.codegen.lowering.packing import Requantization
from thumbnet.codegen.lowering.quantize import multiply_by_quantized_multiplier


def _requantization(seed: int, shifts: list[int], bias: int) -> Requantization:
    """One channel for each shift; accumulators are up to 9 * 127 * 128 from their bias."""
    rng = np.random.default_rng(seed)
    shift = np.array(shifts, np.int64)
    multiplier = rng.integers(2**30, 2**31, shift.size)
    biases = (rng.integers(-20000, 20000, shift.size) + bias).astype(np.int32)
    largest = np.abs(biases.astype(np.int64)) + 9 * 127 * 128
    doubled = (2 * multiplier - 2**32).astype(np.int32)
    return Requantization(biases, doubled, shift.astype(np.int8), 1, largest)


def _equals_the_reference(exact: Requantization, numbers: Numbers, zero_point: int) -> None:
    """For every accumulator there is."""
    multiplier = (exact.multiplier.astype(np.int64) + 2**32) >> 1
    for channel, bias in enumerate(exact.bias.astype(np.int64)):
        x = np.arange(bias - 9 * 127 * 128, bias + 9 * 127 * 128 + 1)
        y = multiply_by_quantized_multiplier(x, multiplier[channel], -int(exact.shift[channel]))
        found = numbers.output(x[None, :], np.array([channel]))[0]
        np.testing.assert_array_equal(found, np.clip(zero_point + y, -128, 127))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shifts", [list(range(1, 8)), list(range(3, 20)), [7, 8, 9, 9, 23, 31]])
def test_outputs_that_begin_at_the_zero_point_share_a_shift(seed: int, shifts: list[int]) -> None:
    exact = _requantization(seed, shifts, 0)
    numbers = square_numbers(exact, -128)
    assert numbers is not None
    assert numbers.positive or max(shifts) > 12  # of a few, no numbers may be found
    _equals_the_reference(exact, numbers, -128)


@pytest.mark.parametrize("zero_point", [-128, -3, 0, 127])
def test_any_zero_point_and_shift(zero_point: int) -> None:
    for shifts, bias in ((list(range(1, 32)), 0), ([15, 18, 21, 24], 2**24)):
        exact = _requantization(7, shifts, bias)
        numbers = square_numbers(exact, zero_point)
        assert numbers is not None
        assert zero_point == -128 or not numbers.positive
        _equals_the_reference(exact, numbers, zero_point)


def test_sums_that_do_not_fit_are_refused() -> None:
    exact = _requantization(1, [7], 0)
    wide = Requantization(exact.bias, exact.multiplier, exact.shift, 1, np.array([2**29], np.int64))
    assert square_numbers(wide, -128) is None


@pytest.mark.parametrize("most", [4, 6, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_tiles_cover_a_row_and_begin_at_even_pixels(most: int, stride: int) -> None:
    for out_w in range(2, 120):
        tile = square_tile(out_w, stride, most, 2)
        assert 2 <= tile <= min(most, out_w)
        step = tile if stride == 2 else tile & ~1
        starts = [*range(0, out_w - tile, step), out_w - tile]
        assert {start + i for start in starts for i in range(tile)} == set(range(out_w))
        assert stride == 2 or all(start % 2 == 0 for start in starts)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_each_column_has_weights(kernel: int, stride: int) -> None:
    assert sorted(column_order(kernel, stride)) == list(range(kernel))
