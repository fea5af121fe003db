"""`train`: a network that tells identities apart, or going on with one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from thumbnet.apps.command import ended, natural, positive
from thumbnet.apps.face_unlock.dataset import read_names
from thumbnet.apps.face_unlock.requirements import needs


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.apps.face_unlock train",
        description="Train on a folder of one folder of pictures per identity, or go on training.",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="results go to DIR/seed-N"
    )
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="FILE",
        help="identities that are not read at all, one a line: those that evaluate is to test",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        metavar="FILE",
        help="identities by which epoch and threshold are chosen (default: an eighth, drawn by a "
        "hash of their names)",
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N")
    parser.add_argument("--epochs", type=positive, metavar="N")
    parser.add_argument(
        "--large", action="store_true", help="train a network that is too large for the chip"
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a trained network, a DIR/seed-N, to learn from as well; may be given more than once",
    )
    parsed = parser.parse_args(arguments)
    stopped = "stopped; the same command goes on from here"
    return ended("face_unlock", lambda: _train(parsed), stopped=stopped)


def _train(parsed: argparse.Namespace) -> int:
    needs("training", "torch", "pytorch_metric_learning")
    from thumbnet.apps.face_unlock.network import LARGE, SMALL
    from thumbnet.apps.face_unlock.pipeline import Training, run_training
    from thumbnet.apps.face_unlock.training import LARGE_RECIPE, SMALL_RECIPE

    recipe = LARGE_RECIPE if parsed.large else SMALL_RECIPE
    if parsed.epochs is not None:
        recipe = replace(recipe, epochs=parsed.epochs)
    chosen = Training(
        data=parsed.data,
        out=parsed.out,
        held_out=read_names(parsed.held_out) if parsed.held_out else (),
        validation=read_names(parsed.validation) if parsed.validation else None,
        seed=parsed.seed,
        recipe=recipe,
        architecture=LARGE if parsed.large else SMALL,
        teachers=tuple(parsed.teacher),
    )
    facts = run_training(chosen, lambda line: print(line, file=sys.stderr, flush=True))
    print(f"{chosen.run}: validation AUC {facts.validation_auc:.4f} at epoch {facts.epoch}")
    return 0
