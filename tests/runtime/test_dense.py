"""FULLY_CONNECTED: kernels against PyTorch integer arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from convolution_case import EXAMPLES, Numbers, conv_case, dense_case, numbers
from hypothesis import given
from hypothesis import strategies as st
from kernel_loader import run_kernel

from thumbnet.codegen.graph import Padding


@EXAMPLES
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 11), numbers())
def test_fully_connected_matches_pytorch(
    batches: int, in_c: int, out_c: int, drawn: Numbers
) -> None:
    case = dense_case(batches, in_c, out_c, drawn)
    for dsp in (False, True):
        np.testing.assert_array_equal(case.run(dsp=dsp), case.expected)


@pytest.mark.parametrize("dsp", [False, True])
def test_fully_connected_program_under_sanitizers(dsp: bool) -> None:
    case = dense_case(2, 21, 7, Numbers(seed=8, activation="RELU6", per_channel=False))
    result = case.run(dsp=dsp, specialise=True, sanitize=True)
    np.testing.assert_array_equal(result, case.expected)


@pytest.mark.parametrize(("batches", "in_c", "out_c"), [(1, 640, 16), (2, 512, 20), (3, 504, 17)])
@pytest.mark.parametrize("folds", [False, True])
def test_dense_layers_by_eight_channels(batches: int, in_c: int, out_c: int, folds: bool) -> None:
    """Whole eights, and a block of four or less behind them."""
    drawn = Numbers(seed=in_c + out_c, out_zero_point=-128 if folds else 3)
    case = dense_case(batches, in_c, out_c, drawn)
    (widened,) = case.kernel.faster
    assert case.kernel.calls[0].function == "tn_fully_connected_eights_s8"
    for kernel in (case.kernel, widened):
        for dsp in (False, True):
            result = run_kernel(kernel, case.graph, {"x": case.x}, dsp=dsp)
            np.testing.assert_array_equal(result, case.expected)


@pytest.mark.parametrize(("k", "joined"), [(516, 1), (1300, 0)])
@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_long_sums_are_joined_only_where_that_is_exact(kind: str, k: int, joined: int) -> None:
    numbers = Numbers(seed=9, real=0.0003)
    if kind == "FULLY_CONNECTED":
        case = dense_case(1, k, 6, numbers)
    else:
        case = conv_case(kind, (1, 5), (k, 6), (1, 1), (1, 1), (1, 1), Padding(), numbers)
    assert case.kernel.calls[0].fields["joined"] == joined
    for dsp in (False, True):
        np.testing.assert_array_equal(case.run(dsp=dsp), case.expected)
