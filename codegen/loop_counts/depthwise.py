"""DEPTHWISE_CONV_2D: tn_depthwise_conv_2d.h, _square.h, _rows.h and _lanes.h."""

from __future__ import annotations

import numpy as np

from thumbnet.codegen.loop_counts.work import Work, count_outputs, rows_inside


def _offsets(work: Work, calls: float, entries: float, share_inside: float) -> None:
    """`calls` of tn_depthwise_conv_2d_offsets, the share of rows inside the input given."""
    work.add("offsets", calls)
    work.add("offsets.row_in", calls * share_inside)
    work.add("offsets.ring", calls * share_inside if work.in_ring else 0)
    work.add("offsets.entry", entries * share_inside)
    work.add("offsets.outside", entries * (1 - share_inside))


def depthwise(work: Work) -> None:
    work.add("depthwise.row", work.rows)
    work.add("depthwise.fill", work.steps * work.number("in_c"))
    out_w, out_c, multiplier = work.numbers("out_w", "out_c", "depth_multiplier")
    kernel_h, kernel_w = work.numbers("kernel_h", "kernel_w")
    inside, outside = rows_inside(work)
    pixels, taps = work.rows * out_w, kernel_h * kernel_w
    share = inside / (inside + outside)
    work.add("general", pixels)
    work.add("general.row", pixels * kernel_h)
    _offsets(work, pixels * kernel_h, pixels * taps, share)
    done = 0
    if multiplier == 1:
        done = out_c // 4 * 4
        groups = pixels * (out_c // 4)
        work.add("general.call_4", pixels)
        work.add("general.group", groups)
        work.add("general.group.tap", groups * taps)
        work.add("general.group.odd", groups * (taps % 2))
        if work.number("fast_requantize") and not work.clamps:
            work.add("general.group.usual", groups)
        else:
            work.add("general.group.any", groups)
            count_outputs(work, "general.any", groups * 4)
    left = pixels * (out_c - done)
    work.add("plain", pixels if left else 0)
    work.add("plain.channel", left)
    work.add("plain.channel.divide", left if multiplier > 1 else 0)
    work.add("plain.tap", left * taps)
    count_outputs(work, "plain", left)


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


def _bands(work: Work, strip: int) -> tuple[float, float, float]:
    """Bands of rows, and rows of the strip, that has `strip`, inside the input and outside."""
    kernel, stride, in_h = work.numbers("kernel", "stride_h", "in_h")
    most = (strip - kernel) // stride + 1  # output rows of a band
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
    bands, filled, outside = _bands(work, 16)
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
    work.add("rows.out", work.rows * groups)
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
    bands, filled, outside = _bands(work, strip)
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
