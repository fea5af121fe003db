"""`export`: a trained network in int8, the lock's threshold, and C."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from thumbnet.apps.command import amount, ended
from thumbnet.apps.face_unlock.requirements import needs

FAR = 1e-3


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.apps.face_unlock export",
        description="Quantise a trained network (face.tflite and its C), and choose the threshold "
        "on the identities for validation.",
    )
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="a DIR/seed-N")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="that it was trained on"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--far",
        type=amount,
        default=FAR,
        metavar="SHARE",
        help=f"of attempts of others that may reach the threshold (default {FAR})",
    )
    parser.add_argument("--target", default="cortex-m4")
    parsed = parser.parse_args(arguments)
    return ended("face_unlock", lambda: _export(parsed))


def _export(parsed: argparse.Namespace) -> int:
    needs("quantising", "torch", "torchao", "pytorch_metric_learning")
    from thumbnet.apps.face_unlock.match import ONE
    from thumbnet.apps.face_unlock.model_files import read_decision
    from thumbnet.apps.face_unlock.pipeline import run_export
    from thumbnet.codegen.compile import Options

    options = Options(target=parsed.target, input="rows")
    compiled = run_export(parsed.run, parsed.data, parsed.out, parsed.far, options)
    print(f"{parsed.out}: face.tflite, face.json, face.npz, decision.json; C in {compiled.folder}")
    decision = read_decision(parsed.out)
    print(
        f"threshold {decision.threshold} (cosine {decision.threshold / ONE:.3f}): "
        f"{decision.far:.3%} of others and {decision.tar:.1%} of users reach it"
    )
    return 0
