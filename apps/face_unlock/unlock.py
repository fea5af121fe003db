"""The lock as C: put together in a folder, on this machine or for a board (firmware/unlock.h)."""

from __future__ import annotations

import shutil
import struct
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cffi
import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.face_unlock.crop import Window
from thumbnet.apps.face_unlock.frames import Camera, camera_window
from thumbnet.apps.face_unlock.match import MOST_DIMENSIONS
from thumbnet.apps.face_unlock.model_files import DECISION, NAME, read_decision
from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.errors import BudgetError, DataError, ModelFormatError, ToolError
from thumbnet.codegen.firmware import Firmware, build_firmware
from thumbnet.codegen.image import read_elf
from thumbnet.codegen.manifest import FILE_NAME, Manifest
from thumbnet.codegen.targets import Board
from thumbnet.codegen.toolchain import host_library

LINK_ROWS = 4  # rows of a frame in one call over the link
_CAMERA = "own_camera.c"  # a port's, in the folder of the application

_FIRMWARE = Path(__file__).resolve().parent / "firmware"
_DECLARATIONS = """
void unlock_embed(void *eye, const uint8_t *frames, int64_t count, int8_t *embeddings,
                  int8_t *pictures);
int64_t unlock_eye_bytes(void);
"""


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


@dataclass(frozen=True)
class Application:
    """A folder with all C of the lock for one target."""

    folder: Path
    manifest: Manifest  # of the network
    window: Window
    text: str  # of the settings, as the board tells it

    @property
    def dimensions(self) -> int:
        return self.manifest.outputs[0].bytes

    @property
    def side(self) -> int:
        """Pixels of a side of the network's picture."""
        return self.manifest.inputs[0].shape[1]

    @property
    def zero_point(self) -> int:
        """Of the embedding."""
        return self.manifest.outputs[0].zero_point


def application(
    lock: Lock, target: str, work_dir: Path | None = None, driver: Path | None = None
) -> Application:
    """Raises ModelFormatError where the network is no embedding of a picture, and other
    ThumbnetErrors."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "c"
        options = Options(target, name=NAME, input="rows")
        manifest = compile_model(lock.network, folder, options).manifest
        side = _side(manifest, lock.network)
        window = camera_window(lock.camera, side)
        text = _settings_text(lock, window)
        for source in _FIRMWARE.glob("*.[ch]"):
            (folder / source.name).write_bytes(source.read_bytes())
        if driver is not None:
            try:
                (folder / _CAMERA).write_bytes(driver.read_bytes())
            except OSError as error:
                raise DataError(f"cannot read {driver}: {error.strerror}") from error
        header = _settings_header(lock, window, text)
        (folder / "face_settings.h").write_text(header, encoding="utf-8")
        built = replace(manifest, sources=(f"{NAME}.c", "host.c"))
        (folder / FILE_NAME).write_text(built.to_json(), encoding="utf-8")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [str(path.relative_to(folder)) for path in files]
        place = cached(work_dir, "unlock", (*names, *files), lambda into: _copy(folder, into))
        return Application(place, built, window, text)


def _copy(folder: Path, place: Path) -> None:
    shutil.copytree(folder, place, dirs_exist_ok=True)


def _side(manifest: Manifest, network: Path) -> int:
    """Of a picture whose int8 values are grey - 128, whatever its scale. Raises
    ModelFormatError."""
    source, result = manifest.inputs[0], manifest.outputs[0]
    shape = source.shape
    fits = (
        len(manifest.inputs) == len(manifest.outputs) == 1
        and source.dtype == result.dtype == "int8"
        and len(shape) == 4
        and shape == (1, shape[1], shape[1], shape[3])
        and shape[3] in (1, 3)
        and result.bytes <= MOST_DIMENSIONS
    )
    if not fits:
        raise ModelFormatError(
            f"{network}: it takes {source.dtype} {list(shape)} and gives {result.dtype} "
            f"{list(result.shape)}; a lock needs one int8 picture [1, size, size, 1 or 3] and one "
            f"int8 vector of at most {MOST_DIMENSIONS}"
        )
    return shape[1]


def _settings_text(lock: Lock, window: Window) -> str:
    """Short: the board's greeting has room for 60 letters with what stands before it."""
    camera, form = lock.camera, "rgb565" if lock.camera.rgb565 else "grey"
    where = f"{window.size}@{window.top},{window.left}"
    return f"{camera.width}x{camera.height} {form}, {where}, >={lock.threshold}"


def _settings_header(lock: Lock, window: Window, text: str) -> str:
    return f"""/* face_settings.h: written by apps/face_unlock/unlock.py. */
#ifndef FACE_SETTINGS_H
#define FACE_SETTINGS_H

#define TN_FRAME_WIDTH {lock.camera.width}
#define TN_FRAME_HEIGHT {lock.camera.height}
#define TN_FRAME_RGB565 {int(lock.camera.rgb565)}
#define TN_WINDOW_TOP {window.top}
#define TN_WINDOW_LEFT {window.left}
#define TN_WINDOW_SIZE {window.size}
#define TN_FACE_THRESHOLD {lock.threshold} /* a cosine in Q15 */
#define TN_LINK_ROWS {LINK_ROWS}
#define TN_FACE_SETTINGS_TEXT "{text}"

#endif
"""


def firmware(
    lock: Lock, board: Board, driver: Path | None = None, work_dir: Path | None = None
) -> Firmware:
    """The lock linked for a board: at the end of a serial link (linked.c), or by itself (main.c)
    where `driver`, a C file, gives what firmware/camera.h asks for. Raises ThumbnetError."""
    built = application(lock, board.target.name, work_dir, driver)
    main = ("linked.c",) if driver is None else ("main.c", _CAMERA)
    image = build_firmware(
        built.folder,
        (f"{NAME}.c", "face_match.c", "template_store.c", "lock.c", *main),
        board,
        built.manifest.optimize,
        work_dir,
        linked=driver is None,
        stores=True,
    )
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


class HostEye:
    """Frames to embeddings on this machine, with the firmware's C. Raises ThumbnetError where it
    cannot be built."""

    def __init__(self, lock: Lock, work_dir: Path | None = None) -> None:
        self.lock = lock
        self.application = application(lock, "host", work_dir)
        self._ffi = cffi.FFI()
        self._ffi.cdef(_DECLARATIONS)
        library = host_library(self.application.folder, work_dir)
        try:
            self._library = self._ffi.dlopen(str(library))
        except OSError as error:
            raise ToolError(f"cannot load {library}: {error}") from error

    def embed(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Of frames [n, height, row bytes]: what the network says, int8 [n, dimensions], and what
        it saw, int8 [n, side, side, channels]."""
        camera, built = self.lock.camera, self.application
        if frames.shape[1:] != (camera.height, camera.row_bytes) or frames.dtype != np.uint8:
            raise DataError(
                f"frames are uint8 [n, {camera.height}, {camera.row_bytes}], not {frames.dtype} "
                f"{list(frames.shape)}"
            )
        given = np.ascontiguousarray(frames)
        said = np.empty((len(given), built.dimensions), np.int8)
        seen = np.empty((len(given), *built.manifest.inputs[0].shape[1:]), np.int8)
        memory = self._ffi.new("uint64_t[]", self._library.unlock_eye_bytes() // 8 + 2)
        aligned = (int(self._ffi.cast("uintptr_t", memory)) + 15) // 16 * 16
        self._library.unlock_embed(
            self._ffi.cast("void *", aligned),
            self._ffi.from_buffer("uint8_t[]", given),
            len(given),
            self._ffi.from_buffer("int8_t[]", said),
            self._ffi.from_buffer("int8_t[]", seen),
        )
        return said, seen

    def vectors(self, frames: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Embeddings [n, dimensions] without their zero point: what is matched."""
        return self.embed(frames)[0].astype(np.int32) - self.application.zero_point
