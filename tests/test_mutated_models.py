"""Hostile models: a clear refusal or a correct result, never a crash, a hang or a huge allocation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.isolated_reference import load_calls, save_calls
from tests.sanitized import build_program, dequantized, run_program
from thumbnet.codegen.manifest import read_manifest
from thumbnet.tools.arrays import random_calls

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "models"
SMALL_PUBLIC = ("tflm/hello_world_int8", "tflm/micro_speech_quantized", "micro_wake_word/okay_nabu")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
CALLS = 8


def _worker(folder: Path, first: int, count: int, keep: int) -> dict[str, list]:  # type: ignore[type-arg]
    public = [SHARED / f"{name}.tflite" for name in SMALL_PUBLIC]
    command = [sys.executable, "-m", "tests.mutation_worker", str(folder), first, count, keep]
    command += [path for path in public if path.exists()]
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "report.json").read_text())


def _compare(folder: Path, kept: list[int]) -> tuple[list[str], int]:
    """What differs from the reference or trips a sanitizer, and how many could be compared."""
    models = [folder / f"m{number}" for number in kept]
    program = build_program(models, folder)
    calls, lines = [], []
    for model in models:
        manifest = read_manifest(model)
        calls.append(random_calls(manifest.inputs, CALLS))
        save_calls(model / "inputs.npz", dequantized(calls[-1], manifest.inputs))
        lines.append(f"{model / 'model.tflite'}\t{model / 'inputs.npz'}\t{len(manifest.outputs)}")
    (folder / "list").write_text("\n".join(lines))
    answers = folder / "answers"
    answers.mkdir()
    subprocess.run(
        [sys.executable, "-m", "tests.isolated_reference", str(folder / "list"), str(answers)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=True,
    )  # fmt: skip
    wrong, compared = [], 0
    for i, (number, model) in enumerate(zip(kept, models, strict=True)):
        manifest = read_manifest(model)
        try:
            ours = dequantized(run_program(program, i, manifest, calls[i]), manifest.outputs)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            wrong.append(f"case {number}: {error}")
            continue
        if not (answers / f"{i}.npz").exists():
            continue
        compared += 1
        theirs = load_calls(answers / f"{i}.npz")
        for call, (mine, wanted) in enumerate(zip(ours, theirs, strict=True)):
            for edge, a, b in zip(manifest.outputs, mine, wanted, strict=True):
                if a.dtype != b.dtype or a.tobytes() != b.tobytes():
                    far = np.abs(a.astype(float).ravel() - b.ravel()).max() if a.size == b.size else 0
                    wrong.append(f"case {number}: call {call}, '{edge.name}' differs by {far:g}")
                    break
    return wrong, compared


def _hostile(folder: Path, first: int, count: int, keep: int) -> tuple[dict[str, list], int]:  # type: ignore[type-arg]
    report = _worker(folder, first, count, keep)
    assert not report["failures"], "\n".join(map(str, report["failures"][:5]))
    wrong, compared = _compare(folder, report["kept"])
    assert not wrong, "\n".join(wrong[:10])
    return report, compared


def test_mutants_are_refused_or_run_correctly(tmp_path: Path) -> None:
    report, compared = _hostile(tmp_path, 0, 3000, 60)
    assert report["refused"] > 1500
    assert report["compiled"] > 300
    assert compared > 30


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_many_mutants_are_refused_or_run_correctly(tmp_path: Path, part: int) -> None:
    _hostile(tmp_path, 10_000 + 5_000 * part, 5_000, 250)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    from tests.sample_models import SAMPLES
    from thumbnet.codegen.compile import load_graph
    from thumbnet.codegen.errors import ThumbnetError

    data = SAMPLES["float_edges"]().build()
    for length in range(0, len(data) - 1, 3):
        path = tmp_path / "cut.tflite"
        path.write_bytes(data[:length])
        with pytest.raises(ThumbnetError, match="cut.tflite"):
            load_graph(path)
