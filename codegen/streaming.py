"""Row flow inside stages: which row of which kernel runs when.

Inside a stage the deepest kernel that can run does: a row is consumed as soon as it can be, so few
rows wait. Nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Graph, Tensor
from thumbnet.codegen.kernel import FEED, Kernel, Read
from thumbnet.codegen.schedule import Step

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Flow:
    """Kernels in order with the facts that row flow needs; indices are positions in `kernels`.

    `whole` are values that can never be rings: those in `kept` (model inputs and outputs,
    variables) and those that some reader needs at once or sees with other rows.
    """

    graph: Graph
    kernels: tuple[Kernel, ...]
    value_of: Mapping[str, str]
    maker: Mapping[str, int]  # value -> the kernel that makes it
    readers: Mapping[str, tuple[tuple[int, Read], ...]]
    whole: frozenset[str]
    kept: frozenset[str]

    def tensor(self, name: str) -> Tensor:
        return self.graph.tensors[name]

    def with_kernels(self, kernels: Sequence[Kernel]) -> Flow:
        """The same order with other forms of some kernels."""
        return make_flow(self.graph, kernels, self.value_of, self.kept)


def rows_of(graph: Graph, kernel: Kernel) -> int:
    """How many rows the kernel's steps count."""
    return kernel.unit_rows or graph.tensors[kernel.output].rows


def window_rows(read: Read, tensor: Tensor, y: int) -> tuple[int, int]:
    """Rows [first, end) of the input that row y reads; empty where first >= end."""
    if read.window is None:
        return 0, tensor.rows
    first = y * read.window.stride - read.window.before
    return max(first, 0), min(first + read.window.size, tensor.rows)


def make_flow(
    graph: Graph, kernels: Sequence[Kernel], value_of: Mapping[str, str], kept: frozenset[str]
) -> Flow:
    """`kept`: values that must stay whole (outputs, variables, inputs that are not fed)."""
    maker = {value_of[k.output]: i for i, k in enumerate(kernels)}
    readers: dict[str, list[tuple[int, Read]]] = {}
    whole = set(kept)
    for i, kernel in enumerate(kernels):
        for read in kernel.reads:
            value = value_of[read.tensor]
            readers.setdefault(value, []).append((i, read))
            view, own = graph.tensors[read.tensor], graph.tensors[value]
            if (view.rows, view.row_bytes) != (own.rows, own.row_bytes) or read.window is None:
                whole.add(value)
    frozen = {v: tuple(r) for v, r in readers.items()}
    return Flow(graph, tuple(kernels), value_of, maker, frozen, frozenset(whole), kept)


@dataclass(frozen=True, eq=False)
class StageSteps:
    """Steps as arrays: kernels and their rows [begin, end)."""

    kernel: Ints
    begin: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.kernel)

    def __iter__(self) -> Iterator[Step]:
        return map(Step, self.kernel.tolist(), self.begin.tolist(), self.end.tolist())


def as_arrays(steps: Sequence[Step]) -> StageSteps:
    table = np.array([(s.kernel, s.y_begin, s.y_end) for s in steps], dtype=np.int64)
    return StageSteps(*table.reshape(len(steps), 3).T)


def stage_steps(
    flow: Flow, first: int, end: int, bands: Sequence[int], *, split: bool = False
) -> StageSteps:
    """The steps of the stage of kernels [first, end); kernel i runs `bands[i]` rows at a time.

    A layer alone runs whole, unless `split`.
    """
    if end - first == 1:
        kernel = flow.kernels[first]
        rows = rows_of(flow.graph, kernel)
        whole = kernel.band == "whole" or not split
        at_once = 1 if kernel.kind == FEED else rows if whole else min(bands[first], rows)
        begin = np.arange(0, rows, max(at_once, 1))
        return StageSteps(np.full(len(begin), first), begin, np.minimum(begin + at_once, rows))
    kernels = flow.kernels[first:end]
    total = [rows_of(flow.graph, kernel) for kernel in kernels]
    band = [
        1 if kernel.kind == FEED else rows if kernel.band == "whole" else at_once
        for kernel, rows, at_once in zip(kernels, total, bands[first:end], strict=True)
    ]
    made = {v: i - first for v, i in flow.maker.items() if first <= i < end}
    needs = [_needs(flow, kernel, made, total) for kernel in kernels]
    order, numbers = _deepest_first(total, band, needs)
    kernel_of_step, bands_of = np.array(order), np.array(band)[order]
    begin = np.array(numbers) * bands_of
    ends = np.minimum(begin + bands_of, np.array(total)[order])
    return StageSteps(kernel_of_step + first, begin, ends)


def _deepest_first(
    total: Sequence[int], band: Sequence[int], needs: Sequence[Sequence[_Need]]
) -> tuple[list[int], list[int]]:
    """Of each step: the kernel, and the how manieth of the kernel's it is.

    Of the kernels that can run the deepest does. One that can run stays so until it does: what a
    step changes are its own kernel and the readers of what it made.
    """
    count = len(total)
    last = [-(-rows // high) if high else 0 for rows, high in zip(total, band, strict=True)]
    # By kernel, for each need: the maker, and by step how many of its steps must be done.
    waits = [
        [(need.maker, need.steps(total[k], band[k], band[need.maker])) for need in needs[k]]
        for k in range(count)
    ]
    touched: list[list[int]] = [[k] for k in range(count)]
    for k in range(count):
        for maker in {need.maker for need in needs[k]}:
            touched[maker].append(k)
    done = [0] * count
    idle = [True] * count
    runnable: list[int] = []  # a heap, the deepest first
    order: list[int] = []
    numbers: list[int] = []
    look: Sequence[int] = range(count)
    while True:
        for k in look:
            step = done[k]
            if idle[k] and step < last[k]:
                for maker, wanted in waits[k]:
                    if done[maker] < wanted[step]:
                        break
                else:
                    idle[k] = False
                    heappush(runnable, -k)
        if not runnable:
            break
        k = -heappop(runnable)
        order.append(k)
        numbers.append(done[k])
        done[k] += 1
        idle[k] = True
        look = touched[k]
    if done != last:
        raise AssertionError("a stage cannot go on")
    return order, numbers


@dataclass(frozen=True)
class _Need:
    """To reach row `stop`, a kernel needs min(stop * stride + offset, rows) of `maker`'s rows."""

    maker: int
    stride: int
    offset: int
    rows: int

    def steps(self, total: int, band: int, makers_band: int) -> list[int]:
        """By step of `band` of the kernel's `total` rows: how many of the maker's it needs."""
        return _steps_needed(self.stride, self.offset, self.rows, total, band, makers_band)


@lru_cache(maxsize=4096)
def _steps_needed(
    stride: int, offset: int, rows: int, total: int, band: int, makers_band: int
) -> list[int]:
    if not band:
        return []
    stops = (min(stop, total) for stop in range(band, total + band, band))
    return [-(-min(stop * stride + offset, rows) // makers_band) for stop in stops]


def _needs(
    flow: Flow, kernel: Kernel, made: Mapping[str, int], total: Sequence[int]
) -> list[_Need]:
    """What a kernel needs of the stage's own kernels; `made` and `total` are of the stage."""
    needs = []
    for read in kernel.reads:
        value = flow.value_of[read.tensor]
        if value not in made:
            continue
        maker, tensor, own = made[value], flow.tensor(read.tensor), flow.tensor(value)
        producer = flow.kernels[flow.maker[value]]
        window = read.window
        other_rows = (own.rows, own.row_bytes) != (tensor.rows, tensor.row_bytes)
        if window is not None and window.size < 1 and not other_rows:
            continue
        if producer.unit_rows or other_rows or window is None:
            # all of it; a reducer's output exists when it has ended
            rows = total[maker] if producer.unit_rows else own.rows
            needs.append(_Need(maker, 0, rows, rows))
        else:
            offset = window.size - window.before - window.stride
            needs.append(_Need(maker, window.stride, offset, tensor.rows))
    return needs
