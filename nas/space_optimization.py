"""Stage 1: which search space suits the limits.

MCUNet (Lin et al., NeurIPS 2020, section 3.1) samples each space, keeps the networks that fit and
compares the distributions of their FLOPs: within one family of networks more computation is more
accuracy, so the space whose distribution lies further right is the better one. Nothing is trained.

What is compared here is one point of that distribution, as the paper does (its figure 4): a
space's reach is the number of MACs that the uppermost tenth (`UPPER`) of its networks that fit have
at least. Evolution starts from networks that fit and stays among them, so it is their distribution
that counts, and not what share of the space they are, as long as they can be found at all: a space
in which less than a hundredth (`RARE`) of the sampled networks fit has no reach.

A mean would be moved by small networks, of which a wide space has few that fit; a rarer quantile
than a tenth would be the luck of the draw where only some ten of a thousand samples fit.

Among spaces of equal reach the one of which more fits is taken, then the one whose smallest network
is larger: where hardly anything fits, reaches are 0. A space whose smallest network does not fit is
left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from thumbnet.codegen.errors import BudgetError, DataError
from thumbnet.nas.architecture import Architecture, macs
from thumbnet.nas.cost import Limits, NetworkCost, exceeds
from thumbnet.nas.progress import Progress, duration
from thumbnet.nas.search_space import SearchSpace, sample

Costs = Callable[[Sequence[Architecture]], list[NetworkCost]]

FORMAT = "thumbnet-space-1"
SAMPLES = 1000
UPPER = 0.1  # share of the networks that fit
RARE = 0.01  # share of a space's networks
BATCH = 100  # networks whose costs are asked at once
DOUBT = 1e-3  # chance of giving up a space that would have won


@dataclass(frozen=True)
class SpaceReport:
    """What is known of one space. Its first `asked` samples were costed: all of them, or as many as
    it took to see that it will not win; none where not even its smallest network fits."""

    name: str
    width: float
    input_shape: tuple[int, int, int]
    asked: int
    macs: tuple[int, ...]  # of those that fit, rising
    smallest_macs: int  # of the space's smallest network; 0 where that does not fit
    complete: bool

    @property
    def fits(self) -> float:
        """Share of the networks asked for that fit, 0 to 1."""
        return len(self.macs) / self.asked if self.asked else 0.0

    @property
    def mean(self) -> float:
        """MACs of those that fit; 0 where none does."""
        return sum(self.macs) / len(self.macs) if self.macs else 0.0

    @property
    def reach(self) -> int:
        """MACs; see the module. An estimate while the space is not complete."""
        return _reach(self.macs, self.asked)

    @property
    def key(self) -> tuple[int, float, int]:
        """Of two spaces the one with the larger key is the better."""
        return self.reach, self.fits, self.smallest_macs


@dataclass(frozen=True)
class SpaceChoice:
    """The spaces in the order given and the name of the one to search."""

    limits: Limits
    samples: int
    seed: int
    spaces: tuple[SpaceReport, ...]
    chosen: str

    @property
    def best(self) -> SpaceReport:
        return next(space for space in self.spaces if space.name == self.chosen)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"format": FORMAT, **asdict(self)}


def choose_space(
    spaces: Sequence[SearchSpace],
    costs: Costs,
    limits: Limits,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    exhaustive: bool = False,
    costs_that_fit: Costs | None = None,
    progress: Progress = lambda line: None,
) -> SpaceChoice:
    """Samples each space `samples` times and takes the best. The same seed gives the same choice.

    Costs are asked for `BATCH` of each space at first, then in the order of what that promises; of
    a space no more when the chance that it still beats the best, given how many of its networks did
    fit, is below `DOUBT`. With `exhaustive` all are asked for. `costs_that_fit`, which need not be
    exact for what is beyond the limits, is asked instead of `costs` where only that matters.

    Raises BudgetError where no space's smallest network fits, DataError for no spaces or samples.
    """
    if not spaces or samples < 1:
        raise DataError("choosing a search space needs at least one space and one sample")
    drawn = [_Sampled(space, index, samples, seed) for index, space in enumerate(spaces)]
    open_ones = _with_smallest(drawn, costs, limits)
    costs = costs_that_fit or costs
    started = time.monotonic()
    for i, each in enumerate(open_ones):
        each.ask(costs, limits, samples if exhaustive else BATCH)
        left = (time.monotonic() - started) / (i + 1) * (len(open_ones) - i - 1)
        progress(
            f"space {i + 1} of {len(open_ones)}, {each.space.name}: {each.report.fits:.0%} fit, "
            f"{duration(left)} left"
        )
    order = sorted(open_ones, key=lambda each: each.report.key, reverse=True)
    best = order[0]
    if len(order) > 1:
        best = _race(order, costs, limits, progress)
    return SpaceChoice(limits, samples, seed, tuple(each.report for each in drawn), best.space.name)


def _race(order: Sequence[_Sampled], costs: Costs, limits: Limits, progress: Progress) -> _Sampled:
    """The best of spaces, the most promising first; asks of each until it is complete or beaten."""
    best = order[0]
    started, before = time.monotonic(), sum(each.asked for each in order)
    for i, each in enumerate(order):
        while not each.complete and (each is best or not each.is_beaten_by(best.report)):
            each.ask(costs, limits, BATCH)
            asked = sum(other.asked for other in order) - before
            waiting = sum(len(other.drawn) - other.asked for other in order[i:])
            left = (time.monotonic() - started) / asked * waiting
            progress(
                f"{each.asked} networks of {each.space.name}: {each.report.fits:.0%} fit, "
                f"at most {duration(left)} left"
            )
        if each.complete and each.report.key > best.report.key:
            best = each
    return best


def least_costs(found: Iterable[tuple[str, NetworkCost]], limits: Limits) -> str:
    """In words the least of each limited resource among costs, each with the name of whose it is
    (empty: not said)."""
    costs = list(found)
    texts, broken = [], False
    for label, unit, limit, needed in (
        ("SRAM", "bytes", limits.sram, [cost.sram for _, cost in costs]),
        ("flash", "bytes", limits.flash, [cost.flash for _, cost in costs]),
        ("time", "cycles", limits.cycles, [cost.cycles for _, cost in costs]),
    ):
        if limit is not None:
            least = min(needed)
            name = costs[needed.index(least)][0]
            broken |= least > limit
            texts.append(f"{label}: {least} {unit}{name and f' ({name})'}, limit {limit}")
    together = "" if broken else "; each limit is met by some network, all of them by none"
    return f"the least that was found is {'; '.join(texts)}{together}"


class _Sampled:
    """A space's samples, of which the first `asked` have been costed."""

    def __init__(self, space: SearchSpace, index: int, samples: int, seed: int) -> None:
        rng = np.random.default_rng((seed, 1, index))  # 1: the stage
        self.space = space
        self.drawn = [sample(space, rng) for _ in range(samples)]
        self.macs = [macs(space.architecture(chosen)) for chosen in self.drawn]
        self.asked = 0
        self.fitting: list[int] = []  # MACs
        self.smallest_macs = 0

    @property
    def complete(self) -> bool:
        return self.asked == len(self.drawn)

    @property
    def report(self) -> SpaceReport:
        return SpaceReport(
            self.space.name,
            self.space.width,
            self.space.input_shape,
            self.asked,
            tuple(sorted(self.fitting)),
            self.smallest_macs,
            self.complete,
        )

    def ask(self, costs: Costs, limits: Limits, count: int) -> None:
        """Asks for `count` more, or as many as there are."""
        stop = min(self.asked + count, len(self.drawn))
        asked = [self.space.architecture(chosen) for chosen in self.drawn[self.asked : stop]]
        for found, cost in zip(self.macs[self.asked : stop], costs(asked), strict=True):
            if exceeds(cost, limits) is None:
                self.fitting.append(found)
        self.asked = stop

    def is_beaten_by(self, best: SpaceReport) -> bool:
        """Whether this space will hardly be as good as a complete one.

        What was asked for are draws without replacement: if just enough of all samples fitted, the
        number seen would be hypergeometric. If just a tenth of those that fit had the MACs of the
        best one's reach, that number would be binomial at the most.
        """
        left = len(self.drawn) - self.asked
        level, seen = best.reach, len(self.fitting)
        needed = _needed(len(self.drawn)) if level else len(best.macs)
        if seen + left < needed or _hardly(seen, self.asked, needed, len(self.drawn)):
            return True
        if not level or not seen:
            return False
        above = sum(found >= level for found in self.fitting)
        return _binomial(above, seen, UPPER) < DOUBT


def _with_smallest(drawn: Sequence[_Sampled], costs: Costs, limits: Limits) -> list[_Sampled]:
    """Those whose smallest network fits. Raises BudgetError where there are none."""
    smallest = [each.space.architecture(each.space.smallest) for each in drawn]
    found = costs(smallest)
    for each, architecture, cost in zip(drawn, smallest, found, strict=True):
        if exceeds(cost, limits) is None:
            each.smallest_macs = macs(architecture)
    fitting = [each for each in drawn if each.smallest_macs]
    if not fitting:
        names = [each.space.name for each in drawn]
        least = least_costs(zip(names, found, strict=True), limits)
        raise BudgetError(
            f"no network of {len(names)} search spaces, {names[0]} to {names[-1]}, fits: their "
            f"smallest ones do not; {least}. Raise the limit that is broken, or give narrower "
            "spaces or lower resolutions"
        )
    return fitting


def _reach(fitting: Sequence[int], samples: int) -> int:
    """MACs that the uppermost tenth of those that fit, at least one, have; 0 where few fit."""
    if not fitting or len(fitting) < _needed(samples):
        return 0
    return sorted(fitting)[-math.ceil(UPPER * len(fitting))]


def _needed(samples: int) -> int:
    """How many of so many samples have to fit for a reach."""
    return math.ceil(RARE * samples)


def _hardly(seen: int, asked: int, needed: int, drawn: int) -> bool:
    """Whether so few would hardly be seen among those asked for if `needed` of all drawn fitted."""
    if seen >= needed:
        return False
    least = max(0, asked - (drawn - needed))
    all_ways = _log_comb(drawn, asked)
    chance = sum(
        math.exp(_log_comb(needed, i) + _log_comb(drawn - needed, asked - i) - all_ways)
        for i in range(least, seen + 1)
    )
    return chance < DOUBT


def _binomial(most: int, of: int, chance: float) -> float:
    """The probability of `most` or fewer successes."""
    success, failure = math.log(chance), math.log1p(-chance)
    return sum(
        math.exp(_log_comb(of, i) + i * success + (of - i) * failure) for i in range(most + 1)
    )


def _log_comb(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)


# ---- JSON --------------------------------------------------------------------------------------


def from_json(value: Any, source: str) -> SpaceChoice:
    """The choice of a JSON object as `to_json` writes it; `source` names it in messages. Raises
    DataError."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DataError(f"{source}: no choice of a search space; remove it to choose anew")
    try:
        made = SpaceChoice(
            Limits(**value["limits"]),
            int(value["samples"]),
            int(value["seed"]),
            tuple(
                SpaceReport(
                    str(space["name"]),
                    float(space["width"]),
                    _shape(space["input_shape"]),
                    int(space["asked"]),
                    tuple(int(n) for n in space["macs"]),
                    int(space["smallest_macs"]),
                    bool(space["complete"]),
                )
                for space in value["spaces"]
            ),
            str(value["chosen"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source}: damaged ({error!r}); remove it to choose anew") from error
    if made.chosen not in {space.name for space in made.spaces}:
        raise DataError(f"{source}: damaged (no space '{made.chosen}'); remove it to choose anew")
    return made


def _shape(value: Any) -> tuple[int, int, int]:
    height, width, channels = value
    return int(height), int(width), int(channels)
