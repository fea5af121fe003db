"""What a board tells of a run, wherever it is: in an emulator or at the end of a cable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thumbnet.codegen.errors import DataError
from thumbnet.codegen.manifest import Manifest


@dataclass(frozen=True)
class LayerFigures:
    """What one layer of the manifest cost in the last call."""

    symbol: str
    instructions: int | None  # None where they are not counted
    cycles: int


@dataclass(frozen=True)
class BoardRun:
    """Outputs of some calls and the figures of the last. `stack_bytes` is the painted mark of
    NAME_run alone, at its deepest.

    `cycles` are an estimate for a Cortex-M4 where an emulator was metered, the core's own counter
    on real boards, and None where neither was asked.
    """

    outputs: tuple[tuple[bytes, ...], ...]  # one tuple for each call, one item for each output
    instructions: int | None
    cycles: int | None
    layers: tuple[LayerFigures, ...] | None  # with profile, in the manifest's order
    stack_bytes: int
    init_stack_bytes: int  # the same of NAME_init; 0 without state
    canaries_ok: bool  # nothing was written just before or behind the arena


def check_calls(manifest: Manifest, calls: Sequence[Sequence[bytes]]) -> None:
    """Raises DataError where calls (the raw bytes of every input) are not what the model takes."""
    if not calls or not manifest.inputs:
        raise DataError(f"model '{manifest.name}': there is no call to run")
    for number, call in enumerate(calls):
        if len(call) != len(manifest.inputs):
            raise DataError(
                f"call {number} has {len(call)} inputs, model '{manifest.name}' takes "
                f"{len(manifest.inputs)}"
            )
        for edge, data in zip(manifest.inputs, call, strict=True):
            if len(data) != edge.bytes:
                raise DataError(
                    f"call {number}: input '{edge.name}' has {len(data)} bytes, not {edge.bytes}"
                )
