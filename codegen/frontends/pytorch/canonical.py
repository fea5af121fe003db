"""Rewrites of a captured graph that say the same with fewer operators, before it is annotated."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.frontends.pytorch.aten import arguments_of, describe, in_place, operator_of
from thumbnet.codegen.frontends.pytorch.operators import (
    NOTHING,
    PERMUTING,
    PICKING,
    RESHAPING,
    is_folded,
)


@dataclass(frozen=True)
class Make:
    """Adds nodes that take the place of `node`, with its module and the shapes that they have."""

    graph: Graph
    node: Node

    def __call__(self, target: torch._ops.OpOverload, *args: Any) -> Node:
        made = self.graph.call_function(target, args)
        made.meta = dict(self.node.meta)
        made.meta["val"] = target(*map_arg(args, _fake_value))
        return made

    def constant(self, name: str, value: torch.Tensor) -> Node:
        made = self.graph.get_attr(name)
        mode = self.node.meta["val"].fake_mode
        made.meta["val"] = mode.from_tensor(value)
        return made


def _fake_value(node: Node) -> Any:
    """The tensor without data that tracing left; observers, which have none, change no shape."""
    while "val" not in node.meta:
        node = node.all_input_nodes[0]
    return node.meta["val"]


_ATEN = torch.ops.aten
_ALIASING = RESHAPING | PERMUTING | PICKING | (NOTHING - {"clone", "lift_fresh_copy"})


def canonicalize(model: GraphModule) -> GraphModule:
    """In place: no operator writes into its input, constants are computed, batch norms have a scale
    and a shift, and SiLU and Hardsigmoid are spelled out.

    Raises UnsupportedError where a write cannot be undone.
    """
    _functionalize(model.graph)
    _fold_constants(model)
    _multiply_by_inverses(model)
    _complete_batch_norms(model)
    for node in list(model.graph.nodes):
        rewrite = _REWRITES.get(operator_of(node))
        if node.op == "call_function" and rewrite is not None:
            _replace(model.graph, node, rewrite)
    model.graph.eliminate_dead_code()
    model.recompile()
    return model


# ---- writes in place -----------------------------------------------------------------------


def _functionalize(graph: Graph) -> None:
    """relu_(x) becomes relu(x), and whoever reads x afterwards reads the result."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.op != "call_function" or not in_place(node):
            continue
        written = node.args[0]
        assert isinstance(written, Node)
        if operator_of(node) not in NOTHING and _seen_through_views(written, order, order[node]):
            raise UnsupportedError(
                f"{describe(node)}: writes into a tensor that is read later through a view; "
                "use the operator that returns a new tensor"
            )
        node.target = _functional(node)
        later = [user for user in written.users if order.get(user, -1) > order[node]]
        for user in later:
            user.replace_input_with(written, node)


def _functional(node: Node) -> torch._ops.OpOverload:
    target = node.target
    assert isinstance(target, torch._ops.OpOverload)
    packet = getattr(_ATEN, operator_of(node), None)
    overload = getattr(packet, target._overloadname, None) if packet is not None else None
    if overload is None:
        raise UnsupportedError(f"{describe(node)}: writes in place; use what returns a new tensor")
    assert isinstance(overload, torch._ops.OpOverload)
    return overload


def _seen_through_views(node: Node, order: dict[Node, int], moment: int) -> bool:
    """Whether another view of the same memory is read after the moment."""

    def aliases(n: Node) -> bool:
        return n.op == "call_function" and operator_of(n) in _ALIASING

    base = node
    while aliases(base):
        base = base.all_input_nodes[0]
    stack, others = [base], set()
    while stack:
        n = stack.pop()
        others.add(n)
        stack += [user for user in n.users if aliases(user) and user not in others]
    others.discard(node)
    return any(order.get(user, -1) > moment for n in others for user in n.users)


# ---- constants -----------------------------------------------------------------------------


def _fold_constants(model: GraphModule) -> None:
    """What depends on no input becomes a buffer, except what is still being trained."""
    values: dict[Node, torch.Tensor] = {}
    for node in list(model.graph.nodes):
        if node.op == "get_attr":
            value = operator.attrgetter(str(node.target))(model)
            if isinstance(value, torch.Tensor) and not (value.requires_grad and model.training):
                values[node] = value
        elif _is_pure(node) and all(n in values for n in node.all_input_nodes):
            with torch.no_grad():
                arguments = map_arg((node.args, node.kwargs), lambda n: values[n])
                value = node.target(*arguments[0], **arguments[1])
            if not isinstance(value, torch.Tensor):
                continue
            name = f"_folded_{node.name}"
            model.register_buffer(name, value.detach().clone())
            with model.graph.inserting_before(node):
                made = model.graph.get_attr(name)
            made.meta = dict(node.meta)
            values[made] = value
            node.replace_all_uses_with(made)
            model.graph.erase_node(node)


def _multiply_by_inverses(model: GraphModule) -> None:
    """x / constant becomes x * (1 / constant), unless it is trained or holds zeros."""
    for node in list(model.graph.nodes):
        divisor = node.args[1] if operator_of(node) == "div" and len(node.args) > 1 else None
        if not isinstance(divisor, Node) or divisor.op != "get_attr":
            continue
        value = operator.attrgetter(str(divisor.target))(model)
        trained = value.requires_grad and model.training
        if trained or arguments_of(node).get("rounding_mode") or not value.all():
            continue
        inverse = value.detach().double().reciprocal().float()
        model.register_buffer(f"_inverse_{node.name}", inverse)
        with model.graph.inserting_before(node):
            make = Make(model.graph, node)
            constant = make.constant(f"_inverse_{node.name}", inverse)
            node.replace_all_uses_with(make(_ATEN.mul.Tensor, node.args[0], constant))
        model.graph.erase_node(node)


def _is_pure(node: Node) -> bool:
    """Whether the node is an operator of aten that gives the same each time."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    chance = torch.Tag.nondeterministic_seeded in node.target.tags
    return node.target.namespace == "aten" and not chance


# ---- batch norms ---------------------------------------------------------------------------


def _complete_batch_norms(model: GraphModule) -> None:
    """A batch norm without affine parameters gets ones and zeros: torchao cannot fold it else."""
    for node in model.graph.nodes:
        if node.op != "call_function" or operator_of(node) != "batch_norm":
            continue
        mean = node.args[3]
        for place, (label, value) in ((1, ("ones", 1.0)), (2, ("zeros", 0.0))):
            if node.args[place] is not None or not isinstance(mean, Node):
                continue
            name = f"_{node.name}_{label}"
            numbers = torch.full_like(operator.attrgetter(str(mean.target))(model), value)
            model.register_buffer(name, numbers)
            with model.graph.inserting_before(node):
                node.update_arg(place, Make(model.graph, node).constant(name, numbers))


def spell_out_batch_norms(model: GraphModule, *, even_folded: bool = True) -> None:
    """In place: batch norms become depthwise convolutions of 1x1, unless in training mode.

    `even_folded` False leaves those that go into the layer before them.
    """
    for node in list(model.graph.nodes):
        if node.op != "call_function" or operator_of(node) != "batch_norm":
            continue
        a = arguments_of(node)
        numbers = [a[name] for name in ("running_mean", "running_var", "weight", "bias")]
        if a["training"] or (is_folded(node) and not even_folded):
            continue
        if any(isinstance(n, Node) and n.op != "get_attr" for n in numbers):
            continue
        mean, variance, gamma, beta = (
            None if n is None else operator.attrgetter(str(n.target))(model).detach()
            for n in numbers
        )
        assert mean is not None and variance is not None
        slope = torch.rsqrt(variance.double() + float(a["eps"]))
        slope = slope if gamma is None else slope * gamma.double()
        offset = -mean.double() * slope if beta is None else beta.double() - mean.double() * slope
        _replace(model.graph, node, partial(_scaled, model, slope, offset))
    model.graph.eliminate_dead_code()
    model.recompile()


def _scaled(
    model: GraphModule, slope: torch.Tensor, offset: torch.Tensor, make: Make, x: Node
) -> Node:
    """x * slope + offset along dimension 1, as a convolution."""
    rank, number = _fake_value(x).dim(), sum(1 for _ in model.buffers())
    spatial = max(rank - 2, 1)
    values = {"slope": slope.float().reshape(-1, *([1] * (spatial + 1))), "offset": offset.float()}
    constants = []
    for label, value in values.items():
        name = f"_batch_norm_{number}_{label}"
        model.register_buffer(name, value)
        constants.append(make.constant(name, value))
    convolve = _ATEN.conv2d.default if spatial == 2 else _ATEN.conv1d.default
    if rank == 2:
        x = make(_ATEN.unsqueeze.default, x, -1)
    none, one = [0] * spatial, [1] * spatial
    made = make(convolve, x, *constants, one, none, one, len(slope))
    return make(_ATEN.squeeze.dim, made, -1) if rank == 2 else made


# ---- compound operators --------------------------------------------------------------------


def _silu(make: Make, x: Node) -> Node:
    return make(_ATEN.mul.Tensor, x, make(_ATEN.sigmoid.default, x))


def _hardsigmoid(make: Make, x: Node) -> Node:
    """relu6(x + 3) / 6, where the division only gives the integers another scale."""
    shifted = make(_ATEN.add.Tensor, x, 3.0)
    return make(_ATEN.div.Tensor, make(_ATEN.hardtanh.default, shifted, 0.0, 6.0), 6.0)


_REWRITES: dict[str, Callable[[Make, Node], Node]] = {
    "silu": _silu,
    "hardsigmoid": _hardsigmoid,
}


def _replace(graph: Graph, node: Node, rewrite: Callable[[Make, Node], Node]) -> None:
    x = node.args[0]
    assert isinstance(x, Node)
    with graph.inserting_before(node):
        node.replace_all_uses_with(rewrite(Make(graph, node), x))
    graph.erase_node(node)
