"""Random int8 networks for whole-compiler tests: convolutions, branches, pools, concatenations.

Each is a function of a seed, so hypothesis (or a parametrised test) needs to draw only that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tflite_builder import Builder, Spec

Array = NDArray[Any]
_SAME, _VALID = "SAME", "VALID"


class _Network:
    def __init__(self, seed: int, dying: bool) -> None:
        self.random = np.random.default_rng(seed)
        self.model = Builder()
        self.dying = dying  # many channels are constant, or read by nothing

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def scale(self) -> float:
        return float(np.float32(self.random.uniform(0.02, 0.2)))

    def zero_point(self) -> int:
        return int(self.pick(-128, 127, 0, int(self.random.integers(-128, 128))))

    def spec(self, shape: tuple[int, ...]) -> Spec:
        return Spec(shape, "int8", self.scale(), self.zero_point())

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.model.specs[tensor].shape

    def weights(self, shape: tuple[int, ...], channels: int, axis: int) -> tuple[int, int]:
        values = self.random.integers(-127, 128, shape, dtype=np.int8)
        per_channel = self.random.uniform(0.001, 0.02, channels).astype(np.float32)
        bias = self.random.integers(-2000, 2000, channels, dtype=np.int32)
        if self.dying:
            self.kill(np.moveaxis(values, axis, 0), bias, per_channel)
        w = self.model.constant(values, per_channel.tolist(), [0] * channels, axis)
        return w, self.model.constant(bias, per_channel.tolist(), [0] * channels)

    def kill(self, filters: Array, bias: Array, scales: Array) -> None:
        """Filters [O, ...] of zeros, biases that saturate, scales of nearly nothing."""
        fates = self.random.choice(6, len(filters), p=[0.4, 0.15, 0.15, 0.1, 0.1, 0.1])
        filters[(fates == 1) | (fates == 2) | (fates == 5)] = 0
        bias[fates == 1] = 0
        bias[fates == 3], bias[fates == 4] = -(10**8), 10**8
        scales[fates == 5] = 1e-12
        if filters.shape[-1] > 1 and self.pick(False, True):
            filters[..., self.random.random(filters.shape[-1]) < 0.5] = 0

    def convolution(self, x: int) -> int:
        _, h, w, c = self.shape(x)
        depthwise = bool(self.pick(False, False, True))
        kernel_h, kernel_w = self.pick((1, 1), (1, 1), (3, 3), (5, 5), (3, 2), (1, 4))
        stride = int(self.pick(1, 1, 2))
        padding = _SAME if kernel_h > h or kernel_w > w else self.pick(_SAME, _VALID)
        out_c = c if depthwise else int(self.pick(1, 3, 4, 6, 8, 16))
        shape = (1, kernel_h, kernel_w, c) if depthwise else (out_c, kernel_h, kernel_w, c)
        weights, bias = self.weights(shape, out_c, 3 if depthwise else 0)

        def extent(size: int, k: int) -> int:
            return -(-size // stride) if padding == _SAME else -(-(size - k + 1) // stride)

        out = (1, extent(h, kernel_h), extent(w, kernel_w), out_c)
        options: dict[str, Any] = {"depth_multiplier": 1} if depthwise else {}
        return self.model.op(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            [x, weights, bias],
            self.spec(out),
            stride_h=stride,
            stride_w=stride,
            padding=padding,
            fused_activation_function=self.pick("NONE", "RELU", "RELU6"),
            **options,
        )

    def pool(self, x: int) -> int:
        _, h, w, c = self.shape(x)
        kind = self.pick("AVERAGE_POOL_2D", "MAX_POOL_2D")
        stride = int(self.pick(1, 2))
        source = self.model.specs[x]
        out = (1, -(-h // stride), -(-w // stride), c)
        return self.model.op(
            kind,
            [x],
            Spec(out, "int8", source.scale, source.zero_point),
            filter_height=min(h, 3),
            filter_width=min(w, 2),
            stride_h=stride,
            stride_w=stride,
            padding=_SAME,
            fused_activation_function="NONE",
        )

    def residual(self, x: int) -> int:
        _, h, w, c = self.shape(x)
        weights, bias = self.weights((c, 3, 3, c), c, 0)
        y = self.model.op(
            "CONV_2D", [x, weights, bias], self.spec((1, h, w, c)),
            stride_h=1, stride_w=1, padding=_SAME, fused_activation_function="NONE",
        )  # fmt: skip
        kind = self.pick("ADD", "ADD", "SUB", "MUL")
        return self.model.op(
            kind, [x, y], self.spec((1, h, w, c)), fused_activation_function="NONE"
        )

    def concatenation(self, x: int) -> int:
        _, h, w, c = self.shape(x)
        weights, bias = self.weights((4, 1, 1, c), 4, 0)
        source = self.model.specs[x]
        same = Spec((1, h, w, 4), "int8", source.scale, source.zero_point)
        y = self.model.op(
            "CONV_2D", [x, weights, bias], same,
            stride_h=1, stride_w=1, padding=_SAME, fused_activation_function="RELU",
        )  # fmt: skip
        both = Spec((1, h, w, c + 4), "int8", source.scale, source.zero_point)
        return self.model.op("CONCATENATION", [x, y], both, axis=3)

    def unary(self, x: int) -> int:
        if self.dying and self.pick(False, True):
            alpha = self.random.integers(-128, 128, self.shape(x)[3], dtype=np.int8)
            slope = self.model.constant(alpha, 0.01, self.zero_point())
            return self.model.op("PRELU", [x, slope], self.spec(self.shape(x)))
        kind = self.pick("HARD_SWISH", "RELU", "LEAKY_RELU", "ABS")
        options = {"alpha": 0.1} if kind == "LEAKY_RELU" else {}
        return self.model.op(kind, [x], self.spec(self.shape(x)), **options)

    def movement(self, x: int) -> int:
        """SLICE, PAD, TRANSPOSE, RESHAPE or RESIZE_NEAREST_NEIGHBOR of [1, H, W, C]."""
        _, h, w, c = self.shape(x)
        source = self.model.specs[x]
        kind = self.pick("SLICE", "PAD", "TRANSPOSE", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR")
        options: dict[str, Any] = {}
        if kind == "SLICE":
            begin = int(self.random.integers(c))
            size = int(self.random.integers(1, c - begin + 1))
            numbers, shape = [[0, 0, 0, begin], [1, h, w, size]], (1, h, w, size)
        elif kind == "PAD":
            after = int(self.pick(0, 0, 4))
            numbers, shape = [[[0, 0], [1, 0], [0, 1], [0, after]]], (1, h + 1, w + 1, c + after)
        elif kind == "TRANSPOSE":
            order = self.pick([0, 2, 1, 3], [0, 1, 3, 2])
            full = (1, h, w, c)
            numbers, shape = [order], (1, full[order[1]], full[order[2]], full[order[3]])
        elif kind == "RESHAPE":
            shape = self.pick((1, w, h, c), (1, 1, h, w * c), (1, h * w, 1, c), (1, h, w * c, 1))
            numbers = [list(shape)]
        else:
            numbers, shape = [[2 * h, w]], (1, 2 * h, w, c)
            options = {"align_corners": False, "half_pixel_centers": False}
        constants = [self.model.constant(np.array(n, np.int32)) for n in numbers]
        spec = Spec(shape, "int8", source.scale, source.zero_point)
        return self.model.op(kind, [x, *constants], spec, **options)

    def head(self, x: int) -> int:
        features = int(np.prod(self.shape(x)))
        flat = self.model.op(
            "RESHAPE",
            [x, self.model.constant(np.array([1, features], np.int32))],
            Spec((1, features), "int8", self.model.specs[x].scale, self.model.specs[x].zero_point),
        )
        values = self.random.integers(-127, 128, (5, features), dtype=np.int8)
        scale = float(np.float32(self.scale() / 50))
        weights = self.model.constant(values, scale, 0)
        source = self.model.specs[flat].scale
        assert isinstance(source, float)
        bias = self.model.constant(
            self.random.integers(-500, 500, 5, dtype=np.int32), float(np.float32(source * scale)), 0
        )
        dense = self.model.op(
            "FULLY_CONNECTED", [flat, weights, bias], self.spec((1, 5)),
            fused_activation_function="NONE", weights_format="DEFAULT",
        )  # fmt: skip
        return self.model.op("SOFTMAX", [dense], Spec((1, 5), "int8", 1 / 256, -128), beta=1.0)


def random_network(seed: int, *, dying: bool = False) -> bytes:
    """A .tflite of 3 to 9 operators with one int8 input [1, H, W, C] and one or two outputs;
    `dying`: channels of its convolutions are often constant, or read by nothing."""
    network = _Network(seed, dying)
    height, width = (int(network.random.integers(4, 14)) for _ in range(2))
    shape = (1, height, width, int(network.pick(1, 3, 4, 8)))
    x = network.model.input(shape, "int8", network.scale(), network.zero_point())
    makers = [
        network.convolution, network.convolution, network.pool, network.residual,
        network.concatenation, network.unary,
    ]  # fmt: skip
    if dying:
        makers += [network.convolution, network.movement]
    middle = x
    for i in range(int(network.random.integers(2, 7))):
        x = network.pick(*makers)(x)
        if i == 1:
            middle = x
    if network.pick(False, True):
        network.model.output(network.head(x))
    else:
        network.model.output(x)
        if middle != x and network.pick(False, True):
            network.model.output(middle)
    return network.model.build()
