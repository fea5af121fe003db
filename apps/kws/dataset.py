"""Recordings in the layout of Google Speech Commands, split by speaker.

    FOLDER/<word>/<speaker>_nohash_<take>.wav   one word each, about a second
    FOLDER/_background_noise_/*.wav             longer recordings without speech
    FOLDER/validation_list.txt, testing_list.txt
                                                <word>/<file>.wav a line; the rest is for training

Classes are the command words in alphabetical order, then silence, then unknown (every other word).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.kws.wav import SAMPLE_RATE, read_wav
from thumbnet.codegen.errors import DataError

CLIP_SAMPLES = SAMPLE_RATE  # one second
COMMANDS = 10
NOISE_FOLDER = "_background_noise_"
SILENCE, UNKNOWN = "silence", "unknown"
SPLITS = ("training", "validation", "testing")

_LISTED = ("testing", "validation")
_LAYOUT = (
    "expected the layout of Google Speech Commands: WORD/SPEAKER_nohash_N.wav, "
    f"{NOISE_FOLDER}/*.wav, testing_list.txt and validation_list.txt"
)


@dataclass(frozen=True)
class Clip:
    """One recording of one word."""

    path: Path
    word: str
    speaker: str


@dataclass(frozen=True)
class Corpus:
    """What a folder holds. A speaker's clips are all in one of the three splits."""

    folder: Path
    words: tuple[str, ...]  # of all folders, sorted
    clips: dict[str, tuple[Clip, ...]]  # by split
    noises: tuple[Path, ...]  # sorted


def read_corpus(folder: Path) -> Corpus:
    """Lists a data folder. Raises DataError where it is not of the layout or lacks something."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    words = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("_"))
    if not words:
        raise DataError(f"{folder}: no folders of words in it; {_LAYOUT}")
    testing, validation = (_listed(folder / f"{kind}_list.txt") for kind in _LISTED)
    clips: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for word in words:
        paths = sorted((folder / word).glob("*.wav"))
        if not paths:
            raise DataError(f"{folder / word}: no .wav files in it; remove the folder or fill it")
        for path in paths:
            name = f"{word}/{path.name}"
            split = (
                "testing" if name in testing else "validation" if name in validation else "training"
            )
            clips[split].append(Clip(path, word, path.name.partition("_nohash_")[0]))
    for kind, listed in (("testing", testing), ("validation", validation)):
        missing = listed - {f"{c.word}/{c.path.name}" for c in clips[kind]}
        if missing:
            raise DataError(
                f"{folder / f'{kind}_list.txt'}: names {min(missing)}, which is not there"
                + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
            )
    _check_speakers(folder, clips)
    noises = sorted((folder / NOISE_FOLDER).glob("*.wav"))
    return Corpus(folder, tuple(words), {k: tuple(v) for k, v in clips.items()}, tuple(noises))


def _listed(path: Path) -> set[str]:
    try:
        return {line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the list of clips: {error}; {_LAYOUT}") from error


def _check_speakers(folder: Path, clips: dict[str, list[Clip]]) -> None:
    of = {split: {clip.speaker for clip in clips[split]} for split in SPLITS}
    for one, other in (("training", "validation"), ("training", "testing"), _LISTED):
        shared = sorted(of[one] & of[other])
        if shared:
            raise DataError(
                f"{folder}: speaker {shared[0]} is in the {one} and the {other} clips"
                + (f" (and {len(shared) - 1} more)" if len(shared) > 1 else "")
                + "; list all clips of a speaker in one of them, or a score says nothing"
            )


def most_frequent_words(corpus: Corpus, count: int = COMMANDS) -> tuple[str, ...]:
    """The words with most clips for training (ties by name), sorted."""
    clips = Counter(clip.word for clip in corpus.clips["training"])
    ranked = sorted(corpus.words, key=lambda word: (-clips[word], word))
    return tuple(sorted(ranked[:count]))


def check_commands(corpus: Corpus, commands: Sequence[str]) -> None:
    """DataError where the folder cannot teach or test these command words."""
    absent = [word for word in commands if word not in corpus.words]
    if absent:
        raise DataError(
            f"{corpus.folder}: no folder '{absent[0]}'; it has {', '.join(corpus.words)}"
        )
    if len(commands) < 2:
        raise DataError(
            f"{corpus.folder}: one command word only; a keyword network needs at least two"
        )
    if len(set(commands)) == len(corpus.words):
        raise DataError(
            f"{corpus.folder}: every word is a command, so nothing is left to be '{UNKNOWN}'; "
            "choose fewer with --words or add folders of other words"
        )


def class_names(commands: Iterable[str]) -> tuple[str, ...]:
    """Names of the network's outputs."""
    return (*commands, SILENCE, UNKNOWN)


def class_of(word: str, commands: Sequence[str]) -> int:
    """The class of a clip of `word`."""
    return commands.index(word) if word in commands else len(commands) + 1


def load_clips(clips: Sequence[Clip]) -> NDArray[np.int16]:
    """Samples [clips, CLIP_SAMPLES]: shorter recordings are centred, longer ones lose both ends."""
    return np.stack([_one_second(read_wav(clip.path)) for clip in clips])


def _one_second(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    missing = CLIP_SAMPLES - samples.size
    if missing <= 0:
        start = -missing // 2
        return samples[start : start + CLIP_SAMPLES]
    return np.pad(samples, (missing // 2, missing - missing // 2))


def split_noises(corpus: Corpus) -> dict[str, tuple[Path, ...]]:
    """The noise files by split, none in two: of each four in order of name, the first is for
    testing, the third for validation, the others for training. DataError with fewer than three."""
    if len(corpus.noises) < 3:
        raise DataError(
            f"{corpus.folder / NOISE_FOLDER}: {len(corpus.noises)} .wav files; training, "
            "validation and testing need one each"
        )
    roles = ("testing", "training", "validation", "training")
    return {
        split: tuple(p for i, p in enumerate(corpus.noises) if roles[i % len(roles)] == split)
        for split in SPLITS
    }


def load_noises(paths: Sequence[Path]) -> list[NDArray[np.int16]]:
    """Samples of noise files. DataError for one that is shorter than two seconds."""
    noises = [read_wav(path) for path in paths]
    for path, noise in zip(paths, noises, strict=True):
        if noise.size < 2 * CLIP_SAMPLES:
            raise DataError(f"{path}: {noise.size} samples of noise; give at least two seconds")
    return noises


def silence_clips(noises: Sequence[NDArray[np.int16]], count: int) -> NDArray[np.int16]:
    """`count` crops [count, CLIP_SAMPLES], taken evenly over all of the noises."""
    crops = []
    for i, noise in enumerate(noises):
        share = count * (i + 1) // len(noises) - count * i // len(noises)
        starts = np.linspace(0, noise.size - CLIP_SAMPLES, share).astype(int)
        crops += [noise[start : start + CLIP_SAMPLES] for start in starts]
    return np.stack(crops) if crops else np.empty((0, CLIP_SAMPLES), np.int16)
