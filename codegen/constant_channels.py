"""Channels whose values are known, or that nothing reads, leave the graph; no byte changes.

Networks trained with ReLU carry dead channels: filters of zeros, or clamps that never let anything
through. What a consumer would read there goes into its bias; what only made such a channel is not
computed. Both are repeated until nothing goes any more. Which channels go is decided in
channel_links.py, by what value_ranges.py knows of their values. A channel that is dead but stays,
so that a tensor keeps channels in fours, gets weights of zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.channel_links import WEIGHTED, Mask, agreed, find_links, rounded
from thumbnet.codegen.graph import (
    Activation,
    Convolution,
    Graph,
    Operator,
    Padding,
    Pool,
    Quantization,
    Slice,
    Tensor,
)
from thumbnet.codegen.lowering.lookup import UNARY, table_of
from thumbnet.codegen.lowering.packing import constant_bias
from thumbnet.codegen.lowering.quantize import (
    INT32_MAX,
    INT32_MIN,
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multipliers,
)
from thumbnet.codegen.value_ranges import Ranges, channels, value_ranges

_ROUNDS = 100  # far more than any network needs


def remove_idle_work(graph: Graph) -> Graph:
    """The graph without channels that are known or unread, without clamps that never bind and with
    operators that change nothing as RESHAPE."""
    ranges = value_ranges(graph)
    params = graph.params or _parameters(graph)
    for _ in range(_ROUNDS):
        links = find_links(graph, ranges)
        dead = agreed(links, links.free)
        smaller = _without(graph, ranges, dead, rounded(links, dead))
        if smaller is None:
            break
        ranges = value_ranges(smaller, (graph, ranges))
        graph = replace(smaller, params=params)
    return replace(graph, operators=tuple(_idle(graph, op, ranges) for op in graph.operators))


def _parameters(graph: Graph) -> int:
    names = {n for op in graph.operators if op.kind in WEIGHTED for n in op.inputs[1:] if n}
    return sum(graph.tensors[name].elements for name in names)


# ---- channels ------------------------------------------------------------------------------


def _without(
    graph: Graph, ranges: Ranges, dead: Mapping[str, Mask], cut: Mapping[str, Mask]
) -> Graph | None:
    """The graph in which nothing reads `dead` channels and `cut` ones, a part of them, are gone.

    Channels of convolutions and dense layers that are constant but stay get weights of zero, so
    that they read nothing. None where nothing changes.
    """
    tensors = dict(graph.tensors)
    for name, mask in cut.items():
        if mask.any():
            tensors[name] = _narrowed(tensors[name], ~mask)
    changed = any(mask.any() for mask in cut.values())
    operators = []
    for op in graph.operators:
        if op.kind in WEIGHTED and op.outputs[0] in ranges.accumulators:
            taps = _taps(graph, op)
            idle = taps.without(ranges, dead)
            changed = changed or idle is not None
            kept = _kept(graph, op, cut)
            if idle is not None or not all(mask.all() for mask in kept):
                op = (idle or taps).written(op, kept, tensors, graph)
        elif isinstance(op.attributes, Slice) and op.inputs[0] in cut:
            begin, size = op.attributes.begin, op.attributes.size
            before = int(np.count_nonzero(~cut[op.inputs[0]][: begin[-1]]))
            left = size[-1] - int(np.count_nonzero(cut[op.outputs[0]])) * (op.outputs[0] in cut)
            attributes = replace(
                op.attributes, begin=(*begin[:-1], before), size=(*size[:-1], left)
            )
            op = replace(op, attributes=attributes)
        operators.append(op)
    return replace(graph, tensors=tensors, operators=tuple(operators)) if changed else None


def _narrowed(tensor: Tensor, kept: Mask) -> Tensor:
    shape = (*tensor.shape[:-1], int(np.count_nonzero(kept)))
    data = None if tensor.data is None else np.ascontiguousarray(tensor.data[..., kept])
    return replace(tensor, shape=shape, data=data)


def _kept(graph: Graph, op: Operator, cut: Mapping[str, Mask]) -> tuple[Mask, Mask]:
    """Which output channels, and which input channels of the weights, stay."""
    weights, width = graph.tensors[op.inputs[1]], channels(graph.tensors[op.inputs[0]])
    rows, source = ~cut[op.outputs[0]], cut.get(op.inputs[0])
    if op.kind == "DEPTHWISE_CONV_2D" or weights.shape[-1] % width or source is None:
        return rows, np.ones(weights.shape[-1], np.bool_)
    return rows, np.tile(~source, weights.shape[-1] // width)


@dataclass(frozen=True, eq=False)
class _Taps:
    """Weights [O, ..., I], or [O, ...] of a depthwise convolution, and bias of an operator."""

    source: Tensor
    output: Tensor
    weights: NDArray[np.int8]
    bias: NDArray[np.int64]
    scale: NDArray[np.float32]  # of the weights: one, or one for each output channel
    depthwise: bool

    def without(self, ranges: Ranges, dead: Mapping[str, Mask]) -> _Taps | None:
        """The same numbers where they are read, with zeros for what need not be; or None."""
        low, high = ranges.values[self.output.name]
        gone = dead[self.output.name]
        known = (low == high) | gone
        weights, bias, scale = self.weights, self.bias, self.scale
        if known.any() and weights[known].any():
            weights = np.where(_spread(known, weights), 0, weights)
            least = np.clip(ranges.accumulators[self.output.name][0], INT32_MIN, INT32_MAX)
            bias = np.where(gone, 0, np.where(known, least, bias))
        small = self._small(known, low)
        if small is not None:
            scale, bias = small
        width = channels(self.source)
        unread = dead.get(self.source.name, np.zeros(width, np.bool_))
        if not self.depthwise and unread.any() and weights.shape[-1] % width == 0:
            times = weights.shape[-1] // width
            columns = np.tile(unread, times)
            values = np.tile(ranges.values[self.source.name][0], times) - self.source.zero_point
            taken = weights.reshape(len(weights), -1, len(columns)).astype(np.int64).sum(axis=1)
            if taken[:, columns].any() or weights[..., columns].any():
                bias = bias + taken[:, columns] @ values[columns]
                weights = np.where(columns, 0, weights)
        if weights is self.weights and small is None:
            return None
        return replace(self, weights=weights, bias=bias, scale=scale)

    def _small(
        self, known: Mask, values: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Scales, and biases that give `values` in `known` channels, which keep no layer from fast
        requantisation and joined sums; None where they are so. Networks leave tiny scales and
        biases of 2**30 where all is zero: known channels take the largest scale of the others."""
        if self.scale.size == 1 or not known.any() or known.all():
            return None
        scale = np.where(known, self.scale[~known].max(), self.scale)
        real, offset = self._real(scale), values - self.output.zero_point
        bias = np.where(known, np.rint(offset / real), self.bias).astype(np.int64)
        if (scale == self.scale).all() and (bias == self.bias).all():
            return None
        found = multiply_by_quantized_multiplier(bias, *quantize_multipliers(real))
        exact = np.array_equal(found[known], offset[known]) and np.abs(bias).max() <= INT32_MAX
        return (scale, bias) if exact else None

    def _real(self, scale: NDArray[np.float32]) -> NDArray[np.float64]:
        real: NDArray[np.float64] = (
            np.float64(self.source.scale) * scale.astype(np.float64) / np.float64(self.output.scale)
        )
        return real

    def written(
        self, op: Operator, kept: tuple[Mask, Mask], tensors: dict[str, Tensor], graph: Graph
    ) -> Operator:
        """The operator with these numbers, as far as they are `kept`, in `tensors`."""
        rows, columns = kept
        old = tensors[op.inputs[1]]
        assert old.quantization is not None
        data = self.weights[rows]
        if self.depthwise:
            data = np.ascontiguousarray(np.moveaxis(data, 0, -1))
        else:
            data = np.ascontiguousarray(data[..., columns])
        scale = self.scale if self.scale.size == 1 else self.scale[rows]
        zeros = np.zeros(scale.size, np.int64)
        quantization = replace(old.quantization, scale=scale, zero_point=zeros)
        weights = replace(old, shape=data.shape, data=data, quantization=quantization)
        if len(graph.consumers(old.name)) > 1:
            weights = replace(weights, name=_unused(f"{old.name} of {op.name}", tensors))
        tensors[weights.name] = weights
        bias = Tensor(
            op.inputs[2] if len(op.inputs) > 2 and op.inputs[2] else "",
            (len(data) if not self.depthwise else data.shape[-1],),
            "int32",
            Quantization(self.source.scale * scale, zeros),
            self.bias[rows].astype(np.int32),
        )
        if not bias.name or len(graph.consumers(bias.name)) > 1:
            bias = replace(bias, name=_unused(f"{op.name}/bias", tensors))
        tensors[bias.name] = bias
        attributes = op.attributes
        if isinstance(attributes, Convolution) and self.depthwise and channels(self.source) == 1:
            attributes = replace(attributes, depth_multiplier=data.shape[-1])
        return replace(op, attributes=attributes, inputs=(op.inputs[0], weights.name, bias.name))


def _spread(rows: Mask, weights: NDArray[np.int8]) -> Mask:
    """`rows` of weights [O, ...] as a mask that broadcasts to them."""
    return rows.reshape(-1, *(1 for _ in weights.shape[1:]))


def _taps(graph: Graph, op: Operator) -> _Taps:
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    data = np.asarray(graph.tensors[op.inputs[1]].data, np.int8)
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    if depthwise:
        data = np.moveaxis(data, -1, 0)
    bias = constant_bias(graph, op, channels(output))
    quantization = graph.tensors[op.inputs[1]].quantization
    assert quantization is not None
    return _Taps(source, output, data, bias, quantization.scale, depthwise)


def _unused(name: str, tensors: Mapping[str, Tensor]) -> str:
    while name in tensors:
        name += "'"
    return name


# ---- clamps and identities -----------------------------------------------------------------


def _idle(graph: Graph, op: Operator, ranges: Ranges) -> Operator:
    """The operator without a clamp that never binds; RESHAPE where it changes no value."""
    if not op.inputs or not op.outputs:
        return op
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    attributes = op.attributes
    if isinstance(attributes, Convolution | Pool | Activation) and attributes.activation != "NONE":
        values = ranges.unclamped.get(output.name)
        low, high = activation_range(attributes.activation, output.scale, output.zero_point, "int8")
        binds = values is None or (
            (low > -128 and int(values.min()) < low) or (high < 127 and int(values.max()) > high)
        )
        if not binds and (low, high) != (-128, 127):
            op = replace(op, attributes=replace(attributes, activation="NONE"))
    if _changes_nothing(graph, op, source, output, ranges):
        return Operator(op.name, "RESHAPE", op.inputs[:1], op.outputs)
    return op


def _changes_nothing(
    graph: Graph, op: Operator, source: Tensor, output: Tensor, ranges: Ranges
) -> bool:
    match op.attributes:
        case Pool(1, 1, 1, 1, padding=padding, activation="NONE"):
            return padding == Padding()
    if op.kind not in UNARY or {source.dtype, output.dtype} not in ({"int8"}, {"uint8"}):
        return False
    values = ranges.values[source.name]
    seen = np.arange(int(values[0].min()), int(values[1].max()) + 1)
    table = table_of(graph, op).view(np.int8 if output.dtype == "int8" else np.uint8)
    return bool(np.array_equal(table[seen & 255], seen))
