"""CONV_2D: tn_conv_2d.h, tn_pointwise_conv_2d.h, tn_strip_conv_2d.h and their tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.loop_counts.work import Work, count_outputs, rows_inside


# ---- tn_dot.h ----------------------------------------------------------------------------------
def _tile(work: Work, name: str, times: float, groups: int, turn: int) -> None:
    """tn_tile_2, tn_tile_taps or tn_tile_1 in assembly; `turn` groups a turn."""
    out_c = work.number("out_c")
    blocks = times * -(-out_c // 4)
    work.add(name, times)
    work.add(f"{name}.folded" if work.number("fast_requantize") == 2 else f"{name}.block", blocks)
    work.add(f"{name}.clamp", blocks if work.clamps else 0)
    work.add(f"{name}.long", blocks if work.number("fast_requantize") == 1 else 0)
    work.add(f"{name}.turn", blocks * -(-groups // turn))
    work.add(f"{name}.group", blocks * groups)
    work.add(f"{name}.rest", times * (out_c % 4))


def dot_4(work: Work, times: float, groups: int) -> None:
    work.add("dot_4", times)
    work.add("dot_4.joined" if work.number("joined") else "dot_4.apart", times * groups)


def tile_column(work: Work, times: float, k: int) -> None:
    """One pixel from bytes."""
    if work.number("tiles"):
        _tile(work, "tile_1", times, -(-k // 4), turn=8)
        return
    work.add("tile_bytes", times)
    dot_4(work, times * -(-work.number("out_c") // 4), -(-k // 4))
    count_outputs(work, "tile_bytes", times * work.number("out_c"))


def _widen_2(work: Work, times: float, n: int) -> None:
    work.add("widen_2", times)
    work.add("widen_2.four", times * (n // 4))
    work.add(f"widen_2.tail_{n % 4}", times if n % 4 else 0)


# ---- tn_conv_2d.h ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Output pixels of all steps of a convolution, by how they are computed; arrays by x."""

    calls: NDArray[np.float64]  # that begin there, of pairs whose columns the assembly gathers
    pairs: float  # of them
    alone: NDArray[np.float64]  # pixels of pairs whose columns C gathers, each by itself
    single: NDArray[np.float64]


def _conv_2d_pixels(work: Work) -> _Pixels:
    """As tn_conv_2d_s8 goes through the pixels of a step."""
    out_w, left, right = work.numbers("out_w", "left", "right")
    taps = work.number("taps")
    calls, alone, single = (np.zeros(out_w) for _ in range(3))
    total = 0.0
    for height, n in work.heights.items():
        x, pixels = 0, height * out_w
        while pixels > 0:
            pairs, done = 0, 1
            if work.number("tiles") == 2:
                if x >= left:
                    pairs = max(0, right - x) // 2
                if pairs:
                    calls[x % out_w] += n
                    total += n * pairs
                    done = 2 * pairs
                elif pixels > 1 and (not taps or x + 1 < out_w):
                    alone[[x % out_w, (x + 1) % out_w]] += n
                    done = 2
            if done == 1:
                single[x % out_w] += n
            pixels -= done
            x += done
            x %= out_w
    return _Pixels(calls, total, alone, single)


def conv_2d(work: Work) -> None:
    word_taps, taps, width = work.numbers("word_taps", "taps", "width")
    runs, groups = work.numbers("runs", "groups")
    form = "taps" if taps else "words" if word_taps else "bytes"
    pixels = _conv_2d_pixels(work)
    calls, any_pairs = float(pixels.calls.sum()), float(pixels.alone.sum()) / 2
    singles = float(pixels.single.sum())
    work.add(f"conv.{form}.run", work.steps)
    work.add(f"conv.{form}.row", work.rows)
    work.add(f"conv.{form}.call", calls)
    work.add(f"conv.{form}.pair", any_pairs)
    work.add(f"conv.{form}.single", singles)
    tile, turn, size = ("tile_taps", 8, groups // 3) if taps else ("tile_2", 16, groups)
    work.add(f"{tile}.call", calls + any_pairs)
    _tile(work, tile, pixels.pairs + any_pairs, size, turn)
    tile_column(work, singles, 4 * groups)
    rows_in, rows_out = rows_inside(work)
    share = rows_in / (rows_in + rows_out)
    work.add("conv.inside.run", calls * runs * share)
    work.add("conv.inside.ring", calls * work.number("kernel_h") * share * work.in_ring)
    work.add("conv.inside.pad", calls * runs * (1 - share) * width * (2 if taps else 1))
    if taps:
        work.add("gather.taps.row", pixels.pairs * runs * share)
        work.add("gather.taps.word", pixels.pairs * runs * share * width / 4)
        work.add("conv.taps.word", any_pairs * 4 * runs * width / 4)
        work.add("conv.taps.single.word", singles * groups)
        return
    _gather_runs(work, pixels.pairs * runs * share, width)
    if 4 * groups > runs * width:
        work.add("gather.last", pixels.pairs * runs * share)
    if word_taps:
        _gather_words(work, pixels.alone, share)
        _gather_bytes(work, pixels.single, share)
    else:
        _gather_bytes(work, pixels.alone + pixels.single, share)
        _widen_2(work, any_pairs, 4 * groups)


def _gather_runs(work: Work, runs: float, width: int) -> None:
    """Runs of pairs in assembly."""
    work.add("gather.run", runs)
    work.add("gather.eight", runs * (width // 8))
    work.add("gather.four", runs if width & 4 else 0)


def _taken(work: Work) -> tuple[np.ndarray, np.ndarray]:
    """By x: runs of a row under the window, and pixels in them, that lie inside the input."""
    in_w, kernel_w, dilation = work.numbers("in_w", "kernel_w", "dilation_w")
    ix = np.arange(work.number("out_w")) * work.number("stride_w") - work.number("pad_left")
    tap = ix[:, None] + np.arange(kernel_w) * dilation
    hits = ((tap >= 0) & (tap < in_w)).sum(axis=1)
    return (hits if dilation != 1 else np.minimum(hits, 1)), hits


def _gather_words(work: Work, alone: np.ndarray, share: float) -> None:
    """Pixels, how many by x, through tn_conv_2d_words."""
    kernel_h, kernel_w, in_c = work.numbers("kernel_h", "kernel_w", "in_c")
    name = "conv.words" if work.number("dilation_w") == 1 else "conv.words.dilated"
    runs, taken = _taken(work)
    pixels = float(alone.sum())
    rows_in = pixels * kernel_h * share
    words_in = float((alone * taken).sum()) * kernel_h * share * in_c / 4
    work.add(f"{name}.pixel", pixels)
    work.add(f"{name}.row_in", rows_in)
    work.add(f"{name}.row_in.ring", rows_in if work.in_ring else 0)
    work.add(f"{name}.row_out", pixels * kernel_h - rows_in)
    work.add(f"{name}.put", float((alone * runs).sum()) * kernel_h * share)
    work.add(f"{name}.put.word", words_in)
    work.add(f"{name}.pad.word", pixels * kernel_h * kernel_w * in_c / 4 - words_in)


def _gather_bytes(work: Work, alone: np.ndarray, share: float) -> None:
    """Pixels, how many by x, through tn_conv_2d_bytes."""
    kernel_h, in_c = work.numbers("kernel_h", "in_c")
    name = "conv.bytes" if work.number("dilation_w") == 1 else "conv.bytes.dilated"
    runs, taken = _taken(work)
    pixels = float(alone.sum())
    rows_in = pixels * kernel_h * share
    bytes_a_run = in_c if work.number("dilation_w") != 1 else taken * in_c
    words = np.where(np.asarray(bytes_a_run) >= 4, -(-np.asarray(bytes_a_run) // 4), 0)
    few = np.where(np.asarray(bytes_a_run) < 4, bytes_a_run, 0)
    x = np.arange(work.number("out_w"))
    edge = (x < work.number("left")) | (x >= work.number("right"))
    work.add(f"{name}.pixel", pixels)
    work.add(f"{name}.row_in", rows_in)
    work.add(f"{name}.row_in.ring", rows_in if work.in_ring else 0)
    work.add(f"{name}.row_out", pixels * kernel_h - rows_in)
    work.add(f"{name}.copy", float((alone * runs).sum()) * kernel_h * share)
    work.add(f"{name}.copy.word", float((alone * runs * words).sum()) * kernel_h * share)
    work.add(f"{name}.copy.byte", float((alone * runs * few).sum()) * kernel_h * share)
    inner = _rows_all_inside(work) / max(1, work.out_rows)
    filled = float((alone * np.where(edge, 1.0, 1 - inner)).sum())
    work.add(f"{name}.fill", filled * work.number("groups"))


def _rows_all_inside(work: Work) -> int:
    """Output rows all of whose window's rows lie inside the input."""
    in_h, kernel_h, stride, pad = work.numbers("in_h", "kernel_h", "stride_h", "pad_top")
    first = np.arange(work.out_rows) * stride - pad
    last = first + (kernel_h - 1) * work.number("dilation_h")
    return int(np.count_nonzero((first >= 0) & (last < in_h)))


# ---- tn_pointwise_conv_2d.h ----------------------------------------------------------------------
def pointwise_conv_2d(work: Work) -> None:
    """As tn_pointwise_conv_2d_s8 goes through the pixels of a step."""
    in_c, out_w, groups, words = work.numbers("in_c", "out_w", "groups", "words")
    calls = pairs = any_pairs = singles = 0.0
    for height, n in work.heights.items():
        pixels = height * out_w
        line = out_w if work.in_ring or work.out_ring else pixels
        if work.number("tiles") != 2:
            singles += n * pixels
        elif not words:
            any_pairs += n * (pixels // 2)
            singles += n * (pixels % 2)
        else:
            over = pixels // line if line % 2 else 0  # rows whose first pixel or last is left over
            calls += n * pixels // line
            pairs += n * (pixels // 2 - over // 2)
            any_pairs += n * (over // 2)
            singles += n * (over % 2)
    work.add("conv.pointwise.run", work.steps)
    work.add("conv.pointwise.row", work.rows)
    work.add("conv.pointwise.call", calls)
    work.add("conv.pointwise.pair", any_pairs)
    work.add("conv.pointwise.single", singles)
    work.add("tile_2.call", calls + any_pairs)
    _tile(work, "tile_2", pairs + any_pairs, groups, turn=16)
    tile_column(work, singles, 4 * groups)
    _gather_runs(work, pairs, in_c)
    _widen_2(work, any_pairs, in_c)
    work.add("conv.copy.word", singles * groups)


def _straight(work: Work, calls: float, pairs: float, words: int) -> None:
    numbers, channels = work.call.numbers, work.number("out_c")
    blocks = pairs * channels / 4
    work.add("straight.call", calls)
    work.add("straight.pair", pairs)
    work.add("straight.word", blocks * words)
    if "unrolled" in work.call.function:
        work.add("unrolled.block", blocks)
        work.add("unrolled.turn", blocks / numbers[-1] if 4 * numbers[-1] < channels else 0)
    else:
        work.add("straight.block", blocks)
        work.add("straight.long", blocks * numbers[-1])


def _straight_single(work: Work, pixels: float, words: int) -> None:
    blocks = pixels * work.number("out_c") / 4
    work.add("straight.single.block", blocks)
    if "unrolled" not in work.call.function:
        work.add("straight.single.long", blocks * work.call.numbers[-1])
    work.add("straight.single.word", blocks * words)


def straight_conv_2d(work: Work) -> None:
    """As tn_straight_rows goes through the pixels of a step."""
    out_w, groups = work.numbers("out_w", "groups")
    lines = work.runs(flat=not (work.in_ring or work.out_ring))
    pairs = sum(height * out_w // 2 * n for height, n in lines.items())
    singles = sum(height * out_w % 2 * n for height, n in lines.items())
    work.add("straight.row", work.rows)
    _straight(work, sum(lines.values()), pairs, 2 * groups)
    work.add("straight.gather.four", pairs * groups)
    work.add("straight.single", singles)
    tile_column(work, singles, 4 * groups)
    work.add("conv.copy.word", singles * groups)


def widened_conv_2d(work: Work) -> None:
    """As tn_widened_rows goes through the pixels of a step."""
    out_w, words = work.number("out_w"), work.call.numbers[0]
    lines = work.runs(flat=not (work.in_ring or work.out_ring))
    pairs = sum(height * out_w // 2 * n for height, n in lines.items())
    singles = sum(height * out_w % 2 * n for height, n in lines.items())
    work.add("widened.row", work.rows)
    _straight(work, sum(lines.values()), pairs, words)
    _straight_single(work, singles, words)


# ---- tn_strip_conv_2d.h --------------------------------------------------------------------------
def strip_conv_2d(work: Work) -> None:
    in_w, in_c, out_w, span = work.numbers("in_w", "in_c", "out_w", "span")
    kernel_h, kernel_w, stride_w = work.numbers("kernel_h", "kernel_w", "stride_w")
    strips = work.rows * -(-out_w // span)
    lines = strips * kernel_h
    if work.number("turned"):
        lines -= work.rows - work.steps
    rows_in, rows_out = rows_inside(work)
    rows = lines * rows_in / (rows_in + rows_out)
    columns = (span - 1) * stride_w + kernel_w
    inside = min(columns, in_w)
    work.add("strip.row", work.rows)
    work.add("strip", strips)
    work.add("strip.line", rows)
    work.add("strip.line.ring", rows if work.in_ring else 0)
    work.add("strip.value", rows * inside * in_c)
    work.add("strip.pad", (lines * columns - rows * inside) * in_c)
    words = work.call.numbers[0]
    _straight(work, strips, strips * (span // 2), words)
    _straight_single(work, strips * (span % 2), words)
