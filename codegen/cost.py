"""What a graph costs on a microcontroller, told without compiling C.

The arena is the planner's and the weights are the emitter's own constants: both are exact. Code and
cycles are estimates: sums over loop counts (loop_counts) and over the kernels that are linked,
times costs that tools/fit_cycles.py fits to the emulator and writes into cycle_model.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from thumbnet.codegen.budget import peak_layer
from thumbnet.codegen.cycles import cycle_model, layer_cycles
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.flash import TRAINED, estimated_code, weights_bytes
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.planner import WHOLE, Mode
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.steps import plan_steps
from thumbnet.codegen.targets import flash_for_forms
from thumbnet.codegen.targets import target as target_named

OPTIMIZE = ("latency", "balanced", "size")


@dataclass(frozen=True)
class Cost:
    """Of one call of a model. `cycles` are the meter's for a Cortex-M4, whatever the target;
    `code_bytes` is None for the host."""

    macs: int
    params: int  # weights and biases of convolutions and dense layers
    arena_bytes: int
    weights_bytes: int
    code_bytes: int | None  # an estimate
    cycles: int  # an estimate
    peak_layer: str  # during which most of the arena lives, in words
    forms: Mapping[str, str]  # of layers, by output, whose form is not the usual one


def cost(
    graph: Graph,
    target: str = "cortex-m4",
    optimize: str = "balanced",
    mode: Mode = WHOLE,
    max_step_cycles: int | None = None,
) -> Cost:
    """The cost of an optimised graph (`compile.load_graph`); `target` and `optimize` go before the
    mode's, `max_step_cycles` is as in `steps.plan_steps`. Raises ThumbnetError.
    """
    flash = flash_for_forms(target_named(target), mode.max_flash)
    if optimize not in OPTIMIZE:
        raise ToolError(f"unknown --optimize '{optimize}': one of {', '.join(OPTIMIZE)}")
    mode = replace(mode, optimize=optimize, max_flash=flash, target=target)
    schedule = plan_steps(graph, mode, max_step_cycles)
    return schedule_cost(schedule, target, optimize)


def schedule_cost(
    schedule: Schedule,
    target: str = "cortex-m4",
    optimize: str = "balanced",
    *,
    trained_differ: bool = False,
) -> Cost:
    """The same of a schedule that is made already, compiled with `optimize`; `trained_differ` is as
    in `constant_bytes`."""
    named = target_named(target)
    code = None if named.reference_board is None else estimated_code(schedule, target, optimize)
    return Cost(
        macs=schedule.graph.macs,
        params=parameters(schedule.graph),
        arena_bytes=schedule.arena_bytes,
        weights_bytes=weights_bytes(schedule, trained_differ=trained_differ),
        code_bytes=code,
        cycles=sum(layer_cycles(schedule, optimize)) + round(cycle_model()["run"]),
        peak_layer=peak_layer(schedule),
        forms={kernel.output: kernel.form for kernel in schedule.kernels if kernel.form},
    )


def parameters(graph: Graph) -> int:
    """Weights and biases of convolutions and dense layers of the source model; shared ones count
    once."""
    if graph.params:
        return graph.params
    names = {n for op in graph.operators if op.kind in TRAINED for n in op.inputs[1:3] if n}
    return sum(graph.tensors[name].elements for name in names if graph.is_constant(name))
