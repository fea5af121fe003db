"""Images as a task: read at one resolution, kept in memory where they are few, cached on disk."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from thumbnet.codegen.errors import DataError
from thumbnet.codegen.files import replacing
from thumbnet.nas.augmentation import default_augmentation
from thumbnet.nas.image_source import ImageSource
from thumbnet.nas.progress import Progress, duration
from thumbnet.nas.task import (
    MEMORY_LIMIT,
    PIXEL_SCALE,
    PIXEL_ZERO_POINT,
    Augment,
    Split,
    Stored,
    Task,
    augment_name,
    read_all,
    to_int8,
)

FILTER = Image.Resampling.BILINEAR  # Pillow's, which covers all pixels that fall into one
KEPT = 2048  # training images that are in memory when not all are; they calibrate again and again

_MODES = {1: "L", 3: "RGB"}
_EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_UNREADABLE = -1  # as a label
_SILENCE = 5.0  # s between two lines about reading
_FORMAT = "images-1"  # of cache files and of how pixels are made


def image_task(
    source: ImageSource,
    size: int | tuple[int, int],
    *,
    channels: int = 3,
    augment: Augment | None = None,
    cache: Path | None = None,
    skip_unreadable: bool = False,
    workers: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: Progress | None = None,
) -> Task:
    """The images of a source at `size` (height, width) pixels: `decoded`, in RGB or, with 1 for
    `channels`, grey. The default augmentation is `augmentation.default_augmentation`.

    Up to `memory_limit` bytes, all are read now, by `workers` processes (default: one a core, eight
    at most), and written into the folder `cache`, which is asked first the next time. Beyond, the
    first 2048 for training and the images for validation are; the others are read in each epoch.
    An image that cannot be read is refused or, with `skip_unreadable`, left out and named to
    `progress`. Raises DataError, and ToolError where the cache cannot be written.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1 or channels not in _MODES:
        raise DataError(
            f"task '{source.name}': images of {height}x{width} pixels and {channels} channels; "
            "give sizes above 0, and 1 channel (grey) or 3 (RGB)"
        )
    reader = _Reader(
        source,
        (height, width, channels),
        skip_unreadable,
        min(8, len(os.sched_getaffinity(0))) if workers is None else workers,
        cache,
        progress or (lambda line: None),
    )
    rows = {"train": source.train, "validation": source.validation, "test": source.test}
    everything = np.arange(len(source.labels))
    datasets: dict[str, Dataset] = {}
    if reader.bytes_of(everything) <= memory_limit:
        stored = reader.stored(everything)
        rows = reader.readable(rows, stored.labels.numpy())
        datasets = {part: Stored(stored.inputs, stored.labels, of) for part, of in rows.items()}
    else:
        if skip_unreadable:
            rows = reader.readable(rows, reader.labels())
        datasets = {part: Decoded(source, of, reader.shape) for part, of in rows.items()}
        head = rows["train"][:KEPT]
        datasets["train"] = Headed(reader.stored(head), datasets["train"])
        if reader.bytes_of(rows["validation"]) <= memory_limit:
            datasets["validation"] = reader.stored(rows["validation"])
    splits = {
        part: Split(dataset, PIXEL_SCALE, PIXEL_ZERO_POINT, reader.workers)
        for part, dataset in datasets.items()
    }
    augment = default_augmentation(height, width) if augment is None else augment
    facts = (_FORMAT, source.digest, source.classes, reader.shape, augment_name(augment))
    key = hashlib.sha256(repr(facts).encode())
    for part in sorted(rows):
        key.update(rows[part].astype(np.int64).tobytes())
    return Task(
        source.name,
        source.classes,
        reader.shape,
        PIXEL_SCALE,
        PIXEL_ZERO_POINT,
        splits["train"],
        splits["validation"],
        splits["test"],
        augment,
        key.hexdigest()[:16],
    )


def decoded(source: ImageSource, index: int, shape: tuple[int, int, int]) -> Tensor:
    """uint8 [C, H, W] of an image, for a shape (H, W, C): turned as its EXIF data say, the largest
    part of H to W in its middle, resized by FILTER (so: the shorter side resized, the longer one
    cut). JPEGs of more than twice the size are decoded at half, a quarter or an eighth. Raises
    DataError."""
    height, width, channels = shape
    try:
        with source.open(index) as image:
            if image.mode not in _EIGHT_BITS:
                raise DataError(
                    f"{source.names[index]}: pixels of more than 8 bits (mode {image.mode}); "
                    "convert it to 8 bits"
                )
            longest = 2 * max(height, width)
            image.draft(image.mode, (longest, longest))
            ImageOps.exif_transpose(image, in_place=True)
            fitted = ImageOps.fit(image.convert(_MODES[channels]), (width, height), FILTER)
    except DataError:
        raise
    except Exception as error:  # Pillow raises anything on broken files
        raise DataError(
            f"{source.names[index]}: cannot be read as an image: {error or type(error).__name__}; "
            "replace or remove it, or leave out images that cannot be read"
        ) from error
    pixels = np.array(fitted).reshape(height, width, channels)
    return torch.from_numpy(pixels.transpose(2, 0, 1))


class Decoded(Dataset):  # type: ignore[misc]  # torch is not followed
    """(int8 [C, H, W], label) of the chosen `rows` of a source, read from disk each time. With
    `skip`, an image that cannot be read is all 0, with label -1."""

    def __init__(
        self,
        source: ImageSource,
        rows: NDArray[np.int64],
        shape: tuple[int, int, int],
        skip: bool = False,
    ) -> None:
        self.source, self.rows, self.shape, self.skip = source, rows, shape, skip

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        row = int(self.rows[index])
        try:
            pixels = decoded(self.source, row, self.shape)
        except DataError:
            if not self.skip:
                raise
            height, width, channels = self.shape
            return torch.zeros((channels, height, width), dtype=torch.int8), _UNREADABLE
        return to_int8(pixels, PIXEL_SCALE, PIXEL_ZERO_POINT), int(self.source.labels[row])


class Headed(Dataset):  # type: ignore[misc]
    """The items of `rest`, the first of which are also in memory."""

    def __init__(self, head: Stored, rest: Dataset) -> None:
        self.head, self.rest = head, rest

    def __len__(self) -> int:
        return len(self.rest)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.head[index] if index < len(self.head) else self.rest[index]


# ---- reading many ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Reader:
    source: ImageSource
    shape: tuple[int, int, int]
    skip: bool
    workers: int
    cache: Path | None
    progress: Progress

    def bytes_of(self, rows: NDArray[np.int64]) -> int:
        return len(rows) * int(np.prod(self.shape))

    def stored(self, rows: NDArray[np.int64]) -> Stored:
        """These images, from the cache, or from disk and into the cache."""
        path = self._cache_file("pixels", rows)
        found = self._cached(path, rows, "inputs", "labels")
        if found is not None:
            return Stored(torch.from_numpy(found["inputs"]), torch.from_numpy(found["labels"]))
        read = self._read(rows)
        _write(path, inputs=read.inputs.numpy(), labels=read.labels.numpy())
        return read

    def labels(self) -> NDArray[np.int64]:
        """Of all images, -1 where one cannot be read: known to the cache, or all are read."""
        rows = np.arange(len(self.source.labels))
        path = self._cache_file("labels", rows)
        found = self._cached(path, rows, "labels")
        if found is not None:
            return found["labels"]
        blocks = [self._read(rows[at : at + KEPT]).labels for at in range(0, len(rows), KEPT)]
        labels: NDArray[np.int64] = torch.cat(blocks).numpy()
        _write(path, labels=labels)
        return labels

    def readable(
        self, parts: dict[str, NDArray[np.int64]], labels: NDArray[np.int64]
    ) -> dict[str, NDArray[np.int64]]:
        """The rows of each part whose label is not -1. Raises DataError where too few are left."""
        bad = np.flatnonzero(labels == _UNREADABLE)
        if not len(bad):
            return parts
        shown = ", ".join(self.source.names[i] for i in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        self.progress(f"{self.source.name}: left out, cannot be read: {shown}{more}")
        left = {part: rows[labels[rows] != _UNREADABLE] for part, rows in parts.items()}
        for part, rows in left.items():
            for lost in np.setdiff1d(self.source.labels[parts[part]], self.source.labels[rows]):
                raise DataError(
                    f"task '{self.source.name}': no image of class '{self.source.classes[lost]}' "
                    f"for {part} can be read: {shown}{more}"
                )
        return left

    def _read(self, rows: NDArray[np.int64]) -> Stored:
        began = said = time.monotonic()

        def tell(done: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said > _SILENCE and done < len(rows):
                said = now
                left = duration((now - began) / done * (len(rows) - done))
                self.progress(f"{self.source.name}: {done} of {len(rows)} images read, {left} left")

        dataset = Decoded(self.source, rows, self.shape, self.skip)
        return read_all(Split(dataset, workers=self.workers), self.shape, tell)

    def _cache_file(self, kind: str, rows: NDArray[np.int64]) -> Path | None:
        if self.cache is None:
            return None
        key = hashlib.sha256(repr((_FORMAT, kind, self.source.stamp, self.shape)).encode())
        key.update(rows.astype(np.int64).tobytes())
        return self.cache / f"{kind}-{key.hexdigest()[:24]}.npz"

    def _cached(
        self, path: Path | None, rows: NDArray[np.int64], *names: str
    ) -> dict[str, NDArray[Any]] | None:
        """What a cache file holds, if it is whole and of these images."""
        if path is None:
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in names}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, MemoryError, BadZipFile) as error:
            self.progress(f"{path}: is damaged and made anew: {error}")
            return None
        labels = found["labels"]
        inputs = (len(rows), self.shape[2], *self.shape[:2])
        if labels.shape != rows.shape or ("inputs" in found and found["inputs"].shape != inputs):
            return None
        bad = rows[labels == _UNREADABLE]
        if len(bad) and not self.skip:
            decoded(self.source, int(bad[0]), self.shape)  # says why, or is readable by now
            return None
        return found


def _write(path: Path | None, **arrays: NDArray[Any]) -> None:
    """A .npz file. Raises ToolError."""
    if path is not None:
        with replacing(path) as partial:
            np.savez(partial, **arrays)  # type: ignore[arg-type]
