"""The clock trees of the STM32 families, after ST's reference manuals, and strict: what runs at
which speed, which ready bits are set, and what the manual forbids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

MHZ = 1_000_000

Get = Callable[[str], int]  # the value of "RCC.CFGR.SW"


@dataclass(frozen=True)
class Clocks:
    """Hz. `apb`: of APB1 and APB2."""

    core: int
    bus: int
    apb: tuple[int, int]


def _prescaled(hz: int, code: int, wide: bool) -> int:
    """`wide`: of the AHB, 4 bits; else of an APB, 3 bits."""
    if wide:
        return hz // (1, 2, 4, 8, 16, 64, 128, 256, 512)[max(0, code - 7)]
    return hz // (1, 2, 4, 8, 16)[max(0, code - 3)]


# --- families: what the reference manuals say of clocks -----------------------------------------


class F4:
    """STM32F4 and, with other names in PWR, STM32F7: RM0090, RM0390, RM0385."""

    hsi = 16 * MHZ

    def __init__(
        self, fastest: int, plain: int, apb: tuple[int, int], ports: str, power: str = ""
    ) -> None:
        self.fastest, self.plain, self.apb = fastest * MHZ, plain * MHZ, apb
        self.ports, self.cr, self.csr = ports, f"PWR.CR{power}", f"PWR.CSR{power}"
        self.gates = {"PWR": "RCC.APB1ENR.PWREN"}

    def ready(self, get: Get) -> dict[str, int]:
        on = get("RCC.CR.PLLON")
        states = {
            "RCC.CR.PLLRDY": on,
            "RCC.CFGR.SWS": get("RCC.CFGR.SW"),
            f"{self.csr}.VOSRDY": on,
        }
        if self.fastest > self.plain:
            states[f"{self.csr}.ODRDY"] = on & get(f"{self.cr}.ODEN")
            states[f"{self.csr}.ODSWRDY"] = on & get(f"{self.cr}.ODSWEN")
        return states

    def clocks(self, get: Get) -> Clocks:
        core = self.hsi
        if get("RCC.CFGR.SWS") == 2:
            core = core // get("RCC.PLLCFGR.PLLM") * get("RCC.PLLCFGR.PLLN")
            core //= 2 * get("RCC.PLLCFGR.PLLP") + 2
        bus = _prescaled(core, get("RCC.CFGR.HPRE"), True)
        apb = (get("RCC.CFGR.PPRE1"), get("RCC.CFGR.PPRE2"))
        return Clocks(bus, bus, (_prescaled(bus, apb[0], False), _prescaled(bus, apb[1], False)))

    def problems(self, get: Get, clocks: Clocks) -> list[str]:
        limits = [
            (clocks.core <= self.fastest, "the core is too fast"),
            (clocks.apb[0] <= self.apb[0] * MHZ, "APB1 is too fast"),
            (clocks.apb[1] <= self.apb[1] * MHZ, "APB2 is too fast"),
            (get("FLASH.ACR.LATENCY") >= (clocks.core - 1) // (30 * MHZ), "too few wait states"),
        ]
        if get("RCC.CFGR.SW") == 2:
            limits.append((get("RCC.CR.PLLRDY") == 1, "the PLL is chosen and not ready"))
        if clocks.core > self.plain:
            limits.append((get(f"{self.csr}.ODSWRDY") == 1, "no over-drive"))
        if get(f"{self.cr}.ODSWEN") and not get(f"{self.csr}.ODRDY"):
            limits.append((False, "over-drive is switched on and not ready"))
        if get(f"{self.cr}.ODEN") and self.fastest == self.plain:
            limits.append((False, "there is no over-drive"))
        if get("RCC.CR.PLLON"):
            into = self.hsi // max(1, get("RCC.PLLCFGR.PLLM"))
            vco = into * get("RCC.PLLCFGR.PLLN")
            limits += [
                (get("RCC.PLLCFGR.PLLSRC") == 0, "the PLL is fed by a crystal"),
                (MHZ <= into <= 2 * MHZ, "the PLL's input is out of range"),
                (192 * MHZ <= vco <= 432 * MHZ, "the PLL's oscillator is out of range"),
                (get("RCC.PLLCFGR.PLLQ") >= 2, "PLLQ is less than 2"),
                (get(f"{self.cr}.VOS") & (3 if self.plain != self.fastest else 1) != 0, "scale"),
            ]
        return [text for fine, text in limits if not fine]

    # (register, bit): while the bit is set, the register keeps its value
    frozen = (("RCC.PLLCFGR", "RCC.CR.PLLON"),)


class L4:
    """STM32L4+: RM0432."""

    hsi = 4 * MHZ
    fastest = 120 * MHZ
    ports = "RCC.AHB2ENR"
    frozen = (("RCC.PLLCFGR", "RCC.CR.PLLON"),)
    gates: Mapping[str, str] = {"PWR": "RCC.APB1ENR1.PWREN"}

    def __init__(self) -> None:
        self._bus = self.hsi

    def ready(self, get: Get) -> dict[str, int]:
        return {"RCC.CR.PLLRDY": get("RCC.CR.PLLON"), "RCC.CFGR.SWS": get("RCC.CFGR.SW")}

    def clocks(self, get: Get) -> Clocks:
        core = self.hsi
        if get("RCC.CFGR.SWS") == 3:
            core = core // (get("RCC.PLLCFGR.PLLM") + 1) * get("RCC.PLLCFGR.PLLN")
            core //= 2 * get("RCC.PLLCFGR.PLLR") + 2
        bus = _prescaled(core, get("RCC.CFGR.HPRE"), True)
        apb = (get("RCC.CFGR.PPRE1"), get("RCC.CFGR.PPRE2"))
        return Clocks(bus, bus, (_prescaled(bus, apb[0], False), _prescaled(bus, apb[1], False)))

    def problems(self, get: Get, clocks: Clocks) -> list[str]:
        limits = [
            (clocks.core <= self.fastest, "the core is too fast"),
            (get("FLASH.ACR.LATENCY") >= (clocks.core - 1) // (20 * MHZ), "too few wait states"),
            (get("PWR.CR1.VOS") == 1, "not range 1"),
            (self._bus > 40 * MHZ or clocks.bus <= 80 * MHZ, "the clock rises in one step"),
        ]
        self._bus = clocks.bus
        if clocks.core > 80 * MHZ:
            limits.append((get("PWR.CR5.R1MODE") == 0, "no boost"))
        if get("RCC.CFGR.SW") == 3:
            limits += [
                (get("RCC.CR.PLLRDY") == 1, "the PLL is chosen and not ready"),
                (get("RCC.PLLCFGR.PLLREN") == 1, "the PLL's output is off"),
            ]
        if get("RCC.CR.PLLON"):
            into = self.hsi // (get("RCC.PLLCFGR.PLLM") + 1)
            vco = into * get("RCC.PLLCFGR.PLLN")
            limits += [
                (get("RCC.PLLCFGR.PLLSRC") == 1, "the PLL is not fed by the MSI"),
                (2_660_000 <= into <= 16 * MHZ, "the PLL's input is out of range"),
                (64 * MHZ <= vco <= 344 * MHZ, "the PLL's oscillator is out of range"),
            ]
        return [text for fine, text in limits if not fine]


class H7:
    """STM32H743: RM0433; revisions V and Y."""

    hsi = 64 * MHZ
    ports = "RCC.AHB4ENR"
    gates: Mapping[str, str] = {"SYSCFG": "RCC.APB4ENR.SYSCFGEN"}
    frozen = (
        ("RCC.PLLCKSELR", "RCC.CR.PLL1ON"),
        ("RCC.PLLCFGR", "RCC.CR.PLL1ON"),
        ("RCC.PLL1DIVR", "RCC.CR.PLL1ON"),
    )

    def __init__(self, revision: int) -> None:
        self.new = revision >= 0x2003
        self.revision = revision
        self.fastest = (480 if self.new else 400) * MHZ

    def ready(self, get: Get) -> dict[str, int]:
        supplied = 1 - get("PWR.CR3.SCUEN")
        return {
            "RCC.CR.PLL1RDY": get("RCC.CR.PLL1ON"),
            "RCC.CFGR.SWS": get("RCC.CFGR.SW"),
            "PWR.CSR1.ACTVOSRDY": supplied,
            "PWR.D3CR.VOSRDY": supplied,
        }

    def clocks(self, get: Get) -> Clocks:
        core = self.hsi
        if get("RCC.CFGR.SWS") == 3:
            core = core // get("RCC.PLLCKSELR.DIVM1") * (get("RCC.PLL1DIVR.DIVN1") + 1)
            core //= get("RCC.PLL1DIVR.DIVP1") + 1
        core = _prescaled(core, get("RCC.D1CFGR.D1CPRE"), True)
        bus = _prescaled(core, get("RCC.D1CFGR.HPRE"), True)
        one, two = get("RCC.D2CFGR.D2PPRE1"), get("RCC.D2CFGR.D2PPRE2")
        return Clocks(core, bus, (_prescaled(bus, one, False), _prescaled(bus, two, False)))

    def problems(self, get: Get, clocks: Clocks) -> list[str]:
        level = get("PWR.D3CR.VOS") if get("PWR.D3CR.VOSRDY") else 1  # 3: scale 1, 1: scale 3
        boost = level == 3 and get("SYSCFG.PWRCR.ODEN") == 1
        most = {1: 200, 2: 300, 3: 480 if boost and self.new else 400}[level]
        bus = clocks.bus
        slots = ((70, 0), (140, 1), (185, 1), (210, 2), (225, 2), (240, 2))
        waits = next((i for i, (limit, _) in enumerate(slots) if bus <= limit * MHZ), 9)
        waits -= waits > 2  # 140 to 185 and to 210 MHz: two
        delay = next((d for limit, d in slots if bus <= limit * MHZ), 9)
        third = _prescaled(bus, get("RCC.D1CFGR.D1PPRE"), False)
        fourth = _prescaled(bus, get("RCC.D3CFGR.D3PPRE"), False)
        limits = [
            (clocks.core <= most * MHZ, "the core is too fast for the voltage"),
            # out of reset they have 64 MHz
            (
                max(*clocks.apb, third, fourth) <= max(most * MHZ // 4, self.hsi),
                "an APB is too fast",
            ),
            (bus <= most * MHZ // 2, "the AXI bus is too fast"),
            (get("FLASH.ACR.LATENCY") >= waits, "too few wait states"),
            (get("FLASH.ACR.WRHIGHFREQ") >= delay, "WRHIGHFREQ is too small"),
            (not get("SYSCFG.PWRCR.ODEN") or (self.new and level == 3), "no scale 0 yet"),
        ]
        if get("RCC.CFGR.SW") == 3:
            limits += [
                (get("RCC.CR.PLL1RDY") == 1, "the PLL is chosen and not ready"),
                (get("RCC.PLLCFGR.DIVP1EN") == 1, "the PLL's output is off"),
            ]
        if get("PWR.CR3.SCUEN") == 0:
            supply = get("PWR.CR3.LDOEN") == 1 and get("PWR.CR3.BYPASS") == 0
            limits.append((supply, "not supplied by the LDO"))
        if get("RCC.CR.PLL1ON"):
            into = self.hsi // max(1, get("RCC.PLLCKSELR.DIVM1"))
            vco = into * (get("RCC.PLL1DIVR.DIVN1") + 1)
            top = 960 if self.new else 836
            limits += [
                (get("RCC.PLLCKSELR.PLLSRC") == 0, "the PLL is fed by a crystal"),
                (8 * MHZ <= into <= 16 * MHZ, "the PLL's input is out of range"),
                (get("RCC.PLLCFGR.PLL1RGE") == 3, "the PLL's input is in another range"),
                (get("RCC.PLLCFGR.PLL1VCOSEL") == 0, "not the wide oscillator"),
                (192 * MHZ <= vco <= top * MHZ, "the PLL's oscillator is out of range"),
                (get("RCC.PLLCFGR.PLL1FRACEN") == 0, "a fraction"),
            ]
        return [text for fine, text in limits if not fine]


Family = F4 | L4 | H7
