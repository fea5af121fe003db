"""A trained network on disk: `face.json` says what it is, `face.npz` holds the float weights,
`face.tflite` the int8 network that is compiled, and `decision.json` the threshold of the lock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.arrays import read_arrays, write_arrays
from thumbnet.apps.face_unlock.match import ONE
from thumbnet.codegen.build_cache import default_work_dir
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.errors import DataError, ModelFormatError
from thumbnet.codegen.files import read_json, write_json
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.toolchain import host_library

COMMITTED = Path(__file__).resolve().parent
NAME = "face"
DECISION = "decision.json"
SCALE, ZERO_POINT = 1 / 128, 0  # of the network's int8 input, grey - 128


@dataclass(frozen=True)
class Facts:
    """What a network is and what it was trained on. `architecture` is what `network.Architecture`
    is made of."""

    architecture: Mapping[str, Any]
    data: str  # the folder's name
    training_identities: int
    training_pictures: int
    validation_identities: tuple[str, ...]
    seed: int
    epoch: int  # of the weights
    validation_auc: float  # of the float network


def write_facts(folder: Path, facts: Facts) -> None:
    """Raises ToolError."""
    write_json(folder / f"{NAME}.json", asdict(facts))


def read_facts(folder: Path) -> Facts:
    """Raises ModelFormatError where the folder holds no trained network."""
    path = folder / f"{NAME}.json"
    try:
        entry = read_json(path)
        return Facts(
            architecture=dict(entry["architecture"]),
            data=str(entry["data"]),
            training_identities=int(entry["training_identities"]),
            training_pictures=int(entry["training_pictures"]),
            validation_identities=tuple(map(str, entry["validation_identities"])),
            seed=int(entry["seed"]),
            epoch=int(entry["epoch"]),
            validation_auc=float(entry["validation_auc"]),
        )
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(
            f"{path}: cannot read what the network was trained for: {error}; give a folder that "
            "train or export wrote"
        ) from error


def write_weights(folder: Path, weights: Mapping[str, NDArray[Any]]) -> None:
    """The same arrays give the same bytes. Raises ToolError."""
    write_arrays(folder / f"{NAME}.npz", weights)


def read_weights(folder: Path) -> dict[str, NDArray[Any]]:
    """Raises ModelFormatError."""
    return read_arrays(folder / f"{NAME}.npz")


@dataclass(frozen=True)
class Decision:
    """A face is known when its cosine with a user's template, of `frames` pictures, is at least
    `threshold` / 32768. `far` and `tar` are the shares of attempts of others and of users that
    reached it on the identities by which it was chosen."""

    threshold: int
    frames: int
    far: float
    tar: float
    chosen: str  # on what

    def __post_init__(self) -> None:
        if not (0 < self.threshold <= ONE and self.frames >= 1):
            raise DataError(
                f"decision: a threshold is above 0 and at most {ONE}, a template is of 1 picture "
                f"or more; not {self.threshold}, {self.frames}"
            )


def write_decision(folder: Path, decision: Decision) -> None:
    """Raises ToolError."""
    write_json(folder / DECISION, asdict(decision))


def read_decision(folder: Path) -> Decision:
    """Raises ModelFormatError."""
    path = folder / DECISION
    try:
        entry = read_json(path)
        return Decision(
            int(entry["threshold"]),
            int(entry["frames"]),
            float(entry["far"]),
            float(entry["tar"]),
            str(entry["chosen"]),
        )
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(f"{path}: cannot read the lock's threshold: {error}") from error


class HostNetwork:
    """The int8 network as the C that the firmware runs, compiled for this machine.

    Raises ThumbnetError where it cannot be compiled, and ModelFormatError where it is none that
    takes a grey picture.
    """

    def __init__(self, model: Path) -> None:
        try:
            digest = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise ModelFormatError(f"{model}: cannot read the int8 network: {error}") from error
        folder = default_work_dir() / "face_unlock" / digest
        options = Options(target="host", optimize="latency", name=NAME)
        self.manifest = compile_model(model, folder, options).manifest
        self.size = picture_size(self.manifest, model)
        self._run = HostModel(host_library(folder), self.manifest)

    def outputs(self, pictures: NDArray[np.int8]) -> NDArray[np.int8]:
        """What the network says, [n, dimensions], of int8 pictures [n, size, size]."""
        if pictures.dtype != np.int8 or pictures.shape[1:] != (self.size, self.size):
            raise DataError(
                f"the network takes int8 pictures [n, {self.size}, {self.size}], not "
                f"{pictures.dtype} {list(pictures.shape)}"
            )
        said = [self._run([picture.tobytes()])[0] for picture in pictures]
        return np.frombuffer(b"".join(said), np.int8).reshape(len(pictures), -1)

    def embeddings(self, pictures: NDArray[np.int8]) -> NDArray[np.int16]:
        """The same without the zero point: what is compared."""
        return without_zero_point(self.outputs(pictures), self.manifest)


def without_zero_point(outputs: NDArray[np.int8], manifest: Manifest) -> NDArray[np.int16]:
    return outputs.astype(np.int16) - np.int16(manifest.outputs[0].zero_point)


def picture_size(manifest: Manifest, model: Path) -> int:
    """Side of the picture that a compiled network takes. ModelFormatError where it is no embedding
    of a grey picture."""
    source, result = manifest.inputs[0], manifest.outputs[0]
    side = source.shape[1] if len(source.shape) == 4 else 0
    if (
        len(manifest.inputs) != 1
        or len(manifest.outputs) != 1
        or (source.dtype, source.shape) != ("int8", (1, side, side, 1))
        or (source.scale, source.zero_point) != (SCALE, ZERO_POINT)
        or result.dtype != "int8"
    ):
        raise ModelFormatError(
            f"{model}: its input is {source.dtype} {list(source.shape)}, scale {source.scale}, "
            f"zero point {source.zero_point}; an embedding network takes one grey picture, int8 "
            f"[1, size, size, 1], scale {SCALE}, zero point {ZERO_POINT}, and gives one int8 vector"
        )
    return side
