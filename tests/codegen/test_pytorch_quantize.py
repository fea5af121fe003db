"""Modules that look at their batch, the ranges that are found, and graphs in training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tflite_builder import reference_calls

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")
F, nn = torch.nn.functional, torch.nn

import thumbnet  # noqa: E402
from thumbnet.codegen.errors import DataError, UnsupportedError  # noqa: E402
from thumbnet.codegen.frontends.pytorch.program import lower_program  # noqa: E402
from thumbnet.codegen.frontends.pytorch.qat import convert, prepare_qat  # noqa: E402
from thumbnet.codegen.frontends.pytorch.quantize import quantize  # noqa: E402
from thumbnet.codegen.frontends.tflite_writer import write_tflite  # noqa: E402
from thumbnet.codegen.graph import Graph  # noqa: E402

SHAPE = (1, 3, 8, 8)


class Call(nn.Module):  # type: ignore[misc, name-defined]
    """A function of the modules and the inputs."""

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


def _graph(program: Any) -> Graph:
    return lower_program(program, "test").graph


def _scale(graph: Graph, name: str) -> float:
    return float(graph.tensors[name].scale)


# ---- the batch -----------------------------------------------------------------------------------

BATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "len": lambda conv, x: conv(x).reshape(len(x), -1),
    "int": lambda conv, x: F.relu(conv(x)).view(int(x.size(0)), -1),
    "loop": lambda conv, x: torch.cat([conv(x[i : i + 1]) for i in range(x.shape[0])], 0),
    "branch": lambda conv, x: conv(x) * 2 if x.shape[0] == 1 else conv(x),
    "branch_on_shape": lambda conv, x: conv(x).flatten() if x.shape[0] == 1 else conv(x),
    "division": lambda conv, x: conv(x) / len(x),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_module_that_looks_at_its_batch(name: str) -> None:
    """It is compiled as it computes for one sample."""
    torch.manual_seed(0)
    module = Call(BATCHES[name], nn.Conv2d(3, 4, 3)).eval()
    data = torch.randn(8, *SHAPE[1:])
    program = quantize(module, data[:1], [data]).module(check_guards=False)
    with torch.no_grad():
        wanted, found = module(data[:1]), program(data[:1])
    assert found.shape == wanted.shape
    assert (found - wanted).square().sum() < 0.01 * wanted.square().sum()


def test_a_module_that_branches_on_its_batch_is_not_trained() -> None:
    module = Call(BATCHES["branch"], nn.Conv2d(3, 4, 3))
    with pytest.raises(DataError, match="its forward fixes the batch at 1"):
        prepare_qat(module, torch.randn(SHAPE))


# ---- ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("observer", ["histogram", "minmax"])
def test_small_signals_keep_their_precision(observer: str) -> None:
    """A sensor in volts may give microvolts."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 3, bias=False)
    )
    data = torch.randn(32, *SHAPE[1:]) * 1e-7
    program = quantize(module, data[:1], [data], observer=observer)
    with torch.no_grad():
        wanted, found = module(data[:1]), program.module(check_guards=False)(data[:1])
    assert (found - wanted).double().square().sum() < 0.01 * wanted.double().square().sum()
    graph = _graph(program)
    assert _scale(graph, graph.inputs[0]) < 1e-8


@pytest.mark.parametrize("observer", ["histogram", "minmax"])
def test_a_layer_that_is_always_zero(observer: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    with torch.no_grad():
        module[0].bias.fill_(-2000.0)
    data = torch.randn(8, *SHAPE[1:])
    program = quantize(module, data[:1], [data], observer=observer)
    graph = _graph(program)
    assert _scale(graph, "0") == 1 / 256
    wanted = program.module(check_guards=False)(data[:1])
    tensor = graph.tensors[graph.outputs[0]]
    integers = tensor.zero_point + np.rint(wanted.numpy() / float(tensor.scale))
    given = np.zeros(graph.tensors[graph.inputs[0]].shape, np.int8)
    (ours,) = reference_calls(write_tflite(graph), [[given]])[0]
    distance = ours.transpose(0, 3, 1, 2) - integers
    assert np.abs(distance).max() <= 1  # the input makes no difference


# ---- training ------------------------------------------------------------------------------------


def test_a_range_that_tensors_share_holds_all_of_them() -> None:
    """In training as in calibration; an average over the two would be the range of neither."""
    torch.manual_seed(0)
    branches = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
    module = Call(lambda a, b, x: torch.cat([a(x), b(x)], 1), *branches)
    with torch.no_grad():
        module.parts[1].weight *= 10
        data = torch.randn(64, *SHAPE[1:])
        prepared = prepare_qat(module, data[:1])
        prepared.train()
        for _ in range(40):
            prepared(data)
    trained = _graph(convert(prepared))
    calibrated = _graph(quantize(module, data[:1], [data], observer="minmax"))
    (output,), (same) = trained.outputs, calibrated.outputs[0]
    assert _scale(trained, output) == pytest.approx(_scale(calibrated, same), rel=0.02)


def test_a_copy_of_a_graph_in_training_has_modes_of_its_own() -> None:
    """As copy.deepcopy(model) of the best epoch is used: its eval() switches it, not the other."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 4)
    )
    data = torch.randn(16, *SHAPE[1:])
    prepared = prepare_qat(module, data[:1])
    prepared.train()
    for _ in range(3):
        prepared(data * 3 + 1)
    best = copy.deepcopy(prepared)
    best.eval()
    assert (best.training, prepared.training) == (False, True)
    with torch.no_grad():
        assert torch.equal(best(data), best(data))
        assert not torch.equal(prepared(data), prepared(data))
        ranges = _observed(best)
        best(data * 100)
    assert _observed(best) == ranges
    assert _graph(convert(best)).outputs == ("4",)
    assert prepared.training


def _observed(prepared: Any) -> list[float]:
    return [float(v.sum()) for n, v in prepared.named_buffers() if n.endswith("max_val")]


# ---- refusals ------------------------------------------------------------------------------------


def _normed(**options: Any) -> Any:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, **options), nn.ReLU())


def test_batch_norms_that_cannot_be_trained() -> None:
    with pytest.raises(UnsupportedError, match="module '1': a batch norm with momentum None"):
        prepare_qat(_normed(momentum=None), torch.randn(SHAPE))
    module = _normed()
    with torch.no_grad():
        module[1].weight[2] = 0
    with pytest.raises(UnsupportedError, match=r"module '1': .*its weight, which holds zeros"):
        prepare_qat(module, torch.randn(SHAPE))


def test_a_graph_in_training_is_converted_once() -> None:
    prepared = prepare_qat(_normed(), torch.randn(SHAPE))
    prepared(torch.randn(4, *SHAPE[1:]))
    with pytest.raises(DataError, match=r"qat.convert"):
        thumbnet.compile(prepared, out_dir="nowhere")
    convert(prepared)
    with pytest.raises(DataError, match="uses it up"):
        convert(prepared)


def test_what_is_no_float32_tensor() -> None:
    module, x = nn.Conv2d(3, 4, 3), torch.randn(SHAPE)
    for calibration, text in (
        (5, "calibration is int; give a list"),
        ([{"x": x}], "batch 0 is dict; give a tensor"),
        ([x, (np.zeros(SHAPE), 1)], "batch 1 is a tuple of int, ndarray; .*torch.from_numpy"),
    ):
        with pytest.raises(DataError, match=text):
            quantize(module, x, calibration)  # type: ignore[arg-type]
    quantize(module, x, [(x, ["a label"])])
    for kind in (torch.float64, torch.float16):
        with pytest.raises(DataError, match=r"'weight' is torch.float.*call .float\(\)"):
            quantize(nn.Conv2d(3, 4, 3).to(kind), x, [x])
    with pytest.raises(UnsupportedError, match=r"give F.dropout training=self.training"):
        quantize(Call(lambda x: F.dropout(x) + 1), x, [x])
