"""The network that comes with Thumbnet: its files, its cost, and what it scores."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from tests.apps.face_unlock.drawn_faces import make_folder
from thumbnet.apps.face_unlock.__main__ import main
from thumbnet.apps.face_unlock.dataset import (
    HELD_OUT,
    VALIDATION,
    load_faces,
    read_identities,
    read_names,
)
from thumbnet.apps.face_unlock.evaluation import Others, evaluate
from thumbnet.apps.face_unlock.model_files import (
    COMMITTED,
    Decision,
    HostNetwork,
    read_decision,
    read_facts,
    read_weights,
    write_decision,
)
from thumbnet.codegen.compile import Options, compile_model, load_graph
from thumbnet.codegen.errors import DataError, ModelFormatError

SHARED = Path(__file__).resolve().parents[4] / "shared"
MODEL = COMMITTED / "face.tflite"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("faces") / "people", people=5, takes=4)


@pytest.fixture(scope="module")
def network() -> HostNetwork:
    return HostNetwork(MODEL)


def test_it_fits_the_chip_that_it_is_for(tmp_path: Path) -> None:
    """nRF52840: 256 KB of flash and 48 KB of SRAM for all, of which the lock needs some."""
    manifest = compile_model(MODEL, tmp_path / "c", Options(input="rows")).manifest
    assert manifest.row_fed
    assert manifest.weights_bytes <= 185_000
    assert manifest.arena_bytes <= 24_000
    assert manifest.macs <= 15_000_000


def test_its_facts(network: HostNetwork) -> None:
    facts = read_facts(COMMITTED)
    assert facts.validation_identities == tuple(sorted(read_names(VALIDATION)))
    assert network.size == facts.architecture["size"]
    graph = load_graph(MODEL)
    (result,) = (graph.tensors[name] for name in graph.outputs)
    assert result.shape == (1, facts.architecture["dimensions"])
    decision = read_decision(COMMITTED)
    assert decision.far <= 1e-2 and decision.tar > 0.3


def test_the_c_is_the_reference_interpreter(network: HostNetwork, folder: Path) -> None:
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    interpreter = runtime.Interpreter.from_file(str(MODEL))
    inputs = load_faces(read_identities(folder), network.size).inputs[:6]
    for picture, output in zip(inputs, network.outputs(inputs), strict=True):
        interpreter.set_input(picture[None, :, :, None], 0)
        interpreter.invoke()
        assert np.array_equal(interpreter.get_output(0).ravel(), output)


def test_int8_says_what_float_says(network: HostNetwork, folder: Path) -> None:
    pytest.importorskip("torch")
    from thumbnet.apps.face_unlock.network import architecture_from, embeddings, load_network

    inputs = load_faces(read_identities(folder), network.size).inputs
    architecture = architecture_from(read_facts(COMMITTED).architecture, COMMITTED)
    floats = embeddings(load_network(architecture, read_weights(COMMITTED), COMMITTED), inputs)
    for a, b in zip(floats, network.embeddings(inputs).astype(float), strict=True):
        assert a @ b / np.sqrt((a @ a) * (b @ b)) > 0.97


def test_it_scores_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    assert main(["evaluate", "--data", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["identities"], found["pictures"]) == (5, 20)
    for kind in ("float", "int8"):
        assert (found[kind]["pairs"], found[kind]["same"]) == (190, 30)
        assert found[kind]["auc"] > 0.7  # drawn faces are unlike those it knows


def test_int8_is_scored_without_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbnet.apps.face_unlock.evaluation.find_spec", lambda name: None)
    assert list(evaluate(folder, COMMITTED).scores) == ["int8"]


def test_others_beside_it(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    learnt = make_folder(tmp_path / "others", people=6, takes=3, first=50)
    scores = evaluate(folder, COMMITTED, others=Others(learnt)).scores
    assert list(scores)[-2:] == ["eigenfaces", "lbp"]
    assert all(score.pairs == 190 for score in scores.values())
    assert scores["eigenfaces"].auc > 0.6 and scores["lbp"].auc > 0.6
    with pytest.raises(DataError, match="eigenfaces have none to learn"):
        evaluate(folder, COMMITTED, others=Others(folder))
    with pytest.raises(ModelFormatError, match="expected of a MobileFaceNet"):
        evaluate(folder, COMMITTED, others=Others(mobilefacenet=MODEL))


def test_mobilefacenet_beside_it(folder: Path) -> None:
    pytest.importorskip("skimage")
    file = SHARED / "models" / "face_embedding" / "mobilefacenet_int8.tflite"
    if not file.is_file():
        pytest.skip("../shared has no mobilefacenet_int8")
    scores = evaluate(folder, COMMITTED, others=Others(mobilefacenet=file)).scores
    assert scores["mobilefacenet"].auc > 0.8


def test_a_board_says_the_same(folder: Path, qemu: None) -> None:
    scores = evaluate(folder, COMMITTED, board="mps2-an386", most=6).scores
    assert scores["int8 on mps2-an386"].pairs == 15


def test_a_board_that_differs_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from thumbnet.apps.face_unlock import emulated

    def wrong(model: Path, pictures: np.ndarray, on: str) -> np.ndarray:
        outputs = HostNetwork(model).outputs(pictures).copy()
        outputs[3, 5] ^= 1
        return outputs

    monkeypatch.setattr(emulated, "board_outputs", wrong)
    assert main(["evaluate", "--data", str(folder), "--board", "some", "--json"]) == 1
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "some differs from the host in 1 of 20 pictures, first in number 3" in message


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "usage"),
        (("open",), 2, "usage"),
        (("evaluate", "--data", "none"), 1, "none: there is no such folder"),
        (("evaluate", "--data", ".", "--model", "none"), 1, "cannot read"),
        (("export", "--run", "none", "--data", ".", "--out", "x"), 1, "give a folder that train"),
        (("train", "--data", "none", "--out", "x"), 1, "none: there is no such folder"),
    ],
)
def test_commands_that_cannot_be(
    words: tuple[str, ...],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_folder(tmp_path / "data", people=2, takes=2)
    monkeypatch.chdir(tmp_path / "data")
    assert main(words) == status
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told
    assert not (tmp_path / "data" / "x").exists()


def test_a_picture_of_curves_needs_a_known_suffix(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--data", str(folder), "--roc", str(tmp_path / "roc.doc")]
    assert main(words) == 1
    assert "does not end in .png or .svg" in capsys.readouterr().err


def test_files_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="decision.json: cannot read the lock's threshold"):
        read_decision(tmp_path)
    (tmp_path / "decision.json").write_text('{"threshold": 40000, "frames": 3}')
    with pytest.raises(ModelFormatError, match="cannot read the lock's threshold"):
        read_decision(tmp_path)
    decision = Decision(20000, 3, 0.001, 0.8, "here")
    write_decision(tmp_path, decision)
    assert read_decision(tmp_path) == decision
    with pytest.raises(DataError, match="a threshold is above 0"):
        Decision(0, 3, 0.001, 0.8, "here")
    (tmp_path / "face.json").write_text('{"architecture": 3}')
    with pytest.raises(ModelFormatError, match="give a folder that train or export wrote"):
        read_facts(tmp_path)
    with pytest.raises(ModelFormatError, match="an embedding network takes one grey picture"):
        HostNetwork(COMMITTED.parent / "kws" / "kws.tflite")
    with pytest.raises(DataError, match="takes int8 pictures"):
        HostNetwork(MODEL).outputs(np.zeros((1, 20, 20), np.int8))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "listed", "least"), [("lfw", HELD_OUT, 0.88), ("orl", None, 0.93)]
)
def test_people_whom_training_never_saw(
    name: str, listed: Path | None, least: float, tmp_path: Path
) -> None:
    source = SHARED / "data" / {"lfw": "lfw_subset", "orl": "orl_faces"}[name]
    if not source.is_dir():
        pytest.skip(f"../shared has no {source.name}")
    unpack = runpy.run_path(str(source.parent / "unpack.py"))
    unpack[name](source, tmp_path)
    scores = evaluate(tmp_path, COMMITTED, names=read_names(listed) if listed else None).scores
    assert scores["int8"].auc >= least
    if "float" in scores:
        assert abs(scores["float"].auc - scores["int8"].auc) < 0.01
