"""Embeddings against templates, in integers: the twin of `firmware/face_match.c`, bit for bit.

A unit vector is int16 in Q15. A template is the unit vector of the sum of the unit vectors of the
frames that it was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 15  # the cosine 1
MOST_DIMENSIONS = 512
MOST_FRAMES = 16  # unit vectors in one sum


def unit(values: NDArray[np.integer]) -> NDArray[np.int16]:
    """The unit vector of integers [n], n up to 512, below 2^30 in size. Zeros of zeros."""
    exact = values.astype(np.int64)
    bits = int(np.bitwise_or.reduce(np.abs(exact))).bit_length()
    if bits == 0:
        return np.zeros(len(exact), np.int16)
    exact = exact << 15 - bits if bits < 15 else exact >> bits - 15
    norm = isqrt(int(exact @ exact))
    half = np.where(exact < 0, -(norm // 2), norm // 2)
    quotient = np.abs(exact * ONE + half) // norm * np.where(exact < 0, -1, 1)
    return np.minimum(quotient, ONE - 1).astype(np.int16)


def template(embeddings: Sequence[NDArray[np.integer]]) -> NDArray[np.int16]:
    """Of the embeddings of one person's frames, their zero point subtracted."""
    return unit(np.sum([unit(each).astype(np.int32) for each in embeddings], axis=0))


def cosine(a: NDArray[np.int16], b: NDArray[np.int16]) -> int:
    """Of two unit vectors, in Q15."""
    return (int(a.astype(np.int64) @ b.astype(np.int64)) + (1 << 14)) >> 15
