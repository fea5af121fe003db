"""Arithmetic of one or two operands, clamps, curves, softmax and normalisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch.fx import Node

from thumbnet.codegen.frontends.pytorch.aten import operator_of
from thumbnet.codegen.frontends.pytorch.builder import Builder, Constant, Step, Value
from thumbnet.codegen.frontends.pytorch.layout import (
    Form,
    Layout,
    form_of,
    usual,
)
from thumbnet.codegen.frontends.pytorch.operators import (
    FIXED_SCALE,
    activation_of,
    factor_of,
    normalized,
    number_of,
)
from thumbnet.codegen.graph import Activation, Attributes, LeakyRelu, Softmax

Lower = Callable[[Builder, Step], Value]


def binary(kind: str, *, swapped: bool = False) -> Lower:
    """ADD, SUB, MUL of two operands that broadcast; one may be a constant or a number."""

    def lower(build: Builder, step: Step) -> Value:
        operands = [_operand(step, name) for name in ("self", "other")]
        if swapped:
            operands.reverse()
        return _binary(build, step, kind, operands, Activation(step.activation))

    return lower


def lower_multiplication(build: Builder, step: Step) -> Value:
    """mul of two operands, and div or neg as the multiplication that they are."""
    if operator_of(step.node) == "mul" and number_of(step.arguments["other"]) is None:
        return binary("MUL")(build, step)
    factor = -1.0 if operator_of(step.node) == "neg" else factor_of(step.node)
    if factor is None:
        raise step.refused("division by a tensor is not supported; multiply by its inverse")
    operands: list[Value | Constant] = [step.value("self"), Constant(np.array(factor))]
    return _binary(build, step, "MUL", operands, Activation(step.activation))


def lower_extremum(build: Builder, step: Step) -> Value:
    """maximum and minimum: compared as they are, on one scale."""
    kind = operator_of(step.node).upper()
    operands = []
    for name in ("self", "other"):
        operand = _operand(step, name)
        if isinstance(operand, Value):
            operand = build.requantized(step, operand, step.scale, step.zero_point)
        else:
            integers = np.rint(operand.real() / float(step.scale)) + step.zero_point
            operand = Constant(np.clip(integers, -128, 127).astype(np.int8),
                               np.array([step.scale]), step.zero_point)  # fmt: skip
        operands.append(operand)
    return _binary(build, step, kind, operands, Attributes())


def unary(kind: str) -> Lower:
    """An operator on each value by itself, wherever it lies."""

    def lower(build: Builder, step: Step) -> Value:
        x = step.value("self" if "self" in step.arguments else "input")
        attributes = Attributes()
        if kind == "LEAKY_RELU":
            attributes = LeakyRelu(float(step.arguments["negative_slope"]))
        return _elementwise(build, step, x, kind, attributes)

    return lower


def lower_fixed(kind: str) -> Lower:
    """LOGISTIC and TANH, whose results have a scale of their own."""

    def lower(build: Builder, step: Step) -> Value:
        fixed = _prescribed(step)
        made = _elementwise(build, replace(step, scale=fixed[0], zero_point=fixed[1]),
                            step.value("self"), kind, Attributes())  # fmt: skip
        return build.requantized(step, made, step.scale, step.zero_point)

    return lower


def lower_clamp(build: Builder, step: Step) -> Value:
    """RELU, RELU6 and RELU_N1_TO_1 that no other operator applies.

    TensorFlow Lite Micro has no RELU_N1_TO_1 of its own: nothing is added, and the sum clamped.
    """
    kind = activation_of(step.node)
    assert kind is not None
    x = step.value("self")
    if kind == "RELU_N1_TO_1":
        return _binary(build, step, "ADD", [x, Constant(np.array(0.0))], Activation(kind))
    if kind == "RELU":
        return _elementwise(build, step, x, kind, Attributes())
    kept = replace(step, scale=x.scale, zero_point=x.zero_point)  # the kernel only clamps
    made = _elementwise(build, kept, x, kind, Attributes())
    return build.requantized(step, made, step.scale, step.zero_point)


def lower_prelu(build: Builder, step: Step) -> Value:
    """PRELU with a slope for all channels or one for each."""
    x, slope = step.value("self"), step.constant("weight")
    assert slope is not None
    slope = _quantized(slope)
    rank = len(x.shape)
    form = form_of(x.layout) or usual(rank)
    data = slope.data.reshape([-1 if d == min(1, rank - 1) else 1 for d in range(rank)])
    alpha = _placed(build, step, replace(slope, data=data), form, "slope")
    return build.in_form(step, "PRELU", (build.as_form(step, x, form), alpha), form)


def lower_softmax(build: Builder, step: Step) -> Value:
    return _over_last_axis(build, step, "self", int(step.arguments["dim"]), "SOFTMAX", Softmax(1.0))


def lower_division(build: Builder, step: Step) -> Value:
    """div: the last step of F.normalize, or by a number."""
    found = normalized(step.node)
    if found is None:
        return lower_multiplication(build, step)
    return _over_last_axis(build, step, "self", found[1], "L2_NORMALIZATION", Attributes())


# ---- parts ---------------------------------------------------------------------------------


def _prescribed(step: Step) -> tuple[np.float32, int]:
    scale, zero_point = FIXED_SCALE[operator_of(step.node)]
    return np.float32(scale), zero_point


def _over_last_axis(
    build: Builder, step: Step, name: str, dim: int, kind: str, attributes: Attributes
) -> Value:
    """SOFTMAX and L2_NORMALIZATION: dimension `dim` lies innermost."""
    x, rank = step.value(name), len(step.shape)
    dim %= rank
    form = form_of(x.layout) or usual(rank)
    if form[-1] != dim:
        form = (*(d for d in usual(rank) if d != dim), dim)
    made = build.in_form(
        step, kind, (build.as_form(step, x, form),), form, attributes, _prescribed(step)
    )
    return build.requantized(step, made, step.scale, step.zero_point)


def _elementwise(build: Builder, step: Step, x: Value, kind: str, attributes: Attributes) -> Value:
    shape = build.tensors[x.tensor].shape
    source = build.as_shape(step, x, shape)
    return build.emit(step, kind, (source,), shape, x.layout, attributes)


def _operand(step: Step, name: str) -> Value | Constant:
    argument: Any = step.arguments[name]
    number = number_of(argument)
    if number is not None:
        return Constant(np.array(number))
    operand = step.operands.get(argument) if isinstance(argument, Node) else None
    if operand is None:
        raise step.refused(f"its argument '{name}' is neither quantised nor constant")
    return operand


def _quantized(constant: Constant) -> Constant:
    """A constant as int8; floats are quantised symmetrically, one number exactly."""
    if constant.scale is not None:
        return constant
    largest = float(np.abs(constant.data).max()) or 1.0
    scale = np.float32(largest / 127)
    integers = np.rint(constant.data.astype(np.float64) * 127 / largest)
    return Constant(integers.astype(np.int8), np.array([scale], np.float32))


def _binary(
    build: Builder,
    step: Step,
    kind: str,
    operands: list[Value | Constant],
    attributes: Attributes,
) -> Value:
    rank = len(step.shape)
    values = [v for v in operands if isinstance(v, Value)]
    if not values:
        raise step.refused("both operands are constant; compute it before exporting")
    largest = max(values, key=lambda v: int(np.prod(v.shape)))
    layout = _padded(largest, rank).layout
    form = form_of(layout)
    if form is None and len(values) == 2 and values[0].layout == values[1].layout:
        shape = build.tensors[largest.tensor].shape
        inputs = [build.as_shape(step, v, shape) for v in values]
        return build.emit(step, kind, inputs, shape, layout, attributes)
    form = form or usual(rank)
    names = []
    for i, operand in enumerate(operands):
        if isinstance(operand, Value):
            names.append(build.as_form(step, _padded(operand, rank), form))
        else:
            constant = _quantized(operand)
            data = constant.data.reshape((1,) * (rank - constant.data.ndim) + constant.data.shape)
            names.append(_placed(build, step, replace(constant, data=data), form, f"operand{i}"))
    return build.in_form(step, kind, names, form, attributes)


def _padded(value: Value, rank: int) -> Value:
    """The value with dimensions of length 1 in front, as broadcasting sees it."""
    layout = value.layout
    dims = ((),) * (rank - len(layout.dims)) + layout.dims
    return replace(value, layout=Layout(layout.sizes, dims, layout.memory))


def _placed(build: Builder, step: Step, constant: Constant, form: Form, label: str) -> str:
    """An int8 constant of full rank as a tensor in a form."""
    assert constant.scale is not None
    if constant.scale.size != 1 or constant.data.dtype != np.int8:
        raise step.refused("its constant must be int8 with one scale")
    data = constant.data.transpose([d for d in form if d >= 0])
    for axis, d in enumerate(form):
        if d < 0:
            data = np.expand_dims(data, axis)
    name = f"{build.name_for(step.node)}.{label}"
    return build.constant(name, data, constant.scale, constant.zero_point)
