"""Lowerings of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Activation, Convolution, Graph, Operator, Padding, Tensor
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering.packing import (
    Requantization,
    blocks_of,
    constant_bias,
    constant_weights,
    output_fields,
    pack_blocks,
    pack_depthwise,
    pack_depthwise_window,
    pack_row_blocks,
    pad4,
    real_multipliers,
    requantization,
)
from thumbnet.codegen.lowering.short_requantize import shortened
from thumbnet.codegen.lowering.winograd import with_winograd


def conv_2d_scratch(k: int, words: bool, columns: int) -> int:
    """TN_CONV_2D_SCRATCH: one column of bytes; or two widened, and two of bytes unless `words`."""
    return pad4(k) if columns == 1 else 4 * pad4(k) + (0 if words else 2 * pad4(k))


def lower_conv_2d(graph: Graph, op: Operator) -> Kernel:
    """CONV_2D. Raises UnsupportedError naming the operator when it cannot be lowered."""
    weights = constant_weights(graph, op)
    attributes = op.attributes
    assert isinstance(attributes, Convolution) and weights.data is not None
    data = np.asarray(weights.data, np.int8)
    if data.ndim != 4 or data.shape[3] != graph.tensors[op.inputs[0]].shape[-1]:
        raise UnsupportedError(
            f"CONV_2D '{op.name}': weights '{weights.name}' of shape {weights.shape} do not fit "
            f"{graph.tensors[op.inputs[0]].shape[-1]} input channels; grouped convolutions are not "
            "supported, split them"
        )
    return _conv_2d(graph, op, data, attributes)


def _conv_2d(graph: Graph, op: Operator, data: NDArray[np.int8], attributes: Convolution) -> Kernel:
    """The convolution of `op` with weights `data` [O, KH, KW, I]."""
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    weights = graph.tensors[op.inputs[1]]
    out_c, kernel_h, kernel_w, in_c = data.shape
    padding = attributes.padding
    pointwise = (
        kernel_h == kernel_w == attributes.stride_h == attributes.stride_w == 1
        and padding == Padding()
    )
    matrix = data.reshape(out_c, -1)
    real = real_multipliers(x, weights, out, out_c, product_in_float=False)
    bias = constant_bias(graph, op, out_c)
    exact = requantization(op, real, bias, matrix, x.zero_point)
    output = output_fields(out, attributes.activation)
    numbers = shortened(exact, output)
    blocks = blocks_of(matrix, numbers)
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "in_h": x.shape[1],
        "in_w": x.shape[2],
        "in_c": in_c,
        "out_w": out.shape[2],
        "out_c": out_c,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "stride_h": attributes.stride_h,
        "stride_w": attributes.stride_w,
        "dilation_h": attributes.dilation_h,
        "dilation_w": attributes.dilation_w,
        "pad_top": padding.top,
        "pad_left": padding.left,
        "in_zero_point": x.zero_point,
        **output,
        "pointwise": int(pointwise),
        "word_taps": int(in_c % 4 == 0),
        "columns": 2,
        "fast_requantize": numbers.fast,
        "joined": blocks.joined,
        "blocks": pack_blocks(blocks),
    }
    literals = ["pointwise", "word_taps"]
    if not pointwise and attributes.dilation_w == 1:
        literals.append("dilation_w")
    call = Call(
        function="tn_conv_2d_s8",
        header="tn_conv_2d.h",
        layer_type="tn_conv_2d",
        fields=fields,
        inputs=(0,),
        literals=tuple(literals),
        scratch=True,
    )
    k, words = matrix.shape[1], pointwise or in_c % 4 == 0
    kernel = Kernel(
        name=op.name,
        kind=op.kind,
        reads=(
            Read(
                op.inputs[0],
                _window(attributes, kernel_h),
                Overlap("elements", in_c, out_c) if pointwise else Overlap("rows"),
            ),
        ),
        output=op.outputs[0],
        calls=(call,),
        scratch_bytes=conv_2d_scratch(k, words, columns=2),
        macs=out.elements * k,
    )
    small = replace(
        kernel,
        calls=(replace(call, fields={**fields, "columns": 1}),),
        scratch_bytes=conv_2d_scratch(k, words, columns=1),
    )
    kernel = replace(kernel, with_less_scratch=small)
    return with_winograd(kernel, graph, op, data, exact)


def depthwise_window(kernel_w: int, stride_w: int, out_w: int) -> int:
    """Columns under the window of the form that computes six pixels at a time, or 0: not that form.

    For the runtime's tn_depthwise_conv_2d.h; dilation_w and the multiplier must be 1.
    """
    return kernel_w | 1 if 2 <= kernel_w <= 7 and stride_w <= 2 and out_w > 1 else 0


def depthwise_tile(out_w: int) -> int:
    """Pixels at a time. A tile of four takes about seven tenths of the time of one of six."""
    return 4 if 7 * -(-out_w // 4) < 10 * -(-out_w // 6) else 6


def depthwise_conv_2d_scratch(in_c: int, kernel_h: int, columns: int) -> int:
    """TN_DEPTHWISE_CONV_2D_SCRATCH: a run of padding and a table of pixel offsets."""
    return pad4(in_c) + 4 * kernel_h * columns


def depthwise_window_scratch(
    in_c: int, kernel_h: int, window: int, stride_w: int, pixels: int
) -> int:
    """TN_DEPTHWISE_CONV_2D_WINDOW_SCRATCH: strips for `pixels` outputs, or a table of one."""
    strip = 2 * (stride_w * pixels + window // 2 * 2)
    return max(kernel_h * (4 + 2 * strip), depthwise_conv_2d_scratch(in_c, kernel_h, window))


def _usual(numbers: Requantization, output: dict[str, int]) -> int:
    """The `usual` of tn_depthwise_conv_2d."""
    if not numbers.fast or (output["out_min"], output["out_max"]) != (-128, 127):
        return 0
    return 2 if output["out_zero_point"] == -128 else 1


def lower_depthwise_conv_2d(graph: Graph, op: Operator) -> Kernel:
    """DEPTHWISE_CONV_2D; with one input channel it is a CONV_2D and lowered so."""
    weights = constant_weights(graph, op)
    attributes = op.attributes
    assert isinstance(attributes, Convolution) and weights.data is not None
    data = np.asarray(weights.data, np.int8)
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    in_c, out_c = x.shape[-1], data.shape[-1]
    if data.ndim != 4 or data.shape[0] != 1 or in_c == 0 or out_c % in_c:
        raise UnsupportedError(
            f"DEPTHWISE_CONV_2D '{op.name}': weights '{weights.name}' of shape {weights.shape} do "
            f"not fit {in_c} input channels; their last axis must be a multiple of it"
        )
    if in_c == 1:
        return _conv_2d(graph, op, data.transpose(3, 1, 2, 0), attributes)
    kernel_h, kernel_w = data.shape[1:3]
    padding, stride_w = attributes.padding, attributes.stride_w
    window = 0
    if attributes.dilation_w == 1 and in_c == out_c and in_c % 4 == 0:
        window = depthwise_window(kernel_w, stride_w, out.shape[2])
    tile = depthwise_tile(out.shape[2])
    tiles = -(-out.shape[2] // tile)
    taps = data.reshape(kernel_h * kernel_w, out_c)
    real = real_multipliers(x, weights, out, out_c, product_in_float=False)
    numbers = requantization(op, real, constant_bias(graph, op, out_c), taps.T, x.zero_point)
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "in_h": x.shape[1],
        "in_w": x.shape[2],
        "in_c": in_c,
        "out_w": out.shape[2],
        "out_c": out_c,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "stride_h": attributes.stride_h,
        "stride_w": stride_w,
        "dilation_h": attributes.dilation_h,
        "dilation_w": attributes.dilation_w,
        "pad_top": padding.top,
        "pad_left": padding.left,
        "depth_multiplier": out_c // in_c,
        "in_zero_point": x.zero_point,
        **output_fields(out, attributes.activation),
        "window": window,
        "tile": tile,
        "tiles": tiles,
        "usual": _usual(numbers, output_fields(out, attributes.activation)),
        "fast_requantize": numbers.fast,
        "groups": (
            pack_depthwise_window(data[0], window, numbers)
            if window
            else pack_depthwise(taps, numbers)
        ),
    }
    scratch = (
        depthwise_window_scratch(in_c, kernel_h, window, stride_w, tile * tiles)
        if window
        else depthwise_conv_2d_scratch(in_c, kernel_h, kernel_w)
    )
    call = Call(
        function="tn_depthwise_conv_2d_s8",
        header="tn_depthwise_conv_2d.h",
        layer_type="tn_depthwise_conv_2d",
        fields=fields,
        inputs=(0,),
        literals=(
            ("kernel_h", "stride_w", "window", "tile", "usual")
            if window
            else ("depth_multiplier", "window")
        ),
        scratch=True,
    )
    kernel = Kernel(
        name=op.name,
        kind=op.kind,
        reads=(Read(op.inputs[0], _window(attributes, kernel_h), Overlap("rows")),),
        output=op.outputs[0],
        calls=(call,),
        scratch_bytes=scratch,
        macs=out.elements * kernel_h * kernel_w,
    )
    if not window or tiles == 1:
        return kernel
    return replace(
        kernel,
        with_less_scratch=replace(
            kernel,
            calls=(replace(call, fields={**fields, "tiles": 1}),),
            scratch_bytes=depthwise_window_scratch(in_c, kernel_h, window, stride_w, tile),
        ),
    )


def _window(attributes: Convolution, kernel_h: int) -> RowWindow:
    return RowWindow(
        attributes.stride_h, attributes.padding.top, (kernel_h - 1) * attributes.dilation_h + 1
    )


def lower_fully_connected(graph: Graph, op: Operator) -> Kernel:
    """FULLY_CONNECTED over elements / depth batches."""
    weights = constant_weights(graph, op)
    assert isinstance(op.attributes, Activation) and weights.data is not None
    matrix = np.asarray(weights.data, np.int8)
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if matrix.ndim != 2 or x.elements % matrix.shape[1]:
        raise UnsupportedError(
            f"FULLY_CONNECTED '{op.name}': weights '{weights.name}' of shape {weights.shape} do "
            f"not divide input '{x.name}' of shape {x.shape}"
        )
    out_c, in_c = matrix.shape
    batches = x.elements // in_c
    real = real_multipliers(x, weights, out, out_c, product_in_float=True)
    bias = constant_bias(graph, op, out_c)
    output = output_fields(out, op.attributes.activation)
    numbers = shortened(requantization(op, real, bias, matrix, x.zero_point), output)
    blocks = blocks_of(matrix, numbers)
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "batches": batches,
        "in_c": in_c,
        "out_c": out_c,
        **output,
        "fast_requantize": numbers.fast,
        "joined": blocks.joined,
        "blocks": pack_blocks(blocks),
    }
    return Kernel(
        name=op.name,
        kind=op.kind,
        reads=(Read(op.inputs[0], None),),
        output=op.outputs[0],
        calls=(
            Call(
                function="tn_fully_connected_s8",
                header="tn_fully_connected.h",
                layer_type="tn_fully_connected",
                fields=fields,
                inputs=(0,),
            ),
        ),
        macs=batches * matrix.size,
        band="whole",
        as_reducer=_fully_connected_rows(graph, op, matrix, numbers) if batches == 1 else None,
    )


def _fully_connected_rows(
    graph: Graph, op: Operator, matrix: NDArray[np.int8], numbers: Requantization
) -> Kernel | None:
    """The operator as a reducer, where its input is the bytes of a tensor of several rows."""
    assert isinstance(op.attributes, Activation)
    source, out = _reshaped(graph, op.inputs[0]), graph.tensors[op.outputs[0]]
    if source.rows < 2 or source.data is not None:
        return None
    blocks = blocks_of(matrix.reshape(len(matrix), source.rows, -1), numbers)
    ends, weights = pack_row_blocks(blocks)
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "rows": source.rows,
        "row_bytes": source.row_bytes,
        "out_c": len(matrix),
        **output_fields(out, op.attributes.activation),
        "fast_requantize": numbers.fast,
        "joined": blocks.joined,
        "ends": ends,
        "weights": weights,
    }
    return Kernel(
        name=op.name,
        kind=op.kind,
        reads=(Read(source.name, RowWindow(1, 0, 1), Overlap("rows")),),
        output=out.name,
        calls=(
            Call(
                function="tn_fully_connected_rows_s8",
                header="tn_fully_connected.h",
                layer_type="tn_fully_connected_rows",
                fields=fields,
                inputs=(0,),
                scratch=True,
            ),
        ),
        scratch_bytes=4 * pad4(len(matrix)),
        macs=matrix.size,
        unit_rows=source.rows,
    )


def _reshaped(graph: Graph, name: str) -> Tensor:
    """The tensor that RESHAPEs, if any, made `name` from."""
    producer = graph.producer(name)
    while producer is not None and producer.kind == "RESHAPE":
        name = producer.inputs[0]
        producer = graph.producer(name)
    return graph.tensors[name]
