"""Requantisation folded into one multiplication, against the reference on every accumulator."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from thumbnet.codegen.lowering.folding import RIGHT, WIDE_RIGHT, Folded, first_steps, fold
from thumbnet.codegen.lowering.quantize import multiply_by_quantized_multiplier

LARGEST = 60_000


def reference(x: NDArray[np.int64], multiplier: int, right: int, zero_point: int) -> NDArray:
    """Outputs before they saturate, all within int32."""
    scaled = multiply_by_quantized_multiplier(
        x[:, None], np.array([multiplier], np.int32), np.array([-right], np.int32)
    )
    return scaled[:, 0].astype(np.int64) + zero_point


def folded_outputs(x: NDArray[np.int64], folded: Folded, c: int) -> NDArray:
    """What the runtime computes: tn_requantize_folded of even channels, ..._256 of odd ones."""
    scale, right = (256, WIDE_RIGHT) if c % 2 else (1, RIGHT)
    total = scale * x + folded.offset[c]
    assert np.abs(total).max() < 2**31
    high = (total * folded.multiplier[c] >> 32) + folded.addend[c]
    assert np.abs(high).max() < 2**31
    return np.clip(high >> right, -128, 127)


def channels(seed: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Multipliers, right shifts and greatest accumulators, as models have them."""
    rng = np.random.default_rng(seed)
    multiplier = rng.integers(2**30, 2**31, n)
    multiplier[::5] = rng.choice([2**30, 2**31 - 1, 3 * 2**29], len(multiplier[::5]))
    return multiplier, rng.integers(5, 11, n), rng.integers(0, LARGEST, n)


@pytest.mark.parametrize("seed", range(4))
def test_folded_equals_the_reference_on_every_accumulator(seed: int) -> None:
    multiplier, shift, largest = channels(seed, 24)
    largest[:2] = 0
    folded = fold(multiplier, shift, -128, largest)
    assert folded is not None
    for c in range(len(multiplier)):
        x = np.arange(-largest[c], largest[c] + 1)
        wanted = np.clip(reference(x, int(multiplier[c]), int(shift[c]), -128), -128, 127)
        np.testing.assert_array_equal(folded_outputs(x, folded, c), wanted)


@pytest.mark.parametrize("zero_point", [-128, -3, 127])
def test_first_steps_are_those_of_the_reference(zero_point: int) -> None:
    multiplier, shift, largest = channels(9, 12)
    shift[0], largest[1] = 1, 0
    steps = first_steps(multiplier, shift, zero_point, largest)
    for c in range(len(multiplier)):
        x = np.arange(-largest[c], largest[c] + 1)
        outputs = reference(x, int(multiplier[c]), int(shift[c]), zero_point)
        np.testing.assert_array_equal(
            steps[c], np.searchsorted(outputs, np.arange(-127, 128)) - largest[c]
        )


def test_what_is_not_exact_is_not_folded() -> None:
    multiplier, shift, largest = channels(5, 8)
    half = np.full(8, LARGEST)
    assert fold(multiplier, shift, 0, half) is None  # halves of negative values
    assert fold(multiplier, np.full(8, 2), -128, largest) is None  # a multiplier above 2^31
    assert fold(multiplier, np.full(8, 24), -128, largest) is None
    assert fold(multiplier, shift, -128, np.full(8, 2**23)) is None
