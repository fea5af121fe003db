"""Firmware of every real board on a simulator of its chip that others made (labwired_board.py).

labwired's core lacks some instructions and has others wrong (SSAT, SXTB16, PKHBT and PKHTB with a
shift, QADD, QSUB; 0.25.0), so the model is compiled to those of a Cortex-M0; port and runner are
as they ship. The same boards with all instructions: test_nordic_boards.py, tests/tools/.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from sample_models import SAMPLES

from tests.ports.labwired_board import CHIPS, LabwiredBoard, is_installed
from thumbnet.codegen import image
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.firmware import build_firmware
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.manifest import Manifest, read_manifest
from thumbnet.codegen.targets import Target, board, boards, target
from thumbnet.codegen.toolchain import compile_objects, host_library
from thumbnet.tools.link import Link

pytestmark = [
    pytest.mark.usefixtures("arm"),
    pytest.mark.skipif(not is_installed(), reason="labwired is not installed"),
]

MICRO_SPEECH = Path(__file__).parents[2].parent / "shared/models/tflm/micro_speech_quantized.tflite"
LISTENING = sorted(CHIPS.keys() - {"nrf5340dk"})  # labwired's UARTE does not receive
APPLICATION = """
#include "port.h"

int tn_main(void) {
    tn_print("running at ");
    tn_print_decimal(tn_port_hz());
    tn_cycles_start();
    const uint32_t before = tn_cycles();
    for (volatile int i = 0; i < 1000; i++) {
    }
    tn_print(tn_cycles() - before > 1000u ? " Hz, cycles count\\n" : " Hz\\n");
    *(volatile uint32_t *)0x70000000u = 1;
    return 0;
}
"""


@pytest.fixture
def cortex_m0_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images hold a model of Cortex-M0 instructions, which every core has."""

    def simple(
        folder: Path,
        core: Target,
        work_dir: Path | None,
        extra: Sequence[str] = (),
        headers: Sequence[Path] = (),
    ) -> Path:
        return compile_objects(folder, target("cortex-m0"), work_dir, extra, headers)

    monkeypatch.setattr(image, "compile_objects", simple)


def _compiled(source: bytes, folder: Path) -> Path:
    (folder / "model.tflite").write_bytes(source)
    compile_model(folder / "model.tflite", folder / "model", Options("cortex-m0"))
    return folder / "model"


@pytest.fixture(scope="module")
def stateful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compiled(SAMPLES["stateful"]().build(), tmp_path_factory.mktemp("stateful"))


def _random_calls(manifest: Manifest, count: int) -> list[list[bytes]]:
    draw = random.Random(5)
    return [[draw.randbytes(edge.bytes) for edge in manifest.inputs] for _ in range(count)]


def _check(name: str, folder: Path, work_dir: Path, tmp_path: Path, calls: int) -> Link:
    """Runs a model on a simulated board and on the host."""
    manifest = read_manifest(folder)
    inputs = _random_calls(manifest, calls)
    model = HostModel(host_library(folder, work_dir), manifest)
    expected = tuple(tuple(model(call)) for call in inputs)
    built = image.build_image(folder, board(name), work_dir)
    simulated = LabwiredBoard(built.elf, name, tmp_path)
    link = Link(simulated, name, clock=simulated.clock)
    ran = link.run(manifest, inputs)
    simulated.close()
    assert ran.outputs == expected
    assert ran.canaries_ok
    assert ran.cycles is not None and ran.cycles > 0
    return link


@pytest.mark.usefixtures("cortex_m0_kernels")
@pytest.mark.parametrize("name", LISTENING)
def test_a_model_over_the_link(name: str, stateful: Path, work_dir: Path, tmp_path: Path) -> None:
    link = _check(name, stateful, work_dir, tmp_path, 2)
    assert link.firmware.board == name
    assert link.firmware.keeps_state


@pytest.mark.slow
@pytest.mark.usefixtures("cortex_m0_kernels")
@pytest.mark.parametrize("name", LISTENING)
@pytest.mark.skipif(not MICRO_SPEECH.is_file(), reason="no shared models here")
def test_micro_speech_over_the_link(name: str, work_dir: Path, tmp_path: Path) -> None:
    folder = _compiled(MICRO_SPEECH.read_bytes(), tmp_path)
    _check(name, folder, work_dir, tmp_path, 2)


@pytest.mark.parametrize("name", sorted(CHIPS))
def test_boots_prints_reports_a_fault_and_starts_anew(
    name: str, work_dir: Path, tmp_path: Path
) -> None:
    source = tmp_path / "application"
    source.mkdir()
    (source / "main.c").write_text(APPLICATION)
    firmware = build_firmware(source, ["main.c"], board(name), "size", work_dir)
    simulated = LabwiredBoard(firmware.elf, name, tmp_path)
    text = ""
    for _ in range(12):
        text += simulated.read(0.01).decode("ascii")
        if text.count("running at ") > 2:
            break
    simulated.close()
    first, second, *_ = text.split("running at ")[1:]
    hz, _, rest = first.partition(" ")
    assert rest.startswith("Hz, cycles count\nthumbnet: fault: exception 5 pc 0x")
    assert "address 0x70000000\n" in rest
    assert second == first
    assert int(hz) == CHIPS[name].hz


def test_every_real_board_is_simulated() -> None:
    in_qemu = {"bbc-microbit-v1"}  # tests/ports/test_ports.py
    assert {b.name for b in boards() if not b.emulated} <= CHIPS.keys() | in_qemu
