"""Parameters of the log-mel front end, and the C header that holds them and the tables.

The C beside this file (`tn_log_mel.h`) computes, for each hop, from the newest `window` samples x:

    X = DFT of fft_size points of x * hann, hann[n] = 0.5 - 0.5 cos(2 pi n / window)
    E[b] = sum over k of triangle[b, k] * |X[k]|^2
    q[b] = steps_per_octave * log2(1 + E[b] / 2^floor_log2) - 128, rounded and saturated to int8

The triangles are those of librosa.filters.mel(htk=True, norm=None) and of
torchaudio.functional.melscale_fbanks(norm=None, mel_scale="htk"): `bands` + 2 edges equally spaced
in mel = 2595 log10(1 + f / 700), straight lines over the frequency between them, height 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from thumbnet.codegen.errors import DataError

HEADER_NAME = "tn_log_mel_parameters.h"
ZERO_POINT = 0

_FACTOR = 1 << 15  # of the FFT's factors, in Q15
_WINDOW_PEAK = 32767
_LOG2_CHORDS = 32
_LARGEST = 30.0  # log2 of the largest value in the FFT


@dataclass(frozen=True)
class LogMelParameters:
    """What the header is made from. DataError for what the C cannot do.

    A step of int8 is 1 / steps_per_octave octaves of energy. `floor_log2` is the energy that counts
    as silence: log2, in squared steps of the samples, of what is added to each band; white noise of
    standard deviation s gives a band s^2 * sum(hann^2) * sum(triangle).
    """

    sample_rate: int = 16000
    window: int = 480  # samples
    hop: int = 320  # samples
    fft_size: int = 512
    bands: int = 40
    low_hz: float = 60.0  # lower edge of the first band
    high_hz: float = 7600.0  # upper edge of the last band
    steps_per_octave: int = 8
    floor_log2: float = 14.0

    def __post_init__(self) -> None:
        def refuse(what: str) -> None:
            raise DataError(f"log-mel front end: {what}")

        if self.fft_size not in (128, 512):
            refuse(f"fft_size is {self.fft_size}; the radix-4 FFT does 128 and 512")
        if not 2 <= self.window <= self.fft_size or self.window % 2:
            refuse(f"window is {self.window}; it must be even and at most fft_size")
        if not 2 <= self.hop < self.window or self.hop % 2:
            refuse(f"hop is {self.hop}; it must be even and less than window")
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate / 2:
            refuse(
                f"bands from {self.low_hz} to {self.high_hz} Hz; they must rise and end at half "
                f"of {self.sample_rate} Hz or below"
            )
        if not 1 <= self.bands <= 128:
            refuse(f"bands is {self.bands}; it must be 1 to 128")
        if not 1 <= self.steps_per_octave <= 32:
            refuse(f"steps_per_octave is {self.steps_per_octave}; it must be 1 to 32")
        if not 0 <= self.floor_log2 <= 40:
            refuse(f"floor_log2 is {self.floor_log2}; it must be 0 to 40")
        for band in range(self.bands):
            if not any(triangle(self, band)):
                refuse(f"band {band} is too narrow to hold a frequency of the FFT: take fewer")

    @property
    def scale(self) -> float:
        """Of the int8 values: octaves of energy a step."""
        return 1.0 / self.steps_per_octave

    @property
    def zero_point(self) -> int:
        """Of the int8 values: scale * (q - zero_point) is octaves above the middle of the range."""
        return ZERO_POINT

    @property
    def tail(self) -> int:
        """Samples that are kept from hop to hop."""
        return self.window - self.hop

    @property
    def skipped(self) -> int:
        """Samples of a stream before those of the first column, which ends with a whole hop."""
        return -self.window % self.hop

    @property
    def state_bytes(self) -> int:
        """Of the C's tn_log_mel."""
        return (2 * self.tail + 3) // 4 * 4 + 4

    @property
    def scratch_bytes(self) -> int:
        """What a push needs while it runs."""
        return 4 * self.fft_size

    def columns(self, samples: int) -> int:
        """How many columns come from this many samples of a fresh stream."""
        return max(0, samples // self.hop - (-(-self.window // self.hop) - 1))


def hertz_to_mel(hertz: float) -> float:
    """HTK's scale."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def mel_to_hertz(mel: float) -> float:
    """HTK's scale."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def band_edges(parameters: LogMelParameters) -> list[float]:
    """bands + 2 frequencies in hertz: band b rises from edge b to b + 1 and falls to b + 2."""
    low, high = hertz_to_mel(parameters.low_hz), hertz_to_mel(parameters.high_hz)
    step = (high - low) / (parameters.bands + 1)
    inner = [mel_to_hertz(low + i * step) for i in range(1, parameters.bands + 1)]
    return [parameters.low_hz, *inner, parameters.high_hz]


def triangle(parameters: LogMelParameters, band: int) -> list[float]:
    """Weights of a band for the fft_size / 2 + 1 frequencies of the FFT."""
    low, centre, high = band_edges(parameters)[band : band + 3]
    width = parameters.sample_rate / parameters.fft_size
    return [
        max(0.0, min((k * width - low) / (centre - low), (high - k * width) / (high - centre)))
        for k in range(parameters.fft_size // 2 + 1)
    ]


# --- tables --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mel:
    """The triangles as the C reads them: interval i lies between edges i and i + 1."""

    first_bin: int
    bins: list[int]  # how many frequencies each interval holds
    weights: list[int]  # of each frequency for the band that rises there


def _mel(parameters: LogMelParameters, weight_bits: int) -> _Mel:
    edges = band_edges(parameters)
    width = parameters.sample_rate / parameters.fft_size
    bins, weights, first = [], [], None
    for low, high in zip(edges, edges[1:], strict=False):
        inside = [k for k in range(parameters.fft_size // 2) if low <= k * width < high]
        first = inside[0] if first is None and inside else first
        bins.append(len(inside))
        weights += [round((k * width - low) / (high - low) * (1 << weight_bits)) for k in inside]
    return _Mel(first or 0, bins, weights)


def _window(parameters: LogMelParameters) -> list[int]:
    size = parameters.window
    return [
        round(_WINDOW_PEAK * (0.5 - 0.5 * math.cos(2 * math.pi * n / size))) for n in range(size)
    ]


def _reversed_digits(points: int) -> list[int]:
    """Each of 0 .. points - 1, a power of 4, with its base-4 digits reversed."""
    order = [0]
    while len(order) < points:
        order = [4 * low + digit for digit in range(4) for low in order]
    return order


def _factor(turn: float) -> int:
    """exp(-2 pi i turn) as a word: cosine low, -sine high, both Q15."""
    angle = 2 * math.pi * turn
    cosine, sine = round(_FACTOR * math.cos(angle)), round(-_FACTOR * math.sin(angle))
    return min(cosine, _FACTOR - 1) & 0xFFFF | (min(sine, _FACTOR - 1) & 0xFFFF) << 16


def _stage_factors(points: int) -> list[int]:
    """Of the stages after the first: j, 2j and 3j turns of each quarter, j = 1 and on."""
    factors, quarter = [], 4
    while quarter < points:
        factors += [_factor(r * j / (4 * quarter)) for j in range(1, quarter) for r in (1, 2, 3)]
        quarter *= 4
    return factors


def _table(ctype: str, name: str, values: list[int], digits: int = 0) -> str:
    """A constant array; `digits`: hexadecimal of so many."""
    words = [f"0x{v:0{digits}X}u" if digits else str(v) for v in values]
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > 92:
            lines.append(line)
            line = ""
        line += f"{word}, "
    body = "".join(f"\n    {text.rstrip()}" for text in [*lines, line])
    return f"static const {ctype} {name}[{len(values)}] TN_WEIGHTS TN_UNUSED = {{{body}\n}};\n"


def log_mel_header(parameters: LogMelParameters) -> str:
    """The text of `tn_log_mel_parameters.h`: constants and tables for `tn_log_mel.h`."""
    p = parameters
    points = p.fft_size // 2
    stages = round(math.log(points, 4))
    window = _window(p)
    # What no sum in the FFT passes: the whole window at full scale, halved by each later stage.
    whole = math.log2(sum(window) << 15) - (stages - 1)
    product_shift = max(0, math.ceil(whole - _LARGEST))
    # Parseval: the power of all frequencies together, and what is left of 63 bits for weights.
    power = math.log2(points * sum(w * w for w in window))
    weight_bits = min(15, math.floor(63 - power))
    mel = _mel(p, weight_bits)
    constants: list[tuple[str, str]] = [
        ("SAMPLE_RATE", f"{p.sample_rate}"),
        ("WINDOW", f"{p.window}"),
        ("HOP", f"{p.hop}"),
        ("FFT_SIZE", f"{p.fft_size}"),
        ("BANDS", f"{p.bands}"),
        ("SCALE", f"{p.scale!r}f"),
        ("ZERO_POINT", f"{p.zero_point}"),
        ("STATE_SIZE", f"{p.state_bytes}"),
        ("SCRATCH_WORDS", f"{p.fft_size}"),
        ("STEPS_PER_OCTAVE", f"{p.steps_per_octave}"),
        ("PRODUCT_SHIFT", f"{product_shift}"),
        ("FRACTION_BITS", f"{15 - product_shift - (stages - 1)}"),
        ("FIRST_BIN", f"{mel.first_bin}"),
        ("WEIGHT_BITS", f"{weight_bits}"),
        ("FLOOR", f"UINT64_C({round(2.0 ** (p.floor_log2 + weight_bits))})"),
        ("FLOOR_LOG2_Q15", f"{round((p.floor_log2 + weight_bits) * 32768)}"),
    ]
    log2 = [round(32768 * math.log2(1 + i / _LOG2_CHORDS)) for i in range(_LOG2_CHORDS + 1)]
    tables = (
        _table("int16_t", "tn_log_mel_window", window),
        _table("uint8_t", "tn_log_mel_order", _reversed_digits(points // 4)),
        _table("uint32_t", "tn_log_mel_factors", _stage_factors(points), 8),
        _table(
            "uint32_t",
            "tn_log_mel_unfold",
            [_factor(k / p.fft_size) for k in range(1, points // 2 + 1)],
            8,
        ),
        _table("uint8_t", "tn_log_mel_bins", mel.bins),
        _table("uint16_t", "tn_log_mel_weights", mel.weights),
        _table("uint16_t", "tn_log_mel_log2", log2),
    )
    return "\n".join(
        (
            f"/* {HEADER_NAME}: written by thumbnet.apps.audio.log_mel from\n * {p} */",
            "#ifndef TN_LOG_MEL_PARAMETERS_H\n#define TN_LOG_MEL_PARAMETERS_H\n",
            '#include "tn_core.h"\n',
            *(f"#define TN_LOG_MEL_{name} {value}" for name, value in constants),
            "",
            *tables,
            "#endif\n",
        )
    )
