"""Row liveness: how far an operator's output may lie over its own dying input.

All addresses are bytes relative to the start of the tensor's storage; the model is the contract of
`Overlap` in kernel.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import Kernel, Read


def window_rows(read: Read, tensor: Tensor, y: int) -> tuple[int, int]:
    """Rows [first, end) of the input that output row y reads; empty where first >= end."""
    if read.window is None:
        return 0, tensor.rows
    first = y * read.window.stride - read.window.before
    return max(first, 0), min(first + read.window.size, tensor.rows)


def first_live_bytes(read: Read, source: Tensor, output_rows: int) -> list[int]:
    """For each output row y, the lowest byte that output rows >= y read.

    One more item than rows: after the last row nothing is live, which is `source.nbytes`.
    """
    live = [source.nbytes] * (output_rows + 1)
    for y in reversed(range(output_rows)):
        first, end = window_rows(read, source, y)
        start = first * source.row_bytes if first < end else source.nbytes
        live[y] = min(live[y + 1], start)
    return live


def is_elementwise(read: Read) -> bool:
    window = read.window
    return (
        read.overlap.mode == "elements"
        and window is not None
        and ((window.stride, window.before, window.size) == (1, 0, 1))
    )


def minimal_distance(read: Read, source: Tensor, output: Tensor) -> int:
    """Least D >= 0 so that the output may start D bytes below the input it overwrites."""
    if read.overlap.mode == "none" or (read.window is None and read.overlap.mode == "rows"):
        return output.nbytes
    elementwise = is_elementwise(read) or (read.overlap.mode == "elements" and output.rows == 1)
    live = first_live_bytes(read, source, output.rows)
    distance = 0
    for y in range(output.rows):
        guarded = live[y + 1] if elementwise else live[y]
        if guarded < source.nbytes:
            distance = max(distance, (y + 1) * output.row_bytes - guarded)
    if elementwise:
        distance = max(distance, *_unit_distances(read, source, output))
    return min(distance, output.nbytes)


def _unit_distances(read: Read, source: Tensor, output: Tensor) -> tuple[int, int]:
    """Inside rows, and over rows that run on: unit u written ends below unit u + 1 to be read."""
    units = source.nbytes // read.overlap.input_unit
    step = read.overlap.output_unit - read.overlap.input_unit
    return (step, step * (units - 1)) if units > 1 else (0, 0)


@dataclass(frozen=True)
class KernelMemory:
    """What one kernel needs of memory besides values that merely live through it.

    `overwritable`: input value -> minimal distance below it; `live_peak`: most bytes of those
    inputs and of the output that are live at once, row by row.
    """

    overwritable: dict[str, int]
    live_peak: int


def kernel_memory(
    kernel: Kernel, tensors: dict[str, Tensor], value_of: dict[str, str], dying: set[str]
) -> KernelMemory:
    """`dying`: values that the kernel reads last and that it may overwrite."""
    output = tensors[kernel.output]
    distances: dict[str, int] = {}
    lives: dict[str, list[int]] = {}
    for read in kernel.reads:
        value, source = value_of[read.tensor], tensors[read.tensor]
        if value not in dying:
            continue
        distance = minimal_distance(read, source, output)
        live = _live_bytes(read, source, output)
        if value in distances:
            distance = max(distance, distances[value])
            live = [max(a, b) for a, b in zip(live, lives[value], strict=True)]
        distances[value], lives[value] = distance, live
    peak = max(
        sum(live[y] for live in lives.values()) + (y + 1) * output.row_bytes
        for y in range(output.rows)
    )
    resting = sum(live[0] for live in lives.values())
    return KernelMemory(distances, max(peak, resting))


def _live_bytes(read: Read, source: Tensor, output: Tensor) -> list[int]:
    """Bytes of the input that must survive while output row y is written."""
    if read.overlap.mode == "none":
        return [source.nbytes] * output.rows
    starts = first_live_bytes(read, source, output.rows)
    own = 1 if is_elementwise(read) or read.overlap.mode == "elements" else 0
    return [source.nbytes - starts[y + own] for y in range(output.rows)]
