"""Targets (cores) and boards: what can be compiled for, and what can be linked, run or flashed.

A board is one TOML file, `ports/FAMILY/BOARD.toml`. A target is a core; each has a board on which
the size of its code is linked.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from thumbnet.codegen.errors import ToolError

PORTS = Path(__file__).resolve().parent.parent / "ports"

# Every C file of a model is compiled with these, on every target. Not -ffreestanding: memcpy stays
# a builtin. Identical functions are not merged: the meter tells layers apart by address.
C_FLAGS = (
    "-std=c11",
    "-O2",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-common",
    "-fno-ipa-icf",
)


def c_flags(optimize: str) -> tuple[str, ...]:
    """C_FLAGS as `--optimize` wants them."""
    return tuple("-Os" if f == "-O2" and optimize == "size" else f for f in C_FLAGS)


@dataclass(frozen=True)
class Target:
    """One core. `reference_board` is where the size of code is linked (None: the host)."""

    name: str
    cpu_flags: tuple[str, ...]
    dsp: bool  # SMLAD, SXTB16 and their kin
    reference_board: str | None

    @property
    def forms(self) -> bool:
        """Whether what takes less time on a Cortex-M4 does here: the DSP extension, or its twins
        on the host."""
        return self.dsp or self.reference_board is None


@dataclass(frozen=True)
class Board:
    """One board. Sizes are bytes. `sizing` boards only serve to link, and are not listed.

    `runner` is the application of ports/runner that runs models there: "files" over semihosting,
    "link" over the console.
    """

    name: str
    about: str
    target: Target
    sram: int  # of all memories for data
    flash: int
    stack: int  # reserved for the stack at the start of SRAM
    emulated: bool
    sizing: bool
    machine: str | None  # of qemu-system-arm
    runner: str
    linker_script: Path
    arena: tuple[str, ...]  # memories of the linker script that may take it, the fastest first
    sources: tuple[Path, ...]
    defines: tuple[str, ...]
    console: str | None  # how the console of a real board reaches a computer, in words
    pyocd: str | None  # what pyOCD calls the chip
    openocd: str | None  # OpenOCD's configuration file
    storage: Path | None = None  # the port's flash.c (ports/flash.h)


def _arm(name: str, dsp: bool, reference_board: str) -> Target:
    return Target(name, (f"-mcpu={name}", "-mthumb", "-mfloat-abi=soft"), dsp, reference_board)


_TARGETS = {
    t.name: t
    for t in (
        _arm("cortex-m0", False, "microbit"),
        _arm("cortex-m0plus", False, "sizing-cortex-m0plus"),
        _arm("cortex-m3", False, "mps2-an385"),
        _arm("cortex-m4", True, "mps2-an386"),
        _arm("cortex-m7", True, "mps2-an500"),
        _arm("cortex-m33", True, "mps2-an505"),
        Target("host", (), False, None),
    )
}


def targets() -> tuple[Target, ...]:
    """All targets, smallest core first, the host last."""
    return tuple(_TARGETS.values())


def target(name: str) -> Target:
    """The target called `name`. Raises ToolError with the choices when there is none."""
    found = _TARGETS.get(name)
    if found is None:
        raise ToolError(f"unknown target '{name}': choose one of {', '.join(_TARGETS)}")
    return found


def _read_board(path: Path) -> Board:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        folder = path.parent
        return Board(
            name=table["name"],
            about=table["about"],
            target=target(table["target"]),
            sram=table["sram"],
            flash=table["flash"],
            stack=table["stack"],
            emulated=table["emulated"],
            sizing=table.get("sizing", False),
            machine=table.get("machine"),
            runner=table.get("runner", "files"),
            linker_script=folder / table["linker_script"],
            arena=tuple(table.get("arena", ("RAM",))),
            sources=tuple((folder / source).resolve() for source in table["sources"]),
            defines=tuple(table.get("defines", ())),
            console=table.get("console"),
            pyocd=table.get("pyocd"),
            openocd=table.get("openocd"),
            storage=folder / table["storage"] if "storage" in table else None,
        )
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ToolError(f"board file {path} cannot be read: {error}") from error
    except KeyError as error:
        raise ToolError(f"board file {path} lacks the key {error}") from error


@lru_cache(maxsize=1)
def _all_boards() -> tuple[Board, ...]:
    found = [_read_board(path) for path in sorted(PORTS.glob("*/*.toml"))]
    if not found:
        raise ToolError(f"no board files below {PORTS}: reinstall thumbnet")
    return tuple(sorted(found, key=lambda b: (not b.emulated, b.name)))


def boards() -> tuple[Board, ...]:
    """The boards that can be built for, emulated ones first."""
    return tuple(b for b in _all_boards() if not b.sizing)


def board(name: str) -> Board:
    """The board called `name`. Raises ToolError with the choices when there is none."""
    for candidate in _all_boards():
        if candidate.name == name:
            return candidate
    choices = ", ".join(b.name for b in boards())
    raise ToolError(f"unknown board '{name}': choose one of {choices}")


def reference_board(of: Target) -> Board | None:
    """The board on which code for target `of` is linked to learn its size; None for the host."""
    return board(of.reference_board) if of.reference_board is not None else None


def flash_for_forms(of: Target, max_flash: int | None) -> int | None:
    """Bytes of flash that faster forms of layers may fill; `max_flash` None: those of the reference
    board, or on the host more than any model needs. None for a target that has no such forms."""
    if not of.forms:
        return None
    board = reference_board(of)
    if max_flash is None:
        return 1 << 40 if board is None else board.flash
    return max_flash


def sizing_board(of: Target) -> Board:
    """A board of target `of` with memory for any model, to link and learn the size of its code.

    The reference board itself where it has no smaller memory than that.
    """
    for candidate in _all_boards():
        if candidate.sizing and candidate.target == of:
            return candidate
    return board(of.reference_board or "")
