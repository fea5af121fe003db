"""Firmware of the Nordic boards on their core with strict peripherals (nordic_board.py).

Unlike labwired (test_labwired.py) it has every instruction and a UARTE that receives; but who wrote
the ports wrote these peripherals, too.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from sample_models import SAMPLES

from tests.ports.nordic_board import RX_FIFO, UART_FIFO, UnicornBoard
from tests.ports.nordic_chips import nrf5340, nrf52840
from tests.ports.registers import Peripheral
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.firmware import build_firmware
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.image import build_image
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.targets import board
from thumbnet.codegen.toolchain import host_library
from thumbnet.tools.link import Link

pytestmark = pytest.mark.usefixtures("arm")

BOARDS = ("nrf52840dk", "nrf5340dk")
OURS = ("CLOCK", "NVMC", "APPROTECT", "UICR", "FICR", "P0", "P1", "UART0")  # not its UARTE0
HZ = {"nrf52840dk": 64_000_000, "nrf5340dk": 128_000_000}
HELLO = """
#include "port.h"

int tn_main(void) {
    tn_print("hello");
    for (;;) {
        const int c = tn_port_getc();
        if (c == 'x') {
            return 3;
        }
        if (c >= 0) {
            tn_port_putc((char)(c + 1));
        }
    }
}
"""


def _chip(name: str) -> Mapping[str, Peripheral]:
    if name == "nrf5340dk":
        return nrf5340()
    chip = nrf52840()
    return {peripheral: chip[peripheral] for peripheral in OURS}


def _start(elf: Path, name: str, **options: Any) -> UnicornBoard:
    pytest.importorskip("unicorn", reason="unicorn runs the core")
    core = {"nrf52840dk": "CORTEX_M4", "nrf5340dk": "CORTEX_M33"}[name]
    return UnicornBoard(elf, core, _chip(name), **options)


def _application(text: str, name: str, work_dir: Path) -> Path:
    folder = work_dir / f"application {crc32(text.encode())}"
    folder.mkdir(exist_ok=True)
    (folder / "main.c").write_text(text)
    return build_firmware(folder, ["main.c"], board(name), "size", work_dir).elf


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "model.tflite").write_bytes(SAMPLES["small_cnn"]().build())
    compile_model(folder / "model.tflite", folder / "model", Options("cortex-m4"))
    return folder / "model"


@pytest.mark.parametrize("burst", ["one", "all"])
@pytest.mark.parametrize("name", BOARDS)
def test_a_model_over_the_link(name: str, burst: str, small: Path, work_dir: Path) -> None:
    """`all`: as many bytes at once as the receiver holds; none may be lost."""
    manifest = read_manifest(small)
    draw = random.Random(3)
    calls = [[draw.randbytes(edge.bytes) for edge in manifest.inputs] for _ in range(3)]
    model = HostModel(host_library(small, work_dir), manifest)
    simulated = _start(build_image(small, board(name), work_dir).elf, name)
    if burst == "all":
        simulated.burst = {"nrf52840dk": UART_FIFO, "nrf5340dk": RX_FIFO}[name]
    link = Link(simulated, name, clock=simulated.clock)
    assert (link.firmware.board, link.firmware.hz) == (name, HZ[name])
    ran = link.run(manifest, calls)
    assert ran.outputs == tuple(tuple(model(call)) for call in calls)
    assert ran.canaries_ok
    assert (simulated.problems, simulated.lost, simulated.resets) == ([], 0, 0)


@pytest.mark.parametrize("crystal", [True, False])
@pytest.mark.parametrize("name", BOARDS)
def test_starts_echoes_and_starts_anew(name: str, crystal: bool, work_dir: Path) -> None:
    simulated = _start(_application(HELLO, name, work_dir), name, crystal=crystal)
    assert simulated.read(1) == b"hello"
    simulated.write(bytes(range(64)))
    assert simulated.read(1) == bytes(range(1, 65))
    if name == "nrf5340dk":
        assert simulated.value("CLOCK", "HFCLKCTRL") == 0
        assert simulated.value("CACHE", "ENABLE") == 1
        tx, rx, uart = "PIN_CNF20", "PIN_CNF22", "UARTE0"
    else:
        assert simulated.value("NVMC", "ICACHECNF") == 1
        tx, rx, uart = "PIN_CNF6", "PIN_CNF8", "UART0"
    assert simulated.value("P0", tx) == 0b0011  # an output that need not be read
    assert simulated.value("P0", rx) == 0b1100  # an input with a pull-up
    assert simulated.value("P0", "OUTSET") == 1 << simulated.value(uart, "PSEL_TXD")
    simulated.write(b"x")
    assert simulated.read(1) == b""
    assert simulated.resets == 1
    assert simulated.read(1) == b"hello"
    assert simulated.problems == []


@pytest.mark.parametrize("unlocked", [True, False])
@pytest.mark.parametrize("name", BOARDS)
def test_the_debug_port_stays_open_where_flash_says_so(
    name: str, unlocked: bool, work_dir: Path
) -> None:
    chip = _chip(name)
    uicr, key = chip["UICR"], {"nrf52840dk": 0xFFFFFF5A, "nrf5340dk": 0x50FA50FA}[name]
    names = ("APPROTECT", "SECUREAPPROTECT") if name == "nrf5340dk" else ("APPROTECT",)
    flash = {uicr.base + uicr.registers[n].offset: key for n in names} if unlocked else {}
    simulated = _start(_application(HELLO, name, work_dir), name, flash=flash)
    assert simulated.read(1) == b"hello"
    if name == "nrf5340dk":
        registers = [("CTRLAP", "APPROTECT_DISABLE"), ("CTRLAP", "SECUREAPPROTECT_DISABLE")]
    else:
        registers = [("APPROTECT", "DISABLE")]
        key &= 0xFF
    assert [simulated.value(*r) for r in registers] == [key if unlocked else 0] * len(registers)


def test_the_trims_of_the_nrf5340_are_copied(work_dir: Path) -> None:
    first = 0x00FF0300
    flash = {first: 0x50039800, first + 4: 0x1234, first + 8: 0x5003981C, first + 12: 0x5678}
    elf = _application(HELLO, "nrf5340dk", work_dir)
    simulated = _start(elf, "nrf5340dk", flash=flash)
    assert simulated.read(1) == b"hello"
    assert simulated.trims == {0x50039800: 0x1234, 0x5003981C: 0x5678}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("*(volatile uint32_t *)0x50008514u = 3;", "PSEL_RXD is changed while the UART is on"),
        ("*(volatile uint32_t *)0x50008600u = 1;", "write of 4 bytes at 0x50008600"),
        ("*(volatile uint32_t *)0x50005558u = 4;", "HFCLKCTRL = 0x4 sets reserved bits"),
        ("*(volatile uint32_t *)0x50008544u = 64;", "UARTE0.TXD is 1 bytes at 0x40"),
        ("*(volatile uint32_t *)0x50008524u = 1;", "UARTE0 does not run at 115200 baud"),
        ("*(volatile uint32_t *)0x50008500u = 0;", "TASKS_STARTTX while the UART is off"),
    ],
)
def test_a_mistake_would_be_seen(code: str, says: str, work_dir: Path) -> None:
    text = HELLO.replace("{\n    tn_print", f"{{\n    {code}\n    tn_print", 1)
    simulated = _start(_application(text, "nrf5340dk", work_dir), "nrf5340dk")
    with pytest.raises(AssertionError, match=says):
        simulated.read(1)


def test_a_lost_byte_would_be_seen(work_dir: Path) -> None:
    elf = _application(HELLO, "nrf5340dk", work_dir)
    simulated = _start(elf, "nrf5340dk")
    assert simulated.read(1) == b"hello"
    simulated.burst = RX_FIFO + 1
    simulated.write(bytes(RX_FIFO + 1))
    assert len(simulated.read(1)) == RX_FIFO
    assert simulated.lost == 1
