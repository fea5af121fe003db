"""How large the runner with each model is on each board, and what does not fit.

    python -m thumbnet.tools.port_sizes MODEL... [--board B ...] [--markdown]

builds every pair with warnings as errors: bytes of the whole image in flash, and of all SRAM that
it takes (arena, stack, runner).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from thumbnet.codegen.compile import Options
from thumbnet.codegen.errors import BudgetError, ThumbnetError
from thumbnet.codegen.image import STRICT, build_image
from thumbnet.codegen.targets import Board, board, boards
from thumbnet.tools.session import Place, compiled_folder
from thumbnet.tools.tables import number


@dataclass(frozen=True)
class Size:
    """`refusal` in words where the model does not fit; else bytes."""

    model: str
    board: str
    flash: int
    sram: int
    refusal: str


def size_of(model: Path, on: Board) -> Size:
    """Raises ThumbnetError for what is wrong with the model or the tools."""
    folder, _, _ = compiled_folder(model, Place(on.name, on), Options(on.target.name))
    try:
        image = build_image(folder, on, timed_layers=on.runner == "link", flags=STRICT)
    except BudgetError as error:
        return Size(model.stem, on.name, 0, 0, str(error))
    return Size(model.stem, on.name, image.flash, image.sram, "")


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    rule = "|---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join([head, rule, *body])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.tools.port_sizes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--board", action="append", metavar="B", help="default: all with a link")
    parser.add_argument("--markdown", action="store_true")
    parsed = parser.parse_args(arguments)
    refusals = []
    try:
        chosen = [board(name) for name in parsed.board or ()] or [
            each for each in boards() if each.runner == "link"
        ]
        rows = [["flash + SRAM, bytes", *(each.name for each in chosen)]]
        for model in parsed.models:
            row = [model.stem]
            for each in chosen:
                size = size_of(model, each)
                row.append(
                    "does not fit"
                    if size.refusal
                    else f"{number(size.flash)} + {number(size.sram)}"
                )
                refusals += [size.refusal] if size.refusal else []
            rows.append(row)
    except ThumbnetError as error:
        print(f"port_sizes: {error}", file=sys.stderr)
        return 1
    if parsed.markdown:
        print(_markdown(rows))
    else:
        table = Table(*rows[0])
        for row in rows[1:]:
            table.add_row(*row)
        Console(width=180).print(table)
    for refusal in refusals:
        print(refusal, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
