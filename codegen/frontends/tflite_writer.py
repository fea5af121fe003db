"""The way back: a `Graph` becomes an int8 .tflite that any TensorFlow Lite interpreter can run.

So the reference interpreter is also the interpreter of our integer graph, whatever front end it
came from. The file computes the graph's bytes; where TensorFlow Lite lacks a word for what the
graph says, several operators say it:

- Padding that is neither SAME nor VALID becomes PAD before a VALID window: with the zero point,
  which is what a padded tap of a convolution is, or with -128 where a maximum is taken.
- float32 edges that the passes took off (`Graph.float_inputs`) are int8 in the file.
- States become resource variables, with a subgraph behind CALL_ONCE that gives them their start. A
  streamed graph's `NAME_init` runs it on top of that until its window is full (`window_rows`); the
  file does not, so its outputs are the same from then on.
- SLICE with strides, or into fewer axes, is STRIDED_SLICE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.frontends.tflite_builder import Builder, OperatorRecord, Spec, Subgraph
from thumbnet.codegen.graph import (
    Activation,
    Concatenation,
    Convolution,
    Graph,
    LeakyRelu,
    Operator,
    Pad,
    Padding,
    Pool,
    Reduce,
    Resize,
    Slice,
    Softmax,
    Tensor,
    Transpose,
    Variable,
)

_VARIABLE_PREFIX = "variable "  # that the reader gives the names of state tensors


def write_tflite(graph: Graph) -> bytes:
    """The bytes of a .tflite file that computes the graph; the same bytes for the same graph.

    Takes any graph, before or after the passes, with or without states. Inputs, outputs and tensors
    keep their names, order, shapes and types. Raises UnsupportedError, naming the operator, for an
    average pool whose padding TensorFlow Lite cannot express.
    """
    return _Writing(graph).bytes()


class _Writing:
    """State of one graph being written: the index that each tensor has got."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.file = Builder()
        self.indices: dict[str, int] = {}
        self.handles: dict[str, int] = {}

    def bytes(self) -> bytes:
        self.file.inputs = [self.tensor(name) for name in self.graph.inputs]
        if self.graph.states:
            self.declare_states()
        for op in self.graph.operators:
            self.operator(op)
        self.file.outputs = [self.tensor(name) for name in self.graph.outputs]
        return self.file.build(f"{self.graph.name}, written by Thumbnet")

    # ---- tensors ---------------------------------------------------------------------------

    def tensor(self, name: str) -> int:
        """The index of a tensor of the graph; "" is an absent one."""
        if not name:
            return -1
        return self.tensor_of(self.graph.tensors[name])

    def tensor_of(self, tensor: Tensor, spec: Spec | None = None) -> int:
        if tensor.name not in self.indices:
            data = None if tensor.data is None else np.ascontiguousarray(tensor.data)
            self.indices[tensor.name] = self.file.tensor(spec or _spec(tensor), data)
        return self.indices[tensor.name]

    def weights(self, op: Operator) -> list[int]:
        """Weights, with the axis of their channels, and bias, with the scale that TFLM asks for."""
        weights = self.graph.tensors[op.inputs[1]]
        axis = 3 if op.kind == "DEPTHWISE_CONV_2D" else 0
        index = self.tensor_of(weights, replace(_spec(weights), axis=axis))
        if len(op.inputs) < 3 or not op.inputs[2]:
            return [index, -1]
        bias = self.graph.tensors[op.inputs[2]]
        spec = _spec(bias)
        if spec.scale is None and weights.quantization is not None:
            scales = self.graph.tensors[op.inputs[0]].scale * weights.quantization.scale
            spec = replace(spec, scale=scales.tolist())
        return [index, self.tensor_of(bias, spec)]

    def integers(self, op: Operator, what: str, values: Sequence[int]) -> int:
        name = self.unused(f"{op.name}/{what}")
        return self.file.constant(np.array(values, np.int32), name=name)

    def unused(self, name: str) -> str:
        """A name like this that no tensor has; it counts as taken from now on."""
        taken = {spec.name for spec in self.file.specs}
        while name in taken or name in self.graph.tensors:
            name += "_"
        return name

    # ---- states ----------------------------------------------------------------------------

    def declare_states(self) -> None:
        index, start = self.file.subgraph("initialise")
        self.file.ops("CALL_ONCE", [], [], init_subgraph_index=index)
        for state in self.graph.states:
            like = _spec(self.graph.tensors[state.tensor])
            initial = np.ascontiguousarray(state.initial)
            value = start.tensor(replace(like, shape=initial.shape), initial)
            start.ops("ASSIGN_VARIABLE", [_handle(start, state.tensor), value], [])
            self.handles[state.tensor] = _handle(
                self.file, state.tensor, self.unused(f"{state.tensor}/handle")
            )

    # ---- operators -------------------------------------------------------------------------

    def operator(self, op: Operator) -> None:
        match op.attributes:
            case Convolution():
                self.convolution(op, op.attributes)
            case Pool():
                self.pool(op, op.attributes)
            case Activation(activation=activation) if op.kind == "FULLY_CONNECTED":
                self.dense(op, activation)
            case Activation(activation=activation):
                self.write(op, fused_activation_function=activation)
            case Reduce(axes=axes, keep_dims=keep_dims):
                self.write(op, {"axes": axes}, keep_dims=keep_dims)
            case Softmax(beta=beta):
                self.write(op, beta=beta)
            case LeakyRelu(alpha=alpha):
                self.write(op, alpha=alpha)
            case Concatenation(axis=axis):
                self.write(op, axis=axis, fused_activation_function="NONE")
            case Slice():
                self.slice(op, op.attributes)
            case Pad():
                self.pad(op, op.attributes, self.graph.tensors[op.outputs[0]])
            case Transpose(permutation=permutation):
                self.write(op, {"permutation": permutation})
            case Resize(align_corners=corners, half_pixel_centers=centers):
                size = self.graph.tensors[op.outputs[0]].shape[1:3]
                self.write(op, {"size": size}, align_corners=corners, half_pixel_centers=centers)
            case Variable(variable=variable):
                inputs = [self.handles[variable], *map(self.tensor, op.inputs)]
                self.record(op.kind, inputs, [*map(self.tensor, op.outputs)])
            case _ if op.kind == "RESHAPE":
                self.reshape(op, self.tensor(op.inputs[0]))
            case _ if op.kind == "L2_NORMALIZATION":
                self.write(op, fused_activation_function="NONE")
            case _:
                self.write(op)

    def record(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any
    ) -> None:
        self.file.operators.append(OperatorRecord(kind, [*inputs], [*outputs], options))

    def write(
        self, op: Operator, constants: Mapping[str, Sequence[int]] | None = None, **options: Any
    ) -> None:
        """The operator as it is; `constants` are further inputs that hold integers."""
        inputs = [self.tensor(name) for name in op.inputs]
        inputs += [self.integers(op, what, values) for what, values in (constants or {}).items()]
        self.record(op.kind, inputs, [*map(self.tensor, op.outputs)], **options)

    def reshape(self, op: Operator, source: int) -> None:
        shape = self.graph.tensors[op.outputs[0]].shape
        inputs = [source, self.integers(op, "shape", shape)]
        self.record("RESHAPE", inputs, [self.tensor(op.outputs[0])], new_shape=list(shape))

    def dense(self, op: Operator, activation: str) -> None:
        ranks = [len(self.graph.tensors[name].shape) for name in (op.inputs[0], op.outputs[0])]
        self.record(
            op.kind,
            [self.tensor(op.inputs[0]), *self.weights(op)],
            [self.tensor(op.outputs[0])],
            weights_format="DEFAULT",
            keep_num_dims=ranks[0] == ranks[1] > 2,
            fused_activation_function=activation,
        )

    def convolution(self, op: Operator, a: Convolution) -> None:
        kernel = self.graph.tensors[op.inputs[1]].shape[1:3]
        extent = ((kernel[0] - 1) * a.dilation_h + 1, (kernel[1] - 1) * a.dilation_w + 1)
        mode, source = self.padding(op, a, extent, self.graph.tensors[op.inputs[0]])
        options: dict[str, Any] = {
            "stride_h": a.stride_h,
            "stride_w": a.stride_w,
            "dilation_h_factor": a.dilation_h,
            "dilation_w_factor": a.dilation_w,
            "padding": mode,
            "fused_activation_function": a.activation,
        }
        if op.kind == "DEPTHWISE_CONV_2D":
            options["depth_multiplier"] = a.depth_multiplier
        inputs = [source, *self.weights(op)]
        self.record(op.kind, inputs, [self.tensor(op.outputs[0])], **options)

    def pool(self, op: Operator, a: Pool) -> None:
        like = self.graph.tensors[op.inputs[0]]
        mode, source = self.padding(op, a, (a.filter_h, a.filter_w), like)
        self.record(
            op.kind,
            [source],
            [self.tensor(op.outputs[0])],
            filter_height=a.filter_h,
            filter_width=a.filter_w,
            stride_h=a.stride_h,
            stride_w=a.stride_w,
            padding=mode,
            fused_activation_function=a.activation,
        )

    def padding(
        self, op: Operator, a: Convolution | Pool, extent: tuple[int, int], source: Tensor
    ) -> tuple[str, int]:
        """The padding mode, and the tensor that the window reads: the source, or it padded."""
        shape, out = source.shape, self.graph.tensors[op.outputs[0]].shape
        sides = [
            _reached(shape[1], out[1], extent[0], a.stride_h, a.padding.top),
            _reached(shape[2], out[2], extent[1], a.stride_w, a.padding.left),
        ]
        if sides == [(0, 0), (0, 0)]:
            return "VALID", self.tensor(source.name)
        same = [
            _same(shape[1], extent[0], a.stride_h),
            _same(shape[2], extent[1], a.stride_w),
        ]
        lengths = [-(-shape[1] // a.stride_h), -(-shape[2] // a.stride_w)]
        if sides == same and lengths == list(out[1:3]):
            return "SAME", self.tensor(source.name)
        if op.kind == "AVERAGE_POOL_2D":
            raise UnsupportedError(
                f"{self.graph.source}: AVERAGE_POOL_2D '{op.name}' leaves out padding of "
                f"{_text(a.padding)}, which TensorFlow Lite has no word for; pad with zeros that "
                "count, or as SAME does"
            )
        (top, bottom), (left, right) = sides
        padded = replace(
            source,
            name=self.unused(f"{op.outputs[0]}/padded"),
            shape=(shape[0], shape[1] + top + bottom, shape[2] + left + right, shape[3]),
        )
        value = source.zero_point if isinstance(a, Convolution) else -128
        return "VALID", self.pad(op, Pad((0, top, left, 0), (0, bottom, right, 0), value), padded)

    def pad(self, op: Operator, a: Pad, output: Tensor) -> int:
        """Pads the operator's input into `output`: PADV2 where the value is not the zero point."""
        pairs = np.array(list(zip(a.before, a.after, strict=True)), np.int32)
        inputs = [
            self.tensor(op.inputs[0]),
            self.file.constant(pairs, name=self.unused(f"{op.name}/padding")),
        ]
        target = self.tensor_of(output)
        if a.value == output.zero_point:
            self.record("PAD", inputs, [target])
            return target
        value, name = np.array([a.value], output.dtype), self.unused(f"{op.name}/value")
        inputs.append(self.file.constant(value, float(output.scale), output.zero_point, name=name))
        self.record("PADV2", inputs, [target])
        return target

    def slice(self, op: Operator, a: Slice) -> None:
        """SLICE where that says it, else STRIDED_SLICE, which may drop axes of length 1."""
        output = self.graph.tensors[op.outputs[0]]
        stride = [1 if n == 1 else s for n, s in zip(a.size, a.stride, strict=True)]
        if output.shape == a.size and set(stride) <= {1}:
            self.write(replace(op, kind="SLICE"), {"begin": a.begin, "size": a.size})
            return
        ends = [b + n * s for b, n, s in zip(a.begin, a.size, stride, strict=True)]
        constants = {"begin": a.begin, "end": [max(end, 0) for end in ends], "strides": stride}
        inputs = [self.tensor(op.inputs[0])]
        inputs += [self.integers(op, what, values) for what, values in constants.items()]
        dropped = _dropped_axes(a.size, output.shape)
        sliced = output
        if dropped is None:
            sliced = replace(output, name=self.unused(f"{output.name}/slice"), shape=a.size)
        target = self.tensor_of(sliced)
        self.record(
            "STRIDED_SLICE",
            inputs,
            [target],
            begin_mask=0,
            end_mask=sum(1 << axis for axis, end in enumerate(ends) if end < 0),
            ellipsis_mask=0,
            new_axis_mask=0,
            shrink_axis_mask=sum(1 << axis for axis in dropped or ()),
        )
        if dropped is None:
            self.reshape(op, target)


def _spec(tensor: Tensor) -> Spec:
    quantization = tensor.quantization
    if quantization is None:
        return Spec(tensor.shape, tensor.dtype, name=tensor.name)
    scale, zero_point = quantization.scale.tolist(), quantization.zero_point.tolist()
    return Spec(tensor.shape, tensor.dtype, scale, zero_point, quantization.axis, tensor.name)


def _handle(subgraph: Subgraph, variable: str, name: str = "") -> int:
    shared = variable.removeprefix(_VARIABLE_PREFIX)
    spec = Spec((1,), "resource", name=name)
    return subgraph.op("VAR_HANDLE", [], spec, container="", shared_name=shared)


def _same(length: int, extent: int, stride: int) -> tuple[int, int]:
    """What SAME puts before and after an axis: the odd line goes to the end."""
    total = max((-(-length // stride) - 1) * stride + extent - length, 0)
    return total // 2, total - total // 2


def _reached(length: int, out: int, extent: int, stride: int, before: int) -> tuple[int, int]:
    """Padding before an axis, and after it as far as windows reach."""
    return before, max((out - 1) * stride + extent - length - before, 0)


def _dropped_axes(size: Sequence[int], shape: Sequence[int]) -> list[int] | None:
    """Axes of length 1 that are in `size` and no longer in `shape`; None: the two differ more."""
    dropped, left = [], list(shape)
    for axis, length in enumerate(size):
        if left and left[0] == length:
            left.pop(0)
        elif length == 1:
            dropped.append(axis)
        else:
            return None
    return None if left else dropped


def _text(padding: Padding) -> str:
    return f"({padding.top}, {padding.bottom}, {padding.left}, {padding.right})"
