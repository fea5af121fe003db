"""The lock on a board at the end of a serial link: commands and frames go there, answers come back.

It stands at the edge: it looks into `tools` for the link and the emulator.
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.face_unlock.match import MOST_FRAMES
from thumbnet.apps.face_unlock.unlock import LINK_ROWS, Application, Lock, application, firmware
from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.firmware import Firmware
from thumbnet.codegen.targets import board
from thumbnet.tools.emulator import find_qemu, meter_plugin, started_with_uart
from thumbnet.tools.link import Link
from thumbnet.tools.transport import is_port, open_transport

USERS, NAME_BYTES = 8, 16
EMULATED_FLASH = 16 << 20  # of the file in which QEMU keeps the board's PSRAM (ports/mps2/flash.c)

METERED = {"crop": "tn_eye_crop", "network": "tn_eye_feed", "match": "tn_unlock_decide"}

_ASKED = struct.Struct(f"<4I{NAME_BYTES}s")
_SAID = struct.Struct(f"<3i3I{NAME_BYTES}s")


class Command(IntEnum):
    """As in firmware/linked.c."""

    LIST, ENROL, ATTEMPT, ROWS, REMOVE = range(5)


class Status(IntEnum):
    """As in firmware/unlock.h."""

    DONE, ROWS, FRAME, OPENED, REFUSED, WAIT, NO_USER, NO_ROOM, NO_FACE, BROKEN, WRONG = range(11)


_REASONS = {
    Status.NO_USER: "it has no such user; for an attempt, none of this network: enroll one",
    Status.NO_ROOM: "there is no room for a template of this size: enrol fewer users",
    Status.NO_FACE: "the network says nothing of this frame: give another picture",
    Status.BROKEN: "its flash fails",
    Status.WRONG: "it does not do that now; run the command again",
}


@dataclass(frozen=True, eq=False)
class Said:
    """An answer. `embedding` is of the last frame that was taken, int8 [dimensions]."""

    status: Status
    user: int  # recognised, or -1
    score: int  # of the nearest template, a cosine in Q15
    wait: int  # ms until an attempt is allowed
    failures: int  # in a row
    known: bool  # of a listed user: whether the template is of this network
    name: str
    embedding: NDArray[np.int8]


@dataclass(frozen=True)
class User:
    """A slot that is taken."""

    slot: int
    name: str
    known: bool  # whether the template is of this network


class LinkedLock:
    """The lock at the other end of `link`. `clock` gives milliseconds; the board has none of its
    own. Raises ToolError where the board holds other firmware or falls silent, DataError for what
    cannot be asked."""

    def __init__(
        self, link: Link, lock: Lock, built: Application, clock: Callable[[], int] | None = None
    ) -> None:
        began = time.monotonic()
        self.link, self.lock, self.application = link, lock, built
        self.calls = 0  # of the firmware
        self._clock = clock or (lambda: int((time.monotonic() - began) * 1000))
        self._check_firmware()
        link.start()

    def users(self) -> list[User]:
        said = [self._ask(Command.LIST, user=slot) for slot in range(USERS)]
        return [
            User(slot, each.name, each.known)
            for slot, each in enumerate(said)
            if each.status == Status.DONE
        ]

    def slot_of(self, name: str) -> int:
        """The slot of a user of this name, or a free one. Raises DataError where there is none."""
        users = self.users()
        taken = {user.name: user.slot for user in users}
        free = sorted(set(range(USERS)) - set(taken.values()))
        if name not in taken and not free:
            raise DataError(f"all {USERS} users are taken: delete one, or enrol one of them anew")
        return taken[name] if name in taken else free[0]

    def enrol(self, name: str, frames: NDArray[np.uint8]) -> list[Said]:
        """Enrols a user from frames [n, height, row bytes], or anew where the name is known; an
        answer for each frame."""
        if not 1 <= len(name.encode()) < NAME_BYTES or not name.isprintable():
            raise DataError(f"'{name}': a name has 1 to {NAME_BYTES - 1} bytes that can be printed")
        if not 1 <= len(frames) <= MOST_FRAMES:
            raise DataError(f"{len(frames)} frames: a user is enrolled from 1 to {MOST_FRAMES}")
        slot = self.slot_of(name)
        self._ask(Command.ENROL, user=slot, count=len(frames), name=name)
        said = [self._frame(frame) for frame in frames]
        for each in said:
            self._refuse(each)
        return said

    def attempt(self, frame: NDArray[np.uint8]) -> Said:
        """Shows a frame to the lock: OPENED, REFUSED, or WAIT where it looks at none."""
        said = self._ask(Command.ATTEMPT)
        if said.status == Status.ROWS:
            said = self._frame(frame)
        self._refuse(said)
        return said

    def remove(self, slot: int) -> None:
        self._refuse(self._ask(Command.REMOVE, user=slot))

    def _frame(self, frame: NDArray[np.uint8]) -> Said:
        """Sends rows until the board has seen enough."""
        for top in range(0, len(frame), LINK_ROWS):
            rows = frame[top : top + LINK_ROWS]
            said = self._ask(Command.ROWS, count=len(rows), rows=rows.tobytes())
            if said.status != Status.ROWS:
                return said
        raise ToolError(f"{self.link.name}: the whole frame was sent, and the lock waits for more")

    def _ask(
        self, command: Command, user: int = 0, count: int = 0, name: str = "", rows: bytes = b""
    ) -> Said:
        now = self._clock() & 0xFFFFFFFF
        asked = _ASKED.pack(command, user, count, now, name.encode())
        self.calls += 1
        called = self.link.call([(asked + rows).ljust(self.link.firmware.inputs[0], b"\0")])
        if not called.intact:
            raise ToolError(f"{self.link.name}: the firmware wrote outside of its memory")
        (answer,) = called.outputs
        status, who, score, wait, failures, known, text = _SAID.unpack_from(answer)
        return Said(
            Status(status), who, score, wait, failures, bool(known),
            text.split(b"\0")[0].decode("utf-8", "replace"),
            np.frombuffer(answer, np.int8, self.application.dimensions, _SAID.size),
        )  # fmt: skip

    def _refuse(self, said: Said) -> None:
        if said.status in _REASONS:
            raise ToolError(f"{self.link.name}: {_REASONS[said.status]}")

    def _check_firmware(self) -> None:
        there = self.link.firmware
        expected = f"face unlock {self.application.text}"  # as firmware/linked.c says
        said = there.model, there.weights_crc
        if said != (expected, self.application.manifest.weights_crc):
            raise ToolError(
                f"{self.link.name}: the {there.board} holds '{there.model}' (weights "
                f"{there.weights_crc:08x}), not '{expected}' "
                f"({self.application.manifest.weights_crc:08x}): 'python -m "
                f"thumbnet.apps.face_unlock firmware --board {there.board} -o lock.elf', then "
                f"'thumbnet flash lock.elf --board {there.board}'"
            )


@contextmanager
def linked(
    on: str,
    lock: Lock,
    *,
    flash: Path | None = None,
    clock: Callable[[], int] | None = None,
    work_dir: Path | None = None,
    meter: Path | None = None,
) -> Iterator[LinkedLock]:
    """The lock at a serial port or URL, or on an emulated board, whose flash is kept in the file
    `flash`, made where there is none; without one it is forgotten. The emulator's figures of each
    call, by METERED, are written to the file `meter`. Raises ThumbnetError."""
    if is_port(on):
        with closing(open_transport(on)) as transport:
            link = Link(transport, on)
            built = application(lock, board(link.firmware.board).target.name, work_dir)
            yield LinkedLock(link, lock, built, clock)
        return
    there = board(on)
    if not there.emulated or there.machine is None:
        raise ToolError(
            f"board '{on}' is not emulated: put the firmware on it ('python -m "
            "thumbnet.apps.face_unlock firmware', 'thumbnet flash') and give the port that it is at"
        )
    image = firmware(lock, there, work_dir=work_dir)
    built = application(lock, there.target.name, work_dir)
    with tempfile.TemporaryDirectory(prefix="thumbnet-lock-") as temporary:
        folder = Path(temporary)
        (folder / "image.elf").symlink_to(image.elf)
        (folder / "image.bin").symlink_to(image.binary)
        _link_flash(folder / "flash", flash)
        command = (
            find_qemu(), "-M", f"{there.machine},memory-backend=flash", "-display", "none",
            "-monitor", "none", "-nic", "none", "-object",
            f"memory-backend-file,id=flash,size={EMULATED_FLASH},mem-path=flash,share=on",
            "-kernel", "image.elf", *_metering(folder, image, meter, work_dir),
        )  # fmt: skip
        with started_with_uart(command, folder) as transport:
            yield LinkedLock(Link(transport, f"{on} in QEMU"), lock, built, clock)


def _metering(
    folder: Path, image: Firmware, meter: Path | None, work_dir: Path | None
) -> tuple[str, ...]:
    if meter is None:
        return ()
    (folder / "meter.so").symlink_to(meter_plugin(work_dir))
    (folder / "meter.json").symlink_to(meter.resolve())
    entries = "".join(f"{image.functions[symbol]:#x}\n" for symbol in METERED.values())
    (folder / "layers.txt").write_text(entries, encoding="ascii")
    begin, end = (image.functions[f"tn_run_{edge}"] for edge in ("begin", "end"))
    option = f"begin={begin:#x},end={end:#x},img=image.bin@{image.base:x}"
    return "-plugin", f"./meter.so,{option},out=meter.json,layers=layers.txt"


def _link_flash(name: Path, flash: Path | None) -> None:
    """Makes `name` the emulated flash: the file `flash`, new ones all zeros. Raises ToolError."""
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
