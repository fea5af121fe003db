"""Folders of recordings: what they hold, how they are split, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.apps.keyword_sounds import RATE, make_folder, tone, write_wav
from thumbnet.apps.kws.dataset import (
    CLIP_SAMPLES,
    SPLITS,
    check_commands,
    load_clips,
    load_noises,
    most_frequent_words,
    read_corpus,
    silence_clips,
    split_noises,
)
from thumbnet.apps.kws.wav import read_wav
from thumbnet.codegen.errors import DataError

WORDS = ("go", "no", "other", "yes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "some data", WORDS)


def test_no_speaker_is_in_two_splits(folder: Path) -> None:
    corpus = read_corpus(folder)
    speakers = {split: {clip.speaker for clip in corpus.clips[split]} for split in SPLITS}
    assert speakers == {"training": {"ada", "bo"}, "validation": {"cy"}, "testing": {"dee", "eve"}}
    assert sum(len(clips) for clips in corpus.clips.values()) == len(WORDS) * 5 * 3


def test_a_speaker_in_two_splits_is_refused(folder: Path) -> None:
    with (folder / "testing_list.txt").open("a") as file:
        file.write("go/ada_nohash_0.wav\n")
    with pytest.raises(DataError, match="speaker ada is in the training and the testing clips"):
        read_corpus(folder)


def test_words_with_most_clips_are_the_commands(folder: Path) -> None:
    for take in range(3, 6):
        for word in ("yes", "no"):
            write_wav(folder / word / f"ada_nohash_{take}.wav", tone(500))
    corpus = read_corpus(folder)
    assert most_frequent_words(corpus, 2) == ("no", "yes")
    assert most_frequent_words(corpus, 3) == ("go", "no", "yes")  # ties by name


def test_noises_are_split_by_file(folder: Path) -> None:
    noises = split_noises(read_corpus(folder))
    names = {split: [path.stem for path in paths] for split, paths in noises.items()}
    assert names == {"training": ["b", "d"], "validation": ["c"], "testing": ["a"]}


def test_silence_is_taken_evenly_over_all_noises() -> None:
    ramps = [np.arange(3 * RATE).astype(np.int16), np.full(2 * RATE, 7, np.int16)]
    clips = silence_clips(ramps, 5)
    assert clips.shape == (5, CLIP_SAMPLES)
    assert clips.dtype == np.int16
    assert [int(clip[0]) for clip in clips] == [0, np.int16(2 * RATE), 7, 7, 7]


def test_clips_become_one_second(folder: Path) -> None:
    write_wav(folder / "go" / "ada_nohash_8.wav", np.full(CLIP_SAMPLES - 100, 5, np.int16))
    write_wav(folder / "go" / "ada_nohash_9.wav", np.arange(CLIP_SAMPLES + 100).astype(np.int16))
    corpus = read_corpus(folder)
    short, long = (c for c in corpus.clips["training"] if c.path.stem[-1] in "89")
    clips = load_clips([short, long])
    assert clips.shape == (2, CLIP_SAMPLES)
    assert list(clips[0, 48:52]) == [0, 0, 5, 5]
    assert list(clips[0, -52:-48]) == [5, 5, 0, 0]
    assert clips[1, 0] == 50


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        read_corpus(tmp_path / "absent")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no folders of words"):
        read_corpus(empty)
    folder = make_folder(tmp_path / "hollow", WORDS, takes=1)
    (folder / "zero").mkdir()
    with pytest.raises(DataError, match=r"zero: no .wav files"):
        read_corpus(folder)
    folder = make_folder(tmp_path / "unlisted", WORDS, takes=1)
    (folder / "testing_list.txt").unlink()
    with pytest.raises(DataError, match=r"testing_list.txt: cannot read the list"):
        read_corpus(folder)
    folder = make_folder(tmp_path / "gone", WORDS, takes=1)
    (folder / "yes" / "dee_nohash_0.wav").unlink()
    with pytest.raises(DataError, match=r"names yes/dee_nohash_0.wav, which is not there"):
        read_corpus(folder)


def test_one_class_only_is_refused(folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(folder)
    with pytest.raises(DataError, match="one command word only"):
        check_commands(corpus, ("go",))
    with pytest.raises(DataError, match="nothing is left to be 'unknown'"):
        check_commands(corpus, WORDS)
    with pytest.raises(DataError, match="no folder 'maybe'; it has go, no, other, yes"):
        check_commands(corpus, ("go", "maybe"))
    with pytest.raises(DataError, match="one command word only"):
        check_commands(read_corpus(make_folder(tmp_path / "one", ("go",))), ("go",))


def test_too_little_noise_is_refused(folder: Path) -> None:
    for name in "bcd":
        (folder / "_background_noise_" / f"{name}.wav").unlink()
    corpus = read_corpus(folder)
    with pytest.raises(DataError, match=r"1 .wav files; training, validation and testing need one"):
        split_noises(corpus)
    write_wav(corpus.noises[0], np.zeros(RATE, np.int16))
    with pytest.raises(DataError, match=r"a.wav: 16000 samples of noise; give at least two"):
        load_noises(corpus.noises)


def test_stereo_is_mixed_and_other_rates_are_resampled(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    left, right = tone(440), np.zeros(RATE, np.int16)
    write_wav(tmp_path / "stereo.wav", np.stack((left, right), axis=1), channels=2)
    assert np.abs(read_wav(tmp_path / "stereo.wav") - left / 2).max() <= 0.5
    write_wav(tmp_path / "cd.wav", tone(440, rate=44100), rate=44100)
    samples = read_wav(tmp_path / "cd.wav")
    assert samples.size == RATE
    assert samples.dtype == np.int16
    middle = slice(RATE * 3 // 8, RATE * 5 // 8)  # away from where the tone starts and ends
    assert np.abs(samples[middle].astype(float) - tone(440)[middle]).max() < 40


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not sound at all" * 9])
def test_what_is_no_wav_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(DataError, match=r"bad.wav: cannot read it as a (PCM )?.wav file: \w"):
        read_wav(tmp_path / "bad.wav")


def test_sound_that_is_not_all_there_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "whole.wav", tone(440))
    content = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[:2000])
    with pytest.raises(DataError, match=r"cut.wav: truncated: 16000 samples by its header, 978 "):
        read_wav(tmp_path / "cut.wav")
    write_wav(tmp_path / "empty.wav", tone(440)[:0])
    with pytest.raises(DataError, match=r"empty.wav: it holds less than 20 ms of sound"):
        read_wav(tmp_path / "empty.wav")


def test_eight_bits_are_refused_by_name(tmp_path: Path) -> None:
    write_wav(tmp_path / "old.wav", tone(440), width=1)
    with pytest.raises(DataError, match=r"old.wav: 8 bits a sample; convert it to 16"):
        read_wav(tmp_path / "old.wav")
