"""The lock from the command line: enroll, list, delete, attempt and unlock over a link, firmware.

Pictures stand in for a camera: each is put before the lock as a frame (`frames.py`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.camera.frames import CAMERAS, DEFAULT_CAMERA, camera_frame, camera_window
from thumbnet.apps.camera.pictures import centre_square, pictures_of
from thumbnet.apps.command import amount, ended
from thumbnet.apps.face_unlock.dataset import face_window, read_face
from thumbnet.apps.face_unlock.match import ONE
from thumbnet.apps.face_unlock.model_files import COMMITTED
from thumbnet.apps.face_unlock.unlock import Lock, read_lock
from thumbnet.apps.face_unlock.unlock import firmware as built_firmware
from thumbnet.codegen.errors import DataError, ToolError

FLASH = Path("build") / "face_unlock"  # of emulated boards

Words = Sequence[str] | None


def enroll(arguments: Words = None) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    parser = link_parser("enroll", "makes someone a user, from pictures, or a user anew")
    parser.add_argument("name", help="at most 15 letters")
    parser.add_argument(
        "pictures", nargs="+", type=Path, help="files or folders; 3 or more do well"
    )
    return _over_link("enroll", parser, arguments, _enroll)


def list_users(arguments: Words = None) -> int:
    """As above."""
    return _over_link("list", link_parser("list", "the users of a lock"), arguments, _list)


def delete(arguments: Words = None) -> int:
    """As above."""
    parser = link_parser("delete", "takes a user away, and the template with all its copies")
    parser.add_argument("name")
    return _over_link("delete", parser, arguments, _delete)


def attempt(arguments: Words = None) -> int:
    """Exit status: 0 the lock opened for the last picture, 1 it did not, 2 wrong usage."""
    parser = link_parser("attempt", "shows pictures to the lock, one after the other")
    parser.add_argument("pictures", nargs="+", type=Path, help="files or folders")
    parser.add_argument(
        "--every",
        type=amount,
        metavar="SECONDS",
        help="tell the board that so much time is between two of them (default: what really is)",
    )
    return _over_link("attempt", parser, arguments, _attempt)


def firmware(arguments: Words = None) -> int:
    """Exit status as of enroll."""
    parser = lock_parser("firmware", "the lock as an image of a board")
    parser.add_argument("--board", required=True, help="a name that 'thumbnet boards' lists")
    parser.add_argument(
        "--driver",
        type=Path,
        metavar="CAMERA.c",
        help="what firmware/camera.h asks for: then the image is a lock by itself (default: the "
        "frames come over the serial link, from the commands here)",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="F.elf")
    parsed = parser.parse_args(arguments)
    return ended("face_unlock", lambda: _firmware(parsed))


# --- arguments ------------------------------------------------------------------------------------


def lock_parser(command: str, about: str) -> argparse.ArgumentParser:
    """With what a lock is built of."""
    parser = argparse.ArgumentParser(
        prog=f"python -m thumbnet.apps.face_unlock {command}", description=about
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=COMMITTED,
        metavar="DIR|FILE.tflite",
        help="what export wrote, or a network alone (default: the one that comes with Thumbnet)",
    )
    parser.add_argument(
        "--threshold", type=amount, metavar="COSINE", help="(default: of the model's decision.json)"
    )
    parser.add_argument(
        "--camera", choices=CAMERAS, default=DEFAULT_CAMERA, help=f"(default {DEFAULT_CAMERA})"
    )
    return parser


def link_parser(command: str, about: str) -> argparse.ArgumentParser:
    """With the board and with how pictures become frames as well."""
    parser = lock_parser(command, about)
    parser.add_argument(
        "--on",
        required=True,
        metavar="BOARD|PORT",
        help="an emulated board, e.g. mps2-an386, or the port of one that holds the firmware, e.g. "
        "/dev/ttyACM0, socket://HOST:PORT",
    )
    parser.add_argument(
        "--flash",
        type=Path,
        metavar="FILE",
        help=f"keeps an emulated board's flash (default {FLASH}/BOARD.flash)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="the pictures show the face as the network wants it, and nothing around it",
    )
    return parser


def lock_of(parsed: argparse.Namespace) -> Lock:
    """Raises ThumbnetError."""
    return read_lock(parsed.model, CAMERAS[parsed.camera], parsed.threshold)


def frames_of(
    paths: Sequence[Path], lock: Lock, side: int, *, whole: bool = False
) -> NDArray[np.uint8]:
    """Each picture before the lock's camera: uint8 [n, height, row bytes]. Raises DataError."""
    window = camera_window(lock.camera, side)
    frames = []
    for path in paths:
        picture = read_face(path)
        face = centre_square(*picture.shape) if whole else face_window(*picture.shape)
        frames.append(camera_frame(picture, face, lock.camera, window))
    return np.stack(frames)


# --- commands -------------------------------------------------------------------------------------


def _over_link(
    command: str,
    parser: argparse.ArgumentParser,
    arguments: Words,
    act: Callable[[argparse.Namespace, Any], tuple[dict[str, Any], int]],
) -> int:
    from thumbnet.apps.face_unlock.linked import linked
    from thumbnet.tools.transport import is_port

    parsed = parser.parse_args(arguments)
    parsed.now = None  # milliseconds, where the command says what time it is

    def run() -> int:
        lock = lock_of(parsed)
        flash = None
        if not is_port(parsed.on):
            flash = parsed.flash or FLASH / f"{parsed.on}.flash"
        every = getattr(parsed, "every", None)
        clock = (lambda: int(parsed.now)) if every is not None else None
        parsed.now = 0
        with linked(parsed.on, lock, flash=flash, clock=clock) as board:
            result, status = act(parsed, board)
        if parsed.json:
            print(json.dumps({"on": parsed.on, **result}))
        return status

    return ended("face_unlock", run, as_json=parsed.json)


def _tell(parsed: argparse.Namespace, line: str) -> None:
    if not parsed.json:
        print(line, flush=True)


def _enroll(parsed: argparse.Namespace, board: Any) -> tuple[dict[str, Any], int]:
    paths = pictures_of(parsed.pictures)
    frames = frames_of(paths, board.lock, board.eye.side, whole=parsed.whole)
    board.enrol(parsed.name, frames)
    slot = board.slot_of(parsed.name)
    _tell(parsed, f"{parsed.name} is user {slot}, from {len(paths)} pictures")
    return {"user": slot, "name": parsed.name, "pictures": len(paths)}, 0


def _list(parsed: argparse.Namespace, board: Any) -> tuple[dict[str, Any], int]:
    users = board.users()
    for user in users:
        other = "" if user.known else "  (of another network: enroll again)"
        _tell(parsed, f"{user.slot}  {user.name}{other}")
    if not users:
        _tell(parsed, "no users")
    return {"users": [vars(user) for user in users]}, 0


def _delete(parsed: argparse.Namespace, board: Any) -> tuple[dict[str, Any], int]:
    slots = [user.slot for user in board.users() if user.name == parsed.name]
    if not slots:
        raise DataError(f"there is no user '{parsed.name}' on {parsed.on}: see the command list")
    board.remove(slots[0])
    _tell(parsed, f"{parsed.name} is no user any more")
    return {"user": slots[0], "name": parsed.name}, 0


def _attempt(parsed: argparse.Namespace, board: Any) -> tuple[dict[str, Any], int]:
    from thumbnet.apps.face_unlock.linked import Status

    paths = pictures_of(parsed.pictures)
    frames = frames_of(paths, board.lock, board.eye.side, whole=parsed.whole)
    names = {user.slot: user.name for user in board.users()}
    told, status = [], 1
    for path, frame in zip(paths, frames, strict=True):
        said = board.attempt(frame)
        parsed.now += (parsed.every or 0) * 1000
        who = names.get(said.user)
        score = said.score / ONE
        status = 0 if said.status == Status.OPENED else 1
        line = {
            Status.OPENED: f"opened for {who}, score {score:.3f}",
            Status.REFUSED: f"refused, score {score:.3f}",
            Status.WAIT: f"waits for {-(-said.wait // 1000)} s after {said.failures} failures",
        }[said.status]
        _tell(parsed, f"{path}: {line}")
        seen = None if said.status == Status.WAIT else round(score, 5)
        told.append(
            {
                "picture": str(path),
                "status": said.status.name.lower(),
                "user": who,
                "score": seen,
                "wait_ms": said.wait,
                "failures": said.failures,
            }
        )
    return {"threshold": round(board.lock.threshold / ONE, 5), "attempts": told}, status


def _firmware(parsed: argparse.Namespace) -> int:
    from thumbnet.codegen.image import FORMATS, write_image
    from thumbnet.codegen.targets import board

    if parsed.out.suffix.lower() not in FORMATS:
        raise ToolError(f"'{parsed.out}' does not end in {', '.join(FORMATS)}")
    on = board(parsed.board)
    image = built_firmware(lock_of(parsed), on, parsed.driver)
    write_image(image.elf, parsed.out)
    print(f"wrote {parsed.out}: {image.flash:,} bytes of flash, {image.sram:,} of SRAM")
    if on.pyocd or on.openocd:
        print(f"next: thumbnet flash {parsed.out} --board {on.name}")
    return 0
