"""Stage 3: evolutionary search in one space, under hard limits.

MCUNet's search (Lin et al., NeurIPS 2020, section 3.2 and appendix; after Guo et al., ECCV 2020,
"Single path one-shot"): a first population of networks that fit, then generations of as many
children, half by mutation and half by crossover of the best so far. What does not fit is drawn
again.

With objective "front" it is NSGA-II (see `pareto`) of accuracy against cycles instead: parents are
as many as the population, the least dominated of all that were evaluated, and come by binary
tournaments.

A search is a function of its arguments: neither the number of processes that compute costs or
fitness nor being killed and resumed changes what it finds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from thumbnet.codegen.errors import BudgetError, DataError
from thumbnet.nas.architecture import Architecture
from thumbnet.nas.cost import Limits, NetworkCost, exceeds
from thumbnet.nas.pareto import Floats, survivors
from thumbnet.nas.pareto import front as pareto_front
from thumbnet.nas.progress import Progress, duration
from thumbnet.nas.search_space import SearchSpace, SubNetwork, crossover, mutate, sample
from thumbnet.nas.space_optimization import Costs, least_costs

Fitness = Callable[[Sequence[SubNetwork]], list[float]]  # accuracies, 0 to 1
Random = np.random.Generator

OBJECTIVES = ("accuracy", "front")
FIRST_DRAWS = 10  # samples for each member of the first population; then it grows from what fits
LEAST_BATCH = 32  # networks whose costs are asked at once, so that processes have work


@dataclass(frozen=True)
class Settings:
    """MCUNet's by default. `tries`: how often a child is drawn before a generation does without."""

    population: int = 100
    generations: int = 30
    parents: int = 20  # of objective "accuracy"
    mutation_rate: float = 0.1
    mutated: float = 0.5  # share of the children; the others are crossovers
    objective: str = "accuracy"  # or front: of accuracy against cycles
    tries: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises DataError."""
        for name, least in (("population", 2), ("generations", 0), ("parents", 1), ("tries", 1)):
            if getattr(self, name) < least:
                raise DataError(f"search settings: {name} {getattr(self, name)} is below {least}")
        for name in ("mutation_rate", "mutated"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"search settings: {name} {getattr(self, name)} is not from 0 to 1")
        if self.seed < 0:
            raise DataError(f"search settings: seed {self.seed} is below 0")
        if self.objective not in OBJECTIVES:
            raise DataError(
                f"search settings: objective '{self.objective}' is not one of "
                f"{', '.join(OBJECTIVES)}"
            )


@dataclass(frozen=True)
class Candidate:
    """A network that was evaluated. It fits the limits."""

    chosen: SubNetwork
    digest: str  # of its architecture
    cost: NetworkCost
    accuracy: float  # what the fitness gave, 0 to 1
    generation: int  # that it was born in; 0: the first population


@dataclass(frozen=True)
class Search:
    """What a search has found after some generation; `search_state` keeps it in a file."""

    space: str  # its name
    limits: Limits
    settings: Settings
    generation: int  # that was finished last
    evaluated: tuple[Candidate, ...]  # in the order of evaluation; the next parents are the best

    @property
    def best(self) -> Candidate:
        """The most accurate network; among equals the fastest."""
        return min(self.evaluated, key=order)

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The networks than which none is both more accurate and as fast, or as accurate and
        faster, by rising cycles. Of networks that are equal in both, the first."""
        found = {
            (self.evaluated[i].cost.cycles, self.evaluated[i].accuracy): self.evaluated[i]
            for i in reversed(pareto_front(_points(self.evaluated)))
        }
        return tuple(found[key] for key in sorted(found))


def evolve(
    space: SearchSpace,
    fitness: Fitness,
    costs: Costs,
    limits: Limits,
    settings: Settings = Settings(),
    *,
    resumed: Search | None = None,
    save: Callable[[Search], None] = lambda search: None,
    progress: Progress = lambda line: None,
) -> Search:
    """The search after `settings.generations`, or where no child that fits is left to be found.

    `fitness` is asked once for each network, `costs` for architectures of the space. `save` is
    called after each generation with what `resumed` goes on from. Limits hold for every candidate;
    with objective "front" a limit on cycles ends the front.

    Raises BudgetError where nothing fits, DataError where `resumed` is another search's or an
    accuracy is no number.
    """
    run = _Run(space, fitness, costs, limits, settings)
    if resumed is not None:
        run.check(resumed)
    search = resumed
    started, first = time.monotonic(), search.generation if search else -1
    while search is None or search.generation < settings.generations:
        following = run.first() if search is None else run.next(search)
        if search is not None and len(following.evaluated) == len(search.evaluated):
            progress(f"generation {following.generation}: no other network fits; the search ends")
            break
        search = following
        save(search)
        done, left = search.generation - first, settings.generations - search.generation
        progress(f"{_line(search)}, {duration((time.monotonic() - started) / done * left)} left")
    return search


@dataclass(frozen=True)
class _Fitting:
    """A network that fits and is not evaluated yet."""

    chosen: SubNetwork
    digest: str
    cost: NetworkCost


@dataclass(frozen=True)
class _Run:
    space: SearchSpace
    fitness: Fitness
    costs: Costs
    limits: Limits
    settings: Settings

    def check(self, resumed: Search) -> None:
        """Raises DataError where `resumed` is no earlier state of this run."""
        settings = replace(resumed.settings, generations=self.settings.generations)
        for name, before, now in (
            ("space", resumed.space, self.space.name),
            ("limits", resumed.limits, self.limits),
            ("settings", settings, self.settings),
        ):
            if before != now:
                raise DataError(
                    f"the search to be resumed had other {name}: {before}, not {now}; repeat them, "
                    "or start in another folder"
                )
        for candidate in resumed.evaluated:
            fits_stages = len(candidate.chosen) == len(self.space.stages)
            if not fits_stages or self.digest(candidate.chosen) != candidate.digest:
                raise DataError(
                    f"the search to be resumed has network {candidate.digest}, which is not in "
                    f"search space '{self.space.name}' as it is now; start in another folder"
                )

    def digest(self, chosen: SubNetwork) -> str:
        return self.space.architecture(chosen).digest

    def first(self) -> Search:
        """The first population: the smallest network and samples; where these seldom fit,
        mutations of what does."""
        rng, wanted = self.random(0), self.settings.population
        seen: set[str] = set()
        found: list[_Fitting] = []
        refused: list[NetworkCost] = []
        self.fill(found, 1, 1, seen, lambda: self.space.smallest, refused)
        draws = wanted * (FIRST_DRAWS if found else 1)
        self.fill(found, wanted, draws, seen, lambda: sample(self.space, rng), refused)
        if not found:
            least = least_costs([("", cost) for cost in refused], self.limits)
            raise BudgetError(
                f"search space '{self.space.name}': no network fits, not its smallest either; "
                f"{least}. Raise the limit that is broken, or take a narrower space or a lower "
                "resolution"
            )

        def grown() -> SubNetwork:
            parent = found[int(rng.integers(len(found)))]
            return mutate(self.space, parent.chosen, self.settings.mutation_rate, rng)

        self.fill(found, wanted, self.settings.tries * wanted, seen, grown)
        return self.evaluated((), found, 0)

    def next(self, search: Search) -> Search:
        """One generation more."""
        generation = search.generation + 1
        rng, settings = self.random(generation), self.settings
        parents = [candidate.chosen for candidate in self.parents(search.evaluated)]
        seen = {candidate.digest for candidate in search.evaluated}
        found: list[_Fitting] = []

        def parent() -> int:
            drawn = rng.integers(len(parents), size=2)
            return int(drawn.min() if settings.objective == "front" else drawn[0])

        def crossed() -> SubNetwork:
            return crossover(parents[parent()], parents[parent()], rng)

        def mutated() -> SubNetwork:
            return mutate(self.space, parents[parent()], settings.mutation_rate, rng)

        crossovers = settings.population - round(settings.mutated * settings.population)
        self.fill(found, crossovers, settings.tries * crossovers, seen, crossed)
        left = settings.population - len(found)
        self.fill(found, settings.population, settings.tries * left, seen, mutated)
        return self.evaluated(search.evaluated, found, generation)

    def random(self, generation: int) -> Random:
        return np.random.default_rng((self.settings.seed, 3, generation))  # 3: the stage

    def fill(
        self,
        found: list[_Fitting],
        wanted: int,
        draws: int,
        seen: set[str],
        propose: Callable[[], SubNetwork],
        refused: list[NetworkCost] | None = None,
    ) -> None:
        """Puts networks that `propose` gives into `found` until they are `wanted`, if they fit and
        are not `seen` yet, at most `draws` times; what is drawn is `seen`, what does not fit
        `refused`."""
        while len(found) < wanted and draws > 0:
            drawn: dict[str, tuple[SubNetwork, Architecture]] = {}
            count = min(draws, max(wanted - len(found), LEAST_BATCH))
            draws -= count
            for _ in range(count):
                chosen = propose()
                architecture = self.space.architecture(chosen)
                if architecture.digest not in seen:
                    drawn[architecture.digest] = chosen, architecture
                    seen.add(architecture.digest)
            answers = self.costs([architecture for _, architecture in drawn.values()])
            for (digest, (chosen, _)), cost in zip(drawn.items(), answers, strict=True):
                if exceeds(cost, self.limits) is None:
                    found.append(_Fitting(chosen, digest, cost))
                elif refused is not None:
                    refused.append(cost)
        del found[wanted:]

    def evaluated(
        self, before: tuple[Candidate, ...], found: list[_Fitting], generation: int
    ) -> Search:
        """The search with what was found."""
        accuracies = self.fitness([each.chosen for each in found]) if found else []
        for each, accuracy in zip(found, accuracies, strict=True):
            if not math.isfinite(accuracy):
                raise DataError(
                    f"generation {generation}: network {each.digest} has accuracy {accuracy}; look "
                    "at the training of the super-network"
                )
        born = tuple(
            Candidate(each.chosen, each.digest, each.cost, accuracy, generation)
            for each, accuracy in zip(found, accuracies, strict=True)
        )
        evaluated = (*before, *born)
        return Search(self.space.name, self.limits, self.settings, generation, evaluated)

    def parents(self, evaluated: Sequence[Candidate]) -> list[Candidate]:
        """Of the next generation, best first; whoever was evaluated may be one."""
        if self.settings.objective == "accuracy":
            return sorted(evaluated, key=order)[: self.settings.parents]
        return [evaluated[i] for i in survivors(_points(evaluated), self.settings.population)]


def order(candidate: Candidate) -> tuple[float, int, str]:
    """Sorts the most accurate first; of equals the fastest."""
    return -candidate.accuracy, candidate.cost.cycles, candidate.digest


def _points(candidates: Iterable[Candidate]) -> Floats:
    """Objectives to be small, float [candidates, 2]."""
    return np.array([(c.cost.cycles, -c.accuracy) for c in candidates], float).reshape(-1, 2)


def _line(search: Search) -> str:
    born = [c.accuracy for c in search.evaluated if c.generation == search.generation]
    text = f"generation {search.generation} of {search.settings.generations}: {len(born)} networks"
    text += f", median {median(born):.2%}, best so far {search.best.accuracy:.2%}"
    if search.settings.objective == "front":
        text += f", {len(search.front)} on the front"
    return text
