"""SOFTMAX and L2_NORMALIZATION over the last axis."""

from __future__ import annotations

from math import floor

import numpy as np

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import DTYPE_BYTES, Graph, Operator, Softmax, Tensor
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering import fixed_point
from thumbnet.codegen.lowering.quantize import (
    INT32_MAX,
    quantize_multiplier,
    saturating_rounding_doubling_high_mul,
)

INTEGER_BITS = 5  # of the scaled difference that goes into exp
LARGEST_SOFTMAX = 4095  # values whose exponentials sum up below 2**12
LARGEST_L2 = 2**15 - 1  # values of which the sum of squares fits int32


def lower_softmax(graph: Graph, op: Operator) -> Kernel:
    """SOFTMAX, int8 to int8 (scale 1/256, zero point -128) or int16 (1/65536, -32768)."""
    assert isinstance(op.attributes, Softmax)
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if source.dtype != "int8" or output.dtype not in ("int8", "int16"):
        reason = f"{source.dtype} to {output.dtype} is not supported; quantise the model to int8"
        raise _refusal(op, source, reason)
    unit, lowest = (1 / 256, -128) if output.dtype == "int8" else (1 / 65536, -32768)
    tolerance = 0.0 if output.dtype == "int8" else 0.001 * unit
    if output.zero_point != lowest or abs(float(output.scale) - unit) > tolerance:
        raise _refusal(op, output, f"its scale must be {unit} and its zero point {lowest}")
    depth = source.shape[-1] if source.shape else 1
    if depth > LARGEST_SOFTMAX:
        raise _refusal(op, source, f"at most {LARGEST_SOFTMAX} values are normalised together")
    real = float(np.float32(op.attributes.beta)) * float(source.scale) * float(1 << 26)
    if not real > 1:
        raise _refusal(op, source, f"beta times scale is too small: {real / (1 << 26)}")
    multiplier, shift = quantize_multiplier(min(real, float(INT32_MAX)) / 2)
    shift += 1  # up to 31 here, one more than a requantisation may have
    radius = floor(31.0 * float(1 << 26) / float(1 << shift))
    differences = np.arange(min(256, radius + 1), dtype=np.int64)
    raw = saturating_rounding_doubling_high_mul(-differences << shift, multiplier)
    table = fixed_point.exp_on_negative_values(raw, INTEGER_BITS).astype(np.int32)
    output_bytes = DTYPE_BYTES[output.dtype]
    call = Call(
        function="tn_softmax_s8",
        header="tn_softmax.h",
        layer_type="tn_softmax",
        fields={
            "depth": depth,
            "output_bytes": output_bytes,
            "table_length": len(table),
            "exp_table": Constant("int32_t", table),
        },
        inputs=(0,),
        literals=("output_bytes",),
    )
    overlap = Overlap("elements", depth, depth * output_bytes)
    read = Read(source.name, RowWindow(1, 0, 1), overlap)
    return Kernel(op.name, op.kind, (read,), output.name, (call,))


def lower_l2_normalization(graph: Graph, op: Operator) -> Kernel:
    """L2_NORMALIZATION, int8 to int8 at scale 1/128 and zero point 0 whatever the tensor says."""
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    for tensor in (source, output):
        if tensor.dtype != "int8":
            raise _refusal(op, tensor, f"{tensor.dtype} is not supported; quantise it to int8")
    depth = source.shape[-1] if source.shape else 1
    if depth > LARGEST_L2:
        raise _refusal(op, source, f"at most {LARGEST_L2} values are normalised together")
    call = Call(
        function="tn_l2_normalization_s8",
        header="tn_l2_normalization.h",
        layer_type="tn_l2_normalization",
        fields={"depth": depth, "input_zero_point": source.zero_point},
        inputs=(0,),
    )
    read = Read(source.name, RowWindow(1, 0, 1), Overlap("elements", depth, depth))
    return Kernel(op.name, op.kind, (read,), output.name, (call,))


def _refusal(op: Operator, tensor: Tensor, reason: str) -> UnsupportedError:
    return UnsupportedError(f"{op.kind} '{op.name}', tensor '{tensor.name}': {reason}")
