"""Serialisation of .tflite files: tensors and operators are added, `Builder.build` gives the bytes.

    b = Builder()
    x = b.input((1, 4, 4, 8), scale=0.1, zero_point=-3)
    c = b.constant(np.ones((8,), np.int8), scale=0.5)
    y = b.op("ADD", [x, c], Spec((1, 4, 4, 8), scale=0.2), fused_activation_function="RELU")
    b.output(y)
    b.build()

Any operator works: its options are keyword arguments named as in the schema (snake case). Further
subgraphs come from `Builder.subgraph()`. Nothing is checked: what is written is what was given.
Source of the format: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3, through the
bindings of the `tflite` package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

Array = NDArray[Any]

TYPES: dict[str, int] = {
    "float32": tflite.TensorType.FLOAT32,
    "int32": tflite.TensorType.INT32,
    "uint8": tflite.TensorType.UINT8,
    "int64": tflite.TensorType.INT64,
    "bool": tflite.TensorType.BOOL,
    "int16": tflite.TensorType.INT16,
    "int8": tflite.TensorType.INT8,
    "resource": tflite.TensorType.RESOURCE,
}

# Operators whose option table is not named after them; "": no table.
_OPTION_TABLES = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "RELU": "",
    "RELU6": "",
    "RELU_N1_TO_1": "",
    "LOGISTIC": "",
    "TANH": "",
    "PRELU": "",
}
_ENUMS = {
    "fused_activation_function": tflite.ActivationFunctionType,
    "padding": tflite.Padding,
    "weights_format": tflite.FullyConnectedOptionsWeightsFormat,
}


@dataclass(frozen=True)
class Spec:
    """Shape, type and quantisation of a tensor; no scale: no quantisation record."""

    shape: tuple[int, ...]
    dtype: str = "int8"  # a key of TYPES
    scale: float | Sequence[float] | None = None
    zero_point: int | Sequence[int] = 0
    axis: int = 0
    name: str = ""
    signature: tuple[int, ...] = ()  # shape_signature, where -1 is a dynamic dimension


@dataclass
class OperatorRecord:
    kind: str
    inputs: list[int]  # -1: absent
    outputs: list[int]
    options: dict[str, Any]


@dataclass
class Subgraph:
    """One subgraph: tensors are referred to by the index that the methods return."""

    name: str = "main"
    specs: list[Spec] = field(default_factory=list)
    data: list[Array | None] = field(default_factory=list)
    operators: list[OperatorRecord] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def tensor(self, spec: Spec, data: Array | None = None) -> int:
        self.specs.append(spec)
        self.data.append(data)
        return len(self.specs) - 1

    def input(
        self,
        shape: tuple[int, ...],
        dtype: str = "int8",
        scale: float | None = None,
        zero_point: int = 0,
        name: str = "",
    ) -> int:
        index = self.tensor(Spec(shape, dtype, scale, zero_point, 0, name))
        self.inputs.append(index)
        return index

    def constant(
        self,
        values: Array,
        scale: float | Sequence[float] | None = None,
        zero_point: int | Sequence[int] = 0,
        axis: int = 0,
        name: str = "",
    ) -> int:
        array = np.asarray(values)
        spec = Spec(array.shape, str(array.dtype), scale, zero_point, axis, name)
        return self.tensor(spec, np.ascontiguousarray(array).reshape(array.shape))

    def ops(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[Spec], **options: Any
    ) -> list[int]:
        """An operator with any number of outputs (-1 as an input: absent)."""
        made = [self.tensor(spec) for spec in outputs]
        self.operators.append(OperatorRecord(kind, list(inputs), made, options))
        return made

    def op(self, kind: str, inputs: Sequence[int], output: Spec, **options: Any) -> int:
        return self.ops(kind, inputs, [output], **options)[0]

    def output(self, *tensors: int) -> None:
        self.outputs.extend(tensors)


@dataclass
class Builder(Subgraph):
    """A model: the main subgraph itself, and any that `subgraph` adds after it."""

    others: list[Subgraph] = field(default_factory=list)

    def subgraph(self, name: str) -> tuple[int, Subgraph]:
        self.others.append(Subgraph(name))
        return len(self.others), self.others[-1]

    def build(self, description: str = "made by Thumbnet") -> bytes:
        """The bytes of the .tflite file: the same for the same model."""
        return _build([self, *self.others], description)


def camel_case(name: str) -> str:
    """An option's name as the bindings of the schema spell it."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def option_table(kind: str) -> str:
    """The schema's table of an operator's options; "" where it has none."""
    if kind in _OPTION_TABLES:
        return _OPTION_TABLES[kind]
    table = "".join(part.capitalize() for part in kind.split("_")) + "Options"
    return table if hasattr(tflite, table + "Start") else ""


# ---- the flatbuffer ------------------------------------------------------------------------


def _vector(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependInt32(int(value))
    return int(b.EndVector())


def _offsets(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependUOffsetTRelative(value)
    return int(b.EndVector())


def _options(b: flatbuffers.Builder, table: str, options: dict[str, Any]) -> int:
    prepared: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, str):
            enum = _ENUMS.get(key)
            prepared[key] = getattr(enum, value) if enum else b.CreateString(value)
        elif isinstance(value, (list, tuple)):
            prepared[key] = _vector(b, value)
        else:
            prepared[key] = value
    getattr(tflite, f"{table}Start")(b)
    for key, value in prepared.items():
        getattr(tflite, f"{table}Add{camel_case(key)}")(b, value)
    return int(getattr(tflite, f"{table}End")(b))


def _tensor(b: flatbuffers.Builder, spec: Spec, name: str, buffer: int) -> int:
    label = b.CreateString(name)
    shape = _vector(b, spec.shape)
    signature = _vector(b, spec.signature) if spec.signature else None
    quantization = None
    if spec.scale is not None:
        scales = b.CreateNumpyVector(np.atleast_1d(np.asarray(spec.scale, np.float32)))
        points = np.broadcast_to(
            np.asarray(spec.zero_point, np.int64), np.atleast_1d(np.asarray(spec.scale)).shape
        )
        zero_points = b.CreateNumpyVector(np.ascontiguousarray(points))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scales)
        tflite.QuantizationParametersAddZeroPoint(b, zero_points)
        tflite.QuantizationParametersAddQuantizedDimension(b, spec.axis)
        quantization = tflite.QuantizationParametersEnd(b)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, TYPES[spec.dtype])
    tflite.TensorAddBuffer(b, buffer)
    tflite.TensorAddName(b, label)
    if signature is not None:
        tflite.TensorAddShapeSignature(b, signature)
    if quantization is not None:
        tflite.TensorAddQuantization(b, quantization)
    return int(tflite.TensorEnd(b))


def _operator(b: flatbuffers.Builder, op: OperatorRecord, code: int) -> int:
    table = option_table(op.kind)
    options = _options(b, table, op.options) if table else None
    inputs, outputs = _vector(b, op.inputs), _vector(b, op.outputs)
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, code)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, table))
        tflite.OperatorAddBuiltinOptions(b, options)
    return int(tflite.OperatorEnd(b))


def _operator_code(b: flatbuffers.Builder, kind: str) -> int:
    number = getattr(tflite.BuiltinOperator, kind)
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
    tflite.OperatorCodeAddBuiltinCode(b, number)
    tflite.OperatorCodeAddVersion(b, 1)
    return int(tflite.OperatorCodeEnd(b))


def _buffer(b: flatbuffers.Builder, data: Array | None) -> int:
    content = None
    if data is not None and data.nbytes:
        raw = data.tobytes()
        b.StartVector(1, len(raw), 16)  # the schema asks for 16-byte alignment
        b.head -= len(raw)
        b.Bytes[b.head : b.head + len(raw)] = raw
        content = b.EndVector()
    tflite.BufferStart(b)
    if content is not None:
        tflite.BufferAddData(b, content)
    return int(tflite.BufferEnd(b))


def _build(subgraphs: Sequence[Subgraph], description: str) -> bytes:
    b = flatbuffers.Builder(4096)
    buffers: list[Array | None] = [None]
    codes: dict[str, int] = {}
    graphs = []
    for sub in subgraphs:
        tensors = []
        for i, (spec, data) in enumerate(zip(sub.specs, sub.data, strict=True)):
            if data is not None:
                buffers.append(data)
            name = spec.name or f"t{i}"
            tensors.append(_tensor(b, spec, name, 0 if data is None else len(buffers) - 1))
        operators = [
            _operator(b, op, codes.setdefault(op.kind, len(codes))) for op in sub.operators
        ]
        parts = _offsets(b, tensors), _vector(b, sub.inputs), _vector(b, sub.outputs)
        steps, label = _offsets(b, operators), b.CreateString(sub.name)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, parts[0])
        tflite.SubGraphAddInputs(b, parts[1])
        tflite.SubGraphAddOutputs(b, parts[2])
        tflite.SubGraphAddOperators(b, steps)
        tflite.SubGraphAddName(b, label)
        graphs.append(tflite.SubGraphEnd(b))
    made_codes = [_operator_code(b, kind) for kind in codes]
    made_buffers = [_buffer(b, data) for data in buffers]
    vectors = _offsets(b, made_codes), _offsets(b, graphs), _offsets(b, made_buffers)
    said = b.CreateString(description)
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, vectors[0])
    tflite.ModelAddSubgraphs(b, vectors[1])
    tflite.ModelAddDescription(b, said)
    tflite.ModelAddBuffers(b, vectors[2])
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    return bytes(b.Output())
