"""The continuous test: its sound, how it counts, and what it chooses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from keyword_sounds import make_folder, tone
from keyword_standin import WORDS, write_standin

from thumbnet.apps.kws.continuous import Heardscape, choose, count
from thumbnet.apps.kws.continuous import main as evaluate_stream
from thumbnet.apps.kws.detector import DetectorSettings, read_settings
from thumbnet.apps.kws.listener import Heard, HostListener, Listened
from thumbnet.apps.kws.scenes import NOISE_DBFS, SNR_DB, Placed, Scene, active_part, make_scene
from thumbnet.codegen.errors import DataError


def _scene(seconds: float, *placed: Placed) -> Scene:
    return Scene(np.zeros(round(seconds * 16000), np.int16), placed)


def test_a_scene_has_words_at_the_stated_level() -> None:
    """The noise alone is that of the same seed with clips of nothing."""
    hiss = [np.random.default_rng(i).normal(0, 900, 48000).astype(np.int16) for i in range(2)]
    clips = [("up", tone(500)), ("down", tone(900))] * 4
    scene = make_scene(clips, hiss, np.random.default_rng(5))
    empty = make_scene([(w, 0 * c) for w, c in clips], hiss, np.random.default_rng(5))
    assert [p.word for p in scene.placed] == [word for word, _ in clips]
    for placed in scene.placed:
        a, b = round(placed.begin * 16000), round(placed.end * 16000)
        assert (b - a) / 16000 == pytest.approx(0.5, abs=0.04)
        noise = empty.samples[a:b].astype(float)
        word = scene.samples[a:b] - noise
        ratio = 20 * np.log10(np.sqrt((word**2).mean() / (noise**2).mean()))
        assert ratio == pytest.approx(SNR_DB, abs=1.5)
        level = 20 * np.log10(np.sqrt((noise**2).mean()) / 32768)
        assert NOISE_DBFS[0] - 1.5 < level < NOISE_DBFS[1] + 1.5
    begins = [p.begin for p in scene.placed]
    assert begins == sorted(begins)


def test_active_part() -> None:
    begin, end, rms = active_part(tone(440))
    assert abs(begin - 4000) <= 320 and abs(end - 12000) <= 320
    assert rms == pytest.approx(8000 / np.sqrt(2), rel=0.05)
    assert active_part(np.zeros(16000, np.int16))[2] == 0


def test_counting() -> None:
    scene = _scene(
        60, Placed("up", 1, 2), Placed("other", 5, 6), Placed("up", 10, 11), Placed("down", 20, 21)
    )
    heard = [
        Heard(1.5, "up", 0.9),  # right
        Heard(5.5, "up", 0.9),  # of another word
        Heard(12.5, "up", 0.9),  # too late
        Heard(20.4, "up", 0.9),  # of down
        Heard(22.0, "down", 0.9),  # just in time
        Heard(21.5, "down", 0.9),  # a second time
    ]
    counts = count([scene], [heard], ("down", "up"))
    assert (counts.said, counts.told, counts.false_accepts) == (3, 2, 4)
    assert counts.from_noise == 1
    assert counts.by_word == {"down": (1, 1), "up": (1, 2)}
    assert counts.recall == pytest.approx(2 / 3)
    assert counts.delay == pytest.approx(0.25)  # of 0.5 s before the end, and 1 s behind it
    assert counts.false_accepts_per_hour == pytest.approx(4 * 60)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standin(tmp_path_factory.mktemp("kws"))


def _scape(peaks: list[tuple[int, float]], *placed: Placed) -> Heardscape:
    """A minute in which the posterior of word 0 is up for 10 runs at each (run, height)."""
    posteriors = np.full((3000, len(WORDS) + 2), -128, np.int8)
    for run, height in peaks:
        posteriors[run : run + 10, 0] = round(height * 255) - 128
    none = np.full(3000, -1, np.int32)
    run = Listened(np.arange(3000), posteriors, none, none)
    return Heardscape((_scene(60, *placed),), (run,))


def test_choosing(model: Path) -> None:
    """Words peak at 0.9 and 0.7, other things at 0.6: the threshold lies between."""
    listener = HostListener(model, DetectorSettings())
    commands = _scape([(100, 0.9), (600, 0.7)], Placed(WORDS[0], 2, 3), Placed(WORDS[0], 12, 13))
    others = _scape([(500, 0.6)])
    chosen = choose(listener, commands, others, 1.0, "so")
    assert chosen.chosen == "so" and chosen.refractory == 50
    for scape, words in ((commands, 2), (others, 0)):
        told = listener.heard(listener.decide(scape.runs[0], chosen), chosen)
        assert [h.word for h in told] == [WORDS[0]] * words
    assert choose(listener, commands, others, 1e9, "").threshold <= chosen.threshold
    loud = _scape([(500, 1.0)])
    with pytest.raises(DataError, match="no threshold keeps to 1 false accepts"):
        choose(listener, _scape([(100, 1.0)], Placed(WORDS[0], 2, 3)), loud, 1.0, "")


def test_command(
    qemu: None, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_folder(tmp_path / "data", (*WORDS, "zebra"))
    for file in list(model.iterdir()):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    common = ["--data", str(data), "--model", str(tmp_path), "--hours", "0.02", "--json"]
    more = ["--choose", "--false-accepts", "100000", "--minutes", "0.2"]
    assert evaluate_stream([*common, *more]) == 0
    result = json.loads(capsys.readouterr().out)
    chosen = read_settings(tmp_path)
    assert vars(chosen) == result["settings"] and "validation speakers of data" in chosen.chosen
    assert result["words"] == 2 * 3 * len(WORDS)
    assert result["noise_files"] == ["a.wav"]
    assert result["hours"] >= 0.02
    assert result["board"]["equal_posteriors"] and result["board"]["equal_events"]
    assert evaluate_stream([*common, "--on", "host"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["board"] is None
    assert {**again, "board": None} == {**result, "board": None}


def test_command_refuses(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_folder(tmp_path / "data", WORDS[:2] + ("zebra",))
    common = ["--model", str(model), "--on", "host", "--json"]
    assert evaluate_stream(["--data", str(data), *common]) == 1
    assert "no folder 'right'" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert evaluate_stream(["--data", str(tmp_path / "none"), *common]) == 1
    assert "there is no such folder" in json.loads(capsys.readouterr().out)["error"]["message"]
