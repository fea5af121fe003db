"""Does it fit? Refusals that name the layer to blame, by how much, and what would fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbnet.codegen.errors import BudgetError
from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.targets import Board

if TYPE_CHECKING:
    from thumbnet.codegen.cost import Cost


def peak_layer(schedule: Schedule) -> str:
    """The layer during which most bytes live, in words."""
    if not schedule.steps:
        return "the inputs"
    peak = max(range(len(schedule.steps)), key=schedule.live_bytes.__getitem__)
    layer = schedule.steps[peak].kernel
    kernel = schedule.kernels[layer]
    return f"layer {layer} ({kernel.kind}, output '{kernel.output}')"


def check_budget(
    manifest: Manifest, max_sram: int | None, max_flash: int | None, sources: tuple[str, str]
) -> None:
    """Raises BudgetError with the layer that needs most, by how much, and what would fit.

    `sources` say what the two limits are, e.g. ("--max-sram", "the flash of microbit").
    """
    stack = manifest.stack_bytes or 0
    need = manifest.arena_bytes + stack
    if max_sram is not None and need > max_sram:
        raise BudgetError(
            f"{manifest.model} needs {need} bytes of SRAM (arena {manifest.arena_bytes}, stack "
            f"{manifest.stack_bytes or 'unknown'}), {need - max_sram} more than {sources[0]} "
            f"({max_sram}); memory peaks in {manifest.peak_layer}: a smaller input or narrower "
            f"layers there, or a board with {need} bytes free, would fit"
        )
    flash = manifest.weights_bytes + (manifest.code_bytes or 0)
    if max_flash is not None and flash > max_flash:
        largest = max(manifest.layers, key=lambda layer: layer.weights_bytes)
        raise BudgetError(
            f"{manifest.model} needs {flash} bytes of flash (weights {manifest.weights_bytes}, "
            f"code {manifest.code_bytes or 'unknown'}), {flash - max_flash} more than {sources[1]} "
            f"({max_flash}); most weights, {largest.weights_bytes} bytes, are in '{largest.name}' "
            f"({largest.op}): narrower layers there, or a board with {flash} bytes free, would "
            "fit"
        )


def check_room(manifest: Manifest, board: Board, stack: int, needs: tuple[int, int]) -> None:
    """Raises BudgetError where an image of `board` would need more SRAM or flash than it has.

    `needs` are bytes of both: reserved stack, runner and the model's arena; runner and the model's
    weights.
    """
    arena, weights = manifest.arena_bytes, manifest.weights_bytes
    for memory, need, there, why in (
        (
            "SRAM",
            needs[0],
            board.sram,
            f"arena {arena}, reserved stack {stack}, the rest the runner",
        ),
        ("flash", needs[1], board.flash, f"weights {weights}, the rest the runner"),
    ):
        if need > there:
            blame = f"; memory peaks in {manifest.peak_layer}" if memory == "SRAM" else ""
            raise BudgetError(
                f"model '{manifest.name}' does not fit {board.name}: {memory} is short by "
                f"{need - there} bytes (needs {need}: {why}; board {there}){blame}: choose a "
                "larger board or a smaller model"
            )


def check_cost(name: str, cost: Cost, max_sram: int | None, max_flash: int | None) -> None:
    """The same of a cost report, whose stack is not known and whose code is an estimate."""
    if max_sram is not None and cost.arena_bytes > max_sram:
        raise BudgetError(
            f"{name} needs {cost.arena_bytes} bytes of SRAM for its arena alone, "
            f"{cost.arena_bytes - max_sram} more than --max-sram ({max_sram}); memory peaks in "
            f"{cost.peak_layer}: a smaller input or narrower layers there would fit"
        )
    flash = cost.weights_bytes + (cost.code_bytes or 0)
    if max_flash is not None and flash > max_flash:
        raise BudgetError(
            f"{name} needs about {flash} bytes of flash (weights {cost.weights_bytes}, code about "
            f"{cost.code_bytes or 'unknown'}), {flash - max_flash} more than --max-flash "
            f"({max_flash}): narrower or fewer layers would fit"
        )
