"""How well a trained network does on speakers and noise that its training never heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.kws.dataset import (
    Clip,
    Corpus,
    class_of,
    load_clips,
    load_noises,
    silence_clips,
)
from thumbnet.apps.kws.features import log_mel
from thumbnet.apps.kws.model_files import (
    NAME,
    Facts,
    HostNetwork,
    read_facts,
    read_weights,
)
from thumbnet.codegen.errors import DataError

_CLIPS_A_SILENCE = 10  # one clip of silence for so many of words


@dataclass(frozen=True, eq=False)
class Examples:
    """int8 columns [n, ...], the class of each, and who speaks ("" for silence)."""

    columns: NDArray[np.int8]
    classes: NDArray[np.int64]
    speakers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Score:
    """Of one network on examples. `confusion` [true, predicted] counts."""

    accuracy: float
    confusion: NDArray[np.int64]
    by_speaker: dict[str, float]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """`float_score` is None where torch is not installed."""

    facts: Facts
    int8_score: Score
    float_score: Score | None
    clips: int
    speakers: tuple[str, ...]
    silence_files: tuple[Path, ...]
    macs: int

    @property
    def silence_clips(self) -> int:
        return int(self.int8_score.confusion[-2].sum())

    def to_json(self) -> dict[str, Any]:
        scores = {"int8": self.int8_score, "float": self.float_score}
        return {
            "accuracy_float": self.float_score.accuracy if self.float_score else None,
            "accuracy_int8": self.int8_score.accuracy,
            "clips": self.clips,
            "speakers": len(self.speakers),
            "silence_clips": self.silence_clips,
            "silence_files": [path.name for path in self.silence_files],
            "classes": list(self.facts.classes),
            "by_speaker": {
                name: score.by_speaker for name, score in scores.items() if score is not None
            },
            "confusion_int8": self.int8_score.confusion.tolist(),
            "macs": self.macs,
        }


def examples(clips: Sequence[Clip], noises: Sequence[Path], words: Sequence[str]) -> Examples:
    """Clips of words and, a tenth as many, crops of noise files as silence."""
    silences = silence_clips(load_noises(noises), round(len(clips) / _CLIPS_A_SILENCE))
    classes = [class_of(clip.word, words) for clip in clips] + [len(words)] * len(silences)
    return Examples(
        log_mel([*load_clips(clips), *silences]),
        np.array(classes, np.int64),
        tuple(clip.speaker for clip in clips) + ("",) * len(silences),
    )


def evaluate(corpus: Corpus, model: Path) -> Evaluation:
    """Scores the network in the folder `model` on the corpus's testing clips.

    Silence is cropped from the noise files that the network's training and choice have not heard.
    Raises DataError where there are no clips or no such files.
    """
    facts = read_facts(model)
    clips = corpus.clips["testing"]
    _check_words(corpus, facts)
    heard = {*facts.training_noises, *facts.validation_noises}
    noises = tuple(path for path in corpus.noises if path.name not in heard)
    if not noises:
        raise DataError(
            f"{corpus.folder}: no noise file in _background_noise_ that the network has not been "
            "trained with; add one, for silence to be tested"
        )
    tested = examples(clips, noises, facts.words)
    network = HostNetwork(model / f"{NAME}.tflite")
    return Evaluation(
        facts,
        score(network.outputs(tested.columns), tested, len(facts.classes)),
        _float_score(model, tested, facts) if find_spec("torch") else None,
        clips=len(tested.classes),
        speakers=tuple(sorted({clip.speaker for clip in clips})),
        silence_files=noises,
        macs=network.macs,
    )


def _check_words(corpus: Corpus, facts: Facts) -> None:
    """DataError where the testing clips cannot tell a good network from a bad one."""
    listed = corpus.folder / "testing_list.txt"
    said = {clip.word for clip in corpus.clips["testing"]}
    if not said:
        raise DataError(f"{listed}: names no clips to test on")
    if not said.intersection(facts.words):
        raise DataError(
            f"{listed}: none of its clips is of a word that the network knows: "
            f"{', '.join(facts.words)}"
        )
    if len({class_of(word, facts.words) for word in said}) == 1:
        raise DataError(f"{listed}: one class only, '{said.pop()}'; a score needs at least two")


def _float_score(model: Path, tested: Examples, facts: Facts) -> Score:
    from thumbnet.apps.kws.network import SMALL
    from thumbnet.apps.kws.training import load_network, logits

    architecture = facts.architecture or SMALL
    network = load_network(read_weights(model), len(facts.classes), model, architecture)
    return score(logits(network, tested.columns), tested, len(facts.classes))


def score(outputs: NDArray[Any], tested: Examples, class_count: int) -> Score:
    """Counts what outputs [n, classes] say: the class is the first of the largest outputs."""
    predicted = outputs.argmax(axis=1)
    right = predicted == tested.classes
    confusion = np.zeros((class_count, class_count), np.int64)
    np.add.at(confusion, (tested.classes, predicted), 1)
    speakers = np.array(tested.speakers)
    by_speaker = {
        str(name): float(right[speakers == name].mean()) for name in np.unique(speakers) if name
    }
    return Score(float(right.mean()), confusion, by_speaker)
