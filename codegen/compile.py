"""The compiler's entry: a model file becomes a folder of C, checked and measured."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from thumbnet import __version__
from thumbnet.codegen.budget import check_budget, peak_layer
from thumbnet.codegen.checker import Verdict, check_schedule
from thumbnet.codegen.cost import OPTIMIZE
from thumbnet.codegen.emit_c import Source, emit_source
from thumbnet.codegen.emit_cpp import emit_cpp_header
from thumbnet.codegen.emit_header import Edge, edges_of, emit_header
from thumbnet.codegen.errors import BudgetError, ModelFormatError, ToolError, UnsupportedError
from thumbnet.codegen.frontends.tflite import c_identifier, load_tflite
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.image import build_image
from thumbnet.codegen.manifest import FILE_NAME, EdgeEntry, LayerEntry, Manifest
from thumbnet.codegen.output_folder import publish, staging_folder
from thumbnet.codegen.packaging import packaging_files
from thumbnet.codegen.passes import optimize
from thumbnet.codegen.planner import WHOLE, Mode
from thumbnet.codegen.report import report_html
from thumbnet.codegen.runtime_files import RUNTIME, runtime_files
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.steps import longest_step, plan_steps
from thumbnet.codegen.stream import stream
from thumbnet.codegen.targets import Target, c_flags, flash_for_forms, reference_board, sizing_board
from thumbnet.codegen.targets import target as target_named
from thumbnet.codegen.toolchain import arm_compiler, has_arm_compiler, stack_bound

INPUT_MODES = r"whole|rows|stream(:[1-9]\d{0,4})?"  # what Options.input may be

# Headers of the C standard library and of the runtime, which NAME.h must not hide.
# fmt: off
_HEADERS = frozenset((
    "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits",
    "locale", "math", "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef",
    "stdint", "stdio", "stdlib", "stdnoreturn", "string", "tgmath", "threads", "time", "uchar",
    "wchar", "wctype", *(path.stem for path in RUNTIME.glob("*.h")),
))
# fmt: on


@dataclass(frozen=True)
class Options:
    """What the user chose. Sizes are bytes; None: no limit."""

    target: str = "cortex-m4"
    optimize: str = "balanced"
    max_sram: int | None = None
    max_flash: int | None = None
    name: str | None = None
    input: str = "whole"  # or "rows": fed row by row; "stream", "stream:N": N newest rows a call
    stepper: bool = False
    max_step_cycles: int | None = None  # estimated Cortex-M4 cycles; makes it a stepper

    @property
    def mode(self) -> Mode:
        stepper = self.stepper or self.max_step_cycles is not None
        target = target_named(self.target)
        flash = flash_for_forms(target, self.max_flash)
        fed = self.input == "rows"
        return Mode(fed, stepper, self.optimize, self.max_sram, flash, self.target)

    def applied(self, graph: Graph) -> Graph:
        """The graph that is compiled: the streamed form where that was asked for."""
        if not self.input.startswith("stream"):
            return graph
        rows = self.input.partition(":")[2]
        return stream(graph, int(rows) if rows else None)


@dataclass(frozen=True, eq=False)
class Compiled:
    """The result of `compile_model`: the folder, what it says of itself, and its schedule."""

    folder: Path
    manifest: Manifest
    schedule: Schedule
    files: tuple[str, ...]


def load_graph(path: Path) -> Graph:
    """The optimised graph of a model file (.tflite, or a quantised .pt2). Raises ThumbnetError."""
    if path.suffix == ".pt2":
        return optimize(_load_pt2(path))
    return optimize(load_tflite(path))


def _load_pt2(path: Path) -> Graph:
    """torch is loaded only for this."""
    require_pt2(path)
    from thumbnet.codegen.frontends.pytorch.compile import load_pt2

    return load_pt2(path).graph


def require_pt2(path: Path) -> None:
    """Raises ModelFormatError where there is no such file, ToolError where torch is missing."""
    if not path.is_file():
        raise ModelFormatError(f"cannot read {path}: no such file")
    if not all(find_spec(package) for package in ("torch", "torchao")):
        raise ToolError(f"{path}: reading .pt2 files needs torch: pip install 'thumbnet[torch]'")


def plan_model(
    graph: Graph, mode: Mode = WHOLE, max_step_cycles: int | None = None
) -> tuple[Schedule, Verdict]:
    """The checked schedule of an optimised graph, its bands cut so that no step is estimated to
    take more than `max_step_cycles`. Raises ThumbnetError."""
    schedule = plan_steps(graph, mode, max_step_cycles)
    return schedule, check_schedule(schedule)


def compile_model(path: Path, out_dir: Path, options: Options = Options()) -> Compiled:
    """Writes the C of a model into `out_dir`, which is created; nothing is written on failure.

    The folder holds NAME.c, NAME.h, NAME.hpp, the runtime headers it needs, build files
    (packaging.py), manifest.json and report.html, and is the same for the same inputs and compiler.
    Raises ThumbnetError.
    """
    _check(options)
    return compile_graph(load_graph(path), path, out_dir, options)


def compile_graph(
    graph: Graph, path: Path, out_dir: Path, options: Options = Options()
) -> Compiled:
    """The same from an optimised graph; `path` is what the generated files say they come from."""
    target = _check(options)
    name = _model_name(options.name, graph)
    schedule, verdict = plan_model(options.applied(graph), options.mode, options.max_step_cycles)
    with staging_folder(out_dir) as staging:
        manifest = _write(staging, schedule, verdict, name, path, target, options)
        limits = (options.max_sram, options.max_flash)
        check_budget(manifest, *limits, ("--max-sram", "--max-flash"))
        files = publish(staging, out_dir)
    return Compiled(out_dir, manifest, schedule, files)


def _check(options: Options) -> Target:
    """The target of options that make sense; else raises ToolError."""
    if not re.fullmatch(INPUT_MODES, options.input):
        raise ToolError(f"unknown --input '{options.input}': whole, rows, stream or stream:ROWS")
    if options.optimize not in OPTIMIZE:
        raise ToolError(f"unknown --optimize '{options.optimize}': one of {', '.join(OPTIMIZE)}")
    return target_named(options.target)


def _model_name(given: str | None, graph: Graph) -> str:
    if given is None:
        return f"{graph.name}_model" if graph.name in _HEADERS else graph.name
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", given):
        raise UnsupportedError(
            f"--name '{given}' is not a C identifier; try '{c_identifier(given)}'"
        )
    if given.lower() in _HEADERS:
        raise UnsupportedError(
            f"--name '{given}' would hide the header <{given}.h>; try '{given}_model'"
        )
    return given


# ---- writing -------------------------------------------------------------------------------


def _write(
    folder: Path,
    schedule: Schedule,
    verdict: Verdict,
    name: str,
    model: Path,
    target: Target,
    options: Options,
) -> Manifest:
    banner = (
        f"/* {name}: generated by Thumbnet {__version__} from {model.name}\n"
        f" * target {target.name}, --optimize {options.optimize}. Do not edit; compile again. */"
    )
    source = emit_source(schedule, name, banner)
    edges = edges_of(schedule, name, verdict.inputs_survive)
    headers = runtime_files(source.headers)
    for file, text in headers.items():
        _write_text(folder / file, text)
    _write_text(folder / f"{name}.c", source.text)
    _write_text(folder / f"{name}.hpp", emit_cpp_header(schedule, name, banner, edges))
    crc = source.weights_crc

    def header(stack: int | None) -> str:
        return emit_header(schedule, name, banner, edges, stack_bytes=stack, weights_crc=crc)

    _write_text(folder / f"{name}.h", header(None))
    manifest = _manifest(schedule, source, edges, name, model, target, options, tuple(headers))
    manifest = replace(manifest, packaging=tuple(packaging_files(manifest)))
    _write_text(folder / FILE_NAME, manifest.to_json())
    measured = _measure(folder, target)
    if measured is not None:
        manifest = replace(
            manifest,
            code_bytes=measured.code_bytes,
            stack_bytes=measured.stack_bytes,
            compiler=measured.compiler,
        )
        _write_text(folder / f"{name}.h", header(manifest.stack_bytes))
        _write_text(folder / FILE_NAME, manifest.to_json())
    for file, text in packaging_files(manifest).items():
        _write_text(folder / file, text)
    _write_text(folder / "report.html", report_html(schedule, manifest))
    return manifest


def _manifest(
    schedule: Schedule,
    source: Source,
    edges: list[Edge],
    name: str,
    model: Path,
    target: Target,
    options: Options,
    headers: tuple[str, ...],
) -> Manifest:
    longest = longest_step(schedule, options.optimize)

    def entry(edge: Edge) -> EdgeEntry:
        tensor = edge.tensor
        return EdgeEntry(
            name=edge.name,
            accessor=edge.accessor,
            dtype=tensor.dtype,
            shape=tensor.shape,
            bytes=tensor.nbytes,
            offset=edge.offset,
            scale=float(tensor.scale),
            zero_point=tensor.zero_point,
            float=edge.is_float,
        )

    return Manifest(
        thumbnet=__version__,
        name=name,
        model=model.name,
        target=target.name,
        optimize=options.optimize,
        macs=schedule.graph.macs,
        arena_bytes=schedule.arena_bytes,
        arena_lower_bound=schedule.lower_bound,
        peak_layer=peak_layer(schedule),
        weights_bytes=source.weights_bytes,
        weights_crc=source.weights_crc,
        code_bytes=None,
        stack_bytes=None,
        compiler=None,
        flags=(*c_flags(options.optimize), *target.cpu_flags),
        state=bool(schedule.graph.states),
        row_fed=options.mode.row_fed,
        stepper=options.mode.stepper,
        longest_step_cycles=longest if options.mode.has_control else None,
        inputs=tuple(entry(e) for e in edges if e.is_input),
        outputs=tuple(entry(e) for e in edges if not e.is_input),
        layers=tuple(LayerEntry(**asdict(layer)) for layer in source.layers),
        sources=(f"{name}.c",),
        headers=(f"{name}.h", f"{name}.hpp", *headers),
        window_rows=schedule.graph.window_rows,
    )


@dataclass(frozen=True)
class _Measured:
    code_bytes: int
    stack_bytes: int
    compiler: str


def _measure(folder: Path, target: Target) -> _Measured | None:
    """Code and stack from the target's own compiler; None for the host or when it is absent."""
    board = reference_board(target)
    if board is None:
        return None
    if not has_arm_compiler():
        return None
    try:
        image = build_image(folder, board)
    except BudgetError:  # too big for that board: what counts here is only the size of its code
        image = build_image(folder, sizing_board(target))
    return _Measured(image.code, stack_bound(folder, target), arm_compiler().version)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
