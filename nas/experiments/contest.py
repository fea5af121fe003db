"""Networks trained alike, from fresh weights, and scored alike: what an architecture is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn

from thumbnet.codegen.files import read_json, replacing, write_json
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.nas.architecture import Architecture
from thumbnet.nas.cost import NetworkCost
from thumbnet.nas.evaluation import accuracy, int8_accuracy
from thumbnet.nas.finish import compiled_for_host, quantized_graph, train_network
from thumbnet.nas.network import build
from thumbnet.nas.progress import Progress
from thumbnet.nas.recipe import Recipe
from thumbnet.nas.task import Task

TaskAt = Callable[[tuple[int, int, int]], Task]


@dataclass(frozen=True, eq=False)
class Contender:
    """A network to be trained. `make` gives it with fresh weights from torch's generator."""

    name: str
    input_shape: tuple[int, int, int]
    cost: NetworkCost
    make: Callable[[], nn.Module]


@dataclass(frozen=True)
class Score:
    """Of one seed. Accuracies are shares from 0 to 1; `test` is None until it is asked for."""

    name: str
    seed: int
    epochs: int
    float_validation: float
    validation: float  # int8
    test: float | None  # int8


def contender(name: str, architecture: Architecture, cost: NetworkCost) -> Contender:
    """Of an architecture."""
    return Contender(name, architecture.input_shape, cost, lambda: build(architecture))


def score(
    entry: Contender,
    task_at: TaskAt,
    recipe: Recipe,
    seed: int,
    folder: Path,
    *,
    test: bool,
    progress: Progress,
) -> Score:
    """Trains (or goes on), quantises after training, and scores the C; what is known is read from
    `folder`, which also gets the int8 `model.tflite`. `test`: also on the test split. Raises
    ThumbnetError."""
    place = folder / entry.name / f"seed-{seed}"
    known = place / "score.json"
    if known.exists():
        found = Score(**read_json(known))
        if found.test is not None or not test:
            return found
    task = task_at(entry.input_shape)
    torch.manual_seed(seed)
    network = entry.make()
    train_network(
        network,
        task,
        recipe,
        seed,
        what=f"{entry.name}, seed {seed}",
        checkpoint=place / "training.pt",
        progress=progress,
    )
    graph = quantized_graph(network, task, "model")
    with replacing(place / "model.tflite") as partial:
        partial.write_bytes(write_tflite(graph))
    host = compiled_for_host(graph, place / "host")
    made = Score(
        entry.name,
        seed,
        recipe.epochs,
        accuracy(network, task.validation),
        int8_accuracy(host, task.validation).accuracy,
        int8_accuracy(host, task.test).accuracy if test else None,
    )
    write_json(known, asdict(made))
    progress(
        f"{entry.name}, seed {seed}: validation {made.validation:.2%} (float "
        f"{made.float_validation:.2%})" + (f", test {made.test:.2%}" if made.test else "")
    )
    return made


def scores(
    entry: Contender,
    task_at: TaskAt,
    recipe: Recipe,
    seeds: int,
    folder: Path,
    progress: Progress,
) -> list[Score]:
    """With the seeds 0, 1, ..., on the test split too."""
    return [
        score(entry, task_at, recipe, seed, folder, test=True, progress=progress)
        for seed in range(seeds)
    ]


def row(entry: Contender, found: list[Score]) -> dict[str, Any]:
    """What a table says of a contender: mean and sample standard deviation over the seeds."""
    tests = [each.test for each in found if each.test is not None]
    validations = [each.validation for each in found]
    return {
        "name": entry.name,
        "macs": entry.cost.macs,
        "params": entry.cost.params,
        "arena_bytes": entry.cost.arena_bytes,
        "flash": entry.cost.flash,
        "cycles": entry.cost.cycles,
        "validation": mean(validations),
        "test": mean(tests) if tests else None,
        "spread": stdev(tests) if len(tests) > 1 else None,
        "seeds": {each.seed: each.test for each in found},
    }
