"""How often each loop of a kernel runs in one call of the model.

The runtime's kernels take time that does not depend on the data, so a layer's cycles are a sum over
its loops: how often each runs, times what one turn costs. This package counts, a module for each
family of kernels; the costs are fitted to the emulator (tools/fit_cycles.py) and lie in
cycle_model.json under the names used here. Counts are those of the DSP kernels, which Cortex-M4, M7
and M33 share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.loop_counts.convolution import (
    conv_2d,
    pointwise_conv_2d,
    straight_conv_2d,
    strip_conv_2d,
    widened_conv_2d,
)
from thumbnet.codegen.loop_counts.depthwise import (
    depthwise,
    depthwise_lanes,
    depthwise_rows,
    depthwise_square,
)
from thumbnet.codegen.loop_counts.others import (
    copy,
    elementwise,
    fully_connected,
    fully_connected_eights,
    fully_connected_rows,
    lookup,
    pool,
    reduce,
    row_sums,
    softmax,
)
from thumbnet.codegen.loop_counts.winograd import winograd_conv_2d
from thumbnet.codegen.loop_counts.work import Counts, Work
from thumbnet.codegen.schedule import Schedule


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


def _unknown(work: Work) -> None:
    """In proportion to the bytes of the output."""
    work.add(f"{work.call.function}.row", work.rows)
    work.add(f"{work.call.function}.byte", work.rows * work.out_pitch)


COUNTERS: dict[str, Callable[[Work], None]] = {
    "tn_conv_2d_s8": conv_2d,
    "tn_pointwise_conv_2d_s8": pointwise_conv_2d,
    "tn_straight_conv_2d_s8": straight_conv_2d,
    "tn_unrolled_conv_2d_s8": straight_conv_2d,
    "tn_widened_conv_2d_s8": widened_conv_2d,
    "tn_unrolled_widened_conv_2d_s8": widened_conv_2d,
    "tn_strip_conv_2d_s8": strip_conv_2d,
    "tn_unrolled_strip_conv_2d_s8": strip_conv_2d,
    "tn_winograd_conv_2d_s8": winograd_conv_2d,
    "tn_depthwise_conv_2d_s8": depthwise,
    **{f"tn_depthwise_{k}x{k}_s8": depthwise_square for k in (3, 5, 7)},
    **{f"tn_depthwise_rows_{k}x{k}_s8": depthwise_rows for k in (3, 5, 7)},
    "tn_depthwise_lanes_s8": depthwise_lanes,
    "tn_fully_connected_s8": fully_connected,
    "tn_fully_connected_eights_s8": fully_connected_eights,
    "tn_fully_connected_widened_s8": fully_connected_eights,
    "tn_fully_connected_rows_s8": fully_connected_rows,
    "tn_average_pool_s8": pool,
    "tn_max_pool_s8": pool,
    "tn_average_pool_rows_s8": row_sums,
    "tn_reduce_rows_s8": row_sums,
    "tn_reduce_s8": reduce,
    "tn_elementwise_s8": elementwise,
    "tn_elementwise_broadcast_s8": elementwise,
    "tn_elementwise_constant_s8": elementwise,
    "tn_elementwise_constant_broadcast_s8": elementwise,
    "tn_lookup_8": lookup,
    "tn_copy_any": copy,
    "tn_copy_constant_any": copy,
    "tn_pad_any": copy,
    "tn_softmax_s8": softmax,
}
