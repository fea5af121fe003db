"""The LM3S6965 evaluation board, the port that docs/porting.md was tried with, in QEMU."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sample_models import SAMPLES

from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.image import STRICT, build_image
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.targets import PORTS, Board, board
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.emulator import find_qemu, started_with_uart
from thumbnet.tools.link import Link
from thumbnet.tools.reference import reference_outputs
from thumbnet.tools.session import open_session, place_named, run_calls

pytestmark = pytest.mark.usefixtures("qemu")

BOARD = "lm3s6965evb"
CLOCKS = {
    "locked": (50_000_000, "ibrd: 27, fbrd: 8"),
    "no crystal": (12_000_000, "ibrd: 6, fbrd: 33"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "stateful.tflite"
    path.write_bytes(SAMPLES["stateful"]().build())
    return path


def _without_crystal(folder: Path) -> Board:
    """The port on a chip whose PLL never gets ready: it looks at a bit that stays 0."""
    on = board(BOARD)
    shutil.copytree(PORTS / "lm3s", folder)
    header = folder / "lm3s.h"
    text = header.read_text()
    ready = "#define SYSCTL_RIS_PLLLRIS (1u << 6)"
    assert ready in text
    header.write_text(text.replace(ready, ready.replace("6", "7")))
    return replace(on, sources=(folder / "board.c", *on.sources[1:]))


def test_a_model_gives_the_bytes_of_the_reference(model: Path) -> None:
    session = open_session(model, place_named(BOARD), Options())
    calls = random_calls(session.manifest.inputs, 10)
    outcome = run_calls(session, calls, meter=False)
    expected = reference_outputs(model, calls, len(session.manifest.outputs))
    for ours, theirs in zip(outcome.outputs, expected, strict=True):
        assert [a.tobytes() for a in ours] == [b.tobytes() for b in theirs]


@pytest.mark.parametrize("clock", CLOCKS)
def test_clock_and_baud_rate(clock: str, model: Path, work_dir: Path, tmp_path: Path) -> None:
    """What the chip's registers got, and no access that QEMU's models of them know as wrong."""
    on = board(BOARD) if clock == "locked" else _without_crystal(tmp_path / "lm3s")
    compile_model(model, tmp_path / "c", Options(on.target.name))
    flags = (*STRICT, "-Wconversion")
    image = build_image(tmp_path / "c", on, work_dir, timed_layers=True, flags=flags)
    (tmp_path / "image.elf").symlink_to(image.elf)
    command = (find_qemu(), "-M", BOARD, "-display", "none", "-monitor", "none", "-nic", "none",
               "-kernel", "image.elf", "-d", "guest_errors", "-D", "log.txt",
               "-trace", "pl011_baudrate_change", "-trace", "clock_set")  # fmt: skip
    with started_with_uart(command, tmp_path) as transport:
        link = Link(transport, BOARD)
        manifest = read_manifest(tmp_path / "c")
        assert link.run(manifest, [[bytes(e.bytes) for e in manifest.inputs]]).canaries_ok
    log = (tmp_path / "log.txt").read_text()
    hz, divisors = CLOCKS[clock]
    assert link.firmware.hz == hz
    said = re.findall(r"^\S*pl011_baudrate_change.*\((.*)\)$", log, re.MULTILINE)
    print(log)
    assert said[-1].endswith(divisors)
