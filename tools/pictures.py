"""Writes the pictures of docs/: the arena over time of models, as SVG that stands on its own.

`python -m thumbnet.tools.pictures MODEL... -o docs/pictures` writes docs/pictures/MODEL.svg;
with `--input rows` docs/pictures/MODEL-rows.svg, of the schedule that is fed row by row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

from thumbnet.codegen.compile import load_graph, plan_model
from thumbnet.codegen.errors import ThumbnetError
from thumbnet.codegen.occupancy import ROLES
from thumbnet.codegen.planner import Mode
from thumbnet.codegen.report_assets import COLOURS
from thumbnet.codegen.report_picture import (
    ROLE_NAMES,
    WIDTH,
    Picture,
    arena_drawing,
    byte_ticks,
    live_drawing,
    make_picture,
    short_bytes,
    stage_drawing,
    step_ticks,
    tags,
)

_STYLE = """
text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--soft)}
.title{font-size:15px;font-weight:600;fill:var(--ink)}.tag{fill:var(--ink);font-size:10px}
.end{text-anchor:end}.middle{text-anchor:middle}.card{fill:var(--card);stroke:var(--line)}
.swatch{stroke:none}
"""
_WIDE, _TALL = 1000, 520  # of a whole picture, in its own units
_LEFT, _TOP, _BROAD, _HIGH = 58, 66, 926, 318  # of its main drawing
_LIVE_TOP, _LIVE_HIGH = 436, 66
_CHARACTER = 5.6  # width of one in a tag


def picture_svg(picture: Picture, title: str) -> str:
    """One SVG document."""
    main = f' x="{_LEFT}" y="{_TOP}" width="{_BROAD}" height="{_HIGH}"'
    strip = f' x="{_LEFT}" y="{_TOP + _HIGH + 5}" width="{_BROAD}" height="11"'
    live = f' x="{_LEFT}" y="{_LIVE_TOP}" width="{_BROAD}" height="{_LIVE_HIGH}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_TALL}" '
        f'width="{_WIDE}" height="{_TALL}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{COLOURS}{_STYLE}</style>\n"
        f'<rect class="card" x=".5" y=".5" width="{_WIDE - 1}" height="{_TALL - 1}" rx="8"/>\n'
        f'<text class="title" x="{_LEFT}" y="28">{escape(title)}</text>\n'
        f"{_legend(picture)}\n{arena_drawing(picture, main)}\n{_tags(picture)}\n"
        f"{_levels(picture)}\n{stage_drawing(picture, strip)}\n{_steps(picture)}\n"
        f"{live_drawing(picture, live)}\n"
        f"{_text(_LEFT - 8, _LIVE_TOP + 38, 'live', 'end')}\n</svg>\n"
    )


def _text(x: float, y: float, text: str, css: str) -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _legend(picture: Picture) -> str:
    present = {area.role for area in picture.areas}
    items, x = [], float(_LEFT)
    for role in (r for r in ROLES if r in present):
        name = ROLE_NAMES[role]
        items.append(
            f'<rect class="swatch {role} s0" x="{x:.1f}" y="41" width="11" height="11" rx="2"/>'
            f"{_text(x + 16, 50.5, name, '')}"
        )
        x += 34 + 5.9 * len(name)
    bound = f"lower bound {picture.schedule.lower_bound:,} bytes"
    items.append(f'<path class="bound" d="M{x:.1f} 47h18"/>{_text(x + 24, 50.5, bound, "")}')
    return "".join(items)


def _tags(picture: Picture) -> str:
    """The names that have room."""
    shown = []
    for tag in tags(picture):
        wide = (tag.right - tag.left) / WIDTH * _BROAD
        if wide > _CHARACTER * len(tag.text) + 4 and tag.height / 100 * _HIGH > 13:
            x = _LEFT + (tag.left + tag.right) / 2 / WIDTH * _BROAD
            y = _TOP + _HIGH * (1 - tag.middle / 100) + 3.5
            shown.append(_text(x, y, tag.text, "tag middle"))
    return "".join(shown)


def _levels(picture: Picture) -> str:
    arena = picture.schedule.arena_bytes
    levels = [n for n in byte_ticks(arena) if n < 0.95 * arena] + [arena]
    return "".join(
        _text(_LEFT - 8, _TOP + _HIGH * (1 - n / arena) + 4, short_bytes(n), "end") for n in levels
    )


def _steps(picture: Picture) -> str:
    y = _TOP + _HIGH + 31
    labels = [
        _text(_LEFT + at / 100 * _BROAD, y, str(step), "middle")
        for step, at in step_ticks(picture.axis, 3.5)
    ]
    return _text(_LEFT - 8, y, "step", "end") + "".join(labels)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Pictures of models' arenas over time, as SVG.")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument("--input", choices=("whole", "rows"), default="whole")
    given = parser.parse_args(words)
    fed = given.input == "rows"
    given.out.mkdir(parents=True, exist_ok=True)
    for model in given.models:
        try:
            schedule, _ = plan_model(load_graph(model), Mode(row_fed=fed))
        except ThumbnetError as error:
            print(f"pictures: {error}", file=sys.stderr)
            return 1
        title = f"{model.stem}: arena of {schedule.arena_bytes:,} bytes over one run"
        title += ", fed row by row" if fed else ""
        text = picture_svg(make_picture(schedule), title)
        file = given.out / f"{model.stem}{'-rows' if fed else ''}.svg"
        file.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
