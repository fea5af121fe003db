"""What an architecture costs on a microcontroller: the compiler's own planner is asked.

Nothing is trained and no C is compiled; torch is not needed. Arena, weights and MACs are exact for
the deployed network, cycles and code are the compiler's estimates (docs/cost.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import repeat
from multiprocessing import get_context
from typing import Any

from thumbnet.codegen.binding import bind
from thumbnet.codegen.compile import INPUT_MODES, Options
from thumbnet.codegen.cost import OPTIMIZE, schedule_cost
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.flash import code_bytes, constant_bytes, kernel_code
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.planner import Mode, plan
from thumbnet.codegen.targets import target as target_named
from thumbnet.codegen.tflm_memory import greedy_arena, whole_tensors
from thumbnet.codegen.variants import all_options, plan_in_forms, small_options
from thumbnet.nas.architecture import Architecture, parameters
from thumbnet.nas.cost_graph import cost_graph
from thumbnet.nas.cost_lowering import lower_known

STACK_RESERVE = 512  # bytes of `Limits.sram` that are left to the stack
MEMORIES = ("thumbnet", "tflm")
CYCLES_SHARE, CODE_SHARE = 0.98, 0.95  # of `cost_bounds`; see tests/nas/test_network_cost.py


@dataclass(frozen=True)
class Limits:
    """What a network may cost; None: no limit. `sram` is what `compile --max-sram` compares, arena
    and stack; `flash` weights and code; `cycles` are of one call."""

    sram: int | None = None  # bytes
    flash: int | None = None  # bytes
    cycles: int | None = None


@dataclass(frozen=True)
class Deployment:
    """How the network will be compiled. `memory` "tflm": SRAM is charged as TensorFlow Lite Micro
    would need it, whole tensors placed by its greedy planner, and cycles as layer by layer."""

    target: str = "cortex-m4"
    optimize: str = "balanced"  # or latency, size
    input: str = "whole"  # or rows, stream, stream:N
    memory: str = "thumbnet"  # or tflm; only of whole inputs

    def __post_init__(self) -> None:
        """Raises ToolError for what there is not."""
        target_named(self.target)
        if self.optimize not in OPTIMIZE:
            raise ToolError(f"unknown optimize '{self.optimize}': one of {', '.join(OPTIMIZE)}")
        if not re.fullmatch(INPUT_MODES, self.input):
            raise ToolError(f"unknown input '{self.input}': whole, rows, stream or stream:ROWS")
        if self.memory not in MEMORIES:
            raise ToolError(f"unknown memory '{self.memory}': one of {', '.join(MEMORIES)}")
        if self.memory == "tflm" and self.input != "whole":
            raise ToolError("memory 'tflm' is that of whole inputs; leave input at 'whole'")

    def options(self, limits: Limits | None = None) -> Options:
        """What to compile with, so that the model is the one that was costed."""
        return Options(
            target=self.target,
            optimize=self.optimize,
            max_sram=limits.sram if limits else None,
            max_flash=limits.flash if limits else None,
            input=self.input,
        )


@dataclass(frozen=True)
class NetworkCost:
    """Of one call. `cycles` are the meter's for a Cortex-M4, whatever the target."""

    macs: int
    params: int  # trainable ones, scale and shift of batch norms counted
    arena_bytes: int
    weights_bytes: int
    code_bytes: int  # an estimate; 0 for the host
    cycles: int  # an estimate

    @property
    def flash(self) -> int:
        """Bytes of weights and code."""
        return self.weights_bytes + self.code_bytes

    @property
    def sram(self) -> int:
        """Bytes of arena and what is reserved for the stack."""
        return self.arena_bytes + STACK_RESERVE

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def network_cost(
    architecture: Architecture, deployment: Deployment = Deployment(), limits: Limits | None = None
) -> NetworkCost:
    """The cost of the deployed network. With `limits` the planner looks for a schedule that fits
    `limits.sram`, which may take more cycles; what does not fit is told as it is.

    Raises ThumbnetError, UnsupportedError among them where the network cannot be streamed.
    """
    options = deployment.options(limits)
    graph = options.applied(cost_graph(architecture))
    arena = None
    if deployment.memory == "tflm":
        schedule = plan(graph, Mode(optimize="size"), lower_known)  # layer by layer
        arena = greedy_arena(whole_tensors(graph))
    else:
        schedule = plan_in_forms(graph, options.mode, lower_known)
    found = schedule_cost(schedule, options.target, options.optimize, trained_differ=True)
    return NetworkCost(
        macs=found.macs,
        params=parameters(architecture),
        arena_bytes=found.arena_bytes if arena is None else arena,
        weights_bytes=found.weights_bytes,
        code_bytes=found.code_bytes or 0,
        cycles=found.cycles,
    )


def cost_bounds(architecture: Architecture, deployment: Deployment = Deployment()) -> NetworkCost:
    """No more than `network_cost` tells, figure by figure, in a fraction of its time.

    MACs and parameters are exact. Weights are those of the smaller form where a reducer packs them
    otherwise, else exact. Arena: the largest of input, output and what squeeze-and-excite keeps
    whole (of "tflm" exact). Cycles and code are those of running layer by layer: what more a
    schedule costs, it spends on memory; where faster forms may be taken, of the least of them.
    CYCLES_SHARE and CODE_SHARE leave room for reducers.
    """
    options = deployment.options()
    graph = options.applied(cost_graph(architecture))
    binding = bind(graph)
    kernels = lower_known(binding.graph, binding.operators)
    possible = all_options if options.optimize == "latency" else small_options
    cycles = sum(
        min(option.cycles for option in possible(binding.graph, kernel, options.optimize))
        for kernel in kernels
    )
    code = 0
    if target_named(options.target).reference_board is not None:
        linked = [kernel_code(kernels)]
        if options.optimize == "latency":
            linked.append(kernel_code([(*kernel.faster, kernel)[0] for kernel in kernels]))
        code = min(code_bytes(each, options.target, options.optimize) for each in linked)
    return NetworkCost(
        macs=graph.macs,
        params=parameters(architecture),
        arena_bytes=_least_arena(graph, deployment),
        weights_bytes=constant_bytes(map(_smallest_form, kernels), trained_differ=True),
        code_bytes=int(CODE_SHARE * code),
        cycles=int(CYCLES_SHARE * cycles),
    )


def _smallest_form(kernel: Kernel) -> Kernel:
    """The form of fewest bytes of constants. Where others could share them, a reducer has none."""
    forms = [form for form in (kernel, kernel.as_reducer, kernel.with_less_scratch) if form]
    return min(forms, key=lambda form: constant_bytes([form], trained_differ=True))


def _least_arena(graph: Graph, deployment: Deployment) -> int:
    if deployment.memory == "tflm":
        return greedy_arena(whole_tensors(graph))
    whole = [op.inputs[0] for op in graph.operators if op.kind == "MUL"]
    whole += (*graph.outputs, *(graph.inputs if deployment.input != "rows" else ()))
    return max((graph.tensors[name].nbytes for name in whole), default=0)


def exceeds(cost: NetworkCost, limits: Limits) -> str | None:
    """The first limit that is broken and by how much, in words; None where all hold."""
    checks = (
        ("SRAM", "bytes", cost.sram, limits.sram),
        ("flash", "bytes", cost.flash, limits.flash),
        ("time", "cycles", cost.cycles, limits.cycles),
    )
    for name, unit, needed, limit in checks:
        if limit is not None and needed > limit:
            return f"{name}: {needed} {unit}, {needed - limit} more than {limit}"
    return None


def _cost_or_bounds(
    architecture: Architecture, deployment: Deployment, limits: Limits | None
) -> NetworkCost:
    """The bounds where they are beyond the limits, else the cost."""
    bounds = cost_bounds(architecture, deployment)
    if exceeds(bounds, limits or Limits()) is not None:
        return bounds
    return network_cost(architecture, deployment, limits)


class CostOracle:
    """Costs of many architectures, each computed once, over `processes` (1: in this one).

    A context manager, which ends its processes; they are started by "spawn", so a script that makes
    one needs `if __name__ == "__main__":`. Raises ToolError for fewer than one process.
    """

    def __init__(
        self,
        deployment: Deployment = Deployment(),
        limits: Limits | None = None,
        processes: int = 1,
    ) -> None:
        if processes < 1:
            raise ToolError(f"{processes} processes cannot compute costs; give 1 or more")
        self.deployment = deployment
        self.limits = limits
        self.processes = processes
        self._known: dict[str, NetworkCost] = {}
        self._bounded: dict[str, NetworkCost] = {}
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> CostOracle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; costs that are known stay."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def cost(self, architecture: Architecture) -> NetworkCost:
        return self.costs([architecture])[0]

    def costs(self, architectures: Iterable[Architecture]) -> list[NetworkCost]:
        """In the order of `architectures`. Raises ThumbnetError."""
        return self._all(architectures, network_cost, self._known)

    def costs_that_fit(self, architectures: Sequence[Architecture]) -> list[NetworkCost]:
        """The same, but of what is beyond the limits perhaps only bounds that are beyond them too:
        ten times as fast where hardly anything fits. Raises ThumbnetError."""
        found = self._all(architectures, _cost_or_bounds, {**self._bounded, **self._known})
        for architecture, cost in zip(architectures, found, strict=True):
            fits = exceeds(cost, self.limits or Limits()) is None
            (self._known if fits else self._bounded)[architecture.digest] = cost
        return found

    def _all(
        self,
        architectures: Iterable[Architecture],
        ask: Callable[[Architecture, Deployment, Limits | None], NetworkCost],
        known: dict[str, NetworkCost],
    ) -> list[NetworkCost]:
        asked = list(architectures)
        digests = [a.digest for a in asked]
        new = {d: a for d, a in zip(digests, asked, strict=True) if d not in known}
        for digest, found in zip(new, self._computed(list(new.values()), ask), strict=True):
            known[digest] = found
        return [known[digest] for digest in digests]

    def _computed(
        self,
        architectures: Sequence[Architecture],
        ask: Callable[[Architecture, Deployment, Limits | None], NetworkCost],
    ) -> Iterator[NetworkCost]:
        settings = repeat(self.deployment), repeat(self.limits)
        if self.processes == 1 or len(architectures) < 2:
            yield from map(ask, architectures, *settings)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.processes, get_context("spawn"))
        chunk = max(1, min(64, len(architectures) // (4 * self.processes)))
        try:
            yield from self._pool.map(ask, architectures, *settings, chunksize=chunk)
        except BrokenProcessPool as error:
            self.close()
            raise ToolError(
                "a process that computes costs died: memory may be short, or the script runs all "
                'of itself when imported (if __name__ == "__main__": ...); processes=1 needs none'
            ) from error
