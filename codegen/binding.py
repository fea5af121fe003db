"""Which tensors are views of which value, which storage each value has, and what must run first.

RESHAPE and READ_VARIABLE cost nothing: their outputs are views. ASSIGN_VARIABLE costs nothing where
the operator that makes the new content can write it straight into the variable's storage; elsewhere
it is a copy. Operators that read a variable's old content run before the one that overwrites it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import Graph, Operator, Tensor, Variable


@dataclass(frozen=True, eq=False)
class Binding:
    """Result of `bind`: `operators` are those that need a kernel, `after[i]` the indices of those
    that must run before operator i. `graph` has the tensors of copies added."""

    graph: Graph
    operators: tuple[Operator, ...]
    after: tuple[frozenset[int], ...]
    value_of: dict[str, str]
    storage_of: dict[str, str]
    initial_value: dict[str, str]
    final_value: dict[str, str]


@dataclass
class _Variable:
    """Progress through the operators: the content that a READ_VARIABLE would see now."""

    name: str
    content: str


def bind(graph: Graph) -> Binding:
    """Resolves views and variables.

    Raises UnsupportedError when a variable's old and new contents are needed at the same time.
    """
    direct = {op.name for op in graph.operators if op.kind == "ASSIGN_VARIABLE"}
    while True:
        binding, assigned = _bind(graph, direct)
        cycle = _find_cycle(binding.after)
        if cycle is None:
            return binding
        culprits = direct.intersection(assigned.get(i, "") for i in cycle)
        if not culprits:
            raise UnsupportedError(
                f"{graph.source}: a variable is read before and after it is assigned, and both "
                "contents are needed at once; keep a copy in the model"
            )
        direct = direct - culprits


def _bind(graph: Graph, direct: set[str]) -> tuple[Binding, dict[int, str]]:
    """One attempt: the ASSIGN_VARIABLEs named in `direct` write in place where they can.

    Also gives, for each operator that stores a variable's content, the ASSIGN_VARIABLE's name.
    """
    tensors = dict(graph.tensors)
    value_of = {name: name for name in graph.inputs}
    storage_of = {name: name for name in graph.inputs}
    variables = {s.tensor: _Variable(s.tensor, s.tensor) for s in graph.states}
    for state in graph.states:
        value_of[state.tensor] = storage_of[state.tensor] = state.tensor
    contents: dict[str, list[str]] = {s.tensor: [s.tensor] for s in graph.states}
    operators: list[Operator] = []
    maker: dict[str, int] = {}  # value -> the operator that makes it
    assigned: dict[int, str] = {}
    for op in graph.operators:
        if op.kind == "RESHAPE" and not graph.is_constant(op.inputs[0]):
            value_of[op.outputs[0]] = value_of[op.inputs[0]]
        elif isinstance(op.attributes, Variable) and op.kind == "READ_VARIABLE":
            value_of[op.outputs[0]] = variables[op.attributes.variable].content
        elif isinstance(op.attributes, Variable):
            variable = variables[op.attributes.variable]
            value = value_of[op.inputs[0]]
            if not (
                op.name in direct
                and _can_store(graph, tensors, value, maker, storage_of, variable.name)
            ):
                copy = _content_tensor(tensors, variable.name, len(contents[variable.name]))
                tensors[copy.name] = copy
                operators.append(replace(op, outputs=(copy.name,)))
                maker[copy.name] = len(operators) - 1
                value = value_of[copy.name] = copy.name
            storage_of[value] = variable.name
            assigned[maker[value]] = op.name
            variable.content = value
            contents[variable.name].append(value)
        else:
            operators.append(op)
            name = op.outputs[0]
            value_of[name] = storage_of[name] = name
            maker[name] = len(operators) - 1
    finals = {v.content for v in variables.values()}
    for name in graph.outputs:
        if storage_of[value_of[name]] in variables and value_of[name] not in finals:
            raise UnsupportedError(
                f"{graph.source}: output '{name}' is a variable's content that the run overwrites; "
                "keep a copy in the model"
            )
    after = _dependencies(operators, tensors, value_of, maker, contents)
    binding = Binding(
        graph=replace(graph, tensors=tensors),
        operators=tuple(operators),
        after=after,
        value_of=value_of,
        storage_of=storage_of,
        initial_value={s.tensor: s.tensor for s in graph.states},
        final_value={v.name: v.content for v in variables.values()},
    )
    return binding, assigned


def _content_tensor(tensors: dict[str, Tensor], variable: str, number: int) -> Tensor:
    return replace(tensors[variable], name=f"{variable} (content {number})", data=None)


def _can_store(
    graph: Graph,
    tensors: dict[str, Tensor],
    value: str,
    maker: dict[str, int],
    storage_of: dict[str, str],
    variable: str,
) -> bool:
    """Whether the operator that makes `value` can write it straight into the variable."""
    return (
        value in maker
        and storage_of[value] == value
        and value not in graph.outputs
        and tensors[value].nbytes == tensors[variable].nbytes
    )


def _dependencies(
    operators: list[Operator],
    tensors: dict[str, Tensor],
    value_of: dict[str, str],
    maker: dict[str, int],
    contents: dict[str, list[str]],
) -> tuple[frozenset[int], ...]:
    readers: dict[str, set[int]] = {}
    after: list[set[int]] = [set() for _ in operators]
    for i, op in enumerate(operators):
        for name in op.inputs:
            if name and tensors[name].data is None:
                value = value_of[name]
                readers.setdefault(value, set()).add(i)
                if value in maker:
                    after[i].add(maker[value])
    for sequence in contents.values():
        for old, new in pairwise(sequence):
            after[maker[new]] |= readers.get(old, set())
            if old in maker:
                after[maker[new]].add(maker[old])
    return tuple(frozenset(a) for a in after)


def _find_cycle(after: tuple[frozenset[int], ...]) -> set[int] | None:
    """The operators that can never run, or None."""
    left = set(range(len(after)))
    while True:
        ready = {i for i in left if not after[i] & left}
        if not ready:
            return left or None
        left -= ready
