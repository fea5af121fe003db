"""Row flow inside stages: which row of which kernel runs when.

Inside a stage the deepest kernel that can run does: a row is consumed as soon as it can be, so few
rows wait. Nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from thumbnet.codegen.graph import Graph, Tensor
from thumbnet.codegen.kernel import FEED, Kernel, Read
from thumbnet.codegen.schedule import Step


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


def stage_steps(
    flow: Flow, first: int, end: int, bands: Sequence[int], *, split: bool = False
) -> list[Step]:
    """The steps of the stage of kernels [first, end); kernel i runs `bands[i]` rows at a time.

    A layer alone runs whole, unless `split`.
    """
    if end - first == 1:
        kernel = flow.kernels[first]
        rows = rows_of(flow.graph, kernel)
        whole = kernel.band == "whole" or not split
        at_once = 1 if kernel.kind == FEED else rows if whole else min(bands[first], rows)
        return [Step(first, y, min(y + at_once, rows)) for y in range(0, rows, at_once)]
    count = end - first
    total = [rows_of(flow.graph, flow.kernels[i]) for i in range(first, end)]
    band = [
        total[k] if flow.kernels[first + k].band == "whole" else bands[first + k]
        for k in range(count)
    ]
    for k in range(count):
        if flow.kernels[first + k].kind == FEED:
            band[k] = 1
    made = {v: i - first for v, i in flow.maker.items() if first <= i < end}
    needs = [_needs(flow, flow.kernels[first + k], made, total) for k in range(count)]
    readers: list[list[int]] = [[] for _ in range(count)]
    for k, wanted in enumerate(needs):
        for maker in {need.maker for need in wanted}:
            readers[maker].append(k)
    done = [0] * count

    def ready(k: int) -> bool:
        stop = min(done[k] + band[k], total[k])
        return all(done[n.maker] >= min(stop * n.stride + n.offset, n.rows) for n in needs[k])

    # A kernel that can run stays so until it does: what a step changes are its own kernel and the
    # readers of what it made. The heap holds those that can run, the deepest first.
    waiting = [False] * count
    runnable: list[int] = []
    for k in range(count):
        if done[k] < total[k] and ready(k):
            waiting[k] = True
            runnable.append(-k)
    heapify(runnable)
    steps: list[Step] = []
    while runnable:
        k = -heappop(runnable)
        waiting[k] = False
        stop = min(done[k] + band[k], total[k])
        steps.append(Step(first + k, done[k], stop))
        done[k] = stop
        for other in (k, *readers[k]):
            if not waiting[other] and done[other] < total[other] and ready(other):
                waiting[other] = True
                heappush(runnable, -other)
    if done != total:
        raise AssertionError("a stage cannot go on")
    return steps


@dataclass(frozen=True)
class _Need:
    """To reach row `stop`, a kernel needs min(stop * stride + offset, rows) of `maker`'s rows."""

    maker: int
    stride: int
    offset: int
    rows: int


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
