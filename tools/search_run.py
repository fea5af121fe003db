"""A search from its options to its result: the stages in order, the winner measured, the report."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from thumbnet.codegen.build_cache import default_work_dir
from thumbnet.codegen.errors import BudgetError, ToolError
from thumbnet.codegen.files import read_json, write_json
from thumbnet.nas import search_plan
from thumbnet.nas.progress import Progress
from thumbnet.nas.report import write_report
from thumbnet.nas.search_plan import BEST, MODEL_FILE, RESULT, Folder, Plan
from thumbnet.tools.narration import Narration
from thumbnet.tools.search_measure import (
    SAMPLES,
    broken_promises,
    cycles_error,
    measure,
    over_limits,
)
from thumbnet.tools.search_options import data_of, plan_of
from thumbnet.tools.search_tasks import Source, open_source
from thumbnet.tools.tables import number

if TYPE_CHECKING:
    from thumbnet.nas.distributed import Workers
    from thumbnet.nas.evolution import Search
    from thumbnet.nas.search_space import SearchSpace
    from thumbnet.nas.super_network import SuperNetwork
    from thumbnet.nas.task import Task

Result = dict[str, Any]

STAGES = ("space", "train", "evolve", "finish")
AIMS = {
    "space": "which search space suits the limits",
    "train": "one super-network for all networks of the space",
    "evolve": "the most accurate network within the limits",
    "finish": "fine-tuned, quantised, compiled, scored, measured",
}
PACKAGES = ("matplotlib", "PIL", "pydantic")
TRAINING_PACKAGES = ("torch", "torchao")  # of the stages after the first
PROCESSES = 8  # that compute costs, at most


@dataclass(frozen=True)
class Wanted:
    """What was asked for: to stop after which stage, the options of the plan that were given."""

    stage: str
    folder: Folder
    given: Mapping[str, Any]
    pick: str | None
    processes: int
    device: str


def rank() -> int:
    """The number of this process among those that torchrun started; 0 alone."""
    return int(os.environ.get("RANK", "0"))


def processes_here() -> int:
    """How many may compute costs beside the other processes of torchrun."""
    return max(1, min(PROCESSES, os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def run(wanted: Wanted, voice: Narration) -> Result | None:
    """Goes on with the search of the folder, or starts it. None on processes but the first. Raises
    ThumbnetError and typer.BadParameter."""
    folder, last = wanted.folder, STAGES.index(wanted.stage)
    done = last == len(STAGES) - 1 and wanted.pick is None and _is_measured(folder.path)
    if done and not wanted.given:
        return None if rank() else _result(folder.path)  # its data may be gone
    _require(PACKAGES)
    source, plan = _planned(wanted, voice.line)
    if done or (last == 0 and rank()):
        return None if rank() else _result(folder.path)
    if last == 0:
        with _stage(voice, "space"):
            space = search_plan.choose(
                folder,
                plan,
                source.input_shape,
                source.classes,
                processes=wanted.processes,
                progress=voice.line,
            )
        write_report(folder, folder.path)
        return _space_result(folder, space)
    _require(TRAINING_PACKAGES)
    from thumbnet.nas.distributed import workers

    with workers(wanted.device) as group:
        return _trained(wanted, plan, source, last, group, voice)


def _require(packages: tuple[str, ...]) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ToolError(
            f"thumbnet search needs {' and '.join(missing)}: pip install 'thumbnet[nas]'"
        )


def _planned(wanted: Wanted, progress: Progress) -> tuple[Source, Plan]:
    """The plan of the options, or that of the folder without options."""
    folder, given = wanted.folder, wanted.given
    if "data" in given:
        source = open_source(data_of(given), progress)
        plan = plan_of(given, source)
        folder.check(plan)
        return source, plan
    if not folder.has_plan:
        folder.check_place()
        raise typer.BadParameter(
            f"{folder.path} holds no search yet: give --data DIR, and --board or limits"
        )
    if given:
        names = ", ".join(f"--{name.removesuffix('_mode').replace('_', '-')}" for name in given)
        raise typer.BadParameter(
            f"{names}: the search in {folder.path} has its settings; leave the options out to go "
            "on with it, or give all of them, with --data, and another folder"
        )
    plan = folder.plan()
    return open_source(plan.data, progress), plan


def _stage(voice: Narration, name: str) -> Any:
    return voice.stage(f"{STAGES.index(name) + 1}/{len(STAGES)} {name}", AIMS[name])


# ---- the stages that train -----------------------------------------------------------------------


def _trained(
    wanted: Wanted, plan: Plan, source: Source, last: int, group: Workers, voice: Narration
) -> Result | None:
    from thumbnet.nas import search

    folder = wanted.folder
    with _stage(voice, "space"):
        space = search.choose(
            folder,
            plan,
            source.input_shape,
            source.classes,
            processes=wanted.processes,
            workers=group,
            progress=voice.line,
        )
    with _stage(voice, "train"):
        task = _read(source, plan, space, group)
        network = search.share(folder, plan, space, task, workers=group, progress=voice.line)
    _report(folder, folder.path, group)
    if last == STAGES.index("train"):
        return _train_result(folder) if group.is_first else None
    with _stage(voice, "evolve"):
        found = search.evolve(
            folder,
            plan,
            space,
            network,
            task,
            processes=wanted.processes,
            workers=group,
            progress=voice.line,
        )
    _report(folder, folder.path, group)
    if last == STAGES.index("evolve"):
        return _evolve_result(folder, found) if group.is_first else None
    with _stage(voice, "finish"):
        return _finished(wanted, plan, space, network, task, found, group, voice)


def _read(source: Source, plan: Plan, space: SearchSpace, group: Workers) -> Task:
    """The task at the resolution of the space; the first process leaves a cache to the others."""
    name = repr(sorted((key, str(value)) for key, value in plan.data.items()))
    cache = default_work_dir() / "tasks" / hashlib.sha256(name.encode()).hexdigest()[:16]
    if not group.is_first:
        group.wait()
    task = source.task_at(space.input_shape, cache)
    if group.is_first:
        group.wait()
    return task


def _report(folder: Folder, place: Path, group: Workers) -> None:
    if group.is_first:
        write_report(folder, place)


def _finished(
    wanted: Wanted,
    plan: Plan,
    space: SearchSpace,
    network: SuperNetwork,
    task: Task,
    found: Search,
    group: Workers,
    voice: Narration,
) -> Result | None:
    from thumbnet.nas import search
    from thumbnet.nas.task import int8_inputs

    folder = wanted.folder
    candidate = best = search.best_candidate(folder, found)
    place = folder.path
    if wanted.pick is not None:
        candidate = search.candidate_named(found, wanted.pick)
    if candidate != best:
        place = folder / candidate.digest
        if group.is_first:
            write_json(place / BEST, space.architecture(candidate.chosen).to_json())
    if not (place / RESULT).exists():
        group.wait()  # before the first one writes it
        search.finish(place, plan, network, task, candidate, workers=group, progress=voice.line)
    if not group.is_first:
        return None
    voice.line("measuring on an emulated board")
    inputs = int8_inputs(task.test, range(min(SAMPLES, len(task.test))))
    measured = measure(place / MODEL_FILE, plan, inputs)
    result = read_json(place / RESULT)
    compiled = result["compiled"]
    estimated = compiled["cycles"]
    exact = {key: compiled[key] for key in ("arena_bytes", "weights_bytes")}
    promise = replace(candidate.cost, **exact)
    result |= {
        "space": space.name,
        "measured": measured,
        "cycles_error": cycles_error(plan, candidate.cost, measured),
        "over_limits": over_limits(plan, measured),
        "broken_promises": broken_promises(plan, promise, estimated, measured),
    }
    write_json(place / RESULT, result)
    write_report(folder, place)
    if "skipped" in measured:
        voice.line(f"not measured: {measured['skipped']}")
    if result["over_limits"]:
        voice.line(f"measured: {result['over_limits']}; estimates have an error (docs/cost.md)")
    return _result(place)


# ---- results -------------------------------------------------------------------------------------


def _is_measured(place: Path) -> bool:
    if not (place / RESULT).exists():
        return False
    found = read_json(place / RESULT)
    return isinstance(found, dict) and "measured" in found


def _result(place: Path) -> Result:
    """The result of a finished search. Raises BudgetError where it is not what was promised."""
    result: Result = read_json(place / RESULT)
    if result["broken_promises"]:
        raise BudgetError(
            f"{place / MODEL_FILE} is not what the search was promised: "
            f"{'; '.join(result['broken_promises'])}. This is a defect of Thumbnet; please report "
            "it with this file"
        )
    return {"out": str(place), "stage": "finish", **result, "files": _files(place)}


def _space_result(folder: Folder, space: SearchSpace) -> Result:
    best = search_plan.read_choice(folder).best
    return {
        "out": str(folder.path),
        "stage": "space",
        "space": space.name,
        "width": space.width,
        "input_shape": list(space.input_shape),
        "fits": best.fits,
        "mean_macs": round(best.mean),
        "sub_networks": space.size,
        "files": _files(folder.path),
    }


def _train_result(folder: Folder) -> Result:
    from thumbnet.nas.training import losses_of

    losses = losses_of(folder / search_plan.SHARED)
    return {
        "out": str(folder.path),
        "stage": "train",
        "losses": list(losses),
        "files": _files(folder.path),
    }


def _evolve_result(folder: Folder, found: Search) -> Result:
    from thumbnet.nas.search import best_candidate

    best = best_candidate(folder, found)
    return {
        "out": str(folder.path),
        "stage": "evolve",
        "digest": best.digest,
        "shared_accuracy": best.accuracy,
        "promised": best.cost.to_json(),
        "evaluated": len(found.evaluated),
        "front": [
            {"digest": c.digest, "shared_accuracy": c.accuracy, "cycles": c.cost.cycles}
            for c in found.front
        ],
        "files": _files(folder.path),
    }


def _files(place: Path) -> list[str]:
    return sorted(str(f.relative_to(place)) for f in place.rglob("*") if f.is_file())


def show(result: Result) -> None:
    """Prints a result for people."""
    console = Console(highlight=False, soft_wrap=True)
    out = Path(result["out"])
    if result["stage"] == "space":
        height, width, channels = result["input_shape"]
        console.print(
            f"search space {result['space']}: {height}x{width}x{channels}, {result['fits']:.0%} of "
            f"{result['sub_networks']:.3g} networks fit"
        )
    elif result["stage"] == "train":
        console.print(f"super-network: loss {result['losses'][-1]:.4f}")
    elif result["stage"] == "evolve":
        console.print(
            f"network {result['digest']}: {result['shared_accuracy']:.2%} of validation with "
            f"shared weights; {result['evaluated']} networks evaluated, {len(result['front'])} on "
            "the front"
        )
    else:
        console.print(_costs(result))
        console.print(
            f"accuracy: {result['test_accuracy']:.2%} of the test data (int8), "
            f"{result['validation_accuracy']:.2%} of validation (int8), "
            f"{result['float_accuracy']:.2%} (float)"
        )
    console.print(f"see {out / search_plan.REPORT}")


def _costs(result: Result) -> Table:
    promised, compiled, measured = result["promised"], result["compiled"], result["measured"]
    flash = measured.get("flash", {})
    table = Table(title=f"network {result['digest']} for {result['target']}", title_justify="left")
    for column in ("", "promised", "compiled", measured.get("on", "not measured")):
        table.add_column(column, justify="right" if column else "left")
    rows = (
        ("arena, bytes", "arena_bytes", measured.get("arena_bytes")),
        ("stack, bytes", "stack_bytes", measured.get("stack_bytes")),
        ("flash, weights, bytes", "weights_bytes", flash.get("weights")),
        ("flash, code, bytes", "code_bytes", flash.get("code")),
        ("cycles", "cycles", measured.get("cycles")),
    )
    for name, key, now in rows:
        table.add_row(name, number(promised.get(key)), number(compiled.get(key)), number(now))
    return table
