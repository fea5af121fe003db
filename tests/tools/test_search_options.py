"""From the options of `thumbnet search` to a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thumbnet.codegen.targets import board as board_named
from thumbnet.nas.cost import Deployment, Limits
from thumbnet.nas.evolution import Settings
from thumbnet.tools.search_options import plan_of
from thumbnet.tools.search_tasks import Source


def source(samples: int = 1000) -> Source:
    def task_at(shape: Any, cache: Path) -> Any:
        raise AssertionError

    return Source(5, samples, (96, 96, 3), "images", task_at)


def test_a_board_gives_the_limits() -> None:
    board = board_named("microbit")
    plan = plan_of({"data": Path("x"), "board": "microbit"}, source())
    assert plan.limits == Limits(board.sram, board.flash, None)
    assert (plan.board, plan.deployment) == ("microbit", Deployment("cortex-m0"))
    given = {"data": Path("x"), "board": "microbit", "max_sram": 8192, "max_cycles": 10**6}
    assert plan_of(given, source()).limits == Limits(8192, board.flash, 10**6)


def test_the_usual_settings_are_those_that_were_published() -> None:
    plan = plan_of({"data": Path("x"), "max_sram": 65536}, source(100_000))
    assert plan.template == "images"
    assert plan.deployment.target == "cortex-m4"
    assert (plan.samples, plan.super_training.epochs, plan.super_training.batch) == (1000, 40, 128)
    assert plan.evolution == Settings(population=100, generations=30, parents=20)
    assert (plan.fine_tuning.epochs, plan.qat_epochs, plan.sandwich.largest_epochs) == (20, 2, 2)
    assert (plan.shortlist, plan.shortlist_epochs) == (8, 2)
    assert plan.data == {"task": "images", "folder": str(Path("x").resolve())}


def test_settings_that_were_given() -> None:
    given = {
        "data": Path("x"),
        "task": "speech-commands",
        "words": ["a", "b"],
        "renderings": 3,
        "max_flash": 99,
        "target": "cortex-m33",
        "input_mode": "stream",
        "optimize": "size",
        "quick": True,
        "pareto": True,
        "population": 10,
        "epochs": 3,
        "batch": 7,
        "learning_rate": 0.1,
        "norm_samples": 4,
        "seed": 5,
        "resolution": (8,),
        "width": (0.5,),
    }
    plan = plan_of(given, source())
    assert plan.limits == Limits(flash=99)
    assert plan.deployment == Deployment("cortex-m33", "size", "stream")
    assert plan.evolution == Settings(10, 8, parents=2, objective="front")
    for recipe, epochs, rate in ((plan.super_training, 3, 0.1), (plan.fine_tuning, 10, 0.05)):
        assert (recipe.epochs, recipe.batch, recipe.learning_rate) == (epochs, 7, rate)
    assert (plan.shortlist, plan.shortlist_epochs) == (4, 2)
    assert (plan.samples, plan.norm_samples, plan.seed, plan.qat_epochs) == (200, 4, 5, 1)
    assert (plan.resolutions, plan.widths, plan.sandwich.largest_epochs) == ((8,), (0.5,), 0)
    assert (plan.data["words"], plan.data["renderings"]) == (["a", "b"], 3)


@pytest.mark.parametrize(("samples", "batch"), [(10, 8), (130, 16), (1023, 64), (1024, 128)])
def test_little_data_comes_in_small_batches(samples: int, batch: int) -> None:
    assert plan_of({"data": Path("x"), "max_sram": 1}, source(samples)).fine_tuning.batch == batch
