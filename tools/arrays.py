"""Arrays in and out: reading .npy, quantising as the generated header does, drawing test inputs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import DataError
from thumbnet.codegen.manifest import EdgeEntry

Array = NDArray[Any]


class Integers(Protocol):
    """What says how integers stand for real numbers: an edge of a manifest, a tensor of a graph."""

    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def scale(self) -> float | np.float32: ...
    @property
    def zero_point(self) -> int: ...


def load_array(path: Path) -> Array:
    """One .npy array. Raises DataError."""
    try:
        with path.open("rb") as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"cannot read {path} as a .npy array: {reason}") from error
    return array


def load_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a .npz by name. Raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, MemoryError, AttributeError, BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"cannot read {path} as a .npz file: {reason}") from error


def save_array(path: Path, array: Array) -> None:
    """Writes a .npy under a temporary name, then renames it. Raises DataError."""
    try:
        handle, name = tempfile.mkstemp(dir=path.resolve().parent, suffix=".npy")
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, array)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error


def split_calls(array: Array, edge: EdgeEntry, source: str) -> tuple[list[Array], bool]:
    """The array as one item per call, and whether it had the extra leading axis.

    Accepts the input's shape, the same with an extra leading axis, and float32 or the input's own
    integer type. Raises DataError.
    """
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if str(array.dtype) not in ("float32", edge.dtype):
        raise DataError(
            f"{source} has type {array.dtype}; input '{edge.name}' takes {edge.dtype} or float32"
        )
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise DataError(f"{source} holds NaN or infinity; input '{edge.name}' needs numbers")
    if array.shape == edge.shape:
        return [array], False
    if array.ndim == len(edge.shape) + 1 and array.shape[1:] == edge.shape and len(array):
        return list(array), True
    raise DataError(
        f"{source} has shape {list(array.shape)}; input '{edge.name}' takes {list(edge.shape)}, "
        "or that with one more leading axis for several calls"
    )


def quantize(real: Array, edge: Integers) -> Array:
    """float32 -> the input's integers: half away from zero, saturated. Integers pass through."""
    if real.dtype != np.float32:
        return real
    limits = np.iinfo(edge.dtype)
    with np.errstate(over="ignore"):
        scaled = real / np.float32(edge.scale)
    whole = np.trunc(scaled)
    rounded = whole + np.where(np.abs(scaled - whole) >= 0.5, np.sign(scaled), 0)
    return np.clip(rounded.astype(np.float64) + edge.zero_point, limits.min, limits.max).astype(
        edge.dtype
    )


def dequantize(q: Array, edge: EdgeEntry) -> Array:
    """Integers -> float32 where the source model had float outputs, else unchanged."""
    if not edge.float:
        return q
    return np.float32(edge.scale) * (q.astype(np.int32) - edge.zero_point).astype(np.float32)


def random_calls(edges: Sequence[Integers], count: int) -> list[list[Array]]:
    """`count` calls of integer inputs from several distributions, extremes first; seeded."""
    generator = np.random.default_rng(20)
    return [[_draw(generator, edge, i) for edge in edges] for i in range(count)]


def _draw(generator: np.random.Generator, edge: Integers, kind: int) -> Array:
    limits = np.iinfo(edge.dtype)
    low, high, shape = int(limits.min), int(limits.max), edge.shape
    span = high - low

    def full(value: int) -> Array:
        return np.full(shape, value)

    def ramp() -> Array:
        return np.linspace(low, high, int(np.prod(shape))).reshape(shape)

    def checkers() -> Array:
        return np.where(np.arange(int(np.prod(shape))).reshape(shape) % 2, low, high)

    if kind < 6:
        fixed = (full(low), full(high), full(edge.zero_point), ramp(), checkers(), full(0))
        values = fixed[kind]
    elif kind % 4 == 0:
        values = generator.normal(edge.zero_point, span / 10, shape)
    elif kind % 4 == 1:
        values = generator.choice(np.array([low, high]), shape)
    elif kind % 4 == 2:
        values = np.where(
            generator.random(shape) < 0.05, generator.integers(low, high, shape), edge.zero_point
        )
    else:
        values = generator.integers(low, high + 1, shape)
    return np.clip(np.rint(values), low, high).astype(edge.dtype)
