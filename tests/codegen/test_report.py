"""report.html: what it shows, that it stands on its own, and that a browser takes it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from random_networks import random_network
from sample_models import SAMPLES
from tflite_builder import Builder

from thumbnet.codegen.compile import Compiled, Options, compile_model, load_graph, plan_model
from thumbnet.codegen.occupancy import areas, peak_steps
from thumbnet.codegen.report_picture import (
    WIDTH,
    area_path,
    byte_ticks,
    live_path,
    make_axis,
    make_picture,
    step_ticks,
)
from thumbnet.codegen.schedule import Schedule
from thumbnet.tools.pictures import main, picture_svg

HOSTILE = "</title></script><script>alert('x & \"y\"')</script>"
_VOID = {"meta", "link", "br"}

Compile = Callable[[str], Compiled]


class _Page(HTMLParser):
    """Checks that tags nest, and keeps elements, their attributes and their text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))
        self.text.setdefault(tag, [])
        if tag not in _VOID:
            self.open.append(tag)
            self.text[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]][-1] += data

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [a for _, a in self.elements if name in a.get("class", "").split()]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """A sample or 'random N', compiled for the host once."""
    folder = tmp_path_factory.mktemp("reports")
    done: dict[str, Compiled] = {}

    def get(name: str) -> Compiled:
        if name not in done:
            if name.startswith("random"):
                model = random_network(int(name.split()[1]))
            elif name == "hostile":
                model = _hostile().build()
            else:
                model = SAMPLES[name]().build()
            path = folder / f"{name.replace(' ', '_')}.tflite"
            path.write_bytes(model)
            done[name] = compile_model(path, folder / path.stem, Options(target="host"))
        return done[name]

    return get


def _hostile() -> Builder:
    """small_cnn with names that try to leave the place they are written to."""
    builder = SAMPLES["small_cnn"]()
    builder.specs[:] = [replace(s, name=f"{HOSTILE}{i}") for i, s in enumerate(builder.specs)]
    return builder


def _page(compiled: Compiled) -> str:
    return (compiled.folder / "report.html").read_text(encoding="utf-8")


NAMES = [*SAMPLES, "random 3", "random 17", "hostile"]


@pytest.mark.parametrize("name", NAMES)
def test_page_is_whole_and_stands_alone(name: str, compiled: Compile) -> None:
    text = _page(compiled(name))
    page = _Page(text)
    assert not re.search(r"https?:|//\w+\.|@import|url\(", text)
    for tag, attributes in page.elements:
        assert tag not in ("img", "iframe", "object", "embed", "base")
        assert not {"src", "srcset", "action"} & attributes.keys()
        assert tag != "link" or attributes["href"] == "data:,"
        assert not any(key.startswith("on") for key in attributes)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert len([1 for tag, _ in page.elements if tag == "script"]) == 2


@pytest.mark.parametrize("name", NAMES)
def test_page_says_what_the_schedule_is(name: str, compiled: Compile) -> None:
    result = compiled(name)
    schedule, page = result.schedule, _Page(_page(result))
    shown = {a["title"] for a in page.of_class("name") if "title" in a}
    assert shown == {k.output for k in schedule.kernels}
    assert len(page.of_class("area")) == len(areas(schedule))
    assert len(page.of_class("stage")) == len(schedule.stages)
    words = "\n".join(page.text["title"])
    for name in {*schedule.storages, *schedule.rings} & set(schedule.graph.tensors):
        assert f"{name}\n" in words
    facts = page.text["dd"]
    assert f"{schedule.arena_bytes:,}" in facts
    assert f"{schedule.lower_bound:,}" in facts
    assert "not known" in facts  # the host has no stack and code to state
    (data,) = (json.loads(t) for t in page.text["script"] if t.startswith("{"))
    assert data["live"] == list(schedule.live_bytes)
    assert data["layer"] == [s.kernel for s in schedule.steps]
    assert len(page.of_class("at-peak")) >= 1


def test_hostile_names_stay_text(compiled: Compile) -> None:
    text = _page(compiled("hostile"))
    assert "alert(" in text
    assert "<script>alert" not in text
    assert "</title></script>" not in text


def test_same_inputs_same_page(tmp_path: Path, compiled: Compile) -> None:
    first = compiled("residual")
    path = first.folder.with_suffix(".tflite")
    again = compile_model(path, tmp_path / "residual", Options(target="host"))
    assert _page(again) == _page(first)


# ---- the picture's geometry ------------------------------------------------------------------


def _schedule(name: str, compiled: Compile) -> Schedule:
    return compiled(name).schedule


@pytest.mark.parametrize("name", [*SAMPLES, *(f"random {n}" for n in range(12))])
def test_areas_are_the_live_bytes(name: str, compiled: Compile) -> None:
    """Inside of the arena and of their storage; at the start of a step their heights add up to no
    more than what the schedule says is live."""
    schedule = _schedule(name, compiled)
    found = areas(schedule)
    at_step = np.zeros(len(schedule.steps))
    for area in found:
        for piece in area.pieces:
            assert (np.diff(piece.time) >= 0).all()
            assert piece.low.min() >= area.storage.offset
            assert piece.high.max() <= area.storage.offset + area.storage.nbytes
            assert (piece.high > piece.low).all()
            assert 0 <= piece.time[0] < piece.time[-1] <= len(schedule.steps)
            assert max(area.storage.first, 0) <= piece.time[0]
            assert piece.time[-1] <= min(area.storage.last, len(schedule.steps) - 1) + 1
            starts = np.flatnonzero(np.diff(piece.time, append=np.inf) > 0)
            for i in starts:
                step = int(piece.time[i])
                if piece.time[i] == step < len(schedule.steps) and i + 1 < len(piece.time):
                    at_step[step] += piece.high[i] - piece.low[i]
    shared = max(schedule.graph.tensors[k.output].row_bytes for k in schedule.kernels)
    assert (at_step <= np.array(schedule.live_bytes) + shared).all()


@pytest.mark.parametrize("name", ["small_cnn", "residual", "stateful", "random 5"])
def test_paths_and_axis(name: str, compiled: Compile) -> None:
    schedule = _schedule(name, compiled)
    axis = make_axis(schedule)
    assert len(axis.edges) == len(schedule.steps) + 1
    assert (axis.edges[0], axis.edges[-1]) == (0, WIDTH)
    assert (np.diff(axis.edges) > 0).all()
    for area in areas(schedule):
        d = area_path(axis, area, schedule.arena_bytes)
        assert re.fullmatch(r"(M\d+ \d+([hv]-?\d+|l-?\d+ ?-?\d+)+z)+", d), d
    assert live_path(schedule, axis).endswith("z")
    first, end = peak_steps(schedule)
    assert schedule.live_bytes[first] == schedule.live_bytes[end - 1] == schedule.lower_bound
    ticks = step_ticks(axis, 4)
    assert ticks[0] == (0, 0.0)
    assert all(b[1] - a[1] >= 4 for a, b in zip(ticks, ticks[1:], strict=False))


@pytest.mark.parametrize("nbytes", [1, 4, 7, 32, 1000, 22_012, 300_000])
def test_byte_ticks(nbytes: int) -> None:
    ticks = byte_ticks(nbytes)
    assert ticks[0] == 0 and ticks[-1] <= nbytes
    assert 2 <= len(ticks) <= 8


def test_picture_is_well_formed(tmp_path: Path, compiled: Compile) -> None:
    picture = make_picture(_schedule("hostile", compiled))
    root = ElementTree.fromstring(picture_svg(picture, "a <title> & more"))
    assert root.get("aria-label") == "a <title> & more"
    model = compiled("residual").folder.with_suffix(".tflite")
    assert main([str(model), "-o", str(tmp_path / "pictures")]) == 0
    written = (tmp_path / "pictures" / "residual.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(written)
    schedule, _ = plan_model(load_graph(model))
    assert f"arena of {schedule.arena_bytes:,} bytes" in written
    assert main([str(model), "--input", "rows", "-o", str(tmp_path / "pictures")]) == 0
    fed = (tmp_path / "pictures" / "residual-rows.svg").read_text(encoding="utf-8")
    assert "fed row by row" in fed
    assert "counters" in fed


def test_pictures_refuses_what_is_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "absent.tflite"), "-o", str(tmp_path)]) == 1
    assert "absent.tflite" in capsys.readouterr().err


# ---- in a browser ----------------------------------------------------------------------------

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("chromium is not installed")
    return found


@pytest.mark.parametrize("name", ["residual", "stateful", "hostile"])
def test_page_in_a_browser(name: str, compiled: Compile, browser: str, tmp_path: Path) -> None:
    result = compiled(name)
    page = tmp_path / "report.html"
    zoom = "document.querySelector('.stage').dispatchEvent(new MouseEvent('click'));"
    page.write_text(_page(result).replace("</body>", f"<script>{zoom}</script></body>"))
    done = subprocess.run(
        [browser, *_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr  # neither errors nor messages
    dom = _Page(done.stdout)
    assert len(dom.of_class("area")) == len(areas(result.schedule))
    assert all("aria-label" in a for a in dom.of_class("area"))  # the script has run
    (arena,) = dom.of_class("arena")
    assert arena["viewbox"].split()[0] == "0"  # zoomed into the first stage
    assert float(arena["viewbox"].split()[2]) < WIDTH
    assert len([1 for tag, _ in dom.elements if tag == "tr"]) == len(result.schedule.kernels) + 1
