"""Augmentation, training that goes on after a kill, and train, export and evaluate as commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.apps.face_unlock.drawn_faces import make_folder
from thumbnet.apps.face_unlock.__main__ import main
from thumbnet.apps.face_unlock.dataset import load_faces, read_identities
from thumbnet.apps.face_unlock.model_files import HostNetwork, read_decision, read_facts
from thumbnet.apps.face_unlock.verification import cosines
from thumbnet.codegen.errors import DataError, ModelFormatError
from thumbnet.codegen.manifest import read_manifest

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")
pytest.importorskip("pytorch_metric_learning")

from thumbnet.apps.face_unlock.augment import Ranges, augmented  # noqa: E402
from thumbnet.apps.face_unlock.network import (  # noqa: E402
    LARGE,
    SMALL,
    Architecture,
    FaceNetwork,
    Stage,
    architecture_from,
    embeddings,
    load_network,
)
from thumbnet.apps.face_unlock.training import (  # noqa: E402
    Recipe,
    epoch_of,
    train,
)

TINY = Architecture(size=32, stages=(Stage(8), Stage(12, 8), Stage(16)), head=24, dimensions=16)
STILL = Ranges().times(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("faces") / "people", people=10, takes=5)


def test_augmented_pictures_are_network_inputs() -> None:
    pictures = torch.randint(0, 256, (40, 80, 80), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(1)
    x = augmented(pictures, 64, Ranges(), generator)
    assert x.shape == (40, 1, 64, 64)
    steps = (x * 128).numpy()
    assert np.array_equal(steps, steps.round()) and steps.min() >= -128 and steps.max() <= 127
    assert not torch.equal(x, augmented(pictures, 64, Ranges(), generator))
    assert torch.equal(x, augmented(pictures, 64, Ranges(), torch.Generator().manual_seed(1)))


def test_without_ranges_a_picture_is_only_mirrored() -> None:
    pictures = torch.randint(2, 256, (30, 80, 80), dtype=torch.uint8)
    x = augmented(pictures, 64, STILL, torch.Generator().manual_seed(1))
    middle = (pictures[:, None, 8:72, 8:72].float() - 128) / 128
    as_it_is = ((x - middle).abs().amax((1, 2, 3)) < 0.02).numpy()
    mirrored = ((x - middle.flip(3)).abs().amax((1, 2, 3)) < 0.02).numpy()
    assert np.all(as_it_is ^ mirrored) and 5 < as_it_is.sum() < 25


def test_each_range_changes_pictures() -> None:
    pictures = (torch.arange(80)[:, None] + 2 * torch.arange(80)).to(torch.uint8).repeat(64, 1, 1)
    pictures[:, 30:50, 35:45] = 10

    def made(ranges: Ranges) -> object:
        return augmented(pictures, 64, ranges, torch.Generator().manual_seed(2))

    for name in Ranges.__dataclass_fields__:
        if name in ("blur", "erasure"):
            continue
        value = getattr(Ranges(), name)
        assert not torch.equal(made(STILL), made(replace(STILL, **{name: value}))), name


def test_ranges_times_a_factor() -> None:
    wider = Ranges().times(2)
    assert (wider.rotation, wider.erased) == (2 * Ranges().rotation, 2 * Ranges().erased)
    assert (wider.blur, wider.erasure) == (Ranges().blur, Ranges().erasure)


def test_an_epoch_has_each_picture_once_and_at_most_so_many_of_one() -> None:
    identities = np.repeat(np.arange(4), [3, 9, 1, 5])
    rng = np.random.default_rng(0)
    seen = [epoch_of(identities, 5, rng) for _ in range(12)]
    for order in seen:
        assert len(set(order.tolist())) == len(order)
        assert np.bincount(identities[order]).tolist() == [3, 5, 1, 5]
    assert set(np.concatenate(seen).tolist()) == set(range(18))


def test_training_goes_on_where_it_was_stopped(folder: Path, tmp_path: Path) -> None:
    identities = read_identities(folder)
    learnt, judged = load_faces(identities[:7], 32, 4), load_faces(identities[7:], 32)
    recipe = Recipe(epochs=3, judged=1, batch=8, margin_pixels=4)

    def run(file: str, stop_after: int = 99) -> dict[str, np.ndarray]:
        lines: list[str] = []

        def progress(line: str) -> None:
            lines.append(line)
            if len(lines) == stop_after:
                raise KeyboardInterrupt

        trained = train(learnt, judged, TINY, recipe, 5, tmp_path / file, progress)
        assert trained.epoch >= 1 and 0 < trained.auc <= 1
        return {k: v.numpy() for k, v in trained.network.state_dict().items()}

    with pytest.raises(KeyboardInterrupt):
        run("stopped.pt", stop_after=1)
    whole, continued = run("whole.pt"), run("stopped.pt")
    assert all(np.array_equal(whole[name], continued[name]) for name in whole)
    with pytest.raises(DataError, match="checkpoint of another run"):
        train(learnt, judged, TINY, recipe, 6, tmp_path / "whole.pt", print)
    (tmp_path / "whole.pt").write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="is damaged, or no file of weights"):
        train(learnt, judged, TINY, recipe, 5, tmp_path / "whole.pt", print)


def test_a_taught_network_comes_nearer_to_its_teacher(folder: Path, tmp_path: Path) -> None:
    identities = read_identities(folder)
    learnt, judged = load_faces(identities[:7], 32, 4), load_faces(identities[7:], 32)
    seen = load_faces(identities[:7], 32).inputs
    torch.manual_seed(1)
    teacher = FaceNetwork(replace(TINY, dimensions=24)).eval()

    def distance(taught: float) -> float:
        recipe = Recipe(epochs=30, judged=30, batch=8, margin_pixels=4, taught=taught)
        file = tmp_path / f"{taught}.pt"
        trained = train(learnt, judged, TINY, recipe, 5, file, print, [teacher])
        points = embeddings(trained.network, seen), embeddings(teacher, seen)
        return float(np.square(cosines(points[0]) - cosines(points[1])).mean())

    assert distance(50.0) < 0.7 * distance(0.0)


def test_a_teacher_that_knows_whom_it_should_not(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", str(folder), "--epochs", "1"]
    assert main([*words, "--large", "--out", str(tmp_path / "large")]) == 0
    teacher = tmp_path / "large" / "seed-0"
    assert architecture_from(read_facts(teacher).architecture, teacher) == LARGE
    taught = [*words, "--teacher", str(teacher), "--teacher", str(teacher)]
    assert main([*taught, "--out", str(tmp_path / "taught")]) == 0
    (tmp_path / "names.txt").write_text((teacher / "training.txt").read_text().splitlines()[1])
    capsys.readouterr()
    held_out = ["--held-out", str(tmp_path / "names.txt"), "--out", str(tmp_path / "other")]
    assert main([*taught, *held_out]) == 1
    assert "the teacher has learnt 'person-" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "taught")]) == 1
    assert "a checkpoint of another run" in capsys.readouterr().err


def test_train_export_and_evaluate(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands, with the network that ships, for two epochs."""
    (tmp_path / "held-out.txt").write_text("person-000\nperson-001\nperson-002\n")
    (tmp_path / "validation.txt").write_text("person-007\nperson-008\nperson-009\n")
    data, out = str(folder), tmp_path / "out"
    lists = ["--held-out", "held-out.txt", "--validation", "validation.txt"]
    lists = [str(tmp_path / word) if word.endswith("txt") else word for word in lists]
    assert main(["train", "--data", data, "--out", str(out), *lists, "--epochs", "2"]) == 0
    assert "20 pictures of 4 identities to learn, 15 of 3" in capsys.readouterr().err
    facts = read_facts(out / "seed-0")
    assert (facts.training_identities, facts.training_pictures) == (4, 20)
    assert architecture_from(facts.architecture, out) == SMALL
    model = tmp_path / "model"
    words = ["export", "--run", str(out / "seed-0"), "--data", data, "--out", str(model)]
    assert main([*words, "--far", "0.1"]) == 0
    decision = read_decision(model)
    assert 0 < decision.threshold <= 32768 and decision.far <= 0.1
    assert "threshold" in capsys.readouterr().out
    assert read_manifest(model / "c").row_fed
    words = ["evaluate", "--data", data, "--model", str(model), "--identities", lists[1]]
    assert main([*words, "--json", "--roc", str(tmp_path / "roc.png")]) == 0
    found = json.loads(capsys.readouterr().out)
    for kind in ("float", "int8"):
        assert found[kind]["pairs"] == 15 * 14 // 2 and found[kind]["same"] == 30
        assert 0 <= found[kind]["tar_at_far_1e-3"] <= found[kind]["tar_at_far_1e-2"] <= 1
        assert 0 <= found[kind]["eer"] <= 1
    assert abs(found["float"]["auc"] - found["int8"]["auc"]) < 0.1
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")
    assert main(words) == 0
    assert "105 pairs, 30 of one identity" in capsys.readouterr().out


def test_identities_that_cannot_be_split(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "names.txt"
    listed.write_text("person-000\n")
    both = ["--held-out", str(listed), "--validation", str(listed)]
    words = ["train", "--data", str(folder), "--out", str(tmp_path / "out")]
    assert main([*words, *both]) == 1
    single = make_folder(tmp_path / "single", people=5, takes=1)
    assert main(["train", "--data", str(single), "--out", str(tmp_path / "out")]) == 1
    few = make_folder(tmp_path / "few", people=3, takes=2)
    assert main(["train", "--data", str(few), "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    weights = {name: t.numpy() for name, t in FaceNetwork(TINY).state_dict().items()}
    load_network(TINY, weights, tmp_path)
    with pytest.raises(ModelFormatError, match="weights of another network"):
        load_network(SMALL, weights, tmp_path)
    with pytest.raises(ModelFormatError, match="no architecture"):
        architecture_from({"size": 32, "stages": [{"width": 3}]}, tmp_path)


@pytest.mark.slow
def test_strangers_are_told_apart_after_training(tmp_path: Path) -> None:
    """People whom training has not seen, by the float network and by the int8 C."""
    from thumbnet.apps.face_unlock.quantized import int8_tflite
    from thumbnet.apps.face_unlock.verification import verified

    make_folder(tmp_path / "people", people=70, takes=6)
    identities = read_identities(tmp_path / "people")
    size = TINY.size
    learnt = load_faces(identities[:48], size, 4)
    judged, tested = load_faces(identities[48:58], size), load_faces(identities[58:], size)
    recipe = Recipe(epochs=40, margin_pixels=4)
    trained = train(learnt, judged, TINY, recipe, 0, tmp_path / "run.pt", print)
    before = verified(tested.inputs.reshape(len(tested.inputs), -1), tested.identities).auc
    on_float = verified(embeddings(trained.network, tested.inputs), tested.identities).auc
    assert on_float > max(0.9, before)
    calibration = load_faces(identities[:48], size).inputs
    (tmp_path / "face.tflite").write_bytes(int8_tflite(trained.network, calibration))
    points = HostNetwork(tmp_path / "face.tflite").embeddings(tested.inputs)
    assert verified(points, tested.identities).auc == pytest.approx(on_float, abs=0.02)
