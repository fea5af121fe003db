"""Recordings made anew: another speaker, another room, another level, other noise.

Works on the sound, so what the audio front end makes of it is what the device would make of it.
Levels are those of int16 samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.kws.dataset import CLIP_SAMPLES
from thumbnet.apps.kws.wav import SAMPLE_RATE, to_int16

Sound = NDArray[np.float32]

_OVERSAMPLING = 2  # of a clip before linear interpolation changes its speed
_FRAME = 160  # samples, for levels


@dataclass(frozen=True)
class Ranges:
    """Between which bounds each property of a rendering is drawn."""

    speed: float = 0.16  # speed and pitch together: exp(+-0.16)
    shift: int = 2400  # samples, each way
    noisy_snr: tuple[float, float] = (0.0, 30.0)  # dB, for `noisy` of the renderings
    clean_snr: tuple[float, float] = (30.0, 50.0)  # dB, for the others
    noisy: float = 0.7
    reverberant: float = 0.25  # share of renderings
    gain: tuple[float, float] = (-24.0, 6.0)  # dB
    silence_level: tuple[float, float] = (0.3, 3.6)  # log10 of the RMS of silence


RANGES = Ranges()


def oversampled(clip: NDArray[np.int16]) -> Sound:
    """A clip at twice the rate, band-limited, as `render` takes it."""
    samples = clip.astype(np.float64)
    spectrum = np.fft.rfft(samples)
    return _float32(np.fft.irfft(spectrum, _OVERSAMPLING * samples.size) * _OVERSAMPLING)


def render(
    fine: Sound,
    noises: Sequence[Sound],
    talkers: NDArray[np.int16],
    rng: np.random.Generator,
    ranges: Ranges = RANGES,
) -> NDArray[np.int16]:
    """One rendering [CLIP_SAMPLES] of a clip that `oversampled` made: speed, shift, room, noise and
    gain at random. `noises` and `talkers` [clips, CLIP_SAMPLES] are what noise is made of."""
    speed = np.exp(rng.uniform(-ranges.speed, ranges.speed))
    shift = rng.uniform(-ranges.shift, ranges.shift)
    word = _moved(fine, speed, shift)
    level = _loudest(word)
    if rng.random() < ranges.reverberant:
        word = _in_room(word, rng)
    snr = rng.uniform(*(ranges.noisy_snr if rng.random() < ranges.noisy else ranges.clean_snr))
    word += noise(noises, talkers, rng) * (level * 10 ** (-snr / 20))
    return to_int16(word * 10 ** (rng.uniform(*ranges.gain) / 20))


def render_fragment(
    fine: Sound,
    noises: Sequence[Sound],
    talkers: NDArray[np.int16],
    rng: np.random.Generator,
    ranges: Ranges = RANGES,
) -> NDArray[np.int16]:
    """Like `render`, of a word of which less than half of the energy is left inside of the second:
    the network hears it so as a word enters and leaves the window, and must not know it yet."""
    whole = float(np.square(fine).sum()) / _OVERSAMPLING
    cut = 0.0
    side = rng.choice((-1, 1))
    word = fine
    while cut < CLIP_SAMPLES:
        cut += 800
        word = _moved(fine, 1.0, side * cut)
        if np.square(word).sum() < rng.uniform(0.1, 0.5) * whole:
            break
    return render(oversampled(to_int16(word)), noises, talkers, rng, replace(ranges, shift=0))


def render_silence(
    noises: Sequence[Sound], rng: np.random.Generator, ranges: Ranges = RANGES
) -> NDArray[np.int16]:
    """A second [CLIP_SAMPLES] without speech, from almost nothing to loud."""
    sound = noise(noises, None, rng) * 10 ** rng.uniform(*ranges.silence_level)
    floor = rng.standard_normal(CLIP_SAMPLES) * rng.uniform(0, 3)
    return to_int16(sound + floor)


def noise(
    noises: Sequence[Sound], talkers: NDArray[np.int16] | None, rng: np.random.Generator
) -> Sound:
    """One second [CLIP_SAMPLES] of noise at random, RMS 1: recorded, coloured, clatter, hum, or
    (where there are talkers) several of them at once; bent, swelling, two together."""
    sound = _one_noise(noises, talkers, rng)
    if rng.random() < 0.3:
        sound = sound + _one_noise(noises, talkers, rng) * 10 ** rng.uniform(-1, 0)
    return _float32(_normal(sound))


def _one_noise(
    noises: Sequence[Sound], talkers: NDArray[np.int16] | None, rng: np.random.Generator
) -> NDArray[np.float64]:
    """RMS 1."""
    kinds = ["recorded", "recorded", "recorded", "coloured", "coloured", "clatter", "hum"]
    kind = rng.choice(kinds if talkers is None else kinds + ["babble"])
    if kind == "babble" and talkers is not None:
        who = talkers[rng.integers(len(talkers), size=rng.integers(3, 7))]
        voices = [np.roll(talker, rng.integers(CLIP_SAMPLES)) for talker in who]
        return _normal(np.sum(voices, axis=0))
    if kind == "recorded":
        sound = _recorded(noises[int(rng.integers(len(noises)))], rng)
    elif kind == "coloured":
        sound = _coloured(CLIP_SAMPLES, rng)
    elif kind == "clatter":
        sound = _clatter(rng)
    else:
        sound = _hum(rng)
    if rng.random() < 0.5:
        sound = _bent(sound, rng)
    if rng.random() < 0.4:
        sound = sound * _swelling(sound.size, rng)
    return _normal(sound)


def _normal(sound: NDArray[np.floating]) -> NDArray[np.float64]:
    """With RMS 1."""
    exact = sound.astype(np.float64)
    return exact / max(1e-9, float(np.sqrt(np.square(exact).mean())))


def _moved(fine: Sound, speed: float, shift: float) -> Sound:
    """The clip at another speed around its middle, and moved; zeros where it has nothing."""
    middle = CLIP_SAMPLES / 2
    at = (np.arange(CLIP_SAMPLES) - middle) * speed + middle + shift
    return _float32(np.interp(at * _OVERSAMPLING, np.arange(fine.size), fine, left=0.0, right=0.0))


def _loudest(sound: Sound) -> float:
    """RMS of the loudest fifth of the frames: of the word, not of the pauses around it."""
    usable = sound[: sound.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    levels = np.sort(np.sqrt(np.square(usable).mean(axis=1)))
    return float(levels[-len(levels) // 5 :].mean()) + 1.0


def _in_room(sound: Sound, rng: np.random.Generator) -> Sound:
    """With decaying noise as the echo of a room; 50 to 350 ms until it has fallen by 60 dB."""
    length = int(rng.uniform(0.05, 0.35) * SAMPLE_RATE)
    echo = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    echo *= rng.uniform(0.02, 0.12)
    echo[0] = 1.0
    size = sound.size + length - 1
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)
    return _float32(wet[: sound.size])


def _coloured(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise with a spectrum that falls by 0 to 7 dB an octave, bent smoothly at random."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    decibels = np.interp(
        np.linspace(0, 7, spectrum.size), np.arange(8), rng.normal(0, 6, 8)
    ) - 20 * rng.uniform(0, 1.2) * np.log10(np.arange(1, spectrum.size + 1))
    return np.fft.irfft(spectrum * 10 ** (decibels / 20), size)


def _clatter(rng: np.random.Generator) -> NDArray[np.float64]:
    """Things that knock on each other: ringing knocks over coloured noise."""
    sound = _coloured(CLIP_SAMPLES, rng)
    sound *= 10 ** rng.uniform(-2, -0.5) / np.sqrt(np.square(sound).mean())
    for _ in range(rng.integers(1, 12)):
        length = int(rng.uniform(0.01, 0.2) * SAMPLE_RATE)
        time = np.arange(length)
        knock = np.zeros(length)
        for _ in range(rng.integers(1, 6)):
            hertz = np.exp(rng.uniform(np.log(200), np.log(7000)))
            knock += rng.uniform(0.2, 1) * np.sin(
                2 * np.pi * hertz / SAMPLE_RATE * time + rng.uniform(0, 6)
            )
        knock += rng.uniform(0, 1) * rng.standard_normal(length)
        knock *= np.exp(-rng.uniform(3, 7) * time / length) * 10 ** rng.uniform(-1, 0)
        start = rng.integers(CLIP_SAMPLES - length)
        sound[start : start + length] += knock
    return sound


def _hum(rng: np.random.Generator) -> NDArray[np.float64]:
    """A machine: harmonics of a steady tone that swells and fades, over coloured noise."""
    time = np.arange(CLIP_SAMPLES) / SAMPLE_RATE
    base = np.exp(rng.uniform(np.log(40), np.log(600)))
    sound = np.zeros(CLIP_SAMPLES)
    for harmonic in range(1, rng.integers(2, 12)):
        if base * harmonic < SAMPLE_RATE / 2:
            tone = np.sin(2 * np.pi * base * harmonic * time + rng.uniform(0, 6))
            sound += rng.uniform(0.1, 1) / harmonic * tone
    sound *= 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(0.5, 20) * time)
    sound /= np.sqrt(np.square(sound).mean())
    under = _coloured(CLIP_SAMPLES, rng)
    return sound + under / np.sqrt(np.square(under).mean()) * 10 ** rng.uniform(-2, 0.5)


def _recorded(recording: Sound, rng: np.random.Generator) -> NDArray[np.float64]:
    """A second from anywhere in a recording, at half to twice its speed."""
    fastest = min(2.0, (recording.size - 1) / CLIP_SAMPLES)
    speed = np.exp(rng.uniform(np.log(0.5), np.log(fastest)))
    start = rng.uniform(0, recording.size - 1 - CLIP_SAMPLES * speed)
    first = int(start)
    part = recording[first : first + int(CLIP_SAMPLES * speed) + 2]
    at = start - first + np.arange(CLIP_SAMPLES) * speed
    return np.interp(at, np.arange(part.size), part)


def _bent(sound: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Through a filter whose gain, in dB, wanders over the frequencies."""
    spectrum = np.fft.rfft(sound)
    decibels = np.interp(np.linspace(0, 7, spectrum.size), np.arange(8), rng.normal(0, 8, 8))
    return np.fft.irfft(spectrum * 10 ** (decibels / 20), sound.size)


def _swelling(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gains [size] that come and go a few to twenty times, by up to 30 dB."""
    points = int(rng.integers(3, 21))
    decibels = np.interp(
        np.linspace(0, points - 1, size), np.arange(points), rng.uniform(-30, 0, points)
    )
    gains: NDArray[np.float64] = 10 ** (decibels / 20)
    return gains


def _float32(sound: NDArray[np.floating]) -> Sound:
    return sound.astype(np.float32)
