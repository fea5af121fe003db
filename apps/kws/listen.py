"""`python -m thumbnet.apps.kws listen FILE.wav`: the words in a recording, with their times.

On the host or on an emulated board the same C listens: audio front end, streamed network, detector.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from thumbnet.apps.command import ended
from thumbnet.apps.kws.detector import read_settings
from thumbnet.apps.kws.listener import Heard, HostListener
from thumbnet.apps.kws.model_files import COMMITTED
from thumbnet.apps.kws.wav import SAMPLE_RATE, read_wav
from thumbnet.codegen.targets import board


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    parsed = _parser().parse_args(arguments)
    return ended("kws", lambda: _listen(parsed), as_json=parsed.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m thumbnet.apps.kws listen", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.wav", help="16-bit PCM of any rate")
    parser.add_argument(
        "--on",
        default="host",
        help="host (default), an emulated board, e.g. mps2-an386, or the port of a board that "
        "holds the firmware, e.g. /dev/ttyACM0",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=COMMITTED,
        metavar="DIR",
        help="what export wrote (default: the network that comes with Thumbnet)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _listen(parsed: argparse.Namespace) -> int:
    samples = read_wav(parsed.file)
    settings = read_settings(parsed.model)
    costs: dict[str, Any] | None = None
    told: list[Heard] = []

    def tell(heard: Heard) -> None:
        told.append(heard)
        if not parsed.json:
            print(heard, flush=True)

    if parsed.on == "host":
        listener = HostListener(parsed.model, settings)
        for heard in listener.heard(listener.listen(samples)):
            tell(heard)
    elif _over_link(parsed.on):
        from thumbnet.apps.kws.linked import linked, listen_over_link

        with linked(parsed.on, parsed.model, settings) as link:
            listen_over_link(link, parsed.model, settings, samples, tell=tell)
    else:
        from thumbnet.apps.kws.emulated import emulate_listener

        run = emulate_listener(parsed.model, settings, samples, parsed.on, tell=tell)
        costs = run.costs.to_json()
    seconds = samples.size / SAMPLE_RATE
    if parsed.json:
        words = [vars(heard) for heard in told]
        print(json.dumps({"seconds": seconds, "on": parsed.on, "words": words, "costs": costs}))
        return 0
    if not told:
        print(f"kws: no words were heard in {seconds:.1f} s of {parsed.file}", file=sys.stderr)
    if costs is not None:
        show_costs(costs, Console(highlight=False, soft_wrap=True, stderr=True))
    return 0


def _over_link(on: str) -> bool:
    """Whether it is a port, or a board whose runner is driven through its UART."""
    from thumbnet.tools.transport import is_port

    return is_port(on) or board(on).runner == "link"


def show_costs(costs: dict[str, Any], console: Console) -> None:
    """A table of what the firmware takes."""
    table = Table("", "", title=f"Firmware on {costs['on']} (emulated)", title_justify="left")
    table.columns[1].justify = "right"
    for part, cycles in (costs["cycles"] or {}).items():
        label = "all" if part == "all" else part.replace("_", " ")
        table.add_row(f"cycles a second of sound (estimate): {label}", f"{cycles:,}")
    table.add_row("SRAM, bytes, with stack", f"{costs['sram']:,}")
    table.add_row("  of it stack: reserved, used", f"{costs['stack']:,}, {costs['stack_used']:,}")
    table.add_row("flash, bytes", f"{costs['flash']:,}")
    table.add_row("  of it weights and tables", f"{costs['weights']:,}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
