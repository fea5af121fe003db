"""Scores as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from thumbnet.apps.face_unlock.evaluation import Evaluation
from thumbnet.apps.face_unlock.verification import Verification
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.files import replacing

_LEAST_FAR = 1e-4  # of the picture
_FORMATS = (".png", ".svg")


def show(result: Evaluation) -> None:
    """Prints the scores."""
    console = Console(highlight=False)
    pairs = result.scores["int8"]
    console.print(
        f"{result.pictures} pictures of {result.identities} identities: {pairs.pairs} pairs, "
        f"{pairs.same} of one identity\n"
    )
    table = Table("", "AUC", "EER", "TAR at FAR 1 %", "at 0.1 %")
    for name, score in result.scores.items():
        shares = (score.eer, score.tar_at(1e-2), score.tar_at(1e-3))
        table.add_row(name, f"{score.auc:.4f}", *(f"{share:.1%}" for share in shares))
    console.print(table)


def draw(scores: Mapping[str, Verification], file: Path) -> None:
    """Writes the receiver operating characteristics, false accepts on a logarithmic axis. Raises
    ToolError."""
    if file.suffix not in _FORMATS:
        raise ToolError(f"'{file}' does not end in {' or '.join(_FORMATS)}")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4.5), layout="constrained")
    for name, score in scores.items():
        axes.plot(
            score.far.clip(_LEAST_FAR),
            score.tar,
            label=f"{name}: AUC {score.auc:.3f}",
            linewidth=1.5,
        )
    axes.set(
        xscale="log", xlim=(_LEAST_FAR, 1), ylim=(0, 1),
        xlabel="false accepts, share of pairs of two people",
        ylabel="true accepts, share of pairs of one",
    )  # fmt: skip
    axes.grid(which="major", alpha=0.3)
    axes.legend(loc="lower right")
    with replacing(file) as partial:
        figure.savefig(partial, dpi=130)
    pyplot.close(figure)
