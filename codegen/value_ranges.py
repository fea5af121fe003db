"""What values each channel of each tensor can take, whatever the inputs: exact integer intervals.

A channel is an index of a tensor's last axis. Intervals are pushed through the graph with the
integer arithmetic of the reference, which is monotone: the ends of an interval become the ends of
the result. A convolution's worst case takes, for each weight, the end of its input's interval that
its sign asks for; a padded tap has the zero point's value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import (
    Activation,
    Concatenation,
    Convolution,
    Graph,
    Operator,
    Pad,
    Padding,
    Pool,
    Reduce,
    Slice,
    Tensor,
    Transpose,
)
from thumbnet.codegen.lowering.lookup import UNARY, table_of
from thumbnet.codegen.lowering.packing import constant_bias, real_multipliers
from thumbnet.codegen.lowering.pool import sum_multiplier
from thumbnet.codegen.lowering.quantize import (
    DTYPE_RANGE,
    INT32_MAX,
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    quantize_multipliers,
)

Interval = NDArray[np.int64]  # [2, channels]: least and largest value, both included
_FULL = DTYPE_RANGE["int8"]


@dataclass(frozen=True)
class Ranges:
    """`values` by tensor; of convolutions and dense layers, by output tensor, also `accumulators`
    (bias and zero point of the input counted). `unclamped`, by output tensor of operators with a
    fused activation: what it clamps."""

    values: dict[str, Interval] = field(default_factory=dict)
    accumulators: dict[str, Interval] = field(default_factory=dict)
    unclamped: dict[str, Interval] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[dict[str, Interval], ...]:
        return self.values, self.accumulators, self.unclamped


def value_ranges(graph: Graph, before: tuple[Graph, Ranges] | None = None) -> Ranges:
    """The ranges of all tensors of a graph whose operators are in running order. `before`: a graph
    that it was made from, and its ranges, which are taken where nothing changed."""
    ranges = Ranges()
    for name, tensor in graph.tensors.items():
        if tensor.data is None:
            ranges.values[name] = _anything(tensor)
        elif tensor.dtype in DTYPE_RANGE:
            ranges.values[name] = _of_constant(tensor)
    known = {op.name: op for op in before[0].operators} if before else {}
    for op in graph.operators:
        if before is not None and known.get(op.name) is op and _same(graph, op, ranges, *before):
            for ours, theirs in zip(ranges.tables, before[1].tables, strict=True):
                ours.update({name: theirs[name] for name in op.outputs if name in theirs})
            continue
        for output in op.outputs:
            try:
                interval = _of_operator(graph, op, ranges)
            except (UnsupportedError, ValueError):  # the lowering will say what is wrong
                interval = None
            if interval is not None and interval.shape == (2, channels(graph.tensors[output])):
                ranges.values[output] = interval
    return ranges


def _same(graph: Graph, op: Operator, ranges: Ranges, old: Graph, known: Ranges) -> bool:
    """Whether an operator's tensors, and what is known of those it reads, are those of before."""
    return all(
        graph.tensors[name] is old.tensors.get(name) for name in (*op.inputs, *op.outputs) if name
    ) and all(
        name not in ranges.values or np.array_equal(ranges.values[name], known.values[name])
        for name in op.inputs
    )


def channels(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _anything(tensor: Tensor) -> Interval:
    ends = DTYPE_RANGE.get(tensor.dtype, (-(2**31), INT32_MAX))
    return np.repeat(np.array(ends, np.int64)[:, None], channels(tensor), axis=1)


def _of_constant(tensor: Tensor) -> Interval:
    values = np.asarray(tensor.data, np.int64).reshape(-1, channels(tensor))
    return np.stack([values.min(axis=0), values.max(axis=0)])


def _union(interval: Interval) -> Interval:
    """Of [2, ..., channels], over the axes before the last."""
    low, high = interval.reshape(2, -1, interval.shape[-1])
    return np.stack([low.min(axis=0), high.max(axis=0)])


def _folded(interval: Interval, width: int) -> Interval:
    """Of the same values seen as rows of `width`."""
    own = interval.shape[1]
    if width % own == 0:
        return np.tile(interval, (1, width // own))
    return _union(interval.reshape(2, -1, width)) if own % width == 0 else _overall(interval, width)


def _overall(interval: Interval, width: int) -> Interval:
    low, high = int(interval[0].min()), int(interval[1].max())
    return np.repeat(np.array([[low], [high]], np.int64), width, axis=1)


# ---- operators -----------------------------------------------------------------------------


def _of_operator(graph: Graph, op: Operator, ranges: Ranges) -> Interval | None:
    """The output's interval; None: unknown."""
    output = graph.tensors[op.outputs[0]]
    width = channels(output)
    inputs = [ranges.values[name] for name in op.inputs if name in ranges.values]
    if not op.inputs:
        return None
    source, x = graph.tensors[op.inputs[0]], inputs[0]
    match op.attributes:
        case Convolution() | Activation() if op.kind in _WEIGHTED:
            return _weighted(graph, op, x, ranges)
        case Pool(activation=activation):
            ranges.unclamped[output.name] = x
            return np.clip(
                x, *activation_range(activation, output.scale, output.zero_point, "int8")
            )
        case Activation() if op.kind in _ARITHMETIC:
            a, b = (np.broadcast_to(i, (2, width)) for i in inputs)
            return _arithmetic(graph, op, a, b, ranges)
        case Reduce(axes=axes):
            return _reduced(op, source, output, _outer(x, axes, source, width))
        case Concatenation(axis=axis):
            if axis == len(output.shape) - 1:
                return np.concatenate(inputs, axis=1)
            return _union(np.stack(inputs, axis=1))
        case Slice(begin=begin, size=size, stride=stride):
            if size[-1] != width:
                return _overall(x, width)
            return x[:, begin[-1] + stride[-1] * np.arange(width)]
        case Pad(before=before, after=after, value=value):
            wide = np.pad(x, ((0, 0), (before[-1], after[-1])), constant_values=value)
            if any((*before[:-1], *after[:-1])):
                wide = _union(np.stack([wide, np.full_like(wide, value)], axis=1))
            return wide
        case Transpose(permutation=permutation):
            return x if permutation[-1] == len(permutation) - 1 else _overall(x, width)
    if op.kind == "RESHAPE":
        return _folded(x, width)
    if op.kind == "RESIZE_NEAREST_NEIGHBOR":
        return x
    if op.kind in ("MINIMUM", "MAXIMUM"):
        compare = np.minimum if op.kind == "MINIMUM" else np.maximum
        a, b = (np.broadcast_to(i, (2, width)) for i in inputs)
        return compare(a, b)
    if op.kind == "PRELU":
        return _prelu(graph, op, x, np.broadcast_to(inputs[1], (2, width)))
    return _looked_up(graph, op, x) if op.kind in UNARY else None


_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_ARITHMETIC = ("ADD", "SUB", "MUL")


def _looked_up(graph: Graph, op: Operator, x: Interval) -> Interval | None:
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if {source.dtype, output.dtype} - {"int8", "uint8"}:
        return None
    start = DTYPE_RANGE[source.dtype][0]
    table = np.roll(table_of(graph, op), start)  # by value, from the least one on
    values = (table.view(np.int8) if output.dtype == "int8" else table).astype(np.int64)
    kinds, index = np.unique(x, axis=1, return_inverse=True)
    seen = np.arange(256)[None, :] + start
    inside = (seen >= kinds[0][:, None]) & (seen <= kinds[1][:, None])
    low = np.where(inside, values, 256).min(axis=1)
    high = np.where(inside, values, -256).max(axis=1)
    return np.stack([low, high])[:, index.reshape(-1)]


def _prelu(graph: Graph, op: Operator, x: Interval, alpha: Interval) -> Interval:
    source, slope = (graph.tensors[name] for name in op.inputs)
    output = graph.tensors[op.outputs[0]]
    x, alpha = x - source.zero_point, alpha - slope.zero_point
    scale = float(source.scale) / float(output.scale)
    falling = quantize_multiplier(float(source.scale) * float(slope.scale) / float(output.scale))
    products = np.minimum(x, -1)[:, None] * alpha[None, :]
    below = _requantised(_ends(products), *falling, output.zero_point)
    above = _requantised(np.maximum(x, 0), *quantize_multiplier(scale), output.zero_point)
    either = _union(np.stack([below, above], axis=1))
    result = np.where(x[0] >= 0, above, np.where(x[1] < 0, below, either))
    return np.clip(result, *_FULL)


def _ends(products: Interval) -> Interval:
    """Of [2, 2, channels] products of the ends of two intervals."""
    return np.stack([products.min(axis=(0, 1)), products.max(axis=(0, 1))])


def _outer(x: Interval, axes: tuple[int, ...], source: Tensor, width: int) -> Interval:
    """What is left of the channels when `axes` are reduced."""
    return x if len(source.shape) - 1 not in axes else _overall(x, width)


def _reduced(op: Operator, source: Tensor, output: Tensor, x: Interval) -> Interval | None:
    assert isinstance(op.attributes, Reduce)
    count = prod(source.shape[axis] for axis in op.attributes.axes)
    multiplier, shift = sum_multiplier(op.kind, source, output, count)
    result = _requantised(count * (x - source.zero_point), multiplier, shift, output.zero_point)
    return np.clip(result, *_FULL)


def _arithmetic(graph: Graph, op: Operator, a: Interval, b: Interval, ranges: Ranges) -> Interval:
    assert isinstance(op.attributes, Activation)
    first, second = (graph.tensors[name] for name in op.inputs)
    output = graph.tensors[op.outputs[0]]
    s1, s2, so = float(first.scale), float(second.scale), float(output.scale)
    a, b = a - first.zero_point, b - second.zero_point
    if op.kind == "MUL":
        raw = _ends(a[:, None] * b[None, :])
        real = s1 * s2 / so
    else:
        twice = 2 * max(s1, s2)
        a = multiply_by_quantized_multiplier(a << 20, *quantize_multiplier(s1 / twice))
        b = multiply_by_quantized_multiplier(b << 20, *quantize_multiplier(s2 / twice))
        raw = a + b if op.kind == "ADD" else a - b[::-1]
        real = twice / (float(1 << 20) * so)
    multiplier, shift = quantize_multiplier(real)
    result = _requantised(raw, multiplier, shift, output.zero_point)
    ranges.unclamped[output.name] = result
    low, high = activation_range(op.attributes.activation, output.scale, output.zero_point, "int8")
    return np.clip(result, low, high)


def _requantised(
    accumulators: Interval, multiplier: ArrayLike, shift: ArrayLike, zero_point: int
) -> Interval:
    """The interval after requantisation, not clamped; of all int32 where a number could wrap."""
    shifted = accumulators << np.maximum(shift, 0)
    result = multiply_by_quantized_multiplier(accumulators, multiplier, shift) + zero_point
    fits = (np.abs(shifted) <= INT32_MAX) & (np.abs(result) <= INT32_MAX)
    wraps = ~fits.all(axis=0)
    result[0, wraps], result[1, wraps] = -(2**31), INT32_MAX
    return result


# ---- convolutions and dense layers ---------------------------------------------------------


def _weighted(graph: Graph, op: Operator, x: Interval, ranges: Ranges) -> Interval | None:
    source, weights = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
    output = graph.tensors[op.outputs[0]]
    if weights.data is None or source.dtype != "int8":
        return None
    data = np.asarray(weights.data, np.float64)  # sums of products stay exact: below 2**53
    width = channels(output)
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    taps_width = channels(source) if depthwise else data.shape[-1]
    low, high = tapped(op, source, x, taps_width).astype(np.float64)
    if depthwise:
        taps = data.reshape(-1, width)
        low, high = (np.repeat(end, width // channels(source)) for end in (low, high))
        up, down = np.maximum(taps, 0).sum(axis=0), np.minimum(taps, 0).sum(axis=0)
        ends = np.stack([up * low + down * high, up * high + down * low])
    else:
        matrix = data.reshape(width, -1, data.shape[-1])
        up, down = np.maximum(matrix, 0).sum(axis=1), np.minimum(matrix, 0).sum(axis=1)
        ends = np.stack([up @ low + down @ high, up @ high + down @ low])
    accumulators = ends.astype(np.int64) + constant_bias(graph, op, width)
    dense = op.kind == "FULLY_CONNECTED"
    real = real_multipliers(source, weights, output, width, product_in_float=dense)
    multiplier, shift = quantize_multipliers(np.broadcast_to(real, (width,)))
    unclamped = _requantised(accumulators, multiplier, shift, output.zero_point)
    ranges.accumulators[output.name] = accumulators
    ranges.unclamped[output.name] = unclamped
    assert isinstance(op.attributes, Convolution | Activation)
    activation = op.attributes.activation
    return np.clip(
        unclamped, *activation_range(activation, output.scale, output.zero_point, "int8")
    )


def tapped(op: Operator, source: Tensor, x: Interval, width: int) -> Interval:
    """[2, width]: what the weights of each of their `width` input channels multiply."""
    offset = x - source.zero_point
    if isinstance(op.attributes, Convolution):
        if op.attributes.padding != Padding():
            offset = np.stack([np.minimum(offset[0], 0), np.maximum(offset[1], 0)])
        return offset
    return _folded(offset, width)
