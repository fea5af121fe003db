"""Convolutions and dense layers."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.frontends.pytorch.builder import Builder, Constant, Step, Value
from thumbnet.codegen.frontends.pytorch.layout import (
    Layout,
    atoms_of,
    image,
    layout_of,
    natural,
)
from thumbnet.codegen.graph import Activation, Concatenation, Convolution, Padding, Slice

_LARGEST_BIAS = 2**30  # leaves the accumulator as much again


def lower_convolution(build: Builder, step: Step) -> Value:
    """conv1d (time becomes rows of one column) and conv2d, of any number of groups."""
    x, weight = step.value("input"), _weight(step)
    rank, groups = len(x.shape), int(step.arguments["groups"])
    attributes = _window(step, x, weight.data.shape)
    source = build.as_form(step, x, image(rank))
    in_c, out_c = x.shape[1], weight.data.shape[0]
    if groups == 1:
        return _convolution(build, step, source, x, weight, _bias(step), attributes)
    if groups == in_c:
        attributes = replace(attributes, depth_multiplier=out_c // in_c)
        return _convolution(build, step, source, x, weight, _bias(step), attributes)
    parts = []
    for group in range(groups):
        part = _channels(build, step, source, x, group, in_c // groups)
        chosen = slice(group * (out_c // groups), (group + 1) * (out_c // groups))
        piece = replace(step, shape=(step.shape[0], out_c // groups, *step.shape[2:]))
        bias = _bias(step)
        parts.append(
            _convolution(
                build, piece, part, x, _rows_of(weight, chosen),
                None if bias is None else bias[chosen], attributes,
            ).tensor
        )  # fmt: skip
    form = image(rank)
    return build.in_form(step, "CONCATENATION", parts, form, Concatenation(form.index(1)))


def lower_linear(build: Builder, step: Step) -> Value:
    """A dense layer over the last dimension, in whatever order memory holds its elements."""
    x, weight = step.value("input"), _weight(step)
    *batch, length = x.shape
    outer = atoms_of(x.layout, natural(len(batch)))
    inner = x.layout.memory[len(outer) :]
    if x.layout.memory[: len(outer)] != outer:  # the last dimension does not lie innermost
        source = build.as_form(step, x, natural(len(x.shape)))
        inner = x.layout.dims[-1]
    else:
        source = build.as_shape(step, x, x.shape)
    weight = _permuted_columns(weight, x.layout, inner)
    layout = layout_of(step.shape, natural(len(step.shape)))
    if prod(batch) == 1:
        inputs = _parameters(build, step, x, weight, _bias(step), 0)
        inputs[0] = build.as_shape(step, replace(x, tensor=source), (1, length))
        shape = (1, weight.data.shape[0])
        return build.emit(
            step, "FULLY_CONNECTED", inputs, shape, layout, Activation(step.activation)
        )
    rows = (1, *([1] * (3 - len(batch))), *batch)[-3:] if len(batch) <= 3 else (1, prod(batch), 1)
    rows = (1, batch[-1], 1) if len(batch) == 2 else rows
    pixels = build.as_shape(step, replace(x, tensor=source), (*rows, length))
    matrix = weight.data[:, None, None, :]
    inputs = _parameters(build, step, x, replace(weight, data=matrix), _bias(step), 0)
    inputs[0] = pixels
    shape = (*rows, weight.data.shape[0])
    attributes = Convolution(1, 1, activation=step.activation)
    return build.emit(step, "CONV_2D", inputs, shape, layout, attributes)


# ---- parts ---------------------------------------------------------------------------------


def _convolution(
    build: Builder,
    step: Step,
    source: str,
    x: Value,
    weight: Constant,
    bias: NDArray[np.float64] | None,
    attributes: Convolution,
) -> Value:
    """One CONV_2D or DEPTHWISE_CONV_2D of the image tensor `source`, which holds `x`."""
    data = weight.data if weight.data.ndim == 4 else weight.data[..., None]  # [O, I, KH, KW]
    depthwise = attributes.depth_multiplier > 0
    data = data.transpose(1, 2, 3, 0) if depthwise else data.transpose(0, 2, 3, 1)
    axis = 3 if depthwise else 0
    inputs = _parameters(build, step, x, replace(weight, data=data, axis=axis), bias, axis)
    inputs[0] = source
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    return build.in_form(step, kind, inputs, image(len(step.shape)), attributes)


def _weight(step: Step) -> Constant:
    weight = step.constant("weight")
    assert weight is not None
    if weight.scale is None and weight.data[0].size == 1:  # one number a channel: exact
        numbers = weight.data.astype(np.float64)
        scale = np.maximum(np.abs(numbers), 1e-12) / 127
        return Constant((np.sign(numbers) * 127).astype(np.int8), scale.ravel().astype(np.float32))
    if weight.scale is None or weight.data.dtype != np.int8:
        raise step.refused("its weights are not int8; quantise with thumbnet's quantiser")
    if weight.zero_point or (weight.scale.size > 1 and weight.axis != 0):
        raise step.refused("its weights must be symmetric, per tensor or per output channel")
    return weight


def _bias(step: Step) -> NDArray[np.float64] | None:
    bias = step.constant("bias")
    return None if bias is None else bias.real()


def _rows_of(weight: Constant, chosen: slice) -> Constant:
    assert weight.scale is not None
    scale = weight.scale[chosen] if weight.scale.size > 1 else weight.scale
    return replace(weight, data=weight.data[chosen], scale=scale)


def _permuted_columns(weight: Constant, layout: Layout, inner: tuple[int, ...]) -> Constant:
    """Weights [O, K] with columns in the order in which memory holds the atoms `inner`."""
    atoms = layout.dims[-1]
    if inner == atoms:
        return weight
    cut = weight.data.reshape(-1, *(layout.sizes[a] for a in atoms))
    moved = cut.transpose(0, *(1 + atoms.index(a) for a in inner))
    return replace(weight, data=moved.reshape(weight.data.shape))


def _parameters(
    build: Builder,
    step: Step,
    x: Value,
    weight: Constant,
    bias: NDArray[np.float64] | None,
    axis: int,
) -> list[str]:
    """The layer's inputs: room for x, the weights, the bias (zeros for none: the
    reference interpreter dies of a depthwise convolution without).

    The bias has the accumulator's scale, x's times the weights'. A channel whose weights are so
    small that its bias would overflow gets the smallest scale of weights at which it does not.
    """
    assert weight.scale is not None
    name = build.name_for(step.node)
    scale, data = weight.scale, weight.data
    if bias is None:
        bias = np.zeros(data.shape[axis])
    least = (np.abs(bias) / (float(x.scale) * _LARGEST_BIAS)).astype(np.float32)
    if (least > scale).any():
        wider = np.maximum(np.broadcast_to(scale, least.shape), least)
        shape = [1] * data.ndim
        shape[axis] = -1
        shrunk = data * (scale / wider).reshape(shape)
        data, scale = np.rint(shrunk).astype(np.int8), wider.astype(np.float32)
    units = np.float64(x.scale) * scale.astype(np.float64)
    integers = np.rint(bias / units).astype(np.int32)
    weights = build.constant(f"{name}.weight", data, scale, 0, axis)
    biases = build.constant(f"{name}.bias", integers, np.float32(x.scale) * scale)
    return ["", weights, biases]


def _window(step: Step, x: Value, weight: tuple[int, ...]) -> Convolution:
    """Stride, dilation and the padding that the output's shape needs."""
    count = len(x.shape) - 2
    stride = spread(step.arguments["stride"], count)
    dilation = spread(step.arguments["dilation"], count)
    padding = step.arguments["padding"]
    sides = []
    for i in range(count):
        extent = (weight[2 + i] - 1) * dilation[i] + 1
        if padding == "same":
            before = (extent - 1) // 2
        else:
            before = 0 if padding == "valid" else spread(padding, count)[i]
        sides.append(
            (before, needed_after(x.shape[2 + i], step.shape[2 + i], extent, stride[i], before))
        )
    sides += [(0, 0)] * (2 - count)
    return Convolution(
        stride_h=stride[0],
        stride_w=stride[1] if count == 2 else 1,
        dilation_h=dilation[0],
        dilation_w=dilation[1] if count == 2 else 1,
        padding=Padding(*sides[0], *sides[1]),
        activation=step.activation,
    )


def spread(value: int | list[int], count: int) -> list[int]:
    """One number for each spatial dimension."""
    numbers = [value] if isinstance(value, int) else list(value)
    return numbers * count if len(numbers) == 1 else numbers


def needed_after(length: int, output: int, extent: int, stride: int, before: int) -> int:
    """The padding behind a dimension that windows of `extent` need to give `output` values."""
    return max((output - 1) * stride + extent - length - before, 0)


def _channels(build: Builder, step: Step, source: str, x: Value, group: int, count: int) -> str:
    """The channels of one group of an image tensor."""
    shape = build.tensors[source].shape
    size = (*shape[:3], count)
    begin = (0, 0, 0, group * count)
    layout = layout_of((x.shape[0], count, *x.shape[2:]), image(len(x.shape)))
    attributes = Slice(begin, size, (1, 1, 1, 1))
    scale = (x.scale, x.zero_point)
    return build.emit(step, "SLICE", (source,), size, layout, attributes, scale).tensor
