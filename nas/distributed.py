"""The processes of a run: one alone, or those that `torchrun` starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from thumbnet.codegen.errors import ToolError

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = timedelta(days=2)  # that others wait for what one process does alone


@dataclass(frozen=True)
class Workers:
    """This process among `count`; `device` is where it trains ("cpu" or "cuda:N")."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Every process's `value` (anything that pickles), by rank, on every process."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value)
        return found

    def shared(self, work: Callable[[list[T]], list[R]], items: Sequence[T]) -> list[R]:
        """`work` of all items, of which each process does its share; all get all results."""
        parts = self.gather(work(list(items[self.rank :: self.count])))
        found: list[R] = [parts[i % self.count][i // self.count] for i in range(len(items))]
        return found

    def mean(self, value: float) -> float:
        """The mean over the processes."""
        return sum(self.gather(value)) / self.count

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Workers(0, 1, torch.device("cpu"))


@contextmanager
def workers(device: str = "auto") -> Iterator[Workers]:
    """Joins the process group that torchrun's environment describes (gloo on CPUs, NCCL on GPUs),
    or works alone. `device`: "cpu", "cuda", or "auto", a GPU where there is one. Raises
    ToolError."""
    if device not in ("auto", "cpu", "cuda"):
        raise ToolError(f"unknown device '{device}': auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ToolError("device 'cuda': this PyTorch sees no GPU; choose cpu")
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if "RANK" not in os.environ:
        yield Workers(0, 1, torch.device("cuda:0" if on_gpu else "cpu"))
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if on_gpu:
        torch.cuda.set_device(local)
    try:
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ToolError(f"cannot join the processes that torchrun started: {error}") from error
    try:
        yield Workers(
            distributed.get_rank(),
            distributed.get_world_size(),
            torch.device(f"cuda:{local}" if on_gpu else "cpu"),
        )
    finally:
        distributed.destroy_process_group()
