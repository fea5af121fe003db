"""Tiny tasks that a network learns in seconds, for tests of training and of whole searches."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import TensorDataset

from thumbnet.nas.augmentation import ImageAugmentation
from thumbnet.nas.task import Task, task_from_datasets

CLASSES = ("rows", "columns", "falling", "rising")


def toy_task(
    size: int = 16, train: int = 256, validation: int = 64, test: int = 64, noise: float = 60.0
) -> Task:
    """Noisy stripes of any colour and phase, in four directions: RGB images of `size` pixels."""
    rng = np.random.default_rng(16)
    train_set, validation_set, test_set = (
        stripes(count, size, noise, rng) for count in (train, validation, test)
    )
    return task_from_datasets(
        "toy",
        CLASSES,
        train_set,
        validation_set,
        test_set,
        (size, size, 3),
        augment=ImageAugmentation(shift=2, flip=False),  # a mirror would turn falling into rising
    )


def stripes(count: int, size: int, noise: float, rng: np.random.Generator) -> TensorDataset:
    """uint8 [count, 3, size, size] and labels."""
    labels = rng.permutation(np.arange(count) % len(CLASSES))
    across = np.array([(1, 0), (0, 1), (1, -1), (1, 1)])[labels]  # rows, columns
    rows, columns = np.mgrid[:size, :size]
    phase = (
        across[:, 0, None, None] * rows
        + across[:, 1, None, None] * columns
        + rng.uniform(0, 6, (count, 1, 1))
    )
    colour = rng.uniform(30, 100, (count, 3, 1, 1)) * rng.choice([-1, 1], (count, 3, 1, 1))
    pixels = 128 + colour * np.sin(2 * np.pi / 6 * phase)[:, None]
    pixels += rng.normal(0, noise, pixels.shape)
    images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    return TensorDataset(images, torch.from_numpy(labels))
