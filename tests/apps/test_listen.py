"""The `listen` command: words of a .wav file, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from keyword_sounds import write_wav
from keyword_standin import settings_text, sound, write_standin

from thumbnet.apps.kws.__main__ import main
from thumbnet.apps.kws.listen import main as listen


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_standin(tmp_path_factory.mktemp("kws"))
    (folder / "detector.json").write_text(settings_text(threshold=0.3))
    return folder


def test_host_and_board_say_the_same(
    qemu: None, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a recording.wav"
    write_wav(file, sound(12))
    assert main(["listen", str(file), "--model", str(model)]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) > 2
    assert listen([str(file), "--model", str(model), "--on", "mps2-an386"]) == 0
    board = capsys.readouterr()
    assert board.out == said
    assert "SRAM, bytes" in board.err
    assert listen([str(file), "--model", str(model), "--on", "mps2-an386", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [f"{w['seconds']:.3f} s  {w['word']}  {w['score']:.2f}" for w in result["words"]] == (
        said.splitlines()
    )
    assert result["seconds"] == 12 and result["costs"]["cycles"]["all"] > 0


def test_other_rates_and_channels_are_heard(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stereo at 16 kHz, both sides the same, is what mono is; 44.1 kHz is resampled."""
    pytest.importorskip("scipy")
    pcm = sound(6)
    for name, samples, rate, channels in (
        ("mono", pcm, 16000, 1),
        ("stereo", np.repeat(pcm, 2), 16000, 2),
        ("fast", np.interp(np.arange(0, 96000, 16 / 44.1), np.arange(96000), pcm), 44100, 1),
    ):
        write_wav(tmp_path / f"{name}.wav", samples, rate, channels)
    heard = {}
    for name in ("mono", "stereo", "fast"):
        assert listen([str(tmp_path / f"{name}.wav"), "--model", str(model), "--json"]) == 0
        heard[name] = json.loads(capsys.readouterr().out)
    assert heard["stereo"]["words"] == heard["mono"]["words"]
    assert heard["fast"]["seconds"] == pytest.approx(6, abs=0.01)


def test_refusals(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "words.wav"
    text.write_text("up up down")
    for arguments, part in (
        ([str(text)], "words.wav: cannot read it as a PCM .wav file"),
        ([str(tmp_path / "absent.wav")], "absent.wav"),
        ([str(text), "--model", str(tmp_path)], "words.wav"),
    ):
        assert listen([*arguments, "--model", str(model), "--json"]) == 1
        printed = capsys.readouterr()
        assert part in json.loads(printed.out)["error"]["message"]
        assert printed.err.startswith("kws: ") and printed.err.count("\n") == 1
    write_wav(tmp_path / "ok.wav", sound(1))
    assert listen([str(tmp_path / "ok.wav"), "--model", str(model), "--on", "no-board"]) == 1
    assert "unknown board 'no-board'" in capsys.readouterr().err
    assert listen([str(tmp_path / "ok.wav"), "--model", str(model), "--on", "nrf52840dk"]) == 1
    with pytest.raises(SystemExit) as wrong:
        listen([])
    assert wrong.value.code == 2


def test_silence_has_no_words(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kws").mkdir()
    for file in model.iterdir():
        (tmp_path / "kws" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "kws" / "detector.json").write_text(settings_text(threshold=1.0))
    write_wav(tmp_path / "quiet.wav", np.zeros(16000, np.int16))
    assert listen([str(tmp_path / "quiet.wav"), "--model", str(tmp_path / "kws")]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "no words were heard in 1.0 s" in printed.err
