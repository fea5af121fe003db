"""One operator against the reference: lowered, run in every build and banding, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from kernel_loader import _library, run_kernel, struct_text
from numpy.typing import NDArray
from tflite_builder import Builder, Refused, reference

from thumbnet.codegen.graph import Graph, Operator
from thumbnet.codegen.kernel import Call, Constant, Kernel

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


def lowest_overlap(kernel: Kernel, graph: Graph) -> int:
    """How far below read 0 the output must start so that mode "rows" allows it at every row."""
    read = kernel.reads[0]
    source, output = graph.tensors[read.tensor], graph.tensors[kernel.output]
    start = 0
    for y in range(output.rows):
        first = 0 if read.window is None else read.window.stride * y - read.window.before
        if max(first, 0) < source.rows:
            start = min(start, max(first, 0) * source.row_bytes - (y + 1) * output.row_bytes)
    return start


def run_in_rings(kernel: Kernel, graph: Graph, inputs: dict[str, Array]) -> Array:
    """Row by row, from ring buffers that hold the rows of the declared windows and no others."""
    output = graph.tensors[kernel.output]
    result = np.zeros((output.rows, output.row_bytes), np.int8)
    tensors = [graph.tensors[read.tensor] for read in kernel.reads]
    rows = [
        np.frombuffer(np.ascontiguousarray(inputs[t.name]).tobytes(), np.int8).reshape(t.rows, -1)
        for t in tensors
    ]
    for y in range(output.rows):
        rings = []
        for read, tensor, data in zip(kernel.reads, tensors, rows, strict=True):
            assert read.window is not None
            length = min(read.window.size, tensor.rows)
            ring = np.full((length, tensor.row_bytes), 0x5A, np.int8)
            first = y * read.window.stride - read.window.before
            for row in range(max(first, 0), min(first + read.window.size, tensor.rows)):
                ring[length - 1 - row % length] = data[row]
            rings.append(ring)
        target = np.full((1, output.row_bytes), 0x5A, np.int8)
        for call in kernel.calls:
            call_kernel(call, [*(rings[i] for i in call.inputs), target], y, kernel.scratch_bytes)
        result[y] = target[0]
    return np.frombuffer(result.tobytes(), output.dtype).reshape(output.shape)


def call_kernel(call: Call, buffers: list[Array], y: int, scratch_bytes: int) -> None:
    """One call for output row y; each buffer is a ring whose slots are taken from the last to the
    first, the output's the last."""
    ffi, library = _library(
        call.function, call.header, call.layer_type, len(call.inputs), call.scratch, True
    )
    layer, keep = ffi.new(f"{call.layer_type} *"), []
    pointers = struct_text(call.header, call.layer_type)
    for name, value in call.fields.items():
        if isinstance(value, Constant):
            keep.append(ffi.from_buffer(f"{value.ctype}[]", np.ascontiguousarray(value.data)))
            setattr(layer, name, keep[-1])
        elif not (value == 0 and f"*{name};" in pointers):
            setattr(layer, name, value)
    rows = []
    for buffer in buffers:
        count, pitch = buffer.shape
        keep.append(ffi.new("uint16_t[]", [count, *reversed(range(count))]))
        data = ffi.cast("int8_t *", ffi.from_buffer(buffer))
        rows.append(ffi.new("tn_rows *", (data, pitch, keep[-1]))[0])
    if call.scratch:
        rows.append(ffi.new("int32_t[]", scratch_bytes // 4 + 1))
    library.run_kernel(layer, *rows, y, y + 1)  # type: ignore[attr-defined]


def run_reducer(kernel: Kernel, graph: Graph, inputs: dict[str, Array], seed: int) -> list[Array]:
    """Plain in bands and DSP row by row, the latter with the output over the first and last row."""
    rows, source = kernel.unit_rows, graph.tensors[kernel.reads[0].tensor]
    single = [(y, y + 1) for y in range(rows)]
    results = [run_kernel(kernel, graph, inputs, dsp=False, bands=bands_of(rows, seed))]
    for start in (0, source.nbytes - source.row_bytes):
        results.append(run_kernel(kernel, graph, inputs, dsp=True, bands=single, overlap=start))
    return results


def run_everywhere(
    kernel: Kernel, graph: Graph, inputs: dict[str, Array], seed: int = 0
) -> list[Array]:
    """Outputs of: plain, DSP, in bands, in rings, and over each input that allows it."""
    rows = kernel.unit_rows or graph.tensors[kernel.output].rows
    results = [run_kernel(kernel, graph, inputs, dsp=dsp) for dsp in (False, True)]
    if kernel.band == "any" and rows > 1:
        results.append(run_kernel(kernel, graph, inputs, dsp=True, bands=bands_of(rows, seed)))
    if kernel.unit_rows:
        return results + run_reducer(kernel, graph, inputs, seed)
    if kernel.band == "any" and all(read.window for read in kernel.reads):
        results.append(run_in_rings(kernel, graph, inputs))
    mode = kernel.reads[0].overlap.mode if kernel.reads else "none"
    starts: set[int] = set()
    if mode == "elements":
        same = graph.tensors[kernel.reads[0].tensor].nbytes - graph.tensors[kernel.output].nbytes
        starts = {min(same, 0), min(same, 0) - 5}
    elif mode == "rows":
        starts = {lowest_overlap(kernel, graph)}
    for start in starts:
        for bands in ([(0, rows)], [(y, y + 1) for y in range(rows)]):
            results.append(run_kernel(kernel, graph, inputs, dsp=True, overlap=start, bands=bands))
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
