"""Estimated cycles: loop counts (loop_counts.py) times what the emulator says a turn costs.

tools/fit_cycles.py fits the costs to the cycle meter and writes them into cycle_model.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.loop_counts import layer_counts
from thumbnet.codegen.schedule import Schedule

MODEL = Path(__file__).with_name("cycle_model.json")


@lru_cache(maxsize=1)
def cycle_model() -> Mapping[str, float]:
    """Loop -> cycles of one turn, and TARGET:what -> bytes of its code; where --optimize size makes
    other code, its figures are under size:NAME."""
    try:
        table = json.loads(MODEL.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(
            f"{MODEL.name} cannot be read ({error}): reinstall thumbnet, or make it with "
            "'python -m thumbnet.tools.fit_cycles'"
        ) from error
    return {k: float(v) for k, v in table["costs"].items()}


def layer_cycles(schedule: Schedule, optimize: str = "balanced") -> list[int]:
    """By kernel: estimated Cortex-M4 cycles of one call of the model."""
    model = cycle_model()
    prefix = "size:" if optimize == "size" else ""

    def turn(loop: str) -> float:
        return model.get(prefix + loop, model.get(loop, model["unknown"]))

    return [
        round(sum(times * turn(loop) for loop, times in counts.items()))
        for counts in layer_counts(schedule)
    ]
