"""Images of boards: a model, or an application of its own, linked with the board's port.

`build_image` links a generated model with the runner (ports/runner) that the board asks for, and
reads the sizes and the addresses that measuring needs from the result.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from thumbnet.codegen.budget import check_room
from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.errors import BudgetError, ToolError, UnsupportedError
from thumbnet.codegen.files import replacing
from thumbnet.codegen.manifest import EdgeEntry, Manifest, read_manifest
from thumbnet.codegen.targets import C_FLAGS, PORTS, Board
from thumbnet.codegen.toolchain import (
    arm_compiler,
    compile_objects,
    model_key,
    run_tool,
    stack_bound,
)

RUNNER = PORTS / "runner"
EMPTY_MODEL = RUNNER / "empty"
COMMON = PORTS / "common"
LINK_RUNNER = (RUNNER / "measure.c", RUNNER / "link.c")
SERVICES = (COMMON / "print.c", COMMON / "cycles.c")  # given to every application by port.h

# The port and the runner must not pull in the C library or libgcc: see ports/port.h.
PORT_FLAGS = (
    "-Os",
    "-fno-builtin",
    "-fno-jump-tables",
    "-fno-tree-loop-distribute-patterns",
    "-Wall",
    "-Wextra",
    "-Wconversion",
)
STRICT = ("-Wall", "-Wextra", "-Werror")
_TIMED = ("-I", str(PORTS), "-I", str(RUNNER), "-include", "layers.h")
LINK_STACK = 512  # bytes that the link runner needs beside the model, an exception included
_LINK_EDGES = 27  # inputs and outputs whose sizes have room in an answer of the link runner


@dataclass(frozen=True)
class Image:
    """A linked firmware. Sizes are bytes, addresses have bit 0 clear."""

    name: str  # of the model
    board: str
    elf: Path
    binary: Path  # as loaded into flash
    base: int  # address of the first byte of `binary`
    flash: int  # all of `binary`: code, weights, constants, initial values of .data
    text: int
    rodata: int
    data: int
    bss: int  # RAM without initial values, the arena included, the stack not
    stack: int  # reserved
    weights: int
    code: int  # flash - weights - flash of the empty model's image
    run_begin: int  # marker functions around NAME_run
    run_end: int
    layers: tuple[tuple[str, int], ...]  # (symbol, entry address), in the manifest's order

    @property
    def sram(self) -> int:
        """All RAM that is taken, the stack included."""
        return self.stack + self.data + self.bss


def build_image(
    model_dir: Path | None,
    board: Board,
    work_dir: Path | None = None,
    *,
    timed_layers: bool = False,
    flags: Sequence[str] = (),
) -> Image:
    """Compiles and links a generated model folder with the runner for `board`.

    `model_dir` None: the empty model, whose `code` is 0. With `timed_layers` the firmware itself
    tells the cycles of each layer (ports/runner/layers.h). `flags` are more flags for every C file,
    STRICT say. Raises BudgetError when a memory of the board is too small, ToolError when a tool is
    missing or fails, DataError for a bad folder.
    """
    source = (model_dir or EMPTY_MODEL).resolve()
    manifest = read_manifest(source)
    timed = timed_layers and bool(manifest.layers)
    empty = None
    if model_dir is not None:
        empty = build_image(None, board, work_dir, flags=flags)
        stack = _stack(manifest, source, board, work_dir)
        check_room(manifest, board, stack, _needs(manifest, stack, empty))
    folder = _linked(source, board, work_dir, timed, tuple(flags))
    elf = read_elf(folder / "image.elf")
    sizes = (elf.symbols["__tn_flash_size"], elf.symbols["__tn_ram_size"])
    if sizes != (board.flash, board.sram):
        raise ToolError(
            f"board {board.name}: its TOML file and {board.linker_script.name} differ in sizes"
        )
    flash = (folder / "image.bin").stat().st_size
    weights = elf.symbols["__tn_weights_end"] - elf.symbols["__tn_weights_start"]
    return Image(
        name=manifest.name,
        board=board.name,
        elf=folder / "image.elf",
        binary=folder / "image.bin",
        base=elf.symbols["__tn_flash_base"],
        flash=flash,
        text=elf.sections[".text"],
        rodata=elf.sections.get(".rodata", 0),
        data=elf.sections.get(".data", 0),
        bss=elf.sections.get(".bss", 0) + elf.sections.get(".arena", 0),
        stack=elf.stack,
        weights=weights,
        code=flash - weights - (empty.flash if empty else flash),
        run_begin=elf.functions["tn_run_begin"],
        run_end=elf.functions["tn_run_end"],
        layers=tuple(
            (layer.symbol, _layer_address(elf.functions, layer.symbol, manifest.name))
            for layer in manifest.layers
        ),
    )


# ---- the runner and its model ------------------------------------------------------------------


def _needs(manifest: Manifest, stack: int, empty: Image) -> tuple[int, int]:
    """Bytes of SRAM and of flash that the image will take at least."""
    fed = sum(edge.bytes for edge in manifest.inputs) if manifest.row_fed else 0
    sram = empty.data + empty.bss + manifest.arena_bytes - 4 + fed + stack
    return sram, empty.flash + manifest.weights_bytes


def _stack(manifest: Manifest, model_dir: Path, board: Board, work_dir: Path | None) -> int:
    """Bytes of stack to reserve: the board's, or what a model needs that needs more."""
    if board.runner != "link" or not manifest.layers:
        return board.stack
    needed = stack_bound(model_dir, board.target, work_dir) + LINK_STACK
    return max(board.stack, -(-needed // 8) * 8)


def _locate(manifest: Manifest, edge: EdgeEntry, kind: str) -> str:
    return "tn_fed_locate" if manifest.row_fed and kind == "INPUTS" else edge.accessor


def _model_header(manifest: Manifest, board: Board, timed_layers: int) -> str:
    """tn_model.h: the model as ports/runner/model.c wants it."""
    name = manifest.name
    lines = [f'#include "{name}.h"']
    lines.append(f'#define TN_MODEL_NAME "{name}"')
    lines.append(f'#define TN_MODEL_BOARD "{board.name}"')
    lines.append(f"#define TN_MODEL_ARENA_SIZE {name.upper()}_ARENA_SIZE")
    lines.append(f"#define TN_MODEL_ARENA_ALIGN {name.upper()}_ARENA_ALIGN")
    lines.append(f"#define TN_MODEL_WEIGHTS_CRC {manifest.weights_crc:#x}u")
    lines.append(f"#define TN_MODEL_INIT {name + '_init' if manifest.state else '0'}")
    if manifest.row_fed:  # the whole input lies beside the arena, and is fed from there
        source = manifest.inputs[0]
        lines += [
            f"static uint8_t tn_fed_input[{source.bytes}];",
            "static void *tn_fed_locate(uint8_t *arena) { (void)arena; return tn_fed_input; }",
            f"static void tn_fed_run(uint8_t *arena) {{ {name}_run_rows(arena, tn_fed_input); }}",
        ]
    lines.append(f"#define TN_MODEL_RUN {'tn_fed_run' if manifest.row_fed else f'{name}_run'}")
    for kind, edges in (("INPUTS", manifest.inputs), ("OUTPUTS", manifest.outputs)):
        entries = " ".join(
            f"X({i}, {_locate(manifest, edge, kind)}, {edge.bytes}u)"
            for i, edge in enumerate(edges)
        )
        lines.append(f"#define TN_MODEL_{kind}(X) {entries}")
    lines.append(f"#define TN_MODEL_TIMED_LAYERS {timed_layers}")
    return "\n".join(lines) + "\n"


def _linked(
    model_dir: Path, board: Board, work_dir: Path | None, timed: bool, more: tuple[str, ...]
) -> Path:
    """A folder with image.elf and image.bin."""
    compiler = arm_compiler()
    manifest = read_manifest(model_dir)
    if board.runner == "link" and len(manifest.inputs) + len(manifest.outputs) > _LINK_EDGES:
        raise UnsupportedError(
            f"model '{manifest.name}' has more than {_LINK_EDGES} inputs and outputs, which the "
            f"runner of {board.name} cannot tell of; link it into firmware of your own"
        )
    extra, headers = (_TIMED, (RUNNER / "layers.h", PORTS / "port.h")) if timed else ((), ())
    model = compile_objects(model_dir, board.target, work_dir, (*extra, *more), headers)
    runner = (RUNNER / "measure.c", RUNNER / f"{board.runner}.c")
    port = compile_port(board, work_dir, runner, more)
    header = _model_header(manifest, board, len(manifest.layers) if timed else 0)
    stack = _stack(manifest, model_dir, board, work_dir)
    what = f"model '{manifest.name}' for {board.name}"
    flags = (*board.target.cpu_flags, *C_FLAGS, *PORT_FLAGS, *more)

    def build(folder: Path) -> None:
        (folder / "tn_model.h").write_text(header, encoding="utf-8")
        includes = ("-I", str(RUNNER), "-I", str(folder), "-I", str(model_dir))
        source = ("-c", str(RUNNER / "model.c"), "-o", "model.o")
        run_tool((compiler.path, *flags, *includes, *source), folder, what)
        objects = ["model.o", *sorted(map(str, (*model.glob("*.o"), *port.glob("*.o"))))]
        try:
            link(folder, objects, board, stack, what)
        except ToolError as error:
            raise _too_big(str(error), manifest, board, stack) or error from error

    key: list[str | bytes | Path] = [
        str(model), str(port), header, *flags, str(stack), RUNNER / "model.c", RUNNER / "runner.h",
        *link_key(board), *model_key(model_dir),
    ]  # fmt: skip
    return cached(work_dir, "image", key, build)


def overflows(message: str) -> dict[str, int]:
    """The memories that the linker complains of, and by how many bytes they are short."""
    return {m[1]: int(m[2]) for m in re.finditer(r"region `(\w+)' overflowed by (\d+)", message)}


def _too_big(message: str, manifest: Manifest, board: Board, stack: int) -> BudgetError | None:
    """The linker's complaint about a full memory, in words about the model."""
    parts = []
    for memory, short in overflows(message).items():
        if memory == "FLASH":
            parts.append(
                f"flash is short by {short} bytes (weights {manifest.weights_bytes}, board "
                f"{board.flash})"
            )
        else:
            which = "SRAM" if memory == "RAM" else f"SRAM ({memory})"
            parts.append(
                f"{which} is short by {short} bytes (arena {manifest.arena_bytes}, reserved stack "
                f"{stack}, board {board.sram}); memory peaks in {manifest.peak_layer}"
            )
    if not parts:
        return None
    return BudgetError(
        f"model '{manifest.name}' does not fit {board.name}: {'; '.join(parts)}: choose a "
        "larger board or a smaller model"
    )


def _layer_address(symbols: Mapping[str, int], symbol: str, name: str) -> int:
    """The entry of a layer; a clone's name goes on after a dot."""
    found = [a for s, a in symbols.items() if s == symbol or s.startswith(symbol + ".")]
    if len(found) != 1:
        raise ToolError(
            f"model '{name}': layer function '{symbol}' is in the image {len(found)} times: it "
            "must be noinline and noclone"
        )
    return found[0]


# ---- any image ---------------------------------------------------------------------------------


def compile_port(
    board: Board,
    work_dir: Path | None,
    application: Sequence[Path] = (),
    more: Sequence[str] = (),
) -> Path:
    """A folder with the objects (N.o) and call graphs (N.ci) of the board's port, of what port.h
    gives beside it, and of an application's sources that keep to its rules. `more` are flags."""
    compiler = arm_compiler()
    sources = (*board.sources, *SERVICES, *application)
    flags = (
        *board.target.cpu_flags, *C_FLAGS, *PORT_FLAGS, "-fcallgraph-info=su", "-I", str(PORTS),
        *(f"-D{define}" for define in board.defines), *more,
    )  # fmt: skip

    def build(folder: Path) -> None:
        for index, source in enumerate(sources):
            run_tool(
                (compiler.path, *flags, "-c", str(source), "-o", f"{index}.o"),
                folder,
                f"port {board.name}",
            )

    headers = sorted(PORTS.rglob("*.h"))
    key: list[str | bytes | Path] = [compiler.version, *flags, *sources, *headers]
    return cached(work_dir, "port", key, build)


def link(folder: Path, objects: Sequence[str], board: Board, stack: int, what: str) -> None:
    """Links `objects`, names as seen from `folder`, into its image.elf and image.bin; the arena
    goes into the first of the board's memories in which it fits. Raises ToolError."""
    compiler = arm_compiler()
    command = (
        compiler.path, *board.target.cpu_flags, *objects, "-nostartfiles", "-static",
        "-Wl,--gc-sections", f"-Wl,--defsym=__tn_stack_size={stack}",
        f"-Wl,--defsym=__tn_board={crc32(board.name.encode())}", "-L", ".", "-L", str(COMMON),
        "-T", str(board.linker_script), "-o", "image.elf",
    )  # fmt: skip
    for memory in board.arena:
        (folder / "arena.ld").write_text(f'REGION_ALIAS("ARENA", {memory});\n', encoding="ascii")
        try:
            run_tool(command, folder, what)
            break
        except ToolError as error:
            if not overflows(str(error)) or memory == board.arena[-1]:
                raise
    run_tool((compiler.objcopy, "-O", "binary", "image.elf", "image.bin"), folder, what)


FORMATS = {".elf": None, ".hex": "ihex", ".bin": "binary"}  # by suffix, as objcopy calls them


def write_image(elf: Path, out: Path) -> None:
    """Writes a linked image to `out`, in the format that its suffix says. Raises ToolError."""
    name = FORMATS[out.suffix.lower()]
    with replacing(out) as partial:
        if name is None:
            shutil.copyfile(elf, partial)
        else:
            command = (arm_compiler().objcopy, "-O", name, str(elf), str(partial))
            run_tool(command, elf.parent, str(out))


def is_for(elf: Elf, board: Board) -> bool:
    """Whether an image was linked for this board; also where it does not say."""
    return elf.symbols.get("__tn_board", 0) in (0, crc32(board.name.encode()))


def link_key(board: Board) -> list[str | bytes | Path]:
    """What `link` depends on beside the objects, as a key of `cached`."""
    return [arm_compiler().version, *board.arena, board.linker_script, COMMON / "sections.ld"]


@dataclass(frozen=True)
class Elf:
    """What is read from an image. Addresses of functions have bit 0 clear."""

    symbols: Mapping[str, int]
    functions: Mapping[str, int]
    sections: Mapping[str, int]  # bytes

    @property
    def stack(self) -> int:
        return self.symbols["tn_stack_top"] - self.symbols["tn_stack_bottom"]


def read_elf(path: Path) -> Elf:
    """Raises ToolError for an image without symbols."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        table = elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):
            raise ToolError(f"image {path} has no symbol table")
        found = list(table.iter_symbols())
        sections = {section.name: section["sh_size"] for section in elf.iter_sections()}
    symbols = {symbol.name: symbol["st_value"] for symbol in found}
    functions = {s.name: s["st_value"] & ~1 for s in found if s["st_info"]["type"] == "STT_FUNC"}
    return Elf(symbols, functions, sections)
