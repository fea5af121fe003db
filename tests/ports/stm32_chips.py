"""The STM32 chips of the ports, as others describe them.

No Python package carries ST's SVD file of exactly our chips in a reasonable size. pyOCD carries
those of near relatives, labwired most of the STM32H735's. Each chip here is its nearest relative
with the differences that its reference manual tells; what does not differ is no difference
(test_stm32_registers.py sees to that).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.ports.registers import Field, Peripheral, Register, read_svd

Chip = Mapping[str, Peripheral]

# Registers of each chip as its manual has them, where its relative has another or none:
# "PERIPHERAL.REGISTER": offset, value after reset (None: the relative's), fields that differ.
Difference = tuple[int, int | None, Mapping[str, Field]]

DIFFERENCES: Mapping[str, Mapping[str, Difference]] = {
    # RM0390 3.8.1 gives LATENCY four bits; the values up to 7 are the same.
    "stm32f446": {"FLASH.ACR": (0x00, None, {"LATENCY": Field(0, 4)})},
    # RM0090 5.4.1: VOS is one bit, and there is no over-drive. Our header has the F446's fields.
    "stm32f405": {
        "FLASH.ACR": (0x00, None, {"LATENCY": Field(0, 4)}),  # 3.9.1: 3 bits, then one that reads 0
        "PWR.CR": (0x00, 0x00004000, {}),
    },
    "stm32f746": {
        # RM0385 3.7.1: the ART accelerator in the place of the F4's caches
        "FLASH.ACR": (0x00, None, {"LATENCY": Field(0, 4), "ARTEN": Field(9, 1)}),
        # RM0385 4.4.1 and 4.4.2: the F4's CR and CSR under new names
        "PWR.CR1": (
            0x00,
            0x0000C000,
            {"VOS": Field(14, 2), "ODEN": Field(16, 1), "ODSWEN": Field(17, 1)},
        ),
        "PWR.CSR1": (
            0x04,
            0x00000000,
            {"VOSRDY": Field(14, 1), "ODRDY": Field(16, 1), "ODSWRDY": Field(17, 1)},
        ),
        # RM0385 5.3.26: clocks of the UARTs; 0 is the APB
        "RCC.DCKCFGR2": (0x90, 0x00000000, {"USART1SEL": Field(0, 2), "USART2SEL": Field(2, 2)}),
    },
    "stm32l4r5": {
        # RM0432 3.7.1, 5.4.18, 6.4.4, 50.8.1 and 51.7.1
        "FLASH.ACR": (0x00, None, {"LATENCY": Field(0, 4)}),
        "PWR.CR5": (0x80, 0x00000100, {"R1MODE": Field(8, 1)}),
        "RCC.PLLCFGR": (0x0C, None, {"PLLM": Field(4, 4)}),
        "LPUART1.CR1": (0x00, None, {"FIFOEN": Field(29, 1)}),
        "USART1.CR1": (0x00, None, {"FIFOEN": Field(29, 1)}),
        "USART2.CR1": (0x00, None, {"FIFOEN": Field(29, 1)}),
        "USART3.CR1": (0x00, None, {"FIFOEN": Field(29, 1)}),
    },
    "stm32h743": {
        # RM0433 2.2.4 (AXI_TARG7_FN_MOD: 0x1108 + 0x1000 * 7), 6.8.4, 12.3.5, 60.5.8
        # 4.9: the registers of bank 2 are those of bank 1, 0x100 further on
        "FLASH.KEYR2": (0x104, 0x00000000, {}),
        "FLASH.CR2": (
            0x10C,
            0x00000031,
            {
                "LOCK2": Field(0, 1),
                "PG2": Field(1, 1),
                "SER2": Field(2, 1),
                "PSIZE2": Field(4, 2),
                "START2": Field(7, 1),
                "SNB2": Field(8, 3),
            },
        ),
        "FLASH.SR2": (
            0x110,
            0x00000000,
            {
                "BSY2": Field(0, 1),
                "QW2": Field(2, 1),
                "WRPERR2": Field(17, 1),
                "PGSERR2": Field(18, 1),
                "STRBERR2": Field(19, 1),
                "INCERR2": Field(21, 1),
                "OPERR2": Field(22, 1),
                "DBECCERR2": Field(26, 1),
            },
        ),
        "FLASH.CCR2": (0x114, 0x00000000, {}),
        "AXI.TARG7_FN_MOD": (0x8108, 0x00000000, {"READ_ISS_OVERRIDE": Field(0, 1)}),
        "PWR.CR3": (0x0C, None, {"SCUEN": Field(2, 1)}),
        "SYSCFG.PWRCR": (0x2C, 0x00000000, {"ODEN": Field(0, 1)}),
        "DBGMCU.IDC": (0x00, 0x10036450, {"REV_ID": Field(16, 16)}),
    },
}

# Peripherals that the relative lacks or has elsewhere.
_BASES = {"stm32h743": {"AXI": 0x51000000, "DBGMCU": 0x5C001000}}


def _whole_fields(register: Register) -> Register:
    """ST's older files list the bits of some fields apart: SW0 and SW1 are SW as well."""
    fields = dict(register.fields)
    parts: dict[str, dict[int, int]] = {}
    for name, part in register.fields.items():
        found = re.fullmatch(r"(\w*?[A-Z])(\d)", name)
        if found and part.bits == 1:
            parts.setdefault(found[1], {})[int(found[2])] = part.lowest
    for name, bits in parts.items():
        whole = all(bits.get(i) == bits.get(0, -99) + i for i in range(len(bits)))
        if whole and len(bits) > 1 and name not in fields:
            fields[name] = Field(bits[0], len(bits))
    return Register(register.offset, register.reset, fields)


@cache
def svd(name: str) -> Chip:
    """A file of ST's, from pyOCD. Numbers there have zeros in front without being octal."""
    pyocd = pytest.importorskip("pyocd", reason="pyocd carries ST's SVD files")
    archive = Path(pyocd.__file__).parent / "debug" / "svd" / "svd_data.zip"
    with zipfile.ZipFile(archive) as files:
        text = re.sub(rb">0+([0-9]+)<", rb">\1<", files.read(f"{name}.svd"))
    return {
        name: Peripheral(p.base, {n: _whole_fields(r) for n, r in p.registers.items()})
        for name, p in read_svd(text).items()
    }


@cache
def stm32h735() -> Chip:
    """From labwired, which made its files of ST's."""
    labwired = pytest.importorskip("labwired", reason="labwired describes the STM32H735")
    yaml = pytest.importorskip("yaml", reason="labwired's descriptions are YAML")
    configs = Path(labwired.__file__).parent / "configs"
    chip = yaml.safe_load((configs / "chips" / "stm32h735.yaml").read_text())
    found = {}
    for part in chip["peripherals"]:
        schema = part.get("config", {}).get("debug_schema")
        if schema is None:
            continue
        described = yaml.safe_load((configs / "chips" / schema).read_text())
        registers = {}
        for entry in described["registers"]:
            fields = {}
            for field in entry.get("fields", []):
                high, low = field["bit_range"]
                fields[field["name"]] = Field(low, high - low + 1)
            registers[entry["id"]] = Register(
                entry["address_offset"], entry.get("reset_value", 0), fields
            )
        found[described["peripheral"].upper()] = Peripheral(part["base_address"], registers)
    return found


def relative(name: str) -> Chip:
    """The nearest chip that a package describes."""
    if name in ("stm32f446", "stm32f405"):
        return svd("STM32F429x")
    if name == "stm32l4r5":
        return svd("STM32L4x5")
    if name == "stm32h743":
        return stm32h735()
    # The F746 has the F4's clocks and ports, and the L4's UARTs where the F4 has its own.
    old, uarts = svd("STM32F429x"), svd("STM32L4x5")
    chip = dict(old)
    for uart in ("USART1", "USART2", "USART3", "USART6"):
        chip[uart] = Peripheral(old[uart].base, uarts["USART1"].registers)
    return chip


def chip(name: str) -> Chip:
    """The relative with the differences."""
    found = dict(relative(name))
    for place, (offset, reset, fields) in DIFFERENCES[name].items():
        peripheral, register = place.split(".")
        base = _BASES.get(name, {}).get(peripheral)
        old = found.get(peripheral) or Peripheral(base or 0, {})
        was = old.registers.get(register)
        new = Register(
            offset,
            (was.reset if was else 0) if reset is None else reset,
            {**(was.fields if was else {}), **fields},
        )
        found[peripheral] = Peripheral(
            old.base if base is None else base, {**old.registers, register: new}
        )
    return found
