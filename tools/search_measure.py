"""What a search promised, measured: the winner's C on an emulated board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.compile import Options
from thumbnet.codegen.errors import BudgetError, ToolError
from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.targets import Board, boards
from thumbnet.codegen.toolchain import arm_compiler
from thumbnet.nas.cost import NetworkCost
from thumbnet.nas.search_plan import Plan
from thumbnet.tools.arrays import Array, random_calls
from thumbnet.tools.emulator import find_qemu
from thumbnet.tools.session import (
    Place,
    open_session,
    run_calls,
    run_result,
)

SAMPLES = 20  # inputs whose outputs are compared with the host's
CYCLES_TARGET = "cortex-m4"  # that estimates of cycles are of
CYCLES_ERROR = 0.10  # of estimates: the 95th percentile of 50 networks that docs/cost.md states
STREAMED_ERROR = 0.12  # of streamed networks, which take up to 9 % less than is estimated


def emulated_board(target: str) -> Board | None:
    """The emulated board of a target with most SRAM."""
    found = [board for board in boards() if board.emulated and board.target.name == target]
    return max(found, key=lambda board: board.sram, default=None)


def measure(model: Path, plan: Plan, inputs: NDArray[np.int8]) -> dict[str, Any]:
    """Compiles `model` as the plan wants it and runs it on an emulated board of its target: twice
    for the figures of `bench`, then with `inputs` (int8 [N, H, W, C]), whose outputs are compared
    with those of the same C on this machine, byte for byte (`calls`, `calls_equal`).

    Where there is no such board, or its compiler or emulator is missing, {"skipped": why}.
    """
    options, board = plan.deployment.options(plan.limits), emulated_board(plan.deployment.target)
    if board is None:
        return {"skipped": f"no emulated board has a {plan.deployment.target}"}
    try:
        arm_compiler()
        find_qemu()
    except ToolError as error:
        return {"skipped": str(error)}
    place = Place(board.name, board)
    try:
        session = open_session(model, place, options)
    except BudgetError as error:
        return {"skipped": str(error)}
    drawn = random_calls(session.manifest.inputs, 8)[-2:]
    figures = run_result(session, run_calls(session, drawn))
    calls = calls_of(session.manifest, inputs)
    host = replace(options, max_sram=None, max_flash=None)
    on_host = outputs(model, Place("host", None), host, calls)
    on_board = [call[0] for call in run_calls(session, calls, meter=False).outputs]
    equal = sum(bool(np.array_equal(a, b)) for a, b in zip(on_host, on_board, strict=True))
    figures |= {"calls": len(calls), "calls_equal": equal}
    return figures


def outputs(
    model: Path, place: Place, options: Options, calls: Sequence[Sequence[Array]]
) -> list[Array]:
    """The output of each call."""
    session = open_session(model, place, options)
    return [call[0] for call in run_calls(session, calls, meter=False).outputs]


def calls_of(manifest: Manifest, inputs: NDArray[np.int8]) -> list[list[Array]]:
    """`inputs` as the model takes them: one a call, or where it is streamed so many rows a call,
    one input after the other."""
    (edge,) = manifest.inputs
    if not manifest.window_rows:
        return [[item[None]] for item in inputs]
    rows = inputs.reshape(1, -1, *inputs.shape[2:])
    step = edge.shape[1]
    return [[rows[:, at : at + step]] for at in range(0, rows.shape[1] - step + 1, step)]


def broken_promises(
    plan: Plan, promised: NetworkCost, estimated: int, measured: dict[str, Any]
) -> list[str]:
    """In words, what was measured to be other than it was promised. Arena and weights are exact
    (but what memory "tflm" charges is not what our C needs), cycles within what docs/cost.md says
    of `estimated`, the cost report's of the trained network: training may bring forth numbers that
    take longer to requantise than was promised."""
    if "skipped" in measured:
        return []
    found = []
    exact = [("weights", measured["flash"]["weights"], promised.weights_bytes)]
    if plan.deployment.memory == "thumbnet":
        exact.append(("arena", measured["arena_bytes"], promised.arena_bytes))
    for name, now, then in exact:
        if now != then:
            found.append(f"{name}: {now} bytes, promised {then}")
    stated = STREAMED_ERROR if plan.deployment.input.startswith("stream") else CYCLES_ERROR
    cycles = measured["cycles"]
    if plan.deployment.target == CYCLES_TARGET and abs(cycles - estimated) > stated * estimated:
        found.append(
            f"cycles: {cycles}, estimated {estimated} ({cycles / estimated - 1:+.1%}; stated is "
            f"{stated:.0%})"
        )
    if measured["calls_equal"] != measured["calls"]:
        different = measured["calls"] - measured["calls_equal"]
        found.append(f"outputs: {different} of {measured['calls']} calls differ from the host's")
    return found


def cycles_error(plan: Plan, promised: NetworkCost, measured: dict[str, Any]) -> float | None:
    """(measured - promised) / promised, where both are of the same schedule on the same core."""
    deployment = plan.deployment
    if deployment.target != CYCLES_TARGET or deployment.memory != "thumbnet":
        return None
    cycles = measured.get("cycles")
    return None if cycles is None else (cycles - promised.cycles) / promised.cycles


def over_limits(plan: Plan, measured: dict[str, Any]) -> str | None:
    """What was measured to break a limit of the plan, in words: cycles, which are estimates before
    they are measured."""
    limit, cycles = plan.limits.cycles, measured.get("cycles")
    if limit is None or cycles is None or cycles <= limit:
        return None
    return f"{cycles} cycles, {cycles - limit} more than the limit of {limit}"
