"""Where the elements of a PyTorch tensor lie in the graph's memory.

A tensor is seen as the product of *atoms*, its axes cut as finely as the program ever cut them. A
dimension of PyTorch is a run of atoms (none: length 1); memory holds the atoms in an order of its
own. So `view`, `flatten`, `permute` and their kin only rename: the bytes of an image stay NHWC
until an operator needs another order.

A *form* is an order of PyTorch's dimensions, UNIT for an axis of length 1 that PyTorch has not: the
axes of the graph's tensor. IMAGE_2D is NHWC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

Form = tuple[int, ...]
UNIT = -1
IMAGE_2D: Form = (0, 2, 3, 1)
IMAGE_1D: Form = (0, 2, UNIT, 1)  # [N, C, L] as rows of one column


@dataclass(frozen=True)
class Layout:
    """`dims` and `memory` name atoms by their index in `sizes`; no atom has size 1."""

    sizes: tuple[int, ...]
    dims: tuple[tuple[int, ...], ...]  # of each dimension, major atom first
    memory: tuple[int, ...]  # every atom once, major first

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(prod(self.sizes[a] for a in dim) for dim in self.dims)


def natural(rank: int) -> Form:
    """PyTorch's own order."""
    return tuple(range(rank))


def image(rank: int) -> Form:
    """The form of the images of convolutions and pools: rank 3 or 4."""
    return IMAGE_1D if rank == 3 else IMAGE_2D


def usual(rank: int) -> Form:
    """The form where nothing else is known."""
    return IMAGE_2D if rank == 4 else natural(rank)


def layout_of(shape: Sequence[int], form: Form) -> Layout:
    """The layout of a fresh tensor of PyTorch's `shape` that lies in memory as `form`."""
    sizes: list[int] = []
    dims: list[tuple[int, ...]] = []
    for length in shape:
        dims.append((len(sizes),) if length != 1 else ())
        sizes += [length] if length != 1 else []
    memory = tuple(a for d in form if d != UNIT for a in dims[d])
    return Layout(tuple(sizes), tuple(dims), memory)


def atoms_of(layout: Layout, form: Form) -> tuple[int, ...]:
    """The atoms as they lie in memory when the tensor has this form."""
    return tuple(a for d in form if d != UNIT for a in layout.dims[d])


def has_form(layout: Layout, form: Form) -> bool:
    return layout.memory == atoms_of(layout, form)


def form_of(layout: Layout) -> Form | None:
    """A form that the tensor has as it lies, the usual ones first; None where it has none."""
    rank = len(layout.dims)
    candidates = [usual(rank), natural(rank), *([IMAGE_1D] if rank == 3 else [])]
    for form in candidates:
        if has_form(layout, form):
            return form
    starts = {dim[0]: d for d, dim in enumerate(layout.dims) if dim}
    order = [starts[a] for a in layout.memory if a in starts]
    form = (*(d for d, dim in enumerate(layout.dims) if not dim), *order)
    return form if has_form(layout, form) else None


def shape_of(shape: Sequence[int], form: Form) -> tuple[int, ...]:
    """The graph's shape of PyTorch's `shape`."""
    return tuple(1 if d == UNIT else shape[d] for d in form)


def permuted(layout: Layout, order: Sequence[int]) -> Layout:
    """Dimensions in another order; nothing moves."""
    return Layout(layout.sizes, tuple(layout.dims[d] for d in order), layout.memory)


def reshaped(layout: Layout, shape: Sequence[int]) -> Layout | None:
    """The same elements as dimensions `shape`; None where that cuts atoms that do not nest.

    The product of `shape` is that of the layout's own.
    """
    sizes = list(layout.sizes)
    pieces: dict[int, list[int]] = {}  # an atom that was cut -> its parts, major first
    queue = [a for dim in layout.dims for a in dim]
    dims: list[tuple[int, ...]] = []
    for length in shape:
        dim: list[int] = []
        rest = length
        while rest > 1:
            atom = queue.pop(0)
            if rest % sizes[atom]:
                if sizes[atom] % rest:
                    return None
                major, minor = len(sizes), len(sizes) + 1
                sizes += [rest, sizes[atom] // rest]
                pieces[atom] = [major, minor]
                queue.insert(0, minor)
                atom = major
            dim.append(atom)
            rest //= sizes[atom]
        dims.append(tuple(dim))

    def parts(atom: int) -> list[int]:
        return [p for piece in pieces.get(atom, []) for p in parts(piece)] or [atom]

    memory = [p for atom in layout.memory for p in parts(atom)]
    return _renumbered(sizes, dims, memory)


def _renumbered(
    sizes: Sequence[int], dims: Sequence[tuple[int, ...]], memory: Sequence[int]
) -> Layout:
    """Atoms numbered anew, those that lie and count side by side merged."""
    flat = [a for dim in dims for a in dim]
    ends = {dim[-1] for dim in dims if dim}
    after = dict(zip(memory, memory[1:], strict=False))
    merged: list[list[int]] = []
    for i, atom in enumerate(flat):
        if i and flat[i - 1] not in ends and after.get(flat[i - 1]) == atom:
            merged[-1].append(atom)
        else:
            merged.append([atom])
    number = {group[0]: i for i, group in enumerate(merged)}
    return Layout(
        tuple(prod(sizes[a] for a in group) for group in merged),
        tuple(tuple(number[a] for a in dim if a in number) for dim in dims),
        tuple(number[a] for a in memory if a in number),
    )
