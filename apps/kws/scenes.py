"""Sound of many minutes for continuous tests: words at known times in background noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.kws.wav import SAMPLE_RATE, to_int16

SNR_DB = 10.0  # of the word's active part over the noise around it
NOISE_DBFS = (-50.0, -30.0)  # rms of a stretch of noise, drawn evenly
STRETCH_SECONDS = (10.0, 30.0)  # of one noise file, then comes another
PAUSE_SECONDS = (1.5, 2.5)  # between words

_FRAME = SAMPLE_RATE // 50
_ACTIVE_DB = 20.0  # frames not further below the loudest belong to the word


@dataclass(frozen=True)
class Placed:
    """A word that is heard from `begin` to `end`, in seconds."""

    word: str
    begin: float
    end: float


@dataclass(frozen=True, eq=False)
class Scene:
    """int16 samples [n] at 16 kHz, and the words in them in order of time."""

    samples: NDArray[np.int16]
    placed: tuple[Placed, ...]

    @property
    def hours(self) -> float:
        return self.samples.size / SAMPLE_RATE / 3600


def active_part(clip: NDArray[np.int16]) -> tuple[int, int, float]:
    """First and last sample of what is said in a clip, and its rms."""
    frames = clip[: clip.size // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    power = (frames**2).mean(axis=1)
    active = np.flatnonzero(power >= power.max() * 10 ** (-_ACTIVE_DB / 10))
    rms = float(np.sqrt(power[active].mean()))
    return int(active[0]) * _FRAME, int(active[-1] + 1) * _FRAME, rms


def make_scene(
    words: Sequence[tuple[str, NDArray[np.int16]]],
    noises: Sequence[NDArray[np.int16]],
    random: np.random.Generator,
    pauses: tuple[float, float] = PAUSE_SECONDS,
) -> Scene:
    """The clips one after the other, with pauses, in noise that goes on throughout.

    Each is as loud as makes SNR_DB over the noise of its own time. The end is a pause.
    """
    starts, at = [], 0
    for _, clip in words:
        at += round(random.uniform(*pauses) * SAMPLE_RATE)
        starts.append(at)
        at += clip.size
    samples = noise(noises, at + round(pauses[1] * SAMPLE_RATE), random)
    placed = []
    for start, (word, clip) in zip(starts, words, strict=True):
        begin, end, rms = active_part(clip)
        around = samples[start : start + clip.size]
        level = np.sqrt((around**2).mean()) * 10 ** (SNR_DB / 20)
        samples[start : start + clip.size] = around + clip * (level / max(rms, 1.0))
        placed.append(Placed(word, (start + begin) / SAMPLE_RATE, (start + end) / SAMPLE_RATE))
    return Scene(to_int16(samples), tuple(placed))


def noise(
    noises: Sequence[NDArray[np.int16]], count: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """`count` samples: stretches from anywhere in the noise files, each of its own level."""
    parts, left = [], count
    while left > 0:
        source = noises[int(random.integers(len(noises)))].astype(np.float64)
        size = min(left, round(random.uniform(*STRETCH_SECONDS) * SAMPLE_RATE), source.size)
        start = int(random.integers(source.size - size + 1))
        part = source[start : start + size]
        rms = np.sqrt((part**2).mean())
        parts.append(part * (32768 * 10 ** (random.uniform(*NOISE_DBFS) / 20) / max(rms, 1.0)))
        left -= size
    return np.concatenate(parts) if parts else np.empty(0)
