"""The stages of a search over one folder, each of which goes on where it was stopped.

    choose    stage 1: which search space                 space.json, space.png
    share     stage 2: its super-network                  super_network.pt
    evolve    stage 3: the best sub-network, or a front   search.json, history.csv, shortlist.json,
                                                          pareto.png, best.json, pareto.json
    finish    fine-tuned, quantised, compiled, scored     network.pt, model.tflite, model/,
                                                          result.json

What a stage needs of earlier ones it reads from the folder. Under torchrun the stages run on all
processes; the first one writes. Plan and stage 1 itself are in `search_plan`, which needs no torch.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from thumbnet.codegen.compile import Compiled, compile_graph, plan_model
from thumbnet.codegen.cost import schedule_cost
from thumbnet.codegen.errors import BudgetError, DataError
from thumbnet.codegen.files import read_json, replacing, write_json
from thumbnet.codegen.flash import weights_bytes
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import optimize
from thumbnet.codegen.tflm_memory import greedy_arena, whole_tensors
from thumbnet.nas import evolution, search_plan, search_state, shortlist
from thumbnet.nas.architecture import from_json
from thumbnet.nas.checkpoint import load_file, write_checkpoint
from thumbnet.nas.cost import CostOracle
from thumbnet.nas.cost_graph import cost_graph
from thumbnet.nas.distributed import ALONE, Workers
from thumbnet.nas.evaluation import int8_accuracy, recalibrate, shared_accuracy
from thumbnet.nas.evolution import Candidate, Search
from thumbnet.nas.finish import compiled_for_host, quantize_best, train_network
from thumbnet.nas.network import Network
from thumbnet.nas.progress import Progress, duration
from thumbnet.nas.search_plan import (
    BEST,
    FRONT,
    HISTORY,
    HISTORY_PICTURE,
    MODEL,
    MODEL_FILE,
    PARETO_PICTURE,
    RESULT,
    SHARED,
    SHORTLIST,
    STATE,
    WEIGHTS,
    Folder,
    Plan,
    Shape,
)
from thumbnet.nas.search_space import SearchSpace, SubNetwork
from thumbnet.nas.super_network import SuperNetwork
from thumbnet.nas.super_training import train_super_network
from thumbnet.nas.task import Task

TaskAt = Callable[[Shape], Task]  # the task with inputs of (height, width, channels)

AT_ONCE = 8  # networks that each process scores between two progress lines
FORMAT = "thumbnet-front-1"


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
    """`search_plan.choose` on the first process, its space on all of them."""
    if workers.is_first:
        search_plan.choose(
            folder, plan, input_shape, classes, processes=processes, progress=progress
        )
    workers.wait()
    return search_plan.choose(folder, plan, input_shape, classes)


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
    """Stage 2: the trained super-network of a space; its checkpoint is its file."""
    network, _ = train_super_network(
        space,
        task,
        plan.super_training,
        search_plan.focused(search_plan.read_choice(folder), plan, space),
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
    """Stage 3: the search in the super-network; writes its state after each generation, then the
    picture, the front and the winner's architecture. Raises BudgetError where nothing fits."""
    state = folder / STATE
    said = progress if workers.is_first else lambda line: None

    def save(search: Search) -> None:
        if workers.is_first:
            search_state.write_search(search, state)
            search_state.write_history(search, folder / HISTORY)

    def fitness(chosen: Sequence[SubNetwork]) -> list[float]:
        found: list[float] = []
        began = time.monotonic()
        for start in range(0, len(chosen), AT_ONCE * workers.count):
            if start:
                left = (time.monotonic() - began) / start * (len(chosen) - start)
                said(f"{start} of {len(chosen)} networks scored, {duration(left)} left")
            some = list(chosen[start : start + AT_ONCE * workers.count])
            found += shared_accuracy(network, task, some, plan.effort, workers)
        return found

    resumed = search_state.read_search(state) if state.exists() else None
    workers.wait()  # before the first one writes it
    with CostOracle(plan.deployment, plan.limits, processes) as oracle:
        search = evolution.evolve(
            space,
            fitness,
            lambda asked: workers.shared(oracle.costs, asked),
            plan.limits,
            replace(plan.evolution, seed=plan.seed),
            resumed=resumed,
            save=save,
            progress=said,
        )
    if (folder / BEST).exists():
        workers.wait()
        return search
    ordered = shortlist.ranked(
        search.evaluated, network, task, plan, folder / SHORTLIST, workers=workers, progress=said
    )
    if workers.is_first:
        from thumbnet.nas.plots import plot_history, plot_search  # matplotlib takes a second

        save(search)
        best = winner(ordered, plan, space, folder.path, said)
        plot_search(search, folder / PARETO_PICTURE, best)
        plot_history(search, folder / HISTORY_PICTURE)
        write_json(folder / FRONT, front_to_json(search, space))
        write_json(folder / BEST, space.architecture(best.chosen).to_json())
    workers.wait()
    return search


def front_to_json(search: Search, space: SearchSpace) -> dict[str, Any]:
    """The networks of the front, by rising cycles, each with its architecture."""
    return {
        "format": FORMAT,
        "space": space.name,
        "networks": [
            {
                "digest": each.digest,
                "shared_accuracy": each.accuracy,
                "promised": each.cost.to_json(),
                "architecture": space.architecture(each.chosen).to_json(),
            }
            for each in search.front
        ],
    }


def winner(
    ranked: Sequence[Candidate], plan: Plan, space: SearchSpace, scratch: Path, progress: Progress
) -> Candidate:
    """The first network whose C, compiled for the target, is within the limits: its code and stack
    are known only then. Where the target's compiler is missing, the first one.

    Compiles with weights that mean nothing, in a folder below `scratch` that goes again. Raises
    BudgetError.
    """
    refused: BudgetError | None = None
    for candidate in ranked:
        graph = cost_graph(space.architecture(candidate.chosen), "model")
        place = Path(tempfile.mkdtemp(prefix=".try-", dir=scratch))
        try:
            compiled_for_target(graph, plan, place / MODEL)
        except BudgetError as error:
            refused = refused or error
            progress(f"network {candidate.digest} is passed over: {error}")
            continue
        finally:
            shutil.rmtree(place, ignore_errors=True)
        check_promise(plan, candidate, graph)
        return candidate
    raise BudgetError(f"no network that was found fits once it is compiled: {refused}")


def candidate_named(search: Search, digest: str) -> Candidate:
    """The evaluated network of which `digest` are the first digits. Raises DataError."""
    found = [each for each in search.evaluated if digest and each.digest.startswith(digest)]
    if len(found) != 1:
        shown = ", ".join(each.digest for each in search.front)
        raise DataError(
            f"{len(found) or 'no'} networks of this search begin with '{digest}'; those of the "
            f"front are {shown}"
        )
    return found[0]


def best_candidate(folder: Folder, search: Search) -> Candidate:
    """The network of best.json. Raises ThumbnetError."""
    path = folder / BEST
    return candidate_named(search, from_json(read_json(path), str(path)).digest)


# ---- finish ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Finished:
    """The network that was searched for. Accuracies are shares from 0 to 1."""

    candidate: Candidate
    float_accuracy: float  # of the validation split, before it was quantised
    validation_accuracy: float  # int8
    test_accuracy: float  # int8, of the whole test split
    method: str  # how it was quantised: ptq or qat
    losses: tuple[float, ...]  # of the epochs of fine-tuning
    compiled: Compiled  # for the plan's target

    def to_json(self) -> dict[str, Any]:
        manifest = self.compiled.manifest
        cost = schedule_cost(self.compiled.schedule, manifest.target, manifest.optimize)
        return {
            "digest": self.candidate.digest,
            "target": manifest.target,
            "promised": self.candidate.cost.to_json(),
            "compiled": {
                "arena_bytes": manifest.arena_bytes,
                "stack_bytes": manifest.stack_bytes,
                "weights_bytes": manifest.weights_bytes,
                "code_bytes": manifest.code_bytes,
                "cycles": cost.cycles,  # as estimated now that numbers are known
                "compiler": manifest.compiler,
            },
            "quantised": self.method,
            "shared_accuracy": self.candidate.accuracy,
            "float_accuracy": self.float_accuracy,
            "validation_accuracy": self.validation_accuracy,
            "test_accuracy": self.test_accuracy,
            "fine_tuning_losses": list(self.losses),
        }


def finish(
    place: Path,
    plan: Plan,
    network: SuperNetwork,
    task: Task,
    candidate: Candidate,
    *,
    workers: Workers = ALONE,
    progress: Progress = lambda line: None,
) -> Finished | None:
    """Fine-tunes a candidate from the shared weights, quantises it, compiles it for the plan's
    target and scores its C on the whole test split. Writes into the folder `place`. On processes
    but the first, None.

    Raises BudgetError where the network does not cost what was promised. What is compiled may cost
    less: channels that training left constant or unread are not in it.
    """
    own = network.extract(candidate.chosen, plan.fine_tuning.dropout)
    own.to(workers.device, memory_format=torch.channels_last)
    recalibrate(own, task, plan.effort.calibration)
    checkpoint = place / "fine_tuning.pt"
    trained = train_network(
        own,
        task,
        plan.fine_tuning,
        plan.seed,
        what="fine-tuning",
        checkpoint=checkpoint,
        progress=progress,
        workers=workers,
    )
    if not workers.is_first:
        return None
    own = own.cpu()
    write_checkpoint(place / WEIGHTS, weights_of(own))
    scratch = place / "quantised"
    quantized = quantize_best(
        own,
        task,
        plan.fine_tuning,
        plan.seed,
        Path(MODEL_FILE).stem,
        scratch,
        qat_epochs=plan.qat_epochs,
        progress=progress,
    )
    with replacing(place / MODEL_FILE) as partial:
        partial.write_bytes(write_tflite(quantized.graph))
    check_promise(plan, candidate, quantized.graph)
    compiled = compiled_for_target(optimize(quantized.graph), plan, place / MODEL)
    progress("scoring the int8 C on the whole test split")
    host = compiled_for_host(quantized.graph, scratch / "host")
    made = Finished(
        candidate,
        quantized.float_accuracy,
        quantized.accuracy,
        int8_accuracy(host, task.test).accuracy,
        quantized.method,
        trained.losses,
        compiled,
    )
    write_json(place / RESULT, made.to_json())
    shutil.rmtree(scratch, ignore_errors=True)
    checkpoint.unlink(missing_ok=True)
    return made


def compiled_for_target(graph: Graph, plan: Plan, folder: Path) -> Compiled:
    """The C of a graph as the plan wants it. Raises BudgetError where it exceeds the limits."""
    options = plan.deployment.options(plan.limits)
    return compile_graph(graph, Path(MODEL_FILE), folder, options)


def check_promise(plan: Plan, candidate: Candidate, graph: Graph) -> None:
    """Arena and weights are exact: BudgetError where those of a network's simplified graph are not
    the promised ones. With memory "tflm" what is promised is what that would need for `graph`."""
    options, promised = plan.deployment.options(plan.limits), candidate.cost
    schedule, _ = plan_model(options.applied(graph), options.mode, options.max_step_cycles)
    arena = schedule.arena_bytes
    if plan.deployment.memory == "tflm":
        arena = greedy_arena(whole_tensors(graph))
    found = {"arena": arena, "weights": weights_bytes(schedule)}
    wanted = {"arena": promised.arena_bytes, "weights": promised.weights_bytes}
    if found != wanted:
        raise BudgetError(
            f"network {candidate.digest} was promised {wanted} bytes and needs {found}: a "
            "defect of the cost report; please report it with best.json"
        )


def weights_of(network: nn.Module) -> dict[str, Any]:
    """Architecture and weights as `load_weights` reads them."""
    assert isinstance(network, Network)
    return {"architecture": network.architecture.to_json(), "weights": network.state_dict()}


def load_weights(path: Path) -> Network:
    """The float network that `finish` left in `network.pt`, in eval mode. Raises DataError."""
    state = load_file(path)
    try:
        network = Network(from_json(state["architecture"], str(path)))
        network.load_state_dict(state["weights"])
    except (KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise DataError(f"{path}: holds no network of a search ({type(error).__name__})") from error
    return network.eval()
