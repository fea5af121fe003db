"""`evaluate`: scores of pairs of pictures, of one person or of two."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from thumbnet.apps.command import ended, positive
from thumbnet.apps.face_unlock.dataset import read_names
from thumbnet.apps.face_unlock.model_files import COMMITTED
from thumbnet.apps.face_unlock.requirements import needs


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.apps.face_unlock evaluate",
        description="Score a network on a folder of one folder of pictures per identity: every "
        "pair of pictures once. `pairs` counts all of them, `same` those of one identity.",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--identities", type=Path, metavar="FILE", help="only those, one a line (default: all)"
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=COMMITTED,
        metavar="DIR",
        help="what export wrote (default: the network that comes with Thumbnet)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--roc", type=Path, metavar="FILE", help="draw the curves: .png or .svg")
    parser.add_argument(
        "--board", help="run it there too (an emulated board, or a port): it must equal the host"
    )
    parser.add_argument(
        "--pictures", type=positive, metavar="N", help="on the board, the first N only"
    )
    parser.add_argument(
        "--baselines",
        type=Path,
        metavar="DIR",
        help="score eigenfaces, learnt from the training identities in DIR, and local binary "
        "patterns too",
    )
    parser.add_argument(
        "--mobilefacenet", type=Path, metavar="FILE", help="score this int8 .tflite too"
    )
    parsed = parser.parse_args(arguments)
    return ended("face_unlock", lambda: _evaluate(parsed), as_json=parsed.json)


def _evaluate(parsed: argparse.Namespace) -> int:
    needs("evaluating", "PIL", "sklearn")
    if parsed.baselines or parsed.mobilefacenet:
        needs("comparing with others", "skimage")
    if parsed.roc:
        needs("a picture of the curves", "matplotlib")
    from thumbnet.apps.face_unlock.evaluation import Others, evaluate

    result = evaluate(
        parsed.data,
        parsed.model,
        names=read_names(parsed.identities) if parsed.identities else None,
        others=Others(parsed.baselines, parsed.mobilefacenet),
        board=parsed.board,
        most=parsed.pictures,
    )
    if "float" not in result.scores:
        print(
            "face_unlock: the float network is left out: it needs torch "
            "(pip install 'thumbnet[apps]')",
            file=sys.stderr,
        )
    if parsed.roc:
        from thumbnet.apps.face_unlock.curves import draw

        draw(result.scores, parsed.roc)
    if parsed.json:
        print(json.dumps(result.to_json()))
    else:
        from thumbnet.apps.face_unlock.curves import show

        show(result)
    return 0
