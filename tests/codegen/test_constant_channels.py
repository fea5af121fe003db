"""Channels that are known or unread: what goes, what stays, and always the reference's bytes.

A graph is optimised, written back to .tflite and run by the reference interpreter, beside the model
that it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from random_networks import random_network
from tflite_builder import Builder, Spec, reference_calls

from thumbnet.codegen.compile import Options, compile_graph
from thumbnet.codegen.cost import parameters
from thumbnet.codegen.frontends.tflite import load_tflite
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.graph import Activation, Convolution, Graph, Slice
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.lowering.registry import LOWERINGS
from thumbnet.codegen.passes import optimize
from thumbnet.codegen.toolchain import host_library
from thumbnet.codegen.value_ranges import value_ranges
from thumbnet.tools.arrays import Array

NEVER, ALWAYS = -(10**8), 10**8  # biases
ZERO_POINTS = [-128, 127, 3]


class Net:
    """A model under construction; tensors are indices, `dead` and `bias` are by channel."""

    def __init__(self, shape: Sequence[int] = (1, 5, 6, 4), zero_point: int = -3) -> None:
        self.b = Builder()
        self.random = np.random.default_rng(1)
        self.x = self.b.input(tuple(shape), scale=0.05, zero_point=zero_point)

    def shape(self, x: int) -> tuple[int, ...]:
        return self.b.specs[x].shape

    def _numbers(
        self, shape: tuple[int, ...], axis: int, dead: slice, bias: int, unread: slice
    ) -> tuple[int, int]:
        weights = self.random.integers(-127, 128, shape).astype(np.int8)
        filters = np.moveaxis(weights, axis, 0)
        biases = self.random.integers(-900, 900, len(filters)).astype(np.int32)
        biases[dead] = bias
        if abs(bias) < 1000:
            filters[dead] = 0
        weights[..., unread] = 0
        scales = self.random.uniform(0.003, 0.01, len(filters)).astype(np.float32)
        per_channel = self.b.constant(weights, scales.tolist(), 0, axis)
        return per_channel, self.b.constant(biases, (0.05 * scales).tolist())

    def conv(
        self, x: int, channels: int, kernel: int = 1, *, dead: slice = slice(0), bias: int = 0,
        unread: slice = slice(0), padding: str = "SAME", activation: str = "NONE",
        zero_point: int = 3, scale: float = 0.05, depthwise: int = 0,
    ) -> int:  # fmt: skip
        _, h, w, c = self.shape(x)
        if padding == "VALID":
            h, w = h - kernel + 1, w - kernel + 1
        options: dict[str, Any] = {"depth_multiplier": depthwise} if depthwise else {}
        shape = (1, kernel, kernel, channels) if depthwise else (channels, kernel, kernel, c)
        numbers = self._numbers(shape, 3 if depthwise else 0, dead, bias, unread)
        return self.b.op(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, *numbers],
            Spec((1, h, w, channels), scale=scale, zero_point=zero_point), padding=padding,
            stride_h=1, stride_w=1, dilation_h_factor=1, dilation_w_factor=1,
            fused_activation_function=activation, **options,
        )  # fmt: skip

    def depthwise(self, x: int, kernel: int = 3, *, multiplier: int = 1, **options: Any) -> int:
        channels = self.shape(x)[3] * multiplier
        return self.conv(x, channels, kernel, depthwise=multiplier, **options)

    def dense(self, x: int, outputs: int, *, dead: slice = slice(0), bias: int = 0) -> int:
        inputs = int(np.prod(self.shape(x)[1:]))
        weights = self.random.integers(-127, 128, (outputs, inputs)).astype(np.int8)
        biases = self.random.integers(-900, 900, outputs).astype(np.int32)
        biases[dead] = bias
        weights[dead] = 0
        return self.b.op(
            "FULLY_CONNECTED",
            [x, self.b.constant(weights, 0.004), self.b.constant(biases, 0.0002)],
            Spec((1, outputs), scale=0.1, zero_point=4), fused_activation_function="NONE",
            weights_format="DEFAULT", keep_num_dims=False,
        )  # fmt: skip

    def like(self, x: int, shape: tuple[int, ...], **other: Any) -> Spec:
        of = self.b.specs[x]
        return replace(Spec(shape, of.dtype, of.scale, of.zero_point), **other)

    def add(self, kind: str, *inputs: int, activation: str = "NONE") -> int:
        return self.b.op(
            kind, list(inputs), Spec(self.shape(inputs[0]), scale=0.09, zero_point=5),
            fused_activation_function=activation,
        )  # fmt: skip

    def pool(self, kind: str, x: int, size: int = 2, **options: Any) -> int:
        chosen = {"padding": "SAME", "fused_activation_function": "NONE", **options}
        return self.b.op(
            kind, [x], self.like(x, self.shape(x)), filter_height=size, filter_width=size,
            stride_h=1, stride_w=1, **chosen,
        )  # fmt: skip

    def mean(self, x: int) -> int:
        axes = self.b.constant(np.array([1, 2], np.int32))
        return self.b.op(
            "MEAN", [x, axes], Spec((1, self.shape(x)[3]), scale=0.03, zero_point=7),
            keep_dims=False,
        )  # fmt: skip

    def flat(self, x: int) -> int:
        shape = (1, int(np.prod(self.shape(x))))
        axes = self.b.constant(np.array(shape, np.int32))
        return self.b.op("RESHAPE", [x, axes], self.like(x, shape), new_shape=list(shape))

    def concatenated(self, *parts: int) -> int:
        channels = sum(self.shape(part)[3] for part in parts)
        shape = (*self.shape(parts[0])[:3], channels)
        return self.b.op(
            "CONCATENATION", list(parts), self.like(parts[0], shape), axis=3,
            fused_activation_function="NONE",
        )  # fmt: skip

    def sliced(self, x: int, begin: int, size: int) -> int:
        numbers = [self.b.constant(np.array([0, 0, 0, begin], np.int32))]
        shape = (*self.shape(x)[:3], size)
        numbers.append(self.b.constant(np.array(shape, np.int32)))
        return self.b.op("SLICE", [x, *numbers], self.like(x, shape))

    def optimized(self, *outputs: int, calls: int = 8) -> Graph:
        """The optimised graph of the model with these outputs: the same bytes as the model's."""
        for output in outputs:
            self.b.output(output)
        return _optimized(self.b.build(), calls)


def _calls(graph: Graph, count: int) -> list[list[Array]]:
    random = np.random.default_rng(count)
    shape = graph.tensors[graph.inputs[0]].shape
    extremes = [np.full(shape, value, np.int8) for value in (-128, 127)]
    extremes.append(np.where(random.random(shape) < 0.5, -128, 127).astype(np.int8))
    values = [random.integers(-128, 128, shape).astype(np.int8) for _ in range(count)]
    return [[value] for value in (*extremes, *values)]


def _loaded(model: bytes) -> Graph:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.tflite"
        path.write_bytes(model)
        return load_tflite(path)


def _optimized(model: bytes, calls: int) -> Graph:
    source = _loaded(model)
    graph = optimize(source)
    given, count = _calls(source, calls), len(source.outputs)
    expected = reference_calls(model, given, count)
    again = reference_calls(write_tflite(graph), given, count)
    for wanted, got in zip(expected, again, strict=True):
        for a, b in zip(wanted, got, strict=True):
            np.testing.assert_array_equal(a, b)
    assert graph.macs == source.macs
    assert parameters(graph) == parameters(source)
    return graph


def _widths(graph: Graph) -> list[int]:
    """Channels of every operator's output."""
    return [graph.tensors[op.outputs[0]].shape[-1] for op in graph.operators]


# ---- one operator after another ------------------------------------------------------------------


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_filters_of_zeros(zero_point: int, padding: str) -> None:
    net = Net(zero_point=zero_point)
    x = net.conv(net.x, 12, 3, dead=slice(2, 6), zero_point=zero_point)
    assert _widths(net.optimized(net.conv(x, 6, 3, padding=padding))) == [8, 6]


@pytest.mark.parametrize(("bias", "activation"), [(NEVER, "RELU"), (NEVER, "NONE"), (700, "NONE")])
@pytest.mark.parametrize(
    ("kernel", "padding", "goes"), [(1, "SAME", True), (3, "VALID", True), (3, "SAME", False)]
)
def test_constants_at_borders(
    bias: int, activation: str, kernel: int, padding: str, goes: bool
) -> None:
    """What is not the zero point goes where no tap is padded; what stays reads nothing."""
    net = Net()
    x = net.conv(net.x, 12, 3, dead=slice(2, 6), bias=bias, activation=activation, zero_point=-9)
    graph = net.optimized(net.conv(x, 6, kernel, padding=padding))
    goes = goes or activation == "RELU"
    assert _widths(graph) == [8 if goes else 12, 6]
    weights = graph.tensors[graph.operators[0].inputs[1]].data
    assert weights is not None
    assert weights.reshape(len(weights), -1).any(axis=1).sum() == 8


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
def test_saturated_channels(zero_point: int, activation: str) -> None:
    net = Net(zero_point=zero_point)
    options: dict[str, Any] = {"activation": activation, "zero_point": zero_point}
    x = net.conv(net.x, 16, dead=slice(0, 16, 2), bias=ALWAYS, **options)
    assert _widths(net.optimized(net.conv(x, 6)))[0] <= 8


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_through_a_depthwise_convolution(zero_point: int, multiplier: int) -> None:
    net = Net()
    x = net.conv(net.x, 12, dead=slice(4), zero_point=zero_point)
    x = net.depthwise(x, multiplier=multiplier, zero_point=zero_point)
    assert _widths(net.optimized(net.conv(x, 6))) == [8, 8 * multiplier, 6]


def test_a_depthwise_convolution_of_one_channel() -> None:
    net = Net((1, 5, 6, 1))
    x = net.depthwise(net.x, multiplier=12, dead=slice(4), bias=90)
    graph = net.optimized(net.conv(x, 6))
    assert _widths(graph) == [8, 6]
    attributes = graph.operators[0].attributes
    assert isinstance(attributes, Convolution) and attributes.depth_multiplier == 8


@pytest.mark.parametrize(("padding", "goes"), [("SAME", False), ("VALID", True)])
def test_through_a_depthwise_convolution_that_pads(padding: str, goes: bool) -> None:
    net = Net()
    x = net.conv(net.x, 12, dead=slice(4), bias=900)
    x = net.depthwise(x, padding=padding)
    assert _widths(net.optimized(net.conv(x, 6))) == [8, 8, 6] if goes else [12, 12, 6]


def test_what_nothing_reads_is_not_made() -> None:
    """All the way up: through a depthwise convolution and the filters that are gone."""
    net = Net()
    x = net.conv(net.x, 16)
    x = net.depthwise(x)
    x = net.conv(x, 12, unread=slice(0, 16, 2), activation="RELU", zero_point=-128)
    x = net.conv(x, 8, dead=slice(4), bias=0)
    graph = net.optimized(net.conv(x, 3, 3))
    assert _widths(graph) == [8, 8, 12, 4, 3]


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize(("second", "left"), [(slice(4), 8), (slice(8), 8), (slice(8, 12), 12)])
def test_both_sides_of_an_addition(kind: str, second: slice, left: int) -> None:
    net = Net()
    a = net.conv(net.x, 12, dead=slice(4), bias=800)
    b = net.conv(net.x, 12, 3, dead=second)
    y = net.add(kind, a, b)
    if kind == "MUL":  # by zero: zero, whatever the other side is
        left = 12 - (second.stop - (second.start or 0))
    assert _widths(net.optimized(net.conv(y, 5))) == [left, left, left, 5]


def test_a_constant_operand_shrinks_too() -> None:
    net = Net()
    x = net.conv(net.x, 12, dead=slice(4))
    values = net.random.integers(-128, 128, (1, 1, 1, 12)).astype(np.int8)
    y = net.add("MUL", x, net.b.constant(values, 0.02, 3))
    y = net.b.op("MINIMUM", [y, net.b.constant(values[0, 0], 0.09, 5)], net.like(y, net.shape(y)))
    alpha = net.b.constant(values[0], 0.01, 4)
    y = net.b.op("PRELU", [y, alpha], Spec(net.shape(y), scale=0.05, zero_point=0))
    assert _widths(net.optimized(net.conv(y, 5, 3, padding="VALID"))) == [8, 8, 8, 8, 5]


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("zero_point", ZERO_POINTS)
def test_through_pools_means_and_activations(kind: str, zero_point: int) -> None:
    net = Net()
    x = net.conv(net.x, 16, dead=slice(0, 16, 2), bias=-600, zero_point=zero_point)
    x = net.pool(kind, x, 3)
    x = net.b.op("LEAKY_RELU", [x], Spec(net.shape(x), scale=0.04, zero_point=9), alpha=0.1)
    assert _widths(net.optimized(net.dense(net.mean(x), 5))) == [8, 8, 8, 8, 5]


def test_through_a_flattening() -> None:
    """A channel is every twelfth element of the vector."""
    net = Net()
    x = net.conv(net.x, 12, dead=slice(3, 7), bias=600)
    y = net.dense(net.flat(x), 9, dead=slice(5, 9), bias=99)
    graph = net.optimized(net.dense(y, 3))
    assert _widths(graph) == [8, 30 * 8, 8, 3]


def test_through_concatenations_and_slices() -> None:
    net = Net()
    a = net.conv(net.x, 12, dead=slice(4))
    b = net.conv(net.x, 8, dead=slice(4, 8), bias=NEVER)
    both = net.concatenated(a, b)
    left, right = net.sliced(both, 0, 8), net.sliced(both, 8, 12)
    graph = net.optimized(net.conv(left, 3), net.conv(right, 3))
    assert _widths(graph) == [8, 4, 12, 4, 8, 3, 3]
    cuts = [op.attributes for op in graph.operators if isinstance(op.attributes, Slice)]
    assert [(cut.begin[3], cut.size[3]) for cut in cuts] == [(0, 4), (4, 8)]


def test_outputs_stay() -> None:
    net = Net()
    x = net.conv(net.x, 12, dead=slice(4))
    y = net.conv(x, 12, dead=slice(8))
    z = net.conv(net.conv(y, 8, dead=slice(4)), 12, dead=slice(4))
    assert _widths(net.optimized(x, z)) == [12, 4, 4, 12]


@pytest.mark.parametrize(("dead", "left"), [(3, 12), (5, 8), (8, 4), (11, 4), (12, 4)])
def test_channels_stay_in_fours(dead: int, left: int) -> None:
    net = Net()
    x = net.conv(net.x, 12, dead=slice(dead))
    assert _widths(net.optimized(net.conv(net.depthwise(x), 5))) == [left, left, 5]


def test_shared_weights_stay_shared_where_nothing_is_cut() -> None:
    net = Net()
    x = net.conv(net.x, 4, 3)
    weights, bias = net._numbers((8, 1, 1, 4), 0, slice(4), 0, slice(0))
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1}
    spec = Spec((1, 5, 6, 8), scale=0.06, zero_point=2)
    a, b = (net.b.op("CONV_2D", [y, weights, bias], spec, **options) for y in (net.x, x))
    graph = net.optimized(a, net.conv(b, 3))
    assert _widths(graph) == [4, 8, 4, 3]


def test_the_report_tells_what_is_computed(tmp_path: Path) -> None:
    net = Net()
    graph = net.optimized(net.conv(net.conv(net.x, 12, dead=slice(4)), 5))
    manifest = compile_graph(graph, Path("net"), tmp_path / "net", Options("host")).manifest
    assert manifest.macs == 30 * (4 * 12 + 12 * 5)
    assert [layer.macs for layer in manifest.layers] == [30 * 4 * 8, 30 * 8 * 5]
    text = (tmp_path / "net" / "report.html").read_text(encoding="utf-8")
    assert "<dd>3,240</dd><dd>2,160 computed</dd>" in text


# ---- clamps, identities, scales ------------------------------------------------------------------


@pytest.mark.parametrize(("bias", "kept"), [(10**4, "RELU"), (15 * 10**4, "NONE")])
def test_clamps_that_never_bind(bias: int, kept: str) -> None:
    net = Net()
    x = net.conv(net.x, 8, activation="RELU", dead=slice(8), bias=bias, scale=0.6, zero_point=-100)
    attributes = net.optimized(x).operators[0].attributes
    assert isinstance(attributes, Convolution) and attributes.activation == kept
    net = Net()
    x = net.conv(net.x, 8, activation="RELU", zero_point=-128)
    y = net.add("ADD", x, x, activation="RELU")
    attributes = net.optimized(y).operators[1].attributes
    assert isinstance(attributes, Activation) and attributes.activation == "NONE"


def test_operators_that_change_nothing() -> None:
    net = Net()
    x = net.conv(net.x, 8, activation="RELU6", zero_point=-20, scale=0.06)
    y = net.b.op("RELU", [x], net.like(x, net.shape(x)))
    y = net.pool("MAX_POOL_2D", y, 1)
    y = net.b.op("ABS", [y], net.like(x, net.shape(x)))
    kinds = [op.kind for op in net.optimized(y, net.conv(x, 3)).operators]
    assert kinds == ["CONV_2D", "RESHAPE", "RESHAPE", "RESHAPE", "CONV_2D"]


@pytest.mark.parametrize("bias", [0, 10**6, 2**30, -(2**30)])
@pytest.mark.parametrize("scale", [1e-12, 0.004])
def test_numbers_of_dead_channels_do_not_slow_a_layer_down(bias: int, scale: float) -> None:
    net = Net()
    weights = net.random.integers(-127, 128, (8, 1, 1, 4)).astype(np.int8)
    weights[3] = 0
    scales = [0.004] * 3 + [scale] + [0.005] * 4
    biases = net.random.integers(-900, 900, 8).astype(np.int32)
    biases[3] = bias
    y = net.b.op(
        "CONV_2D", [net.x, net.b.constant(weights, scales, 0, 0), net.b.constant(biases, scales)],
        Spec((1, 5, 6, 8), scale=0.05, zero_point=-7), padding="SAME", stride_h=1, stride_w=1,
    )  # fmt: skip
    graph = net.optimized(y)
    fields = LOWERINGS["CONV_2D"](graph, graph.operators[0]).calls[0].fields
    assert fields["fast_requantize"] == fields["joined"] == 1


# ---- random networks -----------------------------------------------------------------------------


@pytest.mark.parametrize("block", range(6))
def test_random_networks_with_dying_channels(block: int) -> None:
    cut = 0
    for seed in range(25 * block, 25 * block + 25):
        graph = _optimized(random_network(seed, dying=True), 4)
        cut += graph.params > 0
    assert cut > 5


def test_random_networks_compiled(tmp_path: Path, work_dir: Path) -> None:
    for seed in range(6):
        model = random_network(1000 + seed, dying=True)
        source = _loaded(model)
        calls = _calls(source, 4)
        folder = tmp_path / str(seed)
        compiled = compile_graph(optimize(source), Path("net.tflite"), folder, Options("host"))
        run = HostModel(host_library(folder, work_dir), compiled.manifest)
        for call, expected in zip(
            calls, reference_calls(model, calls, len(source.outputs)), strict=True
        ):
            assert run([a.tobytes() for a in call]) == [a.tobytes() for a in expected]


@pytest.mark.parametrize("dying", [False, True])
def test_observed_values_lie_within_the_ranges(dying: bool) -> None:
    for seed in range(40):
        graph = _loaded(random_network(seed, dying=dying))
        names = tuple(op.outputs[0] for op in graph.operators)
        names = tuple(name for name in names if graph.tensors[name].dtype == "int8")
        ranges = value_ranges(graph)
        shown = write_tflite(replace(graph, outputs=names, output_names={}))
        for outputs in reference_calls(shown, _calls(graph, 6), len(names)):
            for name, values in zip(names, outputs, strict=True):
                low, high = ranges.values[name]
                assert (values >= low).all() and (values <= high).all(), (seed, name)


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6"])
def test_ranges_of_one_layer_are_reached(zero_point: int, activation: str) -> None:
    """All pairs of two input channels: the ends are values that occur."""
    pairs = np.stack(np.meshgrid(*[np.arange(-128, 128)] * 2), axis=-1).astype(np.int8)[None]
    net = Net((1, 256, 256, 2), zero_point)
    x = net.conv(net.x, 12, activation=activation, zero_point=zero_point, scale=0.3)
    net.b.output(x)
    graph = _loaded(net.b.build())
    ((values,),) = reference_calls(net.b.build(), [[pairs]], 1, 1 << 22)
    ranges = value_ranges(graph).values[graph.outputs[0]]
    np.testing.assert_array_equal(ranges, [values.min(axis=(0, 1, 2)), values.max(axis=(0, 1, 2))])
