"""How often each loop of a kernel runs in one call of the model.

The runtime's kernels take time that does not depend on the data, so a layer's cycles are a sum over
its loops: how often each runs, times what one turn costs. This module counts; the costs are fitted
to the emulator (tools/fit_cycles.py) and lie in cycle_model.json under the names used here. Counts
are those of the DSP kernels, which Cortex-M4, M7 and M33 share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import Call, Constant, Kernel
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.winograd_counts import winograd_conv_2d

Counts = dict[str, float]


@dataclass(frozen=True, eq=False)
class Work:
    """What one call of a kernel does in a run: `heights` of its bands of rows, how many of each."""

    call: Call
    heights: Mapping[int, int]
    in_pitch: int  # bytes of an input row
    out_pitch: int
    out_rows: int
    in_ring: bool  # whether an input is a ring
    out_ring: bool
    counts: Counts = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return sum(self.heights.values())

    @property
    def rows(self) -> int:
        return sum(height * n for height, n in self.heights.items())

    def number(self, name: str) -> int:
        """A field of the layer descriptor that is a number."""
        value = self.call.fields[name]
        assert isinstance(value, int)
        return value

    def numbers(self, *names: str) -> list[int]:
        return [self.number(name) for name in names]

    @property
    def clamps(self) -> bool:
        """Whether outputs are limited to less than an int8 holds."""
        return (self.number("out_min"), self.number("out_max")) != (-128, 127)

    def add(self, name: str, times: float) -> None:
        if times:
            self.counts[name] = self.counts.get(name, 0) + times

    def runs(self, flat: bool) -> dict[int, int]:
        """Rows that are computed as one flat run, how often: bands, or single rows."""
        return dict(self.heights) if flat else {1: self.rows}


@dataclass(frozen=True)
class Turns:
    """How a kernel runs in one call of the model: `heights`, of how many rows how many of its steps
    are; bytes of a row by read and of the output, whose rows are `out_rows`; which of them lie in
    rings; whether it shares its stage."""

    heights: tuple[tuple[int, int], ...]
    in_pitches: tuple[int, ...]
    out_pitch: int
    out_rows: int
    in_rings: tuple[bool, ...]
    out_ring: bool
    streamed: bool


def turns_of(
    kernel: Kernel,
    tensors: Mapping[str, Tensor],
    heights: Mapping[int, int],
    is_ring: Callable[[str], bool],
    streamed: bool,
) -> Turns:
    """`is_ring` tells it of a tensor."""
    output = tensors[kernel.output]
    return Turns(
        tuple(heights.items()),
        tuple([tensors[read.tensor].row_bytes for read in kernel.reads]),
        output.row_bytes,
        output.rows,
        tuple([is_ring(read.tensor) for read in kernel.reads]),
        is_ring(kernel.output),
        streamed,
    )


def layer_counts(schedule: Schedule) -> list[Counts]:
    """By kernel: how often each loop runs in one call of the model."""
    return [kernel_counts(kernel, turns) for kernel, turns in layer_turns(schedule)]


def layer_turns(schedule: Schedule) -> list[tuple[Kernel, Turns]]:
    """By kernel: how it runs."""
    heights: list[Counter[int]] = [Counter() for _ in schedule.kernels]
    for step in schedule.steps:
        heights[step.kernel][step.y_end - step.y_begin] += 1
    streamed = {
        kernel
        for stage in schedule.stages
        if stage.end_kernel - stage.first_kernel > 1
        for kernel in range(stage.first_kernel, stage.end_kernel)
    }

    def is_ring(tensor: str) -> bool:
        return schedule.ring(tensor) is not None

    tensors = schedule.graph.tensors
    return [
        (kernel, turns_of(kernel, tensors, heights[i], is_ring, i in streamed))
        for i, kernel in enumerate(schedule.kernels)
    ]


def kernel_counts(kernel: Kernel, turns: Turns) -> Counts:
    """How often each loop of a kernel runs."""
    counts: Counts = {}
    for call in kernel.calls:
        pitches = [turns.in_pitches[j] for j in call.inputs]
        work = Work(
            call=call,
            heights=dict(turns.heights),
            in_pitch=pitches[0] if pitches else 0,
            out_pitch=turns.out_pitch,
            out_rows=turns.out_rows,
            in_ring=any(turns.in_rings[j] for j in call.inputs),
            out_ring=turns.out_ring,
            counts=counts,
        )
        work.add(f"{call.function}.call", work.steps)
        COUNTERS.get(call.function, _unknown)(work)
    if turns.streamed:
        counts["stage.step"] = sum(height for _, height in turns.heights)
    return counts


# ---- tn_dot.h ----------------------------------------------------------------------------------


def _outputs(work: Work, where: str, times: float) -> None:
    """`times` outputs through tn_requantize_s8."""
    work.add(f"{where}.fast" if work.number("fast_requantize") else f"{where}.exact", times)
    if work.clamps:
        work.add(f"{where}.clamp", times)


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


def _dot_4(work: Work, times: float, groups: int) -> None:
    work.add("dot_4", times)
    work.add("dot_4.joined" if work.number("joined") else "dot_4.apart", times * groups)


def _tile_column(work: Work, times: float, k: int) -> None:
    """One pixel from bytes."""
    if work.number("tiles"):
        _tile(work, "tile_1", times, -(-k // 4), turn=8)
        return
    work.add("tile_bytes", times)
    _dot_4(work, times * -(-work.number("out_c") // 4), -(-k // 4))
    _outputs(work, "tile_bytes", times * work.number("out_c"))


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
    pointwise, word_taps, taps = work.numbers("pointwise", "word_taps", "taps")
    calls, alone, single = (np.zeros(out_w) for _ in range(3))
    total = 0.0
    for height, n in work.heights.items():
        flat = pointwise and not (work.in_ring or work.out_ring)
        line = height * out_w if flat else out_w
        x, pixels = 0, height * out_w
        while pixels > 0:
            pairs, done = 0, 1
            if work.number("tiles") == 2:
                if pointwise:
                    pairs = (line - x) // 2 if word_taps else 0
                elif x >= left:
                    pairs = max(0, right - x) // 2
                if pairs:
                    calls[x % out_w] += n
                    total += n * pairs
                    done = 2 * pairs
                elif pixels > 1 and (not taps or x + 1 < line):
                    alone[[x % out_w, (x + 1) % out_w]] += n
                    done = 2
            if done == 1:
                single[x % out_w] += n
            pixels -= done
            x += done
            x %= line
    return _Pixels(calls, total, alone, single)


def _conv_2d(work: Work) -> None:
    pointwise, word_taps, taps, width = work.numbers("pointwise", "word_taps", "taps", "width")
    runs, groups = work.numbers("runs", "groups")
    form = "pointwise" if pointwise else "taps" if taps else "words" if word_taps else "bytes"
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
    _tile_column(work, singles, 4 * groups)
    if pointwise:
        _gather_runs(work, pixels.pairs, width)
        _widen_2(work, any_pairs, work.number("in_c"))
        work.add("conv.copy.word", singles * groups)
        return
    rows_in, rows_out = _rows_inside(work)
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


def _rows_inside(work: Work, kernel: str = "kernel_h") -> tuple[int, int]:
    """Rows under the windows of all output rows: inside the input, and outside."""
    in_h, height, stride, pad = work.numbers("in_h", kernel, "stride_h", "pad_top")
    first = np.arange(work.out_rows) * stride - pad
    rows = first[:, None] + np.arange(height) * work.number("dilation_h")
    inside = int(np.count_nonzero((rows >= 0) & (rows < in_h)))
    return inside, rows.size - inside


# ---- tn_depthwise_conv_2d.h --------------------------------------------------------------------


def _offsets(work: Work, calls: float, entries: float, share_inside: float) -> None:
    """`calls` of tn_depthwise_conv_2d_offsets, the share of rows inside the input given."""
    work.add("offsets", calls)
    work.add("offsets.row_in", calls * share_inside)
    work.add("offsets.ring", calls * share_inside if work.in_ring else 0)
    work.add("offsets.entry", entries * share_inside)
    work.add("offsets.outside", entries * (1 - share_inside))


def _depthwise(work: Work) -> None:
    work.add("depthwise.row", work.rows)
    work.add("depthwise.fill", work.steps * work.number("in_c"))
    out_w, out_c, multiplier = work.numbers("out_w", "out_c", "depth_multiplier")
    kernel_h, kernel_w = work.numbers("kernel_h", "kernel_w")
    inside, outside = _rows_inside(work)
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
            _outputs(work, "general.any", groups * 4)
    left = pixels * (out_c - done)
    work.add("plain", pixels if left else 0)
    work.add("plain.channel", left)
    work.add("plain.channel.divide", left if multiplier > 1 else 0)
    work.add("plain.tap", left * taps)
    _outputs(work, "plain", left)


# ---- tn_depthwise_square.h ---------------------------------------------------------------------


def _depthwise_square(work: Work) -> None:
    kernel, stride, tile, span = work.numbers("kernel", "stride_w", "tile", "span")
    out_w, c, in_w, pad, lead = work.numbers("out_w", "c", "in_w", "pad_left", "lead")
    step = tile if stride == 2 else tile & ~1
    starts = np.minimum(np.arange(0, out_w - span + step, step), out_w - span)
    ix = starts * stride - pad - lead
    pairs = (lead + stride * (span - 1) + kernel + 1) // 2
    columns = np.maximum(np.minimum(ix + 2 * pairs, in_w) - np.maximum(ix, 0), 0)
    inside, outside = _rows_inside(work, "kernel")
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


# ---- tn_fully_connected.h ----------------------------------------------------------------------


def _fully_connected(work: Work) -> None:
    batches, k, out_c = work.numbers("batches", "in_c", "out_c")
    work.add("dense", batches)
    if k % 4 == 0:
        _tile_column(work, batches, k)
        return
    blocks = batches * -(-out_c // 4)
    _dot_4(work, blocks, k // 4)
    _dot_4(work, blocks, 1)
    work.add("dense.tail", batches)
    _outputs(work, "dense.tail", batches * out_c)


def _fully_connected_rows(work: Work) -> None:
    rows, k, out_c = work.numbers("rows", "row_bytes", "out_c")
    blocks = rows * -(-out_c // 4)
    work.add("dense_rows", rows)
    work.add("dense_rows.ring", rows if work.in_ring else 0)
    work.add("dense_rows.block", blocks)
    _dot_4(work, blocks, k // 4)
    if k % 4:
        _dot_4(work, blocks, 1)
    _outputs(work, "dense_rows.any", out_c)


# ---- tn_pool.h, tn_reduce.h --------------------------------------------------------------------


def _pool(work: Work) -> None:
    channels, out_w = work.numbers("channels", "out_w")
    name = "average" if "average" in work.call.function else "maximum"

    def taps(extent: int, count: int, size: int, stride: int, pad: int) -> int:
        first = np.arange(count) * stride - pad
        return int((np.minimum(first + size, extent) - np.maximum(first, 0)).sum())

    vertical = work.numbers("filter_h", "stride_h", "pad_top")
    horizontal = work.numbers("filter_w", "stride_w", "pad_left")
    tall = taps(work.number("in_h"), work.out_rows, *vertical)
    wide = taps(work.number("in_w"), out_w, *horizontal)
    pixels = work.rows * out_w
    work.add(f"{name}.pixel", pixels)
    work.add(f"{name}.ring", pixels if work.in_ring else 0)
    for width, units in ((4, channels // 4), (1, channels % 4)):
        work.add(f"{name}_{width}", pixels * units)
        work.add(f"{name}_{width}.row", tall * out_w * units)
        work.add(f"{name}_{width}.tap", tall * wide * units)


def _row_sums(work: Work) -> None:
    rows, columns, channels = work.numbers("rows", "in_w", "channels")
    work.add("row_sums", rows)
    work.add("row_sums.ring", rows if work.in_ring else 0)
    for width, units in ((4, channels // 4), (1, channels % 4)):
        work.add(f"row_sums_{width}", rows * units)
        work.add(f"row_sums_{width}.column", rows * units * columns)
    work.add(f"{work.call.function}.channel", channels)


def _nest(work: Work, name: str) -> tuple[int, int]:
    """Outer positions and inner length of the nest in a field."""
    nest = work.call.fields[name]
    assert isinstance(nest, Constant)
    values = [int(v) for v in nest.data[:13]]
    return values[0] * values[1] * values[2] * values[3], values[12]


def _reduce(work: Work) -> None:
    size = work.call.fields["size"]
    nest = work.call.fields["loops"]
    assert isinstance(size, tuple) and isinstance(nest, Constant)
    outer, inner = _nest(work, "loops")
    fours = inner // 4 if int(nest.data[13]) == 1 else 0
    work.add("reduce.position", outer)
    for width, units in ((4, outer * fours), (1, outer * (inner - 4 * fours))):
        work.add(f"reduce_{width}", units)
        work.add(f"reduce_{width}.outer", units * size[2])
        work.add(f"reduce_{width}.row", units * size[2] * size[1])
        work.add(f"reduce_{width}.tap", units * size[2] * size[1] * size[0])


# ---- everything else ---------------------------------------------------------------------------


def _elementwise(work: Work) -> None:
    operation, scaling = work.numbers("operation", "b_scaling")
    sums = ("half", "fast", "exact")[scaling]
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


def _lookup(work: Work) -> None:
    for height, n in work.runs(not (work.in_ring or work.out_ring)).items():
        work.add("lookup.run", n)
        work.add("lookup.four", n * (height * work.out_pitch // 4))
        work.add("lookup.one", n * (height * work.out_pitch % 4))


def _copy(work: Work) -> None:
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


def _softmax(work: Work) -> None:
    depth = work.number("depth")
    groups = work.rows * work.in_pitch // depth
    work.add("softmax.group", groups)
    work.add("softmax.value", groups * depth)


def _unknown(work: Work) -> None:
    """In proportion to the bytes of the output."""
    work.add(f"{work.call.function}.row", work.rows)
    work.add(f"{work.call.function}.byte", work.rows * work.out_pitch)


COUNTERS: dict[str, Callable[[Work], None]] = {
    "tn_conv_2d_s8": _conv_2d,
    "tn_winograd_conv_2d_s8": winograd_conv_2d,
    "tn_depthwise_conv_2d_s8": _depthwise,
    **{f"tn_depthwise_{k}x{k}_s8": _depthwise_square for k in (3, 5, 7)},
    "tn_fully_connected_s8": _fully_connected,
    "tn_fully_connected_rows_s8": _fully_connected_rows,
    "tn_average_pool_s8": _pool,
    "tn_max_pool_s8": _pool,
    "tn_average_pool_rows_s8": _row_sums,
    "tn_reduce_rows_s8": _row_sums,
    "tn_reduce_s8": _reduce,
    "tn_elementwise_s8": _elementwise,
    "tn_elementwise_broadcast_s8": _elementwise,
    "tn_elementwise_constant_s8": _elementwise,
    "tn_elementwise_constant_broadcast_s8": _elementwise,
    "tn_lookup_8": _lookup,
    "tn_copy_any": _copy,
    "tn_copy_constant_any": _copy,
    "tn_pad_any": _copy,
    "tn_softmax_s8": _softmax,
}
