"""DEPTHWISE_CONV_2D of 5x5 and 7x7 taps: tn_depthwise_lanes.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import Call, Constant
from thumbnet.codegen.lowering.depthwise_square import Scratched, blocks_of_words, true_multiplier
from thumbnet.codegen.lowering.folding import bounds, first_steps, narrow
from thumbnet.codegen.lowering.packing import Requantization

LANE = 21  # bits
LARGEST_SHIFT = 12  # bounds of offsets stay within folding.NO_STEP
LARGEST_POWER = 2  # of two, by which weights are multiplied
NEAR = np.arange(-4, 5)  # multipliers around the true one that are tried
MOST_ROWS = 28  # TN_DEPTHWISE_LANES_MOST
MOST_CHANNELS = 1020  # offsets of instructions reach two pixels of int16


@dataclass(frozen=True, eq=False)
class Lanes:
    """Per channel: weights are multiplied by 2**power; what accumulators begin with; and how lanes
    become outputs with `shift`."""

    shift: int
    power: NDArray[np.int64]
    begin: NDArray[np.uint64]
    multiplier: NDArray[np.int64]
    addend: NDArray[np.int64]


def lanes_call(
    call: Call, taps: NDArray[np.int8], exact: Requantization, out: Tensor
) -> Scratched | None:
    """The call of tn_depthwise_lanes.h that does what `call` of tn_depthwise_rows.h does, and its
    bytes of scratch, for `taps` [KH, KW, C]; None where it does not serve."""
    kernel, stride, out_w, in_w, pad_left, channels = (
        _number(call, name) for name in ("kernel", "stride_w", "out_w", "in_w", "pad_left", "c")
    )
    lead = pad_left % 4
    if (
        kernel < 5
        or call.fields["clamp"]
        or out.zero_point != -128
        or in_w < -lead % 4
        or channels > MOST_CHANNELS
    ):
        return None
    square = np.zeros((kernel, kernel, channels), np.int64)
    square[: taps.shape[0], : taps.shape[1]] = taps
    skips = _skips(call, out.shape[1])
    numbers = lane_numbers(square, stride, exact, _number(call, "in_zero_point") if skips else 0)
    if numbers is None:
        return None
    fours = (stride * (out_w - 1) + kernel + 3) // 4
    rows = min((out.shape[1] - 1) * _number(call, "stride_h") + kernel, MOST_ROWS)
    rest = (min(in_w, 4 * fours - pad_left) - -lead % 4) % 4
    return (
        replace(
            call,
            function="tn_depthwise_lanes_s8",
            header="tn_depthwise_lanes.h",
            fields={**call.fields, "blocks": _pack(square << numbers.power, stride, numbers)},
            numbers=(kernel, stride, out_w, lead, rest, rows, channels, skips, numbers.shift, 0),
            assembly=_code(kernel, out_w),
            literals=(),
        ),
        max(12 + 32 * rows * fours, 4 * kernel * kernel + channels),
    )


def _number(call: Call, name: str) -> int:
    value = call.fields[name]
    assert isinstance(value, int)
    return value


def _skips(call: Call, out_h: int) -> int:
    """Whether it pays to leave out rows outside of the input: a tile then takes about as long as
    two thirds of a row more."""
    kernel, in_h, stride, pad = (
        _number(call, name) for name in ("kernel", "in_h", "stride_h", "pad_top")
    )
    first = np.arange(out_h) * stride - pad
    outside = np.maximum(-first, 0) + np.maximum(first + kernel - in_h, 0)
    return int(3 * outside.sum() > 2 * out_h)


def _code(kernel: int, out_w: int) -> int:
    """Bytes of a function of tn_depthwise_lanes_armv7em.h, about."""
    pairs = out_w // 2
    accumulators = pairs + 1 if pairs < 3 else 3 * min(pairs // 3, 2) + pairs % 3 + 1
    return 240 + accumulators * (41 * kernel - 30)


def words_of_taps(kernel: int, stride_w: int) -> list[tuple[int, int]]:
    """The columns of low and high taps of a row's words; `kernel` or more where there is none."""
    return [
        (begin + 2 * stride_w * i + stride_w, begin + 2 * stride_w * i)
        for begin in range(stride_w)
        for i in range(-(-(kernel - begin) // (2 * stride_w)))
    ]


def lane_numbers(
    taps: NDArray[np.int64], stride_w: int, exact: Requantization, zero: int = 0
) -> Lanes | None:
    """For `taps` [K, K, C] of inputs less `zero`, outputs of zero point -128; None where some
    channel has none."""
    if not exact.fast or np.any(exact.largest >= 2**29):
        return None
    least = int(exact.shift.min()) - 1
    tried = (
        _lanes(taps, stride_w, exact, zero, shift)
        for shift in range(max(least, 1), min(least + LARGEST_POWER, LARGEST_SHIFT) + 1)
    )
    return next((lanes for lanes in tried if lanes is not None), None)


def _lanes(
    taps: NDArray[np.int64], stride_w: int, exact: Requantization, zero: int, shift: int
) -> Lanes | None:
    """The same with a shift. Multipliers are of 2^-(32 + shift); weights of channels where they
    would be 2^31 or more are multiplied by a power of two.

    Lane 1 is accumulator + offset; what begins lanes 0 and 2 adds up to what begins lane 1, so that
    odd pixels are the same. The offset is at least what makes lanes non-negative.
    """
    true, right = true_multiplier(exact), exact.shift.astype(np.int64)
    power = np.maximum(shift + 1 - right, 0)
    lost = right + power - (shift + 1)  # bits of the multiplier
    low_columns = [low for low, _ in words_of_taps(len(taps), stride_w) if low < len(taps)]
    least, most = _interval(taps << power, zero)
    least_0, _ = _interval(taps[:, low_columns] << power, zero)
    steps = first_steps(true, right, -128, exact.largest)
    bias = (exact.bias.astype(np.int64) + zero * taps.sum((0, 1))) << power
    multiplier, addend, begin = np.zeros_like(true), np.zeros_like(true), np.zeros_like(true)
    for c, largest in enumerate(exact.largest):
        tried = (true[c] >> lost[c]) + NEAR
        tried = tried[tried < 2**31]
        first = int(-least[c] - bias[c])  # the least offset
        low, high = bounds(steps[c], int(largest), tried, 1 << int(power[c]), 1 << (32 + shift))
        low, high = low - first * tried, high - first * tried
        for i in np.argsort(low - high):
            found = narrow(int(low[i]), int(high[i]), int(tried[i]))
            if found is None or found[0] + most[c] - least[c] >= 2**LANE:
                continue
            multiplier[c], begin[c], addend[c] = tried[i], found[0] - least[c], found[1]
            break
        else:
            return None
    lanes = (-least_0, begin, begin + least_0)
    words = sum(lane.astype(np.uint64) << np.uint64(LANE * i) for i, lane in enumerate(lanes))
    return Lanes(shift, power, np.asarray(words, np.uint64), multiplier, addend)


def _interval(taps: NDArray[np.int64], zero: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The least and the largest sum of `taps` [KH, KW, C] by inputs -128..127 less `zero`, by
    channel."""
    positive, negative = np.maximum(taps, 0).sum((0, 1)), np.minimum(taps, 0).sum((0, 1))
    low, high = -128 - zero, 127 - zero
    return high * negative + low * positive, high * positive + low * negative


def _pack(taps: NDArray[np.int64], stride_w: int, numbers: Lanes) -> Constant:
    """[K, K, C] -> a block for each channel."""
    kernel = len(taps)
    padded = np.pad(taps, [(0, 0), (0, stride_w), (0, 0)])
    begin = numbers.begin
    words = [(begin >> np.uint64(n)).astype(np.uint32).astype(np.int64) for n in (0, 32)]
    words += [numbers.multiplier, numbers.addend]
    words += [
        row[low] + (row[high] << LANE)
        for row in padded
        for low, high in words_of_taps(kernel, stride_w)
    ]
    return blocks_of_words(words)
