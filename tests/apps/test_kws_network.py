"""The network that comes with Thumbnet: its files, its cost, and what it scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.apps.keyword_sounds import make_folder
from thumbnet.apps.kws.__main__ import main
from thumbnet.apps.kws.dataset import read_corpus
from thumbnet.apps.kws.evaluation import evaluate
from thumbnet.apps.kws.features import BANDS, COLUMNS, PARAMETERS, SCALE, ZERO_POINT
from thumbnet.apps.kws.model_files import COMMITTED, HostNetwork, read_facts, read_weights
from thumbnet.codegen.compile import load_graph
from thumbnet.codegen.errors import DataError, ModelFormatError
from thumbnet.codegen.stream import stream

SPEECH = Path(__file__).resolve().parents[3] / "shared" / "data" / "arabic_speech_commands"
MODEL = COMMITTED / "kws.tflite"


def test_the_input_is_what_the_front_end_gives() -> None:
    graph = load_graph(MODEL)
    (source,) = (graph.tensors[name] for name in graph.inputs)
    assert source.shape == (1, COLUMNS, BANDS, 1)
    assert (source.dtype, source.scale, source.zero_point) == ("int8", SCALE, ZERO_POINT)
    (result,) = (graph.tensors[name] for name in graph.outputs)
    assert result.shape == (1, len(read_facts(COMMITTED).classes))


def test_a_second_of_sound_costs_at_most_what_was_promised() -> None:
    streamed = stream(load_graph(MODEL))
    rows = streamed.tensors[streamed.inputs[0]].shape[1]
    calls = PARAMETERS.sample_rate / PARAMETERS.hop / rows  # a second
    assert streamed.macs * calls <= 1.6e6


def test_it_scores_a_small_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    words = (*read_facts(COMMITTED).words, "other")
    folder = make_folder(tmp_path / "tones", words, takes=1)
    arguments = ["evaluate", "--data", str(folder)]
    assert main([*arguments, "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    clips = 2 * len(words)
    assert scored["clips"] == clips + round(clips / 10)
    assert scored["speakers"] == 2
    for name in ("accuracy_float", "accuracy_int8"):
        assert 0 <= scored[name] <= 1
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert f"{scored['accuracy_int8']:.2%}" in said
    assert all(word in said for word in words[:-1])


def test_int8_is_scored_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbnet.apps.kws.evaluation.find_spec", lambda name: None)
    words = (*read_facts(COMMITTED).words, "other")
    result = evaluate(read_corpus(make_folder(tmp_path, words, takes=1)), COMMITTED)
    assert result.float_score is None
    assert result.to_json()["accuracy_float"] is None
    assert result.to_json()["accuracy_int8"] == result.int8_score.accuracy


def test_what_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    facts = read_facts(COMMITTED)
    refused = {
        (facts.words[0],): f"one class only, '{facts.words[0]}'",
        ("maybe", "never"): f"a word that the network knows: {facts.words[0]}, ",
    }
    for i, (words, message) in enumerate(refused.items()):
        folder = make_folder(tmp_path / str(i), words, takes=1)
        with pytest.raises(DataError, match=message):
            evaluate(read_corpus(folder), COMMITTED)
    (folder / "testing_list.txt").write_text("\n")
    with pytest.raises(DataError, match=r"testing_list.txt: names no clips"):
        evaluate(read_corpus(folder), COMMITTED)
    folder = make_folder(tmp_path / "heard", (*facts.words, "other"), takes=1)
    for path, name in zip(
        sorted((folder / "_background_noise_").iterdir()),
        (*facts.training_noises, *facts.validation_noises),
        strict=False,
    ):
        path.rename(path.with_name(name))
    with pytest.raises(DataError, match="has not been trained with"):
        evaluate(read_corpus(folder), COMMITTED)
    with pytest.raises(ModelFormatError, match="give a folder that train wrote"):
        read_facts(tmp_path)
    with pytest.raises(ModelFormatError, match="cannot read the float weights"):
        read_weights(tmp_path)
    with pytest.raises(DataError, match=r"takes int8 columns \[n, 49, 40\], not int16"):
        HostNetwork(MODEL).outputs(np.zeros((1, COLUMNS, BANDS), np.int16))


@pytest.mark.slow
def test_speakers_that_training_never_heard(tmp_path: Path) -> None:
    pytest.importorskip("soundfile", reason="unpacks the speech of ../shared")
    pytest.importorskip("torch")
    if not SPEECH.is_dir():
        pytest.skip("../shared has no arabic_speech_commands")
    import runpy

    unpack = runpy.run_path(str(SPEECH.parent / "unpack.py"))
    unpack["speech"](SPEECH, tmp_path)
    result = evaluate(read_corpus(tmp_path), COMMITTED)
    assert (result.clips, len(result.speakers)) == (660, 6)
    assert result.float_score is not None
    assert result.int8_score.accuracy >= 0.92
    assert abs(result.int8_score.accuracy - result.float_score.accuracy) <= 0.01
