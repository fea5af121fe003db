"""From a lowered graph to a schedule: order, liveness, offsets.

Here every operator is one stage that runs over all its rows, and its output may lie over an input
that dies in it as far as row liveness allows.
"""

from __future__ import annotations

from thumbnet.codegen.arena import Block, place
from thumbnet.codegen.binding import Binding, bind
from thumbnet.codegen.graph import Graph, Tensor
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.liveness import KernelMemory, kernel_memory
from thumbnet.codegen.lowering.registry import lower_all
from thumbnet.codegen.order import best_order
from thumbnet.codegen.schedule import Schedule, Step, Storage, align, scratch_name


def plan(graph: Graph) -> Schedule:
    """The schedule of an optimised graph. Raises UnsupportedError."""
    binding = bind(graph)
    graph = binding.graph
    kernels = lower_all(graph, binding.operators)
    needs = _Needs(binding, kernels)
    order = best_order(binding.after, needs.peak)
    ordered = tuple(kernels[i] for i in order)
    live_bytes = needs.live_bytes(order)
    blocks, distances = needs.blocks(order)
    offsets, arena_bytes = place(blocks, distances, max(live_bytes, default=0))
    storages = {b.name: Storage(b.name, b.nbytes, b.first, b.last, offsets[b.name]) for b in blocks}
    steps = tuple(Step(i, 0, graph.tensors[k.output].rows) for i, k in enumerate(ordered))
    return Schedule(
        graph=graph,
        kernels=ordered,
        steps=steps,
        storages=storages,
        value_of=binding.value_of,
        storage_of=binding.storage_of,
        initial_value=binding.initial_value,
        final_value=binding.final_value,
        arena_bytes=max(arena_bytes, align(1)),
        live_bytes=live_bytes,
    )


class _Needs:
    """What each kernel needs of memory, given what has run before it."""

    def __init__(self, binding: Binding, kernels: list[Kernel]) -> None:
        self.binding = binding
        self.kernels = kernels
        self.graph = binding.graph
        self.tensors: dict[str, Tensor] = dict(binding.graph.tensors)
        self.made = [binding.value_of[k.output] for k in kernels]
        self.read = [{binding.value_of[r.tensor] for r in k.reads} for k in kernels]
        self.readers: dict[str, int] = {}  # value -> bit set of kernels that read it
        for i, values in enumerate(self.read):
            for value in values:
                self.readers[value] = self.readers.get(value, 0) | 1 << i
        self.states = {s.tensor for s in self.graph.states}
        self.kept = {binding.value_of[name] for name in self.graph.outputs}
        self.state_bytes = sum(align(self.tensors[s].nbytes) for s in self.states)
        self._memory: dict[tuple[int, frozenset[str]], KernelMemory] = {}

    def _in_state(self, value: str) -> bool:
        return self.binding.storage_of[value] in self.states

    def _dying(self, kernel: int, ran: int) -> frozenset[str]:
        """Values that `kernel` reads last and that its output may overwrite."""
        if self._in_state(self.made[kernel]):
            return frozenset()
        return frozenset(
            value
            for value in self.read[kernel]
            if value not in self.kept
            and not self._in_state(value)
            and not self.readers[value] & ~ran & ~(1 << kernel)
        )

    def _kernel_memory(self, kernel: int, dying: frozenset[str]) -> KernelMemory:
        key = (kernel, dying)
        if key not in self._memory:
            self._memory[key] = kernel_memory(
                self.kernels[kernel], self.tensors, self.binding.value_of, set(dying)
            )
        return self._memory[key]

    def peak(self, ran: int, kernel: int) -> int:
        """Bytes live while `kernel` runs after the set `ran`: the order search's measure."""
        dying = self._dying(kernel, ran)
        live = self.state_bytes + self.kernels[kernel].scratch_bytes
        made = {value: i for i, value in enumerate(self.made)}
        for value in self.binding.storage_of:
            if value in dying or self._in_state(value):
                continue
            exists = value not in made or ran >> made[value] & 1
            wanted = self.readers.get(value, 0) & ~ran or value in self.kept
            if exists and wanted:
                live += self.tensors[value].nbytes
        memory = self._kernel_memory(kernel, dying).live_peak
        if self._in_state(self.made[kernel]):
            memory -= self.tensors[self.made[kernel]].nbytes
        return live + memory

    def live_bytes(self, order: list[int]) -> tuple[int, ...]:
        """Bytes live during each kernel of the order."""
        ran, live = 0, []
        for kernel in order:
            live.append(self.peak(ran, kernel))
            ran |= 1 << kernel
        return tuple(live)

    def blocks(self, order: list[int]) -> tuple[list[Block], dict[tuple[str, str], int]]:
        """Blocks to place, and the distances of the pairs that may overlap."""
        end = len(order)
        position = {kernel: at for at, kernel in enumerate(order)}
        first = dict.fromkeys(self.graph.inputs, -1)
        last = dict.fromkeys(self.graph.inputs, -1)
        for kernel, value in enumerate(self.made):
            first[value] = last[value] = position[kernel]
        for kernel, values in enumerate(self.read):
            for value in values:
                if value in last:
                    last[value] = max(last[value], position[kernel])
        for value in self.kept:
            last[value] = end
        blocks = [Block(s, self.tensors[s].nbytes, -1, end) for s in sorted(self.states)]
        blocks += [
            Block(value, self.tensors[value].nbytes, first[value], last[value])
            for value in first
            if not self._in_state(value)
        ]
        distances: dict[tuple[str, str], int] = {}
        ran = 0
        for at, kernel in enumerate(order):
            scratch = self.kernels[kernel].scratch_bytes
            if scratch:
                blocks.append(Block(scratch_name(at), scratch, at, at))
            overwritable = self._kernel_memory(kernel, self._dying(kernel, ran)).overwritable
            for value, distance in overwritable.items():
                distances[self.made[kernel], value] = distance
            ran |= 1 << kernel
        return blocks, distances
