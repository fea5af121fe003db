"""Which samples are held out: by class, by group, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import DataError


def hashed_share(keys: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Whether each key is in the part that holds about `share` of all keys. It depends on the key
    alone, so that a sample stays where it is when others come or go (as in the Speech Commands data
    set; Warden, 2018, section 7.3)."""
    limit = int(share * 2**64)
    found = (hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest() for key in keys)
    return np.array([int.from_bytes(digest[:8], "big") < limit for digest in found], bool)


def hold_out(
    labels: NDArray[np.int64],
    classes: Sequence[str],
    groups: Sequence[str] | None,
    amount: float,
    seed: int,
    source: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(kept, held out), indices of samples in a random order that is a function of `seed`.

    `amount`: a share of the samples below 1, else a number of them; each class gives its part, to
    the sample where there are no groups. Samples of one group are in one of the two: groups are
    held out in random order where that brings the classes nearer to their parts. Raises DataError
    where a class has no sample left on either side; `source` names the data.
    """
    total = len(labels)
    count = round(amount * total) if 0 < amount < 1 else int(min(amount, total))
    if not 0 < count < total:
        raise DataError(
            f"{source}: {amount:g} for validation of {total} training samples; give a share below "
            "1 or a smaller number"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(total)
    wanted = _shares(np.bincount(labels, minlength=len(classes)), count)
    chosen = np.zeros(total, bool)
    if groups is None:
        for label, share in enumerate(wanted):
            chosen[order[labels[order] == label][:share]] = True
    else:
        for members in _groups(order, groups):
            given = np.bincount(labels[members], minlength=len(classes))
            if np.abs(wanted - given).sum() < np.abs(wanted).sum():
                chosen[members] = True
                wanted -= given
    for part, mask in (("validation", chosen), ("training", ~chosen)):
        missing = np.setdiff1d(labels, labels[mask])
        if len(missing):
            raise DataError(
                f"{source}: class '{classes[missing[0]]}' has no samples left for {part}; hold out "
                "another amount, or give it more samples" + (" of other groups" if groups else "")
            )
    return order[~chosen[order]], order[chosen[order]]


def _shares(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` shared out in proportion to `sizes`, by largest remainders."""
    exact = sizes * count / sizes.sum()
    shares = np.floor(exact).astype(np.int64)
    rest = np.argsort(shares - exact, kind="stable")[: count - int(shares.sum())]
    shares[rest] += 1
    return shares


def _groups(order: NDArray[np.int64], groups: Sequence[str]) -> list[NDArray[np.int64]]:
    """The samples of each group, groups in the order of their first sample."""
    members: dict[str, list[int]] = {}
    for i in order:
        members.setdefault(groups[int(i)], []).append(int(i))
    return [np.array(each) for each in members.values()]
