"""`thumbnet check` and `run` on PyTorch programs: sessions, layouts, what is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchao", reason="needs torch and torchao")

import torch
from command_line import ROOT, thumbnet
from sample_models import SAMPLES
from sample_programs import write_files
from torch import nn

from thumbnet.codegen.compile import Options
from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.frontends.pytorch.quantize import quantize, save
from thumbnet.tools.comparison import (
    check_model,
    quantization_result,
    written_reference,
)
from thumbnet.tools.pytorch_model import (
    float_module,
    load_program,
    outputs_of,
    program_of,
)
from thumbnet.tools.quantization_report import (
    output_noise,
    program_distance,
    report,
)
from thumbnet.tools.session import (
    Session,
    cost_result,
    items_of,
    open_session,
    output_of,
    place_named,
    run_calls,
)
from thumbnet.tools.tables import show_quantization


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


# ---- sessions ------------------------------------------------------------------------------------


def _open(path: Path, on: str = "host") -> Session:
    return open_session(path, place_named(on), Options())


@pytest.mark.parametrize("on", ["host", "mps2-an386"])
def test_the_whole_model_equals_the_interpreter_of_its_graph(
    qemu: None, files: Path, on: str
) -> None:
    session = _open(files / "model.pt2", on)
    found = check_model(session, files / "model.pt2", 24)
    assert (found.equal, found.max_difference, found.calls) == (True, 0.0, 24)


def test_a_compiled_folder_is_checked_against_its_program(files: Path) -> None:
    session = _open(files / "model.pt2")
    folder = open_session(session.folder, place_named("host"), Options())
    assert check_model(folder, files / "model.pt2", 8).equal


def test_arrays_are_laid_out_as_the_module_has_them(tmp_path: Path) -> None:
    """[N, C, H, W] in and out; each of the N is a call; within a step of the program."""
    torch.manual_seed(0)
    module = nn.Conv2d(3, 5, 3, stride=2).eval()
    save(quantize(module, torch.randn(1, 3, 8, 9), [torch.randn(16, 3, 8, 9)]), tmp_path / "m.pt2")
    session = _open(tmp_path / "m.pt2")
    inputs = np.random.default_rng(2).normal(size=(4, 3, 8, 9)).astype(np.float32)
    items, stacked = items_of(session, 0, inputs, "x.npy")
    assert [item.shape for item in items] == [(1, 8, 9, 3)] * 4
    outcome = run_calls(session, [[item] for item in items])
    outputs = output_of(session, 0, [call[0] for call in outcome.outputs], stacked)
    assert (outputs.shape, outputs.dtype) == ((4, 5, 3, 4), np.float32)
    assert session.program is not None
    wanted = [outputs_of(session.program.lowered.module, (inputs[i : i + 1],))[0] for i in range(4)]
    step = session.manifest.outputs[0].scale
    assert np.abs(outputs - np.concatenate(wanted)).max() <= 1.01 * step
    with pytest.raises(DataError, match=r"x.npy has shape \[4, 8, 9, 3\].*takes \[N, 3, 8, 9\]"):
        items_of(session, 0, inputs.transpose(0, 2, 3, 1), "x.npy")
    with pytest.raises(DataError, match="NaN"):
        items_of(session, 0, np.full_like(inputs, np.nan), "x.npy")


def test_cost(files: Path) -> None:
    result = cost_result(files / "model.pt2", Options())
    manifest = _open(files / "model.pt2").manifest
    assert (result["macs"], result["arena_bytes"]) == (manifest.macs, manifest.arena_bytes)


# ---- the command ---------------------------------------------------------------------------------


def test_without_torch(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbnet.codegen.compile.find_spec", lambda name: None)
    for ask in (_open, written_reference, quantization_result):
        with pytest.raises(ToolError, match=r"model.pt2: .*pip install 'thumbnet\[torch\]'"):
            ask(files / "model.pt2")


def test_other_models_do_not_load_torch(tmp_path: Path) -> None:
    (tmp_path / "small.tflite").write_bytes(SAMPLES["small_cnn"]().build())
    script = (
        "import sys; from pathlib import Path; from thumbnet.tools.session import *\n"
        "from thumbnet.tools.comparison import *\n"
        "place, model = place_named('host'), Path('small.tflite')\n"
        "assert check_model(open_session(model, place, Options()), model, 2).equal\n"
        "assert quantization_result(model) == {}\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_report_without_files(files: Path) -> None:
    found = report(load_program(files / "model.pt2"), samples=3).to_json()
    assert (found["noise"], found["accuracy"]) == (None, None)
    assert json.loads(json.dumps(found))["program"]["max_layer_difference"] <= 1


def test_what_people_read(capsys: pytest.CaptureFixture[str]) -> None:
    """A layer that is too far is named; a wide distribution is told in short."""
    layer = {"layer": "head", "operators": "SOFTMAX", "max_difference": 2, "different": 0.1}
    program = {"samples": 3, "layers": [layer], "max_layer_difference": 2}
    noise = [{"layer": "head", "operators": "SOFTMAX", "sqnr_db": 31.25, "alone_db": None}]
    result = {
        "program": program | {"outputs": {"0": 5, "1": 3, "5": 2}},
        "noise": noise,
        "accuracy": {"samples": 8, "accuracy_float": None, "accuracy_int8": 0.75},
    }
    show_quantization("net", result)
    said = capsys.readouterr().out
    for text in ("at most 2", "head (SOFTMAX): 2", "int8 75.00 %\n", "31.2"):
        assert text in said
    assert "0: 50.00 %, 1: 30.00 %, 2: 0.00 %, more: 20.00 %, largest 5" in said
    show_quantization("net", {})
    assert capsys.readouterr().out == ""


def test_check_json(files: Path) -> None:
    done = thumbnet(
        files, "check", "model.pt2", "--float", "float.pt2", "--data", "data.npz", "--json"
    )
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert (result["model"], result["on"], result["equal"]) == ("model", "host", True)
    assert (result["calls"], result["max_difference"]) == (24, 0.0)
    assert result["program"]["max_layer_difference"] <= 1
    assert sum(result["program"]["outputs"].values()) == 24 * 10
    assert result["accuracy"]["samples"] == 40
    assert result["accuracy"]["accuracy_float"] == 1.0
    assert result["noise"][0].keys() == {"layer", "operators", "sqnr_db", "alone_db"}
    assert min(layer["alone_db"] for layer in result["noise"]) > 20
    ((output, ratio),) = (found.values() for found in result["output_noise"])
    assert output == "output"
    assert ratio > 15


def test_the_page_of_the_documentation_runs(tmp_path: Path) -> None:
    """docs/pytorch.md: its Python, from top to bottom, and what `check` and `run` then say."""
    page = (ROOT / "docs" / "pytorch.md").read_text(encoding="utf-8")
    script = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    (tmp_path / "page.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"^thumbnet (check|run) ([^#\n]*)", page, re.MULTILINE)
    assert [name for name, _ in commands] == ["check", "run"]
    said = ""
    for name, words in commands:
        done = thumbnet(tmp_path, name, *words.replace(",mps2-an386", "").split())
        assert done.returncode == 0, done.stderr
        said += done.stdout
    for text in ("equal", "at most", "accuracy on 64 samples", "worst layers first", "MEAN"):
        assert text in said
    assert np.load(tmp_path / "scores.npy").shape == (64, 4)


def test_outputs_in_a_dict_beside_what_is_no_tensor() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> dict[str, object]:
            y = self.conv(x)
            return {"scores": [y, torch.sigmoid(y)], "batch": 1, "hidden": None}

    torch.manual_seed(0)
    data = torch.randn(8, 3, 8, 8)
    module = Named().eval()
    program = program_of(quantize(module, data[:1], [data]))
    samples = [(data[i : i + 1].numpy(),) for i in range(4)]
    assert program_distance(program, samples).max_layer_difference <= 1
    found = output_noise(program, float_module(module, program), samples)
    assert [noise.output for noise in found] == ["output_0", "output_1"]
    assert all(noise.sqnr_db is not None and noise.sqnr_db > 25 for noise in found)


def test_what_needs_more_files_says_so(files: Path) -> None:
    program = load_program(files / "model.pt2")
    with pytest.raises(DataError, match=r"float.pt2 needs typical inputs: .*--data"):
        report(program, float_model=files / "float.pt2")
    with pytest.raises(DataError, match=r"net.tflite: --float and --data are for .pt2 models"):
        quantization_result(Path("net.tflite"), data=files / "data.npz")
    with pytest.raises(DataError, match=r"model.pt2 is quantised, too"):
        float_module(files / "model.pt2", program)
