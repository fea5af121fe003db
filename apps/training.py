"""What the training loops of the applications share."""

from __future__ import annotations

import math

import torch
from torch import nn

WARM_EPOCHS = 2


def learning_rate_share(step: int, epoch_steps: int, epochs: int) -> float:
    """Of the highest learning rate, at a step: warming up, then half a cosine."""
    done = step / (epoch_steps * epochs)
    warm = min(1.0, (step + 1) / (WARM_EPOCHS * epoch_steps))
    return warm * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-3


def follow(average: nn.Module, network: nn.Module, step: int, keep: float) -> None:
    """Moves an average of weights and statistics towards those of the network: `keep` of it stays,
    less in the first steps."""
    keep = min(keep, (1 + step) / (10 + step))
    values = average.state_dict().values(), network.state_dict().values()
    with torch.no_grad():
        for mean, now in zip(*values, strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)
