"""Stage 1: the criterion by hand, what is left out, and asking less for the same choice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
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
    SpaceChoice,
    SpaceReport,
    _binomial,
    _hardly,
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
def choose(limits: Limits = LIMITS, samples: int = 200, **more: Any) -> SpaceChoice:
    return choose_space(SPACES, synthetic_costs, limits, samples=samples, **more)


def report(name: str, fitting: Sequence[int], asked: int = 10) -> SpaceReport:
    return SpaceReport(name, 0.5, (32, 32, 3), asked, tuple(sorted(fitting)), 1, True)


def test_fits_mean_and_reach_by_hand() -> None:
    one = report("one", [5, 1, 9, 3], asked=200)
    assert (one.fits, one.mean, one.reach) == (0.02, 4.5, 9)  # a tenth of 4, rounded up: 1
    assert report("few", [7], asked=200).reach == 0  # a hundredth of 200 is 2 networks
    assert report("none", []).mean == report("none", []).fits == 0
    assert report("new", [], asked=0).fits == 0
    assert report("all", range(1000), asked=1000).reach == 900
    assert report("odd", [1, 2, 3], asked=201).reach == 3  # a hundredth, rounded up: 3 have to fit
    assert report("odd", [1, 2], asked=201).reach == 0
    assert report("many", range(11), asked=11).reach == 9  # a tenth of 11, rounded up: 2


@pytest.mark.parametrize("limits", EVERY_LIMIT, ids=str)
def test_the_choice_is_what_the_criterion_says(limits: Limits) -> None:
    """All networks costed and ranked in the plainest way."""
    rows = []
    for space, found in zip(SPACES, choose(limits, exhaustive=True).spaces, strict=True):
        rng = np.random.default_rng((0, 1, SPACES.index(space)))
        drawn = [space.architecture(sample(space, rng)) for _ in range(200)]
        fit = [macs(a) for a in drawn if exceeds(synthetic_cost(a), limits) is None]
        reach = sorted(fit)[-((len(fit) + 9) // 10)] if len(fit) >= 2 else 0
        smallest = space.architecture(space.smallest)
        if exceeds(synthetic_cost(smallest), limits) is None:
            assert found.macs == tuple(sorted(fit)) and found.asked == 200
            assert found.reach == reach
            rows.append((found.reach, len(fit), macs(smallest), space.name))
        else:
            assert not fit and found.asked == 0
    assert choose(limits, exhaustive=True).chosen == max(rows)[3]


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
    refuted = [s for s in found.spaces if not s.complete and s.asked]
    assert len(refuted) > 3 and min(space.asked for space in refuted) == BATCH
    assert sum(asked.calls) < 0.5 * 1000 * len(SPACES)
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


def test_few_large_networks_that_fit_do_not_win() -> None:
    """The wide space has the larger mean of those that fit, but hardly any of it fits."""
    largest = sorted(drawn(WIDE, 1, 400), key=macs)[-3:]
    costs = fitting_only(*drawn(NARROW, 0, 400), *largest)
    quick, full = (
        choose_space([NARROW, WIDE], costs, ONE_CYCLE, samples=400, exhaustive=exhaustive)
        for exhaustive in (False, True)
    )
    assert quick.chosen == full.chosen == NARROW.name
    one, other = full.spaces
    assert other.mean > 2 * one.mean and len(other.macs) == 3 and one.fits == 1


def test_a_space_that_shows_late_what_it_has_is_not_given_up() -> None:
    """One of its first hundred fits, of which a space with nothing to show may have as many."""
    late = drawn(WIDE, 1, 400)
    costs = fitting_only(*drawn(NARROW, 0, 400), late[50], *late[150:155])
    found = choose_space([NARROW, WIDE], costs, ONE_CYCLE, samples=400)
    assert found.chosen == WIDE.name and found.best.complete


def test_where_reaches_are_0_a_space_is_given_up_by_how_many_fit() -> None:
    """5 of the narrow space fit, soon; 9 of the wide one, late: not before half of it was asked."""
    costs = fitting_only(*drawn(NARROW, 0, 1000)[:5], *drawn(WIDE, 1, 1000)[520:529])
    found = choose_space([NARROW, WIDE], costs, ONE_CYCLE, samples=1000)
    assert [space.reach for space in found.spaces] == [0, 0]
    assert found.chosen == WIDE.name and len(found.best.macs) == 9


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


def test_chances_of_many_samples() -> None:
    """By hand, and where powers and binomials are beyond floating point."""
    assert _binomial(1, 4, 0.1) == pytest.approx(0.9**4 + 4 * 0.1 * 0.9**3)
    assert _binomial(220, 2200, 0.1) == pytest.approx(0.5, abs=0.05)
    assert _binomial(10_000, 100_000, 0.1) == pytest.approx(0.5, abs=0.01)
    assert not _hardly(0, 100, 10, 1000)  # 0.9 ** 10 and a little less
    assert _hardly(0, 100, 100, 1000) and not _hardly(10, 100, 10, 1000)
    assert _hardly(10, 50_000, 1000, 100_000) and not _hardly(480, 50_000, 1000, 100_000)


def test_the_seed_alone_decides() -> None:
    assert choose_space(SPACES, synthetic_costs, LIMITS, samples=200) == choose()
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
    limits = Limits(sram=16 << 10, flash=64 << 10, cycles=3_000_000)
    found = []
    for processes in (1, 2):
        with CostOracle(Deployment(), limits, processes) as oracle:
            found.append(choose_space(spaces, oracle.costs, limits, samples=10))
    assert found[0] == found[1]
    assert found[0].chosen == "w0.2-r20-s2" and 0 < found[0].best.fits < 1
    assert found[0].spaces[1].asked == 0
