"""ADD, SUB, MUL, MINIMUM, MAXIMUM and PRELU against the reference interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from operator_case import check, few, scales, seeds, values, zero_points
from tflite_builder import Builder, Spec

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Activation
from thumbnet.codegen.lowering.elementwise import lower_elementwise, lower_prelu

ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
SHAPES = [
    ((1, 3, 5, 4), (1, 3, 5, 4)),
    ((1, 4, 1, 7), (1, 4, 1, 7)),
    ((1, 3, 5, 6), (1, 1, 1, 6)),
    ((1, 3, 5, 6), (6,)),
    ((1, 3, 5, 6), (1,)),
    ((1, 3, 5, 6), ()),
    ((1, 3, 5, 6), (5, 6)),
    ((1, 3, 5, 6), (3, 5, 6)),
    ((1, 3, 5, 6), (1, 3, 1, 6)),
    ((1, 3, 5, 6), (1, 3, 5, 1)),
    ((1, 3, 5, 6), (3, 1, 1)),
    ((1, 1, 5, 6), (1, 4, 1, 6)),
    ((1, 1, 1, 6), (1, 3, 5, 6)),
    ((2, 3, 4), (2, 1, 4)),
    ((2, 3, 4), (3, 1)),
    ((1, 9), (1, 9)),
    ((17,), (17,)),
    ((2, 3, 2, 5), (1, 3, 1, 5)),
]


def _builder(kind, shapes, spec_a, spec_b, spec_out, activation, constants=()):
    builder = Builder()
    operands = []
    for shape, (scale, zero_point), constant in zip(
        shapes, (spec_a, spec_b), (constants + (None, None))[:2], strict=True
    ):
        if constant is None:
            operands.append(builder.input(shape, scale=scale, zero_point=zero_point))
        else:
            operands.append(builder.constant(constant, scale, zero_point))
    options = {"fused_activation_function": activation} if kind in ("ADD", "SUB", "MUL") else {}
    out = Spec(np.broadcast_shapes(*shapes), scale=spec_out[0], zero_point=spec_out[1])
    attributes = Activation(activation)
    builder.output(builder.op(kind, operands, out, attributes=attributes, **options))
    return builder


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "MINIMUM", "MAXIMUM"])
@few
@given(
    shapes=st.sampled_from(SHAPES), swap=st.booleans(), constant=st.sampled_from([None, 0, 1]),
    s1=scales(), s2=scales(), so=scales(), equal=st.sampled_from(["", "inputs", "all"]),
    z1=zero_points, z2=zero_points, zo=zero_points,
    activation=st.sampled_from(ACTIVATIONS), seed=seeds,
)  # fmt: skip
def test_exact(
    kind, shapes, swap, constant, s1, s2, so, equal, z1, z2, zo, activation, seed
) -> None:
    if equal:
        s2 = s1
    if equal == "all":
        so = s1
    if kind in ("ADD", "SUB"):
        assume(2 * max(s1, s2) / (so * 2**20) < 0.999)
    shapes = shapes[::-1] if swap else shapes
    arrays = [values(seed + i, shape) for i, shape in enumerate(shapes)]
    constants = tuple(arrays[i] if i == constant else None for i in range(2))
    builder = _builder(kind, shapes, (s1, z1), (s2, z2), (so, zo), activation, constants)
    check(builder, lower_elementwise, [a for i, a in enumerate(arrays) if i != constant], seed)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("ratio", [1.0, 1.37, 2.0, 700.0])
def test_every_pair_of_bytes(kind: str, ratio: float) -> None:
    a, b = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    arrays = [x.astype(np.int8).reshape(1, 256, 256, 1) for x in (a, b)]
    shapes = (arrays[0].shape, arrays[1].shape)
    for spec_a, spec_b, spec_out in [
        ((0.05, -128), (0.05 * ratio, 127), (0.11 * ratio, -128)),
        ((0.05 * ratio, 12), (0.05, -7), (0.013 * ratio, 127)),
    ]:
        check(_builder(kind, shapes, spec_a, spec_b, spec_out, "NONE"), lower_elementwise, arrays)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("output", [2.0**-16, 2.0**-11, 1.0, 2.0**9, 2.0**12])
def test_extreme_output_scales(kind: str, output: float) -> None:
    arrays = [values(i, (1, 4, 9, 5)) for i in (7, 8)]
    shapes = (arrays[0].shape, arrays[1].shape)
    for s1, s2 in ((1.0, 0.9), (2.0**-14, 1.0)):
        builder = _builder(kind, shapes, (s1, 3), (s2, -5), (output, 1), "NONE")
        check(builder, lower_elementwise, arrays)


def test_same_tensor_twice() -> None:
    builder = Builder()
    x = builder.input((1, 3, 4, 5), scale=0.1, zero_point=4)
    out = Spec((1, 3, 4, 5), scale=0.2)
    attributes = Activation()
    builder.output(builder.op("ADD", [x, x], out, attributes=attributes))
    check(builder, lower_elementwise, [values(3, (1, 3, 4, 5))])


@few
@given(
    shapes=st.sampled_from(
        [
            ((1, 3, 4, 5), (1, 1, 5)),
            ((1, 3, 4, 5), (1, 1, 1)),
            ((1, 3, 4, 5), (3, 4, 5)),
            ((1, 3, 4, 5), (1, 3, 1, 5)),
            ((1, 3, 4, 5), (5,)),
            ((2, 7), (7,)),
            ((2, 3, 4), (3, 1)),
            ((1, 6), (1, 6)),
        ]
    ),
    s=scales(), sa=scales(), so=scales(), z=zero_points, za=zero_points, zo=zero_points, seed=seeds,
)  # fmt: skip
def test_prelu(shapes, s, sa, so, z, za, zo, seed) -> None:
    builder = Builder()
    x = builder.input(shapes[0], scale=s, zero_point=z)
    alpha = builder.constant(values(seed + 1, shapes[1]), sa, za)
    builder.output(builder.op("PRELU", [x, alpha], Spec(shapes[0], scale=so, zero_point=zo)))
    check(builder, lower_prelu, [values(seed, shapes[0])], seed)


def test_refusals_name_the_tensor() -> None:
    shapes = ((1, 2, 2, 2), (1, 2, 2, 2))
    builder = _builder("ADD", shapes, (1.0, 0), (1.0, 0), (2.0**-20, 0), "NONE")
    graph = builder.graph()
    with pytest.raises(UnsupportedError, match="ADD 'add_0', tensor 't2'.*too fine"):
        lower_elementwise(graph, graph.operators[0])
