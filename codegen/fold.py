"""Constant folding of operators that only move bytes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Concatenation, Operator, Pad, Slice, Tensor, Transpose

_MAX_GROWTH = 1 << 20  # bytes: a small file must not become a large constant


def fold(op: Operator, tensors: Mapping[str, Tensor]) -> NDArray[np.generic] | None:
    """The operator's value when all its inputs are constants and it only moves bytes, else None.

    Also None where padding would blow a constant up.
    """
    values = [tensors[name].data for name in op.inputs if name]
    if not values or any(v is None for v in values):
        return None
    data = [v for v in values if v is not None]
    if tensors[op.outputs[0]].nbytes > max(_MAX_GROWTH, sum(v.nbytes for v in data)):
        return None
    a, shape = op.attributes, tensors[op.outputs[0]].shape
    if op.kind == "RESHAPE":
        return data[0].reshape(shape)
    if isinstance(a, Transpose):
        return np.ascontiguousarray(data[0].transpose(a.permutation))
    if isinstance(a, Slice):
        axes = zip(a.begin, a.size, a.stride, strict=True)
        return data[0][np.ix_(*(b + s * np.arange(n) for b, n, s in axes))].reshape(shape)
    if isinstance(a, Pad):
        widths = list(zip(a.before, a.after, strict=True))
        return np.pad(data[0], widths, constant_values=a.value)
    if isinstance(a, Concatenation):
        return np.concatenate(data, axis=a.axis)
    return None
