"""The lock on a board at the end of a serial link: commands and frames go there, answers come back.

It stands at the edge: it looks into `tools` for the link.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.board import Meter, check_firmware, linked_board
from thumbnet.apps.camera.eye import LINK_ROWS
from thumbnet.apps.face_unlock.match import MOST_FRAMES
from thumbnet.apps.face_unlock.unlock import Lock, firmware, lock_eye
from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.targets import board
from thumbnet.tools.link import Link

USERS, NAME_BYTES = 8, 16

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
        self,
        link: Link,
        lock: Lock,
        clock: Callable[[], int] | None = None,
        work_dir: Path | None = None,
    ) -> None:
        began = time.monotonic()
        self.link, self.lock = link, lock
        self.eye = lock_eye(lock, board(link.firmware.board).target.name, work_dir)
        self.calls = 0  # of the firmware
        self._clock = clock or (lambda: int((time.monotonic() - began) * 1000))
        name = f"face unlock {self.eye.text}, >={lock.threshold}"  # as firmware/linked.c says
        check_firmware(link, name, self.eye.manifest.weights_crc, "face_unlock")
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
            np.frombuffer(answer, np.int8, self.eye.outputs, _SAID.size),
        )  # fmt: skip

    def _refuse(self, said: Said) -> None:
        if said.status in _REASONS:
            raise ToolError(f"{self.link.name}: {_REASONS[said.status]}")


@contextmanager
def linked(
    on: str,
    lock: Lock,
    *,
    flash: Path | None = None,
    clock: Callable[[], int] | None = None,
    meter: Path | None = None,
    work_dir: Path | None = None,
) -> Iterator[LinkedLock]:
    """The lock at a serial port or URL, or on an emulated board, whose flash is kept in the file
    `flash`; without one it is forgotten. The emulator's figures of each call, by METERED, are
    written to the file `meter`. Raises ThumbnetError."""
    with linked_board(
        on,
        lambda there: firmware(lock, there, work_dir=work_dir),
        "face_unlock",
        flash=flash,
        meter=None if meter is None else Meter(meter, tuple(METERED.values())),
        work_dir=work_dir,
    ) as link:
        yield LinkedLock(link, lock, clock, work_dir)
