"""The end of stage 3: which of the networks that the search found is the best.

Shared weights hardly tell the best networks apart. A few of them are trained on, each by itself
from the shared weights, for an epoch or two; what then does best wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from thumbnet.nas.distributed import ALONE, Workers
from thumbnet.nas.evaluation import accuracy, recalibrate
from thumbnet.nas.evolution import Candidate, order
from thumbnet.nas.finish import train_network
from thumbnet.nas.progress import Progress
from thumbnet.nas.search_plan import Plan
from thumbnet.nas.search_state import read_shortlist, write_shortlist
from thumbnet.nas.super_network import SuperNetwork
from thumbnet.nas.task import Task

LEARNING_RATE = 0.5  # of the super-network's: the weights are nearly where they should be
WARMUP = 0.1  # epochs


def ranked(
    candidates: Sequence[Candidate],
    network: SuperNetwork,
    task: Task,
    plan: Plan,
    file: Path,
    *,
    workers: Workers = ALONE,
    progress: Progress = lambda line: None,
) -> list[Candidate]:
    """All candidates, best first: the `plan.shortlist` most accurate ones by what they reach after
    `plan.shortlist_epochs` of training, then the others by their shared weights. `file` keeps what
    is known; goes on from it. Each process of the group takes its share. Raises DataError."""
    ordered = sorted(candidates, key=order)
    listed = ordered[: plan.shortlist]
    if len(listed) < 2 or not plan.shortlist_epochs:
        return ordered
    known = read_shortlist(file) if file.exists() else {}
    workers.wait()  # before the first one writes it
    alone = Workers(0, 1, workers.device)
    missing = [candidate for candidate in listed if candidate.digest not in known]
    for start in range(0, len(missing), workers.count):
        some = missing[start : start + workers.count]
        found = workers.shared(
            lambda mine: [_trained_accuracy(c, network, task, plan, alone, progress) for c in mine],
            some,
        )
        known |= {c.digest: reached for c, reached in zip(some, found, strict=True)}
        if workers.is_first:
            write_shortlist(known, file)
        for candidate, reached in zip(some, found, strict=True):
            progress(
                f"shortlist, {len(known)} of {len(listed)}: network {candidate.digest}, "
                f"{candidate.accuracy:.2%} with shared weights, is trained to {reached:.2%}"
            )
    best_first = sorted(listed, key=lambda c: -known[c.digest])
    return [*best_first, *ordered[len(listed) :]]


def _trained_accuracy(
    candidate: Candidate,
    network: SuperNetwork,
    task: Task,
    plan: Plan,
    alone: Workers,
    progress: Progress,
) -> float:
    own = network.extract(candidate.chosen)
    own.to(alone.device, memory_format=torch.channels_last)
    recalibrate(own, task, plan.effort.calibration)
    recipe = replace(
        plan.super_training,
        epochs=plan.shortlist_epochs,
        learning_rate=LEARNING_RATE * plan.super_training.learning_rate,
        warmup_epochs=WARMUP,
    )
    what = f"network {candidate.digest}"
    train_network(own, task, recipe, plan.seed, what=what, progress=progress, workers=alone)
    return accuracy(own, task.validation)
