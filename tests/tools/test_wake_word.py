"""The demo's inputs: speech, features, and what the published networks make of them."""

import subprocess
import sys

import numpy as np
import pytest

from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.tools import demo
from thumbnet.tools.speech import SAMPLE_RATE, Utterance, record, resample
from thumbnet.tools.wake_word import WakeWord, detections, features, network_inputs, wake_word

EXPECTED = {  # network -> the sentences of the demo that hold its phrase
    "okay_nabu": [0, 6],
    "hey_jarvis": [2],
    "alexa": [4],
}


@pytest.fixture(scope="module")
def recording():
    return record(demo.SENTENCES)


def test_speech_is_the_same_each_time():
    program = (
        "import zlib; from thumbnet.tools import demo, speech; "
        "print(zlib.crc32(speech.record(demo.SENTENCES).samples.tobytes()))"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command) == subprocess.check_output(command)


def test_unknown_voice_is_named():
    with pytest.raises(ToolError, match="no-such-voice"):
        record([Utterance("hello", "no-such-voice")])


@pytest.mark.parametrize("hertz", [50.0, 440.0, 3000.0, 6500.0])
def test_resampling_keeps_a_tone(hertz):
    before = np.sin(2 * np.pi * hertz * np.arange(22050) / 22050)
    after = resample(before, 22050, SAMPLE_RATE)
    expected = np.sin(2 * np.pi * hertz * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    assert after.size == SAMPLE_RATE
    assert np.abs(after - expected)[100:-100].max() < 0.01


def test_resampling_removes_what_would_fold_back():
    tone = np.sin(2 * np.pi * 9500.0 * np.arange(22050) / 22050)
    assert np.abs(resample(tone, 22050, SAMPLE_RATE))[100:-100].max() < 0.01


@pytest.mark.parametrize("name", demo.NETWORKS)
def test_the_reference_detects_its_phrase_and_no_other(name, recording, monkeypatch):
    def in_the_reference(model, inputs, on):
        return demo.Steps(demo.reference_steps(model, inputs), {})

    monkeypatch.setattr(demo, "run_steps", in_the_reference)
    result = demo.listen(wake_word(name), features(recording.samples), demo.BOARD)
    spoken = [
        max(i for i, start in enumerate(recording.starts) if start <= now)
        for now, _ in result.heard
    ]
    assert spoken == EXPECTED[name]
    assert not any(result.unequal.values())


def test_a_step_that_differs_is_counted(recording, monkeypatch):
    def wrong_once(model, inputs, on):
        outputs = demo.reference_steps(model, inputs)
        if on != "host":
            outputs[7] ^= 1
        return demo.Steps(outputs, {})

    monkeypatch.setattr(demo, "run_steps", wrong_once)
    frames = features(recording.samples[:SAMPLE_RATE])
    result = demo.listen(wake_word("alexa"), frames, demo.BOARD)
    assert result.unequal == {"host": 0, demo.BOARD: 1}


def test_inputs_are_cut_into_calls():
    frames = np.arange(7 * 40, dtype=np.float32).reshape(7, 40) / 40
    inputs = network_inputs(frames, (1, 3, 40), 0.5, -128)
    assert inputs.shape == (2, 1, 3, 40)
    assert inputs.dtype == np.int8
    assert inputs[1, 0, 0, 0] == -128 + 6  # frame 3: 3.0 / 0.5
    with pytest.raises(DataError, match="40"):
        network_inputs(frames, (1, 49, 10, 1), 0.5, -128)


def test_one_detection_an_utterance(tmp_path):
    word = WakeWord("w", "W", tmp_path, cutoff=0.9, window=5)
    probabilities = np.zeros(200)
    probabilities[50:60] = 1.0
    probabilities[150:160] = 1.0
    assert [round(now, 2) for now, _ in detections(probabilities, word, 3)] == [1.65, 4.65]
    assert detections(np.full(4, 1.0), word, 3) == []
