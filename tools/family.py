"""SRAM of the MobileNetV2 family by three ways of planning it: a picture and a table for docs/.

`python -m thumbnet.tools.family -o docs/pictures` writes docs/pictures/mobilenet_v2_family.svg and
prints the table of docs/memory.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from pathlib import Path

from thumbnet.codegen.compile import plan_model
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.planner import Mode
from thumbnet.codegen.report_assets import COLOURS
from thumbnet.codegen.report_picture import short_bytes
from thumbnet.codegen.tflm_memory import greedy_arena, whole_tensors
from thumbnet.tools.random_graphs import Net

WIDTHS = (0.35, 0.5, 0.75, 1.0)
RESOLUTIONS = (96, 128, 160, 192, 224)
# Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv 1801.04381,
# table 2: expansion, channels, repeats, stride of the first repeat.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, LAST, CLASSES = 32, 1280, 1000


def mobilenet_v2(width: float, resolution: int) -> Graph:
    """Int8, [1, resolution, resolution, 3] to [1, 1000], random weights; paddings are SAME."""
    net = Net(seed=0)
    x = net.input(1, resolution, resolution, 3)
    x = net.conv(x, _channels(STEM * width), (3, 3), (2, 2), activation="RELU6")
    for expansion, channels, repeats, first_stride in BLOCKS:
        for repeat in range(repeats):
            y = x
            if expansion > 1:
                y = net.conv(y, net.shape(x)[3] * expansion, activation="RELU6")
            y = net.depthwise(y, 3, first_stride if repeat == 0 else 1, activation="RELU6")
            y = net.conv(y, _channels(channels * width), activation="NONE")
            x = y if repeat == 0 else net.binary("ADD", x, y)
    x = net.conv(x, _channels(LAST * max(width, 1.0)), activation="RELU6")
    x = net.softmax(net.dense(net.mean(x), CLASSES))
    return net.graph(f"mobilenet_v2_{round(100 * width)}_{resolution}", x)


def _channels(wanted: float) -> int:
    """The multiple of 8 next to `wanted` that is not below 90 % of it, as the authors round."""
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * wanted else rounded + 8


# ---- planners ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """One network of the family: bytes of SRAM for activations, by planner."""

    width: float
    resolution: int
    image: int  # of the input alone
    greedy: int
    in_place: int  # layer by layer, every output over its own dying input
    whole: int  # this compiler
    fed: int  # this compiler, the input fed row by row


def member(width: float, resolution: int) -> Member:
    """Plans one network in every way; the checker proves each of the compiler's schedules."""
    graph = mobilenet_v2(width, resolution)
    layers, _ = plan_model(graph, Mode(optimize="size"))
    if any(stage.end_kernel - stage.first_kernel > 1 for stage in layers.stages):
        raise AssertionError("--optimize size joins layers: it is no layer-by-layer baseline")
    return Member(
        width=width,
        resolution=resolution,
        image=graph.tensors[graph.inputs[0]].nbytes,
        greedy=greedy_arena(whole_tensors(graph)),
        in_place=layers.arena_bytes,
        whole=plan_model(graph)[0].arena_bytes,
        fed=plan_model(graph, Mode(row_fed=True))[0].arena_bytes,
    )


# ---- table -------------------------------------------------------------------------------------

HEADINGS = ("width", "resolution", "image", "greedy, whole tensors", "layer by layer, in place",
            "Thumbnet", "Thumbnet, fed by rows")  # fmt: skip


def table_head() -> str:
    return f"| {' | '.join(HEADINGS)} |\n|{'---:|' * len(HEADINGS)}"


def table_row(m: Member) -> str:
    """KB of 1024 bytes."""
    sizes = (f"{n / 1024:.1f}" for n in (m.image, m.greedy, m.in_place, m.whole, m.fed))
    return f"| {m.width} | {m.resolution} | {' | '.join(sizes)} |"


# ---- picture -----------------------------------------------------------------------------------

_SERIES = (  # attribute of Member, what it is called
    ("greedy", "whole tensors, TFLM's greedy planner"),
    ("in_place", "layer by layer, in place"),
    ("whole", "Thumbnet"),
    ("fed", "Thumbnet, fed by rows"),
    ("image", "the input image itself"),
)
_STYLE = """
text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--soft)}
.title{font-size:15px;font-weight:600;fill:var(--ink)}.name{font-weight:600;fill:var(--ink)}
.end{text-anchor:end}.middle{text-anchor:middle}.card{fill:var(--card);stroke:var(--line)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.dot{stroke:var(--card);stroke-width:1}
.greedy{--c:var(--output)}.in_place{--c:var(--input)}.whole{--c:var(--accent)}.fed{--c:var(--r2)}
.image{--c:var(--soft)}.line{stroke:var(--c)}.dot{fill:var(--c)}
.line.image{stroke-width:1.2;stroke-dasharray:2 4}.value{font-size:10px}
@media(prefers-color-scheme:dark){.fed{--c:var(--r1)}}
"""
_WIDE, _TALL = 1000, 432
_LEFT, _TOP, _HIGH = 58, 86, 296
_PANEL, _GAP = 222, 12
_BEFORE, _AFTER = 14, 34  # room in a panel left and right of its points


def family_svg(members: Sequence[Member]) -> str:
    """One SVG document: SRAM over resolution on a logarithmic scale, one panel for each width."""
    sizes = [getattr(m, name) for m in members for name, _ in _SERIES]
    low, high = int(log2(min(sizes))), -int(-log2(max(sizes)) // 1)
    title = "MobileNetV2, int8: SRAM for activations by input resolution"
    panels = [
        _panel([m for m in members if m.width == width], i, low, high)
        for i, width in enumerate(sorted({m.width for m in members}))
    ]
    scale = (
        _text(_LEFT - 8, _y(1 << power, low, high) + 4, short_bytes(1 << power), "end")
        for power in range(low, high + 1)
    )
    below = "input resolution in pixels; K is 1024 bytes; the figures are those of the last points"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_TALL}" '
        f'width="{_WIDE}" height="{_TALL}" role="img" aria-label="{title}">\n'
        f"<style>{COLOURS}{_STYLE}</style>\n"
        f'<rect class="card" x=".5" y=".5" width="{_WIDE - 1}" height="{_TALL - 1}" rx="8"/>\n'
        f"{_text(_LEFT, 28, title, 'title')}\n{_legend()}\n{''.join(scale)}\n"
        f"{_text(_LEFT, _TOP + _HIGH + 36, below, '')}\n" + "\n".join([*panels, "</svg>\n"])
    )


def _panel(members: Sequence[Member], number: int, low: int, high: int) -> str:
    left = _LEFT + number * (_PANEL + _GAP)
    levels = "".join(f"M{left} {_y(1 << p, low, high):.1f}h{_PANEL}" for p in range(low, high + 1))
    parts = [
        _text(left, _TOP - 10, f"width {members[0].width}", "name"),
        f'<path class="grid" d="{levels}"/>',
    ]
    step = (_PANEL - _BEFORE - _AFTER) / (len(RESOLUTIONS) - 1)
    x_of = {r: left + _BEFORE + i * step for i, r in enumerate(RESOLUTIONS)}
    parts += [_text(x_of[m.resolution], _TOP + _HIGH + 17, f"{m.resolution}", "middle")
              for m in members]  # fmt: skip
    for name, called in reversed(_SERIES):
        points = [(x_of[m.resolution], getattr(m, name)) for m in members]
        path = "L".join(f"{x:.1f} {_y(n, low, high):.1f}" for x, n in points)
        parts.append(f'<path class="line {name}" d="M{path}"/>')
        if name != "image":
            parts += [_dot(x, n, name, called, low, high) for x, n in points]
    ends = {name: _y(getattr(members[-1], name), low, high) for name, _ in _SERIES[:-1]}
    for name, y in zip(ends, _apart(ends.values(), 11), strict=True):
        value = f"{getattr(members[-1], name) / 1024:.0f}"
        parts.append(_text(left + _PANEL - _AFTER + 7, y + 3.5, value, "value"))
    return "".join(parts)


def _dot(x: float, nbytes: int, name: str, called: str, low: int, high: int) -> str:
    return (
        f'<circle class="dot {name}" cx="{x:.1f}" cy="{_y(nbytes, low, high):.1f}" r="3.6">'
        f"<title>{called}: {nbytes:,} bytes</title></circle>"
    )


def _apart(heights: Iterable[float], least: float) -> list[float]:
    """Heights in descending order of the values they stand for, moved so that texts do not meet."""
    found = list(heights)
    for i, (above, below) in enumerate(pairwise(list(found))):
        lacking = least - (below - above)
        if lacking > 0:
            found[i] -= lacking / 2
            found[i + 1] += lacking / 2
    return found


def _y(nbytes: int, low: int, high: int) -> float:
    return _TOP + _HIGH * (1 - (log2(nbytes) - low) / (high - low))


def _legend() -> str:
    items, x = [], float(_LEFT)
    for name, called in _SERIES:
        items.append(f'<path class="line {name}" d="M{x:.1f} 47h18"/>')
        items.append(_text(x + 24, 50.5, called, ""))
        x += 48 + 5.7 * len(called)
    return "".join(items)


def _text(x: float, y: float, text: str, css: str) -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}">{text}</text>'


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="SRAM of the MobileNetV2 family, as SVG.")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to write into")
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    members = []
    print(table_head())
    for width in WIDTHS:
        for resolution in RESOLUTIONS:
            begin = time.monotonic()
            members.append(member(width, resolution))
            print(table_row(members[-1]), flush=True)
            took = time.monotonic() - begin
            print(f"{width} at {resolution}: {took:.1f} s", file=sys.stderr)
    file = given.out / "mobilenet_v2_family.svg"
    file.write_text(family_svg(members), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
