"""Pictures of faces made anew: another pose, another light, another lens, something before it.

Works on whole batches. All draws come from one generator, so a seed gives the same pictures.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

_BLUR_REACH = 2  # pixels of the blur's kernel to each side


@dataclass(frozen=True)
class Ranges:
    """How far a picture may be changed, each way; grey values are from -1 to 1, lengths shares of
    the network's picture. Half of the pictures are mirrored."""

    rotation: float = 7.0  # degrees
    scale: float = 0.07  # of the logarithm
    aspect: float = 0.03  # of the logarithm
    shift: float = 0.04
    shear: float = 0.04
    gamma: float = 0.25  # of the logarithm
    contrast: float = 0.2  # of the logarithm
    brightness: float = 0.12
    slope: float = 0.18  # of light from one side: at the border
    blurred: float = 0.15  # share of the pictures
    blur: tuple[float, float] = (0.3, 1.3)  # standard deviation, pixels
    noise: float = 0.03  # standard deviation
    erased: float = 0.2  # share of the pictures of which a rectangle is erased
    erasure: tuple[float, float] = (0.15, 0.5)  # its sides

    def times(self, factor: float) -> Ranges:
        """All of them wider, but for how large a blur or an erased rectangle is."""
        reaches: dict[str, Any] = {
            name: factor * value for name, value in asdict(self).items() if isinstance(value, float)
        }
        return replace(self, **reaches)


def augmented(pictures: Tensor, size: int, ranges: Ranges, generator: torch.Generator) -> Tensor:
    """Network inputs, float [n, 1, size, size] from -1 to 127/128 in steps of 1/128, of uint8
    pictures [n, side, side] whose middle is the network's picture and the rest its margin."""
    x = (pictures.to(torch.float32).unsqueeze(1) - 128) / 128
    draw = _Draw(len(x), generator)
    x = _moved(x, size, ranges, draw)
    x = _lit(x, ranges, draw)
    x = _blurred(x, ranges, draw)
    x = x + torch.randn(x.shape, generator=generator) * draw.share() * ranges.noise
    x = _erased(x, ranges, draw)
    return (x * 128).round().clamp(-128, 127) / 128


@dataclass(frozen=True, eq=False)
class _Draw:
    """Random numbers [n, 1, 1, 1], one for each picture."""

    count: int
    generator: torch.Generator

    def share(self) -> Tensor:
        """From 0 to 1."""
        return torch.rand(self.count, 1, 1, 1, generator=self.generator)

    def around(self, reach: float) -> Tensor:
        """From -reach to reach."""
        return (2 * self.share() - 1) * reach

    def between(self, limits: tuple[float, float]) -> Tensor:
        low, high = limits
        return low + (high - low) * self.share()


def _moved(x: Tensor, size: int, ranges: Ranges, draw: _Draw) -> Tensor:
    """Turned, stretched, shifted, mirrored, and cut to the network's picture; bilinear."""
    turn = draw.around(math.radians(ranges.rotation))
    cos, sin = torch.cos(turn), torch.sin(turn)
    zoom, aspect = torch.exp(draw.around(ranges.scale)), torch.exp(draw.around(ranges.aspect))
    mirror = torch.where(draw.share() < 0.5, -1.0, 1.0)
    inside = size / x.shape[-1]  # of the picture with its margin
    wide, tall = zoom * aspect * inside, zoom / aspect * inside
    across = (mirror * cos * wide, (draw.around(ranges.shear) - sin) * tall)
    down = (mirror * sin * wide, cos * tall)
    shifts = [draw.around(ranges.shift) * 2 * inside for _ in range(2)]
    matrix = torch.cat((*across, shifts[0], *down, shifts[1]), dim=1).reshape(-1, 2, 3)
    grid = affine_grid(matrix, [len(x), 1, size, size], align_corners=False)
    return grid_sample(x, grid, padding_mode="border", align_corners=False)


def _lit(x: Tensor, ranges: Ranges, draw: _Draw) -> Tensor:
    """With another gamma, contrast and brightness, and more light from one side."""
    white = ((x + 1) / 2).clamp(1e-3, 1)
    x = 2 * white ** torch.exp(draw.around(ranges.gamma)) - 1
    mean = x.mean((2, 3), keepdim=True)
    x = (x - mean) * torch.exp(draw.around(ranges.contrast)) + mean
    along = torch.linspace(-1, 1, x.shape[-1])
    side = draw.around(math.pi)
    slope = torch.cos(side) * along + torch.sin(side) * along[:, None]
    return x + draw.around(ranges.brightness) + draw.share() * ranges.slope * slope


def _blurred(x: Tensor, ranges: Ranges, draw: _Draw) -> Tensor:
    """Some of them, by a Gaussian of their own."""
    some = (draw.share() < ranges.blurred).flatten()
    deviation = draw.between(ranges.blur).flatten()[some]
    count = len(deviation)
    if count == 0:
        return x
    reach = _BLUR_REACH
    taps = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * deviation[:, None] ** 2))
    taps = taps / taps.sum(1, keepdim=True)
    y = x[some].transpose(0, 1)
    y = pad(y, (reach, reach, reach, reach), mode="replicate")
    y = conv2d(y, taps.reshape(count, 1, 1, -1), groups=count)
    y = conv2d(y, taps.reshape(count, 1, -1, 1), groups=count)
    x = x.clone()
    x[some] = y.transpose(0, 1)
    return x


def _erased(x: Tensor, ranges: Ranges, draw: _Draw) -> Tensor:
    """Some of them, in a rectangle of one grey (random erasing: Zhong et al., AAAI 2020)."""
    places = (torch.arange(x.shape[-1]) + 0.5) / x.shape[-1]
    inside = draw.share() < ranges.erased
    for at in (places[:, None], places):
        inside = inside & ((at - draw.share()).abs() < draw.between(ranges.erasure) / 2)
    return torch.where(inside, draw.around(1.0), x)
