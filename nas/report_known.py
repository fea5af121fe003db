"""What a folder has of a search so far, for its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbnet.codegen.files import read_json
from thumbnet.nas import search_plan
from thumbnet.nas.architecture import Architecture, from_json
from thumbnet.nas.evolution import Candidate, Search
from thumbnet.nas.search_plan import Folder, Plan
from thumbnet.nas.search_state import read_search, read_shortlist
from thumbnet.nas.space_optimization import SpaceChoice


@dataclass(frozen=True, eq=False)
class Known:
    """What a folder has of a search so far. `place` is where the finished network lies."""

    place: Path
    plan: Plan
    choice: SpaceChoice | None
    losses: tuple[float, ...]  # of the super-network
    search: Search | None
    shortlist: dict[str, float]  # validation accuracies by digest
    architecture: Architecture | None  # the winner's
    result: dict[str, Any] | None  # of `finish`

    @property
    def winner(self) -> Candidate | None:
        if self.search is None or self.architecture is None:
            return None
        digest = self.architecture.digest
        return next((c for c in self.search.evaluated if c.digest == digest), None)

    @property
    def single_path(self) -> bool:
        """Whether the batches of the super-network train random networks only."""
        if self.choice is None:
            return False
        classes = self.architecture.classes if self.architecture else 2  # hardly matters
        found = search_plan.spaces(self.plan, self.choice.best.input_shape, classes)
        space = found[self.choice.chosen]
        return search_plan.focused(self.choice, self.plan, space).most_macs is not None

    @property
    def measured(self) -> dict[str, Any]:
        return (self.result or {}).get("measured", {})


def read_known(folder: Folder, place: Path) -> Known:
    """Raises DataError where a file is damaged."""
    losses: tuple[float, ...] = ()
    if (folder / search_plan.SHARED).exists():
        from thumbnet.nas.training import losses_of  # torch

        losses = losses_of(folder / search_plan.SHARED)
    listed = folder / search_plan.SHORTLIST
    state, best, result = folder / search_plan.STATE, place / search_plan.BEST, None
    if (place / search_plan.RESULT).exists():
        result = read_json(place / search_plan.RESULT)
    return Known(
        place,
        folder.plan(),
        search_plan.read_choice(folder) if (folder / search_plan.SPACE).exists() else None,
        losses,
        read_search(state) if state.exists() else None,
        read_shortlist(listed) if listed.exists() else {},
        from_json(read_json(best), str(best)) if best.exists() else None,
        result,
    )


def section(title: str, text: str, inner: str) -> str:
    """A part of the page; `text` and `inner` are HTML."""
    return f"<section>\n<h2>{title}</h2>\n<p>{text}</p>\n{inner}\n</section>\n"
