"""Several objectives at once: fronts, and what NSGA-II keeps.

Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on
Evolutionary Computation 6(2), 2002: section III.A non-dominated sorting, III.B crowding.

Points are float [points, objectives]; each objective is to be small. A point dominates another that
it exceeds in no objective and beats in one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def ranks(points: Floats) -> Indices:
    """Of each point the number of its front, [points]: 0 where none dominates it, n where only
    points of fronts below n do."""
    dominates = _dominates(points)
    dominators = dominates.sum(0)
    found = np.full(len(points), -1, np.intp)
    rank = 0
    while (found < 0).any():
        front = (dominators == 0) & (found < 0)
        found[front] = rank
        dominators = dominators - dominates[front].sum(0)
        rank += 1
    return found


def crowding(points: Floats) -> Floats:
    """Of each point of one front how far apart its neighbours are, [points]: the sum over the
    objectives of their distance, as a share of the front's extent; infinite at its ends."""
    found = np.zeros(len(points))
    for values in points.T:
        order = np.argsort(values, kind="stable")
        extent = values[order[-1]] - values[order[0]]
        found[order[[0, -1]]] = np.inf
        if extent > 0:
            found[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / extent
    return found


def survivors(points: Floats, count: int) -> Indices:
    """The `count` best points (all, where there are fewer), best first: by rank, the less crowded
    ones of a front first, equal ones in the order given."""
    rank = ranks(points)
    distance = np.empty(len(points))
    for each in range(int(rank.max(initial=-1)) + 1):
        front = rank == each
        distance[front] = crowding(points[front])
    return np.lexsort((-distance, rank))[:count]


def front(points: Floats) -> Indices:
    """The points that none dominates, by rising first objective, then in the order given."""
    (found,) = np.nonzero(~_dominates(points).any(0))
    return found[np.argsort(points[found, 0], kind="stable")]


def _dominates(points: Floats) -> NDArray[np.bool_]:
    """[i, j]: whether point i dominates point j."""
    one, other = points[:, None], points[None]
    return np.logical_and((one <= other).all(2), (one < other).any(2))
