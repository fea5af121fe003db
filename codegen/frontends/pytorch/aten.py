"""Nodes of a torch.export graph: the operator's name, its arguments by name, its module."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import Node


def operator_of(node: Node) -> str:
    """ "conv2d" of aten.conv2d.default and aten.conv2d.padding, "relu" of aten.relu_.default.

    Operators of other namespaces keep theirs ("quantized_decomposed.quantize_per_tensor"); what is
    no operator gives its Python name.
    """
    if node.op != "call_function":
        return node.op
    if node.target is operator.getitem:
        return "getitem"
    if not isinstance(node.target, torch._ops.OpOverload):
        return getattr(node.target, "__name__", str(node.target))
    namespace, name = node.target._schema.name.split("::")
    return name.rstrip("_") if namespace == "aten" else f"{namespace}.{name}"


def in_place(node: Node) -> bool:
    """Whether the operator writes into its first argument."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    arguments = node.target._schema.arguments
    alias = arguments[0].alias_info if arguments else None
    return alias is not None and alias.is_write


def arguments_of(node: Node) -> dict[str, Any]:
    """Arguments by their names in the operator's schema, defaults filled in."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return {str(i): value for i, value in enumerate(node.args)}
    bound: dict[str, Any] = {}
    for i, argument in enumerate(node.target._schema.arguments):
        if i < len(node.args):
            bound[argument.name] = node.args[i]
        elif argument.name in node.kwargs:
            bound[argument.name] = node.kwargs[argument.name]
        else:
            bound[argument.name] = argument.default_value
    return bound


def shape_of_node(node: Node) -> tuple[int, ...]:
    """The static shape of a node's tensor."""
    return tuple(int(length) for length in node.meta["val"].shape)


def module_path(node: Node) -> str:
    """The path of the module that the node comes from, "" for the root."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, *_ in stack.values() if not str(path).startswith("_empty_nn_module")]
    return str(paths[-1]) if paths else ""


def describe(node: Node) -> str:
    """The node in a message: its module, its operator."""
    path = module_path(node)
    where = f"module '{path}'" if path else "the model's forward"
    return f"{where}: {_spelling(node)}"


def _spelling(node: Node) -> str:
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return str(target).removesuffix(".default")
    return operator_of(node)
