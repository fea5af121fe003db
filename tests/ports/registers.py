"""Registers as a port's header names them, and as others describe the chip: to compare the two.

A header names a register `PERIPHERAL_REGISTER` and gives it with TN_REG(address); what is called
`PERIPHERAL_REGISTER_FIELD` is all bits of a field, `PERIPHERAL_REGISTER_FIELD_VALUE` one value of
it, both where they lie in the register. A register of several alike takes its number as argument.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# --- headers -------------------------------------------------------------------------------------


class Address(int):
    """What TN_REG takes."""


@dataclass(frozen=True)
class Macro:
    """One #define: `value` is a number, or for one with arguments what makes the number of them."""

    name: str
    line: int
    parameters: tuple[str, ...]
    value: int | Callable[..., int]

    def at(self, *arguments: int) -> int:
        return self.value(*arguments) if callable(self.value) else self.value


def _bits(lowest: int, width: int) -> int:
    return ((1 << width) - 1) << lowest


def read_header(text: str) -> dict[str, Macro]:
    """The #defines of a C header whose values are numbers, by name; all others are left out.

    Arithmetic is Python's: values must fit 32 bits.
    """
    macros: dict[str, Macro] = {}
    known: dict[str, Any] = {"TN_REG": Address, "TN_BITS": _bits, "__builtins__": {}}
    text = re.sub(
        r"\\\n", " ", re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    )
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"\s*#define\s+(\w+)(?:\(([\w, ]*)\))?\s+(.+)", line)
        if not found or found[1] in known:
            continue
        body = re.sub(r"\b(0[xX][0-9a-fA-F]+|\d+)[uUlL]*\b", r"\1", found[3]).strip()
        names = tuple(n.strip() for n in found[2].split(",")) if found[2] is not None else ()
        try:
            value = eval(f"lambda {', '.join(names)}: {body}" if names else body, known)
            if names:
                value(*[0] * len(names))
        except (SyntaxError, NameError, TypeError):
            continue
        if names or isinstance(value, int):
            known[found[1]] = value
            macros[found[1]] = Macro(found[1], number, names, value)
    return macros


# --- descriptions of chips -----------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    lowest: int
    bits: int
    values: Mapping[str, int] = field(default_factory=dict)  # names in upper case

    @property
    def mask(self) -> int:
        return _bits(self.lowest, self.bits)


@dataclass(frozen=True)
class Register:
    offset: int
    reset: int
    fields: Mapping[str, Field]


@dataclass(frozen=True)
class Peripheral:
    base: int
    registers: Mapping[str, Register]  # by name; PIN_CNF[3] is PIN_CNF3, INT.SET is INT_SET


def _number(node: ElementTree.Element, name: str, default: int) -> int:
    text = node.findtext(name)
    return default if text is None else int(text.strip().lstrip("+"), 0)


def _field(node: ElementTree.Element) -> tuple[str, Field]:
    where = node.findtext("bitRange")
    if where is not None:
        high, low = (int(n) for n in re.findall(r"\d+", where))
    elif node.find("bitOffset") is not None:
        low = _number(node, "bitOffset", 0)
        high = low + _number(node, "bitWidth", 1) - 1
    else:
        low, high = _number(node, "lsb", 0), _number(node, "msb", 0)
    values = {}
    for entry in node.iter("enumeratedValue"):
        text = (entry.findtext("value") or "").strip().replace("#", "0b")
        if re.fullmatch(r"0[xX][0-9a-fA-F]+|0b[01]+|\d+", text):
            values[(entry.findtext("name") or "").upper()] = int(text, 0)
    return node.findtext("name") or "", Field(low, high - low + 1, values)


def _copies(node: ElementTree.Element) -> list[tuple[str, int]]:
    """(name, offset) of each copy of a register or cluster."""
    name, offset = node.findtext("name") or "", _number(node, "addressOffset", 0)
    count = _number(node, "dim", 0)
    if count == 0:
        return [(name, offset)]
    indices = [str(i) for i in range(count)]
    if listed := node.findtext("dimIndex"):
        ends = re.fullmatch(r"(\d+)-(\d+)", listed)
        indices = (
            [str(i) for i in range(int(ends[1]), int(ends[2]) + 1)] if ends else listed.split(",")
        )
    step = _number(node, "dimIncrement", 0)
    bare = name.replace("[%s]", "%s")
    return [(bare.replace("%s", index), offset + i * step) for i, index in enumerate(indices)]


def _registers(node: ElementTree.Element, reset: int) -> dict[str, Register]:
    found: dict[str, Register] = {}
    for child in node:
        if child.tag == "register":
            fields = dict(_field(f) for f in child.iterfind("fields/field"))
            for name, offset in _copies(child):
                found[name] = Register(offset, _number(child, "resetValue", reset), fields)
        elif child.tag == "cluster":
            inner = _registers(child, reset)
            for name, offset in _copies(child):
                for below, register in inner.items():
                    found[f"{name}_{below}"] = Register(
                        offset + register.offset, register.reset, register.fields
                    )
    return found


def read_svd(text: bytes | str) -> dict[str, Peripheral]:
    """A chip as a CMSIS-SVD file describes it."""
    root = ElementTree.fromstring(text)
    reset = _number(root, "resetValue", 0)
    found: dict[str, Peripheral] = {}
    for node in root.iterfind("peripherals/peripheral"):
        registers: Mapping[str, Register] = {}
        if origin := node.get("derivedFrom"):
            registers = found[origin].registers
        own = node.find("registers")
        if own is not None:
            registers = {**registers, **_registers(own, reset)}
        base = _number(node, "baseAddress", 0)
        found[node.findtext("name") or ""] = Peripheral(base, registers)
    return found


# --- the two against each other ------------------------------------------------------------------


def _plain(name: str) -> str:
    return name.upper().replace("_", "")


def _find_register(peripheral: Peripheral, name: str) -> Register | None:
    for candidate, register in peripheral.registers.items():
        if _plain(candidate) == _plain(name):
            return register
    return None


def _split(peripheral: Peripheral, name: str) -> tuple[Register, str] | None:
    """The register that `name` begins with, the longest, and the rest of the name."""
    parts = name.split("_")
    for count in range(len(parts), 0, -1):
        register = _find_register(peripheral, "_".join(parts[:count]))
        if register is not None:
            return register, "_".join(parts[count:])
    return None


def numbered(name: str, number: int) -> tuple[str, str, str]:
    """The names that register `number` of several alike may have: PIN_CNF3, TRIM3_ADDR, OUTSET."""
    head, _, tail = name.partition("_")
    return f"{name}{number}", f"{head}{number}_{tail}", name


def difference(
    macro: Macro,
    peripheral: Peripheral,
    name: str,
    cited: Mapping[str, int] | None = None,
    numbers: tuple[int, ...] = (0, 1, 7, 31),
) -> str | None:
    """What is wrong with a #define, or None. `name`: its name without the peripheral's.

    `cited`: values of fields by the whole name of the #define, as they stand in the register, for
    those that the description does not name. `numbers`: those of a register of several to look at.
    """
    if name == "BASE":
        return _same(macro.name, macro.at(), peripheral.base)
    if macro.parameters:
        for number in numbers:
            registers = [_find_register(peripheral, n) for n in numbered(name, number)]
            register = next((r for r in registers if r is not None), None)
            if register is None:
                return f"{macro.name}: there is no register {name} {number}"
            if wrong := _same(macro.name, macro.at(number), peripheral.base + register.offset):
                return f"{wrong} (number {number})"
        return None
    found = _split(peripheral, name)
    if found is None:
        return f"{macro.name}: there is no such register"
    register, rest = found
    if not rest:
        if not isinstance(macro.at(), Address):
            return f"{macro.name}: a register is not a TN_REG"
        return _same(macro.name, macro.at(), peripheral.base + register.offset)
    if isinstance(macro.at(), Address):
        return f"{macro.name}: there is no such register"
    for field_name, described in register.fields.items():
        if rest == field_name.upper():
            return _same(macro.name, macro.at(), described.mask)
        if rest.startswith(field_name.upper() + "_"):
            value = rest[len(field_name) + 1 :]
            if cited and macro.name in cited:
                expected = cited[macro.name]
            elif value in described.values:
                expected = described.values[value] << described.lowest
            else:
                return f"{macro.name}: {field_name} has no value {value}"
            if expected & ~described.mask:
                return f"{macro.name}: {expected:#x} lies outside of {field_name}"
            return _same(macro.name, macro.at(), expected)
    return f"{macro.name}: the register has no such field"


def _same(name: str, ours: int, theirs: int) -> str | None:
    return None if ours == theirs else f"{name} is {ours:#x}, not {theirs:#x}"


def differences(
    header: Mapping[str, Macro],
    chip: Mapping[str, Peripheral],
    *,
    names: Mapping[str, str] | None = None,
    cited: Mapping[str, int] | None = None,
    numbers: tuple[int, ...] = (0, 1, 7, 31),
) -> list[str]:
    """What is wrong with a header's #defines. `names`: the chip's peripheral for one of ours.

    A #define that begins with TN_ is no register's.
    """
    found = []
    for macro in header.values():
        if macro.name.startswith("TN_"):
            continue
        ours, _, rest = macro.name.partition("_")
        peripheral = chip.get((names or {}).get(ours, ours))
        if peripheral is None:
            found.append(f"{macro.name}: the chip has no peripheral {ours}")
        elif wrong := difference(macro, peripheral, rest, cited, numbers):
            found.append(wrong)
    return found


def header_of(*paths: Path) -> dict[str, Macro]:
    """The #defines of several headers; a later one does not override."""
    macros: dict[str, Macro] = {}
    for path in paths:
        macros = {**read_header(path.read_text(encoding="utf-8")), **macros}
    return macros
