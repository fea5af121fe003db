"""The registers, consoles and pins of the STM32 ports against what others say of the chips."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ports.registers import Macro, Register, differences, read_header
from tests.ports.stm32_chips import DIFFERENCES, chip, relative
from thumbnet.codegen.targets import PORTS, board


@dataclass(frozen=True)
class Port:
    header: Path
    chip: str
    # TX, RX, alternate function: tables of the data sheet and of the board's user manual
    pins: tuple[str, str, str]
    lacks: frozenset[str] = frozenset()  # what the header names and this chip does not have
    # registers that code relies on without writing them: name, bits, value
    at_reset: tuple[tuple[str, int, int], ...] = ()


F4_AT_RESET = (
    ("RCC.CR", 0x01000001, 0x00000001),  # HSI on, PLL off
    ("RCC.CFGR", 0x000000FF, 0),  # HSI chosen, AHB prescaler of 1
)
V2_AT_RESET = ("USART1.CR1", 0xFFFFFFFF, 0), ("USART1.CR2", 0xFFFFFFFF, 0)  # 8N1, UART off

PORTS_OF = {
    # DS10693 table 11; UM1724 (Nucleo-64), "USART communication"
    "nucleo-f446re": Port(
        PORTS / "stm32f4" / "stm32f4.h", "stm32f446", ("TN_PIN(A,2)", "TN_PIN(A,3)", "7"),
        at_reset=(*F4_AT_RESET, ("PWR.CR", 0x0000C000, 0x0000C000)),
    ),
    # DS8626 table 9; the console is QEMU's first, USART1
    "netduinoplus2": Port(
        PORTS / "stm32f4" / "stm32f4.h", "stm32f405", ("TN_PIN(A,9)", "TN_PIN(A,10)", "7"),
        at_reset=F4_AT_RESET,
    ),
    # DS10916 table 12; UM1907, "USART1"
    "stm32f746g-disco": Port(
        PORTS / "stm32f7" / "stm32f7.h", "stm32f746", ("TN_PIN(A,9)", "TN_PIN(B,7)", "7"),
        lacks=frozenset({"USART_CR1_FIFOEN"}),
        at_reset=(
            *F4_AT_RESET, *V2_AT_RESET, ("PWR.CR1", 0x0000C000, 0x0000C000),
            ("RCC.DCKCFGR2", 0xFFFFFFFF, 0),
        ),
    ),
    # DS12023 table 16; UM2179 (Nucleo-144), "LPUART1"
    "nucleo-l4r5zi": Port(
        PORTS / "stm32l4" / "stm32l4.h", "stm32l4r5", ("TN_PIN(G,7)", "TN_PIN(G,8)", "8"),
        at_reset=(
            ("RCC.CR", 0x010000FB, 0x00000063 & 0xFB),  # MSI on, ready, 4 MHz; PLL off
            ("RCC.CFGR", 0x00003FFF, 0),  # MSI chosen, prescalers of 1
            ("RCC.CCIPR", 0x00000CFF, 0),  # UARTs on their APB's clock
            ("PWR.CR1", 0x00000600, 0x00000200),  # range 1
            *V2_AT_RESET, ("LPUART1.CR1", 0xFFFFFFFF, 0), ("LPUART1.CR2", 0xFFFFFFFF, 0),
        ),
    ),
    # DS12110 table 9; UM2407 (Nucleo-144), "USART3"
    "nucleo-h743zi": Port(
        PORTS / "stm32h7" / "stm32h7.h", "stm32h743", ("TN_PIN(D,8)", "TN_PIN(D,9)", "7"),
        at_reset=(
            ("RCC.CR", 0x01000019, 0x00000001),  # HSI on, undivided; PLL1 off
            ("RCC.CFGR", 0x0000003F, 0),  # HSI chosen
            ("RCC.D1CFGR", 0x00000F00, 0),  # the core's prescaler
            ("RCC.D2CCIP2R", 0x0000003F, 0),  # UARTs on their APB's clock
            *V2_AT_RESET,
        ),
    ),
}  # fmt: skip

F405_LACKS = frozenset(
    {"PWR_CR_ODEN", "PWR_CR_ODSWEN", "PWR_CSR_ODRDY", "PWR_CSR_ODSWRDY", "PWR_CR_VOS"}
)


def _defines(name: str) -> dict[str, str]:
    return dict(define.split("=", 1) for define in board(name).defines)


def _text(name: str) -> str:
    """All that the sources of a board's console and clock include."""
    header = PORTS_OF[name].header.read_text()
    uart = PORTS / re.findall(r'#include "(common/stm32_usart_v\d\.h)"', header)[0]
    where = f"#define TN_UART {_defines(name)['TN_CONSOLE']}_BASE\n"
    return header + where + uart.read_text() + (PORTS / "common" / "stm32.h").read_text()


def _read(text: str) -> dict[str, Macro]:
    """Without those that only rename: gates, and the F7's names of the F4's registers."""
    renamed = re.findall(r"^#define (\w+) [A-Z]\w+$", text, re.MULTILINE)
    macros = read_header(text)
    return {n: m for n, m in macros.items() if n not in renamed and not re.search("_BUS$", n)}


def _wrong(name: str, text: str) -> list[str]:
    port = PORTS_OF[name]
    header = {n: m for n, m in _read(text).items() if n not in port.lacks}
    names = {"USART": _defines(name)["TN_CONSOLE"], "GPIO": "GPIOA"}
    return differences(header, chip(port.chip), names=names, numbers=(0,))


@pytest.mark.parametrize("name", PORTS_OF)
def test_registers(name: str) -> None:
    text = _text(name)
    assert len(_read(text)) > 50
    assert _wrong(name, text) == []


@pytest.mark.parametrize("name", PORTS_OF)
def test_every_define_of_the_headers_is_read(name: str) -> None:
    text = _text(name)
    read = read_header(text)
    for defined in re.findall(r"^#define (\w+)[ (].*\S", text, re.MULTILINE):
        assert defined in read or defined.startswith("TN_") or re.search("_GATE", defined)


@pytest.mark.parametrize("name", PORTS_OF)
def test_gates(name: str) -> None:
    """A UART's gate has its name, and a port's is the bit of its number."""
    text = _text(name)
    described = chip(PORTS_OF[name].chip)
    gates = dict(re.findall(r"^#define (\w+)_GATE (\w+)$", text, re.MULTILINE))
    bits = dict(re.findall(r"^#define (\w+)_GATE_(?:BIT|A) (\w+)$", text, re.MULTILINE))
    assert _defines(name)["TN_CONSOLE"] in gates
    for peripheral, register in gates.items():
        gate = "GPIOAEN" if peripheral == "GPIO" else f"{peripheral}EN"
        assert bits[peripheral] == f"{register}_{gate}"
    ports = described["RCC"].registers[gates["GPIO"].removeprefix("RCC_")].fields
    moder = read_header(text)["GPIO_MODER"]
    for number, letter in enumerate("ABCDEFGH"):
        assert ports[f"GPIO{letter}EN"].lowest == number
        assert moder.at(number) == described[f"GPIO{letter}"].base


@pytest.mark.parametrize("name", PORTS_OF)
def test_pins(name: str) -> None:
    defines = _defines(name)
    found = tuple(defines[f"TN_CONSOLE_{what}"] for what in ("TX", "RX", "AF"))
    assert found == PORTS_OF[name].pins


@pytest.mark.parametrize("name", PORTS_OF)
def test_what_stays_as_at_reset(name: str) -> None:
    described = chip(PORTS_OF[name].chip)
    for place, bits, value in PORTS_OF[name].at_reset:
        peripheral, register = place.split(".")
        assert described[peripheral].registers[register].reset & bits == value, place


@pytest.mark.parametrize("name", sorted(DIFFERENCES))
def test_a_difference_is_one(name: str) -> None:
    """None of what a manual is cited for is in the relative's description anyway."""
    old, new = relative(name), chip(name)
    for place in DIFFERENCES[name]:
        peripheral, register = place.split(".")
        was: Register | None = None
        if peripheral in old:
            was = old[peripheral].registers.get(register)
        assert was != new[peripheral].registers[register], place


def test_the_f405_has_less() -> None:
    """What its header has in common with the F446 and it has not, its boards do not reach."""
    assert set(F405_LACKS) <= set(_read(_text("netduinoplus2")))
    assert int(_defines("netduinoplus2")["TN_CORE_HZ"].rstrip("u")) <= 168_000_000


# --- would it be seen? ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("nucleo-f446re", "PPRE2 TN_BITS(13, 3)", "PPRE2 TN_BITS(12, 3)", "RCC_CFGR_PPRE2"),
        ("nucleo-f446re", "RCC_CR TN_REG(0x40023800u)", "RCC_CR TN_REG(0x40023804u)", "RCC_CR is"),
        ("nucleo-f446re", "PLLN TN_BITS(6, 9)", "PLLN TN_BITS(6, 8)", "RCC_PLLCFGR_PLLN"),
        ("nucleo-f446re", "CSR_ODRDY TN_BITS(16", "CSR_ODRDY TN_BITS(17", "PWR_CSR_ODRDY"),
        ("nucleo-f446re", "TN_UART + 0x04u", "TN_UART + 0x24u", "USART_DR is"),
        ("nucleo-f446re", "USART6_BASE 0x40011400u", "USART6_BASE 0x40011800u", "USART6_BASE"),
        ("stm32f746g-disco", "ISR_TXE TN_BITS(7", "ISR_TXE TN_BITS(6", "USART_ISR_TXE"),
        ("stm32f746g-disco", "(port) + 0x0Cu", "(port) + 0x10u", "GPIO_PUPDR"),
        ("nucleo-l4r5zi", "R1MODE TN_BITS(8", "R1MODE TN_BITS(9", "PWR_CR5_R1MODE"),
        ("nucleo-l4r5zi", "define PWR_CR2_IOSV", "define PWR_CR2_IOSW", "PWR_CR2_IOSW"),
        ("nucleo-h743zi", "0x5802480Cu", "0x58024808u", "PWR_CR3 is"),
        ("nucleo-h743zi", "DIVP1 TN_BITS(9, 7)", "DIVP1 TN_BITS(8, 7)", "RCC_PLL1DIVR_DIVP1"),
    ],
)
def test_an_error_would_be_seen(name: str, old: str, new: str, says: str) -> None:
    text = _text(name)
    assert text.count(old) == 1
    wrong = _wrong(name, text.replace(old, new))
    assert len(wrong) == 1
    assert says in wrong[0]
