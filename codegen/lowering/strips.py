"""CONV_2D of few input channels by strips: see runtime/tn_strip_conv_2d.h."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Convolution, Graph, Operator
from thumbnet.codegen.kernel import Call, Constant, Kernel
from thumbnet.codegen.lowering.packing import (
    NATURAL_ORDER,
    Blocks,
    Requantization,
    blocks_of,
    output_fields,
    pack_words,
    pad4,
    straight_code,
    straight_form,
    unrolled,
)

MOST_CHANNELS = 3  # of the input
MOST_ROWS = {1: 15, 2: 15, 3: 10}  # of the kernel, by channels of the input
MOST_WORDS = 32  # of the inputs of a pixel
STRIP_BYTES = 768  # unless two pixels take more


def strip_scratch(kernel_h: int, kernel_w: int, stride_w: int, in_c: int, span: int) -> int:
    """TN_STRIP_SCRATCH."""
    words = (kernel_h * kernel_w * in_c + 1) // 2
    return 4 * kernel_h + (span - 1) * 2 * kernel_h * stride_w * in_c + 4 * words


def _span(scratch: list[int]) -> int:
    """How many pixels of a row, of which 2, 3, ... take so much scratch, are one strip: all, or an
    even number."""
    out_w = len(scratch) + 1
    if scratch[-1] <= STRIP_BYTES:
        return out_w
    most = max([2, *(2 + i for i, n in enumerate(scratch) if n <= STRIP_BYTES and i % 2 == 0)])
    return 2 * -(-out_w // (2 * -(-out_w // most)))


def with_strips(
    kernel: Kernel,
    graph: Graph,
    op: Operator,
    data: NDArray[np.int8],
    requantization: Requantization,
) -> Kernel:
    """The CONV_2D `kernel` of weights `data` [O, KH, KW, I], by strips where that can be."""
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    attributes = op.attributes
    assert isinstance(attributes, Convolution)
    out_c, kernel_h, kernel_w, in_c = data.shape
    out_w, stride_w = out.shape[2], attributes.stride_w
    words = -(-kernel_h * kernel_w * in_c // 2)
    apart = 2 * kernel_h * stride_w * in_c
    if (
        in_c > MOST_CHANNELS
        or kernel_h > MOST_ROWS[in_c]
        or not 2 <= words <= MOST_WORDS
        or apart % 4
        or out_w < 2
        or out_c % 4
        or attributes.dilation_w != 1
    ):
        return kernel
    output = output_fields(out, attributes.activation)

    def blocks_for(data: NDArray[np.int8]) -> Blocks:
        matrix = data.transpose(0, 2, 1, 3).reshape(out_c, -1)
        padded = np.zeros((out_c, pad4(matrix.shape[1])), np.int8)
        padded[:, : matrix.shape[1]] = matrix
        in_order = padded.reshape(out_c, -1, 4)[..., NATURAL_ORDER].reshape(out_c, -1)
        return blocks_of(in_order, requantization, output)

    blocks = blocks_for(data)
    is_long = straight_form(blocks, output)
    if is_long is None:
        return kernel
    scratch = [strip_scratch(kernel_h, kernel_w, stride_w, in_c, n) for n in range(2, out_w + 1)]
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "in_h": x.shape[1],
        "in_w": x.shape[2],
        "in_c": in_c,
        "out_w": out_w,
        "out_c": out_c,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "stride_h": attributes.stride_h,
        "stride_w": stride_w,
        "dilation_h": attributes.dilation_h,
        "pad_top": attributes.padding.top,
        "pad_left": attributes.padding.left,
        "span": 0,
        "in_zero_point": x.zero_point,
        "out_zero_point": out.zero_point,
        "turned": 0,
        "blocks": pack_words(blocks, words),
    }
    whole = dict(fields)  # of strips that are whole rows
    if kernel_h == attributes.stride_h + 1 and attributes.dilation_h == 1:
        both = [pack_words(blocks_for(taps), words).data for taps in (data, data[:, ::-1])]
        whole |= {"turned": both[0].nbytes, "blocks": Constant("int8_t", np.concatenate(both))}
    turn = 1 if is_long else unrolled(words, out_c)
    code = straight_code(words)

    def form(span: int, turn: int = 1) -> Kernel:
        numbers = words, apart, in_c, kernel_h, span % 2
        of_tile: tuple[int, ...] = (is_long,)
        if turn == 1:
            function, tile = "tn_strip_conv_2d_s8", "TN_STRIP_TILE"
        else:
            function, tile = "tn_unrolled_strip_conv_2d_s8", "TN_UNROLLED_STRIP_TILE"
            of_tile = (out_c, turn)
        call = Call(
            function=function,
            header="tn_strip_conv_2d.h",
            layer_type="tn_strip_conv_2d",
            fields={**(whole if span == out_w else fields), "span": span},
            inputs=(0,),
            literals=("in_c", "kernel_h", "kernel_w", "stride_w"),
            scratch=True,
            numbers=(*numbers, *of_tile),
            parts=(
                ("TN_STRIP_FILL", (in_c, kernel_h)),
                (tile, (words, apart, *of_tile)),
                *[("TN_STRIP_SINGLE", (words, is_long))] * (span % 2),
            ),
            assembly=turn * code + span % 2 * code * 3 // 4,
        )
        return replace(
            kernel,
            calls=(call,),
            reads=(replace(kernel.reads[0]),),
            scratch_bytes=scratch[span - 2],
            with_less_scratch=None,
        )

    span = _span(scratch)
    forms = [] if span == out_w else [replace(form(out_w), form="whole rows")]
    if turn > 1:
        forms.append(replace(form(out_w, turn), form="whole rows, unrolled"))
    return replace(
        form(span), with_less_scratch=kernel.with_less_scratch or kernel, faster=tuple(forms)
    )
