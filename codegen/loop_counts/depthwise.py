"""DEPTHWISE_CONV_2D: tn_depthwise_conv_2d.h, _square.h, _rows.h and _lanes.h."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.loop_counts.work import Work, count_outputs, rows_inside


def depthwise(work: Work) -> None:
    work.add("depthwise.row", work.rows)
    inside = _inside(work)
    work.add("depthwise.fill", 0 if inside.all() else work.steps * work.number("in_c"))
    out_w, out_c, multiplier = work.numbers("out_w", "out_c", "depth_multiplier")
    kernel_h, kernel_w = work.numbers("kernel_h", "kernel_w")
    pixels, taps = work.rows * out_w, kernel_h * kernel_w
    tables = _tables(work, inside)
    work.add("general", pixels)
    work.add("general.table", tables)
    work.add("general.table.row", tables * kernel_h)
    work.add("general.table.ring", tables * kernel_h if work.in_ring else 0)
    work.add("general.table.tap", tables * taps)
    done = 0
    if multiplier == 1 and work.number("fast_requantize"):
        done = out_c // 4 * 4
        groups = pixels * (out_c // 4)
        work.add("general.fours", pixels)
        work.add("general.group", groups)
        work.add("general.group.taps", groups * (taps // 2))
        work.add("general.group.odd", groups * (taps % 2))
        work.add("general.group.clamp", groups if work.clamps else 0)
    left = pixels * (out_c - done)
    work.add("plain", pixels if left else 0)
    work.add("plain.channel", left)
    work.add("plain.channel.divide", left if multiplier > 1 else 0)
    work.add("plain.tap", left * taps)
    count_outputs(work, "plain", left)


def _tables(work: Work, inside: NDArray[np.bool_]) -> int:
    """How often tn_depthwise_conv_2d_s8 makes a table: for pixels whose window is not all inside,
    and the first of those next to each other that are."""
    begins = inside.copy()
    begins[:, 1:] &= ~inside[:, :-1]
    whole = inside.all() and not work.in_ring
    return work.steps if whole else int((~inside).sum() + begins.sum())


def _inside(work: Work) -> NDArray[np.bool_]:
    """By output pixel: whether its window is inside the input."""

    def along(count: int, *names: str) -> NDArray[np.bool_]:
        extent, kernel, stride, dilation, pad = work.numbers(*names)
        first = np.arange(count) * stride - pad
        return np.logical_and(first >= 0, first + (kernel - 1) * dilation < extent)

    rows = along(work.out_rows, "in_h", "kernel_h", "stride_h", "dilation_h", "pad_top")
    columns = along(work.number("out_w"), "in_w", "kernel_w", "stride_w", "dilation_w", "pad_left")
    return np.logical_and(rows[:, None], columns)


# ---- tn_depthwise_square.h ---------------------------------------------------------------------


def depthwise_square(work: Work) -> None:
    kernel, stride, tile, span = work.numbers("kernel", "stride_w", "tile", "span")
    out_w, c, in_w, pad, lead = work.numbers("out_w", "c", "in_w", "pad_left", "lead")
    step = tile if stride == 2 else tile & ~1
    starts = np.minimum(np.arange(0, out_w - span + step, step), out_w - span)
    ix = starts * stride - pad - lead
    pairs = (lead + stride * (span - 1) + kernel + 1) // 2
    columns = np.maximum(np.minimum(ix + 2 * pairs, in_w) - np.maximum(ix, 0), 0)
    inside, outside = rows_inside(work, "kernel")
    share = inside / (inside + outside)
    bands, groups, rows = len(starts), c // 4, work.rows
    form = f"square_{kernel}"
    work.add("square.band", rows * bands)
    work.add("square.row", rows * bands * kernel)
    work.add("square.ring", rows * bands * kernel * share if work.in_ring else 0)
    borders = work.steps if bands == 1 else rows
    work.add("square.border", borders * int((2 * pairs - columns).sum()) * 2 * kernel)
    work.add(f"{form}.group", rows * bands * groups)
    work.add(f"{form}.pair", rows * groups * int((columns // 2).sum()))
    work.add(f"{form}.single", rows * groups * int((columns % 2).sum()))
    work.add("square.outside", rows * groups * kernel * (1 - share) * int((columns + 1).sum()) // 2)
    tiles = rows * c * bands * (1 - (tile - span) // step)
    work.add(f"{form}_{stride}.tile", tiles)
    work.add(f"{form}_{stride}.pixel", tiles * tile)
    work.add("square.limit", rows * bands * span * c if work.clamps else 0)
    work.add("square.any", 0 if work.number("positive") else tiles * tile)


def _bands(work: Work, most: int) -> tuple[float, float, float]:
    """Bands of up to `most` output rows; rows under them inside the input and outside."""
    kernel, stride, in_h = work.numbers("kernel", "stride_h", "in_h")
    bands, filled, outside = 0, 0, 0
    for height, times in work.heights.items():
        here = -(-height // most)
        window = (height - here) * stride + here * kernel
        inside = min(window, in_h + (here - 1) * (kernel - stride))
        bands += times * here
        filled += times * inside
        outside += times * (window - inside)
    return bands, filled, outside


def depthwise_rows(work: Work) -> None:
    kernel, stride, tile, out_w, c = work.numbers("kernel", "stride_w", "tile", "out_w", "c")
    in_w, pad, lead = work.numbers("in_w", "pad_left", "lead")
    groups = c // 4
    bands, filled, outside = _bands(work, work.number("span"))
    pairs = (stride * (out_w - 1) + kernel + 1) // 2
    columns = min(in_w, 2 * pairs - pad) - lead
    sides = pairs - (lead + columns + 1) // 2
    work.add("rows.band", bands)
    work.add("rows.row", filled + work.rows)
    work.add("rows.border", 4 * (outside * pairs + 16 * work.steps * sides))
    work.add("rows.group", bands * groups)
    work.add("rows.two", filled / 2 * groups)
    work.add("rows.pair", filled / 2 * groups * (columns // 2))
    work.add("rows.single", filled / 2 * groups * (columns % 2 + lead))
    chained = out_w == tile and not work.out_ring
    work.add("rows.out", (bands if chained else work.rows) * groups)
    step = tile if stride == 2 else tile & ~1
    tiles = work.rows * c * (1 - (tile - out_w) // step)
    work.add(f"rows_{kernel}_{stride}.tile", tiles)
    work.add(f"rows_{kernel}_{stride}.pixel", tiles * tile)
    work.add("square.limit", work.rows * out_w * c if work.clamps else 0)
    work.add("square.any", 0 if work.number("positive") else tiles * tile)


def depthwise_lanes(work: Work) -> None:
    kernel, stride, out_w, c = work.numbers("kernel", "stride_w", "out_w", "c")
    in_w, pad = work.numbers("in_w", "pad_left")
    groups, strip = c // 4, work.call.numbers[5]
    most = (strip - kernel) // work.number("stride_h") + 1
    bands, filled, outside = _bands(work, most)
    fours = (stride * (out_w - 1) + kernel + 3) // 4
    touched = -(-(pad + min(in_w, 4 * fours - pad)) // 4) - pad // 4
    work.add("lanes.band", bands)
    work.add("lanes.row", filled + work.rows)
    work.add("lanes.border", 8 * (outside * fours + strip * work.steps * (fours - touched)))
    work.add("lanes.group", bands * groups)
    work.add("lanes.fill", filled * groups)
    work.add("lanes.four", filled * groups * touched)
    work.add("lanes.out", work.rows * groups)
    form, rows, share = f"lanes_{kernel}_{stride}", work.rows * c, 1.0
    if work.call.numbers[7]:  # rows outside are left out
        inside, without = rows_inside(work, "kernel")
        share = inside / (inside + without)
        work.add("lanes.skip", rows * (out_w // 6 + 1))
    work.add("lanes.channel", rows)
    work.add(f"{form}.tile", rows * (out_w // 6 + 1) * share)
    work.add(f"{form}.pair", rows * (out_w // 2 + 1) * share)
    work.add("lanes.pixel", rows * out_w)
