"""What the commands print for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.targets import Board
from thumbnet.tools.arrays import Array, dequantize
from thumbnet.tools.comparison import Comparison

_WORST = 12  # layers that are shown


def _print(table: Table) -> None:
    console = Console()
    console.print(table) if console.is_terminal else Console(width=140).print(table)


def _table(title: str | None, columns: Sequence[str], text_columns: int = 1) -> Table:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < text_columns else "right")
    return table


def number(value: float | None) -> str:
    """Thousands separated; a dash for what is not known."""
    return "-" if value is None else f"{value:,}"


def show_compiled(result: dict[str, Any], out: Path) -> None:
    flash = result["flash"]
    table = _table(f"{result['model']} for {result['target']}", ["", "bytes"])
    table.add_row("arena", number(result["arena_bytes"]))
    table.add_row("arena, lower bound", number(result["arena_lower_bound"]))
    table.add_row("stack, worst case", number(result["stack_bytes"]))
    table.add_row("flash, weights", number(flash["weights"]))
    table.add_row("flash, code", number(flash["code"]))
    table.add_row("flash, total", number(flash["total"]))
    _print(table)
    print(f"{number(result['macs'])} MACs; wrote {len(result['files'])} files into {out}")


def show_cost(result: dict[str, Any]) -> None:
    flash = result["flash"]
    table = _table(f"{result['model']} for {result['target']}", ["", "", ""])
    for name, value, said in (
        ("MACs", result["macs"], ""),
        ("parameters", result["params"], ""),
        ("arena, bytes", result["arena_bytes"], "exact"),
        ("flash, weights, bytes", flash["weights"], "exact"),
        ("flash, code, bytes", flash["code"], "estimate"),
        ("flash, total, bytes", flash["total"], "estimate"),
        ("cycles of a Cortex-M4", result["cycles"], "estimate"),
    ):
        table.add_row(name, number(value), said)
    _print(table)


def _counted(result: dict[str, Any]) -> bool:
    """Whether a core counted the cycles itself; where an emulator did, it counts instructions."""
    return result["cycles"] is not None and result["instructions"] is None


def _cycles(counted: bool) -> str:
    return "cycles" if counted else "cycles (est.)"


def show_results(results: Sequence[dict[str, Any]]) -> None:
    cycles = _cycles(all(_counted(r) for r in results))
    columns = ["model", "on", cycles, "cycles/MAC", "instructions", "arena", "stack"]
    table = _table(None, [*columns, "weights", "code"], 2)
    for r in results:
        per_mac = r["cycles"] / r["macs"] if r["cycles"] and r["macs"] else None
        table.add_row(
            r["model"],
            r["on"],
            number(r["cycles"]),
            "-" if per_mac is None else f"{per_mac:.2f}",
            number(r["instructions"]),
            number(r["arena_bytes"]),
            number(r["stack_bytes"]),
            number(r["flash"]["weights"]),
            number(r["flash"]["code"]),
        )
    _print(table)
    for r in results:
        if "layers" in r:
            show_layers(r)


def show_layers(result: dict[str, Any]) -> None:
    columns = ["layer", "operator", "MACs", _cycles(_counted(result)), "cycles/MAC", "share"]
    table = _table(f"{result['model']} on {result['on']}", columns, 2)
    total = max(result["cycles"] or 0, 1)
    for layer in result["layers"]:
        per_mac = f"{layer['cycles'] / layer['macs']:.2f}" if layer["macs"] else "-"
        share = f"{100 * layer['cycles'] / total:.1f} %"
        op = f"{layer['op']}, {layer['form']}" if layer["form"] else layer["op"]
        table.add_row(
            layer["name"], op, number(layer["macs"]), number(layer["cycles"]), per_mac,
            share,
        )  # fmt: skip
    _print(table)


def show_kernels(rows: Sequence[dict[str, Any]]) -> None:
    columns = ["kernel", "shape", "MACs", "instructions", "cycles (est.)", "cycles/MAC", "floor"]
    table = _table(None, columns, 2)
    for row in rows:
        figures = (number(row[name]) for name in ("macs", "instructions", "cycles"))
        ratio = f"{row['cycles_per_mac']:.2f}"
        table.add_row(row["kind"], row["shape"], *figures, ratio, f"{row['floor']:g}")
    _print(table)


def show_outputs(manifest: Manifest, outputs: Sequence[Array]) -> None:
    for edge, array in zip(manifest.outputs, outputs, strict=True):
        values = np.array2string(dequantize(array, edge).ravel(), threshold=16, max_line_width=100)
        print(f"{edge.name} {list(edge.shape)}: {values}")


def show_comparisons(comparisons: Sequence[Comparison]) -> None:
    table = _table(None, ["model", "on", "calls", "outputs", "largest difference"], 2)
    for c in comparisons:
        verdict = "equal" if c.equal else "DIFFERENT"
        table.add_row(c.model, c.on, str(c.calls), verdict, f"{c.max_difference:g}")
    _print(table)


def show_quantization(model: str, result: dict[str, Any]) -> None:
    """What `check` found out about a PyTorch model; nothing for other models."""
    if not result:
        return
    program = result["program"]
    far = [layer for layer in program["layers"] if layer["max_difference"] > 1]
    print(
        f"{model}, int8 against the quantised program on {program['samples']} samples, in steps of "
        f"int8:\n  each layer fed the program's values: at most {program['max_layer_difference']}"
    )
    for layer in far:
        print(f"    {layer['layer']} ({layer['operators']}): {layer['max_difference']}")
    print(f"  outputs of the whole network: {_distribution(program['outputs'])}")
    if result["accuracy"]:
        found = result["accuracy"]
        against = found["accuracy_float"]
        float_share = "" if against is None else f", float {100 * against:.2f} %"
        print(
            f"  accuracy on {found['samples']} samples: int8 {100 * found['accuracy_int8']:.2f} %"
            f"{float_share}"
        )
    for output in result.get("output_noise") or ():
        ratio = "-" if output["sqnr_db"] is None else f"{output['sqnr_db']:.1f}"
        print(f"  {output['output']} against float: {ratio} dB signal to quantisation noise")
    if result["noise"]:
        _show_noise(model, result["noise"])


def _distribution(counts: dict[str, int]) -> str:
    """Shares of values that are 0, 1, 2 and more steps apart."""
    total, largest = sum(counts.values()), max(map(int, counts))
    few = [counts.get(str(steps), 0) for steps in range(3)]
    shares = [f"{steps}: {100 * n / total:.2f} %" for steps, n in enumerate(few)][: largest + 1]
    if largest > 2:
        shares.append(f"more: {100 * (total - sum(few)) / total:.2f} %, largest {largest}")
    return ", ".join(shares)


def _show_noise(model: str, layers: Sequence[dict[str, Any]]) -> None:
    print(f"{model}, signal to quantisation noise against float in dB, worst layers first:")
    table = _table(None, ["layer", "operator", "alone", "in the network"], 2)
    for layer in layers[:_WORST]:
        ratios = (layer["alone_db"], layer["sqnr_db"])
        texts = ("-" if db is None else f"{db:.1f}" for db in ratios)
        table.add_row(layer["layer"], layer["operators"], *texts)
    _print(table)
    if len(layers) > _WORST:
        print(f"{len(layers) - _WORST} more layers; --json has them all")


def show_firmware(result: dict[str, Any], board: Board) -> None:
    flash = result["flash"]
    table = _table(f"{result['model']} for {board.name}", ["", "bytes", "of"])
    table.add_row("flash: model, weights", number(flash["weights"]), "")
    table.add_row("flash: model, code", number(flash["code"]), "")
    table.add_row("flash: all", number(flash["total"]), number(board.flash))
    table.add_row("SRAM: arena", number(result["arena_bytes"]), "")
    table.add_row("SRAM: stack, reserved", number(result["stack_bytes"]), "")
    table.add_row("SRAM: all", number(result["sram"]), number(board.sram))
    _print(table)
    print(f"wrote {result['file']}")
    if (board.pyocd or board.openocd) and not result["file"].lower().endswith(".bin"):
        print(f"next: thumbnet flash {result['file']} --board {board.name}")


def show_boards(boards: Sequence[Board]) -> None:
    table = _table(None, ["board", "core", "SRAM", "flash", "run", "what"], 2)
    table.columns[4].justify = table.columns[5].justify = "left"
    for each in boards:
        run = f"--on {each.name}" if each.emulated else "firmware, flash, --on PORT"
        sizes = number(each.sram), number(each.flash)
        table.add_row(each.name, each.target.name, *sizes, run, each.about)
    _print(table)
