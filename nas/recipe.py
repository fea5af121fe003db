"""How much effort goes into training and comparing networks, as data: torch is not needed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov's momentum; the learning rate warms up, then falls
    along half a cosine to zero (Loshchilov and Hutter, ICLR 2017)."""

    epochs: int = 30
    batch: int = 128  # over all processes
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4  # of convolutions and dense layers; not of batch norms and biases
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    checkpoint_seconds: float = 60.0


@dataclass(frozen=True)
class Sandwich:
    """What each batch trains besides the largest: the smallest, and `random` others. With
    `most_macs`, the random ones only: see super_training."""

    random: int = 2
    largest_epochs: int = 2  # at first, the largest alone
    most_macs: int | None = None  # of any that is trained


@dataclass(frozen=True)
class Effort:
    """How much data tells sub-networks apart: training samples that recalibrate batch norms
    (Once-for-All takes 2000), and validation samples that are scored; None: all of them."""

    calibration: int = 1024
    validation: int | None = None
