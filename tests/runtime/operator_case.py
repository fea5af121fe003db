"""One operator against the reference: lowered, run in every build and banding, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from kernel_loader import run_kernel
from numpy.typing import NDArray
from tflite_builder import Builder, Refused, reference

from thumbnet.codegen.graph import Graph, Operator
from thumbnet.codegen.kernel import Kernel

Array = NDArray[Any]
Lowering = Callable[[Graph, Operator], Kernel]

few = settings(
    max_examples=40, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip

zero_points = st.sampled_from([-128, 127, 0, -3, 17]) | st.integers(-128, 127)
seeds = st.integers(0, 2**31)


def scales(low: int = -9, high: int = 1) -> st.SearchStrategy[float]:
    """float32 scales between 2**low and 2**high, powers of two among them."""
    free = st.floats(2.0**low, 2.0**high, width=32)
    return free | st.integers(low, high).map(lambda e: 2.0**e)


def values(seed: int, shape: Sequence[int], dtype: str = "int8") -> Array:
    """Uniform values, with runs of extremes and of constants."""
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    data = rng.integers(info.min, info.max + 1, tuple(shape), dtype=dtype)
    kind = rng.integers(0, 5)
    if kind == 0:
        data = rng.choice(np.array([info.min, info.max], dtype), tuple(shape))
    elif kind == 1:
        data = np.full(tuple(shape), rng.integers(info.min, info.max + 1), dtype)
    return np.asarray(data, dtype)


def bands_of(rows: int, seed: int) -> list[tuple[int, int]]:
    """A partition of the rows into bands, in ascending order."""
    rng = np.random.default_rng(seed)
    cuts = sorted({0, rows, *(int(c) for c in rng.integers(0, rows + 1, 2))})
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def run_everywhere(
    kernel: Kernel, graph: Graph, inputs: dict[str, Array], seed: int = 0
) -> list[Array]:
    """Outputs of: plain, DSP, in bands, and with the output over each input that allows it."""
    rows = graph.tensors[kernel.output].rows
    results = [run_kernel(kernel, graph, inputs, dsp=dsp) for dsp in (False, True)]
    if kernel.band == "any" and rows > 1:
        results.append(run_kernel(kernel, graph, inputs, dsp=True, bands=bands_of(rows, seed)))
    if kernel.reads and kernel.reads[0].overlap.mode == "elements":
        one_by_one = [(y, y + 1) for y in range(rows)]
        same = graph.tensors[kernel.reads[0].tensor].nbytes - graph.tensors[kernel.output].nbytes
        for start in {min(same, 0), min(same, 0) - 5}:
            results.append(
                run_kernel(kernel, graph, inputs, dsp=True, overlap=start, bands=one_by_one)
            )
    return results


def check(
    builder: Builder,
    lower: Lowering,
    inputs: Sequence[Array],
    seed: int = 0,
    otherwise: Array | None = None,
) -> Array:
    """Every way to run the builder's only operator gives the reference's bytes; returns them.

    `otherwise` is the answer for a model that the reference refuses.
    """
    graph = builder.graph()
    try:
        expected = reference(builder.build(), inputs)[0]
    except Refused:
        if otherwise is None:
            raise
        expected = otherwise
    operator = graph.operators[0]
    named = dict(zip(graph.inputs, inputs, strict=True))
    kernel = lower(graph, operator)
    for result in run_everywhere(kernel, graph, named, seed):
        np.testing.assert_array_equal(result.reshape(expected.shape), expected)
    return expected
