"""The training set as the network takes it: many renderings of every clip, as columns, on disk.

Rendering sound costs more than training on it, so each clip is rendered a number of times once, and
an epoch takes one rendering of each at random.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.kws.augment import (
    RANGES,
    oversampled,
    render,
    render_fragment,
    render_silence,
)
from thumbnet.apps.kws.dataset import Clip, load_clips, load_noises
from thumbnet.apps.kws.features import PARAMETERS, log_mel
from thumbnet.codegen.errors import DataError
from thumbnet.codegen.files import replacing

Columns = NDArray[np.int8]
Progress = Callable[[str], None]

_VERSION = 2  # of what `augment` does and of the file
_SILENCES = 0.12  # seconds of silence a rendering and clip
_FRAGMENTS = 0.06


@dataclass(frozen=True, eq=False)
class Renderings:
    """int8 columns, each [COLUMNS, BANDS]. `key` is a hash of all that they were made from."""

    key: str
    words: Columns  # [renderings, clips, ...], in the order of the clips
    fragments: Columns  # [n, ...]: parts of words, cut by the window's ends
    silences: Columns  # [n, ...]


def renderings(
    clips: Sequence[Clip],
    noises: Sequence[Path],
    count: int,
    seed: int,
    file: Path,
    progress: Progress,
) -> Renderings:
    """`count` renderings of each clip, from `file` where that holds these very ones."""
    sounds, background = load_clips(clips), load_noises(noises)
    digest = hashlib.sha256(repr((_VERSION, RANGES, PARAMETERS, count, seed)).encode())
    for sound in (sounds, *background):
        digest.update(sound.tobytes())
    key = digest.hexdigest()
    if file.exists():
        stored = read_renderings(file)
        if stored.key == key:
            progress(f"{count} renderings of {len(clips)} clips: found in {file}")
            return stored
    made = _render(key, sounds, background, count, seed, progress)
    with replacing(file) as partial, partial.open("wb") as stream:
        np.savez(stream, **vars(made))
    return made


def read_renderings(file: Path) -> Renderings:
    """What `renderings` has left there. Raises DataError."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Renderings(
                str(arrays["key"]), arrays["words"], arrays["fragments"], arrays["silences"]
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file}: cannot read these renderings of the training clips: {error}; remove it and "
            "train, and they are made again"
        ) from error


def _render(
    key: str,
    clips: NDArray[np.int16],
    noises: Sequence[NDArray[np.int16]],
    count: int,
    seed: int,
    progress: Progress,
) -> Renderings:
    background = [noise.astype(np.float32) for noise in noises]
    words, fragments, silences = [], [], []
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        words.append(log_mel(render(oversampled(clip), background, clips, rng) for clip in clips))
        chosen = rng.integers(len(clips), size=max(1, round(_FRAGMENTS * len(clips))))
        cut = (render_fragment(oversampled(clips[j]), background, clips, rng) for j in chosen)
        fragments.append(log_mel(cut))
        quiet = range(max(1, round(_SILENCES * len(clips))))
        silences.append(log_mel(render_silence(background, rng) for _ in quiet))
        progress(f"rendering {len(clips)} clips: {i + 1} of {count}")
    return Renderings(key, np.stack(words), np.concatenate(fragments), np.concatenate(silences))
