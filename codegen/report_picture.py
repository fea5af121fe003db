"""The arena over time as SVG: geometry that the page of `compile` and the pictures of docs/ share.

Drawings have a viewBox of WIDTH units and are stretched to the place they get; text is never inside
of them. Time is piecewise linear: a stage is as wide as the square root of its number of steps, so
that a stage of hundreds of short steps and a layer that runs in a single one can both be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.occupancy import (
    COUNTERS,
    INPUT,
    OUTPUT,
    RING,
    SCRATCH,
    STATE,
    SUM,
    TENSOR,
    Area,
    Floats,
    Piece,
    areas,
    peak_steps,
)
from thumbnet.codegen.schedule import Schedule, Stage

WIDTH, HEIGHT, LIVE_HEIGHT = 10_000, 4_000, 1_000

ROLE_NAMES = {
    TENSOR: "whole tensor",
    RING: "rows that flow",
    INPUT: "input",
    OUTPUT: "output",
    STATE: "state",
    SCRATCH: "scratch",
    SUM: "running sums",
    COUNTERS: "counters",
}
_SHADES = 3  # of whole tensors and of rings: neighbours differ


@dataclass(frozen=True, eq=False)
class Axis:
    """`edges[s]` is where step s begins, in units; the last one is where the run ends."""

    edges: NDArray[np.int64]
    stages: tuple[Stage, ...]

    def at(self, steps: Floats) -> Floats:
        return np.interp(steps, np.arange(len(self.edges)), self.edges)


def make_axis(schedule: Schedule) -> Axis:
    stages = schedule.stages or (Stage(0, 0, 0, 1),)
    counts = [max(s.end_step - s.first_step, 1) for s in stages]
    ends = np.cumsum(np.sqrt(counts)) / np.sqrt(counts).sum() * WIDTH
    starts = np.concatenate([[0.0], ends[:-1]])
    inner = [
        np.linspace(a, b, n, endpoint=False) for a, b, n in zip(starts, ends, counts, strict=True)
    ]
    edges = np.concatenate([*inner, [WIDTH]])
    return Axis(np.rint(edges).astype(np.int64), stages)


@dataclass(frozen=True, eq=False)
class Picture:
    """A schedule with all that is drawn of it."""

    schedule: Schedule
    axis: Axis
    areas: tuple[Area, ...]


def make_picture(schedule: Schedule) -> Picture:
    return Picture(schedule, make_axis(schedule), areas(schedule))


@dataclass(frozen=True)
class Tag:
    """A name written into an area: a box in units of the axis and per cent of the arena."""

    text: str
    left: int
    right: int
    middle: float
    height: float


# ---- paths -----------------------------------------------------------------------------------


_LONGEST_RUN = 128


def _thinned(points: Sequence[tuple[int, int]], tolerance: int) -> list[tuple[int, int]]:
    """The points without those that lie within `tolerance` (upwards) of a line between others."""
    points = [
        p
        for before, p, after in zip([None, *points[:-1]], points, [*points[1:], None], strict=True)
        if before is None
        or after is None
        or not (before[0] == p[0] == after[0] or before[1] == p[1] == after[1])
    ]
    kept = points[:1]
    anchor = 0
    for i in range(2, len(points)):
        if i - anchor > _LONGEST_RUN:  # so that the work stays linear
            anchor = i - 1
            kept.append(points[anchor])
            continue
        (x0, y0), (x1, y1) = points[anchor], points[i]
        for x, y in points[anchor + 1 : i]:
            off = abs((y - y0) * (x1 - x0) - (x - x0) * (y1 - y0))
            if off > tolerance * (x1 - x0) or (x1 == x0 and not min(y0, y1) <= y <= max(y0, y1)):
                anchor = i - 1
                kept.append(points[anchor])
                break
    return kept + points[-1:] if len(points) > 1 else kept


def _moves(points: Sequence[tuple[int, int]]) -> str:
    """Relative path commands from the first point through the others."""
    text = []
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        dx, dy = x1 - x0, y1 - y0
        if dx and dy:
            text.append(f"l{dx}{'' if dy < 0 else ' '}{dy}")
        elif dx or dy:
            text.append(f"h{dx}" if dx else f"v{dy}")
    return "".join(text)


def _outline(axis: Axis, piece: Piece, scale: float) -> str:
    x = np.rint(axis.at(piece.time)).astype(int).tolist()
    top = np.rint(HEIGHT - piece.high * scale).astype(int).tolist()
    bottom = np.rint(HEIGHT - piece.low * scale).astype(int).tolist()
    over = _thinned(list(zip(x, top, strict=True)), 4)
    under = _thinned(list(zip(x, bottom, strict=True)), 4)
    start = over[0]
    return f"M{start[0]} {start[1]}{_moves([*over, *reversed(under)])}z"


def area_path(axis: Axis, area: Area, arena_bytes: int) -> str:
    """The `d` of one storage's live bytes."""
    return "".join(_outline(axis, piece, HEIGHT / arena_bytes) for piece in area.pieces)


def live_path(schedule: Schedule, axis: Axis) -> str:
    """The `d` of the live bytes by step; the height of the drawing is the arena."""
    scale = LIVE_HEIGHT / schedule.arena_bytes
    live = schedule.live_bytes[: len(schedule.steps)] or (schedule.lower_bound,)
    points: list[tuple[int, int]] = []
    for step, nbytes in enumerate(live):
        y = round(LIVE_HEIGHT - nbytes * scale)
        points += [(int(axis.edges[step]), y), (int(axis.edges[step + 1]), y)]
    thin = _thinned(points, 0)
    return f"M0 {LIVE_HEIGHT}V{thin[0][1]}{_moves(thin)}V{LIVE_HEIGHT}z"


# ---- drawings --------------------------------------------------------------------------------


def drawing(inner: str, height: int, css: str, label: str, place: str = "") -> str:
    return (
        f'<svg class="{css}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(label)}"{place}>{inner}</svg>'
    )


def arena_drawing(picture: Picture, place: str = "") -> str:
    """Offset (upwards) against step: every storage's live bytes."""
    schedule, axis = picture.schedule, picture.axis
    inner = [_grid(schedule, axis), _peak(schedule, axis, HEIGHT)]
    seen = dict.fromkeys(ROLE_NAMES, 0)
    for area in picture.areas:
        css = f"{area.role} s{seen[area.role] % _SHADES}"
        seen[area.role] += 1
        inner.append(
            f'<path class="area {css}" d="{area_path(axis, area, schedule.arena_bytes)}">'
            f"<title>{escape(describe(schedule, area))}</title></path>"
        )
    inner.append(_peak(schedule, axis, HEIGHT, "edge"))
    return drawing("".join(inner), HEIGHT, "arena zoom", "The arena over time", place)


def live_drawing(picture: Picture, place: str = "") -> str:
    """Live bytes by step, with the lower bound; the top is the arena's size."""
    schedule, axis = picture.schedule, picture.axis
    bound = round(LIVE_HEIGHT * (1 - schedule.lower_bound / schedule.arena_bytes))
    inner = (
        f"{_peak(schedule, axis, LIVE_HEIGHT)}"
        f'<path class="live" d="{live_path(schedule, axis)}"/>'
        f'<path class="bound" d="M0 {bound}H{WIDTH}"/>'
    )
    return drawing(inner, LIVE_HEIGHT, "livebytes zoom", "Live bytes by step", place)


def stage_drawing(picture: Picture, place: str = "") -> str:
    """A strip with one block a stage, those in which rows flow in colour."""
    edges, blocks = picture.axis.edges, []
    for number, stage in enumerate(picture.schedule.stages):
        a, b = edges[stage.first_step], edges[stage.end_step]
        flows = " flows" if stage.end_kernel - stage.first_kernel > 1 else ""
        blocks.append(
            f'<rect class="stage{flows}" x="{a}" width="{b - a}" height="100">'
            f"<title>{escape(stage_words(picture.schedule, number))}</title></rect>"
        )
    return drawing("".join(blocks), 100, "stages zoom", "Stages", place)


def tags(picture: Picture) -> list[Tag]:
    """Shapes to write into the areas that are large enough."""
    found = []
    tensors, arena = picture.schedule.graph.tensors, picture.schedule.arena_bytes
    for area in picture.areas:
        if area.name not in tensors:
            continue
        text = shape_words(tensors[area.name])
        tag = max((_tag(text, picture.axis, p, arena) for p in area.pieces), key=_tag_size)
        if tag.height >= 3 and tag.right - tag.left >= WIDTH * 0.015:
            found.append(tag)
    return found


def _tag_size(tag: Tag) -> float:
    return (tag.right - tag.left) * tag.height


def _tag(text: str, axis: Axis, piece: Piece, arena_bytes: int) -> Tag:
    """Where the piece has at least half of its greatest height."""
    heights = piece.high - piece.low
    most = int(np.argmax(heights))
    enough = heights >= 0.5 * heights[most]
    first = last = most
    while first > 0 and enough[first - 1]:
        first -= 1
    while last + 1 < len(heights) and enough[last + 1]:
        last += 1
    left, right = (int(x) for x in axis.at(piece.time[[first, last]]))
    x = axis.at(piece.time[first : last + 1])
    low, high = (
        float(np.interp((left + right) / 2, x, edge[first : last + 1]))
        for edge in (piece.low, piece.high)
    )
    percent = 100 / arena_bytes
    return Tag(text, left, right, (low + high) / 2 * percent, (high - low) * percent)


def _grid(schedule: Schedule, axis: Axis) -> str:
    levels = "".join(
        f"M0 {round(HEIGHT * (1 - n / schedule.arena_bytes))}H{WIDTH}"
        for n in byte_ticks(schedule.arena_bytes)
        if n
    )
    cuts = "".join(f"M{axis.edges[s.first_step]} 0V{HEIGHT}" for s in axis.stages[1:])
    return f'<path class="grid" d="{levels}{cuts}"/>'


def _peak(schedule: Schedule, axis: Axis, height: int, css: str = "peak") -> str:
    """The steps at which most bytes live: filled below the areas, only their edges over them."""
    first, end = peak_steps(schedule)
    a, b = axis.edges[first], axis.edges[min(end, len(axis.edges) - 1)]
    path = f"M{a} 0V{height}M{b} 0V{height}" if css == "edge" else f"M{a} 0V{height}H{b}V0z"
    return f'<path class="{css}" d="{path}"/>'


# ---- words and numbers -----------------------------------------------------------------------


def byte_ticks(nbytes: int) -> list[int]:
    """From 0 in steps of a power of two, at most 8 of them."""
    step = 1
    while nbytes / step > 7:
        step *= 2
    return list(range(0, nbytes + 1, step))


def step_ticks(axis: Axis, apart: float) -> list[tuple[int, float]]:
    """(step, per cent of the width) to label: starts of stages, then round numbers between them,
    `apart` per cent or more from each other."""
    steps = len(axis.edges) - 1
    every = 1
    while steps / every > 12:
        every = every * 5 // 2 if str(every)[0] == "2" else every * 2
    found: list[tuple[int, float]] = []
    for step in (*(s.first_step for s in axis.stages), *range(0, steps, every)):
        at = float(axis.edges[step]) / WIDTH * 100
        if all(abs(at - other) >= apart for _, other in found):
            found.append((step, at))
    return sorted(found)


def short_bytes(nbytes: int) -> str:
    """With K = 1024: 96, 1.5 K, 24 K."""
    if nbytes < 1024:
        return f"{nbytes}"
    value = f"{nbytes / 1024:.1f}"
    return f"{value.removesuffix('.0')} K"


def shape_words(tensor: Tensor) -> str:
    """The shape without the batch of one."""
    shape = tensor.shape[1:] if len(tensor.shape) > 1 and tensor.shape[0] == 1 else tensor.shape
    return " × ".join(map(str, shape)) or "1"


def describe(schedule: Schedule, area: Area) -> str:
    """Lines for a tooltip: name, what it is, bytes and place, steps, who makes it."""
    storage, tensors = area.storage, schedule.graph.tensors
    what = ROLE_NAMES[area.role]
    ring = schedule.rings.get(area.name)
    if ring is not None:
        what += f", {ring.rows} of {tensors[area.name].rows} at most"
    if area.name in tensors:
        tensor = tensors[area.name]
        what += f" · {shape_words(tensor)} {tensor.dtype}"
    first, end = area.pieces[0].time[0], max(piece.time[-1] for piece in area.pieces)
    place = f"{storage.nbytes:,} bytes at offset {storage.offset:,}"
    if area.name != storage.name:
        place = f"shares {place} with rows of other tensors"
    lines = [
        area.name,
        what,
        place,
        f"steps {int(first)} to {max(int(np.ceil(end)) - 1, 0)}",
    ]
    if area.layer >= 0:
        kernel = schedule.kernels[area.layer]
        verb = "of" if area.role in (SCRATCH, SUM) else "made by"
        lines.append(f"{verb} layer {area.layer}, {kernel.kind}")
    return "\n".join(lines)


def stage_words(schedule: Schedule, number: int) -> str:
    """'stage 1: layers 0 to 5, 143 steps'."""
    stage = schedule.stages[number]
    first, last = stage.first_kernel, stage.end_kernel - 1
    layers = f"layer {first}" if first == last else f"layers {first} to {last}"
    steps = stage.end_step - stage.first_step
    return f"stage {number + 1}: {layers}, {steps} step{'' if steps == 1 else 's'}"
