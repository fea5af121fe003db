"""Pictures of faces in one folder per identity, and which identities are for what.

    FOLDER/<identity>/<any name>.jpg, .png, .pgm …   at least two of each, upright, one face, which
                                                     is centred and fills most of the height

A file of identities names one folder a line; what follows a # is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from thumbnet.apps.camera.crop import Window, crop_face, grey_from_rgb, resize_area
from thumbnet.codegen.errors import DataError

HELD_OUT = Path(__file__).resolve().parent / "heldout_lfw.txt"
VALIDATION = Path(__file__).resolve().parent / "validation_lfw.txt"

_LAYOUT = "expected one folder of pictures for each identity: FOLDER/IDENTITY/*.jpg"
_SALT = "thumbnet face_unlock"  # of the order in which identities are drawn
_FACE = (52, 64)  # the face's window, as a share of the height of a picture


@dataclass(frozen=True)
class Identity:
    """A person's pictures, in order of name."""

    name: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class Faces:
    """uint8 pictures [n, size, size] and the number of the identity of each, from 0, ascending."""

    pictures: NDArray[np.uint8]
    identities: NDArray[np.int64]

    @property
    def inputs(self) -> NDArray[np.int8]:
        """What the network takes, grey - 128."""
        return (self.pictures.astype(np.int16) - 128).astype(np.int8)


def read_identities(folder: Path, names: Collection[str] | None = None) -> tuple[Identity, ...]:
    """The identities of a folder, or those that are named, in order of name. Raises DataError where
    the folder is not of the layout or lacks one that is named."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    present = {p.name: p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")}
    if not present:
        raise DataError(f"{folder}: no folders in it; {_LAYOUT}")
    missing = sorted(set(names or ()) - present.keys())
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(f"{folder}: no folder of identity '{missing[0]}'{more}")
    wanted = sorted(present if names is None else names)
    return tuple(Identity(name, _pictures(present[name])) for name in wanted)


def _pictures(folder: Path) -> tuple[Path, ...]:
    known = Image.registered_extensions()
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in known)
    if not paths:
        raise DataError(f"{folder}: no pictures in it; remove the folder or fill it; {_LAYOUT}")
    return tuple(paths)


def read_names(file: Path) -> tuple[str, ...]:
    """The identities that a file names, in its order. Raises DataError where there are none or one
    is named twice."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot read this list of identities: {error}") from error
    names = [name for line in lines if (name := line.partition("#")[0].strip())]
    if not names:
        raise DataError(f"{file}: names no identity; write one folder's name a line")
    twice = sorted(name for name in set(names) if names.count(name) > 1)
    if twice:
        raise DataError(f"{file}: names '{twice[0]}' more than once")
    return tuple(names)


def drawn(
    identities: Sequence[Identity], count: int, most: int | None = None
) -> tuple[Identity, ...]:
    """`count` of those with two pictures or more, and `most` at most, drawn by a hash of their
    names, in the order drawn. Raises DataError where there are fewer."""
    fit = [i for i in identities if len(i.paths) >= 2 and (most is None or len(i.paths) <= most)]
    if len(fit) < count:
        limits = "two or more" if most is None else f"2 to {most}"
        raise DataError(
            f"{count} identities with {limits} pictures are wanted, and there are {len(fit)}"
        )
    return tuple(sorted(fit, key=lambda identity: _drawing(identity.name))[:count])


def _drawing(name: str) -> str:
    return hashlib.sha256(f"{_SALT} {name}".encode()).hexdigest()


def read_face(path: Path) -> NDArray[np.uint8]:
    """A picture in grey, uint8 [h, w]. Raises DataError."""
    return grey_from_rgb(read_colour(path))


def read_colour(path: Path) -> NDArray[np.uint8]:
    """A picture as RGB, uint8 [h, w, 3], turned as its EXIF says. Raises DataError."""
    try:
        with Image.open(path) as image:
            if image.mode in ("I", "F") or image.mode.startswith("I;"):
                raise DataError(
                    f"{path}: {image.mode} pixels have no fixed white; save it in 8 bits"
                )
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: cannot read this picture: {error}") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too large a picture: {error}") from error


def face_window(height: int, width: int) -> Window:
    """Where the face is looked for in a picture: the centred square of 52/64 of its height, or of
    its width where that is less. (LFW as 112x112: 91 pixels; ORL as 92x112: 91.)"""
    size = min(height * _FACE[0] // _FACE[1], width)
    return Window((height - size) // 2, (width - size) // 2, size)


def network_picture(picture: NDArray[np.uint8], size: int, source: Path) -> NDArray[np.uint8]:
    """The window of the face as uint8 [size, size]. Raises DataError where it is smaller."""
    window = face_window(*picture.shape)
    _check_size(window, size, picture, source)
    return (crop_face(picture, window, size).astype(np.int16) + 128).astype(np.uint8)


def picture_with_margin(
    picture: NDArray[np.uint8], size: int, margin: int, source: Path
) -> NDArray[np.uint8]:
    """The same with `margin` pixels of what is around it, uint8 [size + 2 margin]²; beyond the
    picture its border goes on."""
    window = face_window(*picture.shape)
    _check_size(window, size, picture, source)
    around = -(-window.size * margin // size)
    padded = np.pad(picture, around, mode="edge")
    side = window.size + 2 * around
    square = padded[window.top : window.top + side, window.left : window.left + side]
    return resize_area(square, size + 2 * margin)


def _check_size(window: Window, size: int, picture: NDArray[np.uint8], source: Path) -> None:
    if window.size < size:
        height, width = picture.shape
        raise DataError(
            f"{source}: {width}x{height} pixels leave a face of {window.size}; the network sees "
            f"{size}: give larger pictures"
        )


def load_faces(identities: Sequence[Identity], size: int, margin: int = 0) -> Faces:
    """All pictures of identities as the network sees them, or with a margin. Raises DataError."""
    pictures = [
        picture_with_margin(read_face(path), size, margin, path)
        if margin
        else network_picture(read_face(path), size, path)
        for identity in identities
        for path in identity.paths
    ]
    counts = [len(identity.paths) for identity in identities]
    return Faces(np.stack(pictures), np.repeat(np.arange(len(identities)), counts))
