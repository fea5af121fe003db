"""One model on one place (the host or a board): compile if needed, run calls, give results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thumbnet.codegen.budget import check_budget, check_cost
from thumbnet.codegen.build_cache import default_work_dir
from thumbnet.codegen.compile import (
    Options,
    compile_graph,
    compile_model,
    load_graph,
    require_pt2,
)
from thumbnet.codegen.cost import cost
from thumbnet.codegen.errors import DataError, ToolError, UnsupportedError
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.image import Image, build_image
from thumbnet.codegen.manifest import Manifest, read_manifest
from thumbnet.codegen.targets import Board, board, boards
from thumbnet.codegen.toolchain import has_arm_compiler, host_library
from thumbnet.nas.architecture import parameters
from thumbnet.nas.cost_graph import cost_graph
from thumbnet.nas.published import load_architecture
from thumbnet.tools.arrays import Array, dequantize, quantize, split_calls
from thumbnet.tools.board_run import BoardRun
from thumbnet.tools.emulator import emulate
from thumbnet.tools.link import Link
from thumbnet.tools.transport import is_port, open_transport

if TYPE_CHECKING:
    from thumbnet.codegen.frontends.pytorch.program import Lowered
    from thumbnet.tools.pytorch_model import Program

HOST = "host"


@dataclass(frozen=True)
class Place:
    """Where a model runs: the host (`board` None), an emulated board, or one behind a `link`."""

    name: str
    board: Board | None
    link: Link | None = None

    @property
    def target(self) -> str:
        return self.board.target.name if self.board else HOST


@dataclass(frozen=True, eq=False)
class Session:
    """A compiled model, ready to run in one place. `source` is the model file, if one was given,
    `program` what a .pt2 file held."""

    manifest: Manifest
    folder: Path
    place: Place
    source: Path | None
    image: Image | None
    program: Program | None = None

    @property
    def lowered(self) -> Lowered | None:
        """How the edges lie where they are not those of the source model (.pt2, not streamed)."""
        if self.program is None or self.manifest.window_rows:
            return None
        return self.program.lowered


@dataclass(frozen=True, eq=False)
class Outcome:
    """Raw output bytes of every call, and the board's figures (None on the host)."""

    outputs: list[list[Array]]
    figures: BoardRun | None


def place_named(name: str) -> Place:
    """`host`, an emulated board, or a serial port or URL, where the board's runner must answer.
    Raises ToolError with the choices."""
    if name == HOST:
        return Place(HOST, None)
    if is_port(name):
        link = Link(open_transport(name), name)
        known = {b.name: b for b in boards()}
        if link.firmware.board not in known:
            link.close()
            raise ToolError(
                f"{name}: its firmware was built for a board '{link.firmware.board}' that this "
                "Thumbnet does not know; build it with this one"
            )
        return Place(name, known[link.firmware.board], link)
    choices = [HOST, *(b.name for b in boards() if b.emulated)]
    if name in choices:
        return Place(name, board(name))
    advice = f"choose one of {', '.join(choices)}, or the port that a board is at (/dev/tty...)"
    if name in (b.name for b in boards()):
        advice = (
            "it is a real board: put the model on it with 'thumbnet firmware' and 'thumbnet "
            "flash', then give the port that it is at (--on /dev/tty...)"
        )
    raise ToolError(f"cannot run on '{name}': {advice}")


def open_session(model: Path, place: Place, options: Options) -> Session:
    """Compiles a model file for the place, or takes the folder that compile wrote.

    Raises BudgetError when the board is too small, with what would fit, ToolError when the board
    behind a link holds another model, and other ThumbnetErrors.
    """
    folder, manifest, program = compiled_folder(model, place, options)
    image = None
    if place.link is not None:
        _check_holds(place.link, manifest, model)
        image = _known_image(folder, place)
    elif place.board is not None:
        image = board_image(folder, place.board)
    source = None if model.is_dir() else model
    return Session(manifest, folder, place, source, image, program)


def compiled_folder(
    model: Path, place: Place, options: Options
) -> tuple[Path, Manifest, Program | None]:
    """The folder that `model` is, or is compiled into for the place; what a .pt2 file held.
    Raises ThumbnetError."""
    if model.is_dir():
        return model, read_manifest(model), None
    folder = _work_folder(model, place.target, options)
    options = replace(options, target=place.target)
    if model.suffix == ".pt2":
        program = pytorch_program(model)
        return folder, compile_graph(program.graph, model, folder, options).manifest, program
    return folder, compile_model(model, folder, options).manifest, None


def board_image(folder: Path, board: Board, *, timed_layers: bool = False) -> Image:
    """The image of a compiled folder for a board. Raises BudgetError when that is too small."""
    limits = (board.sram, board.flash)
    names = (f"the SRAM of {board.name}", f"the flash of {board.name}")
    check_budget(read_manifest(folder), *limits, names)
    return build_image(folder, board, timed_layers=timed_layers)


def _known_image(folder: Path, place: Place) -> Image | None:
    """The image that gives the size of the code on a board behind a link; None where the target's
    compiler is absent."""
    if place.board is None or not has_arm_compiler():
        return None
    timed = place.link is not None and place.link.firmware.layers > 0
    return build_image(folder, place.board, timed_layers=timed)


def _check_holds(link: Link, manifest: Manifest, model: Path) -> None:
    """Raises ToolError where the board behind the link does not hold this model as compiled."""
    there = link.firmware
    ours = (
        manifest.arena_bytes,
        tuple(edge.bytes for edge in manifest.inputs),
        tuple(edge.bytes for edge in manifest.outputs),
        manifest.state,
    )
    if there.weights_crc != manifest.weights_crc:
        trouble = (
            f"holds another model: {there.model} (weights {there.weights_crc:08x}), not "
            f"{manifest.name} ({manifest.weights_crc:08x})"
        )
    elif (there.arena_bytes, there.inputs, there.outputs, there.keeps_state) != ours:
        trouble = (
            f"holds this model as other options made it (arena {there.arena_bytes} bytes, not "
            f"{manifest.arena_bytes}): give those, or put this one there"
        )
    else:
        return
    raise ToolError(
        f"{link.name}: the {there.board} {trouble}: 'thumbnet firmware {model} --board "
        f"{there.board} -o F.elf', then 'thumbnet flash F.elf --board {there.board}'"
    )


def pytorch_program(model: Path) -> Program:
    """The program of a quantised .pt2 file; torch is loaded only for this. Raises ThumbnetError."""
    require_pt2(model)
    from thumbnet.tools.pytorch_model import load_program

    return load_program(model)


def _work_folder(model: Path, target: str, options: Options) -> Path:
    try:
        content = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
    except OSError:
        content = "unreadable"  # the compiler says why
    parts = [model.stem, content, target, options.optimize, options.input.replace(":", "")]
    if options.mode.stepper:
        parts.append(f"stepper{options.max_step_cycles or ''}")
    return default_work_dir() / "models" / "-".join(parts)


def run_calls(
    session: Session, calls: Sequence[Sequence[Array]], *, profile: bool = False, meter: bool = True
) -> Outcome:
    """Runs integer inputs, one item per call, state carried over from call to call."""
    raw = [[np.ascontiguousarray(a).tobytes() for a in call] for call in calls]
    place, manifest = session.place, session.manifest
    if place.link is not None:
        figures = place.link.run(manifest, raw, profile=profile)
    elif session.image is not None and place.board is not None:
        figures = emulate(session.image, place.board, manifest, raw, profile=profile, meter=meter)
    else:
        model = HostModel(host_library(session.folder), manifest)
        return Outcome([_arrays(manifest, model(call)) for call in raw], None)
    if not figures.canaries_ok:
        raise ToolError(f"{manifest.model}: the model wrote outside of its arena")
    return Outcome([_arrays(manifest, call) for call in figures.outputs], figures)


def _arrays(manifest: Manifest, raw: Sequence[bytes]) -> list[Array]:
    return [
        np.frombuffer(data, dtype=edge.dtype).reshape(edge.shape)
        for data, edge in zip(raw, manifest.outputs, strict=True)
    ]


def items_of(session: Session, i: int, array: Array, source: str) -> tuple[list[Array], bool]:
    """Input i's array as one item per call, as the C takes it, and whether it had the extra axis.

    A .pt2 model takes the layout of its module, [N, C, H, W], and runs once for each of the N;
    streamed it takes rows as the C does. Raises DataError, which calls the array `source`.
    """
    edge, lowered = session.manifest.inputs[i], session.lowered
    if lowered is None:
        items, stacked = split_calls(array, edge, source)
        return [quantize(item, edge) for item in items], stacked
    from thumbnet.codegen.frontends.pytorch.values import to_graph

    layout = lowered.inputs[i]
    if array.shape[1:] != layout.shape[1:] or not len(array):
        wanted = ", ".join(["N", *map(str, layout.shape[1:])])
        raise DataError(
            f"{source} has shape {list(array.shape)}; input '{edge.name}' takes [{wanted}], as the "
            "module does"
        )
    items, _ = split_calls(array[:, None], replace(edge, shape=layout.shape), source)
    return [quantize(to_graph(item, layout).reshape(edge.shape), edge) for item in items], False


def output_of(session: Session, i: int, arrays: Sequence[Array], stacked: bool) -> Array:
    """Output i of all calls as the source model has it: float32 where that is, in its layout."""
    items = [dequantize(array, session.manifest.outputs[i]) for array in arrays]
    if session.lowered is None:
        return np.stack(items) if stacked else items[0]
    from thumbnet.codegen.frontends.pytorch.values import from_graph

    return np.concatenate([from_graph(item, session.lowered.outputs[i]) for item in items])


def compiled_result(manifest: Manifest) -> dict[str, Any]:
    """What is known without running: the fields of `compile --json` but `files`."""
    code = manifest.code_bytes
    return {
        "model": Path(manifest.model).stem,
        "target": manifest.target,
        "macs": manifest.macs,
        "arena_bytes": manifest.arena_bytes,
        "arena_lower_bound": manifest.arena_lower_bound,
        "stack_bytes": manifest.stack_bytes,
        "flash": {
            "code": code,
            "weights": manifest.weights_bytes,
            "total": None if code is None else code + manifest.weights_bytes,
        },
        "compiler": manifest.compiler,
        "forms": {layer.name: layer.form for layer in manifest.layers if layer.form},
        "longest_step_cycles": manifest.longest_step_cycles,
    }


def cost_result(model: Path, options: Options) -> dict[str, Any]:
    """The fields of `cost --json` for a model file or an architecture (.json); no C is compiled.
    Raises ThumbnetError, a BudgetError among them when the arena, or weights and estimated code,
    are over the limits."""
    params = None
    if model.suffix == ".json":
        architecture = load_architecture(model)
        graph, params = cost_graph(architecture, model.name), parameters(architecture)
    elif model.suffix in (".tflite", ".pt2"):
        graph = load_graph(model)
    else:
        raise UnsupportedError(
            f"{model}: 'thumbnet cost' reads .tflite and .pt2 files and architectures (.json); "
            "compiled folders have no cost report"
        )
    limit = options.max_step_cycles
    found = cost(options.applied(graph), options.target, options.optimize, options.mode, limit)
    code = found.code_bytes
    check_cost(model.name, found, options.max_sram, options.max_flash)
    return {
        "model": model.stem,
        "target": options.target,
        "macs": found.macs,
        "params": found.params if params is None else params,
        "arena_bytes": found.arena_bytes,
        "flash": {
            "code": code,
            "weights": found.weights_bytes,
            "total": None if code is None else code + found.weights_bytes,
        },
        "cycles": found.cycles,
        "forms": dict(found.forms),
    }


def run_result(session: Session, outcome: Outcome) -> dict[str, Any]:
    """The result of `run` and `bench`: figures per call, taken from the last call and the image.

    `stack_bytes` is the painted high-water mark, `stack_bound_bytes` what compile stated.
    """
    manifest, image, figures = session.manifest, session.image, outcome.figures
    stack = max(figures.stack_bytes, figures.init_stack_bytes) if figures else None
    result: dict[str, Any] = {
        "model": Path(manifest.model).stem,
        "target": manifest.target,
        "on": session.place.name,
        "macs": manifest.macs,
        "instructions": figures.instructions if figures else None,
        "cycles": figures.cycles if figures else None,
        "arena_bytes": manifest.arena_bytes,
        "stack_bytes": stack,
        "stack_bound_bytes": manifest.stack_bytes,
        "flash": {
            "code": image.code if image else None,
            "weights": image.weights if image else manifest.weights_bytes,
            "total": image.code + image.weights if image else None,
        },
    }
    if figures is not None and figures.layers is not None:
        result["layers"] = [
            {
                "name": layer.name,
                "op": layer.op,
                "form": layer.form,
                "macs": layer.macs,
                "instructions": each.instructions,
                "cycles": each.cycles,
            }
            for layer, each in zip(manifest.layers, figures.layers, strict=True)
        ]
    return result
