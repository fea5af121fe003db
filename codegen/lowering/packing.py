"""What the convolution family packs at compile time: weights, folded biases, requantisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Graph, Operator, Tensor
from thumbnet.codegen.kernel import Constant
from thumbnet.codegen.lowering.quantize import (
    INT32_MAX,
    activation_range,
    quantize_multipliers,
)


def pad4(n: int) -> int:
    """The next multiple of four (TN_PAD4)."""
    return (n + 3) & ~3


def pack_pairs(weights: NDArray[np.int8]) -> Constant:
    """[O, K] int8 -> the order of runtime/tn_dot.h: blocks of two channels, groups of four k.

    An odd last channel is stored twice; K is padded with zeros to a multiple of four.
    """
    channels, k = weights.shape
    if channels % 2:
        weights = np.concatenate([weights, weights[-1:]])
    padded = np.zeros((weights.shape[0], pad4(k)), np.int8)
    padded[:, :k] = weights
    groups = padded.reshape(-1, 2, pad4(k) // 4, 4)[..., [0, 2, 1, 3]]
    return Constant("int8_t", np.ascontiguousarray(groups.transpose(0, 2, 3, 1)).reshape(-1))


def constant_weights(graph: Graph, op: Operator) -> Tensor:
    """The weights of `op`; raises UnsupportedError unless constant symmetric int8."""
    weights = graph.tensors[op.inputs[1]]
    quantization = weights.quantization
    if weights.data is None or weights.dtype != "int8":
        raise UnsupportedError(
            f"{op.kind} '{op.name}': weights '{weights.name}' must be constant int8, they are "
            f"{'computed' if weights.data is None else weights.dtype}; quantise the model to int8"
        )
    if quantization is None or np.any(quantization.zero_point != 0):
        raise UnsupportedError(
            f"{op.kind} '{op.name}': weights '{weights.name}' must be quantised with zero point 0; "
            "convert the model with symmetric int8 weights"
        )
    for name in (op.inputs[0], op.outputs[0]):
        tensor = graph.tensors[name]
        if tensor.dtype != "int8" or tensor.quantization is None:
            raise UnsupportedError(
                f"{op.kind} '{op.name}': tensor '{name}' must be quantised int8, it is "
                f"{tensor.dtype}; quantise the model to int8"
            )
    return weights


def constant_bias(graph: Graph, op: Operator, channels: int) -> NDArray[np.int64]:
    """The bias of `op`, zeros when absent; raises UnsupportedError unless constant int32."""
    name = op.inputs[2] if len(op.inputs) > 2 else ""
    if not name:
        return np.zeros(channels, np.int64)
    bias = graph.tensors[name]
    if bias.data is None or bias.dtype != "int32" or bias.elements != channels:
        raise UnsupportedError(
            f"{op.kind} '{op.name}': bias '{name}' must be constant int32 with {channels} elements"
        )
    return np.asarray(bias.data, np.int64).reshape(-1)


def real_multipliers(
    x: Tensor, weights: Tensor, out: Tensor, channels: int, *, product_in_float: bool
) -> NDArray[np.float64]:
    """input scale * weight scale / output scale: one value, or one per channel.

    `product_in_float` rounds the product of a per-tensor weight scale to float32 first, as TFLite
    Micro does for FULLY_CONNECTED. Raises UnsupportedError when the number of scales fits neither.
    """
    assert weights.quantization is not None
    scale = weights.quantization.scale
    if scale.size not in (1, channels):
        raise UnsupportedError(
            f"weights '{weights.name}' have {scale.size} scales for {channels} output channels; "
            "quantise them per tensor or per output channel"
        )
    if scale.size == 1 and product_in_float:
        return np.array([np.float64(np.float32(x.scale * scale[0])) / np.float64(out.scale)])
    return np.float64(x.scale) * scale.astype(np.float64) / np.float64(out.scale)


@dataclass(frozen=True, eq=False)
class Requantization:
    """The fields that tn_requantize_s8 reads."""

    multiplier: Constant
    shift: Constant
    fast: int


def pack_requantization(
    op: Operator, real: NDArray[np.float64], largest: NDArray[np.int64]
) -> Requantization:
    """Multipliers and shifts of `real`, in the fast form where it is provably exact.

    The fast form (tn_requantize_fast) needs every multiplier >= 2**30, every shift a right shift of
    1..31, and accumulators above INT32_MIN: `largest` bounds |accumulator| for each channel.
    """
    try:
        multipliers, shifts = quantize_multipliers(real)
    except ValueError as error:
        raise UnsupportedError(f"{op.kind} '{op.name}': {error}; check its scales") from error
    fast = (
        bool(np.all(multipliers >= 2**30))
        and bool(np.all((shifts <= -1) & (shifts >= -31)))
        and bool(np.all(largest <= INT32_MAX))
    )
    if fast:
        multipliers = (2 * multipliers.astype(np.int64) - 2**32).astype(np.int32)
        shifts = -shifts
    return Requantization(
        Constant("int32_t", multipliers), Constant("int8_t", shifts.astype(np.int8)), int(fast)
    )


def fold_zero_point(
    bias: NDArray[np.int64], weights: NDArray[np.int8], zero_point: int
) -> tuple[Constant, NDArray[np.int64]]:
    """Bias of weights [O, K] with the input's zero point folded in, wrapped to int32.

    Also returns, for each channel, a bound of |accumulator| over every prefix of the sum.
    """
    wide = weights.astype(np.int64)
    folded = bias - zero_point * wide.sum(axis=1)
    largest = np.abs(folded) + 128 * np.abs(wide).sum(axis=1)
    wrapped = ((folded + 2**31) & 0xFFFFFFFF) - 2**31
    return Constant("int32_t", wrapped.astype(np.int32)), largest


def output_fields(out: Tensor, activation: str) -> dict[str, int]:
    """out_zero_point, out_min, out_max and clamp of an int8 output."""
    low, high = activation_range(activation, out.scale, out.zero_point, "int8")
    return {
        "out_zero_point": out.zero_point,
        "out_min": low,
        "out_max": high,
        "clamp": int((low, high) != (-128, 127)),
    }
