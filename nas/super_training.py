"""Stage 2: training the super-network.

The sandwich rule with in-place distillation (Yu and Huang, ICCV 2019, "Universally slimmable
networks"; Yu et al., ECCV 2020, "BigNAS"): each batch trains the largest sub-network on the labels,
and the smallest and some random ones on what the largest says. Before that, the largest alone for
some epochs, after which channels are sorted (Once-for-All, section 3.3: train the largest, then
share).

Where limits are tight, the largest network of a space costs many times what may be used, and so
does training it; what it says is also of little help to networks that are far from it. With
`Sandwich.most_macs` no sub-network of more is trained, and each batch trains random
ones on the labels (Guo et al., ECCV 2020, "Single path one-shot").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from thumbnet.nas.architecture import macs
from thumbnet.nas.distributed import ALONE, Workers
from thumbnet.nas.progress import Progress
from thumbnet.nas.recipe import Recipe
from thumbnet.nas.recipe import Sandwich as Sandwich
from thumbnet.nas.search_space import SearchSpace, SubNetwork, sample
from thumbnet.nas.super_network import SuperNetwork
from thumbnet.nas.task import Task
from thumbnet.nas.training import Objective, Trained, train

MOST_DRAWS = 300  # for one sub-network within `most_macs`

Draw = Callable[[np.random.Generator], SubNetwork]


class SuperObjective(Objective):
    """The loss of a batch, summed over a sandwich. All sub-networks are in one graph, and what none
    of them uses has gradient 0, so that each parameter gets its gradient in one backward pass,
    which is what DistributedDataParallel expects."""

    def __init__(
        self, network: SuperNetwork, sandwich: Sandwich, label_smoothing: float, draw: Draw
    ) -> None:
        super().__init__()
        self.network = network
        self.sandwich = sandwich
        self.label_smoothing = label_smoothing
        self.draw = draw

    @property
    def single_path(self) -> bool:
        return self.sandwich.most_macs is not None

    def start_epoch(self, epoch: int) -> bool:
        if epoch != self.sandwich.largest_epochs or self.single_path:
            return False
        self.network.sort_channels()
        return True

    def forward(self, x: Tensor, labels: Tensor, draw: np.random.Generator, epoch: int) -> Tensor:
        # What is not used gets a gradient, too.
        loss = 0.0 * sum(p.sum() for p in self.network.parameters())
        if self.single_path:
            paths = max(1, self.sandwich.random)
            for _ in range(paths):
                loss = loss + self.right(self.network(x, self.random(draw)), labels) / paths
            return loss
        logits = self.network(x, self.network.space.largest)
        loss = loss + self.right(logits, labels)
        if epoch < self.sandwich.largest_epochs:
            return loss
        said = logits.detach().float().softmax(1)
        others = (self.random(draw) for _ in range(self.sandwich.random))
        for each in (self.network.space.smallest, *others):
            loss = loss - (said * log_softmax(self.network(x, each).float(), 1)).sum(1).mean()
        return loss

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def random(self, draw: np.random.Generator) -> SubNetwork:
        """A random sub-network within `most_macs`; the smallest where none is drawn."""
        most = self.sandwich.most_macs
        for _ in range(MOST_DRAWS):
            drawn = self.draw(draw)
            if most is None or self.macs(drawn) <= most:
                return drawn
        return self.network.space.smallest

    def macs(self, chosen: SubNetwork) -> int:
        return macs(self.network.space.architecture(chosen))


def train_super_network(
    space: SearchSpace,
    task: Task,
    recipe: Recipe,
    sandwich: Sandwich,
    seed: int,
    *,
    draw: Draw | None = None,
    norm_samples: int | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
) -> tuple[SuperNetwork, Trained]:
    """A super-network of `space`, trained on `task`, the same for any number of processes when
    `norm_samples` divides each one's part of a batch. `draw` gives the random sub-networks
    (default: `search_space.sample`). Raises as `training.train`."""
    torch.manual_seed(seed)
    network = SuperNetwork(space, norm_samples)
    objective = SuperObjective(
        network, sandwich, recipe.label_smoothing, draw or (lambda rng: sample(space, rng))
    )
    trained = train(
        objective,
        task,
        recipe,
        seed,
        what="super-network",
        checkpoint=checkpoint,
        progress=progress,
        workers=workers,
        key=repr((space, asdict(sandwich), norm_samples)),
    )
    return network, trained
