"""Training: identities to tell apart now, so that others can be told apart later.

The loss is CosFace (Wang et al., CVPR 2018): the cosine of an embedding and its identity's weights
must exceed those of all other identities by a margin. The weights are dropped afterwards. A network
may also learn the cosines that larger ones, its teachers, give the pairs of a batch. What is kept
is the moving average of the network at the epoch that does best on the validation identities.

Every epoch draws from generators seeded with (seed, epoch), and a checkpoint holds all else, so a
run that was killed goes on to the very weights that it would have reached. Convolutions are in
bfloat16 where the processor has it; weights are float32 all the while.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_metric_learning.losses import CosFaceLoss
from torch import Tensor
from torch.nn.functional import normalize

from thumbnet.apps.face_unlock.augment import Ranges, augmented
from thumbnet.apps.face_unlock.dataset import Faces
from thumbnet.apps.face_unlock.network import Architecture, FaceNetwork, embeddings
from thumbnet.apps.face_unlock.verification import verified
from thumbnet.apps.training import follow, learning_rate_share
from thumbnet.nas.checkpoint import read_checkpoint, write_checkpoint

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    epochs: int = 60
    judged: int = 5  # epochs from one look at the validation identities to the next
    batch: int = 64
    most: int = 20  # pictures of an identity in an epoch, drawn anew for each
    learning_rate: float = 4e-3
    centres: float = 3.0  # the learning rate of the identities' weights, in terms of the other
    weight_decay: float = 0.05
    margin: float = 0.2
    scale: float = 16.0
    dropout: float = 0.2
    average: float = 0.998  # of the moving average of the weights, a step
    taught: float = 5.0  # how much the cosines that teachers give count
    margin_pixels: int = 8  # of the pictures, for the augmentation to shift into view
    ranges: Ranges = field(default_factory=Ranges)


# A large network knows its training faces by heart sooner.
SMALL_RECIPE = Recipe()
LARGE_RECIPE = Recipe(dropout=0.3, ranges=Ranges().times(1.5))


@dataclass(frozen=True, eq=False)
class Trained:
    """The network of the best epoch: that of the highest AUC on validation."""

    network: FaceNetwork
    auc: float  # on validation
    epoch: int


def train(
    training: Faces,
    validation: Faces,
    architecture: Architecture,
    recipe: Recipe,
    seed: int,
    checkpoint: Path,
    progress: Progress,
    teachers: Sequence[FaceNetwork] = (),
) -> Trained:
    """Trains, or goes on from `checkpoint`. `training` has the recipe's margin around its pictures,
    `validation` none. Teachers take pictures of the same size. Raises DataError where the
    checkpoint is of another run."""
    torch.manual_seed(seed)
    run = _Run(training, architecture, recipe, seed, teachers)
    run.resume(checkpoint)
    while run.epoch < recipe.epochs:
        loss = run.train_epoch(training)
        if run.epoch % recipe.judged and run.epoch < recipe.epochs:
            continue
        auc = run.judge(validation)
        run.save(checkpoint)
        progress(
            f"seed {seed}, epoch {run.epoch} of {recipe.epochs}: loss {loss:.3f}, validation AUC "
            f"{auc:.4f}, most {run.best:.4f} at {run.best_epoch}"
        )
    network = FaceNetwork(architecture)
    network.load_state_dict(run.best_weights)
    return Trained(network.eval(), run.best, run.best_epoch)


def epoch_of(
    identities: NDArray[np.int64], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Numbers of the pictures of one epoch, shuffled: all of an identity, or `most` of them."""
    shuffled = rng.permutation(len(identities))
    by_identity = shuffled[np.argsort(identities[shuffled], kind="stable")]
    counts = np.bincount(identities)
    place = np.arange(len(identities)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rng.permutation(by_identity[place < most])


class _Run:
    """State of one training run, between epochs."""

    def __init__(
        self,
        training: Faces,
        architecture: Architecture,
        recipe: Recipe,
        seed: int,
        teachers: Sequence[FaceNetwork],
    ) -> None:
        self.recipe, self.seed, self.size = recipe, seed, architecture.size
        self.teachers = [t.eval().to(memory_format=torch.channels_last) for t in teachers]
        network = FaceNetwork(architecture, recipe.dropout)
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network)
        self.loss = CosFaceLoss(
            int(training.identities.max()) + 1,
            architecture.dimensions,
            margin=recipe.margin,
            scale=recipe.scale,
        )
        parameters = list(self.network.parameters())
        rate = recipe.learning_rate
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in parameters if p.ndim > 1],
                    "weight_decay": recipe.weight_decay,
                    "most": rate,
                },
                {"params": [p for p in parameters if p.ndim == 1], "most": rate},
                {"params": list(self.loss.parameters()), "most": rate * recipe.centres},
            ],
            lr=rate,
            weight_decay=0.0,
        )
        self.epoch = self.steps = self.best_epoch = 0
        self.best = -1.0
        self.best_weights: dict[str, Tensor] = copy.deepcopy(self.average.state_dict())
        self.identity = {
            "recipe": asdict(recipe),
            "seed": seed,
            "architecture": asdict(architecture),
            "data": _digest(training),
            "teachers": [_weights_digest(teacher) for teacher in teachers],
        }

    def resume(self, file: Path) -> None:
        if not file.exists():
            return
        state = read_checkpoint(file, self.identity)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.best_weights = state["best"], state["best_weights"]
        self.epoch, self.steps, self.best_epoch = state["counters"]

    def save(self, file: Path) -> None:
        write_checkpoint(
            file,
            {
                "identity": self.identity,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "loss": self.loss.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "best": self.best,
                "best_weights": self.best_weights,
                "counters": (self.epoch, self.steps, self.best_epoch),
            },
        )

    def train_epoch(self, training: Faces) -> float:
        """One pass; the mean loss."""
        rng = np.random.default_rng((self.seed, self.epoch))
        torch.manual_seed(int(rng.integers(1 << 62)))  # of dropout
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        order = epoch_of(training.identities, self.recipe.most, rng)
        batches = max(1, len(order) // self.recipe.batch)  # what is left over waits
        self.network.train()
        total = 0.0
        for chosen in np.array_split(order[: batches * self.recipe.batch], batches):
            pictures = torch.from_numpy(training.pictures[chosen])
            x = augmented(pictures, self.size, self.recipe.ranges, generator)
            x = x.contiguous(memory_format=torch.channels_last)
            with _bfloat16():
                points = self.network(x).float()
            loss = self.loss(points, torch.from_numpy(training.identities[chosen]))
            if self.teachers:
                loss = loss + self.recipe.taught * self._distance(points, x)
            share = learning_rate_share(self.steps, batches, self.recipe.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = group["most"] * share
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.steps += 1
            follow(self.average, self.network, self.steps, self.recipe.average)
            total += loss.item()
        self.epoch += 1
        return total / batches

    def _distance(self, points: Tensor, x: Tensor) -> Tensor:
        """Squared, of the cosines of each picture with all of the batch from those that the
        teachers give in the mean (Park et al., CVPR 2019, teach distances likewise)."""
        with torch.no_grad(), _bfloat16():
            said = [teacher(x).float() for teacher in self.teachers]
        wanted = torch.stack([_cosines(each) for each in said]).mean(0)
        return (_cosines(points) - wanted).square().sum(1).mean()

    def judge(self, validation: Faces) -> float:
        """AUC of the average on validation; it is kept where that is higher than any before."""
        points = embeddings(self.average, validation.inputs)
        auc = verified(points, validation.identities).auc
        if auc > self.best:
            self.best, self.best_epoch = auc, self.epoch
            self.best_weights = copy.deepcopy(self.average.state_dict())
        return auc


def _bfloat16() -> torch.autocast:
    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=supported)


def _cosines(points: Tensor) -> Tensor:
    """Of points [n, d], each with each."""
    unit = normalize(points, dim=1)
    return unit @ unit.T


def _weights_digest(network: FaceNetwork) -> str:
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _digest(faces: Faces) -> str:
    digest = hashlib.sha256(faces.pictures.tobytes())
    digest.update(faces.identities.tobytes())
    return digest.hexdigest()[:16]
