"""The training loop: the super-network's, a single network's, with or without quantisation.

What is trained is an `Objective`, a module that gives losses for a batch. All that is drawn comes
from generators keyed by (seed, epoch, step), and a checkpoint holds all else, so a run that was
killed at any moment goes on to the weights that it would have reached. Under torchrun, each process
takes its part of every batch and gradients are averaged (DistributedDataParallel).
"""

from __future__ import annotations

import math
import time
import warnings
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from thumbnet.codegen.errors import DataError
from thumbnet.nas.checkpoint import load_file, read_checkpoint, write_checkpoint
from thumbnet.nas.distributed import ALONE, Workers
from thumbnet.nas.progress import Progress, duration
from thumbnet.nas.recipe import Recipe as Recipe
from thumbnet.nas.task import Task, batches, steps_per_epoch

SILENCE = 10.0  # s between two lines about an epoch
TOGETHER = 16  # steps


class Objective(nn.Module, ABC):  # type: ignore[misc]  # torch is not followed
    """What is minimised. `forward(x, labels, draw, epoch)` gives the loss of a batch; `draw` is a
    generator that is the same on every process; `epoch` counts from 0."""

    @abstractmethod
    def forward(self, x: Tensor, labels: Tensor, draw: np.random.Generator, epoch: int) -> Tensor:
        """See the class."""

    def start_epoch(self, epoch: int) -> bool:
        """Called before each epoch that starts (not where one goes on). True: parameters were
        rearranged, so that the optimiser's momentum means nothing any more."""
        del epoch
        return False


class Classification(Objective):
    """Cross-entropy of one network."""

    def __init__(self, network: nn.Module, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing

    def forward(self, x: Tensor, labels: Tensor, draw: np.random.Generator, epoch: int) -> Tensor:
        del draw, epoch
        return nn.functional.cross_entropy(
            self.network(x), labels, label_smoothing=self.label_smoothing
        )


@dataclass(frozen=True)
class Trained:
    """What a run leaves besides the weights: the mean loss of each epoch."""

    losses: tuple[float, ...]


def train(
    objective: Objective,
    task: Task,
    recipe: Recipe,
    seed: int,
    *,
    what: str,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
    key: str = "",
) -> Trained:
    """Trains `objective` in place, or goes on from `checkpoint`. `what` names it in progress lines,
    `key` tells runs apart that differ in more than task, recipe and seed.

    On a GPU in mixed precision (bfloat16). Raises DataError where the checkpoint is another run's
    or the loss is no number, ToolError where it cannot be written.
    """
    run = _Run(objective, task, recipe, seed, what, workers, key)
    if checkpoint is not None and checkpoint.exists():
        run.resume(checkpoint)
    run.train(task, checkpoint, progress)
    return Trained(tuple(run.losses))


class _Run:
    """State of one training run."""

    def __init__(
        self,
        objective: Objective,
        task: Task,
        recipe: Recipe,
        seed: int,
        what: str,
        workers: Workers,
        key: str,
    ) -> None:
        self.recipe, self.seed, self.what, self.workers = recipe, seed, what, workers
        self.objective = objective.to(workers.device, memory_format=torch.channels_last)
        named = [(n, p) for n, p in objective.named_parameters() if p.requires_grad]
        decayed = [p for _, p in named if p.ndim > 1]
        self.optimizer = torch.optim.SGD(
            [
                {"params": decayed, "weight_decay": recipe.weight_decay},
                {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
        )
        self.epoch = self.step = 0
        self.total = 0.0  # of the losses of this epoch so far
        self.losses: list[float] = []
        self.steps = steps_per_epoch(task.train, recipe.batch)
        settings = {k: v for k, v in asdict(recipe).items() if k != "checkpoint_seconds"}
        self.identity = {
            "recipe": settings,
            "seed": seed,
            "what": what,
            "task": task.key,
            "key": key,
        }

    def train(self, task: Task, checkpoint: Path | None, progress: Progress | None) -> None:
        recipe, device = self.recipe, self.workers.device
        parallel = self.objective
        if self.workers.count > 1:
            parallel = DistributedDataParallel(self.objective, forward_sync_buffers=False)
            # Of gradients that are laid out otherwise than weights: slower, not wrong.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        self.objective.train()
        saved = began = said = time.monotonic()
        done_before = self.epoch + self.step / self.steps
        while self.epoch < recipe.epochs:
            if self.step == 0 and self.objective.start_epoch(self.epoch):
                self.optimizer.state.clear()
            for x, labels in batches(
                task.train,
                recipe.batch,
                self.seed,
                self.epoch,
                self.step,
                self.workers.rank,
                self.workers.count,
                task.augment,
            ):
                draw = np.random.default_rng((self.seed, self.epoch, self.step))
                torch.manual_seed(int(draw.integers(1 << 62)))
                x = x.to(device, memory_format=torch.channels_last, non_blocking=True)
                for group in self.optimizer.param_groups:
                    group["lr"] = self._learning_rate()
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    loss = parallel(x, labels.to(device, non_blocking=True), draw, self.epoch)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self._add(loss.item())
                if progress is not None and time.monotonic() - said > SILENCE:
                    said = time.monotonic()
                    self._tell(progress, said - began, done_before)
                if checkpoint is not None and self._is_due(time.monotonic() - saved):
                    self.save(checkpoint)
                    saved = time.monotonic()
            self._end_epoch()
            if checkpoint is not None:
                self.save(checkpoint)
                saved = time.monotonic()
            if progress is not None:
                said = time.monotonic()
                self._tell(progress, said - began, done_before)

    def _is_due(self, seconds: float) -> bool:
        """Whether a checkpoint is, the last of which is `seconds` old; the same on all processes,
        which ask each other every TOGETHER steps."""
        if self.workers.count > 1:
            if self.step % TOGETHER:
                return False
            seconds = self.workers.gather(seconds)[0]
        return seconds > self.recipe.checkpoint_seconds

    def _add(self, loss: float) -> None:
        """Counts a step. Raises DataError."""
        if not math.isfinite(loss):
            raise DataError(
                f"{self.what}: the loss became {loss} in epoch {self.epoch + 1}; take a smaller "
                "learning rate"
            )
        self.total += loss
        self.step += 1

    def _end_epoch(self) -> None:
        self.losses.append(self.workers.mean(self.total / self.steps))
        self.epoch, self.step, self.total = self.epoch + 1, 0, 0.0

    def _tell(self, progress: Progress, spent: float, done_before: float) -> None:
        """Where the run is, and how long it will still take; `done_before` are the epochs that
        others than these `spent` seconds did."""
        if not self.workers.is_first:
            return
        done = self.epoch + self.step / self.steps
        left = spent / (done - done_before) * (self.recipe.epochs - done)
        loss = self.total / self.step if self.step else self.losses[-1]
        within = f", step {self.step} of {self.steps}" if self.step else ""
        progress(
            f"{self.what}: epoch {self.epoch + bool(self.step)} of {self.recipe.epochs}{within}, "
            f"loss {loss:.4f}, {duration(left)} left"
        )

    def _learning_rate(self) -> float:
        recipe = self.recipe
        at = self.epoch + self.step / self.steps
        if at < recipe.warmup_epochs:
            return recipe.learning_rate * (at + 1 / self.steps) / (recipe.warmup_epochs + 1e-9)
        done = (at - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-9)
        return recipe.learning_rate * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))

    def save(self, file: Path) -> None:
        totals = self.workers.gather(self.total)
        if self.workers.is_first:
            write_checkpoint(
                file,
                {
                    "identity": self.identity,
                    "objective": self.objective.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "counters": (self.epoch, self.step),
                    "totals": totals,
                    "losses": self.losses,
                },
            )

    def resume(self, file: Path) -> None:
        state = read_checkpoint(file, self.identity, self.workers.device)
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step = state["counters"]
        self.losses = list(state["losses"])
        totals = state["totals"]  # one a process; their number may have changed since
        self.total = sum(totals) / len(totals)


def losses_of(file: Path) -> tuple[float, ...]:
    """The mean losses of the epochs that a checkpoint has behind it. Raises DataError."""
    losses = load_file(file).get("losses")
    if not isinstance(losses, list) or not all(isinstance(loss, float) for loss in losses):
        raise DataError(f"{file}: no checkpoint of a training run; remove it")
    return tuple(losses)
