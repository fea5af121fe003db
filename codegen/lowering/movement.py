"""Operators that move values: SLICE, TRANSPOSE, PAD, CONCATENATION, RESIZE_*, plain copies.

All but the bilinear resize work on any element size, because no value changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import (
    DTYPE_BYTES,
    Concatenation,
    Graph,
    Operator,
    Pad,
    Resize,
    Slice,
    Tensor,
    Transpose,
)
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering import nest
from thumbnet.codegen.lowering.quantize import round_half_away


@dataclass(frozen=True)
class _Block:
    """What one output row (or, if `whole`, the output) takes from the input. Offsets in bytes."""

    loops: tuple[nest.Loop, ...]
    element: int
    whole: bool
    row_stride: int = 0
    row_begin: int = 0
    in_start: int = 0
    out_start: int = 0
    in_step: int = 0


def lower_slice(graph: Graph, op: Operator) -> Kernel:
    """SLICE with any strides (also STRIDED_SLICE, SPLIT and SPLIT_V of the source model)."""
    assert isinstance(op.attributes, Slice)
    begin, size, stride = op.attributes.begin, op.attributes.size, op.attributes.stride
    source, output = _ends(graph, op)
    element = _element(op, source, output)
    steps = nest.dense_strides(source.shape, element)
    targets = nest.dense_strides(size, element)
    loops = [
        nest.Loop(n, s * step, target)
        for n, s, step, target in zip(size, stride, steps, targets, strict=True)
    ]
    starts = [b * step for b, step in zip(begin, steps, strict=True)]
    if nest.has_rows(source) and output.shape == tuple(size):
        block = _Block(
            tuple(loops[2:]), element, False, stride[1], begin[1], in_start=sum(starts[2:])
        )
        window = RowWindow(stride[1], -begin[1], 1) if stride[1] > 0 else None
        overlap = Overlap("rows") if stride[1] > 0 else Overlap()
        return _kernel(op, source, output, block, window, overlap)
    block = _Block(tuple(loops), element, True, in_start=sum(starts))
    return _kernel(op, source, output, block, _whole_window(source, output), Overlap())


def lower_transpose(graph: Graph, op: Operator) -> Kernel:
    """TRANSPOSE by any permutation."""
    assert isinstance(op.attributes, Transpose)
    permutation = op.attributes.permutation
    source, output = _ends(graph, op)
    element = _element(op, source, output)
    steps = nest.dense_strides(source.shape, element)
    targets = nest.dense_strides(output.shape, element)
    loops = [
        nest.Loop(n, steps[axis], target)
        for n, axis, target in zip(output.shape, permutation, targets, strict=True)
    ]
    if not nest.has_rows(output):
        block = _Block(tuple(loops), element, True)
        return _kernel(op, source, output, block, _whole_window(source, output), Overlap())
    if nest.has_rows(source) and permutation[1] == 1:
        block = _Block(tuple(loops[2:]), element, False, row_stride=1)
        return _kernel(op, source, output, block, RowWindow(1, 0, 1), Overlap("rows"))
    block = _Block(tuple(loops[2:]), element, False, in_step=loops[1].a)
    window = RowWindow(0, 0, 1) if source.rows == 1 else None
    return _kernel(op, source, output, block, window, Overlap())


def lower_pad(graph: Graph, op: Operator) -> Kernel:
    """PAD with a constant, in any axis."""
    assert isinstance(op.attributes, Pad)
    before, after = op.attributes.before, op.attributes.after
    source, output = _ends(graph, op)
    element = _element(op, source, output)
    block, window = _placed(source, output, element, before)
    rows = not block.whole and before[0] == after[0] == 0
    overlap = Overlap("rows") if rows else Overlap()
    return _kernel(op, source, output, block, window, overlap, pad_value=op.attributes.value)


def lower_concatenation(graph: Graph, op: Operator) -> Kernel:
    """CONCATENATION along any axis; inputs may be constant. No value is requantised."""
    assert isinstance(op.attributes, Concatenation)
    axis = op.attributes.axis
    output = graph.tensors[op.outputs[0]]
    reads: list[Read] = []
    calls: list[Call] = []
    offset = 0
    whole = False
    for name in op.inputs:
        source = graph.tensors[name]
        element = _element(op, source, output)
        start = [offset if i == axis else 0 for i in range(len(output.shape))]
        block, window = _placed(source, output, element, start)
        whole = whole or block.whole
        offset += source.shape[axis]
        if source.elements == 0:
            continue
        if source.data is not None:
            calls.append(_call(op, source, block, ()))
            continue
        # Calls run one after the other: only what the first one reads is never written ahead.
        first = not block.whole and not calls
        calls.append(_call(op, source, block, (len(reads),)))
        reads.append(Read(name, window, Overlap("rows") if first else Overlap()))
    band = "whole" if whole and _taller(output, *(graph.tensors[n] for n in op.inputs)) else "any"
    return Kernel(op.name, op.kind, tuple(reads), output.name, tuple(calls), band=band)


def lower_copy(graph: Graph, op: Operator, source: str, destination: str) -> Kernel:
    """A copy of the same bytes (READ_VARIABLE, ASSIGN_VARIABLE, RESHAPE), whatever the shapes."""
    tensor, output = graph.tensors[source], graph.tensors[destination]
    if tensor.nbytes != output.nbytes:
        raise _refusal(op, output, f"has {output.nbytes} bytes, '{source}' has {tensor.nbytes}")
    if tensor.rows == output.rows:
        block = _Block((nest.Loop(tensor.row_bytes, 1, 1),), 1, False, row_stride=1)
        return _kernel(op, tensor, output, block, RowWindow(1, 0, 1), Overlap("rows"))
    block = _Block((nest.Loop(tensor.nbytes, 1, 1),), 1, True)
    return _kernel(op, tensor, output, block, None, Overlap())


# ---- blocks ---------------------------------------------------------------------------------


def _ends(graph: Graph, op: Operator) -> tuple[Tensor, Tensor]:
    return graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]


def _element(op: Operator, source: Tensor, output: Tensor) -> int:
    if source.dtype != output.dtype:
        raise _refusal(op, output, f"has type {output.dtype}, '{source.name}' has {source.dtype}")
    return DTYPE_BYTES[source.dtype]


def _taller(*tensors: Tensor) -> bool:
    return any(tensor.rows > 1 for tensor in tensors)


def _whole_window(*tensors: Tensor) -> RowWindow | None:
    return None if _taller(*tensors) else RowWindow(1, 0, 1)


def _placed(
    source: Tensor, output: Tensor, element: int, start: Sequence[int]
) -> tuple[_Block, RowWindow | None]:
    """The block that puts `source` at index `start` of `output`, axis by axis."""
    steps = nest.dense_strides(source.shape, element)
    targets = nest.dense_strides(output.shape, element)
    loops = [
        nest.Loop(n, step, target)
        for n, step, target in zip(source.shape, steps, targets, strict=True)
    ]
    offsets = [s * target for s, target in zip(start, targets, strict=True)]
    if nest.has_rows(source) and nest.has_rows(output):
        block = _Block(tuple(loops[2:]), element, False, 1, -start[1], out_start=sum(offsets[2:]))
        return block, RowWindow(1, start[1], 1)
    block = _Block(tuple(loops), element, True, out_start=sum(offsets))
    return block, _whole_window(source, output)


def _call(
    op: Operator,
    source: Tensor,
    block: _Block,
    inputs: tuple[int, ...],
    pad: tuple[int, int] | None = None,
) -> Call:
    loops = nest.merge(block.loops)
    element = block.element
    inner = loops[-1]
    if inner.size == 1 or inner.a == inner.b == element:
        loops = (*loops[:-1], nest.Loop(inner.size * element, 1, 1))
        element = 0
    elif element not in (1, 2, 4):
        loops = (*loops, nest.Loop(element, 1, 1))
        element = 0
    fields: Mapping[str, int | Constant | tuple[int, ...]] = {
        "element": element,
        "whole": int(block.whole),
        "row_stride": block.row_stride,
        "row_begin": block.row_begin,
        "in_rows": source.rows,
        "in_start": block.in_start,
        "out_start": block.out_start,
        "value": 0 if pad is None else pad[0],
        "value_element": 1 if pad is None else pad[1],
        "constant": 0
        if inputs or source.data is None
        else Constant("int8_t", np.frombuffer(np.ascontiguousarray(source.data).data, np.int8)),
        "constant_pitch": source.row_bytes,
        "loops": nest.pack(op, loops, nest.Placement(step=block.in_step)),
    }
    name = "tn_pad_any" if pad is not None else "tn_copy_any" if inputs else "tn_copy_constant_any"
    return Call(
        function=name,
        header="tn_copy.h",
        layer_type="tn_copy",
        fields=fields,
        inputs=inputs,
        literals=("element", "whole"),
    )


def _kernel(
    op: Operator,
    source: Tensor,
    output: Tensor,
    block: _Block,
    window: RowWindow | None,
    overlap: Overlap,
    pad_value: int | None = None,
) -> Kernel:
    pad = None
    if pad_value is not None:
        pad = _pad_value(op, output, pad_value)
    call = _call(op, source, block, (0,), pad)
    band = "whole" if block.whole and _taller(source, output) else "any"
    read = Read(source.name, window, overlap)
    return Kernel(op.name, op.kind, (read,), output.name, (call,), band=band)


def _pad_value(op: Operator, output: Tensor, value: int) -> tuple[int, int]:
    """The fill as (value, its bytes); one byte wherever all bytes of an element are equal."""
    element = DTYPE_BYTES[output.dtype]
    raw = int(value).to_bytes(8, "little", signed=True)[:element]
    if len(set(raw)) == 1:
        return int.from_bytes(raw[:1], "little", signed=True), 1
    if element not in (1, 2, 4):
        raise _refusal(op, output, f"padding {output.dtype} with {value} is not supported")
    return int.from_bytes(raw, "little", signed=True), element


# ---- resize ---------------------------------------------------------------------------------


def lower_resize(graph: Graph, op: Operator) -> Kernel:
    """RESIZE_NEAREST_NEIGHBOR (any type) and RESIZE_BILINEAR (int8) of [1, H, W, C]."""
    assert isinstance(op.attributes, Resize)
    source, output = _ends(graph, op)
    element = _element(op, source, output)
    for tensor in (source, output):
        if not nest.has_rows(tensor):
            raise _refusal(op, tensor, f"its shape {tensor.shape} is not [1, H, W, C]")
        if max(tensor.shape) > 32767:
            raise _refusal(op, tensor, "no axis may be longer than 32767")
    sizes = list(zip(source.shape[1:3], output.shape[1:3], strict=True))
    if op.kind == "RESIZE_NEAREST_NEIGHBOR":
        rows, columns = (_nearest(n, m, op.attributes) for n, m in sizes)
        call = Call(
            function="tn_resize_nearest_any",
            header="tn_resize.h",
            layer_type="tn_resize_nearest",
            fields={
                "pixel_bytes": source.shape[3] * element,
                "out_w": output.shape[2],
                "rows": Constant("uint16_t", rows.astype(np.uint16)),
                "columns": Constant("uint16_t", columns.astype(np.uint16)),
            },
            inputs=(0,),
        )
        return _resized(op, source, output, call, rows, rows)
    if source.dtype != "int8":
        raise _refusal(op, source, f"{source.dtype} is not supported; quantise it to int8")
    taps_h, taps_w = (_bilinear(n, m, op.attributes) for n, m in sizes)
    call = Call(
        function="tn_resize_bilinear_s8",
        header="tn_resize.h",
        layer_type="tn_resize_bilinear",
        fields={
            "channels": source.shape[3],
            "out_w": output.shape[2],
            "rows": Constant("int16_t", taps_h.astype(np.int16).reshape(-1)),
            "columns": Constant("int16_t", taps_w.astype(np.int16).reshape(-1)),
        },
        inputs=(0,),
    )
    return _resized(op, source, output, call, taps_h[:, 0], taps_h[:, 1])


def _resized(
    op: Operator,
    source: Tensor,
    output: Tensor,
    call: Call,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> Kernel:
    """Output row y reads input rows first[y] and last[y]; a window where they step evenly."""
    stride = int(first[1] - first[0]) if len(first) > 1 else 1
    spread = int((last - first).max()) + 1
    even = bool(np.all(first == first[0] + stride * np.arange(len(first))))
    window = RowWindow(stride, -int(first[0]), spread) if even else None
    read = Read(source.name, window, Overlap())
    return Kernel(op.name, op.kind, (read,), output.name, (call,))


def _nearest(size: int, wanted: int, how: Resize) -> NDArray[np.int64]:
    """Input index of each output index, in single precision as the reference does it."""
    if how.align_corners and wanted > 1:
        scale = np.float32(size - 1) / np.float32(wanted - 1)
    else:
        scale = np.float32(size) / np.float32(wanted)
    offset = np.float32(0.5 if how.half_pixel_centers else 0.0)
    indices = []
    for index in range(wanted):
        position = float((np.float32(index) + offset) * scale)
        nearest = round_half_away(position) if how.align_corners else floor(position)
        indices.append(max(0, min(nearest, size - 1)))
    return np.array(indices, np.int64)


def _bilinear(size: int, wanted: int, how: Resize) -> NDArray[np.int64]:
    """Taps [wanted, 3]: lower index, upper index, weight of the upper in 1/1024."""
    scale = (1024 * size + wanted // 2) // wanted
    if how.align_corners and wanted > 1:
        scale = (1024 * (size - 1) + (wanted - 1) // 2) // (wanted - 1)
    position = np.arange(wanted, dtype=np.int64) * scale
    if how.half_pixel_centers:
        position = position + scale // 2 - 512
    lower = np.maximum(np.trunc(position / 1024).astype(np.int64), 0)
    upper = np.minimum(np.trunc((position + 1023) / 1024).astype(np.int64), size - 1)
    return np.stack([lower, upper, position - 1024 * lower], axis=1)


def _refusal(op: Operator, tensor: Tensor, reason: str) -> UnsupportedError:
    return UnsupportedError(f"{op.kind} '{op.name}', tensor '{tensor.name}': {reason}")
