"""What an attempt costs: cycles on the emulated Cortex-M4, and of them time and energy on chips."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.face_unlock.linked import METERED, linked
from thumbnet.apps.face_unlock.unlock import Lock
from thumbnet.codegen.errors import ToolError

EMULATED = "mps2-an386"


@dataclass(frozen=True)
class Chip:
    """A chip while its core works. The current is the data sheet's typical one at 25 °C."""

    name: str
    hz: int
    milliamperes: float
    volts: float
    source: str

    def energy(self, cycles: int) -> float:
        """Millijoules."""
        return cycles / self.hz * self.milliamperes * self.volts


CHIPS = (
    Chip(
        "nRF52840", 64_000_000, 3.3, 3.0,
        "nRF52840 PS, 'Current consumption', CPU running: CoreMark from flash with cache, DC/DC",
    ),
    Chip(
        "STM32H743", 480_000_000, 132.0, 3.3,
        "ST's 275 uA/MHz for the STM32H743 in run mode with peripherals off; see README",
    ),
)  # fmt: skip


def attempt_cycles(
    lock: Lock, frames: NDArray[np.uint8], work_dir: Path | None = None
) -> dict[str, int]:
    """Cycles (estimate, Cortex-M4 without waits) of an attempt by part, and "all": the first frame
    enrols, the second is shown; frames are uint8 [2, height, row bytes]. Raises ThumbnetError."""
    with tempfile.TemporaryDirectory(prefix="thumbnet-meter-") as temporary:
        meter = Path(temporary) / "meter.json"
        with linked(EMULATED, lock, meter=meter, work_dir=work_dir) as board:
            board.enrol("someone", frames[:1])
            before = board.calls
            board.attempt(frames[1])
            calls = board.calls - before
        try:
            regions = [json.loads(line) for line in meter.read_text("ascii").splitlines()][-calls:]
        except (OSError, ValueError) as error:
            raise ToolError(f"the meter gave no figures: {error}") from error
    parts = {
        part: sum(region["layers"][i]["cycles"] for region in regions)
        for i, part in enumerate(METERED)
    }
    return {**parts, "all": sum(region["cycles"] for region in regions)}


def costs(cycles: Mapping[str, int]) -> list[dict[str, Any]]:
    """Time and energy of an attempt on each of CHIPS. A Cortex-M7 needs fewer cycles than the M4
    that was measured: its figures are upper bounds as far as its memory does not wait."""
    return [
        {
            **asdict(chip),
            "milliseconds": round(cycles["all"] / chip.hz * 1000, 2),
            "millijoules": round(chip.energy(cycles["all"]), 3),
        }
        for chip in CHIPS
    ]
