"""From a camera's frame to the network's picture: grey, cropped, resized, all in integers.

This is the reference that `crop.h` equals byte for byte; training and evaluation of the face lock
see faces through it as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# BT.601 luma in 1/256.
LUMA_RED, LUMA_GREEN, LUMA_BLUE = 77, 150, 29


@dataclass(frozen=True)
class Window:
    """A square of a frame, in pixels."""

    top: int
    left: int
    size: int


def grey_from_rgb(picture: np.ndarray) -> np.ndarray:
    """Luma of a uint8 picture [..., 3], as uint8 [...]."""
    red, green, blue = (picture[..., channel].astype(np.uint32) for channel in range(3))
    luma = LUMA_RED * red + LUMA_GREEN * green + LUMA_BLUE * blue
    return ((luma + 128) >> 8).astype(np.uint8)


def grey_from_rgb565(pixels: np.ndarray) -> np.ndarray:
    """Luma of uint16 RGB565 pixels (red in the high bits); the high bits fill the low ones."""
    red, green, blue = pixels >> 11, (pixels >> 5) & 0x3F, pixels & 0x1F
    channels = [red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2]
    return grey_from_rgb(np.stack(channels, axis=-1).astype(np.uint8))


def resize_area(square: np.ndarray, size: int) -> np.ndarray:
    """A uint8 picture [n, n] as uint8 [size, size], size <= n: means over areas, rounded half up.

    In units of 1/size of a pixel, output pixel j covers [j*n, (j+1)*n) and input pixel i covers
    [i*size, (i+1)*size); the weight of i in j is the length that they share. The weights of
    an output pixel sum to n along each axis, so the sums below are exact in uint32 up to
    n = 4096.
    """
    across = _shared_lengths(square.shape[0], size)
    area = square.shape[0] ** 2
    sums = across @ square.astype(np.uint32) @ across.T
    return ((sums + area // 2) // area).astype(np.uint8)


def crop_face(frame: np.ndarray, window: Window, size: int) -> np.ndarray:
    """The network's picture int8 [size, size] (grey - 128) from a grey uint8 frame [h, w]."""
    bottom, right = window.top + window.size, window.left + window.size
    square = frame[window.top : bottom, window.left : right]
    if square.shape != (window.size, window.size):
        raise ValueError(f"{window} is not inside a frame of shape {frame.shape}")
    return (resize_area(square, size).astype(np.int16) - 128).astype(np.int8)


def _shared_lengths(n: int, size: int) -> np.ndarray:
    """Weights uint32 [size, n] of input pixels in output pixels."""
    if not 0 < size <= n:
        raise ValueError(f"a square of {n} pixels cannot become {size}: only shrinking is done")
    starts_in, starts_out = np.arange(n) * size, np.arange(size) * n
    upper = np.minimum(starts_out[:, None] + n, starts_in[None] + size)
    lower = np.maximum(starts_out[:, None], starts_in[None])
    return np.clip(upper - lower, 0, None).astype(np.uint32)
