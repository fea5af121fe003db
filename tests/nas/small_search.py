"""A small search space and what searches are stopped by, for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from toy_task import CLASSES

from thumbnet.nas.recipe import Recipe
from thumbnet.nas.search_space import (
    SMALL_IMAGES,
    SearchSpace,
    Stage,
    SubNetwork,
    sample,
)
from thumbnet.nas.super_network import SuperNetwork

SIZE = 12
QUICK = Recipe(epochs=3, batch=16, learning_rate=0.05, checkpoint_seconds=0.0)
FUSED = Stage(12, (1, 1), (1,), ((1, 3), (3, 3)), (0,), fused=True, pad=False)


def small_space(first: bool = True, head: int = 0, fused: bool = False) -> SearchSpace:
    """Three kernels, two expansions, with and without squeeze-and-excite."""
    stages = (Stage(8, (1, 1), (1, 2)), Stage(16, (2, 2), (1, 2)))
    return replace(
        SMALL_IMAGES.space(0.2, (SIZE, SIZE, 3), (2, 2), len(CLASSES)),
        first=8 if first else 0,
        stages=(*stages, FUSED) if fused else stages,
        expansions=(2, 4),
        squeezes=(False, True),
        head=head,
    )


def scrambled(space: SearchSpace, seed: int = 0, **options: Any) -> SuperNetwork:
    """A super-network of which no two parameters are alike, transforms too."""
    torch.manual_seed(seed)
    network = SuperNetwork(space, **options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def pictures(count: int = 6, seed: int = 0) -> Any:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def drawn(space: SearchSpace, count: int = 6) -> list[SubNetwork]:
    rng = np.random.default_rng(1)
    return [space.smallest, space.largest, *(sample(space, rng) for _ in range(count))]


class Stop(Exception):
    """Where a test ends a run."""


def stopping(text: str) -> Callable[[str], None]:
    """A progress that ends the run at the first line with `text`."""

    def line(said: str) -> None:
        if text in said:
            raise Stop

    return line


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
