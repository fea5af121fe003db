"""Random convolutions and dense layers, and what PyTorch integer arithmetic makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from kernel_loader import run_kernel
from numpy.typing import NDArray

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
    lower_conv_2d,
    lower_depthwise_conv_2d,
    lower_fully_connected,
)
from thumbnet.codegen.lowering.quantize import (
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multipliers,
)

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


def bands_of(rows: int, cut: int) -> list[tuple[int, int]]:
    edges = sorted({0, rows, cut % (rows + 1), (2 * cut + 1) % (rows + 1)})
    return list(zip(edges[:-1], edges[1:], strict=True))


SAME = Padding(1, 1, 1, 1)
