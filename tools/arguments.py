"""Arguments that several commands share, values that are more than a word, and their output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from thumbnet.codegen.compile import INPUT_MODES
from thumbnet.codegen.cost import OPTIMIZE


def size(text: str) -> int:
    """Bytes: '65536', '64K' or '1M' (K = 1024 bytes)."""
    match = re.fullmatch(r"(\d+)\s*([kKmM]?)(?:i?[bB])?", text.strip())
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f"'{text}' is not a size; write for example 65536, 64K or 1M")
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[match[2].lower()]


def count(text: str) -> int:
    """'250000', '250K' or '10M' (K = 1000), fractions of them too: '2.5M'."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", text.strip())
    factor = {"": 1, "k": 1000, "m": 1_000_000}[match[2].lower()] if match else 0
    if match is None or float(match[1]) * factor < 1:
        raise typer.BadParameter(f"'{text}' is not a number; write for example 250000, 250K or 10M")
    return round(float(match[1]) * factor)


def whole_numbers(text: str) -> tuple[int, ...]:
    """'48' or '48,64,96', each above 0; sorted, each once."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d{0,8}", word) for word in words):
        raise typer.BadParameter(f"'{text}' is not a list of numbers; write for example 48,64,96")
    return tuple(sorted({int(word) for word in words}))


def numbers(text: str) -> tuple[float, ...]:
    """'0.5' or '0.25,0.5,1', each above 0; sorted, each once."""
    words = [word.strip() for word in text.split(",")]
    pattern = r"\d{1,3}(?:\.\d+)?|\.\d+"
    if not all(re.fullmatch(pattern, word) and float(word) > 0 for word in words):
        raise typer.BadParameter(f"'{text}' is not a list of numbers; write for example 0.25,0.5")
    return tuple(sorted({float(word) for word in words}))


def words(text: str) -> tuple[str, ...]:
    """'yes' or 'yes,no,stop'; sorted, each once."""
    found = tuple(sorted({word.strip() for word in text.split(",") if word.strip()}))
    if not found:
        raise typer.BadParameter(f"'{text}' is not a list of words; write for example yes,no,stop")
    return found


# ---- of the commands that take a model ----------------------------------------------------------


def _optimize(choice: str) -> str:
    if choice not in OPTIMIZE:
        raise typer.BadParameter(f"'{choice}' is not one of {', '.join(OPTIMIZE)}")
    return choice


def _input_mode(choice: str) -> str:
    if not re.fullmatch(INPUT_MODES, choice):
        raise typer.BadParameter(f"'{choice}' is not one of whole, rows, stream, stream:ROWS")
    return choice


Model = Annotated[
    Path, typer.Argument(help="A .tflite or quantised .pt2 file, or a folder that compile wrote.")
]
On = Annotated[
    str,
    typer.Option(
        "--on",
        help="host, an emulated board ('thumbnet boards'), or the port that a board is at: "
        "/dev/ttyACM0, COM3, socket://HOST:PORT.",
    ),
]
Optimize = Annotated[
    str,
    typer.Option(
        "--optimize",
        callback=_optimize,
        metavar="|".join(OPTIMIZE),
        help="balanced: least arena for at most 10 % more cycles than layer by layer.",
    ),
]
MaxSram = Annotated[
    int | None,
    typer.Option("--max-sram", parser=size, metavar="SIZE", help="Arena and stack, e.g. 64K."),
]
MaxFlash = Annotated[
    int | None,
    typer.Option("--max-flash", parser=size, metavar="SIZE", help="Weights and code, e.g. 512K."),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Prefix of every C symbol; default: the file's name.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


Input = Annotated[
    str,
    typer.Option(
        "--input",
        callback=_input_mode,
        metavar="whole|rows|stream",
        help="rows: NAME_feed. stream (stream:ROWS): only the newest rows along time a call.",
    ),
]
MaxStep = Annotated[
    int | None,
    typer.Option(
        "--max-step-cycles", min=1, help="Cut steps to about so many cycles; implies --stepper."
    ),
]
Stepper = Annotated[
    bool, typer.Option("--stepper", help="Also NAME_begin and NAME_step, to run in pieces.")
]


@contextmanager
def progress(text: str) -> Iterator[None]:
    """A spinner on stderr when that is a terminal."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield


def print_json(value: Any) -> None:
    """One line on stdout."""
    print(json.dumps(value))
