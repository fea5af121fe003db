"""Costs and accuracies by formula, for tests of what searches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from thumbnet.nas.architecture import Architecture, macs, parameters
from thumbnet.nas.cost import STACK_RESERVE, Limits, NetworkCost
from thumbnet.nas.search_space import SMALL_IMAGES, SearchSpace, SubNetwork

NO_LIMITS = Limits()


def synthetic_cost(architecture: Architecture) -> NetworkCost:
    """Something that grows with the network."""
    sizes = list(architecture.sizes())
    arena = max(
        size[0] * size[1] * (block.channels + block.expanded // 4)
        for size, block in zip(sizes[1:], architecture.blocks, strict=True)
    )
    weights = parameters(architecture)
    return NetworkCost(
        macs=macs(architecture),
        params=weights,
        arena_bytes=arena,
        weights_bytes=weights,
        code_bytes=1000 * len(architecture.blocks),
        cycles=2 * macs(architecture) + 1000 * sum(sizes[0]),
    )


def synthetic_costs(architectures: Sequence[Architecture]) -> list[NetworkCost]:
    return [synthetic_cost(architecture) for architecture in architectures]


def sram_limit(arena_bytes: int) -> Limits:
    return Limits(sram=arena_bytes + STACK_RESERVE)


def synthetic_accuracy(chosen: SubNetwork) -> float:
    """More is better, with less and less to gain, and an optimum that is not the largest."""
    gain = 0.0
    for i, stage in enumerate(chosen):
        for j, choice in enumerate(stage):
            liked = (3, 7, 5, 5, 3)[(i + 2 * j) % 5]
            gain += (1.0 - 0.2 * abs(choice.kernel[0] - liked)) / (1 + j)
            gain += 0.15 * choice.expansion**0.5
    return 1 - 2.0 ** (-gain / 4)


def synthetic_accuracies(chosen: Sequence[SubNetwork]) -> list[float]:
    return [synthetic_accuracy(each) for each in chosen]


def middle_space() -> SearchSpace:
    return SMALL_IMAGES.space(0.5, (32, 32, 3), (1, 1), 10)


def every_sub_network(space: SearchSpace) -> list[SubNetwork]:
    stages = [
        [
            tuple(of)
            for depth in stage.depths
            for of in product(space.stage_choices[stage], repeat=depth)
        ]
        for stage in space.stages
    ]
    return list(product(*stages))
