"""Hostile models: a clear refusal or a correct result, no crash, no hang, no huge allocation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from isolated_reference import load_calls, save_calls
from sample_models import SAMPLES
from sanitized import build_program, dequantized, run_program
from tflite_builder import Builder, Spec

from thumbnet.codegen.compile import load_graph, plan_model
from thumbnet.codegen.errors import ThumbnetError
from thumbnet.codegen.manifest import read_manifest
from thumbnet.tools.arrays import random_calls

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "models"
SMALL_PUBLIC = ("tflm/hello_world_int8", "tflm/micro_speech_quantized", "micro_wake_word/okay_nabu")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
CALLS = 8


def _worker(folder: Path, first: int, count: int, keep: int) -> dict[str, list]:  # type: ignore[type-arg]
    public = [SHARED / f"{name}.tflite" for name in SMALL_PUBLIC]
    command = [sys.executable, ROOT / "tests" / "mutation_worker.py", folder, first, count, keep]
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
        [sys.executable, ROOT / "tests" / "isolated_reference.py", folder / "list", answers],
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
                    wrong.append(f"case {number}: call {call}, '{edge.name}': {a}, not {b}"[:400])
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
    """But for the last bytes, which hold padding and the name of a tensor."""
    data = SAMPLES["float_edges"]().build()
    for length in range(len(data) - 20):
        path = tmp_path / "cut.tflite"
        path.write_bytes(data[:length])
        with pytest.raises(ThumbnetError, match="cut.tflite"):
            load_graph(path)


# ---- contradictions by hand ----------------------------------------------------------------------


def _no_operators(b: Builder) -> None:
    b.operators.clear()


def _no_outputs(b: Builder) -> None:
    b.outputs.clear()


def _output_twice(b: Builder) -> None:
    b.outputs.append(b.outputs[0])


def _constant_output(b: Builder) -> None:
    b.outputs.append(b.constant(np.zeros(3, np.int8), 0.1))


def _output_from_nowhere(b: Builder) -> None:
    b.outputs.append(b.tensor(Spec((1, 3), scale=0.1)))


def _reversed(b: Builder) -> None:
    b.operators.reverse()


def _cycle(b: Builder) -> None:
    b.operators[0].inputs[0] = b.operators[-1].outputs[0]


def _written_twice(b: Builder) -> None:
    b.operators[-1].outputs = list(b.operators[0].outputs)


def _overwritten_input(b: Builder) -> None:
    b.operators[0].outputs = list(b.inputs)


def _huge(b: Builder) -> None:
    b.specs[b.inputs[0]] = replace(b.specs[b.inputs[0]], shape=(1, 2**30, 2**30, 8))


def _rank_9(b: Builder) -> None:
    b.specs[b.inputs[0]] = replace(b.specs[b.inputs[0]], shape=(1,) * 9)


def _index_too_high(b: Builder) -> None:
    b.operators[0].inputs[0] = len(b.specs)


def _no_operands(b: Builder) -> None:
    b.operators[0].inputs.clear()


def _nan_scale(b: Builder) -> None:
    b.specs[b.inputs[0]] = replace(b.specs[b.inputs[0]], scale=float("nan"))


def _denormal_scale(b: Builder) -> None:
    b.specs[b.inputs[0]] = replace(b.specs[b.inputs[0]], scale=1e-40)


def _tall(b: Builder) -> None:
    x = b.input((1, 100_000, 1, 1), scale=0.1)
    b.output(b.op("RELU", [x], Spec((1, 100_000, 1, 1), scale=0.1)))


def _split_into_nothing(b: Builder) -> None:
    axis = b.constant(np.array([1], np.int32))
    b.ops("SPLIT", [axis, b.inputs[0]], [], num_splits=0)


def _zero_point_out_of_range(b: Builder) -> None:
    b.specs[b.inputs[0]] = replace(b.specs[b.inputs[0]], zero_point=128)


def _no_scale(b: Builder) -> None:
    b.specs[b.inputs[0]] = replace(b.specs[b.inputs[0]], scale=None)


def _stride_0(b: Builder) -> None:
    b.operators[0].options["stride_h"] = 0


def _unknown_padding(b: Builder) -> None:
    b.operators[0].options["padding"] = 7


def _unknown_activation(b: Builder) -> None:
    b.operators[0].options["fused_activation_function"] = 5


def _dilation_of_65535(b: Builder) -> None:
    b.operators[0].options["dilation_h_factor"] = 65535


def _short_weights(b: Builder) -> None:
    b.data[b.operators[0].inputs[1]] = np.zeros(5, np.int8)


def _batch_of_2(b: Builder) -> None:
    for i, spec in enumerate(b.specs):
        if b.data[i] is None:
            b.specs[i] = replace(spec, shape=(2, *spec.shape[1:]))


def _only_constants(b: Builder) -> None:
    c = b.constant(np.ones((1, 5), np.int8), 0.1)
    b.output(b.op("ADD", [c, c], Spec((1, 5), scale=0.2), fused_activation_function="NONE"))


CONTRADICTIONS = {
    _no_operators: "never",
    _no_outputs: "no outputs",
    _output_twice: "twice",
    _constant_output: "constant",
    _output_from_nowhere: "never",
    _reversed: "before anything writes it",
    _cycle: "before anything writes it",
    _written_twice: "already has a value",
    _overwritten_input: "already has a value",
    _huge: "too large",
    _rank_9: "9 dimensions",
    _index_too_high: "tensor index",
    _no_operands: "lacks input",
    _nan_scale: "scale",
    _denormal_scale: "no quantiser makes",
    _tall: "100000 rows",
    _split_into_nothing: "nothing",
    _zero_point_out_of_range: "zero point 128",
    _no_scale: "no scale",
    _stride_0: "stride",
    _unknown_padding: "padding",
    _unknown_activation: "activation",
    _dilation_of_65535: "above 32767",
    _short_weights: "5 values",
    _batch_of_2: "batch",
    _only_constants: "all its inputs are constant",
}


@pytest.mark.parametrize("damage", CONTRADICTIONS, ids=lambda damage: damage.__name__[1:])
def test_contradiction_is_named(tmp_path: Path, damage: Callable[[Builder], None]) -> None:
    builder = SAMPLES["small_cnn"]()
    damage(builder)
    path = tmp_path / "odd.tflite"
    path.write_bytes(builder.build())
    with pytest.raises(ThumbnetError, match="odd.tflite") as refusal:
        plan_model(load_graph(path))
    assert CONTRADICTIONS[damage] in str(refusal.value)
