"""CONV_2D by strips and by straight tiles: the kernels against PyTorch."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from convolution_case import EXAMPLES, SAME, Case, Numbers, bands_of, conv_case
from hypothesis import given
from hypothesis import strategies as st
from kernel_loader import run_kernel

from thumbnet.codegen.graph import Padding
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.lowering.strips import _span, strip_scratch

FOLDED = Numbers(seed=3, out_zero_point=-128, activation="RELU")
POINTWISE = (1, 1), (1, 1), (1, 1), Padding()


@st.composite
def numbers(draw: st.DrawFn) -> Numbers:
    zero_point, activation = draw(st.sampled_from([(-128, "NONE"), (-128, "RELU"), (3, "NONE")]))
    return replace(
        FOLDED,
        out_zero_point=zero_point,
        activation=activation,
        seed=draw(st.integers(0, 2**32 - 1)),
        zero_point=draw(st.sampled_from([-128, 127, 0, -3])),
        real=draw(st.sampled_from([0.0003, 0.003, 0.01])),
        bias=draw(st.booleans()),
    )


@st.composite
def strip_cases(draw: st.DrawFn) -> Case:
    kernel = draw(st.sampled_from([(3, 3), (2, 5), (4, 2), (1, 3)]))
    channels = draw(st.integers(1, 3)), 4 * draw(st.integers(1, 4))
    stride = draw(st.sampled_from([(2, 2), (1, 2), (1, 1)]))
    dilation = draw(st.sampled_from([1, 1, 2])), 1
    tall, wide = (kernel[0] - 1) * dilation[0], kernel[1] - 1
    pads = [draw(st.integers(0, n)) for n in (tall, tall, wide, wide)]
    padding = Padding(*pads)
    height = draw(st.integers(max(1, tall + 1 - pads[0] - pads[1]), tall + 7))
    width = draw(st.integers(max(1, wide + 1 - pads[2] - pads[3]), wide + 23))
    depthwise = channels[0] == 1 and draw(st.booleans())
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    size = height, width
    return conv_case(kind, size, channels, kernel, stride, dilation, padding, draw(numbers()))


def function(kernel: Kernel) -> str:
    return kernel.calls[0].function


@EXAMPLES
@given(strip_cases(), st.sampled_from([40, 200, 768]), st.integers(0, 20))
def test_strips_match_pytorch_whole_and_in_bands(case: Case, nbytes: int, cut: int) -> None:
    with patch("thumbnet.codegen.lowering.strips.STRIP_BYTES", nbytes):
        kernel = case.kernel
    weights = case.graph.tensors["w"].shape
    kernel_h, in_c = weights[1], case.x.shape[3]
    attributes = case.graph.operators[0].attributes
    even = kernel_h * in_c * getattr(attributes, "stride_w", 0) % 2 == 0
    strips = even and case.expected.shape[2] > 1
    assert (function(kernel) == "tn_strip_conv_2d_s8") == strips
    bands = bands_of(case.expected.shape[1], cut)
    for dsp in (False, True):
        for rows in (None, bands):
            found = run_kernel(kernel, case.graph, {"x": case.x}, dsp=dsp, bands=rows)
            np.testing.assert_array_equal(found, case.expected)


def test_spans_are_whole_rows_or_even() -> None:
    for out_w in range(2, 60):
        for stride in (1, 2):
            scratch = [strip_scratch(3, 3, stride, 3, n) for n in range(2, out_w + 1)]
            span = _span(scratch)
            assert 2 <= span <= out_w and (span == out_w or span % 2 == 0)
            assert span == out_w or scratch[span - 2] <= 768


@EXAMPLES
@given(
    st.sampled_from([4, 8, 12, 16, 40]),
    st.integers(1, 5),
    st.tuples(st.integers(1, 4), st.integers(1, 7)),
    numbers(),
    st.integers(0, 20),
)
def test_straight_tiles_match_pytorch(
    in_c: int, blocks: int, size: tuple[int, int], drawn: Numbers, cut: int
) -> None:
    case = conv_case("CONV_2D", size, (in_c, 4 * blocks), *POINTWISE, drawn)
    forms = [case.kernel, *case.kernel.faster]
    assert "tn_straight_conv_2d_s8" in map(function, forms)
    for form in forms:
        for dsp in (False, True):
            for rows in (None, bands_of(size[0], cut)):
                found = run_kernel(form, case.graph, {"x": case.x}, dsp=dsp, bands=rows)
                np.testing.assert_array_equal(found, case.expected)


@pytest.mark.parametrize(("in_c", "out_c"), [(8, 16), (16, 8), (4, 4), (40, 8)])
def test_straight_output_may_overlap_input_up_to_its_own_unit(in_c: int, out_c: int) -> None:
    case = conv_case("CONV_2D", (3, 7), (in_c, out_c), *POINTWISE, FOLDED)
    offset = min((u + 1) * in_c - (u + 1) * out_c for u in (0, 20))
    for form in (case.kernel, *case.kernel.faster):
        for dsp in (False, True):
            found = run_kernel(form, case.graph, {"x": case.x}, dsp=dsp, overlap=offset)
            np.testing.assert_array_equal(found, case.expected)


@pytest.mark.parametrize("stride", [(2, 2), (1, 2)])
def test_strip_output_row_may_overlap_input_rows_that_are_done(stride: tuple[int, int]) -> None:
    case = conv_case("CONV_2D", (9, 9), (3, 4), (3, 3), stride, (1, 1), SAME, FOLDED)
    assert function(case.kernel) == "tn_strip_conv_2d_s8"
    in_row, out_row = 9 * 3, case.graph.tensors["y"].row_bytes
    rows = case.expected.shape[1]
    # output row y ends where the first input row that it reads begins
    offset = min((y * stride[0] - 1) * in_row - (y + 1) * out_row for y in (0, rows - 1))
    with patch("thumbnet.codegen.lowering.strips.STRIP_BYTES", 100):
        kernels = [case.kernel]
    for kernel in (*kernels, case.kernel):
        for dsp in (False, True):
            found = run_kernel(kernel, case.graph, {"x": case.x}, dsp=dsp, overlap=offset)
            np.testing.assert_array_equal(found, case.expected)


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        ("CONV_2D", (7, 11), (3, 8), (3, 3), (2, 2), (1, 1), SAME),
        ("DEPTHWISE_CONV_2D", (6, 9), (1, 4), (4, 3), (1, 1), (1, 1), Padding(3, 0, 2, 1)),
        ("CONV_2D", (3, 5), (8, 12), *POINTWISE),
        ("CONV_2D", (3, 5), (20, 12), *POINTWISE),
    ],
    ids=str,
)
def test_specialised_and_sanitized_programs_agree(shape: tuple, dsp: bool) -> None:
    case = conv_case(*shape, FOLDED)
    how = {"dsp": dsp, "specialise": True, "sanitize": True}
    how["bands"] = bands_of(case.expected.shape[1], 1)
    for form in (case.kernel, *case.kernel.faster):
        found = run_kernel(form, case.graph, {"x": case.x}, **how)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, case.expected)


def test_straight_tiles_that_take_much_code_are_a_faster_form() -> None:
    few, many, is_long = (
        conv_case("CONV_2D", (3, 5), (in_c, 8), *POINTWISE, numbers).kernel
        for in_c, numbers in ((16, FOLDED), (20, FOLDED), (16, Numbers(seed=3)))
    )
    assert function(few) == "tn_straight_conv_2d_s8"
    assert [form.form for form in few.faster] == ["unrolled"]
    for kernel, numbers in ((many, (10, 0)), (is_long, (8, 1))):
        assert function(kernel) == "tn_pointwise_conv_2d_s8"
        form = kernel.faster[0]
        assert form.form == "straight" and form.calls[0].numbers == numbers
        assert form.calls[0].fields == kernel.calls[0].fields  # no more weights


def test_where_outputs_are_limited_there_are_no_straight_tiles() -> None:
    limited = Numbers(seed=3, activation="RELU")
    kernel = conv_case("CONV_2D", (3, 5), (16, 8), *POINTWISE, limited).kernel
    assert function(kernel) == "tn_pointwise_conv_2d_s8" and not kernel.faster
    kernel = conv_case("CONV_2D", (7, 9), (3, 8), (3, 3), (2, 2), (1, 1), SAME, limited).kernel
    assert function(kernel) == "tn_conv_2d_s8"
