"""Would tiles of two dimensions need less SRAM than rows? A bound on patches and on column strips.

`python -m thumbnet.tools.patches MODEL.tflite... [--family]` prints what docs/memory.md says.

Two rivals of the planner's schedules, both bounded from below in their favour:

- *Patches* (MCUNetV2: Lin et al., NeurIPS 2021, section 3): the layers up to a cut run patch by
  patch, each patch layer by layer, the rest layer by layer. Searched over all cuts and all grids.
- *Strips*: any stage may run in column strips of full height; within a strip rows flow as in our
  own stages, so that rings are as wide as a strip and its halo. Searched over all partitions of the
  network into stages and every number of strips for each. One strip is a stage of rows.

Only live bytes count, to the byte, as if any placement were possible: the halo of the input that a
later tile needs stays, every other byte of the input dies with the tile that read it last, and the
output grows tile by tile. An output may always lie over a dying input. Scratch is the planner's
smaller form. Where the image is outside of the arena, patches read it there, and strips are fed its
rows, strip after strip: it must exist somewhere as often as there are tiles. Every tile computes
what it needs of each layer: the halo is computed again, which "extra MACs" counts.
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from thumbnet.codegen.compile import load_graph, plan_model
from thumbnet.codegen.errors import ThumbnetError
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.kernel import Kernel
from thumbnet.codegen.lifetimes import is_elementwise
from thumbnet.codegen.planner import NEARLY_FASTEST, Mode
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.streaming import Flow, stage_steps
from thumbnet.codegen.ticks import Clock, made_bytes, needed_from
from thumbnet.tools.family import RESOLUTIONS, WIDTHS, mobilenet_v2
from thumbnet.tools.tiles import COLUMNS, ROWS, Ints, Network, extra_macs, network, spans

MOST_TILES = 8  # along each axis
FEW_EXTRA = round(NEARLY_FASTEST - 1, 9)  # what the planner, too, may spend of time on memory
MUCH = 1e9  # extra MACs: no limit


@dataclass(frozen=True, order=True)
class Plan:
    """Live bytes at most, MACs computed again as a share of all, and what it is."""

    nbytes: int
    extra: float
    what: str


def _scratch(kernel: Kernel) -> int:
    return (kernel.with_less_scratch or kernel).scratch_bytes


# ---- patches -----------------------------------------------------------------------------------


def layer_peaks(net: Network, *, outside: bool) -> list[int]:
    """By kernel: live bytes when it runs whole."""
    sizes = {v: net.flow.tensor(v).nbytes for v in (net.image, *net.flow.maker)}
    if outside:
        sizes[net.image] = 0
    areas = {v: np.full((1, 1), n, dtype=np.int64) for v, n in sizes.items()}
    return [int(peak.max()) for peak in _walk(net, len(net.flow.kernels), areas)]


def _walk(net: Network, end: int, areas: Mapping[str, Ints]) -> list[Ints]:
    """By kernel before `end` and by tile: bytes of what is live of `areas`, the larger of what a
    kernel uses up and of what it makes, and its scratch."""
    flow, found = net.flow, []
    last = {v: max(i for i, _ in readers) for v, readers in flow.readers.items()}
    live = {net.image}
    for i, kernel in enumerate(flow.kernels[:end]):
        out = flow.value_of[kernel.output]
        dying = {v for v in live if last.get(v, end) == i}
        zero = np.zeros_like(areas[out])
        used = sum((areas[v] for v in dying), start=zero)
        staying = sum((areas[v] for v in live - dying), start=zero)
        found.append(staying + np.maximum(used, areas[out]) + _scratch(kernel))
        live = (live - dying) | {out}
    return found


def patches(net: Network, *, outside: bool) -> list[Plan]:
    """Patch-based schedules, layer by layer as the first; cuts after which some layer alone needs
    more than the best so far are left out."""
    whole = layer_peaks(net, outside=outside)
    found = [Plan(max(whole), 0.0, "layer by layer")]
    for end, out in net.cuts.items():
        if end == 0:
            continue
        if not all(net.can_tile(i) for i in range(end)):
            break
        if max(whole[end:], default=0) > min(found).nbytes:
            continue
        high, wide = (min(MOST_TILES, net.pixels(out, axis)) for axis in (ROWS, COLUMNS))
        for rows in range(1, high + 1):
            for columns in range(1, wide + 1):
                peak = _patch_peak(net, end, rows, columns, outside)
                peak = max([peak, *whole[end:]])
                extra = extra_macs(net, 0, end, rows, columns)
                found.append(Plan(peak, extra, f"{rows} x {columns}, {end} layers"))
    return found


def _patch_peak(net: Network, end: int, rows: int, columns: int, outside: bool) -> int:
    """Most live bytes while kernels [0, end) run patch by patch, from left to right and down."""
    down, across = spans(net, 0, end, rows, ROWS), spans(net, 0, end, columns, COLUMNS)
    areas = {
        v: np.outer(down[v][1] - down[v][0], across[v][1] - across[v][0]) * net.channels(v)
        for v in down
    }
    out, own_rows, own_columns = net.cuts[end], *(_own(s[net.image]) for s in (down, across))
    areas[net.image] = np.outer(own_rows, own_columns) * net.channels(net.image)
    below = (own_rows.sum() - np.cumsum(own_rows))[:, None] * own_columns.sum()
    right = np.outer(own_rows, own_columns.sum() - np.cumsum(own_columns))
    later = (below + right) * net.channels(net.image)
    if outside:
        areas[net.image] = later = np.zeros_like(later)
    made = down[out][0][:, None] * net.pixels(out, COLUMNS)
    made = made + np.outer(down[out][1] - down[out][0], across[out][0])
    peaks = np.max(_walk(net, end, areas), axis=0)
    return int((peaks + later + made * net.channels(out)).max())


def _own(span: tuple[Ints, Ints]) -> Ints:
    """By tile: how much of what it needs no later one needs."""
    return np.diff(np.append(span[0], span[1][-1]))


# ---- strips ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Kernels [first, end) as one stage of `count` strips: live bytes at most if a tensor that is
    whole may die and grow by columns (`bound`), if its rows have addresses (`by_rows`), and MACs
    computed again as a share of all."""

    first: int
    end: int
    count: int
    bound: int
    by_rows: int
    extra: float


def pieces(net: Network, limit: int, *, outside: bool) -> list[Piece]:
    """Stages between cuts of at most `limit` bytes, by rising first; others cannot help. Nor can
    strips, or rows that flow, where layer by layer needs less than the image that lies there."""
    layers = layer_peaks(net, outside=outside)
    floor = 0 if outside else net.flow.tensor(net.image).nbytes
    cuts = [i for i, v in net.cuts.items() if i == 0 or net.flow.tensor(v).nbytes <= limit]
    found = []
    for at, first in enumerate(cuts):
        for end in cuts[at + 1 :]:
            peak = max(layers[first:end])
            found.append(Piece(first, end, 1, peak, peak, 0.0))
            if peak > floor:
                found += _flowing(net, first, end, outside)
    return found


def _flowing(net: Network, first: int, end: int, outside: bool) -> list[Piece]:
    """Kernels [first, end) with rows flowing, in one strip and in more."""
    flows = [net.flow]
    if any(kernel.as_reducer for kernel in net.flow.kernels[first:end]):
        flows.append(net.flow.with_kernels([k.as_reducer or k for k in net.flow.kernels]))
    most = 1
    if all(net.can_tile(i) for i in range(first, end)):
        most = min(MOST_TILES, net.pixels(net.cuts[end], COLUMNS))
    stages = [_Stage(net, flow, first, end, outside) for flow in flows]
    found = []
    for count in range(1, most + 1):
        bound, by_rows = (min(stage.peak(count, by_rows=how) for stage in stages)
                          for how in (False, True))  # fmt: skip
        extra = extra_macs(net, first, end, 1, count)
        found.append(Piece(first, end, count, bound, by_rows, extra))
    return found


class _Stage:
    """Rows that are live at each tick of a stage; strips differ only in how wide they are."""

    def __init__(self, net: Network, flow: Flow, first: int, end: int, outside: bool) -> None:
        self.net, self.first, self.end = net, first, end
        bands = (1,) * len(flow.kernels)
        clock = Clock(flow, stage_steps(flow, first, end, bands))
        into, out = net.cuts[first], net.cuts[end]
        inside = [flow.value_of[k.output] for k in flow.kernels[first:end]]
        self.rows = {v: _live_rows(clock, v, out) for v in (into, *inside)}
        self.fed = outside and into == net.image
        if self.fed:
            self.rows[into] = _fed_rows(clock, into, self.rows[into])
        self.scratch = np.zeros(clock.ticks, dtype=np.int64)
        self.elementwise: list[tuple[str, str, Ints]] = []  # input, output, when
        for i in range(first, end):
            kernel = flow.kernels[i]
            when = clock.of_kernel(i, spanning=bool(kernel.unit_rows))
            self.scratch[when] += _scratch(kernel)
            over = [r for r in kernel.reads if is_elementwise(r, flow.tensor(kernel.output))]
            if over and not kernel.unit_rows:
                names = flow.value_of[over[0].tensor], flow.value_of[kernel.output]
                self.elementwise.append((*names, when))

    def peak(self, count: int, *, by_rows: bool) -> int:
        """Most live bytes in `count` strips; `by_rows`: rows of what goes in and out are as long
        as ever, so the last strip alone frees rows of the one, and the first makes the other's."""
        net = self.net
        into, out = net.cuts[self.first], net.cuts[self.end]
        if count > 1:
            across = spans(net, self.first, self.end, count, COLUMNS)
        else:
            across = {v: (np.zeros(1, np.int64), np.full(1, net.pixels(v, COLUMNS)))
                      for v in self.rows}  # fmt: skip
        own = _own(across[into])
        peak = 0
        for strip in range(count):
            wide = {v: int(high[strip] - low[strip]) * net.channels(v)
                    for v, (low, high) in across.items()}  # fmt: skip
            standing = int(across[out][0][strip]) * net.channels(out) * net.pixels(out, ROWS)
            if by_rows:
                tensor = net.flow.tensor(out)
                standing = tensor.nbytes if strip else 0
                wide[out] = 0 if strip else tensor.row_bytes
            if by_rows and not self.fed:
                tensor, is_last = net.flow.tensor(into), strip == count - 1
                standing += 0 if is_last else tensor.nbytes
                wide[into] = tensor.row_bytes if is_last else 0
            elif not self.fed:
                wide[into] = int(own[strip]) * net.channels(into)
                later = int(own[strip + 1 :].sum()) * net.channels(into)
                standing += later * net.pixels(into, ROWS)
            live = self.scratch + sum(rows * wide[v] for v, rows in self.rows.items())
            for source, made, when in self.elementwise:
                live[when] -= min(wide[source], wide[made])
            peak = max(peak, standing + int(live.max()))
        return peak


def _live_rows(clock: Clock, value: str, out: str) -> Ints:
    row_bytes = clock.flow.tensor(value).row_bytes
    made = made_bytes(clock, value, (value,))
    live = made - needed_from(clock, value, frozenset({value} & {out}))
    rows: Ints = -(-np.maximum(live, 0) // row_bytes)
    maker = clock.flow.maker.get(value)
    if maker is not None:  # a row is written even if nothing reads it
        own = clock.ticks_of(maker)
        rows[own] = np.maximum(rows[own], 1)
    return rows


def _fed_rows(clock: Clock, image: str, left: Ints) -> Ints:
    """Rows of the image that have come and are still needed; `left` is needed from now on."""
    rows = clock.flow.tensor(image).rows
    come = np.zeros(clock.ticks, dtype=np.int64)
    for i, read in clock.flow.readers[image]:
        own = clock.ticks_of(i)
        if read.window is None:
            come[own] = rows
            continue
        window = read.window
        end = clock.row[own] * window.stride - window.before + window.size
        come[own] = np.maximum(come[own], np.minimum(end, rows))
    return np.maximum(np.maximum.accumulate(come) - (rows - left), 0)


def partitions(
    found: Sequence[Piece], end: int, *, by_rows: bool, most_extra: float
) -> tuple[Plan, tuple[Piece, ...]]:
    """The partition of kernels [0, end) into some of these pieces that needs least memory among
    those of at most `most_extra` extra MACs; of equals the one of fewest."""

    def size(piece: Piece) -> int:
        return piece.by_rows if by_rows else piece.bound

    def best(limit: int) -> tuple[float, int, tuple[Piece, ...]]:
        ways: dict[int, tuple[float, int, tuple[Piece, ...]]] = {0: (0.0, 0, ())}
        none = (inf, 0, ())
        for piece in found:
            if size(piece) <= limit and piece.first in ways:
                extra, cut, chosen = ways[piece.first]
                way = extra + piece.extra, cut + (piece.count > 1), (*chosen, piece)
                if way[:2] < ways.get(piece.end, none)[:2]:
                    ways[piece.end] = way
        return ways.get(end, none)

    sizes = sorted({size(piece) for piece in found})
    at = bisect_left(sizes, True, key=lambda limit: best(limit)[0] <= most_extra)
    extra, _, chosen = best(sizes[at])
    said = [f"layers {p.first + 1}-{p.end} in {p.count}" for p in chosen if p.count > 1]
    return Plan(max(map(size, chosen)), extra, "; ".join(said) or "rows"), chosen


# ---- comparison --------------------------------------------------------------------------------

IMAGES = ("in the arena", "fed once", "read again")


@dataclass(frozen=True)
class Comparison:
    """One network in bytes; `image` says where its input is. `rows` is the planner's arena, all
    others are live bytes at most. `patches` is None where the image comes only once. `bound`: the
    best strips with whole tensors that may die by columns, at any cost; `strips`: with rows that
    have addresses, of at most FEW_EXTRA of extra MACs."""

    network: str
    image: str
    rows: int
    rows_bound: int
    patches: Plan | None
    bound: Plan
    strips: Plan

    @property
    def ratio(self) -> float:
        """What strips need of what rows need, both live bytes."""
        return self.strips.nbytes / self.rows_bound


def compare(graph: Graph) -> list[Comparison]:
    """For every place of the image. Raises ThumbnetError."""
    net = network(graph)
    end = len(net.flow.kernels)
    found = []
    made: dict[bool, tuple[Schedule, list[Piece], Plan]] = {}
    for outside in (False, True):
        schedule = plan_model(graph, Mode(row_fed=outside))[0]
        stages = pieces(net, schedule.arena_bytes, outside=outside)
        made[outside] = schedule, stages, min(patches(net, outside=outside))
    for image in IMAGES:
        schedule, stages, tiled = made[image != "in the arena"]
        if image == "fed once":
            stages = [piece for piece in stages if piece.first or piece.count == 1]
        ours, _ = partitions(
            [piece for piece in stages if piece.count == 1], end, by_rows=True, most_extra=0.0
        )
        bound, _ = partitions(stages, end, by_rows=False, most_extra=MUCH)
        strips, _ = partitions(stages, end, by_rows=True, most_extra=FEW_EXTRA)
        found.append(
            Comparison(
                network=graph.name,
                image=image,
                rows=schedule.arena_bytes,
                rows_bound=min(schedule.lower_bound, ours.nbytes),
                patches=None if image == "fed once" else tiled,
                bound=bound,
                strips=strips,
            )
        )
    return found


def _show(comparisons: Iterable[Comparison]) -> None:
    table = Table(title="Bytes of SRAM; in brackets MACs computed again", title_justify="left")
    for heading in ("network", "image", "rows, arena", "rows, live", "patches", "strips, bound",
                    "strips", "strips / rows"):  # fmt: skip
        table.add_column(heading, justify="left" if len(table.columns) < 2 else "right")
    for c in comparisons:
        table.add_row(c.network, c.image, f"{c.rows:,}", f"{c.rows_bound:,}", _said(c.patches),
                      _said(c.bound), _said(c.strips), f"{c.ratio:.2f}")  # fmt: skip
    console = Console()
    console.print(table) if console.is_terminal else Console(width=150).print(table)


def _said(plan: Plan | None) -> str:
    if plan is None:
        return "-"
    return f"{plan.nbytes:,} ({100 * plan.extra:.1f} %)"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Patches and column strips against rows.")
    parser.add_argument("models", type=Path, nargs="*", help=".tflite files")
    parser.add_argument("--family", action="store_true", help="MobileNetV2, as tools/family.py")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    given = parser.parse_args(words)
    if not given.models and not given.family:
        parser.error("give a model, or --family")
    found: list[Comparison] = []
    try:
        for path in given.models:
            found += compare(load_graph(path))
        if given.family:
            for width in WIDTHS:
                for resolution in RESOLUTIONS:
                    found += compare(mobilenet_v2(width, resolution))
    except ThumbnetError as error:
        print(error, file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps({"results": [{**asdict(c), "ratio": c.ratio} for c in found]}))
    else:
        _show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
