"""Augmentation, training that goes on after a kill, and train, export and evaluate as commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.apps.keyword_sounds import make_folder, tone
from thumbnet.apps.kws.__main__ import main
from thumbnet.apps.kws.augment import (
    noise,
    oversampled,
    render,
    render_fragment,
    render_silence,
)
from thumbnet.apps.kws.dataset import CLIP_SAMPLES, read_corpus, split_noises
from thumbnet.apps.kws.features import BANDS, COLUMNS
from thumbnet.apps.kws.renderings import read_renderings, renderings
from thumbnet.codegen.errors import DataError

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

WORDS = ("go", "no", "other", "yes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("kws") / "tones", WORDS)


@pytest.mark.parametrize("seed", range(12))
def test_augmented_sound_keeps_length_and_type(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noises = [rng.normal(0, 100, 3 * CLIP_SAMPLES).astype(np.float32)]
    clips = np.stack([tone(440), tone(880)])
    fine = oversampled(clips[0])
    assert np.abs(fine[::2] - clips[0]).max() < 1e-2
    makers = (
        lambda: render(fine, noises, clips, rng),
        lambda: render_fragment(fine, noises, clips, rng),
        lambda: render_silence(noises, rng),
    )
    for make in makers:
        first, second = make(), make()
        assert first.shape == (CLIP_SAMPLES,)
        assert first.dtype == np.int16
        assert np.any(first != second)
    for talkers in (clips, None):
        sound = noise(noises, talkers, rng)
        assert sound.shape == (CLIP_SAMPLES,)
        assert sound.dtype == np.float32
        assert np.sqrt(np.square(sound.astype(float)).mean()) == pytest.approx(1, abs=0.01)


def test_renderings_are_made_once(folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(folder)
    noises = split_noises(corpus)["training"]
    clips = corpus.clips["training"]
    said: list[str] = []
    file = tmp_path / "renderings.npz"
    made = renderings(clips, noises, 2, 0, file, said.append)
    assert made.words.shape == (2, len(clips), COLUMNS, BANDS)
    assert made.words.dtype == made.fragments.dtype == made.silences.dtype == np.int8
    assert np.any(made.words[0] != made.words[1])
    again = renderings(clips, noises, 2, 0, file, said.append)
    assert "found in" in said[-1]
    assert again.key == made.key
    np.testing.assert_array_equal(again.words, made.words)
    renderings(clips, noises, 2, 1, file, said.append)  # another seed: made anew
    assert "found in" not in said[-1]
    file.write_bytes(b"half a file")
    with pytest.raises(DataError, match="remove it and train"):
        read_renderings(file)


def test_augmented_columns_keep_shape_and_range() -> None:
    from thumbnet.apps.kws.column_augment import augment_columns
    from thumbnet.apps.kws.training import RECIPES

    torch.manual_seed(0)
    x = torch.rand(16, 1, COLUMNS, BANDS) * 31 - 16
    for recipe in RECIPES.values():
        y = augment_columns(x, -16.0, 15.875, recipe.ranges)
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        assert y.min() >= -16
        assert y.max() <= 15.875
        assert (y != x).flatten(1).any(1).all()


def test_the_gentle_recipe_masks_nothing() -> None:
    from thumbnet.apps.kws.column_augment import augment_columns
    from thumbnet.apps.kws.training import RECIPES

    loud = torch.full((64, 1, COLUMNS, BANDS), 8.0)
    loud[:, :, 0, 0] = -16.0  # what a mask may fill with

    def quiet(recipe: str) -> float:
        torch.manual_seed(0)
        y = augment_columns(loud, -16.0, 15.875, RECIPES[recipe].ranges)
        return float((y[:, :, 10:, 10:] < -10).double().mean())

    assert quiet("gentle") == 0 < quiet("strong")


def test_a_killed_training_reaches_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thumbnet.apps.kws import training

    def run(out: str) -> None:
        arguments = ["train", "--data", str(folder), "--out", str(tmp_path / out)]
        assert main([*arguments, "--words=go,no,yes", "--epochs=3", "--renderings=2"]) == 0

    def weights(out: str) -> bytes:
        return (tmp_path / out / "seed-0" / "kws.npz").read_bytes()

    run("whole")
    save, saved = training._Run.save, []

    def save_and_stop(self: training._Run, file: Path) -> None:
        save(self, file)
        saved.append(self.epoch)
        if self.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "save", save_and_stop)
        arguments = ["train", "--data", str(folder), "--out", str(tmp_path / "killed")]
        status = main([*arguments, "--words=go,no,yes", "--epochs=3", "--renderings=2"])
        assert status == 130
    assert saved == [1, 2]
    assert not (tmp_path / "killed" / "seed-0" / "kws.npz").exists()
    run("killed")
    assert weights("killed") == weights("whole")


def test_a_checkpoint_of_another_run_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--data", str(folder), "--out", str(tmp_path), "--renderings=1"]
    assert main([*arguments, "--words=go,no,yes", "--epochs=1"]) == 0
    assert main([*arguments, "--words=go,no", "--epochs=1"]) == 1
    assert "a checkpoint of another run" in capsys.readouterr().err
    (tmp_path / "seed-0" / "checkpoint.pt").write_bytes(b"cut off")
    assert main([*arguments, "--words=go,no,yes", "--epochs=1"]) == 1
    assert "is damaged, or no file of weights" in capsys.readouterr().err


def test_from_recordings_to_a_score(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = tmp_path / "run", tmp_path / "model"
    arguments = ["train", "--data", str(folder), "--out", str(out), "--words=yes,no"]
    assert main([*arguments, "--epochs=2", "--renderings=2", "--seed=7"]) == 0
    assert "epoch 2 of 2" in capsys.readouterr().err
    assert main(["export", "--run", str(out / "seed-7"), "--out", str(model)]) == 0
    assert (model / "c" / "kws.c").exists()
    capsys.readouterr()
    assert main(["evaluate", "--data", str(folder), "--model", str(model), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["classes"] == ["no", "yes", "silence", "unknown"]
    assert scored["clips"] == 24 + 2  # a tenth of silence
    assert scored["speakers"] == 2
    assert scored["silence_files"] == ["a.wav"]
    assert np.sum(scored["confusion_int8"]) == 26
    assert scored["accuracy_int8"] == pytest.approx(np.trace(scored["confusion_int8"]) / 26)
    assert 0 <= scored["accuracy_float"] <= 1


def test_refusals_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", str(tmp_path / "no"), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"kws: {tmp_path / 'no'}: there is no such folder\n"
    assert main(["export", "--run", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "give a folder that train wrote" in capsys.readouterr().err
    assert main(["evaluate", "--data", str(tmp_path / "no"), "--json"]) == 1
    refused = json.loads(capsys.readouterr().out)
    assert refused["error"]["kind"] == "data"
    with pytest.raises(SystemExit) as left:
        main(["train", "--data", str(tmp_path), "--out", str(tmp_path), "--epochs=0"])
    assert left.value.code == 2
