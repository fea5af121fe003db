"""The registers of the Nordic ports against what others say of the chips (nordic_chips.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.ports.nordic_chips import nrf5340, nrf52840, svd
from tests.ports.registers import Macro, Peripheral, differences, header_of, read_header
from thumbnet.codegen.targets import PORTS, board

UART = PORTS / "common" / "nrf_uart.h"
NRF52 = PORTS / "nrf52" / "nrf52.h"
NRF53 = PORTS / "nrf53" / "nrf53.h"

# Values that neither description names, as they stand in the register.
CITED = {
    # nRF52840 PS v1.7 and later, "Debug and trace": APPROTECT.DISABLE, UICR.APPROTECT
    "APPROTECT_DISABLE_DISABLE_SWDISABLE": 0x5A,
    "UICR_APPROTECT_PALL_HWDISABLED": 0x5A,
    # nRF5340 PS v1.3: CLOCK (HFCLKCTRL), CACHE (ENABLE), UICR (APPROTECT), GPIO (PIN_CNF),
    # UARTE (ENABLE, BAUDRATE)
    "CLOCK_HFCLKCTRL_HCLK_DIV1": 0,
    "CACHE_ENABLE_ENABLE_ENABLED": 1,
    "UICR_APPROTECT_PALL_UNPROTECTED": 0x50FA50FA,
}


def _values_of_other_chips() -> dict[str, int]:
    """CITED, and for the nRF5340's UARTE and pins the values of the nRF52840's, the same blocks."""
    old = svd("nrf52840")
    cnf = old["P0"].registers["PIN_CNF0"].fields
    uarte = old["UARTE0"].registers
    return {
        **CITED,
        "UARTE0_ENABLE_ENABLE_ENABLED": uarte["ENABLE"].fields["ENABLE"].values["ENABLED"],
        "UARTE0_BAUDRATE_BAUDRATE_BAUD115200": uarte["BAUDRATE"]
        .fields["BAUDRATE"]
        .values["BAUD115200"],
        "P0_PIN_CNF_DIR_OUTPUT": cnf["DIR"].values["OUTPUT"],
        "P0_PIN_CNF_INPUT_DISCONNECT": cnf["INPUT"].values["DISCONNECT"] << 1,
        "P0_PIN_CNF_PULL_PULLUP": cnf["PULL"].values["PULLUP"] << 2,
    }


def testnrf52840() -> None:
    header = header_of(UART, NRF52)
    assert len(header) > 25
    assert differences(header, _named_cnf(nrf52840()), cited=CITED) == []
    assert _second_port(header, svd("nrf52840")["P1"]) == []


def test_nrf51() -> None:
    """The same driver serves the micro:bit."""
    assert differences(header_of(UART), _named_cnf(svd("nrf51")), names={"P0": "GPIO"}) == []


def testnrf5340() -> None:
    chip = nrf5340()
    header = header_of(NRF53)
    assert len(header) > 35
    assert differences(header, _named_cnf(chip), cited=_values_of_other_chips()) == []
    assert _second_port(header, chip["P1"]) == []


def _named_cnf(chip: Mapping[str, Peripheral]) -> dict[str, Peripheral]:
    """The chip with PIN_CNF beside PIN_CNF0, for the names of its fields."""
    changed = dict(chip)
    for port in ("P0", "GPIO"):
        if port in chip:
            registers = chip[port].registers
            registers = {**registers, "PIN_CNF": registers["PIN_CNF0"]}
            changed[port] = Peripheral(chip[port].base, registers)
    return changed


def _second_port(header: Mapping[str, Macro], port: Peripheral) -> list[str]:
    """Pins from 32 on are the other port's."""
    wrong = []
    for number in (0, 1, 15):
        for macro, register in (("P0_OUTSET", "OUTSET"), ("P0_PIN_CNF", f"PIN_CNF{number}")):
            if header[macro].at(32 + number) != port.base + port.registers[register].offset:
                wrong.append(f"{macro}({32 + number})")
    return wrong


def test_what_stays_as_at_reset() -> None:
    """Registers that the ports rely on without writing them."""
    old, new = nrf52840(), nrf5340()
    assert old["UART0"].registers["CONFIG"].reset == 0  # no flow control, no parity
    assert new["UARTE0"].registers["CONFIG"].reset == 0
    assert new["CLOCK"].registers["HFCLKSRC"].reset == 1  # the crystal, once started
    assert new["CLOCK"].registers["HFCLKCTRL"].reset == 1  # 64 MHz
    mcusel = new["P0"].registers["PIN_CNF20"].fields["MCUSEL"]
    assert new["P0"].registers["PIN_CNF20"].reset & mcusel.mask == 0  # the application core's
    for uart in (old["UART0"], new["UARTE0"]):
        for line in ("RTS", "CTS"):
            assert uart.registers[f"PSEL_{line}"].reset == 0xFFFFFFFF  # not connected


@pytest.mark.parametrize("name", ["nrf52840dk", "nrf5340dk", "microbit"])
def test_pins(name: str) -> None:
    """From Zephyr's boards/nordic/{nrf52840dk,nrf5340dk} and boards/bbc/microbit (pinctrl)."""
    pins = {"nrf52840dk": (6, 8), "nrf5340dk": (20, 22), "microbit": (24, 25)}
    defines = dict(define.split("=") for define in board(name).defines)
    assert defines["TN_CONSOLE_TX"] == f"{pins[name][0]}u"
    assert defines["TN_CONSOLE_RX"] == f"{pins[name][1]}u"


# --- would it be seen? ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("UARTE0_BASE 0x50008000u", "UARTE0_BASE 0x50009000u", "UARTE0_BASE is 0x50009000"),
        ("UARTE0_BASE + 0x110u", "UARTE0_BASE + 0x114u", "UARTE0_EVENTS_ENDRX is 0x50008114"),
        ("CLOCK_BASE + 0x558u", "CLOCK_BASE + 0x5B8u", "CLOCK_HFCLKCTRL is 0x500055b8"),
        ("ENABLE_ENABLED (8u << 0)", "ENABLE_ENABLED (4u << 0)", "ENABLED is 0x4, not 0x8"),
        ("PULL_PULLUP (3u << 2)", "PULL_PULLUP (3u << 3)", "PULL_PULLUP is 0x18, not 0xc"),
        ("0x200u + 4u * ((pin)", "0x204u + 4u * ((pin)", "P0_PIN_CNF is 0x50842704"),
        ("4u * ((pin) & 31u)", "8u * ((pin) & 31u)", "(number 1)"),
        ("8u * (n)) /*", "4u * (n)) /*", "FICR_TRIMCNF_ADDR is 0xff0304"),
        ("CACHE_ENABLE_ENABLE_ENABLED (1u", "CACHE_ENABLE_ON_ENABLED (1u", "no such field"),
        ("BAUDRATE_BAUD115200 (0x01D6", "BAUDRATE_BAUD115200 (0x01D7", "is 0x1d70000"),
        ("define UARTE0_TXD_PTR", "define UARTE0_TXD_POINTER", "there is no such register"),
        ("define CACHE_ENABLE TN_REG", "define KASH_ENABLE TN_REG", "no peripheral KASH"),
        ("_HCLK_DIV1 (0u << 0)", "_HCLK_DIV1 (1u << 0)", "DIV1 is 0x1, not 0x0"),
    ],
)
def test_an_error_would_be_seen(old: str, new: str, says: str) -> None:
    text = NRF53.read_text()
    assert text.count(old) == 1
    header = read_header(text.replace(old, new))
    wrong = differences(header, _named_cnf(nrf5340()), cited=_values_of_other_chips())
    assert len(wrong) >= 1
    assert says in "; ".join(wrong)


def test_a_port_that_is_off_by_one_would_be_seen() -> None:
    header = read_header(UART.read_text().replace("0x300u * ((pin) >> 5)", "0x400u * ((pin) >> 5)"))
    assert _second_port(header, svd("nrf52840")["P1"]) != []


def test_every_define_of_the_headers_is_read() -> None:
    for path in (UART, NRF52, NRF53):
        text = path.read_text()
        defined = re.findall(r"^#define (\w+)[ (].*\S", text, re.MULTILINE)
        wanted = {n for n in defined if not n.startswith("TN_")}
        assert wanted == {n for n in read_header(text) if not n.startswith("TN_")}
