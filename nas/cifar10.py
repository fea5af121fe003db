"""CIFAR-10 (Krizhevsky, 2009) as it is distributed: pickles (`cifar-10-batches-py`) or plain bytes
(`cifar-10-batches-bin`), or as an image folder.

The pickles are read without running anything that they name: the three NumPy names of an array are
replaced by stand-ins that keep its bytes, and every other name is refused.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbnet.codegen.errors import DataError
from thumbnet.nas.image_source import ImageSource, image_folder
from thumbnet.nas.splitting import hold_out

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SIZE = 32  # pixels, each way
HELD_OUT = 5000

_PIXELS = 3 * SIZE * SIZE  # a plane each of red, green, blue
_PICKLES, _BYTES = "cifar-10-batches-py", "cifar-10-batches-bin"

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]  # [N, _PIXELS], [N]


def cifar10(folder: Path, *, held_out: float = HELD_OUT, seed: int = 0) -> ImageSource:
    """The images of a folder that holds train/ and test/ with a folder for each class, or that is
    or holds one of the two distributions. `held_out` of the training images are for validation.
    Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    for inside in (folder, folder / _PICKLES, folder / _BYTES):
        if (inside / "test_batch").is_file():
            return _source(inside, "", _pickled_batch, held_out, seed)
        if (inside / "test_batch.bin").is_file():
            return _source(inside, ".bin", _plain_batch, held_out, seed)
    if not (folder / "train").is_dir():
        raise DataError(
            f"{folder}: no CIFAR-10: expected test_batch, test_batch.bin, {_PICKLES}, {_BYTES}, or "
            "folders train and test"
        )
    return image_folder(folder, held_out=held_out, seed=seed)


def _source(
    folder: Path, suffix: str, read: Callable[[Path], Batch], held_out: float, seed: int
) -> ImageSource:
    files = [folder / f"data_batch_{i}{suffix}" for i in range(1, 6)]
    files.append(folder / f"test_batch{suffix}")
    batches = []
    for path in files:
        try:
            images, labels = read(path)
        except (OSError, MemoryError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not enough memory"
            raise DataError(f"{path}: cannot be read: {reason}") from error
        if not 0 <= labels.min() <= labels.max() < len(CLASSES):
            raise DataError(f"{path}: a label beyond the ten classes; get the file anew")
        batches.append((images, labels))
    images = np.concatenate([each for each, _ in batches])
    labels = np.concatenate([each for _, each in batches])
    tests = len(batches[-1][1])
    kept, out = hold_out(labels[:-tests], CLASSES, None, held_out, seed, str(folder))
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16]
    return ImageSource(
        name="cifar10",
        classes=CLASSES,
        labels=labels,
        train=kept,
        validation=out,
        test=np.arange(len(labels) - tests, len(labels)),
        open=Planes(images),
        names=tuple(
            f"{path}, image {i}"
            for path, (images, _) in zip(files, batches, strict=True)
            for i in range(len(images))
        ),
        digest=digest,
        stamp=digest,
    )


@dataclass(frozen=True, eq=False)
class Planes:
    """The i-th image of uint8 [N, _PIXELS]."""

    images: NDArray[np.uint8]

    def __call__(self, index: int) -> Image.Image:
        planes = self.images[index].reshape(3, SIZE, SIZE)
        return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _plain_batch(path: Path) -> Batch:
    """Records of a label and three planes."""
    data = np.fromfile(path, np.uint8)
    if not len(data) or len(data) % (1 + _PIXELS):
        raise DataError(
            f"{path}: {len(data)} bytes are no whole number of CIFAR-10 records of {1 + _PIXELS}; "
            "get the file anew"
        )
    records = data.reshape(-1, 1 + _PIXELS)
    return records[:, 1:], records[:, 0].astype(np.int64)


# ---- pickles -----------------------------------------------------------------------------------


def _pickled_batch(path: Path) -> Batch:
    """A dict of `data`, an array uint8 [N, _PIXELS], and `labels`, a list."""
    try:
        found = _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        named = {k.decode() if isinstance(k, bytes) else k: v for k, v in found.items()}
        images = named["data"].array()
        labels = np.array(named["labels"], np.int64)
    except OSError:
        raise
    except Exception as error:  # a broken pickle may raise anything
        raise DataError(f"{path}: no batch of CIFAR-10: {error!r}; get the file anew") from error
    if not labels.size or labels.ndim != 1 or images.shape != (labels.size, _PIXELS):
        raise DataError(
            f"{path}: images {list(images.shape)} for {labels.size} labels, expected "
            f"{[labels.size, _PIXELS]}; get the file anew"
        )
    return images, labels


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image needs")
        return _STAND_INS[module, name]


class _Array:
    """What a pickled NumPy array says of itself."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> NDArray[np.uint8]:
        """Raises ValueError where it is no plain array of bytes."""
        _, shape, kind, by_columns, data = self.state
        if not isinstance(kind, _Type) or kind.code not in ("u1", b"u1") or by_columns:
            raise ValueError("its images are no rows of bytes")
        return np.frombuffer(data, np.uint8).reshape(tuple(map(int, shape)))


class _Type:
    """A pickled dtype."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass  # byte order and alignment, which bytes have none of


def _encoded(text: str, *_: object) -> bytes:
    """How Python 3 writes bytes in the old protocols."""
    return text.encode("latin-1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
}
