"""The TensorFlow Lite front end: a .tflite file becomes a `Graph`.

Every operator that Thumbnet cannot run is listed in one `UnsupportedError`; a file that
contradicts itself is a `ModelFormatError`. The public entry is `load_tflite`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from thumbnet.codegen.errors import ModelFormatError, UnsupportedError
from thumbnet.codegen.fold import fold
from thumbnet.codegen.frontends.tflite_operators import CONVERTERS, Source
from thumbnet.codegen.frontends.tflite_reader import (
    FileModel,
    FileOperator,
    FileTensor,
    damage_reported,
    read_model,
)
from thumbnet.codegen.graph import Graph, Operator, Quantization, State, Tensor, Variable
from thumbnet.codegen.validate import Refused, operator_macs, validate_operator

_VARIABLE_KINDS = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


def load_tflite(path: Path) -> Graph:
    """Reads an int8 .tflite model of batch 1.

    Raises ModelFormatError for files that are missing, damaged or contradictory, and
    UnsupportedError, listing all offending operators, for what Thumbnet does not run.
    """
    model = read_model(path)
    with damage_reported(path):
        return _Conversion(path, model).graph()


class _Conversion:
    """State of one conversion of one file."""

    def __init__(self, path: Path, model: FileModel) -> None:
        self.path = path
        self.model = model
        self.main = model.subgraphs[0]
        self.names = _unique_names(self.main.tensors)
        self.tensors = {
            self.names[t.index]: _graph_tensor(t, self.names[t.index])
            for t in self.main.tensors
            if t.dtype != "resource"
        }
        self.operators: list[Operator] = []
        self.problems: list[str] = []
        self.macs = 0
        self.handles: dict[int, str] = {}
        self.states: dict[str, State] = {}

    def graph(self) -> Graph:
        written: set[int] = set(self.main.inputs)
        for operator in self.main.operators:
            self._check_order(operator, written)
            self._convert(operator)
            written.update(operator.outputs)
        if self.problems:
            raise UnsupportedError(
                f"{self.path}: {len(self.problems)} operator(s) cannot be compiled:\n  "
                + "\n  ".join(self.problems)
            )
        self._check_edges(written)
        inputs = tuple(self.names[i] for i in self.main.inputs)
        outputs = tuple(self.names[i] for i in self.main.outputs)
        used = {n for op in self.operators for n in (*op.inputs, *op.outputs) if n}
        used |= {*inputs, *outputs, *self.states}
        return Graph(
            name=c_identifier(self.path.stem),
            source=str(self.path),
            tensors={n: t for n, t in self.tensors.items() if n in used},
            operators=tuple(self.operators),
            inputs=inputs,
            outputs=outputs,
            states=tuple(self.states.values()),
            macs=self.macs,
            input_names=_public_names(inputs),
            output_names=_public_names(outputs),
        )

    def _check_order(self, operator: FileOperator, written: set[int]) -> None:
        for i in operator.inputs:
            if i >= 0 and i not in written and self.main.tensors[i].data is None:
                raise ModelFormatError(
                    f"{self.path}: operator {operator.index} ({operator.kind}) reads tensor "
                    f"'{self.main.tensors[i].name}' before anything writes it"
                )
        for o in operator.outputs:
            if o in written or self.main.tensors[o].data is not None:
                raise ModelFormatError(
                    f"{self.path}: operator {operator.index} ({operator.kind}) writes tensor "
                    f"'{self.main.tensors[o].name}', which already has a value"
                )

    def _check_edges(self, written: set[int]) -> None:
        if not self.main.inputs or not self.main.outputs:
            raise ModelFormatError(f"{self.path}: the model has no inputs or no outputs")
        if len(set(self.main.inputs)) != len(self.main.inputs) or len(
            set(self.main.outputs)
        ) != len(self.main.outputs):
            raise ModelFormatError(f"{self.path}: an input or output is listed twice")
        for i in (*self.main.inputs, *self.main.outputs):
            tensor = self.main.tensors[i]
            if tensor.data is not None or i not in written:
                raise UnsupportedError(
                    f"{self.path}: the input or output '{tensor.name}' is a constant or is never "
                    "written; remove it from the model's signature"
                )
            if tensor.dtype not in ("int8", "uint8", "int16", "float32"):
                raise UnsupportedError(
                    f"{self.path}: the input or output '{tensor.name}' has type {tensor.dtype}; "
                    "quantise the model to int8"
                )
            if not tensor.shape or min(tensor.shape) == 0:
                raise UnsupportedError(
                    f"{self.path}: the input or output '{tensor.name}' has shape "
                    f"{list(tensor.shape)}; give it a fixed, non-empty shape"
                )

    def _convert(self, operator: FileOperator) -> None:
        label = f"{operator.kind} (operator {operator.index}, {self._output_label(operator)})"
        try:
            if operator.kind in _VARIABLE_KINDS:
                self._convert_variable(operator)
                return
            converter = CONVERTERS.get(operator.kind)
            if converter is None:
                raise Refused(
                    "not supported; docs/operators.md lists what is, rewrite it with those"
                )
            source = Source(operator, self.main.tensors, self.names, self.tensors)
            operators = converter(source)
            _expect_outputs(operator, len(operators))
            for converted in operators:
                validate_operator(converted, self.tensors)
                value = fold(converted, self.tensors)
                if value is not None:
                    name = converted.outputs[0]
                    self.tensors[name] = replace(self.tensors[name], data=value)
                    continue
                if all(self.tensors[n].data is not None for n in converted.inputs if n):
                    raise Refused("all its inputs are constant; fold it when exporting")
                self.operators.append(converted)
                self.macs += operator_macs(converted, self.tensors)
        except Refused as refusal:
            self.problems.append(f"{label}: {refusal}")

    def _output_label(self, operator: FileOperator) -> str:
        if not operator.outputs:
            return "no output"
        return f"output '{self.main.tensors[operator.outputs[0]].name}'"

    # ---- variables -------------------------------------------------------------------------

    def _convert_variable(self, operator: FileOperator) -> None:
        if operator.kind == "CALL_ONCE":
            _expect_outputs(operator, 0)
            options = operator.options("CallOnceOptions")
            self._run_initialiser(int(options.InitSubgraphIndex()))
        elif operator.kind == "VAR_HANDLE":
            handle_index = _only(operator.outputs)
            if self.main.tensors[handle_index].dtype != "resource":
                raise Refused("its output is not a resource")
            self.handles[handle_index] = _variable_name(operator)
        else:
            handle = self.handles.get(operator.inputs[0]) if operator.inputs else None
            if handle is None:
                raise Refused("its variable does not come from a VAR_HANDLE")
            reading = operator.kind == "READ_VARIABLE"
            _expect_outputs(operator, 1 if reading else 0)
            value = self.names[_only(operator.outputs) if reading else _second(operator)]
            self._declare_state(handle, self.tensors[value])
            self.operators.append(
                Operator(
                    name=f"op_{operator.index}",
                    kind=operator.kind,
                    inputs=() if reading else (value,),
                    outputs=(value,) if reading else (),
                    attributes=Variable(handle),
                )
            )

    def _declare_state(self, variable: str, like: Tensor) -> None:
        """Makes the state tensor; without an initialiser it starts at its zero point, as TFLM's."""
        state = self.states.get(variable)
        if state is None:
            start = int(like.quantization.zero_point[0]) if like.quantization else 0
            initial = np.full(like.shape, start, dtype=like.dtype)
            state = State(variable, initial)
            self.states[variable] = state
        if variable not in self.tensors:
            self.tensors[variable] = Tensor(variable, like.shape, like.dtype, like.quantization)
        known = self.tensors[variable]
        if known.nbytes != like.nbytes or known.dtype != like.dtype:
            raise ModelFormatError(
                f"{self.path}: variable '{variable}' is used with shapes {list(known.shape)} and "
                f"{list(like.shape)}"
            )

    def _run_initialiser(self, index: int) -> None:
        """Takes the constants that CALL_ONCE's subgraph assigns to variables."""
        if not 0 < index < len(self.model.subgraphs):
            raise ModelFormatError(f"{self.path}: CALL_ONCE names subgraph {index}, which is not")
        subgraph = self.model.subgraphs[index]
        handles: dict[int, str] = {}
        for operator in subgraph.operators:
            if operator.kind == "VAR_HANDLE":
                handles[_only(operator.outputs)] = _variable_name(operator)
            elif operator.kind == "ASSIGN_VARIABLE":
                value = subgraph.tensors[_second(operator)]
                variable = handles.get(operator.inputs[0])
                if variable is None or value.data is None:
                    raise Refused("its initialiser assigns something that is not a constant")
                self.states[variable] = State(variable, value.data)
                self.tensors[variable] = _graph_tensor(value, variable, keep_data=False)
            else:
                raise Refused(f"its initialiser uses {operator.kind}; only constants may be given")


def _expect_outputs(operator: FileOperator, count: int) -> None:
    if len(operator.outputs) != count:
        raise ValueError(f"{operator.kind} has {len(operator.outputs)} outputs, not {count}")


def _only(indices: Sequence[int]) -> int:
    if len(indices) != 1:
        raise ValueError("an operator should have exactly one output")
    return indices[0]


def _second(operator: FileOperator) -> int:
    if len(operator.inputs) != 2 or operator.inputs[1] < 0:
        raise ValueError(f"{operator.kind} needs two inputs")
    return operator.inputs[1]


def _variable_name(operator: FileOperator) -> str:
    options = operator.options("VarHandleOptions")
    container = (options.Container() or b"").decode("utf-8", "replace")
    shared = (options.SharedName() or b"").decode("utf-8", "replace")
    return f"variable {container}{'/' if container else ''}{shared}"


def _unique_names(tensors: Sequence[FileTensor]) -> list[str]:
    seen: set[str] = set()
    names = []
    for tensor in tensors:
        name = tensor.name
        while name in seen:
            name += f"#{tensor.index}"
        seen.add(name)
        names.append(name)
    return names


def _graph_tensor(tensor: FileTensor, name: str, *, keep_data: bool = True) -> Tensor:
    quantization = None
    if tensor.scale is not None and tensor.zero_point is not None:
        quantization = Quantization(tensor.scale, tensor.zero_point, tensor.axis)
    data = tensor.data if keep_data else None
    return Tensor(name, tensor.shape, tensor.dtype, quantization, data)


def c_identifier(text: str) -> str:
    """A lower-case C identifier that reads like `text`."""
    word = re.sub(r"[^0-9a-z]+", "_", text.lower()).strip("_") or "model"
    return f"m_{word}" if word[0].isdigit() else word


def _public_names(tensors: Sequence[str]) -> dict[str, str]:
    """Names for accessors: the last meaningful part of each tensor's name, made unique."""
    names: dict[str, str] = {}
    for tensor in tensors:
        stem = re.sub(r"^serving_default_|:\d+$", "", tensor.split(";")[-1]).split("/")[-1]
        word = c_identifier(stem)[:40]
        while word in names.values():
            word += "_2"
        names[tensor] = word
    return names
