"""The scores of a scenario and the threshold between users and others, as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thumbnet.apps.face_unlock.scenario import Result
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.files import replacing

_FORMATS = (".png", ".svg")


def plot_scores(result: Result, file: Path) -> None:
    """Raises ToolError."""
    if file.suffix not in _FORMATS:
        raise ToolError(f"'{file}' does not end in {' or '.join(_FORMATS)}")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
    bins = np.arange(-0.5, 1.0001, 0.025)
    for scores, label in (
        (result.other_scores, f"{result.others} attempts of others"),
        (result.own_scores, f"{result.own} attempts of users"),
    ):
        weights = np.full(len(scores), 1 / len(scores))
        axes.hist(scores, bins.tolist(), weights=weights, alpha=0.6, label=label)
    axes.axvline(result.threshold, color="black", linewidth=1)
    axes.annotate(
        "opens", (result.threshold, 0.97), xycoords=("data", "axes fraction"),
        xytext=(4, 0), textcoords="offset points", va="top",
    )  # fmt: skip
    axes.set(xlabel="cosine with the nearest template", ylabel="share of attempts")
    axes.legend(loc="upper left", frameon=False)
    with replacing(file) as partial:
        figure.savefig(partial, dpi=130, metadata={"Date": None} if file.suffix == ".svg" else None)
    pyplot.close(figure)
