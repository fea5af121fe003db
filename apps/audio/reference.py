"""The front end's formula in float64: what the integers are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.audio.log_mel import LogMelParameters, triangle


def reference(samples: NDArray[np.int16], parameters: LogMelParameters) -> NDArray[np.float64]:
    """Columns [frames, bands] of samples [n], in steps of the int8 values, neither rounded nor
    saturated.

    It is librosa's melspectrogram(center=False, htk=True, norm=None, power=2) of the samples behind
    the first `skipped`, with the window at the start of the FFT's frame, then the logarithm.
    """
    energy = _power(samples, parameters) @ triangles(parameters).T
    return _steps(energy, parameters)


def bounds(
    samples: NDArray[np.int16], parameters: LogMelParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between which values [frames, bands] the columns are promised to lie.

    A band's amplitude, the root of its energy, may be off by as much as 2^-17 of the frame's
    strongest frequency and one step of the samples would give it (the tables have 16 bits); and the
    logarithm, rounding included, by 0.51 steps.
    """
    power = _power(samples, parameters)
    bank = triangles(parameters)
    amplitude = np.sqrt(power @ bank.T)
    strongest = np.sqrt(power.max(axis=1, keepdims=True, initial=0))
    off = (strongest * 2.0**-17 + 1) * np.sqrt(bank.sum(axis=1))
    low = _steps(np.maximum(amplitude - off, 0) ** 2, parameters)
    high = _steps((amplitude + off) ** 2, parameters)
    return np.clip(low, -128, 127) - 0.51, np.clip(high, -128, 127) + 0.51


def _power(samples: NDArray[np.int16], parameters: LogMelParameters) -> NDArray[np.float64]:
    """Power [frames, fft_size / 2 + 1]; one unit is the square of one step of the samples."""
    p = parameters
    whole = samples[p.skipped : samples.size // p.hop * p.hop].astype(np.float64)
    if whole.size < p.window:
        return np.empty((0, p.fft_size // 2 + 1))
    frames = np.lib.stride_tricks.sliding_window_view(whole, p.window)[:: p.hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(p.window) / p.window)
    return np.abs(np.fft.rfft(frames * hann, p.fft_size)) ** 2


def _steps(energy: NDArray[np.float64], parameters: LogMelParameters) -> NDArray[np.float64]:
    p = parameters
    return p.steps_per_octave * np.log2(1 + energy / 2.0**p.floor_log2) - 128


def triangles(parameters: LogMelParameters) -> NDArray[np.float64]:
    """The filter bank [bands, fft_size / 2 + 1]."""
    return np.array([triangle(parameters, band) for band in range(parameters.bands)])


def hard_signals(parameters: LogMelParameters) -> Mapping[str, NDArray[np.int16]]:
    """Sounds of two seconds each that a front end may get wrong, by name."""
    rate = parameters.sample_rate
    time = np.arange(2 * rate)
    noise = np.random.default_rng(2026)
    sweep = np.sin(np.pi * rate / 4 * (time / rate) ** 2 / 2)  # to half the sample rate
    exact = {
        "silence": np.zeros(time.size),
        "constant": np.full(time.size, -32768.0),
        "impulses": np.where(time % 1000 == 0, 32767.0, 0.0),
        "white noise, 3 steps rms": noise.normal(0, 3, time.size),
        "white noise, 1000 steps rms": noise.normal(0, 1000, time.size),
        "white noise, full scale": noise.uniform(-32768, 32767, time.size),
        "square wave, full scale": np.where(time % 160 < 80, 32767.0, -32768.0),
        "half the sample rate, full scale": np.where(time % 2 == 0, 32767.0, -32768.0),
        "sweep at -40 dB": 328 * sweep,
        "sweep, full scale": 32767 * sweep,
    }
    return {name: np.rint(signal).astype(np.int16) for name, signal in exact.items()}


def errors(
    columns: NDArray[np.int8], samples: NDArray[np.int16], parameters: LogMelParameters
) -> NDArray[np.float64]:
    """Distances [frames, bands] of columns from the saturated reference, in steps. Rounding alone
    makes them -0.5 to 0.5."""
    return columns.astype(np.float64) - np.clip(reference(samples, parameters), -128, 127)
