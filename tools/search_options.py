"""From the options of `thumbnet search` to the plan of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.targets import board as board_named
from thumbnet.nas.cost import Deployment, Limits
from thumbnet.nas.evolution import Settings
from thumbnet.nas.recipe import Recipe, Sandwich
from thumbnet.nas.search_plan import FINE_TUNING, SUPER_TRAINING, Plan
from thumbnet.tools.search_tasks import Source

TARGET = "cortex-m4"
FINE_TUNING_RATE = FINE_TUNING.learning_rate / SUPER_TRAINING.learning_rate
LARGEST_EPOCHS = 2  # of stage 2, that the largest network trains alone: at most a quarter of all
PARENTS = 5  # one network of so many is a parent (MCUNet: 20 of 100)
LEAST_BATCH, BATCH = 8, 128


@dataclass(frozen=True)
class Effort:
    """Of what is not said on the command line."""

    samples: int
    epochs: int
    population: int
    generations: int
    shortlist: int
    fine_tuning_epochs: int
    qat_epochs: int


USUAL = Effort(1000, 40, 100, 30, Plan.shortlist, 20, 2)
QUICK = Effort(200, 10, 32, 8, 4, 10, 1)


def data_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """`Plan.data` of the options that were given."""
    data = {"task": given.get("task", "images"), "folder": str(Path(given["data"]).resolve())}
    return data | {name: given[name] for name in ("grey", "words", "renderings") if name in given}


def plan_of(given: Mapping[str, Any], source: Source) -> Plan:
    """The plan of the options that were given, by their Python names; the others have values that
    suit the source and the board. Raises ToolError, DataError and typer.BadParameter."""
    effort = QUICK if "quick" in given else USUAL

    def value(name: str) -> int:
        return int(given.get(name, getattr(effort, name)))

    board = board_named(given["board"]) if "board" in given else None
    target = given.get("target", board.target.name if board else TARGET)
    if board is not None and target != board.target.name:
        raise ToolError(f"board '{board.name}' has a {board.target.name}, not a {target}")
    limits = Limits(
        given.get("max_sram", board.sram if board else None),
        given.get("max_flash", board.flash if board else None),
        given.get("max_cycles"),
    )
    if limits == Limits():
        raise typer.BadParameter(
            "what has to fit? Give --board, or limits: --max-sram, --max-flash, --max-cycles"
        )
    training = Recipe(
        epochs=value("epochs"),
        batch=given.get("batch", batch_for(source.samples)),
        learning_rate=given.get("learning_rate", SUPER_TRAINING.learning_rate),
    )
    population = value("population")
    return Plan(
        limits=limits,
        deployment=Deployment(
            target,
            given.get("optimize", Deployment().optimize),
            given.get("input_mode", Deployment().input),
            given.get("memory", Deployment().memory),
        ),
        board=board.name if board else None,
        template=given.get("template", source.template),
        resolutions=given.get("resolution", ()),
        widths=given.get("width", ()),
        space=given.get("space"),
        samples=value("samples"),
        super_training=training,
        sandwich=Sandwich(largest_epochs=min(LARGEST_EPOCHS, training.epochs // 4)),
        norm_samples=given.get("norm_samples"),
        evolution=Settings(
            population=population,
            generations=value("generations"),
            parents=max(1, population // PARENTS),
            objective="front" if "pareto" in given else "accuracy",
        ),
        shortlist=value("shortlist"),
        shortlist_epochs=min(Plan.shortlist_epochs, training.epochs),
        fine_tuning=replace(
            training,
            epochs=value("fine_tuning_epochs"),
            learning_rate=FINE_TUNING_RATE * training.learning_rate,
        ),
        qat_epochs=value("qat_epochs"),
        seed=given.get("seed", 0),
        data=data_of(given),
    )


def batch_for(samples: int) -> int:
    """Samples a step: BATCH, less where that would be less than eight steps an epoch."""
    size = BATCH
    while size > LEAST_BATCH and 8 * size > samples:
        size //= 2
    return size
