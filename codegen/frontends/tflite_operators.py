"""Conversion of single TensorFlow Lite operators into operators of the graph.

Each converter takes a `Source` (one operator of the file and its tensors) and gives the graph
operators that say the same. What Thumbnet does not run raises `Refused` with what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from thumbnet.codegen.frontends.tflite_reader import FileOperator, FileTensor
from thumbnet.codegen.graph import (
    Activation,
    Attributes,
    Concatenation,
    Convolution,
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
)
from thumbnet.codegen.validate import Refused

# tflite.ActivationFunctionType and tflite.Padding, by number.
_ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
_SAME, _VALID = 0, 1
_LARGEST = 32767  # stride, window and padding: the reference keeps them in int16


@dataclass(frozen=True)
class Source:
    """One operator of the file, with the tensors that it names."""

    operator: FileOperator
    file_tensors: Sequence[FileTensor]
    names: Sequence[str]
    tensors: dict[str, Tensor]

    def input(self, i: int) -> Tensor:
        inputs = self.operator.inputs
        if i >= len(inputs) or inputs[i] < 0:
            raise ValueError(f"{self.operator.kind} lacks input {i}")
        return self._tensor(inputs[i])

    def output(self, i: int = 0) -> Tensor:
        if i >= len(self.operator.outputs):
            raise ValueError(f"{self.operator.kind} lacks output {i}")
        return self._tensor(self.operator.outputs[i])

    def _tensor(self, index: int) -> Tensor:
        name = self.names[index]
        if name not in self.tensors:
            raise Refused(f"tensor '{name}' has type {self.file_tensors[index].dtype}")
        return self.tensors[name]

    def has_input(self, i: int) -> bool:
        return i < len(self.operator.inputs) and self.operator.inputs[i] >= 0

    def integers(self, i: int) -> list[int]:
        """The values of a constant integer input."""
        tensor = self.input(i)
        if tensor.data is None:
            raise Refused(f"'{tensor.name}' must be a constant; export the model with fixed shapes")
        if tensor.dtype not in ("int32", "int64"):
            raise ValueError(f"'{tensor.name}' should hold int32, not {tensor.dtype}")
        return [int(v) for v in tensor.data.reshape(-1)]

    def make(
        self,
        attributes: Attributes,
        inputs: int | Sequence[int] = 1,
        *,
        kind: str = "",
        output: int = 0,
    ) -> Operator:
        """An operator with this one's name; `inputs` are positions, or how many from the first."""
        positions = range(inputs) if isinstance(inputs, int) else inputs
        return Operator(
            name=f"op_{self.operator.index}" + (f"_{output}" if output else ""),
            kind=kind or self.operator.kind,
            inputs=tuple(self.input(i).name if self.has_input(i) else "" for i in positions),
            outputs=(self.output(output).name,),
            attributes=attributes,
        )


def _activation(code: int) -> str:
    if code not in _ACTIVATIONS:
        raise Refused(f"fused activation {code} is not supported; use RELU or RELU6")
    return _ACTIVATIONS[code]


def _padding(
    mode: int, source: Source, kernel: tuple[int, int], stride: tuple[int, int]
) -> Padding:
    """Explicit padding of a window of extent `kernel` (dilation included).

    TFLite puts the odd line of SAME padding at the end; the bottom and right padding is whatever
    the given output shape still needs.
    """
    shape_in, shape_out = source.input(0).shape, source.output().shape
    if len(shape_in) != 4 or len(shape_out) != 4:
        raise ValueError(f"{source.operator.kind} needs tensors of rank 4")
    if min(stride) < 1 or min(kernel) < 1:
        raise ValueError(f"{source.operator.kind} has stride {stride} and kernel {kernel}")
    sides = []
    for axis in (0, 1):
        size, extent, step = shape_in[1 + axis], kernel[axis], stride[axis]
        if mode == _SAME:
            out = -(-size // step)
            total = max((out - 1) * step + extent - size, 0)
        elif mode == _VALID:
            out = -(-(size - extent + 1) // step)
            total = 0
        else:
            raise ValueError(f"padding mode {mode}")
        if out < 1 or out != shape_out[1 + axis]:
            raise ValueError(
                f"{source.operator.kind}: output '{source.output().name}' has shape "
                f"{list(shape_out)}, the operator gives {out} along axis {1 + axis}"
            )
        if max(step, extent, total) > _LARGEST:
            raise Refused(f"a window of {extent} with stride {step} is above {_LARGEST}")
        sides.append((total // 2, total - total // 2))
    return Padding(sides[0][0], sides[0][1], sides[1][0], sides[1][1])


def _kernel_extent(size: int, dilation: int) -> int:
    if dilation < 1:
        raise ValueError(f"dilation {dilation}")
    return (size - 1) * dilation + 1


def _convolution(source: Source, options: Any, depth_multiplier: int) -> list[Operator]:
    weights = source.input(1)
    if len(weights.shape) != 4:
        raise ValueError(f"weights '{weights.name}' have shape {list(weights.shape)}")
    stride = (options.StrideH(), options.StrideW())
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    extent = (
        _kernel_extent(weights.shape[1], dilation[0]),
        _kernel_extent(weights.shape[2], dilation[1]),
    )
    attributes = Convolution(
        stride_h=stride[0],
        stride_w=stride[1],
        dilation_h=dilation[0],
        dilation_w=dilation[1],
        padding=_padding(options.Padding(), source, extent, stride),
        activation=_activation(options.FusedActivationFunction()),
        depth_multiplier=depth_multiplier,
    )
    return [source.make(attributes, 3)]


def _conv_2d(source: Source) -> list[Operator]:
    return _convolution(source, source.operator.options("Conv2DOptions"), 0)


def _depthwise_conv_2d(source: Source) -> list[Operator]:
    options = source.operator.options("DepthwiseConv2DOptions")
    channels_in, channels_out = source.input(0).shape[-1], source.output().shape[-1]
    multiplier = options.DepthMultiplier()
    if channels_in * multiplier != channels_out:
        raise ValueError(
            f"DEPTHWISE_CONV_2D of {channels_in} channels with multiplier {multiplier} gives "
            f"{channels_out}"
        )
    return _convolution(source, options, multiplier)


def _fully_connected(source: Source) -> list[Operator]:
    options = source.operator.options("FullyConnectedOptions")
    if options.WeightsFormat() != 0:
        raise Refused("shuffled weights are not supported; export with the default format")
    return [source.make(Activation(_activation(options.FusedActivationFunction())), 3)]


def _pool(source: Source) -> list[Operator]:
    options = source.operator.options("Pool2DOptions")
    kernel = (options.FilterHeight(), options.FilterWidth())
    stride = (options.StrideH(), options.StrideW())
    padding = _padding(options.Padding(), source, kernel, stride)
    activation = _activation(options.FusedActivationFunction())
    return [source.make(Pool(*kernel, *stride, padding, activation))]


def _arithmetic(options_name: str) -> Callable[[Source], list[Operator]]:
    def convert(source: Source) -> list[Operator]:
        options = source.operator.options(options_name)
        return [source.make(Activation(_activation(options.FusedActivationFunction())), 2)]

    return convert


def _plain(inputs: int) -> Callable[[Source], list[Operator]]:
    return lambda source: [source.make(Attributes(), inputs)]


def _reduce(source: Source) -> list[Operator]:
    options = source.operator.options("ReducerOptions")
    rank = len(source.input(0).shape)
    axes = [_axis(a, rank) for a in source.integers(1)]
    return [source.make(Reduce(tuple(sorted(set(axes))), bool(options.KeepDims())))]


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def _softmax(source: Source) -> list[Operator]:
    return [source.make(Softmax(float(source.operator.options("SoftmaxOptions").Beta())))]


def _leaky_relu(source: Source) -> list[Operator]:
    return [source.make(LeakyRelu(float(source.operator.options("LeakyReluOptions").Alpha())))]


def _l2_normalization(source: Source) -> list[Operator]:
    options = source.operator.options("L2NormOptions")
    if options.FusedActivationFunction() != 0:
        raise Refused("a fused activation is not supported here; apply it separately")
    return [source.make(Attributes())]


def _concatenation(source: Source) -> list[Operator]:
    options = source.operator.options("ConcatenationOptions")
    if options.FusedActivationFunction() != 0:
        raise Refused("a fused activation is not supported here; apply it separately")
    axis = _axis(options.Axis(), len(source.output().shape))
    return [source.make(Concatenation(axis), len(source.operator.inputs))]


def _reshape(source: Source) -> list[Operator]:
    return [source.make(Attributes(), kind="RESHAPE")]


def _pad(source: Source) -> list[Operator]:
    shape = source.input(0).shape
    pairs = source.integers(1)
    if len(pairs) != 2 * len(shape) or min(pairs, default=0) < 0:
        raise ValueError(f"PAD by {pairs} of shape {list(shape)}")
    value = source.output().zero_point
    if source.operator.kind == "PADV2":
        filling = source.input(2)
        if filling.data is None or filling.data.size != 1:
            raise Refused(f"the value '{filling.name}' must be one constant")
        value = int(filling.data.reshape(-1)[0].item())
    return [source.make(Pad(tuple(pairs[::2]), tuple(pairs[1::2]), value), kind="PAD")]


def _transpose(source: Source) -> list[Operator]:
    rank = len(source.input(0).shape)
    permutation = tuple(_axis(a, rank) for a in source.integers(1))
    if sorted(permutation) != list(range(rank)):
        raise ValueError(f"TRANSPOSE by {permutation}")
    return [source.make(Transpose(permutation))]


def _resize(options_name: str) -> Callable[[Source], list[Operator]]:
    def convert(source: Source) -> list[Operator]:
        options = source.operator.options(options_name)
        if list(source.output().shape[1:3]) != source.integers(1):
            raise ValueError(f"{source.operator.kind} to {source.integers(1)}")
        attributes = Resize(bool(options.AlignCorners()), bool(options.HalfPixelCenters()))
        return [source.make(attributes)]

    return convert


def _slice(source: Source) -> list[Operator]:
    shape = source.input(0).shape
    begin, size = source.integers(1), source.integers(2)
    if len(begin) != len(shape) or len(size) != len(shape):
        raise ValueError(f"SLICE of rank {len(begin)} on shape {list(shape)}")
    size = [n - b if s == -1 else s for b, s, n in zip(begin, size, shape, strict=True)]
    attributes = Slice(tuple(begin), tuple(size), (1,) * len(shape))
    return [source.make(attributes, kind="SLICE")]


def _strided_slice(source: Source) -> list[Operator]:
    options = source.operator.options("StridedSliceOptions")
    if options.EllipsisMask() or options.NewAxisMask():
        raise Refused("ellipsis and new-axis masks are not supported; slice with plain indices")
    shape = source.input(0).shape
    begins, ends, strides = (source.integers(i) for i in (1, 2, 3))
    rank = len(shape)
    if not len(begins) == len(ends) == len(strides) <= rank:
        raise ValueError(f"STRIDED_SLICE of rank {len(begins)} on shape {list(shape)}")
    begin, size, step = [0] * rank, list(shape), [1] * rank
    for axis, (first, last, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        length, bit = shape[axis], 1 << axis
        if stride == 0:
            raise ValueError("STRIDED_SLICE with stride 0")
        if options.ShrinkAxisMask() & bit:
            begin[axis], size[axis] = first + length if first < 0 else first, 1
            continue
        first_masked = bool(options.BeginMask() & bit)
        last_masked = bool(options.EndMask() & bit)
        python = slice(None if first_masked else first, None if last_masked else last, stride)
        start, stop, _ = python.indices(length)
        begin[axis], step[axis] = start, stride
        size[axis] = len(range(start, stop, stride))
    return [source.make(Slice(tuple(begin), tuple(size), tuple(step)), kind="SLICE")]


def _split(source: Source, data: int, sizes: Sequence[int], axis: int) -> list[Operator]:
    shape = source.input(data).shape
    axis = _axis(axis, len(shape))
    if min(sizes, default=0) < 0 or sum(sizes) != shape[axis]:
        raise ValueError(f"{source.operator.kind} of {shape[axis]} into {list(sizes)}")
    operators = []
    for i, size in enumerate(sizes):
        begin = [0] * len(shape)
        begin[axis] = sum(sizes[:i])
        extent = [*shape[:axis], size, *shape[axis + 1 :]]
        attributes = Slice(tuple(begin), tuple(extent), (1,) * len(shape))
        operators.append(source.make(attributes, (data,), kind="SLICE", output=i))
    return operators


def _split_even(source: Source) -> list[Operator]:
    count = len(source.operator.outputs)
    axis = _axis(source.integers(0)[0], len(source.input(1).shape))
    return _split(source, 1, [source.input(1).shape[axis] // count] * count, axis)


def _split_v(source: Source) -> list[Operator]:
    sizes, axis = source.integers(1), source.integers(2)[0]
    shape = source.input(0).shape
    if sizes.count(-1) == 1:
        rest = shape[_axis(axis, len(shape))] - sum(s for s in sizes if s != -1)
        sizes = [rest if s == -1 else s for s in sizes]
    if len(sizes) != len(source.operator.outputs):
        raise ValueError(f"SPLIT_V into {len(sizes)} with {len(source.operator.outputs)} outputs")
    return _split(source, 0, sizes, axis)


def _quantize(source: Source) -> list[Operator]:
    if source.input(0).dtype == "float32" and source.input(0).data is not None:
        raise Refused("quantising a float constant at run time; fold it when exporting")
    return [source.make(Attributes())]


CONVERTERS: dict[str, Callable[[Source], list[Operator]]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "MEAN": _reduce,
    "SUM": _reduce,
    "ADD": _arithmetic("AddOptions"),
    "SUB": _arithmetic("SubOptions"),
    "MUL": _arithmetic("MulOptions"),
    "MINIMUM": _plain(2),
    "MAXIMUM": _plain(2),
    "PAD": _pad,
    "PADV2": _pad,
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation,
    "SPLIT": _split_even,
    "SPLIT_V": _split_v,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "RESIZE_NEAREST_NEIGHBOR": _resize("ResizeNearestNeighborOptions"),
    "RESIZE_BILINEAR": _resize("ResizeBilinearOptions"),
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _plain(1),
    "SOFTMAX": _softmax,
    "LOGISTIC": _plain(1),
    "TANH": _plain(1),
    "RELU": _plain(1),
    "RELU6": _plain(1),
    "RELU_N1_TO_1": _plain(1),
    "LEAKY_RELU": _leaky_relu,
    "PRELU": _plain(2),
    "HARD_SWISH": _plain(1),
    "ABS": _plain(1),
    "L2_NORMALIZATION": _l2_normalization,
}
