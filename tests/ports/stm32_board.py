"""An STM32 board whose core Unicorn runs, as the transport of a serial link.

Unicorn (PyPI) is QEMU's core without its machines. The ports and the UART are here, clock tree and
power controller in stm32_clocks.py, after ST's reference manuals, and strict: whatever the manual
forbids is put on `problems`, such as a core that is too fast for the flash's wait states, a
register of a peripheral without a clock, or a PLL that is changed while it runs. Ready bits come
late, or never (`never`). Time stands still but for waiting in `read`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from tests.ports.registers import Peripheral, Register
from tests.ports.simulated_wire import SimulatedWire
from tests.ports.stm32_clocks import H7, Clocks, Family

FLASH, FLASH_BYTES = 0x08000000, 0x200000
CORE_PAGES = (0xE0001000, 0xE000E000)
AIRCR, CYCCNT, CCR, CCSIDR, DCISW = 0xE000ED0C, 0xE0001004, 0xE000ED14, 0xE000ED80, 0xE000EF60
DATA_CACHE = 127 << 13 | 3 << 3 | 1  # of 128 sets, 4 ways, lines of 32 bytes
RUN_SECONDS = 60  # of this computer, until firmware that never polls its console is given up


# --- the board ----------------------------------------------------------------------------------


class Stm32Board(SimulatedWire):
    """Starts `elf` on `core` ("CORTEX_M7") with the peripherals of `chip`, clocked as in `family`.

    `uart`: the console, on `pins` (port letter, number, alternate function). `memories`: base and
    bytes of each RAM. `late`: reads of a register until its ready bits come. `never`: those that do
    not, "RCC.CR.PLLRDY".
    """

    def __init__(
        self,
        elf: Path,
        core: str,
        chip: Mapping[str, Peripheral],
        family: Family,
        uart: str,
        bus: int,
        pins: Collection[tuple[str, int, int]],
        memories: Collection[tuple[int, int]],
        *,
        late: int = 100,
        never: Collection[str] = (),
    ) -> None:
        import unicorn
        from unicorn import arm_const

        super().__init__()
        self.problems: list[str] = []
        self.resets = 0
        self.writes: list[tuple[str, int]] = []  # "RCC.CR" and the value, since the last reset
        self.invalidated: set[int] = set()  # what was written to DCISW
        self.lost = 0  # bytes that found the receiver full
        self.received: deque[int] = deque()
        self.burst = 1  # bytes that come while the firmware does not look
        self._arm: Any = arm_const
        self._unicorn: Any = unicorn
        self._core, self._chip, self._family, self._uart = core, chip, family, uart
        self._bus, self._pins, self._memories, self._elf = bus, pins, memories, elf
        self._late, self._never = late, frozenset(never)
        self._first = "SR" in chip[uart].registers  # the first generation of UARTs
        self._names: dict[int, tuple[str, str, Register]] = {}
        wanted = {"RCC", "PWR", "FLASH", "SYSCFG", "DBGMCU", "AXI", uart}
        wanted |= {f"GPIO{letter}" for letter, _, _ in pins}
        for name in sorted(wanted & chip.keys()):
            for register, described in chip[name].registers.items():
                at = chip[name].base + described.offset
                self._names[at] = (name, register, described)
        self._start()

    # ---- core ----------------------------------------------------------------------------------

    def _start(self) -> None:
        """As after a reset of the core: RAM is new, registers have their values after reset."""
        self.values: dict[int, int] = {}
        self.writes.clear()
        self.received.clear()
        self._cycles = self._polls = 0
        self._overrun = self._status_read = False
        self._pending: dict[str, int] = {}  # ready bits on their way: reads that are left
        self._shown: dict[str, int] = {}
        u = self._unicorn
        uc = u.Uc(u.UC_ARCH_ARM, u.UC_MODE_THUMB | u.UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(getattr(self._arm, f"UC_CPU_ARM_{self._core}"))
        uc.mem_map(FLASH, FLASH_BYTES, u.UC_PROT_READ | u.UC_PROT_EXEC)
        for base, size in self._memories:
            uc.mem_map(base, size)
        for page in sorted({at & -0x1000 for at in self._names} | set(CORE_PAGES)):
            uc.mmio_map(page, 0x1000, self._on_read, page, self._on_write, page)
        with self._elf.open("rb") as file:
            for segment in ELFFile(file).iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    uc.mem_write(segment["p_paddr"], segment.data())
        stack, entry = struct.unpack("<II", uc.mem_read(FLASH, 8))
        uc.reg_write(self._arm.UC_ARM_REG_SP, stack)
        self._uc, self._at = uc, entry

    def _go(self) -> None:
        """Runs until the firmware finds nothing to read, or resets the chip."""
        self._polls = 0
        try:
            self._uc.emu_start(self._at | 1, 0xFFFFFFFF, timeout=RUN_SECONDS * 1_000_000)
        except self._unicorn.UcError as error:
            at = self._uc.reg_read(self._arm.UC_ARM_REG_PC)
            raise AssertionError(f"{error} at {at:#x}; {self.problems}") from error
        self._at = self._uc.reg_read(self._arm.UC_ARM_REG_PC)
        if self.problems:
            raise AssertionError("; ".join(self.problems[:5]))
        if self.values.pop(AIRCR, 0) == 0x05FA0004:
            self.resets += 1
            self._start()

    def word(self, address: int) -> int:
        """A word of memory."""
        return int(struct.unpack("<I", self._uc.mem_read(address, 4))[0])

    def _problem(self, text: str) -> None:
        at = self._uc.reg_read(self._arm.UC_ARM_REG_PC)
        self.problems.append(f"{text} (pc {at:#x})")
        self._uc.emu_stop()

    # ---- registers -----------------------------------------------------------------------------

    def get(self, place: str) -> int:
        """The value of "RCC.CFGR.SW", or of all of "RCC.CFGR"; 0 for what the chip has not."""
        name, register, *field = place.split(".")
        peripheral = self._chip.get(name)
        described = peripheral.registers.get(register) if peripheral else None
        if peripheral is None or described is None:
            return 0
        value = self.values.get(peripheral.base + described.offset, described.reset)
        if not field:
            return value
        part = described.fields.get(field[0])
        if part is None:
            return 0
        if place in self._shown:
            return self._shown[place]
        return (value & part.mask) >> part.lowest

    def clocks(self) -> Clocks:
        return self._family.clocks(self.get)

    def _show(self, seen: str) -> None:
        """Ready bits follow what they tell of, after some reads of their register (`seen`)."""
        for place, target in self._family.ready(self.get).items():
            if place.rsplit(".", 1)[0] != seen:
                continue
            if self._shown.get(place, 0) == target:
                self._pending.pop(place, None)
                continue
            if place in self._never and target != 0:
                continue
            left = self._pending.get(place, self._late)
            self._pending[place] = left - 1
            if left <= 0:
                self._shown[place] = target
                del self._pending[place]
                self._judge(place)

    def _judge(self, cause: str) -> None:
        for text in self._family.problems(self.get, self.clocks()):
            self._problem(f"{cause}: {text}")

    def _clocked(self, name: str) -> bool:
        if name == self._uart:
            return any(
                self.get(f"RCC.{register}.{name}EN")
                for register in self._chip["RCC"].registers
                if register.endswith(("ENR", "ENR1", "ENR2"))
            )
        if name.startswith("GPIO"):
            return self.get(f"{self._family.ports}.{name}EN") == 1
        gate = self._family.gates.get(name)
        return gate is None or self.get(gate) == 1

    def _on_read(self, uc: Any, offset: int, size: int, page: int) -> int:
        address = page + offset
        if address >= 0xE0000000:
            if address == CYCCNT:
                self._cycles += 100
                return self._cycles
            return DATA_CACHE if address == CCSIDR else self.values.get(address, 0)
        if size != 4 or address not in self._names:
            self._problem(f"read of {size} bytes at {address:#x}")
            return 0
        name, register, described = self._names[address]
        place = f"{name}.{register}"
        if not self._clocked(name):
            self._problem(f"{place} is read without a clock")
        if name == self._uart:
            return self._uart_read(register, described)
        self._show(place)
        value = self.get(place)
        for field, part in described.fields.items():
            if f"{place}.{field}" in self._shown:
                value = value & ~part.mask | self._shown[f"{place}.{field}"] << part.lowest
        if place == "DBGMCU.IDC" and isinstance(self._family, H7):
            return self._family.revision << 16 | 0x450
        return value

    def _on_write(self, uc: Any, offset: int, size: int, value: int, page: int) -> None:
        address = page + offset
        if address >= 0xE0000000:
            self.values[address] = value
            if address == AIRCR:
                uc.emu_stop()
            if address == DCISW:
                if self.values.get(CCR, 0) & 1 << 16:
                    self._problem("the data cache is invalidated while it is on")
                self.invalidated.add(value)
            return
        if size != 4 or address not in self._names:
            self._problem(f"write of {size} bytes at {address:#x}")
            return
        name, register, described = self._names[address]
        place = f"{name}.{register}"
        if not self._clocked(name):
            self._problem(f"{place} is written without a clock")
        allowed = described.reset
        for part in described.fields.values():
            allowed |= part.mask
        if described.fields and value & ~allowed:
            self._problem(f"{place} = {value:#x} sets reserved bits")
        for kept, bit in self._family.frozen:
            if place == kept and self.get(bit) and value != self.get(place):
                self._problem(f"{place} is changed while {bit} is set")
        self.writes.append((place, value))
        if name == self._uart:
            self._uart_write(register, value)
        self.values[address] = value
        if name in ("RCC", "PWR", "FLASH", "SYSCFG"):
            self._judge(f"{place} = {value:#x}")

    # ---- UART ----------------------------------------------------------------------------------

    def baud(self) -> float:
        clocks = self.clocks()
        scale = 256 if self._uart.startswith("LP") else 1
        return clocks.apb[self._bus - 1] * scale / self.get(f"{self._uart}.BRR")

    def _held(self) -> int:
        return 8 if self.get(f"{self._uart}.CR1.FIFOEN") else 1

    def _uart_read(self, register: str, described: Register) -> int:
        if register in ("SR", "ISR"):
            self._arrive()
            fields = {
                "TXE": 1,
                "TC": 1,
                "RXNE": int(bool(self.received)),
                "ORE": int(self._overrun),
            }
            self._status_read = True
            return sum(on << described.fields[n].lowest for n, on in fields.items())
        if register in ("DR", "RDR"):
            if self._first and self._status_read:
                self._overrun = False
            self._status_read = False
            return self.received.popleft() if self.received else 0
        return self.get(f"{self._uart}.{register}")

    def _uart_write(self, register: str, value: int) -> None:
        uart = self._uart
        fields = self._chip[uart].registers["CR1"].fields
        on = bool(self.get(f"{uart}.CR1.UE"))
        if register == "CR1" and value & fields["UE"].mask:
            if not 0.99 < self.baud() / 115200 < 1.01:
                self._problem(f"{self.baud():.0f} baud")
            for letter, number, function in self._pins:
                mode = self.get(f"GPIO{letter}.MODER") >> 2 * number & 3
                half = "AFRL" if number < 8 else "AFRH"
                chosen = self.get(f"GPIO{letter}.{half}") >> 4 * (number % 8) & 15
                if (mode, chosen) != (2, function):
                    self._problem(f"pin P{letter}{number} is not the UART's")
        fifo = fields["FIFOEN"].mask if "FIFOEN" in fields else 0
        if register == "CR1" and on and (value ^ self.get(f"{uart}.CR1")) & fifo:
            self._problem("FIFOEN is changed while the UART is on")
        if register == "BRR" and on:
            self._problem("BRR is changed while the UART is on")
        if register in ("DR", "TDR"):
            if not on or not self.get(f"{uart}.CR1.TE"):
                self._problem("a byte is sent while the transmitter is off")
            self._sent.append(value & 0xFF)
        if register == "ICR" and value & self._chip[uart].registers["ICR"].fields["ORECF"].mask:
            self._overrun = False

    def _arrive(self) -> None:
        """The firmware looks for a byte. Where it has taken all, the next `burst` of them come."""
        if self.received or not self.get(f"{self._uart}.CR1.RE"):
            return
        if not self._wire:
            self._polls += 1
            if self._polls > 3:
                self._uc.emu_stop()
            return
        for _ in range(min(self.burst, len(self._wire))):
            byte = self._wire.popleft()
            if self._overrun or len(self.received) >= self._held():
                self._overrun = True  # and nothing comes any more until that is cleared
                self.lost += 1
            else:
                self.received.append(byte)
