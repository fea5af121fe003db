"""Graphs written back to .tflite compute the bytes of the model that they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_networks import random_network
from sample_models import SAMPLES
from streaming_networks import keyword_network
from tflite_builder import reference_calls

from thumbnet.codegen.compile import Options, compile_graph
from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.frontends.tflite import load_tflite
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.graph import (
    Attributes,
    Convolution,
    Graph,
    Operator,
    Padding,
    Pool,
    Quantization,
    Slice,
    State,
    Tensor,
    Variable,
)
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.passes import optimize
from thumbnet.codegen.stream import stream
from thumbnet.codegen.toolchain import host_library
from thumbnet.tools.arrays import Array
from thumbnet.tools.random_graphs import FAMILIES

SHARED = Path(__file__).parents[2].parent / "shared" / "models"
PUBLIC = (
    "mlperf_tiny/vww_96_int8", "mlperf_tiny/kws_ref_model", "mlperf_tiny/ad01_int8",
    "mlperf_tiny/pretrainedResnet_quant", "mlperf_tiny/str_ww_ref_model",
    "tflm/person_detect", "tflm/micro_speech_quantized", "tflm/hello_world_int8",
    "micro_wake_word/okay_nabu", "mcunet/mcunet-vww1", "face_embedding/mobilefacenet_int8",
)  # fmt: skip
SEEDS = range(12)


# ---- the same bytes from the reference -----------------------------------------------------------


def _calls(graph: Graph, count: int) -> list[list[Array]]:
    """Random inputs of the graph's own types; float32 ones cover their tensor's range."""
    random = np.random.default_rng(7)
    calls = []
    for _ in range(count):
        call = []
        for name in graph.inputs:
            tensor = graph.tensors[name]
            if tensor.dtype == "float32":
                call.append(random.normal(0, 2, tensor.shape).astype(np.float32))
            else:
                limits = np.iinfo(tensor.dtype)
                values = random.integers(limits.min, limits.max + 1, tensor.shape)
                call.append(values.astype(tensor.dtype))
        calls.append(call)
    return calls


def _outputs(model: bytes, calls: Sequence[Sequence[Array]], graph: Graph) -> list[Array]:
    """Every output of every call, by the reference interpreter."""
    results = reference_calls(model, calls, len(graph.outputs), 1 << 24)
    return [array for call in results for array in call]


def _equal(ours: Sequence[Array], theirs: Sequence[Array]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


def _as_integers(graph: Graph, calls: list[list[Array]]) -> list[list[Array]]:
    """What QUANTIZE at a float32 input makes of it."""
    made = []
    for call in calls:
        row = []
        for name, array in zip(graph.inputs, call, strict=True):
            if name in graph.float_inputs:
                tensor = graph.tensors[name]
                scaled = array / tensor.scale
                rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
                array = np.clip(rounded + tensor.zero_point, -128, 127).astype(np.int8)
            row.append(array)
        made.append(row)
    return made


def _as_real(graph: Graph, outputs: Sequence[Array]) -> list[Array]:
    """What DEQUANTIZE at a float32 output makes of it."""
    made = []
    for i, array in enumerate(outputs):
        name = graph.outputs[i % len(graph.outputs)]
        tensor = graph.tensors[name]
        if name in graph.float_outputs:
            array = tensor.scale * (array.astype(np.int32) - tensor.zero_point).astype(np.float32)
        made.append(array)
    return made


def _same_bytes(model: Path, folder: Path, calls: int = 6) -> None:
    """The file read, written, read, optimised and written again: always the same outputs."""
    graph = load_tflite(model)
    given = _calls(graph, 20 if graph.states else calls)
    expected = _outputs(model.read_bytes(), given, graph)
    written = write_tflite(graph)
    _equal(_outputs(written, given, graph), expected)

    again = load_tflite(_saved(folder, written))
    assert (again.inputs, again.outputs, again.macs) == (graph.inputs, graph.outputs, graph.macs)
    assert _starts(again) == _starts(graph)

    optimized = optimize(graph)
    integers = _outputs(write_tflite(optimized), _as_integers(optimized, given), optimized)
    _equal(_as_real(optimized, integers), expected)


def _saved(folder: Path, model: bytes) -> Path:
    path = folder / "written.tflite"
    path.write_bytes(model)
    return path


def _starts(graph: Graph) -> dict[str, bytes]:
    return {state.tensor: state.initial.tobytes() for state in graph.states}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples(tmp_path: Path, name: str) -> None:
    model = tmp_path / f"{name}.tflite"
    model.write_bytes(SAMPLES[name]().build())
    _same_bytes(model, tmp_path)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_networks(tmp_path: Path, name: str) -> None:
    model = SHARED / f"{name}.tflite"
    if not model.exists():
        pytest.skip(f"{model.name} is not beside the checkout")
    _same_bytes(model, tmp_path, calls=2)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks(tmp_path: Path, seed: int) -> None:
    model = tmp_path / f"random_{seed}.tflite"
    model.write_bytes(random_network(seed))
    _same_bytes(model, tmp_path)


@pytest.mark.parametrize("name", ["stateful", "branches", "uint8_edges"])
def test_the_same_graph_gives_the_same_file(tmp_path: Path, name: str) -> None:
    model = tmp_path / f"{name}.tflite"
    model.write_bytes(SAMPLES[name]().build())
    first, second = (write_tflite(load_tflite(model)) for _ in range(2))
    assert first == second


# ---- the same bytes from our C -------------------------------------------------------------------


def _compiled_outputs(graph: Graph, folder: Path, calls: Sequence[Sequence[Array]]) -> list[Array]:
    """Every output of every call, by the C for the host."""
    compiled = compile_graph(optimize(graph), Path(graph.source), folder, Options("host"))
    model = HostModel(host_library(folder), compiled.manifest)
    results = [model([array.tobytes() for array in call]) for call in calls]
    edges = compiled.manifest.outputs
    return [
        np.frombuffer(data, edge.dtype)
        for call in results
        for data, edge in zip(call, edges, strict=True)
    ]


def _agrees(graph: Graph, folder: Path, calls: int = 6) -> Graph:
    """C of the graph, C of it written and read, and the reference agree; gives the graph read."""
    given = _calls(graph, calls)
    written = write_tflite(graph)
    expected = _outputs(written, given, graph)
    again = load_tflite(_saved(folder, written))
    _equal(_compiled_outputs(graph, folder / "ours", given), expected)
    _equal(_compiled_outputs(again, folder / "again", given), expected)
    return optimize(again)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_graphs(tmp_path: Path, family: str) -> None:
    graph = FAMILIES[family](3)
    again = _agrees(graph, tmp_path, 3)
    assert again.macs == graph.macs
    assert [op.kind for op in again.operators] == [op.kind for op in optimize(graph).operators]


def _graph(op: Operator, *tensors: Tensor, states: tuple[State, ...] = ()) -> Graph:
    """A graph of one operator whose first input is the graph's."""
    return Graph(
        "one",
        "one.tflite",
        {tensor.name: tensor for tensor in tensors},
        (op,),
        op.inputs[:1],
        op.outputs,
        states,
        input_names={op.inputs[0]: "input"},
        output_names={op.outputs[0]: "output"},
    )


def _scale(scale: float = 0.05, zero_point: int = -3) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))


def _tensor(name: str, *shape: int, zero_point: int = -3) -> Tensor:
    return Tensor(name, shape, "int8", _scale(zero_point=zero_point))


def _convolution(padding: Padding, stride: int, *, depthwise: bool, zero_point: int = 5) -> Graph:
    """A convolution of 9x8 with a 3x3 kernel; its bias has no scale, its weights no axis."""
    random = np.random.default_rng(1)
    shape, channels = ((1, 3, 3, 4), 4) if depthwise else ((6, 3, 3, 4), 6)
    scales = Quantization(
        random.uniform(0.002, 0.01, channels).astype(np.float32), np.zeros(channels, np.int64)
    )
    weights = random.integers(-127, 128, shape, dtype=np.int8)
    bias = random.integers(-2000, 2000, channels, dtype=np.int32)
    h = (9 + padding.top + padding.bottom - 3) // stride + 1
    w = (8 + padding.left + padding.right - 3) // stride + 1
    attributes = Convolution(stride, stride, padding=padding, depth_multiplier=int(depthwise))
    op = Operator("conv", "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", ("x", "w", "b"), ("y",),
                  attributes)  # fmt: skip
    return _graph(
        op,
        _tensor("x", 1, 9, 8, 4, zero_point=zero_point),
        Tensor("w", shape, "int8", scales, weights),
        Tensor("b", (channels,), "int32", None, bias),
        _tensor("y", 1, h, w, channels),
    )


@pytest.mark.parametrize("zero_point", [-128, 5, 127])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("padding", "stride", "kinds"),
    [
        (Padding(), 1, []),
        (Padding(1, 1, 1, 1), 1, []),
        (Padding(1, 1, 0, 1), 2, []),  # SAME puts the odd line at the end
        (Padding(1, 1, 1, 1), 2, ["PAD"]),  # as PyTorch pads an even width
        (Padding(0, 2, 3, 0), 1, ["PAD"]),
        (Padding(0, 1, 0, 0), 2, []),  # a line that no window reaches
    ],
)
def test_padding(tmp_path: Path, padding: Padding, stride: int, kinds: list[str], depthwise: bool,
                 zero_point: int) -> None:  # fmt: skip
    graph = _convolution(padding, stride, depthwise=depthwise, zero_point=zero_point)
    again = load_tflite(_saved(tmp_path, write_tflite(graph)))
    assert [op.kind for op in again.operators] == [*kinds, graph.operators[0].kind]
    if zero_point == 5:
        _agrees(graph, tmp_path)


def _pool(kind: str, padding: Padding) -> Graph:
    h = (7 + padding.top + padding.bottom - 3) // 2 + 1
    w = (6 + padding.left + padding.right - 2) // 2 + 1
    op = Operator("pool", f"{kind}_POOL_2D", ("x",), ("y",), Pool(3, 2, 2, 2, padding))
    return _graph(op, _tensor("x", 1, 7, 6, 3), _tensor("y", 1, h, w, 3))


@pytest.mark.parametrize("padding", [Padding(), Padding(1, 1, 0, 0), Padding(0, 2, 1, 1)])
def test_maximum_over_padding(tmp_path: Path, padding: Padding) -> None:
    _agrees(_pool("MAX", padding), tmp_path)


def test_average_over_padding(tmp_path: Path) -> None:
    _agrees(_pool("AVERAGE", Padding(1, 1, 0, 0)), tmp_path)
    with pytest.raises(UnsupportedError, match=r"AVERAGE_POOL_2D 'pool' leaves out padding of"):
        write_tflite(_pool("AVERAGE", Padding(0, 2, 1, 1)))


@pytest.mark.parametrize(
    ("begin", "size", "stride", "shape", "kinds"),
    [
        ((0, 1, 0, 2), (1, 2, 5, 1), (1, 1, 1, 9), (1, 2, 5, 1), ["SLICE"]),
        ((0, 3, 4, 0), (1, 2, 5, 2), (1, -3, -1, 2), (1, 2, 5, 2), ["SLICE"]),
        ((0, 2, 1, 0), (1, 1, 4, 3), (1, -1, 1, 1), (1, 4, 3), ["SLICE"]),
        ((0, 2, 1, 1), (1, 1, 4, 1), (1, 1, 1, 1), (4,), ["SLICE"]),
        ((0, 2, 1, 0), (1, 1, 4, 3), (1, 1, 1, 1), (4, 1, 1, 3), ["SLICE", "RESHAPE"]),
    ],
)
def test_slices(tmp_path: Path, begin: tuple[int, ...], size: tuple[int, ...],
                stride: tuple[int, ...], shape: tuple[int, ...],
                kinds: list[str]) -> None:  # fmt: skip
    op = Operator("cut", "SLICE", ("x",), ("y",), Slice(begin, size, stride))
    graph = _graph(op, _tensor("x", 1, 4, 5, 3), _tensor("y", *shape))
    again = _agrees(graph, tmp_path)
    assert [op.kind for op in again.operators] == kinds


def test_states_of_any_name(tmp_path: Path) -> None:
    """A state that came from no file: its value and its start survive, call by call."""
    start = np.arange(-6, 6, dtype=np.int8).reshape(1, 12)
    graph = Graph(
        "memory",
        "memory.tflite",
        {name: _tensor(name, 1, 12) for name in ("x", "old", "y", "ring")},
        (
            Operator("read", "READ_VARIABLE", (), ("old",), Variable("ring")),
            Operator("add", "MAXIMUM", ("x", "old"), ("y",), Attributes()),
            Operator("keep", "ASSIGN_VARIABLE", ("x",), (), Variable("ring")),
        ),
        ("x",),
        ("y",),
        (State("ring", start),),
        input_names={"x": "input"},
        output_names={"y": "output"},
    )
    again = _agrees(graph, tmp_path)
    assert [state.initial.tobytes() for state in again.states] == [start.tobytes()]


def test_a_streamed_network(tmp_path: Path) -> None:
    """Equal from the call on that fills the window: the file lacks what `NAME_init` feeds it."""
    model = _saved(tmp_path, keyword_network())
    graph = stream(optimize(load_tflite(model)))
    rows = graph.tensors[graph.inputs[0]].shape[1]
    full = -(-graph.window_rows // rows)
    given = _calls(graph, full + 6)
    expected = _outputs(write_tflite(graph), given, graph)
    ours = _compiled_outputs(graph, tmp_path / "ours", given)
    _equal(ours[full - 1 :], expected[full - 1 :])


def test_a_state_and_a_tensor_may_clash(tmp_path: Path) -> None:
    """Names that the writer makes for itself give way to the graph's."""
    graph = _convolution(Padding(1, 1, 1, 1), 2, depthwise=False)
    tensors = {**graph.tensors, "y/padded": replace(graph.tensors["x"], name="y/padded")}
    op = replace(graph.operators[0], inputs=("y/padded", "w", "b"))
    clash = replace(graph, tensors=tensors, operators=(op,), inputs=("y/padded",),
                    input_names={"y/padded": "input"})  # fmt: skip
    _agrees(clash, tmp_path)
