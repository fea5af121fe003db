"""Cycles of the public models, by default and with flash and SRAM to spare: tables for docs/.

`python -m thumbnet.tools.speed ../shared/models` measures every model of peers.json that is in the
folder and has been measured with TensorFlow Lite Micro, and prints the tables of docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbnet.codegen.compile import Options
from thumbnet.codegen.errors import ThumbnetError
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.session import open_session, place_named, run_calls, run_result

PEERS = Path(__file__).with_name("peers.json")
FAST = {"optimize": "latency", "max_sram": 64 << 10, "max_flash": 1 << 20}
COLUMNS = (
    "| model | TFLM | default | arena B | flash B | code B | fast | arena B | flash B |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)
M7_COLUMNS = (
    "| model | TFLM | default | of TFLM's | fast | of TFLM's |\n|---|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class Speed:
    """One model: results as `bench --json` has them, by default and by FAST, on both boards, and
    millions of Cortex-M4 cycles and Cortex-M7 instructions of TensorFlow Lite Micro."""

    model: str
    default: dict[str, Any]
    fast: dict[str, Any]
    m7_default: dict[str, Any]
    m7_fast: dict[str, Any]
    tflm_mcycles: float
    tflm_m7_minstructions: float

    @property
    def row(self) -> str:
        def figures(result: dict[str, Any]) -> str:
            arena, flash = result["arena_bytes"], result["flash"]["total"]
            return f"{result['cycles'] / 1e6:.3f} | {arena:,} | {flash:,}"

        code = f"{self.default['flash']['code']:,}"
        return (
            f"| `{self.model}` | {self.tflm_mcycles:g} | {figures(self.default)} | {code} | "
            f"{figures(self.fast)} |"
        )

    @property
    def m7_row(self) -> str:
        def figures(result: dict[str, Any]) -> str:
            millions = result["instructions"] / 1e6
            return f"{millions:.3f} | {millions / self.tflm_m7_minstructions:.2f}"

        both = f"{figures(self.m7_default)} | {figures(self.m7_fast)}"
        return f"| `{self.model}` | {self.tflm_m7_minstructions:g} | {both} |"


def measure(path: Path, tflm: dict[str, Any]) -> Speed:
    """Raises ThumbnetError."""
    default, fast, m7_default, m7_fast = (
        _bench(path, board, options)
        for board in ("mps2-an386", "mps2-an500")
        for options in ({}, FAST)
    )
    return Speed(
        path.stem, default, fast, m7_default, m7_fast, tflm["mcycles"], tflm["m7_minstructions"]
    )


def _bench(path: Path, board: str, options: dict[str, Any]) -> dict[str, Any]:
    place = place_named(board)
    session = open_session(path, place, Options(place.target, **options))
    calls = random_calls(session.manifest.inputs, 8)[-2:]
    return run_result(session, run_calls(session, calls))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m thumbnet.tools.speed", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the models lie, in any folder below")
    folder: Path = parser.parse_args(arguments).folder
    peers = json.loads(PEERS.read_text(encoding="utf-8"))["tflm"]
    try:
        found = []
        for path in sorted(folder.rglob("*.tflite")):
            if "m7_minstructions" in peers.get(path.stem, {}):
                print(f"{path.stem} ...", file=sys.stderr)
                found.append(measure(path, peers[path.stem]))
    except ThumbnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not found:
        print(f"error: {folder} has none of the models of {PEERS.name}", file=sys.stderr)
        return 1
    found.sort(key=lambda speed: -speed.tflm_mcycles)
    print("\n".join([COLUMNS, *(speed.row for speed in found)]))
    print("\n".join(["", M7_COLUMNS, *(speed.m7_row for speed in found)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
