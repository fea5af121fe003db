"""CIFAR-10 under the limits of two boards: a searched network against networks scaled by hand.

    python -m thumbnet.nas.experiments.cifar10 --data DIR --out OUT --board tight [--memory tflm]

searches, then trains the winner and the hand-scaled networks alike, from fresh weights, with three
seeds each, and prints a table. The best of the hand-scaled MobileNetV2s is chosen on the validation
split after a fifth of the epochs with one seed. Everything goes on where it was stopped; `--only`
does a part of it, so that parts may run side by side.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from thumbnet.codegen.errors import ThumbnetError
from thumbnet.codegen.files import read_json, write_json
from thumbnet.nas import search
from thumbnet.nas.architecture import from_json
from thumbnet.nas.cifar10 import cifar10
from thumbnet.nas.cost import Deployment, Limits, network_cost
from thumbnet.nas.evolution import Settings
from thumbnet.nas.experiments.baselines import scaled_mobilenets, scaled_resnet
from thumbnet.nas.experiments.contest import Contender, contender, row, score, scores
from thumbnet.nas.image_task import image_task
from thumbnet.nas.recipe import Effort, Recipe, Sandwich
from thumbnet.nas.search_plan import BEST, Folder, Plan
from thumbnet.nas.task import Task

BOARDS = {
    "nrf52840": Limits(sram=64 * 1024, flash=256 * 1024, cycles=10_000_000),
    "tight": Limits(sram=16 * 1024, flash=64 * 1024, cycles=3_000_000),
}
CLASSES = 10
PICKED_AFTER = 5  # a MobileNetV2 is chosen after this part of the epochs
PARTS = ("search", "searched", "mobilenet_v2", "resnet8")
RECIPE = Recipe(epochs=20, batch=64, learning_rate=0.1, weight_decay=5e-5)
SUPER_TRAINING = replace(RECIPE, epochs=30)


def plan(
    board: str,
    memory: str,
    epochs: int,
    samples: int,
    generations: int = 15,
    space: str | None = None,
) -> Plan:
    """How the network of a board is searched for."""
    return Plan(
        limits=BOARDS[board],
        deployment=Deployment(memory=memory),
        template="small-images",
        space=space,
        samples=samples,
        super_training=replace(SUPER_TRAINING, epochs=epochs),
        sandwich=Sandwich(random=1),
        effort=Effort(calibration=1024),
        evolution=Settings(population=40, generations=generations, parents=10),
        data={"task": "cifar10"},
    )


def searched(folder: Folder, wanted: Plan, task_at: search.TaskAt, processes: int) -> Contender:
    """The winner of a search, which is done where it is not yet."""
    if not (folder / BEST).exists():
        space = search.choose(
            folder, wanted, (32, 32, 3), CLASSES, processes=processes, progress=say
        )
        task = task_at(space.input_shape)
        network = search.share(folder, wanted, space, task, progress=say)
        search.evolve(folder, wanted, space, network, task, processes=processes, progress=say)
    architecture = from_json(read_json(folder / BEST), str(folder / BEST))
    # What it really costs: the compiler's planner, also where the search charged another's memory.
    told = network_cost(architecture, Deployment(), wanted.limits)
    return contender(f"searched-{searched_name(wanted)}", architecture, told)


def searched_name(wanted: Plan) -> str:
    """What tells a search apart from others for the same board."""
    memory = wanted.deployment.memory
    own = (wanted.space, *([memory] if wanted.space is None or memory != "thumbnet" else []))
    return "-".join(part for part in own if part)


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    try:
        run(parsed)
    except ThumbnetError as error:
        print(f"cifar10: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cifar10: stopped; the same command goes on from here", file=sys.stderr)
        return 1
    return 0


def run(parsed: argparse.Namespace) -> None:
    source = cifar10(parsed.data)

    @cache
    def task_at(shape: tuple[int, int, int]) -> Task:
        return image_task(source, shape[:2], cache=parsed.out / "images", progress=say)

    limits = BOARDS[parsed.board]
    folder = parsed.out / parsed.board
    recipe = replace(RECIPE, epochs=parsed.epochs)
    parts = parsed.only or PARTS
    rows = []
    if "search" in parts or "searched" in parts:
        efforts = parsed.super_epochs, parsed.samples, parsed.generations
        wanted = plan(parsed.board, parsed.memory, *efforts, parsed.space)
        place = Folder(folder / f"search-{searched_name(wanted)}")
        winner = searched(place, wanted, task_at, parsed.processes)
        say(f"{winner.name}: {winner.cost.to_json()}")
        if "searched" in parts:
            rows.append(row(winner, scores(winner, task_at, recipe, parsed.seeds, folder, say)))
    if "mobilenet_v2" in parts:
        short = replace(recipe, epochs=max(1, recipe.epochs // PICKED_AFTER))
        best = max(
            (
                (score(e, task_at, short, 0, folder / "picked", test=False, progress=say), e)
                for e in scaled_mobilenets(limits, Deployment(), CLASSES)
            ),
            key=lambda found: found[0].validation,
        )[1]
        rows.append(row(best, scores(best, task_at, recipe, parsed.seeds, folder, say)))
    if "resnet8" in parts:
        resnet = scaled_resnet(limits, Deployment(), CLASSES)
        if resnet is None:
            say("no ResNet-8 fits")
        else:
            rows.append(row(resnet, scores(resnet, task_at, recipe, parsed.seeds, folder, say)))
    for each in rows:
        write_json(folder / f"row-{each['name']}.json", each)
    print(json.dumps({"board": parsed.board, "rows": rows}, indent=1))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.nas.experiments.cifar10", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="CIFAR-10")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT")
    parser.add_argument("--board", choices=BOARDS, required=True)
    parser.add_argument(
        "--memory", choices=("thumbnet", "tflm"), default="thumbnet", help="how SRAM is charged"
    )
    parser.add_argument("--space", help="search this one, whatever stage 1 would choose")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be repeated")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--super-epochs", type=int, default=SUPER_TRAINING.epochs)
    parser.add_argument("--samples", type=int, default=1000, help="of each space, in stage 1")
    parser.add_argument("--generations", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="that compute costs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
