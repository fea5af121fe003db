"""The steps of `train` and `export`, from a data folder to files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from thumbnet.apps.face_unlock.dataset import (
    Identity,
    drawn,
    load_faces,
    read_identities,
    read_names,
)
from thumbnet.apps.face_unlock.model_files import (
    NAME,
    Facts,
    HostNetwork,
    read_facts,
    read_weights,
    write_decision,
    write_facts,
    write_weights,
)
from thumbnet.apps.face_unlock.network import (
    SMALL,
    Architecture,
    FaceNetwork,
    architecture_from,
    load_network,
)
from thumbnet.apps.face_unlock.quantized import int8_tflite
from thumbnet.apps.face_unlock.threshold import attempts, choose
from thumbnet.apps.face_unlock.training import Recipe, train
from thumbnet.codegen.compile import Compiled, Options, compile_model
from thumbnet.codegen.errors import DataError, ModelFormatError
from thumbnet.codegen.files import write_text
from thumbnet.codegen.output_folder import publish, staging_folder

CHECKPOINT = "checkpoint.pt"
TRAINING, VALIDATION = "training.txt", "validation.txt"  # names of identities, in the run's folder
_VALIDATION_SHARE = 8  # one of so many identities
_CALIBRATION_PICTURES = 1000


@dataclass(frozen=True)
class Training:
    """What to train. Results go to `out`/seed-N. `validation` None: an eighth of the identities."""

    data: Path
    out: Path
    held_out: tuple[str, ...]  # identities that are not read
    validation: tuple[str, ...] | None
    seed: int
    recipe: Recipe
    architecture: Architecture = SMALL
    teachers: tuple[Path, ...] = ()  # folders of trained networks to learn from

    @property
    def run(self) -> Path:
        return self.out / f"seed-{self.seed}"


def run_training(chosen: Training, progress: Callable[[str], None]) -> Facts:
    """Reads, trains (or goes on), and writes face.json, face.npz and the lists of identities into
    the run's folder.

    One thread: the network is tiny, and a seed then gives the same weights on any number of cores.
    Raises ThumbnetError.
    """
    teachers = [_teacher(folder, chosen) for folder in chosen.teachers]
    training, validation = _split(chosen)
    chosen.run.mkdir(parents=True, exist_ok=True)  # fails now rather than after the reading
    torch.set_num_threads(1)
    size = chosen.architecture.size
    faces = load_faces(training, size, chosen.recipe.margin_pixels)
    judged = load_faces(validation, size)
    progress(
        f"{len(faces.pictures)} pictures of {len(training)} identities to learn, "
        f"{len(judged.pictures)} of {len(validation)} to choose by"
    )
    trained = train(
        faces,
        judged,
        chosen.architecture,
        chosen.recipe,
        chosen.seed,
        chosen.run / CHECKPOINT,
        progress,
        teachers,
    )
    facts = Facts(
        architecture=asdict(chosen.architecture),
        data=chosen.data.resolve().name,
        training_identities=len(training),
        training_pictures=len(faces.pictures),
        validation_identities=tuple(sorted(i.name for i in validation)),
        seed=chosen.seed,
        epoch=trained.epoch,
        validation_auc=trained.auc,
    )
    state = trained.network.state_dict()
    write_weights(chosen.run, {name: tensor.numpy() for name, tensor in state.items()})
    write_names(chosen.run / TRAINING, [identity.name for identity in training])
    write_facts(chosen.run, facts)
    return facts


def _teacher(folder: Path, chosen: Training) -> FaceNetwork:
    """Raises ModelFormatError where it takes pictures of another size, DataError where it has
    learnt or was chosen by other identities: it would tell of people who are to be unknown."""
    facts = read_facts(folder)
    architecture = architecture_from(facts.architecture, folder)
    if architecture.size != chosen.architecture.size:
        raise ModelFormatError(
            f"{folder}: the teacher sees {architecture.size}x{architecture.size} pixels, the "
            f"network {chosen.architecture.size}x{chosen.architecture.size}"
        )
    unknown = {*chosen.held_out, *(chosen.validation or ())}
    known = sorted(unknown.intersection(read_names(folder / TRAINING)))
    if known:
        raise DataError(
            f"{folder}: the teacher has learnt '{known[0]}', who is held out or for validation; "
            "train it with the same lists"
        )
    return load_network(architecture, read_weights(folder), folder)


def _split(chosen: Training) -> tuple[tuple[Identity, ...], tuple[Identity, ...]]:
    """Identities for training and validation. Raises DataError."""
    both = sorted(set(chosen.held_out) & set(chosen.validation or ()))
    if both:
        raise DataError(f"identity '{both[0]}' is held out and for validation as well; choose one")
    present = [i for i in read_identities(chosen.data) if i.name not in chosen.held_out]
    if chosen.validation is None:
        several = sum(len(i.paths) > 1 for i in present)
        validation = drawn(present, max(2, several // _VALIDATION_SHARE))
    else:
        validation = read_identities(chosen.data, chosen.validation)
    names = {identity.name for identity in validation}
    training = tuple(i for i in present if i.name not in names)
    if len(training) < 2:
        raise DataError(
            f"{chosen.data}: {len(training)} identities are left to learn; give two or more"
        )
    if all(len(identity.paths) == 1 for identity in training):
        raise DataError(
            f"{chosen.data}: one picture of every identity; give some at least two, for the "
            "network to learn what stays the same"
        )
    return training, validation


def run_export(run: Path, data: Path, out: Path, far: float, options: Options) -> Compiled:
    """Quantises the network of a run, with its training pictures for calibration, chooses the
    threshold on its validation identities, and writes face.tflite, face.json, face.npz and
    decision.json into `out`, and its C into `out`/c: all or nothing. Raises ThumbnetError."""
    facts, weights = read_facts(run), read_weights(run)
    network = load_network(architecture_from(facts.architecture, run), weights, run)
    size = int(facts.architecture["size"])
    learnt = load_faces(read_identities(data, read_names(run / TRAINING)), size).inputs
    calibration = learnt[:: max(1, len(learnt) // _CALIBRATION_PICTURES)]
    judged = load_faces(read_identities(data, facts.validation_identities), size)
    with staging_folder(out) as staging:
        model = staging / f"{NAME}.tflite"
        model.write_bytes(int8_tflite(network, calibration))
        points = HostNetwork(model).embeddings(judged.inputs)
        chosen = f"{len(facts.validation_identities)} validation identities of {facts.data}"
        write_decision(staging, choose(attempts(points, judged.identities), far, chosen))
        write_facts(staging, facts)
        write_weights(staging, weights)
        compiled = compile_model(model, staging / "c", options)
        publish(staging, out)
    return replace(compiled, folder=out / "c")


def write_names(file: Path, names: Collection[str]) -> None:
    """A file that `read_names` reads."""
    write_text(file, "".join(f"{name}\n" for name in names))
