"""Kernels of cost graphs, lowered once for each geometry.

A search asks for thousands of networks that are made of the same few hundred layers. Their kernels
differ in names and in what their constants hold, which costs do not depend on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from thumbnet.codegen.flash import TRAINED
from thumbnet.codegen.graph import Graph, Operator, Tensor
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.lowering.registry import lower_all

MOST_KNOWN = 10_000
# By what a lowering looks at: names and tensors of an operator, and its kernel. The tensors are
# kept so that the identities of what they hold, which are part of the key, stay theirs.
_known: dict[tuple[object, ...], tuple[tuple[str, ...], list[Tensor], Kernel]] = {}


def lower_known(graph: Graph, operators: Sequence[Operator]) -> list[Kernel]:
    """`registry.lower_all` for graphs of `cost_graph`, streamed or not; weights and biases in the
    kernels are those of any operator of equal shapes. Raises UnsupportedError."""
    return [_lowered(graph, op) for op in operators]


def _lowered(graph: Graph, op: Operator) -> Kernel:
    names = (*op.inputs, *op.outputs)
    tensors = [graph.tensors[name] for name in names if name]
    trained = op.kind in TRAINED
    facts = (
        (t.shape, t.dtype, id(t.quantization), t.data is None if trained else id(t.data))
        for t in tensors
    )
    key = (op.kind, op.attributes, *map(names.index, names), *facts)
    found = _known.get(key)
    if found is None:
        (kernel,) = lower_all(graph, [op])
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[key] = names, tensors, kernel
        return kernel
    known_names, _, kernel = found
    return _renamed(kernel, op.name, dict(zip(known_names, names, strict=True)))


def _renamed(kernel: Kernel, name: str, new: Mapping[str, str]) -> Kernel:
    """The kernel of an operator of the same geometry, in all its forms."""
    other, less = kernel.as_reducer, kernel.with_less_scratch
    return replace(
        kernel,
        name=name,
        reads=tuple([replace(read, tensor=new[read.tensor]) for read in kernel.reads]),
        output=new[kernel.output],
        as_reducer=None if other is None else _renamed(other, name, new),
        with_less_scratch=None if less is None else _renamed(less, name, new),
        faster=tuple([_renamed(form, name, new) for form in kernel.faster]),
    )
