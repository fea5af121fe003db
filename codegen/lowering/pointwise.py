"""CONV_2D of 1x1 filters at stride 1: see runtime/tn_pointwise_conv_2d.h."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Convolution, Graph, Operator, Padding
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering.packing import (
    Requantization,
    blocks_of,
    output_fields,
    pack_blocks,
    pad4,
    straight_code,
    straight_form,
)

FEW_WORDS = 8  # of a pixel's inputs: a straight tile takes little code
MOST_WORDS = 64


def pointwise_scratch(k: int, tiles: int) -> int:
    """TN_POINTWISE_SCRATCH: one column of bytes, or two widened."""
    return k if tiles < 2 else 4 * k


def is_pointwise(attributes: Convolution, kernel_h: int, kernel_w: int) -> bool:
    strides = attributes.stride_h, attributes.stride_w
    return (kernel_h, kernel_w, *strides) == (1,) * 4 and attributes.padding == Padding()


def pointwise_conv_2d(
    graph: Graph, op: Operator, matrix: NDArray[np.int8], requantization: Requantization
) -> Kernel:
    """The convolution of `op` with weights [O, I], in all its forms."""
    out = graph.tensors[op.outputs[0]]
    attributes = op.attributes
    assert isinstance(attributes, Convolution)
    out_c, in_c = matrix.shape
    output = output_fields(out, attributes.activation)
    padded = np.zeros((out_c, pad4(in_c)), np.int8)
    padded[:, :in_c] = matrix
    blocks = blocks_of(padded, requantization, output)
    fields: dict[str, int | Constant | tuple[int, ...]] = {
        "in_c": in_c,
        "out_w": out.shape[2],
        "out_c": out_c,
        "groups": pad4(in_c) // 4,
        **output,
        "words": int(in_c % 4 == 0),
        "tiles": 2 * blocks.tiled,
        "fast_requantize": blocks.fast,
        "joined": blocks.joined,
        "blocks": pack_blocks(blocks),
    }
    call = Call(
        function="tn_pointwise_conv_2d_s8",
        header="tn_pointwise_conv_2d.h",
        layer_type="tn_pointwise_conv_2d",
        fields=fields,
        inputs=(0,),
        literals=("words", "tiles"),
        scratch=True,
    )
    kernel = Kernel(
        name=op.name,
        kind=op.kind,
        reads=(Read(op.inputs[0], RowWindow(1, 0, 1), Overlap("elements", in_c, out_c)),),
        output=op.outputs[0],
        calls=(call,),
        scratch_bytes=pointwise_scratch(pad4(in_c), 2 * blocks.tiled),
        macs=out.elements * in_c,
    )
    if not blocks.tiled:
        return kernel
    small = replace(
        kernel,
        calls=(replace(call, fields={**fields, "tiles": 1}),),
        scratch_bytes=pointwise_scratch(pad4(in_c), tiles=1),
    )
    kernel = replace(kernel, with_less_scratch=small)
    words, is_long = in_c // 2, straight_form(blocks, output)
    if in_c % 4 or out_c % 4 or is_long is None or words > MOST_WORDS:
        return kernel
    straight = replace(
        call,
        function="tn_straight_conv_2d_s8",
        numbers=(words, is_long),
        assembly=straight_code(words),
    )
    if words <= FEW_WORDS and not is_long:
        return replace(kernel, calls=(straight,))
    form = replace(
        kernel,
        form="straight",
        calls=(straight,),
        reads=(replace(kernel.reads[0]),),
        with_less_scratch=None,
    )
    return replace(kernel, faster=(form,))
