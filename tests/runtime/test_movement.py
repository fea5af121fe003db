"""Operators that move values, against the reference (and numpy, for what it does not offer)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_case import check, few, run_everywhere, seeds, values, zero_points
from tflite_builder import Builder, Spec

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Concatenation, Pad, Resize, Slice, Transpose
from thumbnet.codegen.lowering.movement import (
    lower_concatenation,
    lower_copy,
    lower_pad,
    lower_resize,
    lower_slice,
    lower_transpose,
)

DTYPES = ("int8", "int16", "int32")
shapes4 = st.tuples(st.just(1), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
shapes = st.one_of(shapes4, shapes4, st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple))


def _scale(dtype: str) -> float | None:
    return None if dtype == "int32" else 0.5


@settings(few, max_examples=120)
@given(shape=shapes, data=st.data(), dtype=st.sampled_from(DTYPES), seed=seeds)
def test_strided_slice(shape, data, dtype, seed) -> None:
    begin, end, size, stride = [], [], [], []
    for n in shape:
        step = data.draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        first = data.draw(st.integers(0, n - 1))
        count = data.draw(st.integers(1, (n - 1 - first if step > 0 else first) // abs(step) + 1))
        begin.append(first)
        stride.append(step)
        size.append(count)
        last = first + (count - 1) * step
        end.append(last + 1 if step > 0 else last - 1 if last > 0 else -n - 1)
    builder = Builder()
    x = builder.input(shape, dtype, scale=_scale(dtype))
    constants = [builder.constant(np.array(v, np.int32)) for v in (begin, end, stride)]
    builder.output(
        builder.op(
            "STRIDED_SLICE", [x, *constants], Spec(tuple(size), dtype, _scale(dtype)),
            graph_kind="SLICE", operands=1,
            attributes=Slice(tuple(begin), tuple(size), tuple(stride)),
        )
    )  # fmt: skip
    array = values(seed, shape, dtype)
    picked = array[
        np.ix_(*(b + s * np.arange(n) for b, s, n in zip(begin, stride, size, strict=True)))
    ]
    check(builder, lower_slice, [array], seed, picked)


def test_slice_that_shrinks_axes() -> None:
    builder = Builder()
    x = builder.input((1, 4, 5, 3), scale=0.1)
    constants = [
        builder.constant(np.array(v, np.int32)) for v in ([0, 2, 0, 0], [1, 3, 5, 3], [1, 1, 1, 1])
    ]
    builder.output(
        builder.op(
            "STRIDED_SLICE", [x, *constants], Spec((1, 5, 3), scale=0.1), graph_kind="SLICE",
            operands=1, shrink_axis_mask=2,
            attributes=Slice((0, 2, 0, 0), (1, 1, 5, 3), (1, 1, 1, 1)),
        )
    )  # fmt: skip
    check(builder, lower_slice, [values(5, (1, 4, 5, 3))])


@settings(few, max_examples=120)
@given(shape=shapes, data=st.data(), seed=seeds)
def test_transpose(shape, data, seed) -> None:
    permutation = data.draw(st.permutations(range(len(shape))))
    builder = Builder()
    x = builder.input(shape, scale=0.1)
    axes = builder.constant(np.array(permutation, np.int32))
    out = Spec(tuple(shape[p] for p in permutation), scale=0.1)
    attributes = Transpose(tuple(permutation))
    builder.output(builder.op("TRANSPOSE", [x, axes], out, operands=1, attributes=attributes))
    array = values(seed, shape)
    check(builder, lower_transpose, [array], seed, array.transpose(permutation))


@settings(few, max_examples=120)
@given(
    shape=shapes.filter(lambda s: len(s) <= 4), data=st.data(), zero_point=zero_points,
    v2=st.booleans(), dtype=st.sampled_from(["int8", "int16"]), seed=seeds,
)  # fmt: skip
def test_pad(shape, data, zero_point, v2, dtype, seed) -> None:
    pads = [(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in shape]
    if len(shape) == 4 and data.draw(st.booleans()):
        pads[0] = (0, 0)
    if dtype == "int16":
        zero_point, v2 = 0, True
    builder = Builder()
    x = builder.input(shape, dtype, scale=0.1, zero_point=zero_point)
    inputs = [x, builder.constant(np.array(pads, np.int32))]
    value = zero_point
    if v2:
        value = data.draw(st.integers(-128, 127)) * (1 if dtype == "int8" else 200)
        inputs.append(builder.constant(np.array([value], dtype), 0.1, zero_point))
    out = Spec(
        tuple(n + a + b for n, (a, b) in zip(shape, pads, strict=True)), dtype, 0.1, zero_point
    )
    attributes = Pad(tuple(a for a, _ in pads), tuple(b for _, b in pads), value)
    builder.output(
        builder.op(
            "PADV2" if v2 else "PAD", inputs, out, operands=1, attributes=attributes,
            graph_kind="PAD",
        )
    )  # fmt: skip
    check(builder, lower_pad, [values(seed, shape, dtype)], seed)


@settings(few, max_examples=120)
@given(
    shape=shapes.filter(lambda s: len(s) <= 4), data=st.data(), dtype=st.sampled_from(DTYPES),
    seed=seeds,
)  # fmt: skip
def test_concatenation(shape, data, dtype, seed) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    constant = data.draw(st.integers(-1, len(lengths) - 1)) if len(lengths) > 1 else -1
    builder = Builder()
    operands, arrays = [], []
    for index, length in enumerate(lengths):
        piece = (*shape[:axis], length, *shape[axis + 1 :])
        array = values(seed + index, piece, dtype)
        if index == constant:
            operands.append(builder.constant(array, _scale(dtype)))
        else:
            operands.append(builder.input(piece, dtype, scale=_scale(dtype)))
            arrays.append(array)
    out = Spec((*shape[:axis], sum(lengths), *shape[axis + 1 :]), dtype, _scale(dtype))
    attributes = Concatenation(axis)
    builder.output(builder.op("CONCATENATION", operands, out, axis=axis, attributes=attributes))
    check(builder, lower_concatenation, arrays, seed)


@pytest.mark.parametrize("kind", ["RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"])
@settings(few, max_examples=150)
@given(
    shape=shapes4, h=st.integers(1, 15), w=st.integers(1, 15),
    mode=st.sampled_from([(False, False), (True, False), (False, True)]),
    dtype=st.sampled_from(["int8", "int16"]), seed=seeds,
)  # fmt: skip
def test_resize(kind, shape, h, w, mode, dtype, seed) -> None:
    if kind == "RESIZE_BILINEAR":
        dtype = "int8"
    align, half = mode
    builder = Builder()
    x = builder.input(shape, dtype, scale=0.1)
    size = builder.constant(np.array([h, w], np.int32))
    out = Spec((1, h, w, shape[3]), dtype, 0.1)
    builder.output(
        builder.op(
            kind, [x, size], out, align_corners=align, half_pixel_centers=half, operands=1,
            attributes=Resize(align, half),
        )
    )  # fmt: skip
    check(builder, lower_resize, [values(seed, shape, dtype)], seed)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32"])
@pytest.mark.parametrize(
    "ends", [((1, 4, 5, 3), (1, 4, 15, 1)), ((1, 4, 5, 3), (60,)), ((7,), (7,)), ((60,), (1, 60))]
)
def test_copy(ends, dtype) -> None:
    builder = Builder()
    x = builder.input(ends[0], dtype)
    builder.op("RESHAPE", [x], Spec(ends[1], dtype))
    graph = builder.graph()
    kernel = lower_copy(graph, graph.operators[0], "t0", "t1")
    data = values(3, ends[0], dtype)
    for result in run_everywhere(kernel, graph, {"t0": data}):
        np.testing.assert_array_equal(result, data.reshape(ends[1]))


def test_transpose_of_int32() -> None:
    builder = Builder()
    x = builder.input((2, 3, 4), "int32")
    builder.op("TRANSPOSE", [x], Spec((4, 2, 3), "int32"), attributes=Transpose((2, 0, 1)))
    graph = builder.graph()
    data = values(3, (2, 3, 4), "int32")
    kernel = lower_transpose(graph, graph.operators[0])
    for result in run_everywhere(kernel, graph, {"t0": data}):
        np.testing.assert_array_equal(result, data.transpose(2, 0, 1))


def test_refusals() -> None:
    builder = Builder()
    x = builder.input((2, 3, 3, 1), scale=0.1)
    builder.op(
        "RESIZE_BILINEAR", [x], Spec((2, 6, 6, 1), scale=0.1), attributes=Resize(False, False)
    )
    graph = builder.graph()
    with pytest.raises(UnsupportedError, match="RESIZE_BILINEAR 'resize_bilinear_0', tensor 't0'"):
        lower_resize(graph, graph.operators[0])
