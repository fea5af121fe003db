"""`thumbnet check` and `run` on PyTorch programs: distances, noise, accuracy, layouts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchao", reason="needs torch and torchao")

import torch
import torch.nn.functional as F  # noqa: N812
from command_line import ROOT, thumbnet
from sample_models import SAMPLES
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
    Program,
    Sample,
    float_module,
    load_program,
    matching_nodes,
    outputs_of,
    program_of,
)
from thumbnet.tools.quantization_report import (
    OutputNoise,
    accuracy,
    layer_noise,
    output_noise,
    program_distance,
    random_samples,
    read_data,
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


class Everything(nn.Module):
    """Nearly every operator that the front end lowers, on small images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 5, padding=2, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.prelu, self.leaky, self.silu = nn.PReLU(16), nn.LeakyReLU(0.1), nn.SiLU()
        self.norm = nn.BatchNorm2d(32)
        self.classes = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.depthwise(x)
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        x = self.prelu(x + y * gate)
        a, b = x.chunk(2, 1)
        z = self.silu(torch.cat([self.leaky(x), torch.tanh(a), torch.sigmoid(b)], 1))
        z = self.norm(z)
        z = F.avg_pool2d(z, 2) + F.max_pool2d(z, 2)
        z = F.interpolate(z, scale_factor=2, mode="bilinear")
        z = torch.abs(z - 0.5 * F.interpolate(F.max_pool2d(z, 2), scale_factor=2))
        z = torch.minimum(torch.maximum(z, z * 0.3), z + 0.1)
        return F.softmax(self.classes(F.normalize(z.mean((2, 3)))), -1)


SHAPE = (3, 24, 20)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _trained(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """With batch norms that have seen data."""
    module.train()
    with torch.no_grad():
        for _ in range(4):
            module(torch.randn(8, *shape))
    return module.eval()


def _pair(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, Program]:
    torch.manual_seed(3)
    module = _trained(make(), shape)
    return module, program_of(quantize(module, torch.randn(1, *shape), [torch.randn(32, *shape)]))


def _samples(shape: tuple[int, ...], count: int) -> list[Sample]:
    random = np.random.default_rng(5)
    return [(random.normal(size=(1, *shape)).astype(np.float32),) for _ in range(count)]


@pytest.fixture(scope="module")
def everything() -> tuple[nn.Module, Program]:
    return _pair(Everything, SHAPE)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.pt2, float.pt2 and data.npz, whose labels are the float model's."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(3)
    module = _trained(Everything(), SHAPE)
    inputs = torch.randn(40, *SHAPE)
    save(quantize(module, inputs[:1], [inputs]), folder / "model.pt2")
    torch.export.save(torch.export.export(module, (inputs[:1],)), folder / "float.pt2")
    with torch.no_grad():
        labels = module(inputs).argmax(1).numpy()
    np.savez(folder / "data.npz", inputs=inputs.numpy(), labels=labels)
    np.save(folder / "inputs.npy", inputs.numpy())
    return folder


# ---- int8 against the program --------------------------------------------------------------------


def test_every_layer_is_within_one_step(everything: tuple[nn.Module, Program]) -> None:
    """Each fed the program's own values: random ones with extremes, and likely ones."""
    _, program = everything
    found = program_distance(program, random_samples(program, 24) + _samples(SHAPE, 8))
    assert found.samples == 32
    assert {layer.layer for layer in found.layers} >= {"stem.0", "stem.2", "prelu", "classes"}
    assert [layer for layer in found.layers if layer.max_difference > 1] == []
    moving = ("SLICE", "CONCATENATION", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR")
    assert all(not layer.different for layer in found.layers if layer.operators in moving)
    assert sum(found.outputs.values()) == 32 * 10
    assert max(found.outputs) <= 2


def test_a_wrong_layer_is_found_and_only_that(everything: tuple[nn.Module, Program]) -> None:
    _, program = everything
    bias = program.graph.tensors["squeeze.bias"]
    assert bias.data is not None
    wrong = replace(bias, data=bias.data + np.int32(40000))
    tensors = {**program.graph.tensors, bias.name: wrong}
    damaged = replace(program, graph=replace(program.graph, tensors=tensors))
    found = program_distance(damaged, _samples(SHAPE, 4))
    assert [layer.layer for layer in found.layers if layer.max_difference > 1] == ["squeeze"]


def test_what_passes_take_away_is_not_missed() -> None:
    """Views, a dropout, padding that goes into a convolution, and two inputs."""

    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, stride=2)
            self.drop = nn.Dropout(0.5)

        def forward(self, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
            y = self.conv(F.pad(x, (0, 1, 1, 0)))
            return self.drop(y * gain).reshape(-1, 2, 40).transpose(1, 2)

    torch.manual_seed(0)
    examples = (torch.randn(1, 4, 8, 10), torch.randn(1, 4, 1, 1))
    program = program_of(quantize(Views().eval(), examples, [examples]))
    assert program.input_shapes == ((1, 4, 8, 10), (1, 4, 1, 1))
    found = program_distance(program, random_samples(program, 12))
    assert found.max_layer_difference <= 1
    assert sum(found.outputs.values()) == 12 * 80


# ---- int8 against float --------------------------------------------------------------------------


def test_layers_are_compared_with_their_own_float_layer(
    everything: tuple[nn.Module, Program],
) -> None:
    """Every known tensor finds a node; a wrong one would have about no signal to noise."""
    module, program = everything
    for model in (module, torch.export.export(module, (torch.randn(1, *SHAPE),))):
        graph = float_module(model, program)
        assert set(matching_nodes(program, graph)) == set(program.known)
        noise = layer_noise(program, graph, _samples(SHAPE, 8))
        assert {layer.layer for layer in noise} == set(program.known) - {"x"}
        ratios = [db for n in noise for db in (n.sqnr_db, n.alone_db) if db is not None]
        assert min(ratios) > 20
        assert [n.alone_db for n in noise] == sorted(n.alone_db or np.inf for n in noise)
    assert not module.training


def test_the_ratio_of_one_layer_is_that_of_its_outputs() -> None:
    """By the definition: 10 log10 of the sums of squares of the float outputs and of the error."""
    module, program = _pair(lambda: nn.Linear(12, 7), (12,))
    graph, samples = float_module(module, program), _samples((12,), 9)
    (noise,) = layer_noise(program, graph, samples)
    (output,) = program.graph.outputs
    tensor = program.graph.tensors[output]
    signal = error = 0.0
    for sample in samples:
        real = outputs_of(graph, sample)[0].astype(np.float64)
        wanted = outputs_of(program.lowered.module, sample)[0]
        signal += float((real**2).sum())
        error += float(((wanted - real) ** 2).sum())
    expected = 10 * np.log10(signal / error)
    assert noise.layer == output
    assert noise.sqnr_db == noise.alone_db == pytest.approx(expected, abs=0.2)
    (whole,) = output_noise(program, graph, samples)
    assert whole == OutputNoise("output", pytest.approx(noise.sqnr_db, abs=1e-9))
    flat = float_module(nn.Sequential(module, nn.Unflatten(1, (7, 1))), program)
    with pytest.raises(DataError, match=r"shapes \[\[1, 7\]\] here and \[\[1, 7, 1\]\] there"):
        output_noise(program, flat, samples)
    assert float(tensor.scale) > 0


def test_the_layer_that_hurts_comes_first() -> None:
    """One channel a hundred times the others leaves them few of the int8 steps."""
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3)
    )
    torch.manual_seed(1)
    for layer in module[::2]:
        nn.init.normal_(layer.weight, 0, 0.2)
    with torch.no_grad():
        module[2].weight[0] *= 100
        module[4].weight[:, 0] /= 100
    inputs = torch.randn(16, 3, 12, 12)
    program = program_of(quantize(module.eval(), inputs[:1], [inputs], observer="minmax"))
    noise = layer_noise(program, float_module(module, program), _samples((3, 12, 12), 8))
    assert noise[0].layer == "4"  # it needs the small channels that layer 2's int8 lost
    assert noise[0].sqnr_db is not None
    assert noise[-1].sqnr_db is not None
    assert noise[0].sqnr_db < noise[-1].sqnr_db - 10


def test_another_float_model_is_refused(everything: tuple[nn.Module, Program]) -> None:
    _, program = everything
    strangers = (
        (
            nn.Sequential(nn.Flatten(), nn.Linear(1440, 10)),
            "do(es)? not come from this float model",
        ),
        (nn.Conv2d(3, 16, 3, 2, 1), "does not come from this float model"),
    )
    for stranger, message in strangers:
        with pytest.raises(DataError, match=message):
            layer_noise(program, float_module(stranger, program), _samples(SHAPE, 1))


def test_accuracies(files: Path) -> None:
    program = load_program(files / "model.pt2")
    data = read_data(files / "data.npz", program)
    graph = float_module(files / "float.pt2", program)
    found = accuracy(program, graph, data)
    assert (found.samples, found.accuracy_float) == (40, 1.0)
    predicted = [outputs_of(program.lowered.module, data.sample(i))[0].argmax() for i in range(40)]
    assert data.labels is not None
    assert found.accuracy_int8 == pytest.approx(np.mean(predicted == data.labels), abs=0.051)
    shifted = replace(data, labels=(data.labels + 1) % 10)
    assert accuracy(program, graph, shifted).accuracy_float == 0.0
    assert accuracy(program, None, data).accuracy_float is None


# ---- data ----------------------------------------------------------------------------------------


def _arrays(**changes: object) -> dict[str, object]:
    arrays: dict[str, object] = {
        "inputs": np.zeros((4, *SHAPE), np.float32), "labels": np.array([0, 1, 2, 9])
    }  # fmt: skip
    return {key: value for key, value in (arrays | changes).items() if value is not None}


BAD_DATA = {
    "no inputs": (_arrays(inputs=None), "no array 'x'.*labels"),
    "NHWC": (_arrays(inputs=np.zeros((4, 24, 20, 3), np.float32)), r"\[4, 24, 20, 3\].*\[N, 3, 24"),
    "integers": (_arrays(inputs=np.zeros((4, *SHAPE), np.uint8)), "uint8; give float32"),
    "none": (_arrays(inputs=np.zeros((0, *SHAPE), np.float32)), r"\[0, 3, 24, 20\]"),
    "NaN": (_arrays(inputs=np.full((4, *SHAPE), np.nan)), "NaN or infinity"),
    "few labels": (_arrays(labels=np.array([1])), "one integer for each of the 4 samples"),
    "real labels": (_arrays(labels=np.zeros(4)), "float64 of shape"),
    "a class too many": (_arrays(labels=np.array([0, 1, 2, 10])), "classes 0 to 9"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data(tmp_path: Path, everything: tuple[nn.Module, Program], case: str) -> None:
    arrays, message = BAD_DATA[case]
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        read_data(tmp_path / "data.npz", everything[1])


def test_data_that_is_no_archive(tmp_path: Path, everything: tuple[nn.Module, Program]) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 nothing")
    for name in ("data.npz", "absent.npz", "absent.npy"):
        with pytest.raises(DataError, match=f"cannot read .*{name}"):
            read_data(tmp_path / name, everything[1])


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
