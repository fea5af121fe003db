"""Boards whose flash can be erased and programmed, on top of nordic_board.py and stm32_board.py.

The pages at the end of the flash, an application's own, outlast a reset; all rules of the manuals
for them are kept: what they forbid is put on `problems`.
"""

from __future__ import annotations

import struct
from typing import Any

from tests.ports.nordic_board import FLASH_BYTES, UnicornBoard
from tests.ports.stm32_board import FLASH, Stm32Board
from tests.ports.stm32_board import FLASH_BYTES as STM32_FLASH_BYTES

BUSY_READS = 5  # of a status register until an operation is over


class NordicFlashBoard(UnicornBoard):
    """nRF52840 PS v1.7, NVMC: words are written while CONFIG.WEN is Wen, pages erased by their
    address while it is Een, neither while READY is 0."""

    PAGE_BYTES, PAGES = 4096, 4
    BEGIN = FLASH_BYTES - PAGES * PAGE_BYTES

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.stored = bytearray(b"\xff" * self.PAGES * self.PAGE_BYTES)
        self.written: set[int] = set()  # words, since their page was erased
        self.operations = 0
        super().__init__(*arguments, **options)

    def restart(self) -> None:
        """The power goes and comes."""
        self._start()

    def _start(self) -> None:
        super()._start()
        self._busy = 0
        self._uc.mem_unmap(self.BEGIN, len(self.stored))
        self._uc.mmio_map(
            self.BEGIN, len(self.stored), self._on_flash_read, 0, self._on_flash_write, 0
        )
        self._set("NVMC", "READY", 1)

    def _operation(self) -> None:
        self.operations += 1
        if self._busy:
            self._problem("the NVMC is used while it is busy")
        self._busy = BUSY_READS

    def _on_flash_read(self, uc: Any, offset: int, size: int, _: int) -> int:
        return int.from_bytes(self.stored[offset : offset + size], "little")

    def _on_flash_write(self, uc: Any, offset: int, size: int, value: int, _: int) -> None:
        if size != 4 or offset % 4 or self.value("NVMC", "CONFIG") != 1:
            self._problem(f"{size} bytes are written to flash at {offset:#x} of the last pages")
        if offset in self.written:
            self._problem(f"the word at {offset:#x} of the last pages is written again")
        self._operation()
        self.written.add(offset)
        old = int.from_bytes(self.stored[offset : offset + 4], "little")
        self.stored[offset : offset + 4] = struct.pack("<I", old & value)

    def _on_read(self, uc: Any, offset: int, size: int, page: int) -> int:
        name = self._names.get(page + offset, ("", "", None))[:2]
        if name == ("NVMC", "READY") and self._busy:
            self._busy -= 1
            return 0
        return super()._on_read(uc, offset, size, page)

    def _on_write(self, uc: Any, offset: int, size: int, value: int, page: int) -> None:
        super()._on_write(uc, offset, size, value, page)
        # ERASEPAGE has another name at the same address
        erases = page + offset == self._chip["NVMC"].base + 0x508
        if erases and (self.value("NVMC", "CONFIG") != 2 or value % self.PAGE_BYTES):
            self._problem(f"page {value:#x} is erased with CONFIG {self.value('NVMC', 'CONFIG')}")
        elif erases and not self.BEGIN <= value < FLASH_BYTES:
            self._problem(f"page {value:#x} is not the application's")
        elif erases:
            self._operation()
            at = value - self.BEGIN
            self.stored[at : at + self.PAGE_BYTES] = b"\xff" * self.PAGE_BYTES
            self.written -= set(range(at, at + self.PAGE_BYTES))


class Stm32FlashBoard(Stm32Board):
    """RM0433 4.3: bank 2 is unlocked by two keys; a flash word of 32 bytes is programmed when its
    eighth word is written while PG2 is set; SER2, SNB2 and START2 erase a sector. A read must see
    what was programmed: its line was dropped from the data cache before."""

    SECTOR_BYTES, WORD_BYTES = 131072, 32
    BEGIN = FLASH + STM32_FLASH_BYTES - 2 * SECTOR_BYTES
    KEYS = (0x45670123, 0xCDEF89AB)
    LOCK, PG, SER, START = 1 << 0, 1 << 1, 1 << 2, 1 << 7
    QW, DBECCERR = 1 << 2, 1 << 26
    DCIMVAC = 0xE000EF5C

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.stored = bytearray(b"\xff" * 2 * self.SECTOR_BYTES)
        self.programmed: set[int] = set()  # flash words, since their sector was erased
        self.damaged: set[int] = set()  # those that error correction cannot repair
        self.operations = 0
        super().__init__(*arguments, **options)

    def restart(self) -> None:
        """The power goes and comes."""
        self._start()

    def _start(self) -> None:
        super()._start()
        self._busy, self._keys, self._locked, self._error = 0, 0, True, 0
        self._collected: dict[int, int] = {}
        self._fresh: set[int] = set()  # lines that the data cache does not hold
        self._uc.mem_unmap(self.BEGIN, len(self.stored))
        self._uc.mmio_map(
            self.BEGIN, len(self.stored), self._on_flash_read, 0, self._on_flash_write, 0
        )

    def _on_flash_read(self, uc: Any, offset: int, size: int, _: int) -> int:
        line = offset // self.WORD_BYTES
        if line not in self._fresh:
            self._problem(f"flash at {offset:#x} is read as the data cache has it")
        if line in self.damaged:
            self._error |= self.DBECCERR
        return int.from_bytes(self.stored[offset : offset + size], "little")

    def _on_flash_write(self, uc: Any, offset: int, size: int, value: int, _: int) -> None:
        word = offset // self.WORD_BYTES
        if size != 4 or self._locked or not self.get("FLASH.CR2") & self.PG or self._busy:
            self._problem(f"{size} bytes are written to flash at {offset:#x}")
        if word in self.programmed:
            self._problem(f"the flash word at {offset:#x} is programmed again")
        self._collected[offset] = value
        if len(self._collected) == self.WORD_BYTES // 4:
            if {at // self.WORD_BYTES for at in self._collected} != {word}:
                self._problem("the words written are not of one flash word")
            for at, each in self._collected.items():
                self.stored[at : at + 4] = struct.pack("<I", each)
            self.programmed.add(word)
            self._operation()

    def _operation(self) -> None:
        self.operations += 1
        self._collected.clear()
        self._fresh.clear()
        self._busy = BUSY_READS

    def _on_read(self, uc: Any, offset: int, size: int, page: int) -> int:
        place = ".".join(self._names.get(page + offset, ("", ""))[:2])
        if place == "FLASH.SR2":
            self._busy -= self._busy > 0
            return self._error | (self.QW | 1 if self._busy else 0)
        if place == "FLASH.CR2":
            return self.get(place) & ~self.LOCK | (self.LOCK if self._locked else 0)
        return super()._on_read(uc, offset, size, page)

    def _on_write(self, uc: Any, offset: int, size: int, value: int, page: int) -> None:
        address = page + offset
        place = ".".join(self._names.get(address, ("", ""))[:2])
        if address == self.DCIMVAC:
            self._fresh.add((value - self.BEGIN) // self.WORD_BYTES)
        if place == "FLASH.KEYR2":
            self._keys = self._keys + 1 if value == self.KEYS[self._keys] else 0
            if self._keys == 2:
                self._locked, self._keys = False, 0
            return
        if place == "FLASH.CCR2":
            self._error &= ~value
            return
        if place == "FLASH.CR2":
            if self._locked:
                self._problem("CR2 is written while it is locked")
            if self._busy:
                self._problem("CR2 is written while an operation is under way")
            if value >> 4 & 3 != 3 and value & (self.PG | self.SER):
                self._problem("bank 2 is not programmed 64 bits at a time")
            self._locked = bool(value & self.LOCK)
            if value & self.START:
                self._erase(value)
                value &= ~self.START
        super()._on_write(uc, offset, size, value, page)

    def _erase(self, value: int) -> None:
        sector = (value >> 8 & 7) - 6
        if not value & self.SER or sector not in (0, 1):
            self._problem(f"CR2 = {value:#x} does not erase one of the last sectors")
            return
        at = sector * self.SECTOR_BYTES
        self.stored[at : at + self.SECTOR_BYTES] = b"\xff" * self.SECTOR_BYTES
        words = set(range(at // self.WORD_BYTES, (at + self.SECTOR_BYTES) // self.WORD_BYTES))
        self.programmed -= words
        self.damaged -= words
        self._operation()
