"""DEPTHWISE_CONV_2D of several rows at a time against PyTorch: where it serves, what it packs.

tests/runtime/test_depthwise_rows_on_arm.py has its assembly.
"""

from __future__ import annotations

import numpy as np
import pytest
from convolution_case import EXAMPLES, Case, Numbers, bands_of, conv_case
from hypothesis import given
from hypothesis import strategies as st
from kernel_loader import run_kernel

from thumbnet.codegen.graph import Padding
from thumbnet.codegen.kernel import Kernel


def forms(case: Case) -> tuple[Kernel, ...]:
    assert {kernel.form for kernel in case.kernel.faster} - {"lanes"} == {"rows"}
    return case.kernel.faster


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kernel, stride = draw(st.sampled_from([3, 5, 7])), draw(st.integers(1, 2))
    padding = Padding(*[draw(st.integers(0, kernel // 2)) for _ in range(4)])
    low_h = max(2, kernel - padding.top - padding.bottom)
    low_w = max(1, kernel + stride - padding.left - padding.right)
    size = draw(st.integers(low_h, low_h + 20)), draw(st.integers(low_w, low_w + 15))
    numbers = Numbers(
        seed=draw(st.integers(0, 2**32 - 1)),
        zero_point=draw(st.sampled_from([-128, 127, 0, -3])),
        out_zero_point=draw(st.sampled_from([-128, 127, 3])),
        activation=draw(st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
        extreme=draw(st.booleans()),
        bias=draw(st.booleans()),
    )
    shape = (kernel, kernel), (stride, stride), (1, 1)
    return conv_case("DEPTHWISE_CONV_2D", size, (4 * draw(st.integers(1, 5)), 1), *shape, padding,
                     numbers)  # fmt: skip


@EXAMPLES
@given(cases(), st.integers(0, 20))
def test_matches_pytorch_whole_and_in_bands(case: Case, cut: int) -> None:
    bands = bands_of(case.expected.shape[1], cut)
    for form in forms(case):
        for dsp in (False, True):
            for rows in (None, bands):
                found = run_kernel(form, case.graph, {"x": case.x}, dsp=dsp, bands=rows)
                np.testing.assert_array_equal(found, case.expected)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_specialised_and_sanitized_programs_agree(kernel: int) -> None:
    shape = (kernel, kernel), (1, 2), (1, 1), Padding(1, 1, 1, 1)
    numbers = Numbers(seed=7, extreme=True)
    case = conv_case("DEPTHWISE_CONV_2D", (9, 11), (8, 1), *shape, numbers)
    bands = bands_of(case.expected.shape[1], 1)
    for dsp in (False, True):
        how = {"dsp": dsp, "specialise": True, "sanitize": True, "bands": bands}
        found = run_kernel(forms(case)[0], case.graph, {"x": case.x}, **how)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, case.expected)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "padding"),
    [
        ((9, 9), 3, 1, (2, 1), Padding(1, 1, 1, 1)),
        ((9, 9), 3, 1, (1, 1), Padding(3, 0, 1, 1)),
        ((9, 9), 3, 1, (1, 1), Padding(0, 4, 1, 1)),  # the last row is under no input row
        ((1, 9), 3, 1, (1, 1), Padding(1, 1, 1, 1)),
        ((9, 9), 3, 3, (1, 1), Padding(1, 1, 1, 1)),
    ],
)
def test_other_layers_have_no_such_form(
    size: tuple[int, int], kernel: int, stride: int, dilation: tuple[int, int], padding: Padding
) -> None:
    shape = (kernel, kernel), (stride, min(stride, 2)), dilation
    case = conv_case("DEPTHWISE_CONV_2D", size, (4, 1), *shape, padding, Numbers(seed=1))
    assert not case.kernel.faster
