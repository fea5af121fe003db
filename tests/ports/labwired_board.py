"""A board that labwired simulates, as the transport of a serial link.

labwired (PyPI) is a simulator of whole chips that knows nothing of our ports: their clocks, pins
and UARTs are models that others wrote after the chips' manuals. What was found wrong in it (0.25.0)
and is worked around here: Nordic chips lack the private peripherals of the core beyond 0xE000E010,
and their UARTE does not receive. Time is the simulated one: the same run gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MHZ = 1_000_000
STEP_SECONDS = 0.0002  # simulated, between two looks at what the firmware has sent


@dataclass(frozen=True)
class Chip:
    """One of labwired's chips, and what of it differs from the board's."""

    name: str  # configs/chips/NAME.yaml
    uart: str | None  # its name of the console; None where it has to find it itself
    hz: int  # of the core, as its models of clocks let the port have it
    more: tuple[dict[str, Any], ...] = ()  # peripherals that it lacks
    words: tuple[int, ...] = ()  # registers that it lacks, 1 KiB at each address, as memory
    ram: int | None = None  # bytes, where labwired's are others
    flash: int | None = None


_SYSTICK = {"id": "systick", "type": "systick", "base_address": 0xE000E010}
_GPIOG = {
    "id": "gpiog", "type": "gpio", "base_address": 0x48001800, "size": "1KB",
    "config": {"profile": "stm32v2"},
}  # fmt: skip

# The F446, H743 and L4R5 are not among labwired's chips: what is simulated is the nearest of the
# same family. Without the over-drive mode, that its F4 and F7 lack, a port stays at 16 MHz.
CHIPS = {
    "nrf52840dk": Chip("nrf52840", None, 64 * MHZ, more=(_SYSTICK,)),
    "nrf5340dk": Chip("nrf5340", None, 128 * MHZ, more=(_SYSTICK,)),
    "netduinoplus2": Chip("stm32f405", "uart1", 168 * MHZ),
    "nucleo-f446re": Chip("stm32f405", "uart2", 16 * MHZ),
    "stm32f746g-disco": Chip("stm32f746", "usart1", 16 * MHZ, words=(0x40007000, 0x40023C00)),
    "nucleo-h743zi": Chip("stm32h735", "usart3", 400 * MHZ, words=(0x51008000,), flash=0x200000),
    "nucleo-l4r5zi": Chip(
        "stm32l476", "lpuart1", 120 * MHZ, more=(_GPIOG,), ram=0xA0000, flash=0x200000
    ),
}


def is_installed() -> bool:
    return find_spec("labwired") is not None and find_spec("yaml") is not None


def _description(chip: Chip) -> dict[str, Any]:
    """labwired's description of the chip with the differences."""
    import labwired
    import yaml

    folder = Path(labwired.__file__).parent / "configs" / "chips"
    description: dict[str, Any] = yaml.safe_load((folder / f"{chip.name}.yaml").read_text())
    for part in description["peripherals"]:
        part.get("config", {}).pop("debug_schema", None)  # a path beside the file
    description["peripherals"] += chip.more
    for address in chip.words:
        region = {"name": f"words_{address:x}", "base": address, "size": "1KB"}
        description.setdefault("memory_regions", []).append(region)
    for memory in ("ram", "flash"):
        if wanted := getattr(chip, memory):
            description[memory]["size"] = f"{wanted}B"
    return description


class LabwiredBoard:
    """Starts `elf` on the simulated chip of `board`; `folder` takes the chip's description."""

    def __init__(self, elf: Path, board: str, folder: Path) -> None:
        import yaml
        from labwired import Sim

        chip = CHIPS[board]
        (folder / "chip.yaml").write_text(yaml.safe_dump(_description(chip)))
        system = {"name": board, "chip": "chip.yaml", "external_devices": [], "board_io": []}
        (folder / "system.yaml").write_text(yaml.safe_dump(system))
        self.sim = Sim(elf, system=folder / "system.yaml", uart=chip.uart)

    def clock(self) -> float:
        """Simulated seconds since reset."""
        return float(self.sim.time)

    def write(self, data: bytes) -> None:
        self.sim.send_bytes(data)

    def read(self, timeout: float) -> bytes:
        """What the firmware has sent, b"" when that is nothing after `timeout` seconds."""
        end = self.clock() + timeout
        while not (got := bytes(self.sim.read_uart_bytes())) and self.clock() < end:
            self.sim.run_for(STEP_SECONDS)
        return got

    def close(self) -> None:
        self.sim.close()
