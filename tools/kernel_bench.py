"""`thumbnet bench --kernels`: cycles a MAC of each kernel over a grid of shapes, and their floor.

Every case is a network of one layer, run on an emulated board with the meter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbnet.codegen.compile import Options, compile_graph
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.files import replacing
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import optimize
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.random_graphs import Net
from thumbnet.tools.session import Place, Session, board_image, run_calls

# Cycles a MAC that no code of that kind goes below on a Cortex-M4, from the instructions that it
# needs at least. Convolution: a tile of 4 channels by 2 pixels takes 8 SMLAD, 2 SXTB16 and 5 cycles
# of loads for 16 MACs. Dense, one vector: 37 cycles for 32 MACs from widened inputs. Depthwise: 14
# SMLAL for the 49 MACs of 7x7 (tn_depthwise_lanes.h); 5 SMLAD for the 9 of 3x3.
FLOORS = {"pointwise": 0.94, "convolution": 0.94, "depthwise": 0.29, "dense": 1.16}


@dataclass(frozen=True)
class Case:
    """One layer: its kind, its shape in words, and how it is made."""

    kind: str
    shape: str
    make: Callable[[], Graph]


def cases() -> Iterator[Case]:
    """Pointwise and dense layers by width, convolutions and depthwise ones by kernel and stride."""
    for inner in (8, 16, 32, 64, 128):
        for outer in (8, 32, 128):
            yield Case("pointwise", f"12x12, {inner} -> {outer}", _pointwise(inner, outer))
    for channels in (1, 3, 16, 64):
        for kernel, stride in ((3, 1), (3, 2), (5, 1)):
            shape = f"{kernel}x{kernel}/{stride}, 16x16, {channels} -> 16"
            yield Case("convolution", shape, _convolution(channels, kernel, stride))
    for channels in (4, 16, 64):
        for kernel in (3, 5, 7):
            for stride in (1, 2):
                shape = f"{kernel}x{kernel}/{stride}, 16x16, {channels}"
                yield Case("depthwise", shape, _depthwise(channels, kernel, stride))
    for inner in (16, 64, 256, 640):
        for outer in (8, 128):
            yield Case("dense", f"{inner} -> {outer}", _dense(inner, outer))


def _pointwise(inner: int, outer: int) -> Callable[[], Graph]:
    def make() -> Graph:
        net = Net(1)
        return net.graph("pointwise", net.conv(net.input(1, 12, 12, inner), outer))

    return make


def _convolution(channels: int, kernel: int, stride: int) -> Callable[[], Graph]:
    def make() -> Graph:
        net = Net(1)
        x = net.input(1, 16, 16, channels)
        return net.graph("convolution", net.conv(x, 16, (kernel, kernel), (stride, stride)))

    return make


def _depthwise(channels: int, kernel: int, stride: int) -> Callable[[], Graph]:
    def make() -> Graph:
        net = Net(1)
        x = net.input(1, 16, 16, channels)
        sizes = (kernel, kernel), (stride, stride)
        return net.graph("depthwise", net.conv(x, channels, *sizes, depthwise=True))

    return make


def _dense(inner: int, outer: int) -> Callable[[], Graph]:
    def make() -> Graph:
        net = Net(1)
        return net.graph("dense", net.dense(net.input(1, inner), outer))

    return make


def measure(case: Case, place: Place, optimize_for: str) -> dict[str, Any]:
    """A row of the result: kind, shape, macs, instructions, cycles, cycles_per_mac, floor.
    Raises ThumbnetError."""
    if place.board is None or not place.board.emulated:
        raise ToolError(f"--kernels runs on emulated boards, not on '{place.name}'")
    with tempfile.TemporaryDirectory(prefix="thumbnet-kernels-") as temporary:
        folder = Path(temporary) / "c"
        graph = optimize(case.make())
        options = Options(place.board.target.name, optimize_for)
        manifest = compile_graph(graph, Path(graph.source), folder, options).manifest
        session = Session(manifest, folder, place, None, board_image(folder, place.board))
        figures = run_calls(session, random_calls(manifest.inputs, 2)[-1:]).figures
    assert figures is not None and figures.cycles is not None
    return {
        "kind": case.kind,
        "shape": case.shape,
        "macs": manifest.macs,
        "instructions": figures.instructions,
        "cycles": figures.cycles,
        "cycles_per_mac": figures.cycles / manifest.macs,
        "floor": FLOORS[case.kind],
    }


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """A picture of cycles a MAC against the MACs of a layer, with the floors. Raises ToolError."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError("a picture needs matplotlib: pip install 'thumbnet[nas]'") from error
    figure = Figure(figsize=(11, 3.4 * ((len(FLOORS) + 1) // 2)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots((len(FLOORS) + 1) // 2, 2).ravel()
    for axes, (kind, floor) in zip(grid, FLOORS.items(), strict=False):
        own = [row for row in rows if row["kind"] == kind]
        places = range(len(own))
        axes.bar(places, [row["cycles_per_mac"] for row in own], color="#5b7db1")
        axes.axhline(floor, color="#d9480f", lw=1.2, label=f"floor {floor:g}")
        axes.set_xticks(places, [row["shape"] for row in own], rotation=90, fontsize=6)
        axes.set_title(kind, loc="left")
        axes.set_ylabel("cycles a MAC")
        axes.legend(frameon=False)
    with replacing(file) as partial:
        figure.savefig(partial, dpi=110, metadata={"Software": None})
