"""What others say of the registers of Nordic's chips.

nRF51 and nRF52840: Nordic's SVD files, which pyOCD carries. The nRF5340's is in no Python package,
but labwired carries the offsets, fields and reset values of that file; so it does for APPROTECT of
the nRF52840, which is younger than pyOCD's file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.ports.registers import Field, Peripheral, Register, read_svd


@cache
def svd(name: str) -> Mapping[str, Peripheral]:
    pyocd = pytest.importorskip("pyocd", reason="pyocd carries the SVD files")
    archive = Path(pyocd.__file__).parent / "debug" / "svd" / "svd_data.zip"
    with zipfile.ZipFile(archive) as files:
        return read_svd(files.read(f"{name}.svd"))


@cache
def _labwired(chip: str, name: str, base: int) -> Peripheral:
    labwired = pytest.importorskip("labwired", reason="labwired describes the nRF5340")
    yaml = pytest.importorskip("yaml", reason="labwired's descriptions are YAML")
    path = Path(labwired.__file__).parent / "configs" / "peripherals" / chip / f"{name}.yaml"
    registers = {}
    for entry in yaml.safe_load(path.read_text())["registers"]:
        fields = {}
        for part in entry["fields"]:
            high, low = part["bit_range"]
            fields[part["name"]] = Field(low, high - low + 1)
        registers[entry["id"]] = Register(entry["address_offset"], entry["reset_value"], fields)
    return Peripheral(base, registers)


def nrf5340() -> dict[str, Peripheral]:
    """Bases: nRF5340 PS v1.3, "Memory", table of instances; of the ports, GPIO, "Registers"."""
    bases = {
        "CLOCK": 0x50005000, "CACHE": 0x50001000, "CTRLAP": 0x50006000, "UICR": 0x00FF8000,
        "FICR": 0x00FF0000, "P0": 0x50842500, "P1": 0x50842800, "UARTE0": 0x50008000,
    }  # fmt: skip
    return {n: _labwired("nrf5340", f"{n.lower()}_s", base) for n, base in bases.items()}


def nrf52840() -> dict[str, Peripheral]:
    return {
        **svd("nrf52840"),
        "APPROTECT": _labwired("nrf52840", "approtect", 0x40000000),
    }
