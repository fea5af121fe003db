"""Operators that take input rows as they come: the reducer, the ordinary kernel, the reference."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_loader import RUNTIME, run_kernel
from operator_case import Array, Lowering, check, few, scales, seeds, values, zero_points
from tflite_builder import Builder, Spec

from thumbnet.codegen.graph import Activation, Graph, Operator, Padding, Pool, Reduce
from thumbnet.codegen.kernel import Kernel, Overlap, RowWindow
from thumbnet.codegen.lowering.convolution import lower_fully_connected
from thumbnet.codegen.lowering.pool import PIXELS, lower_pool, lower_reduce

heights, widths = st.integers(2, 9), st.integers(1, 9) | st.sampled_from([40, 256])
channels = st.integers(1, 9) | st.sampled_from([16, 21])


def reducer_of(lower: Lowering) -> Lowering:
    """The reducer of the graph's last operator (the others are RESHAPEs)."""

    def lower_reducer(graph: Graph, _: Operator) -> Kernel:
        kernel = lower(graph, graph.operators[-1])
        reducer = kernel.as_reducer
        assert reducer is not None
        source = graph.tensors[reducer.reads[0].tensor]
        assert reducer.unit_rows == source.rows and reducer.macs == kernel.macs
        assert reducer.reads[0].window == RowWindow(1, 0, 1)
        assert reducer.reads[0].overlap == Overlap("rows")
        assert (reducer.name, reducer.output) == (kernel.name, kernel.output)
        return reducer

    return lower_reducer


def agree(builder: Builder, lower: Lowering, x: Array, seed: int) -> None:
    """The reference's bytes from the reducer in every banding, and from the ordinary kernel."""
    expected = check(builder, reducer_of(lower), [x], seed)
    graph = builder.graph()
    kernel = lower(graph, graph.operators[-1])
    for dsp in (False, True):
        result = run_kernel(kernel, graph, {kernel.reads[0].tensor: x}, dsp=dsp)
        np.testing.assert_array_equal(result.reshape(expected.shape), expected)


def pool_model(
    shape: tuple[int, ...],
    pool: Pool,
    *,
    scale: float = 0.1,
    zero_point: int = 3,
    same: bool = False,
) -> Builder:
    builder = Builder()
    x = builder.input(shape, scale=scale, zero_point=zero_point)
    builder.output(
        builder.op(
            "AVERAGE_POOL_2D", [x],
            Spec((1, 1, 1, shape[3]), scale=scale, zero_point=zero_point), attributes=pool,
            filter_height=pool.filter_h, filter_width=pool.filter_w,
            stride_h=pool.stride_h, stride_w=pool.stride_w,
            padding="SAME" if same else "VALID", fused_activation_function=pool.activation,
        )
    )  # fmt: skip
    return builder


@settings(few, max_examples=60)
@given(
    h=heights, w=widths, c=channels, more=st.integers(0, 5), same=st.booleans(),
    scale=scales(-8, 0), zero_point=zero_points,
    activation=st.sampled_from(["NONE", "RELU", "RELU6"]), seed=seeds,
)  # fmt: skip
def test_average_pool_of_the_whole_image(
    h, w, c, more, same, scale, zero_point, activation, seed
) -> None:
    padding = Padding()
    fh, fw = h, w
    if same:  # one output pixel, whose filter reaches beyond the image by less than half of it
        fh, fw = h + min(more, h - 1), w + min(more, w - 1)
        top, left = (fh - h) // 2, (fw - w) // 2
        padding = Padding(top, fh - h - top, left, fw - w - left)
    builder = pool_model(
        (1, h, w, c), Pool(fh, fw, h, w, padding, activation),
        scale=scale, zero_point=zero_point, same=same,
    )  # fmt: skip
    agree(builder, lower_pool, values(seed, (1, h, w, c)), seed)


def reduce_model(
    kind: str, shape: tuple[int, ...], axes: tuple[int, ...], keep: bool,
    quantization: tuple[float, int] = (0.1, 3), out: tuple[float, int] = (0.2, -5),
) -> Builder:  # fmt: skip
    if keep:
        out_shape = tuple(1 if i in axes else n for i, n in enumerate(shape))
    else:
        out_shape = tuple(n for i, n in enumerate(shape) if i not in axes)
    builder = Builder()
    x = builder.input(shape, scale=quantization[0], zero_point=quantization[1])
    axis = builder.constant(np.array(axes, np.int32))
    builder.output(
        builder.op(
            kind, [x, axis], Spec(out_shape, scale=out[0], zero_point=out[1]), keep_dims=keep,
            attributes=Reduce(axes, keep), operands=1,
        )
    )  # fmt: skip
    return builder


@pytest.mark.parametrize("kind", ["MEAN", "SUM"])
@settings(few, max_examples=60)
@given(
    h=heights, w=widths, c=channels, axes=st.sampled_from([(1, 2), (1, 2), (0, 1, 2)]),
    keep=st.booleans(), s=scales(-8, 1), so=scales(-8, 1), equal=st.booleans(), z=zero_points,
    zo=zero_points, seed=seeds,
)  # fmt: skip
def test_reduce_over_height_and_width(kind, h, w, c, axes, keep, s, so, equal, z, zo, seed) -> None:
    out = (s, z) if equal else (so, zo)
    builder = reduce_model(kind, (1, h, w, c), axes, keep, (s, z), out)
    agree(builder, lower_reduce, values(seed, (1, h, w, c)), seed)


def dense_model(
    shape: tuple[int, ...], out_c: int, *, seed: int = 1, reshapes: int = 1, scale: float = 0.1,
    zero_point: int = 3, weight_scales: tuple[float, ...] = (0.01,), bias: bool = True,
    out: tuple[float, int] = (0.4, -5), activation: str = "NONE",
) -> Builder:  # fmt: skip
    builder = Builder()
    features = int(np.prod(shape))
    x = builder.input(shape, scale=scale, zero_point=zero_point)
    for i in range(reshapes):
        new = (1, features) if i == reshapes - 1 else (1, shape[1], features // shape[1])
        target = builder.constant(np.array(new, np.int32))
        flat = Spec(new, scale=scale, zero_point=zero_point)
        x = builder.op("RESHAPE", [x, target], flat, operands=1)
    matrix = np.clip(values(seed, (out_c, features)), -127, 127)
    inputs = [x, builder.constant(matrix, weight_scales, [0] * len(weight_scales))]
    inputs.append(
        builder.constant(
            np.random.default_rng(seed).integers(-20000, 20000, out_c).astype(np.int32)
        )
        if bias
        else -1
    )
    builder.output(
        builder.op(
            "FULLY_CONNECTED", inputs, Spec((1, out_c), scale=out[0], zero_point=out[1]),
            attributes=Activation(activation), fused_activation_function=activation,
        )
    )  # fmt: skip
    return builder


@settings(few, max_examples=100)
@given(
    h=heights, w=st.integers(1, 9), c=channels, out_c=st.integers(1, 13),
    reshapes=st.integers(0, 2), scale=scales(-8, 0), zero_point=zero_points,
    wide=st.floats(0.001, 30.0), per_channel=st.booleans(), bias=st.booleans(), zo=zero_points,
    activation=st.sampled_from(["NONE", "RELU", "RELU6"]), seed=seeds,
)  # fmt: skip
def test_fully_connected(
    h, w, c, out_c, reshapes, scale, zero_point, wide, per_channel, bias, zo, activation, seed
) -> None:
    drawn = np.random.default_rng(seed).uniform(0.005, 0.02, out_c if per_channel else 1)
    builder = dense_model(
        (1, h, w, c), out_c, seed=seed, reshapes=reshapes, scale=scale, zero_point=zero_point,
        weight_scales=tuple(drawn.tolist()), bias=bias, out=(scale * wide, zo),
        activation=activation,
    )  # fmt: skip
    graph = builder.graph()
    x = values(seed + 1, (1, h, w, c))
    expected = check(builder, reducer_of(lower_fully_connected), [x], seed)
    kernel = lower_fully_connected(graph, graph.operators[-1])
    flat = graph.tensors[kernel.reads[0].tensor]
    for dsp in (False, True):
        result = run_kernel(kernel, graph, {flat.name: x.reshape(flat.shape)}, dsp=dsp)
        np.testing.assert_array_equal(result.reshape(expected.shape), expected)


def test_what_cannot_be_summed_row_by_row_has_no_reducer() -> None:
    def reducer(builder: Builder, lower: Lowering) -> Kernel | None:
        graph = builder.graph()
        return lower(graph, graph.operators[-1]).as_reducer

    image = (1, 4, 5, 8)
    assert reducer(pool_model(image, Pool(4, 5, 1, 1)), lower_pool) is not None
    assert reducer(pool_model(image, Pool(3, 5, 2, 1)), lower_pool) is None
    assert reducer(pool_model(image, Pool(4, 5, 4, 5, Padding(1, 0, 0, 0))), lower_pool) is None
    assert reducer(pool_model((1, 1, 5, 8), Pool(1, 5, 1, 1)), lower_pool) is None
    wide = PIXELS + 1
    assert reducer(pool_model((1, 4, wide, 8), Pool(4, wide, 1, 1)), lower_pool) is None
    maximum = pool_model(image, Pool(4, 5, 1, 1))
    graph = maximum.graph()
    assert lower_pool(graph, replace(graph.operators[0], kind="MAX_POOL_2D")).as_reducer is None
    assert reducer(reduce_model("MEAN", image, (1,), True), lower_reduce) is None
    assert reducer(reduce_model("MEAN", image, (1, 2, 3), True), lower_reduce) is None
    assert reducer(reduce_model("MEAN", (2, 4, 5, 8), (1, 2), True), lower_reduce) is None
    assert reducer(dense_model((1, 1, 5, 8), 3), lower_fully_connected) is None
    assert reducer(dense_model((1, 160), 3, reshapes=0), lower_fully_connected) is None


def test_a_row_of_the_widest_extremes_does_not_overflow() -> None:
    shape = (1, 2, PIXELS, 4)
    for value in (-128, 127):
        builder = pool_model(shape, Pool(2, PIXELS, 1, 1))
        agree(builder, lower_pool, np.full(shape, value, np.int8), 0)


def test_headers_compile_as_cpp() -> None:
    text = "".join(f'#include "tn_{n}.h"\n' for n in ("pool", "reduce", "fully_connected"))
    for dsp in (0, 1):
        command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
        command += [f"-DTN_DSP={dsp}", f"-I{RUNTIME}", "-fsyntax-only", "-x", "c++", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
