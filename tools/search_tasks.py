"""The tasks that `thumbnet search` knows by name. Their facts need no torch, their data does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from thumbnet.codegen.errors import DataError
from thumbnet.nas.progress import Progress

if TYPE_CHECKING:
    from thumbnet.nas.image_source import ImageSource
    from thumbnet.nas.task import Task

Shape = tuple[int, int, int]  # height, width, channels

LOOKED_AT = 200  # images whose sizes tell that of all
LARGE = 48  # pixels, from which on images are worth the strides of the template "images"


@dataclass(frozen=True, eq=False)
class Source:
    """What is known of a task before its data is read. `task_at(shape, cache)` reads it."""

    classes: int
    samples: int  # for training, about
    input_shape: Shape  # the largest that makes sense
    template: str  # of search spaces that suit it
    task_at: Callable[[Shape, Path], Task]


def open_source(data: dict[str, Any], progress: Progress) -> Source:
    """The source that a plan's `data` describes: `task` is one of TASKS, `folder` where it lies;
    `grey`, `words` and `renderings` as in `thumbnet search -h`. Raises DataError."""
    kind = data.get("task")
    if kind not in TASKS:
        raise DataError(f"unknown task '{kind}': choose one of {', '.join(TASKS)}")
    return TASKS[kind](Path(str(data.get("folder"))), data, progress)


# ---- images ------------------------------------------------------------------------------------


def _images(folder: Path, data: dict[str, Any], progress: Progress) -> Source:
    from thumbnet.nas.image_source import image_folder

    return _image_source(image_folder(folder), data, progress)


def _cifar10(folder: Path, data: dict[str, Any], progress: Progress) -> Source:
    from thumbnet.nas.cifar10 import cifar10

    return _image_source(cifar10(folder), data, progress)


def _image_source(source: ImageSource, data: dict[str, Any], progress: Progress) -> Source:
    channels = 1 if data.get("grey") else 3

    def task_at(shape: Shape, cache: Path) -> Task:
        from thumbnet.nas.image_task import image_task

        return image_task(
            source, shape[:2], channels=shape[2], cache=cache / "images", progress=progress
        )

    size = _size(source)
    return Source(
        len(source.classes),
        len(source.train),
        (size, size, channels),
        "images" if size >= LARGE else "small-images",
        task_at,
    )


def _size(source: ImageSource) -> int:
    """Pixels of the shorter side of most images."""
    sizes = []
    for index in source.train[:LOOKED_AT]:
        try:
            with source.open(int(index)) as image:
                sizes.append(min(image.size))
        except Exception:  # Pillow raises anything on broken files; reading the data names them
            continue
    if not sizes:
        raise DataError(f"{source.names[int(source.train[0])]}: cannot be read as an image")
    return int(median(sizes))


# ---- sound -------------------------------------------------------------------------------------


def _speech_commands(folder: Path, data: dict[str, Any], progress: Progress) -> Source:
    from thumbnet.apps.kws.dataset import (
        check_commands,
        class_names,
        most_frequent_words,
        read_corpus,
    )
    from thumbnet.apps.kws.features import BANDS, COLUMNS

    corpus = read_corpus(folder)
    words = tuple(sorted(data.get("words") or most_frequent_words(corpus)))
    check_commands(corpus, words)
    own = (COLUMNS, BANDS, 1)

    def task_at(shape: Shape, cache: Path) -> Task:
        from thumbnet.apps.kws.search_task import COUNT, keyword_task

        if shape != own:
            raise DataError(
                f"task 'speech-commands' has inputs of {COLUMNS}x{BANDS} and one channel, not "
                f"{shape[0]}x{shape[1]} and {shape[2]}; leave out --resolution, or take the "
                "template 'spectrograms'"
            )
        return keyword_task(
            folder, cache, progress, words, count=int(data.get("renderings") or COUNT)
        )

    samples = sum(clip.word in words for clip in corpus.clips["training"])
    return Source(len(class_names(words)), samples, own, "spectrograms", task_at)


TASKS: dict[str, Callable[[Path, dict[str, Any], Progress], Source]] = {
    "images": _images,
    "cifar10": _cifar10,
    "speech-commands": _speech_commands,
}
