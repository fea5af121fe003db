"""The wake word networks of the `pymicro-wakeword` package: features in, detections out.

A network of microWakeWord takes a few 10 ms frames of 40 features a call and keeps what it has
heard in variables. It has detected its phrase when the mean of its last outputs passes the cutoff.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import DataError, ToolError

FRAME_SAMPLES = 160  # 10 ms at 16 kHz
FRAME_SECONDS = 0.01
QUIET_SECONDS = 1.0  # one detection an utterance


@dataclass(frozen=True)
class WakeWord:
    """One network of the package, with the settings that its authors publish beside it."""

    name: str
    phrase: str
    path: Path
    cutoff: float  # mean probability that counts as a detection
    window: int  # outputs in the mean


def wake_word(name: str) -> WakeWord:
    """The network called `name`. Raises ToolError when the package is absent or lacks it."""
    package = importlib.util.find_spec("pymicro_wakeword")
    if package is None or package.origin is None:
        raise ToolError(
            "the demo's networks are in the package pymicro-wakeword; "
            "install it with: pip install 'thumbnet[demo]'"
        )
    path = Path(package.origin).parent / "models" / f"{name}.tflite"
    try:
        settings = json.loads(path.with_suffix(".json").read_text())
    except OSError as error:
        raise ToolError(f"the package pymicro-wakeword has no network '{name}': {error}") from error
    return WakeWord(
        name,
        settings["wake_word"],
        path,
        settings["micro"]["probability_cutoff"],
        settings["micro"]["sliding_window_size"],
    )


def features(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Features [frames, 40] of int16 samples [n] at 16 kHz, by TFLM's own audio front end.

    The front end needs 30 ms before its first frame; then there is one every 10 ms.
    """
    try:
        from pymicro_features import MicroFrontend
    except ImportError as error:
        raise ToolError(
            "the demo's audio features need the package pymicro-features; "
            "install it with: pip install 'thumbnet[demo]'"
        ) from error
    frontend = MicroFrontend()
    frames = []
    for start in range(0, samples.size - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        chunk = samples[start : start + FRAME_SAMPLES].astype("<i2").tobytes()
        frame = frontend.process_samples(chunk).features
        if frame:
            frames.append(frame)
    return np.array(frames, dtype=np.float32).reshape(-1, 40)


def network_inputs(
    frames: NDArray[np.float32], shape: tuple[int, ...], scale: float, zero_point: int
) -> NDArray[np.int8]:
    """Frames [n, 40] quantised and cut into calls: [calls, *shape], shape being [1, stride, 40].

    Raises DataError when the network wants something else than frames of 40 features.
    """
    if len(shape) != 3 or shape[0] != 1 or shape[2] != frames.shape[1]:
        raise DataError(f"the network takes {list(shape)}, not [1, frames, {frames.shape[1]}]")
    quantised = np.clip(np.floor(frames / scale + 0.5) + zero_point, -128, 127).astype(np.int8)
    calls = len(frames) // shape[1]
    return quantised[: calls * shape[1]].reshape(calls, *shape)


def detections(
    probabilities: NDArray[np.floating], word: WakeWord, stride: int
) -> list[tuple[float, float]]:
    """(seconds, mean probability) of each detection in probabilities [calls], each in [0, 1].

    `stride` is the frames a call. After a detection the network is not asked for a second.
    """
    found: list[tuple[float, float]] = []
    call_seconds = stride * FRAME_SECONDS
    for end in range(word.window, len(probabilities) + 1):
        now = end * call_seconds
        mean = float(probabilities[end - word.window : end].mean())
        if mean >= word.cutoff and (not found or now - found[-1][0] > QUIET_SECONDS):
            found.append((now, mean))
    return found
