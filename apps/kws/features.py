"""What the network sees: the audio front end's columns of one second, made by its own C."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.audio.host import LogMel
from thumbnet.apps.audio.log_mel import LogMelParameters
from thumbnet.apps.kws.dataset import CLIP_SAMPLES

PARAMETERS = LogMelParameters()
COLUMNS = PARAMETERS.columns(CLIP_SAMPLES)  # 49
BANDS = PARAMETERS.bands  # 40
SCALE = PARAMETERS.scale  # of the network's input, too
ZERO_POINT = PARAMETERS.zero_point


@cache
def front_end() -> LogMel:
    """The front end with the network's parameters. ToolError where there is no C compiler."""
    return LogMel(PARAMETERS)


def log_mel(clips: Iterable[NDArray[np.int16]]) -> NDArray[np.int8]:
    """Columns [clips, COLUMNS, BANDS] of clips of CLIP_SAMPLES samples, each from a fresh start."""
    features = front_end().features
    return np.stack([features(clip) for clip in clips])
