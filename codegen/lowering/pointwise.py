"""CONV_2D of 1x1 filters at stride 1: see runtime/tn_pointwise_conv_2d.h."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Convolution, Graph, Operator, Padding
from thumbnet.codegen.kernel import Call, Constant, Kernel, Overlap, Read, RowWindow
from thumbnet.codegen.lowering.packing import (
    NATURAL_ORDER,
    Requantization,
    blocks_of,
    output_fields,
    pack_blocks,
    pad4,
    straight_code,
    straight_form,
    unrolled,
)

MOST_WIDENED_WORDS = 128
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
    out, attributes = graph.tensors[op.outputs[0]], op.attributes
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
    if in_c % 4 or out_c % 4 or is_long is None:
        return kernel
    kernel = replace(kernel, widened_input=_over_widened(kernel, matrix, requantization, output))
    if words > MOST_WORDS:
        return kernel
    straight = replace(
        call,
        function="tn_straight_conv_2d_s8",
        numbers=(words, is_long),
        parts=(("TN_POINTWISE_TILE", (words, is_long)),),
        assembly=straight_code(words),
    )
    if words <= FEW_WORDS and not is_long:
        kernel, forms = replace(kernel, calls=(straight,)), []
    else:
        forms = [_form(kernel, "straight", straight)]
    turn = unrolled(words, out_c)
    if not is_long and turn > 1:
        numbers = (words, out_c, turn)
        several = replace(
            straight,
            function="tn_unrolled_conv_2d_s8",
            numbers=numbers,
            parts=(("TN_UNROLLED_POINTWISE_TILE", numbers),),
            assembly=turn * straight_code(words),
        )
        forms.append(_form(kernel, "unrolled", several))
    return replace(kernel, faster=tuple(forms))


def _form(usual: Kernel, name: str, call: Call) -> Kernel:
    return replace(
        usual,
        form=name,
        calls=(call,),
        reads=(replace(usual.reads[0]),),
        with_less_scratch=None,
        widened_input=None,
    )


def _over_widened(
    usual: Kernel, matrix: NDArray[np.int8], requantization: Requantization, output: dict[str, int]
) -> Kernel | None:
    """The kernel of tn_widened_conv_2d.h, of weights [O, I]."""
    out_c, in_c = matrix.shape
    words = in_c // 2
    in_order = matrix.reshape(out_c, -1, 4)[..., NATURAL_ORDER].reshape(out_c, -1)
    blocks = blocks_of(in_order, requantization, output)
    is_long, out_w = straight_form(blocks, output), usual.calls[0].fields["out_w"]
    assert is_long is not None and isinstance(out_w, int)
    if words > MOST_WIDENED_WORDS:
        return None
    apart, odd, turn = 4 * words, out_w % 2, unrolled(words, out_c)
    single = [("TN_STRIP_SINGLE", (words, is_long))] * odd
    if is_long or turn == 1:
        function = "tn_widened_conv_2d_s8"
        last: tuple[int, ...] = (is_long,)
        tile: tuple[str, tuple[int, ...]] = "TN_STRIP_TILE", (words, apart, is_long)
    else:
        function, last = "tn_unrolled_widened_conv_2d_s8", (out_c, turn)
        tile = "TN_UNROLLED_STRIP_TILE", (words, apart, out_c, turn)
    return replace(
        usual,
        form="int16",
        reads=(Read(usual.reads[0].tensor, RowWindow(1, 0, 1)),),
        calls=(
            Call(
                function=function,
                header="tn_widened_conv_2d.h",
                layer_type="tn_widened_conv_2d",
                fields={
                    "in_c": in_c,
                    "out_w": out_w,
                    "out_c": out_c,
                    "out_zero_point": output["out_zero_point"],
                    "blocks": pack_blocks(blocks),
                },
                inputs=(0,),
                numbers=(words, apart, odd, *last),
                parts=(tile, *single),
                assembly=turn * straight_code(words),
            ),
        ),
        scratch_bytes=0,
        with_less_scratch=None,
    )
