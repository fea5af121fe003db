"""The whole search: four stages over one folder, each of which goes on where it was stopped.

    choose    stage 1: which search space                 space.json, space.png
    share     stage 2: its super-network                  super_network.pt
    evolve    stage 3: the best sub-network, or a front   search.json, history.csv, pareto.png, best.json
    finish    fine-tuned, quantised, compiled, scored     network.pt, model.tflite, model/, result.json

What a stage needs of earlier ones it reads from the folder. Under torchrun the stages run on all
processes; the first one writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from thumbnet.codegen.compile import Compiled, compile_graph
from thumbnet.codegen.errors import BudgetError, DataError
from thumbnet.codegen.files import read_json, write_json
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.nas import evolution, search_state, space_optimization
from thumbnet.nas.architecture import from_json
from thumbnet.nas.cost import CostOracle, Deployment, Limits
from thumbnet.nas.distributed import ALONE, Workers
from thumbnet.nas.evaluation import Effort, int8_accuracy, shared_accuracy
from thumbnet.nas.evolution import Candidate, Search
from thumbnet.nas.finish import compiled_for_host, quantize_best, train_network
from thumbnet.nas.network import Network
from thumbnet.nas.plots import plot_search, plot_spaces
from thumbnet.nas.progress import Progress
from thumbnet.nas.search_space import TEMPLATES, SearchSpace, Template
from thumbnet.nas.space_optimization import SpaceChoice, choose_space
from thumbnet.nas.super_network import SuperNetwork
from thumbnet.nas.super_training import Sandwich, train_super_network
from thumbnet.nas.task import Task
from thumbnet.nas.training import Recipe, write_checkpoint

Shape = tuple[int, int, int]
TaskAt = Callable[[Shape], Task]  # the task with inputs of (height, width, channels)

PLAN, SPACE, SHARED, STATE = "plan.json", "space.json", "super_network.pt", "search.json"
BEST, RESULT, WEIGHTS, MODEL = "best.json", "result.json", "network.pt", "model"
HISTORY, SPACE_PICTURE, PARETO_PICTURE = "history.csv", "space.png", "pareto.png"


@dataclass(frozen=True)
class Plan:
    """What is searched for, and with how much effort."""

    limits: Limits
    deployment: Deployment = Deployment()
    template: str = "images"
    space: str | None = None  # its name: stage 1 is left out
    samples: int = space_optimization.SAMPLES  # networks of each space, in stage 1
    super_training: Recipe = Recipe(epochs=40, learning_rate=0.05)
    sandwich: Sandwich = Sandwich()
    norm_samples: int | None = None  # see SuperNetwork
    effort: Effort = Effort()
    evolution: evolution.Settings = evolution.Settings()
    fine_tuning: Recipe = Recipe(epochs=20, learning_rate=0.05)
    qat_epochs: int = 2  # 0: quantised after training only
    seed: int = 0
    data: dict[str, Any] = field(default_factory=dict)  # which task, for messages and the report

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Folder:
    """Where a search keeps everything."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def claim(self, plan: Plan) -> None:
        """Writes down the plan, or checks that the folder's is the same. Raises DataError."""
        wanted = json.loads(json.dumps(plan.to_json()))
        if (self / PLAN).exists():
            found = read_json(self / PLAN)
            other = [k for k in wanted if not isinstance(found, dict) or found.get(k) != wanted[k]]
            if other:
                raise DataError(
                    f"{self / PLAN}: another search lies here ({', '.join(other)} differ); repeat its "
                    "options to go on with it, or write to another folder"
                )
        else:
            write_json(self / PLAN, wanted)


# ---- stage 1 -----------------------------------------------------------------------------------


def choose(
    folder: Folder,
    plan: Plan,
    input_shape: Shape,
    classes: int,
    *,
    processes: int = 1,
    workers: Workers = ALONE,
    progress: Progress = lambda line: None,
) -> SearchSpace:
    """The space to search: the plan's own, the folder's, or the best of the template for the limits.
    Raises BudgetError, with the smallest cost found, where no network fits."""
    spaces = {s.name: s for s in template(plan).spaces(input_shape, classes)}
    if plan.space is not None:
        if plan.space not in spaces:
            raise DataError(
                f"no search space '{plan.space}' in template '{plan.template}'; it has "
                f"{', '.join(spaces)}"
            )
        return spaces[plan.space]
    if not (folder / SPACE).exists() and workers.is_first:
        with CostOracle(plan.deployment, plan.limits, processes) as oracle:
            found = choose_space(
                list(spaces.values()),
                oracle.costs,
                plan.limits,
                samples=plan.samples,
                seed=plan.seed,
                progress=progress,
            )
        plot_spaces(found, folder / SPACE_PICTURE)
        write_json(folder / SPACE, found.to_json())
    workers.wait()
    return spaces[read_choice(folder).chosen]


def read_choice(folder: Folder) -> SpaceChoice:
    """What stage 1 found. Raises DataError."""
    return space_optimization.from_json(read_json(folder / SPACE), str(folder / SPACE))


def template(plan: Plan) -> Template:
    """Raises DataError."""
    if plan.template not in TEMPLATES:
        raise DataError(
            f"no search space '{plan.template}'; choose one of {', '.join(TEMPLATES)}"
        )
    return TEMPLATES[plan.template]


# ---- stages 2 and 3 ----------------------------------------------------------------------------


def share(
    folder: Folder,
    plan: Plan,
    space: SearchSpace,
    task: Task,
    *,
    workers: Workers = ALONE,
    progress: Progress = lambda line: None,
) -> SuperNetwork:
    """The trained super-network of a space; its checkpoint is its file."""
    network, _ = train_super_network(
        space,
        task,
        plan.super_training,
        plan.sandwich,
        plan.seed,
        norm_samples=plan.norm_samples,
        checkpoint=folder / SHARED,
        progress=progress,
        workers=workers,
    )
    return network


def evolve(
    folder: Folder,
    plan: Plan,
    space: SearchSpace,
    network: SuperNetwork,
    task: Task,
    *,
    processes: int = 1,
    workers: Workers = ALONE,
    progress: Progress = lambda line: None,
) -> Search:
    """The search in the super-network; writes its state after each generation, then the table of
    all candidates, the picture and the best architecture. Raises BudgetError where nothing fits."""
    state = folder / STATE

    def save(search: Search) -> None:
        if workers.is_first:
            search_state.write_search(search, state)
            search_state.write_history(search, folder / HISTORY)

    resumed = search_state.read_search(state) if state.exists() else None
    workers.wait()  # before the first one writes it
    with CostOracle(plan.deployment, plan.limits, processes) as oracle:
        search = evolution.evolve(
            space,
            lambda chosen: shared_accuracy(network, task, list(chosen), plan.effort, workers),
            lambda asked: workers.shared(oracle.costs, asked),
            plan.limits,
            replace(plan.evolution, seed=plan.seed),
            resumed=resumed,
            save=save,
            progress=progress if workers.is_first else lambda line: None,
        )
    if workers.is_first:
        plot_search(search, folder / PARETO_PICTURE)
        write_json(folder / BEST, space.architecture(search.best.chosen).to_json())
    workers.wait()
    return search


# ---- finish ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Finished:
    """The network that was searched for. Accuracies are shares from 0 to 1."""

    candidate: Candidate
    float_accuracy: float  # of the validation split, before it was quantised
    validation_accuracy: float  # int8
    test_accuracy: float  # int8, of the whole test split
    method: str  # how it was quantised: ptq or qat
    compiled: Compiled  # for the plan's target

    def to_json(self) -> dict[str, Any]:
        manifest = self.compiled.manifest
        return {
            "digest": self.candidate.digest,
            "promised": self.candidate.cost.to_json(),
            "shared_accuracy": self.candidate.accuracy,
            "float_accuracy": self.float_accuracy,
            "validation_accuracy": self.validation_accuracy,
            "test_accuracy": self.test_accuracy,
            "quantised": self.method,
            "arena_bytes": manifest.arena_bytes,
            "stack_bytes": manifest.stack_bytes,
            "flash": {"code": manifest.code_bytes, "weights": manifest.weights_bytes},
        }


def finish(
    folder: Folder,
    plan: Plan,
    network: SuperNetwork,
    task: Task,
    candidate: Candidate,
    *,
    workers: Workers = ALONE,
    progress: Progress = lambda line: None,
) -> Finished | None:
    """Fine-tunes a candidate from the shared weights, quantises it, compiles it for the plan's
    target and scores its C on the whole test split. On processes but the first, None.

    Raises BudgetError where the compiled network costs more than was promised.
    """
    own = network.extract(candidate.chosen, plan.fine_tuning.dropout)
    train_network(
        own,
        task,
        plan.fine_tuning,
        plan.seed,
        what="fine-tuning",
        checkpoint=folder / "fine_tuning.pt",
        progress=progress,
        workers=workers,
    )
    if not workers.is_first:
        return None
    own = own.cpu()
    write_checkpoint(folder / WEIGHTS, weights_of(own))
    name = "model"
    quantized = quantize_best(
        own,
        task,
        plan.fine_tuning,
        plan.seed,
        name,
        folder / "quantised",
        qat_epochs=plan.qat_epochs,
        progress=progress,
    )
    (folder / f"{name}.tflite").write_bytes(write_tflite(quantized.graph))
    options = plan.deployment.options(plan.limits)
    compiled = compile_graph(quantized.graph, folder / f"{name}.tflite", folder / MODEL, options)
    check_promise(candidate, compiled)
    progress("scoring the int8 C on the whole test split")
    host = compiled_for_host(quantized.graph, folder / "quantised" / "host")
    made = Finished(
        candidate,
        quantized.float_accuracy,
        quantized.accuracy,
        int8_accuracy(host, task.test).accuracy,
        quantized.method,
        compiled,
    )
    write_json(folder / RESULT, made.to_json())
    return made


def check_promise(candidate: Candidate, compiled: Compiled) -> None:
    """Arena and weights are exact: BudgetError where the compiled network's are not the promised
    ones."""
    manifest, promised = compiled.manifest, candidate.cost
    found = {"arena": manifest.arena_bytes, "weights": manifest.weights_bytes}
    wanted = {"arena": promised.arena_bytes, "weights": promised.weights_bytes}
    if found != wanted:
        raise BudgetError(
            f"network {candidate.digest} was promised {wanted} bytes and compiled to {found}: a "
            "defect of the cost report; please report it with best.json"
        )


def weights_of(network: nn.Module) -> dict[str, Any]:
    """Architecture and weights as `network_of` reads them."""
    assert isinstance(network, Network)
    return {"architecture": network.architecture.to_json(), "weights": network.state_dict()}


def load_weights(path: Path) -> Network:
    """The float network that `finish` left in `network.pt`, in eval mode. Raises DataError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = Network(from_json(state["architecture"], str(path)))
        network.load_state_dict(state["weights"])
    except Exception as error:  # torch raises many types
        raise DataError(f"{path}: cannot read these weights: {error}") from error
    return network.eval()
