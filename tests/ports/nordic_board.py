"""A Nordic board whose core Unicorn runs, as the transport of a serial link.

Unicorn (PyPI) is QEMU's core without its machines: all instructions, no peripheral. The peripherals
are here, after Nordic's product specifications, and strict: an access to what the description of
the chip lacks, a reserved bit that is set, a pin that is chosen while the UART is on, a buffer of
EasyDMA outside of RAM are all put on `problems`. Time stands still but for waiting in `read`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from tests.ports.registers import Peripheral, Register
from tests.ports.simulated_wire import SimulatedWire

RAM, RAM_BYTES = 0x20000000, 0x80000
FLASH_BYTES = 0x100000
PAGE = 0x1000
AIRCR, CYCCNT = 0xE000ED0C, 0xE0001004
RX_FIFO = 5  # bytes that a UARTE holds: the one being moved and four more (PS, UARTE, "Reception")
UART_FIFO = 6  # the same of the UART (PS of the nRF52840, UART, "Reception")
BAUD_115200 = {"UART0": 0x01D7E000, "UARTE0": 0x01D60000}
RUN_SECONDS = 60  # of this computer, until firmware that never polls its console is given up


class UnicornBoard(SimulatedWire):
    """Starts `elf` on a chip of `core` ("CORTEX_M33") with the peripherals of `chip`.

    `crystal`: whether it starts. `flash`: words at addresses of UICR and FICR, which else read as
    erased; what the firmware writes to an address that is one of these words is put on `trims`.
    """

    def __init__(
        self,
        elf: Path,
        core: str,
        chip: Mapping[str, Peripheral],
        *,
        crystal: bool = True,
        flash: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__()
        self._unicorn: Any = import_module("unicorn")
        self._arm: Any = import_module("unicorn.arm_const")
        self.problems: list[str] = []
        self.resets = 0
        self.received: deque[int] = deque()  # by the UART, and not yet read
        self.lost = 0  # bytes that found the UART's FIFO full
        self.trims: dict[int, int] = {}
        self._core, self._chip, self._crystal = core, chip, crystal
        self._flash_words = dict(flash or {})
        self._elf = elf
        self.burst = 1  # bytes that come while the firmware does not look
        self._names: dict[int, tuple[str, str, Register]] = {}
        for name, peripheral in chip.items():
            for register, described in peripheral.registers.items():
                self._names[peripheral.base + described.offset] = (name, register, described)
        self._start()

    # ---- core ----------------------------------------------------------------------------------

    def _start(self) -> None:
        """As after power comes or the core is reset: RAM is kept, registers are not."""
        self.values: dict[int, int] = {}
        self._cycles = 0
        self._receiving = self._dma_receives = False
        self.received.clear()
        uc: Any = self._unicorn.Uc(
            self._unicorn.UC_ARCH_ARM, self._unicorn.UC_MODE_THUMB | self._unicorn.UC_MODE_MCLASS
        )
        uc.ctl_set_cpu_model(getattr(self._arm, f"UC_CPU_ARM_{self._core}"))
        uc.mem_map(0, FLASH_BYTES, self._unicorn.UC_PROT_READ | self._unicorn.UC_PROT_EXEC)
        uc.mem_map(RAM, RAM_BYTES)
        trimmed = {word for word in self._flash_words.values() if word >> 28 == 5}
        pages = {address & -PAGE for address in (*self._names, *trimmed, CYCCNT, AIRCR)}
        for page in sorted(pages):
            uc.mmio_map(page, PAGE, self._on_read, page, self._on_write, page)
        with self._elf.open("rb") as file:
            for segment in ELFFile(file).iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    uc.mem_write(segment["p_paddr"], segment.data())
        stack, entry = struct.unpack("<II", uc.mem_read(0, 8))
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
        if self.values.pop(AIRCR, 0) >> 16 == 0x05FA:
            self.resets += 1
            self._start()

    def _problem(self, text: str) -> None:
        at = self._uc.reg_read(self._arm.UC_ARM_REG_PC)
        self.problems.append(f"{text} (pc {at:#x})")
        self._uc.emu_stop()

    # ---- peripherals ---------------------------------------------------------------------------

    def value(self, peripheral: str, register: str) -> int:
        """What a register holds."""
        found = self._chip[peripheral]
        described = found.registers[register]
        return self.values.get(found.base + described.offset, described.reset)

    def _set(self, peripheral: str, register: str, value: int) -> None:
        found = self._chip[peripheral]
        self.values[found.base + found.registers[register].offset] = value

    def _on_read(self, uc: Any, offset: int, size: int, page: int) -> int:
        address = page + offset
        if address >= 0xE0000000:
            if address == CYCCNT:
                self._cycles += 100
                return self._cycles
            return self.values.get(address, 0)
        if size != 4 or address not in self._names:
            self._problem(f"read of {size} bytes at {address:#x}")
            return 0
        name, register, described = self._names[address]
        if name in ("FICR", "UICR"):
            return self._flash_words.get(address, 0xFFFFFFFF)
        if name in ("UART0", "UARTE0") and register in ("EVENTS_RXDRDY", "EVENTS_ENDRX"):
            self._arrive(name)
        if (name, register) == ("UART0", "RXD"):
            return self._take()
        return self.values.get(address, described.reset)

    def _on_write(self, uc: Any, offset: int, size: int, value: int, page: int) -> None:
        address = page + offset
        if address in self._flash_words.values():
            self.trims[address] = value
            return
        if address >= 0xE0000000:
            self.values[address] = value
            if address == AIRCR:
                uc.emu_stop()
            return
        if size != 4 or address not in self._names:
            self._problem(f"write of {size} bytes at {address:#x}")
            return
        name, register, described = self._names[address]
        allowed = sum(field.mask for field in described.fields.values())
        if described.fields and value & ~allowed:
            self._problem(f"{name}.{register} = {value:#x} sets reserved bits")
        if name in ("FICR", "UICR"):
            self._problem(f"{name}.{register} is flash")
        self.values[address] = value
        if (name, register) == ("CLOCK", "TASKS_HFCLKSTART") and self._crystal:
            self._set("CLOCK", "EVENTS_HFCLKSTARTED", 1)
        if name in ("UART0", "UARTE0"):
            self._on_uart(name, register, value)

    # ---- UART ----------------------------------------------------------------------------------

    def _on_uart(self, name: str, register: str, value: int) -> None:
        on = self.value(name, "ENABLE") == {"UART0": 4, "UARTE0": 8}[name]
        if register.startswith("PSEL") and on:
            self._problem(f"{name}.{register} is changed while the UART is on")
        if register.startswith("TASKS") and not on:
            self._problem(f"{name}.{register} while the UART is off")
        if register in ("TASKS_STARTRX", "TASKS_STARTTX"):
            if self.value(name, "BAUDRATE") != BAUD_115200[name]:
                self._problem(f"{name} does not run at 115200 baud")
            line = "PSEL_" + register[-2:] + "D"
            if self.value(name, line) >> 31:
                self._problem(f"{name}.{line} is not connected")
        if (name, register) == ("UART0", "TXD"):
            self._sent.append(value & 0xFF)
            self._set(name, "EVENTS_TXDRDY", 1)
        elif (name, register) == ("UARTE0", "TASKS_STARTTX"):
            self._sent += self._buffer("TXD")
            self._set(name, "EVENTS_ENDTX", 1)
        elif register == "TASKS_STOPTX":
            self._set(name, "EVENTS_TXSTOPPED", 1)
        elif register == "TASKS_STARTRX":
            self._receiving = True
            if name == "UARTE0":
                self._buffer("RXD")  # for its checks
                self._dma_receives = True
                self._move()

    def _buffer(self, which: str) -> bytes:
        """The bytes of an EasyDMA buffer."""
        at, count = self.value("UARTE0", f"{which}_PTR"), self.value("UARTE0", f"{which}_MAXCNT")
        if not RAM <= at <= RAM + RAM_BYTES - count or count == 0:
            self._problem(f"UARTE0.{which} is {count} bytes at {at:#x}")
            return b""
        return bytes(self._uc.mem_read(at, count))

    def _arrive(self, name: str) -> None:
        """The firmware looks for a byte. Where it has taken all, the next `burst` of them come."""
        if self.received or not self._receiving:
            return
        if not self._wire:
            self._polls += 1
            if self._polls > 3:
                self._uc.emu_stop()
            return
        held = {"UART0": UART_FIFO, "UARTE0": RX_FIFO}[name]
        for _ in range(min(self.burst, len(self._wire))):
            byte = self._wire.popleft()
            if len(self.received) < held:
                self.received.append(byte)
            else:
                self.lost += 1
        if name == "UARTE0":
            self._move()
        elif self.received:
            self._set("UART0", "EVENTS_RXDRDY", 1)

    def _move(self) -> None:
        """EasyDMA moves a byte that has come into the buffer, and ends when that is full."""
        if self._dma_receives and self.received:
            if self.value("UARTE0", "RXD_MAXCNT") != 1:
                self._problem("a buffer of more than one byte is not simulated")
            self._uc.mem_write(self.value("UARTE0", "RXD_PTR"), bytes([self.received.popleft()]))
            self._dma_receives = False
            self._set("UARTE0", "EVENTS_ENDRX", 1)

    def _take(self) -> int:
        byte = self.received.popleft() if self.received else 0
        if self.received:
            self._set("UART0", "EVENTS_RXDRDY", 1)
        return byte
