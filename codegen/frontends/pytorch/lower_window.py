"""Pools, reductions and resizing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.frontends.pytorch.aten import operator_of
from thumbnet.codegen.frontends.pytorch.builder import Builder, Step, Value
from thumbnet.codegen.frontends.pytorch.layout import (
    Form,
    Layout,
    form_of,
    image,
    layout_of,
    shape_of,
    usual,
)
from thumbnet.codegen.frontends.pytorch.lower_convolution import needed_after, spread
from thumbnet.codegen.graph import Pad, Padding, Pool, Reduce, Resize

Scale = tuple[np.float32, int]


def lower_max_pool(build: Builder, step: Step) -> Value:
    x = _input(step)
    pool = _pool(step, x.shape, spread(step.arguments["padding"], len(x.shape) - 2))
    return _pooled(build, step, "MAX_POOL_2D", x, pool)


def lower_adaptive_max_pool(build: Builder, step: Step) -> Value:
    return _pooled(build, step, "MAX_POOL_2D", _input(step), _dividing(step, _input(step)))


def lower_amax(build: Builder, step: Step) -> Value:
    """The maximum over all of an image, as one pool."""
    x = _input(step)
    rank = len(x.shape)
    dims = sorted(int(d) % rank for d in spread(step.arguments["dim"], 1))
    if rank not in (3, 4) or dims != list(range(2, rank)):
        raise step.refused("only over the whole image; use nn.AdaptiveMaxPool2d(1)")
    sizes = [*x.shape[2:], *([1] * (4 - rank))]
    whole = replace(step, shape=(*x.shape[:2], *([1] * (rank - 2))))
    made = _pooled(build, whole, "MAX_POOL_2D", x, Pool(sizes[0], sizes[1], 1, 1))
    keep = bool(step.arguments["keepdim"])
    return made if keep else replace(made, layout=_without(made.layout, dims))


def lower_average_pool(build: Builder, step: Step) -> Value:
    """Padding that counts becomes a PAD before the pool; what ceil_mode adds does not count."""
    x = _input(step)
    count = len(x.shape) - 2
    padding = spread(step.arguments["padding"], count)
    if any(padding) and step.arguments["count_include_pad"]:
        x = _padded(build, step, x, padding)
        padding = [0] * count
    made = _pooled(build, step, "AVERAGE_POOL_2D", x, _pool(step, x.shape, padding))
    return build.requantized(step, made, step.scale, step.zero_point)


def lower_adaptive_average_pool(build: Builder, step: Step) -> Value:
    """To one pixel it is a MEAN; to sizes that divide the image's an AVERAGE_POOL_2D."""
    x = _input(step)
    if all(n == 1 for n in step.shape[2:]):
        return _reduced(build, step, "MEAN", x, tuple(range(2, len(x.shape))), keep=True)
    made = _pooled(build, step, "AVERAGE_POOL_2D", x, _dividing(step, x))
    return build.requantized(step, made, step.scale, step.zero_point)


def reduction(kind: str) -> Callable[[Builder, Step], Value]:
    """MEAN and SUM over any dimensions."""

    def lower(build: Builder, step: Step) -> Value:
        x = _input(step)
        rank = len(x.shape)
        given = step.arguments.get("dim")
        dims = range(rank) if not given and given != 0 else spread(given, 1)
        axes = tuple(sorted(int(d) % rank for d in dims))
        keep = bool(step.arguments.get("keepdim"))
        return _reduced(build, step, kind, x, axes, keep)

    return lower


def lower_nearest(build: Builder, step: Step) -> Value:
    x = _input(step)
    exact = operator_of(step.node).startswith("_upsample_nearest_exact")
    _check_factors(step, x, _nearest(exact))
    attributes = Resize(False, exact)
    return _resized(build, step, x, "RESIZE_NEAREST_NEIGHBOR", attributes)


def lower_bilinear(build: Builder, step: Step) -> Value:
    x = _input(step)
    corners = bool(step.arguments["align_corners"])
    if not corners:
        _check_factors(step, x, lambda i, factor, length: (i + 0.5) * factor - 0.5)
    made = _resized(build, step, x, "RESIZE_BILINEAR", Resize(corners, not corners))
    return build.requantized(step, made, step.scale, step.zero_point)


# ---- parts ---------------------------------------------------------------------------------


def _input(step: Step) -> Value:
    return step.value("self" if "self" in step.arguments else "input")


def _scale(x: Value) -> Scale:
    return x.scale, x.zero_point


def _pool(step: Step, shape: tuple[int, ...], padding: list[int]) -> Pool:
    """The pool of the step's arguments on PyTorch's `shape`."""
    count = len(shape) - 2
    kernel = spread(step.arguments["kernel_size"], count)
    stride = spread(step.arguments["stride"] or kernel, count)
    after = [
        needed_after(shape[2 + i], step.shape[2 + i], kernel[i], stride[i], padding[i])
        for i in range(count)
    ]
    sides = list(zip(padding, after, strict=True))
    return _made_pool(kernel, stride, sides, step.activation)


def _dividing(step: Step, x: Value) -> Pool:
    """The pool whose windows tile the image; refuses what does not divide."""
    count = len(x.shape) - 2
    kernel = []
    for length, output in zip(x.shape[2:], step.shape[2:], strict=True):
        if length % output:
            raise step.refused(
                f"to {list(step.shape[2:])} from {list(x.shape[2:])}, which it does not divide; "
                "use an output size that divides, or 1"
            )
        kernel.append(length // output)
    return _made_pool(kernel, kernel, [(0, 0)] * count, step.activation)


def _made_pool(
    kernel: list[int], stride: list[int], sides: list[tuple[int, int]], activation: str
) -> Pool:
    one = len(kernel) == 1
    return Pool(
        kernel[0],
        1 if one else kernel[1],
        stride[0],
        1 if one else stride[1],
        Padding(*sides[0], *((0, 0) if one else sides[1])),
        activation,
    )


def _pooled(build: Builder, step: Step, kind: str, x: Value, pool: Pool) -> Value:
    form = image(len(x.shape))
    source = build.as_form(step, x, form)
    return build.in_form(step, kind, (source,), form, pool, _scale(x))


def _padded(build: Builder, step: Step, x: Value, padding: list[int]) -> Value:
    """The image with zeros around it."""
    form = image(len(x.shape))
    around = (0, 0, *padding)
    before = tuple(around[d] if d >= 0 else 0 for d in form)
    shape = tuple(n + 2 * p for n, p in zip(x.shape, around, strict=True))
    wide = replace(step, shape=shape, activation="NONE")
    attributes = Pad(before, before, x.zero_point)
    source = build.as_form(step, x, form)
    return build.in_form(wide, "PAD", (source,), form, attributes, _scale(x))


def _reduced(
    build: Builder, step: Step, kind: str, x: Value, dims: tuple[int, ...], keep: bool
) -> Value:
    form: Form = form_of(x.layout) or usual(len(x.shape))
    axes = tuple(sorted(form.index(d) for d in dims))
    source = build.as_form(step, x, form)
    kept = tuple(1 if d in dims else n for d, n in enumerate(x.shape))
    layout = layout_of(kept, form)
    if not keep:
        layout = _without(layout, dims)
    return build.emit(step, kind, (source,), shape_of(kept, form), layout, Reduce(axes, True))


def _without(layout: Layout, dims: tuple[int, ...] | list[int]) -> Layout:
    """The layout without dimensions of length 1."""
    kept = tuple(dim for d, dim in enumerate(layout.dims) if d not in dims)
    return Layout(layout.sizes, kept, layout.memory)


Position = Callable[[NDArray[np.float32], np.float32, int], NDArray[np.float32]]


def _nearest(exact: bool) -> Position:
    half = np.float32(0.5 if exact else 0)
    return lambda i, factor, length: np.minimum(np.floor((i + half) * factor), length - 1)


def _check_factors(step: Step, x: Value, position: Position) -> None:
    """Refuses factors for which PyTorch reads other places than the sizes alone would tell."""
    given = step.arguments.get("scale_factors")
    if not given:
        return
    for length, output, factor in zip(x.shape[2:], step.shape[2:], given, strict=True):
        i = np.arange(output, dtype=np.float32)
        ours = position(i, np.float32(length / output), length)
        theirs = position(i, np.float32(1 / factor), length)
        if not np.allclose(ours, theirs, atol=1e-5):
            raise step.refused(
                f"scale factor {factor} of {length} gives {output}, which is no exact multiple; "
                "give size= instead"
            )


def _resized(build: Builder, step: Step, x: Value, kind: str, attributes: Resize) -> Value:
    if step.arguments.get("antialias"):
        raise step.refused("antialias is not supported")
    form = image(len(x.shape))
    source = build.as_form(step, x, form)
    return build.in_form(step, kind, (source,), form, attributes, _scale(x))
