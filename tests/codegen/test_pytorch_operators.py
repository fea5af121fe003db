"""Every operator of the PyTorch front end: quantised, lowered, compared with PyTorch and in C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sanitized import build_program, run_program
from tflite_builder import reference_calls

from thumbnet.codegen.compile import Options, compile_graph
from thumbnet.codegen.errors import DataError, UnsupportedError
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.passes import optimize
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.single_layers import taken_apart

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")
F, nn = torch.nn.functional, torch.nn

from thumbnet.codegen.frontends.pytorch.program import Lowered, lower_program  # noqa: E402
from thumbnet.codegen.frontends.pytorch.qat import convert, prepare_qat  # noqa: E402
from thumbnet.codegen.frontends.pytorch.quantize import quantize  # noqa: E402
from thumbnet.codegen.frontends.pytorch.values import (  # noqa: E402
    program_values,
)

Shape = tuple[int, ...]
IMAGE: Shape = (1, 6, 9, 8)
CALLS = 6


class Call(nn.Module):  # type: ignore[misc, name-defined]
    """A function of the modules and the inputs."""

    def __init__(self, function: Callable[..., Any], *modules: Any) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, *inputs: Any) -> Any:
        return self.function(*self.parts, *inputs)


class Parameters(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(6))
        self.register_buffer("gain", torch.randn(1, 6, 1, 1))
        self.register_buffer("std", torch.linspace(0.5, 1.5, 6))

    def forward(self, x: Any) -> Any:
        return (x + self.shift.view(1, -1, 1, 1)) * self.gain / self.std[:, None, None]


@dataclass(frozen=True)
class Case:
    make: Callable[[], Any]
    shapes: tuple[Shape, ...] = (IMAGE,)


def _call(function: Callable[..., Any], *shapes: Shape) -> Case:
    return Case(lambda: Call(function), shapes or (IMAGE,))


def _chain(*makes: Callable[[], Any], shape: Shape = IMAGE) -> Case:
    return Case(lambda: nn.Sequential(*(make() for make in makes)), (shape,))


def _with(function: Callable[..., Any], *makes: Callable[[], Any]) -> Case:
    return Case(lambda: Call(function, *(make() for make in makes)))


def _branched(conv: Any, norm: Any, x: Any) -> Any:
    y = conv(x)
    return F.relu(norm(y)) + y


SOUND: Shape = (1, 6, 20)
PIXEL: Shape = (1, 6, 1, 1)
VECTOR: Shape = (1, 10)


def _conv(*args: Any, **options: Any) -> Callable[[], Any]:
    return lambda: nn.Conv2d(*args, **options)


CASES: dict[str, Case] = {
    "conv": _chain(_conv(6, 8, 3, padding=1)),
    "conv_uneven": _chain(_conv(6, 5, (3, 2), (2, 1), (1, 0), (1, 2), bias=False)),
    "conv_same": _chain(_conv(6, 8, 4, padding="same")),
    "conv_bn_relu": _chain(_conv(6, 8, 3, bias=False), lambda: nn.BatchNorm2d(8), nn.ReLU),
    "conv_bn_relu6": _chain(
        _conv(6, 8, 1), lambda: nn.BatchNorm2d(8, eps=0.1), lambda: nn.ReLU6(inplace=True)
    ),
    "conv_bn_plain": _chain(_conv(6, 8, 1), lambda: nn.BatchNorm2d(8, affine=False)),
    "conv_hardtanh": _chain(_conv(6, 8, 1), nn.Hardtanh),
    "conv_after_pad": _with(lambda c, x: c(F.pad(x, (0, 1, 0, 1))), _conv(6, 8, 3, 2)),
    "depthwise": _chain(_conv(6, 6, 3, padding=1, groups=6)),
    "depthwise_multiplied": _chain(_conv(6, 12, 3, 2, groups=6)),
    "conv_grouped": _chain(_conv(6, 8, 3, groups=2), nn.ReLU),
    "conv_dead_channel": Case(lambda: _dead_channel()),
    "conv1d": _chain(
        lambda: nn.Conv1d(6, 8, 3, padding=1), lambda: nn.BatchNorm1d(8), nn.ReLU,
        lambda: nn.Conv1d(8, 8, 5, 2, groups=8), shape=SOUND,
    ),
    "linear": _chain(lambda: nn.Linear(10, 7), shape=VECTOR),
    "linear_bn": _chain(lambda: nn.Linear(10, 7), lambda: nn.BatchNorm1d(7), shape=VECTOR),
    "linear_rows": _chain(lambda: nn.Linear(10, 7), shape=(1, 5, 10)),
    "linear_pixels": _with(
        lambda dense, x: dense(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), lambda: nn.Linear(6, 7)
    ),
    "linear_flat": _chain(_conv(6, 4, 3), nn.Flatten, lambda: nn.Linear(168, 5)),
    "linear_squeezed": _with(
        lambda dense, x: dense(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)),
        lambda: nn.Linear(6, 4),
    ),
    "linear_rows_bn": _chain(
        lambda: nn.Linear(10, 5), lambda: nn.BatchNorm1d(5), shape=(1, 5, 10)
    ),
    "bn": _chain(lambda: nn.BatchNorm2d(6)),
    "bn_beside_a_branch": _with(_branched, _conv(6, 6, 1), lambda: nn.BatchNorm2d(6)),
    "bn_after_a_shared_layer": _with(
        lambda c, a, b, x: a(c(x)) + b(c(x)),
        _conv(6, 6, 1), lambda: nn.BatchNorm2d(6), lambda: nn.BatchNorm2d(6),
    ),
    "bn_relu6": _chain(lambda: nn.BatchNorm2d(6), nn.ReLU6),
    "bn_sound": _chain(lambda: nn.BatchNorm1d(6), shape=SOUND),
    "bn_vector": _chain(lambda: nn.BatchNorm1d(10), shape=VECTOR),
    "relu": _chain(nn.ReLU),
    "relu6": _call(lambda x: F.relu6(x * 5)),
    "clamp": _call(lambda x: torch.clamp(x, 0, 6)),
    "clamp_min": _call(lambda x: x.clamp(min=0)),
    "hardtanh": _chain(nn.Hardtanh),
    "hardswish": _chain(nn.Hardswish),
    "hardsigmoid": _call(lambda x: F.hardsigmoid(x * 4)),
    "sigmoid": _chain(nn.Sigmoid),
    "tanh": _chain(nn.Tanh),
    "silu": _chain(lambda: nn.SiLU(inplace=True)),
    "prelu": _chain(lambda: nn.PReLU(6, init=-0.3)),
    "prelu_shared": _chain(nn.PReLU),
    "leaky_relu": _chain(lambda: nn.LeakyReLU(0.1)),
    "abs": _call(torch.abs),
    "softmax": _chain(lambda: nn.Softmax(-1), shape=VECTOR),
    "softmax_channels": _chain(lambda: nn.Softmax(1)),
    "normalize": _call(F.normalize, VECTOR),
    "normalize_channels": _call(lambda x: F.normalize(x, dim=1)),
    "add": _call(lambda a, b: a + b, IMAGE, IMAGE),
    "add_relu": _call(lambda a, b: F.relu(a + 2 * b), IMAGE, IMAGE),
    "add_itself": _call(lambda a: a + a),
    "sub": _call(lambda a, b: a - b * 0.3, IMAGE, IMAGE),
    "mul": _call(lambda a, b: a * b, IMAGE, IMAGE),
    "broadcast": _call(lambda a, b: a * b + b, IMAGE, PIXEL),
    "numbers": _call(lambda a: F.relu(3 - (a + 1.5)) * 2),
    "negative_numbers": _call(lambda a: -a * -0.5 - 1),
    "parameters": Case(Parameters),
    "maximum": _call(torch.maximum, IMAGE, IMAGE),
    "minimum": _call(torch.minimum, IMAGE, IMAGE),
    "maximum_constant": _call(lambda a: torch.maximum(a, torch.zeros(1))),
    "cat": _call(lambda a, b: torch.cat([a, b], 1), IMAGE, IMAGE),
    "cat_rows": _call(lambda a, b: torch.cat([a, F.relu(b)], 2), IMAGE, IMAGE),
    "cat_fixed": _call(lambda a, b: torch.cat([a, torch.sigmoid(b)], 1), IMAGE, IMAGE),
    "view": _call(lambda x: F.relu(x.view(1, -1))),
    "view_across": _call(lambda x: F.relu(x.reshape(1, 9, 6, 8))),
    "permute": _call(lambda x: x.permute(0, 2, 3, 1) * 2 + 1),
    "transpose": _call(lambda x: x.transpose(1, 2) + 1),
    "two_transpositions": _call(
        lambda x: x.view(-1, 8, 9).transpose(1, 2).flatten(1)
        + x.view(-1, 9, 8).transpose(1, 2).flatten(1), (1, 72),
    ),
    "channel_shuffle": _call(lambda x: F.relu(F.channel_shuffle(x, 3))),
    "channel_shuffle_by_hand": _with(
        lambda c, x: c(x.view(1, 2, 3, 9, 8).transpose(1, 2).reshape(1, 6, 9, 8)), _conv(6, 3, 1)
    ),
    "pixel_shuffle": _with(lambda c, x: F.pixel_shuffle(c(x), 2), _conv(6, 8, 1)),
    "avg_pool": _chain(lambda: nn.AvgPool2d(3, 2)),
    "avg_pool_padded": _chain(lambda: nn.AvgPool2d(3, 2, 1)),
    "avg_pool_padding_left_out": _chain(
        lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    ),
    "avg_pool_ceil": _chain(lambda: nn.AvgPool2d(2, ceil_mode=True)),
    "avg_pool_relu": _chain(lambda: nn.AvgPool2d(2), nn.ReLU),
    "avg_pool_sound": _chain(lambda: nn.AvgPool1d(4), shape=SOUND),
    "adaptive_avg_pool": _chain(lambda: nn.AdaptiveAvgPool2d(1)),
    "adaptive_avg_pool_parts": _chain(lambda: nn.AdaptiveAvgPool2d((3, 2))),
    "adaptive_avg_pool_sound": _chain(lambda: nn.AdaptiveAvgPool1d(1), shape=SOUND),
    "max_pool": _chain(lambda: nn.MaxPool2d(3, 2, 1)),
    "max_pool_ceil": _chain(lambda: nn.MaxPool2d(2, ceil_mode=True)),
    "max_pool_sound": _chain(lambda: nn.MaxPool1d(2), shape=SOUND),
    "adaptive_max_pool": _chain(lambda: nn.AdaptiveMaxPool2d(1)),
    "amax": _call(lambda x: x.amax((2, 3))),
    "mean": _call(lambda x: x.mean((2, 3))),
    "mean_rows": _call(lambda x: x.mean((2,), keepdim=True)),
    "mean_channels": _call(lambda x: x.mean(1)),
    "sum": _call(lambda x: x.sum((2, 3))),
    "pad": _call(lambda x: F.pad(x, (1, 2, 0, 1))),
    "pad_value": _call(lambda x: F.pad(x, (1, 2, 0, 1), value=1.5)),
    "zero_pad": _chain(lambda: nn.ZeroPad2d(1)),
    "nearest": _chain(lambda: nn.Upsample(scale_factor=2)),
    "nearest_size": _chain(lambda: nn.Upsample((13, 5))),
    "nearest_exact": _chain(lambda: nn.Upsample((13, 5), mode="nearest-exact")),
    "nearest_sound": _chain(lambda: nn.Upsample(scale_factor=2), shape=SOUND),
    "bilinear": _chain(lambda: nn.Upsample(scale_factor=2, mode="bilinear")),
    "bilinear_corners": _chain(lambda: nn.Upsample((13, 15), mode="bilinear", align_corners=True)),
    "dropout": _chain(nn.ReLU, nn.Dropout, nn.Identity),
    "chunk": _call(lambda x: F.relu(x.chunk(2, 1)[1]) + x.split([3, 3], 1)[0]),
    "slice": _call(lambda x: x[:, 1:5, ::2, :-1] * x[:, :4, 1::2, 1:][:, :, :1]),
    "select": _call(lambda x: F.relu(x[:, :, 2])),
    "unbind": _call(lambda x: x.unbind(2)[1] + 1),
    "squeeze_excite": _with(
        lambda a, b, x: x * F.hardsigmoid(b(F.relu(a(F.adaptive_avg_pool2d(x, 1))))),
        _conv(6, 2, 1), _conv(2, 6, 1),
    ),
    "relu_after_a_mean_in_a_cat": _with(
        lambda a, b, x: torch.cat(
            [F.relu(F.adaptive_avg_pool2d(a(x), 1)), F.adaptive_avg_pool2d(b(x), 1)], 1
        ),
        _conv(6, 8, 3), _conv(6, 8, 3),
    ),
    "relu6_after_a_mean_of_sound": Case(
        lambda: Call(lambda a: torch.cat([F.relu6(F.adaptive_avg_pool1d(a, 1)), a], 2)), (SOUND,)
    ),
    "relu_after_bilinear": _with(
        lambda c, x: F.relu(F.interpolate(c(x), scale_factor=2, mode="bilinear")), _conv(6, 4, 3)
    ),
    "relu_after_adaptive_parts": _chain(lambda: nn.AdaptiveAvgPool2d((3, 2)), nn.ReLU),
    "gate": _with(lambda c, x: torch.tanh(c(x)) * torch.sigmoid(c(x)), _conv(6, 6, 1)),
    "two_outputs": _call(lambda x: (F.relu(x), torch.sigmoid(x))),
    "written_in_place": _call(lambda x: (x + 1).relu_().mul_(0.5).add_(x)),
}  # fmt: skip

# What only moves or picks values is exact. What computes rounds as TensorFlow Lite does (of 32-bit
# fixed-point products, twice), PyTorch once in float: they may be 1 apart, and mostly are not.
EXACT = {
    "SLICE", "PAD", "RESHAPE", "TRANSPOSE", "CONCATENATION", "MAX_POOL_2D", "MAXIMUM", "MINIMUM",
    "RESIZE_NEAREST_NEIGHBOR",
}  # fmt: skip


def _dead_channel() -> Any:
    """A channel with next to no weights, whose bias would overflow at the scale they ask for."""
    module = nn.Conv2d(6, 8, 3)
    with torch.no_grad():
        module.weight[3] *= 1e-9
        module.bias[3] = 20.0
    return module


def _batch(shape: Shape, count: int) -> Any:
    return torch.randn(count, *shape[1:])


def _near_the_float_module(name: str, lowered: Lowered, inputs: list[Any]) -> None:
    """The quantised program computes what the module computes: nothing was folded wrongly."""
    with torch.no_grad():
        real = [_tuple(_module(name)(*(x.clone() for x in call))) for call in inputs]
        quantised = [_tuple(lowered.module(*call)) for call in inputs]
    for i in range(len(real[0])):
        a, b = (np.stack([call[i].numpy() for call in calls]) for calls in (real, quantised))
        assert np.sum((a - b) ** 2) < 0.02 * np.sum((a - a.mean()) ** 2), name


def _tuple(outputs: Any) -> tuple[Any, ...]:
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


@cache
def _module(name: str) -> Any:
    torch.manual_seed(1)
    module = CASES[name].make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.uniform_(part.weight, -1.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.3)
    return module.eval()


@cache
def _lowered(name: str) -> tuple[Lowered, Graph]:
    module, shapes = _module(name), CASES[name].shapes
    torch.manual_seed(1)
    examples = tuple(_batch(shape, 1) for shape in shapes)
    calibration = [tuple(_batch(shape, 8) for shape in shapes) for _ in range(2)]
    lowered = lower_program(quantize(module, examples, calibration), name, name)
    return lowered, optimize(lowered.graph)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", CASES)
def test_operator_against_the_quantised_program(name: str) -> None:
    """Each operator, fed the program's own integers, is at most 1 from the program's own result."""
    lowered, graph = _lowered(name)
    torch.manual_seed(2)
    inputs = [[_batch(shape, 1) * 1.1 for shape in CASES[name].shapes] for _ in range(CALLS)]
    _near_the_float_module(name, lowered, inputs)
    apart = taken_apart(graph, [tensor for tensor in lowered.origins if tensor in graph.tensors])
    assert apart.layers
    model = write_tflite(apart.graph)
    wanted = [program_values(lowered, call) for call in inputs]
    feeds = [apart.feeds(values) for values in wanted]
    calls = [[feed[n] for n in apart.graph.inputs] for feed in feeds]
    results = reference_calls(model, calls, len(apart.layers))
    for i, layer in enumerate(apart.layers):
        ours = np.stack([result[i].reshape(-1) for result in results]).astype(int)
        theirs = np.stack([values[layer.tensor].reshape(-1) for values in wanted]).astype(int)
        distance = np.abs(ours - theirs)
        assert len(np.unique(theirs)) > 3, "a test of nothing"
        assert distance.max() <= 1, (layer, np.bincount(distance.reshape(-1)))
        assert distance.mean() < 0.3, layer
        if EXACT.issuperset(layer.operators):
            assert distance.max() == 0, layer


def test_operators_in_c(tmp_path: Path) -> None:
    """The C of every case, as one program: the bytes of the reference interpreter."""
    folders = []
    for name in CASES:
        options = Options("host", name=f"case_{name}")
        compile_graph(_lowered(name)[1], Path(f"{name}.pt2"), tmp_path / name, options)
        folders.append(tmp_path / name)
    program = build_program(folders, tmp_path / "work", flags=("-O1",))
    for number, name in enumerate(CASES):
        manifest, graph = read_manifest(folders[number]), _lowered(name)[1]
        calls = random_calls(manifest.inputs, CALLS)
        ours = run_program(program, number, manifest, calls)
        theirs = reference_calls(write_tflite(graph), calls, len(graph.outputs))
        for call, wanted in zip(ours, theirs, strict=True):
            for a, b in zip(call, wanted, strict=True):
                np.testing.assert_array_equal(a.reshape(-1), b.reshape(-1), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_operator_trained_with_quantisation(name: str) -> None:
    """The same modules through prepare_qat and convert: every operator within 1 of the program."""
    module, shapes = CASES[name].make(), CASES[name].shapes
    try:
        prepared = prepare_qat(module, tuple(_batch(shape, 1) for shape in shapes))
    except (DataError, UnsupportedError) as refusal:
        assert name in NOT_TRAINED
        assert NOT_TRAINED[name] in str(refusal)
        return
    prepared.train()
    for _ in range(3):
        prepared(*(_batch(shape, 8) for shape in shapes))
    lowered = lower_program(convert(prepared), name, name)
    graph = optimize(lowered.graph)
    apart = taken_apart(graph, [tensor for tensor in lowered.origins if tensor in graph.tensors])
    values = program_values(lowered, [_batch(shape, 1) for shape in shapes])
    feed = apart.feeds(values)
    calls = [[feed[n] for n in apart.graph.inputs]]
    (results,) = reference_calls(write_tflite(apart.graph), calls, len(apart.layers))
    for layer, result in zip(apart.layers, results, strict=True):
        distance = result.reshape(-1).astype(int) - values[layer.tensor].reshape(-1)
        assert np.abs(distance).max() <= 1, layer


NOT_TRAINED = {
    "bn_after_a_shared_layer": "used more than once before batch norms",
    "channel_shuffle_by_hand": "fixes the batch at 1",
    "view_across": "fixes the batch at 1",
}


# ---- what the graph looks like -------------------------------------------------------------------


def _kinds(name: str) -> list[str]:
    return [op.kind for op in _lowered(name)[1].operators]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("conv_bn_relu", ["CONV_2D"]),
        ("conv_after_pad", ["CONV_2D"]),
        ("linear_flat", ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]),
        ("linear_pixels", ["CONV_2D"]),
        ("bn_relu6", ["DEPTHWISE_CONV_2D"]),
        ("add_relu", ["RESHAPE", "ADD"]),
        ("hardsigmoid", ["RESHAPE", "ADD", "RESHAPE"]),
        ("max_pool", ["MAX_POOL_2D"]),
        ("dropout", ["RELU"]),
    ],
)
def test_fused_into_one_operator(name: str, kinds: list[str]) -> None:
    assert _kinds(name) == kinds


def test_images_are_nhwc_and_sounds_are_rows() -> None:
    assert _lowered("conv")[1].tensors["input_1"].shape == (1, 9, 8, 6)
    sound = _lowered("conv1d")[1]
    assert sound.tensors[sound.inputs[0]].shape == (1, 20, 1, 6)
    assert sound.tensors[sound.outputs[0]].shape == (1, 8, 1, 8)


def test_nominal_macs() -> None:
    assert _lowered("conv")[1].macs == 9 * 8 * 8 * 6 * 9
    assert _lowered("conv_grouped")[1].macs == 7 * 6 * 8 * 3 * 9
    assert _lowered("linear_rows")[1].macs == 5 * 7 * 10
