"""WAV files as the front end hears them: 16 kHz, one channel, int16."""

from __future__ import annotations

import wave
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import DataError, ToolError

SAMPLE_RATE = 16000
LEAST_RATE, MOST_RATE = 4000, 384000


def read_wav(path: Path) -> NDArray[np.int16]:
    """Samples int16 [n] at 16 kHz. Channels are averaged; other sample rates are resampled.

    Raises DataError that names the file where it is no 16-bit PCM, and ToolError where resampling
    needs SciPy and it is absent.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width = file.getnchannels(), file.getsampwidth()
            count, rate = file.getnframes(), file.getframerate()
            frames = file.readframes(count)
    except EOFError as error:
        raise DataError(f"{path}: cannot read it as a .wav file: it ends too early") from error
    except (OSError, wave.Error) as error:
        raise DataError(f"{path}: cannot read it as a PCM .wav file: {error}") from error
    if len(frames) < count * width * channels:
        there = len(frames) // (width * channels)
        raise DataError(f"{path}: truncated: {count} samples by its header, {there} are there")
    if count < rate // 50:
        raise DataError(f"{path}: it holds less than 20 ms of sound")
    if width != 2:
        raise DataError(
            f"{path}: {8 * width} bits a sample; convert it to 16: "
            f"sox {path.name} -b 16 -c 1 -r {SAMPLE_RATE} out.wav"
        )
    samples = np.frombuffer(frames, dtype="<i2").reshape(-1, channels)
    if rate == SAMPLE_RATE and channels == 1:
        return samples[:, 0].astype(np.int16)
    mono = samples.astype(np.float64).mean(axis=1)
    if rate != SAMPLE_RATE:
        mono = _resampled(path, mono, rate)
    return to_int16(mono)


def to_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Rounded to the nearest step and saturated."""
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def _resampled(path: Path, samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise DataError(f"{path}: a sample rate of {rate} Hz; {LEAST_RATE} to {MOST_RATE} will do")
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise ToolError(
            f"{path}: {rate} Hz; resampling to {SAMPLE_RATE} Hz needs SciPy: "
            "pip install 'thumbnet[apps]'"
        ) from error
    common = gcd(SAMPLE_RATE, rate)
    result: NDArray[np.float64] = resample_poly(samples, SAMPLE_RATE // common, rate // common)
    return result
