"""Small images on disk, for tests of image folders and image tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from thumbnet.nas.image_source import ImageSource
from thumbnet.nas.task import Split, Task

PARTS = ("train", "validation", "test")


def pixels(seed: int, height: int = 8, width: int = 8) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: np.ndarray[Any, Any] | Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)


def fill(folder: Path, names: Sequence[str]) -> None:
    """A PNG of its own for each name."""
    for name in names:
        save(folder / name, pixels(int.from_bytes(name.encode(), "big")))


def pets(folder: Path) -> Path:
    """train and test, of 20 + 10 and of 4 + 4 images."""
    fill(folder, [f"train/cat/{i}.png" for i in range(20)])
    fill(folder, [f"train/dog/{i}.png" for i in range(10)])
    fill(folder, [f"test/{c}/{i}.png" for c in ("cat", "dog") for i in range(4)])
    return folder


def named(source: ImageSource, folder: Path) -> dict[str, set[str]]:
    names = np.array([os.path.relpath(name, folder) for name in source.names])
    return {part: {*names[getattr(source, part)].tolist()} for part in PARTS}


def split_of(task: Task, part: str) -> Split:
    split: Split = getattr(task, part)
    return split
