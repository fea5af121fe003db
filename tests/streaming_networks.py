"""Whole-window networks over time that can be streamed: rows are time, nothing pads it.

`random_network(seed)` draws one; `keyword_network(seed)` has the shape of a keyword network, with
random weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tflite_builder import Builder, Spec


class TimeNet:
    """A builder whose layers take and give tensor indices; VALID along time everywhere."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.model = Builder()

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def shape(self, x: int) -> tuple[int, ...]:
        return self.model.specs[x].shape

    def spec(self, shape: tuple[int, ...]) -> Spec:
        scale = float(np.float32(self.random.uniform(0.03, 0.15)))
        return Spec(shape, "int8", scale, int(self.random.integers(-100, 100)))

    def like(self, x: int, shape: tuple[int, ...]) -> Spec:
        return Spec(shape, "int8", self.model.specs[x].scale, self.model.specs[x].zero_point)

    def integers(self, *values: int) -> int:
        return self.model.constant(np.array(values, np.int32))

    def _weights(self, shape: tuple[int, ...], channels: int, axis: int) -> tuple[int, int]:
        values = self.random.integers(-127, 128, shape, dtype=np.int8)
        fan_in = values.size // channels
        scales = (self.random.uniform(0.5, 1.5, channels) / 73 / np.sqrt(fan_in)).tolist()
        bias = self.random.integers(-300, 300, channels, dtype=np.int32)
        return self.model.constant(values, scales, 0, axis), self.model.constant(bias, scales, 0)

    def conv(
        self, x: int, channels: int, taps: int, *, stride: int = 1, dilation: int = 1,
        width: int = 1, depthwise: bool = False, activation: str = "RELU",
    ) -> int:  # fmt: skip
        """[taps, width] filters; `stride` and `dilation` are along time."""
        _, h, w, c = self.shape(x)
        out_c = c if depthwise else channels
        shape = (1, taps, width, c) if depthwise else (out_c, taps, width, c)
        weights, bias = self._weights(shape, out_c, 3 if depthwise else 0)
        out = (1, (h - (taps - 1) * dilation - 1) // stride + 1, w - width + 1, out_c)
        options: dict[str, Any] = {"depth_multiplier": 1} if depthwise else {}
        return self.model.op(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, weights, bias], self.spec(out),
            stride_h=stride, stride_w=1, dilation_h_factor=dilation, dilation_w_factor=1,
            padding="VALID", fused_activation_function=activation, **options,
        )  # fmt: skip

    def pool(self, x: int, kind: str, taps: int, stride: int = 1) -> int:
        _, h, w, c = self.shape(x)
        out = (1, (h - taps) // stride + 1, w, c)
        return self.model.op(
            kind, [x], self.like(x, out), filter_height=taps, filter_width=1, stride_h=stride,
            stride_w=1, padding="VALID", fused_activation_function="NONE",
        )  # fmt: skip

    def crop(self, x: int, begin: int, rows: int) -> int:
        _, _, w, c = self.shape(x)
        starts, sizes = self.integers(0, begin, 0, 0), self.integers(1, rows, w, c)
        return self.model.op("SLICE", [x, starts, sizes], self.like(x, (1, rows, w, c)))

    def add(self, a: int, b: int) -> int:
        return self.model.op(
            "ADD", [a, b], self.spec(self.shape(a)), fused_activation_function="NONE"
        )

    def reshape(self, x: int, shape: tuple[int, ...]) -> int:
        return self.model.op("RESHAPE", [x, self.integers(*shape)], self.like(x, shape))

    def mean(self, x: int, *axes: int) -> int:
        shape = tuple(d for i, d in enumerate(self.shape(x)) if i not in axes)
        return self.model.op(
            "MEAN", [x, self.integers(*axes)], self.like(x, shape), keep_dims=False
        )

    def dense(self, x: int, outputs: int) -> int:
        weights, bias = self._weights((outputs, self.shape(x)[-1]), outputs, 0)
        spec = Spec((*self.shape(x)[:-1], outputs), "int8", 0.01, 3)  # fine: shows small changes
        return self.model.op(
            "FULLY_CONNECTED", [x, weights, bias], spec, fused_activation_function="NONE",
            weights_format="DEFAULT", keep_num_dims=len(self.shape(x)) > 2,
        )  # fmt: skip

    def softmax(self, x: int) -> int:
        return self.model.op("SOFTMAX", [x], Spec(self.shape(x), "int8", 1 / 256, -128), beta=1.0)


def keyword_network(seed: int = 7) -> bytes:
    """[1, 49, 1, 40] -> 12 probabilities; 27 k multiply-accumulates for each new row."""
    net = TimeNet(seed)
    x = net.model.input((1, 49, 1, 40), "int8", 0.1, -20)
    x = net.conv(x, 64, 3)
    for taps in (5, 7, 9, 9):
        x = net.conv(net.conv(x, 0, taps, depthwise=True), 64, 1)
    x = net.dense(net.mean(x, 1, 2), 12)
    net.model.output(net.softmax(x))
    return net.model.build()


def random_network(seed: int, stride: int = 1) -> bytes:
    """A network of 2 to 6 blocks and a head; its strides along time multiply to `stride`."""
    net = TimeNet(seed)
    width = int(net.pick(1, 1, 4))
    height = int(net.random.integers(30, 60))
    x = net.model.input(
        (1, height, width, int(net.pick(1, 3, 8))), "int8", 0.05, int(net.pick(-128, 5))
    )
    left = stride
    for _ in range(int(net.random.integers(2, 7))):
        if net.shape(x)[1] < 16:
            break
        if left > 1:
            x = _strided(net, x, 2)
            left //= 2
        else:
            x = net.pick(_plain, _plain, _depthwise, _pool, _residual, _concatenation, _unary)(
                net, x
            )
    while left > 1:
        x = _strided(net, x, 2)
        left //= 2
    net.model.output(_head(net, x))
    return net.model.build()


def _strided(net: TimeNet, x: int, stride: int) -> int:
    if net.pick(False, True):
        return net.pool(x, "MAX_POOL_2D", int(net.pick(2, 3)), stride)
    return net.conv(x, 6, int(net.pick(1, 2, 3)), stride=stride)


def _plain(net: TimeNet, x: int) -> int:
    wide = min(int(net.pick(1, 2)), net.shape(x)[2])
    taps = int(net.pick(1, 2, 3))
    return net.conv(x, int(net.pick(4, 6, 8)), taps, dilation=int(net.pick(1, 2)), width=wide)


def _depthwise(net: TimeNet, x: int) -> int:
    return net.conv(x, 0, int(net.pick(2, 3, 4)), dilation=int(net.pick(1, 3)), depthwise=True)


def _pool(net: TimeNet, x: int) -> int:
    return net.pool(x, net.pick("AVERAGE_POOL_2D", "MAX_POOL_2D"), int(net.pick(2, 3)))


def _residual(net: TimeNet, x: int) -> int:
    """The skip path is cropped at the start, in the middle or at the end of the window."""
    channels = net.shape(x)[3]
    y = net.conv(net.conv(x, channels, 3), channels, int(net.pick(1, 2)), dilation=2)
    rows = net.shape(y)[1]
    gone = net.shape(x)[1] - rows
    skip = net.crop(x, int(net.pick(0, gone // 2, gone)), rows)
    return net.add(*net.pick((skip, y), (y, skip)))


def _concatenation(net: TimeNet, x: int) -> int:
    """Two dilations of a depthwise layer side by side, as in MixConv."""
    _, h, w, c = net.shape(x)
    rows = h - 4
    a = net.conv(net.crop(x, int(net.pick(0, 1, 2)), h - 2), 0, 3, depthwise=True)
    b = net.pool(x, "MAX_POOL_2D", 5)
    both = Spec(
        (1, rows, w, 2 * c), "int8", net.model.specs[b].scale, net.model.specs[b].zero_point
    )
    a = net.model.op("QUANTIZE", [a], net.like(b, net.shape(a)))
    return net.model.op("CONCATENATION", [a, b], both, axis=3)


def _unary(net: TimeNet, x: int) -> int:
    return (
        net.model.op(
            net.pick("HARD_SWISH", "LOGISTIC"), [x], Spec(net.shape(x), "int8", 1 / 256, -128)
        )
        if net.pick(False, True)
        else net.add(x, x)
    )


def _head(net: TimeNet, x: int) -> int:
    kind = net.pick("mean", "pool", "flatten", "rows")
    _, h, w, c = net.shape(x)
    if kind == "rows":  # a dense layer on each row first
        x = net.dense(net.reshape(x, (1, h, w * c)), 5)
        return net.mean(x, 1)
    if kind == "mean":
        x = net.mean(x, 1, 2)
    elif kind == "pool":
        x = net.pool(x, net.pick("AVERAGE_POOL_2D", "MAX_POOL_2D"), h)
        x = net.reshape(x, (1, w * c))
    else:
        x = net.reshape(x, (1, h * w * c))
    return net.dense(x, 5)
