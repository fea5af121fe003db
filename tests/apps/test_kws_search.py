"""The keyword task of the network search, and searched networks in train, export and evaluate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.apps.keyword_sounds import make_folder
from thumbnet.apps.kws.__main__ import main
from thumbnet.apps.kws.features import BANDS, COLUMNS, SCALE, ZERO_POINT
from thumbnet.apps.kws.model_files import read_architecture, read_facts, read_weights
from thumbnet.codegen.compile import load_graph
from thumbnet.codegen.errors import DataError, ModelFormatError
from thumbnet.codegen.stream import stream
from thumbnet.nas.architecture import Architecture, Bottleneck, Stem

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

WORDS = ("go", "no", "other", "yes")
TINY = Architecture(
    (COLUMNS, BANDS, 1),
    Stem(4, (3, 5), (2, 4)),
    (Bottleneck(4, 8, (3, 3), (1, 2)), Bottleneck(4, 0, (5, 1), residual=True)),
    head=0,
    classes=5,
    activation="relu",
    pad_rows=False,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("kws") / "tones", WORDS)


def test_a_task_of_renderings(folder: Path, tmp_path: Path) -> None:
    from thumbnet.apps.kws.search_task import keyword_task
    from thumbnet.nas.task import batch

    said: list[str] = []
    task = keyword_task(folder, tmp_path, said.append, ("yes", "go", "no"), count=2)
    assert task.classes == ("go", "no", "yes", "silence", "unknown")
    assert (task.input_shape, task.scale, task.zero_point) == (
        (COLUMNS, BANDS, 1),
        SCALE,
        ZERO_POINT,
    )
    spoken = 3 * 2 * 3  # words, speakers, takes
    one_epoch = spoken + round(0.85 * spoken) + round(0.08 * spoken) + round(0.24 * spoken)
    assert len(task.train) == 2 * one_epoch
    assert (len(task.validation), len(task.test)) == (12 + 1, 24 + 2)
    x, labels = batch(task.train, range(len(task.train)))
    assert x.shape == (len(task.train), 1, COLUMNS, BANDS)
    assert np.bincount(labels).tolist()[:3] == [12, 12, 12]  # two renderings of every clip
    again = keyword_task(folder, tmp_path, said.append, ("yes", "go", "no"), count=2)
    assert "found in" in said[-1]
    assert again.key == task.key
    torch.testing.assert_close(batch(again.train, [3])[0], x[3:4])


def test_augmentation_draws_from_the_generator_only() -> None:
    from thumbnet.apps.kws.search_task import augmented

    torch.manual_seed(0)
    x = torch.rand(8, 1, COLUMNS, BANDS) * 31 - 16
    before = torch.get_rng_state()
    first, again, other = (augmented(x, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, x)


def test_a_searched_network_from_recordings_to_a_score(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, run, model = tmp_path / "arch.json", tmp_path / "run", tmp_path / "model"
    chosen.write_text(json.dumps(TINY.to_json()))
    arguments = ["train", "--data", str(folder), "--out", str(run), "--words=go,no,yes"]
    arguments += ["--epochs=1", "--renderings=1"]
    assert main([*arguments, "--architecture", str(chosen)]) == 0
    assert read_facts(run / "seed-0").architecture == TINY
    assert main(["export", "--run", str(run / "seed-0"), "--out", str(model)]) == 0
    graph = load_graph(model / "kws.tflite")
    streamed = stream(graph)
    assert streamed.tensors[streamed.inputs[0]].shape[1] == 2
    capsys.readouterr()
    assert main(["evaluate", "--data", str(folder), "--model", str(model), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["macs"] == graph.macs
    assert 0 <= scored["accuracy_float"] <= 1
    assert main(arguments) == 1  # the network made by hand does not go on from there
    assert "a checkpoint of another run" in capsys.readouterr().err


def test_a_network_learns_from_a_teacher(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = tmp_path / "arch.json"
    chosen.write_text(json.dumps(TINY.to_json()))
    arguments = ["train", "--data", str(folder), "--epochs=1", "--renderings=1"]
    taught = [*arguments, "--words=go,no,yes", "--architecture", str(chosen)]
    outs = {name: str(tmp_path / name) for name in ("teacher", "alone", "taught")}
    assert main([*arguments, "--words=go,no,yes", "--out", outs["teacher"]]) == 0
    assert main([*taught, "--out", outs["alone"]]) == 0
    teacher = str(tmp_path / "teacher" / "seed-0")
    assert main([*taught, "--out", outs["taught"], "--teacher", teacher]) == 0
    alone, learnt = (read_facts(tmp_path / name / "seed-0") for name in ("alone", "taught"))
    assert alone.teacher is None and learnt.teacher is not None
    weights = [read_weights(tmp_path / name / "seed-0") for name in ("alone", "taught")]
    assert any(np.any(array != weights[1][name]) for name, array in weights[0].items())
    capsys.readouterr()
    refused = [*arguments, "--words=go,no", "--out", outs["taught"], "--teacher", teacher]
    assert main(refused) == 1
    assert "the teacher knows the words go, no, yes" in capsys.readouterr().err


def test_what_a_teacher_says_costs_nothing_to_repeat() -> None:
    """The gradient of the taught part is zero at the teacher's outputs, and leads there."""
    from thumbnet.apps.kws.network import KeywordNetwork
    from thumbnet.apps.kws.training import Recipe, Teacher, TrainingSet, _Run

    torch.manual_seed(0)
    teacher = KeywordNetwork(5).eval()
    columns = np.zeros((1, 1, COLUMNS, BANDS), np.int8)
    training = TrainingSet(
        columns, np.zeros(1, np.int64), np.zeros(1, np.int64), columns[0], columns[0], 5, 1, "data"
    )
    run = _Run(training, Recipe(), 0, TINY, Teacher(teacher, "key"))
    x = torch.randn(4, 1, COLUMNS, BANDS)
    same = teacher(x).detach().requires_grad_()
    run._taught(torch.zeros(()), same, x).backward()
    assert same.grad.abs().max() < 1e-6
    other = (same.detach() + torch.randn(4, 5)).requires_grad_()
    before = run._taught(torch.zeros(()), other, x)
    before.backward()
    after = run._taught(torch.zeros(()), other - 0.1 * other.grad, x)
    assert after < before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": 12}, "has 12 classes"),
        ({"input_shape": (COLUMNS, 8, 1)}, r"the front end gives \[49, 40, 1\]"),
    ],
)
def test_an_architecture_for_something_else_is_refused(
    changed: dict[str, object], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(replace(TINY, **changed).to_json()))  # type: ignore[arg-type]
    with pytest.raises(ModelFormatError, match=message):
        read_architecture(file, WORDS[:3])
    file.write_text("{")
    with pytest.raises(ModelFormatError, match="cannot read this architecture"):
        read_architecture(file, WORDS[:3])


def test_words_that_are_not_there_are_refused(folder: Path, tmp_path: Path) -> None:
    from thumbnet.apps.kws.search_task import keyword_task

    with pytest.raises(DataError, match="perhaps"):
        keyword_task(folder, tmp_path, lambda _: None, ("go", "perhaps"))


def test_the_searched_network_needs_fewer_cycles_than_the_one_made_by_hand() -> None:
    from thumbnet.apps.kws.model_files import COMMITTED, read_architecture, read_facts
    from thumbnet.codegen.compile import Options
    from thumbnet.codegen.cost import cost
    from thumbnet.nas.cost import Deployment, network_cost

    words = read_facts(COMMITTED).words
    read_architecture(COMMITTED / "teacher.json", words)  # raises where it does not fit
    searched = read_architecture(COMMITTED / "searched.json", words)
    by_hand = load_graph(COMMITTED / "kws.tflite")
    streamed = cost(Options(input="stream").applied(by_hand)).cycles
    ours = network_cost(searched, Deployment(input="stream")).cycles
    assert ours / 4 < 0.5 * streamed / 2  # a call takes four columns, and two
    assert network_cost(searched).cycles < 0.6 * cost(by_hand).cycles
