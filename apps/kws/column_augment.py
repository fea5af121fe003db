"""Augmentation of columns within a batch: stretched, warped, coloured and masked at random.

What is cheap to do to a spectrogram is done anew each time; what needs the sound is in `augment`.
Masks are those of SpecAugment (Park et al., 2019).
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
    warp: float = 0.1  # of frequency, from the lowest band: 1 +- 0.1, as a longer or shorter throat
    colour: float = 1.0  # standard deviation in octaves of energy (3 dB), at `points` of the bands
    points: int = 5
    masks: int = 2
    masked_columns: float = 10.0  # at most, each
    masked_bands: float = 8.0


STRONG = ColumnRanges()
GENTLE = ColumnRanges(warp=0.07, colour=0.5, masks=0)


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
    x = (x + colour.unsqueeze(1)).clamp(lowest, highest)
    if not r.masks:
        return x
    floor, mean = x.amin((1, 2, 3), keepdim=True), x.mean((1, 2, 3), keepdim=True)
    fill = torch.where(torch.rand(n, 1, 1, 1) < 0.5, floor, mean)
    for _ in range(r.masks):
        x = torch.where(_span(n, bands, r.masked_bands).view(n, 1, 1, bands), fill, x)
        x = torch.where(_span(n, columns, r.masked_columns).view(n, 1, columns, 1), fill, x)
    return x


def _symmetric(n: int) -> Tensor:
    """Uniform in -1 .. 1, [n, 1, 1]."""
    return torch.rand(n, 1, 1) * 2 - 1


def _span(n: int, size: int, longest: float) -> Tensor:
    """[n, size], true over a stretch of at most `longest` in each row."""
    length = torch.rand(n, 1) * longest
    start = torch.rand(n, 1) * (size - length)
    at = torch.arange(size).view(1, size)
    return (at >= start) & (at < start + length)
