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
from thumbnet.codegen.manifest import Manifest, read_manifest
from thumbnet.codegen.targets import PORTS, Board, board
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.emulator import find_qemu, started_with_uart
from thumbnet.tools.link import Link
from thumbnet.tools.reference import reference_outputs

pytestmark = pytest.mark.usefixtures("qemu")

BOARD = "lm3s6965evb"
CALLS = 10
CLOCKS = {  # of the core; the divisors of the UART; QEMU's clock, where it follows
    "PLL": (50_000_000, "ibrd: 27, fbrd: 8", "->50000000Hz"),
    "no crystal": (12_000_000, "ibrd: 6, fbrd: 33", None),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, list[list[bytes]]]:
    """A model as C, and what the reference interpreter makes of random calls."""
    folder = tmp_path_factory.mktemp("lm3s")
    model = folder / "stateful.tflite"
    model.write_bytes(SAMPLES["stateful"]().build())
    compile_model(model, folder / "c", Options("cortex-m3"))
    manifest = read_manifest(folder / "c")
    calls = random_calls(manifest.inputs, CALLS)
    expected = reference_outputs(model, calls, len(manifest.outputs))
    return folder / "c", manifest, [[a.tobytes() for a in call] for call in expected]


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


@pytest.mark.parametrize("clock", CLOCKS)
def test_bytes_clock_and_baud_rate(
    clock: str,
    compiled: tuple[Path, Manifest, list[list[bytes]]],
    work_dir: Path,
    tmp_path: Path,
) -> None:
    """A model's bytes over the link, at the clock and with the divisors that the port tells."""
    folder, manifest, expected = compiled
    on, cache = board(BOARD), work_dir
    if clock == "no crystal":
        on, cache = _without_crystal(tmp_path / "lm3s"), tmp_path / "work"
    image = build_image(folder, on, cache, timed_layers=True, flags=STRICT)
    (tmp_path / "image.elf").symlink_to(image.elf)
    command = (find_qemu(), "-M", BOARD, "-display", "none", "-monitor", "none", "-nic", "none",
               "-kernel", "image.elf", "-d", "guest_errors", "-D", "log.txt",
               "-trace", "pl011_baudrate_change", "-trace", "clock_set")  # fmt: skip
    raw = [[a.tobytes() for a in call] for call in random_calls(manifest.inputs, CALLS)]
    with started_with_uart(command, tmp_path) as transport:
        link = Link(transport, BOARD)
        assert [list(call) for call in link.run(manifest, raw).outputs] == expected

    hz, divisors, emulated = CLOCKS[clock]
    assert link.firmware.hz == hz
    log = (tmp_path / "log.txt").read_text()
    assert re.findall(r"ibrd: \d+, fbrd: \d+", log)[-1] == divisors
    assert emulated is None or re.findall(r"->\d+Hz", log)[-1] == emulated
    # no access that QEMU's models know as wrong, but cycles.c's look for a cycle counter
    wrong = [line for line in log.splitlines() if re.search(r"[Bb]ad|GUEST", line)]
    assert all("NVIC: Bad" in line and "0xdfc" in line for line in wrong)
