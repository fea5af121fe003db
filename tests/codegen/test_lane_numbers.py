"""Numbers of tn_depthwise_lanes.h: lanes that never borrow, and outputs that are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from thumbnet.codegen.lowering.depthwise_lanes import (
    LANE,
    Lanes,
    lane_numbers,
    words_of_taps,
)
from thumbnet.codegen.lowering.packing import Requantization
from thumbnet.codegen.lowering.quantize import multiply_by_quantized_multiplier


def _layer(
    seed: int, kernel: int, shifts: list[int], weight: int
) -> tuple[NDArray[np.int64], Requantization]:
    """Taps [K, K, C] of magnitudes up to `weight`, one channel for each shift."""
    rng = np.random.default_rng(seed)
    taps = rng.integers(-weight, weight + 1, (kernel, kernel, len(shifts)))
    taps[:, :, 0] = weight * rng.choice([-1, 1], (kernel, kernel))
    doubled = (2 * rng.integers(2**30, 2**31, len(shifts)) - 2**32).astype(np.int32)
    bias = rng.integers(-(2**17), 2**17, len(shifts)).astype(np.int32)
    largest = np.abs(bias.astype(np.int64)) + 128 * np.abs(taps).sum((0, 1))
    return taps, Requantization(bias, doubled, np.array(shifts, np.int8), 1, largest)


def _lanes(numbers: Lanes) -> list[NDArray[np.int64]]:
    """What lanes 0, 1 and 2 begin with, by channel."""
    begin = [int(word) for word in numbers.begin]
    return [np.array([(n >> LANE * i) % 2**LANE for n in begin]) for i in (0, 1)] + [
        np.array([n >> 2 * LANE for n in begin])
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shifts", [[5, 6, 8], [3, 4, 9, 12], [9, 10, 11, 13]])
@pytest.mark.parametrize("kernel", [5, 7])
@pytest.mark.parametrize(("stride", "zero"), [(1, 0), (1, -128), (2, 0), (2, 100)])
def test_outputs_equal_the_reference_at_every_accumulator(
    seed: int, shifts: list[int], kernel: int, stride: int, zero: int
) -> None:
    taps, exact = _layer(seed, kernel, shifts, 60)
    numbers = lane_numbers(taps, stride, exact, zero)
    assert numbers is not None
    first, middle, last = _lanes(numbers)
    np.testing.assert_array_equal(first + last, middle)  # odd pixels are like even ones
    multiplier = (exact.multiplier.astype(np.int64) + 2**32) >> 1
    low = [column for column, _ in words_of_taps(kernel, stride) if column < kernel]
    high = [column for _, column in words_of_taps(kernel, stride)]
    least, most = -128 - zero, 127 - zero  # inputs
    for c, bias in enumerate(exact.bias.astype(np.int64) + zero * taps.sum((0, 1))):
        for columns, begin in ((low, first), (high, last), (low + high, middle)):
            part = taps[:, columns, c] << numbers.power[c]
            assert begin[c] + np.minimum(least * part, most * part).sum() >= 0
        sums = np.sort([least * taps[..., c], most * taps[..., c]], axis=0).sum((1, 2))
        x = np.arange(sums[0], sums[1] + 1)
        lane = middle[c] + (x << numbers.power[c])
        assert lane[0] >= 0 and lane[-1] < 2**LANE
        found = (numbers.addend[c] + ((lane * numbers.multiplier[c]) >> 32)) >> numbers.shift
        y = multiply_by_quantized_multiplier(x + bias, multiplier[c], -int(exact.shift[c]))
        np.testing.assert_array_equal(np.clip(found, -128, 127), np.clip(y - 128, -128, 127))


def test_all_weights_at_their_extremes_fit() -> None:
    for stride in (1, 2):
        taps, exact = _layer(1, 7, [7], 127)
        assert lane_numbers(taps, stride, exact) is not None


def test_sums_that_do_not_fit_are_refused() -> None:
    taps, exact = _layer(1, 5, [7], 127)
    assert lane_numbers(taps, 1, exact) is not None
    assert lane_numbers(taps, 1, replace(exact, largest=np.array([2**29]))) is None


@pytest.mark.parametrize("kernel", [5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_each_column_has_a_place(kernel: int, stride: int) -> None:
    words = words_of_taps(kernel, stride)
    assert len(words) == (kernel + 1) // 2
    columns = [column for word in words for column in word if column < kernel]
    assert sorted(columns) == list(range(kernel))
    assert all(low == high + stride for low, high in words)
