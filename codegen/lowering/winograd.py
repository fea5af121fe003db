"""CONV_2D of 3x3 filters at stride 1 by Winograd's minimal filtering.

See runtime/tn_winograd_conv_2d.h. The rows of G are those of Lavin and Gray (CVPR 2016) times 2, or
for tiles of 4 times 4, 6, 6, 24, 24 and 1: whole numbers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Convolution, Graph, Operator
from thumbnet.codegen.kernel import Call, Constant, Kernel
from thumbnet.codegen.lowering.packing import Requantization, output_fields, pad4
from thumbnet.codegen.lowering.quantize import INT32_MAX

TILES = (2, 4)  # outputs a side
G = {
    2: np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]),
    4: np.array([[1, 0, 0], [-1, -1, -1], [-1, 1, -1], [1, 2, 4], [1, -2, 4], [0, 0, 1]]),
}
FACTOR = {2: 4, 4: 576}  # of a sum, in the outputs of a tile
_ORDER = np.array([[0, 2], [1, 3]])  # of four input channels: the pairs of words


def winograd_scratch(tile: int, in_w: int, in_c: int, out_w: int) -> int:
    """TN_WINOGRAD_SCRATCH."""
    lines, columns = tile + 2, -(-out_w // tile) * tile + 2
    pair = 4 * lines * lines * (in_c + 8) + 8 * tile * tile
    return pair + 2 * lines * columns * in_c + in_w * in_c


def transformed(data: NDArray[np.int8], tile: int) -> NDArray[np.int64]:
    """Weights [O, 3, 3, I] -> G w G' [O, tile + 2, tile + 2, I]."""
    g = G[tile]
    return np.einsum("ay,oyxi,bx->oabi", g, data.astype(np.int64), g)


def with_winograd(
    kernel: Kernel,
    graph: Graph,
    op: Operator,
    data: NDArray[np.int8],
    requantization: Requantization,
) -> Kernel:
    """The CONV_2D `kernel` of weights `data` [O, KH, KW, I] with its forms by Winograd, if any."""
    attributes = op.attributes
    assert isinstance(attributes, Convolution)
    strides = (attributes.stride_h, attributes.stride_w, attributes.dilation_h)
    if (
        data.shape[1:3] != (3, 3)
        or data.shape[3] % 4
        or (*strides, attributes.dilation_w) != ((1,) * 4)
        or not requantization.fast
    ):
        return kernel
    forms = [_form(kernel, graph, op, data, requantization, tile) for tile in TILES]
    return replace(kernel, faster=tuple(form for form in forms if form is not None))


def _form(
    kernel: Kernel,
    graph: Graph,
    op: Operator,
    data: NDArray[np.int8],
    requantization: Requantization,
    tile: int,
) -> Kernel | None:
    """None where 16 bits would not hold a weight or 32 bits a sum, inputs being 0 to 255."""
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    assert isinstance(op.attributes, Convolution)
    weights, wide = transformed(data, tile), data.astype(np.int64).reshape(len(data), -1)
    most = 255 * np.maximum(wide.clip(min=0).sum(axis=1), -wide.clip(max=0).sum(axis=1))
    if np.any(abs(weights) >= 2**15) or np.any(FACTOR[tile] * most > INT32_MAX):
        return None
    bias = (requantization.bias - 128 * wide.sum(axis=1)).astype(np.int64)  # of inputs x + 128
    numbers = np.tile(np.array([[0, 0, 1]]), (pad4(len(data)), 1))
    for i, each in enumerate((bias, requantization.multiplier, requantization.shift)):
        numbers[: len(data), i] = each
    activation = op.attributes.activation
    call = Call(
        function="tn_winograd_conv_2d_s8",
        header="tn_winograd_conv_2d.h",
        layer_type="tn_winograd_conv_2d",
        fields={
            "in_h": x.shape[1],
            "in_w": x.shape[2],
            "in_c": x.shape[3],
            "out_w": out.shape[2],
            "out_c": len(data),
            "pad_top": op.attributes.padding.top,
            "pad_left": op.attributes.padding.left,
            "in_zero_point": x.zero_point,
            **output_fields(out, activation),
            "tile": tile,
            "weights": Constant("uint32_t", _packed(weights)),
            "numbers": Constant(
                "int32_t", (numbers & 0xFFFFFFFF).astype("<u4").view("<i4").ravel()
            ),
        },
        inputs=(0,),
        literals=("in_c", "tile"),
        scratch=True,
    )
    scratch = winograd_scratch(tile, x.shape[2], x.shape[3], out.shape[2])
    return replace(
        kernel,
        form=f"winograd {tile}x{tile}",
        calls=(call,),
        reads=(replace(kernel.reads[0]),),
        scratch_bytes=scratch,
        with_less_scratch=None,
    )


def _packed(weights: NDArray[np.int64]) -> NDArray[np.uint32]:
    """[O, P, P, I] -> words of blocks of four O, positions, pairs of I, four O."""
    out_c, lines, _, in_c = weights.shape
    padded = np.zeros((pad4(out_c), lines * lines, in_c // 4, 4), np.int64)
    padded[:out_c] = weights.reshape(out_c, lines * lines, in_c // 4, 4)
    pairs = padded[..., _ORDER].reshape(-1, 4, lines * lines, in_c // 2, 2) & 0xFFFF
    words = pairs[..., 0] | pairs[..., 1] << 16
    return words.transpose(0, 2, 3, 1).astype("<u4").reshape(-1)
