"""Every kernel but the convolutions as the generator writes it, and under sanitizers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import pytest
from kernel_loader import run_kernel
from operator_case import Lowering, values
from tflite_builder import Builder, Spec, reference

from thumbnet.codegen.graph import (
    Activation,
    Concatenation,
    Graph,
    LeakyRelu,
    Operator,
    Pad,
    Padding,
    Pool,
    Reduce,
    Resize,
    Slice,
    Softmax,
    Transpose,
)
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.lowering.convolution import lower_fully_connected
from thumbnet.codegen.lowering.elementwise import lower_elementwise, lower_prelu
from thumbnet.codegen.lowering.lookup import lower_lookup, lower_quantize
from thumbnet.codegen.lowering.movement import (
    lower_concatenation,
    lower_pad,
    lower_resize,
    lower_slice,
    lower_transpose,
)
from thumbnet.codegen.lowering.normalise import lower_l2_normalization, lower_softmax
from thumbnet.codegen.lowering.pool import lower_pool, lower_reduce

Example = Callable[[], tuple[Builder, Lowering]]
SHAPE = (1, 4, 5, 7)


def _binary(
    kind: str, other: tuple[int, ...], scale: float, constant: int = -1, activation: str = "NONE"
) -> Example:
    def make() -> tuple[Builder, Lowering]:
        b = Builder()
        operands = []
        for index, (shape, s) in enumerate(((SHAPE, 0.1), (other, scale))):
            if index == constant:
                operands.append(b.constant(values(5, shape), s, -7))
            else:
                operands.append(b.input(shape, scale=s, zero_point=3 - 20 * index))
        fused = {"fused_activation_function": activation}
        options = {} if kind in ("MINIMUM", "MAXIMUM") else fused
        out = Spec(SHAPE, scale=0.15, zero_point=-11)
        b.output(b.op(kind, operands, out, attributes=Activation(activation), **options))
        return b, lower_elementwise

    return make


def _unary(
    kind: str, lower: Lowering, out: Spec, attributes: object, *constants: object,
    dtype: str = "int8", **options: object,
) -> Example:  # fmt: skip
    def make() -> tuple[Builder, Lowering]:
        b = Builder()
        inputs = [b.input(SHAPE, dtype, scale=0.1, zero_point=3 if dtype == "int8" else 0)]
        inputs += [b.constant(np.asarray(c)) for c in constants]
        b.output(
            b.op(
                kind, inputs, out, attributes=attributes, operands=1,
                graph_kind="SLICE" if kind == "STRIDED_SLICE" else kind, **options,
            )
        )  # fmt: skip
        return b, lower

    return make


def _prelu() -> tuple[Builder, Lowering]:
    b = Builder()
    x, alpha = b.input(SHAPE, scale=0.1, zero_point=3), b.constant(values(9, (1, 1, 7)), 0.02, 5)
    b.output(b.op("PRELU", [x, alpha], Spec(SHAPE, scale=0.12, zero_point=9)))
    return b, lower_prelu


def _concatenation() -> tuple[Builder, Lowering]:
    b = Builder()
    x, y = b.input(SHAPE, scale=0.1), b.input((1, 4, 5, 2), scale=0.1)
    c = b.constant(values(4, (1, 4, 5, 3)), 0.1)
    out = Spec((1, 4, 5, 12), scale=0.1)
    b.output(b.op("CONCATENATION", [x, c, y], out, axis=3, attributes=Concatenation(3)))
    return b, lower_concatenation


def _fully_connected() -> tuple[Builder, Lowering]:
    b = Builder()
    x, w = b.input(SHAPE, scale=0.1, zero_point=3), values(8, (6, prod(SHAPE))).clip(-127, 127)
    out = Spec((1, 6), scale=4.0, zero_point=-9)
    b.output(b.op("FULLY_CONNECTED", [x, b.constant(w, 0.02)], out, attributes=Activation()))
    return b, lower_fully_connected


def _reducer(example: Example) -> Example:
    def make() -> tuple[Builder, Lowering]:
        b, lower = example()

        def lower_reducer(graph: Graph, op: Operator) -> Kernel:
            reducer = lower(graph, op).as_reducer
            assert reducer is not None
            return reducer

        return b, lower_reducer

    return make


def _i32(*numbers: object) -> np.ndarray:
    return np.array(numbers, np.int32)


POOL = Pool(3, 2, 2, 1, Padding(0, 1, 0, 1), "RELU")
POOL_OPTIONS = {
    "filter_height": 3, "filter_width": 2, "stride_h": 2, "stride_w": 1, "padding": "SAME",
    "fused_activation_function": "RELU",
}  # fmt: skip
POOLED = Spec((1, 2, 5, 7), scale=0.1, zero_point=3)
EXAMPLES: dict[str, Example] = {
    "add": _binary("ADD", SHAPE, 0.1),
    "add_two_scales": _binary("ADD", SHAPE, 0.03, activation="RELU6"),
    "sub": _binary("SUB", SHAPE, 0.2),
    "add_constant": _binary("ADD", SHAPE, 0.2, 1),
    "mul_broadcast": _binary("MUL", (1, 1, 1, 7), 0.2),
    "mul_constant_broadcast": _binary("MUL", (7,), 0.02, 1),
    "maximum": _binary("MAXIMUM", (1, 4, 1, 7), 0.1),
    "prelu": _prelu,
    "leaky_relu": _unary(
        "LEAKY_RELU", lower_lookup, Spec(SHAPE, scale=0.1), LeakyRelu(0.2), alpha=0.2
    ),
    "quantize_16_to_8": _unary(
        "QUANTIZE", lower_quantize, Spec(SHAPE, scale=30.0), None, dtype="int16"
    ),
    "quantize_8_to_16": _unary(
        "QUANTIZE", lower_quantize, Spec(SHAPE, "int16", 0.001), None
    ),
    "average_pool": _unary("AVERAGE_POOL_2D", lower_pool, POOLED, POOL, **POOL_OPTIONS),
    "max_pool": _unary("MAX_POOL_2D", lower_pool, POOLED, POOL, **POOL_OPTIONS),
    "average_pool_rows": _reducer(
        _unary(
            "AVERAGE_POOL_2D", lower_pool, Spec((1, 1, 1, 7), scale=0.1, zero_point=3),
            Pool(4, 5, 1, 1), filter_height=4, filter_width=5, stride_h=1, stride_w=1,
            padding="VALID",
        )
    ),
    "mean_rows": _reducer(
        _unary(
            "MEAN", lower_reduce, Spec((1, 7), scale=0.05), Reduce((1, 2), False), _i32(1, 2),
            keep_dims=False,
        )
    ),
    "fully_connected_rows": _reducer(_fully_connected),
    "mean": _unary(
        "MEAN", lower_reduce, Spec((1, 7), scale=0.05), Reduce((1, 2), False), _i32(1, 2),
        keep_dims=False,
    ),
    "sum_of_two_groups": _unary(
        "SUM", lower_reduce, Spec((1, 1, 5, 1), scale=0.5), Reduce((1, 3), True), _i32(1, 3),
        keep_dims=True,
    ),
    "softmax": _unary(
        "SOFTMAX", lower_softmax, Spec(SHAPE, scale=1 / 256, zero_point=-128), Softmax(1.0),
        beta=1.0,
    ),
    "softmax_16": _unary(
        "SOFTMAX", lower_softmax, Spec(SHAPE, "int16", 1 / 65536, -32768), Softmax(1.0), beta=1.0
    ),
    "l2_normalization": _unary(
        "L2_NORMALIZATION", lower_l2_normalization, Spec(SHAPE, scale=1 / 128), None
    ),
    "pad": _unary(
        "PAD", lower_pad, Spec((1, 7, 8, 9), scale=0.1, zero_point=3),
        Pad((0, 1, 2, 1), (0, 2, 1, 1), 3), _i32((0, 0), (1, 2), (2, 1), (1, 1)),
    ),
    "slice": _unary(
        "STRIDED_SLICE", lower_slice, Spec((1, 2, 5, 2), scale=0.1),
        Slice((0, 1, 4, 1), (1, 2, 5, 2), (1, 2, -1, 3)),
        _i32(0, 1, 4, 1), _i32(1, 4, -6, 7), _i32(1, 2, -1, 3),
    ),
    "transpose": _unary(
        "TRANSPOSE", lower_transpose, Spec((1, 7, 4, 5), scale=0.1), Transpose((0, 3, 1, 2)),
        _i32(0, 3, 1, 2),
    ),
    "concatenation": _concatenation,
    "resize_nearest": _unary(
        "RESIZE_NEAREST_NEIGHBOR", lower_resize, Spec((1, 7, 3, 7), scale=0.1),
        Resize(False, True), _i32(7, 3), half_pixel_centers=True,
    ),
    "resize_bilinear": _unary(
        "RESIZE_BILINEAR", lower_resize, Spec((1, 7, 3, 7), scale=0.1), Resize(False, True),
        _i32(7, 3), half_pixel_centers=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("build", ["sanitized", "sanitized-dsp", "specialised-dsp"])
def test_program(name: str, build: str) -> None:
    builder, lower = EXAMPLES[name]()
    graph = builder.graph()
    inputs = [
        values(21 + i, graph.tensors[tensor].shape, graph.tensors[tensor].dtype)
        for i, tensor in enumerate(graph.inputs)
    ]
    expected = reference(builder.build(), inputs)[0]
    kernel = lower(graph, graph.operators[0])
    rows = kernel.unit_rows or graph.tensors[kernel.output].rows
    bands = [(0, 1), (1, rows)] if kernel.band == "any" and rows > 1 else [(0, rows)]
    result = run_kernel(
        kernel, graph, dict(zip(graph.inputs, inputs, strict=True)), dsp=build.endswith("dsp"),
        bands=bands, sanitize=build.startswith("sanitized"),
        specialise=build.startswith("specialised"),
    )  # fmt: skip
    np.testing.assert_array_equal(result.reshape(expected.shape), expected)
