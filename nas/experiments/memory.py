"""How much SRAM do the best networks of a search need, here and as TensorFlow Lite Micro?

    python -m thumbnet.nas.experiments.memory --search OUT

costs the best networks that a search looked at once more, with the other's memory: every tensor
whole, placed greedily (`codegen.tflm_memory`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from thumbnet.codegen.errors import ThumbnetError
from thumbnet.nas import search_plan
from thumbnet.nas.cost import exceeds, network_cost
from thumbnet.nas.evolution import order
from thumbnet.nas.experiments.cifar10 import CLASSES
from thumbnet.nas.search_plan import STATE, Folder
from thumbnet.nas.search_state import read_search


def run(parsed: argparse.Namespace) -> None:
    folder = Folder(parsed.search)
    plan, search = folder.plan(), read_search(folder / STATE)
    space = search_plan.spaces(plan, (32, 32, 3), CLASSES)[search.space]
    as_tflm = replace(plan.deployment, memory="tflm")
    best = sorted(search.evaluated, key=order)[: parsed.networks]
    theirs = [
        network_cost(space.architecture(each.chosen), as_tflm, search.limits) for each in best
    ]
    fit = sum(exceeds(cost, search.limits) is None for cost in theirs)
    for name, costs in (("here", [each.cost for each in best]), ("as TFLM", theirs)):
        arenas = [cost.arena_bytes for cost in costs]
        print(f"{name}: arenas of {min(arenas):,} to {max(arenas):,} bytes")
    print(f"{fit} of {len(best)} fit the limits as TFLM, too")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.nas.experiments.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--search", type=Path, required=True, metavar="OUT")
    parser.add_argument("--networks", type=int, default=60)
    try:
        run(parser.parse_args(arguments))
    except ThumbnetError as error:
        print(f"memory: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
