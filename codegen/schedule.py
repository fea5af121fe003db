"""The schedule: everything that is decided about one model, as plain data.

The C emitter, the checker, the reports and the tests all read this one object.

A *value* is what one operator (or a model input, or a variable's content) produces; tensors that a
RESHAPE or READ_VARIABLE derives are views of the same value. A *storage* is a byte range of the
arena; a value has exactly one. Values that a variable takes share the variable's; values of which
only a few rows exist at once (rings) share slots for rows of one size.

A *stage* is a run of kernels whose rows flow: each computes a row as soon as the rows that it needs
exist. A stage of one kernel runs that layer whole. Kernels that follow each other in `kernels`
follow each other in the stages, so running layer by layer, fusing a few layers and streaming the
whole network differ only in where the cuts are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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
    """

    name: str
    nbytes: int
    first: int
    last: int
    offset: int


@dataclass(frozen=True)
class Ring:
    """A value that is held a few rows at a time: row y lies `slots[y]` rows from the start of its
    storage, which rows of other values may share. `rows` are the most of its own at once."""

    rows: int
    slots: tuple[int, ...]

    @cached_property
    def table(self) -> tuple[int, ...]:
        """What `tn_rows.ring` points to: after how many rows the slots repeat (all of them, where
        they do not), then the slot of each row up to there."""
        period = _period(self.slots)
        return (period, *self.slots[:period])


def _period(slots: Sequence[int]) -> int:
    """The least p with slots[i] = slots[i - p] for all i >= p (Knuth, Morris, Pratt 1977)."""
    border = [0] * len(slots)
    for i in range(1, len(slots)):
        k = border[i - 1]
        while k and slots[i] != slots[k]:
            k = border[k - 1]
        border[i] = k + (slots[i] == slots[k])
    return len(slots) - border[-1]


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
    `rings` are the values that are not held whole. `initial_value` and `final_value` give, for each
    variable, the value its storage holds before and after a run.
    """

    graph: Graph
    kernels: tuple[Kernel, ...]
    stages: tuple[Stage, ...]
    steps: tuple[Step, ...]
    storages: Mapping[str, Storage]
    value_of: Mapping[str, str]
    storage_of: Mapping[str, str]
    rings: Mapping[str, Ring]
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

    def ring(self, tensor: str) -> Ring | None:
        """The ring of an activation tensor, None where it is held whole."""
        return self.rings.get(self.value_of[tensor])

    def row_offset(self, tensor: str, y: int) -> int:
        """Where row y of an activation tensor starts in the arena."""
        ring = self.ring(tensor)
        slot = ring.slots[y] if ring is not None else y
        return self.storage(tensor).offset + slot * self.graph.tensors[tensor].row_bytes

    def scratch(self, kernel: int) -> Storage | None:
        return self.storages.get(scratch_name(kernel))


def counter_bytes(steps: int, rows: int) -> int:
    """Bytes of one counter that can count so many steps and rows."""
    return 2 if max(steps, rows) < 1 << 15 else 4


def scratch_name(kernel: int) -> str:
    return f"scratch {kernel}"
