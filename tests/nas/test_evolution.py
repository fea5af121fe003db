"""The evolutionary search: against enumeration, against luck, under limits, and after a kill."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.nas.synthetic import (
    NO_LIMITS,
    every_sub_network,
    middle_space,
    synthetic_accuracies,
    synthetic_accuracy,
    synthetic_cost,
    synthetic_costs,
)
from thumbnet.codegen.errors import BudgetError, DataError, ToolError
from thumbnet.nas.architecture import Architecture
from thumbnet.nas.cost import CostOracle, Deployment, Limits, NetworkCost, exceeds
from thumbnet.nas.evolution import Candidate, Search, Settings, evolve
from thumbnet.nas.search_space import (
    SMALL_IMAGES,
    SearchSpace,
    Stage,
    SubNetwork,
    crossover,
    sample,
)
from thumbnet.nas.search_state import (
    history,
    read_search,
    search_from_json,
    search_to_json,
    write_history,
    write_search,
)

QUICK = Settings(population=20, generations=6, parents=6)
TIGHT = Limits(sram=34_000, flash=180_000, cycles=33_000_000)


def tiny_space() -> SearchSpace:
    """216 sub-networks."""
    return replace(
        middle_space(),
        stages=(Stage(16, (1, 1), (1,)), Stage(24, (2, 2), (1,)), Stage(32, (2, 2), (1,))),
        kernels=((3, 3), (5, 5), (7, 7)),
        expansions=(3, 4),
        squeezes=(False,),
    )


class Asked:
    """A fitness that remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[SubNetwork]] = []

    def __call__(self, chosen: Sequence[SubNetwork]) -> list[float]:
        self.calls.append(list(chosen))
        return synthetic_accuracies(chosen)


def quick(limits: Limits = TIGHT, settings: Settings = QUICK, **more: Any) -> Search:
    return evolve(middle_space(), synthetic_accuracies, synthetic_costs, limits, settings, **more)


@cache
def whole() -> Search:
    return quick()


# ---- accuracy ----------------------------------------------------------------------------------


def test_the_published_settings_are_the_default() -> None:
    settings = Settings()
    assert (settings.population, settings.generations, settings.parents) == (100, 30, 20)
    assert (settings.mutation_rate, settings.mutated) == (0.1, 0.5)


def test_every_candidate_fits_and_is_evaluated_once() -> None:
    space, asked = middle_space(), Asked()
    search = evolve(space, asked, synthetic_costs, TIGHT, QUICK)
    architectures = [space.architecture(each.chosen) for each in search.evaluated]
    assert [each.digest for each in search.evaluated] == [a.digest for a in architectures]
    assert [each.cost for each in search.evaluated] == synthetic_costs(architectures)
    assert all(exceeds(each.cost, TIGHT) is None for each in search.evaluated)
    assert len({each.digest for each in search.evaluated}) == len(search.evaluated) == 7 * 20
    assert [len(call) for call in asked.calls] == [20] * 7
    assert [each.chosen for each in search.evaluated] == [c for call in asked.calls for c in call]
    assert [each.generation for each in search.evaluated] == [i // 20 for i in range(140)]
    assert [each.accuracy for each in search.evaluated] == synthetic_accuracies(
        [each.chosen for each in search.evaluated]
    )
    fits = [exceeds(synthetic_cost(space.architecture(c)), TIGHT) for c in draws(space, 300)]
    assert 10 < sum(broken is None for broken in fits) < 100  # the limits bite


def draws(space: SearchSpace, count: int) -> list[SubNetwork]:
    rng = np.random.default_rng(8)
    return [sample(space, rng) for _ in range(count)]


def test_the_best_of_a_space_that_can_be_enumerated() -> None:
    space, limits = tiny_space(), Limits(cycles=12_000_000)
    fitting = [
        chosen
        for chosen in every_sub_network(space)
        if exceeds(synthetic_cost(space.architecture(chosen)), limits) is None
    ]
    assert 50 < len(fitting) < space.size
    for seed in range(3):
        settings = replace(QUICK, population=10, parents=4, seed=seed)
        search = evolve(space, synthetic_accuracies, synthetic_costs, limits, settings)
        assert len(search.evaluated) <= 70 < len(fitting) / 1.5
        assert search.best.accuracy == max(synthetic_accuracies(fitting))


def test_better_than_luck_with_the_same_number_of_evaluations() -> None:
    space = middle_space()
    search = quick(settings=replace(QUICK, generations=8))
    rng = np.random.default_rng(0)
    lucky: list[float] = []
    while len(lucky) < len(search.evaluated):
        chosen = sample(space, rng)
        if exceeds(synthetic_cost(space.architecture(chosen)), TIGHT) is None:
            lucky.append(synthetic_accuracy(chosen))
    assert search.best.accuracy > max(lucky) + 0.02
    medians = [
        np.median([c.accuracy for c in search.evaluated if c.generation == g]) for g in (0, 4, 8)
    ]
    assert medians[0] + 0.02 < medians[1] < medians[2]


def test_the_best_of_equals_is_the_fastest() -> None:
    search = evolve(
        middle_space(), lambda chosen: [0.5] * len(chosen), synthetic_costs, TIGHT, QUICK
    )
    assert search.best.cost.cycles == min(each.cost.cycles for each in search.evaluated)


def test_children_are_crossovers_of_the_best_unless_mutated() -> None:
    settings = replace(QUICK, mutated=0.0, generations=1, parents=2, population=8)
    search = quick(NO_LIMITS, settings)
    first = [c for c in search.evaluated if c.generation == 0]
    a, b = sorted(first, key=lambda c: -c.accuracy)[:2]
    rng = np.random.default_rng(0)
    possible = {crossover(*pair, rng) for pair in [(a.chosen, b.chosen)] * 20_000}
    children = [c.chosen for c in search.evaluated if c.generation == 1]
    assert len(children) == 8
    for child in children:
        for one, other, mixed in zip(a.chosen, b.chosen, child, strict=True):
            assert len(mixed) in {len(one), len(other)}
            for i, choice in enumerate(mixed):
                assert choice in [stage[i] for stage in (one, other) if i < len(stage)]
    assert possible & set(children)


def test_mutations_alone_keep_most_of_a_parent() -> None:
    search = quick(NO_LIMITS, replace(QUICK, mutated=1.0, generations=1, parents=1))
    parent = max((c for c in search.evaluated if c.generation == 0), key=lambda c: c.accuracy)
    kept = [
        np.mean([a == b for a, b in zip(one, other, strict=False)])
        for c in search.evaluated
        if c.generation == 1
        for one, other in zip(parent.chosen, c.chosen, strict=True)
    ]
    assert len(kept) == 20 * len(parent.chosen) and 0.75 < np.mean(kept) < 1


def test_seeds_differ_and_repeat() -> None:
    assert quick() == whole()
    other = quick(settings=replace(QUICK, seed=1))
    assert [c.digest for c in other.evaluated] != [c.digest for c in whole().evaluated]


def test_a_small_space_is_searched_to_its_end() -> None:
    lines: list[str] = []
    space = replace(tiny_space(), kernels=((3, 3),), expansions=(3, 4))
    search = evolve(
        space, synthetic_accuracies, synthetic_costs, NO_LIMITS, QUICK, progress=lines.append
    )
    assert len(search.evaluated) == space.size == 8
    assert search.generation < QUICK.generations
    assert "no other network fits; the search ends" in lines[-1]


# ---- limits that are hard to meet --------------------------------------------------------------


def test_where_samples_never_fit_the_population_grows_from_the_smallest() -> None:
    space = middle_space()
    least = synthetic_cost(space.architecture(space.smallest))
    limits = Limits(cycles=round(least.cycles * 1.3))
    sampled = [synthetic_cost(space.architecture(c)) for c in draws(space, 3000)]
    assert sum(exceeds(cost, limits) is None for cost in sampled) <= 1
    search = quick(limits)
    assert len(search.evaluated) == 7 * 20
    assert all(exceeds(c.cost, limits) is None for c in search.evaluated)
    start = max(c.accuracy for c in search.evaluated if c.generation == 0)
    assert search.best.accuracy > start


def test_limits_that_nothing_satisfies_name_the_smallest_cost() -> None:
    space = middle_space()
    least = synthetic_cost(space.architecture(space.smallest))
    limits = Limits(sram=10 * least.sram, flash=least.flash - 1, cycles=least.cycles - 1000)
    with pytest.raises(BudgetError) as caught:
        quick(limits)
    message = str(caught.value)
    assert f"search space '{space.name}': no network fits" in message
    assert f"flash: {least.flash} bytes, limit {least.flash - 1}" in message
    assert f"time: {least.cycles} cycles, limit {least.cycles - 1000}" in message
    assert f"limit {10 * least.sram}" in message and "Raise the limit" in message


def test_limits_that_are_met_one_at_a_time_only() -> None:
    space = middle_space()

    def costs(architectures: Sequence[Architecture]) -> list[NetworkCost]:
        slow = [int(architecture.digest, 16) % 2 for architecture in architectures]
        return [
            replace(cost, cycles=100 + 200 * odd, arena_bytes=9000 - 8000 * odd)
            for cost, odd in zip(synthetic_costs(architectures), slow, strict=True)
        ]

    with pytest.raises(BudgetError, match="each limit is met by some network, all of them by none"):
        evolve(space, synthetic_accuracies, costs, Limits(sram=8000, cycles=200), QUICK)


# ---- resuming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["accuracy", "front"])
def test_a_killed_search_resumes_to_the_same_result(objective: str, tmp_path: Path) -> None:
    settings = replace(QUICK, objective=objective)
    expected = quick(settings=settings)
    file = tmp_path / "evolution.json"
    for killed in (0, 3, 5):
        asked = 0

        def fitness(chosen: Sequence[SubNetwork], killed: int = killed) -> list[float]:
            nonlocal asked
            asked += 1
            if asked == killed + 2:
                raise KeyboardInterrupt
            return synthetic_accuracies(chosen)

        with pytest.raises(KeyboardInterrupt):
            evolve(
                middle_space(),
                fitness,
                synthetic_costs,
                TIGHT,
                settings,
                save=lambda search: write_search(search, file),
            )
        resumed = read_search(file)
        assert resumed.generation == killed
        assert quick(settings=settings, resumed=resumed) == expected
    assert [f.name for f in tmp_path.iterdir()] == ["evolution.json"]


def test_a_search_can_be_prolonged() -> None:
    assert quick(resumed=quick(settings=replace(QUICK, generations=3))) == whole()
    assert quick(resumed=whole()) == whole()


@pytest.mark.parametrize(
    ("settings", "limits", "message"),
    [
        (replace(QUICK, seed=1), TIGHT, "other settings"),
        (QUICK, replace(TIGHT, flash=1), "other limits"),
    ],
)
def test_another_search_is_not_resumed(settings: Settings, limits: Limits, message: str) -> None:
    with pytest.raises(DataError, match=message):
        quick(limits, settings, resumed=whole())


def test_a_search_of_a_space_that_has_changed_is_not_resumed() -> None:
    resumed = whole()
    for changed in (
        replace(middle_space(), head=64),
        replace(middle_space(), stages=middle_space().stages[:3]),
    ):
        with pytest.raises(DataError, match="not in search space 'w0.5-r32-s1' as it is now"):
            evolve(changed, synthetic_accuracies, synthetic_costs, TIGHT, QUICK, resumed=resumed)
    with pytest.raises(DataError, match="other space: w0.5-r32-s1, not w1"):
        other = replace(middle_space(), name="w1")
        evolve(other, synthetic_accuracies, synthetic_costs, TIGHT, QUICK, resumed=resumed)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(format="x"),
        lambda v: v.pop("limits"),
        lambda v: v["limits"].update(ram=1),
        lambda v: v["settings"].update(population=0),
        lambda v: v["settings"].update(population="many"),
        lambda v: v.update(evaluated=[]),
        lambda v: v["evaluated"][3].pop("cost"),
        lambda v: v["evaluated"][3].update(chosen=[[[3, 3]]]),
        lambda v: v["evaluated"][3].update(chosen=4),
        lambda v: v["evaluated"][3].update(accuracy="high"),
    ],
)
def test_damaged_states_are_refused(change: Callable[[dict[str, Any]], None]) -> None:
    search = quick(NO_LIMITS, replace(QUICK, generations=0))
    value = json.loads(json.dumps(search_to_json(search)))
    assert search_from_json(value, "state") == search
    change(value)
    with pytest.raises(DataError):
        search_from_json(value, "state")


def test_files_that_are_no_state(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_search(tmp_path / "none.json")
    file = tmp_path / "half.json"
    for content in (b"", b'{"format": "thumb', b"\xff\xfe", b"[" * 100_000, b"[]"):
        file.write_bytes(content)
        with pytest.raises(DataError, match="half.json"):
            read_search(file)
    with pytest.raises(ToolError, match="cannot write"):
        write_search(whole(), file / "state.json")


def test_history_has_a_row_for_each_network(tmp_path: Path) -> None:
    search = whole()
    write_history(search, tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(list(history(search))) == len(search.evaluated)
    for row, each in zip(rows, search.evaluated, strict=True):
        assert row["digest"] == each.digest and int(row["generation"]) == each.generation
        assert float(row["accuracy"]) == pytest.approx(each.accuracy, abs=1e-6)
        assert int(row["arena_bytes"]) == each.cost.arena_bytes
        assert int(row["flash"]) == each.cost.flash and int(row["cycles"]) == each.cost.cycles
        assert int(row["macs"]) == each.cost.macs and int(row["params"]) == each.cost.params


# ---- what the caller does wrong ----------------------------------------------------------------


@pytest.mark.parametrize("accuracy", [float("nan"), float("inf")])
def test_an_accuracy_that_is_no_number_is_refused(accuracy: float) -> None:
    with pytest.raises(DataError, match="has accuracy (nan|inf); look at the training"):
        evolve(middle_space(), lambda c: [accuracy] * len(c), synthetic_costs, TIGHT, QUICK)


@pytest.mark.parametrize(
    "change",
    [
        {"population": 1},
        {"generations": -1},
        {"parents": 0},
        {"mutation_rate": 1.5},
        {"mutated": -0.1},
        {"objective": "speed"},
        {"tries": 0},
        {"seed": -1},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(change))):
        Settings(**change)


def test_progress_tells_generations_accuracies_and_time() -> None:
    lines: list[str] = []
    quick(progress=lines.append)
    assert len(lines) == 7
    assert lines[3].startswith("generation 3 of 6: 20 networks, median ")
    assert "best so far" in lines[3] and lines[3].endswith(" left")


# ---- the front ---------------------------------------------------------------------------------


def test_the_front_of_a_space_that_can_be_enumerated() -> None:
    space = tiny_space()
    every = [
        (synthetic_cost(space.architecture(chosen)).cycles, synthetic_accuracy(chosen))
        for chosen in every_sub_network(space)
    ]
    true = {
        (c, a)
        for c, a in every
        if not any(d <= c and b >= a and (d, b) != (c, a) for d, b in every)
    }
    settings = replace(QUICK, objective="front", population=16, generations=5)
    search = evolve(space, synthetic_accuracies, synthetic_costs, NO_LIMITS, settings)
    assert len(search.evaluated) < len(every) / 2
    found = [(each.cost.cycles, each.accuracy) for each in search.front]
    assert found == sorted(found) and len(set(found)) == len(found)
    assert [accuracy for _, accuracy in found] == sorted(accuracy for _, accuracy in found)
    assert len(true & set(found)) >= 0.8 * len(true) > 5
    slowest = max(found)
    assert slowest[1] == max(accuracy for _, accuracy in every)


def test_the_front_keeps_the_other_limits() -> None:
    limits = replace(TIGHT, cycles=None)
    search = quick(limits, replace(QUICK, objective="front", generations=10))
    assert all(exceeds(each.cost, limits) is None for each in search.evaluated)
    cycles = [each.cost.cycles for each in search.front]
    assert len(cycles) > 8 and cycles[-1] > 2 * cycles[0]
    for each in search.evaluated:  # nobody beats the front
        assert any(
            f.cost.cycles <= each.cost.cycles and f.accuracy >= each.accuracy for f in search.front
        )
    first = [c for c in search.evaluated if c.generation == 0]
    assert volume(search.front) > 1.02 * volume(Search("", limits, QUICK, 0, tuple(first)).front)


def volume(found: Sequence[Candidate]) -> float:
    """Hypervolume up to 60 M cycles, in accuracy times Mcycles."""
    ends = [*(c.cost.cycles / 1e6 for c in found[1:]), 60.0]
    return sum(c.accuracy * (end - c.cost.cycles / 1e6) for c, end in zip(found, ends, strict=True))


# ---- with the planner's costs ------------------------------------------------------------------


STAGES = (Stage(8, (1, 1), (1, 2)), Stage(16, (2, 2), (1,)))


def test_a_search_by_the_compilers_own_costs() -> None:
    space = replace(SMALL_IMAGES.space(0.2, (20, 20, 3), (2, 2), 10), stages=STAGES)
    limits = Limits(sram=8 << 10, flash=64 << 10, cycles=1_120_000)
    settings = Settings(population=4, generations=1, parents=2)
    with CostOracle(Deployment(), limits) as oracle:
        search = evolve(space, synthetic_accuracies, oracle.costs, limits, settings)
    assert len(search.evaluated) == 8
    assert all(exceeds(each.cost, limits) is None for each in search.evaluated)
