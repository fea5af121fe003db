"""The schedule: everything that is decided about one model, as plain data.

The C emitter, the checker, the reports and the tests all read this one object.

A *value* is what one operator (or a model input, or a variable's content) produces; tensors that a
RESHAPE or READ_VARIABLE derives are views of the same value. A *storage* is a byte range of the
arena; a value has exactly one, and the values that a variable takes share the variable's. A storage
holds its value whole, or the last rows of it as a ring.

A *stage* is a run of kernels whose rows flow: each computes a row as soon as the rows that it needs
exist. A stage of one kernel runs that layer whole. Kernels that follow each other in `kernels`
follow each other in the stages, so running layer by layer, fusing a few layers and streaming the
whole network differ only in where the cuts are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thumbnet.codegen.graph import Graph
from thumbnet.codegen.kernel import Kernel

CONTROL = "control"  # the storage of the counters of a row-fed or stepped model: the index of the
# next step, then for each kernel the row that comes next
ALIGNMENT = 4  # of every storage, so that kernels may read whole words


def align(nbytes: int) -> int:
    """`nbytes` rounded up to ALIGNMENT."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Storage:
    """`nbytes` at `offset` of the arena, in use from step `first` to step `last` inclusive.

    Model inputs and variables are in use from -1, outputs and variables to `len(steps)`.
    `ring` is how many rows it holds, 0 where the value is whole. `passing` is 0 or 1 where rows of
    that parity are gone before the next of them comes, as under a window of stride 2: they go
    through the last slot, which is free in between, and the others take turns in the rest; else -1.
    """

    name: str
    nbytes: int
    first: int
    last: int
    offset: int
    ring: int = 0
    passing: int = -1

    def slot(self, y: int) -> int:
        """Where row y of a ring lies, in rows from `offset`; `tn_row` in C."""
        if self.passing < 0:
            return y % self.ring
        return self.ring - 1 if y % 2 == self.passing else y // 2 % (self.ring - 1)

    @property
    def c_ring(self) -> int:
        """The member `ring` of tn_rows."""
        return self.ring if self.passing < 0 else -(2 * self.ring + self.passing)


@dataclass(frozen=True)
class Step:
    """Rows [y_begin, y_end) of kernel `kernel` (see `Kernel.rows`), computed in ascending order."""

    kernel: int
    y_begin: int
    y_end: int


@dataclass(frozen=True)
class Stage:
    """Kernels [first_kernel, end_kernel), and the steps [first_step, end_step) that run them."""

    first_kernel: int
    end_kernel: int
    first_step: int
    end_step: int


@dataclass(frozen=True, eq=False)
class Schedule:
    """Kernels in running order, their steps, and an address for every byte they touch.

    `value_of` maps every activation tensor to its value (the tensor that owns it), `storage_of`
    every value to its storage's name; scratch of kernel i is the storage `scratch_name(i)`.
    `initial_value` and `final_value` give, for each variable, the value its storage holds before
    and after a run.
    """

    graph: Graph
    kernels: tuple[Kernel, ...]
    stages: tuple[Stage, ...]
    steps: tuple[Step, ...]
    storages: Mapping[str, Storage]
    value_of: Mapping[str, str]
    storage_of: Mapping[str, str]
    initial_value: Mapping[str, str]
    final_value: Mapping[str, str]
    arena_bytes: int
    live_bytes: tuple[int, ...]  # by step: most bytes live at once during it, row by row

    @property
    def lower_bound(self) -> int:
        """No placement can need less than the bytes that are live at once."""
        return max(self.live_bytes, default=0)

    def storage(self, tensor: str) -> Storage:
        """The storage of an activation tensor."""
        return self.storages[self.storage_of[self.value_of[tensor]]]

    def scratch(self, kernel: int) -> Storage | None:
        return self.storages.get(scratch_name(kernel))


@dataclass(frozen=True)
class Ring:
    """How a ring is laid out: see `Storage`."""

    rows: int
    passing: int = -1


def counter_bytes(steps: int, rows: int) -> int:
    """Bytes of one counter that can count so many steps and rows."""
    return 2 if max(steps, rows) < 1 << 15 else 4


def scratch_name(kernel: int) -> str:
    return f"scratch {kernel}"
