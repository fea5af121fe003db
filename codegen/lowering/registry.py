"""Operator kind -> lowering: the list of what Thumbnet runs. docs/operators.md is made from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Graph, Operator
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.lowering import convolution, elementwise, lookup, movement, normalise, pool


def _assign_variable(graph: Graph, op: Operator) -> Kernel:
    return movement.lower_copy(graph, op, op.inputs[0], op.outputs[0])


LOWERINGS: dict[str, Callable[[Graph, Operator], Kernel]] = {
    "CONV_2D": convolution.lower_conv_2d,
    "DEPTHWISE_CONV_2D": convolution.lower_depthwise_conv_2d,
    "FULLY_CONNECTED": convolution.lower_fully_connected,
    "AVERAGE_POOL_2D": pool.lower_pool,
    "MAX_POOL_2D": pool.lower_pool,
    "MEAN": pool.lower_reduce,
    "SUM": pool.lower_reduce,
    "ADD": elementwise.lower_elementwise,
    "SUB": elementwise.lower_elementwise,
    "MUL": elementwise.lower_elementwise,
    "MINIMUM": elementwise.lower_elementwise,
    "MAXIMUM": elementwise.lower_elementwise,
    "PRELU": elementwise.lower_prelu,
    "RELU": lookup.lower_lookup,
    "RELU6": lookup.lower_lookup,
    "RELU_N1_TO_1": lookup.lower_lookup,
    "LEAKY_RELU": lookup.lower_lookup,
    "HARD_SWISH": lookup.lower_lookup,
    "LOGISTIC": lookup.lower_lookup,
    "TANH": lookup.lower_lookup,
    "ABS": lookup.lower_lookup,
    "QUANTIZE": lookup.lower_quantize,
    "PAD": movement.lower_pad,
    "CONCATENATION": movement.lower_concatenation,
    "SLICE": movement.lower_slice,
    "TRANSPOSE": movement.lower_transpose,
    "RESIZE_NEAREST_NEIGHBOR": movement.lower_resize,
    "RESIZE_BILINEAR": movement.lower_resize,
    "SOFTMAX": normalise.lower_softmax,
    "L2_NORMALIZATION": normalise.lower_l2_normalization,
    "ASSIGN_VARIABLE": _assign_variable,
}


Lower = Callable[[Graph, Sequence[Operator]], list[Kernel]]  # `lower_all`, or what stands for it


def lower_all(graph: Graph, operators: Sequence[Operator]) -> list[Kernel]:
    """The kernels of `operators`. Raises one UnsupportedError that lists all that have none."""
    kernels: list[Kernel] = []
    problems: list[str] = []
    for op in operators:
        try:
            kernels.append(LOWERINGS[op.kind](graph, op))
        except UnsupportedError as error:
            problems.append(str(error))
    if problems:
        raise UnsupportedError(f"{graph.source}: " + "; ".join(problems))
    return kernels
