"""How well a network tells people apart whom it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.face_unlock.dataset import (
    HELD_OUT,
    VALIDATION,
    Faces,
    Identity,
    load_faces,
    read_identities,
    read_names,
)
from thumbnet.apps.face_unlock.model_files import (
    NAME,
    HostNetwork,
    read_facts,
    read_weights,
    without_zero_point,
)
from thumbnet.apps.face_unlock.verification import (
    Verification,
    pairs_of,
    verification,
    verified,
)
from thumbnet.codegen.errors import DataError


@dataclass(frozen=True)
class Others:
    """What to score beside the network. `learnt`: a folder of identities for eigenfaces; those that
    are tested or listed in heldout_lfw.txt and validation_lfw.txt are left out."""

    learnt: Path | None = None
    mobilefacenet: Path | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """`scores` by name: "float" (absent where torch is not installed), "int8", then what else was
    asked for."""

    identities: int
    pictures: int
    macs: int
    scores: dict[str, Verification]

    def to_json(self) -> dict[str, Any]:
        """The scores, and what they are of."""
        return {
            **{name: score.to_json() for name, score in self.scores.items()},
            "identities": self.identities,
            "pictures": self.pictures,
            "macs": self.macs,
        }


def evaluate(
    data: Path,
    model: Path,
    *,
    names: Sequence[str] | None = None,
    others: Others = Others(),
    board: str | None = None,
    most: int | None = None,
) -> Evaluation:
    """Scores the network in the folder `model` on all identities of `data`, or those of `names`.

    With `board` its first `most` pictures (None: all) also run there. Raises DataError where there
    is nothing to compare or what the board says is not, byte for byte, what the host says.
    """
    identities = read_identities(data, names)
    network = HostNetwork(model / f"{NAME}.tflite")
    faces = load_faces(identities, network.size)
    said = network.outputs(faces.inputs)
    scores: dict[str, Verification] = {}
    if find_spec("torch"):
        scores["float"] = verified(_float_embeddings(model, faces), faces.identities)
    scores["int8"] = verified(without_zero_point(said, network.manifest), faces.identities)
    if board is not None:
        first = Faces(faces.pictures[:most], faces.identities[:most])
        on_board = _equal_outputs(model, first, said[:most], board)
        points = without_zero_point(on_board, network.manifest)
        scores[f"int8 on {board}"] = verified(points, first.identities)
    scores.update(_scores_of(others, identities, faces))
    return Evaluation(len(identities), len(faces.pictures), network.manifest.macs, scores)


def _float_embeddings(model: Path, faces: Faces) -> NDArray[np.float32]:
    from thumbnet.apps.face_unlock.network import architecture_from, embeddings, load_network

    architecture = architecture_from(read_facts(model).architecture, model)
    return embeddings(load_network(architecture, read_weights(model), model), faces.inputs)


def _equal_outputs(
    model: Path, faces: Faces, said: NDArray[np.int8], board: str
) -> NDArray[np.int8]:
    from thumbnet.apps.face_unlock.emulated import board_outputs

    outputs = board_outputs(model / f"{NAME}.tflite", faces.inputs, board)
    wrong = np.flatnonzero((outputs != said).any(axis=1))
    if len(wrong):
        raise DataError(
            f"{board} differs from the host in {len(wrong)} of {len(said)} pictures, first in "
            f"number {wrong[0]}: this is a defect of Thumbnet; please report it"
        )
    return outputs


def _scores_of(
    others: Others, identities: Sequence[Identity], faces: Faces
) -> dict[str, Verification]:
    """Of what `others` names; nothing is imported for what it does not."""
    if others == Others():
        return {}
    from thumbnet.apps.face_unlock.baselines import MobileFaceNet, binary_patterns, eigenfaces

    found = {}
    if others.learnt is not None:
        learnt = _learnt(others.learnt, identities, faces.pictures.shape[1])
        found["eigenfaces"] = eigenfaces(learnt, faces.pictures)
        found["lbp"] = binary_patterns(faces.pictures)
    if others.mobilefacenet is not None:
        found["mobilefacenet"] = MobileFaceNet(others.mobilefacenet).scores(identities)
    return {
        name: verification(pairs_of(scores, faces.identities)) for name, scores in found.items()
    }


def _learnt(folder: Path, tested: Sequence[Identity], size: int) -> NDArray[np.uint8]:
    """Pictures of the identities of a folder that are for training."""
    left_out = {path for identity in tested for path in identity.paths}
    listed = {*read_names(HELD_OUT), *read_names(VALIDATION)}
    kept = [
        identity
        for identity in read_identities(folder)
        if identity.name not in listed and not left_out.intersection(identity.paths)
    ]
    if not kept:
        raise DataError(f"{folder}: all identities are tested; eigenfaces have none to learn")
    return load_faces(kept, size).pictures
