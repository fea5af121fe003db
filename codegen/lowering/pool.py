"""AVERAGE_POOL_2D, MAX_POOL_2D, MEAN and SUM."""

from __future__ import annotations

from math import prod

import numpy as np

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Graph, Operator, Pool, Reduce, Tensor
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering import nest
from thumbnet.codegen.lowering.packing import pad4
from thumbnet.codegen.lowering.quantize import (
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
)
from thumbnet.codegen.lowering.short_sums import short_multiple

BRIEF_COUNT = 1 << 12  # of values in a sum: all sums are tried
PIXELS = 256  # TN_ROW_SUMS_PIXELS


def row_sums_scratch(channels: int, few: bool) -> int:
    """TN_ROW_SUMS_SCRATCH: sums of int32, or of int16 where pixels are few."""
    return (2 if few else 4) * pad4(channels)


def lower_pool(graph: Graph, op: Operator) -> Kernel:
    """AVERAGE_POOL_2D and MAX_POOL_2D of int8 [1, H, W, C]."""
    assert isinstance(op.attributes, Pool)
    pool = op.attributes
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    for tensor in (source, output):
        if tensor.dtype != "int8":
            raise _refusal(op, tensor, f"{tensor.dtype} is not supported; quantise it to int8")
        if not nest.has_rows(tensor):
            raise _refusal(op, tensor, f"its shape {tensor.shape} is not [1, H, W, C]")
    if (
        source.zero_point != output.zero_point
        or abs(float(source.scale) - float(output.scale)) > 1e-6
    ):
        raise _refusal(op, output, "its quantisation differs from the input's; make them equal")
    low, high = activation_range(pool.activation, output.scale, output.zero_point, output.dtype)
    average = op.kind == "AVERAGE_POOL_2D"
    taps = min(pool.filter_h, source.shape[1]) * min(pool.filter_w, source.shape[2])
    call = Call(
        function="tn_average_pool_s8" if average else "tn_max_pool_s8",
        header="tn_pool.h",
        layer_type="tn_pool",
        fields={
            "in_h": source.shape[1],
            "in_w": source.shape[2],
            "channels": source.shape[3],
            "out_w": output.shape[2],
            "filter_h": pool.filter_h,
            "filter_w": pool.filter_w,
            "stride_h": pool.stride_h,
            "stride_w": pool.stride_w,
            "pad_top": pool.padding.top,
            "pad_left": pool.padding.left,
            "minimum": low,
            "maximum": high,
            "few": int(taps <= PIXELS),
        },
        inputs=(0,),
        literals=("few",) if average else (),
    )
    window = RowWindow(pool.stride_h, pool.padding.top, pool.filter_h)
    read = Read(source.name, window, Overlap("rows"))
    reducer = None
    if average and output.shape[1:3] == (1, 1) and _covers(pool, source):
        fields = {"minimum": low, "maximum": high}
        reducer = _as_reducer(op, source, output, "pool", "average_pool", fields)
    return Kernel(op.name, op.kind, (read,), output.name, (call,), as_reducer=reducer)


def _covers(pool: Pool, source: Tensor) -> bool:
    """Whether the window of the first output pixel holds the whole image."""
    height, width = source.shape[1:3]
    padding = pool.padding
    return pool.filter_h - padding.top >= height and pool.filter_w - padding.left >= width


def _as_reducer(
    op: Operator, source: Tensor, output: Tensor, header: str, function: str, fields: dict[str, int]
) -> Kernel | None:
    """The sum of each channel of [1, H, W, C] from rows as they come; `fields` end the layer."""
    _, height, width, channels = source.shape
    if height < 2 or width > PIXELS:
        return None
    few = height * width <= PIXELS
    layer: dict[str, int | Constant | tuple[int, ...]] = {
        "rows": height,
        "in_w": width,
        "channels": channels,
        "few": int(few),
        **fields,
    }
    call = Call(
        function=f"tn_{function}_rows_s8",
        header=f"tn_{header}.h",
        layer_type=f"tn_{header}_rows",
        fields=layer,
        inputs=(0,),
        literals=tuple(name for name in ("few", "brief") if name in layer),
        scratch=True,
    )
    read = Read(source.name, RowWindow(1, 0, 1), Overlap("rows"))
    return Kernel(
        op.name, op.kind, (read,), output.name, (call,),
        scratch_bytes=row_sums_scratch(channels, few), unit_rows=height,
    )  # fmt: skip


def lower_reduce(graph: Graph, op: Operator) -> Kernel:
    """MEAN and SUM of int8 over any axes."""
    assert isinstance(op.attributes, Reduce)
    axes = op.attributes.axes
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    for tensor in (source, output):
        if tensor.dtype != "int8":
            raise _refusal(op, tensor, f"{tensor.dtype} is not supported; quantise it to int8")
    steps = nest.dense_strides(source.shape)
    kept = nest.merge(
        [
            nest.Loop(size, step, 0)
            for axis, (size, step) in enumerate(zip(source.shape, steps, strict=True))
            if axis not in axes
        ]
    )
    reduced = nest.merge([nest.Loop(source.shape[axis], steps[axis], 0) for axis in axes])
    if len(reduced) > 3:
        raise _refusal(op, source, "more than three separate groups of axes are reduced")
    count = prod(source.shape[axis] for axis in axes)
    try:
        multiplier, shift = sum_multiplier(op.kind, source, output, count)
    except ValueError as error:
        raise _refusal(op, output, f"{error}; requantise the model") from error
    numbers = {
        "brief": 0,
        "bias": -source.zero_point * count,
        "multiplier": multiplier,
        "shift": shift,
        "output_zero_point": output.zero_point,
    }
    if count <= BRIEF_COUNT:
        sums = np.arange(-128 * count, 127 * count + 1)
        outputs = multiply_by_quantized_multiplier(sums + numbers["bias"], multiplier, shift)
        found = short_multiple(sums, outputs + output.zero_point, multiplier * 2.0 ** (shift - 31))
        if found is not None:
            numbers |= {"brief": 1, "bias": found[1], "multiplier": found[0], "shift": 0}
    inner = [*reversed(reduced), nest.Loop(1, 0, 0), nest.Loop(1, 0, 0)][:3]
    call = Call(
        function="tn_reduce_s8",
        header="tn_reduce.h",
        layer_type="tn_reduce",
        fields={
            "size": tuple(loop.size for loop in inner),
            "step": tuple(loop.a for loop in inner),
            "few": int(count <= PIXELS),
            **numbers,
            "loops": nest.pack(op, kept),
        },
        inputs=(0,),
        literals=("few", "brief"),
    )
    reducer = None
    if nest.has_rows(source) and {1, 2} == {*axes} - {0}:
        reducer = _as_reducer(op, source, output, "reduce", "reduce", numbers)
    read = Read(source.name, None)
    return Kernel(op.name, op.kind, (read,), output.name, (call,), band="whole", as_reducer=reducer)


def sum_multiplier(kind: str, source: Tensor, output: Tensor, count: int) -> tuple[int, int]:
    """(multiplier, shift) that take the sum of `count` values to a MEAN or SUM of them.

    Raises ValueError when the scales do not allow any."""
    multiplier, shift = quantize_multiplier(float(source.scale) / float(output.scale))
    if kind == "MEAN":  # the division by the count goes into the multiplier
        more = min(count.bit_length() - 1, 32, 31 + shift)
        multiplier, shift = (multiplier << more) // count, shift - more
    return multiplier, shift


def _refusal(op: Operator, tensor: Tensor, reason: str) -> UnsupportedError:
    return UnsupportedError(f"{op.kind} '{op.name}', tensor '{tensor.name}': {reason}")
