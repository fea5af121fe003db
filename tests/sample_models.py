"""Small whole networks, made by hand, that between them use every operator Thumbnet runs.

`SAMPLES[name]()` is a fresh `Builder`; weights are drawn with a fixed seed. Scales are such that
most values stay inside of int8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tflite_builder import Builder, Spec

Shape = tuple[int, ...]


class SampleNet:
    """A builder with one method for each layer; all take and give tensor indices."""

    def __init__(self, seed: int) -> None:
        self.builder = Builder()
        self.random = np.random.default_rng(seed)

    def shape(self, tensor: int) -> Shape:
        return self.builder.specs[tensor].shape

    def spec(self, shape: Shape, scale: float = 0.05, zero_point: int = -3) -> Spec:
        return Spec(shape, scale=scale, zero_point=zero_point)

    def like(self, tensor: int, shape: Shape) -> Spec:
        of = self.builder.specs[tensor]
        return Spec(shape, of.dtype, of.scale, of.zero_point)

    def integers(self, *values: int) -> int:
        return self.builder.constant(np.array(values, np.int32))

    def weights(self, shape: Shape, channels: int, axis: int) -> tuple[int, int]:
        """Per-channel int8 weights and their int32 bias."""
        scales = self.random.uniform(0.002, 0.02, channels).astype(np.float32).tolist()
        values = self.random.integers(-127, 128, shape).astype(np.int8)
        bias = self.random.integers(-2000, 2000, channels).astype(np.int32)
        return (
            self.builder.constant(values, scales, 0, axis),
            self.builder.constant(bias, [0.05 * s for s in scales]),
        )

    def window(self, x: int, kernel: int, stride: int, padding: str) -> tuple[int, int]:
        _, h, w, _ = self.shape(x)
        if padding == "SAME":
            return -(-h // stride), -(-w // stride)
        return (h - kernel) // stride + 1, (w - kernel) // stride + 1

    def conv(
        self, x: int, channels: int, kernel: int, stride: int = 1, padding: str = "SAME",
        activation: str = "NONE",
    ) -> int:  # fmt: skip
        inputs = self.shape(x)[3]
        w, b = self.weights((channels, kernel, kernel, inputs), channels, 0)
        out = (1, *self.window(x, kernel, stride, padding), channels)
        return self.builder.op(
            "CONV_2D", [x, w, b], self.spec(out), padding=padding, stride_h=stride,
            stride_w=stride, dilation_h_factor=1, dilation_w_factor=1,
            fused_activation_function=activation,
        )  # fmt: skip

    def depthwise(self, x: int, kernel: int, stride: int = 1, multiplier: int = 1) -> int:
        channels = self.shape(x)[3] * multiplier
        w, b = self.weights((1, kernel, kernel, channels), channels, 3)
        out = (1, *self.window(x, kernel, stride, "SAME"), channels)
        return self.builder.op(
            "DEPTHWISE_CONV_2D", [x, w, b], self.spec(out), padding="SAME", stride_h=stride,
            stride_w=stride, dilation_h_factor=1, dilation_w_factor=1,
            depth_multiplier=multiplier, fused_activation_function="RELU6",
        )  # fmt: skip

    def pool(self, kind: str, x: int, size: int, stride: int, padding: str = "VALID") -> int:
        out = (1, *self.window(x, size, stride, padding), self.shape(x)[3])
        return self.builder.op(
            kind, [x], self.like(x, out), padding=padding, filter_height=size, filter_width=size,
            stride_h=stride, stride_w=stride, fused_activation_function="NONE",
        )  # fmt: skip

    def dense(self, x: int, outputs: int) -> int:
        inputs = int(np.prod(self.shape(x)[1:]))
        values = self.random.integers(-127, 128, (outputs, inputs)).astype(np.int8)
        w = self.builder.constant(values, 0.01)
        b = self.builder.constant(self.random.integers(-500, 500, outputs).astype(np.int32), 0.0005)
        return self.builder.op(
            "FULLY_CONNECTED", [x, w, b], self.spec((1, outputs), 0.1, 4),
            fused_activation_function="NONE", weights_format="DEFAULT", keep_num_dims=False,
        )  # fmt: skip

    def reshape(self, x: int, shape: Shape) -> int:
        return self.builder.op(
            "RESHAPE", [x, self.integers(*shape)], self.like(x, shape), new_shape=list(shape)
        )

    def binary(self, kind: str, a: int, b: int, **options: Any) -> int:
        shape = np.broadcast_shapes(self.shape(a), self.shape(b))
        if kind in ("MINIMUM", "MAXIMUM"):
            return self.builder.op(kind, [a, b], self.like(a, shape))
        options.setdefault("fused_activation_function", "NONE")
        return self.builder.op(kind, [a, b], self.spec(shape, 0.11, 5), **options)

    def vector(self, *shape: int, scale: float = 0.05, zero_point: int = -3) -> int:
        values = self.random.integers(-128, 128, shape).astype(np.int8)
        return self.builder.constant(values, scale, zero_point)


def small_cnn() -> Builder:
    """Convolutions, a depthwise one, pooling, a dense layer, SOFTMAX."""
    net = SampleNet(1)
    x = net.builder.input((1, 9, 8, 3), scale=0.05, zero_point=-3, name="image")
    x = net.conv(x, 8, 3, 2, activation="RELU6")
    x = net.depthwise(x, 3)
    x = net.conv(x, 12, 1, activation="RELU")
    x = net.pool("AVERAGE_POOL_2D", x, 2, 2)
    x = net.dense(net.reshape(x, (1, 48)), 5)
    net.builder.output(
        net.builder.op("SOFTMAX", [x], Spec((1, 5), scale=1 / 256, zero_point=-128), beta=1.0)
    )
    return net.builder


def residual() -> Builder:
    """Skip connections, PAD into VALID convolutions, arithmetic with constants, MEAN."""
    net = SampleNet(2)
    x = net.builder.input((1, 7, 7, 4), scale=0.05, zero_point=-3)
    stem = net.conv(x, 8, 3)
    y = net.conv(stem, 8, 3, activation="RELU")
    y = net.builder.op("ADD", [stem, y], net.spec((1, 7, 7, 8)), fused_activation_function="RELU")
    pads = net.builder.constant(np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))
    y = net.builder.op("PAD", [y, pads], net.spec((1, 10, 8, 8)))
    y = net.conv(y, 6, 3, 2, "VALID")
    y = net.binary("MUL", y, net.vector(1, 1, 1, 6))
    y = net.binary("SUB", y, net.vector(1, 4, 3, 6))
    y = net.binary("MAXIMUM", y, net.vector(6, scale=0.11, zero_point=5))
    y = net.pool("MAX_POOL_2D", y, 2, 1, "SAME")
    y = net.builder.op(
        "MEAN", [y, net.integers(1, 2)], net.spec((1, 6), 0.07, 1), keep_dims=False
    )
    net.builder.output(net.dense(y, 3))
    return net.builder


def branches() -> Builder:
    """SPLIT, SPLIT_V, SLICE, STRIDED_SLICE, CONCATENATION, TRANSPOSE, resizing; two outputs."""
    net = SampleNet(3)
    b = net.builder
    x = b.input((1, 6, 4, 8), scale=0.05, zero_point=-3)
    half = (1, 6, 4, 4)
    left, right = b.ops("SPLIT", [net.integers(3), x], [net.like(x, half)] * 2, num_splits=2)
    right = net.depthwise(right, 3)
    joined = b.op("CONCATENATION", [left, right], net.like(x, (1, 6, 4, 8)), axis=-1,
                  fused_activation_function="NONE")
    top, rest = b.ops("SPLIT_V", [joined, net.integers(2, -1), net.integers(1)],
                      [net.like(x, (1, 2, 4, 8)), net.like(x, (1, 4, 4, 8))], num_splits=2)
    part = b.op("SLICE", [rest, net.integers(0, 1, 0, 2), net.integers(1, 2, -1, 3)],
                net.like(x, (1, 2, 4, 3)))
    turned = b.op("TRANSPOSE", [part, net.integers(0, 2, 1, 3)], net.like(x, (1, 4, 2, 3)))
    every = b.op("STRIDED_SLICE", [top, net.integers(0, 0, 3, 0), net.integers(1, 2, -5, 8),
                                   net.integers(1, 1, -2, 3)],
                 net.like(x, (1, 2, 2, 3)), begin_mask=0, end_mask=0, ellipsis_mask=0,
                 new_axis_mask=0, shrink_axis_mask=0)
    big = b.op("RESIZE_NEAREST_NEIGHBOR", [every, net.integers(4, 2)],
               net.like(x, (1, 4, 2, 3)), align_corners=False, half_pixel_centers=False)
    y = net.binary("ADD", turned, big)
    smooth = b.op("RESIZE_BILINEAR", [y, net.integers(7, 5)], net.like(y, (1, 7, 5, 3)),
                  align_corners=False, half_pixel_centers=True)
    b.output(smooth, net.binary("MINIMUM", left, right))
    return b


def activations() -> Builder:
    """Every unary function, SQUEEZE, EXPAND_DIMS, SUM and L2_NORMALIZATION."""
    net = SampleNet(4)
    b = net.builder
    x = b.input((1, 3, 2, 8), scale=0.05, zero_point=-3)
    unit = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    y = x
    for kind in ("HARD_SWISH", "RELU", "LEAKY_RELU", "ABS", "RELU6"):
        options = {"alpha": 0.2} if kind == "LEAKY_RELU" else {}
        y = b.op(kind, [y], net.spec((1, 3, 2, 8), 0.04, -10), **options)
    alpha = net.vector(1, 1, 8, scale=0.01)
    y = b.op("PRELU", [net.binary("SUB", x, y), alpha], net.spec((1, 3, 2, 8), 0.06, 2))
    gates = [b.op(kind, [y], net.spec((1, 3, 2, 8), *unit[kind])) for kind in unit]
    y = net.binary("MUL", *gates)
    y = b.op("SUM", [y, net.integers(1)], net.spec((1, 1, 2, 8), 0.2, 0), keep_dims=True)
    y = b.op("SQUEEZE", [y], net.like(y, (1, 2, 8)), squeeze_dims=[1])
    y = b.op("EXPAND_DIMS", [y, net.integers(1)], net.like(y, (1, 1, 2, 8)))
    b.output(b.op("L2_NORMALIZATION", [y], net.spec((1, 1, 2, 8), 1 / 128, 0),
                  fused_activation_function="NONE"))
    return b


def stateful() -> Builder:
    """A streaming network: a window of rows is kept in a variable; a counter in another."""
    net = SampleNet(5)
    b = net.builder
    x = b.input((1, 1, 1, 6), scale=0.05, zero_point=-3, name="frame")
    index, start = b.subgraph("initialise")
    for name, shape in (("window", (1, 3, 1, 6)), ("sum", (1, 4))):
        handle = start.op("VAR_HANDLE", [], Spec((1,), "resource"), container="", shared_name=name)
        value = start.constant(np.full(shape, -3, np.int8), 0.05, -3)
        start.ops("ASSIGN_VARIABLE", [handle, value], [])
    b.ops("CALL_ONCE", [], [], init_subgraph_index=index)
    handles = [
        b.op("VAR_HANDLE", [], Spec((1,), "resource"), container="", shared_name=name)
        for name in ("window", "sum")
    ]
    old = b.op("READ_VARIABLE", handles[:1], net.like(x, (1, 3, 1, 6)))
    window = b.op("CONCATENATION", [old, x], net.like(x, (1, 4, 1, 6)), axis=1,
                  fused_activation_function="NONE")
    kept = b.op("SLICE", [window, net.integers(0, 1, 0, 0), net.integers(1, 3, 1, 6)],
                net.like(x, (1, 3, 1, 6)))
    b.ops("ASSIGN_VARIABLE", [handles[0], kept], [])
    w, bias = net.weights((4, 4, 1, 6), 4, 0)
    y = b.op("CONV_2D", [window, w, bias], net.spec((1, 1, 1, 4)), padding="VALID", stride_h=1,
             stride_w=1, dilation_h_factor=1, dilation_w_factor=1,
             fused_activation_function="RELU")
    total = b.op("READ_VARIABLE", handles[1:], net.like(x, (1, 4)))
    total = b.op("ADD", [total, net.reshape(y, (1, 4))], net.like(x, (1, 4)),
                 fused_activation_function="NONE")
    b.ops("ASSIGN_VARIABLE", [handles[1], total], [])
    b.output(b.op("LOGISTIC", [total], Spec((1, 4), scale=1 / 256, zero_point=-128)))
    return b


def float_edges() -> Builder:
    """float32 in and out, quantised inside."""
    net = SampleNet(6)
    x = net.builder.input((1, 12), "float32", name="serving_default_x:0")
    x = net.builder.op("QUANTIZE", [x], net.spec((1, 12)))
    y = net.dense(x, 7)
    y = net.builder.op("RELU", [y], net.like(y, (1, 7)))
    net.builder.output(net.builder.op("DEQUANTIZE", [y], Spec((1, 7), "float32")))
    return net.builder


def uint8_edges() -> Builder:
    """uint8 in; uint8 and int16 out."""
    net = SampleNet(7)
    b = net.builder
    x = b.input((1, 5, 5, 2), "uint8", 0.05, 125, "camera")
    x = b.op("QUANTIZE", [x], net.spec((1, 5, 5, 2)))
    y = net.conv(x, 3, 3, activation="RELU_N1_TO_1")
    b.output(b.op("QUANTIZE", [y], Spec((1, 5, 5, 3), "uint8", 0.05, 125)))
    b.output(b.op("QUANTIZE", [net.depthwise(y, 3, 2, 2)], Spec((1, 3, 3, 6), "int16", 0.001)))
    return b


def two_inputs() -> Builder:
    """Two inputs of different shapes, broadcast together; two outputs, one of them inside."""
    net = SampleNet(8)
    b = net.builder
    image = b.input((1, 4, 4, 6), scale=0.05, zero_point=-3, name="image")
    gain = b.input((1, 1, 1, 6), scale=0.02, zero_point=10, name="gain")
    y = net.conv(image, 6, 1)
    scaled = net.binary("MUL", y, gain)
    b.output(scaled)
    y = net.pool("AVERAGE_POOL_2D", scaled, 3, 2, "SAME")
    b.output(net.dense(net.reshape(y, (1, 24)), 4))
    return b


SAMPLES: dict[str, Callable[[], Builder]] = {
    make.__name__: make
    for make in (
        small_cnn, residual, branches, activations, stateful, float_edges, uint8_edges, two_inputs
    )
}  # fmt: skip
