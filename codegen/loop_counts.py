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


def _tile(work: Work, name: str, times: float, k: int, turn: int) -> None:
    """tn_tile_2 or tn_tile_1 in assembly; `turn` groups a turn."""
    out_c, groups = work.number("out_c"), -(-k // 4)
    blocks = times * -(-out_c // 4)
    work.add(name, times)
    work.add(f"{name}.block", blocks)
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
    if work.number("fast_requantize") and work.number("joined"):
        _tile(work, "tile_1", times, k, turn=8)
        return
    work.add("tile_bytes", times)
    _dot_4(work, times * -(-work.number("out_c") // 4), -(-k // 4))
    _outputs(work, "tile_bytes", times * work.number("out_c"))


def _widen_2(work: Work, times: float, n: int) -> None:
    work.add("widen_2", times)
    work.add("widen_2.eight", times * (n // 8))
    work.add("widen_2.four", times if n & 4 else 0)
    work.add(f"widen_2.tail_{n % 4}", times if n % 4 else 0)


# ---- tn_conv_2d.h ------------------------------------------------------------------------------


def _conv_2d(work: Work) -> None:
    pointwise, in_c, out_w, stride_w = work.numbers("pointwise", "in_c", "out_w", "stride_w")
    pad_left, kernel_w, dilation_w = work.numbers("pad_left", "kernel_w", "dilation_w")
    k = work.number("kernel_h") * kernel_w * in_c
    form = "pointwise" if pointwise else "words" if work.number("word_taps") else "bytes"
    joined = work.number("columns") == 2 and work.number("fast_requantize")
    by_two = bool(joined and work.number("joined"))
    left = -(-pad_left // stride_w)
    right = min((work.number("in_w") + pad_left - kernel_w) // stride_w, out_w - 1)
    words = not pointwise and dilation_w == 1 and kernel_w * in_c % 4 == 0
    inside = pairs = singles = 0
    alone = np.zeros(out_w, np.int64)  # by x: pixels that are gathered alone
    for height, n in work.heights.items():
        pixels = height * out_w
        first = np.arange(pixels // 2 if by_two else 0) * 2 % out_w
        near = words & (first + 1 < out_w) & (first >= left) & (first < right)
        gathered = np.arange(pixels)
        gathered = (
            gathered[: 2 * len(first)][~np.repeat(near, 2)].tolist()
            + gathered[2 * len(first) :].tolist()
        )
        np.add.at(alone, np.array(gathered, np.int64) % out_w, n)
        inside += n * int(near.sum())
        pairs += n * len(first)
        singles += n * (pixels - 2 * len(first))
    work.add(f"conv.{form}.run", work.steps)
    work.add(f"conv.{form}.row", work.rows)
    work.add(f"conv.{form}.pair", pairs)
    work.add(f"conv.{form}.single", singles)
    _tile(work, "tile_2", pairs, k, turn=16)
    _tile_column(work, singles, k)
    if pointwise:
        _widen_2(work, pairs, in_c)
        work.add("conv.copy.word", singles * max(1, -(-in_c // 4)))
        return
    rows_in, rows_out = _rows_inside(work)
    share = rows_in / (rows_in + rows_out)
    near_rows = inside * work.number("kernel_h")
    work.add("conv.inside", inside)
    work.add("conv.inside.row", near_rows * share)
    work.add("conv.inside.ring", near_rows * share if work.in_ring else 0)
    _widen_2(work, near_rows * share, kernel_w * in_c)
    work.add("conv.inside.pad", near_rows * (1 - share) * kernel_w * in_c // 4)
    if form == "words":
        _gather_words(work, alone, share)
    else:
        _gather_bytes(work, alone, share)
        _widen_2(work, pairs - inside, k + -k % 4)
    if singles and form == "words":
        work.add("conv.words.single", singles)


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
    pixels = int(alone.sum())
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
    kernel_h, kernel_w, in_c = work.numbers("kernel_h", "kernel_w", "in_c")
    name = "conv.bytes" if work.number("dilation_w") == 1 else "conv.bytes.dilated"
    runs, taken = _taken(work)
    pixels = int(alone.sum())
    rows_in = pixels * kernel_h * share
    bytes_a_run = in_c if work.number("dilation_w") != 1 else taken * in_c
    words = np.where(np.asarray(bytes_a_run) >= 4, -(-np.asarray(bytes_a_run) // 4), 0)
    few = np.where(np.asarray(bytes_a_run) < 4, bytes_a_run, 0)
    edge = taken < kernel_w
    work.add(f"{name}.pixel", pixels)
    work.add(f"{name}.row_in", rows_in)
    work.add(f"{name}.row_in.ring", rows_in if work.in_ring else 0)
    work.add(f"{name}.row_out", pixels * kernel_h - rows_in)
    work.add(f"{name}.copy", float((alone * runs).sum()) * kernel_h * share)
    work.add(f"{name}.copy.word", float((alone * runs * words).sum()) * kernel_h * share)
    work.add(f"{name}.copy.byte", float((alone * runs * few).sum()) * kernel_h * share)
    inner = _rows_all_inside(work) / max(1, work.out_rows)
    filled = float((alone * np.where(edge, 1.0, 1 - inner)).sum())
    work.add(f"{name}.fill", filled * -(-kernel_h * kernel_w * in_c // 4))


def _rows_all_inside(work: Work) -> int:
    """Output rows all of whose window's rows lie inside the input."""
    in_h, kernel_h, stride, pad = work.numbers("in_h", "kernel_h", "stride_h", "pad_top")
    first = np.arange(work.out_rows) * stride - pad
    last = first + (kernel_h - 1) * work.number("dilation_h")
    return int(np.count_nonzero((first >= 0) & (last < in_h)))


def _rows_inside(work: Work) -> tuple[int, int]:
    """Rows under the windows of all output rows: inside the input, and outside."""
    in_h, kernel_h, stride, pad = work.numbers("in_h", "kernel_h", "stride_h", "pad_top")
    first = np.arange(work.out_rows) * stride - pad
    rows = first[:, None] + np.arange(kernel_h) * work.number("dilation_h")
    inside = int(np.count_nonzero((rows >= 0) & (rows < in_h)))
    return inside, rows.size - inside


# ---- tn_depthwise_conv_2d.h --------------------------------------------------------------------


def _depthwise(work: Work) -> None:
    work.add("depthwise.row", work.rows)
    if work.number("window"):
        _depthwise_window(work)
    else:
        work.add("depthwise.fill", work.steps * work.number("in_c"))
        _depthwise_general(work)


def _offsets(work: Work, calls: float, entries: float, share_inside: float) -> None:
    """`calls` of tn_depthwise_conv_2d_offsets, the share of rows inside the input given."""
    work.add("offsets", calls)
    work.add("offsets.row_in", calls * share_inside)
    work.add("offsets.ring", calls * share_inside if work.in_ring else 0)
    work.add("offsets.entry", entries * share_inside)
    work.add("offsets.outside", entries * (1 - share_inside))


def _depthwise_window(work: Work) -> None:
    window, stride, kernel_h, tile = work.numbers("window", "stride_w", "kernel_h", "tile")
    pixels, usual = tile * work.number("tiles"), work.number("usual")
    out_w, out_c, in_w, pad = work.numbers("out_w", "out_c", "in_w", "pad_left")
    inside, outside = _rows_inside(work)
    share = inside / (inside + outside)
    bands = -(-out_w // pixels)
    columns = stride * pixels + window // 2 * 2
    ix = np.arange(bands) * pixels * stride - pad
    filled = np.minimum(ix + columns, in_w) - np.maximum(ix, 0)
    groups, rows = out_c // 4, work.rows
    done = rows * out_c * -(-out_w // tile)
    # the border is written where a row lies outside, once a step, and for each of several bands
    borders = rows * bands if bands > 1 else min(rows, work.steps + rows * (1 - share))
    work.add("strips.border", borders * kernel_h * columns)
    work.add("strips.band", rows * bands)
    work.add("strips.row", rows * bands * kernel_h)
    work.add("strips.ring", rows * bands * kernel_h * share if work.in_ring else 0)
    work.add("strips.group", rows * bands * groups)
    work.add("strips.fill", rows * bands * groups * kernel_h * share)
    work.add("strips.fill.column", rows * groups * kernel_h * share * int(filled.sum()))
    form = f"tile_{tile}_{window}_{stride}"
    work.add(f"{form}.channel", rows * bands * out_c)
    work.add(form, done)
    work.add(f"{form}.row", done * kernel_h)
    if usual:
        work.add(f"tile_{tile}.usual_{usual}", done)
        work.add("tile.part", rows * out_c if out_w % tile else 0)
    else:
        work.add("tile.any", done)
        _outputs(work, "tile.any", rows * out_c * out_w)


def _depthwise_general(work: Work) -> None:
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
