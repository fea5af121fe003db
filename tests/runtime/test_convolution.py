"""CONV_2D and DEPTHWISE_CONV_2D: kernels against PyTorch integer arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from convolution_case import EXAMPLES, SAME, Case, Numbers, bands_of, conv_case, conv_cases
from hypothesis import given
from hypothesis import strategies as st
from kernel_loader import run_kernel

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import (
    Graph,
    Padding,
    Quantization,
    Tensor,
)
from thumbnet.codegen.lowering.convolution import (
    lower_conv_2d,
)


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_convolutions_match_pytorch_whole_and_in_bands(kind: str) -> None:
    @EXAMPLES
    @given(conv_cases(kind), st.integers(0, 20))
    def check(case: Case, cut: int) -> None:
        rows = case.expected.shape[1]
        for dsp in (False, True):
            np.testing.assert_array_equal(case.run(dsp=dsp), case.expected)
            banded = case.run(dsp=dsp, bands=bands_of(rows, cut))
            np.testing.assert_array_equal(banded, case.expected)

    check()


@pytest.mark.parametrize(("in_c", "out_c"), [(8, 16), (16, 8), (5, 7), (4, 4), (9, 3)])
def test_pointwise_output_may_overlap_input_up_to_its_own_unit(in_c: int, out_c: int) -> None:
    case = conv_case(
        "CONV_2D", (3, 7), (in_c, out_c), (1, 1), (1, 1), (1, 1), Padding(), Numbers(seed=5)
    )
    # the end of output unit u is not above the start of input unit u + 1, for every u
    units = 21
    offset = min((u + 1) * in_c - (u + 1) * out_c for u in (0, units - 1))
    for dsp in (False, True):
        np.testing.assert_array_equal(case.run(dsp=dsp, overlap=offset), case.expected)


@pytest.mark.parametrize(
    ("kind", "channels"), [("CONV_2D", (4, 6)), ("CONV_2D", (3, 4)), ("DEPTHWISE_CONV_2D", (8, 1))]
)
def test_output_row_may_overlap_input_rows_that_are_done(
    kind: str, channels: tuple[int, int]
) -> None:
    padding = Padding(1, 1, 1, 1)
    case = conv_case(kind, (9, 7), channels, (3, 3), (1, 1), (1, 1), padding, Numbers(seed=6))
    in_row, out_row = 7 * channels[0], case.graph.tensors["y"].row_bytes
    # output row y ends where input row y - 1 begins
    offset = min((y - 1) * in_row - (y + 1) * out_row for y in (0, 8))
    for dsp in (False, True):
        np.testing.assert_array_equal(case.run(dsp=dsp, overlap=offset), case.expected)


SHAPES = [
    ("CONV_2D", (5, 6), (8, 6), (1, 1), (1, 1), (1, 1), Padding()),
    ("CONV_2D", (5, 6), (7, 5), (1, 1), (2, 2), (1, 1), Padding()),
    ("CONV_2D", (6, 6), (3, 8), (3, 3), (2, 2), (1, 1), Padding(0, 1, 0, 1)),
    ("CONV_2D", (6, 5), (4, 3), (3, 3), (1, 1), (1, 2), Padding(1, 1, 2, 2)),
    ("DEPTHWISE_CONV_2D", (5, 7), (8, 1), (3, 3), (1, 1), (1, 1), SAME),
    ("DEPTHWISE_CONV_2D", (5, 7), (4, 1), (3, 3), (2, 2), (1, 1), SAME),
    ("DEPTHWISE_CONV_2D", (5, 7), (8, 1), (5, 5), (2, 2), (1, 1), Padding(2, 2, 2, 2)),
    ("DEPTHWISE_CONV_2D", (7, 4), (3, 2), (3, 2), (1, 1), (2, 1), Padding()),
    ("DEPTHWISE_CONV_2D", (9, 1), (8, 1), (5, 1), (1, 1), (1, 1), Padding()),
]


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_specialised_and_sanitized_programs_agree(shape: tuple, dsp: bool) -> None:
    """Literals as the generator writes them; address and undefined-behaviour sanitizers."""
    case = conv_case(*shape, Numbers(seed=7, extreme=True))
    rows = case.expected.shape[1]
    result = case.run(dsp=dsp, specialise=True, sanitize=True, bands=bands_of(rows, 1))
    np.testing.assert_array_equal(result, case.expected)


def test_refusals_name_the_operator_and_the_tensor() -> None:
    case = conv_case("CONV_2D", (3, 3), (4, 4), (1, 1), (1, 1), (1, 1), Padding(), Numbers(seed=1))
    op = case.graph.operators[0]
    weights = case.graph.tensors["w"]
    assert weights.quantization is not None
    bad = [
        Tensor("w", weights.shape, "int8", weights.quantization),
        Tensor(
            "w",
            weights.shape,
            "int8",
            Quantization(weights.quantization.scale, np.full(4, 3)),
            weights.data,
        ),
    ]
    for tensor in bad:
        graph = Graph("g", "g", {**case.graph.tensors, "w": tensor}, (op,), ("x",), ("y",))
        with pytest.raises(UnsupportedError, match="'layer'.*'w'"):
            lower_conv_2d(graph, op)


def test_least_scratch_takes_one_pixel_at_a_time() -> None:
    for channels, kernel in (((8, 6), (1, 1)), ((3, 6), (3, 3)), ((4, 5), (3, 3))):
        padding = Padding(1, 1, 1, 1) if kernel == (3, 3) else Padding()
        case = conv_case(
            "CONV_2D", (4, 5), channels, kernel, (1, 1), (1, 1), padding, Numbers(seed=11)
        )
        small = case.kernel.with_less_scratch
        assert small is not None and small.scratch_bytes < case.kernel.scratch_bytes
        for dsp in (False, True):
            result = run_kernel(small, case.graph, {"x": case.x}, dsp=dsp)
            np.testing.assert_array_equal(result, case.expected)
