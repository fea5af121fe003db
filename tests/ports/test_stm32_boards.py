"""The firmware of the STM32 boards on chips whose rules are those of the manuals (stm32_board.py):
every step to full speed, the way back when a ready bit does not come, and a model over the link."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sample_models import SAMPLES

from tests.ports.registers import Peripheral
from tests.ports.stm32_board import Stm32Board
from tests.ports.stm32_chips import chip
from tests.ports.stm32_clocks import F4, H7, L4, Family
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.image import build_image, read_elf
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.targets import board
from thumbnet.codegen.toolchain import host_library
from thumbnet.tools.link import Link

pytest.importorskip("unicorn", reason="unicorn runs the boards' core")
pytestmark = pytest.mark.usefixtures("arm")

MHZ = 1_000_000


@dataclass(frozen=True)
class Board:
    name: str
    chip: str
    family: Callable[[], Family]
    hz: int
    reset_hz: int
    bus: int  # the APB of the console
    ram: tuple[tuple[int, int], ...] = ((0x20000000, 0x100000),)

    def start(self, work_dir: Path, model: Path | None = None, **options: object) -> Stm32Board:
        this = board(self.name)
        defines = dict(d.split("=", 1) for d in this.defines)
        pins = []
        for what in ("TX", "RX"):
            letter, number = defines[f"TN_CONSOLE_{what}"].removeprefix("TN_PIN(")[:-1].split(",")
            pins.append((letter, int(number), int(defines["TN_CONSOLE_AF"])))
        elf = build_image(model, this, work_dir).elf
        core = this.target.name.upper().replace("-", "_")
        return Stm32Board(
            elf, core, self.described(), self.family(), defines["TN_CONSOLE"], self.bus, pins,
            self.ram, **options,  # type: ignore[arg-type]
        )  # fmt: skip

    def described(self) -> dict[str, Peripheral]:
        return dict(chip(self.chip))


H7_RAM = ((0x20000000, 0x20000), (0x24000000, 0x80000))
BOARDS = {
    "nucleo-f446re": Board(
        "nucleo-f446re", "stm32f446", lambda: F4(180, 168, (45, 90), "RCC.AHB1ENR"),
        180 * MHZ, 16 * MHZ, 1,
    ),
    "netduinoplus2": Board(
        "netduinoplus2", "stm32f405", lambda: F4(168, 168, (42, 84), "RCC.AHB1ENR"),
        168 * MHZ, 16 * MHZ, 2,
    ),
    "stm32f746g-disco": Board(
        "stm32f746g-disco", "stm32f746", lambda: F4(216, 180, (54, 108), "RCC.AHB1ENR", "1"),
        216 * MHZ, 16 * MHZ, 2,
    ),
    "nucleo-l4r5zi": Board("nucleo-l4r5zi", "stm32l4r5", L4, 120 * MHZ, 4 * MHZ, 1),
    "nucleo-h743zi, revision V": Board(
        "nucleo-h743zi", "stm32h743", lambda: H7(0x2003), 480 * MHZ, 64 * MHZ, 1, H7_RAM
    ),
    "nucleo-h743zi, revision Y": Board(
        "nucleo-h743zi", "stm32h743", lambda: H7(0x1003), 400 * MHZ, 64 * MHZ, 1, H7_RAM
    ),
}  # fmt: skip
CASES = pytest.mark.parametrize("name", BOARDS)


def _hz(running: Stm32Board, name: str, work_dir: Path) -> int:
    """What tn_port_hz returns."""
    elf = read_elf(build_image(None, board(BOARDS[name].name), work_dir).elf)
    return running.word(elf.symbols["tn_hz"])


@CASES
@pytest.mark.parametrize("late", [0, 1000])
def test_full_speed(name: str, late: int, work_dir: Path) -> None:
    running = BOARDS[name].start(work_dir, late=late)
    assert running.read(1) == b""
    assert running.clocks().core == BOARDS[name].hz
    assert _hz(running, name, work_dir) == BOARDS[name].hz
    assert running.baud() == pytest.approx(115200, rel=0.002)


def _ready_bits() -> list[tuple[str, str]]:
    """Every bit that each board waits for."""
    found = []
    for name, this in BOARDS.items():
        for place in this.family().ready(lambda _: 1):
            found.append((name, place))
    return found


@pytest.mark.parametrize(("name", "never"), _ready_bits())
def test_a_ready_bit_that_never_comes(name: str, never: str, work_dir: Path) -> None:
    """The board runs on its reset clock, says so, and its console is right."""
    running = BOARDS[name].start(work_dir, never=[never])
    assert running.read(1) == b""
    assert running.clocks().core == BOARDS[name].reset_hz
    assert _hz(running, name, work_dir) == BOARDS[name].reset_hz
    assert running.baud() == pytest.approx(115200, rel=0.01)


@CASES
def test_a_model_over_the_link(name: str, work_dir: Path, tmp_path: Path) -> None:
    this = BOARDS[name]
    (tmp_path / "model.tflite").write_bytes(SAMPLES["stateful"]().build())
    folder = tmp_path / "model"
    compile_model(tmp_path / "model.tflite", folder, Options(board(this.name).target.name))
    manifest = read_manifest(folder)
    draw = random.Random(5)
    calls = [[draw.randbytes(edge.bytes) for edge in manifest.inputs] for _ in range(3)]
    expected = tuple(
        tuple(call) for call in map(HostModel(host_library(folder, work_dir), manifest), calls)
    )
    running = this.start(work_dir, folder)
    link = Link(running, this.name, clock=running.clock)
    ran = link.run(manifest, calls)
    assert ran.outputs == expected
    assert link.firmware.hz == this.hz
    assert running.lost == 0


@CASES
def test_an_overrun_is_cleared(name: str, work_dir: Path) -> None:
    running = BOARDS[name].start(work_dir)
    running.read(1)
    running.burst = 40
    running.write(bytes(40))
    running.read(1)
    assert running.lost > 0
    running.burst = 1
    lost = running.lost
    running.write(bytes(5))
    running.read(1)
    assert not running.received
    assert running.lost == lost


def test_fifos_hold_a_burst(work_dir: Path) -> None:
    for name in ("nucleo-l4r5zi", "nucleo-h743zi, revision V"):
        running = BOARDS[name].start(work_dir)
        running.read(1)
        running.burst = 8
        running.write(bytes(64))
        running.read(1)
        assert running.lost == 0


@pytest.mark.parametrize("name", [n for n in BOARDS if "f7" in n or "h7" in n])
def test_all_of_the_data_cache_is_invalidated_before_it_is_on(name: str, work_dir: Path) -> None:
    running = BOARDS[name].start(work_dir)
    running.read(1)
    assert running.invalidated == {way << 30 | set_ << 5 for way in range(4) for set_ in range(128)}
    assert running.values[0xE000ED14] == 3 << 16


def test_reads_of_the_axi_sram_are_mended_on_early_revisions_alone(work_dir: Path) -> None:
    written = {}
    for name in ("nucleo-h743zi, revision V", "nucleo-h743zi, revision Y"):
        running = BOARDS[name].start(work_dir)
        running.read(1)
        written[name[-1]] = [v for place, v in running.writes if place == "AXI.TARG7_FN_MOD"]
    assert written == {"V": [], "Y": [1]}


# --- would it be seen? ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place", "mask", "says"),
    [
        ("nucleo-f446re", "RCC.PLLCFGR", 8, "the PLL's input is out of range"),
        ("nucleo-f446re", "RCC.CFGR", 7 << 10, "APB1 is too fast"),
        ("nucleo-f446re", "RCC.APB1ENR", 1 << 28, "without a clock"),
        ("nucleo-f446re", "RCC.APB1ENR", 1 << 17, "without a clock"),
        ("stm32f746g-disco", "GPIOB.MODER", 3 << 14, "pin PB7 is not the UART's"),
        ("nucleo-l4r5zi", "RCC.CFGR", 15 << 4, "the clock rises in one step"),
        ("nucleo-h743zi, revision V", "RCC.D2CFGR", 7 << 4, "an APB is too fast"),
        ("nucleo-h743zi, revision V", "PWR.D3CR", 2 << 14, "no scale 0 yet"),
    ],
)
def test_a_step_left_out_would_be_seen(
    name: str, place: str, mask: int, says: str, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits of a register that are never set, as if the code forgot them."""
    on_write = Stm32Board._on_write

    def forgetful(
        self: Stm32Board, uc: object, offset: int, size: int, value: int, page: int
    ) -> None:
        peripheral, register = place.split(".")
        where = self._chip[peripheral]
        if page + offset == where.base + where.registers[register].offset:
            value &= ~mask
        on_write(self, uc, offset, size, value, page)

    monkeypatch.setattr(Stm32Board, "_on_write", forgetful)
    running = BOARDS[name].start(work_dir)
    with pytest.raises(AssertionError, match=says):
        running.read(1)
