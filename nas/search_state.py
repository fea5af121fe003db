"""A search as files: JSON that a killed one goes on from, and the table of what was evaluated."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thumbnet.codegen.errors import DataError
from thumbnet.codegen.files import read_json, write_json, write_text
from thumbnet.nas.cost import Limits, NetworkCost
from thumbnet.nas.evolution import Candidate, Search, Settings
from thumbnet.nas.search_space import Choice, SubNetwork

FORMAT = "thumbnet-evolution-1"
SHORTLIST_FORMAT = "thumbnet-shortlist-1"
COLUMNS = (
    "generation",
    "digest",
    "accuracy",
    "macs",
    "params",
    "arena_bytes",
    "flash",
    "cycles",
)


def write_search(search: Search, path: Path) -> None:
    """Under a temporary name, then renamed: a kill leaves the earlier file. Raises ToolError."""
    write_text(path, json.dumps(search_to_json(search)) + "\n")


def read_search(path: Path) -> Search:
    """What `write_search` wrote. Raises DataError."""
    return search_from_json(read_json(path), str(path))


def write_history(search: Search, path: Path) -> None:
    """A .csv of `COLUMNS`, a row for each network in the order of evaluation. Raises ToolError."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(history(search))
    write_text(path, text.getvalue())


def history(search: Search) -> Iterator[tuple[int | float | str, ...]]:
    """Rows of `COLUMNS`."""
    for each in search.evaluated:
        cost = each.cost
        yield (
            each.generation,
            each.digest,
            round(each.accuracy, 6),
            cost.macs,
            cost.params,
            cost.arena_bytes,
            cost.flash,
            cost.cycles,
        )


def search_to_json(search: Search) -> dict[str, Any]:
    """A JSON object that `search_from_json` reads back."""
    return {
        "format": FORMAT,
        "space": search.space,
        "limits": asdict(search.limits),
        "settings": asdict(search.settings),
        "generation": search.generation,
        "evaluated": [
            {
                "chosen": sub_network_to_json(each.chosen),
                "digest": each.digest,
                "cost": asdict(each.cost),
                "accuracy": each.accuracy,
                "generation": each.generation,
            }
            for each in search.evaluated
        ],
    }


def search_from_json(value: Any, source: str) -> Search:
    """The search of such an object; `source` names it in messages. Raises DataError."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DataError(f"{source}: no state of a search; remove it to search anew")
    try:
        search = Search(
            str(value["space"]),
            Limits(**value["limits"]),
            Settings(**value["settings"]),
            int(value["generation"]),
            tuple(
                Candidate(
                    sub_network_from_json(each["chosen"]),
                    str(each["digest"]),
                    NetworkCost(**each["cost"]),
                    float(each["accuracy"]),
                    int(each["generation"]),
                )
                for each in value["evaluated"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source}: damaged ({error!r}); remove it to search anew") from error
    if not search.evaluated:
        raise DataError(f"{source}: damaged (no network was evaluated); remove it to search anew")
    return search


def sub_network_to_json(chosen: SubNetwork) -> list[list[list[int]]]:
    """Stages of bottlenecks of [kernel rows, kernel columns, expansion, squeeze 0 or 1]."""
    return [[[*c.kernel, c.expansion, int(c.squeeze)] for c in stage] for stage in chosen]


def sub_network_from_json(value: Any) -> SubNetwork:
    """Raises ValueError or TypeError where the lists are none such."""
    return tuple(
        tuple(
            Choice((int(rows), int(columns)), int(expansion), bool(squeeze))
            for rows, columns, expansion, squeeze in stage
        )
        for stage in value
    )


# ---- the shortlist -------------------------------------------------------------------------------


def write_shortlist(reached: Mapping[str, float], file: Path) -> None:
    """Validation accuracies, 0 to 1, by digest."""
    networks = [{"digest": digest, "accuracy": found} for digest, found in reached.items()]
    write_json(file, {"format": SHORTLIST_FORMAT, "networks": networks})


def read_shortlist(file: Path) -> dict[str, float]:
    """What `write_shortlist` wrote. Raises DataError."""
    value = read_json(file)
    try:
        if value["format"] != SHORTLIST_FORMAT:
            raise ValueError
        return {str(entry["digest"]): float(entry["accuracy"]) for entry in value["networks"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: is no shortlist of a search; remove it") from error
