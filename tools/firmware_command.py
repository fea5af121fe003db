"""`thumbnet firmware` and `thumbnet flash`: the runner with a model as an image, onto a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thumbnet.codegen.compile import Options
from thumbnet.codegen.image import FORMATS, write_image
from thumbnet.codegen.targets import board as board_named
from thumbnet.tools import tables
from thumbnet.tools.arguments import (
    Input,
    Json,
    MaxFlash,
    MaxSram,
    MaxStep,
    Model,
    Optimize,
    Stepper,
    print_json,
    progress,
)
from thumbnet.tools.flash import flash_image
from thumbnet.tools.session import Place, board_image, compiled_folder

BoardName = Annotated[str, typer.Option("--board", help="A name that 'thumbnet boards' lists.")]


def _image_file(path: Path) -> Path:
    if path.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"'{path}' does not end in {', '.join(FORMATS)}")
    return path


def firmware(
    model: Model,
    board_name: BoardName,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", callback=_image_file, help="The image: .elf, .hex or .bin."),
    ],
    optimize: Optimize = "balanced",
    max_sram: MaxSram = None,
    max_flash: MaxFlash = None,
    input_mode: Input = "whole",
    stepper: Stepper = False,
    max_step_cycles: MaxStep = None,
    as_json: Json = False,
) -> None:
    """Build the runner with a model for a board; 'run', 'check' and 'bench' then work there."""
    board = board_named(board_name)
    limits = (max_sram, max_flash)
    options = Options(
        board.target.name, optimize, *limits, None, input_mode, stepper, max_step_cycles
    )
    with progress(f"building {model.name} for {board.name}"):
        folder, manifest, _ = compiled_folder(model, Place(board.name, board), options)
        image = board_image(folder, board, timed_layers=board.runner == "link")
        write_image(image.elf, out)
    result: dict[str, Any] = {
        "model": Path(manifest.model).stem,
        "board": board.name,
        "target": board.target.name,
        "file": str(out),
        "weights_crc": f"{manifest.weights_crc:08x}",
        "arena_bytes": manifest.arena_bytes,
        "stack_bytes": image.stack,
        "sram": image.sram,
        "flash": {"code": image.code, "weights": image.weights, "total": image.flash},
    }
    if as_json:
        print_json(result)
        return
    tables.show_firmware(result, board)


def flash(
    image: Annotated[Path, typer.Argument(help="An .elf or .hex file that 'firmware' wrote.")],
    board_name: BoardName,
    probe: Annotated[
        str | None, typer.Option("--probe", help="Serial number, where several are plugged in.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write an image into a board's flash, with pyOCD or OpenOCD, and start it."""
    board = board_named(board_name)
    with progress(f"writing {image.name} to {board.name}"):
        tool = flash_image(image, board, probe)
    if as_json:
        print_json({"file": str(image), "board": board.name, "tool": tool})
    else:
        print(f"{image} is on the {board.name} (by {tool}); it answers at {board.console}")
