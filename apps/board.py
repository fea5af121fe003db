"""A link to an application's firmware: on a board at a serial port, or on an emulated one.

It stands at the edge: it looks into `tools` for the link and the emulator.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.firmware import Firmware
from thumbnet.codegen.targets import Board, board
from thumbnet.tools.emulator import find_qemu, meter_plugin, started_with_uart
from thumbnet.tools.link import Link
from thumbnet.tools.transport import is_port, open_transport

EMULATED_FLASH = 16 << 20  # of the file in which QEMU keeps the board's PSRAM (ports/mps2/flash.c)


@dataclass(frozen=True)
class Meter:
    """Where the emulator writes its figures of each call, and the functions that it tells apart."""

    file: Path
    functions: tuple[str, ...]


@contextmanager
def linked_board(
    on: str,
    build: Callable[[Board], Firmware],
    application: str,
    *,
    flash: Path | None = None,
    meter: Meter | None = None,
    work_dir: Path | None = None,
) -> Iterator[Link]:
    """The link to a serial port or URL, or to an emulated board that runs what `build` gives. Its
    flash is kept in the file `flash`, made where there is none; without one it is forgotten.
    `application` is the name of the package whose commands messages name. Raises ThumbnetError."""
    if is_port(on):
        with closing(open_transport(on)) as transport:
            yield Link(transport, on)
        return
    there = board(on)
    if not there.emulated or there.machine is None:
        raise ToolError(
            f"board '{on}' is not emulated: put the firmware on it ('python -m thumbnet.apps."
            f"{application} firmware', 'thumbnet flash') and give the port that it is at"
        )
    image = build(there)
    with tempfile.TemporaryDirectory(prefix="thumbnet-board-") as temporary:
        folder = Path(temporary)
        (folder / "image.elf").symlink_to(image.elf)
        (folder / "image.bin").symlink_to(image.binary)
        machine = there.machine
        memory: tuple[str, ...] = ()
        if there.storage is not None:
            machine, memory = f"{machine},memory-backend=flash", _flash(folder / "flash", flash)
        command = (
            find_qemu(), "-M", machine, "-display", "none", "-monitor", "none", "-nic", "none",
            *memory, "-kernel", "image.elf", *_metering(folder, image, meter, work_dir),
        )  # fmt: skip
        with started_with_uart(command, folder) as transport:
            yield Link(transport, f"{on} in QEMU")


def check_firmware(
    link: Link,
    name: str,
    weights_crc: int,
    application: str,
    sizes: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
) -> None:
    """Raises ToolError where the board holds other firmware; `sizes` are the bytes of each input
    and of each output, where name and weights do not tell them."""
    there = link.firmware
    found = there.inputs, there.outputs
    if (there.model, there.weights_crc, found) != (name, weights_crc, sizes or found):
        raise ToolError(
            f"{link.name}: the {there.board} holds '{there.model}' (weights "
            f"{there.weights_crc:08x}), not '{name}' ({weights_crc:08x}): 'python -m thumbnet.apps."
            f"{application} firmware --board {there.board} -o F.elf', then 'thumbnet flash F.elf "
            f"--board {there.board}'"
        )


def _flash(name: Path, flash: Path | None) -> tuple[str, ...]:
    """QEMU's options for flash in the file `flash`, new ones all zeros. Raises ToolError."""
    if flash is None:
        flash = name
    try:
        flash.parent.mkdir(parents=True, exist_ok=True)
        with flash.open("ab"):
            os.truncate(flash, EMULATED_FLASH)  # holds no room on the disk until it is written
        if flash != name:
            name.symlink_to(flash.resolve())
    except OSError as error:
        raise ToolError(f"cannot write {flash}: {error.strerror}") from error
    backend = f"memory-backend-file,id=flash,size={EMULATED_FLASH},mem-path=flash,share=on"
    return "-object", backend


def _metering(
    folder: Path, image: Firmware, meter: Meter | None, work_dir: Path | None
) -> tuple[str, ...]:
    if meter is None:
        return ()
    (folder / "meter.so").symlink_to(meter_plugin(work_dir))
    (folder / "meter.json").symlink_to(meter.file.resolve())
    entries = "".join(f"{image.functions[symbol]:#x}\n" for symbol in meter.functions)
    (folder / "layers.txt").write_text(entries, encoding="ascii")
    begin, end = (image.functions[f"tn_run_{edge}"] for edge in ("begin", "end"))
    option = f"begin={begin:#x},end={end:#x},img=image.bin@{image.base:x}"
    return "-plugin", f"./meter.so,{option},out=meter.json,layers=layers.txt"
