"""Of PyTorch programs in int8: distances, noise, accuracy, and the data that they are of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchao", reason="needs torch and torchao")

import torch
import torch.nn.functional as F  # noqa: N812
from sample_programs import SHAPE, Everything, drawn_samples, pair, write_files
from torch import nn

from thumbnet.codegen.errors import DataError
from thumbnet.codegen.frontends.pytorch.quantize import quantize
from thumbnet.tools.pytorch_model import (
    Program,
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
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def everything() -> tuple[nn.Module, Program]:
    return pair(Everything, SHAPE)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


# ---- int8 against the program --------------------------------------------------------------------


def test_every_layer_is_within_one_step(everything: tuple[nn.Module, Program]) -> None:
    """Each fed the program's own values: random ones with extremes, and likely ones."""
    _, program = everything
    found = program_distance(program, random_samples(program, 24) + drawn_samples(SHAPE, 8))
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
    found = program_distance(damaged, drawn_samples(SHAPE, 4))
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
        noise = layer_noise(program, graph, drawn_samples(SHAPE, 8))
        assert {layer.layer for layer in noise} == set(program.known) - {"x"}
        ratios = [db for n in noise for db in (n.sqnr_db, n.alone_db) if db is not None]
        assert min(ratios) > 20
        assert [n.alone_db for n in noise] == sorted(n.alone_db or np.inf for n in noise)
    assert not module.training


def test_the_ratio_of_one_layer_is_that_of_its_outputs() -> None:
    """By the definition: 10 log10 of the sums of squares of the float outputs and of the error."""
    module, program = pair(lambda: nn.Linear(12, 7), (12,))
    graph, samples = float_module(module, program), drawn_samples((12,), 9)
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
    noise = layer_noise(program, float_module(module, program), drawn_samples((3, 12, 12), 8))
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
            layer_noise(program, float_module(stranger, program), drawn_samples(SHAPE, 1))


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
