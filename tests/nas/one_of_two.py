"""One of two processes as torchrun starts them: `python one_of_two.py FOLDER TASK_SIZE`.

Trains a super-network in double precision and prints its losses; then goes on with the search in
FOLDER from its super-network. Both are what test_search.py does in one process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from toy_task import toy_task

from thumbnet.nas import evolution, search
from thumbnet.nas.distributed import ALONE, Workers, workers
from thumbnet.nas.recipe import Recipe, Sandwich
from thumbnet.nas.search_plan import Folder
from thumbnet.nas.search_space import SearchSpace, sample
from thumbnet.nas.super_network import SuperNetwork
from thumbnet.nas.super_training import SuperObjective
from thumbnet.nas.training import train

BATCH = 16  # of both
FEW = 4  # networks whose costs are asked at once
RECIPE = Recipe(epochs=3, batch=BATCH, learning_rate=0.05)


class InDouble(SuperObjective):
    """Rounds so little that nothing comes of it in a few steps (but for softmax, float32)."""

    def forward(self, x: Any, labels: Any, draw: np.random.Generator, epoch: int) -> Any:
        return super().forward(x.double(), labels, draw, epoch)


def losses_in_double(space: SearchSpace, group: Workers = ALONE) -> tuple[float, ...]:
    task = toy_task(size=space.input_shape[0], train=2 * BATCH, validation=4, test=4)
    torch.manual_seed(0)
    network = SuperNetwork(space, norm_samples=BATCH // 2).double()
    objective = InDouble(network, Sandwich(2, 1), 0.0, lambda rng: sample(space, rng))
    return train(objective, task, RECIPE, 0, what="test", workers=group).losses


def main() -> None:
    folder, size = Folder(Path(sys.argv[1])), int(sys.argv[2])
    torch.set_num_threads(1)
    evolution.LEAST_BATCH = FEW
    task, plan = toy_task(size=size, train=64, validation=24, test=16), folder.plan()
    with workers("cpu") as group:
        space = search.choose(folder, plan, task.input_shape, len(task.classes), workers=group)
        losses = losses_in_double(space, group)
        network = search.share(folder, plan, space, task, workers=group)
        search.evolve(folder, plan, space, network, task, workers=group)
    print(json.dumps(losses))


if __name__ == "__main__":
    main()
