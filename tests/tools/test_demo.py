"""The demo: its voice, and what it says of what the keyword firmware hears."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thumbnet.apps.kws.listener import Heard, HostListener
from thumbnet.codegen.errors import ToolError
from thumbnet.tools import demo
from thumbnet.tools.speech import SAMPLE_RATE, Utterance, record, resample


def test_speech_is_the_same_each_time() -> None:
    program = (
        "import zlib; from thumbnet.tools import demo, speech; "
        "said = [speech.Utterance(w.text, w.voice, w.speed) for w in demo.WORDS]; "
        "print(zlib.crc32(speech.record(said).samples.tobytes()))"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command) == subprocess.check_output(command)


def test_unknown_voice_is_named() -> None:
    with pytest.raises(ToolError, match="no-such-voice"):
        record([Utterance("hello", "no-such-voice")])


@pytest.mark.parametrize("hertz", [50.0, 440.0, 3000.0, 6500.0])
def test_resampling_keeps_a_tone(hertz: float) -> None:
    before = np.sin(2 * np.pi * hertz * np.arange(22050) / 22050)
    after = resample(before, 22050, SAMPLE_RATE)
    expected = np.sin(2 * np.pi * hertz * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    assert after.size == SAMPLE_RATE
    assert np.abs(after - expected)[100:-100].max() < 0.01


def test_resampling_removes_what_would_fold_back() -> None:
    tone = np.sin(2 * np.pi * 9500.0 * np.arange(22050) / 22050)
    assert np.abs(resample(tone, 22050, SAMPLE_RATE))[100:-100].max() < 0.01


def test_words_are_heard(qemu: None, capsys: pytest.CaptureFixture[str]) -> None:
    """More than half of what the voice says is heard right, and what is not a command is not."""
    assert demo.main([]) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("  ") and " s  " in line]
    heard = [Heard(float(t), w, float(p)) for t, _, w, p in (line.split() for line in lines)]
    starts = record([Utterance(w.text, w.voice, w.speed) for w in demo.WORDS]).starts
    told = [[h.word for h in demo.heard_of(heard, starts, i)] for i in range(len(starts))]
    right = [w.meaning in t for t, w in zip(told, demo.WORDS, strict=True) if w.known]
    assert sum(right) > len(right) // 2
    assert [t for t, w in zip(told, demo.WORDS, strict=True) if not w.known and t] == []
    assert "cycles a second (estimate): all" in said
    assert "byte for byte" in said


def test_a_board_that_differs_is_told(monkeypatch: pytest.MonkeyPatch, qemu: None) -> None:
    listen = HostListener.listen

    def one_off(listener: HostListener, samples: np.ndarray) -> object:  # type: ignore[type-arg]
        listened = listen(listener, samples)
        listened.posteriors[3, 0] ^= 1
        return listened

    monkeypatch.setattr(HostListener, "listen", one_off)
    assert demo.main([]) == 1


def test_sound_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--sound", str(tmp_path / "none.wav")]) == 1
    assert "none.wav" in capsys.readouterr().err
