"""Whole-window networks as streams: the newest rows in, the output of the window that ends there.

A network over a window of T rows (input [1, T, ...], rows are time) sees almost the same rows again
when the window moves on by a few. `stream` gives a network that takes only the new rows of each
call. What later calls still need lies in variables:

    READ_VARIABLE -> CONCATENATION with the new rows -> the operators that read them
                                                     -> SLICE of the last rows -> ASSIGN_VARIABLE

A tensor *moves* when its rows follow the window: the call makes its last `fresh` rows, and the
others are those of the call before, `fresh` rows further up. Convolutions, pools, SLICE and what
works row by row map moving tensors to moving tensors; what needs the whole window (MEAN over time,
a dense layer after flattening) reads all of it from a variable, and what comes after is computed
as in the whole-window network. SLICE along time, which aligns paths of different extent, becomes a
delay: the rows are read from further back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import (
    Concatenation,
    Convolution,
    Graph,
    Operator,
    Pad,
    Pool,
    Reduce,
    Slice,
    State,
    Tensor,
    Transpose,
    Variable,
)
from thumbnet.codegen.passes import drop_dead_operators, rename_identities
from thumbnet.codegen.validate import operator_macs

TIME = 1  # the axis of every moving tensor

_ROW_BY_ROW = frozenset((
    "ABS", "ADD", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "PRELU",
    "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "SUB", "TANH",
))  # fmt: skip


def stream(graph: Graph, rows: int | None = None) -> Graph:
    """The streamed form of an optimised whole-window graph; `rows` a call, None: the fewest it can.

    Its outputs are those of `graph` on the last T rows, byte for byte. Before the first call the
    window holds rows equal to the input's zero point: `NAME_init` feeds them (`Graph.window_rows`).
    Raises UnsupportedError that names the operator where the network cannot be streamed.
    """
    _check_edges(graph)
    height = graph.tensors[graph.inputs[0]].shape[TIME]
    if rows is None:
        rows = next((n for n in range(1, height) if _fits_strides(graph, n)), 1)
    if not 1 <= rows < height:
        raise UnsupportedError(
            f"{graph.source}: cannot stream {rows} rows a call: the window has {height} rows; "
            f"give 1 to {height - 1}"
        )
    flows, fresh = _flows(graph, rows)
    return _Streamed(graph, flows, fresh, height).graph()


def _check_edges(graph: Graph) -> None:
    def refuse(why: str) -> UnsupportedError:
        return UnsupportedError(f"{graph.source}: --input stream needs {why}; use --input whole")

    if graph.states:
        raise refuse("a whole-window network, and this one keeps state between calls already")
    if len(graph.inputs) != 1:
        raise refuse(f"a model with one input, and this one has {len(graph.inputs)}")
    shape = graph.tensors[graph.inputs[0]].shape
    if len(shape) < 3 or shape[0] != 1 or shape[TIME] < 2:
        raise refuse(f"an input [1, rows, ...] of several rows, and this one is {list(shape)}")


class _StrideError(UnsupportedError):
    """`rows` is not a multiple of a stride; another choice of rows may do."""


def _fits_strides(graph: Graph, rows: int) -> bool:
    try:
        _flows(graph, rows)
    except _StrideError:
        return False
    return True


# ---- how rows of outputs depend on rows of inputs --------------------------------------------


@dataclass(frozen=True)
class _RowMap:
    """Output row y reads input rows [begin + y * stride, begin + y * stride + size)."""

    begin: int = 0
    stride: int = 1
    size: int = 1


_SAME_ROW = _RowMap()


@dataclass(frozen=True)
class _Flow:
    """What an operator reads of its moving inputs: rows [first, end) of the window of each."""

    first: int
    end: int


def _flows(graph: Graph, rows: int) -> tuple[dict[str, _Flow], dict[str, int]]:
    """The flow of each operator that reads moving tensors, and the fresh rows of these."""
    fresh = {graph.inputs[0]: rows}
    flows: dict[str, _Flow] = {}
    for op in graph.operators:
        moving = [name for name in op.inputs if name in fresh]
        if not moving:
            continue
        source, output = graph.tensors[moving[0]], graph.tensors[op.outputs[0]]
        row_map = _row_map(graph, op, source, output)
        _check_inputs(graph, op, fresh, moving)
        if row_map is None:
            flows[op.name] = _Flow(0, source.shape[TIME])
            continue
        height, new = output.shape[TIME], fresh[moving[0]]
        if new % row_map.stride and height > 1:
            raise _StrideError(
                f"{_subject(graph, op)} has a stride of {row_map.stride} along time, and each call "
                f"brings {new} new rows to it; stream a multiple of "
                f"{rows // new * row_map.stride} rows a call"
            )
        made = min(max(new // row_map.stride, 1), height)
        first = row_map.begin + (height - made) * row_map.stride
        flows[op.name] = _Flow(first, first + (made - 1) * row_map.stride + row_map.size)
        if made < height:
            fresh[op.outputs[0]] = made
    return flows, fresh


def _subject(graph: Graph, op: Operator) -> str:
    return f"{graph.source}: cannot stream {op.kind} '{op.outputs[0]}': it"


def _check_inputs(graph: Graph, op: Operator, fresh: Mapping[str, int], moving: list[str]) -> None:
    """All inputs that are not constant must move alike, constants be the same for every row."""
    rank = len(graph.tensors[moving[0]].shape)
    heights = {graph.tensors[name].shape[TIME] for name in moving}
    if len({fresh[name] for name in moving}) > 1 or len(heights) > 1:
        raise UnsupportedError(
            f"{_subject(graph, op)} joins paths whose rows come at different rates; give both the "
            "same strides along time"
        )
    for name in op.inputs:
        if not name or name in moving:
            continue
        tensor = graph.tensors[name]
        if tensor.data is None:
            raise UnsupportedError(
                f"{_subject(graph, op)} joins rows with '{name}', which depends on the whole "
                "window, so that all rows would be computed again each call; join after the "
                "reduction over time"
            )
        axis = TIME - rank + len(tensor.shape)
        weights = op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        if not weights and axis >= 0 and tensor.shape[axis] != 1:
            raise UnsupportedError(
                f"{_subject(graph, op)} has a constant '{name}' that differs from row to row; use "
                "one that is the same at all times"
            )


def _row_map(graph: Graph, op: Operator, source: Tensor, output: Tensor) -> _RowMap | None:
    """How rows follow; None where the operator needs all rows at once."""
    a = op.attributes
    keeps_time = len(output.shape) > TIME and output.shape[:2] == source.shape[:2]
    if isinstance(a, Convolution | Pool):
        if a.padding.top or a.padding.bottom:
            raise UnsupportedError(
                f"{_subject(graph, op)} pads along time ({a.padding.top} rows before, "
                f"{a.padding.bottom} after); train the network without padding along time"
            )
        if isinstance(a, Pool):
            return _RowMap(0, a.stride_h, a.filter_h)
        taps = graph.tensors[op.inputs[1]].shape[1]
        return _RowMap(0, a.stride_h, (taps - 1) * a.dilation_h + 1)
    if isinstance(a, Slice):
        if a.stride[TIME] < 0 or len(output.shape) != len(source.shape):
            raise UnsupportedError(
                f"{_subject(graph, op)} turns rows around or drops an axis; slice forward, and "
                "keep all axes"
            )
        return _RowMap(a.begin[TIME], a.stride[TIME], 1)
    if isinstance(a, Pad) and not (a.before[TIME] or a.after[TIME]):
        return _SAME_ROW
    if op.kind in _ROW_BY_ROW or (isinstance(a, Concatenation) and a.axis > TIME):
        return _SAME_ROW
    if isinstance(a, Reduce):
        return _SAME_ROW if min(a.axes) > TIME else None
    if isinstance(a, Transpose):
        return _SAME_ROW if a.permutation[:2] == (0, TIME) else None
    if op.kind == "RESHAPE":
        return _SAME_ROW if keeps_time else None
    if op.kind == "FULLY_CONNECTED":
        row = prod(source.shape[2:])
        each = row % graph.tensors[op.inputs[1]].shape[1] == 0
        return _SAME_ROW if keeps_time and len(output.shape) > 2 and each else None
    if op.kind in ("SOFTMAX", "L2_NORMALIZATION"):
        return _SAME_ROW if len(source.shape) > 2 else None
    raise UnsupportedError(
        f"{_subject(graph, op)} does not work row by row along time; reduce over time before it"
    )


# ---- the streamed graph ----------------------------------------------------------------------


class _Streamed:
    """The new graph while it is made."""

    def __init__(
        self,
        graph: Graph,
        flows: Mapping[str, _Flow],
        fresh: Mapping[str, int],
        height: int,
    ) -> None:
        self.source = graph
        self.flows = flows
        self.fresh = fresh
        self.height = height
        self.tensors = dict(graph.tensors)
        self.operators: list[Operator] = []
        self.states: list[State] = []
        self.old = {name: self._history(name) for name in fresh}  # rows kept between calls
        self.windows: dict[str, str] = {}  # moving tensor -> its kept rows with the fresh ones
        for name, rows in fresh.items():
            self.tensors[name] = _with_rows(graph.tensors[name], name, rows)

    def graph(self) -> Graph:
        """The whole graph; outputs that move are given with all rows of the window."""
        self._remember(self.source.inputs[0])
        for op in self.source.operators:
            flow = self.flows.get(op.name)
            self.operators.append(op if flow is None else self._moved(op, flow))
            for name in op.outputs:
                if name in self.fresh:
                    self._remember(name)
        renamed = {name: self.windows.get(name, name) for name in self.source.outputs}
        graph = replace(
            self.source,
            tensors=self.tensors,
            operators=tuple(self.operators),
            states=tuple(self.states),
            outputs=tuple(renamed.values()),
            output_names={renamed[n]: p for n, p in self.source.output_names.items()},
            float_outputs=frozenset(renamed[n] for n in self.source.float_outputs),
            window_rows=self.height,
        )
        graph = drop_dead_operators(rename_identities(graph))
        computing = (op for op in graph.operators if op.outputs)
        return replace(graph, macs=sum(operator_macs(op, graph.tensors) for op in computing))

    def _history(self, name: str) -> int:
        """How many rows before the fresh ones some reader needs."""
        height = self.source.tensors[name].shape[TIME]
        firsts = [
            self.flows[op.name].first for op in self.source.operators if name in op.inputs
        ] + ([0] if name in self.source.outputs else [])
        return max(0, height - self.fresh[name] - min(firsts, default=height))

    def _remember(self, name: str) -> None:
        """Joins the fresh rows with the kept ones and keeps the last of both."""
        kept, fresh = self.old[name], self.fresh[name]
        if not kept:
            return
        tensor = self.source.tensors[name]
        state, before, window, after = (
            self._add(tensor, f"{name} ({what})", count)
            for what, count in (
                ("rows kept", kept), ("rows before", kept),
                ("rows", kept + fresh), ("rows after", kept),
            )
        )  # fmt: skip
        initial = np.full(self.tensors[state].shape, tensor.zero_point, tensor.dtype)
        self.states.append(State(state, initial))
        self.windows[name] = window
        variable = Variable(state)
        self.operators += [
            Operator(f"read {state}", "READ_VARIABLE", (), (before,), variable),
            Operator(
                f"join {name}", "CONCATENATION", (before, name), (window,), Concatenation(TIME)
            ),
            self._crop(window, after, fresh),
            Operator(f"keep {state}", "ASSIGN_VARIABLE", (after,), (), variable),
        ]

    def _add(self, like: Tensor, name: str, rows: int) -> str:
        self.tensors[name] = _with_rows(like, name, rows)
        return name

    def _crop(self, window: str, output: str, begin: int) -> Operator:
        size = self.tensors[output].shape
        start = (0, begin, *(0 for _ in size[2:]))
        return Operator(
            f"rows of {output}", "SLICE", (window,), (output,), Slice(start, size, (1,) * len(size))
        )

    def _moved(self, op: Operator, flow: _Flow) -> Operator:
        """The operator on the rows that it needs of its moving inputs."""
        if isinstance(op.attributes, Slice):
            a, name = op.attributes, op.inputs[0]
            begin = flow.first - self._first(name)
            size = self.tensors[op.outputs[0]].shape
            crop = replace(
                a,
                begin=(a.begin[0], begin, *a.begin[2:]),
                size=(a.size[0], size[TIME], *a.size[2:]),
            )
            return replace(op, inputs=(self.windows.get(name, name),), attributes=crop)
        inputs = (self._rows(n, flow) if n in self.fresh else n for n in op.inputs)
        return replace(op, inputs=tuple(inputs))

    def _first(self, name: str) -> int:
        """The window row that is the first of the kept and fresh rows."""
        return self.source.tensors[name].shape[TIME] - self.fresh[name] - self.old[name]

    def _rows(self, name: str, flow: _Flow) -> str:
        """The tensor that holds window rows [first, end) of a moving tensor."""
        height, count = self.source.tensors[name].shape[TIME], flow.end - flow.first
        if (flow.first, flow.end) == (height - self.fresh[name], height):
            return name
        window, begin = self.windows.get(name, name), flow.first - self._first(name)
        if count == self.tensors[window].shape[TIME]:
            return window
        part = f"{name} (rows {flow.first} to {flow.end})"
        if part not in self.tensors:
            self._add(self.source.tensors[name], part, count)
            self.operators.append(self._crop(window, part, begin))
        return part


def _with_rows(tensor: Tensor, name: str, rows: int) -> Tensor:
    shape = (tensor.shape[0], rows, *tensor.shape[2:])
    return Tensor(name, shape, tensor.dtype, tensor.quantization)
