"""What a tile of a network needs: receptive fields, and the work that overlapping tiles do twice.

Tools that bound what tiles could do (patches.py) use this; the compiler cuts into rows only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.binding import bind
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.graph import Convolution, Graph, Operator, Pad, Pool
from thumbnet.codegen.kernel import Kernel, Read, RowWindow
from thumbnet.codegen.lowering.registry import lower_all
from thumbnet.codegen.order import operator_order
from thumbnet.codegen.streaming import Flow, make_flow

ROWS, COLUMNS = 0, 1  # axes

Ints = NDArray[np.int64]
Spans = Mapping[str, tuple[Ints, Ints]]  # by value: first and end of what each tile needs


@dataclass(frozen=True, eq=False)
class Network:
    """A lowered graph of one input and one output, in running order, with what tiles need of it.

    `columns[i]` are the windows along columns of kernel i's reads, None where it cannot be cut.
    """

    flow: Flow
    columns: tuple[tuple[RowWindow | None, ...], ...]
    image: str  # the value
    output: str

    @cached_property
    def cuts(self) -> dict[int, str]:
        """By position before a kernel (or the end): the only value that is live there."""
        flow, found = self.flow, {}
        end = len(flow.kernels)
        last = {v: max(i for i, _ in readers) for v, readers in flow.readers.items()}
        last[self.output] = end
        for at in range(end + 1):
            live = [v for v, i in last.items() if flow.maker.get(v, -1) < at <= i]
            if len(live) == 1:
                found[at] = live[0]
        return found

    def can_tile(self, kernel: int) -> bool:
        reads = self.flow.kernels[kernel].reads
        return bool(reads) and all(
            read.window is not None and column is not None
            for read, column in zip(reads, self.columns[kernel], strict=True)
        )

    def pixels(self, value: str, axis: int) -> int:
        shape = self.flow.tensor(value).shape
        return shape[1 + axis] if len(shape) == 4 else 1

    def channels(self, value: str) -> int:
        """Bytes of a pixel."""
        of = self.flow.tensor(value)
        return of.nbytes // (self.pixels(value, ROWS) * self.pixels(value, COLUMNS))


def network(graph: Graph) -> Network:
    """Of an optimised graph. Raises ThumbnetError where it has no single input and output, keeps
    state, or holds an operator that is not supported."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or graph.states:
        raise ToolError(
            f"{graph.source}: patches are compared for models with one input, one output and no "
            "variables; leave this one out"
        )
    binding = bind(graph)
    lowered = lower_all(binding.graph, binding.operators)
    order = operator_order(binding, lowered)
    kernels = [lowered[i] for i in order]
    value_of = binding.value_of
    image, output = value_of[graph.inputs[0]], value_of[graph.outputs[0]]
    flow = make_flow(binding.graph, kernels, value_of, frozenset({image, output}))
    columns = (
        tuple(_columns(flow, binding.operators[i], kernel, read) for read in kernel.reads)
        for i, kernel in zip(order, kernels, strict=True)
    )
    return Network(flow, tuple(columns), image, output)


def _columns(flow: Flow, op: Operator, kernel: Kernel, read: Read) -> RowWindow | None:
    x, out = flow.tensor(read.tensor), flow.tensor(kernel.output)
    if len(x.shape) != 4 or len(out.shape) != 4 or flow.value_of[x.name] != x.name:
        return None  # not an image, or one that a RESHAPE sees otherwise
    a = op.attributes
    if isinstance(a, Convolution):
        width = flow.tensor(op.inputs[1]).shape[2]
        return RowWindow(a.stride_w, a.padding.left, (width - 1) * a.dilation_w + 1)
    if isinstance(a, Pool):
        return RowWindow(a.stride_w, a.padding.left, a.filter_w)
    if isinstance(a, Pad):
        return RowWindow(1, a.before[2], 1)
    same = read.window == RowWindow(1, 0, 1) and x.shape[1:3] == out.shape[1:3]
    return RowWindow(1, 0, 1) if same and op.kind != "SLICE" else None


@lru_cache(maxsize=1 << 15)
def spans(net: Network, first: int, end: int, tiles: int, axis: int) -> Spans:
    """What each of `tiles` nearly equal parts of the output of kernels [first, end) needs of every
    value along one axis: the receptive field, clipped to what exists."""
    flow = net.flow
    out = net.cuts[end]
    edges = np.arange(tiles + 1, dtype=np.int64) * net.pixels(out, axis) // tiles
    found = {out: (edges[:-1], edges[1:])}
    for i in reversed(range(first, end)):
        begin, stop = found[flow.value_of[flow.kernels[i].output]]
        for read, column in zip(flow.kernels[i].reads, net.columns[i], strict=True):
            window = column if axis == COLUMNS else read.window
            assert window is not None
            value = flow.value_of[read.tensor]
            low = np.maximum(begin * window.stride - window.before, 0)
            high = (stop - 1) * window.stride - window.before + window.size
            high = np.minimum(high, net.pixels(value, axis))
            if value in found:
                low, high = np.minimum(low, found[value][0]), np.maximum(high, found[value][1])
            found[value] = low, high
    return found


@lru_cache(maxsize=1 << 15)
def _computed(net: Network, first: int, end: int, tiles: int, axis: int) -> NDArray[np.float64]:
    """By kernel in [first, end): the lengths that all tiles compute, as a share of its output's."""
    found = spans(net, first, end, tiles, axis)
    outputs = [net.flow.value_of[kernel.output] for kernel in net.flow.kernels[first:end]]
    lengths = [int((found[v][1] - found[v][0]).sum()) / net.pixels(v, axis) for v in outputs]
    return np.array(lengths)


def extra_macs(net: Network, first: int, end: int, rows: int, columns: int) -> float:
    """MACs that a grid of tiles computes again, as a share of those of the whole network."""
    macs = np.array([kernel.macs for kernel in net.flow.kernels])
    if rows == columns == 1 or not macs.any():
        return 0.0
    tiled, whole = (
        _computed(net, first, end, down, ROWS) * _computed(net, first, end, across, COLUMNS)
        for down, across in ((rows, columns), (1, 1))
    )
    return float((tiled - whole) @ macs[first:end]) / int(macs.sum())
