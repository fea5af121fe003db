"""Checks of single operators: shapes that agree, types and quantisation that kernels can run.

A front end calls `validate_operator` for every operator, so that everything after it may trust the
graph. What contradicts itself raises ValueError; what is sound but not supported raises `Refused`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from thumbnet.codegen.graph import (
    Concatenation,
    Convolution,
    Operator,
    Pad,
    Pool,
    Reduce,
    Slice,
    Tensor,
    Transpose,
)

Tensors = Mapping[str, Tensor]
_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
_MOVEMENT = ("RESHAPE", "TRANSPOSE", "SLICE", "CONCATENATION", "PAD")
_MAX_RANK = 6
_MAX_ROWS = 65535  # the schedule is made row by row
_MIN_SCALE, _MAX_SCALE = 1e-30, 1e30


class Refused(Exception):
    """An operator cannot be compiled; the text says why and what to do."""


def validate_operator(op: Operator, tensors: Tensors) -> None:
    """Raises ValueError where shapes contradict each other, Refused where a type is unsupported."""
    inputs = [tensors[n] for n in op.inputs if n]
    output = tensors[op.outputs[0]]
    for tensor in (*inputs, output):
        if len(tensor.shape) > _MAX_RANK:
            raise Refused(f"'{tensor.name}' has rank {len(tensor.shape)}; at most {_MAX_RANK}")
        if tensor.elements == 0:
            raise Refused(f"'{tensor.name}' of shape {list(tensor.shape)} is empty")
        if tensor.rows > _MAX_ROWS:
            raise Refused(f"'{tensor.name}' has {tensor.rows} rows; at most {_MAX_ROWS}")
    _check_types(op, inputs, output)
    _SHAPE_CHECKS.get(op.kind, _same_shape)(op, tensors)


def operator_macs(op: Operator, tensors: Tensors) -> int:
    """Nominal multiply-accumulates: convolutions and dense layers, padded taps counted."""
    output = tensors[op.outputs[0]]
    if op.kind == "CONV_2D":
        return output.elements * prod(tensors[op.inputs[1]].shape[1:])
    if op.kind == "DEPTHWISE_CONV_2D":
        return output.elements * prod(tensors[op.inputs[1]].shape[1:3])
    if op.kind == "FULLY_CONNECTED":
        return output.elements * tensors[op.inputs[1]].shape[1]
    return 0


# ---- types and quantisation ----------------------------------------------------------------


def _check_types(op: Operator, inputs: list[Tensor], output: Tensor) -> None:
    if op.kind == "QUANTIZE":
        _check_quantize(inputs[0], output)
        return
    if op.kind == "DEQUANTIZE":
        if output.dtype != "float32" or inputs[0].dtype not in _RANGES:
            raise Refused(f"from {inputs[0].dtype} to {output.dtype} is not supported")
        check_quantized(inputs[0])
        return
    if op.kind in _MOVEMENT:
        for tensor in (*inputs, output):
            if tensor.dtype not in _RANGES:
                raise Refused(_not_int8(tensor))
            if tensor.dtype != output.dtype:
                raise ValueError(f"{op.kind} from {tensor.dtype} to {output.dtype}")
            check_quantized(tensor)
        return
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        _check_weights(op, inputs)
        inputs = inputs[:1]
    for tensor in (*inputs, output):
        if tensor.dtype != "int8" and not (op.kind == "SOFTMAX" and tensor is output):
            raise Refused(_not_int8(tensor))
        check_quantized(tensor)


def _not_int8(tensor: Tensor) -> str:
    advice = (
        "quantise the model to int8 (post-training quantisation with int8 inputs and outputs)"
        if tensor.dtype == "float32"
        else "only int8 is supported here"
    )
    return f"'{tensor.name}' has type {tensor.dtype}; {advice}"


def check_quantized(tensor: Tensor) -> None:
    """Raises unless the tensor has one finite positive scale and a zero point in its range."""
    quantization = tensor.quantization
    if quantization is None:
        raise Refused(f"'{tensor.name}' has no scale; quantise the model to int8")
    if quantization.scale.size != 1:
        raise Refused(f"'{tensor.name}' has {quantization.scale.size} scales; activations need one")
    _check_scale(tensor)
    low, high = _RANGES[tensor.dtype]
    if not low <= int(quantization.zero_point[0]) <= high:
        raise ValueError(f"'{tensor.name}' has zero point {int(quantization.zero_point[0])}")


def _check_scale(tensor: Tensor) -> None:
    assert tensor.quantization is not None
    scale = tensor.quantization.scale
    if not ((scale >= _MIN_SCALE).all() and (scale <= _MAX_SCALE).all()):
        worst = next(s for s in scale if not _MIN_SCALE <= s <= _MAX_SCALE)
        raise ValueError(f"'{tensor.name}' has the scale {worst}, which no quantiser makes")


def _check_quantize(source: Tensor, output: Tensor) -> None:
    if output.dtype not in _RANGES or source.dtype not in (*_RANGES, "float32"):
        raise Refused(f"from {source.dtype} to {output.dtype} is not supported")
    check_quantized(output)
    if source.dtype != "float32":
        check_quantized(source)


def _check_weights(op: Operator, inputs: list[Tensor]) -> None:
    if len(inputs) < 2:
        raise ValueError(f"{op.kind} has no weights")
    weights = inputs[1]
    channels = weights.shape[-1] if op.kind == "DEPTHWISE_CONV_2D" else weights.shape[0]
    if weights.dtype != "int8":
        raise Refused(f"weights {_not_int8(weights)}")
    if weights.data is None:
        raise Refused(f"weights '{weights.name}' are not constant; fold them when exporting")
    if weights.quantization is None or weights.quantization.scale.size not in (1, channels):
        raise Refused(f"weights '{weights.name}' need one scale, or one for each output channel")
    _check_scale(weights)
    if weights.quantization.zero_point.any():
        raise Refused(f"weights '{weights.name}' have a zero point; export symmetric weights")
    if len(inputs) > 2:
        bias = inputs[2]
        if bias.dtype != "int32" or bias.data is None:
            raise Refused(f"bias '{bias.name}' must be a constant of type int32")
        if bias.elements != channels:
            raise ValueError(f"bias '{bias.name}' has {bias.elements} values for {channels}")


# ---- shapes --------------------------------------------------------------------------------


def _fail(op: Operator, tensors: Tensors, expected: tuple[int, ...]) -> None:
    output = tensors[op.outputs[0]]
    if output.shape != expected:
        raise ValueError(
            f"{op.kind}: output '{output.name}' has shape {list(output.shape)}, the operator "
            f"gives {list(expected)}"
        )


def _same_shape(op: Operator, tensors: Tensors) -> None:
    _fail(op, tensors, tensors[op.inputs[0]].shape)


def _image(tensor: Tensor) -> tuple[int, ...]:
    if len(tensor.shape) != 4:
        raise ValueError(f"'{tensor.name}' has shape {list(tensor.shape)}, not [1, H, W, C]")
    if tensor.shape[0] != 1:
        raise Refused(f"'{tensor.name}' has batch {tensor.shape[0]}; export with batch 1")
    return tensor.shape


def _windowed(
    shape: tuple[int, ...], op: Convolution | Pool, extent_h: int, extent_w: int
) -> tuple[int, int]:
    pad = op.padding
    return (
        (shape[1] + pad.top + pad.bottom - extent_h) // op.stride_h + 1,
        (shape[2] + pad.left + pad.right - extent_w) // op.stride_w + 1,
    )


def _convolution(op: Operator, tensors: Tensors) -> None:
    attributes = op.attributes
    assert isinstance(attributes, Convolution)
    shape, weights = _image(tensors[op.inputs[0]]), tensors[op.inputs[1]].shape
    _image(tensors[op.outputs[0]])
    if len(weights) != 4:
        raise ValueError(f"weights of shape {list(weights)}")
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    channels = weights[3] if depthwise else weights[0]
    if depthwise and (weights[0] != 1 or weights[3] != shape[3] * attributes.depth_multiplier):
        raise ValueError(f"weights of shape {list(weights)} for {shape[3]} channels")
    if not depthwise and weights[3] != shape[3]:
        hint = "grouped convolutions are not supported" if shape[3] % weights[3] == 0 else ""
        raise Refused(f"weights for {weights[3]} of {shape[3]} channels; {hint}")
    out = _windowed(
        shape,
        attributes,
        (weights[1] - 1) * attributes.dilation_h + 1,
        (weights[2] - 1) * attributes.dilation_w + 1,
    )
    _fail(op, tensors, (1, *out, channels))


def _pool(op: Operator, tensors: Tensors) -> None:
    attributes = op.attributes
    assert isinstance(attributes, Pool)
    shape = _image(tensors[op.inputs[0]])
    out = _windowed(shape, attributes, attributes.filter_h, attributes.filter_w)
    _fail(op, tensors, (1, *out, shape[3]))


def _fully_connected(op: Operator, tensors: Tensors) -> None:
    source, weights = tensors[op.inputs[0]], tensors[op.inputs[1]]
    output = tensors[op.outputs[0]]
    if len(weights.shape) != 2 or source.elements % weights.shape[1]:
        raise ValueError(f"weights of shape {list(weights.shape)} for {list(source.shape)}")
    batches = source.elements // weights.shape[1]
    if output.elements != batches * weights.shape[0] or output.shape[-1] != weights.shape[0]:
        raise ValueError(f"output '{output.name}' has shape {list(output.shape)}")


def _broadcast(op: Operator, tensors: Tensors) -> None:
    shapes = [tensors[n].shape for n in op.inputs]
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise ValueError(f"{op.kind} of shapes {[list(s) for s in shapes]}") from error
    _fail(op, tensors, tuple(expected))


def _prelu(op: Operator, tensors: Tensors) -> None:
    if tensors[op.inputs[1]].data is None:
        raise Refused(f"alpha '{op.inputs[1]}' must be a constant")
    _broadcast(op, tensors)
    _same_shape(op, tensors)


def _reduce(op: Operator, tensors: Tensors) -> None:
    assert isinstance(op.attributes, Reduce)
    shape, axes = tensors[op.inputs[0]].shape, op.attributes.axes
    if op.attributes.keep_dims:
        expected = tuple(1 if i in axes else d for i, d in enumerate(shape))
    else:
        expected = tuple(d for i, d in enumerate(shape) if i not in axes)
    _fail(op, tensors, expected)


def _reshape(op: Operator, tensors: Tensors) -> None:
    if tensors[op.inputs[0]].elements != tensors[op.outputs[0]].elements:
        raise ValueError(
            f"RESHAPE from {list(tensors[op.inputs[0]].shape)} to "
            f"{list(tensors[op.outputs[0]].shape)}"
        )


def _concatenation(op: Operator, tensors: Tensors) -> None:
    assert isinstance(op.attributes, Concatenation)
    axis = op.attributes.axis
    shapes = [tensors[n].shape for n in op.inputs]
    rests = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    if len(rests) != 1 or any(len(s) != len(shapes[0]) for s in shapes):
        raise ValueError(f"CONCATENATION of shapes {[list(s) for s in shapes]}")
    total = sum(s[axis] for s in shapes)
    _fail(op, tensors, (*shapes[0][:axis], total, *shapes[0][axis + 1 :]))
    output = tensors[op.outputs[0]]
    for name in op.inputs:
        tensor = tensors[name]
        if (tensor.scale, tensor.zero_point) != (output.scale, output.zero_point):
            raise Refused(
                f"'{name}' and the output have different scales; TFLM would copy the bytes "
                "unscaled, so requantise before concatenating"
            )


def _slice(op: Operator, tensors: Tensors) -> None:
    assert isinstance(op.attributes, Slice)
    shape, a = tensors[op.inputs[0]].shape, op.attributes
    for length, begin, size, stride in zip(shape, a.begin, a.size, a.stride, strict=True):
        last = begin + (size - 1) * stride
        if size < 1 or not (0 <= begin < length and 0 <= last < length):
            raise ValueError(f"slice {begin}:{size}:{stride} of {length}")
    output = tensors[op.outputs[0]]
    kept = [d for d in output.shape if d != 1]
    if kept != [d for d in a.size if d != 1]:
        raise ValueError(f"slice of size {list(a.size)} into shape {list(output.shape)}")


def _pad(op: Operator, tensors: Tensors) -> None:
    assert isinstance(op.attributes, Pad)
    a, shape = op.attributes, tensors[op.inputs[0]].shape
    _fail(op, tensors, tuple(b + d + e for b, d, e in zip(a.before, shape, a.after, strict=True)))


def _transpose(op: Operator, tensors: Tensors) -> None:
    assert isinstance(op.attributes, Transpose)
    shape = tensors[op.inputs[0]].shape
    _fail(op, tensors, tuple(shape[i] for i in op.attributes.permutation))


def _resize(op: Operator, tensors: Tensors) -> None:
    source, output = _image(tensors[op.inputs[0]]), _image(tensors[op.outputs[0]])
    if source[3] != output[3]:
        raise ValueError(f"{op.kind} from {source[3]} to {output[3]} channels")


_SHAPE_CHECKS: dict[str, Callable[[Operator, Tensors], None]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "MEAN": _reduce,
    "SUM": _reduce,
    "ADD": _broadcast,
    "SUB": _broadcast,
    "MUL": _broadcast,
    "MINIMUM": _broadcast,
    "MAXIMUM": _broadcast,
    "PRELU": _prelu,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
    "SLICE": _slice,
    "PAD": _pad,
    "TRANSPOSE": _transpose,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
}
