"""DEPTHWISE_CONV_2D of 3x3, 5x5 and 7x7 taps: tn_depthwise_square.h and tn_depthwise_rows.h.

A channel's output is a staircase over its accumulator x, never falling, of at most 255 steps. So a
way of requantising that is monotonic too is exact for all x if it is on both sides of each step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Convolution, Tensor
from thumbnet.codegen.kernel import Call, Constant
from thumbnet.codegen.lowering.folding import bounds, first_steps, narrow
from thumbnet.codegen.lowering.packing import Requantization
from thumbnet.codegen.lowering.quantize import (
    activation_range,
    multiply_by_quantized_multiplier,
)

SHIFT = 8  # TN_DEPTHWISE_SHIFT
LARGEST_SHIFT = 22  # of channels with a shift of their own
LEAST_POWER, LARGEST_POWER = 2, 8  # of two, by which weights are multiplied with one shift
ROWS_OF_BAND = 16  # TN_DEPTHWISE_ROWS_BAND
FEWER_ROWS = (6, 4, 2)  # of output in a band, where memory is short
EXTRAS = 2**20  # below which the numbers are that are added to a bias
NEAR = np.arange(-4, 5)  # multipliers around the true one that are tried


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


Scratched = tuple[Call, int]  # with the bytes of scratch that it takes


def square_calls(
    x: Tensor, out: Tensor, attributes: Convolution, taps: NDArray[np.int8], exact: Requantization
) -> tuple[list[Scratched], list[Scratched]]:
    """Calls that compute the operator of `taps` [KH, KW, C]: of tn_depthwise_square.h, the fastest
    first, and of tn_depthwise_rows.h. None at all where they do not serve."""
    channels, out_w = x.shape[3], out.shape[2]
    kernel_h, kernel_w = taps.shape[:2]
    kernel = max(kernel_h, kernel_w, 2) | 1
    if (
        kernel > 7
        or kernel * kernel > 3 * kernel_h * kernel_w
        or taps.shape[2] != channels
        or channels % 4
        or attributes.dilation_w != 1
        or attributes.stride_w > 2
        or out_w < 2
    ):
        return [], []
    numbers = square_numbers(exact, out.zero_point)
    if numbers is None:
        return [], []
    low, high = activation_range(attributes.activation, out.scale, out.zero_point, "int8")
    square = np.zeros((kernel, kernel, channels), np.int8)
    square[:kernel_h, :kernel_w] = taps
    lead = attributes.padding.left & 1
    tile = square_tile(out_w, attributes.stride_w, 8, 4 if kernel == 3 else 2)
    call = Call(
        function=f"tn_depthwise_{kernel}x{kernel}_s8",
        header=f"tn_depthwise_{kernel}x{kernel}.h",
        layer_type="tn_depthwise_square",
        fields={
            "in_h": x.shape[1],
            "in_w": x.shape[2],
            "c": channels,
            "out_w": out_w,
            "kernel": kernel,
            "stride_h": attributes.stride_h,
            "stride_w": attributes.stride_w,
            "dilation_h": attributes.dilation_h,
            "pad_top": attributes.padding.top,
            "pad_left": attributes.padding.left,
            "in_zero_point": x.zero_point,
            "clamp": int((low, high) != (-128, 127)),
            "out_min": low,
            "out_max": high,
            "lead": lead,
            "tile": tile,
            "span": out_w,
            "positive": numbers.positive,
            "widened": 0,
            "blocks": pack_square(square, attributes.stride_w, exact, numbers),
        },
        inputs=(0,),
        literals=("stride_w", "lead", "tile", "positive", "widened", "clamp"),
        scratch=True,
    )
    spans = [
        (
            replace(call, fields={**call.fields, "span": span}),
            square_scratch(channels, kernel, attributes.stride_w, lead, span),
        )
        for span in sorted({out_w, tile}, reverse=True)
    ]
    below = (out.shape[1] - 1) * attributes.stride_h - attributes.padding.top  # first row of last
    if (
        attributes.dilation_h != 1
        or attributes.stride_h > 2
        or max(attributes.padding.top, attributes.padding.left) >= kernel
        or not 2 <= x.shape[1] > below
    ):
        return spans, []
    return spans, _rows_calls(call, out, attributes, square, exact, numbers)


def _rows_calls(
    call: Call,
    out: Tensor,
    attributes: Convolution,
    square: NDArray[np.int8],
    exact: Requantization,
    numbers: Numbers,
) -> list[Scratched]:
    """The calls of tn_depthwise_rows.h that do the same, those of most rows first. `square`:
    [K, K, C]."""
    kernel, _, channels = square.shape
    stride_w, (out_h, out_w) = attributes.stride_w, out.shape[1:3]
    most = (ROWS_OF_BAND - kernel) // attributes.stride_h + 1
    fields = {
        **call.fields,
        "tile": square_tile(out_w, stride_w, 8 if kernel == 3 else 6, 2),
        "blocks": _pack_rows(square, exact, numbers),
    }
    scratch = rows_scratch(channels, kernel, stride_w, out_w)
    return [
        (
            replace(
                call,
                function=f"tn_depthwise_rows_{kernel}x{kernel}_s8",
                header=f"tn_depthwise_rows_{kernel}x{kernel}.h",
                fields={**fields, "span": rows},
                literals=("stride_w", "tile", "positive", "widened"),
            ),
            scratch,
        )
        for rows in sorted({min(n, most, out_h) for n in (most, *FEWER_ROWS)}, reverse=True)
    ]


def square_tile(out_w: int, stride_w: int, most: int, alone: int) -> int:
    """Pixels at a time, 2 to `most`, for rows of `out_w` >= 2: those that take least time where a
    tile takes about the time of `alone` pixels more."""
    tiles = range(min(out_w, most), 1, -1)
    if stride_w == 1:  # the last tile begins at an even pixel
        tiles = tiles[(tiles[0] - out_w) % 2 :: 2]

    def cost(tile: int) -> int:
        step = tile if stride_w == 2 else tile & ~1
        return (1 - (tile - out_w) // step) * (tile + alone)

    return min(tiles, key=cost)


def square_scratch(channels: int, kernel: int, stride_w: int, lead: int, span: int) -> int:
    """TN_DEPTHWISE_SQUARE_SCRATCH: a strip for `span` pixels, or a table and a run of padding."""
    pairs = (lead + stride_w * (span - 1) + kernel + 1) // 2
    return max(12 + 16 * kernel * pairs, 4 * kernel * kernel + channels)


def rows_scratch(channels: int, kernel: int, stride_w: int, out_w: int) -> int:
    """TN_DEPTHWISE_ROWS_SCRATCH: a strip of all columns of a band, or a table and padding."""
    pairs = (stride_w * (out_w - 1) + kernel + 1) // 2
    return max(12 + 16 * ROWS_OF_BAND * pairs, 4 * kernel * kernel + channels)


def square_numbers(exact: Requantization, zero_point: int) -> Numbers | None:
    """How sums become outputs of `zero_point`, before a clamp; None where no form is exact."""
    if not exact.fast or np.any(exact.largest >= 2**29):
        return None
    forms = [_any_shift(exact, zero_point)]
    if zero_point == -128:
        forms.insert(0, _positive(exact))
    return next((form for form in forms if form is not None), None)


def true_multiplier(exact: Requantization) -> NDArray[np.int64]:
    """In [2**30, 2**31); `exact` is of the fast form."""
    return (exact.multiplier.astype(np.int64) + 2**32) >> 1


def _any_shift(exact: Requantization, zero_point: int) -> Numbers | None:
    shift = exact.shift.astype(np.int64)
    used = np.minimum(shift, LARGEST_SHIFT)
    ones = np.ones_like(shift)
    numbers = Numbers(
        0, ones, 0 * ones, true_multiplier(exact) >> (shift - used),
        zero_point * 2**used + 2 ** (used - 1), used,
    )  # fmt: skip
    rounded = np.flatnonzero(shift > used)
    return numbers if np.all(_equal(exact, zero_point, numbers, rounded)) else None


def _positive(exact: Requantization) -> Numbers | None:
    """One shift for all channels, and negative sums rounded like positive ones: all give -128.

    The output is floor((X * multiplier + addend * 2**32) / 2**(32 + SHIFT)), X the accumulator
    times 2**power plus an extra. Multipliers next to the true one are tried; of each, extra and
    addend are looked for that put all steps at their places.
    """
    shift = exact.shift.astype(np.int64)
    power = np.maximum(SHIFT + 1 - shift, LEAST_POWER)
    if np.any(power > LARGEST_POWER) or np.any((exact.largest << power) + EXTRAS >= 2**31):
        return None
    true, lost = true_multiplier(exact), shift - (SHIFT + 1 - power)  # bits of the multiplier
    steps = first_steps(true, shift, -128, exact.largest)
    numbers = Numbers(1, power, 0 * power, 0 * power, 0 * power, shift)
    for c, largest in enumerate(exact.largest):
        tried = (true[c] >> lost[c]) + NEAR
        low, high = bounds(steps[c], int(largest), tried, 1 << int(power[c]), 1 << (32 + SHIFT))
        for i in np.argsort(low - high):
            found = narrow(int(low[i]), int(high[i]), int(tried[i]))
            if found is not None and found[0] < EXTRAS:
                numbers.multiplier[c] = tried[i]
                numbers.extra[c], numbers.addend[c] = found
                break
        else:
            return None
    return numbers


def _equal(
    exact: Requantization, zero_point: int, numbers: Numbers, channels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Of each of `channels`, whether `numbers` give what `exact` gives, for all accumulators."""
    if channels.size == 0:
        return np.zeros(0, np.bool_)
    bias = exact.bias.astype(np.int64)[channels, None]
    radius = exact.largest[channels, None] - np.abs(bias)
    least, most = bias - radius, bias + radius
    multiplier = true_multiplier(exact)[channels, None]
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


def column_order(kernel: int, stride_w: int) -> list[int]:
    """tn_depthwise_order: the columns of the weights of a pair of rows."""
    if stride_w == 1 or kernel == 3:
        return list(range(kernel))
    return [0, 2, 4, 1, 3] if kernel == 5 else [1, 3, 5, 0, 2, 4, 6]


def pack_square(
    taps: NDArray[np.int8], stride_w: int, exact: Requantization, numbers: Numbers
) -> Constant:
    """[K, K, C] int8 -> a block for each channel."""
    kernel = len(taps)
    scaled = taps.astype(np.int64) << numbers.power
    last = scaled[-1]
    words = [
        _pair(scaled[row, column], scaled[row + 1, column])
        for row in range(0, kernel - 1, 2)
        for column in column_order(kernel, stride_w)
    ]
    words.insert(3, (exact.bias.astype(np.int64) << numbers.power) + numbers.extra)
    words += [numbers.multiplier, numbers.addend]
    words += [_pair(last[i], last[i + 1]) for i in (0, *range(1, kernel - 1, 2))]
    if not numbers.positive:
        words.append(numbers.shift)
    return blocks_of_words(words)


def _pack_rows(taps: NDArray[np.int8], exact: Requantization, numbers: Numbers) -> Constant:
    """[K, K, C] int8 -> a block of tn_depthwise_rows.h for each channel."""
    scaled = taps.astype(np.int64) << numbers.power
    pairs = {3: [(0, 1), (1, 2)], 5: [(0, 1), (3, 2), (4, 4)], 7: [(0, 1), (3, 2), (4, 5), (6, 6)]}
    words = [_pair(row[i], row[j]) for row in scaled for i, j in pairs[len(taps)]]
    words.append((exact.bias.astype(np.int64) << numbers.power) + numbers.extra)
    words += [numbers.multiplier, numbers.addend]
    if not numbers.positive:
        words.append(numbers.shift)
    return blocks_of_words(words)


def _pair(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    return (low & 0xFFFF) | ((high & 0xFFFF) << 16)


def blocks_of_words(words: list[NDArray[np.int64]]) -> Constant:
    """Of each channel the 32 low bits of `words`."""
    raw = (np.stack(words, axis=1) & 0xFFFFFFFF).astype("<u4")
    return Constant("int8_t", raw.view(np.int8).reshape(-1))
