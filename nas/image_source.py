"""Labelled images as they lie on disk: folders of files, and the parts that they are split into."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbnet.codegen.errors import DataError
from thumbnet.nas.splitting import hashed_share, hold_out

SUFFIXES = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".ppm", ".tif", ".tiff", ".webp"),
)
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "PPM", "TIFF")  # that Pillow may try, by content
VALIDATION_SHARE = 0.1  # of the training images
TEST_SHARE = 0.2  # of a folder without a test folder

_TRAIN, _VALIDATION, _TEST = "train", "validation", "test"
_VALIDATION_NAMES = (_VALIDATION, "val", "valid")
_LAYOUTS = (
    "expected FOLDER/train/CLASS/*.jpg and FOLDER/test/CLASS/*.jpg, or FOLDER/CLASS/*.jpg "
    f"({', '.join(SUFFIXES)})"
)


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Images of any sizes, not read yet. Indices of train and validation are in a fixed
    random order."""

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]  # of all images
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    open: Callable[[int], Image.Image]
    names: Sequence[str]  # of all images, for messages
    digest: str  # of names, sizes in bytes, labels: what the data is
    stamp: str  # of that and the times of change: whether something read earlier still holds


@dataclass(frozen=True)
class ImageFiles:
    """Opens the i-th file, in one of FORMATS only."""

    names: tuple[str, ...]

    def __call__(self, index: int) -> Image.Image:
        return Image.open(self.names[index], formats=FORMATS)


@dataclass(frozen=True)
class _File:
    path: str
    label: int
    size: int  # bytes
    changed: int  # ns


def image_folder(
    folder: Path,
    *,
    held_out: float | None = None,
    test_share: float = TEST_SHARE,
    group_by: str | None = None,
    seed: int = 0,
) -> ImageSource:
    """The images of FOLDER/{train,test}/CLASS/*, or of FOLDER/CLASS/* split by the hash of their
    names into `test_share` for the test and the rest. Classes are the names of folders, sorted.

    `held_out` of the training images are for validation (a number, or a share below 1; default: a
    tenth, one of each class at least), unless there is FOLDER/validation/CLASS/* (or val, valid).
    `group_by` is a regular expression that is searched for in file names: files of equal matches
    (of its first group, where it has one), of one person, say, are never in two parts. Raises
    DataError.
    """
    folders = _part_folders(folder)
    classes = _folders(folders[_TRAIN])
    if not classes:
        raise DataError(f"{folders[_TRAIN]}: no folders of classes in it; {_LAYOUTS}")
    files: list[_File] = []
    parts: dict[str, NDArray[np.int64]] = {}
    for part, path in folders.items():
        before = len(files)
        files += _files(path, classes)
        parts[part] = np.arange(before, len(files))
    labels = np.array([file.label for file in files], np.int64)
    missing = np.setdiff1d(np.arange(len(classes)), labels[parts[_TRAIN]])
    if len(missing):
        empty = folders[_TRAIN] / classes[missing[0]]
        raise DataError(f"{empty}: no images in it; remove the folder or fill it. {_LAYOUTS}")
    if len(classes) < 2:
        raise DataError(
            f"{folders[_TRAIN]}: one class only, '{classes[0]}'; a classifier needs two at least"
        )
    names = [os.path.relpath(file.path, folder) for file in files]
    groups = None if group_by is None else _matches(files, group_by)
    if _TEST not in parts:
        parts |= _without_test(folder, labels, classes, groups or names, test_share)
    if groups is not None:
        _check_groups(folder, parts, groups)
    if _VALIDATION not in parts:
        train = parts[_TRAIN]
        of_train = None if groups is None else [groups[i] for i in train]
        amount = (
            max(round(VALIDATION_SHARE * len(train)), len(classes))
            if held_out is None
            else held_out
        )
        kept, out = hold_out(labels[train], classes, of_train, amount, seed, str(folder))
        parts |= {_TRAIN: train[kept], _VALIDATION: train[out]}
    elif held_out is not None:
        raise DataError(f"{folders[_VALIDATION]} is for validation; hold out nothing more")
    for part, indices in parts.items():
        if not len(indices):
            raise DataError(f"{folders[part]}: no images in it; {_LAYOUTS}")
    facts = [f"{name}\0{file.size}\0{file.label}" for name, file in zip(names, files, strict=True)]
    digest = hashed("\n".join((*classes, *facts)))
    return ImageSource(
        name=folder.resolve().name,
        classes=classes,
        labels=labels,
        train=np.random.default_rng(seed).permutation(parts[_TRAIN]),
        validation=np.random.default_rng(seed).permutation(parts[_VALIDATION]),
        test=parts[_TEST],
        open=ImageFiles(tuple(file.path for file in files)),
        names=tuple(file.path for file in files),
        digest=digest,
        stamp=hashed("\n".join((digest, *(str(file.changed) for file in files)))),
    )


def hashed(text: str) -> str:
    """16 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


# ---- listing -----------------------------------------------------------------------------------


def _part_folders(folder: Path) -> dict[str, Path]:
    """The folders of train, test and validation; train alone where the classes are in `folder`."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    inside = _folders(folder)
    if _TRAIN not in inside or not (_TEST in inside or _folders(folder / _TRAIN)):
        return {_TRAIN: folder}  # where train may be a class, the vehicle
    if _TEST not in inside:
        raise DataError(f"{folder}: there is train but no test; {_LAYOUTS}")
    parts = {_TRAIN: folder / _TRAIN, _TEST: folder / _TEST}
    validation = next((name for name in _VALIDATION_NAMES if name in inside), None)
    return parts if validation is None else {**parts, _VALIDATION: folder / validation}


def _folders(folder: Path) -> tuple[str, ...]:
    try:
        with os.scandir(folder) as entries:
            found = (e.name for e in entries if e.is_dir() and not e.name.startswith("."))
            return tuple(sorted(found))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error


def _files(folder: Path, classes: tuple[str, ...]) -> Iterator[_File]:
    """The images of all classes, in a fixed order. Raises DataError for a folder of no class."""
    for name in _folders(folder):
        if name not in classes:
            raise DataError(
                f"{folder / name}: no class '{name}' among the training images, which have "
                f"{', '.join(classes)}"
            )
        yield from sorted(_below(folder / name, classes.index(name)), key=lambda file: file.path)


def _below(folder: Path, label: int) -> Iterator[_File]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(Path(entry.path), label)
                elif entry.name.lower().endswith(SUFFIXES):
                    facts = entry.stat()
                    yield _File(entry.path, label, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error


# ---- parts -------------------------------------------------------------------------------------


def _without_test(
    folder: Path,
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    keys: Sequence[str],
    share: float,
) -> dict[str, NDArray[np.int64]]:
    """Train and test, by the hash of each key."""
    if not 0 < share < 1:
        raise DataError(f"{folder}: {share:g} of the images for the test; give a share from 0 to 1")
    tested = hashed_share(keys, labels, share)
    for label in np.setdiff1d(labels, labels[~tested]):
        raise DataError(
            f"{folder / classes[label]}: too few images: all are for the test, which is to have "
            f"{share:g} of all; add images, or make folders train and test"
        )
    return {_TRAIN: np.flatnonzero(~tested), _TEST: np.flatnonzero(tested)}


def _matches(files: Sequence[_File], group_by: str) -> list[str]:
    try:
        rule = re.compile(group_by)
    except re.error as error:
        raise DataError(f"'{group_by}' is no regular expression to group by: {error}") from error
    found = []
    for file in files:
        match = rule.search(Path(file.path).name)
        if match is None:
            raise DataError(f"{file.path}: its name does not match '{group_by}' to group by")
        found.append((match[1] if rule.groups else match[0]) or "")
    return found


def _check_groups(folder: Path, parts: dict[str, NDArray[np.int64]], groups: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for part, indices in parts.items():
        for group in sorted({groups[i] for i in indices}):
            if first.setdefault(group, part) != part:
                raise DataError(
                    f"{folder}: group '{group}' has images in {first[group]} and in {part}; keep a "
                    "group in one of them, or a score says nothing"
                )
