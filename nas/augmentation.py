"""Random changes of image batches: shift or resized crop, mirror, cutout.

All draws of a batch are made at once from a generator, before any image is touched, so that a
process that holds a part of the batch changes it as one that holds the whole would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from thumbnet.codegen.errors import DataError


@dataclass(frozen=True)
class ImageAugmentation:
    """What may happen to an image; the defaults are those usual for CIFAR-10 (He et al., CVPR 2016,
    section 4.2): padding by 4 pixels, a random crop of the old size, and a mirror image.

    What comes in from outside is 0, a middle grey. Called with images [N, C, H, W] and a generator;
    values stay within those of the image and 0, so within the range of int8 inputs.
    """

    shift: int = 4  # pixels, each way
    flip: bool = True  # left to right, half of the images; off where that changes the class: digits
    cutout: int = 0  # side of a square that is set to 0, anywhere (DeVries and Taylor, 2017)
    area: tuple[float, float] | None = None  # of a crop that is resized to the whole, as a share
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width to height of that crop, logarithmic

    def __post_init__(self) -> None:
        low, high = self.area or (1.0, 1.0)
        if self.shift < 0 or self.cutout < 0:
            raise DataError(f"augmentation: shift {self.shift}, cutout {self.cutout}; none below 0")
        if not 0 < low <= high <= 1:
            raise DataError(
                f"augmentation: area {self.area}; give shares above 0 up to 1, in order"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise DataError(f"augmentation: ratio {self.ratio}; give two above 0, in order")

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        count, channels, height, width = images.shape
        return self.apply(images, self.draw((count, channels, height, width), rng), 0)

    def draw(self, shape: tuple[int, int, int, int], rng: np.random.Generator) -> Draws:
        """For a batch of this shape, [N, C, H, W]."""
        count, _, height, width = shape
        size = np.array([height, width])
        boxes = None
        if self.area is not None:
            boxes = _boxes(count, self.area, self.ratio, width / height, rng)
        return Draws(
            shifts=rng.integers(-self.shift, self.shift + 1, (count, 2)),
            flips=rng.random(count) < 0.5 if self.flip else np.zeros(count, bool),
            centres=rng.integers(0, size, (count, 2)),
            boxes=boxes,
        )

    def apply(self, images: Tensor, draws: Draws, first: int) -> Tensor:
        """Images [n, C, H, W], which are those from `first` on of the batch drawn for."""
        mine = slice(first, first + len(images))
        flips = torch.from_numpy(draws.flips[mine]).to(images.device)
        if draws.boxes is not None:
            images = _resized_crops(images, draws.boxes[mine], flips)
            flips = torch.zeros_like(flips)
        if self.shift or (self.flip and draws.boxes is None):
            shifts = torch.from_numpy(draws.shifts[mine]).to(images.device)
            images = _shifted(images, shifts, flips, self.shift)
        if self.cutout:
            centres = torch.from_numpy(draws.centres[mine]).to(images.device)
            images = _cut_out(images, centres, self.cutout)
        return images


def default_augmentation(height: int, width: int) -> ImageAugmentation:
    """Shifts by an eighth for small images, CIFAR-10's 4 of 32 pixels. From 48 pixels on the crops
    of Szegedy et al. (CVPR 2015, section 6), but of a third of the image at least rather than 8 %:
    these networks are small, and rather learn too little than by heart."""
    if min(height, width) < 48:
        return ImageAugmentation(shift=max(1, min(height, width) // 8))
    return ImageAugmentation(shift=0, area=(0.35, 1.0))


@dataclass(frozen=True, eq=False)
class Draws:
    """For each image of a batch."""

    shifts: NDArray[np.int64]  # [N, 2], rows and columns
    flips: NDArray[np.bool_]  # [N]
    centres: NDArray[np.int64]  # [N, 2], row and column of the cut square
    boxes: NDArray[np.float64] | None  # [N, 4] of the whole as 1: top, left, height, width


def _boxes(
    count: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
    aspect: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Boxes within the image, whose own ratio of width to height is `aspect`; a box that would be
    longer than a side is cut to it."""
    areas = rng.uniform(*area, count)
    ratios = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), count)) / aspect
    heights = np.minimum(np.sqrt(areas / ratios), 1.0)
    widths = np.minimum(np.sqrt(areas * ratios), 1.0)
    places = rng.random((count, 2))
    return np.stack(
        (places[:, 0] * (1 - heights), places[:, 1] * (1 - widths), heights, widths), axis=1
    )


def _shifted(images: Tensor, shifts: Tensor, flips: Tensor, reach: int) -> Tensor:
    """Each image moved by its rows and columns, of at most `reach`, then mirrored."""
    count, channels, height, width = images.shape
    padded = pad(images, (reach, reach, reach, reach))
    rows = torch.arange(height, device=images.device) + (reach - shifts[:, :1])
    columns = torch.arange(width, device=images.device).expand(count, width)
    columns = torch.where(flips[:, None], width - 1 - columns, columns) + (reach - shifts[:, 1:])
    index = rows[:, :, None] * (width + 2 * reach) + columns[:, None, :]
    taken = index.reshape(count, 1, -1).expand(count, channels, height * width)
    return padded.reshape(count, channels, -1).gather(2, taken).reshape(images.shape)


def _resized_crops(images: Tensor, boxes: NDArray[np.float64], flips: Tensor) -> Tensor:
    """Each image's box, bilinear, at the size of the whole, then mirrored."""
    _, _, height, width = images.shape
    top, left, tall, wide = (
        torch.from_numpy(boxes[:, i : i + 1]).to(images.device, torch.float32) for i in range(4)
    )

    def places(count: int, start: Tensor, length: Tensor) -> Tensor:
        middles = (torch.arange(count, device=images.device) + 0.5) / count
        return 2 * (start + length * middles) - 1

    rows, columns = places(height, top, tall), places(width, left, wide)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    grid = torch.stack(
        (
            columns[:, None, :].expand(-1, height, -1),
            rows[:, :, None].expand(-1, -1, width),
        ),
        dim=3,
    )
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Each image with a square of `side` set to 0 where it lies within; its middle is `centres`."""
    _, _, height, width = images.shape
    start = centres - side // 2

    def outside(count: int, axis: int) -> Tensor:
        at = torch.arange(count, device=images.device)
        begin = start[:, axis : axis + 1]
        return (at < begin) | (at >= begin + side)

    kept = outside(height, 0)[:, None, :, None] | outside(width, 1)[:, None, None, :]
    return images * kept
