"""The lock's threshold, from identities that neither training nor the test has seen.

A lock compares a face with templates, not with single pictures. So every set of three pictures of
an identity is made a template in turn, as the lock makes one, and is tried by the identity's other
pictures and by all pictures of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.face_unlock.match import ONE, cosine, template, unit
from thumbnet.apps.face_unlock.model_files import Decision
from thumbnet.codegen.errors import DataError

FRAMES = 3  # pictures of a template
_MOST_TEMPLATES = 20  # of an identity: others count as well


@dataclass(frozen=True, eq=False)
class Attempts:
    """Cosines with templates in Q15, of the templates' identities and of others."""

    own: NDArray[np.int64]
    others: NDArray[np.int64]


def attempts(
    embeddings: NDArray[np.integer], identities: NDArray[np.int64], frames: int = FRAMES
) -> Attempts:
    """Of embeddings [n, d], zero point subtracted, in the lock's integers. DataError where no
    identity has more than `frames` pictures, or there is one only."""
    units = [unit(each) for each in embeddings]
    own, others = [], []
    for identity in np.unique(identities):
        mine = np.flatnonzero(identities == identity)
        for chosen in islice(combinations(mine, frames), _MOST_TEMPLATES):
            enrolled = template([embeddings[i] for i in chosen])
            scores = np.array([cosine(each, enrolled) for each in units])
            own.append(scores[np.setdiff1d(mine, chosen)])
            others.append(scores[identities != identity])
    if not any(map(len, own)) or not any(map(len, others)):
        raise DataError(
            f"a threshold is chosen on two identities or more, of which some have more than "
            f"{frames} pictures: there are none among those for validation"
        )
    return Attempts(np.concatenate(own), np.concatenate(others))


def choose(found: Attempts, far: float, chosen: str) -> Decision:
    """The lowest threshold that at most the share `far` of the others reach, and not below 1/32768:
    nobody is known by a right angle."""
    allowed = math.floor(far * len(found.others))
    reached = int(np.sort(found.others)[::-1][min(allowed, len(found.others) - 1)])
    threshold = min(ONE, max(1, reached + 1))
    return Decision(
        threshold=threshold,
        frames=FRAMES,
        far=float((found.others >= threshold).mean()),
        tar=float((found.own >= threshold).mean()),
        chosen=chosen,
    )
