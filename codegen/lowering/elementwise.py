"""ADD, SUB, MUL, MINIMUM, MAXIMUM and PRELU: two operands, broadcast to the output's shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Activation, Graph, Operator, Tensor
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering import nest
from thumbnet.codegen.lowering.quantize import (
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
)
from thumbnet.codegen.lowering.short_sums import BYTES, short_sum

# TN_SCALE_... and the operations of tn_elementwise.h
HALF, FAST, EXACT, SHORT = range(4)
ADD, SUB, SUB_REVERSED, MUL, MINIMUM, MAXIMUM = range(6)
LITERALS = ("operation", "b_scaling", "output_scaling", "saturate", "constant_first")


@dataclass(frozen=True)
class _Scaling:
    """The quantisation fields of tn_elementwise; `swapped`: operand A is the second input."""

    operation: int
    swapped: bool = False
    a_offset: int = 0
    b_offset: int = 0
    b: tuple[int, int, int] = (HALF, 0, 0)  # scaling, multiplier, shift
    output: tuple[int, int, int] = (EXACT, 0, 0)


def lower_elementwise(graph: Graph, op: Operator) -> Kernel:
    """ADD, SUB, MUL, MINIMUM and MAXIMUM of int8 tensors, one of which may be constant."""
    inputs = [graph.tensors[name] for name in op.inputs]
    output = graph.tensors[op.outputs[0]]
    for tensor in (*inputs, output):
        if tensor.dtype != "int8":
            raise _refusal(op, tensor, f"{tensor.dtype} is not supported; quantise it to int8")
    if all(tensor.data is not None for tensor in inputs):
        raise _refusal(op, output, "both operands are constant; fold them before compiling")
    compares = op.kind in ("MINIMUM", "MAXIMUM")
    try:
        scaling = _scaling(op, inputs[0], inputs[1], output)
        low, high = (-128, 127)
        if not compares and isinstance(op.attributes, Activation):
            low, high = activation_range(
                op.attributes.activation, output.scale, output.zero_point, output.dtype
            )
    except ValueError as error:
        raise _refusal(op, output, f"{error}; requantise the model") from error
    if op.kind in ("ADD", "SUB"):
        scaling = _shortened(scaling, output.zero_point, low, high)
    a, b = reversed(inputs) if scaling.swapped else inputs

    dense = all(t.elements == output.elements and _row_count(t, output) for t in (a, b))
    placements = _placements(output, a, b)
    constant = next((t for t in (a, b) if t.data is not None), None)
    activations = [t for t in (a, b) if t.data is None]
    suffix = ("" if constant is None else "_constant") + ("" if dense else "_broadcast")
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "operation": scaling.operation,
        "b_scaling": scaling.b[0],
        "output_scaling": scaling.output[0],
        "saturate": int((low, high) == (-128, 127)),
        "constant_first": int(constant is a),
        "a_offset": scaling.a_offset,
        "b_offset": scaling.b_offset,
        "b_multiplier": scaling.b[1],
        "b_shift": scaling.b[2],
        "output_multiplier": scaling.output[1],
        "output_shift": scaling.output[2],
        "output_offset": 0 if compares else output.zero_point,
        "minimum": low,
        "maximum": high,
        "constant": 0 if constant is None or constant.data is None
        else Constant("int8_t", np.ascontiguousarray(constant.data).reshape(-1)),
        "broadcast": 0 if dense else nest.pack(op, _loops(output, a, b), *placements),
    }  # fmt: skip
    call = Call(
        function=f"tn_elementwise{suffix}_s8",
        header="tn_elementwise.h",
        layer_type="tn_elementwise",
        fields=fields,
        inputs=tuple(range(len(activations))),
        literals=LITERALS,
    )
    reads = tuple(
        _read(t, output, placement)
        for t, placement in zip((a, b), placements, strict=True)
        if t.data is None
    )
    return Kernel(op.name, op.kind, reads, output.name, (call,), band=_band(output, activations))


def lower_prelu(graph: Graph, op: Operator) -> Kernel:
    """PRELU of an int8 tensor with a constant int8 slope that broadcasts to it."""
    source, alpha = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
    output = graph.tensors[op.outputs[0]]
    for tensor in (source, alpha, output):
        if tensor.dtype != "int8":
            raise _refusal(op, tensor, f"{tensor.dtype} is not supported; quantise it to int8")
    if alpha.data is None:
        raise _refusal(op, alpha, "the slope must be constant")
    try:
        multiplier, shift = quantize_multiplier(float(source.scale) / float(output.scale))
        alpha_multiplier, alpha_shift = quantize_multiplier(
            float(source.scale) * float(alpha.scale) / float(output.scale)
        )
    except ValueError as error:
        raise _refusal(op, output, f"{error}; requantise the model") from error
    placements = _placements(output, source, alpha)
    call = Call(
        function="tn_prelu_s8",
        header="tn_prelu.h",
        layer_type="tn_prelu",
        fields={
            "input_zero_point": source.zero_point,
            "alpha_zero_point": alpha.zero_point,
            "output_zero_point": output.zero_point,
            "multiplier": multiplier,
            "shift": shift,
            "alpha_multiplier": alpha_multiplier,
            "alpha_shift": alpha_shift,
            "alpha": Constant("int8_t", np.ascontiguousarray(alpha.data).reshape(-1)),
            "loops": nest.pack(op, _loops(output, source, alpha), *placements),
        },
        inputs=(0,),
    )
    read = _read(source, output, placements[0])
    return Kernel(op.name, op.kind, (read,), output.name, (call,), band=_band(output, [source]))


def _scaling(op: Operator, first: Tensor, second: Tensor, output: Tensor) -> _Scaling:
    """Multipliers as the reference prepares them. Raises ValueError for what it refuses."""
    if op.kind in ("MINIMUM", "MAXIMUM"):
        return _Scaling(MINIMUM if op.kind == "MINIMUM" else MAXIMUM)
    s1, s2, so = float(first.scale), float(second.scale), float(output.scale)
    if op.kind == "MUL":
        real = quantize_multiplier(s1 * s2 / so)
        return _Scaling(
            MUL, False, -first.zero_point, -second.zero_point, output=_requantisation(*real)
        )
    twice = 2 * max(s1, s2)
    real_output = twice / (float(1 << 20) * so)
    smaller = quantize_multiplier(min(s1, s2) / twice)
    if real_output >= 1 or quantize_multiplier(real_output)[1] > 0:
        raise ValueError(f"output scale {so} is too fine for inputs of scale {s1} and {s2}")
    scaled_output = _requantisation(*quantize_multiplier(real_output))
    za, zb = first.zero_point, second.zero_point
    if smaller == (1 << 30, 0):  # exactly one half, as the larger scale: the order is free
        if op.kind == "ADD":
            return _Scaling(ADD, False, -(za + zb) << 19, output=scaled_output)
        return _Scaling(SUB, False, (zb - za) << 19, output=scaled_output)
    swapped = s2 > s1
    operation = ADD if op.kind == "ADD" else SUB_REVERSED if swapped else SUB
    if swapped:
        za, zb = zb, za
    # b' + a_offset is added to a, taken from a, or has a taken from it
    a_offset = -za << 19 if operation == ADD else za << 19
    return _Scaling(
        operation, swapped, a_offset, -zb << 20, _requantisation(*smaller), scaled_output
    )


def _requantisation(multiplier: int, shift: int) -> tuple[int, int, int]:
    """(FAST, doubled, right) where tn_requantize_fast is exact, else (EXACT, multiplier, shift)."""
    if multiplier >= 1 << 30 and -31 <= shift <= -1:
        return FAST, 2 * multiplier - (1 << 32), -shift
    return EXACT, multiplier, shift


def _shortened(scaling: _Scaling, zero_point: int, low: int, high: int) -> _Scaling:
    """The same sums in the short form, where that is exact for all operands."""
    real_output, outer = _multiplier(*scaling.output)
    real_a = real_b = real_output * 2.0**19
    a, b = BYTES[:, None] << 19, BYTES << 19
    if scaling.b[0] != HALF:
        real_smaller, inner = _multiplier(*scaling.b)
        real_b = real_output * 2.0**20 * real_smaller
        b = multiply_by_quantized_multiplier((BYTES << 20) + scaling.b_offset, *inner)
    minus = scaling.operation
    a_sign, b_sign = -1 if minus == SUB_REVERSED else 1, -1 if minus == SUB else 1
    half = scaling.b[0] == HALF or scaling.operation != SUB
    sums = a_sign * a + b_sign * b + (scaling.a_offset if half else -scaling.a_offset)
    outputs = multiply_by_quantized_multiplier(sums, *outer) + zero_point
    found = short_sum(outputs, a_sign * real_a, b_sign * real_b, low, high)
    if found is None:
        return scaling
    return _Scaling(ADD, scaling.swapped, found.offset, 0, (SHORT, found.b, 0), (FAST, found.a, 0))


def _multiplier(scaling: int, multiplier: int, shift: int) -> tuple[float, tuple[int, int]]:
    """The real multiplier of what _requantisation gave, and (multiplier, shift) before it."""
    if scaling == FAST:
        multiplier, shift = (multiplier + (1 << 32)) >> 1, -shift
    return multiplier * 2.0 ** (shift - 31), (multiplier, shift)


# ---- broadcasting ---------------------------------------------------------------------------


def _row_count(tensor: Tensor, output: Tensor) -> bool:
    """Whether a tensor's rows can be taken for the output's (a constant is placed by bytes)."""
    return tensor.data is not None or tensor.rows == output.rows


def _loops(output: Tensor, a: Tensor, b: Tensor) -> tuple[nest.Loop, ...]:
    """The loops inside an output row, in elements."""
    rank = len(output.shape)
    steps = zip(
        output.shape,
        nest.broadcast_strides(a.shape, rank),
        nest.broadcast_strides(b.shape, rank),
        strict=True,
    )
    loops = [nest.Loop(*step) for step in steps]
    return nest.merge(loops[2:] if nest.has_rows(output) else loops)


def _placements(output: Tensor, *operands: Tensor) -> tuple[nest.Placement, ...]:
    def place(tensor: Tensor) -> nest.Placement:
        if not nest.has_rows(output):
            return nest.Placement()
        step = nest.broadcast_strides(tensor.shape, 4)[1]
        if tensor.data is None and nest.has_rows(tensor):
            return nest.Placement(row=int(tensor.rows == output.rows))
        return nest.Placement(step=step)

    return tuple(place(tensor) for tensor in operands)


def _read(tensor: Tensor, output: Tensor, placement: nest.Placement) -> Read:
    window: RowWindow | None = RowWindow(1 if placement.row else 0, 0, 1)
    if not nest.has_rows(output):
        window = RowWindow(1, 0, 1) if tensor.rows == 1 else None
    same = tensor.elements == output.elements and tensor.rows == output.rows
    return Read(tensor.name, window, Overlap("elements", 1, 1) if same else Overlap())


def _band(output: Tensor, operands: list[Tensor]) -> str:
    rows = nest.has_rows(output) or all(tensor.rows == 1 for tensor in operands)
    return "any" if rows else "whole"


def _refusal(op: Operator, tensor: Tensor, reason: str) -> UnsupportedError:
    return UnsupportedError(f"{op.kind} '{op.name}', tensor '{tensor.name}': {reason}")
