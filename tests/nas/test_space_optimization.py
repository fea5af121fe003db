"""Stage 1: the criterion by hand, what is left out, and asking less for the same choice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest

from tests.nas.synthetic import NO_LIMITS, sram_limit, synthetic_cost, synthetic_costs
from thumbnet.codegen.errors import BudgetError, DataError
from thumbnet.nas.architecture import Architecture, macs
from thumbnet.nas.cost import CostOracle, Deployment, Limits, NetworkCost, exceeds
from thumbnet.nas.search_space import SMALL_IMAGES, SearchSpace, Template, sample
from thumbnet.nas.space_optimization import (
    BATCH,
    DOUBT,
    FITTING,
    NEAR,
    RAREST,
    SpaceChoice,
    SpaceReport,
    _poisson,
    best_of,
    choose_space,
    from_json,
)

FEW: Template = replace(SMALL_IMAGES, widths=(0.2, 0.7), resolutions=(20, 32))
SPACES = list(FEW.spaces((32, 32, 3), 10))  # 8 of them
LIMITS = Limits(sram=30_000, flash=120_000, cycles=20_000_000)
EVERY_LIMIT = [
    LIMITS,
    NO_LIMITS,
    Limits(cycles=6_000_000),
    Limits(flash=60_000),
    sram_limit(12_000),
    Limits(flash=44_000, cycles=2_500_000),
]


class Asked:
    """Costs that remember how many were asked."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, architectures: Sequence[Architecture]) -> list[NetworkCost]:
        self.calls.append(len(architectures))
        return synthetic_costs(architectures)


@cache
def choose(limits: Limits = LIMITS, samples: int = 100, **more: Any) -> SpaceChoice:
    return choose_space(SPACES, synthetic_costs, limits, samples=samples, **more)


def report(name: str, fitting: Sequence[int], asked: int = 10) -> SpaceReport:
    return SpaceReport(name, 0.5, (32, 32, 3), asked, tuple(sorted(fitting)), 1, True)


def test_fits_and_mean_by_hand() -> None:
    one = report("one", [5, 1, 9, 3], asked=200)
    assert (one.fits, one.mean, one.has_mean) == (0.02, 4.5, False)
    assert report("none", []).mean == report("none", []).fits == 0
    assert report("new", [], asked=0).fits == 0
    enough, few = report("enough", [7] * FITTING, 500), report("few", [9] * (FITTING - 1), 100)
    assert enough.has_mean and not few.has_mean and enough.key > few.key
    assert report("more", [7] * FITTING, 400).key > enough.key


@pytest.mark.parametrize("limits", EVERY_LIMIT, ids=str)
def test_the_choice_is_what_the_criterion_says(limits: Limits) -> None:
    """All networks costed and ranked in the plainest way."""
    rows = []
    for index, found in enumerate(choose(limits, exhaustive=True).spaces):
        smallest = SPACES[index].architecture(SPACES[index].smallest)
        if exceeds(synthetic_cost(smallest), limits) is not None:
            assert not found.macs and found.asked == 0
            continue
        asked, fit = 0, []
        rest = iter(drawn(SPACES[index], index, 100 * RAREST))
        while asked < 100 or (len(fit) < FITTING and asked < 100 * RAREST):
            some = list(islice(rest, BATCH))
            asked += len(some)
            fit += [macs(a) for a in some if exceeds(synthetic_cost(a), limits) is None]
        assert found.macs == tuple(sorted(fit)) and found.asked == asked and found.complete
        mean = sum(fit) / len(fit) if len(fit) >= FITTING else 0
        rows.append((mean, len(fit) / asked, macs(smallest), found.name))
    most = max(rows)[0]
    near = [row for row in rows if row[0] >= NEAR * most]
    chosen = max(near, key=lambda row: row[1:2] + row[:1]) if most else max(rows)
    assert choose(limits, exhaustive=True).chosen == chosen[3]


@pytest.mark.parametrize("limits", EVERY_LIMIT, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_asking_less_gives_the_same_choice(limits: Limits, seed: int) -> None:
    quick, full = choose(limits, seed=seed), choose(limits, seed=seed, exhaustive=True)
    assert quick.chosen == full.chosen
    assert quick.best == full.best and quick.best.complete
    for some, every in zip(quick.spaces, full.spaces, strict=True):
        assert some.asked <= every.asked
        assert set(some.macs) <= set(every.macs)


def test_hopeless_spaces_cost_little() -> None:
    asked = Asked()
    found = choose_space(SPACES, asked, Limits(cycles=6_000_000), samples=1000)
    by_name = {space.name: space for space in found.spaces}
    assert by_name["w0.7-r32-s1"].asked == 0  # its smallest network is too slow
    hopeless = [s for s in found.spaces if not s.complete and s.asked]
    assert len(hopeless) >= 3 and min(space.asked for space in hopeless) == BATCH
    assert sum(asked.calls) == len(SPACES) + sum(space.asked for space in found.spaces)
    assert max(asked.calls) == BATCH


def drawn(space: SearchSpace, index: int, samples: int) -> list[Architecture]:
    """What seed 0 samples of the space at `index`."""
    rng = np.random.default_rng((0, 1, index))
    return [space.architecture(sample(space, rng)) for _ in range(samples)]


def fitting_only(*those: Architecture) -> Callable[[Sequence[Architecture]], list[NetworkCost]]:
    """Costs by which these are the only ones, and the smallest ones, that fit ONE_CYCLE."""
    smallest = [space.architecture(space.smallest) for space in SPACES]
    fit = {architecture.digest for architecture in (*those, *smallest)}

    def costs(architectures: Sequence[Architecture]) -> list[NetworkCost]:
        return [
            replace(cost, cycles=1 if architecture.digest in fit else 2)
            for architecture, cost in zip(
                architectures, synthetic_costs(architectures), strict=True
            )
        ]

    return costs


ONE_CYCLE = Limits(cycles=1)
NARROW, WIDE = SPACES[2], SPACES[-2]


def chosen_of_two(narrow: Sequence[Architecture], wide: Sequence[Architecture]) -> SpaceChoice:
    """The choice where these are all that fits, which giving up must not change."""
    costs = fitting_only(*narrow, *wide)
    quick, full = (
        choose_space([NARROW, WIDE], costs, ONE_CYCLE, samples=100, exhaustive=exhaustive)
        for exhaustive in (False, True)
    )
    assert quick.chosen == full.chosen
    return quick


def test_rare_networks_win_if_there_are_enough_of_them() -> None:
    """All of the narrow space fits, of the wide one its largest few of 2000."""
    narrow = drawn(NARROW, 0, 100)
    wide = sorted({a.digest: a for a in drawn(WIDE, 1, 100 * RAREST)}.values(), key=macs)
    assert chosen_of_two(narrow, wide[-FITTING:]).chosen == WIDE.name
    few = chosen_of_two(narrow, wide[-FITTING + 3 :])
    assert few.chosen == NARROW.name and few.spaces[1].mean > 2 * few.spaces[0].mean


def test_of_spaces_that_compute_much_the_same_the_one_wins_of_which_most_fits() -> None:
    few, many = report("few", [1000] * FITTING, 500), report("many", [901] * 99, 500)
    assert best_of([few, many]) == many
    assert best_of([few, report("less", [899] * 99, 500)]) == few
    assert best_of([few, report("none", [9000] * (FITTING - 1), 100)]) == few
    assert best_of([report("three", [9] * 3), report("four", [1] * 4)]).name == "four"


def test_a_space_that_shows_late_what_it_has_is_not_given_up() -> None:
    """None of its first 500 fits, five times what is drawn where enough does."""
    late = drawn(WIDE, 1, 600)
    found = chosen_of_two(drawn(NARROW, 0, 100), late[500 : 500 + 2 * FITTING])
    assert found.chosen == WIDE.name and found.best.complete and found.best.asked == 600


def test_without_limits_the_largest_networks_win() -> None:
    found = choose(NO_LIMITS)
    assert found.chosen == "w0.7-r32-s1"
    assert found.best.fits == 1


def test_where_hardly_anything_fits_the_smallest_network_decides() -> None:
    costs = {s.name: synthetic_cost(s.architecture(s.smallest)) for s in SPACES}
    limits = Limits(cycles=costs["w0.2-r32-s2"].cycles)
    found = choose(limits, samples=100)
    fits = [name for name, cost in costs.items() if cost.cycles <= limits.cycles]
    assert len(fits) > 1 and "w0.2-r32-s2" in fits
    assert found.best.smallest_macs > 0
    alone = choose_space(
        [space for space in SPACES if space.name == "w0.2-r32-s2"], synthetic_costs, limits
    )
    assert alone.chosen == "w0.2-r32-s2" and alone.best.fits == 0


def test_nothing_fits_names_the_least_of_each_and_whose_it_is() -> None:
    costs = {s.name: synthetic_cost(s.architecture(s.smallest)) for s in SPACES}
    slow = min(costs, key=lambda name: costs[name].cycles)
    light = min(costs, key=lambda name: costs[name].flash)
    limits = Limits(sram=1 << 20, flash=costs[light].flash - 1, cycles=costs[slow].cycles - 1)
    asked = Asked()
    with pytest.raises(BudgetError) as caught:
        choose_space(SPACES, asked, limits)
    message = str(caught.value)
    assert "no network of 8 search spaces, w0.2-r20-s1 to w0.7-r32-s2, fits" in message
    assert f"time: {costs[slow].cycles} cycles ({slow}), limit {limits.cycles}" in message
    assert f"flash: {costs[light].flash} bytes ({light}), limit {limits.flash}" in message
    assert f"limit {1 << 20}" in message and "Raise the limit" in message
    assert sum(asked.calls) == len(SPACES)  # told at once


def test_chances_by_hand() -> None:
    assert _poisson(0, 2.0) == pytest.approx(np.exp(-2))
    assert _poisson(2, 3.0) == pytest.approx(np.exp(-3) * (1 + 3 + 4.5))
    assert _poisson(FITTING, FITTING) > 0.5 > DOUBT > _poisson(0, 7.0)


def test_the_seed_alone_decides() -> None:
    assert choose_space(SPACES, synthetic_costs, LIMITS, samples=100) == choose()
    assert choose(seed=1).spaces != choose().spaces


def test_one_space_is_not_sampled_to_the_end() -> None:
    asked = Asked()
    found = choose_space(SPACES[:1], asked, LIMITS, samples=1000)
    assert found.chosen == SPACES[0].name and sum(asked.calls) == BATCH + 1


def test_no_spaces_and_no_samples_are_refused() -> None:
    for spaces, samples in (([], 10), (SPACES, 0)):
        with pytest.raises(DataError, match="at least one space and one sample"):
            choose_space(spaces, synthetic_costs, LIMITS, samples=samples)


def test_progress_tells_spaces_shares_and_time() -> None:
    lines: list[str] = []
    choose(progress=lines.append)
    assert lines[0].startswith("space 1 of ") and "% fit, " in lines[0]
    assert all(line.endswith(" left") for line in lines)
    assert any(line.startswith("200 networks of ") and "at most" in line for line in lines)


def test_json_there_and_back() -> None:
    found = choose()
    assert from_json(json.loads(json.dumps(found.to_json())), "space.json") == found


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(format=None),
        lambda v: v.pop("chosen"),
        lambda v: v.update(chosen="w9"),
        lambda v: v.update(spaces=3),
        lambda v: v.update(limits=[1]),
        lambda v: v["limits"].update(ram=3),
        lambda v: v["spaces"][0].pop("macs"),
        lambda v: v["spaces"][0].update(macs=["many"]),
        lambda v: v["spaces"][0].update(input_shape=[3]),
    ],
)
def test_damaged_json_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(json.dumps(choose(samples=20).to_json()))
    change(value)
    with pytest.raises(DataError, match="space.json: .*remove it to choose anew"):
        from_json(value, "space.json")


def test_a_choice_by_the_compilers_own_costs() -> None:
    """The same from one process and from two."""
    template = replace(SMALL_IMAGES, widths=(0.2, 1.0), resolutions=(20,), stem_strides=((2, 2),))
    spaces: list[SearchSpace] = list(template.spaces((32, 32, 3), 10))
    limits = Limits(sram=16 << 10, flash=112 << 10, cycles=3_000_000)
    found = []
    for processes in (1, 2):
        with CostOracle(Deployment(), limits, processes) as oracle:
            found.append(choose_space(spaces, oracle.costs, limits, samples=10))
    assert found[0] == found[1]
    assert found[0].chosen == "w0.2-r20-s2" and 0 < found[0].best.fits < 1
    assert found[0].spaces[1].asked == 0
