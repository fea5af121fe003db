"""Training: an epoch of fresh renderings at a time, judged by speakers that it never hears.

What is kept is the moving average of the weights. Every epoch draws from generators seeded with
(seed, epoch), and a checkpoint holds all else, so a run that was killed goes on to the very weights
that it would have reached.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from thumbnet.apps.kws.column_augment import GENTLE, STRONG, ColumnRanges, augment_columns
from thumbnet.apps.kws.features import SCALE, ZERO_POINT
from thumbnet.apps.kws.network import SMALL, Architecture, make_network, network_input
from thumbnet.apps.training import follow, learning_rate_share
from thumbnet.codegen.errors import ModelFormatError
from thumbnet.nas import architecture as nas
from thumbnet.nas.checkpoint import read_checkpoint, write_checkpoint

Progress = Callable[[str], None]
AnyArchitecture = Architecture | nas.Architecture  # made by hand, or searched

_NO_WORD = -100  # cross_entropy leaves these out


@dataclass(frozen=True)
class Recipe:
    """How to train. Shares are of the number of command clips in an epoch."""

    epochs: int = 160
    patience: int = 50  # epochs without a lower validation loss before it stops
    batch: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    smoothing: float = 0.05  # of labels
    dropout: float = 0.1
    words_weight: float = 0.5  # of the loss of the second head, which tells all words apart
    average: float = 0.995  # of the moving average of the weights, a step
    unknown: float = 0.85
    silence: float = 0.24
    fragments: float = 0.08
    temperature: float = 2.0  # at which a teacher's outputs are learnt, where there is one
    ranges: ColumnRanges = STRONG


# What a network of 20,000 weights learns best depends on where it will listen. "strong" leaves it
# less sure, and better at voices and rooms that are unlike those it was trained on; "gentle" is
# better at clips that are like them, of speakers that it does not know (MODEL_CARD.md).
RECIPES = {
    "strong": Recipe(),
    "gentle": Recipe(smoothing=0.0, dropout=0.0, ranges=GENTLE),
}


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """int8 columns: `words` [renderings, clips, ...] with class and word of each clip; `fragments`
    and `silences` [n, ...]. The last two classes are silence and unknown."""

    words: NDArray[np.int8]
    classes: NDArray[np.int64]  # [clips]
    word_numbers: NDArray[np.int64]  # [clips]
    fragments: NDArray[np.int8]
    silences: NDArray[np.int8]
    class_count: int
    word_count: int
    key: str  # of the data, for checkpoints

    @property
    def silence(self) -> int:
        return self.class_count - 2

    @property
    def unknown(self) -> int:
        return self.class_count - 1


@dataclass(frozen=True, eq=False)
class Labelled:
    """int8 columns [n, ...] and the class of each."""

    columns: NDArray[np.int8]
    classes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network whose outputs another one learns beside the classes."""

    network: nn.Module  # in evaluation mode; the same classes
    key: str  # a hash of its weights, for checkpoints


@dataclass(frozen=True, eq=False)
class Trained:
    """The network of the best epoch: that of the lowest loss on validation."""

    network: nn.Module
    accuracy: float  # on validation
    epoch: int


def train(
    training: TrainingSet,
    validation: Labelled,
    recipe: Recipe,
    seed: int,
    checkpoint: Path,
    progress: Progress,
    architecture: AnyArchitecture = SMALL,
    teacher: Teacher | None = None,
) -> Trained:
    """Trains, or goes on from `checkpoint`. Raises DataError where that is of another run."""
    torch.manual_seed(seed)
    run = _Run(training, recipe, seed, architecture, teacher)
    run.resume(checkpoint)
    while run.epoch < recipe.epochs and run.epoch - run.best_epoch < recipe.patience:
        loss = run.train_epoch(training)
        judged = run.judge(validation)
        run.save(checkpoint)
        progress(
            f"seed {seed}, epoch {run.epoch} of {recipe.epochs}: loss {loss:.3f}, validation "
            f"loss {judged.loss:.3f} ({judged.accuracy:.2%} right), least {run.best.loss:.3f} "
            f"({run.best.accuracy:.2%}) at {run.best_epoch}"
        )
    network = make_network(training.class_count, architecture)
    network.load_state_dict(run.best_weights)
    return Trained(network.eval(), run.best.accuracy, run.best_epoch)


def logits(network: nn.Module, columns: NDArray[np.int8], batch: int = 256) -> NDArray[np.float32]:
    """Outputs [n, classes] of a float network in evaluation mode, for int8 columns [n, ...]."""
    network.eval()
    with torch.no_grad():
        parts = [
            network(network_input(torch.from_numpy(columns[i : i + batch]), SCALE, ZERO_POINT))
            for i in range(0, len(columns), batch)
        ]
    return torch.cat(parts).numpy()


def load_network(
    weights: Mapping[str, NDArray[Any]],
    classes: int,
    source: Path,
    architecture: AnyArchitecture = SMALL,
) -> nn.Module:
    """The float network with weights that were stored. ModelFormatError, naming `source`, where
    they are another network's."""
    network = make_network(classes, architecture)
    try:
        network.load_state_dict({name: torch.from_numpy(a) for name, a in weights.items()})
    except RuntimeError as error:
        raise ModelFormatError(f"{source}: weights of another network: {error}") from error
    return network.eval()


@dataclass(frozen=True)
class _Judged:
    loss: float
    accuracy: float


class _Run:
    """State of one training run, between epochs."""

    def __init__(
        self,
        training: TrainingSet,
        recipe: Recipe,
        seed: int,
        architecture: AnyArchitecture,
        teacher: Teacher | None,
    ) -> None:
        self.recipe, self.seed, self.teacher = recipe, seed, teacher
        self.network = make_network(training.class_count, architecture, recipe.dropout)
        if isinstance(architecture, nas.Architecture):  # faster; the other keeps its figures
            self.network = self.network.to(memory_format=torch.channels_last)
        self.words = nn.Linear(self.network.classifier.in_features, training.word_count + 1)
        self.average = copy.deepcopy(self.network)
        parameters = [*self.network.parameters(), *self.words.parameters()]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1]},
                {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
        )
        self.epoch = self.steps = self.best_epoch = 0
        self.best = _Judged(math.inf, 0.0)
        self.best_weights: dict[str, Tensor] = copy.deepcopy(self.average.state_dict())
        self.identity = {
            "recipe": asdict(recipe),
            "seed": seed,
            "architecture": repr(architecture),
            "data": training.key,
        }
        if teacher is not None:
            self.identity["teacher"] = teacher.key

    def resume(self, file: Path) -> None:
        if not file.exists():
            return
        state = read_checkpoint(file, self.identity)
        self.network.load_state_dict(state["network"])
        self.words.load_state_dict(state["words"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.best_weights = _Judged(*state["best"]), state["best_weights"]
        self.epoch, self.steps, self.best_epoch = state["counters"]

    def save(self, file: Path) -> None:
        write_checkpoint(
            file,
            {
                "identity": self.identity,
                "network": self.network.state_dict(),
                "words": self.words.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "best": (self.best.loss, self.best.accuracy),
                "best_weights": self.best_weights,
                "counters": (self.epoch, self.steps, self.best_epoch),
            },
        )

    def train_epoch(self, training: TrainingSet) -> float:
        """One pass; the mean loss."""
        rng = np.random.default_rng((self.seed, self.epoch))
        torch.manual_seed(int(rng.integers(1 << 62)))
        columns, classes, words = epoch_of(training, self.recipe, rng)
        lowest, highest = ((q - ZERO_POINT) * SCALE for q in (-128, 127))
        self.network.train()
        batches = range(0, max(1, len(columns) - self.recipe.batch + 1), self.recipe.batch)
        total = 0.0
        for start in batches:
            part = slice(start, start + self.recipe.batch)
            x = network_input(torch.from_numpy(columns[part]), SCALE, ZERO_POINT)
            x = augment_columns(x, lowest, highest, self.recipe.ranges)
            features = self.network.features(x)
            said = self.network.classifier(features)
            loss = cross_entropy(
                said, torch.from_numpy(classes[part]), label_smoothing=self.recipe.smoothing
            )
            if self.teacher is not None:
                loss = self._taught(loss, said, x)
            loss = loss + self.recipe.words_weight * cross_entropy(
                self.words(features),
                torch.from_numpy(words[part]),
                label_smoothing=self.recipe.smoothing,
                ignore_index=_NO_WORD,
            )
            share = learning_rate_share(self.steps, len(batches), self.recipe.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate * share
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.steps += 1
            follow(self.average, self.network, self.steps, self.recipe.average)
            total += loss.item()
        self.epoch += 1
        return total / len(batches)

    def _taught(self, loss: Tensor, said: Tensor, x: Tensor) -> Tensor:
        """Half of the loss, and half of what it costs to say other than the teacher (Hinton et
        al., 2015, section 2.1, where gradients of the two are of one size)."""
        assert self.teacher is not None
        warmth = self.recipe.temperature
        with torch.no_grad():
            wanted = torch.softmax(self.teacher.network(x) / warmth, dim=1)
        return 0.5 * loss + 0.5 * warmth**2 * cross_entropy(said / warmth, wanted)

    def judge(self, validation: Labelled) -> _Judged:
        """The average on validation; it is kept where its loss, which is steadier than the count
        of right answers, is lower than any before."""
        outputs = logits(self.average, validation.columns)
        loss = cross_entropy(torch.from_numpy(outputs), torch.from_numpy(validation.classes))
        accuracy = float((outputs.argmax(axis=1) == validation.classes).mean())
        judged = _Judged(loss.item(), accuracy)
        if judged.loss < self.best.loss:
            self.best, self.best_epoch = judged, self.epoch
            self.best_weights = copy.deepcopy(self.average.state_dict())
        return judged


def epoch_of(
    training: TrainingSet, recipe: Recipe, rng: np.random.Generator
) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
    """Columns, classes and words of one epoch, shuffled: a rendering of every command clip, and
    unknown words, fragments of words and silence in proportion."""
    commands = np.flatnonzero(training.classes < training.silence)
    others = _drawn(
        np.flatnonzero(training.classes == training.unknown),
        round(recipe.unknown * commands.size),
        rng,
    )
    clips = np.concatenate((commands, others))
    spoken = training.words[rng.integers(len(training.words), size=clips.size), clips]
    extra = [
        _drawn(np.arange(len(columns)), max(1, round(share * commands.size)), rng)
        for columns, share in (
            (training.fragments, recipe.fragments),
            (training.silences, recipe.silence),
        )
    ]
    columns = np.concatenate((spoken, training.fragments[extra[0]], training.silences[extra[1]]))
    classes = np.concatenate(
        (
            training.classes[clips],
            np.full(extra[0].size, training.unknown),
            np.full(extra[1].size, training.silence),
        )
    )
    words = np.concatenate(
        (
            training.word_numbers[clips],
            np.full(extra[0].size, _NO_WORD),
            np.full(extra[1].size, training.word_count),  # silence
        )
    )
    order = rng.permutation(len(columns))
    return columns[order], classes[order], words[order]


def _drawn(items: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` of the items, each as often as any other, give or take one."""
    whole, rest = divmod(count, items.size)
    return np.concatenate((np.tile(items, whole), rng.choice(items, rest, replace=False)))
