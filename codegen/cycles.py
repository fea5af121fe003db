"""Estimated cycles: loop counts (loop_counts) times what the emulator says a turn costs.

tools/fit_cycles.py fits the costs to the cycle meter and writes them into cycle_model.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.kernel import Call, Kernel
from thumbnet.codegen.loop_counts import Turns, kernel_counts, layer_turns
from thumbnet.codegen.loop_counts.work import Counts
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
    return [kernel_cycles(k, turns, optimize) for k, turns in layer_turns(schedule)]


def kernel_cycles(kernel: Kernel, turns: Turns, optimize: str = "balanced") -> int:
    """Estimated Cortex-M4 cycles of a kernel in one call of the model."""
    known = _known.setdefault(kernel.calls[0], {}) if kernel.calls else {}
    key = optimize, turns
    if key not in known:
        known[key] = _cycles_of(kernel_counts(kernel, turns), optimize)
    return known[key]


# By the first call of a kernel; kernels of one geometry may have all their calls in common.
_known: WeakKeyDictionary[Call, dict[tuple[str, Turns], int]] = WeakKeyDictionary()


def _cycles_of(counts: Counts, optimize: str) -> int:
    model = cycle_model()
    prefix = "size:" if optimize == "size" else ""

    def turn(loop: str) -> float:
        return model.get(prefix + loop, model.get(loop, model["unknown"]))

    return round(sum(times * turn(loop) for loop, times in counts.items()))
