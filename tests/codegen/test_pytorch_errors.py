"""What the PyTorch front end refuses, and how it says so; programs that others quantised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import refusal_of
from command_line import thumbnet as command
from tflite_builder import reference_calls

from thumbnet.codegen.compile import load_graph
from thumbnet.codegen.errors import (
    DataError,
    ModelFormatError,
    ThumbnetError,
    ToolError,
    UnsupportedError,
)
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.passes import optimize

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")
F, nn = torch.nn.functional, torch.nn

import thumbnet  # noqa: E402
from thumbnet.codegen.frontends.pytorch.program import lower_program  # noqa: E402
from thumbnet.codegen.frontends.pytorch.qat import convert, prepare_qat  # noqa: E402
from thumbnet.codegen.frontends.pytorch.quantize import quantize, save  # noqa: E402
from thumbnet.codegen.frontends.pytorch.values import program_values  # noqa: E402

SHAPE = (1, 4, 8, 8)


class Call(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, function: Callable[..., Any], *modules: Any) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, *inputs: Any) -> Any:
        return self.function(*self.parts, *inputs)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _quantized(module: Any, *shapes: tuple[int, ...]) -> Any:
    examples = tuple(torch.randn(shape) for shape in shapes or (SHAPE,))
    return quantize(module, examples, [examples])


# ---- operators -----------------------------------------------------------------------------------


class Block(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4), nn.GELU()

    def forward(self, x: Any) -> Any:
        return self.act(self.norm(self.conv(x)))


def test_one_message_names_every_module() -> None:
    module = nn.Sequential(Block(), nn.ReLU(), Block())
    with pytest.raises(UnsupportedError) as refusal:
        _quantized(module)
    message = str(refusal.value)
    for text in (
        "Sequential: 4 operator(s) cannot be compiled",
        "module '0.norm': aten.group_norm: not supported; use nn.BatchNorm2d",
        "module '2.act': aten.gelu: not supported; use a module without it: nn.ReLU",
    ):
        assert text in message
    assert "0.conv" not in message


REFUSED: dict[str, tuple[Callable[[], Any], tuple[tuple[int, ...], ...], str]] = {
    "transposed": (lambda: nn.ConvTranspose2d(4, 4, 2), (SHAPE,), "nn.Upsample followed by"),
    "clamp": (lambda: Call(lambda x: x.clamp(-2, 2)), (SHAPE,), "nn.ReLU6 or (-1, 1)"),
    "matmul": (lambda: Call(torch.matmul), ((1, 4, 4), (1, 4, 4)), "use nn.Linear"),
    "log_softmax": (lambda: nn.LogSoftmax(1), ((1, 4),), "use nn.Softmax, or scores"),
    "lstm": (lambda: Call(lambda m, x: m(x)[0], nn.LSTM(4, 4)), ((1, 4, 4),), "nn.Conv1d"),
    "random": (lambda: Call(lambda x: x + torch.randn(1, 4, 8, 8)), (SHAPE,), "aten.randn"),
    "batch_norm_3d": (lambda: nn.BatchNorm3d(4), ((1, 4, 2, 8, 8),), "use nn.BatchNorm2d"),
    "exp": (lambda: Call(torch.exp), (SHAPE,), "docs/pytorch.md lists"),
    "division": (lambda: Call(torch.div), (SHAPE, SHAPE), "only division by a number"),
    "circular": (
        lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), (SHAPE,),
        "mode 'circular' is not supported; use constant",
    ),
    "crop": (lambda: Call(lambda x: F.pad(x, (-1, 0))), (SHAPE,), "negative padding"),
    "dilated_pool": (lambda: nn.MaxPool2d(2, dilation=2), (SHAPE,), "dilation is not supported"),
    "alpha": (lambda: Call(lambda a, b: torch.add(a, b, alpha=2)), (SHAPE, SHAPE), "alpha 2"),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d(3), (SHAPE,), "which it does not divide"),
    "nearest": (
        lambda: nn.Upsample(scale_factor=1.3), (SHAPE,), "no exact multiple; give size="
    ),
    "divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), (SHAPE,), "divisor_override"),
    "no_statistics": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False), (SHAPE,), "track_running_stats=True"
    ),
    "norm_of_order_1": (lambda: Call(lambda x: F.normalize(x, p=1)), (SHAPE,), "F.normalize over"),
    "input_as_output": (lambda: Call(lambda x: (x, x + 1)), (SHAPE,), "is also its input"),
    "output_twice": (lambda: Call(lambda x: [F.relu(x)] * 2), (SHAPE,), "or another output"),
    "unused_input": (lambda: Call(lambda a, b: a + 1), (SHAPE, SHAPE), "'inputs_1' is never used"),
    "constant_cat": (
        lambda: Call(lambda x: torch.cat([x, torch.ones(1, 1, 8, 8)], 1)), (SHAPE,),
        "a constant cannot be concatenated",
    ),
    "data_dependent": (
        lambda: Call(lambda x: x + 1 if x.sum() > 0 else x - 1), (SHAPE,), "torch.export cannot"
    ),
    "view_written": (
        lambda: Call(lambda x: _write_through_view(x + 1)), (SHAPE,), "read later through a view"
    ),
}  # fmt: skip


def _write_through_view(x: Any) -> Any:
    x.view(1, -1).relu_()
    return x * 2


@pytest.mark.parametrize("name", REFUSED)
def test_refused_operator(name: str) -> None:
    make, shapes, text = REFUSED[name]
    with pytest.raises(UnsupportedError) as refusal:
        lower_program(_quantized(make(), *shapes), name)
    assert text in str(refusal.value)


def test_exported_in_training_mode() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout()).train()
    program = torch.export.export(module, (torch.randn(2, 4, 8, 8),))
    with pytest.raises(UnsupportedError, match="exported in training mode; call eval()"):
        thumbnet.compile(program, torch.randn(SHAPE), calibration=[torch.randn(SHAPE)],
                         out_dir="nowhere")  # fmt: skip


# ---- weights and data ----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers(value: float) -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    with torch.no_grad():
        module[1].weight[2, 0] = value
    with pytest.raises(DataError, match="'1.weight' holds NaN or infinity"):
        _quantized(module)


def _nan() -> Any:
    data = torch.randn(3, 4, 8, 8)
    data[1, 0, 0, 0] = float("nan")
    return data


def test_activations_that_overflow() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    with torch.no_grad():
        module[0].weight.fill_(1e30)
        module[1].weight.fill_(1e30)
    with pytest.raises(DataError, match="module '1': aten.conv2d: no range was found"):
        _quantized(module)


CALIBRATIONS: dict[str, tuple[Any, str]] = {
    "none": ([], "no calibration data"),
    "empty": ([torch.zeros(0, 4, 8, 8)], "no calibration data"),
    "channels_last": ([torch.randn(2, 8, 8, 4)], "batch 0 has shape [2, 8, 8, 4], the model takes"),
    "no_batch": ([torch.randn(2, 4, 8, 8), torch.randn(4, 8, 8)], "batch 1 has shape [4, 8, 8]"),
    "arrays": ([np.zeros(SHAPE)], "batch 0 is ndarray; give a tensor"),
    "nan": ([_nan()], "batch 0 holds NaN or infinity"),
}


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_calibration(name: str) -> None:
    calibration, text = CALIBRATIONS[name]
    with pytest.raises(DataError) as refusal:
        quantize(nn.Conv2d(4, 4, 1), torch.randn(SHAPE), calibration)
    assert text in str(refusal.value)


def test_calibration_of_two_inputs() -> None:
    module = Call(torch.add)
    with pytest.raises(DataError, match="holds 1 tensor"):
        quantize(module, (torch.randn(SHAPE), torch.randn(SHAPE)), [torch.randn(SHAPE)])
    with pytest.raises(DataError, match="differ in length"):
        quantize(module, (torch.randn(SHAPE), torch.randn(SHAPE)),
                 [(torch.randn(2, 4, 8, 8), torch.randn(SHAPE))])  # fmt: skip


@pytest.mark.parametrize(
    ("examples", "text"),
    [
        (None, "example_inputs must be a tensor"),
        ({"x": torch.zeros(1) if torch else 0}, "example_inputs must be a tensor"),
        (torch.zeros(SHAPE, dtype=torch.int8), "example input 0 is torch.int8"),
        (torch.zeros(0, 4, 8, 8), "of shape [0, 4, 8, 8]"),
    ],
)
def test_example_inputs(examples: Any, text: str) -> None:
    with pytest.raises(DataError) as refusal:
        quantize(nn.Conv2d(4, 4, 1), examples, [torch.randn(SHAPE)])
    assert text in str(refusal.value)


def test_examples_of_another_shape() -> None:
    with pytest.raises(UnsupportedError, match="Conv2d: torch.export cannot capture it: "):
        _quantized(nn.Conv2d(4, 4, 1), (1, 3, 8, 8))


def test_choices() -> None:
    module, x = nn.Conv2d(4, 4, 1), torch.randn(SHAPE)
    cases: list[tuple[type[ThumbnetError], str, Callable[[], Any]]] = [
        (ToolError, "unknown observer 'best'", lambda: quantize(module, x, [x], observer="best")),
        (DataError, "the inputs are input", lambda: quantize(
            module, x, [x], input_quantization={"picture": (0.1, 0)})),
        (ToolError, "unknown option", lambda: thumbnet.compile(
            module, x, calibration=[x], out_dir="nowhere", speed=3)),
        (ToolError, "unknown target 'z80'", lambda: thumbnet.compile(
            module, x, calibration=[x], out_dir="nowhere", target="z80")),
        (UnsupportedError, "give calibration=", lambda: thumbnet.compile(
            module, x, out_dir="nowhere")),
        (UnsupportedError, "give example_inputs= and calibration=", lambda: thumbnet.compile(
            module, out_dir="nowhere")),
        (ToolError, "takes an nn.Module", lambda: thumbnet.compile(3, out_dir="nowhere")),
    ]  # fmt: skip
    for kind, text, act in cases:
        with pytest.raises(kind) as refusal:
            act()
        assert text in str(refusal.value)
    assert not Path("nowhere").exists()


# ---- files ---------------------------------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    save(torch.export.export(nn.Conv2d(4, 4, 1).eval(), (torch.randn(SHAPE),)),
         tmp_path / "float.pt2")  # fmt: skip
    save(_quantized(nn.Conv2d(4, 4, 1)), tmp_path / "good.pt2")
    data = (tmp_path / "good.pt2").read_bytes()
    (tmp_path / "cut.pt2").write_bytes(data[: len(data) // 2])
    (tmp_path / "noise.pt2").write_bytes(np.random.default_rng(1).bytes(4000))
    (tmp_path / "empty.pt2").write_bytes(b"")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "state.pt2")
    assert [op.kind for op in load_graph(tmp_path / "good.pt2").operators] == ["CONV_2D"]
    with pytest.raises(UnsupportedError, match=r"float.pt2: the program is float; quantise it"):
        load_graph(tmp_path / "float.pt2")
    for name in ("cut", "noise", "empty", "state"):
        with pytest.raises(ModelFormatError, match=f"{name}.pt2: not a program"):
            load_graph(tmp_path / f"{name}.pt2")
    with pytest.raises(ModelFormatError, match="no such file"):
        load_graph(tmp_path / "absent.pt2")


def test_command(tmp_path: Path) -> None:
    """Nothing but the refusal is said."""
    save(torch.export.export(nn.Conv2d(4, 4, 1).eval(), (torch.randn(SHAPE),)),
         tmp_path / "float.pt2")  # fmt: skip
    done = command(tmp_path, "compile", "float.pt2", "-o", "no", "--target", "host", "--json")
    kind, message = refusal_of(done)
    assert kind == "unsupported"
    assert message.startswith("float.pt2: the program is float; quantise it: thumbnet.compile(")
    assert not (tmp_path / "no").exists()


# ---- training ------------------------------------------------------------------------------------


def test_training_refusals() -> None:
    class Fixed(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return F.relu(x.view(1, 256))

    with pytest.raises(DataError, match=r"fixes the batch at 1.*x.flatten\(1\)"):
        prepare_qat(Fixed(), torch.randn(SHAPE))
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
    with pytest.raises(DataError, match="no range was found for its values: .* never ran on data"):
        convert(prepare_qat(module, torch.randn(SHAPE)))
    with pytest.raises(DataError, match="convert takes what prepare_qat returned"):
        convert(torch.fx.symbolic_trace(module))
    prepared = prepare_qat(module, torch.randn(SHAPE))
    prepared(torch.randn(SHAPE))
    with torch.no_grad():
        next(iter(prepared.parameters())).fill_(float("nan"))
    with pytest.raises(DataError, match="training left NaN or infinity in '0.weight'"):
        convert(prepared)


# ---- programs of other quantisers ----------------------------------------------------------------


def _fake(x: Any, scale: float, zero: int, dtype: Any = torch.int8, low: int = -128) -> Any:
    q = torch.ops.quantized_decomposed
    bounds = (low, low + 255)
    integers = q.quantize_per_tensor(x, scale, zero, *bounds, dtype)
    return q.dequantize_per_tensor(integers, scale, zero, *bounds, dtype)


def _affine(x: Any, scale: float, zero: int) -> Any:
    """The same by torchao's own operators."""
    ao = torch.ops.torchao
    numbers = (list(x.shape), torch.tensor([scale]), torch.tensor([zero]), torch.int8, -128, 127)
    integers = ao.quantize_affine(x, *numbers)
    return ao.dequantize_affine(integers, *numbers[:4], -128, 127)


def test_another_quantiser_with_other_scales() -> None:
    """Scales that our quantiser would share: the lowering requantises where the kernels must."""

    def forward(x: Any) -> Any:
        x = _fake(x, 0.05, 3)
        pooled = _fake(F.avg_pool2d(x, 2), 0.02, -5)
        gate = _fake(torch.sigmoid(pooled), 1 / 255, -128)
        both = _fake(torch.cat([pooled, gate], 1), 0.03, 0)
        return _fake(F.relu(both).flatten(1), 0.03, -128)

    program = torch.export.export(Call(forward), (torch.randn(SHAPE),))
    lowered = lower_program(program, "foreign")
    graph = optimize(lowered.graph)
    kinds = [op.kind for op in graph.operators]
    assert kinds.count("QUANTIZE") == 4
    torch.manual_seed(0)
    values = program_values(lowered, (torch.randn(SHAPE),))
    (given,) = reference_calls(write_tflite(graph), [[values[graph.inputs[0]]]])
    with torch.no_grad():
        real = program.module()(_dequantized(graph, values[graph.inputs[0]])).numpy()
    tensor = graph.tensors[graph.outputs[0]]
    wanted = np.rint(real / float(tensor.scale)) + tensor.zero_point
    assert np.abs(given[0].reshape(-1) - wanted.reshape(-1)).max() <= 2


def _dequantized(graph: Any, integers: Any) -> Any:
    tensor = graph.tensors[graph.inputs[0]]
    real = (integers.astype(np.float32) - tensor.zero_point) * tensor.scale
    return torch.from_numpy(real.transpose(0, 3, 1, 2).copy())


def test_torchao_operators() -> None:
    def forward(x: Any) -> Any:
        return _affine(F.relu(_affine(x, 0.05, 3)), 0.03, -128)

    program = torch.export.export(Call(forward), (torch.randn(SHAPE),))
    graph = lower_program(program, "affine").graph
    assert [op.kind for op in graph.operators] == ["RELU"]
    tensor = graph.tensors[graph.outputs[0]]
    assert (tensor.scale, tensor.zero_point) == (np.float32(0.03), -128)


def test_another_quantiser_with_other_types() -> None:
    programs = {
        "torch.uint8": lambda x: _fake(x, 0.1, 3, torch.uint8, 0) * 2,
        "computes on float": lambda x: F.relu(torch.tanh(_fake(x, 0.1, 3))) * 2,
        "weights are not int8": lambda m, x: _fake(m(_fake(x, 0.1, 3)), 0.1, 0),
    }
    for text, function in programs.items():
        modules = [nn.Conv2d(4, 4, 3)] if "weights" in text else []
        program = torch.export.export(Call(function, *modules).eval(), (torch.randn(SHAPE),))
        with pytest.raises(UnsupportedError) as refusal:
            lower_program(program, "foreign")
        assert text in str(refusal.value)


def test_programs_without_fixed_shapes() -> None:
    def forward(x: Any) -> Any:
        return _fake(F.relu(_fake(x, 0.1, 3)), 0.1, -128)

    free = ({0: torch.export.Dim.AUTO},)
    for batch, shapes in ((4, None), (4, (free,))):
        program = torch.export.export(
            Call(forward), (torch.randn(batch, 4, 8, 8),), dynamic_shapes=shapes
        )
        with pytest.raises(UnsupportedError, match="export with batch 1 and fixed shapes"):
            lower_program(program, "batches")
