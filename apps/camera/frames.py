"""Frames of a camera that were none: a picture of a face, put where the lock looks for one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbnet.apps.camera.crop import Window
from thumbnet.codegen.errors import DataError


@dataclass(frozen=True)
class Camera:
    """What a camera gives. A row in bytes: one a pixel of grey, two of RGB565, red first."""

    width: int
    height: int
    rgb565: bool

    @property
    def row_bytes(self) -> int:
        return self.width * (2 if self.rgb565 else 1)


CAMERAS = {
    "qqvga": Camera(160, 120, False),
    "qqvga-rgb565": Camera(160, 120, True),
    "qvga": Camera(320, 240, False),
    "qvga-rgb565": Camera(320, 240, True),
}
DEFAULT_CAMERA = "qqvga"


@dataclass(frozen=True)
class Pose:
    """How a face stands before the camera: moved by `down` and `right` pixels of the window's
    size over 96, `size` times as large, with `light` times the light and noise of that deviation
    in grey levels."""

    down: float = 0.0
    right: float = 0.0
    size: float = 1.0
    light: float = 1.0
    noise: float = 0.0


def camera_window(camera: Camera, side: int) -> Window:
    """Where the lock looks: a centred square of 4/5 of the frame's height, or of as many pixels as
    the network's picture has where that is more. Raises DataError where the frame is too small."""
    size = max(camera.height * 4 // 5, side)
    if size > camera.height:
        raise DataError(
            f"the network's picture has {side} rows, more than the camera's {camera.height}: take "
            "a larger --camera"
        )
    return Window((camera.height - size) // 2, (camera.width - size) // 2, size)


def camera_frame(
    picture: NDArray[np.uint8],
    face: Window,
    camera: Camera,
    window: Window,
    pose: Pose | None = None,
    random: np.random.Generator | None = None,
) -> NDArray[np.uint8]:
    """A frame, uint8 [height, row_bytes], in which the square `face` of a picture, uint8 [h, w] or
    [h, w, 3], covers the camera's `window`; beyond the picture its border goes on."""
    pose = pose or Pose()
    step = face.size / window.size / pose.size  # pixels of the picture in one of the frame
    unit = window.size / 96
    middle_y = window.top + window.size / 2 + pose.down * unit
    middle_x = window.left + window.size / 2 + pose.right * unit
    top = face.top + face.size / 2 - middle_y * step
    left = face.left + face.size / 2 - middle_x * step
    around = int(np.ceil(max(camera.width, camera.height) * step)) + 1
    edges = ((around, around), (around, around), *((0, 0),) * (picture.ndim - 2))
    padded = Image.fromarray(np.pad(picture, edges, mode="edge"))
    box = (left + around, top + around)
    whole = padded.resize(
        (camera.width, camera.height),
        Image.Resampling.BILINEAR,
        box=(*box, box[0] + camera.width * step, box[1] + camera.height * step),
    )
    seen = np.asarray(whole, np.float64) * pose.light
    if pose.noise:
        seen += (random or np.random.default_rng(0)).normal(0.0, pose.noise, seen.shape)
    return _packed(np.clip(np.rint(seen), 0, 255).astype(np.uint8), camera)


def _packed(seen: NDArray[np.uint8], camera: Camera) -> NDArray[np.uint8]:
    if not camera.rgb565:
        return seen if seen.ndim == 2 else np.asarray(Image.fromarray(seen).convert("L"))
    colours = np.stack([seen] * 3, axis=-1) if seen.ndim == 2 else seen
    red, green, blue = (colours[..., channel].astype(np.uint16) for channel in range(3))
    pixels = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
    return pixels.astype(">u2").view(np.uint8).reshape(camera.height, camera.row_bytes)
