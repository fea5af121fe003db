"""Which samples are held out: by class, by group, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import DataError


def hashed_share(keys: Sequence[str], labels: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Whether each sample is in the part that holds about `share` of all keys. That depends on its
    key alone, so that a sample stays where it is when others come or go (as in the Speech Commands
    data set; Warden, 2018, section 7.3); but a class that has none in the part gives its first key.
    """
    hashes = np.array([_hash(key) for key in keys], np.uint64)
    chosen = hashes < np.uint64(int(share * 2**64))
    for label in np.setdiff1d(labels, labels[chosen]):
        chosen |= hashes == hashes[labels == label].min()
    return chosen


def _hash(key: str) -> int:
    """64 bits."""
    return int.from_bytes(
        hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8], "big"
    )


def hold_out(
    labels: NDArray[np.int64],
    classes: Sequence[str],
    groups: Sequence[str] | None,
    amount: float,
    seed: int,
    source: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(kept, held out), indices of samples in a random order that is a function of `seed`.

    `amount`: a share of the samples below 1, else a number of them; each class gives its part, and
    one at least. Samples of one group are in one of the two: groups are held out in random order
    where that brings the classes nearer to their parts, then the smallest for a class that has none
    yet. Raises DataError where a class has no sample left; `source` names the data.
    """
    total = len(labels)
    count = round(amount * total) if 0 < amount < 1 else int(min(amount, total))
    if not len(classes) <= count < total:
        raise DataError(
            f"{source}: {amount:g} for validation of {total} training samples; give a number or a "
            f"share that leaves some for training, and for validation at least {len(classes)}, one "
            "of each class"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(total)
    wanted = _shares(np.bincount(labels, minlength=len(classes)), count)
    chosen = np.zeros(total, bool)
    if groups is None:
        for label, share in enumerate(wanted):
            chosen[order[labels[order] == label][:share]] = True
    else:
        _choose_groups(chosen, labels, _groups(order, groups), wanted)
    for label in np.setdiff1d(np.arange(len(classes)), labels[~chosen]):
        raise DataError(
            f"{source}: class '{classes[label]}' has no samples left for training; hold out less, "
            "or give it more samples" + (" of other groups" if groups else "")
        )
    return order[~chosen[order]], order[chosen[order]]


def _shares(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` shared out in proportion to `sizes`, by largest remainders, one to each at least."""
    more = np.maximum(sizes * count / sizes.sum() - 1, 0)
    rest = count - len(sizes)
    exact = more * rest / more.sum() if rest else more * 0
    shares = 1 + np.floor(exact).astype(np.int64)
    largest = np.argsort(shares - 1 - exact, kind="stable")[: count - int(shares.sum())]
    shares[largest] += 1
    return shares


def _choose_groups(
    chosen: NDArray[np.bool_],
    labels: NDArray[np.int64],
    groups: list[NDArray[np.int64]],
    wanted: NDArray[np.int64],
) -> None:
    """Sets `chosen` for the samples of groups: about `wanted` of each class, and one at least."""
    left = wanted.copy()
    for members in groups:
        given = np.bincount(labels[members], minlength=len(left))
        if np.abs(left - given).sum() < np.abs(left).sum():
            chosen[members] = True
            left -= given
    by_size = sorted(groups, key=len)
    for label in range(len(left)):
        if not chosen[labels == label].any():
            chosen[next((each for each in by_size if label in labels[each]), [])] = True


def _groups(order: NDArray[np.int64], groups: Sequence[str]) -> list[NDArray[np.int64]]:
    """The samples of each group, groups in the order of their first sample."""
    members: dict[str, list[int]] = {}
    for i in order:
        members.setdefault(groups[int(i)], []).append(int(i))
    return [np.array(each) for each in members.values()]
