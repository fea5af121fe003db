"""A trained network on disk: `kws.json` says what it is, `kws.npz` holds the float weights, and
`kws.tflite` the int8 network that is compiled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cffi
import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.arrays import read_arrays, write_arrays
from thumbnet.apps.kws.dataset import class_names
from thumbnet.apps.kws.features import BANDS, COLUMNS, SCALE, ZERO_POINT
from thumbnet.codegen.build_cache import default_work_dir
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.errors import DataError, ModelFormatError, ToolError
from thumbnet.codegen.toolchain import host_library
from thumbnet.nas.architecture import Architecture, from_json

COMMITTED = Path(__file__).resolve().parent
NAME = "kws"


@dataclass(frozen=True)
class Facts:
    """What a network was trained for and on. `words` are its first outputs, in order; the noise
    files are those that training and the choice of the network have heard."""

    words: tuple[str, ...]
    data: str  # the folder's name
    seed: int
    epoch: int  # of the weights
    validation_accuracy: float  # of the float network
    training_noises: tuple[str, ...]
    validation_noises: tuple[str, ...]
    architecture: Architecture | None = None  # None: the network made by hand
    teacher: str | None = None  # whose outputs it learnt, too: a hash of the weights

    @property
    def classes(self) -> tuple[str, ...]:
        return class_names(self.words)


def write_facts(folder: Path, facts: Facts) -> None:
    entry = asdict(facts) | {"classes": facts.classes}
    del entry["architecture"], entry["teacher"]
    if facts.architecture is not None:
        entry["architecture"] = facts.architecture.to_json()
    if facts.teacher is not None:
        entry["teacher"] = facts.teacher
    (folder / f"{NAME}.json").write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")


def read_facts(folder: Path) -> Facts:
    """Raises ModelFormatError where the folder holds no trained network."""
    path = folder / f"{NAME}.json"
    try:
        entry: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return Facts(
            words=tuple(map(str, entry["words"])),
            data=str(entry["data"]),
            seed=int(entry["seed"]),
            epoch=int(entry["epoch"]),
            validation_accuracy=float(entry["validation_accuracy"]),
            training_noises=tuple(map(str, entry["training_noises"])),
            validation_noises=tuple(map(str, entry["validation_noises"])),
            architecture=_architecture(entry, path),
            teacher=None if entry.get("teacher") is None else str(entry["teacher"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(
            f"{path}: cannot read what the network was trained for: {error!r}; "
            "give a folder that train wrote"
        ) from error


def _architecture(entry: Mapping[str, Any], path: Path) -> Architecture | None:
    found = entry.get("architecture")
    if found is None:
        return None
    return fitting(from_json(found, str(path)), class_names(entry["words"]), str(path))


def read_architecture(path: Path, words: Sequence[str]) -> Architecture:
    """A searched architecture for the front end's columns and the classes of `words`. Raises
    ModelFormatError."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path}: cannot read this architecture: {error}") from error
    return fitting(from_json(value, str(path)), class_names(words), str(path))


def fitting(architecture: Architecture, classes: Sequence[str], source: str) -> Architecture:
    """The architecture itself; ModelFormatError where input or classes are others."""
    if architecture.input_shape != (COLUMNS, BANDS, 1):
        raise ModelFormatError(
            f"{source}: the architecture's input is {list(architecture.input_shape)}; the front "
            f"end gives {[COLUMNS, BANDS, 1]}"
        )
    if architecture.classes != len(classes):
        raise ModelFormatError(
            f"{source}: the architecture has {architecture.classes} classes, and the words with "
            f"silence and unknown are {len(classes)}: {', '.join(classes)}"
        )
    return architecture


def write_weights(folder: Path, weights: Mapping[str, NDArray[Any]]) -> None:
    """The same arrays give the same bytes."""
    write_arrays(folder / f"{NAME}.npz", weights)


def read_weights(folder: Path) -> dict[str, NDArray[Any]]:
    """Raises ModelFormatError."""
    return read_arrays(folder / f"{NAME}.npz")


class HostNetwork:
    """The int8 network as the C that the firmware runs, compiled for this machine.

    Raises ThumbnetError where it cannot be compiled, and ModelFormatError where its input is not
    what the front end gives.
    """

    def __init__(self, model: Path) -> None:
        try:
            digest = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise ModelFormatError(f"{model}: cannot read the int8 network: {error}") from error
        folder = default_work_dir() / "kws" / digest
        self._manifest = compile_model(
            model, folder, Options(target="host", optimize="latency", name=NAME)
        ).manifest
        (source,), (self._result,) = self._manifest.inputs, self._manifest.outputs
        self._source = source
        if (source.bytes, source.dtype) != (COLUMNS * BANDS, "int8") or (
            source.scale,
            source.zero_point,
        ) != (SCALE, ZERO_POINT):
            raise ModelFormatError(
                f"{model}: its input is {source.dtype} {list(source.shape)}, scale {source.scale}, "
                f"zero point {source.zero_point}; the front end gives int8 columns "
                f"[{COLUMNS}, {BANDS}], scale {SCALE}, zero point {ZERO_POINT}"
            )
        self._ffi = cffi.FFI()
        self._ffi.cdef(f"void {NAME}_run(uint8_t *arena);")
        library = host_library(folder)
        try:
            self._library = self._ffi.dlopen(str(library))
        except OSError as error:
            raise ToolError(f"cannot load {library}: {error}") from error
        self._memory = self._ffi.new("uint64_t[]", self._manifest.arena_bytes // 8 + 1)
        self._arena = self._ffi.cast("uint8_t *", self._memory)

    @property
    def macs(self) -> int:
        """For one second of columns at once."""
        return self._manifest.macs

    def outputs(self, columns: NDArray[np.int8]) -> NDArray[np.int8]:
        """Outputs [n, classes] for columns [n, COLUMNS, BANDS]."""
        if columns.dtype != np.int8 or columns.shape[1:] != (COLUMNS, BANDS):
            raise DataError(
                f"the network takes int8 columns [n, {COLUMNS}, {BANDS}], not {columns.dtype} "
                f"{list(columns.shape)}"
            )
        results = np.empty((len(columns), self._result.bytes), np.int8)
        for window, result in zip(np.ascontiguousarray(columns), results, strict=True):
            self._ffi.memmove(self._arena + self._source.offset, window.tobytes(), window.size)
            self._library.kws_run(self._arena)
            result[:] = np.frombuffer(
                self._ffi.buffer(self._arena + self._result.offset, self._result.bytes), np.int8
            )
        return results
