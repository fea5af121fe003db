"""Whole PyTorch networks, as their users write them, down to the emulated board."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_builder import reference_calls

from thumbnet.codegen.compile import Options, load_graph
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import optimize
from thumbnet.tools.arrays import Array
from thumbnet.tools.session import open_session, place_named, run_calls

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

from pytorch_networks import (  # noqa: E402
    DepthwiseSeparable,
    FaceLike,
    MobileNetV2,
    ResNet8,
    enlivened,
)

import thumbnet  # noqa: E402
from thumbnet.codegen.frontends.pytorch.program import Lowered, lower_program  # noqa: E402
from thumbnet.codegen.frontends.pytorch.qat import convert, prepare_qat  # noqa: E402
from thumbnet.codegen.frontends.pytorch.quantize import load, quantize, save  # noqa: E402
from thumbnet.codegen.frontends.pytorch.values import (  # noqa: E402
    from_graph,
    program_values,
    to_graph,
)

NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "mobilenet_v2": (MobileNetV2, (3, 96, 96)),
    "resnet8": (ResNet8, (3, 32, 32)),
    "keywords": (DepthwiseSeparable, (40, 49, 1)),
    "face": (FaceLike, (3, 28, 28)),
}
CALLS = 12


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _images(shape: tuple[int, ...], count: int, seed: int) -> Any:
    """Random pictures: noise, and shapes that are larger than a pixel."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, shape[0], *(-(-n // 10) for n in shape[1:]), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
    return smooth + 0.3 * torch.randn(count, *shape, generator=generator)


@cache
def _module(name: str) -> Any:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    return enlivened(make(), shape)


@cache
def _program(name: str) -> Any:
    shape = NETWORKS[name][1]
    calibration = [_images(shape, 8, seed) for seed in range(3)]
    return quantize(_module(name), _images(shape, 1, 0), calibration)


@cache
def _lowered(name: str) -> Lowered:
    return lower_program(_program(name), name, name)


@cache
def _results(name: str) -> tuple[Array, Array, Array]:
    """Outputs of CALLS images in LSB: of the graph's interpreter, the program, the float module."""
    lowered, shape = _lowered(name), NETWORKS[name][1]
    graph = optimize(lowered.graph)
    images = [_images(shape, 1, 100 + i) for i in range(CALLS)]
    values = [program_values(lowered, (image,)) for image in images]
    calls = [[v[graph.inputs[0]]] for v in values]
    given = reference_calls(write_tflite(graph), calls, arena=1 << 24)
    tensor = graph.tensors[graph.outputs[0]]
    with torch.no_grad():
        real = np.stack([_module(name)(image).numpy().reshape(-1) for image in images])
    return (
        np.stack([call[0].reshape(-1).astype(float) for call in given]),
        np.stack([v[graph.outputs[0]].reshape(-1).astype(float) for v in values]),
        real / float(tensor.scale) + tensor.zero_point,
    )


def _rms(difference: Array) -> float:
    return float(np.sqrt(np.mean(difference**2)))


@pytest.mark.parametrize("name", NETWORKS)
def test_distance_from_the_program(name: str) -> None:
    """The graph is no further from the float module than PyTorch's own quantised program is.

    Single operators differ by 1 in a few of a thousand results; every difference makes later layers
    round otherwise, so through many layers of a random network the two programs drift as far apart
    as each is from the float module, and no further.
    """
    ours, program, real = _results(name)
    assert real.std(axis=0).mean() > 1, "outputs that do not depend on the input test nothing"
    assert _rms(ours - real) <= 1.25 * _rms(program - real) + 0.25
    assert _rms(ours - program) <= 1.5 * _rms(program - real) + 0.25
    if name != "mobilenet_v2":  # shallow enough for the two to stay together
        share = np.mean(np.abs(ours - program) <= 1)
        assert share >= 0.9, np.unique(ours - program, return_counts=True)
        assert np.abs(ours - program).max() <= 3


@pytest.mark.parametrize("name", NETWORKS)
def test_network_on_the_emulated_m4(qemu: None, tmp_path: Path, name: str) -> None:
    """From a .pt2 file: every byte that the reference interpreter gives for the same graph."""
    path = tmp_path / f"{name}.pt2"
    save(_program(name), path)
    graph = load_graph(path)
    session = open_session(path, place_named("mps2-an386"), Options())
    calls = _calls(graph, _lowered(name), NETWORKS[name][1])
    outputs = run_calls(session, calls, meter=False).outputs
    wanted = reference_calls(write_tflite(graph), calls, arena=1 << 24)
    for call, reference in zip(outputs, wanted, strict=True):
        np.testing.assert_array_equal(call[0].reshape(-1), reference[0].reshape(-1))
    assert len({call[0].tobytes() for call in outputs}) == len(calls)


def _calls(graph: Graph, lowered: Lowered, shape: tuple[int, ...]) -> list[list[Array]]:
    tensor = graph.tensors[graph.inputs[0]]
    calls = []
    for i in range(2):
        real = to_graph(_images(shape, 1, 100 + i).numpy(), lowered.inputs[0])
        integers = np.rint(real / float(tensor.scale)) + tensor.zero_point
        calls.append([np.clip(integers, -128, 127).astype(np.int8).reshape(tensor.shape)])
    return calls


# ---- thumbnet.compile ----------------------------------------------------------------------------


def test_compile_from_a_module(tmp_path: Path) -> None:
    shape = NETWORKS["face"][1]
    calibration = [(_images(shape, 8, 1), torch.zeros(8))]  # as a loader of images and labels gives
    compiled = thumbnet.compile(
        _module("face"), _images(shape, 1, 0), calibration=calibration,
        target="host", out_dir=tmp_path / "face", name="face", optimize="size",
    )  # fmt: skip
    assert {"face.c", "face.h", "manifest.json"} <= set(compiled.files)
    assert compiled.manifest.macs == _lowered("face").graph.macs
    (edge,) = compiled.manifest.inputs
    assert (edge.name, edge.shape, edge.float) == ("x", (1, 28, 28, 3), True)
    assert compiled.manifest.outputs[0].scale == 1 / 128


def test_compile_from_programs(tmp_path: Path) -> None:
    """A quantised program, the file of it, and a float program with calibration: the same C."""
    name, shape = "keywords", NETWORKS["keywords"][1]
    calibration = [_images(shape, 8, seed) for seed in range(3)]
    save(_program(name), tmp_path / "saved.pt2")
    exported = torch.export.export(_module(name), (_images(shape, 1, 0),))
    common = {"target": "host", "name": "net"}
    thumbnet.compile(_program(name), out_dir=tmp_path / "a", **common)
    thumbnet.compile(tmp_path / "saved.pt2", out_dir=tmp_path / "b", **common)
    thumbnet.compile(exported, _images(shape, 1, 0), calibration=calibration,
                     out_dir=tmp_path / "c", **common)  # fmt: skip
    texts = [_without_banner(tmp_path / folder / "net.c") for folder in "abc"]
    assert texts[0] == texts[1] == texts[2]


def test_the_folder_is_below_build_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compiled = thumbnet.compile(_program("keywords"), target="host", name="net")
    assert compiled.folder == Path("build/net")
    assert (tmp_path / "build" / "net" / "net.c").exists()


def _without_banner(path: Path) -> str:
    return path.read_text().partition("*/")[2]


def test_input_scale_can_be_fixed() -> None:
    shape = NETWORKS["keywords"][1]
    program = quantize(
        _module("keywords"), _images(shape, 1, 0), [_images(shape, 8, 1)],
        input_quantization={"x": (0.05, -7)},
    )  # fmt: skip
    graph = lower_program(program, "keywords").graph
    tensor = graph.tensors[graph.inputs[0]]
    assert (tensor.scale, tensor.zero_point) == (np.float32(0.05), -7)


def test_calibration_in_any_batches() -> None:
    """The same data in batches of 1, 3 and 24: the same program."""
    shape = NETWORKS["keywords"][1]
    data = _images(shape, 24, 5)
    scales = []
    for size in (1, 3, 24):
        batches = data.split(size)
        program = quantize(_module("keywords"), data[:2], batches, observer="minmax")
        graph = lower_program(program, "keywords").graph
        scales.append([float(graph.tensors[op.outputs[0]].scale) for op in graph.operators])
    np.testing.assert_allclose(scales[0], scales[1], rtol=1e-5)
    np.testing.assert_allclose(scales[0], scales[2], rtol=1e-5)


def test_a_forward_that_fixes_the_batch() -> None:
    class Fixed(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(12, 4)

        def forward(self, x: Any) -> Any:
            return self.dense(x.view(1, 12))

    program = quantize(Fixed(), torch.randn(1, 3, 4), [torch.randn(5, 3, 4)])
    assert [op.kind for op in optimize(lower_program(program, "fixed").graph).operators] == [
        "RESHAPE",
        "FULLY_CONNECTED",
    ]


def test_the_module_is_left_as_it_was() -> None:
    module = enlivened(ResNet8(), (3, 32, 32)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    quantize(module, torch.randn(1, 3, 32, 32), [torch.randn(2, 3, 32, 32)])
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "face.pt2"
    save(_program("face"), path)
    again = lower_program(load(path), "face", "face").graph
    assert write_tflite(again) == write_tflite(_lowered("face").graph)
    assert "stem.0" in again.tensors  # modules keep their names


def test_importing_thumbnet_does_not_import_torch() -> None:
    code = "import sys, thumbnet, thumbnet.codegen.compile; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_nothing_is_said(tmp_path: Path) -> None:
    """Importing and quantising print nothing of torchao's about itself."""
    code = (
        "import torch, thumbnet; thumbnet.compile(torch.nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8)"
        f", calibration=[torch.randn(4, 3, 8, 8)], target='host', out_dir={str(tmp_path / 'o')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


# ---- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["keywords", "face"])
def test_quantisation_aware_training(name: str) -> None:
    """A few steps lower the loss; the program then gives what the trained graph gives."""
    make, shape = NETWORKS[name]
    torch.manual_seed(3)
    module = enlivened(make(), shape).train()
    prepared = prepare_qat(module, _images(shape, 1, 0), input_quantization={"x": (0.03, 1)})
    optimizer = torch.optim.Adam(prepared.parameters(), 0.005)
    data = _images(shape, 16, 1)
    goal = torch.nn.functional.normalize(torch.randn(16, prepared(data).shape[1]))
    prepared.train()
    losses = []
    for _ in range(8):
        loss = (prepared(data) - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    prepared.eval()
    with torch.no_grad():
        simulated = prepared(data[:4]).numpy()
    lowered = lower_program(convert(prepared), name, name)
    graph = optimize(lowered.graph)
    assert (graph.tensors[graph.inputs[0]].scale, graph.tensors[graph.inputs[0]].zero_point) == (
        np.float32(0.03),
        1,
    )
    assert "batch_norm" not in " ".join(graph.tensors)
    tensor = graph.tensors[graph.outputs[0]]
    values = [program_values(lowered, (image[None],)) for image in data[:4]]
    given = reference_calls(write_tflite(graph), [[v[graph.inputs[0]]] for v in values])
    ours = np.stack([from_graph(call[0], lowered.outputs[0])[0] for call in given])
    distance = np.abs(ours - (simulated / float(tensor.scale) + tensor.zero_point))
    assert np.mean(distance <= 2.5) > 0.9
    assert distance.max() < 16


def test_training_keeps_the_numbers_of_batch_norms() -> None:
    """torchao writes eps 1e-5 and momentum 0.1 into the batch norms that it fuses."""
    norm = torch.nn.BatchNorm2d(4, eps=0.3, momentum=0.7)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), norm, torch.nn.ReLU())
    prepared = prepare_qat(module, torch.randn(1, 3, 8, 8))
    prepared.train()
    data = torch.randn(8, 3, 8, 8)
    module.train()
    for _ in range(6):  # until the statistics, and with them the ranges, stand still
        prepared(data)
        module(data)
    trained = dict(prepared.named_buffers())["1.running_var"]
    np.testing.assert_allclose(trained.numpy(), norm.running_var.numpy(), rtol=0.02)
    prepared.eval()
    module.eval()
    with torch.no_grad():
        expected = module(data).numpy()
        np.testing.assert_allclose(prepared(data).numpy(), expected, atol=0.05)
        program = convert(prepared).module()
        np.testing.assert_allclose(program(data[:1]).numpy(), expected[:1], atol=0.05)
