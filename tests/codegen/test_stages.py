"""Stages laid out by themselves: put together they are what the whole schedule says."""

from __future__ import annotations

import numpy as np
import pytest

from thumbnet.codegen import stages
from thumbnet.codegen.layouts import Mode, Order, Plan
from thumbnet.codegen.lifetimes import FAR, Held, Lifetimes, lifetimes
from thumbnet.codegen.lowering.registry import lower_all
from thumbnet.codegen.partition import candidates
from thumbnet.codegen.ticks import Clock
from thumbnet.tools.random_graphs import FAMILIES

MODES = {"whole": Mode(), "rows": Mode(row_fed=True), "stepper": Mode(stepper=True)}


def whole(plan: Plan) -> Lifetimes:
    """The lifetimes of all storages over all ticks of the schedule."""
    schedule, order = plan.placed(1), plan.order
    always = {held.name for held in plan.always}
    held = []
    for name, storage in schedule.storages.items():
        kernel = int(name.removeprefix("scratch ")) if name.startswith("scratch ") else -1
        rings = {v: r for v, r in schedule.rings.items() if schedule.storage_of[v] == name}
        held.append(Held(name, storage.nbytes, rings, name in always, kernel))
    clock = Clock(order.flow.with_kernels(plan.kernels), schedule.steps)
    return lifetimes(clock, held, schedule.storage_of, order.inputs, order.outputs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_live_bytes_and_distances_are_those_of_the_whole(family: str, mode: str) -> None:
    graph = FAMILIES[family](3)
    if mode == "rows" and len(graph.inputs) > 1:
        pytest.skip("more than one input")
    order = Order.of(graph, MODES[mode], lower_all)
    choices = candidates(order.flow)
    for choice in (*choices[:2], *choices[-2:]):
        for shared in (True, False):
            plan = order.plan(choice, shared=shared)
            lives, schedule = whole(plan), plan.placed(1)
            most = np.zeros(len(schedule.steps), np.int64)
            np.maximum.at(most, lives.step_of_tick, lives.live_by_tick())
            assert schedule.live_bytes == tuple(most.tolist())
            assert schedule.lower_bound == plan.lower_bound == max(most)
            gaps = lives.gaps()
            np.fill_diagonal(gaps, -FAR)
            lower, upper = np.nonzero(gaps > -FAR // 2)
            found = np.clip(gaps[lower, upper], 0, lives.nbytes[lower]).tolist()
            pairs = [(lives.names[i], lives.names[j]) for i, j in zip(lower, upper, strict=True)]
            assert plan.layout.distances == dict(zip(pairs, found, strict=True))


def test_equal_stages_are_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of another graph."""
    monkeypatch.setattr(stages, "_known", {})
    graph = FAMILIES["mobilenet"](3)
    first = Order.of(graph, Mode(), lower_all)
    plans = [first.plan(c, shared=True) for c in candidates(first.flow)]
    known = len(stages._known)
    assert 0 < known < sum(len(plan.stages) for plan in plans)
    again = Order.of(FAMILIES["mobilenet"](3), Mode(), lower_all)
    bounds = [again.plan(c, shared=True).lower_bound for c in candidates(again.flow)]
    assert len(stages._known) == known
    assert bounds == [plan.lower_bound for plan in plans]
