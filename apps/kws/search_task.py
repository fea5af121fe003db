"""Keyword spotting as a task of the network search: the app's renderings, epochs and augmentation.

Networks are compared by what the validation speakers say; the testing speakers are the task's test
split. A second head for all words, which the app's own training has, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from thumbnet.apps.kws.column_augment import GENTLE, augment_columns
from thumbnet.apps.kws.dataset import (
    Corpus,
    check_commands,
    class_names,
    most_frequent_words,
    read_corpus,
    split_noises,
)
from thumbnet.apps.kws.evaluation import examples
from thumbnet.apps.kws.features import BANDS, COLUMNS, SCALE, ZERO_POINT
from thumbnet.apps.kws.pipeline import RENDERING_SEED, RENDERINGS, training_set
from thumbnet.apps.kws.renderings import renderings
from thumbnet.apps.kws.training import Recipe, TrainingSet, epoch_of
from thumbnet.nas.task import Stored, Task, task_from_datasets

NAME = "keywords"
COUNT = 24  # renderings of each clip
_COMPOSITION_SEED = 0


def keyword_task(
    folder: Path,
    out: Path,
    progress: Callable[[str], None],
    words: Sequence[str] | None = None,
    count: int = COUNT,
) -> Task:
    """The task of a folder of the Google Speech Commands layout. Renderings are made once and kept
    in `out`, as `train --out` does. `words` are those of most clips without. Raises DataError.
    """
    corpus = read_corpus(folder)
    chosen = tuple(sorted(words)) if words else most_frequent_words(corpus)
    check_commands(corpus, chosen)
    noises = split_noises(corpus)
    rendered = renderings(
        corpus.clips["training"],
        noises["training"],
        count,
        RENDERING_SEED,
        out / RENDERINGS,
        progress,
    )
    return task_from_datasets(
        NAME,
        class_names(chosen),
        training_samples(training_set(corpus, chosen, rendered)),
        _spoken(corpus, noises["validation"], chosen, "validation"),
        _spoken(corpus, noises["testing"], chosen, "testing"),
        input_shape=(COLUMNS, BANDS, 1),
        scale=SCALE,
        zero_point=ZERO_POINT,
        augment=augmented,
    )


def training_samples(training: TrainingSet) -> Dataset:
    """As many epochs of the app's training as there are renderings, one after the other: so every
    rendering of a command is there about once, and other sounds in their proportion."""
    rng = np.random.default_rng(_COMPOSITION_SEED)
    epochs = [epoch_of(training, Recipe(), rng)[:2] for _ in range(len(training.words))]
    return _stored(*(np.concatenate(parts) for parts in zip(*epochs, strict=True)))


def augmented(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """Columns [N, 1, COLUMNS, BANDS] stretched, warped and coloured at random."""
    lowest, highest = ((q - ZERO_POINT) * SCALE for q in (-128, 127))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(1 << 62)))
        return augment_columns(inputs, lowest, highest, GENTLE)


def _spoken(corpus: Corpus, noises: Sequence[Path], words: Sequence[str], split: str) -> Dataset:
    found = examples(corpus.clips[split], noises, words)
    return _stored(found.columns, found.classes)


def _stored(columns: NDArray[np.int8], classes: NDArray[np.int64]) -> Stored:
    return Stored(torch.from_numpy(columns).unsqueeze(1), torch.from_numpy(classes))
