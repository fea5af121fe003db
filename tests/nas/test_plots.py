"""Pictures: they are made of what they are given, whole, and the same each time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.nas.synthetic import middle_space, synthetic_accuracies, synthetic_costs
from thumbnet.codegen.errors import ToolError
from thumbnet.nas import plots
from thumbnet.nas.cost import Limits
from thumbnet.nas.evolution import Search, Settings, evolve
from thumbnet.nas.plots import plot_history, plot_search, plot_spaces
from thumbnet.nas.space_optimization import SpaceChoice, SpaceReport

matplotlib = pytest.importorskip("matplotlib")

LIMITS = Limits(sram=64 << 10, flash=256 << 10, cycles=33_000_000)


def choice(spaces: int = 72) -> SpaceChoice:
    """Spaces that grow until they do not fit."""
    reports = []
    for i in range(spaces):
        asked, fits = 50, max(0, min(50, 90 - 2 * i))
        macs = tuple(1_000_000 + 20_000 * i * (j + 1) for j in range(fits))
        name, size = f"w{0.1 * (i // 8 + 2):.1f}-r{20 + i % 8}", (20 + i % 8, 20 + i % 8, 3)
        reports.append(SpaceReport(name, i // 8 / 10, size, asked, macs, 5, i % 3 == 0))
    chosen = max(reports, key=lambda report: report.key)
    return SpaceChoice(LIMITS, 50, 0, tuple(reports), chosen.name)


def search(generations: int = 2) -> Search:
    settings = Settings(population=6, parents=3, generations=generations)
    return evolve(middle_space(), synthetic_accuracies, synthetic_costs, LIMITS, settings)


@contextmanager
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every figure that is made meanwhile."""
    seen: list[Any] = []
    make = plots._figure

    @contextmanager
    def watched(*inputs: Any) -> Iterator[Any]:
        with make(*inputs) as figure:
            yield figure
            seen.append(figure)

    monkeypatch.setattr(plots, "_figure", watched)
    yield seen


def texts(figure: Any) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_the_picture_of_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = choice()
    with figures(monkeypatch) as seen:
        plot_spaces(found, tmp_path / "space.png")
    (axes,) = seen[0].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    chosen = next(label for label in lines if label.startswith(found.chosen))
    assert f"{found.best.fits:.1%}" in chosen and f"{found.best.mean / 1e6:.2f} M" in chosen
    assert lines[chosen].get_color() == plots.CHOSEN
    x, y = lines[chosen].get_data()
    assert (x[-1], y[-1]) == (found.best.macs[-1] / 1e6, 100 / len(found.best.macs))
    assert y[0] == 100 and sorted(y, reverse=True) == list(y)
    greys = [line for line in axes.get_lines() if line.get_color() == plots.FAINT]
    fitting = sum(space.has_mean for space in found.spaces)
    assert len(greys) == fitting - plots.NAMED_SPACES
    shown = texts(seen[0])
    assert f"{found.chosen} is taken of 72 search spaces" in shown
    assert "limits: 64 KB SRAM, 256 KB flash, 33 M cycles" in shown and "(millions)" in shown


def test_the_picture_of_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = search()
    with figures(monkeypatch) as seen:
        plot_search(found, tmp_path / "pareto.png", baselines={"ResNet-8": (25_000_000, 0.8)})
        plot_search(found, tmp_path / "other.png", chosen=found.front[0])
    axes = seen[0].axes[0]
    (dots,) = axes.collections
    assert dots.get_offsets().tolist() == [
        [each.cost.cycles / 1e6, 100 * each.accuracy] for each in found.evaluated
    ]
    lines = {line.get_label(): line for line in axes.get_lines()}
    front = [(each.cost.cycles / 1e6, 100 * each.accuracy) for each in found.front]
    assert list(zip(*lines["front"].get_data(), strict=True)) == front
    shown = texts(seen[0])
    assert "ResNet-8" in shown and "limit 33 M" in shown and "generation" in shown
    assert f"best: {100 * found.best.accuracy:.1f} %" in shown
    assert f"{len(found.evaluated)} networks of w0.5-r32-s1, {len(front)} on the front" in shown
    assert f"chosen: {front[0][1]:.1f} %" in texts(seen[1])


def test_the_picture_of_generations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = search(generations=4)
    with figures(monkeypatch) as seen:
        plot_history(found, tmp_path / "history.png")
    (axes,) = seen[0].axes
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert len(lines["median"]) == len(lines["best so far"]) == 5
    assert lines["best so far"][-1] == pytest.approx(100 * found.best.accuracy)
    assert all(lines["median"] <= lines["best of the generation"])


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plot_spaces(choice(), path),
        lambda path: plot_spaces(choice(1), path),
        lambda path: plot_spaces(nothing_but_the_smallest(), path),
        lambda path: plot_search(search(), path),
        lambda path: plot_search(search(generations=0), path),
        lambda path: plot_search(replace(search(), evaluated=search().evaluated[:1]), path),
        lambda path: plot_search(replace(search(), limits=Limits()), path, baselines={"a": (1, 0)}),
        lambda path: plot_history(search(generations=0), path),
    ],
)
def test_every_picture_is_whole(draw: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_text("earlier")
    draw(path)
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[0] > 500 and pixels.shape[1] > 1000
    assert [f.name for f in tmp_path.iterdir()] == ["picture.png"]


def nothing_but_the_smallest() -> SpaceChoice:
    report = SpaceReport("w0.2", 0.2, (20, 20, 3), 50, (), 1000, False)
    return SpaceChoice(LIMITS, 50, 0, (report,), "w0.2")


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one.png", "other.png"):
        plot_search(search(), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_a_failure_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pareto.png"
    path.write_text("earlier")
    monkeypatch.setattr("thumbnet.nas.plots._limits_text", lambda limits: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plot_search(search(), path)
    assert path.read_text() == "earlier" and len(list(tmp_path.iterdir())) == 1
    monkeypatch.undo()
    with pytest.raises(ToolError, match="cannot write"):
        plot_search(search(), path / "pareto.png")


def test_without_matplotlib_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ToolError, match="pip install 'thumbnet"):
        plot_search(search(), tmp_path / "pareto.png")
    assert not list(tmp_path.iterdir())


def test_searching_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; import thumbnet.nas.evolution, thumbnet.nas.plots, thumbnet.nas.search_state,"
        "thumbnet.nas.space_optimization; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
