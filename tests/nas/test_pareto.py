"""Ranks, fronts and crowding of points: against brute force and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from thumbnet.nas.pareto import crowding, front, ranks, survivors


def brute_ranks(points: np.ndarray) -> list[int]:
    found: dict[int, int] = {}
    rank = 0
    while len(found) < len(points):
        left = [i for i in range(len(points)) if i not in found]
        for i in left:
            if not any(
                all(points[j] <= points[i]) and any(points[j] < points[i]) for j in left if j != i
            ):
                found[i] = rank
        rank += 1
    return [found[i] for i in range(len(points))]


@pytest.mark.parametrize("seed", range(8))
def test_ranks_and_front_against_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 12, (40, 2 + seed % 2)).astype(float)  # ties and copies among them
    brute = brute_ranks(points)
    assert ranks(points).tolist() == brute
    found = front(points)
    assert sorted(found) == [i for i, rank in enumerate(brute) if rank == 0]
    assert (np.diff(points[found, 0]) >= 0).all()


def test_crowding_by_hand() -> None:
    points = np.array([[0, 10], [1, 7], [4, 4], [10, 0]], float)
    assert crowding(points).tolist() == pytest.approx(
        [np.inf, 4 / 10 + 6 / 10, 9 / 10 + 7 / 10, np.inf]
    )
    assert crowding(np.ones((3, 2))).tolist() == [np.inf, 0, np.inf]
    assert crowding(np.ones((1, 2))).tolist() == [np.inf]
    assert len(ranks(np.empty((0, 2)))) == len(front(np.empty((0, 2)))) == 0


def test_survivors_are_the_lower_ranks_then_the_less_crowded() -> None:
    points = np.array([[5, 5], [0, 10], [1, 7], [4, 4], [10, 0], [11, 11]], float)
    assert survivors(points, 3).tolist() == [1, 4, 3]
    assert survivors(points, 6).tolist() == [1, 4, 3, 2, 0, 5]
    assert survivors(points, 99).tolist() == [1, 4, 3, 2, 0, 5]
    assert survivors(np.empty((0, 2)), 3).tolist() == []
