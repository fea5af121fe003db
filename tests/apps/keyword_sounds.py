"""A data folder of the Google Speech Commands layout whose words are tones."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16000
SPLITS = {"training": ("ada", "bo"), "validation": ("cy",), "testing": ("dee", "eve")}


def write_wav(
    path: Path, samples: NDArray[np.int16], rate: int = RATE, channels: int = 1, width: int = 2
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE) -> NDArray[np.int16]:
    """Half a second of sound in the middle."""
    time = np.arange(int(seconds * rate)) / rate
    sounding = np.abs(time - seconds / 2) < 0.25
    return np.round(8000 * sounding * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


def make_folder(folder: Path, words: Sequence[str], takes: int = 3) -> Path:
    """Each word is a tone that each speaker sings a little higher; four files of noise."""
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    speakers = [(split, name) for split, names in SPLITS.items() for name in names]
    for i, word in enumerate(words):
        for j, (split, speaker) in enumerate(speakers):
            for take in range(takes):
                name = f"{word}/{speaker}_nohash_{take}.wav"
                write_wav(folder / name, tone(300 * 2**i * (1 + 0.02 * j + 0.005 * take)))
                lists[split].append(name)
    for split in ("validation", "testing"):
        (folder / f"{split}_list.txt").write_text("\n".join(lists[split]) + "\n")
    rng = np.random.default_rng(0)
    for name in "abcd":
        hiss = rng.normal(0, 200, 3 * RATE).astype(np.int16)
        write_wav(folder / "_background_noise_" / f"{name}.wav", hiss)
    return folder
