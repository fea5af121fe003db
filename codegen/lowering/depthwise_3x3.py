"""DEPTHWISE_CONV_2D of 3x3 taps as runtime/tn_depthwise_3x3.h computes it: tiles, numbers, blocks.

A channel's output is a staircase over its accumulator x, never falling, of at most 255 steps. So a
way of requantising that is monotonic too is exact for all x if it is on both sides of each step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Convolution, Tensor
from thumbnet.codegen.kernel import Call, Constant
from thumbnet.codegen.lowering.packing import Requantization
from thumbnet.codegen.lowering.quantize import (
    INT32_MAX,
    activation_range,
    multiply_by_quantized_multiplier,
)

SHIFT = 8  # TN_DEPTHWISE_3X3_SHIFT
LARGEST_SHIFT = 22  # of channels with a shift of their own
LEAST_POWER, LARGEST_POWER = 2, 8  # of two, by which weights are multiplied with one shift
EXTRAS = 2**15  # below which the numbers are that are added to a bias


@dataclass(frozen=True, eq=False)
class Numbers:
    """Per channel: weights and bias are multiplied by 2**power, and `extra` added to the bias."""

    positive: int
    power: NDArray[np.int64]
    extra: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    addend: NDArray[np.int64]
    shift: NDArray[np.int64]  # unused where `positive`

    def output(self, x: NDArray[np.int64], channels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The output [N, ...] at accumulators `x` [N, ...] of `channels` [N]."""
        power, extra, multiplier, addend, shift = (
            values[channels].reshape(-1, *[1] * (x.ndim - 1))
            for values in (self.power, self.extra, self.multiplier, self.addend, self.shift)
        )
        scaled = (x << power) + extra
        if self.positive:
            y = (addend + ((scaled * multiplier) >> 32)) >> SHIFT
        else:
            y = (addend + ((scaled * multiplier + 2**31) >> 32) - (x < 0)) >> shift
        return np.clip(y, -128, 127)


def calls_3x3(
    x: Tensor, out: Tensor, attributes: Convolution, taps: NDArray[np.int8], exact: Requantization
) -> list[tuple[Call, int]]:
    """Calls that compute the operator, with the bytes of scratch that each takes: the fastest
    first. `taps` are [KH, KW, C]. None at all where tn_depthwise_3x3.h does not serve."""
    channels, out_w = x.shape[3], out.shape[2]
    if (
        taps.shape != (3, 3, channels)
        or channels % 4
        or attributes.dilation_w != 1
        or attributes.stride_w > 2
        or out_w < 2
        or activation_range(attributes.activation, out.scale, out.zero_point, "int8")
        != (-128, 127)
    ):
        return []
    numbers = numbers_3x3(exact, out.zero_point)
    if numbers is None:
        return []
    lead, tile = attributes.padding.left & 1, tile_3x3(out_w, attributes.stride_w)
    call = Call(
        function="tn_depthwise_3x3_s8",
        header="tn_depthwise_3x3.h",
        layer_type="tn_depthwise_3x3",
        fields={
            "in_h": x.shape[1],
            "in_w": x.shape[2],
            "c": channels,
            "out_w": out_w,
            "stride_h": attributes.stride_h,
            "stride_w": attributes.stride_w,
            "dilation_h": attributes.dilation_h,
            "pad_top": attributes.padding.top,
            "pad_left": attributes.padding.left,
            "in_zero_point": x.zero_point,
            "lead": lead,
            "tile": tile,
            "span": out_w,
            "positive": numbers.positive,
            "blocks": pack_3x3(taps, exact, numbers),
        },
        inputs=(0,),
        literals=("stride_w", "lead", "tile", "positive"),
        scratch=True,
    )
    return [
        (
            replace(call, fields={**call.fields, "span": span}),
            scratch_3x3(channels, attributes.stride_w, lead, span),
        )
        for span in sorted({out_w, tile}, reverse=True)
    ]


def tile_3x3(out_w: int, stride_w: int) -> int:
    """Pixels at a time, 2 to 8, for rows of `out_w` >= 2. A tile of n takes about the time of n + 4
    pixels."""
    tiles = range(min(out_w, 8), 1, -1)
    if stride_w == 1:  # the last tile begins at an even pixel
        tiles = tiles[::2] if (tiles[0] - out_w) % 2 == 0 else tiles[1::2]

    def cost(tile: int) -> int:
        step = tile if stride_w == 2 else tile & ~1
        return (1 - (tile - out_w) // step) * (tile + 4)

    return min(tiles, key=cost)


def scratch_3x3(channels: int, stride_w: int, lead: int, span: int) -> int:
    """TN_DEPTHWISE_3X3_SCRATCH: a strip for `span` pixels, or a table and a run of padding."""
    pairs = (lead + stride_w * (span - 1) + 4) // 2
    return max(12 + 48 * pairs, 36 + channels)


def numbers_3x3(exact: Requantization, zero_point: int) -> Numbers | None:
    """How sums become outputs of `zero_point`, without a clamp; None where no form is exact."""
    if not exact.fast or np.any(exact.largest >= 2**29):
        return None
    forms = [_any_shift(exact, zero_point)]
    if zero_point == -128:
        forms.insert(0, _positive(exact))
    return next((form for form in forms if form is not None), None)


def _true_multiplier(exact: Requantization) -> NDArray[np.int64]:
    """In [2**30, 2**31); `exact` is of the fast form."""
    return (exact.multiplier.astype(np.int64) + 2**32) >> 1


def _any_shift(exact: Requantization, zero_point: int) -> Numbers | None:
    shift = exact.shift.astype(np.int64)
    used = np.minimum(shift, LARGEST_SHIFT)
    ones = np.ones_like(shift)
    numbers = Numbers(
        0, ones, 0 * ones, _true_multiplier(exact) >> (shift - used),
        zero_point * 2**used + 2 ** (used - 1), used,
    )  # fmt: skip
    rounded = np.flatnonzero(shift > used)
    return numbers if np.all(_equal(exact, zero_point, numbers, rounded)) else None


def _positive(exact: Requantization) -> Numbers | None:
    """One shift for all channels, and negative sums rounded like positive ones: all give -128.

    The output is floor((x * true + offset) / 2**(32 + SHIFT)) with a true multiplier of up to
    2**LARGEST_POWER times 2**31. As long as it is a multiplier times 2**power, that is computed.
    Otherwise, with 2**LEAST_POWER, bits are lost: the line is exact at the bias, and of the extra
    and addend that come next to it, and of two multipliers, one is taken that is exact.
    """
    shift, bias = exact.shift.astype(np.int64), exact.bias.astype(np.int64)
    power = np.maximum(SHIFT + 1 - shift, LEAST_POWER)
    if np.any(power > LARGEST_POWER) or np.any((exact.largest << power) + EXTRAS >= 2**31):
        return None
    lost = shift - (SHIFT + 1 - power)  # bits of the multiplier
    multiplier = _true_multiplier(exact)
    offset = (2 ** (32 + SHIFT - 1)) - 2 ** (32 + SHIFT + 7) + 2 ** (31 + SHIFT - shift)
    numbers = Numbers(1, power, 0 * power, multiplier >> lost, offset >> 32, shift)
    left = np.flatnonzero(lost)
    extras = np.arange(EXTRAS)
    for up, side in product((0, 1), (0, 1)):
        for c in left:
            m = (int(multiplier[c]) >> int(lost[c])) + up
            missing = int(multiplier[c]) - (m << int(lost[c]))
            start = int(offset[c]) + (int(bias[c]) * missing << LEAST_POWER >> int(lost[c]))
            rest = (start - extras * m) & 0xFFFFFFFF
            extra = int(np.argmax(rest) if side else np.argmin(rest))
            numbers.multiplier[c], numbers.extra[c] = m, extra
            numbers.addend[c] = ((start - extra * m) >> 32) + side
        left = left[~_equal(exact, -128, numbers, left)]
    return numbers if left.size == 0 else None


def _equal(
    exact: Requantization, zero_point: int, numbers: Numbers, channels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Of each of `channels`, whether `numbers` give what `exact` gives, for all accumulators."""
    if channels.size == 0:
        return np.zeros(0, np.bool_)
    bias = exact.bias.astype(np.int64)[channels, None]
    radius = exact.largest[channels, None] - np.abs(bias)
    least, most = bias - radius, bias + radius
    multiplier = _true_multiplier(exact)[channels, None]
    shift = exact.shift.astype(np.int64)[channels, None]

    def wanted(x: NDArray[np.int64]) -> NDArray[np.int64]:
        y = zero_point + multiply_by_quantized_multiplier(x, multiplier, -shift)
        return np.clip(y, -128, 127)

    values = np.arange(-127, 128)[None, :]
    low, high = np.broadcast_arrays(least, most + 1 + 0 * values)
    while np.any(low < high):  # the least x that gives `values` or more
        middle = (low + high) >> 1
        enough = wanted(middle) >= values
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    above = (low > most) | (numbers.output(np.minimum(low, most), channels) >= values)
    below = (low <= least) | (numbers.output(np.maximum(low - 1, least), channels) < values)
    return np.all(above & below, axis=1)


def pack_3x3(taps: NDArray[np.int8], exact: Requantization, numbers: Numbers) -> Constant:
    """[3, 3, C] int8 -> a block for each channel."""
    scaled = taps.astype(np.int64) << numbers.power
    bias = (exact.bias.astype(np.int64) << numbers.power) + numbers.extra
    pairs = [(scaled[0, i], scaled[1, i]) for i in range(3)]
    pairs += [(scaled[2, i], scaled[2, i + 1]) for i in range(2)]
    words = [(low & 0xFFFF) | ((high & 0xFFFF) << 16) for low, high in pairs]
    words[3:3] = [bias, numbers.multiplier, numbers.addend]
    if not numbers.positive:
        words.append(numbers.shift)
    raw = (np.stack(words, axis=1) & 0xFFFFFFFF).astype("<u4")
    return Constant("int8_t", raw.view(np.int8).reshape(-1))
