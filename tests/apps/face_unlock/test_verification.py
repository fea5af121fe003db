"""Scores of pairs, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from thumbnet.apps.face_unlock.match import ONE
from thumbnet.apps.face_unlock.threshold import Attempts, attempts, choose
from thumbnet.apps.face_unlock.verification import cosines, pairs_of, verification, verified
from thumbnet.codegen.errors import DataError


def some_embeddings(seed: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    identities = np.repeat(np.arange(9), [2, 3, 5, 2, 1, 4, 2, 6, 3])
    centres = rng.normal(size=(9, 16))
    return centres[identities] + spread * rng.normal(size=(len(identities), 16)), identities


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_counting(seed: int) -> None:
    embeddings, identities = some_embeddings(seed, 1.2)
    own, others = [], []
    for i in range(len(identities)):
        for j in range(i):
            a, b = embeddings[i], embeddings[j]
            cosine = a @ b / np.sqrt((a @ a) * (b @ b))
            (own if identities[i] == identities[j] else others).append(cosine)
    found = verified(embeddings, identities)
    assert (found.pairs, found.same) == (len(own) + len(others), len(own))
    pairs = [(a > b) + 0.5 * (a == b) for a in own for b in others]
    assert found.auc == pytest.approx(np.mean(pairs), abs=1e-6)
    for far in (0.2, 0.05, 1e-2):
        allowed = int(far * len(others))
        limit = sorted(others, reverse=True)[allowed]  # the first that may not pass
        assert found.tar_at(far) == pytest.approx(np.mean(np.array(own) > limit), abs=1e-9)
    wrong = [(np.mean(np.array(others) >= t), np.mean(np.array(own) < t)) for t in (*own, *others)]
    assert min(max(w) for w in wrong) >= found.eer - 1e-9
    assert max(min(w) for w in wrong) <= found.eer + 1e-9


def test_people_who_are_far_apart_are_told_apart() -> None:
    found = verified(*some_embeddings(1, 0.0)).to_json()
    assert (found["auc"], found["eer"]) == (1.0, 0.0)
    assert (found["tar_at_far_1e-2"], found["tar_at_far_1e-3"]) == (1.0, 1.0)


def test_embeddings_of_nothing_are_like_nobody() -> None:
    scores = cosines(np.array([[0, 0], [1, 0], [2, 0]], np.int16))
    assert scores.tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize(
    ("identities", "message"), [([0, 1, 2], "no identity has two"), ([0, 0, 0], "one identity")]
)
def test_pairs_of_one_kind_only_are_refused(identities: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        pairs_of(np.eye(3, dtype=np.float32), np.array(identities))


@pytest.mark.parametrize("far", [0.0, 1e-3, 0.05])
def test_the_lowest_threshold_that_keeps_others_out(far: float) -> None:
    rng = np.random.default_rng(3)
    own, others = rng.normal(0.6, 0.2, 500).clip(-1, 1), rng.normal(0.1, 0.2, 3000)
    found = Attempts((own * ONE).astype(np.int64), (others * ONE).astype(np.int64))
    decision = choose(found, far, "here")

    def share(threshold: int) -> float:
        return float((found.others >= threshold).mean())

    assert share(decision.threshold) <= far < share(decision.threshold - 1) or far == 0
    assert decision.far == share(decision.threshold) <= far
    assert decision.tar == (found.own >= decision.threshold).mean() > 0


def test_nobody_is_known_by_a_right_angle() -> None:
    found = Attempts(own=np.array([ONE // 2]), others=np.full(10, -9 * ONE // 10))
    assert choose(found, 0.01, "here").threshold == 1


def test_attempts_are_at_templates_of_three() -> None:
    embeddings = (40 * some_embeddings(2, 0.3)[0]).astype(np.int16)
    identities = np.array([0] * 4 + [1] * 5 + [2] * 2 + [3] * 17)
    found = attempts(embeddings, identities)
    templates = {0: 4, 1: 10, 3: 20}  # 4, 5 and 17 over 3, at most 20 of one
    assert len(found.own) == 4 * 1 + 10 * 2 + 20 * 14
    counts = np.bincount(identities)
    assert len(found.others) == sum(n * (28 - counts[i]) for i, n in templates.items())
    with pytest.raises(DataError, match="more than 3 pictures"):
        attempts(embeddings[:6], np.array([0, 0, 0, 1, 1, 1]))
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    template = unit[:3].sum(0)
    expected = unit[3] @ template / np.linalg.norm(template)
    assert found.own[0] / ONE == pytest.approx(expected, abs=1e-3)
    assert verification(pairs_of(cosines(embeddings), identities)).same == 6 + 10 + 1 + 136
