"""Pictures of a search: of its spaces, its networks, its generations.

matplotlib is imported when one is made. Each is written under a temporary name and renamed. Raises
ToolError where matplotlib is missing or the file cannot be written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.files import replacing
from thumbnet.nas.cost import Limits
from thumbnet.nas.evolution import Candidate, Search
from thumbnet.nas.space_optimization import SpaceChoice, SpaceReport

INK, MUTED, FAINT = "#222222", "#6b7280", "#d1d5db"
CHOSEN, GOOD, LIMIT = "#d9480f", "#1c7ed6", "#c92a2a"
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
NAMED_SPACES = 8  # in the legend, the best

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceef1",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
}


# ---- stage 1 -----------------------------------------------------------------------------------


def plot_spaces(choice: SpaceChoice, path: Path) -> None:
    """The distribution of MACs of each space's networks that fit, as the share that has at least as
    many (1 - CDF), the mean as a dot; further right is better. Spaces of which hardly anything fits
    are left out."""
    fitting = [s for s in choice.spaces if s.has_mean or (s.macs and s.name == choice.chosen)]
    best = sorted(fitting, key=lambda s: s.key, reverse=True)[:NAMED_SPACES]
    if choice.best.macs and choice.best not in best:
        best = [choice.best, *best[:-1]]
    with _figure(path, 9.6, 5.2) as figure:
        axes = figure.add_subplot()
        for space in fitting:
            if space not in best:
                _plot_shares(axes, space, color=FAINT, lw=0.8, zorder=1)
        name_width = max((len(space.name) for space in best), default=0)
        axes.plot([], [], alpha=0, label=f"{'space':<{name_width}}   fit    mean")
        for space, look in _looks(best):
            if space.name == choice.chosen:
                look = {"color": CHOSEN, "lw": 2.8, "zorder": 4}
            _plot_shares(axes, space, label=_space_label(space, name_width), **look)
            share = 100 * sum(n >= space.mean for n in space.macs) / len(space.macs)
            axes.plot(space.mean / 1e6, share, "o", ms=5, color=look["color"], zorder=5)
        axes.set_ylim(0, 101)
        if fitting:
            axes.set_xscale("log")
            _plain_numbers(axes.xaxis)
        axes.set_xlabel("MACs of one inference (millions)")
        axes.set_ylabel("of the networks that fit, have as many (%)")
        title = f"{choice.chosen} is taken of {len(choice.spaces)} search spaces"
        _title(axes, title, _limits_text(choice.limits))
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.01, 1.02),
            prop={"family": "monospace", "size": 8.5},
        )


def _looks(spaces: Sequence[SpaceReport]) -> Iterator[tuple[SpaceReport, dict[str, Any]]]:
    """By width and size; a colour for each width, within it a dash for each space."""
    widths = sorted({space.width for space in spaces})
    colours = dict(zip(widths, _gradient(len(widths)), strict=True))
    seen: Counter[float] = Counter()
    for space in sorted(spaces, key=lambda s: (s.width, s.input_shape, s.name)):
        dashes = DASHES[seen[space.width] % len(DASHES)]
        seen[space.width] += 1
        yield space, {"color": colours[space.width], "lw": 1.5, "ls": dashes, "zorder": 3}


def _space_label(space: SpaceReport, name_width: int) -> str:
    return f"{space.name:<{name_width}} {space.fits:>5.1%}  {space.mean / 1e6:>5.2f} M"


def _plot_shares(axes: Any, space: SpaceReport, **look: Any) -> None:
    share = 100 * np.arange(len(space.macs), 0, -1) / max(len(space.macs), 1)
    axes.step(np.array(space.macs) / 1e6, share, where="pre", **look)


# ---- stage 3 -----------------------------------------------------------------------------------


def plot_search(
    search: Search,
    path: Path,
    chosen: Candidate | None = None,
    baselines: Mapping[str, tuple[int, float]] = {},
) -> None:
    """Accuracy against cycles of all that was evaluated, with the front and the `chosen` network
    (the best by default). `baselines`: name to (cycles, accuracy), measured in the same way."""
    best = search.best
    chosen = chosen or best
    what = "best" if chosen == best else "chosen"
    cycles = np.array([each.cost.cycles for each in search.evaluated]) / 1e6
    accuracy = 100 * np.array([each.accuracy for each in search.evaluated])
    born = np.array([each.generation for each in search.evaluated])
    last = int(born.max())
    with _figure(path, 8.6, 5.2) as figure:
        axes = figure.add_subplot()
        dots = axes.scatter(
            cycles,
            accuracy,
            c=born,
            cmap="GnBu",
            vmin=-0.35 * max(last, 1),
            vmax=max(last, 1),
            s=14,
            lw=0,
        )
        front = search.front
        axes.plot(
            [each.cost.cycles / 1e6 for each in front],
            [100 * each.accuracy for each in front],
            "-o",
            drawstyle="steps-post",
            color=INK,
            lw=1.2,
            ms=3.2,
            label="front",
        )
        axes.plot(
            chosen.cost.cycles / 1e6,
            100 * chosen.accuracy,
            "*",
            color=CHOSEN,
            ms=17,
            mec="white",
            label=f"{what}: {100 * chosen.accuracy:.1f} %, {chosen.cost.cycles / 1e6:.3g} M cycles",
        )
        for name, (needed, reached) in baselines.items():
            axes.plot(needed / 1e6, 100 * reached, "D", color=GOOD, ms=6, mec="white")
            right = needed > 0.7 * max(cycles.max() * 1e6, *(b[0] for b in baselines.values()))
            axes.annotate(
                name,
                (needed / 1e6, 100 * reached),
                (-7 if right else 7, 0),
                textcoords="offset points",
                ha="right" if right else "left",
                va="center_baseline",
                fontsize=9,
                fontweight="bold",
                color=GOOD,
            )
        if search.limits.cycles is not None:
            _limit_line(axes, search.limits.cycles / 1e6)
        axes.set_xlabel("cycles of one inference (millions, estimated)")
        axes.set_ylabel("validation accuracy (%)")
        title = f"{len(search.evaluated)} networks of {search.space}, {len(front)} on the front"
        _title(axes, title, _limits_text(search.limits))
        axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none")
        if last:
            bar = figure.colorbar(dots, ax=axes, pad=0.02, aspect=30)
            bar.set_label("generation")
            bar.outline.set_visible(False)
            bar.ax.set_ylim(0, last)


def plot_history(search: Search, path: Path) -> None:
    """Best and median accuracy by generation, and the best so far."""
    by_generation = [
        [100 * c.accuracy for c in search.evaluated if c.generation == generation]
        for generation in range(search.generation + 1)
    ]
    x = [g for g, found in enumerate(by_generation) if found]
    by_generation = [found for found in by_generation if found]
    best = [max(found) for found in by_generation]
    with _figure(path, 8.6, 4.4) as figure:
        axes = figure.add_subplot()
        low, high = np.array([np.percentile(found, (25, 75)) for found in by_generation]).T
        axes.fill_between(x, low, high, color=GOOD, alpha=0.15, lw=0, label="middle half")
        axes.plot(x, [median(found) for found in by_generation], color=GOOD, lw=1.6, label="median")
        axes.plot(x, best, "o", color=CHOSEN, ms=3.5, label="best of the generation")
        so_far = np.maximum.accumulate(best)
        axes.step(x, so_far, color=CHOSEN, lw=1.6, where="post", label="best so far")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set_xlim(-0.5, search.generation + 0.5)
        axes.set_xlabel("generation")
        axes.set_ylabel("validation accuracy (%)")
        title = f"Evolution in {search.space}: best {100 * search.best.accuracy:.1f} %"
        _title(axes, title, _limits_text(search.limits))
        axes.legend(loc="lower right")


# ---- what they share ---------------------------------------------------------------------------


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """A figure of so many inches that becomes the file at the end."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError(
            "pictures of a search need matplotlib: pip install 'thumbnet[nas]'"
        ) from error
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        yield figure
        with replacing(path) as partial:
            canvas.print_figure(partial, dpi=160, metadata={"Software": None})


def _gradient(count: int) -> list[Any]:
    """Colours from narrow to wide."""
    from matplotlib import colormaps

    return [colormaps["viridis"](x) for x in np.linspace(0.05, 0.85, count)]


def _limit_line(axes: Any, millions: float) -> None:
    axes.axvline(millions, color=LIMIT, lw=1.2, ls=(0, (5, 3)))
    axes.annotate(
        f"limit {millions:.3g} M",
        (millions, 1),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=LIMIT,
    )


def _limits_text(limits: Limits) -> str:
    texts = [
        f"{value / 1024:.4g} KB {name}"
        for name, value in (("SRAM", limits.sram), ("flash", limits.flash))
        if value is not None
    ]
    if limits.cycles is not None:
        texts.append(f"{limits.cycles / 1e6:.3g} M cycles")
    return f"limits: {', '.join(texts)}" if texts else "no limits"


def _title(axes: Any, title: str, below: str) -> None:
    axes.set_title(title, pad=24)
    axes.annotate(
        below, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", color=MUTED
    )


def _plain_numbers(axis: Any) -> None:
    """1, 2, 5, 10 instead of powers, on a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())
