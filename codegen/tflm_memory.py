"""What TensorFlow Lite Micro would need for a graph: whole tensors, by its greedy planner."""

from __future__ import annotations

from collections.abc import Sequence

from thumbnet.codegen.arena import Block
from thumbnet.codegen.graph import Graph

ALIGNMENT = 16  # of every buffer, in bytes


def greedy_arena(buffers: Sequence[Block]) -> int:
    """Bytes that TensorFlow Lite Micro's default planner needs for `buffers`.

    What it does (tflite-micro, memory_planner/greedy_memory_planner.cc): the largest buffer goes
    first, of equal ones the one that was added last; each goes to the lowest gap that is large
    enough between the placed ones that are in use at any of its steps.
    """
    placed: list[tuple[int, Block]] = []
    for _, buffer in sorted(enumerate(buffers), key=lambda entry: (-entry[1].nbytes, -entry[0])):
        offset = 0
        for other_offset, other in sorted(placed, key=lambda entry: entry[0]):
            if other.first > buffer.last or buffer.first > other.last:
                continue
            if other_offset - offset >= buffer.nbytes:
                break
            offset = max(offset, other_offset + other.nbytes)
        placed.append((offset, buffer))
    return max((offset + b.nbytes for offset, b in placed), default=0)


def whole_tensors(graph: Graph) -> list[Block]:
    """Every activation as one buffer, in use from the operator that makes it to its last reader;
    inputs from the first operator on, outputs to the last."""
    end = len(graph.operators) - 1
    first = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, 0)
    for i, op in enumerate(graph.operators):
        for name in op.inputs:
            if name in first:
                last[name] = i
        for name in op.outputs:
            first[name] = last[name] = i
    last |= dict.fromkeys(graph.outputs, end)
    return [
        Block(name, _aligned(graph.tensors[name].nbytes), first[name], last[name]) for name in first
    ]


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
