"""Accuracy: of a float network, of a sub-network by its shared weights, of the int8 C."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from thumbnet.codegen.compile import Compiled
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.toolchain import host_library
from thumbnet.nas.distributed import ALONE, Workers
from thumbnet.nas.recipe import Effort as Effort
from thumbnet.nas.search_space import SubNetwork
from thumbnet.nas.super_network import SuperNetwork
from thumbnet.nas.task import Split, Task, batch, int8_inputs

BATCH = 256


def recalibrate(network: nn.Module, task: Task, samples: int) -> None:
    """Measures the statistics of all batch norms on the first `samples` training samples, as they
    are without augmentation: shared weights have none that suit a single sub-network."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    network.train()
    with torch.no_grad():
        for x, _ in _batches(task.train, min(samples, len(task.train)), network):
            network(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def accuracy(network: nn.Module, split: Split, samples: int | None = None) -> float:
    """Share of the first `samples` (None: all) that a network classifies rightly, evaluated in
    eval mode in float32."""
    network.eval()
    right = total = 0
    with torch.no_grad():
        for x, labels in _batches(split, len(split) if samples is None else samples, network):
            right += int((network(x).argmax(1).cpu() == labels).sum())
            total += len(labels)
    return right / total


def _batches(split: Split, samples: int, network: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    device = next(network.parameters()).device
    samples = min(samples, len(split))
    for start in range(0, samples, BATCH):
        x, labels = batch(split, range(start, min(start + BATCH, samples)))
        yield x.to(device, memory_format=torch.channels_last), labels


def shared_accuracy(
    network: SuperNetwork,
    task: Task,
    chosen: list[SubNetwork],
    effort: Effort,
    workers: Workers = ALONE,
) -> list[float]:
    """Validation accuracy of sub-networks by their shared weights; each process of the group takes
    its share of them, and all get all results."""
    return workers.shared(
        lambda mine: [_one_shared_accuracy(network, task, each, effort) for each in mine], chosen
    )


def _one_shared_accuracy(
    network: SuperNetwork, task: Task, chosen: SubNetwork, effort: Effort
) -> float:
    device = next(network.parameters()).device
    extracted = network.extract(chosen).to(device, memory_format=torch.channels_last)
    recalibrate(extracted, task, effort.calibration)
    return accuracy(extracted, task.validation, effort.validation)


# ---- int8 --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Int8Result:
    """Of the compiled C on this machine: the class it gives each sample, and how many are right."""

    predicted: tuple[int, ...]
    accuracy: float


def int8_accuracy(compiled: Compiled, split: Split, samples: int | None = None) -> Int8Result:
    """Runs the C of a compiled network on the first `samples` of a split (None: all)."""
    return folder_accuracy(compiled.folder, compiled.manifest, split, samples)


def folder_accuracy(
    folder: Path, manifest: Manifest, split: Split, samples: int | None = None
) -> Int8Result:
    """The same of a folder that `compile` wrote for the host."""
    model = HostModel(host_library(folder), manifest)
    (edge,) = manifest.outputs
    count = len(split) if samples is None else min(samples, len(split))
    predicted, right = [], 0
    for start in range(0, count, BATCH):
        indices = range(start, min(start + BATCH, count))
        inputs, labels = int8_inputs(split, indices), batch(split, indices)[1]
        for sample, label in zip(inputs, labels.tolist(), strict=True):
            (raw,) = model([np.ascontiguousarray(sample).tobytes()])
            predicted.append(int(np.frombuffer(raw, edge.dtype).argmax()))
            right += predicted[-1] == label
    return Int8Result(tuple(predicted), right / count)
