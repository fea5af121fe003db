"""A task: labelled data in three parts, as training, search and evaluation read it.

What a network sees is scale * (q - zero_point) for int8 q, in training as on the device, so that
an accuracy is of the same numbers everywhere. Pixels 0 to 255 become q = pixel - 128, which
firmware feeds as it is; with scale 1/64 and zero point 0 a network sees (pixel - 128) / 64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from thumbnet.codegen.errors import DataError, ThumbnetError, ToolError

Augment = Callable[[Tensor, np.random.Generator], Tensor]
Shape = tuple[int, int, int]  # height, width, channels

PIXEL_SCALE = 1 / 64
PIXEL_ZERO_POINT = 0
MEMORY_LIMIT = 10**9  # bytes of int8 inputs that are kept in memory rather than read again

_ORDER, _DRAWS = 1, 2  # what a generator is for, beside seed, epoch and step
_SPREAD = 256  # items that stand for data too large to hash
_CHUNK = 4 * 10**6  # bytes that are read at a time


@dataclass(frozen=True, eq=False)
class Split:
    """A part of a task's data: `dataset` item i is (tensor [C, H, W], label).

    The tensor is int8 (q), uint8 (pixels, q = pixel - 128) or float32 (what the network sees; it is
    rounded to the grid of q). `workers` processes read it, 0 for this one.
    """

    dataset: Dataset
    scale: float = PIXEL_SCALE
    zero_point: int = PIXEL_ZERO_POINT
    workers: int = 0

    def __len__(self) -> int:
        return len(self.dataset)


@dataclass(frozen=True, eq=False)
class Task:
    """Data to train on (`train`), to search and choose by (`validation`) and to touch once at the
    end (`test`). `augment` changes a float batch [N, C, H, W] as `batch` gives it, keeps its shape
    and draws from the generator only. `key` is a hash of what the data is, for checkpoints."""

    name: str
    classes: tuple[str, ...]
    input_shape: Shape
    scale: float
    zero_point: int
    train: Split
    validation: Split
    test: Split
    augment: Augment
    key: str


class Stored(Dataset):  # type: ignore[misc]  # torch is not followed
    """Items in memory: of `inputs` int8 [N, C, H, W] and `labels` int64 [N] the chosen `rows`."""

    def __init__(
        self, inputs: Tensor, labels: Tensor, rows: NDArray[np.int64] | None = None
    ) -> None:
        self.inputs, self.labels = inputs, labels
        self.rows = torch.arange(len(labels)) if rows is None else torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        row = self.rows[index]
        return self.inputs[row], int(self.labels[row])


def no_augment(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """The batch as it is."""
    return inputs


# ---- reading -----------------------------------------------------------------------------------


def batch(split: Split, indices: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """float32 [N, C, H, W], what a network sees, and int64 labels [N]. Raises DataError."""
    inputs, labels = _read(split, indices)
    return _real(split, inputs), labels


def int8_inputs(
    split: Split, indices: Sequence[int] | NDArray[np.int64] | None = None
) -> NDArray[np.int8]:
    """int8 [N, H, W, C] for the compiled C, of all items without `indices`; `batch` gives
    scale * (q - zero_point) of the same numbers. Raises DataError."""
    inputs, _ = _read(split, np.arange(len(split)) if indices is None else indices)
    return np.ascontiguousarray(inputs.permute(0, 2, 3, 1).numpy())


def _real(split: Split, inputs: Tensor) -> Tensor:
    return (inputs.float() - split.zero_point) * split.scale


def _read(split: Split, indices: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """int8 [N, C, H, W] and int64 labels."""
    if isinstance(split.dataset, Stored):
        rows = split.dataset.rows[torch.as_tensor(np.asarray(indices, np.int64))]
        return split.dataset.inputs[rows], split.dataset.labels[rows]
    items = [split.dataset[int(i)] for i in indices]
    inputs = torch.stack([to_int8(x, split.scale, split.zero_point) for x, _ in items])
    return inputs, torch.tensor([int(label) for _, label in items], dtype=torch.int64)


def to_int8(values: Tensor, scale: float, zero_point: int) -> Tensor:
    """q of float32 values (rounded half away from zero, saturated), of pixels, or q itself.
    Raises DataError for NaN, infinity and other types."""
    if values.dtype == torch.int8:
        return values
    if values.dtype == torch.uint8:
        return (values ^ 128).view(torch.int8)
    if values.dtype != torch.float32:
        raise DataError(f"a tensor of {values.dtype}; give uint8, int8 or float32")
    if not torch.isfinite(values).all():
        raise DataError("NaN or infinity; give numbers")
    scaled = values / np.float32(scale)
    whole = scaled.trunc()
    rounded = whole + torch.where((scaled - whole).abs() >= 0.5, scaled.sign(), 0.0)
    return (rounded.double() + zero_point).clamp(-128, 127).to(torch.int8)


# ---- batches of an epoch -----------------------------------------------------------------------


@runtime_checkable
class PartwiseAugment(Protocol):
    """An augmentation that draws for a whole batch, [N, C, H, W], and can be applied to a part of
    it; others need the whole batch read for that."""

    def __call__(self, inputs: Tensor, rng: np.random.Generator) -> Tensor: ...

    def draw(self, shape: tuple[int, int, int, int], rng: np.random.Generator) -> Any: ...

    def apply(self, inputs: Tensor, draws: Any, first: int) -> Tensor:
        """`inputs` are those from `first` on."""


def batches(
    split: Split,
    batch_size: int,
    seed: int,
    epoch: int,
    first_step: int = 0,
    rank: int = 0,
    world_size: int = 1,
    augment: Augment = no_augment,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch of training, as `batch` gives them, from `first_step` on.

    `batch_size` counts what all `world_size` processes take in a step; this one gets the `rank`-th
    contiguous part. The order depends on seed and epoch only, the augmentation on seed, epoch and
    step only, so any number of processes sees the same samples. What does not fill a batch at the
    end is left out. Raises DataError.
    """
    steps = steps_per_epoch(split, batch_size)
    if batch_size % world_size:
        raise DataError(
            f"a batch of {batch_size} cannot be shared equally by {world_size} processes; give a "
            f"multiple of {world_size}"
        )
    order = _generator(seed, epoch, 0, _ORDER).permutation(len(split))
    size = batch_size // world_size
    partwise = isinstance(augment, PartwiseAugment) or augment is no_augment
    first = rank * size
    taken = slice(first, first + size) if partwise else slice(0, batch_size)
    whole = order[: steps * batch_size].reshape(steps, batch_size)
    parts = [whole[step, taken] for step in range(first_step, steps)]
    for step, (inputs, labels) in enumerate(_stream(split, parts), first_step):
        real, rng = _real(split, inputs), _generator(seed, epoch, step, _DRAWS)
        if augment is no_augment:
            yield real, labels
        elif isinstance(augment, PartwiseAugment):
            draws = augment.draw((batch_size, *real.shape[1:]), rng)
            yield augment.apply(real, draws, first), labels
        else:
            part = slice(first, first + size)
            yield augment(real, rng)[part], labels[part]


def evaluation_batches(
    split: Split, batch_size: int, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """All items in order, as `batch` gives them, the last batch perhaps shorter; of each batch the
    `rank`-th of `world_size` contiguous parts, which may be empty. Raises DataError."""
    parts = []
    for start in range(0, len(split), batch_size):
        size = min(batch_size, len(split) - start)
        parts.append(start + np.arange(rank * size // world_size, (rank + 1) * size // world_size))
    for inputs, labels in _stream(split, parts):
        yield _real(split, inputs), labels


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Batches of an epoch of training. Raises DataError where there is none."""
    if not 1 <= batch_size <= len(split):
        raise DataError(
            f"batches of {batch_size} from {len(split)} training samples; give a size from 1 to "
            f"{len(split)}"
        )
    return len(split) // batch_size


def _generator(seed: int, epoch: int, step: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng((seed, epoch, step, purpose))


def _stream(split: Split, parts: list[NDArray[np.int64]]) -> Iterator[tuple[Tensor, Tensor]]:
    """`_read` of each part, in order; by worker processes where the split has them."""
    if isinstance(split.dataset, Stored) or not split.workers or len(parts) < 2:
        for part in parts:
            yield _read(split, part)
        return
    loader = DataLoader(
        _Parts(split, parts),
        batch_size=None,
        num_workers=min(split.workers, len(parts)),
        generator=torch.Generator(),  # the global one stays as it is
    )
    try:
        for result in loader:
            if isinstance(result, ThumbnetError):
                raise result
            yield result
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ToolError(f"reading the data: {error}; is there enough memory?") from error


class _Parts(Dataset):  # type: ignore[misc]
    """Item i is `_read` of part i, or the error that it raised, whose message torch would bury."""

    def __init__(self, split: Split, parts: list[NDArray[np.int64]]) -> None:
        self.split, self.parts = split, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor] | ThumbnetError:
        try:
            return _read(self.split, self.parts[index])
        except ThumbnetError as error:
            return error


# ---- data of one's own -------------------------------------------------------------------------


def task_from_datasets(
    name: str,
    classes: Sequence[str],
    train: Dataset,
    validation: Dataset,
    test: Dataset,
    input_shape: Shape,
    scale: float = PIXEL_SCALE,
    zero_point: int = PIXEL_ZERO_POINT,
    augment: Augment | None = None,
    *,
    workers: int = 0,
    memory_limit: int = MEMORY_LIMIT,
) -> Task:
    """A task of any three map-style datasets of (tensor [C, H, W], label); see `Split` for the
    tensors' types.

    An item must be the same whenever it is read: random changes belong into `augment`. A set of up
    to `memory_limit` bytes, one for each value, is read now, and once; a larger one whenever it is
    needed, by `workers` processes. `train` and `validation` become shuffled splits, since their
    first samples are used to compare and to calibrate networks; `test` stays in order. Raises
    DataError for items of other shapes, types and labels, and for NaN.
    """
    names = tuple(classes)
    if len(names) < 2 or len(set(names)) != len(names):
        raise DataError(f"task '{name}': {len(names)} classes; give at least two, all different")
    if not 0 < scale < float("inf") or not -128 <= zero_point <= 127:
        raise DataError(
            f"task '{name}': scale {scale}, zero point {zero_point}; the scale is above 0, the "
            "zero point from -128 to 127"
        )
    augment = no_augment if augment is None else augment
    facts = (name, names, input_shape, scale, zero_point, augment_name(augment))
    digest = hashlib.sha256(repr(facts).encode())
    splits = {}
    for part, dataset in (("train", train), ("validation", validation), ("test", test)):
        if not len(dataset):
            raise DataError(f"task '{name}': {part} has no items")
        source = f"task '{name}', {part}"
        checked: Dataset = Checked(dataset, source, input_shape, len(names), scale, zero_point)
        order = np.arange(len(dataset))
        if part != "test":
            order = np.random.default_rng(_ORDER).permutation(order)
        if len(dataset) * int(np.prod(input_shape)) <= memory_limit:
            stored = read_all(Split(checked, scale, zero_point, workers), input_shape)
            checked = Stored(stored.inputs, stored.labels, order)
        else:
            checked = Subset(checked, order)
        splits[part] = Split(checked, scale, zero_point, workers)
        digest.update(_content(splits[part]))
    return Task(
        name,
        names,
        input_shape,
        scale,
        zero_point,
        splits["train"],
        splits["validation"],
        splits["test"],
        augment,
        digest.hexdigest()[:16],
    )


def augment_name(augment: Augment) -> str:
    """What tells augmentations apart, the same on every machine: the fields of a dataclass, the
    name of a function."""
    if is_dataclass(augment):
        return repr(augment)
    return str(getattr(augment, "__qualname__", type(augment).__qualname__))


class Checked(Dataset):  # type: ignore[misc]
    """(int8 [C, H, W], label) of a dataset's items. Raises DataError, naming `source` and item."""

    def __init__(
        self,
        dataset: Dataset,
        source: str,
        input_shape: Shape,
        classes: int,
        scale: float,
        zero_point: int,
    ) -> None:
        self.dataset, self.source = dataset, source
        self.shape = (input_shape[2], *input_shape[:2])
        self.classes, self.scale, self.zero_point = classes, scale, zero_point

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        where = f"{self.source}, item {index}"
        try:
            values, label = self.dataset[index]
            label = int(label)
        except ThumbnetError:
            raise
        except Exception as error:  # whatever the dataset raises
            raise DataError(f"{where}: cannot be read as (tensor, label): {error!r}") from error
        if not isinstance(values, Tensor) or tuple(values.shape) != self.shape:
            found = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise DataError(
                f"{where}: expected a tensor {list(self.shape)} (channels, "
                f"height, width), found {found}"
            )
        if not 0 <= label < self.classes:
            raise DataError(f"{where}: label {label}; there are classes 0 to {self.classes - 1}")
        try:
            return to_int8(values, self.scale, self.zero_point), label
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def read_all(
    split: Split, input_shape: Shape, progress: Callable[[int], None] | None = None
) -> Stored:
    """All items, read now; `progress` hears how many there are so far. Raises DataError."""
    height, width, channels = input_shape
    count, at = len(split), 0
    inputs = torch.empty((count, channels, height, width), dtype=torch.int8)
    labels = torch.empty(count, dtype=torch.int64)
    size = max(1, _CHUNK // (height * width * channels))
    chunks = [np.arange(i, min(i + size, count)) for i in range(0, count, size)]
    for some, of_some in _stream(split, chunks):
        inputs[at : at + len(some)], labels[at : at + len(some)] = some, of_some
        at += len(some)
        if progress is not None:
            progress(at)
    return Stored(inputs, labels)


def _content(split: Split) -> bytes:
    """A hash of all items where they are in memory, else of their number and some of them."""
    if isinstance(split.dataset, Stored):
        inputs, labels = split.dataset.inputs, split.dataset.labels
    else:
        count = min(_SPREAD, len(split))
        inputs, labels = _read(split, np.linspace(0, len(split) - 1, count).astype(np.int64))
    digest = hashlib.sha256(str(len(split)).encode())
    digest.update(inputs.numpy().data)
    digest.update(labels.numpy().data)
    return digest.digest()
