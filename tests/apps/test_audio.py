"""The log-mel front end on the host: against its formula in float64, librosa, and itself."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sanitized import build_program, run_program

from thumbnet.apps.audio.host import LogMel, model_folder, write_headers
from thumbnet.apps.audio.log_mel import LogMelParameters, band_edges, log_mel_header
from thumbnet.apps.audio.reference import bounds, errors, hard_signals, reference, triangles
from thumbnet.codegen.errors import DataError, ToolError

DEFAULT = LogMelParameters()
CHOICES = {
    "default": DEFAULT,
    "25 ms every 10 ms": replace(DEFAULT, window=400, hop=160),
    "8 kHz": replace(DEFAULT, sample_rate=8000, window=240, hop=160, high_hz=3800.0),
    "FFT of 128": replace(DEFAULT, window=128, hop=64, fft_size=128, bands=10),
    "no floor": replace(DEFAULT, window=512, hop=100, bands=1, floor_log2=0.0),
    "short window": replace(
        DEFAULT, window=16, hop=10, fft_size=128, bands=2, steps_per_octave=3, floor_log2=9.5
    ),
}
few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@cache
def front_end(parameters=DEFAULT):
    return LogMel(parameters)


def check(samples, parameters=DEFAULT):
    columns = front_end(parameters).features(samples)
    low, high = bounds(samples, parameters)
    assert columns.shape == low.shape
    outside = np.argwhere((columns < low) | (columns > high))
    assert not outside.size, f"{len(outside)} values outside the bounds, first {outside[0]}"
    return columns


def full_scale_tones(parameters):
    """Tones and square waves on and between the FFT's frequencies: what overflows first."""
    time = np.arange(4 * parameters.window)
    draw = np.random.default_rng(5)
    bins = (0.5, 1, 2, 3.5, 7.2, 20.3, parameters.fft_size / 4, parameters.fft_size / 2 - 1)
    for frequency in bins:
        wave = np.cos(2 * np.pi * frequency / parameters.fft_size * time + draw.uniform(0, 6))
        yield np.rint(32767 * wave).astype(np.int16)
        yield np.where(wave > 0, 32767, -32768).astype(np.int16)


# --- against the formula --------------------------------------------------------------------------


@pytest.mark.parametrize("choice", CHOICES)
def test_hard_signals_stay_within_the_bounds(choice):
    parameters = CHOICES[choice]
    for samples in (*hard_signals(parameters).values(), *full_scale_tones(parameters)):
        check(samples, parameters)


@few
@given(
    st.integers(0, 2**32),
    st.sampled_from([1.0, 30.0, 1000.0, 40000.0]),
    st.sampled_from([0.0, 0.9, 0.99]),
    st.integers(-3000, 3000),
)
def test_coloured_noise_stays_within_the_bounds(seed, deviation, memory, offset):
    noise = np.random.default_rng(seed).normal(0, deviation, DEFAULT.window * 4)
    for i in range(1, noise.size if memory else 0):
        noise[i] += memory * noise[i - 1]
    check(np.clip(np.rint(noise + offset), -32768, 32767).astype(np.int16))


def test_faint_and_loud_noise_are_as_exact_as_rounding_lets_them():
    for name in ("white noise, 1000 steps rms", "white noise, full scale"):
        samples = hard_signals(DEFAULT)[name]
        off = errors(front_end().features(samples), samples, DEFAULT)
        assert np.abs(off).max() < 0.52
        assert abs(off.mean()) < 0.01


def test_speech_stays_within_the_bounds():
    soundfile = pytest.importorskip("soundfile", reason="reads the .flac of ../shared")
    path = SHARED / "arabic_speech_commands" / "clips_00.flac"
    if not path.is_file():
        pytest.skip("../shared has no arabic_speech_commands")
    samples = soundfile.read(path, dtype="int16", frames=200 * 16000)[0]
    columns = check(samples)
    off = errors(columns, samples, DEFAULT)
    assert np.abs(off).max() < 0.8
    assert np.sqrt((off**2).mean()) < 0.3
    # speech uses the range: hardly anything saturates, and it spreads over most of it
    assert np.mean(columns == 127) < 0.001
    assert np.mean(columns == -128) < 0.2
    assert np.percentile(columns, 99.9) - columns.min() > 180


def test_the_formula_is_librosas():
    librosa = pytest.importorskip("librosa", reason="the formula's namesake")
    p = DEFAULT
    bank = {"n_mels": p.bands, "fmin": p.low_hz, "fmax": p.high_hz, "htk": True, "norm": None}
    theirs = librosa.filters.mel(sr=p.sample_rate, n_fft=p.fft_size, dtype=np.float64, **bank)
    np.testing.assert_allclose(triangles(p), theirs, atol=1e-12)
    samples = hard_signals(p)["white noise, 1000 steps rms"]
    # librosa puts the window into the middle of the FFT's frame
    margin = (p.fft_size - p.window) // 2
    energy = librosa.feature.melspectrogram(
        y=np.pad(samples[p.skipped :].astype(np.float64), margin), sr=p.sample_rate,
        n_fft=p.fft_size, win_length=p.window, hop_length=p.hop, center=False, power=2.0, **bank,
    )  # fmt: skip
    steps = p.steps_per_octave * np.log2(1 + energy.T / 2**p.floor_log2) - 128
    np.testing.assert_allclose(reference(samples, p), steps, atol=1e-6)


@pytest.mark.parametrize("amplitude", [100, 3000, 32767])
@pytest.mark.parametrize("choice", ["default", "8 kHz"])
def test_a_tone_peaks_in_its_own_band(choice, amplitude):
    parameters = CHOICES[choice]
    time = np.arange(parameters.window * 4) / parameters.sample_rate
    for band, hertz in enumerate(band_edges(parameters)[1:-1]):
        tone = np.rint(amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
        for column in front_end(parameters).features(tone):
            assert column[band] == column.max(), (band, hertz)


def test_silence_is_the_lowest_value_and_the_scale_is_octaves_of_energy():
    assert (front_end().features(np.zeros(16000, np.int16)) == -128).all()
    assert (front_end().features(np.ones(16000, np.int16)) <= -127).all()
    noise = np.random.default_rng(0).normal(0, 1000, 160000)
    quiet, loud = (
        front_end().features(np.rint(noise * gain).astype(np.int16)).astype(float)
        for gain in (1, 4)
    )
    octaves = DEFAULT.scale * (loud - quiet)  # amplitude x 4 is energy x 16
    assert abs(octaves.mean() - 4) < 0.01
    assert np.mean(np.abs(octaves - 4) <= DEFAULT.scale) > 0.999  # the floor counts in deep gaps


# --- streams --------------------------------------------------------------------------------------


@few
@given(
    st.sampled_from(sorted(CHOICES)),
    st.lists(st.integers(0, 1500), max_size=8),
    st.integers(0, 2**32),
)
def test_a_stream_gives_the_columns_of_the_whole(choice, pieces, seed):
    parameters = CHOICES[choice]
    samples = np.random.default_rng(seed).integers(-32768, 32768, sum(pieces)).astype(np.int16)
    whole = front_end(parameters).features(samples)
    assert whole.shape == (parameters.columns(samples.size), parameters.bands)
    stream, at, columns = front_end(parameters).stream(), 0, []
    for piece in pieces:
        columns.append(stream.push(samples[at : at + piece]))
        at += piece
        so_far = sum(map(len, columns))
        assert so_far == parameters.columns(at), "a column comes with the hop that completes it"
    np.testing.assert_array_equal(np.concatenate([*columns, whole[:0]]), whole)


@few
@given(st.integers(0, 6), st.integers(0, 2**32))
def test_a_column_depends_on_its_own_window_alone(first, seed):
    draw = np.random.default_rng(seed)
    samples = draw.integers(-32768, 32768, 3200).astype(np.int16)
    other = draw.integers(-32768, 32768, 3200).astype(np.int16)
    begin = DEFAULT.skipped + first * DEFAULT.hop
    other[begin : begin + DEFAULT.window] = samples[begin : begin + DEFAULT.window]
    np.testing.assert_array_equal(
        front_end().features(samples)[first], front_end().features(other)[first]
    )


def test_one_second_is_49_columns():
    assert DEFAULT.columns(16000) == 49
    assert front_end().features(np.zeros(16000, np.int16)).shape == (49, 40)


def test_threads_do_not_disturb_each_other():
    sounds = list(hard_signals(DEFAULT).values()) * 3
    expected = [front_end().features(s) for s in sounds]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(front_end().features, sounds), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


# --- the C ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", CHOICES)
def test_sanitizers_find_nothing_and_the_bytes_are_the_same(choice, tmp_path):
    """No overflow whatever the samples, in an arena of exactly the stated size, full of garbage."""
    parameters = CHOICES[choice]
    program = build_program([model_folder(parameters)], tmp_path / "program")
    sounds = [*hard_signals(parameters).values()]
    cut = 6 * parameters.window
    samples = np.concatenate([s[:cut] for s in (*sounds, *full_scale_tones(parameters))])
    hops = samples[: samples.size // parameters.hop * parameters.hop].reshape(-1, parameters.hop)
    model = front_end(parameters)
    outputs = run_program(program, 0, model.manifest, [[hop] for hop in hops])
    columns = np.array([column for column, ready in outputs if ready[0]])
    np.testing.assert_array_equal(columns, model.features(samples))


LAYOUT = """
#include <stddef.h>
#include "tn_log_mel.h"
#include "log_mel.h"
typedef char state[sizeof(tn_log_mel) == TN_LOG_MEL_STATE_SIZE ? 1 : -1];
typedef char pcm[offsetof(log_mel_arena, pcm) == PCM ? 1 : -1];
typedef char column[offsetof(log_mel_arena, column) == COLUMN ? 1 : -1];
typedef char ready[offsetof(log_mel_arena, ready) == READY ? 1 : -1];
typedef char arena[sizeof(log_mel_arena) == ARENA ? 1 : -1];
"""


@pytest.mark.parametrize(
    "compiler",
    [
        ["gcc", "-std=c11"],
        ["g++", "-std=c++17"],
        ["arm-none-eabi-gcc", "-std=c11", "-mcpu=cortex-m4", "-O2"],
        ["arm-none-eabi-gcc", "-std=c11", "-mcpu=cortex-m0", "-O2"],
    ],
    ids=["C", "C++", "M4", "M0"],
)
@pytest.mark.parametrize("choice", CHOICES)
def test_headers_compile_without_warnings_and_sizes_are_as_stated(choice, compiler, tmp_path):
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed")
    parameters = CHOICES[choice]
    manifest = front_end(parameters).manifest
    edges = {e.name.upper(): e.offset for e in (*manifest.inputs, *manifest.outputs)}
    values = {**edges, "ARENA": manifest.arena_bytes}
    source = tmp_path / ("layout.cpp" if compiler[0] == "g++" else "layout.c")
    source.write_text(LAYOUT)
    warnings = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")
    subprocess.run(
        [*compiler, *warnings, "-c", "-o", str(tmp_path / "layout.o"),
         f"-I{model_folder(parameters)}",
         *(f"-D{name}={value}" for name, value in values.items()), str(source)],
        check=True,
    )  # fmt: skip


def test_the_header_is_the_same_each_time():
    assert log_mel_header(DEFAULT) == log_mel_header(LogMelParameters())
    assert log_mel_header(DEFAULT) != log_mel_header(replace(DEFAULT, floor_log2=13.0))


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fft_size": 256}, "fft_size is 256"),
        ({"window": 514}, "window is 514"),
        ({"window": 481}, "window is 481"),
        ({"hop": 480}, "hop is 480"),
        ({"hop": 0}, "hop is 0"),
        ({"high_hz": 9000.0}, "9000.0 Hz"),
        ({"low_hz": 7700.0}, "7700.0"),
        ({"bands": 0}, "bands is 0"),
        ({"fft_size": 128, "window": 128, "hop": 64, "bands": 60}, "band 0 is too narrow"),
        ({"steps_per_octave": 0}, "steps_per_octave is 0"),
        ({"floor_log2": 60.0}, "floor_log2 is 60"),
    ],
)
def test_parameters_that_cannot_be_are_refused(change, words):
    with pytest.raises(DataError, match=words):
        replace(DEFAULT, **change)


@pytest.mark.parametrize(
    "samples", [np.zeros(16000), np.zeros((16000, 2), np.int16), np.zeros(16000, np.uint16)]
)
def test_other_arrays_are_refused_by_name(samples):
    with pytest.raises(DataError, match=f"int16.*{samples.dtype}"):
        front_end().features(samples)
    with pytest.raises(DataError, match=f"int16.*{samples.dtype}"):
        front_end().stream().push(samples)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ToolError, match="file"):
        write_headers(tmp_path / "file", DEFAULT)


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "thumbnet.apps.audio", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_writes_headers_and_refuses_in_one_line(tmp_path):
    done = command("headers", "-o", str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    assert {Path(line).name for line in done.stdout.split()} == {
        "tn_log_mel.h", "tn_log_mel_parameters.h", "tn_core.h", "tn_dsp.h",
    }  # fmt: skip
    refused = command("bench", "--on", "no-board", "--json")
    assert refused.returncode == 1
    assert "no-board" in json.loads(refused.stdout)["error"]["message"]
