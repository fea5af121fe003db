"""The integer graph of an architecture, for its costs: no torch, no trained weights.

It is operator for operator what the PyTorch front end lowers from `network.build` after
quantisation. Of the numbers that training gives, costs depend only on what is the same for all
layers that quantise well, and that is how they are set here:

- multipliers of convolutions are from 2**-32 to 1/2 and no sum of a layer leaves int32, so that it
  requantises the fast way;
- scales of activations are those of the ranges that RELU and RELU6 leave (zero point -128, at most
  6 / 255), so that nothing has to be clamped;
- the operands and the sum of an addition have scales of which none is a simple multiple of another,
  so that it requantises the short way;
- scales of means are so far from those of their inputs that they do not, as about half do after
  training: costs are then what they are at most;
- no two layers have equal weights (equal constants are stored once).

Arena, weights and MACs do not depend on any of these but the last. docs/cost.md says how far cycles
and code go where a trained network breaks one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np
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
    Reduce,
    Slice,
    Tensor,
)
from thumbnet.codegen.validate import operator_macs
from thumbnet.nas.architecture import Architecture, Bottleneck, Pair, parameters

Shape = tuple[int, ...]

MOST_ROWS, MOST_PARAMETERS = 2048, 1 << 26
PLAIN = Attributes()
WEIGHT_SCALE = 0.004
# Scale and zero point of what comes after; "SUM": of an addition, "TERM": of what goes into one.
RANGES = {
    "RELU": (0.05, -128),
    "RELU6": (0.9 * 6 / 255, -128),
    "NONE": (0.04, 3),
    "TERM": (0.03, 3),
    "SUM": (0.057, 3),
}
THREE = np.full((1, 1, 1, 1), 127, np.int8)  # of a hard sigmoid
THREE_SCALE = 3 / 127


def cost_graph(architecture: Architecture, name: str = "network") -> Graph:
    """The optimised graph [1, height, width, channels] -> [1, classes]; its weights mean nothing.
    Raises ModelFormatError where the input is too small for the layers, UnsupportedError where the
    network is beyond any microcontroller."""
    _check_size(architecture, name)
    net = _Network(architecture)
    x = net.activation("x", (1, *architecture.input_shape))
    stem = architecture.stem
    activation, padding = architecture.activation, architecture.padding(stem)
    y = net.convolution(
        "stem.convolution", x, stem.channels, stem.kernel, stem.stride, padding, activation
    )
    for i, block in enumerate(architecture.blocks):
        y = net.bottleneck(f"blocks.{i}", y, block)
    if architecture.head:
        y = net.convolution("head.convolution", y, architecture.head, activation=activation)
    y = net.mean("pool", y)
    y = net.dense("classifier", net.view("pool.view", y, net.shape(y)[-1:]), architecture.classes)
    return Graph(
        name=name,
        source=name,
        tensors=net.tensors,
        operators=tuple(net.operators),
        inputs=(x,),
        outputs=(y,),
        float_inputs=frozenset({x}),
        float_outputs=frozenset({y}),
        macs=sum(operator_macs(op, net.tensors) for op in net.operators),
        input_names={x: "x"},
        output_names={y: "output"},
    )


def _check_size(architecture: Architecture, name: str) -> None:
    """Before tables of its rows and weights are made."""
    rows = max(rows for rows, _ in (architecture.input_shape[:2], *architecture.sizes()))
    weights = parameters(architecture)
    if rows > MOST_ROWS or weights > MOST_PARAMETERS:
        raise UnsupportedError(
            f"{name}: {rows} rows and {weights} parameters; at most {MOST_ROWS} and "
            f"{MOST_PARAMETERS} are planned: a smaller input or narrower layers"
        )


@dataclass
class _Network:
    """The graph in the making; methods take and give tensor names, which are the front end's."""

    architecture: Architecture
    tensors: dict[str, Tensor] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)

    def shape(self, name: str) -> Shape:
        return self.tensors[name].shape

    # ---- tensors -----------------------------------------------------------------------------

    def activation(self, name: str, shape: Shape, function: str = "NONE") -> str:
        """An int8 activation after `function`."""
        return self._tensor(name, shape, *RANGES[function])

    def constant(self, name: str, data: NDArray[np.generic], scale: float) -> str:
        self.tensors[name] = Tensor(name, data.shape, str(data.dtype), _numbers(scale, 0), data)
        return name

    def _tensor(self, name: str, shape: Shape, scale: float, zero_point: int) -> str:
        self.tensors[name] = Tensor(name, shape, "int8", _numbers(scale, zero_point))
        return name

    def _parameters(self, name: str, shape: Shape, channels: int) -> tuple[str, str]:
        """Weights and bias; the bias is another for each layer."""
        bias = np.broadcast_to(np.int32(len(self.operators)), (channels,))
        return (
            self.constant(f"{name}.weight", _ones(shape), WEIGHT_SCALE),
            self.constant(f"{name}.bias", bias, WEIGHT_SCALE),
        )

    # ---- layers ------------------------------------------------------------------------------

    def add(
        self, name: str, kind: str, inputs: tuple[str, ...], attributes: Attributes = PLAIN
    ) -> str:
        self.operators.append(Operator(name, kind, inputs, (name,), attributes))
        return name

    def convolution(
        self,
        name: str,
        x: str,
        channels: int,
        kernel: Pair = (1, 1),
        stride: Pair = (1, 1),
        pad: Pair = (0, 0),
        activation: str | None = None,
        *,
        depthwise: bool = False,
    ) -> str:
        _, height, width, before = self.shape(x)
        function = (activation or "none").upper()
        rows, columns = self.architecture.output_size((height, width), kernel, stride, pad)
        padding = Padding(
            pad[0],
            _after(height, rows, kernel[0], stride[0], pad[0]),
            pad[1],
            _after(width, columns, kernel[1], stride[1], pad[1]),
        )
        shape = (1, *kernel, channels) if depthwise else (channels, *kernel, before)
        weights, bias = self._parameters(name, shape, channels)
        self.activation(name, (1, rows, columns, channels), function)
        attributes = Convolution(*stride, 1, 1, padding, function, int(depthwise))
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        return self.add(name, kind, (x, weights, bias), attributes)

    def bottleneck(self, name: str, x: str, block: Bottleneck) -> str:
        activation, y = self.architecture.activation, x
        padding = self.architecture.padding(block)
        if block.fused:
            return self.convolution(
                f"{name}.layers.fused.convolution",
                y,
                block.channels,
                block.kernel,
                block.stride,
                padding,
                activation,
            )
        if block.expanded:
            y = self.convolution(
                f"{name}.layers.expand.convolution", y, block.expanded, activation=activation
            )
        y = self.convolution(
            f"{name}.layers.depthwise.convolution",
            y,
            self.shape(y)[-1],
            block.kernel,
            block.stride,
            padding,
            activation,
            depthwise=True,
        )
        if block.squeeze:
            y = self.excited(f"{name}.layers.excite", y, block.squeeze)
        y = self.convolution(f"{name}.layers.project.convolution", y, block.channels)
        if block.residual:
            self.activation(y, self.shape(y), "TERM")
        if not block.residual:
            return y
        lost = self.shape(x)[1] - self.shape(y)[1]
        if lost:
            x = self.rows(f"{name}.slice", x, lost // 2, self.shape(y)[1])
        self.activation(f"{name}.add", self.shape(y), "SUM")
        return self.add(f"{name}.add", "ADD", (y, x), Activation())

    def excited(self, name: str, x: str, squeeze: int) -> str:
        """Squeeze and excite; hardsigmoid(y) is relu6(y + 3) seen at a sixth of its scale."""
        channels = self.shape(x)[-1]
        y = self.mean(f"{name}.mean", x)
        y = self.convolution(f"{name}.reduce", y, squeeze, activation="relu")
        y = self.convolution(f"{name}.expand", y, channels)
        self._tensor(y, self.shape(y), 0.6 * THREE_SCALE, 3)
        three = self.constant(f"{name}.add.operand1", THREE, THREE_SCALE)
        gate = self.activation(f"{name}.add", self.shape(y), "RELU6")
        self.add(gate, "ADD", (y, three), Activation("RELU6"))
        gate = self.view(f"{name}.add.view", gate, self.shape(gate)[1:], 1 / 6)
        self.activation(f"{name}.mul", self.shape(x), "RELU6")
        return self.add(f"{name}.mul", "MUL", (x, gate), Activation())

    def rows(self, name: str, x: str, begin: int, count: int) -> str:
        source = self.tensors[x]
        size = (1, count, *source.shape[2:])
        self._tensor(name, size, float(source.scale), source.zero_point)
        return self.add(name, "SLICE", (x,), Slice((0, begin, 0, 0), size, (1, 1, 1, 1)))

    def mean(self, name: str, x: str) -> str:
        source = self.tensors[x]
        self._tensor(name, (1, 1, 1, source.shape[-1]), float(source.scale) / 16, -128)
        return self.add(name, "MEAN", (x,), Reduce((1, 2), True))

    def view(self, name: str, x: str, shape: Shape, factor: float = 1) -> str:
        """The same bytes as [1, *shape]; their scale is `factor` times x's."""
        source = self.tensors[x]
        self._tensor(name, (1, *shape), float(source.scale) * factor, source.zero_point)
        return self.add(name, "RESHAPE", (x,))

    def dense(self, name: str, x: str, channels: int) -> str:
        weights, bias = self._parameters(name, (channels, self.shape(x)[-1]), channels)
        self.activation(name, (1, channels))
        return self.add(name, "FULLY_CONNECTED", (x, weights, bias), Activation())


@cache
def _numbers(scale: float, zero_point: int) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))


@lru_cache(maxsize=4096)
def _ones(shape: Shape) -> NDArray[np.int8]:
    return np.broadcast_to(np.int8(1), shape)


def _after(length: int, output: int, kernel: int, stride: int, before: int) -> int:
    """The padding behind that windows of `kernel` need to give `output` values."""
    return max((output - 1) * stride + kernel - length - before, 0)
