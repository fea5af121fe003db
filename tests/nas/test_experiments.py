"""The networks and the arithmetic of the experiments; the experiments themselves take hours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.nas.toy_task import toy_task
from thumbnet.nas.architecture import macs, parameters
from thumbnet.nas.cost import Deployment, Limits, exceeds
from thumbnet.nas.experiments import rank_correlation
from thumbnet.nas.experiments.baselines import (
    ResNet8,
    mobilenet_v2,
    resnet_cost,
    scaled_mobilenets,
    scaled_resnet,
)
from thumbnet.nas.experiments.contest import Contender, Score, row, score
from thumbnet.nas.experiments.spaces import compared
from thumbnet.nas.recipe import Recipe
from thumbnet.nas.space_optimization import FITTING, SpaceChoice, SpaceReport

TIGHT = Limits(16 * 1024, 64 * 1024, 3_000_000)


def test_mobilenet_v2_is_the_published_one() -> None:
    """3.4 M parameters and 300 M multiply-accumulates (Sandler et al., table 4)."""
    whole = mobilenet_v2(1.0, 224, 2, 2, 1000)
    assert parameters(whole) == 3_504_872
    assert macs(whole) == 300_774_272
    assert macs(mobilenet_v2(0.35, 32, 1, 1, 10)) > macs(mobilenet_v2(0.35, 32, 2, 1, 10))
    assert mobilenet_v2(0.35, 32, 1, 1, 10, head=False).head == 0


def test_resnet_8_is_the_published_one() -> None:
    """MLPerf Tiny's: 12.5 M multiply-accumulates, 78 thousand parameters."""
    cost = resnet_cost(1.0, Deployment(), Limits(), 10)
    assert cost.macs == 12_501_632
    assert 77_000 < cost.params < 79_000
    assert ResNet8(1.0, 10)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_what_is_scaled_by_hand_is_the_widest_that_fits() -> None:
    resnet = scaled_resnet(TIGHT, Deployment(), 10)
    assert resnet is not None
    width = float(resnet.name.removeprefix("resnet8-w"))
    assert exceeds(resnet.cost, TIGHT) is None
    assert exceeds(resnet_cost(width + 1 / 16, Deployment(), TIGHT, 10), TIGHT) is not None
    for entry in scaled_mobilenets(Limits(cycles=1_500_000), Deployment(), 10):
        assert entry.cost.cycles <= 1_500_000


def test_a_contender_is_trained_once(tmp_path: Path) -> None:
    task = toy_task()
    made: list[torch.nn.Module] = []

    def make() -> torch.nn.Module:
        made.append(ResNet8(1 / 8, len(task.classes)))
        return made[-1]

    cost = resnet_cost(1 / 16, Deployment(), Limits(), 10)
    entry = Contender("small", task.input_shape, cost, make)
    recipe = Recipe(epochs=1, batch=16, learning_rate=0.05)
    lines: list[str] = []
    untested = score(
        entry, lambda shape: task, recipe, 0, tmp_path, test=False, progress=lines.append
    )
    assert untested.test is None
    tested = score(entry, lambda shape: task, recipe, 0, tmp_path, test=True, progress=lines.append)
    assert tested.test is not None
    assert tested.validation == untested.validation  # it went on from the checkpoint
    again = score(entry, lambda shape: task, recipe, 0, tmp_path, test=True, progress=lines.append)
    assert again == tested
    assert len(made) == 2
    table = row(entry, [tested, Score("small", 1, 1, 0.5, 0.5, tested.test + 0.2)])
    assert table["test"] == pytest.approx(tested.test + 0.1)
    assert table["spread"] == pytest.approx(0.2 / 2**0.5)


def test_the_interval_of_a_rank_correlation() -> None:
    values = np.arange(14.0)
    assert rank_correlation.interval(values, values, resamples=100) == pytest.approx((1.0, 1.0))
    shuffled = np.random.default_rng(0).permutation(values)
    low, high = rank_correlation.interval(values, shuffled, resamples=300)
    assert -1 <= low < 0 < high <= 1


def test_spaces_that_are_compared() -> None:
    def space(name: str, macs: tuple[int, ...]) -> SpaceReport:
        return SpaceReport(name, 0.5, (32, 32, 3), 100, macs, 1, True)

    reports = (
        space("a", (5,) * 30),
        space("b", (0,) * (FITTING - 1)),
        space("c", (1,) * FITTING),
        space("d", (3,) * 40),
    )
    found = compared(SpaceChoice(Limits(), 100, 0, reports, "a"), seed=0)
    assert found == {"chosen": "a", "worst": "c", "random": "d"}
