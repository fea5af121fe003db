"""What moves, picks or joins values: views cost nothing until an operator needs another order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch.fx import Node

from thumbnet.codegen.frontends.pytorch.aten import arguments_of, operator_of
from thumbnet.codegen.frontends.pytorch.builder import Builder, Step, Value
from thumbnet.codegen.frontends.pytorch.layout import (
    Form,
    form_of,
    layout_of,
    natural,
    permuted,
    reshaped,
    shape_of,
    usual,
)
from thumbnet.codegen.frontends.pytorch.operators import NOTHING, PERMUTING, RESHAPING, factor_of
from thumbnet.codegen.graph import Concatenation, Pad, Slice


def lower_view(build: Builder, step: Step) -> Value:
    return _viewed(build, step, _input(step), step.shape)


def lower_permutation(build: Builder, step: Step) -> Value:
    x = _input(step)
    rank = len(x.shape)
    order = _order(step, rank)
    return replace(x, layout=permuted(x.layout, order))


def lower_nothing(build: Builder, step: Step) -> Value:
    return _input(step)


def lower_channel_shuffle(build: Builder, step: Step) -> Value:
    x, groups = _input(step), int(step.arguments["groups"])
    n, c, *rest = x.shape
    cut = _viewed(build, step, x, (n, groups, c // groups, *rest))
    swapped = replace(cut, layout=permuted(cut.layout, [0, 2, 1, *range(3, 3 + len(rest))]))
    return _viewed(build, step, swapped, x.shape)


def lower_pixel_shuffle(build: Builder, step: Step) -> Value:
    x, r = _input(step), int(step.arguments["upscale_factor"])
    n, c, h, w = x.shape
    cut = _viewed(build, step, x, (n, c // (r * r), r, r, h, w))
    woven = replace(cut, layout=permuted(cut.layout, [0, 1, 4, 2, 5, 3]))
    return _viewed(build, step, woven, step.shape)


def lower_slice(build: Builder, step: Step) -> Value:
    x, a = _input(step), step.arguments
    dim = int(a["dim"]) % len(x.shape)
    if "length" in a:
        start = int(a["start"]) % x.shape[dim]
        return picked(build, step, x, dim, range(start, start + int(a["length"])))
    chosen = slice(a["start"], a["end"], a["step"])
    return picked(build, step, x, dim, range(x.shape[dim])[chosen])


def lower_select(build: Builder, step: Step) -> Value:
    x = _input(step)
    dim = int(step.arguments["dim"]) % len(x.shape)
    index = int(step.arguments["index"]) % x.shape[dim]
    return _squeezed(picked(build, step, x, dim, range(index, index + 1)), dim)


def lower_item(build: Builder, step: Step, source: Node, operands: Mapping[Node, Any]) -> Value:
    """One result of chunk, split or unbind of `source`'s argument, or of a pool's two."""
    a, index = arguments_of(source), int(step.node.args[1])
    x = operands[source.args[0]]
    assert isinstance(x, Value)
    dim = int(a["dim"]) % len(x.shape)
    length, name = x.shape[dim], operator_of(source)
    if name == "unbind":
        return _squeezed(picked(build, step, x, dim, range(index, index + 1)), dim)
    if name == "chunk":
        size = -(-length // int(a["chunks"]))
        sizes = [size] * int(a["chunks"])
    else:
        given: Any = a.get("split_sizes", a.get("split_size"))
        sizes = [given] * -(-length // given) if isinstance(given, int) else list(given)
    begin = sum(sizes[:index])
    return picked(build, step, x, dim, range(begin, min(begin + sizes[index], length)))


def lower_pad(build: Builder, step: Step) -> Value:
    """Constant padding; zeros are the zero point, other values the nearest integer."""
    x = _input(step)
    rank, pads = len(x.shape), list(step.arguments["pad"])
    form = form_of(x.layout) or usual(rank)
    pairs = [(0, 0)] * rank
    for i in range(len(pads) // 2):
        pairs[rank - 1 - i] = (pads[2 * i], pads[2 * i + 1])
    value = float(step.arguments["value"] or 0) / float(x.scale)
    integer = int(np.clip(np.rint(value) + x.zero_point, -128, 127))
    before, after = (tuple(pairs[d][i] if d >= 0 else 0 for d in form) for i in (0, 1))
    source = build.as_form(step, x, form)
    attributes = Pad(before, after, integer)
    made = build.in_form(step, "PAD", (source,), form, attributes, (x.scale, x.zero_point))
    return build.requantized(step, made, step.scale, step.zero_point)


def lower_concatenation(build: Builder, step: Step) -> Value:
    """All inputs on the scale of the result."""
    values = [step.operands.get(t) for t in step.arguments["tensors"]]
    if not all(isinstance(v, Value) for v in values):
        raise step.refused("a constant cannot be concatenated; add it or pad instead")
    rank = len(step.shape)
    found = [form_of(v.layout) for v in values if isinstance(v, Value)]
    form: Form = next((f for f in found if f is not None), usual(rank))
    names = [
        build.as_form(step, build.requantized(step, v, step.scale, step.zero_point), form)
        for v in values
        if isinstance(v, Value)
    ]
    axis = form.index(int(step.arguments["dim"]) % rank)
    return build.in_form(step, "CONCATENATION", names, form, Concatenation(axis))


def lower_multiple(build: Builder, step: Step) -> Value:
    """The input times a positive number: the same integers on another scale."""
    x, factor = _input(step), factor_of(step.node)
    assert factor is not None
    return replace(x, scale=np.float32(float(x.scale) * factor))


MOVEMENTS: dict[str, Callable[[Builder, Step], Value]] = {
    **dict.fromkeys(RESHAPING, lower_view),
    **dict.fromkeys(PERMUTING, lower_permutation),
    **dict.fromkeys(NOTHING, lower_nothing),
    **dict.fromkeys(("to", "_to_copy", "type_as", "expand", "expand_as"), lower_nothing),
    "channel_shuffle": lower_channel_shuffle,
    "pixel_shuffle": lower_pixel_shuffle,
    "slice": lower_slice,
    "narrow": lower_slice,
    "select": lower_select,
    "mul": lower_multiple,
    "div": lower_multiple,
}


# ---- parts ---------------------------------------------------------------------------------


def picked(build: Builder, step: Step, x: Value, dim: int, chosen: range) -> Value:
    """The indices `chosen` along a dimension."""
    if chosen == range(x.shape[dim]):
        return x
    if not len(chosen):
        raise step.refused("an empty slice")
    form = form_of(x.layout) or usual(len(x.shape))
    axis = form.index(dim)
    source = build.as_form(step, x, form)
    full = build.tensors[source].shape
    begin = tuple(chosen.start if i == axis else 0 for i in range(len(full)))
    size = tuple(len(chosen) if i == axis else n for i, n in enumerate(full))
    stride = tuple(chosen.step if i == axis else 1 for i in range(len(full)))
    shape = tuple(len(chosen) if d == dim else n for d, n in enumerate(x.shape))
    return build.emit(
        step, "SLICE", (source,), shape_of(shape, form), layout_of(shape, form),
        Slice(begin, size, stride), (x.scale, x.zero_point),
    )  # fmt: skip


def _input(step: Step) -> Value:
    return step.value("self" if "self" in step.arguments else "input")


def _viewed(build: Builder, step: Step, x: Value, shape: Sequence[int]) -> Value:
    layout = reshaped(x.layout, shape)
    if layout is not None:
        return replace(x, layout=layout)
    # the new dimensions cut across the old: lay the elements out as PyTorch has them
    rank = len(x.shape)
    tensor = build.as_form(step, x, natural(rank))
    return replace(x, tensor=tensor, layout=layout_of(shape, natural(len(shape))))


def _squeezed(x: Value, dim: int) -> Value:
    dims = (*x.layout.dims[:dim], *x.layout.dims[dim + 1 :])
    return replace(x, layout=replace(x.layout, dims=dims))


def _order(step: Step, rank: int) -> list[int]:
    a, order = step.arguments, list(range(rank))
    if "dims" in a:
        return [int(d) % rank for d in a["dims"]]
    if "source" in a:  # movedim
        return _moved(order, a["source"], a["destination"])
    i = int(a.get("dim0", a.get("axis0", 0))) % rank
    j = int(a.get("dim1", a.get("axis1", 1))) % rank
    order[i], order[j] = order[j], order[i]
    return order


def _moved(order: list[int], source: Any, destination: Any) -> list[int]:
    rank = len(order)
    sources = [s % rank for s in ([source] if isinstance(source, int) else source)]
    targets = [d % rank for d in ([destination] if isinstance(destination, int) else destination)]
    rest = [d for d in order if d not in sources]
    for target, moved in sorted(zip(targets, sources, strict=True)):
        rest.insert(target, moved)
    return rest
