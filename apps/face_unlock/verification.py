"""How well embeddings tell whether two pictures are of one person: every pair is tried once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from thumbnet.codegen.errors import DataError

FALSE_ACCEPTS = {"tar_at_far_1e-2": 1e-2, "tar_at_far_1e-3": 1e-3}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Of all pictures, each with each other once: a score (more is more alike), and whether both
    are of one identity."""

    scores: NDArray[np.float32]
    same: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Verification:
    """The receiver operating characteristic of pairs: at a threshold, the share of pairs of two
    identities that reach it (`far`, ascending) and of pairs of one (`tar`)."""

    auc: float
    eer: float  # where as many of one kind are wrong as of the other
    pairs: int  # all of them, of one identity and of two
    same: int  # those of one
    far: NDArray[np.float64]
    tar: NDArray[np.float64]

    def tar_at(self, far: float) -> float:
        """The most true accepts with at most `far` false ones."""
        return float(self.tar[np.searchsorted(self.far, far, side="right") - 1])

    def to_json(self) -> dict[str, Any]:
        shares = {name: self.tar_at(far) for name, far in FALSE_ACCEPTS.items()}
        return {"auc": self.auc, "eer": self.eer, **shares, "pairs": self.pairs, "same": self.same}


def cosines(embeddings: NDArray[Any]) -> NDArray[np.float32]:
    """Of embeddings [n, d], each with each: [n, n]. 0 where one is all zeros."""
    vectors = embeddings.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    scores: NDArray[np.float32] = unit @ unit.T
    return scores


def pairs_of(scores: NDArray[np.float32], identities: NDArray[np.int64]) -> Pairs:
    """The pairs of a symmetric matrix of scores [n, n]. DataError where there are not both kinds of
    pairs."""
    first, second = np.triu_indices(len(identities), 1)
    same = identities[first] == identities[second]
    if not same.any():
        raise DataError("no identity has two pictures; give two or more of each")
    if same.all():
        raise DataError("there is one identity only; give two or more")
    return Pairs(scores[first, second], same)


def verification(pairs: Pairs) -> Verification:
    """Scores are finite."""
    far, tar, _ = roc_curve(pairs.same, pairs.scores)
    wrong = far - (1 - tar)  # ascending, through zero
    return Verification(
        auc=float(roc_auc_score(pairs.same, pairs.scores)),
        eer=float(np.interp(0.0, wrong, far)),
        pairs=len(pairs.same),
        same=int(pairs.same.sum()),
        far=far,
        tar=tar,
    )


def verified(embeddings: NDArray[Any], identities: NDArray[np.int64]) -> Verification:
    """Of embeddings [n, d], compared by their cosine."""
    return verification(pairs_of(cosines(embeddings), identities))
