"""Tasks: the numbers that a network sees, the batches of an epoch, data of one's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

import torch
from command_line import ROOT
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset
from toy_task import CLASSES, stripes, toy_task

from thumbnet.codegen.errors import DataError
from thumbnet.nas.augmentation import ImageAugmentation
from thumbnet.nas.task import (
    Augment,
    Task,
    batch,
    batches,
    evaluation_batches,
    int8_inputs,
    no_augment,
    task_from_datasets,
    to_int8,
)
from thumbnet.tools.arrays import quantize

SHAPE = (6, 5, 3)
GOOD = torch.zeros(3, 6, 5)


def images(count: int, seed: int = 0) -> TensorDataset:
    """Random pixels; the label of image i is i modulo 3."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3, 6, 5), dtype=np.uint8)
    return TensorDataset(torch.from_numpy(pixels), torch.arange(count) % 3)


def task_of(
    train: Dataset | None = None, *, classes: tuple[str, ...] = ("a", "b", "c"), **options: Any
) -> Task:
    train = images(50) if train is None else train
    options = {"input_shape": SHAPE, **options}
    return task_from_datasets("mine", classes, train, images(9, 1), images(10, 2), **options)


# ---- numbers -----------------------------------------------------------------------------------


def test_a_network_sees_pixels_less_128_over_64() -> None:
    task = task_of()
    assert (task.scale, task.zero_point, task.input_shape) == (1 / 64, 0, SHAPE)
    pixels, labels = images(10, 2).tensors
    inputs, found = batch(task.test, range(10))
    assert inputs.dtype == torch.float32
    assert found.dtype == torch.int64
    assert torch.equal(inputs, (pixels.float() - 128) / 64)
    assert torch.equal(found, labels)
    fed = int8_inputs(task.test)
    assert fed.dtype == np.int8
    np.testing.assert_array_equal(fed, pixels.permute(0, 2, 3, 1).numpy().astype(int) - 128)


def test_floats_are_rounded_as_the_command_rounds_them() -> None:
    @dataclass(frozen=True)
    class Edge:
        dtype: str = "int8"
        shape: tuple[int, ...] = (1,)
        scale: float = 0.05
        zero_point: int = -7

    halves = np.arange(-300, 300, dtype=np.float32) / 2 * np.float32(0.05)
    wild = np.random.default_rng(0).normal(0, 4, 2000).astype(np.float32)
    values = np.concatenate((halves, wild, [np.float32(1e30), np.float32(-1e30)]))
    found = to_int8(torch.from_numpy(values), 0.05, -7).numpy()
    np.testing.assert_array_equal(found, quantize(values, Edge()))
    assert {found.min(), found.max()} == {-128, 127}


@pytest.mark.parametrize("limit", [10**9, 0], ids=["in memory", "read again"])
def test_a_batch_is_on_the_grid_of_the_integers(limit: int) -> None:
    values = torch.randn(10, 3, 6, 5)
    data = TensorDataset(values, torch.arange(10) % 3)
    task = task_from_datasets(
        "floats", ("a", "b", "c"), data, data, data, SHAPE, 0.02, 5, memory_limit=limit
    )
    inputs, _ = batch(task.test, [3, 1])
    q = torch.from_numpy(int8_inputs(task.test, [3, 1])).permute(0, 3, 1, 2)
    assert torch.equal(inputs, np.float32(0.02) * (q.float() - 5))
    inside = (values[[3, 1]] > 0.02 * -133) & (values[[3, 1]] < 0.02 * 122)
    assert float((inputs - values[[3, 1]])[inside].abs().max()) <= 0.0101


def test_int8_items_pass_through() -> None:
    q = torch.randint(-128, 128, (6, 3, 6, 5), dtype=torch.int8)
    task = task_of(TensorDataset(q, torch.arange(6) % 3))
    found = int8_inputs(task.train)
    assert sorted(map(bytes, found)) == sorted(bytes(x.permute(1, 2, 0).numpy()) for x in q)


# ---- batches -----------------------------------------------------------------------------------


def whole_batch_noise(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """Something that only a whole batch tells."""
    return inputs + torch.from_numpy(rng.normal(0, 1, inputs.shape).astype(np.float32))


AUGMENTS: dict[str, Augment] = {
    "none": no_augment,
    "parts": ImageAugmentation(shift=1, cutout=2),
    "whole": whole_batch_noise,
}


def epoch(task: Task, epoch: int = 0, seed: int = 0, size: int = 12, **more: Any) -> list[Any]:
    return list(batches(task.train, size, seed, epoch, **more))


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(x, y)
        for a, b in zip(one, other, strict=True)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("augment", AUGMENTS.values(), ids=AUGMENTS)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_processes_sees_the_same(augment: Augment, workers: int) -> None:
    task = task_of()
    alone = epoch(task, augment=augment)
    parts = [epoch(task, rank=rank, world_size=workers, augment=augment) for rank in range(workers)]
    together = [
        tuple(torch.cat(tensors) for tensors in zip(*step, strict=True))
        for step in zip(*parts, strict=True)
    ]
    assert same(together, alone)
    assert {len(labels) for part in parts for _, labels in part} == {12 // workers}


@pytest.mark.parametrize("augment", AUGMENTS.values(), ids=AUGMENTS)
def test_an_epoch_goes_on_where_it_was_left(augment: Augment) -> None:
    task = task_of()
    whole = epoch(task, 3, augment=augment)
    for first in range(5):
        assert same(epoch(task, 3, first_step=first, augment=augment), whole[first:])


def numbered(count: int) -> TensorDataset:
    """Image i is all pixels i."""
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 6, 5)
    return TensorDataset(pixels, torch.arange(count) % 3)


def numbers(steps: list[Any]) -> list[int]:
    return [int(x) for inputs, _ in steps for x in inputs[:, 0, 0, 0] * 64 + 128]


def test_an_epoch_has_no_sample_twice_and_no_short_batch() -> None:
    task = task_of(numbered(50))
    orders = {(e, s): numbers(epoch(task, e, s)) for e in range(2) for s in range(2)}
    assert all(len(order) == len({*order}) == 48 for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 4
    assert {*orders[0, 0], *orders[1, 0], *orders[0, 1]} == {*range(50)}
    one_by_one = numbers(epoch(task, size=1))
    assert one_by_one[:48] == orders[0, 0]


def test_draws_differ_from_step_to_step_and_epoch_to_epoch() -> None:
    seen = []

    def note(inputs: Tensor, rng: np.random.Generator) -> Tensor:
        seen.append(int(rng.integers(1 << 60)))
        return inputs

    task = task_of()
    for at, seed in ((0, 0), (1, 0), (0, 1)):
        epoch(task, at, seed, augment=note)
    assert len({*seen}) == 12


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_evaluation_has_every_sample_in_order(workers: int) -> None:
    task = task_of(numbered(50))
    parts = [list(evaluation_batches(task.train, 6, r, workers)) for r in range(workers)]
    found = [n for steps in zip(*parts, strict=True) for n in numbers(list(steps))]
    expected = int8_inputs(task.train)[:, 0, 0, 0].astype(int) + 128
    assert found == expected.tolist()
    assert sorted(found) == [*range(50)]


@pytest.mark.parametrize(
    ("size", "workers", "message"),
    [
        (51, 1, r"batches of 51 from 50 training samples; give a size from 1 to 50"),
        (0, 1, r"batches of 0 from 50"),
        (10, 3, r"a batch of 10 cannot be shared equally by 3 processes; give a multiple of 3"),
    ],
)
def test_batches_that_cannot_be(size: int, workers: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        epoch(task_of(), size=size, world_size=workers)


def test_torchs_own_generator_is_left_alone() -> None:
    task = task_of(memory_limit=0, workers=1)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    epoch(task, augment=task.augment)
    assert torch.equal(torch.rand(1), expected)


# ---- data of one's own -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_large_data_are_read_again_and_are_the_same(workers: int) -> None:
    task = task_of(augment=ImageAugmentation(shift=1))
    read = task_of(augment=ImageAugmentation(shift=1), memory_limit=0, workers=workers)
    assert same(epoch(read, augment=read.augment), epoch(task, augment=task.augment))
    assert same(list(evaluation_batches(read.test, 4)), list(evaluation_batches(task.test, 4)))
    np.testing.assert_array_equal(int8_inputs(read.validation), int8_inputs(task.validation))


def test_the_first_samples_are_of_all_classes() -> None:
    """Networks are compared and calibrated by them, and data often come sorted by class."""
    pixels, labels = images(90).tensors
    sorted_data = TensorDataset(pixels, labels.sort().values)
    task = task_from_datasets("x", ("a", "b", "c"), sorted_data, sorted_data, sorted_data, SHAPE)
    for split in (task.train, task.validation):
        assert {*batch(split, range(12))[1].tolist()} == {0, 1, 2}
    assert {*batch(task.test, range(12))[1].tolist()} == {0}


def test_the_key_tells_data_apart() -> None:
    pixels, labels = images(50).tensors
    other_pixel, other_label = pixels.clone(), labels.clone()
    other_pixel[49, 2, 5, 4] ^= 1
    other_label[0] = 1
    tasks = {
        "same": task_of(),
        "pixel": task_of(TensorDataset(other_pixel, labels)),
        "label": task_of(TensorDataset(pixels, other_label)),
        "names": task_of(classes=("a", "b", "d")),
        "scale": task_of(scale=0.5),
        "augment": task_of(augment=ImageAugmentation()),
        "other augment": task_of(augment=ImageAugmentation(flip=False)),
        "fewer": task_of(images(49)),
    }
    assert task_of().key == tasks["same"].key
    assert len({task.key for task in tasks.values()}) == len(tasks)
    large = task_of(memory_limit=0)
    assert large.key == task_of(memory_limit=0).key
    assert large.key != task_of(images(51), memory_limit=0).key


class Items(Dataset):  # type: ignore[misc]  # torch is not followed
    """20 good items, but for one, which may be an error to raise."""

    def __init__(self, item: object, at: int = 4) -> None:
        self.item, self.at = item, at

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> object:
        if index == self.at and isinstance(self.item, Exception):
            raise self.item
        return self.item if index == self.at else (GOOD, index % 3)


WRONG: dict[str, tuple[object, str]] = {
    "size": (
        (torch.zeros(3, 5, 6), 0),
        r"expected a tensor \[3, 6, 5\] \(channels, height, width\), found \[3, 5, 6\]",
    ),
    "nan": ((torch.full((3, 6, 5), torch.nan), 0), "NaN or infinity"),
    "infinity": ((torch.full((3, 6, 5), -torch.inf), 0), "NaN or infinity"),
    "type": ((GOOD.double(), 0), "a tensor of torch.float64; give uint8, int8 or float32"),
    "label": ((GOOD, 3), "label 3; there are classes 0 to 2"),
    "negative": ((GOOD, -1), "label -1; there are"),
    "no label": (GOOD[:1], r"cannot be read as \(tensor, label\)"),
    "a name": ((GOOD, "cat"), r"cannot be read as .*'cat'"),
    "no tensor": ((GOOD.numpy(), 0), r"expected a tensor .*found ndarray"),
    "raises": (OSError("the disk is gone"), "cannot be read as .*the disk is gone"),
}


@pytest.mark.parametrize(("item", "message"), WRONG.values(), ids=WRONG)
def test_wrong_items_are_named(item: object, message: str) -> None:
    with pytest.raises(DataError, match=rf"^task 'mine', train, item 4: {message}"):
        task_of(Items(item))


def test_what_a_worker_process_refuses_is_one_line() -> None:
    """Not torch's account of it."""
    items = Items((GOOD, 1))
    task = task_of(items, memory_limit=0, workers=2)
    items.item = (GOOD, 3)
    with pytest.raises(DataError) as refused:
        epoch(task, size=4)
    said = "task 'mine', train, item 4: label 3; there are classes 0 to 2"
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("a",)}, "task 'mine': 1 classes; give at least two"),
        ({"classes": ("a", "b", "a")}, "task 'mine': 3 classes; .* all different"),
        ({"scale": 0.0}, "scale 0.0, zero point 0; the scale is above 0"),
        ({"scale": float("nan")}, "scale nan"),
        ({"zero_point": 128}, "zero point 128; .* from -128 to 127"),
        ({"train": images(0)}, "task 'mine': train has no items"),
    ],
    ids=["one class", "twice a class", "scale 0", "scale NaN", "zero point", "no items"],
)
def test_a_task_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        task_of(**options)


# ---- the toy task and the page -----------------------------------------------------------------


def test_the_toy_task_is_balanced_and_never_the_same_twice() -> None:
    task = toy_task(size=8, train=80, validation=16, test=16)
    assert task.key == toy_task(size=8, train=80, validation=16, test=16).key
    for split in (task.train, task.validation, task.test):
        labels = batch(split, range(len(split)))[1]
        assert labels.bincount().tolist() == [len(split) // len(CLASSES)] * len(CLASSES)
    rng = np.random.default_rng(0)
    assert len({*map(bytes, stripes(16, 8, 0.0, rng).tensors[0].numpy())}) == 16


def test_the_page_of_the_documentation_runs(tmp_path: Path) -> None:
    """docs/tasks.md: its Python, from top to bottom."""
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    script = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    (tmp_path / "page.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
