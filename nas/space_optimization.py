"""Stage 1: which search space suits the limits.

MCUNet (Lin et al., NeurIPS 2020, section 3.1) samples each space, keeps the networks that fit and
compares the distributions of their FLOPs: within one family of networks more computation is more
accuracy, so the space whose networks compute more is the better one. Nothing is trained. As in the
paper's figure 4, a distribution is told by its mean.

What share of a space fits does not count for that, as evolution starts from networks that fit and
stays near them. Where few fit more are drawn (`RAREST` times the samples at most) until `FITTING`
are found; a space of which fewer are found then has no mean worth the name and comes last.

Means of so few networks are uncertain by some 3 %, and what a tenth more MACs are worth in accuracy
is less than the spread between seeds (docs/results.md). So of the spaces whose means are within
`NEAR` of the greatest the one is taken of which the most fits: narrower, with a smaller
super-network and more networks to choose from. Where no space has `FITTING`, it is the one of which
most fits, then the one whose smallest network is larger. A space whose smallest network does not
fit is left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
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
FITTING = 20  # networks that fit, for a mean
RAREST = 20  # times the samples are drawn where fewer fit
NEAR = 0.9  # of the greatest mean
BATCH = 100  # networks whose costs are asked at once
DOUBT = 1e-3  # chance of giving up a space that has enough that fit
UNSURE = 4.0  # standard errors of a mean


@dataclass(frozen=True)
class SpaceReport:
    """What is known of one space. `asked` of its samples were costed: until it was complete, or as
    many as it took to see that it will not win; none where not even its smallest network fits."""

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
        return fmean(self.macs) if self.macs else 0.0

    @property
    def has_mean(self) -> bool:
        """Whether enough fit for the mean to count."""
        return len(self.macs) >= FITTING

    @property
    def key(self) -> tuple[float, float, int]:
        """Of two spaces the one with the larger key promises more."""
        return self.mean if self.has_mean else 0.0, self.fits, self.smallest_macs


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
    """Samples each space and takes the best. The same seed gives the same choice.

    Of each space `BATCH` are costed at first and then, the most promising space first, `samples`
    and as many more as the module tells; no more of a space when its mean is below those near the
    best by `UNSURE` standard errors, or when the chance that enough of it fit, given how many did,
    is below `DOUBT`. With `exhaustive` no space is given up. `costs_that_fit`, which need not be
    exact for what is beyond the limits, is asked instead of `costs` where only that matters.

    Raises BudgetError where no space's smallest network fits, DataError for no spaces or samples.
    """
    if not spaces or samples < 1:
        raise DataError("choosing a search space needs at least one space and one sample")
    sampled = [_Sampled(space, index, samples, seed) for index, space in enumerate(spaces)]
    fitting = _with_smallest(sampled, costs, limits)
    costs = costs_that_fit or costs
    started = time.monotonic()
    for i, each in enumerate(fitting):
        each.ask(costs, limits)
        left = (time.monotonic() - started) / (i + 1) * (len(fitting) - i - 1)
        progress(
            f"space {i + 1} of {len(fitting)}, {each.space.name}: {each.report.fits:.1%} fit, "
            f"{duration(left)} left"
        )
    if len(fitting) > 1:
        _complete(fitting, costs, limits, exhaustive, progress)
    chosen = best_of([each.report for each in fitting])
    return SpaceChoice(limits, samples, seed, tuple(each.report for each in sampled), chosen.name)


def best_of(spaces: Sequence[SpaceReport]) -> SpaceReport:
    """The space to search: of those near the greatest mean the one of which most fits."""
    most = max(spaces, key=lambda space: space.key)
    near = [each for each in spaces if each.has_mean and each.mean >= NEAR * most.mean]
    return max(near or [most], key=lambda space: (space.fits, space.key))


def _complete(
    spaces: Sequence[_Sampled],
    costs: Costs,
    limits: Limits,
    exhaustive: bool,
    progress: Progress,
) -> None:
    """Asks of each, the most promising first, until it is complete or will not win."""
    best: SpaceReport | None = None
    started, before = time.monotonic(), sum(each.asked for each in spaces)
    order = sorted(spaces, key=lambda each: each.report.key, reverse=True)
    for i, each in enumerate(order):
        while not each.complete and (exhaustive or not each.is_hopeless(best)):
            each.ask(costs, limits)
            found = each.report
            pace = (time.monotonic() - started) / (sum(each.asked for each in spaces) - before)
            left = pace * sum(other.left for other in order[i:])
            progress(
                f"{found.asked} networks of {found.name}: {found.fits:.2%} fit, "
                f"{found.mean:,.0f} MACs, at most {duration(left)} left"
            )
        if each.complete and (best is None or each.report.key > best.key):
            best = each.report


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
    """A space and those of its samples that have been costed."""

    def __init__(self, space: SearchSpace, index: int, samples: int, seed: int) -> None:
        self.space = space
        self.samples = samples
        self.asked = 0
        self.fitting: list[int] = []  # MACs
        self.smallest_macs = 0
        self._rng = np.random.default_rng((seed, 1, index))  # 1: the stage

    @property
    def left(self) -> int:
        """How many more are asked for at most."""
        most = self.samples if len(self.fitting) >= FITTING else RAREST * self.samples
        return max(0, most - self.asked)

    @property
    def complete(self) -> bool:
        return not self.left

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

    def ask(self, costs: Costs, limits: Limits) -> None:
        """Asks for `BATCH` more, or as many as `samples` or what it is a multiple of leave."""
        count = min(BATCH, self.samples - self.asked % self.samples)
        drawn = [self.space.architecture(sample(self.space, self._rng)) for _ in range(count)]
        for architecture, cost in zip(drawn, costs(drawn), strict=True):
            if exceeds(cost, limits) is None:
                self.fitting.append(macs(architecture))
        self.asked += count

    def is_hopeless(self, best: SpaceReport | None) -> bool:
        """Whether this space will hardly be chosen, given the best of those that are complete.

        Were just enough of it to fit, the number seen among those asked for would be Poisson.
        """
        seen = len(self.fitting)
        if seen < FITTING:
            expected = FITTING * self.asked / (RAREST * self.samples)
            return _poisson(seen, expected) < DOUBT
        if best is None or not best.has_mean:
            return False
        error = stdev(self.fitting) / math.sqrt(seen)
        return fmean(self.fitting) + UNSURE * error < NEAR * best.mean


def _with_smallest(sampled: Sequence[_Sampled], costs: Costs, limits: Limits) -> list[_Sampled]:
    """Those whose smallest network fits. Raises BudgetError where there are none."""
    smallest = [each.space.architecture(each.space.smallest) for each in sampled]
    found = costs(smallest)
    for each, architecture, cost in zip(sampled, smallest, found, strict=True):
        if exceeds(cost, limits) is None:
            each.smallest_macs = macs(architecture)
    fitting = [each for each in sampled if each.smallest_macs]
    if not fitting:
        names = [each.space.name for each in sampled]
        least = least_costs(zip(names, found, strict=True), limits)
        raise BudgetError(
            f"no network of {len(names)} search spaces, {names[0]} to {names[-1]}, fits: their "
            f"smallest ones do not; {least}. Raise the limit that is broken, or give narrower "
            "spaces or lower resolutions"
        )
    return fitting


def _poisson(most: int, expected: float) -> float:
    """The probability of `most` or fewer events."""
    return sum(
        math.exp(i * math.log(expected) - expected - math.lgamma(i + 1)) for i in range(most + 1)
    )


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
