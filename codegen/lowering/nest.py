"""Loop nests over two operands, packed as `runtime/tn_nest.h` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Operator, Tensor
from thumbnet.codegen.kernel import Constant

OUTER_LOOPS = 4  # TN_NEST_LOOPS


@dataclass(frozen=True)
class Loop:
    """`size` iterations; operands A and B advance by `a` and `b`."""

    size: int
    a: int
    b: int


@dataclass(frozen=True)
class Placement:
    """Where an operand starts for output row y: row y * row, then y * step further."""

    row: int = 0
    step: int = 0


def dense_strides(shape: Sequence[int], unit: int = 1) -> tuple[int, ...]:
    """Steps of a dense tensor, outermost axis first; `unit` is the step of the last axis."""
    steps = [unit]
    for size in reversed(shape[1:]):
        steps.append(steps[-1] * size)
    return tuple(reversed(steps)) if shape else ()


def merge(loops: Sequence[Loop]) -> tuple[Loop, ...]:
    """The same loops without those of size 1 and with neighbours merged, outermost first."""
    merged: list[Loop] = []
    for loop in loops:
        if loop.size == 1:
            continue
        if merged:
            outer = merged[-1]
            if outer.a == loop.a * loop.size and outer.b == loop.b * loop.size:
                merged[-1] = Loop(outer.size * loop.size, loop.a, loop.b)
                continue
        merged.append(loop)
    return tuple(merged) or (Loop(1, 1, 1),)


def pack(
    op: Operator, loops: Sequence[Loop], a: Placement = Placement(), b: Placement = Placement()
) -> Constant:
    """The nest of `loops` (outermost first, merged already; the last one is the inner run).

    Raises UnsupportedError when there are too many loops.
    """
    *outer, inner = loops
    if len(outer) > OUTER_LOOPS:
        raise UnsupportedError(
            f"{op.kind} '{op.name}': tensor '{op.inputs[0]}' needs {len(loops)} nested loops, at "
            f"most {OUTER_LOOPS + 1} are supported; reshape it to fewer axes"
        )
    padded = [Loop(1, 0, 0)] * (OUTER_LOOPS - len(outer)) + list(outer)
    values = [
        *(loop.size for loop in padded),
        *(loop.a for loop in padded),
        *(loop.b for loop in padded),
        inner.size, inner.a, inner.b,
        a.row, b.row, a.step, b.step,
    ]  # fmt: skip
    return Constant("int32_t", np.array(values, np.int32))


def has_rows(tensor: Tensor) -> bool:
    """Whether the row view of a tensor is its axis 1: [1, H, W, C]."""
    return len(tensor.shape) == 4 and tensor.shape[0] == 1


def broadcast_strides(shape: Sequence[int], rank: int) -> tuple[int, ...]:
    """Steps of `shape`, right-aligned to `rank` axes; 0 along axes of size 1."""
    aligned = (1,) * (rank - len(shape)) + tuple(shape)
    return tuple(
        0 if size == 1 else step for size, step in zip(aligned, dense_strides(aligned), strict=True)
    )
