"""The commands of the lock: users and attempts on an emulated board, images, the scenario."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from lock_standin import SMALL, THRESHOLD, picture, write_network
from PIL import Image

from thumbnet.apps.camera.frames import CAMERAS, DEFAULT_CAMERA
from thumbnet.apps.face_unlock.__main__ import main
from thumbnet.apps.face_unlock.dataset import read_identities
from thumbnet.apps.face_unlock.match import ONE
from thumbnet.apps.face_unlock.model_files import Decision, write_decision
from thumbnet.apps.face_unlock.scenario import (
    Frames,
    attempts_on_host,
    groups_of,
    result_of,
)
from thumbnet.apps.face_unlock.unlock import read_lock
from thumbnet.codegen.errors import DataError, ModelFormatError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What export writes, as far as the lock needs it."""
    folder = tmp_path_factory.mktemp("model")
    shutil.move(write_network(folder), folder / "face.tflite")
    write_decision(folder, Decision(THRESHOLD, 3, 0.0, 1.0, "nothing"))
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven people of five pictures, each always the same but for its light; one of two."""
    folder = tmp_path_factory.mktemp("people")
    for person in range(8):
        (folder / f"p{person}").mkdir()
        for number in range(5 if person < 7 else 2):
            shaded = picture(person) // 16 * (14 + number) // 2 * 2
            Image.fromarray(shaded.astype("uint8")).save(folder / f"p{person}" / f"{number}.png")
    return folder


@pytest.fixture
def small_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAMERAS, DEFAULT_CAMERA, SMALL)


@pytest.mark.usefixtures("qemu", "small_camera")
def test_a_lock_in_use(
    model: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flash = ["--on", "mps2-an386", "--flash", str(tmp_path / "flash"), "--model", str(model)]
    ada, bob = people / "p0" / "0.png", people / "p1" / "0.png"
    assert main(["list", *flash]) == 0
    assert capsys.readouterr().out == "no users\n"
    assert main(["enroll", "ada", str(ada), str(ada), *flash]) == 0
    assert capsys.readouterr().out == "ada is user 0, from 2 pictures\n"
    assert main(["unlock", str(bob), str(ada), *flash]) == 0
    refused, opened = capsys.readouterr().out.splitlines()
    assert refused.startswith(f"{bob}: refused, score 0.")
    assert opened == f"{ada}: opened for ada, score 1.000"
    assert main(["attempt", *[str(bob)] * 6, *flash, "--json", "--every", "1"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [a["status"] for a in told["attempts"]] == ["refused"] * 5 + ["wait"]
    assert told["attempts"][-1]["wait_ms"] == 29_000
    assert told["threshold"] == round(THRESHOLD / ONE, 5)
    assert main(["delete", "ada", *flash, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "ada"
    for command in (["delete", "ada"], ["attempt", str(tmp_path / "absent")], ["attempt", "."]):
        assert main([*command, *flash, "--json"]) == 1
        printed = capsys.readouterr()
        assert json.loads(printed.out)["error"]["kind"] == "data"
        assert printed.err.startswith("face_unlock: ")


@pytest.mark.usefixtures("arm")
def test_images(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "lock.hex"
    arguments = ["firmware", "--model", str(model), "--board"]
    assert main([*arguments, "nrf52840dk", "-o", str(image)]) == 0
    assert "next: thumbnet flash" in capsys.readouterr().out
    assert image.read_bytes().startswith(b":")
    for wrong, reason in (
        (["nrf52840dk", "-o", str(tmp_path / "lock")], "does not end in"),
        (["nucleo-f446re", "-o", str(image)], "no flash to keep data in"),
        (["nrf52840dk", "-o", str(image), "--driver", "absent.c"], "cannot read absent.c"),
        (["nrf52840dk", "-o", str(image), "--threshold", "1.5"], "at most 1, not 1.5"),
    ):
        assert main([*arguments, *wrong]) == 1
        assert reason in capsys.readouterr().err


def test_networks_that_are_none_for_a_lock(model: Path, tmp_path: Path) -> None:
    camera = CAMERAS["qqvga"]
    with pytest.raises(ModelFormatError, match="there is no network"):
        read_lock(tmp_path, camera)
    alone = write_network(tmp_path)
    with pytest.raises(DataError, match="give a --threshold"):
        read_lock(alone, camera)
    assert read_lock(alone, camera, 0.5).threshold == ONE // 2
    other = Path(__file__).resolve().parents[3] / "apps" / "kws" / "kws.tflite"
    with pytest.raises(ModelFormatError, match="a camera gives one int8 picture"):
        Frames(read_lock(other, camera, 0.5))


# --- scenario -------------------------------------------------------------------------------------


def test_groups(people: Path) -> None:
    identities = read_identities(people)
    groups = groups_of(identities, own=17, others=20)
    assert groups == groups_of(identities, own=17, others=20)
    assert groups != groups_of(identities, own=17, others=20, seed=1)
    assert len(groups) == 2
    names = [name for group in groups for name in group.names]
    assert len(set(names)) == 6 and "p7" not in names
    own = [s for group in groups for s in group.shown if s.user is not None]
    assert len(own) == 17 and sum(s.pose is not None for s in own) == 17 - 6 * 2
    assert sum(s.user is None for group in groups for s in group.shown) == 20
    for group in groups:
        enrolled = {path for paths in group.enrolled for path in paths}
        assert len(enrolled) == 9
        for showing in group.shown:
            assert showing.path not in enrolled
            inside = showing.path.parent.name in group.names
            assert inside == (showing.user is not None)
            if inside:
                assert group.names[showing.user or 0] == showing.path.parent.name
    with pytest.raises(DataError, match="the scenario needs 3"):
        groups_of(identities[5:], own=1, others=1)
    with pytest.raises(DataError, match="too few for 1000"):
        groups_of(identities, own=1, others=1000)


def test_who_is_known_is_let_in(model: Path, people: Path, work_dir: Path) -> None:
    """The stand-in tells these people apart, so that the counting can be tested."""
    lock = read_lock(model, CAMERAS["qqvga"])
    groups = groups_of(read_identities(people), own=12, others=20)
    done = list(attempts_on_host(lock, Frames(lock, work_dir), groups))
    result = result_of(lock, "host", groups, done, None)
    assert (result.own, result.others, result.users, result.groups) == (12, 20, 6, 2)
    assert result.false_rejects == sum(score < result.threshold for score in result.own_scores)
    assert result.false_accepts == sum(score >= result.threshold for score in result.other_scores)
    assert result.false_rejects < 12 and result.false_accepts < 20
    assert sum(result.own_scores) / 12 > sum(result.other_scores) / 20


@pytest.mark.usefixtures("qemu", "small_camera")
def test_the_scenario_on_a_board(
    model: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every attempt as on the host, costs, and a picture."""
    pytest.importorskip("matplotlib")
    plot, out = tmp_path / "scores.svg", tmp_path / "result.json"
    arguments = ["scenario", "--data", str(people), "--model", str(model), "--own", "3"]
    arguments += ["--others", "7", "--plot", str(plot), "-o", str(out)]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["own"], result["others"], result["equal_to_host"]) == (3, 7, 10)
    assert result["cycles"]["all"] > result["cycles"]["network"] > 0
    assert [chip["name"] for chip in result["chips"]] == ["nRF52840", "STM32H743"]
    for chip in result["chips"]:
        seconds = result["cycles"]["all"] / chip["hz"]
        assert chip["milliseconds"] == pytest.approx(seconds * 1000, abs=0.01)
        energy = seconds * chip["milliamperes"] * chip["volts"]
        assert chip["millijoules"] == pytest.approx(energy, abs=0.001)
    assert "</svg>" in plot.read_text()
    kept = json.loads(out.read_text())
    assert len(kept["scores"]["own"]) == 3 and len(kept["scores"]["others"]) == 7
    assert main([*arguments, "--on", "host"]) == 0
    assert "others let in, of 7" in capsys.readouterr().out
    assert main([*arguments, "--on", "nrf52840dk"]) == 1


def test_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    picture_file = tmp_path / "lock.png"
    assert main(["picture", "-o", str(picture_file)]) == 0
    known, unknown = capsys.readouterr().out.split("scores ")[1].split(", ")
    assert float(known) > float(unknown)
    with Image.open(picture_file) as image:
        assert image.size[0] > 600
    assert main(["picture", "-o", str(tmp_path / "lock.txt")]) == 1
