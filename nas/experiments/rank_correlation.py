"""Does accuracy by shared weights rank networks as training them alone does?

    python -m thumbnet.nas.experiments.rank_correlation --data DIR --search OUT --out FILE.json

takes the super-network that a search on CIFAR-10 left in OUT, draws sub-networks of its space that
fit the limits, trains each from fresh weights, and compares the two rankings by Kendall's tau-b
(SciPy), with an interval by bootstrap over the networks. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from thumbnet.codegen.errors import ThumbnetError
from thumbnet.codegen.files import write_json
from thumbnet.nas import search
from thumbnet.nas.cifar10 import cifar10
from thumbnet.nas.cost import exceeds, network_cost
from thumbnet.nas.evaluation import Effort, shared_accuracy
from thumbnet.nas.experiments.cifar10 import CLASSES, RECIPE, say
from thumbnet.nas.experiments.contest import contender, score
from thumbnet.nas.image_task import image_task
from thumbnet.nas.search_plan import Folder, Plan
from thumbnet.nas.search_space import SearchSpace, SubNetwork, sample

RESAMPLES = 10_000


def interval(
    shared: NDArray[np.float64],
    alone: NDArray[np.float64],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """95 % of Kendall's tau over networks drawn with replacement."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn = rng.integers(len(shared), size=len(shared))
        tau = kendalltau(shared[drawn], alone[drawn]).statistic
        if np.isfinite(tau):
            found.append(tau)
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def fitting(
    space: SearchSpace, plan: Plan, count: int, rng: np.random.Generator
) -> list[SubNetwork]:
    """Different networks that fit the limits, drawn uniformly."""
    found: dict[str, SubNetwork] = {}
    while len(found) < count:
        drawn = sample(space, rng)
        architecture = space.architecture(drawn)
        if exceeds(network_cost(architecture, plan.deployment, plan.limits), plan.limits) is None:
            found[architecture.digest] = drawn
    return list(found.values())


def run(parsed: argparse.Namespace) -> None:
    folder = Folder(parsed.search)
    plan = folder.plan()
    space = search.choose(folder, plan, (32, 32, 3), CLASSES)
    task = image_task(cifar10(parsed.data), space.input_shape[:2], cache=parsed.cache, progress=say)
    network = search.share(folder, plan, space, task, progress=say)
    rng = np.random.default_rng((parsed.seed, 5))
    chosen = fitting(space, plan, parsed.networks, rng)
    shared = shared_accuracy(network, task, chosen, Effort(calibration=1024))
    recipe = replace(RECIPE, epochs=parsed.epochs)
    alone, rows = [], []
    for each, accuracy in zip(chosen, shared, strict=True):
        architecture = space.architecture(each)
        cost = network_cost(architecture, plan.deployment)
        entry = contender(architecture.digest, architecture, cost)
        place = parsed.out.parent / "alone"
        found = score(
            entry, lambda shape: task, recipe, parsed.seed, place, test=False, progress=say
        )
        alone.append(found.float_validation)
        rows.append(
            {
                "digest": architecture.digest,
                "shared": accuracy,
                "alone": found.float_validation,
                "macs": cost.macs,
            }
        )
        say(f"{architecture.digest}: shared {accuracy:.2%}, alone {found.float_validation:.2%}")
    one, other = np.array(shared), np.array(alone)
    low, high = interval(one, other)
    tau = kendalltau(one, other)
    by_macs = kendalltau(np.array([row["macs"] for row in rows]), other).statistic
    result = {
        "tau": float(tau.statistic),
        "interval": [low, high],
        "p": float(tau.pvalue),
        "tau_of_macs": float(by_macs),
        "networks": rows,
        "space": space.name,
        "epochs": parsed.epochs,
    }
    write_json(parsed.out, result)
    print(
        f"Kendall's tau {tau.statistic:.2f} (95 %: {low:.2f} to {high:.2f}), {len(rows)} networks"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.nas.experiments.rank_correlation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="CIFAR-10")
    parser.add_argument("--search", type=Path, required=True, metavar="OUT")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="of decoded images")
    parser.add_argument("--networks", type=int, default=14)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        run(parsed)
    except ThumbnetError as error:
        print(f"rank_correlation: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
