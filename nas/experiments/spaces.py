"""Is the space that stage 1 chooses the better one to search?

    python -m thumbnet.nas.experiments.spaces --data DIR --out OUT --board tight

searches the chosen space, the worst in which anything fits, and one at random, each with the same
effort, trains each winner alike from fresh weights, and prints a table. Goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from thumbnet.codegen.errors import ThumbnetError
from thumbnet.codegen.files import write_json
from thumbnet.nas import search
from thumbnet.nas.cifar10 import cifar10
from thumbnet.nas.experiments.cifar10 import (
    BOARDS,
    CLASSES,
    RECIPE,
    SUPER_TRAINING,
    plan,
    say,
    searched,
    searched_name,
)
from thumbnet.nas.experiments.contest import row, scores
from thumbnet.nas.image_task import image_task
from thumbnet.nas.search_plan import Folder, read_choice
from thumbnet.nas.space_optimization import SpaceChoice
from thumbnet.nas.task import Task


def compared(choice: SpaceChoice, seed: int) -> dict[str, str]:
    """Names of spaces: the chosen one, the one of the least mean of those of which enough fits for
    one, and a random one of these that is neither."""
    fitting = [space for space in choice.spaces if space.has_mean]
    worst = min(fitting, key=lambda space: space.mean).name
    others = [s.name for s in fitting if s.name not in (choice.chosen, worst)]
    drawn = others[int(np.random.default_rng((seed, 6)).integers(len(others)))]
    return {"chosen": choice.chosen, "worst": worst, "random": drawn}


def run(parsed: argparse.Namespace) -> None:
    source = cifar10(parsed.data)

    @cache
    def task_at(shape: tuple[int, int, int]) -> Task:
        return image_task(source, shape[:2], cache=parsed.out / "images", progress=say)

    folder = parsed.out / parsed.board
    wanted = plan(parsed.board, "thumbnet", parsed.super_epochs, parsed.samples)
    first = Folder(folder / "search-thumbnet")
    search.choose(first, wanted, (32, 32, 3), CLASSES, processes=parsed.processes, progress=say)
    recipe = replace(RECIPE, epochs=parsed.epochs)
    rows = []
    for what, name in compared(read_choice(first), parsed.seed).items():
        asked = wanted if what == "chosen" else replace(wanted, space=name)
        place = Folder(folder / f"search-{searched_name(asked)}")
        winner = searched(place, asked, task_at, parsed.processes)
        found = scores(winner, task_at, recipe, parsed.seeds, folder, say)
        rows.append({"what": what, "space": name, **row(winner, found)})
    write_json(folder / "spaces.json", rows)
    print(json.dumps({"board": parsed.board, "rows": rows}, indent=1))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.nas.experiments.spaces",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="CIFAR-10")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT")
    parser.add_argument("--board", choices=BOARDS, default="tight")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--super-epochs", type=int, default=SUPER_TRAINING.epochs)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the random space")
    parser.add_argument("--processes", type=int, default=2)
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        run(parsed)
    except ThumbnetError as error:
        print(f"spaces: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
