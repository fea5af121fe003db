"""Compilers: from a generated model folder to an image of a board, its sizes, its worst stack, and
to a shared library of the host.

Whatever is built is kept in a work folder (`build_cache.py`), so a second request is free.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.errors import BudgetError, ToolError
from thumbnet.codegen.manifest import EdgeEntry, Manifest, read_manifest
from thumbnet.codegen.stack import read_call_graph, worst_stack
from thumbnet.codegen.targets import C_FLAGS, PORTS, Board, Target, c_flags

EMPTY_MODEL = PORTS / "runner" / "empty"
PRINT = PORTS / "common" / "print.c"

# The port and the runner must not pull in the C library: see ports/port.h.
PORT_FLAGS = ("-Os", "-fno-builtin", "-fno-tree-loop-distribute-patterns")


@dataclass(frozen=True)
class Compiler:
    """arm-none-eabi-gcc: `version` is what it says of itself, in one line."""

    path: str
    objcopy: str
    version: str


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
    bss: int  # zeroed RAM: the arena, without the stack
    weights: int
    code: int  # flash - weights - flash of the empty model's image
    run_begin: int  # marker functions around NAME_run
    run_end: int
    layers: tuple[tuple[str, int], ...]  # (symbol, entry address), in the manifest's order


def run_tool(command: Sequence[str], cwd: Path, what: str) -> None:
    """Runs a tool; ToolError with the first lines of its complaint when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise ToolError(f"{what}: cannot start {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        text = done.stderr.strip() or done.stdout.strip()
        telling = re.compile(r"(?<!collect2: )error|overflowed|undefined reference")
        wanted = [line for line in text.splitlines() if telling.search(line)]
        lines = "; ".join((wanted or text.splitlines())[:3])
        raise ToolError(f"{what}: {Path(command[0]).name} failed: {lines}")


# --- compilers -----------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _arm_compiler(override: str | None) -> Compiler:
    found = shutil.which(override or "arm-none-eabi-gcc")
    if found is None:
        if override:
            raise ToolError(f"THUMBNET_ARM_GCC names '{override}', which is not a program")
        raise ToolError(
            "arm-none-eabi-gcc is missing: install it (Debian, Ubuntu: sudo apt-get install "
            "gcc-arm-none-eabi libnewlib-arm-none-eabi) or name it in THUMBNET_ARM_GCC"
        )
    path = Path(found)
    objcopy = path.with_name(re.sub(r"gcc(?=[^/]*$)", "objcopy", path.name, count=1))
    if not objcopy.exists():
        fallback = shutil.which("arm-none-eabi-objcopy")
        if fallback is None:
            raise ToolError(f"no objcopy beside {path}: install the Arm binutils")
        objcopy = Path(fallback)
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolError(f"{found} --version fails: reinstall it or set THUMBNET_ARM_GCC") from error
    return Compiler(found, str(objcopy), said.stdout.splitlines()[0].strip())


def arm_compiler() -> Compiler:
    """The Arm compiler: THUMBNET_ARM_GCC, or arm-none-eabi-gcc on the PATH. Else ToolError."""
    return _arm_compiler(os.environ.get("THUMBNET_ARM_GCC"))


def host_compiler() -> str:
    """The host's C compiler: THUMBNET_CC, or cc, gcc or clang on the PATH. Else ToolError."""
    override = os.environ.get("THUMBNET_CC")
    for name in (override,) if override else ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    if override:
        raise ToolError(f"THUMBNET_CC names '{override}', which is not a program")
    raise ToolError(
        "no C compiler for this machine: install one (Debian, Ubuntu: sudo apt-get install gcc) "
        "or name it in THUMBNET_CC"
    )


# --- model folders -------------------------------------------------------------------------------


def _model_files(model_dir: Path) -> list[Path]:
    return sorted(p for p in model_dir.rglob("*") if p.suffix in (".c", ".h") and p.is_file())


def _model_key(model_dir: Path) -> list[str | bytes | Path]:
    key: list[str | bytes | Path] = []
    for path in _model_files(model_dir):
        key += [str(path.relative_to(model_dir)), path]
    return key


def _compile_model(model_dir: Path, target: Target, work_dir: Path | None) -> Path:
    """A folder with the objects (N.o) and call graphs (N.ci) of a model's sources."""
    compiler = arm_compiler()
    manifest = read_manifest(model_dir)
    optimised = c_flags(manifest.optimize)
    flags = (*target.cpu_flags, *optimised, "-fcallgraph-info=su", "-I.")

    def build(folder: Path) -> None:
        for index, source in enumerate(manifest.sources):
            run_tool(
                (compiler.path, *flags, "-c", source, "-o", str(folder / f"{index}.o")),
                model_dir,
                f"model '{manifest.name}' for {target.name}",
            )

    key = [compiler.version, *flags, *manifest.sources, *_model_key(model_dir)]
    return cached(work_dir, "model", key, build)


def stack_bound(model_dir: Path, target: Target, work_dir: Path | None = None) -> int:
    """Bytes of stack that NAME_run and NAME_init need at worst, their own frames included.

    Raises ToolError when there is no bound: recursion, calls through pointers, alloca, or a library
    function of unknown stack.
    """
    manifest = read_manifest(model_dir)
    folder = _compile_model(model_dir.resolve(), target, work_dir)
    graph = read_call_graph(sorted(folder.glob("*.ci")), sorted(folder.glob("*.o")))
    roots = [f"{manifest.name}_run_rows" if manifest.row_fed else f"{manifest.name}_run"]
    if manifest.state:
        roots.append(f"{manifest.name}_init")
    return worst_stack(graph, roots)


# --- images --------------------------------------------------------------------------------------


def _locate(manifest: Manifest, edge: EdgeEntry, kind: str) -> str:
    return "tn_fed_locate" if manifest.row_fed and kind == "INPUTS" else edge.accessor


def _model_header(manifest: Manifest) -> str:
    """tn_model.h: the model as ports/runner/model.c wants it."""
    name = manifest.name
    lines = [f'#include "{name}.h"']
    lines.append(f"#define TN_MODEL_ARENA_SIZE {name.upper()}_ARENA_SIZE")
    lines.append(f"#define TN_MODEL_ARENA_ALIGN {name.upper()}_ARENA_ALIGN")
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
    return "\n".join(lines) + "\n"


def _compile_port(board: Board, work_dir: Path | None) -> Path:
    """A folder with the objects of the board and of the runner."""
    compiler = arm_compiler()
    sources = (*board.sources, PRINT, PORTS / "runner" / "files.c")
    flags = (
        *board.target.cpu_flags,
        *C_FLAGS,
        *PORT_FLAGS,
        "-I",
        str(PORTS),
        *(f"-D{define}" for define in board.defines),
    )

    def build(folder: Path) -> None:
        for index, source in enumerate(sources):
            run_tool(
                (compiler.path, *flags, "-c", str(source), "-o", str(folder / f"{index}.o")),
                folder,
                f"port {board.name}",
            )

    key: list[str | bytes | Path] = [
        compiler.version,
        *flags,
        *sources,
        PORTS / "port.h",
        PORTS / "runner" / "runner.h",
    ]
    return cached(work_dir, "port", key, build)


def _link(model_dir: Path, board: Board, work_dir: Path | None) -> Path:
    """A folder with image.elf and image.bin."""
    compiler = arm_compiler()
    manifest = read_manifest(model_dir)
    runner = PORTS / "runner"
    port = _compile_port(board, work_dir)
    model = _compile_model(model_dir, board.target, work_dir)
    header = _model_header(manifest)
    script_folder = PORTS / "common"
    cpu = board.target.cpu_flags
    link_flags = (
        "-nostartfiles", "-static", "-Wl,--gc-sections",
        f"-Wl,--defsym=__tn_stack_size={board.stack}",
        "-L", str(script_folder), "-T", str(board.linker_script),
    )  # fmt: skip
    what = f"model '{manifest.name}' for {board.name}"

    def build(folder: Path) -> None:
        (folder / "tn_model.h").write_text(header, encoding="utf-8")
        run_tool(
            (
                compiler.path,
                *cpu,
                *C_FLAGS,
                *PORT_FLAGS,
                "-I",
                str(runner),
                "-I",
                str(folder),
                "-I",
                str(model_dir),
                "-c",
                str(runner / "model.c"),
                "-o",
                str(folder / "model.o"),
            ),
            folder,
            what,
        )
        objects = [
            str(folder / "model.o"),
            *map(str, sorted(model.glob("*.o"))),
            *map(str, sorted(port.glob("*.o"))),
        ]
        try:
            run_tool((compiler.path, *cpu, *objects, *link_flags, "-o", "image.elf"), folder, what)
        except ToolError as error:
            raise _too_big(str(error), manifest, board) or error from error
        run_tool((compiler.objcopy, "-O", "binary", "image.elf", "image.bin"), folder, what)

    key = [
        str(model),
        str(port),
        header,
        *link_flags,
        runner / "model.c",
        runner / "runner.h",
        board.linker_script,
        script_folder / "sections.ld",
        script_folder / "arena.ld",
        *_model_key(model_dir),
    ]
    return cached(work_dir, "image", key, build)


def _too_big(message: str, manifest: Manifest, board: Board) -> BudgetError | None:
    """The linker's complaint about a full memory, in words about the model."""
    over = {m[1]: int(m[2]) for m in re.finditer(r"region `(\w+)' overflowed by (\d+)", message)}
    parts = []
    if "RAM" in over:
        parts.append(
            f"SRAM is short by {over['RAM']} bytes (arena {manifest.arena_bytes}, reserved stack "
            f"{board.stack}, board {board.sram}); memory peaks in {manifest.peak_layer}"
        )
    if "FLASH" in over:
        parts.append(
            f"flash is short by {over['FLASH']} bytes (weights {manifest.weights_bytes}, board "
            f"{board.flash})"
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


def build_image(model_dir: Path | None, board: Board, work_dir: Path | None = None) -> Image:
    """Compiles and links a generated model folder with the runner for `board`.

    `model_dir` None: the empty model, whose `code` is 0. Raises BudgetError when a memory of the
    board overflows, ToolError when a tool is missing or fails, DataError for a bad folder.
    """
    source = (model_dir or EMPTY_MODEL).resolve()
    manifest = read_manifest(source)
    folder = _link(source, board, work_dir)
    empty_flash = None
    if model_dir is not None:
        empty_flash = (_link(EMPTY_MODEL, board, work_dir) / "image.bin").stat().st_size
    with (folder / "image.elf").open("rb") as file:
        elf = ELFFile(file)
        symbols: dict[str, int] = {}
        functions: dict[str, int] = {}
        table = elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):
            raise ToolError(f"image {folder / 'image.elf'} has no symbol table")
        for symbol in table.iter_symbols():
            symbols[symbol.name] = symbol["st_value"]
            if symbol["st_info"]["type"] == "STT_FUNC":
                functions[symbol.name] = symbol["st_value"] & ~1
        sizes = {section.name: section["sh_size"] for section in elf.iter_sections()}
    if (symbols["__tn_flash_size"], symbols["__tn_ram_size"]) != (board.flash, board.sram):
        raise ToolError(
            f"board {board.name}: its TOML file and {board.linker_script.name} differ in sizes"
        )
    flash = (folder / "image.bin").stat().st_size
    weights = symbols["__tn_weights_end"] - symbols["__tn_weights_start"]
    return Image(
        name=manifest.name,
        board=board.name,
        elf=folder / "image.elf",
        binary=folder / "image.bin",
        base=symbols["__tn_flash_base"],
        flash=flash,
        text=sizes[".text"],
        rodata=sizes.get(".rodata", 0),
        data=sizes.get(".data", 0),
        bss=sizes.get(".bss", 0),
        weights=weights,
        code=flash - weights - (flash if empty_flash is None else empty_flash),
        run_begin=functions["tn_run_begin"],
        run_end=functions["tn_run_end"],
        layers=tuple(
            (layer.symbol, _layer_address(functions, layer.symbol, manifest.name))
            for layer in manifest.layers
        ),
    )


# --- the host ------------------------------------------------------------------------------------


def host_library(
    model_dir: Path, work_dir: Path | None = None, *, dsp: bool = False, sanitize: bool = False
) -> Path:
    """A shared library of the model for this machine.

    `dsp`: the kernels for the DSP instructions, on their exact C twins. `sanitize`: with the
    address and undefined-behaviour sanitizers, which end the process at the first finding.
    """
    compiler = host_compiler()
    model_dir = model_dir.resolve()
    manifest = read_manifest(model_dir)
    flags = ["-std=c11", "-O2", "-fPIC", "-shared", f"-DTN_DSP={int(dsp)}", "-I."]
    if sanitize:
        flags += ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    name = f"lib{manifest.name}.so"

    def build(folder: Path) -> None:
        run_tool(
            (compiler, *flags, *manifest.sources, "-o", str(folder / name)),
            model_dir,
            f"model '{manifest.name}' for the host",
        )

    key = [compiler, *flags, *manifest.sources, *_model_key(model_dir)]
    return cached(work_dir, "host", key, build) / name
