"""Stage 1: which search space suits the limits.

MCUNet (Lin et al., NeurIPS 2020, section 3.1) samples each space, keeps the networks that fit and
compares the distributions of their FLOPs: within one family of networks more computation is more
accuracy, so the space whose distribution lies further right is the better one. Nothing is trained.

What is compared here is one point of that distribution, the paper's 80 % line: a space's reach is
the largest number of MACs that at least a fifth (`REACHED`) of all its sampled networks both fit
and have. Networks that do not fit count as having none. So
- a space does not win by a few networks that happen to fit, nor because its small networks are cut
  off by the limits of others: a mean over those that fit would reward both;
- whatever the limits are made of (SRAM, flash, cycles), the space wins in which large networks that
  fit are common, which is also where the super-network is trained on what can be used.

Among spaces of equal reach the one of which more fits is taken, then the one whose smallest network
fits and is larger: where hardly anything fits, reaches are 0.
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
REACHED = 0.2  # share of a space's networks
BATCH = 100  # networks whose costs are asked at once


@dataclass(frozen=True)
class SpaceReport:
    """What is known of one space. Its first `asked` samples were costed: all of them, or as many as
    it took to see that it cannot win."""

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
    progress: Progress = lambda line: None,
) -> SpaceChoice:
    """Samples each space `samples` times and takes the best.

    Costs are asked for `BATCH` of each space at first, then in the order of what that promises, and
    of a space no more once it cannot win even if all of its others fit. The choice is the same as
    with `exhaustive`, which asks for all.

    Raises BudgetError where no space has a network that fits, DataError for no spaces or samples.
    """
    if not spaces or samples < 1:
        raise DataError("choosing a search space needs at least one space and one sample")
    found = [_Sampled(space, index, samples, seed) for index, space in enumerate(spaces)]
    started = time.monotonic()
    for i, each in enumerate(found):
        each.ask(costs, limits, samples if exhaustive else BATCH)
        left = (time.monotonic() - started) / (i + 1) * (len(found) - i - 1)
        progress(
            f"space {i + 1} of {len(found)}, {each.space.name}: {each.report.fits:.0%} fit, "
            f"{duration(left)} left"
        )
    best = 0
    order = sorted(found, key=lambda each: _key(each.report), reverse=True)
    for i, each in enumerate(order):
        while not each.complete and each.most() >= best:
            each.ask(costs, limits, BATCH)
            spent = (time.monotonic() - started) / sum(other.asked for other in found)
            left = spent * sum(samples - o.asked for o in order[i:] if o.most() >= best)
            progress(
                f"{each.asked} networks of {each.space.name}: {each.report.fits:.0%} fit, "
                f"at most {duration(left)} left"
            )
        if each.complete:
            best = max(best, each.report.reach)
    reports = tuple(each.report for each in found)
    chosen = max((report for report in reports if report.complete), key=_key)
    if not chosen.macs and not chosen.smallest_macs:
        least = least_costs([(o.space.name, cost) for o in found for cost in o.refused], limits)
        raise BudgetError(
            f"no network of {len(spaces)} search spaces, {spaces[0].name} to {spaces[-1].name}, "
            f"fits; {least}. Raise the limit that is broken, or give narrower spaces or lower "
            "resolutions"
        )
    return SpaceChoice(limits, samples, seed, reports, chosen.name)


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
        self.fitting: list[int] = []
        self.refused: list[NetworkCost] = []
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
        """Asks for `count` more, or as many as there are; for the smallest."""
        stop = min(self.asked + count, len(self.drawn))
        chosen = [self.space.smallest, *self.drawn[self.asked : stop]]
        smallest, *answers = costs([self.space.architecture(each) for each in chosen])
        if exceeds(smallest, limits) is None:
            self.smallest_macs = macs(self.space.architecture(self.space.smallest))
        for found, cost in zip(self.macs[self.asked : stop], answers, strict=True):
            if exceeds(cost, limits) is None:
                self.fitting.append(found)
        self.refused += (cost for cost in (smallest, *answers) if exceeds(cost, limits) is not None)
        self.asked = stop

    def most(self) -> int:
        """The reach if all that was not asked for fits."""
        return _reach(self.fitting + self.macs[self.asked :], len(self.drawn))


def _reach(fitting: Sequence[int], samples: int) -> int:
    count = math.ceil(REACHED * samples)
    return sorted(fitting)[-count] if 0 < count <= len(fitting) else 0


def _key(report: SpaceReport) -> tuple[int, float, int]:
    return report.reach, report.fits, report.smallest_macs


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
