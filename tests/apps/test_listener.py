"""From sound to words: the same C on the host and on the board, in pieces and as a whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyword_standin import WORDS, settings_text, sound, write_standin
from numpy.typing import NDArray
from sanitized import SANITIZE
from tflite_builder import reference_calls

from thumbnet.apps.kws.detector import DetectorSettings, read_settings, write_settings
from thumbnet.apps.kws.emulated import emulate_listener
from thumbnet.apps.kws.features import COLUMNS, PARAMETERS, ZERO_POINT, front_end
from thumbnet.apps.kws.linked import linked, listen_over_link
from thumbnet.apps.kws.listener import HostListener, Listened, application_folder
from thumbnet.apps.kws.model_files import COMMITTED
from thumbnet.codegen.errors import DataError, ModelFormatError, ToolError
from thumbnet.codegen.toolchain import host_compiler

CHOSEN = DetectorSettings(4, 25, 0.3, "here")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standin(tmp_path_factory.mktemp("kws"))


@pytest.fixture(scope="module")
def listener(model: Path) -> HostListener:
    return HostListener(model, CHOSEN)


def _expected(posteriors: NDArray[np.int8], chosen: DetectorSettings) -> list[tuple[int, int]]:
    """(word, sum) after each run, -1 where none is heard: the detector in plain words."""
    counts = posteriors[:, : len(WORDS)].astype(int) + 128
    quiet, heard = 0, []
    for run in range(len(counts)):
        sums = counts[max(0, run + 1 - chosen.smoothing) : run + 1].sum(axis=0)
        best = int(sums.argmax())
        if quiet:
            quiet -= 1
            heard.append((-1, 0))
        elif sums[best] >= chosen.threshold * 256 * chosen.smoothing:
            quiet = chosen.refractory
            heard.append((best, int(sums[best])))
        else:
            heard.append((-1, 0))
    return heard


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    smoothing=st.integers(1, 25),
    refractory=st.integers(0, 30),
    threshold=st.floats(0.01, 1.0),
)
def test_detector(
    listener: HostListener, seed: int, smoothing: int, refractory: int, threshold: float
) -> None:
    random = np.random.default_rng(seed)
    loud = random.random((60, len(WORDS) + 2)) ** random.uniform(0.2, 4)
    posteriors = (loud * 255 - 128).astype(np.int8)
    chosen = DetectorSettings(smoothing, refractory, threshold)
    empty = np.empty(0, np.int32)
    result = listener.decide(Listened(np.arange(60), posteriors, empty, empty), chosen)
    found = [
        (int(w), int(s) if w >= 0 else 0) for w, s in zip(result.words, result.scores, strict=True)
    ]
    assert found == _expected(posteriors, chosen)


def test_posteriors_are_those_of_the_whole_window(model: Path, listener: HostListener) -> None:
    """Every run: the network on the newest second of columns, as the reference computes it."""
    pcm = sound(2.5)
    columns = front_end().features(pcm)
    before = np.full((COLUMNS - 1, columns.shape[1]), ZERO_POINT, np.int8)
    rows = np.concatenate([before, columns])
    calls = [[rows[i : i + COLUMNS][None, :, :, None]] for i in range(len(columns))]
    expected = reference_calls((model / "kws.tflite").read_bytes(), calls)
    listened = listener.listen(pcm)
    np.testing.assert_array_equal(listened.posteriors, np.concatenate([c[0] for c in expected]))
    first = PARAMETERS.window // PARAMETERS.hop  # the first hop that completes a column
    np.testing.assert_array_equal(listened.hops, np.arange(first, first + len(columns)))
    again = listener.decide(listened, CHOSEN)
    np.testing.assert_array_equal(again.words, listened.words)


def test_words_have_times(listener: HostListener) -> None:
    pcm = sound(20)
    listened = listener.listen(pcm)
    heard = listener.heard(listened)
    assert len(heard) > 3
    first = int(np.flatnonzero(listened.words >= 0)[0])
    assert heard[0].seconds == pytest.approx((listened.hops[first] + 1) * 0.02)
    assert heard[0].word == WORDS[listened.words[first]]
    pauses = np.diff([h.seconds for h in heard])
    assert (pauses > CHOSEN.refractory * 0.02).all()
    assert listener.listen(pcm[:100]).posteriors.shape == (0, len(WORDS) + 2)


def test_firmware_is_equal_to_the_host(qemu: None, model: Path, listener: HostListener) -> None:
    """On two minutes of sound: each posterior of each run, each word, its time and its score."""
    pcm = sound(120, 2)
    told: list[str] = []
    run = emulate_listener(
        model, CHOSEN, pcm, "mps2-an386", meter=False, tell=lambda h: told.append(str(h))
    )
    host = listener.listen(pcm)
    np.testing.assert_array_equal(run.posteriors, host.posteriors)
    heard = listener.heard(host)
    assert len(heard) > 20 and len({h.word for h in heard}) > 1
    assert run.heard == heard
    assert told == [str(h) for h in heard]
    assert 0 < run.costs.stack_used <= run.costs.stack


@pytest.mark.parametrize("board", ["mps2-an505", "mps2-an385"])
def test_firmware_on_other_cores(
    qemu: None, model: Path, listener: HostListener, board: str
) -> None:
    pcm = sound(6, 3)
    run = emulate_listener(model, CHOSEN, pcm, board, meter=False)
    np.testing.assert_array_equal(run.posteriors, listener.listen(pcm).posteriors)


def test_firmware_over_the_serial_link(qemu: None, model: Path, listener: HostListener) -> None:
    """An STM32F405 hears through its UART what the host hears: each run, each word, each time."""
    pcm = sound(3, 2)
    told: list[str] = []
    with linked("netduinoplus2", model, CHOSEN) as link:
        run = listen_over_link(link, model, CHOSEN, pcm, tell=lambda h: told.append(str(h)))
        again = listen_over_link(link, model, CHOSEN, pcm[: len(pcm) // 4])
        with pytest.raises(ToolError, match="holds 'kws listener 4/25/308' .*, not 'kws listener"):
            listen_over_link(link, COMMITTED, read_settings(COMMITTED), pcm)
    host = listener.listen(pcm)
    np.testing.assert_array_equal(run.posteriors, host.posteriors)
    assert run.heard == listener.heard(host) and run.heard
    assert told == [str(h) for h in run.heard]
    np.testing.assert_array_equal(again.posteriors, host.posteriors[: len(again.posteriors)])
    assert (run.board, run.hops) == ("netduinoplus2", 150)


def test_costs_of_the_committed_network(qemu: None) -> None:
    """What the issue allows; the firmware equals the host with the real network, too."""
    chosen = read_settings(COMMITTED)
    pcm = sound(10, 4)
    run = emulate_listener(COMMITTED, chosen, pcm, "mps2-an386")
    real = HostListener(COMMITTED, chosen)
    np.testing.assert_array_equal(run.posteriors, real.listen(pcm).posteriors)
    assert run.costs.sram <= 20 * 1024
    assert run.costs.flash <= 90 * 1024
    assert run.costs.cycles is not None
    assert run.costs.cycles["front_end"] <= 2_000_000
    runs_a_second = 1 / (real.run_hops * 0.02)
    assert real.manifest.macs * runs_a_second <= 1_600_000
    parts = sum(run.costs.cycles[part] for part in ("front_end", "network", "detector"))
    assert 0 <= run.costs.cycles["all"] - parts < 10_000


# ---- files beside the network --------------------------------------------------------------------


def test_settings_file(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == DetectorSettings()
    write_settings(tmp_path, CHOSEN)
    assert read_settings(tmp_path) == CHOSEN
    (tmp_path / "detector.json").write_text(settings_text(threshold=1.5))
    with pytest.raises(ModelFormatError, match=r"detector.json: .*threshold above 0"):
        read_settings(tmp_path)
    (tmp_path / "detector.json").write_text("{}")
    with pytest.raises(ModelFormatError, match="evaluate-stream --choose"):
        read_settings(tmp_path)
    with pytest.raises(DataError, match="smoothing is 1 to 25"):
        DetectorSettings(smoothing=26)


def test_networks_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"kws.json: cannot read"):
        HostListener(tmp_path, CHOSEN)
    wrong = write_standin(tmp_path / "classes", classes=5)
    with pytest.raises(ModelFormatError, match="the detector takes 6 int8 probabilities"):
        HostListener(wrong, CHOSEN)
    narrow = write_standin(tmp_path / "bands", bands=32)
    with pytest.raises(ModelFormatError, match="the front end gives int8 columns of 40"):
        HostListener(narrow, CHOSEN)
    (narrow / "kws.tflite").unlink()
    with pytest.raises(ModelFormatError, match="kws.tflite: there is no network"):
        HostListener(narrow, CHOSEN)


_PROGRAM = """
#include "host.c"
#include "kws.c"
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    enum { HOPS = 150 };
    static int16_t pcm[HOPS * TN_LOG_MEL_HOP];
    static const tn_detector_settings settings = TN_LISTENER_SETTINGS;
    if (fread(pcm, sizeof pcm, 1, stdin) != 1) return 1;
    tn_listener *listener = aligned_alloc(16, (sizeof *listener + 15) / 16 * 16);
    int64_t *hop_of = malloc(HOPS * sizeof *hop_of);
    int8_t *posteriors = malloc(HOPS * KWS_OUTPUT_SIZE);
    int32_t *words = malloc(HOPS * sizeof *words), *scores = malloc(HOPS * sizeof *scores);
    memset(listener, 0xA5, sizeof *listener);
    const int64_t runs =
        listener_recording(listener, &settings, pcm, HOPS, hop_of, posteriors, words, scores);
    fwrite(posteriors, KWS_OUTPUT_SIZE, (size_t)runs, stdout);
    free(listener), free(hop_of), free(posteriors), free(words), free(scores);
    return 0;
}
"""


@pytest.mark.parametrize("dsp", [0, 1])
def test_under_sanitizers(model: Path, listener: HostListener, tmp_path: Path, dsp: int) -> None:
    folder = application_folder(model, CHOSEN, "host")
    source = tmp_path / "listen.c"
    source.write_text(_PROGRAM)
    flags = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-DTN_DSP={dsp}")
    command = [host_compiler(), *flags, *SANITIZE, "-I", str(folder), str(source), "-o", "listen"]
    subprocess.run(command, cwd=tmp_path, check=True)
    pcm = sound(3)
    done = subprocess.run([tmp_path / "listen"], input=pcm.tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    posteriors = np.frombuffer(done.stdout, np.int8).reshape(-1, len(WORDS) + 2)
    np.testing.assert_array_equal(posteriors, listener.listen(pcm).posteriors)
