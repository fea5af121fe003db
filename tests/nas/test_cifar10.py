"""CIFAR-10 in the three forms, and what only looks like it."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("PIL", reason="needs Pillow")

from image_files import PARTS, fill, split_of

from thumbnet.codegen.errors import DataError
from thumbnet.nas.cifar10 import CLASSES, cifar10
from thumbnet.nas.image_source import ImageSource
from thumbnet.nas.image_task import image_task
from thumbnet.nas.task import int8_inputs

COUNT = 20  # images of a batch


def cifar_batches() -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    rng = np.random.default_rng(0)
    return [
        (rng.integers(0, 256, (COUNT, 3072), np.uint8), rng.permutation(np.arange(COUNT) % 10))
        for _ in range(6)
    ]


def cifar_names(suffix: str = "") -> list[str]:
    return [*(f"data_batch_{i}{suffix}" for i in range(1, 6)), f"test_batch{suffix}"]


def write_bytes_form(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, (images, labels) in zip(cifar_names(".bin"), cifar_batches(), strict=True):
        rows = np.concatenate((labels[:, None].astype(np.uint8), images), axis=1)
        (folder / name).write_bytes(rows.tobytes())
    return folder


def python_2_pickle(images: np.ndarray[Any, Any], labels: Sequence[int]) -> bytes:
    """As Python 2 wrote the distribution: strings of bytes, protocol 2."""

    def text(value: bytes) -> bytes:
        return pickle.SHORT_BINSTRING + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return pickle.BININT + struct.pack("<i", value)

    def name(of: str, what: str) -> bytes:
        return pickle.GLOBAL + f"{of}\n{what}\n".encode()

    array = (
        name("numpy.core.multiarray", "_reconstruct")
        + name("numpy", "ndarray") + number(0) + pickle.TUPLE1 + text(b"b") + pickle.TUPLE3
        + pickle.REDUCE + pickle.MARK + number(1)
        + number(images.shape[0]) + number(images.shape[1]) + pickle.TUPLE2
        + name("numpy", "dtype") + text(b"u1") + number(0) + number(1) + pickle.TUPLE3
        + pickle.REDUCE
        + pickle.MARK + number(3) + text(b"|") + 3 * pickle.NONE + 2 * number(-1) + number(0)
        + pickle.TUPLE + pickle.BUILD
        + pickle.NEWFALSE
        + pickle.BINSTRING + struct.pack("<i", images.size) + images.tobytes()
        + pickle.TUPLE + pickle.BUILD
    )  # fmt: skip
    listed = pickle.EMPTY_LIST + pickle.MARK + b"".join(map(number, labels)) + pickle.APPENDS
    return (
        pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK
        + text(b"batch_label") + text(b"testing batch 1 of 1")
        + text(b"labels") + listed + text(b"data") + array
        + pickle.SETITEMS + pickle.STOP
    )  # fmt: skip


def write_pickles(folder: Path, protocol: int | None = None) -> Path:
    folder.mkdir(parents=True)
    for name, (images, labels) in zip(cifar_names(), cifar_batches(), strict=True):
        if protocol is None:
            data = python_2_pickle(images, labels.tolist())
        else:
            data = pickle.dumps({b"data": images, b"labels": labels.tolist()}, protocol)
        (folder / name).write_bytes(data)
    return folder


def check_cifar(source: ImageSource) -> None:
    images, labels = map(np.concatenate, zip(*cifar_batches(), strict=True))
    assert source.classes == CLASSES
    assert source.labels.tolist() == labels.tolist()
    task = image_task(source, 32, workers=0)
    assert np.bincount(source.labels[source.validation]).tolist() == [2] * 10
    for part in PARTS:
        rows = getattr(source, part)
        found = int8_inputs(split_of(task, part)).astype(int) + 128
        np.testing.assert_array_equal(
            found, images[rows].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        )
    assert source.test.tolist() == [*range(100, 120)]
    assert sorted([*source.train, *source.validation]) == [*range(100)]


def test_cifar_10_as_bytes(tmp_path: Path) -> None:
    folder = write_bytes_form(tmp_path / "cifar-10-batches-bin")
    check_cifar(cifar10(folder, held_out=20))
    check_cifar(cifar10(tmp_path, held_out=20))


@pytest.mark.parametrize("protocol", [None, 2, 4], ids=["python 2", "2", "4"])
def test_cifar_10_as_pickles(tmp_path: Path, protocol: int | None) -> None:
    folder = write_pickles(tmp_path / "cifar-10-batches-py", protocol)
    check_cifar(cifar10(folder, held_out=20))
    check_cifar(cifar10(tmp_path, held_out=20))


def test_cifar_10_as_folders(tmp_path: Path) -> None:
    for part, count in (("train", 12), ("test", 2)):
        fill(tmp_path, [f"{part}/{c}/{i}.png" for c in CLASSES for i in range(count)])
    source = cifar10(tmp_path, held_out=20)
    assert source.classes == CLASSES
    assert [len(getattr(source, part)) for part in PARTS] == [100, 20, 20]
    with pytest.raises(DataError, match="5000 for validation of 120 training samples"):
        cifar10(tmp_path)


class Hostile:
    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.mkdir, os.system, eval], ids=lambda f: f.__name__)
def test_hostile_pickles_run_nothing(tmp_path: Path, protocol: int, function: Any) -> None:
    folder = write_pickles(tmp_path / "cifar-10-batches-py")
    made = tmp_path / "made"
    argument = {"mkdir": str(made), "system": f"mkdir '{made}'"}.get(
        function.__name__, f"__import__('os').mkdir({str(made)!r})"
    )
    bad = {b"data": Hostile(function, argument), b"labels": [0]}
    (folder / "data_batch_3").write_bytes(pickle.dumps(bad, protocol))
    with pytest.raises(DataError, match=r"data_batch_3: no batch of CIFAR-10: .*it asks for"):
        cifar10(folder, held_out=20)
    assert not made.exists()


def test_names_within_the_names_that_are_allowed_are_refused(tmp_path: Path) -> None:
    folder = write_pickles(tmp_path / "cifar-10-batches-py")
    text = pickle.SHORT_BINUNICODE
    stack = b"".join(text + bytes([len(s)]) + s for s in (b"numpy", b"dtype.__init__.__globals__"))
    data = pickle.PROTO + b"\x04" + stack + pickle.STACK_GLOBAL + pickle.STOP
    (folder / "test_batch").write_bytes(data)
    with pytest.raises(DataError, match="it asks for numpy.dtype.__init__.__globals__"):
        cifar10(folder, held_out=20)


def _pickled(images: object, labels: object = (0, 1)) -> bytes:
    return pickle.dumps({b"data": images, b"labels": labels}, 2)


TWO = np.zeros((2, 3072), np.uint8)
BAD_PICKLES = {
    "empty": b"",
    "text": b"CIFAR",
    "cut": python_2_pickle(TWO, [0, 1])[:-5000],
    "no dict": pickle.dumps([1, 2]),
    "no data": pickle.dumps({b"labels": [1]}),
    "data of another kind": _pickled([1, 2, 3]),
    "floats": _pickled(TWO.astype(np.float32)),
    "objects": _pickled(np.array([[object.__class__] * 3072] * 2)),
    "by columns": _pickled(np.asfortranarray(TWO)),
    "too small": _pickled(TWO[:, :100]),
    "one label": _pickled(TWO, (0,)),
    "labels of lists": _pickled(TWO, ((0,), (1,))),
    "a label alone": _pickled(TWO, 1),
    "names": _pickled(TWO, ("cat", "dog")),
    "no images": _pickled(TWO[:0], ()),
    "label": _pickled(TWO, (0, 10)),
    "negative label": _pickled(TWO, (0, -1)),
    "huge": pickle.PROTO + b"\x04" + pickle.BINBYTES8 + struct.pack("<Q", 1 << 60) + b"x",
    "more bytes than shape": python_2_pickle(TWO, [0, 1]).replace(
        struct.pack("<i", 3072) + pickle.TUPLE2, struct.pack("<i", 3071) + pickle.TUPLE2
    ),
}


@pytest.mark.parametrize("data", BAD_PICKLES.values(), ids=BAD_PICKLES)
def test_batches_that_are_none(tmp_path: Path, data: bytes) -> None:
    folder = write_pickles(tmp_path / "cifar-10-batches-py")
    (folder / "data_batch_2").write_bytes(data)
    with pytest.raises(DataError, match=r"data_batch_2: .*get the file anew"):
        cifar10(folder, held_out=20)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"data_batch_4.bin: 0 bytes are no whole number of CIFAR-10 records of 3073"),
        (bytes(3073 * 2 - 1), r"data_batch_4.bin: 6145 bytes are no whole number"),
        (b"\x0a" + bytes(3072), r"data_batch_4.bin: a label beyond the ten classes"),
        (None, r"data_batch_4.bin: cannot be read: No such file"),
    ],
    ids=["empty", "cut", "label", "missing"],
)
def test_bytes_that_are_none(tmp_path: Path, data: bytes | None, message: str) -> None:
    folder = write_bytes_form(tmp_path / "cifar-10-batches-bin")
    if data is None:
        (folder / "data_batch_4.bin").unlink()
    else:
        (folder / "data_batch_4.bin").write_bytes(data)
    with pytest.raises(DataError, match=message):
        cifar10(folder, held_out=20)


def test_folders_without_cifar_10(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no CIFAR-10: expected test_batch, test_batch.bin"):
        cifar10(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        cifar10(tmp_path / "none")
