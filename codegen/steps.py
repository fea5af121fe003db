"""Schedules whose steps are bounded in estimated cycles."""

from __future__ import annotations

from dataclasses import replace

from thumbnet.codegen.cycles import layer_cycles
from thumbnet.codegen.errors import BudgetError
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.planner import WHOLE, Mode
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.streaming import rows_of
from thumbnet.codegen.variants import plan_in_forms


def plan_steps(graph: Graph, mode: Mode = WHOLE, max_step_cycles: int | None = None) -> Schedule:
    """The schedule of an optimised graph, its bands cut so that no step is estimated to take more
    than `max_step_cycles`; None: no limit. Raises ThumbnetError."""
    schedule = plan_in_forms(graph, mode)
    if max_step_cycles is not None:
        rows = [rows_of(schedule.graph, kernel) for kernel in schedule.kernels]
        # Lower bands cost more a row, so what they cost is told again until it holds.
        while longest_step(schedule, mode.optimize) > max_step_cycles:
            fitting = _step_rows(schedule, max_step_cycles, mode.optimize)
            halved = [max(1, n // 2) if n <= f else f for n, f in zip(rows, fitting, strict=True)]
            over = _steps_over(schedule, max_step_cycles, mode.optimize)
            rows = [
                h if i in over else n for i, (n, h) in enumerate(zip(rows, halved, strict=True))
            ]
            schedule = plan_in_forms(graph, replace(mode, step_rows=tuple(rows)))
    return schedule


def _step_cycles(schedule: Schedule, optimize: str) -> list[int]:
    """Estimated cycles of each step: its rows' share of its layer."""
    cycles = layer_cycles(schedule, optimize)
    rows = [rows_of(schedule.graph, kernel) for kernel in schedule.kernels]
    return [-(-cycles[s.kernel] * (s.y_end - s.y_begin) // rows[s.kernel]) for s in schedule.steps]


def longest_step(schedule: Schedule, optimize: str = "balanced") -> int:
    """Estimated cycles of the longest step."""
    return max(_step_cycles(schedule, optimize), default=0)


def _steps_over(schedule: Schedule, limit: int, optimize: str = "balanced") -> set[int]:
    """Kernels that have a step of more than `limit` estimated cycles."""
    cycles = _step_cycles(schedule, optimize)
    return {s.kernel for s, n in zip(schedule.steps, cycles, strict=True) if n > limit}


def _step_rows(schedule: Schedule, limit: int, optimize: str = "balanced") -> tuple[int, ...]:
    """By kernel: how many rows fit into `limit` estimated cycles.

    Raises BudgetError naming the layer whose smallest step takes longest, if it takes longer.
    """
    every = layer_cycles(schedule, optimize)
    kernels = schedule.kernels
    rows = [rows_of(schedule.graph, kernel) for kernel in kernels]
    least = [
        cycles if kernel.band == "whole" else -(-cycles // n)
        for kernel, cycles, n in zip(kernels, every, rows, strict=True)
    ]
    worst = max(range(len(least)), key=least.__getitem__, default=None)
    if worst is not None and least[worst] > limit:
        raise BudgetError(
            f"{schedule.graph.source}: the smallest step of layer {worst} ({kernels[worst].kind}, "
            f"output '{kernels[worst].output}') takes about {least[worst]} cycles, which is the "
            f"least --max-step-cycles for this model, not {limit}"
        )
    return tuple(
        n if kernel.band == "whole" else max(1, limit * n // max(cycles, 1))
        for kernel, cycles, n in zip(kernels, every, rows, strict=True)
    )
