"""Augmentation of columns within a batch: stretched, warped and coloured at random.

What is cheap to do to a spectrogram is done anew each time; what needs the sound is in `augment`.
Nothing is masked (SpecAugment, Park et al., 2019): networks of 20,000 weights learn less with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate


@dataclass(frozen=True)
class ColumnRanges:
    stretch: float = 0.12  # of time: exp(+-0.12) around the middle
    shift: float = 8.0  # columns each way, mirrored at the ends: a stream sees a word everywhere
    warp: float = 0.07  # of frequency, from the lowest band: 1 +- 0.07, as a longer or shorter throat
    colour: float = 0.5  # standard deviation in octaves of energy (3 dB), at `points` of the bands
    points: int = 5


COLUMN_RANGES = ColumnRanges()


def augment_columns(x: Tensor, lowest: float, highest: float, r: ColumnRanges) -> Tensor:
    """A batch [N, 1, columns, bands] as it might have been too. Draws from torch's generator."""
    n, _, columns, bands = x.shape
    time = torch.exp(_symmetric(n) * r.stretch) * torch.linspace(-1, 1, columns).view(1, -1, 1)
    time = time + _symmetric(n) * (2 * r.shift / (columns - 1))
    throat = 1 + _symmetric(n) * r.warp
    frequency = ((torch.linspace(-1, 1, bands).view(1, 1, -1) + 1) * throat - 1).clamp(max=1.0)
    grid = torch.stack(
        (frequency.expand(n, columns, bands), time.expand(n, columns, bands)), dim=-1
    )
    x = grid_sample(x, grid, align_corners=True, padding_mode="reflection")
    colour = interpolate(
        torch.randn(n, 1, r.points) * r.colour, bands, mode="linear", align_corners=True
    )
    return (x + colour.unsqueeze(1)).clamp(lowest, highest)


def _symmetric(n: int) -> Tensor:
    """Uniform in -1 .. 1, [n, 1, 1]."""
    return torch.rand(n, 1, 1) * 2 - 1
