"""SOFTMAX and L2_NORMALIZATION against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_case import check, few, run_everywhere, scales, seeds, values, zero_points
from tflite_builder import Builder, Spec

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Softmax
from thumbnet.codegen.lowering.normalise import lower_l2_normalization, lower_softmax

SHAPES = [(1, 10), (12,), (1, 1), (3, 5), (1, 3, 4, 6), (2, 2, 3), (1, 300), (1, 511)]


def _softmax(shape, scale, beta, wide=False):
    builder = Builder()
    x = builder.input(shape, scale=scale, zero_point=5)
    out = Spec(shape, "int16", 1 / 65536, -32768) if wide else Spec(shape, "int8", 1 / 256, -128)
    builder.output(builder.op("SOFTMAX", [x], out, beta=beta, attributes=Softmax(beta)))
    return builder


@settings(few, max_examples=150)
@given(
    shape=st.sampled_from(SHAPES), scale=scales(-12, 4), beta=st.sampled_from([1.0, 0.5, 2.7]),
    wide=st.booleans(), seed=seeds,
)  # fmt: skip
def test_softmax(shape, scale, beta, wide, seed) -> None:
    check(_softmax(shape, scale, beta, wide), lower_softmax, [values(seed, shape)], seed)


@pytest.mark.parametrize("scale", [2.0**-9, 0.013, 0.1, 1.0, 2.0**5])
def test_softmax_of_each_difference(scale: float) -> None:
    pairs = np.stack([np.full(256, 127), np.arange(-128, 128)], axis=1).astype(np.int8)
    check(_softmax((256, 2), scale, 1.0), lower_softmax, [pairs])


def test_softmax_of_thousands() -> None:
    """Beyond 511 equal values the reference aborts; the exact answer is below half a unit."""
    graph = _softmax((1, 4095), 0.1, 1.0).graph()
    kernel = lower_softmax(graph, graph.operators[0])
    data = np.full((1, 4095), 9, np.int8)
    for result in run_everywhere(kernel, graph, {"t0": data}):
        assert np.all(result == -128)
    data[0, 5] = 127
    check(_softmax((1, 4095), 0.1, 1.0), lower_softmax, [data])
    check(_softmax((1, 4095), 0.1, 1.0, True), lower_softmax, [np.zeros((1, 4095), np.int8)])


def test_softmax_refuses_other_scales() -> None:
    builder = Builder()
    x = builder.input((1, 4), scale=0.1)
    builder.op("SOFTMAX", [x], Spec((1, 4), scale=0.01, zero_point=-128), attributes=Softmax(1.0))
    graph = builder.graph()
    with pytest.raises(UnsupportedError, match="SOFTMAX 'softmax_0', tensor 't1'"):
        lower_softmax(graph, graph.operators[0])


@settings(few, max_examples=150)
@given(
    shape=st.sampled_from([(1, 10), (12,), (1, 1), (3, 5), (1, 3, 4, 6), (2, 2, 3), (1, 3000)]),
    zero_point=zero_points, near=st.integers(0, 3), seed=seeds,
)  # fmt: skip
def test_l2_normalization(shape, zero_point, near, seed) -> None:
    builder = Builder()
    x = builder.input(shape, scale=0.1, zero_point=zero_point)
    out = Spec(shape, scale=1 / 128)
    builder.output(builder.op("L2_NORMALIZATION", [x], out))
    data = values(seed, shape)
    if near:  # sums of squares around zero and one
        low = np.clip(np.asarray(data, np.int32) % near, 0, 1)
        data = np.clip(zero_point + low, -128, 127).astype(np.int8)
    check(builder, lower_l2_normalization, [data], seed)
