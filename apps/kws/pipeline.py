"""The steps of `train` and `export`, from a data folder to files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from thumbnet.apps.kws.dataset import (
    Corpus,
    check_commands,
    class_names,
    class_of,
    split_noises,
)
from thumbnet.apps.kws.evaluation import examples
from thumbnet.apps.kws.export import int8_tflite
from thumbnet.apps.kws.model_files import (
    NAME,
    Facts,
    read_facts,
    read_weights,
    write_facts,
    write_weights,
)
from thumbnet.apps.kws.network import SMALL
from thumbnet.apps.kws.renderings import Renderings, read_renderings, renderings
from thumbnet.apps.kws.training import (
    Labelled,
    Recipe,
    Teacher,
    TrainingSet,
    load_network,
    train,
)
from thumbnet.codegen.compile import Compiled, Options, compile_model
from thumbnet.codegen.errors import DataError, ModelFormatError
from thumbnet.codegen.output_folder import publish, staging_folder
from thumbnet.nas.architecture import Architecture

RENDERINGS = "renderings.npz"
CHECKPOINT = "checkpoint.pt"
RENDERING_SEED = 0  # all seeds of training share what was rendered
_CALIBRATION_CLIPS = 1000


@dataclass(frozen=True)
class Training:
    """What to train. Renderings are shared by the runs in `out`; a run has `out`/seed-N."""

    out: Path
    words: tuple[str, ...]
    seed: int
    renderings: int
    recipe: Recipe
    architecture: Architecture | None = None  # None: the network made by hand
    teacher: Path | None = None  # the folder of a trained network to learn from

    @property
    def run(self) -> Path:
        return self.out / f"seed-{self.seed}"


def run_training(corpus: Corpus, chosen: Training, progress: Callable[[str], None]) -> Facts:
    """Renders, trains (or goes on), and writes kws.json and kws.npz into the run's folder.

    One thread: the network is tiny, and a seed then gives the same weights on any number of cores.
    """
    check_commands(corpus, chosen.words)
    for split in ("training", "validation"):
        here = {class_of(clip.word, chosen.words) for clip in corpus.clips[split]}
        names = class_names(chosen.words)
        absent = [names[i] for i in range(len(names)) if i not in here and i != len(names) - 2]
        if absent:
            raise DataError(f"{corpus.folder}: no {split} clips of '{absent[0]}'")
    teacher = None if chosen.teacher is None else _teacher(chosen.teacher, chosen.words)
    chosen.run.mkdir(parents=True, exist_ok=True)  # fails now rather than after the rendering
    torch.set_num_threads(1)
    noises = split_noises(corpus)
    clips = corpus.clips["training"]
    rendered = renderings(
        clips,
        noises["training"],
        chosen.renderings,
        RENDERING_SEED,
        chosen.out / RENDERINGS,
        progress,
    )
    judged = examples(corpus.clips["validation"], noises["validation"], chosen.words)
    trained = train(
        training_set(corpus, chosen.words, rendered),
        Labelled(judged.columns, judged.classes),
        chosen.recipe,
        chosen.seed,
        chosen.run / CHECKPOINT,
        progress,
        chosen.architecture or SMALL,
        teacher,
    )
    facts = Facts(
        words=chosen.words,
        data=corpus.folder.resolve().name,
        seed=chosen.seed,
        epoch=trained.epoch,
        validation_accuracy=trained.accuracy,
        training_noises=tuple(path.name for path in noises["training"]),
        validation_noises=tuple(path.name for path in noises["validation"]),
        architecture=chosen.architecture,
        teacher=None if teacher is None else teacher.key,
    )
    state = trained.network.state_dict()
    write_weights(chosen.run, {name: tensor.numpy() for name, tensor in state.items()})
    write_facts(chosen.run, facts)
    return facts


def _teacher(folder: Path, words: tuple[str, ...]) -> Teacher:
    """Raises ModelFormatError where it knows other words."""
    facts, weights = read_facts(folder), read_weights(folder)
    if facts.words != words:
        raise ModelFormatError(
            f"{folder}: the teacher knows the words {', '.join(facts.words)}, and the network is "
            f"to learn {', '.join(words)}"
        )
    digest = hashlib.sha256()
    for _, array in sorted(weights.items()):
        digest.update(array.tobytes())
    architecture = facts.architecture or SMALL
    network = load_network(weights, len(facts.classes), folder, architecture)
    return Teacher(network, digest.hexdigest()[:16])


def training_set(corpus: Corpus, words: Sequence[str], rendered: Renderings) -> TrainingSet:
    """The rendered training clips with classes and words."""
    clips = corpus.clips["training"]
    return TrainingSet(
        words=rendered.words,
        classes=np.array([class_of(clip.word, words) for clip in clips], np.int64),
        word_numbers=np.array([corpus.words.index(clip.word) for clip in clips], np.int64),
        fragments=rendered.fragments,
        silences=rendered.silences,
        class_count=len(class_names(words)),
        word_count=len(corpus.words),
        key=f"{rendered.key} {' '.join(words)}",
    )


def run_export(run: Path, out: Path, options: Options) -> Compiled:
    """Quantises the network of a run, with renderings of its training clips for calibration, and
    writes kws.tflite, kws.json and kws.npz into `out`, and its C into `out`/c: all or nothing.
    Raises ThumbnetError."""
    facts, weights = read_facts(run), read_weights(run)
    rendered = read_renderings(run.parent / RENDERINGS)
    spoken = rendered.words[0]
    every = max(1, len(spoken) // _CALIBRATION_CLIPS)
    calibration = np.concatenate((spoken[::every], rendered.silences[: len(spoken) // every // 10]))
    network = load_network(weights, len(facts.classes), run, facts.architecture or SMALL)
    with staging_folder(out) as staging:
        model = staging / f"{NAME}.tflite"
        model.write_bytes(int8_tflite(network, calibration))
        write_facts(staging, facts)
        write_weights(staging, weights)
        compiled = compile_model(model, staging / "c", options)
        publish(staging, out)
    return replace(compiled, folder=out / "c")
