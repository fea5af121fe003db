"""What a search is asked for, the folder it keeps everything in, and stage 1. Without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.files import read_json, write_json
from thumbnet.nas.architecture import macs
from thumbnet.nas.cost import CostOracle, Deployment, Limits
from thumbnet.nas.evolution import Settings
from thumbnet.nas.progress import Progress
from thumbnet.nas.recipe import Effort, Recipe, Sandwich
from thumbnet.nas.search_space import TEMPLATES, SearchSpace, Template
from thumbnet.nas.space_optimization import SAMPLES, SpaceChoice, choose_space, from_json

Shape = tuple[int, int, int]  # height, width, channels

PLAN, SPACE, SPACE_PICTURE, SHARED = "plan.json", "space.json", "space.png", "super_network.pt"
STATE, HISTORY, SHORTLIST = "search.json", "history.csv", "shortlist.json"
HISTORY_PICTURE, PARETO_PICTURE = "history.png", "pareto.png"
BEST, FRONT, RESULT, REPORT = "best.json", "pareto.json", "result.json", "report.html"
WEIGHTS, MODEL_FILE, MODEL = "network.pt", "model.tflite", "model"

SUPER_TRAINING = Recipe(epochs=40)
FINE_TUNING = Recipe(epochs=20, learning_rate=0.05)
HEADROOM = 1.1  # the search may find larger ones that fit than a thousand samples hold
FREE = ("data.folder",)  # may change while a search goes on: the data is told by its content


@dataclass(frozen=True)
class Plan:
    """What is searched for, and with how much effort."""

    limits: Limits
    deployment: Deployment = field(default_factory=Deployment)
    board: str | None = None  # that the limits are of
    template: str = "images"
    resolutions: tuple[int, ...] = ()  # in place of the template's
    widths: tuple[float, ...] = ()  # the same
    space: str | None = None  # its name: no other is looked at
    samples: int = SAMPLES  # networks of each space, in stage 1
    super_training: Recipe = SUPER_TRAINING
    sandwich: Sandwich = field(default_factory=Sandwich)
    focus: bool = True  # train sub-networks that may fit only: see `focused`
    norm_samples: int | None = None  # see SuperNetwork
    effort: Effort = field(default_factory=Effort)
    evolution: Settings = field(default_factory=Settings)  # its seed is that below
    shortlist: int = 8  # networks that are trained on to choose among them: see `shortlist`
    shortlist_epochs: int = 2  # 0: shared weights choose
    fine_tuning: Recipe = FINE_TUNING
    qat_epochs: int = 2  # 0: quantised after training only
    seed: int = 0
    data: dict[str, Any] = field(default_factory=dict)  # which task: what its name stands for

    def to_json(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return made


def plan_from_json(value: Any, source: str) -> Plan:
    """The plan of a JSON object as `to_json` writes it; `source` names it in messages. Raises
    DataError, and ToolError where pydantic is missing."""
    try:
        from pydantic import TypeAdapter, ValidationError
    except ImportError as error:
        raise ToolError("reading a plan needs pydantic: pip install 'thumbnet[nas]'") from error
    try:
        plan = TypeAdapter(Plan).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{source}: no plan of a search ({where}: {first['msg']})") from error
    unknown = list(_unknown(value, plan.to_json()))
    if unknown:
        raise DataError(f"{source}: a plan of a later version of Thumbnet ({', '.join(unknown)})")
    return plan


def _unknown(value: Any, known: Any, where: str = "") -> Iterator[str]:
    """Paths in a JSON value that another one lacks."""
    if isinstance(value, dict) and isinstance(known, dict):
        for key, part in value.items():
            path = f"{where}.{key}" if where else key
            if key in known:
                yield from _unknown(part, known[key], path)
            else:
                yield path


# ---- the folder --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Folder:
    """Where a search keeps everything."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def has_plan(self) -> bool:
        return (self / PLAN).exists()

    def plan(self) -> Plan:
        """What is searched for here. Raises DataError."""
        return plan_from_json(read_json(self / PLAN), str(self / PLAN))

    def check_place(self) -> None:
        """DataError where there is a file, ToolError where nothing can be written."""
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{self.path} is a file; give a folder to write into")
        above = next(p for p in (self.path, *self.path.resolve().parents) if p.exists())
        if not os.access(above, os.W_OK | os.X_OK) or not above.is_dir():
            raise ToolError(f"{self.path}: {above} cannot be written to; give another folder")

    def check(self, plan: Plan) -> None:
        """DataError where the folder is a file or that of another search."""
        self.check_place()
        if not self.has_plan:
            if (self / SPACE).exists() or (self / SHARED).exists():
                raise DataError(
                    f"{self.path}: a search without its {PLAN}; write to another folder"
                )
            return
        other = [
            f"{where} is {_said(found)}, asked for is {_said(wanted)}"
            for where, wanted, found in _differences(plan.to_json(), self.plan().to_json())
            if where not in FREE
        ]
        if other:
            raise DataError(
                f"{self.path}: another search lies here: {'; '.join(other)}. Repeat its options to "
                "go on with it, or write to another folder"
            )

    def claim(self, plan: Plan) -> None:
        """Writes down the plan, unless the folder has it. Raises DataError and ToolError."""
        self.check(plan)
        if not self.has_plan or self.plan() != plan:
            write_json(self / PLAN, plan.to_json())


def _differences(one: Any, other: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, value, other value) of whatever differs in two JSON values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            path = f"{where}.{key}" if where else key
            yield from _differences(one.get(key), other.get(key), path)
    elif one != other:
        yield where, one, other


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


# ---- stage 1 -----------------------------------------------------------------------------------


def spaces(plan: Plan, input_shape: Shape, classes: int) -> dict[str, SearchSpace]:
    """The spaces to choose from, by name. Resolutions that were asked for may be larger than those
    of the data. Raises DataError."""
    chosen = template(plan)
    if plan.resolutions:
        most = max(*plan.resolutions, *input_shape[:2])
        input_shape = most, most, input_shape[2]
        chosen = replace(chosen, resolutions=plan.resolutions)
    if plan.widths:
        chosen = replace(chosen, widths=plan.widths)
    found = {space.name: space for space in chosen.spaces(input_shape, classes)}
    if plan.space is None:
        return found
    if plan.space not in found:
        raise DataError(
            f"no search space '{plan.space}' in template '{plan.template}'; it has "
            f"{', '.join(found)}"
        )
    return {plan.space: found[plan.space]}


def template(plan: Plan) -> Template:
    """Raises DataError."""
    if plan.template not in TEMPLATES:
        raise DataError(
            f"no template '{plan.template}' of search spaces; choose one of {', '.join(TEMPLATES)}"
        )
    return TEMPLATES[plan.template]


def choose(
    folder: Folder,
    plan: Plan,
    input_shape: Shape,
    classes: int,
    *,
    processes: int = 1,
    progress: Progress = lambda line: None,
) -> SearchSpace:
    """Stage 1: the space to search, the folder's or the best of the template for the limits. The
    folder is claimed for the plan when it is known that something fits.

    Raises BudgetError, with the smallest cost found, where no network fits, and DataError.
    """
    found = spaces(plan, input_shape, classes)
    folder.check(plan)
    if not (folder / SPACE).exists():
        from thumbnet.nas.plots import plot_spaces  # matplotlib takes a second

        with CostOracle(plan.deployment, plan.limits, processes) as oracle:
            choice = choose_space(
                list(found.values()),
                oracle.costs,
                plan.limits,
                samples=plan.samples,
                seed=plan.seed,
                costs_that_fit=oracle.costs_that_fit,
                progress=progress,
            )
        folder.claim(plan)
        plot_spaces(choice, folder / SPACE_PICTURE)
        write_json(folder / SPACE, choice.to_json())
    folder.claim(plan)
    chosen = read_choice(folder).chosen
    if chosen not in found:
        raise DataError(
            f"{folder / SPACE}: search space '{chosen}' is none of the template's; was it made by "
            "another version of Thumbnet? Write to another folder"
        )
    return found[chosen]


def focused(choice: SpaceChoice, plan: Plan, space: SearchSpace) -> Sandwich:
    """The plan's sandwich; with `focus`, and unless it says so itself, no sub-network of more MACs
    than `HEADROOM` times the largest that stage 1 found to fit is to be trained: under tight limits
    the largest of a space may have ten times as many."""
    fitting = choice.best.macs
    if not plan.focus or plan.sandwich.most_macs is not None or not fitting:
        return plan.sandwich
    most = round(HEADROOM * fitting[-1])
    if macs(space.architecture(space.largest)) <= most:
        return plan.sandwich
    return replace(plan.sandwich, most_macs=most)


def read_choice(folder: Folder) -> SpaceChoice:
    """What stage 1 found. Raises DataError."""
    return from_json(read_json(folder / SPACE), str(folder / SPACE))
