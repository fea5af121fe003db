"""The graph under construction: values of PyTorch's program and the tensors that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.fx import Node

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.frontends.pytorch.aten import (
    arguments_of,
    describe,
    module_path,
    operator_of,
    shape_of_node,
)
from thumbnet.codegen.frontends.pytorch.layout import (
    Form,
    Layout,
    atoms_of,
    has_form,
    layout_of,
    shape_of,
)
from thumbnet.codegen.graph import Attributes, Operator, Quantization, Tensor, Transpose
from thumbnet.codegen.validate import Refused, validate_operator

NO_ATTRIBUTES = Attributes()


@dataclass(frozen=True)
class Value:
    """An int8 activation of the program: real = scale * (q - zero_point).

    Its scale may differ from that of the tensor that holds its bytes (a multiple of it).
    """

    tensor: str
    layout: Layout
    scale: np.float32
    zero_point: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant in PyTorch's order of dimensions; float where `scale` is None."""

    data: NDArray[Any]
    scale: NDArray[np.float32] | None = None  # one, or one for each index of `axis`
    zero_point: int = 0
    axis: int = 0

    def real(self) -> NDArray[np.float64]:
        if self.scale is None:
            return self.data.astype(np.float64)
        shape = [1] * self.data.ndim
        if self.scale.size > 1:
            shape[self.axis] = -1
        scale = self.scale.astype(np.float64).reshape(shape if self.scale.size > 1 else ())
        return (self.data.astype(np.float64) - self.zero_point) * scale


@dataclass(frozen=True)
class Step:
    """One operator of the program, with what is fused into it, about to become one of the graph."""

    node: Node
    arguments: Mapping[str, Any]  # by the names of PyTorch's schema
    operands: Mapping[Node, Value | Constant]
    activation: str  # NONE, RELU, RELU6, RELU_N1_TO_1
    shape: tuple[int, ...]  # of the result, as PyTorch has it
    scale: np.float32  # what the program wants of the result
    zero_point: int

    def value(self, name: str) -> Value:
        """The activation that an argument names. Raises UnsupportedError."""
        operand = self.operands.get(self.arguments[name])
        if not isinstance(operand, Value):
            raise self.refused(f"its argument '{name}' is not a quantised activation")
        return operand

    def constant(self, name: str) -> Constant | None:
        """The constant that an argument names, None where there is none.

        Raises UnsupportedError.
        """
        argument = self.arguments.get(name)
        if argument is None:
            return None
        operand = self.operands.get(argument)
        if not isinstance(operand, Constant):
            raise self.refused(f"its argument '{name}' must be a constant")
        return operand

    def refused(self, reason: str) -> UnsupportedError:
        return UnsupportedError(f"{describe(self.node)}: {reason}")


def step_of(
    node: Node, operands: Mapping[Node, Value | Constant], like: Value | None = None
) -> Step:
    """A step without anything fused; its result has the scale of `like`, if given."""
    scale, zero_point = (like.scale, like.zero_point) if like else (np.float32(1), 0)
    shape = shape_of_node(node) if hasattr(node.meta.get("val"), "shape") else ()
    return Step(node, arguments_of(node), operands, "NONE", shape, scale, zero_point)


class Builder:
    """Tensors and operators as they come; every operator is validated."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []
        self._seen: dict[tuple[Any, ...], str] = {}  # views of tensors that were made already

    def name_for(self, node: Node) -> str:
        """A name for what `node` makes: its module, and its operator where that is no layer."""
        path, stack = module_path(node), node.meta.get("nn_module_stack") or {}
        kinds = [str(kind) for _, kind in stack.values()]
        if not path or not kinds[-1].startswith("torch.nn.modules."):
            path = f"{path}.{operator_of(node)}".lstrip(".")
        return self.unique(path)

    def unique(self, name: str) -> str:
        number, found = 2, name
        while found in self.tensors:
            found, number = f"{name}_{number}", number + 1
        return found

    # ---- tensors ---------------------------------------------------------------------------

    def input(self, name: str, shape: Sequence[int], form: Form, scale: float, zero: int) -> Value:
        """A model input of PyTorch's `shape`."""
        return self._declare(self.unique(name), shape_of(shape, form), layout_of(shape, form),
                             np.float32(scale), zero)  # fmt: skip

    def constant(
        self, name: str, data: NDArray[Any], scale: ArrayLike, zero_point: int = 0, axis: int = 0
    ) -> str:
        scales = np.atleast_1d(np.asarray(scale, np.float32))
        quantization = Quantization(scales, np.full(scales.shape, zero_point, np.int64), axis)
        name = self.unique(name)
        data = np.ascontiguousarray(data).reshape(data.shape)
        self.tensors[name] = Tensor(name, data.shape, str(data.dtype), quantization, data)
        return name

    def _declare(
        self, name: str, shape: tuple[int, ...], layout: Layout, scale: np.float32, zero: int
    ) -> Value:
        quantization = Quantization(np.array([scale], np.float32), np.array([zero], np.int64))
        self.tensors[name] = Tensor(name, shape, "int8", quantization)
        return Value(name, layout, np.float32(scale), zero)

    # ---- operators -------------------------------------------------------------------------

    def emit(
        self,
        step: Step,
        kind: str,
        inputs: Sequence[str],
        shape: Sequence[int],
        layout: Layout,
        attributes: Attributes = NO_ATTRIBUTES,
        scale: tuple[np.float32, int] | None = None,
    ) -> Value:
        """One operator whose result is a tensor of the graph's `shape`, with the step's scale
        unless another is given. Raises UnsupportedError naming the step's module."""
        made = self._declare(
            self.name_for(step.node),
            tuple(shape),
            layout,
            *(scale or (step.scale, step.zero_point)),
        )
        self._append(step, Operator(made.tensor, kind, tuple(inputs), (made.tensor,), attributes))
        return made

    def in_form(
        self,
        step: Step,
        kind: str,
        inputs: Sequence[str],
        form: Form,
        attributes: Attributes = NO_ATTRIBUTES,
        scale: tuple[np.float32, int] | None = None,
    ) -> Value:
        """`emit` of a result of the step's own shape that lies as `form`."""
        shape, layout = shape_of(step.shape, form), layout_of(step.shape, form)
        return self.emit(step, kind, inputs, shape, layout, attributes, scale)

    def _append(self, step: Step, operator: Operator) -> None:
        try:
            validate_operator(operator, self.tensors)
        except (Refused, ValueError) as error:
            raise step.refused(f"{operator.kind}: {error}") from error
        self.operators.append(operator)

    # ---- the same bytes, seen otherwise ----------------------------------------------------

    def as_shape(self, step: Step, value: Value, shape: Sequence[int]) -> str:
        """A tensor of the graph's `shape` that holds the value as it lies in memory."""
        tensor = self.tensors[value.tensor]
        same_scale = (tensor.scale, tensor.zero_point) == (value.scale, value.zero_point)
        if tensor.shape == tuple(shape) and same_scale:
            return value.tensor
        key = (value.tensor, value.scale, value.zero_point, tuple(shape))
        if key not in self._seen:
            name = self.unique(f"{value.tensor}.view")
            made = self._declare(name, tuple(shape), value.layout, value.scale, value.zero_point)
            self._append(step, Operator(name, "RESHAPE", (value.tensor,), (name,)))
            self._seen[key] = made.tensor
        return self._seen[key]

    def as_form(self, step: Step, value: Value, form: Form) -> str:
        """A tensor that holds the value in a form; what lies otherwise is transposed."""
        layout = value.layout
        shape = shape_of(layout.shape, form)
        if has_form(layout, form):
            return self.as_shape(step, value, shape)
        wanted = atoms_of(layout, form)
        key = (value.tensor, value.scale, value.zero_point, layout.sizes, layout.memory, wanted)
        if key not in self._seen:
            runs, permutation = _transposition(layout.memory, wanted)
            sizes = [prod(layout.sizes[a] for a in run) for run in runs]
            source = self.as_shape(step, value, sizes)
            name = self.unique(f"{value.tensor}.transposed")
            shuffled = tuple(sizes[i] for i in permutation)
            self._declare(name, shuffled, layout, value.scale, value.zero_point)
            attributes = Transpose(tuple(permutation))
            self._append(step, Operator(name, "TRANSPOSE", (source,), (name,), attributes))
            self._seen[key] = name
        return self.as_shape(step, replace(value, tensor=self._seen[key]), shape)

    def requantized(self, step: Step, value: Value, scale: np.float32, zero_point: int) -> Value:
        """The value on another scale, or itself."""
        scale = np.float32(scale)
        if (value.scale, value.zero_point) == (scale, zero_point):
            return value
        shape = self.tensors[value.tensor].shape
        source = self.as_shape(step, value, shape)
        made = self._declare(self.unique(f"{value.tensor}.requantized"), shape, value.layout, scale,
                             zero_point)  # fmt: skip
        self._append(step, Operator(made.tensor, "QUANTIZE", (source,), (made.tensor,)))
        return made


def _transposition(
    memory: Sequence[int], wanted: Sequence[int]
) -> tuple[list[list[int]], list[int]]:
    """Runs of atoms that stay together, as they lie, and their order in the result."""
    place = {atom: i for i, atom in enumerate(wanted)}
    runs: list[list[int]] = []
    for atom in memory:
        if runs and place[atom] == place[runs[-1][-1]] + 1:
            runs[-1].append(atom)
        else:
            runs.append([atom])
    order = sorted(range(len(runs)), key=lambda i: place[runs[i][0]])
    return runs, order
