"""Random int8 networks of the kinds that people deploy, for measuring: MobileNetV2, ResNet, DS-CNN,
plain CNNs, autoencoders, and mixtures of every operator. Each is a function of a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import (
    Activation,
    Attributes,
    Concatenation,
    Convolution,
    Graph,
    LeakyRelu,
    Operator,
    Pad,
    Padding,
    Pool,
    Quantization,
    Reduce,
    Resize,
    Slice,
    Softmax,
    Tensor,
    Transpose,
)

Shape = tuple[int, ...]


class Net:
    """A graph in the making; methods take and give tensor names."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []
        self.inputs: list[str] = []
        self.macs = 0

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def chance(self, of: float) -> bool:
        return bool(self.random.random() < of)

    def shape(self, name: str) -> Shape:
        return self.tensors[name].shape

    def tensor(
        self,
        shape: Shape,
        scale: float | NDArray[np.float32] = 0.05,
        zero_point: int = -128,
        data: NDArray[np.generic] | None = None,
    ) -> str:
        name = f"t{len(self.tensors)}"
        scales = np.atleast_1d(np.asarray(scale, np.float32))
        quantization = Quantization(scales, np.full(scales.size, zero_point, np.int64))
        dtype = "int8" if data is None else str(data.dtype)
        self.tensors[name] = Tensor(name, shape, dtype, quantization, data)
        return name

    def input(self, *shape: int) -> str:
        name = self.tensor(shape, 0.05, -3)
        self.inputs.append(name)
        return name

    def like(self, of: str, shape: Shape) -> str:
        return self.tensor(shape, float(self.tensors[of].scale), self.tensors[of].zero_point)

    def op(self, kind: str, inputs: Sequence[str], output: str, attributes: Attributes) -> str:
        name = f"{kind.lower()}_{len(self.operators)}"
        self.operators.append(Operator(name, kind, tuple(inputs), (output,), attributes))
        return output

    def graph(self, name: str, *outputs: str) -> Graph:
        return Graph(
            name,
            f"{name}.tflite",
            self.tensors,
            tuple(self.operators),
            tuple(self.inputs),
            outputs,
            macs=self.macs,
            input_names={tensor: f"input_{i}" for i, tensor in enumerate(self.inputs)},
            output_names={tensor: f"output_{i}" for i, tensor in enumerate(outputs)},
        )

    # ---- layers --------------------------------------------------------------------------------

    def weights(self, shape: Shape, channels: int) -> tuple[str, str]:
        data = self.random.integers(-127, 128, shape, dtype=np.int8)
        scale = self.random.uniform(0.002, 0.009, channels).astype(np.float32)
        bias = self.random.integers(-2000, 2000, channels, dtype=np.int32)
        return (
            self.tensor(shape, scale, 0, data),
            self.tensor((channels,), scale, 0, bias),
        )

    def output_of(self, shape: Shape, activation: str, clamps: bool) -> tuple[str, str]:
        """A tensor and its fused activation, which clamps rarely: converters choose scales so."""
        if clamps:
            return self.tensor(shape, 0.06, -20), self.pick("RELU", "RELU6")
        return self.tensor(shape, 0.02 if activation == "RELU6" else 0.05, -128), activation

    def conv(
        self,
        x: str,
        channels: int,
        kernel: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        *,
        depthwise: bool = False,
        same: bool = True,
        dilation: int = 1,
        clamps: bool = False,
        exact: bool = False,
        activation: str = "RELU",
    ) -> str:
        """CONV_2D, or DEPTHWISE_CONV_2D with `channels` outputs."""
        _, h, w, c = self.shape(x)
        spans = [(k - 1) * dilation + 1 for k in kernel]
        same = same or spans[0] > h or spans[1] > w
        sizes, pads = [], []
        for extent, span, step in zip((h, w), spans, stride, strict=True):
            size = -(-extent // step) if same else (extent - span) // step + 1
            needed = max((size - 1) * step + span - extent, 0) if same else 0
            sizes.append(size)
            pads += [needed // 2, needed - needed // 2]
        shape = (1, *kernel, channels) if depthwise else (channels, *kernel, c)
        weights, bias = self.weights(shape, channels)
        if exact:  # a multiplier that needs the general requantisation
            for name in (weights, bias):
                quantization = self.tensors[name].quantization
                assert quantization is not None
                quantization.scale[:] = 1.5
        out, activation = self.output_of((1, *sizes, channels), activation, clamps)
        attributes = Convolution(
            *stride, dilation, dilation, Padding(*pads), activation, channels // c
        )
        self.macs += int(np.prod(sizes)) * channels * int(np.prod(kernel)) * (1 if depthwise else c)
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        return self.op(kind, [x, weights, bias], out, attributes)

    def depthwise(self, x: str, kernel: int, stride: int = 1, multiplier: int = 1,
                  **how: Any) -> str:  # fmt: skip
        channels = self.shape(x)[3] * multiplier
        return self.conv(x, channels, (kernel, kernel), (stride, stride), depthwise=True, **how)

    def dense(self, x: str, channels: int, clamps: bool = False) -> str:
        features = int(np.prod(self.shape(x)))
        flat = x
        if len(self.shape(x)) != 2:
            flat = self.op("RESHAPE", [x], self.like(x, (1, features)), Attributes())
        data = self.random.integers(-127, 128, (channels, features), dtype=np.int8)
        weights = self.tensor(data.shape, 0.004, 0, data)
        bias = self.tensor(
            (channels,), 0.0002, 0, self.random.integers(-900, 900, channels, dtype=np.int32)
        )
        out, activation = self.output_of((1, channels), "NONE", clamps)
        self.macs += data.size
        return self.op("FULLY_CONNECTED", [flat, weights, bias], out, Activation(activation))

    def binary(self, kind: str, a: str, b: str, clamps: bool = False) -> str:
        shape = np.broadcast_shapes(self.shape(a), self.shape(b))
        if kind in ("MINIMUM", "MAXIMUM"):
            return self.op(kind, [a, b], self.like(a, shape), Attributes())
        out = self.tensor(shape, 0.07, -100 if clamps else -128)
        return self.op(kind, [a, b], out, Activation("RELU" if clamps else "NONE"))

    def vector(self, *shape: int) -> str:
        return self.tensor(shape, 0.05, -3, self.random.integers(-128, 128, shape, dtype=np.int8))

    def pool(self, x: str, kind: str, size: tuple[int, int], stride: tuple[int, int]) -> str:
        _, h, w, c = self.shape(x)
        size = min(size[0], h), min(size[1], w)
        out = self.like(x, (1, (h - size[0]) // stride[0] + 1, (w - size[1]) // stride[1] + 1, c))
        return self.op(f"{kind}_POOL_2D", [x], out, Pool(*size, *stride))

    def mean(self, x: str, keep: bool = False) -> str:
        c = self.shape(x)[3]
        out = self.tensor((1, 1, 1, c) if keep else (1, c), 0.03, -128)
        return self.op("MEAN", [x], out, Reduce((1, 2), keep))

    def unary(self, x: str, kind: str) -> str:
        scale, zero_point = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}.get(kind, (0.05, 0))
        attributes = LeakyRelu(0.1) if kind == "LEAKY_RELU" else Attributes()
        return self.op(kind, [x], self.tensor(self.shape(x), scale, zero_point), attributes)

    def softmax(self, x: str) -> str:
        return self.op("SOFTMAX", [x], self.tensor(self.shape(x), 1 / 256, -128), Softmax(1.0))

    def head(self, x: str, classes: int) -> str:
        """Global average by any of the usual operators, dense, SOFTMAX."""
        _, h, w, _ = self.shape(x)
        how = int(self.random.integers(3))
        if how == 0:
            x = self.mean(x)
        elif how == 1:
            x = self.pool(x, "AVERAGE", (h, w), (h, w))
        x = self.dense(x, classes)
        return self.softmax(x) if self.chance(0.7) else x


# ---- families ----------------------------------------------------------------------------------


def mobilenet(seed: int) -> Graph:
    """Inverted bottlenecks, as MobileNetV2, MnasNet and MCUNet have them."""
    net = Net(seed)
    size, width = int(net.random.integers(32, 97)), net.pick(0.3, 0.5, 0.75, 1.0)
    sloppy = net.chance(0.2)

    def channels(n: int) -> int:
        return max(3, round(n * width)) if sloppy else max(8, round(n * width / 8) * 8)

    x = net.input(1, size, size, net.pick(1, 3, 3))
    x = net.conv(x, channels(16), (3, 3), (2, 2), activation="RELU6")
    if net.chance(0.7):
        x = net.depthwise(x, 3, activation="RELU6")
        x = net.conv(x, channels(8), activation="NONE")
    for out in (16, 24, 40, 56, 80)[: int(net.random.integers(2, 6))]:
        for repeat in range(int(net.random.integers(1, 4))):
            if net.macs > 3e6:
                break
            stride = 2 if repeat == 0 and min(net.shape(x)[1:3]) > 3 else 1
            c = net.shape(x)[3]
            y = net.conv(x, c * net.pick(3, 4, 6), activation="RELU6")
            y = net.depthwise(y, net.pick(3, 3, 5, 7), stride, activation="RELU6")
            if net.chance(0.1):
                gate = net.conv(net.mean(y, keep=True), max(4, c // 2))
                gate = net.unary(net.conv(gate, net.shape(y)[3], activation="NONE"), "LOGISTIC")
                y = net.binary("MUL", y, gate)
            y = net.conv(y, channels(out), activation="NONE")
            x = net.binary("ADD", x, y) if net.shape(x) == net.shape(y) else y
    return net.graph(f"mobilenet_{seed}", net.head(x, int(net.random.integers(2, 20))))


def resnet(seed: int) -> Graph:
    """Residual blocks of ordinary convolutions, as in MLPerf Tiny's image classification."""
    net = Net(seed)
    size, c = int(net.random.integers(16, 49)), net.pick(4, 6, 8, 12, 16)
    x = net.input(1, size, size, net.pick(1, 3))
    x = net.conv(x, c, (3, 3))
    for block in range(int(net.random.integers(1, 5))):
        if net.macs > 3e6:
            break
        stride = 2 if block and min(net.shape(x)[1:3]) > 3 else 1
        c = c * stride if net.chance(0.8) else c
        y = net.conv(x, c, (3, 3), (stride, stride))
        y = net.conv(y, c, (3, 3), activation="NONE")
        if net.shape(x) != net.shape(y):
            x = net.conv(x, c, (1, 1), (stride, stride), activation="NONE")
        x = net.binary("ADD", x, y)
    return net.graph(f"resnet_{seed}", net.head(x, 10))


def ds_cnn(seed: int) -> Graph:
    """Depthwise separable convolutions on a spectrogram, as for keywords."""
    net = Net(seed)
    x = net.input(1, int(net.random.integers(20, 100)), net.pick(10, 13, 40), 1)
    c = net.pick(16, 24, 32, 48, 64, 72)
    x = net.conv(x, c, net.pick((10, 4), (3, 3), (8, 5), (5, 5)), net.pick((2, 2), (2, 1), (1, 2)))
    for _ in range(int(net.random.integers(1, 6))):
        if net.macs > 2e6:
            break
        x = net.depthwise(x, net.pick(3, 3, 5), net.pick(1, 1, 1, 2), clamps=net.chance(0.1))
        x = net.conv(x, c if net.chance(0.7) else net.pick(20, 36, 64))
    return net.graph(f"ds_cnn_{seed}", net.head(x, 12))


def plain(seed: int) -> Graph:
    """Convolutions of any kind, pools, dense layers."""
    net = Net(seed)
    x = net.input(
        1, int(net.random.integers(12, 64)), int(net.random.integers(12, 64)), net.pick(1, 2, 3, 4)
    )
    for _ in range(int(net.random.integers(2, 6))):
        _, h, w, _ = net.shape(x)
        if net.macs > 2e6 or min(h, w) < 4:
            break
        how: dict[str, Any] = {
            "clamps": net.chance(0.25),
            "exact": net.chance(0.15),
            "same": net.chance(0.6),
        }
        kernel = net.pick((3, 3), (3, 3), (5, 5), (1, 1), (3, 1), (1, 5), (4, 4), (2, 2))
        stride = net.pick((1, 1), (1, 1), (2, 2), (1, 2))
        kind = int(net.random.integers(8))
        if kind == 0:
            x = net.depthwise(x, net.pick(2, 3, 4, 5), net.pick(1, 1, 2, 3), net.pick(1, 1, 2),
                              dilation=net.pick(1, 1, 2), **how)  # fmt: skip
        elif kind == 1:
            x = net.conv(x, net.pick(3, 5, 8), (3, 3), dilation=2, **how)
        else:
            x = net.conv(x, net.pick(3, 4, 6, 8, 10, 12, 16, 17, 32), kernel, stride, **how)
        if net.chance(0.4):
            stride = net.pick((2, 2), (2, 2), (1, 1), (3, 3))
            x = net.pool(x, net.pick("MAX", "AVERAGE"), net.pick((2, 2), (3, 3)), stride)
    if net.chance(0.5):
        x = net.dense(x, net.pick(8, 15, 32), clamps=True)
    return net.graph(f"plain_{seed}", net.head(x, 10) if len(net.shape(x)) == 4 else x)


def temporal(seed: int) -> Graph:
    """Convolutions along time only, [1, T, 1, C], as wake words have them."""
    net = Net(seed)
    x = net.input(1, int(net.random.integers(8, 50)), 1, net.pick(40, 32, 20))
    if net.chance(0.4):  # what streaming models do: the past, and what is new
        _, h, w, c = net.shape(x)
        past = net.input(1, net.pick(2, 4, 8), w, c)
        joined = net.like(x, (1, h + net.shape(past)[1], w, c))
        x = net.op("CONCATENATION", [past, x], joined, Concatenation(1))
    x = net.conv(x, net.pick(30, 32, 40, 64), (net.pick(1, 3, 5), 1), (net.pick(1, 2, 3), 1))
    for _ in range(int(net.random.integers(2, 7))):
        _, h, w, c = net.shape(x)
        if net.macs > 2e6 or h < 3:
            break
        if net.chance(0.4):
            cut = Slice((0, 1, 0, 0), (1, h - 1, w, c), (1, 1, 1, 1))
            x = net.op("SLICE", [x], net.like(x, (1, h - 1, w, c)), cut)
        kernel = min(h - 1, net.pick(3, 4, 5, 7, 9, 11, 15, 23))
        x = net.conv(x, c, (kernel, 1), (net.pick(1, 1, 2), 1), depthwise=True,
                     same=net.chance(0.4))  # fmt: skip
        x = net.conv(x, net.pick(c, 32, 48, 64, 128))
    return net.graph(f"temporal_{seed}", net.unary(net.dense(x, net.pick(1, 3)), "LOGISTIC"))


def autoencoder(seed: int) -> Graph:
    """Dense layers only."""
    net = Net(seed)
    x = net.input(1, int(net.random.integers(8, 641)))
    for _ in range(int(net.random.integers(2, 7))):
        x = net.dense(x, net.pick(8, 10, 31, 32, 64, 128), clamps=net.chance(0.3))
    return net.graph(f"autoencoder_{seed}", x)


def mixture(seed: int) -> Graph:
    """Every operator that a layer may be, on small images."""
    net = Net(seed)
    h, w = (int(n) for n in net.random.integers(6, 24, 2))
    x = net.input(1, h, w, net.pick(4, 6, 8, 16))
    for _ in range(int(net.random.integers(4, 12))):
        shape = _, h, w, c = net.shape(x)
        y = x
        match int(net.random.integers(12)):
            case 0 | 1:
                x = net.binary(net.pick("ADD", "SUB", "MUL", "MINIMUM", "MAXIMUM"), x,
                               net.conv(x, c), net.chance(0.4))  # fmt: skip
            case 2:
                x = net.binary(net.pick("ADD", "SUB", "MUL"), x, net.vector(1, 1, 1, c))
            case 3:
                x = net.binary(net.pick("ADD", "MUL", "MAXIMUM"), x, net.vector(*shape))
            case 4:
                x = net.unary(x, net.pick("HARD_SWISH", "LEAKY_RELU", "TANH", "ABS"))
            case 5:
                y = net.conv(x, 4)
                both = net.like(x, (1, h, w, c + 4))
                net.tensors[y] = Tensor(y, (1, h, w, 4), "int8", net.tensors[x].quantization)
                x = net.op("CONCATENATION", [x, y], both, Concatenation(3))
            case 6:
                before, after = (0, 1, 2, 0), (0, 2, 1, 0)
                x = net.op("PAD", [x], net.like(x, (1, h + 3, w + 3, c)), Pad(before, after, -3))
            case 7:
                x = net.op("TRANSPOSE", [x], net.like(x, (1, w, h, c)), Transpose((0, 2, 1, 3)))
            case 8 if h > 3 and w > 3:
                cut = Slice((0, 1, 1, 0), (1, h - 2, w - 2, c), (1, 1, 1, 1))
                x = net.op("SLICE", [x], net.like(x, (1, h - 2, w - 2, c)), cut)
            case 9 if h < 20 and w < 20:
                kind = net.pick("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
                big = net.like(x, (1, 2 * h, 2 * w, c))
                x = net.op(kind, [x], big, Resize(False, kind == "RESIZE_BILINEAR"))
            case 10:
                gate = net.unary(net.conv(net.mean(x, keep=True), c, activation="NONE"), "LOGISTIC")
                x = net.binary("MUL", x, gate)
            case _:
                kernel, stride = net.pick((3, 3), (1, 1)), net.pick((1, 1), (2, 2))
                x = net.conv(x, net.pick(8, 12, 16), kernel, stride)
    return net.graph(f"mixture_{seed}", net.head(x, 6))


FAMILIES: dict[str, Callable[[int], Graph]] = {
    make.__name__: make
    for make in (mobilenet, resnet, ds_cnn, plain, temporal, autoencoder, mixture)
}
