"""Pictures on disk that stand in for a camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from thumbnet.apps.camera.crop import Window
from thumbnet.codegen.errors import DataError


def pictures_of(places: Sequence[Path]) -> list[Path]:
    """The pictures among files and folders, in order. Raises DataError where there are none."""
    known = Image.registered_extensions()
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise DataError(f"{place}: there is no such file or folder")
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        found += [p for p in inside if p.suffix.lower() in known or not place.is_dir()]
    if not found:
        raise DataError(f"{places[0]}: no pictures in this folder")
    return found


def read_colours(path: Path) -> NDArray[np.uint8]:
    """RGB uint8 [h, w, 3], turned as its EXIF says. Raises DataError."""
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: cannot read this picture: {error}") from error


def centre_square(height: int, width: int) -> Window:
    """The largest square in the middle of a picture."""
    edge = min(height, width)
    return Window((height - edge) // 2, (width - edge) // 2, edge)
