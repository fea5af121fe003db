"""Speech for the demo: espeak-ng from the `espeakng-loader` package, at 16 kHz.

The first recording of a process is the same samples each time: espeak-ng's seed is set, but it
keeps state between sentences.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import ToolError

SAMPLE_RATE = 16000

# Of espeak-ng's speak_lib.h.
_OUTPUT_SYNCHRONOUS = 2
_RATE = 1  # parameter: words a minute
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_SEED = 1  # of the noise in its consonants, else the clock

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Utterance:
    """What is said, by which of espeak-ng's voices (as "en-us+f3"), at how many words a minute."""

    text: str
    voice: str
    speed: int = 160


@dataclass(frozen=True, eq=False)
class Recording:
    """`samples` int16 [n] at 16 kHz; `starts`: when each utterance begins, in seconds."""

    samples: NDArray[np.int16]
    starts: tuple[float, ...]


def record(utterances: Sequence[Utterance], pause: float = 1.2) -> Recording:
    """All utterances one after the other, with `pause` seconds of silence around each.

    Raises ToolError when espeak-ng cannot be loaded or does not know a voice.
    """
    silence = np.zeros(round(pause * SAMPLE_RATE))
    parts, starts, length = [silence], [], silence.size
    for spoken in _synthesise(utterances):
        starts.append(length / SAMPLE_RATE)
        parts += [spoken, silence]
        length += spoken.size + silence.size
    samples = np.clip(np.rint(np.concatenate(parts)), -32768, 32767).astype(np.int16)
    return Recording(samples, tuple(starts))


def resample(samples: NDArray[np.float64], rate_in: int, rate_out: int) -> NDArray[np.float64]:
    """Band-limited resampling of [n] by a rational ratio: a Hann-windowed sinc for each phase."""
    common = np.gcd(rate_in, rate_out)
    up, down = rate_out // common, rate_in // common
    cutoff = min(1.0, rate_out / rate_in) * 0.95  # of the input's Nyquist frequency
    half = int(np.ceil(16 / cutoff))
    taps = np.arange(-half, half + 1)
    distance = taps[None, :] - (np.arange(up) / up)[:, None]  # phase p lies p/up after a sample
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip(distance / (half + 1), -1, 1))
    filters = cutoff * np.sinc(cutoff * distance) * window
    filters /= filters.sum(axis=1, keepdims=True)
    position = np.arange(samples.size * up // down) * down
    padded = np.pad(samples, half + 1)
    nearest = position // up + half + 1
    out = np.zeros(position.size)
    for tap, weights in zip(taps, filters.T, strict=True):
        out += padded[nearest + tap] * weights[position % up]
    return out


def _synthesise(utterances: Sequence[Utterance]) -> list[NDArray[np.float64]]:
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path()
    except (ImportError, OSError, RuntimeError) as error:
        raise ToolError(
            f"the demo's speech needs the package espeakng-loader ({error}); "
            "install it with: pip install 'thumbnet[demo]'"
        ) from error
    heard: list[NDArray[np.int16]] = []

    def take(wave: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if wave and count > 0:
            heard.append(np.ctypeslib.as_array(wave, (count,)).astype(np.int16))
        return 0

    callback = _CALLBACK(take)
    rate = library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, data.encode(), 0)
    if rate <= 0:
        raise ToolError(f"espeak-ng does not start with the data in '{data}' (status {rate})")
    library.espeak_SetSynthCallback(callback)
    spoken = []
    try:
        for utterance in utterances:
            heard.clear()
            library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
            if library.espeak_SetVoiceByName(utterance.voice.encode()) != 0:
                raise ToolError(f"espeak-ng has no voice '{utterance.voice}'")
            library.espeak_SetParameter(_RATE, utterance.speed, 0)
            text = utterance.text.encode()
            library.espeak_Synth(
                ctypes.c_char_p(text),
                ctypes.c_size_t(len(text) + 1),
                0,
                _POSITION_CHARACTER,
                0,
                _CHARS_UTF8,
                None,
                None,
            )
            library.espeak_Synchronize()
            if not heard:
                raise ToolError(f"espeak-ng made no sound of '{utterance.text}'")
            spoken.append(resample(np.concatenate(heard).astype(np.float64), rate, SAMPLE_RATE))
    finally:
        library.espeak_Terminate()
    return spoken
