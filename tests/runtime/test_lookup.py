"""Unary operators on all 256 inputs, and QUANTIZE to and from int16, against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from operator_case import check, few, run_everywhere, scales, seeds, values, zero_points
from tflite_builder import Builder, Refused, Spec, reference

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import LeakyRelu
from thumbnet.codegen.lowering.lookup import lower_lookup, lower_quantize, table_of

KINDS = ["RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "LOGISTIC", "TANH", "ABS"]
ALL = np.arange(256, dtype=np.uint8)
BYTES = ALL.view(np.int8).reshape(1, 4, 8, 8)
SHIFTS = {"int8": 0, "uint8": 128, "int16": 0}


def _builder(kind, s, z, so, zo, alpha=0.1, shape=(1, 4, 8, 8), types=("int8", "int8")):
    builder = Builder()
    x = builder.input(shape, types[0], scale=s, zero_point=z)
    options = {"alpha": alpha} if kind == "LEAKY_RELU" else {}
    out = Spec(shape, types[1], so, zo)
    builder.output(builder.op(kind, [x], out, attributes=LeakyRelu(alpha), **options))
    return builder


@pytest.mark.parametrize("kind", KINDS)
@settings(few, max_examples=60)
@given(
    s=scales(-12, 4), so=scales(-12, 4), same=st.booleans(), z=zero_points, zo=zero_points,
    alpha=st.floats(-3, 3, width=32),
)  # fmt: skip
def test_all_inputs(kind, s, so, same, z, zo, alpha) -> None:
    if kind == "LOGISTIC":
        so, zo = 1 / 256, -128
    if same:
        so = s
    builder = _builder(kind, s, z, so, zo, alpha)
    graph = builder.graph()
    try:
        reference(builder.build(), [BYTES])
    except Refused:
        with pytest.raises(UnsupportedError):
            table_of(graph, graph.operators[0])
        return
    expected = check(builder, lower_lookup, [BYTES])
    table = table_of(graph, graph.operators[0])
    np.testing.assert_array_equal(table, expected.reshape(-1).view(np.uint8))


@settings(few, max_examples=60)
@given(
    s=scales(-12, 4), so=scales(-12, 4), same=st.booleans(), z=zero_points, zo=zero_points,
    types=st.sampled_from([("int8", "int8"), ("int8", "uint8"), ("uint8", "int8")]),
)  # fmt: skip
def test_quantize_8_bit(s, so, same, z, zo, types) -> None:
    so = s if same else so
    builder = _builder("QUANTIZE", s, z + SHIFTS[types[0]], so, zo + SHIFTS[types[1]], types=types)
    check(builder, lower_quantize, [ALL.view(types[0]).reshape(1, 4, 8, 8)])


@settings(few, max_examples=60)
@given(
    s=scales(-16, 2), so=scales(-16, 2), z=zero_points, zo=zero_points, seed=seeds,
    types=st.sampled_from([("int16", "int8"), ("int8", "int16"), ("int16", "int16")]),
    shape=st.sampled_from([(1, 3, 5, 2), (7,), (1, 2, 2, 1)]),
)  # fmt: skip
def test_quantize_16_bit(s, so, z, zo, seed, types, shape) -> None:
    assume(s / so < 2**13)
    builder = _builder("QUANTIZE", s, z, so, zo, shape=shape, types=types)
    check(builder, lower_quantize, [values(seed, shape, types[0])], seed)


@pytest.mark.parametrize("alpha", [-1.0, -0.5, 0.5, -0.25, 2.0, 0.0])
def test_leaky_relu_halves(alpha: float) -> None:
    for so in (0.25, 0.5, 1.0, 2.0, 4.0):
        check(_builder("LEAKY_RELU", 1.0, 127, so, 0, alpha), lower_lookup, [BYTES])


def test_relu_n1_to_1_requantises() -> None:
    """The reference has no such operator: RELU's arithmetic, limited to -1 and 1."""
    graph = _builder("RELU_N1_TO_1", 0.05, 3, 0.02, -5).graph()
    table = table_of(graph, graph.operators[0]).view(np.int8)
    assert (table.min(), table.max()) == (-55, 45)
    assert table[3] == -5


def test_uint8_to_int16_is_the_same_arithmetic() -> None:
    graph = _builder("QUANTIZE", 0.5, 128, 0.25, 7, types=("uint8", "int16")).graph()
    kernel = lower_quantize(graph, graph.operators[0])
    data = ALL.reshape(1, 4, 8, 8)
    for result in run_everywhere(kernel, graph, {"t0": data}):
        np.testing.assert_array_equal(result, (data.astype(np.int16) - 128) * 2 + 7)


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 5), (1, 2, 3, 1), (1, 1, 1, 9), (2, 3, 4, 5)])
def test_shapes_and_tails(shape: tuple[int, ...]) -> None:
    builder = _builder("TANH", 0.03, 4, 1 / 128, 0, shape=shape)
    check(builder, lower_lookup, [values(11, shape)])


def test_refusal_names_operator_and_tensor() -> None:
    graph = _builder("LOGISTIC", 0.1, 0, 1 / 256, 0).graph()
    with pytest.raises(UnsupportedError, match="LOGISTIC 'logistic_0', tensor 't1'.*-128"):
        lower_lookup(graph, graph.operators[0])
