"""Pooling, MEAN and SUM against the reference."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from operator_case import check, few, scales, seeds, values, zero_points
from tflite_builder import Builder, Spec

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Padding, Pool, Reduce
from thumbnet.codegen.lowering.pool import lower_pool, lower_reduce


def _same(size: int, filter_size: int, stride: int) -> tuple[int, int, int]:
    """SAME: output size and the padding before and after."""
    out = ceil(size / stride)
    total = max((out - 1) * stride + filter_size - size, 0)
    return out, total // 2, total - total // 2


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@settings(few, max_examples=80)
@given(
    h=st.integers(1, 9), w=st.integers(1, 9), c=st.integers(1, 9),
    fh=st.integers(1, 6), fw=st.integers(1, 6), sh=st.integers(1, 3), sw=st.integers(1, 3),
    same=st.booleans(), scale=scales(-8, 0), zero_point=zero_points,
    activation=st.sampled_from(["NONE", "RELU", "RELU6"]), seed=seeds,
)  # fmt: skip
def test_pool(kind, h, w, c, fh, fw, sh, sw, same, scale, zero_point, activation, seed) -> None:
    if same:
        (oh, top, bottom), (ow, left, right) = _same(h, fh, sh), _same(w, fw, sw)
    else:
        assume(fh <= h and fw <= w)
        oh, ow = (h - fh) // sh + 1, (w - fw) // sw + 1
        top = bottom = left = right = 0
    builder = Builder()
    x = builder.input((1, h, w, c), scale=scale, zero_point=zero_point)
    attributes = Pool(fh, fw, sh, sw, Padding(top, bottom, left, right), activation)
    builder.output(
        builder.op(
            kind, [x], Spec((1, oh, ow, c), scale=scale, zero_point=zero_point),
            attributes=attributes, filter_height=fh, filter_width=fw, stride_h=sh, stride_w=sw,
            padding="SAME" if same else "VALID", fused_activation_function=activation,
        )
    )  # fmt: skip
    check(builder, lower_pool, [values(seed, (1, h, w, c))], seed)


def test_pool_refuses_to_requantise() -> None:
    builder = Builder()
    x = builder.input((1, 2, 2, 1), scale=0.1)
    out = Spec((1, 1, 1, 1), scale=0.2)
    builder.op("MAX_POOL_2D", [x], out, attributes=Pool(2, 2, 2, 2))
    graph = builder.graph()
    with pytest.raises(UnsupportedError, match="MAX_POOL_2D 'max_pool_2d_0', tensor 't1'"):
        lower_pool(graph, graph.operators[0])


CASES = [
    ((1, 5, 4, 7), (1, 2)),
    ((1, 5, 4, 8), (1, 2)),
    ((1, 8, 8, 16), (1, 2)),
    ((1, 5, 4, 7), (1,)),
    ((1, 5, 4, 7), (2,)),
    ((1, 5, 4, 7), (3,)),
    ((1, 5, 4, 7), (1, 3)),
    ((1, 5, 4, 7), (2, 3)),
    ((2, 3, 4, 5), (0,)),
    ((2, 3, 4, 5), (0, 2)),
    ((3, 8), (0,)),
    ((3, 8), (1,)),
    ((2, 3, 5), (0, 2)),
    ((2, 3, 5), (1,)),
    ((9,), (0,)),
]


@pytest.mark.parametrize("kind", ["MEAN", "SUM"])
@settings(few, max_examples=80)
@given(
    case=st.sampled_from(CASES), keep=st.booleans(), negative=st.booleans(), s=scales(-8, 1),
    so=scales(-8, 1), equal=st.booleans(), z=zero_points, zo=zero_points, seed=seeds,
)  # fmt: skip
def test_reduce(kind, case, keep, negative, s, so, equal, z, zo, seed) -> None:
    shape, axes = case
    if equal:
        so, zo = s, z
    given_axes = [a - len(shape) if negative else a for a in axes]
    if keep:
        out_shape = tuple(1 if i in axes else n for i, n in enumerate(shape))
    else:
        out_shape = tuple(n for i, n in enumerate(shape) if i not in axes)
    builder = Builder()
    x = builder.input(shape, scale=s, zero_point=z)
    axis = builder.constant(np.array(given_axes, np.int32))
    builder.output(
        builder.op(
            kind, [x, axis], Spec(out_shape, scale=so, zero_point=zo), keep_dims=keep,
            attributes=Reduce(axes, keep), operands=1,
        )
    )  # fmt: skip
    assert prod(out_shape) * prod(shape[a] for a in axes) == prod(shape)
    check(builder, lower_reduce, [values(seed, shape)], seed)
