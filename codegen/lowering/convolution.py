"""Lowerings of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Activation, Convolution, Graph, Operator, Tensor
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering.depthwise_lanes import lanes_call
from thumbnet.codegen.lowering.depthwise_square import square_calls
from thumbnet.codegen.lowering.packing import (
    Requantization,
    blocks_of,
    constant_bias,
    constant_weights,
    output_fields,
    pack_blocks,
    pack_depthwise,
    pack_eights,
    pack_row_blocks,
    pad4,
    real_multipliers,
    requantization,
)
from thumbnet.codegen.lowering.pointwise import is_pointwise, pointwise_conv_2d
from thumbnet.codegen.lowering.strips import with_strips
from thumbnet.codegen.lowering.winograd import with_winograd


def conv_2d_scratch(k: int, runs: int, words: bool, taps: bool, tiles: int) -> int:
    """TN_CONV_2D_SCRATCH: one column of bytes; or two widened, a table, and two of bytes unless
    `words`."""
    if tiles < 2:
        return k
    return (8 * (k // 3) if taps else 4 * k) + 4 * (runs - 1) + (0 if words else 2 * k)


@dataclass(frozen=True)
class Columns:
    """How the inputs of an output pixel lie in a column (runtime/tn_conv_2d.h)."""

    taps: bool  # as tn_taps.h has it
    pixels: int  # of a run: input pixels under it
    width: int
    last: int  # 0, or 1: bytes of a run behind `width`

    @classmethod
    def of(cls, kernel_w: int, in_c: int, attributes: Convolution) -> Columns:
        dilation_w = attributes.dilation_w
        if in_c % 4 == 0 and (kernel_w, attributes.stride_w, dilation_w) == (3, 1, 1):
            return cls(True, kernel_w, in_c, 0)
        pixels = kernel_w if dilation_w == 1 else 1
        last = int(pixels * in_c % 4 == 1 < pixels * in_c)
        return cls(False, pixels, pad4(pixels * in_c - last), last)

    def arranged(self, data: NDArray[np.int8]) -> NDArray[np.int8]:
        """Weights [O, KH, KW, I] -> [O, K], K a multiple of four, zeros where a column has no
        input."""
        out_c, kernel_h, kernel_w, in_c = data.shape
        if self.taps:
            fours = data.reshape(out_c, kernel_h, kernel_w, in_c // 4, 4)
            return fours.transpose(0, 1, 3, 2, 4).reshape(out_c, -1)
        runs = data.reshape(out_c, -1, self.pixels * in_c)
        whole = _padded(runs[..., : self.width], self.width).reshape(out_c, -1)
        last = runs[..., self.width :].reshape(out_c, -1)
        last = _padded(last, pad4(last.shape[1])).reshape(out_c, -1, 4)[..., [0, 2, 1, 3]]
        return np.concatenate([whole, last.reshape(out_c, -1)], axis=1)

    def right(self, x: Tensor, kernel_w: int, attributes: Convolution) -> int:
        """Pixels below it take no byte from behind an input row of `x`."""
        in_w, in_c = x.shape[2:]
        bytes_of_run = self.pixels * in_c if self.taps else self.width + self.last
        reach = (kernel_w - self.pixels) * attributes.dilation_w * in_c + bytes_of_run
        return (in_w + attributes.padding.left - -(-reach // in_c)) // attributes.stride_w + 1


def _padded(values: NDArray[np.int8], width: int) -> NDArray[np.int8]:
    """Zeros behind the last axis, which becomes `width`."""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, width - values.shape[-1])])


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
    matrix = data.reshape(out_c, -1)
    real = real_multipliers(x, weights, out, out_c, product_in_float=False)
    bias = constant_bias(graph, op, out_c)
    numbers = requantization(op, real, bias, matrix, x.zero_point)
    if is_pointwise(attributes, kernel_h, kernel_w):
        return pointwise_conv_2d(graph, op, matrix, numbers)
    columns = Columns.of(kernel_w, in_c, attributes)
    arranged = columns.arranged(data)
    output = output_fields(out, attributes.activation)
    blocks = blocks_of(arranged, numbers, output)
    runs, k = kernel_h * kernel_w // columns.pixels, arranged.shape[1]
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
        "runs": runs,
        "width": columns.width,
        "groups": k // 4,
        "left": -(-padding.left // attributes.stride_w),
        "right": min(columns.right(x, kernel_w, attributes), out.shape[2]),
        "in_zero_point": x.zero_point,
        **output,
        "word_taps": int(in_c % 4 == 0),
        "taps": int(columns.taps),
        "tiles": 2 * blocks.tiled,
        "fast_requantize": blocks.fast,
        "joined": blocks.joined,
        "blocks": pack_blocks(blocks),
    }
    literals = ["word_taps", "taps", "tiles"]
    if attributes.dilation_w == 1:
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
    words = in_c % 4 == 0
    kernel = Kernel(
        name=op.name,
        kind=op.kind,
        reads=(Read(op.inputs[0], _window(attributes, kernel_h), Overlap("rows")),),
        output=op.outputs[0],
        calls=(call,),
        scratch_bytes=conv_2d_scratch(k, runs, words, columns.taps, 2 * blocks.tiled),
        macs=out.elements * matrix.shape[1],
    )
    if blocks.tiled:
        small = replace(
            kernel,
            calls=(replace(call, fields={**fields, "tiles": 1}),),
            scratch_bytes=conv_2d_scratch(k, runs, words, columns.taps, tiles=1),
        )
        kernel = replace(kernel, with_less_scratch=small)
    kernel = with_strips(kernel, graph, op, data, numbers)
    return with_winograd(kernel, graph, op, data, numbers)


def depthwise_conv_2d_scratch(in_c: int, kernel_h: int, columns: int) -> int:
    """TN_DEPTHWISE_CONV_2D_SCRATCH: a run of padding and a table of pixel offsets."""
    return pad4(in_c) + 4 * kernel_h * columns


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
    taps = data.reshape(kernel_h * kernel_w, out_c)
    real = real_multipliers(x, weights, out, out_c, product_in_float=False)
    numbers = requantization(op, real, constant_bias(graph, op, out_c), taps.T, x.zero_point)
    forms, faster = square_calls(x, out, attributes, data[0], numbers)
    if not forms:
        forms = [_depthwise_call(x, out, attributes, data[0], numbers)]
    window = _window(attributes, kernel_h)
    usual, *small = [
        Kernel(
            name=op.name,
            kind=op.kind,
            reads=(Read(op.inputs[0], window, Overlap("rows")),),
            output=op.outputs[0],
            calls=(call,),
            scratch_bytes=scratch,
            macs=out.elements * kernel_h * kernel_w,
        )
        for call, scratch in forms
    ]
    banded = [
        replace(
            usual,
            form="rows",
            reads=(Read(op.inputs[0], _banded(window, call.fields["span"]), Overlap("rows")),),
            calls=(call,),
            scratch_bytes=scratch,
        )
        for call, scratch in faster
    ]
    if faster and (lanes := lanes_call(faster[0][0], data[0], numbers, out)):
        call, scratch = lanes
        reads = (Read(op.inputs[0], window),)
        form = replace(usual, form="lanes", reads=reads, calls=(call,), scratch_bytes=scratch)
        banded.insert(0, form)
    return replace(
        usual,
        with_less_scratch=small[0] if small else None,
        faster=tuple(replace(form, widened_output=_widened(form)) for form in banded),
    )


def _widened(kernel: Kernel) -> Kernel | None:
    """A form of tn_depthwise_rows.h or tn_depthwise_lanes.h with int16 outputs, where it can be."""
    (call,) = kernel.calls
    if call.fields["clamp"]:
        return None
    numbers = (*call.numbers[:-1], 1) if call.numbers else ()
    wide = replace(call, fields={**call.fields, "widened": 1}, numbers=numbers)
    return replace(kernel, form=f"{kernel.form}, int16", calls=(wide,))


def _depthwise_call(
    x: Tensor,
    out: Tensor,
    attributes: Convolution,
    taps: NDArray[np.int8],
    numbers: Requantization,
) -> tuple[Call, int]:
    """The call of tn_depthwise_conv_2d.h, which serves all, and the bytes of scratch it takes."""
    kernel_h, kernel_w, out_c = taps.shape
    in_c, padding = x.shape[3], attributes.padding
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
        "depth_multiplier": out_c // in_c,
        "in_zero_point": x.zero_point,
        **output_fields(out, attributes.activation),
        "fast_requantize": numbers.fast,
        "groups": pack_depthwise(taps.reshape(-1, out_c), numbers),
    }
    call = Call(
        function="tn_depthwise_conv_2d_s8",
        header="tn_depthwise_conv_2d.h",
        layer_type="tn_depthwise_conv_2d",
        fields=fields,
        inputs=(0,),
        literals=("depth_multiplier", "fast_requantize"),
        scratch=True,
    )
    return call, depthwise_conv_2d_scratch(in_c, kernel_h, kernel_w)


def _window(attributes: Convolution, kernel_h: int) -> RowWindow:
    return RowWindow(
        attributes.stride_h, attributes.padding.top, (kernel_h - 1) * attributes.dilation_h + 1
    )


EIGHTS_PAY = 8192  # MACs of a batch from which eight channels at a time are worth their code


def _banded(window: RowWindow, rows: object) -> RowWindow:
    """What output rows read that are computed so many at a time: each what those before it read."""
    assert isinstance(rows, int)
    before = (rows - 1) * window.stride
    return RowWindow(window.stride, window.before + before, window.size + before)


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
    numbers = requantization(op, real, bias, matrix, x.zero_point)
    output = output_fields(out, op.attributes.activation)
    blocks = blocks_of(matrix, numbers, output)
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "batches": batches,
        "in_c": in_c,
        "out_c": out_c,
        **output,
        "tiles": int(blocks.tiled and in_c % 4 == 0),
        "fast_requantize": blocks.fast,
        "joined": blocks.joined,
        "blocks": pack_blocks(blocks),
    }
    kernel = Kernel(
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
                literals=("tiles",),
            ),
        ),
        macs=batches * matrix.size,
        band="whole",
        as_reducer=_fully_connected_rows(graph, op, matrix, numbers) if batches == 1 else None,
    )
    if not fields["tiles"] or out_c < 8 or out_c % 8 > 4 or matrix.size < EIGHTS_PAY:
        return kernel
    eights = replace(
        kernel.calls[0],
        function="tn_fully_connected_eights_s8",
        fields={**fields, "blocks": pack_eights(blocks)},
        literals=(),
    )
    widened = replace(eights, function="tn_fully_connected_widened_s8", scratch=True)
    kernel = replace(kernel, calls=(eights,))
    faster = replace(kernel, form="widened", calls=(widened,), scratch_bytes=2 * in_c)
    return replace(kernel, faster=(faster,))


def _fully_connected_rows(
    graph: Graph, op: Operator, matrix: NDArray[np.int8], numbers: Requantization
) -> Kernel | None:
    """The operator as a reducer, where its input is the bytes of a tensor of several rows."""
    assert isinstance(op.attributes, Activation)
    source, out = _reshaped(graph, op.inputs[0]), graph.tensors[op.outputs[0]]
    if source.rows < 2 or source.data is not None:
        return None
    output = output_fields(out, op.attributes.activation)
    blocks = blocks_of(matrix.reshape(len(matrix), source.rows, -1), numbers, output)
    ends, weights = pack_row_blocks(blocks)
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "rows": source.rows,
        "row_bytes": source.row_bytes,
        "out_c": len(matrix),
        **output,
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
