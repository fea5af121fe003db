"""Writing an image into a board's flash: pyOCD where it knows the chip, else OpenOCD."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from elftools.common.exceptions import ELFError

from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.image import is_for, read_elf
from thumbnet.codegen.targets import Board

SECONDS = 180.0  # until writing is given up

# What the tools say, and what to do then.
_NO_PROBE = re.compile(
    r"no (available|connected)[\w ]*(debug )?probes?|unable to (find|open)[\w -]*(device|probe)|"
    r"no device found|libusb_open\(\) failed|open failed|couldn't find[\w ]*device|no j-?link",
    re.IGNORECASE,
)
_MANY_PROBES = re.compile(
    r"enter the number of the debug probe|more than one (debug )?probe|matches unique id|"
    r"multiple (devices|adapters)",
    re.IGNORECASE,
)
_NO_RIGHTS = re.compile(r"LIBUSB_ERROR_ACCESS|permission|access denied|insufficient", re.IGNORECASE)
_NO_TARGET = re.compile(r"target type '?[\w-]+'? not recognized|unknown target", re.IGNORECASE)


def flash_image(image: Path, board: Board, probe: str | None = None) -> str:
    """Writes `image` and starts it; returns the tool's name. `probe` is a serial number, needed
    where several are plugged in.

    Raises DataError for a file that is no image of the board, ToolError with the next step where a
    tool or the probe is missing, or the tool fails.
    """
    if board.pyocd is None and board.openocd is None:
        where = f"run on it with --on {board.name}" if board.emulated else "it has no debug probe"
        raise ToolError(f"{board.name} cannot be flashed: {where}")
    _check_image(image, board)
    reasons = []
    for name, command in (("pyOCD", _pyocd(board, probe)), ("OpenOCD", _openocd(board, probe))):
        if isinstance(command, str):
            reasons.append(command)
            continue
        trouble = _written(name, command, image, board)
        if trouble is None:
            return name
        reasons.append(trouble)
        if not trouble.startswith(_UNKNOWN_CHIP):
            break
    raise ToolError(f"{image} was not written to the {board.name}: {'; or '.join(reasons)}")


def _check_image(image: Path, board: Board) -> None:
    if not image.is_file():
        raise DataError(f"{image}: there is no such file; 'thumbnet firmware' makes one")
    if image.suffix.lower() == ".hex":
        return
    try:
        elf = read_elf(image)
    except (ELFError, ToolError, OSError) as error:
        raise DataError(
            f"{image} is no ELF file with symbols; 'thumbnet firmware' makes one (or give a .hex)"
        ) from error
    if not is_for(elf, board):
        raise DataError(
            f"{image} was linked for another board than the {board.name}; build it with --board "
            f"{board.name}"
        )


_UNKNOWN_CHIP = "pyOCD does not know"


def _pyocd(board: Board, probe: str | None) -> Sequence[str] | str:
    """The command but for the image, or why there is none."""
    if board.pyocd is None:
        return f"{_UNKNOWN_CHIP} this chip"
    if find_spec("pyocd") is None:
        return "pyOCD is missing (pip install 'thumbnet[flash]')"
    chosen = ("--uid", probe) if probe else ()
    return (sys.executable, "-m", "pyocd", "load", "--no-wait", "--target", board.pyocd, *chosen)


def _openocd(board: Board, probe: str | None) -> Sequence[str] | str:
    if board.openocd is None:
        return "OpenOCD has no configuration for this board"
    found = shutil.which("openocd")
    if found is None:
        return "OpenOCD is missing (Debian, Ubuntu: sudo apt-get install openocd)"
    chosen = ("-c", f"adapter serial {{{probe}}}") if probe else ()
    return (found, "-f", board.openocd, *chosen, "-c")


def _written(name: str, command: Sequence[str], image: Path, board: Board) -> str | None:
    """None where it worked, else what to do."""
    with tempfile.TemporaryDirectory(prefix="thumbnet-flash-") as temporary:
        # both tools give some characters of a file's name a meaning: a plain one is used
        plain = f"image{image.suffix.lower()}"
        shutil.copyfile(image, Path(temporary) / plain)
        last = plain if name == "pyOCD" else f"program {plain} verify reset exit"
        try:
            done = subprocess.run(
                (*command, last), cwd=temporary, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"{name} did not end in {SECONDS:g} s: unplug the board, plug it in, try again"
        except OSError as error:
            return f"{name} cannot be started: {error.strerror}"
    if done.returncode == 0 and not (name == "pyOCD" and _NO_PROBE.search(done.stdout)):
        return None
    return _advice(name, done.stdout, board)


def _advice(name: str, said: str, board: Board) -> str:
    if _MANY_PROBES.search(said):
        return (
            f"{name} finds several debug probes, or none with that serial number: name one with "
            "--probe ('pyocd list' shows them)"
        )
    if name == "pyOCD" and _NO_TARGET.search(said):
        return f"{_UNKNOWN_CHIP} {board.pyocd} yet (pyocd pack install {board.pyocd})"
    if _NO_RIGHTS.search(said):
        return (
            f"{name} may not open the probe: on Linux install its udev rules "
            "(https://github.com/pyocd/pyOCD/tree/main/udev), then plug it in again"
        )
    if _NO_PROBE.search(said):
        return (
            f"{name} finds no debug probe: plug in the board at its debug USB connector, with a "
            "cable that carries data"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|fail|critical", line, re.IGNORECASE)]
    return f"{name} failed: {' | '.join((telling or lines)[-3:]) or 'it said nothing'}"
