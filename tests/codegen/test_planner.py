"""Which schedule is taken: what `--optimize` and `--max-sram` ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from thumbnet.codegen.binding import bind
from thumbnet.codegen.cycles import layer_cycles
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.lowering.registry import lower_all
from thumbnet.codegen.planner import Mode, plan
from thumbnet.codegen.schedule import Schedule
from thumbnet.tools.random_graphs import FAMILIES


def _spared(graph: Graph, schedule: Schedule) -> list[str]:
    """Kernels that run in their form of less scratch."""
    binding = bind(graph)
    kernels = lower_all(binding.graph, binding.operators)
    less = {k.name: k.with_less_scratch for k in kernels if k.with_less_scratch is not None}
    return [
        k.name
        for k in schedule.kernels
        if k.name in less and k.scratch_bytes == less[k.name].scratch_bytes
    ]


@pytest.mark.parametrize("optimize", ["balanced", "latency"])
@pytest.mark.parametrize(("family", "seed"), [("plain", 3), ("resnet", 8), ("mobilenet", 3)])
def test_less_scratch_is_only_for_a_limit_of_sram(family: str, seed: int, optimize: str) -> None:
    graph, mode = FAMILIES[family](seed), Mode(optimize=optimize)
    least = plan(graph)
    for usual in (least, plan(graph, mode), plan(graph, replace(mode, max_sram=least.arena_bytes))):
        assert not _spared(graph, usual)
    tight = plan(graph, replace(mode, max_sram=1))
    assert tight.arena_bytes < least.arena_bytes and _spared(graph, tight)
    fitting = plan(graph, replace(mode, max_sram=tight.arena_bytes))
    assert fitting.arena_bytes <= tight.arena_bytes and _spared(graph, fitting)
    assert sum(layer_cycles(fitting)) > sum(layer_cycles(least))
