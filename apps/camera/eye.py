"""A camera and a network as C, put together in a folder: on this machine, or for a board.

`eye.h` is the same C in both; an application adds its own (`face_unlock`, `person`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cffi
import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.camera.crop import Window
from thumbnet.apps.camera.frames import Camera, camera_window
from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.errors import DataError, ModelFormatError, ToolError
from thumbnet.codegen.firmware import Firmware, build_firmware
from thumbnet.codegen.manifest import FILE_NAME, Manifest
from thumbnet.codegen.targets import Board
from thumbnet.codegen.toolchain import host_library

LINK_ROWS = 4  # rows of a frame in one call over the link

_HERE = Path(__file__).resolve().parent
_DRIVER = "own_camera.c"  # a port's, in the folder of an application
_DECLARATIONS = """
void eye_look(void *eye, const uint8_t *frames, int64_t count, int8_t *outputs, int8_t *pictures);
int64_t eye_bytes(void);
"""


@dataclass(frozen=True)
class Eye:
    """A folder with all C of an application for one target."""

    folder: Path
    manifest: Manifest  # of the network
    camera: Camera
    window: Window

    @property
    def side(self) -> int:
        """Pixels of a side of the network's picture."""
        return self.manifest.inputs[0].shape[1]

    @property
    def outputs(self) -> int:
        return self.manifest.outputs[0].bytes

    @property
    def text(self) -> str:
        """Camera and window, as a board tells them."""
        return _text(self.camera, self.window)

    def build(
        self, sources: Sequence[str], board: Board, work_dir: Path | None, *, stores: bool = False
    ) -> Firmware:
        """The application's `sources` and the network, linked for a board: by itself where a driver
        of a camera came with it, else at the end of a serial link. `stores`: it keeps data in
        flash. Raises ThumbnetError."""
        own = (self.folder / _DRIVER).is_file()
        main = ("main.c", _DRIVER) if own else ("linked.c",)
        return build_firmware(
            self.folder, (f"{self.manifest.name}.c", *sources, *main), board,
            self.manifest.optimize, work_dir, linked=not own, stores=stores,
        )  # fmt: skip


def make_eye(
    network: Path,
    name: str,
    camera: Camera,
    sources: Sequence[Path],
    target: str,
    work_dir: Path | None = None,
    *,
    driver: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> Eye:
    """The network, called `name`, with camera and application: `sources` are the application's C,
    `settings` headers that are written for it, `driver` a C file that gives what camera.h asks for.
    Raises ModelFormatError where the network takes no picture, and other ThumbnetErrors."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "c"
        options = Options(target, name=name, input="rows")
        manifest = compile_model(network, folder, options).manifest
        check_network(manifest, network)
        window = camera_window(camera, manifest.inputs[0].shape[1])
        for source in (*_HERE.glob("*.[ch]"), *sources):
            (folder / source.name).write_bytes(source.read_bytes())
        for header, text in (settings or {}).items():
            (folder / header).write_text(text, encoding="utf-8")
        (folder / "eye_settings.h").write_text(_settings(name, camera, window), encoding="utf-8")
        if driver is not None:
            try:
                (folder / _DRIVER).write_bytes(driver.read_bytes())
            except OSError as error:
                raise DataError(f"cannot read {driver}: {error.strerror}") from error
        manifest = replace(manifest, sources=(f"{name}.c", "host.c"))
        (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [str(path.relative_to(folder)) for path in files]
        place = cached(work_dir, name, (*names, *files), lambda into: _copy(folder, into))
        return Eye(place, manifest, camera, window)


def _copy(folder: Path, place: Path) -> None:
    shutil.copytree(folder, place, dirs_exist_ok=True)


def check_network(manifest: Manifest, network: Path) -> None:
    """Raises ModelFormatError where a network does not take one square int8 picture, whose values
    are grey - 128 whatever their scale, and give one int8 vector."""
    source, result = manifest.inputs[0], manifest.outputs[0]
    shape = source.shape
    if not (
        len(manifest.inputs) == len(manifest.outputs) == 1
        and source.dtype == result.dtype == "int8"
        and len(shape) == 4
        and shape == (1, shape[1], shape[1], shape[3])
        and shape[3] in (1, 3)
    ):
        raise ModelFormatError(
            f"{network}: it takes {source.dtype} {list(shape)} and gives {result.dtype} "
            f"{list(result.shape)}; a camera gives one int8 picture [1, size, size, 1 or 3], and "
            "one int8 vector is asked for"
        )


def _text(camera: Camera, window: Window) -> str:
    """Short: a board's greeting has room for 60 letters with what stands around it."""
    form = "rgb565" if camera.rgb565 else "grey"
    where = f"{window.size}@{window.top},{window.left}"
    return f"{camera.width}x{camera.height} {form}, {where}"


def _settings(name: str, camera: Camera, window: Window) -> str:
    return f"""/* eye_settings.h: written by apps/camera/eye.py. */
#ifndef EYE_SETTINGS_H
#define EYE_SETTINGS_H

#include "{name}.h"

#define NETWORK(function) {name}_##function
#define NETWORK_IS(constant) {name.upper()}_##constant

#define TN_FRAME_WIDTH {camera.width}
#define TN_FRAME_HEIGHT {camera.height}
#define TN_FRAME_RGB565 {int(camera.rgb565)}
#define TN_WINDOW_TOP {window.top}
#define TN_WINDOW_LEFT {window.left}
#define TN_WINDOW_SIZE {window.size}
#define TN_LINK_ROWS {LINK_ROWS}
#define TN_EYE_TEXT "{_text(camera, window)}"

#endif
"""


class HostEye:
    """Frames to a network's outputs on this machine, with the firmware's C. Raises ToolError where
    it cannot be built."""

    def __init__(self, eye: Eye, work_dir: Path | None = None) -> None:
        self.eye = eye
        self._ffi = cffi.FFI()
        self._ffi.cdef(_DECLARATIONS)
        library = host_library(eye.folder, work_dir)
        try:
            self._library = self._ffi.dlopen(str(library))
        except OSError as error:
            raise ToolError(f"cannot load {library}: {error}") from error

    def look(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Of frames [n, height, row bytes]: what the network says, int8 [n, outputs], and what it
        saw, int8 [n, side, side, channels]."""
        camera = self.eye.camera
        if frames.shape[1:] != (camera.height, camera.row_bytes) or frames.dtype != np.uint8:
            raise DataError(
                f"frames are uint8 [n, {camera.height}, {camera.row_bytes}], not {frames.dtype} "
                f"{list(frames.shape)}"
            )
        given = np.ascontiguousarray(frames)
        said = np.empty((len(given), self.eye.outputs), np.int8)
        seen = np.empty((len(given), *self.eye.manifest.inputs[0].shape[1:]), np.int8)
        memory = self._ffi.new("uint64_t[]", self._library.eye_bytes() // 8 + 2)
        aligned = (int(self._ffi.cast("uintptr_t", memory)) + 15) // 16 * 16
        self._library.eye_look(
            self._ffi.cast("void *", aligned),
            self._ffi.from_buffer("uint8_t[]", given),
            len(given),
            self._ffi.from_buffer("int8_t[]", said),
            self._ffi.from_buffer("int8_t[]", seen),
        )
        return said, seen
