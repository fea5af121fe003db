"""Operators that are no convolution."""

from __future__ import annotations

import numpy as np

from thumbnet.codegen.kernel import Constant
from thumbnet.codegen.loop_counts.convolution import dot_4, tile_column
from thumbnet.codegen.loop_counts.work import Work, count_outputs

# ---- tn_fully_connected.h ----------------------------------------------------------------------


def fully_connected(work: Work) -> None:
    batches, k, out_c = work.numbers("batches", "in_c", "out_c")
    work.add("dense", batches)
    if k % 4 == 0:
        tile_column(work, batches, k)
        return
    blocks = batches * -(-out_c // 4)
    dot_4(work, blocks, k // 4)
    dot_4(work, blocks, 1)
    work.add("dense.tail", batches)
    count_outputs(work, "dense.tail", batches * out_c)


def fully_connected_eights(work: Work) -> None:
    batches, k, out_c, fast = work.numbers("batches", "in_c", "out_c", "fast_requantize")
    eights = batches * (out_c // 8)
    widened = "widened" in work.call.function
    form = "dense_pairs" if widened else "dense_bytes"
    work.add("dense", batches)
    work.add("widen_1.four", batches * (k // 4) if widened else 0)
    work.add(f"{form}.group", eights * (k // 4))
    work.add("dense_eight", eights)
    work.add("dense_eight.turn", eights * -(-k // 32))
    work.add("dense_eight.any", eights if fast != 2 else 0)
    work.add("dense_eight.clamp", eights if work.clamps else 0)
    left = batches if out_c % 8 else 0  # blocks of tn_tile_1
    work.add("tile_1", left)
    work.add("tile_1.folded" if fast == 2 else "tile_1.block", left)
    work.add("tile_1.group", left * (k // 4))


def fully_connected_rows(work: Work) -> None:
    rows, k, out_c = work.numbers("rows", "row_bytes", "out_c")
    blocks = rows * -(-out_c // 4)
    work.add("dense_rows", rows)
    work.add("dense_rows.ring", rows if work.in_ring else 0)
    work.add("dense_rows.block", blocks)
    dot_4(work, blocks, k // 4)
    if k % 4:
        dot_4(work, blocks, 1)
    count_outputs(work, "dense_rows.any", out_c)


# ---- tn_pool.h, tn_reduce.h --------------------------------------------------------------------


def pool(work: Work) -> None:
    channels, out_w = work.numbers("channels", "out_w")
    average = "average" in work.call.function

    def taps(extent: int, count: int, size: int, stride: int, pad: int) -> int:
        first = np.arange(count) * stride - pad
        return int((np.minimum(first + size, extent) - np.maximum(first, 0)).sum())

    vertical = work.numbers("filter_h", "stride_h", "pad_top")
    horizontal = work.numbers("filter_w", "stride_w", "pad_left")
    tall = taps(work.number("in_h"), work.out_rows, *vertical)
    wide = taps(work.number("in_w"), out_w, *horizontal)
    pixels = work.rows * out_w
    if average:
        whole = out_w == 1 and wide == work.number("in_w") and not work.in_ring
        work.add("average.pixel", pixels)
        work.add("average.value", pixels * channels)
        _sums(work, "average", pixels, pixels if whole else tall * out_w, tall * wide, channels)
        return
    work.add("maximum.pixel", pixels)
    work.add("maximum.ring", pixels if work.in_ring else 0)
    for width, units in ((4, channels // 4), (1, channels % 4)):
        work.add(f"maximum_{width}", pixels * units)
        work.add(f"maximum_{width}.row", tall * out_w * units)
        work.add(f"maximum_{width}.tap", tall * wide * units)


def row_sums(work: Work) -> None:
    rows, columns, channels = work.numbers("rows", "in_w", "channels")
    work.add("rows.ring", rows if work.in_ring else 0)
    if work.number("few"):
        row_sums_add(work, rows, rows * columns, channels)
    else:
        fours = rows * (channels // 4)
        work.add("rows.four", fours)
        row_sums_add(work, fours, fours * columns, 4)
        row_sums_add(work, rows if channels % 4 else 0, rows * columns, channels % 4)
    work.add(f"{work.call.function}.channel", channels)


def row_sums_add(work: Work, runs: float, pixels: float, channels: int) -> None:
    """tn_row_sums_add, of so many pixels altogether."""
    work.add("row_sums", runs)
    for name, units in (
        ("eight", channels // 8),
        ("four", channels % 8 // 4),
        ("tail", int(channels % 4 > 0)),
    ):
        work.add(f"row_sums.{name}", runs * units)
        work.add(f"row_sums.{name}.pixel", pixels * units)


def _sums(work: Work, name: str, times: float, runs: float, pixels: float, channels: int) -> None:
    """tn_sums of all channels, `times` times: of `runs` runs with so many pixels altogether."""
    for part, n in ((16, channels // 16), (channels % 16, int(channels % 16 > 0))):
        work.add(f"{name}.sums", times * n)
        row_sums_add(work, runs * n, pixels * n, part)


def _nest(work: Work, name: str) -> tuple[int, int]:
    """Outer positions and inner length of the nest in a field."""
    nest = work.call.fields[name]
    assert isinstance(nest, Constant)
    values = [int(v) for v in nest.data[:13]]
    return values[0] * values[1] * values[2] * values[3], values[12]


def reduce(work: Work) -> None:
    size = work.call.fields["size"]
    nest = work.call.fields["loops"]
    assert isinstance(size, tuple) and isinstance(nest, Constant)
    outer, inner = _nest(work, "loops")
    count = size[0] * size[1] * size[2]
    runs, pixels = outer * size[2] * size[1], outer * count
    work.add("reduce.position", outer)
    work.add("reduce.value" if work.number("brief") else "reduce.any", outer * inner)
    if int(nest.data[13]) == 1:
        _sums(work, "reduce", outer, runs, pixels, inner)
    else:
        _sums(work, "reduce", outer * inner, runs * inner, pixels * inner, 1)


# ---- everything else ---------------------------------------------------------------------------


def elementwise(work: Work) -> None:
    operation, scaling = work.numbers("operation", "b_scaling")
    sums = ("half", "fast", "exact", "short")[scaling]
    form = sums if operation < 3 else "product" if operation == 3 else "compare"
    outputs = work.rows * work.out_pitch
    work.add("elementwise.exact", outputs * (work.number("output_scaling") == 2 and operation < 4))
    work.add("elementwise.clamp", outputs * (work.number("saturate") == 0))
    work.add("elementwise.ring", work.rows if work.in_ring or work.out_ring else 0)
    if "broadcast" in work.call.function:
        outer, _ = _nest(work, "broadcast")
        work.add("elementwise.position", work.rows * outer)
        work.add(f"elementwise.broadcast_{form}", outputs)
        return
    flat = not (work.in_ring or work.out_ring or "constant" in work.call.function)
    for height, n in work.runs(flat).items():
        work.add("elementwise.run", n)
        work.add(f"elementwise_4.{form}", n * (height * work.out_pitch // 4))
        work.add(f"elementwise_1.{form}", n * (height * work.out_pitch % 4))


def lookup(work: Work) -> None:
    for height, n in work.runs(not (work.in_ring or work.out_ring)).items():
        work.add("lookup.run", n)
        work.add("lookup.four", n * (height * work.out_pitch // 4))
        work.add("lookup.one", n * (height * work.out_pitch % 4))


def copy(work: Work) -> None:
    element, whole = work.numbers("element", "whole")
    outer, inner = _nest(work, "loops")
    times = (work.steps if whole else work.rows) * outer
    work.add("copy.row", work.rows)
    work.add("copy.position", times)
    if element == 0:
        work.add("copy.run", times)
        work.add("copy.block", times * (inner // 64))
        work.add("copy.word", times * (inner % 64 // 4))
        work.add("copy.byte", times * (inner % 4))
    else:
        work.add(f"copy.element_{element}", times * inner)
    if work.call.function == "tn_pad_any":
        work.add("pad.fill", work.rows * work.out_pitch)


def softmax(work: Work) -> None:
    depth = work.number("depth")
    groups = work.rows * work.in_pitch // depth
    work.add("softmax.group", groups)
    work.add("softmax.value", groups * depth)
