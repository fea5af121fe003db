"""`thumbnet search`: from labelled data and a board to the C of a network that fits it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from thumbnet.codegen.compile import INPUT_MODES
from thumbnet.codegen.cost import OPTIMIZE
from thumbnet.codegen.errors import ThumbnetError, ToolError
from thumbnet.nas.cost import MEMORIES
from thumbnet.nas.search_plan import Folder
from thumbnet.nas.search_space import TEMPLATES
from thumbnet.tools.arguments import count, numbers, size, whole_numbers, words
from thumbnet.tools.narration import Narration
from thumbnet.tools.search_run import STAGES, Wanted, processes_here, rank, run, show
from thumbnet.tools.search_tasks import TASKS

DEVICES = ("auto", "cpu", "cuda")
STOPPED = 130  # exit status, as a shell gives it for Ctrl-C

# ---- the command line --------------------------------------------------------------------------


def _one_of(choices: Sequence[str]) -> Any:
    """A callback that takes one of `choices`, or nothing."""

    def check(choice: str | None) -> str | None:
        if choice is not None and choice not in choices:
            raise typer.BadParameter(f"'{choice}' is not one of {', '.join(choices)}")
        return choice

    return check


def _mode(choice: str | None) -> str | None:
    if choice is not None and not re.fullmatch(INPUT_MODES, choice):
        raise typer.BadParameter(f"'{choice}' is not one of whole, rows, stream, stream:ROWS")
    return choice


def _rate(value: float | None) -> float | None:
    if value is not None and not 0 < value < 100:
        raise typer.BadParameter(f"{value} is no learning rate; write for example 0.05")
    return value


def _choice(choices: Sequence[str], help_: str, panel: str) -> Any:
    return typer.Option(
        callback=_one_of(choices), metavar="|".join(choices), help=help_, rich_help_panel=panel
    )


def _number(least: int, help_: str, panel: str) -> Any:
    return typer.Option(min=least, metavar="N", help=help_, rich_help_panel=panel)


DATA, LIMITS, WHERE, EFFORT = "Data", "What has to fit", "Where to look", "Effort"


def search(
    stage: Annotated[
        str | None,
        typer.Argument(
            metavar="STAGE", help=f"One of {', '.join(STAGES)}: stop after it. Default: all."
        ),
    ] = None,
    folder: Annotated[Path | None, typer.Argument(metavar="OUT", help="As -o.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The folder of the search; one that is there goes on."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The labelled data.", rich_help_panel=DATA)
    ] = None,
    task: Annotated[str | None, _choice(tuple(TASKS), "What it is; default: images.", DATA)] = None,
    grey: Annotated[
        bool, typer.Option("--grey", help="Images in one channel.", rich_help_panel=DATA)
    ] = False,
    chosen_words: Annotated[
        Any,
        typer.Option(
            "--words",
            parser=words,
            metavar="A,B,…",
            help="speech-commands: the words to tell apart; default: the ten most frequent.",
            rich_help_panel=DATA,
        ),
    ] = None,
    renderings: Annotated[
        int | None, _number(1, "speech-commands: of each clip; default 24.", DATA)
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(
            help="Its core, SRAM and flash are the limits ('thumbnet boards').",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="A core instead; default cortex-m4.", rich_help_panel=LIMITS),
    ] = None,
    max_sram: Annotated[
        Any,
        typer.Option(
            parser=size, metavar="SIZE", help="Arena and stack, e.g. 64K.", rich_help_panel=LIMITS
        ),
    ] = None,
    max_flash: Annotated[
        Any,
        typer.Option(
            parser=size, metavar="SIZE", help="Weights and code, e.g. 256K.", rich_help_panel=LIMITS
        ),
    ] = None,
    max_cycles: Annotated[
        Any,
        typer.Option(
            parser=count,
            metavar="N",
            help="Of one inference, e.g. 10M, as a Cortex-M4 counts them.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    optimize: Annotated[str | None, _choice(OPTIMIZE, "As in compile.", LIMITS)] = None,
    input_mode: Annotated[
        str | None,
        typer.Option(
            "--input",
            callback=_mode,
            metavar="whole|rows|stream",
            help="As in compile.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    memory: Annotated[
        str | None,
        _choice(MEMORIES, "tflm: SRAM as TensorFlow Lite Micro would need it.", LIMITS),
    ] = None,
    template: Annotated[
        str | None, _choice(tuple(TEMPLATES), "Family of spaces; default: as the data is.", WHERE)
    ] = None,
    resolution: Annotated[
        Any,
        typer.Option(
            parser=whole_numbers,
            metavar="N,N,…",
            help="Pixels each way, instead of the template's.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    width: Annotated[
        Any,
        typer.Option(
            parser=numbers,
            metavar="X,X,…",
            help="Width multipliers, instead of the template's.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="This space and no other.", rich_help_panel=WHERE),
    ] = None,
    pareto: Annotated[
        bool,
        typer.Option(
            "--pareto",
            help="Search for the front of accuracy against cycles; --max-cycles ends it.",
            rich_help_panel=WHERE,
        ),
    ] = False,
    pick: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="Finish this network of the front, in OUT/DIGEST, not the most accurate one.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="A first look, at a tenth of the effort or less.",
            rich_help_panel=EFFORT,
        ),
    ] = False,
    samples: Annotated[
        int | None, _number(1, "Networks of each space, in stage 1; default 1000.", EFFORT)
    ] = None,
    epochs: Annotated[int | None, _number(1, "Of the super-network; default 40.", EFFORT)] = None,
    population: Annotated[int | None, _number(2, "Default 100.", EFFORT)] = None,
    generations: Annotated[int | None, _number(0, "Default 30.", EFFORT)] = None,
    shortlist: Annotated[
        int | None,
        _number(1, "Networks that are trained on, to choose the best. Default 8; 1: none.", EFFORT),
    ] = None,
    fine_tuning_epochs: Annotated[int | None, _number(1, "Default 20.", EFFORT)] = None,
    qat_epochs: Annotated[
        int | None, _number(0, "Of training with quantisation; 0: none. Default 2.", EFFORT)
    ] = None,
    batch: Annotated[
        int | None,
        _number(1, "Of training, over all processes; default 128, less for little data.", EFFORT),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            callback=_rate,
            metavar="X",
            help="Of the super-network; default 0.1. Fine-tuning takes half of it.",
            rich_help_panel=EFFORT,
        ),
    ] = None,
    norm_samples: Annotated[
        int | None,
        _number(2, "Batch norms of stage 2 see so many at a time; default: all.", EFFORT),
    ] = None,
    seed: Annotated[int | None, _number(0, "Of all that is drawn; default 0.", EFFORT)] = None,
    processes: Annotated[
        int | None, _number(1, "That compute costs; default: one a core, 8 at most.", EFFORT)
    ] = None,
    device: Annotated[str, _choice(DEVICES, "To train on.", EFFORT)] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")
    ] = False,
) -> None:
    """Search for a network that fits a board, and make C of it (docs/search.md).

    space: of all search spaces, the one in which most computation fits.
    train: one super-network, whose weights all its networks share.
    evolve: the most accurate of them within the limits, each costed by the
    compiler itself.
    finish: fine-tuned, quantised, compiled; the C scored on all test data
    and measured on an emulated board.

    Stopped at any moment, the same command goes on, or 'thumbnet search -o OUT'.
    """
    given = {
        "data": data,
        "task": task,
        "grey": grey or None,
        "words": list(chosen_words) if chosen_words else None,
        "renderings": renderings,
        "board": board,
        "target": target,
        "max_sram": max_sram,
        "max_flash": max_flash,
        "max_cycles": max_cycles,
        "optimize": optimize,
        "input_mode": input_mode,
        "memory": memory,
        "template": template,
        "resolution": resolution,
        "width": width,
        "space": space,
        "pareto": pareto or None,
        "quick": quick or None,
        "samples": samples,
        "epochs": epochs,
        "population": population,
        "generations": generations,
        "shortlist": shortlist,
        "fine_tuning_epochs": fine_tuning_epochs,
        "qat_epochs": qat_epochs,
        "batch": batch,
        "learning_rate": learning_rate,
        "norm_samples": norm_samples,
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    chosen, place = _place(stage, folder, out)
    wanted = Wanted(chosen, Folder(place), given, pick, processes or processes_here(), device)
    try:
        result = run(wanted, Narration(silent=rank() > 0))
    except KeyboardInterrupt as error:
        if not rank():
            print("thumbnet: stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(STOPPED) from error
    except ThumbnetError as error:
        if rank():  # the first process says it
            raise typer.Exit(1) from error
        raise
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        raise ToolError(
            f"{where}{error.strerror or error}; make room, or search elsewhere"
        ) from error
    if result is not None:
        print(json.dumps(result)) if as_json else show(result)


def _place(stage: str | None, folder: Path | None, out: Path | None) -> tuple[str, Path]:
    """The stage to stop after and the folder."""
    if stage is not None and stage not in STAGES:
        raise typer.BadParameter(
            f"'{stage}' is no stage: one of {', '.join(STAGES)}, or none of them and -o OUT"
        )
    if (folder is None) == (out is None):
        raise typer.BadParameter("where to? Give one folder: -o OUT")
    place = folder or out
    assert place is not None
    return stage or STAGES[-1], place
