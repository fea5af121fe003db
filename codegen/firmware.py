"""An application of its own as an image of a board: its C, the model's and the port's, linked.

`toolchain.build_image` links one model with the runner, to measure it. Here the application gives
`tn_main` (ports/port.h), and the stack is as large as the call graph says that it must be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.stack import read_call_graph, worst_stack
from thumbnet.codegen.targets import C_FLAGS, PORTS, Board, c_flags
from thumbnet.codegen.toolchain import PORT_FLAGS, PRINT, arm_compiler, run_tool

_EXCEPTION_BYTES = 64  # an exception's frame, aligned, and what its handler takes before it leaves
_STACK_BOUNDS = frozenset(("tn_stack_bottom", "tn_stack_top"))  # not functions: of the linker
_WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")


@dataclass(frozen=True)
class Firmware:
    """A linked image. Sizes are bytes; `functions` are entry addresses, bit 0 clear."""

    elf: Path
    binary: Path  # as loaded into flash
    base: int  # address of its first byte
    flash: int  # all of `binary`
    weights: int  # of it, the constant arrays of models
    stack: int  # reserved
    data: int  # RAM with initial values
    bss: int  # zeroed RAM
    functions: Mapping[str, int]

    @property
    def sram(self) -> int:
        """All RAM that is taken when the firmware is linked, the stack included."""
        return self.stack + self.data + self.bss


def build_firmware(
    folder: Path, sources: Sequence[str], board: Board, optimize: str, work_dir: Path | None = None
) -> Firmware:
    """Compiles `sources` of `folder`, whose headers lie there too, and links them for `board`.

    Raises ToolError when a tool is missing or fails, or when the stack has no bound.
    """
    compiler = arm_compiler()
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".c", ".h"))
    ports = (*board.sources, PRINT)
    common = (*board.target.cpu_flags, "-fcallgraph-info=su")
    own = (*common, *c_flags(optimize), *_WARNINGS, "-I", str(folder), "-I", str(PORTS))
    port = (*common, *C_FLAGS, *PORT_FLAGS, "-I", str(PORTS), *(f"-D{d}" for d in board.defines))
    script = PORTS / "common"
    what = f"firmware for {board.name}"

    def build(place: Path) -> None:
        objects = []
        for number, (source, flags) in enumerate(
            [(folder / s, own) for s in sources] + [(p, port) for p in ports]
        ):
            objects.append(f"{number}.o")
            run_tool((compiler.path, *flags, "-c", str(source), "-o", objects[-1]), place, what)
        stack = _stack_bytes(place, objects[: len(sources)])
        link = (
            *board.target.cpu_flags, *objects, "-nostartfiles", "-static", "-Wl,--gc-sections",
            f"-Wl,--defsym=__tn_stack_size={stack}", "-L", str(script), "-T",
            str(board.linker_script), "-o", "image.elf",
        )  # fmt: skip
        run_tool((compiler.path, *link), place, what)
        run_tool((compiler.objcopy, "-O", "binary", "image.elf", "image.bin"), place, what)

    key: list[str | bytes | Path] = [
        compiler.version, *own, *port, *sources, *ports, *files, PORTS / "port.h",
        board.linker_script, script / "sections.ld", script / "arena.ld",
    ]  # fmt: skip
    built = cached(work_dir, "firmware", key, build)
    return _read(built)


def _stack_bytes(place: Path, own_objects: Sequence[str]) -> int:
    """What the reset handler and all below it take at worst, and an exception on top of that.

    Ports and what they print with call nothing of the C library, so only the application's objects
    are searched for helpers that no call graph names.
    """
    found = read_call_graph(sorted(place.glob("*.ci")), [place / name for name in own_objects])
    calls = {name: callees - _STACK_BOUNDS for name, callees in found.calls.items()}
    bound = worst_stack(replace(found, calls=calls), ["tn_reset"])
    return -(-(bound + _EXCEPTION_BYTES) // 8) * 8


def _read(folder: Path) -> Firmware:
    with (folder / "image.elf").open("rb") as file:
        elf = ELFFile(file)
        table = elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):
            raise ToolError(f"image {folder / 'image.elf'} has no symbol table")
        symbols = {s.name: s["st_value"] for s in table.iter_symbols()}
        functions = {
            s.name: s["st_value"] & ~1
            for s in table.iter_symbols()
            if s["st_info"]["type"] == "STT_FUNC"
        }
        sizes = {section.name: section["sh_size"] for section in elf.iter_sections()}
    return Firmware(
        elf=folder / "image.elf",
        binary=folder / "image.bin",
        base=symbols["__tn_flash_base"],
        flash=(folder / "image.bin").stat().st_size,
        weights=symbols["__tn_weights_end"] - symbols["__tn_weights_start"],
        stack=symbols["tn_stack_top"] - symbols["tn_stack_bottom"],
        data=sizes.get(".data", 0),
        bss=sizes.get(".bss", 0),
        functions=functions,
    )
