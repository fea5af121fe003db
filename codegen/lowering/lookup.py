"""Unary operators: a table of 256 entries when the input has 8 bits, else QUANTIZE's own kernel.

Tables are computed with the reference's integer arithmetic, so a looked-up byte is the byte that
the tflite-micro wheel computes. Where that arithmetic ignores the output's quantisation (RELU6 only
clamps, TANH always writes 1/128) so does the table: the wheel decides.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor, frexp

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import DTYPE_BYTES, Graph, LeakyRelu, Operator, Tensor
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering import fixed_point
from thumbnet.codegen.lowering.quantize import (
    DTYPE_RANGE,
    INT32_MAX,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    round_half_away,
    rounding_divide_by_pot,
)

Values = NDArray[np.int64]


def table_of(graph: Graph, op: Operator) -> NDArray[np.uint8]:
    """The 256 output bytes of a unary operator, indexed by the bits of its 8-bit input.

    Raises UnsupportedError when the operator has none: input or output is not 8-bit, or the
    operator's quantisation is one that the reference refuses.
    """
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if op.kind not in _FUNCTIONS or {source.dtype, target.dtype} - {"int8", "uint8"}:
        raise _refusal(op, source, f"{source.dtype} to {target.dtype} has no table of 256 entries")
    if op.kind != "QUANTIZE" and {source.dtype, target.dtype} != {"int8"}:
        raise _refusal(op, source, "only int8 is supported; quantise the model to int8")
    for tensor in (source, target):
        if tensor.quantization is None or tensor.quantization.scale.size != 1:
            raise _refusal(op, tensor, "it needs per-tensor quantisation; requantise the model")
    bits = np.arange(256, dtype=np.uint8)
    values = (bits.view(np.int8) if source.dtype == "int8" else bits).astype(np.int64)
    try:
        result = _FUNCTIONS[op.kind](values, source, target, op)
    except ValueError as error:
        raise _refusal(op, target, f"{error}; requantise the model") from error
    low, high = DTYPE_RANGE[target.dtype]
    return np.clip(result, low, high).astype(np.int64).astype(np.uint8)


def lower_lookup(graph: Graph, op: Operator) -> Kernel:
    """RELU, RELU6, RELU_N1_TO_1, LEAKY_RELU, HARD_SWISH, LOGISTIC, TANH, ABS on int8."""
    call = Call(
        function="tn_lookup_8",
        header="tn_lookup.h",
        layer_type="tn_lookup",
        fields={"table": Constant("uint8_t", table_of(graph, op))},
        inputs=(0,),
    )
    return _unary(op, call, 4, 4)


def lower_quantize(graph: Graph, op: Operator) -> Kernel:
    """QUANTIZE among int8, uint8 and int16."""
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    for tensor in (source, target):
        if tensor.dtype not in DTYPE_RANGE:
            raise _refusal(
                op, tensor, f"{tensor.dtype} is not supported inside a model; use int8 or int16"
            )
    if DTYPE_BYTES[source.dtype] == 1 and DTYPE_BYTES[target.dtype] == 1:
        return lower_lookup(graph, op)
    try:
        multiplier, shift = quantize_multiplier(float(source.scale) / float(target.scale))
    except ValueError as error:
        raise _refusal(op, target, f"{error}; requantise the model") from error
    low, high = DTYPE_RANGE[target.dtype]
    call = Call(
        function="tn_quantize_16",
        header="tn_quantize.h",
        layer_type="tn_quantize",
        fields={
            "input_bytes": DTYPE_BYTES[source.dtype],
            "output_bytes": DTYPE_BYTES[target.dtype],
            "input_unsigned": int(source.dtype == "uint8"),
            "input_zero_point": source.zero_point,
            "multiplier": multiplier,
            "shift": shift,
            "output_zero_point": target.zero_point,
            "minimum": low,
            "maximum": high,
        },
        inputs=(0,),
        literals=("input_bytes", "output_bytes", "input_unsigned"),
    )
    return _unary(op, call, DTYPE_BYTES[source.dtype], DTYPE_BYTES[target.dtype])


def _unary(op: Operator, call: Call, input_unit: int, output_unit: int) -> Kernel:
    read = Read(op.inputs[0], RowWindow(1, 0, 1), Overlap("elements", input_unit, output_unit))
    return Kernel(op.name, op.kind, (read,), op.outputs[0], (call,))


def _refusal(op: Operator, tensor: Tensor, reason: str) -> UnsupportedError:
    return UnsupportedError(f"{op.kind} '{op.name}', tensor '{tensor.name}': {reason}")


# ---- the functions: int8 or uint8 values in, unclamped output values out ---------------------


def _requantise(values: Values, source: Tensor, target: Tensor) -> Values:
    multiplier, shift = quantize_multiplier(float(source.scale) / float(target.scale))
    scaled = multiply_by_quantized_multiplier(values - source.zero_point, multiplier, shift)
    return scaled + target.zero_point


def _quantize(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    return _requantise(values, source, target)


def _relu(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    return np.maximum(_requantise(values, source, target), target.zero_point)


def _relu_n1_to_1(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    one = round_half_away(float(np.float32(1) / target.scale))
    low, high = target.zero_point - one, target.zero_point + one
    return np.clip(_requantise(values, source, target), low, high)


def _relu6(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    six = round_half_away(float(np.float32(6) / source.scale))
    return np.clip(values, source.zero_point, min(source.zero_point + six, 127))


def _leaky_relu(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    assert isinstance(op.attributes, LeakyRelu)
    alpha = float(np.float32(op.attributes.alpha))
    slope = float(source.scale) * alpha / float(target.scale)
    sign = -1 if slope < 0 else 1
    alpha_multiplier, alpha_shift = quantize_multiplier(abs(slope))
    multiplier, shift = quantize_multiplier(float(source.scale) / float(target.scale))
    x = values - source.zero_point
    positive = multiply_by_quantized_multiplier(x, multiplier, shift)
    # of a negative slope the reference rounds halves down: minus the product of the positive one
    negative = sign * multiply_by_quantized_multiplier(x, alpha_multiplier, alpha_shift)
    return np.where(x >= 0, positive, negative) + target.zero_point


def _abs(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    x = np.abs(values - source.zero_point)
    if source.scale == target.scale:
        return x + target.zero_point
    multiplier, shift = quantize_multiplier(float(source.scale) / float(target.scale))
    return multiply_by_quantized_multiplier(x, multiplier, shift) + target.zero_point


def _q4(values: Values, source: Tensor) -> tuple[Values, int]:
    """Inputs as q(4) raw numbers, and the magnitude from which on the function is saturated."""
    fraction, shift = frexp(float(source.scale) * float(1 << 27))
    multiplier = floor(fraction * 2.0**31 + 0.5)
    if shift < -31:
        raise ValueError(f"input scale {float(source.scale)} is too small")
    radius = floor(15.0 * float(1 << 27) / 2.0**shift)  # 0 from shift 31 on: all saturated
    x = values - source.zero_point
    inside = np.where(np.abs(x) < radius, x, 0)
    multiplier, shift = min(multiplier, INT32_MAX), min(shift, 30)
    multiplied = multiply_by_quantized_multiplier(inside, multiplier, shift)
    return multiplied, radius


def _logistic(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    if target.zero_point != -128:
        raise ValueError("LOGISTIC writes zero point -128 and scale 1/256 only")
    raw, radius = _q4(values, source)
    result = rounding_divide_by_pot(fixed_point.logistic(raw, 4), 23) - 128
    return _saturate(result, values - source.zero_point, radius)


def _tanh(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    raw, radius = _q4(values, source)
    result = rounding_divide_by_pot(fixed_point.tanh(raw, 4), 24)
    return _saturate(result, values - source.zero_point, radius)


def _saturate(result: Values, x: Values, radius: int) -> Values:
    return np.where(x <= -radius, -128, np.where(x >= radius, 127, result))


def _multiplier16(real: float) -> tuple[int, int]:
    """An int16 fixed-point multiplier: real = multiplier * 2**(exponent - 15)."""
    multiplier, shift = quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, 32767), shift


def _hard_swish(values: Values, source: Tensor, target: Tensor, op: Operator) -> Values:
    fine = float(source.scale) / 128
    multiplier, exponent = _multiplier16(fine / float(target.scale))
    relu_multiplier, relu_exponent = _multiplier16(fine / (3 / 32768))
    if exponent > 0:
        raise ValueError(
            f"output scale {float(target.scale)} is more than 128 times finer than the input's"
        )
    x = ((values - source.zero_point) << 7).astype(np.int16).astype(np.int64)
    linear = _round16(x, multiplier)
    gate = x
    if relu_exponent > 0:
        gate = np.clip(gate << (relu_exponent - 1), -32768, 32767)
    gate = _round16(gate, relu_multiplier)
    if relu_exponent > 0:
        gate = np.clip(gate << 1, -32768, 32767)
    elif relu_exponent < 0:
        gate = _divide16(gate, -relu_exponent)
    gate = (gate + 32768) >> 1
    product = gate * linear
    truncated = np.where(product < 0, -((-product) >> 15), product >> 15)
    return _divide16(truncated, -exponent) + target.zero_point


def _round16(a: Values, b: int) -> Values:
    """round(a * b / 2**15) on int16 values, halves away from zero as the 16-bit twin does."""
    product = a * b
    nudge = np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    total = product + nudge
    return np.where(total < 0, -((-total) >> 15), total >> 15)


def _divide16(x: Values, exponent: int) -> Values:
    """Rounding division of int16 by a power of two; from 2**16 on the 16-bit mask is all ones."""
    return rounding_divide_by_pot(x, exponent) if exponent < 16 else np.where(x < 0, -1, 1)


_FUNCTIONS: dict[str, Callable[[Values, Tensor, Tensor, Operator], Values]] = {
    "QUANTIZE": _quantize,
    "RELU": _relu,
    "RELU_N1_TO_1": _relu_n1_to_1,
    "RELU6": _relu6,
    "LEAKY_RELU": _leaky_relu,
    "ABS": _abs,
    "LOGISTIC": _logistic,
    "TANH": _tanh,
    "HARD_SWISH": _hard_swish,
}

UNARY = frozenset(_FUNCTIONS)  # kinds that `table_of` takes
