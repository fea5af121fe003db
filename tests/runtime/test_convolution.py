"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: kernels against PyTorch integer arithmetic."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_loader import RUNTIME, compile_c, run_kernel
from numpy.typing import NDArray

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import (
    Activation,
    Attributes,
    Convolution,
    Graph,
    Operator,
    Padding,
    Quantization,
    Tensor,
)
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.lowering.convolution import (
    conv_2d_scratch,
    depthwise_conv_2d_scratch,
    lower_conv_2d,
    lower_depthwise_conv_2d,
    lower_fully_connected,
)
from thumbnet.codegen.lowering.depthwise_square import rows_scratch, square_scratch
from thumbnet.codegen.lowering.pointwise import pointwise_scratch
from thumbnet.codegen.lowering.quantize import (
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    quantize_multipliers,
)
from thumbnet.codegen.lowering.strips import strip_scratch
from thumbnet.codegen.stack import ASSEMBLY_BYTES

torch = pytest.importorskip("torch")
EXAMPLES = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
LOWER = {
    "CONV_2D": lower_conv_2d,
    "DEPTHWISE_CONV_2D": lower_depthwise_conv_2d,
    "FULLY_CONNECTED": lower_fully_connected,
}


@dataclass(frozen=True, eq=False)
class Case:
    """A graph of one operator, an input and the expected output."""

    graph: Graph
    x: NDArray[np.int8]
    expected: NDArray[np.int8]

    @property
    def kernel(self) -> Kernel:
        op = self.graph.operators[0]
        return LOWER[op.kind](self.graph, op)

    def run(self, **options: object) -> NDArray[np.generic]:
        return run_kernel(self.kernel, self.graph, {"x": self.x}, **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Numbers:
    """How values and scales of a case are drawn."""

    seed: int
    zero_point: int = -128
    out_zero_point: int = 3
    activation: str = "NONE"
    extreme: bool = False  # values at the ends of int8 only
    real: float = 0.003  # about the multiplier of the accumulator
    bias: bool = True
    per_channel: bool = True


def _quantized(scale: float, zero_point: int) -> Quantization:
    return Quantization(np.float32([scale]), np.int64([zero_point]))


def _case(
    kind: str,
    x_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    attributes: Attributes,
    numbers: Numbers,
) -> Case:
    rng = np.random.default_rng(numbers.seed)
    channels = weights_shape[-1] if kind == "DEPTHWISE_CONV_2D" else weights_shape[0]
    if numbers.extreme:
        x = rng.choice(np.int8([-128, 127]), x_shape)
        weights = rng.choice(np.int8([-128, -127, 127]), weights_shape)
    else:
        x = rng.integers(-128, 128, x_shape).astype(np.int8)
        weights = rng.integers(-127, 128, weights_shape).astype(np.int8)
    bias = rng.integers(-20000, 20000, channels).astype(np.int32)
    scales = rng.uniform(0.2, 2.0, channels if numbers.per_channel else 1).astype(np.float32)
    x_scale, out_scale = np.float32(0.0235), np.float32(0.0235 / numbers.real)
    activation = numbers.activation
    tensors = {
        "x": Tensor("x", x_shape, "int8", _quantized(x_scale, numbers.zero_point)),
        "w": Tensor(
            "w",
            weights_shape,
            "int8",
            Quantization(scales, np.zeros(scales.size, np.int64)),
            weights,
        ),
        "b": Tensor("b", (channels,), "int32", None, bias),
        "y": Tensor("y", out_shape, "int8", _quantized(out_scale, numbers.out_zero_point)),
    }
    inputs = ("x", "w", "b" if numbers.bias else "")
    op = Operator("layer", kind, inputs, ("y",), attributes)
    graph = Graph("g", "g.tflite", tensors, (op,), ("x",), ("y",))

    wide = torch.tensor(x.astype(np.float64) - numbers.zero_point)
    kernel = torch.tensor(weights.astype(np.float64))
    offset = bias.astype(np.float64) if numbers.bias else np.zeros(channels)
    if kind == "FULLY_CONNECTED":
        sums = wide.reshape(-1, weights_shape[1]) @ kernel.T
        accumulators = (sums.numpy() + offset).reshape(out_shape)
        real = x_scale * scales if scales.size == 1 else np.float64(x_scale) * scales
    else:
        assert isinstance(attributes, Convolution)
        pad = attributes.padding
        wide = torch.nn.functional.pad(
            wide.permute(0, 3, 1, 2), (pad.left, pad.right, pad.top, pad.bottom)
        )
        depthwise = kind == "DEPTHWISE_CONV_2D"
        kernel = kernel.permute(3, 0, 1, 2) if depthwise else kernel.permute(0, 3, 1, 2)
        sums = torch.nn.functional.conv2d(
            wide,
            kernel,
            stride=(attributes.stride_h, attributes.stride_w),
            dilation=(attributes.dilation_h, attributes.dilation_w),
            groups=x_shape[3] if depthwise else 1,
        )
        accumulators = sums.permute(0, 2, 3, 1).numpy() + offset
        real = np.float64(x_scale) * scales
    multipliers, shifts = quantize_multipliers(
        np.asarray(real, np.float64) / np.float64(np.float32(out_scale))
    )
    low, high = activation_range(activation, out_scale, numbers.out_zero_point, "int8")
    scaled = multiply_by_quantized_multiplier(accumulators.astype(np.int64), multipliers, shifts)
    expected = np.clip(scaled + numbers.out_zero_point, low, high).astype(np.int8)
    return Case(graph, x, expected)


def conv_case(
    kind: str,
    size: tuple[int, int],
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: Padding,
    numbers: Numbers,
) -> Case:
    """`channels` are input and output; for depthwise, input and multiplier."""
    (h, w), (in_c, out_c) = size, channels
    out_h = (h + padding.top + padding.bottom - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
    out_w = (w + padding.left + padding.right - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    depthwise = kind == "DEPTHWISE_CONV_2D"
    total = in_c * out_c if depthwise else out_c
    weights = (1, *kernel, total) if depthwise else (out_c, *kernel, in_c)
    attributes = Convolution(
        *stride,
        *dilation,
        padding,
        numbers.activation,
        out_c if depthwise else 0,
    )
    return _case(kind, (1, h, w, in_c), weights, (1, out_h, out_w, total), attributes, numbers)


def dense_case(batches: int, in_c: int, out_c: int, numbers: Numbers) -> Case:
    attributes = Activation(numbers.activation)
    return _case(
        "FULLY_CONNECTED", (batches, in_c), (out_c, in_c), (batches, out_c), attributes, numbers
    )


@st.composite
def numbers(draw: st.DrawFn) -> Numbers:
    return Numbers(
        seed=draw(st.integers(0, 2**32 - 1)),
        zero_point=draw(st.sampled_from([-128, 127, 0, -3])),
        out_zero_point=draw(st.sampled_from([-128, 127, 3])),
        activation=draw(st.sampled_from(["NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
        extreme=draw(st.booleans()),
        real=draw(st.sampled_from([0.0003, 0.003, 0.04, 0.7, 3.0, 1e-7])),
        bias=draw(st.booleans()),
        per_channel=draw(st.booleans()),
    )


@st.composite
def conv_cases(draw: st.DrawFn, kind: str) -> Case:
    usual = st.sampled_from([1, 3, 5, 7])
    kernel = draw(
        st.one_of(
            st.tuples(usual, usual),
            st.tuples(st.integers(1, 4), st.integers(1, 4)),
            st.just((1, 1)),
        )
    )
    plain = draw(st.booleans())
    stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2) if plain else st.integers(1, 3)))
    dilation = (1, 1) if plain else draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = [draw(st.integers(0, s - 1)) for s in (span[0], span[0], span[1], span[1])]
    padding = Padding(*pads)
    low_h = max(1, span[0] - padding.top - padding.bottom)
    low_w = max(1, span[1] - padding.left - padding.right)
    size = (draw(st.integers(low_h, low_h + 6)), draw(st.integers(low_w, low_w + 9)))
    if kind == "DEPTHWISE_CONV_2D":
        depth = st.one_of(st.integers(1, 13), st.sampled_from([4, 8, 12]))
        channels = draw(st.tuples(depth, st.sampled_from([1, 1, 1, 1, 2, 5])))
    else:
        channels = draw(st.tuples(st.integers(1, 13), st.integers(1, 9)))
    return conv_case(kind, size, channels, kernel, stride, dilation, padding, draw(numbers()))


def _bands(rows: int, cut: int) -> list[tuple[int, int]]:
    edges = sorted({0, rows, cut % (rows + 1), (2 * cut + 1) % (rows + 1)})
    return list(zip(edges[:-1], edges[1:], strict=True))


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_convolutions_match_pytorch_whole_and_in_bands(kind: str) -> None:
    @EXAMPLES
    @given(conv_cases(kind), st.integers(0, 20))
    def check(case: Case, cut: int) -> None:
        rows = case.expected.shape[1]
        for dsp in (False, True):
            np.testing.assert_array_equal(case.run(dsp=dsp), case.expected)
            banded = case.run(dsp=dsp, bands=_bands(rows, cut))
            np.testing.assert_array_equal(banded, case.expected)

    check()


@EXAMPLES
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 11), numbers())
def test_fully_connected_matches_pytorch(
    batches: int, in_c: int, out_c: int, drawn: Numbers
) -> None:
    case = dense_case(batches, in_c, out_c, drawn)
    for dsp in (False, True):
        np.testing.assert_array_equal(case.run(dsp=dsp), case.expected)


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


SAME = Padding(1, 1, 1, 1)
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
    result = case.run(dsp=dsp, specialise=True, sanitize=True, bands=_bands(rows, 1))
    np.testing.assert_array_equal(result, case.expected)


@pytest.mark.parametrize("dsp", [False, True])
def test_fully_connected_program_under_sanitizers(dsp: bool) -> None:
    case = dense_case(2, 21, 7, Numbers(seed=8, activation="RELU6", per_channel=False))
    result = case.run(dsp=dsp, specialise=True, sanitize=True)
    np.testing.assert_array_equal(result, case.expected)


def test_fast_requantisation_equals_the_generic_one() -> None:
    """tn_requantize_fast over edges, halves and random values of every shift."""
    source = """
#include <stdio.h>
#include "tn_requantize.h"
int main(void) {
    uint32_t state = 1;
    for (int32_t right = 1; right <= 31; right++)
        for (int32_t i = 0; i < 20000; i++) {
            state = state * 1664525u + 1013904223u;
            const int32_t m = (int32_t)(0x40000000u | (i % 7 == 0 ? 0u : state >> 2));
            state = state * 1664525u + 1013904223u;
            int32_t x = (int32_t)(state >> (i % 31)) * (i % 2 == 0 ? 1 : -1);
            if (i < 200) x = i - 100;
            if (x == INT32_MIN) x++;
            const int32_t doubled = (int32_t)(2u * (uint32_t)m);
            const int32_t fast = tn_requantize_fast(x, doubled, right, 5);
            if (fast != tn_multiply_by_quantized_multiplier(x, m, -right) + 5) {
                printf("%d %d %d\\n", x, m, right);
                return 1;
            }
        }
    return 0;
}
"""
    program = compile_c(source, "requantise", ["-O1", "-fsanitize=undefined"])
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (0.5, (2**30, 0)),
        (1.0 - 2.0**-40, (2**30, 1)),
        (0.75, (3 * 2**29, 0)),
        (2.0**-33, (0, 0)),
        (2.0**-32, (2**30, -31)),
        (3.0, (3 * 2**29, 2)),
    ],
)
def test_quantize_multiplier(real: float, expected: tuple[int, int]) -> None:
    assert quantize_multiplier(real) == expected


def test_scratch_matches_the_header() -> None:
    source = """
#include <stdio.h>
#include "tn_conv_2d.h"
#include "tn_depthwise_conv_2d.h"
#include "tn_depthwise_rows.h"
#include "tn_pointwise_conv_2d.h"
#include "tn_strip_conv_2d.h"
int main(void) {
    printf("%d %d ", TN_CONV_2D_SCRATCH(28, 3, 0, 0, 2), TN_CONV_2D_SCRATCH(64, 1, 1, 0, 1));
    printf("%d %d ", TN_POINTWISE_SCRATCH(28, 2), TN_POINTWISE_SCRATCH(28, 1));
    printf("%d %d ", (int)TN_STRIP_SCRATCH(3, 3, 2, 1, 5), (int)TN_STRIP_SCRATCH(3, 3, 2, 3, 8));
    printf("%d ", TN_CONV_2D_SCRATCH(72, 3, 1, 1, 2));
    printf("%d ", TN_DEPTHWISE_CONV_2D_SCRATCH(9, 5, 7));
    printf("%d ", TN_DEPTHWISE_SQUARE_SCRATCH(8, 5, 2, 1, 12));
    printf("%d ", TN_DEPTHWISE_SQUARE_SCRATCH(512, 3, 1, 0, 4));
    printf("%d ", TN_DEPTHWISE_ROWS_SCRATCH(8, 5, 2, 12));
    printf("%d\\n", TN_DEPTHWISE_ROWS_SCRATCH(1024, 3, 1, 3));
    return 0;
}
"""
    for dsp in (0, 1):
        program = compile_c(source, "scratch", [f"-DTN_DSP={dsp}"])
        done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
        assert [int(v) for v in done.stdout.split()] == [
            conv_2d_scratch(28, 3, words=False, taps=False, tiles=2),
            conv_2d_scratch(64, 1, words=True, taps=False, tiles=1),
            pointwise_scratch(28, tiles=2),
            pointwise_scratch(28, tiles=1),
            strip_scratch(3, 3, 2, 1, 5),
            strip_scratch(3, 3, 2, 3, 8),
            conv_2d_scratch(72, 3, words=True, taps=True, tiles=2),
            depthwise_conv_2d_scratch(9, 5, 7),
            square_scratch(8, 5, 2, 1, 12),
            square_scratch(512, 3, 1, 0, 4),
            rows_scratch(8, 5, 2, 12),
            rows_scratch(1024, 3, 1, 3),
        ]


@pytest.mark.parametrize(
    "header",
    ["tn_conv_2d", "tn_pointwise_conv_2d", "tn_strip_conv_2d", "tn_straight"]
    + ["tn_depthwise_conv_2d", "tn_depthwise_rows_5x5", "tn_fully_connected"],
)
def test_headers_compile_as_c_and_cpp(header: str) -> None:
    for compiler, standard in (("gcc", "-std=c11"), ("g++", "-std=c++17")):
        for dsp in (0, 1):
            language = "c" if compiler == "gcc" else "c++"
            flags = [standard, "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
            done = subprocess.run(
                [compiler, *flags, f"-DTN_DSP={dsp}", f"-I{RUNTIME}", "-fsyntax-only"]
                + ["-x", language, "-"],
                input=f'#include "{header}.h"\n',
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr


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


def _pushed(header: str, frame: str) -> int:
    """Bytes of stack of the functions in assembly of a header; all registers, and `frame`."""
    found = re.search(rf'#define {frame} "(\d+)"', (RUNTIME / header).read_text())
    assert found
    return 9 * 4 + int(found[1])


def test_stack_of_assembly_is_what_it_pushes() -> None:
    text = "".join((RUNTIME / f"tn_{name}_armv7em.h").read_text() for name in ("dot", "taps"))
    names = re.findall(r"#define (\w+) TN_VARIANT", text)
    expected = dict.fromkeys(names, _pushed("tn_dot_armv7em.h", "TN_FRAME"))
    forms = list(product("357", "12", "01", "2345678", "01"))
    bytes_ = _pushed("tn_depthwise_fill_armv7em.h", "TN_DW_FRAME")
    expected |= {"tn_depthwise_square_" + "".join(form): bytes_ for form in forms}
    rows = product("357", "12", "2345678", "01", "01")
    bytes_ = _pushed("tn_depthwise_rows_armv7em.h", "TN_DR_FRAME")
    expected |= {"tn_depthwise_rows_" + "".join(form): bytes_ for form in rows}
    assert '"push {r3-r7, lr}' in (RUNTIME / "tn_dot_armv6m.h").read_text()
    expected["tn_dot_joined"] = 6 * 4
    straight = _pushed("tn_straight_armv7em.h", "TN_STRAIGHT_FRAME")
    tiles = [
        f"tn_{some}{kind}_tile" for some in ("", "unrolled_") for kind in ("strip", "pointwise")
    ]
    expected |= dict.fromkeys(tiles, straight)
    expected |= {"tn_strip_fill": 9 * 4, "tn_strip_single": 10 * 4}
    for header in ("row_sums", "depthwise_conv_2d", "dense"):
        text = (RUNTIME / f"tn_{header}_armv7em.h").read_text()
        frame = sum(map(int, re.findall(r"sub sp, #(\d+)", text)))
        expected |= dict.fromkeys(re.findall(r"#define (\w+) TN_VARIANT", text), 9 * 4 + frame)
    own = ("winograd", "lanes")  # with tests of their own
    of_others = {n: b for n, b in ASSEMBLY_BYTES.items() if not any(o in n for o in own)}
    assert expected == of_others
