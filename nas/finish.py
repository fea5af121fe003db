"""From shared weights to C: fine-tune, quantise, compile, and score what was compiled."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from thumbnet.codegen.compile import Compiled, Options, compile_graph
from thumbnet.codegen.frontends.pytorch.program import lower_program
from thumbnet.codegen.frontends.pytorch.qat import convert, prepare_qat
from thumbnet.codegen.frontends.pytorch.quantize import quantize
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import optimize, simplify
from thumbnet.nas.distributed import ALONE, Workers
from thumbnet.nas.evaluation import BATCH, accuracy, int8_accuracy
from thumbnet.nas.progress import Progress
from thumbnet.nas.recipe import Recipe
from thumbnet.nas.task import Task, batch
from thumbnet.nas.training import Classification, Trained, train

CALIBRATION_SAMPLES = 1024
QAT_LEARNING_RATE = 0.05  # of the recipe's: the weights are nearly where they should be


@dataclass(frozen=True, eq=False)
class Quantized:
    """An integer graph and how well its C does on the validation split."""

    graph: Graph
    method: str  # "ptq": quantised after training; "qat": trained with quantisation simulated
    float_accuracy: float  # validation
    accuracy: float  # validation, int8


def train_network(
    network: nn.Module,
    task: Task,
    recipe: Recipe,
    seed: int,
    *,
    what: str,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
) -> Trained:
    """Trains (or fine-tunes) one network in place and leaves it in eval mode. Raises as
    `training.train`."""
    objective = Classification(network, recipe.label_smoothing)
    trained = train(
        objective,
        task,
        recipe,
        seed,
        what=what,
        checkpoint=checkpoint,
        progress=progress,
        workers=workers,
        key=repr(network),
    )
    network.eval()
    return trained


def quantized_graph(network: nn.Module, task: Task, name: str) -> Graph:
    """The simplified integer graph of a trained network, `forward(x)`, quantised after training.
    Its input is the task's int8, its outputs are int8 logits. Raises ThumbnetError."""
    network = copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format)
    program = quantize(
        network, _example(task), _calibration(task), input_quantization=_fixed_input(task)
    )
    return _graph(program, name)


def trained_quantized_graph(
    network: nn.Module,
    task: Task,
    recipe: Recipe,
    seed: int,
    name: str,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Graph:
    """The same, after `recipe.epochs` of training with quantisation simulated. `network` stays as
    it was."""
    network = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)
    prepared = prepare_qat(network, _example(task), input_quantization=_fixed_input(task))
    gentle = replace(
        recipe, learning_rate=recipe.learning_rate * QAT_LEARNING_RATE, warmup_epochs=0.0
    )
    train(
        Classification(prepared, recipe.label_smoothing),
        task,
        gentle,
        seed,
        what="training with quantisation",
        checkpoint=checkpoint,
        progress=progress,
        key=repr(network),
    )
    return _graph(convert(prepared), name)


def quantize_best(
    network: nn.Module,
    task: Task,
    recipe: Recipe,
    seed: int,
    name: str,
    folder: Path,
    *,
    qat_epochs: int = 0,
    progress: Progress | None = None,
) -> Quantized:
    """Quantises after training and, with `qat_epochs`, also by training; takes what does better on
    the validation split. Compiles for the host in `folder`. Raises ThumbnetError."""
    on_float = accuracy(network, task.validation)
    after = quantized_graph(network, task, name)
    best = Quantized(after, "ptq", on_float, validated(after, task, folder / "ptq"))
    if progress is not None:
        progress(
            f"quantised after training: {best.accuracy:.2%} of validation, float {on_float:.2%}"
        )
    if qat_epochs:
        gentle = replace(recipe, epochs=qat_epochs)
        checkpoint = folder / "qat.pt"
        graph = trained_quantized_graph(
            network, task, gentle, seed, name, checkpoint=checkpoint, progress=progress
        )
        also = Quantized(graph, "qat", on_float, validated(graph, task, folder / "qat"))
        if progress is not None:
            progress(f"trained with quantisation: {also.accuracy:.2%} of validation")
        best = max(best, also, key=lambda q: q.accuracy)
    return best


def validated(graph: Graph, task: Task, folder: Path) -> float:
    """Validation accuracy of a graph's C, compiled for the host into `folder`."""
    return int8_accuracy(compiled_for_host(graph, folder), task.validation).accuracy


def compiled_for_host(graph: Graph, folder: Path) -> Compiled:
    """The C of a graph for this machine, as fast as it gets."""
    return compile_graph(
        optimize(graph),
        Path(f"{graph.name}.tflite"),
        folder,
        Options(target="host", optimize="latency"),
    )


def _graph(program: object, name: str) -> Graph:
    graph = simplify(lower_program(program, name, name).graph)
    return replace(graph, float_inputs=frozenset(), float_outputs=frozenset())


def _example(task: Task) -> tuple[Tensor]:
    height, width, channels = task.input_shape
    return (torch.zeros(1, channels, height, width),)


def _fixed_input(task: Task) -> dict[str, tuple[float, int]]:
    return {"x": (task.scale, task.zero_point)}


def _calibration(task: Task) -> Iterator[tuple[Tensor]]:
    samples = min(CALIBRATION_SAMPLES, len(task.train))
    for start in range(0, samples, BATCH):
        yield (batch(task.train, range(start, min(start + BATCH, samples)))[0],)
