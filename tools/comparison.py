"""`thumbnet check`: a model's outputs against the reference interpreter, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.errors import DataError, ModelFormatError, ToolError
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.manifest import Manifest
from thumbnet.tools.arrays import Array, dequantize, random_calls
from thumbnet.tools.reference import reference_outputs
from thumbnet.tools.session import Session, pytorch_program, run_calls


@dataclass(frozen=True)
class Comparison:
    """One row of `check`: `max_difference` is in the outputs' own units (integers, or float32)."""

    model: str
    on: str
    equal: bool
    calls: int
    max_difference: float


def check_model(session: Session, reference: Path, calls: int) -> Comparison:
    """Compares every output byte with the reference interpreter's over `calls` drawn inputs; a
    streamed model's with those of the whole-window network on the window of each call.

    A .pt2 reference is the program's integer graph, written as .tflite for the interpreter.
    """
    manifest = session.manifest
    drawn = random_calls(manifest.inputs, calls)
    whole = windows(manifest, drawn) if manifest.window_rows else drawn
    inputs, outputs = manifest.inputs, manifest.outputs
    if reference.suffix == ".pt2":  # what is written has integers at its edges
        reference = written_reference(reference)
        inputs = tuple(replace(edge, float=False) for edge in inputs)
        outputs = tuple(replace(edge, float=False) for edge in outputs)
    fed = [[dequantize(a, edge) for a, edge in zip(call, inputs, strict=True)] for call in whole]
    expected = reference_outputs(reference, fed, len(manifest.outputs))
    outcome = run_calls(session, drawn, meter=False)
    equal, worst = True, 0.0
    for ours, theirs in zip(outcome.outputs, expected, strict=True):
        for mine, wanted, edge in zip(ours, theirs, outputs, strict=True):
            got = dequantize(mine, edge)
            if got.dtype != wanted.dtype or got.size != wanted.size:
                raise ToolError(
                    f"{manifest.model}: output '{edge.name}' is {got.dtype} {list(got.shape)}, the "
                    f"reference's is {wanted.dtype} {list(wanted.shape)}"
                )
            if got.tobytes() != wanted.tobytes():
                equal = False
                difference = np.abs(got.astype(np.float64).ravel() - wanted.ravel())
                worst = max(worst, float(difference.max()))
    stem = Path(manifest.model).stem
    return Comparison(stem, session.place.name, equal, calls, worst)


def written_reference(model: Path) -> Path:
    """The integer graph of a .pt2 file as a .tflite, kept under the hash of its content."""
    written = write_tflite(pytorch_program(model).graph)

    def build(folder: Path) -> None:
        (folder / f"{model.stem}.tflite").write_bytes(written)

    return cached(None, "reference", [model.stem, written], build) / f"{model.stem}.tflite"


def quantization_result(
    reference: Path, float_model: Path | None = None, data: Path | None = None
) -> dict[str, Any]:
    """The fields that `check --json` adds for a .pt2 reference; none for others, which take neither
    a float model nor data. Raises ThumbnetError."""
    if reference.suffix != ".pt2":
        if float_model or data:
            raise DataError(f"{reference}: --float and --data are for .pt2 models")
        return {}
    program = pytorch_program(reference)
    from thumbnet.tools.quantization_report import report

    return report(program, float_model, data).to_json()


def windows(manifest: Manifest, calls: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """The window [1, T, ...] that a streamed model's input (one a call) makes up in each call;
    before the first call it holds rows equal to the zero point."""
    edge, height = manifest.inputs[0], manifest.window_rows
    before = np.full((1, height, *edge.shape[2:]), edge.zero_point, edge.dtype)
    rows = np.concatenate([before, *(call[0] for call in calls)], axis=1)
    step = edge.shape[1]
    return [[rows[:, end - height : end]] for end in range(height + step, rows.shape[1] + 1, step)]


def calls_to_fill(manifest: Manifest) -> int:
    """Calls until a streamed model's window holds nothing but what came in; 0 for others."""
    return -(-manifest.window_rows // manifest.inputs[0].shape[1]) if manifest.window_rows else 0


def reference_of(session: Session, given: Path | None) -> Path:
    """The .tflite or .pt2 file that a session is checked against."""
    reference = given or session.source
    if reference is None:
        raise DataError(
            f"{session.folder} does not hold the model it was made from; name it with --reference"
        )
    if not reference.is_file():
        raise ModelFormatError(f"{reference} is not a file")
    return reference
