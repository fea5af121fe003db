"""Fits the cost model of `thumbnet cost` to the emulator, and states its error.

    python -m thumbnet.tools.fit_cycles            measure, fit, write codegen/cycle_model.json
    python -m thumbnet.tools.fit_cycles --check    only measure the error of the model there is
    ... --models A.tflite B.tflite                 state the error on these, too

Random networks (random_graphs.py) are compiled and run on mps2-an386 with the meter, layer by
layer. Cycles are fitted over layers, code over networks, both by non-negative least squares of the
relative error. Networks of even seeds fit, those of odd seeds test. Takes some ten minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.compile import Options, compile_graph, load_graph, plan_model
from thumbnet.codegen.cost import cost
from thumbnet.codegen.cycles import MODEL, cycle_model
from thumbnet.codegen.errors import BudgetError
from thumbnet.codegen.flash import code_counts, weights_bytes
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.image import build_image
from thumbnet.codegen.loop_counts import layer_counts
from thumbnet.codegen.loop_counts.work import Counts
from thumbnet.codegen.targets import board
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.emulator import emulate
from thumbnet.tools.random_graphs import FAMILIES

BOARD = "mps2-an386"
CODE_TARGETS = ("cortex-m4", "cortex-m3", "cortex-m0")
TEST_FAMILIES = ("mobilenet", "resnet", "ds_cnn", "plain", "temporal")
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """One network: loop counts and cycles by layer, cycles of a whole call, bytes of code."""

    name: str
    graph: Graph
    optimize: str
    layers: list[Counts]
    layer_cycles: list[int]
    cycles: int
    linked: Counts
    code: dict[str, int]  # by target


def measure(
    graph: Graph,
    optimize: str = "balanced",
    code_targets: Sequence[str] = CODE_TARGETS[:1],
    max_flash: int | None = None,
) -> Measured:
    """Compiles and runs a network on the emulated board. Raises ThumbnetError."""
    with tempfile.TemporaryDirectory(prefix="thumbnet-fit-") as temporary:
        work_dir, source = Path(temporary) / "work", Path(graph.source)
        options = Options(optimize=optimize, max_flash=max_flash)
        compiled = compile_graph(graph, source, Path(temporary) / "model", options)
        image = build_image(compiled.folder, board(BOARD), work_dir)
        calls = [
            [np.ascontiguousarray(a).tobytes() for a in call]
            for call in random_calls(compiled.manifest.inputs, 8)[-2:]
        ]
        ran = emulate(image, board(BOARD), compiled.manifest, calls, profile=True)
        code = {"cortex-m4": image.code}
        for target in set(code_targets) - code.keys():
            other = replace(options, target=target)
            made = compile_graph(graph, source, Path(temporary) / target, other).manifest.code_bytes
            code[target] = made or 0
    assert ran.layers is not None and ran.cycles is not None
    return Measured(
        name=graph.name,
        graph=graph,
        optimize=optimize,
        layers=layer_counts(compiled.schedule),
        layer_cycles=[layer.cycles for layer in ran.layers],
        cycles=ran.cycles,
        linked=code_counts(compiled.schedule),
        code=code,
    )


# ---- fitting -----------------------------------------------------------------------------------


def fit(rows: Sequence[Counts], values: Sequence[float], floor: float) -> dict[str, float]:
    """Costs >= 0 that make sum(count * cost) nearest to `values`, relative to value + floor."""
    names = sorted({name for row in rows for name in row})
    column = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(rows), len(names)))
    for i, row in enumerate(rows):
        for name, count in row.items():
            matrix[i, column[name]] = count
    target = np.array(values, float)
    weight = 1 / (target + floor)
    scaled, wanted = matrix * weight[:, None], target * weight
    found = _non_negative(scaled, wanted)
    return {name: float(f"{found[i]:.4g}") for name, i in column.items()}


def _non_negative(matrix: Floats, target: Floats, rounds: int = 20000) -> Floats:
    """argmin |matrix x - target| over x >= 0, by coordinate descent."""
    norms = np.linalg.norm(matrix, axis=0)
    unit = matrix / norms
    gram, right = unit.T @ unit, unit.T @ target
    x = np.zeros(len(norms))
    slope = -right
    for _ in range(rounds):
        most = 0.0
        for i in range(len(x)):
            step = max(-slope[i], -x[i])
            if step:
                x[i] += step
                slope += step * gram[i]
                most = max(most, abs(step))
        if most < 1e-9:
            break
    return x / norms


def fitted(networks: Sequence[Measured]) -> dict[str, float]:
    """The table of costs from measured networks."""
    usual = [m for m in networks if m.optimize != "size"]
    small = [m for m in networks if m.optimize == "size"]
    costs = {"unknown": 10.0}
    costs["run"] = float(np.median([m.cycles - sum(m.layer_cycles) for m in usual]))
    for prefix, some in (("", usual), ("size:", small)):
        rows = [row for m in some for row in m.layers]
        values = [float(v) for m in some for v in m.layer_cycles]
        costs |= {prefix + name: value for name, value in fit(rows, values, 200).items()}
        for target in CODE_TARGETS:
            built = [m for m in some if target in m.code]
            sizes = [float(m.code[target]) for m in built]
            known = fit([m.linked for m in built], sizes, 1000) if built else {}
            costs |= {f"{prefix}{target}:{what}": value for what, value in known.items()}
    return costs


# ---- error -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Error:
    """Relative errors of the estimates of some networks."""

    name: str
    cycles: float
    code: float


def errors(networks: Sequence[Measured]) -> list[Error]:
    """Estimate / measured - 1, with the model that is written."""
    found = []
    for m in networks:
        estimate = cost(m.graph, optimize=m.optimize)
        assert estimate.code_bytes is not None
        found.append(
            Error(
                m.name,
                estimate.cycles / m.cycles - 1,
                estimate.code_bytes / m.code["cortex-m4"] - 1,
            )
        )
    return found


def summary(found: Sequence[Error]) -> dict[str, float]:
    """Median, 95th percentile and greatest absolute error, as fractions."""
    cycles, code = (np.abs([getattr(e, n) for e in found]) for n in ("cycles", "code"))
    return {
        "networks": len(found),
        "cycles_median": round(float(np.median(cycles)), 4),
        "cycles_p95": round(float(np.percentile(cycles, 95)), 4),
        "cycles_max": round(float(cycles.max()), 4),
        "code_median": round(float(np.median(code)), 4),
        "code_p95": round(float(np.percentile(code, 95)), 4),
    }


def _measure_all(graphs: Sequence[Graph], *, fitting: bool) -> list[Measured]:
    """To fit, every second network is also built for size, every fourth for all CODE_TARGETS; those
    whose layers have faster forms with all the flash that these need, and with some of it."""
    found = []
    for i, graph in enumerate(graphs):
        targets = CODE_TARGETS if fitting and i % 4 == 0 else CODE_TARGETS[:1]
        found.append(measure(graph, code_targets=targets))
        if fitting and i % 2:
            found.append(measure(graph, "size"))
        if fitting:
            found += _measure_forms(graph)
        print(f"{i + 1}/{len(graphs)} {graph.name}: {found[-1].cycles:,} cycles", file=sys.stderr)
    return found


def _measure_forms(graph: Graph) -> list[Measured]:
    usual, fast = (plan_model(graph, Options(optimize=o).mode)[0] for o in ("balanced", "latency"))
    if not any(kernel.form for kernel in fast.kernels):
        return []
    found = [measure(graph, "latency")]
    weights = weights_bytes(usual)
    more = max(weights_bytes(fast) - weights, found[0].code["cortex-m4"])
    some = weights + 2 * found[0].code["cortex-m4"] // 3 + more // 3
    with contextlib.suppress(BudgetError):  # what is estimated to fit may not
        found.append(measure(graph, "latency", max_flash=some))
    return found


def _write(costs: dict[str, float], stated: dict[str, float]) -> None:
    text = json.dumps({"board": BOARD, "error": stated, "costs": costs}, indent=1, sort_keys=True)
    MODEL.write_text(text + "\n", encoding="utf-8")
    cycle_model.cache_clear()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; see the head of this file."""
    parser = argparse.ArgumentParser(prog="fit_cycles", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="fit nothing, write nothing")
    parser.add_argument("--fit", type=int, default=16, help="networks of each family to fit on")
    parser.add_argument("--test", type=int, default=10, help="networks of each family to test on")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="models to test on")
    chosen = parser.parse_args(arguments)
    costs: dict[str, float] = {}
    if not chosen.check:
        graphs = [make(2 * n) for n in range(chosen.fit) for make in FAMILIES.values()]
        costs = fitted(_measure_all(graphs, fitting=True))
        _write(costs, {})
    graphs = [FAMILIES[f](2 * n + 1) for n in range(chosen.test) for f in TEST_FAMILIES]
    unseen = errors(_measure_all(graphs, fitting=False))
    public = errors(_measure_all([load_graph(path) for path in chosen.models], fitting=False))
    for error in (*unseen, *public):
        print(f"{error.name:32s} cycles {error.cycles:+7.2%}   code {error.code:+7.2%}")
    stated = summary(unseen)
    print("unseen networks", json.dumps(stated))
    if public:
        print("models", json.dumps(summary(public)))
    if costs:
        _write(costs, stated)


if __name__ == "__main__":
    main()
