"""Which channels of a graph's tensors can go, and which go only together.

A channel is an index of a tensor's last axis. It can go when nothing needs its values: each
operator that reads it either knows them (they are constant, and a convolution's bias takes them
up), multiplies them by zero, or works channel by channel and loses its output's channel as well.
So each tensor has a mask of channels that may go, and links say which of them must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import (
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
from thumbnet.codegen.lowering.lookup import UNARY
from thumbnet.codegen.lowering.quantize import INT32_MAX
from thumbnet.codegen.value_ranges import Ranges, channels

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_CHANNELWISE = UNARY | {
    "ADD", "SUB", "MUL", "MINIMUM", "MAXIMUM", "PRELU",
    "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR",
}  # fmt: skip
_GRANULE = 4  # channels; kernels work on words of four, and on pairs


@dataclass(frozen=True)
class Links:
    """`free`: the channels of each tensor that may go as far as its own operators are concerned.
    A link (a, i, b, j) says that channel i[n] of tensor a goes if and only if j[n] of b does."""

    free: dict[str, Mask] = field(default_factory=dict)
    links: list[tuple[str, Indices, str, Indices]] = field(default_factory=list)

    def pin(self, *names: str) -> None:
        for name in names:
            if name in self.free:
                self.free[name][:] = False

    def link(self, a: str, i: Indices, b: str, j: Indices) -> None:
        if a in self.free and b in self.free:
            self.links.append((a, i, b, j))
        else:
            self.pin(a, b)


def find_links(graph: Graph, ranges: Ranges) -> Links:
    """What may go from a graph, by `ranges` of it."""
    links = Links()
    weights = {name for op in graph.operators if op.kind in WEIGHTED for name in op.inputs[1:]}
    for name, tensor in graph.tensors.items():
        if name in ranges.values and tensor.shape and name not in weights:
            links.free[name] = np.ones(channels(tensor), np.bool_)
    links.pin(*graph.inputs, *graph.outputs, *(state.tensor for state in graph.states))
    for op in graph.operators:
        _link(graph, op, ranges, links)
    return links


def agreed(links: Links, masks: Mapping[str, Mask]) -> dict[str, Mask]:
    """The largest part of `masks` on which all links agree."""
    result = {name: mask.copy() for name, mask in masks.items()}
    changed = True
    while changed:
        changed = False
        for a, i, b, j in (*links.links, *reversed(links.links)):
            one, other = result[a][i], result[b][j]
            differ = one != other
            if differ.any():
                result[a][i[differ]] = False
                result[b][j[differ]] = False
                changed = True
    return result


def rounded(links: Links, dead: Mapping[str, Mask]) -> dict[str, Mask]:
    """The part of `dead` that leaves each tensor with channels in fours, or as many as it had."""
    cut = {name: mask.copy() for name, mask in dead.items()}
    changed = True
    while changed:
        changed = False
        for mask in cut.values():
            gone = np.flatnonzero(mask)
            left = mask.size - gone.size
            wanted = min(max(-(-left // _GRANULE), 1) * _GRANULE, mask.size)
            if left != wanted:
                mask[gone[: wanted - left]] = False
                changed = True
        if changed:
            cut = agreed(links, cut)
    return cut


# ---- operators -----------------------------------------------------------------------------


def _link(graph: Graph, op: Operator, ranges: Ranges, links: Links) -> None:
    named = [name for name in (*op.inputs, *op.outputs) if name]
    tensors = [graph.tensors[name] for name in named]
    output = graph.tensors[op.outputs[0]] if op.outputs else None
    if not op.inputs or output is None or len(op.outputs) != 1 or not output.shape:
        links.pin(*named)
        return
    source, last = graph.tensors[op.inputs[0]], len(output.shape) - 1
    match op.attributes:
        case _ if op.kind in WEIGHTED:
            _link_weighted(graph, op, ranges, links)
        case Reduce(axes=axes) if len(source.shape) - 1 in axes:
            links.pin(*named)
        case Concatenation(axis=axis) if axis == last:
            start = 0
            for tensor in tensors[:-1]:
                index = np.arange(channels(tensor))
                links.link(tensor.name, index, output.name, start + index)
                start += index.size
        case Slice(begin=begin, size=size, stride=stride):
            if size[-1] != channels(output) or stride[-1] != 1:
                links.pin(*named)
                return
            index = np.arange(channels(output))
            links.link(source.name, begin[-1] + index, output.name, index)
        case Pad(before=before, after=after) if before[-1] or after[-1]:
            links.pin(*named)
        case Transpose(permutation=permutation) if permutation[-1] != last:
            links.pin(*named)
        case Pool() | Reduce() | Concatenation() | Pad() | Transpose():
            _link_equal(tensors, output, links)
        case _ if op.kind in _CHANNELWISE:
            _link_equal(tensors, output, links)
        case _ if op.kind == "RESHAPE":
            _link_reshape(source, output, links)
        case _:
            links.pin(*named)


def _link_equal(tensors: Sequence[Tensor], output: Tensor, links: Links) -> None:
    index = np.arange(channels(output))
    for tensor in tensors:
        if channels(tensor) == index.size:
            links.link(tensor.name, index, output.name, index)
        else:  # broadcast
            links.pin(tensor.name)


def _link_reshape(source: Tensor, output: Tensor, links: Links) -> None:
    """Where one last axis is a multiple of the other, its elements are channels of the other."""
    one, other = channels(source), channels(output)
    index = np.arange(max(one, other))
    if index.size % min(one, other):
        links.pin(source.name, output.name)
    else:
        links.link(source.name, index % one, output.name, index % other)


def _link_weighted(graph: Graph, op: Operator, ranges: Ranges, links: Links) -> None:
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    weights = graph.tensors[op.inputs[1]]
    if weights.data is None or output.name not in ranges.accumulators or source.data is not None:
        links.pin(source.name, output.name)
    elif op.kind == "DEPTHWISE_CONV_2D" and channels(source) == 1:
        links.pin(source.name)  # all read it: each of the output's channels can go by itself
    elif op.kind == "DEPTHWISE_CONV_2D":
        index = np.arange(channels(output))
        links.link(source.name, index // (index.size // channels(source)), output.name, index)
    else:
        links.free[source.name] &= _absorbed(op, source, weights, ranges)


def _absorbed(op: Operator, source: Tensor, weights: Tensor, ranges: Ranges) -> Mask:
    """Input channels whose values the bias can take up, or that meet only zeros."""
    data = np.asarray(weights.data)
    width = channels(source)
    if data.shape[-1] % width:
        return np.zeros(width, np.bool_)
    unused = ~data.reshape(-1, width).any(axis=0)
    low, high = ranges.values[source.name]
    known = low == high
    if isinstance(op.attributes, Convolution) and op.attributes.padding != Padding():
        known &= low == source.zero_point
    least = ranges.accumulators[op.outputs[0]][0]  # a bias that is taken up is near it
    reach = 255 * np.abs(data.reshape(len(data), -1).astype(np.int64)).sum(axis=1).max()
    if np.abs(least).max() + reach > INT32_MAX:
        known &= low == source.zero_point
    return unused | known
