"""Charts of report.html as HTML: a stretched SVG for the marks, text beside it that is not.

Lines and dots keep their thickness however the chart is stretched: a dot is a line of no length
with round ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 1000, 500  # units of a drawing

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, by their logarithm with `log`. `ticks` are (value, text)."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    label: str
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value: 0 at `low`, 1 at `high`."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)


def axis(values: Iterable[float], label: str, *, unit: float = 1, margin: float = 0.05) -> Axis:
    """An axis for finite values, told in multiples of `unit`, with room at both ends."""
    found = list(values)
    least, most = min(found) / unit, max(found) / unit
    room = margin * (most - least) if most > least else 0.05 * abs(most) or 1.0
    low, high = least - room, most + room
    step = _step((high - low) / 5)
    first = math.ceil(low / step)
    ticks = [n * step for n in range(first, math.floor(high / step) + 1)]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return Axis(
        low * unit, high * unit, tuple((t * unit, f"{t:,.{digits}f}") for t in ticks), label
    )


def log_axis(values: Iterable[float], label: str, *, unit: float = 1) -> Axis:
    """The same for values above 0, by their logarithm."""
    found = list(values)
    low, high = min(found) * 0.9, max(found) * 1.1
    first = math.floor(math.log10(low / unit))
    last = math.ceil(math.log10(high / unit))
    marks = [m * 10.0**n for n in range(first, last + 1) for m in (1, 2, 5)]
    ticks = tuple((t * unit, f"{t:g}") for t in marks if low <= t * unit <= high)
    return Axis(low, high, ticks, label, log=True)


def count_axis(last: int, label: str, first: int = 0) -> Axis:
    """Whole numbers from `first` to `last`."""
    step = max(1, math.ceil(_step((last - first) / 8))) if last > first else 1
    shown = sorted({first, *range(-(-first // step) * step or first, last + 1, step)})
    shown = [n for n in shown if n == first or n - first >= step / 2]
    ticks = tuple((float(n), str(n)) for n in shown)
    return Axis(first - 0.4, max(last, first) + 0.4, ticks, label)


def _step(least: float) -> float:
    """1, 2 or 5 times a power of ten, `least` or the next above."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


# ---- marks ---------------------------------------------------------------------------------------


def line(x: Axis, y: Axis, points: Sequence[Point], css: str, title: str = "") -> str:
    """Straight from point to point."""
    if not points:
        return ""
    path = "L".join(_place(x, y, point) for point in points)
    return f'<path class="{css}" d="M{path}">{_title(title)}</path>'


def steps(x: Axis, y: Axis, points: Sequence[Point], css: str, title: str = "") -> str:
    """Level from each point to the next one's x, then up or down to it."""
    corners: list[Point] = list(points[:1])
    for before, point in zip(points, points[1:], strict=False):
        corners += [(point[0], before[1]), point]
    return line(x, y, corners, css, title)


def dots(x: Axis, y: Axis, points: Iterable[tuple[float, float, str]], css: str) -> str:
    """Of (x, y, what is said when pointed at)."""
    return "".join(
        f'<path class="dot {css}" d="M{_place(x, y, (a, b))}h0">{_title(title)}</path>'
        for a, b, title in points
    )


def upright(x: Axis, value: float, css: str, title: str = "") -> str:
    """A line from bottom to top, where the axis reaches so far."""
    if not x.low <= value <= x.high:
        return ""
    at = round(x.at(value) * WIDTH)
    return f'<path class="{css}" d="M{at} 0V{HEIGHT}">{_title(title)}</path>'


def level(y: Axis, value: float, css: str, title: str = "") -> str:
    """A line from left to right."""
    at = round((1 - y.at(value)) * HEIGHT)
    return f'<path class="{css}" d="M0 {at}H{WIDTH}">{_title(title)}</path>'


def _place(x: Axis, y: Axis, point: Point) -> str:
    return f"{x.at(point[0]) * WIDTH:.1f} {(1 - y.at(point[1])) * HEIGHT:.1f}"


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


# ---- the chart -----------------------------------------------------------------------------------


def chart(x: Axis, y: Axis, marks: str, legend: Sequence[tuple[str, str]], name: str) -> str:
    """A card with the marks, axes and a legend of (class of CHART_STYLE, text)."""
    grid = "".join(level(y, value, "grid") for value, _ in y.ticks)
    rows = "".join(
        f'<span style="bottom:{y.at(value) * 100:.2f}%">{text}</span>' for value, text in y.ticks
    )
    columns = "".join(
        f'<span style="left:{x.at(value) * 100:.2f}%">{text}</span>' for value, text in x.ticks
    )
    items = "".join(f'<li><i class="k-{css}"></i>{escape(text)}</li>' for css, text in legend)
    return f"""<figure class="card chart">
<ul class="legend">{items}</ul>
<div class="plot"><div class="y">{rows}</div>
<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" \
aria-label="{escape(name)}">{grid}{marks}</svg>
<div></div><div class="x">{columns}</div></div>
<figcaption>{escape(y.label)} against {escape(x.label)}</figcaption>
</figure>"""


CHART_STYLE = """
figure{margin:0}
.chart svg{height:17rem;border-bottom:1px solid var(--line);overflow:visible}
.chart path{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.chart figcaption{font-size:.78rem;color:var(--soft);text-align:center;margin-top:.15rem}
.chart .x{overflow:visible}
.chart path.faint{stroke:color-mix(in srgb,var(--soft) 38%,transparent);stroke-width:1.1}
.chart path.main{stroke:var(--accent);stroke-width:2}
.chart path.second{stroke:var(--r0);stroke-width:1.6}
.chart path.best{stroke:var(--peak);stroke-width:2.2}
.chart path.limit{stroke:var(--peak);stroke-width:1.3;stroke-dasharray:5 4}
.chart path.mark{stroke:var(--sum);stroke-width:1;stroke-dasharray:4 4}
.chart path.dot{stroke-linecap:round}
.chart .dot.all{stroke:var(--t1);stroke-width:5.5;opacity:.65}
.chart .dot.front{stroke:var(--accent);stroke-width:8}
.chart .dot.main{stroke:var(--accent);stroke-width:6}
.chart .dot.best{stroke:var(--peak);stroke-width:12}
.chart path.faint:hover,.chart path.main:hover{stroke-width:3}
.chart .dot:hover{stroke:var(--ink);opacity:1}
.legend .k-faint{background:color-mix(in srgb,var(--soft) 38%,transparent)}
.legend .k-all{background:var(--t1)}
.legend .k-main,.legend .k-front{background:var(--accent)}.legend .k-second{background:var(--r0)}
.legend .k-best{background:var(--peak)}
.legend .k-limit,.legend .k-mark{height:0;border-top:2px dashed var(--peak);border-radius:0;
vertical-align:.22rem;width:1.1rem}
.legend .k-mark{border-color:var(--sum)}
"""
