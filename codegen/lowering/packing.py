"""What the convolution family packs at compile time: weights, folded biases, requantisation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Graph, Operator, Tensor
from thumbnet.codegen.kernel import Constant
from thumbnet.codegen.lowering.folding import Folded, fold
from thumbnet.codegen.lowering.quantize import (
    INT32_MAX,
    activation_range,
    quantize_multipliers,
)


def pad4(n: int) -> int:
    """The next multiple of four (TN_PAD4)."""
    return (n + 3) & ~3


@dataclass(frozen=True, eq=False)
class Requantization:
    """Per output channel: folded bias, and multiplier and shift as tn_requantize_s8 takes them."""

    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int8]
    fast: int
    largest: NDArray[np.int64]  # magnitude of an accumulator, whatever the input


@dataclass(frozen=True, eq=False)
class Blocks:
    """Weights [O, ..., K] of a convolution or dense layer as runtime/tn_dot.h has them."""

    joined: int
    fast: int  # 2: folded
    begin: NDArray[np.int8]  # [N, TN_BLOCK_BEGIN], by blocks of four channels
    weights: NDArray[np.int8]  # [N, ..., 4 * pad4(K)]
    end: NDArray[np.int8]  # [N, TN_BLOCK_END]

    @property
    def tiled(self) -> bool:
        """Whether the tiles of runtime/tn_dot.h compute such a layer."""
        return bool(self.joined and self.fast)


def blocks_of(
    weights: NDArray[np.int8], requantization: Requantization, output: dict[str, int]
) -> Blocks:
    """`weights` are [O, K], or [O, H, K] of H rows whose sums are taken one by one; `output` as
    output_fields has it."""
    by_rows = weights.ndim == 3
    largest = requantization.largest
    if by_rows:
        largest = 128 * np.abs(weights.astype(np.int64)).sum(axis=2).max(axis=1)
    lanes = _by_fours(weights)
    joined_weights = lanes[:, 0::2] + 256 * lanes[:, 1::2]  # [N, 2, ..., K]
    joined = bool(
        np.all(joined_weights >= -(2**15))
        and np.all(joined_weights < 2**15)
        and np.all(_by_fours(largest)[:, 1::2] < 2**23)
    )
    bias, fast = _by_fours(requantization.bias), requantization.fast
    end = [*_by_fours(requantization.multiplier).T, _shift_words(requantization.shift)]
    end.append(np.zeros_like(end[0]))
    if joined and not by_rows:
        bias[:, 1::2] *= 256
        if folded := _folded(requantization, output):
            fast = 2
            bias += _by_fours(folded.offset)
            multiplier, addend = _by_fours(folded.multiplier), _by_fours(folded.addend)
            first, second, third, fourth = multiplier.T
            end = [first, addend[:, 0], second, third, addend[:, 2], fourth]
        bias[:, 1::2] += bias[:, 0::2]
    k = weights.shape[-1]
    padded = np.zeros((*joined_weights.shape[:-1], pad4(k)), np.int64)
    padded[..., :k] = joined_weights
    groups = padded.reshape(*padded.shape[:-1], pad4(k) // 4, 2, 2)  # of four k: [half, odd]
    words = np.moveaxis(np.moveaxis(groups, 1, -1), -3, -1)  # [..., odd, channels, half]
    return Blocks(
        int(joined),
        fast,
        _raw(bias, "<u4"),
        _raw(words.reshape(*words.shape[:-4], -1), "<u2"),
        _raw(np.stack(end, axis=1), "<u4"),
    )


def _folded(requantization: Requantization, output: dict[str, int]) -> Folded | None:
    """The requantisation folded, where that can be."""
    if not requantization.fast or (output["out_min"], output["out_max"]) != (-128, 127):
        return None
    multiplier = (requantization.multiplier.astype(np.int64) + 2**32) // 2
    shift = requantization.shift.astype(np.int64)
    return fold(multiplier, shift, output["out_zero_point"], requantization.largest)


def _shift_words(shift: NDArray[np.int8]) -> NDArray[np.int64]:
    """[O] -> [N]: the shifts of four channels as the bytes of a word."""
    return (_by_fours(shift) & 255) @ np.array([1, 2**8, 2**16, 2**24])


def pack_blocks(blocks: Blocks) -> Constant:
    """Blocks of [O, K], one after the other."""
    parts = [blocks.begin, blocks.weights, blocks.end]
    return Constant("int8_t", np.concatenate(parts, axis=1).reshape(-1))


def pack_words(blocks: Blocks, words: int) -> Constant:
    """The same of the first `words` pairs of k, for tn_straight.h."""
    return pack_blocks(replace(blocks, weights=blocks.weights[:, : 8 * words]))


NATURAL_ORDER = [0, 2, 1, 3]  # of four k, for blocks_of to make pairs (0, 1), (2, 3) of them


def straight_form(blocks: Blocks, output: dict[str, int]) -> int | None:
    """LONG of tn_straight.h, or None where it has no tiles for such blocks."""
    if not blocks.tiled:
        return None
    if blocks.fast == 2:
        return 0
    return 1 if (output["out_min"], output["out_max"]) == (-128, 127) else None


def unrolled(words: int, out_c: int) -> int:
    """Blocks a turn of an unrolled tile of tn_straight.h: the most of little code."""
    fitting = [n for n in (8, 4, 2) if out_c % (4 * n) == 0 and n * straight_code(words) <= 9000]
    return fitting[0] if fitting else 1


def straight_code(words: int) -> int:
    """Bytes of a tile of tn_straight.h in assembly, about."""
    return 370 + 56 * words


def pack_eights(blocks: Blocks) -> Constant:
    """The same with each two blocks joined as tn_fully_connected.h has it, a last one alone."""
    joined = len(blocks.weights) & ~1
    parts = [
        blocks.begin[:joined].reshape(joined // 2, -1),
        # [N / 2, pairs of k, two blocks, the words of a pair]
        blocks.weights[:joined]
        .reshape(joined // 2, 2, -1, 8)
        .swapaxes(1, 2)
        .reshape(joined // 2, -1),
        blocks.end[:joined].reshape(joined // 2, -1),
    ]
    last = [part[joined:] for part in (blocks.begin, blocks.weights, blocks.end)]
    ends = [np.concatenate(each, axis=1).reshape(-1) for each in (parts, last)]
    return Constant("int8_t", np.concatenate(ends))


def pack_row_blocks(blocks: Blocks) -> tuple[Constant, Constant]:
    """Blocks of [O, H, K]: ends and weights of tn_fully_connected_rows."""
    return (
        Constant("int8_t", np.concatenate([blocks.begin, blocks.end], axis=1).reshape(-1)),
        Constant("int8_t", blocks.weights.swapaxes(0, 1).reshape(-1)),
    )


def _by_fours(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """[O, ...] -> [N, 4, ...], channels that lack are zeros."""
    channels = np.zeros((pad4(len(values)), *values.shape[1:]), np.int64)
    channels[: len(values)] = values
    return channels.reshape(-1, 4, *values.shape[1:])


def _raw(values: NDArray[np.int64], dtype: str) -> NDArray[np.int8]:
    """The bytes of `values` modulo the unsigned type `dtype`, along the last axis."""
    bits = 8 * np.dtype(dtype).itemsize
    unsigned = (values & (2**bits - 1)).astype(dtype)
    return np.ascontiguousarray(unsigned).view(np.int8)


def pack_depthwise(taps: NDArray[np.int8], requantization: Requantization) -> Constant:
    """[KH * KW, C] int8 -> groups of four channels, for tn_depthwise_conv_2d.h."""
    count, channels = taps.shape
    order = np.minimum(np.arange(pad4(channels)), channels - 1).reshape(-1, 4)
    weights = taps[:, order].transpose(1, 0, 2)  # [N, taps, 4]
    pairs = weights[:, : count & ~1].reshape(len(order), -1, 2, 2, 2)  # [N, pairs, tap, half, 2]
    words = [pairs.swapaxes(2, 3).reshape(len(order), -1), weights[:, count & ~1 :, :]]
    numbers = (
        np.ascontiguousarray(values[order].astype("<i4")).view(np.int8)
        for values in (requantization.bias, requantization.multiplier)
    )
    bias, multiplier = numbers
    parts = [bias, *(w.reshape(len(order), -1) for w in words), multiplier]
    shift = requantization.shift[order].astype(np.int8)
    return Constant("int8_t", np.concatenate([*parts, shift], axis=1).reshape(-1))


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


def requantization(
    op: Operator,
    real: NDArray[np.float64],
    bias: NDArray[np.int64],
    weights: NDArray[np.int8],
    zero_point: int,
) -> Requantization:
    """Fold the input's zero point into `bias` and quantise `real`; weights are [O, K].

    The fast form (tn_requantize_fast) is chosen where it is provably exact: every multiplier
    >= 2**30, every shift a right shift of 1..31, and no sum that leaves the range of int32.
    """
    channels = len(weights)
    try:
        multiplier, shift = quantize_multipliers(np.broadcast_to(real, (channels,)))
    except ValueError as error:
        raise UnsupportedError(f"{op.kind} '{op.name}': {error}; check its scales") from error
    wide = weights.astype(np.int64)
    folded = bias - zero_point * wide.sum(axis=1)
    largest = np.abs(folded) + 128 * np.abs(wide).sum(axis=1)
    fast = (
        bool(np.all(multiplier >= 2**30))
        and bool(np.all((shift <= -1) & (shift >= -31)))
        and bool(np.all(largest <= INT32_MAX))
    )
    if fast:
        multiplier = (2 * multiplier.astype(np.int64) - 2**32).astype(np.int32)
        shift = -shift
    wrapped = ((folded + 2**31) & 0xFFFFFFFF) - 2**31
    return Requantization(
        wrapped.astype(np.int32), multiplier, shift.astype(np.int8), int(fast), largest
    )


def output_fields(out: Tensor, activation: str) -> dict[str, int]:
    """out_zero_point, out_min and out_max of an int8 output."""
    low, high = activation_range(activation, out.scale, out.zero_point, "int8")
    return {
        "out_zero_point": out.zero_point,
        "out_min": low,
        "out_max": high,
    }
