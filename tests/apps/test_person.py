"""Person detection: the host and an emulated board say the same of pictures, and images link."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sample_models import SampleNet
from tflite_builder import Spec

from thumbnet.apps.camera.frames import CAMERAS, DEFAULT_CAMERA, Camera
from thumbnet.apps.person.__main__ import main

DRIVER = """
#include "camera.h"
#include "eye_settings.h"
int tn_camera_begin(void) { return 0; }
const uint8_t *tn_camera_row(void) {
    static uint8_t row[TN_FRAME_WIDTH * 2];
    row[0]++;
    return row;
}
"""


def write_network(folder: Path, classes: int) -> Path:
    """A network of drawn weights that takes colours and gives probabilities."""
    net = SampleNet(7)  # not sure of anything, so that pictures matter
    x = net.builder.input((1, 20, 20, 3), scale=1 / 255, zero_point=-128, name="picture")
    x = net.pool("AVERAGE_POOL_2D", net.conv(x, 4, 3, 2), 5, 5)
    x = net.dense(net.reshape(x, (1, 16)), classes)
    softmax = Spec((1, classes), scale=1 / 256, zero_point=-128)
    net.builder.output(net.builder.op("SOFTMAX", [x], softmax, beta=1.0))
    path = folder / f"{classes}.tflite"
    path.write_bytes(net.builder.build())
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("person"), 2)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(CAMERAS, DEFAULT_CAMERA, Camera(40, 30, True))
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(2)
    for number in range(4):
        coarse = random.integers(0, 256, (4, 6, 3), np.uint8)
        Image.fromarray(coarse).resize((96, 64)).save(folder / f"{number}.png")
    return folder


@pytest.mark.usefixtures("qemu")
def test_host_and_board_say_the_same(
    network: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["look", str(pictures), "--model", str(network)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 4
    assert main([*words, "--on", "mps2-an386"]) == 0
    assert capsys.readouterr().out == said
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["pictures"]
    assert len({each["score"] for each in told}) > 1
    for each, line in zip(told, said.splitlines(), strict=True):
        word = "person" if each["person"] else "nobody"
        assert line == f"{each['picture']}: {word} {each['score']:.2f}"


@pytest.mark.usefixtures("arm")
def test_images(network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    driver, image = tmp_path / "driver.c", tmp_path / "person.hex"
    driver.write_text(DRIVER)
    words = ["firmware", "--model", str(network), "-o", str(image)]
    for board in ("nrf52840dk", "nucleo-f446re"):
        for more in ((), ("--driver", str(driver))):
            assert main([*words, "--board", board, *more]) == 0
            assert "bytes of flash" in capsys.readouterr().out
            assert image.read_bytes().startswith(b":")
            image.unlink()


def test_refusals(
    network: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three = write_network(tmp_path, 3)
    for words, reason in (
        (["look", str(pictures), "--model", str(three)], "two probabilities are asked for"),
        (["look", str(pictures), "--model", "absent.tflite"], "there is no network"),
        (["look", str(pictures / "9.png"), "--model", str(network)], "no such file or folder"),
        (["look", str(network), "--model", str(network)], "cannot read this picture"),
        (["firmware", "--model", str(network), "--board", "lm3s", "-o", "x.elf"], "unknown board"),
        (["firmware", "--model", str(network), "--board", "microbit", "-o", "x"], "does not end"),
    ):
        assert main(words) == 1
        assert reason in capsys.readouterr().err
