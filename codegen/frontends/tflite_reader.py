"""Bounded reading of a .tflite flatbuffer into plain data.

The file may be hostile: every vector's length is checked against the file before it is walked, and
anything that the flatbuffers runtime trips over becomes a `ModelFormatError`.
Source of the format: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3, through the
bindings of the `tflite` package.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from thumbnet.codegen.errors import ModelFormatError

MAX_FILE_BYTES = 1 << 28
MAX_ELEMENTS = 1 << 24  # of a tensor: far above any microcontroller

_OPERATOR_NAMES: dict[int, str] = {
    code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)
}
_TYPE_NAMES: dict[int, str] = {
    code: name.lower() for name, code in vars(tflite.TensorType).items() if isinstance(code, int)
}


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor as the file has it; `data` is None for activations."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: NDArray[np.float32] | None
    zero_point: NDArray[np.int64] | None
    axis: int
    data: NDArray[np.generic] | None


@dataclass(frozen=True, eq=False)
class FileOperator:
    """An operator; `options(NAME)` gives the flatbuffers accessor of its options table."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Callable[[str], Any]


@dataclass(frozen=True, eq=False)
class FileSubgraph:
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FileModel:
    path: Path
    subgraphs: tuple[FileSubgraph, ...]


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turns what reading a damaged flatbuffer raises into a ModelFormatError."""
    try:
        yield
    except (
        struct.error,
        IndexError,
        ValueError,
        TypeError,
        OverflowError,
        KeyError,
        AttributeError,
        MemoryError,
        AssertionError,
    ) as error:
        raise ModelFormatError(
            f"{path}: the file is damaged or not a TensorFlow Lite model ({error}); "
            "export or copy it again"
        ) from error


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises ModelFormatError when it cannot be a model."""
    try:
        if path.is_dir():
            raise ModelFormatError(f"{path} is a directory; give a .tflite file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelFormatError(f"{path} has {size} bytes: too large for any microcontroller")
        data = path.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"cannot read {path}: {error.strerror or error}") from error
    if not data:
        raise ModelFormatError(f"{path} is empty; export or copy it again")
    if data[4:8] != b"TFL3":
        raise ModelFormatError(f"{path} is not a TensorFlow Lite model (no TFL3 mark at byte 4)")
    return data


def read_model(path: Path) -> FileModel:
    """Reads every subgraph of the model. Raises ModelFormatError."""
    data = read_bytes(path)
    with damage_reported(path):
        model = tflite.Model.GetRootAsModel(data, 0)
        limit = len(data)
        codes = [
            _operator_kind(_present(model.OperatorCodes(i)))
            for i in range(_bounded(model.OperatorCodesLength(), limit, "operator codes"))
        ]
        buffers = [
            _present(model.Buffers(i))
            for i in range(_bounded(model.BuffersLength(), limit, "buffers"))
        ]
        subgraphs = tuple(
            _read_subgraph(_present(model.Subgraphs(i)), codes, buffers, data)
            for i in range(_bounded(model.SubgraphsLength(), limit, "subgraphs"))
        )
        if not subgraphs:
            raise ValueError("no subgraph")
        return FileModel(path, subgraphs)


def _bounded(length: int, limit: int, what: str) -> int:
    """`length` of a vector of 4-byte items, or ValueError when the file cannot hold it."""
    if not 0 <= length * 4 <= limit:
        raise ValueError(f"{length} {what} do not fit the file")
    return length


def _present(table: Any) -> Any:
    if table is None:
        raise ValueError("a table is missing")
    return table


def _operator_kind(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _OPERATOR_NAMES.get(number, f"BUILTIN_{number}")
    if name == "CUSTOM":
        custom = code.CustomCode()
        return f"CUSTOM({custom.decode('utf-8', 'replace')[:64] if custom else '?'})"
    return name


def _read_subgraph(
    subgraph: Any, codes: list[str], buffers: list[Any], file: bytes
) -> FileSubgraph:
    limit = len(file)
    tensors = tuple(
        _read_tensor(i, _present(subgraph.Tensors(i)), buffers, file)
        for i in range(_bounded(subgraph.TensorsLength(), limit, "tensors"))
    )
    operators = tuple(
        _read_operator(i, _present(subgraph.Operators(i)), codes, len(tensors))
        for i in range(_bounded(subgraph.OperatorsLength(), limit, "operators"))
    )
    return FileSubgraph(
        tensors,
        operators,
        _indices(subgraph.InputsAsNumpy(), len(tensors), optional=False),
        _indices(subgraph.OutputsAsNumpy(), len(tensors), optional=False),
    )


def _indices(vector: Any, count: int, *, optional: bool) -> tuple[int, ...]:
    values = tuple(int(v) for v in np.atleast_1d(vector)) if not isinstance(vector, int) else ()
    lowest = -1 if optional else 0
    if any(not lowest <= v < count for v in values):
        raise ValueError(f"a tensor index is outside of the {count} tensors")
    return values


def _read_tensor(index: int, tensor: Any, buffers: list[Any], file: bytes) -> FileTensor:
    name = (tensor.Name() or b"").decode("utf-8", "replace")[:200] or f"tensor_{index}"
    dtype = _TYPE_NAMES.get(tensor.Type(), f"type_{tensor.Type()}")
    dims = [] if tensor.ShapeIsNone() else tensor.ShapeAsNumpy()
    if len(dims) > 8:
        raise ValueError(f"tensor '{name}' has {len(dims)} dimensions")
    shape = tuple(1 if i == 0 and d == -1 else int(d) for i, d in enumerate(dims))
    if any(d < 0 for d in shape):
        raise ValueError(f"tensor '{name}' has shape {list(shape)}")
    if tensor.Sparsity() is not None:
        raise ValueError(f"tensor '{name}' is sparse; export it dense")
    if prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"tensor '{name}' of shape {list(shape)} is too large")
    scale, zero_point, axis = _read_quantization(tensor, name)
    if tensor.Buffer() >= len(buffers):
        raise ValueError(f"tensor '{name}' names buffer {tensor.Buffer()} of {len(buffers)}")
    data = _read_data(name, dtype, shape, buffers[tensor.Buffer()], file)
    return FileTensor(index, name, shape, dtype, scale, zero_point, axis, data)


def _read_quantization(
    tensor: Any, name: str
) -> tuple[NDArray[np.float32] | None, NDArray[np.int64] | None, int]:
    quantization = tensor.Quantization()
    if quantization is None or 0 in (quantization.ScaleLength(), quantization.ZeroPointLength()):
        return None, None, 0  # TFLM, too, wants both
    scale = np.array(quantization.ScaleAsNumpy(), dtype=np.float32)
    zero_point = np.array(quantization.ZeroPointAsNumpy(), dtype=np.int64)
    if zero_point.size == 1 and scale.size > 1:
        zero_point = np.repeat(zero_point, scale.size)
    if zero_point.size != scale.size:
        raise ValueError(f"tensor '{name}' has {scale.size} scales, {zero_point.size} zero points")
    return scale, zero_point, int(quantization.QuantizedDimension())


def _read_data(
    name: str, dtype: str, shape: tuple[int, ...], buffer: Any, file: bytes
) -> NDArray[np.generic] | None:
    if buffer.Offset() > 1 or buffer.Size() > 1:  # data behind the flatbuffer, of large models
        raw = np.frombuffer(file, np.uint8, count=buffer.Size(), offset=buffer.Offset())
    elif buffer.DataIsNone() or buffer.DataLength() == 0:
        return None
    else:
        raw = buffer.DataAsNumpy()
    if dtype not in ("int8", "uint8", "int16", "int32", "int64", "float32", "bool"):
        raise ValueError(f"constant '{name}' has type {dtype}")
    array = np.frombuffer(raw.tobytes(), dtype=np.dtype(dtype).newbyteorder("<"))
    if array.size != prod(shape):
        raise ValueError(f"constant '{name}' of shape {list(shape)} holds {array.size} values")
    return array.reshape(shape)


def _read_operator(index: int, operator: Any, codes: list[str], tensors: int) -> FileOperator:
    code = operator.OpcodeIndex()
    if not 0 <= code < len(codes):
        raise ValueError(f"operator {index} names code {code} of {len(codes)}")

    def options(name: str) -> Any:
        table = operator.BuiltinOptions()
        if table is None:
            raise ValueError(f"operator {index} ({codes[code]}) has no {name}")
        accessor = getattr(tflite, name)()
        accessor.Init(table.Bytes, table.Pos)
        return accessor

    return FileOperator(
        index,
        codes[code],
        _indices(
            operator.InputsAsNumpy() if not operator.InputsIsNone() else 0, tensors, optional=True
        ),
        _indices(
            operator.OutputsAsNumpy() if not operator.OutputsIsNone() else 0,
            tensors,
            optional=False,
        ),
        options,
    )
