"""An application of its own as an image of a board: its C, the model's and the port's, linked.

`image.build_image` links one model with the runner, to measure it. Here the application gives
`tn_main` (ports/port.h), and the stack is as large as the call graph says that it must be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.errors import BudgetError, ToolError
from thumbnet.codegen.image import (
    LINK_RUNNER,
    LINK_STACK,
    compile_port,
    link,
    link_key,
    overflows,
    read_elf,
)
from thumbnet.codegen.stack import CallGraph, functions_called, read_call_graph, worst_stack
from thumbnet.codegen.targets import PORTS, Board, c_flags
from thumbnet.codegen.toolchain import arm_compiler, run_tool

_EXCEPTION_BYTES = 64  # an exception's frame, aligned, and what its handler takes before it leaves
_DATA = frozenset(("tn_stack_bottom", "tn_stack_top", "tn_flash"))  # of ports: no functions
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
    folder: Path,
    sources: Sequence[str],
    board: Board,
    optimize: str,
    work_dir: Path | None = None,
    *,
    linked: bool = False,
    stores: bool = False,
) -> Firmware:
    """Compiles `sources` of `folder`, whose headers lie there too, and links them for `board`.

    They give `tn_main`; where `linked`, the link runner does, they give its `tn_model`
    (ports/runner/runner.h) with functions called `init` and `run`. `stores`: they keep data in
    flash (ports/flash.h). Raises BudgetError when a memory is too small, ToolError when a tool is
    missing or fails, the stack has no bound, or the port has no flash to keep data in.
    """
    compiler = arm_compiler()
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".c", ".h"))
    flags = (
        *board.target.cpu_flags, "-fcallgraph-info=su", *c_flags(optimize), *_WARNINGS,
        "-I", str(folder), "-I", str(PORTS), f'-DTN_BOARD="{board.name}"',
    )  # fmt: skip
    more = list(LINK_RUNNER) if linked else []
    if stores:
        if board.storage is None:
            raise ToolError(
                f"board '{board.name}' has no flash to keep data in: its port needs a flash.c, see "
                "ports/flash.h"
            )
        more.append(board.storage)
    port = compile_port(board, work_dir, more)
    what = f"firmware for {board.name}"

    def build(place: Path) -> None:
        own = [f"{number}.o" for number in range(len(sources))]
        for source, name in zip(sources, own, strict=True):
            run_tool((compiler.path, *flags, "-c", str(folder / source), "-o", name), place, what)
        stack = _linked_stack(place, own, port, board) if linked else _stack_bytes(place, own, port)
        try:
            link(place, [*own, *sorted(map(str, port.glob("*.o")))], board, stack, what)
        except ToolError as error:
            short = [f"{name} is short by {n} bytes" for name, n in overflows(str(error)).items()]
            if not short:
                raise
            raise BudgetError(f"{what} does not fit: {', '.join(short)}") from error

    key: list[str | bytes | Path] = [
        compiler.version,
        *flags,
        *sources,
        *files,
        PORTS / "port.h",
        PORTS / "flash.h",
        str(port),
        str(board.stack),
    ]
    return _read(cached(work_dir, "firmware", [*key, *link_key(board)], build))


def _linked_stack(place: Path, own_objects: Sequence[str], port: Path, board: Board) -> int:
    """The board's, or what `init` and `run` of the application need beside the link runner."""
    graph = _calls(place, own_objects, port)
    needed = worst_stack(graph, functions_called(graph, "init", "run")) + LINK_STACK
    return max(board.stack, -(-needed // 8) * 8)


def _stack_bytes(place: Path, own_objects: Sequence[str], port: Path) -> int:
    """What the reset handler and all below it take at worst, and an exception on top of that."""
    bound = worst_stack(_calls(place, own_objects, port), ["tn_reset"])
    return -(-(bound + _EXCEPTION_BYTES) // 8) * 8


def _calls(place: Path, own_objects: Sequence[str], port: Path) -> CallGraph:
    """Ports and what they print with call nothing of the C library, so only the application's
    objects are searched for helpers that no call graph names."""
    graphs = sorted((*place.glob("*.ci"), *port.glob("*.ci")))
    found = read_call_graph(graphs, [place / name for name in own_objects])
    return replace(found, calls={name: callees - _DATA for name, callees in found.calls.items()})


def _read(folder: Path) -> Firmware:
    elf = read_elf(folder / "image.elf")
    return Firmware(
        elf=folder / "image.elf",
        binary=folder / "image.bin",
        base=elf.symbols["__tn_flash_base"],
        flash=(folder / "image.bin").stat().st_size,
        weights=elf.symbols["__tn_weights_end"] - elf.symbols["__tn_weights_start"],
        stack=elf.stack,
        data=elf.sections.get(".data", 0),
        bss=elf.sections.get(".bss", 0) + elf.sections.get(".arena", 0),
        functions=elf.functions,
    )
