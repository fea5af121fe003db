"""The lock as C: put together in a folder, on this machine or for a board (firmware/unlock.h)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.camera.eye import Eye, HostEye, make_eye
from thumbnet.apps.camera.frames import Camera
from thumbnet.apps.face_unlock.match import MOST_DIMENSIONS
from thumbnet.apps.face_unlock.model_files import DECISION, NAME, read_decision
from thumbnet.codegen.errors import BudgetError, DataError, ModelFormatError
from thumbnet.codegen.firmware import Firmware
from thumbnet.codegen.image import read_elf
from thumbnet.codegen.targets import Board

_FIRMWARE = Path(__file__).resolve().parent / "firmware"
_SOURCES = ("face_match.c", "template_store.c", "lock.c")


@dataclass(frozen=True)
class Lock:
    """What a lock is built of: the int8 network, the camera, and the threshold, a cosine in Q15."""

    network: Path
    camera: Camera
    threshold: int


def read_lock(model: Path, camera: Camera, threshold: float | None = None) -> Lock:
    """`model` is a folder with face.tflite and decision.json, or a .tflite file, which needs a
    `threshold`, a cosine. Raises ModelFormatError, DataError."""
    network = model / f"{NAME}.tflite" if model.is_dir() else model
    if not network.is_file():
        raise ModelFormatError(f"{network}: there is no network; give a folder or a .tflite file")
    if threshold is None:
        if not (network.parent / DECISION).is_file():
            raise DataError(f"{model}: no {DECISION} beside it; give a --threshold")
        return Lock(network, camera, read_decision(network.parent).threshold)
    if not 0 < threshold <= 1:
        raise DataError(f"a threshold is a cosine above 0 and at most 1, not {threshold:g}")
    return Lock(network, camera, round(threshold * (1 << 15)))


def lock_eye(
    lock: Lock, target: str, work_dir: Path | None = None, driver: Path | None = None
) -> Eye:
    """All C of the lock for a target. Raises ModelFormatError where the network is no embedding of
    a picture, and other ThumbnetErrors."""
    settings = f"""/* face_settings.h: written by apps/face_unlock/unlock.py. */
#define TN_FACE_THRESHOLD {lock.threshold} /* a cosine in Q15 */
"""
    sources = sorted(_FIRMWARE.glob("*.[ch]"))
    eye = make_eye(
        lock.network, NAME, lock.camera, sources, target, work_dir,
        driver=driver, settings={"face_settings.h": settings},
    )  # fmt: skip
    if eye.outputs > MOST_DIMENSIONS:
        raise ModelFormatError(
            f"{lock.network}: a vector of {eye.outputs}; a lock takes at most {MOST_DIMENSIONS}"
        )
    return eye


def firmware(
    lock: Lock, board: Board, driver: Path | None = None, work_dir: Path | None = None
) -> Firmware:
    """The lock linked for a board: at the end of a serial link (linked.c), or by itself (main.c)
    where `driver`, a C file, gives what camera.h asks for. Raises ThumbnetError."""
    eye = lock_eye(lock, board.target.name, work_dir, driver)
    image = eye.build(_SOURCES, board, work_dir, stores=True)
    kept = stored_bytes(image)
    if image.flash + kept > board.flash:
        raise BudgetError(
            f"firmware for {board.name}: {image.flash:,} bytes of image and {kept:,} for "
            f"templates do not fit its {board.flash:,} bytes of flash: take a smaller network"
        )
    return image


def stored_bytes(image: Firmware) -> int:
    """Of the pages at the end of the flash that are the templates': what the port says there
    (tn_flash of ports/flash.h)."""
    at = read_elf(image.elf).symbols["tn_flash"] - image.base
    page_bytes, pages = struct.unpack_from("<II", image.binary.read_bytes(), at)
    return int(page_bytes * pages)


class HostLock:
    """Frames to embeddings on this machine, with the firmware's C. Raises ThumbnetError where it
    cannot be built."""

    def __init__(self, lock: Lock, work_dir: Path | None = None) -> None:
        self.lock = lock
        self.eye = lock_eye(lock, "host", work_dir)
        self._host = HostEye(self.eye, work_dir)

    def embed(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Of frames [n, height, row bytes]: embeddings int8 [n, dimensions], and what the network
        saw, int8 [n, side, side, channels]."""
        return self._host.look(frames)

    def vectors(self, frames: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Embeddings [n, dimensions] without their zero point: what is matched."""
        return self.embed(frames)[0].astype(np.int32) - self.eye.manifest.outputs[0].zero_point
