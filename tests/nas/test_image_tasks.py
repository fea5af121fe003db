"""Folders of images and CIFAR-10 as tasks: parts, pixels, caches, what is refused."""

from __future__ import annotations

import os
import pickle
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("PIL", reason="needs Pillow")

import torch
from PIL import Image

from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.nas import image_task as module
from thumbnet.nas import task as task_module
from thumbnet.nas.augmentation import ImageAugmentation
from thumbnet.nas.cifar10 import CLASSES, cifar10
from thumbnet.nas.image_source import ImageSource, image_folder
from thumbnet.nas.image_task import image_task
from thumbnet.nas.splitting import hashed_share, hold_out
from thumbnet.nas.task import Split, Task, batch, batches, int8_inputs

PARTS = ("train", "validation", "test")


def pixels(seed: int, height: int = 8, width: int = 8) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: np.ndarray[Any, Any] | Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)


def fill(folder: Path, names: Sequence[str]) -> None:
    """A PNG of its own for each name."""
    for name in names:
        save(folder / name, pixels(int.from_bytes(name.encode(), "big")))


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """train and test, of 20 + 10 and of 4 + 4 images."""
    folder = tmp_path / "pets"
    fill(folder, [f"train/cat/{i}.png" for i in range(20)])
    fill(folder, [f"train/dog/{i}.png" for i in range(10)])
    fill(folder, [f"test/{c}/{i}.png" for c in ("cat", "dog") for i in range(4)])
    return folder


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Of 2 classes 30 images each, of 10 people."""
    folder = tmp_path / "people"
    fill(folder, [f"{c}/p{p}_{i}.png" for c in ("a", "b") for p in range(10) for i in range(3)])
    return folder


def named(source: ImageSource, folder: Path) -> dict[str, set[str]]:
    names = np.array([os.path.relpath(name, folder) for name in source.names])
    return {part: {*names[getattr(source, part)].tolist()} for part in PARTS}


def split_of(task: Task, part: str) -> Split:
    split: Split = getattr(task, part)
    return split


# ---- parts -------------------------------------------------------------------------------------


def test_train_and_test_folders(parted: Path) -> None:
    fill(parted, ["train/.hidden/0.png", "train/cat/.hidden.png", "train/dog/more/10.png"])
    (parted / "train/cat/notes.txt").write_text("no image")
    source = image_folder(parted, held_out=6)
    assert (source.name, source.classes) == ("pets", ("cat", "dog"))
    found = named(source, parted)
    everything = {f"train/cat/{i}.png" for i in range(20)} | {
        f"train/dog/{i}.png" for i in range(10)
    }
    assert found["train"] | found["validation"] == everything | {"train/dog/more/10.png"}
    assert not found["train"] & found["validation"]
    assert found["test"] == {f"test/{c}/{i}.png" for c in ("cat", "dog") for i in range(4)}
    assert np.bincount(source.labels[source.validation]).tolist() == [4, 2]
    for part in PARTS:
        rows = getattr(source, part)
        of = [Path(source.names[i]).relative_to(parted).parts[1] for i in rows]
        assert of == [source.classes[label] for label in source.labels[rows]]


def test_what_is_held_out_is_a_function_of_the_seed(parted: Path) -> None:
    found = [named(image_folder(parted, seed=seed), parted) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert len(found[0]["validation"]) == 3  # a tenth
    assert len(named(image_folder(parted, held_out=0.3), parted)["validation"]) == 9


def test_training_images_are_in_no_order_of_classes(parted: Path) -> None:
    source = image_folder(parted)
    labels = source.labels[source.train].tolist()
    assert labels not in (sorted(labels), sorted(labels, reverse=True))


@pytest.mark.parametrize("name", ["validation", "val"])
def test_a_validation_folder_is_taken(parted: Path, name: str) -> None:
    fill(parted, [f"{name}/{c}/9{i}.png" for c in ("cat", "dog") for i in range(2)])
    source = image_folder(parted)
    assert [len(getattr(source, part)) for part in PARTS] == [30, 4, 8]
    assert all(f"/{name}/" in source.names[i] for i in source.validation)
    with pytest.raises(DataError, match=rf"{name} is for validation; hold out nothing more"):
        image_folder(parted, held_out=0.1)


def test_a_folder_of_classes_is_split_by_names(flat: Path) -> None:
    before = named(image_folder(flat), flat)
    assert 4 <= len(before["test"]) <= 20
    for part in PARTS:
        assert {name[0] for name in before[part]} == {"a", "b"}
    fill(flat, [f"a/new{i}.png" for i in range(20)])
    (flat / "b/p3_1.png").unlink()
    after = named(image_folder(flat), flat)
    stayed = {name for name in after["test"] if "new" not in name}
    assert stayed == before["test"] - {"b/p3_1.png"}
    assert len(after["test"]) > len(stayed)
    assert len(named(image_folder(flat, test_share=0.5), flat)["test"]) > 20


@pytest.mark.parametrize("rule", [r"^(p\d)_\d", r"^p\d"])
def test_groups_stay_together(flat: Path, rule: str) -> None:
    source = image_folder(flat, group_by=rule, held_out=0.3, test_share=0.3)
    people = {
        part: {Path(n).name[:2] for n in names} for part, names in named(source, flat).items()
    }
    assert all(people.values())
    assert sum(map(len, people.values())) == len(set.union(*people.values())) == 10
    for names in named(source, flat).values():  # all images of these people
        assert len(names) == 6 * len({Path(n).name[:2] for n in names})


def test_a_person_in_train_and_test_is_refused(flat: Path, tmp_path: Path) -> None:
    folder = tmp_path / "leaky"
    fill(folder, [f"train/{c}/p{p}_{i}.png" for c in "ab" for p in range(6) for i in range(2)])
    fill(folder, [f"test/{c}/p{p}_9.png" for c in "ab" for p in (5, 7)])
    image_folder(folder)
    with pytest.raises(DataError, match="group 'p5' has images in (train|validation) and in test"):
        image_folder(folder, group_by=r"^p\d")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    fill(tmp_path, [f"{c}/{i}.png" for c in ("train", "bus") for i in range(20)])
    assert image_folder(tmp_path).classes == ("bus", "train")


def test_a_hashed_share_is_about_that_share() -> None:
    keys, one_class = [f"{i}.jpg" for i in range(4000)], np.zeros(4000, np.int64)
    tested = hashed_share(keys, one_class, 0.2)
    assert 720 < tested.sum() < 880
    assert (hashed_share(keys, one_class, 0.3) | ~tested).all()
    assert hashed_share(["caf\udce9.jpg"], one_class[:1], 0.999999).all()  # a name, but no UTF-8


@pytest.mark.parametrize("groups", [False, True])
def test_few_images_of_many_classes_are_enough(tmp_path: Path, groups: bool) -> None:
    """By hash or by tenths alone some classes would have none."""
    count = 7 if groups else 4
    names = [f"c{c:02}/{c}-{i}_{j}.png" for c in range(15) for i in range(count) for j in (0, 1)]
    fill(tmp_path, names)
    source = image_folder(tmp_path, group_by=r"^\d+-\d" if groups else None)
    for part in PARTS:
        assert len(np.unique(source.labels[getattr(source, part)])) == 15
    if not groups:
        assert len(source.validation) == 15


def test_each_class_gives_its_part_exactly() -> None:
    labels = np.repeat(np.arange(3), (50, 30, 21))
    kept, out = hold_out(labels, "abc", None, 20, 3, "data")
    assert np.bincount(labels[out]).tolist() == [10, 6, 4]
    assert sorted([*kept, *out]) == [*range(101)]


def test_groups_give_each_class_about_its_part() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    groups = [f"g{i}" for i in rng.integers(0, 60, 600)]
    kept, out = hold_out(labels, "abcd", groups, 120, 0, "data")
    assert not {groups[i] for i in kept} & {groups[i] for i in out}
    share = np.bincount(labels[out]) / np.bincount(labels)
    assert (np.abs(share - 0.2) < 0.06).all()


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of all kinds."""
    folder = tmp_path_factory.mktemp("layouts")
    two = [f"{c}/{i}.png" for c in "ab" for i in range(12)]
    fill(folder / "only train", [f"train/{name}" for name in two])
    fill(folder / "no classes", ["train/0.png", "test/0.png"])
    fill(folder / "one class", [f"a/{i}.png" for i in range(9)])
    fill(folder / "no images", two)
    (folder / "no images/c").mkdir()
    (folder / "nothing").mkdir()
    fill(folder / "new class", [*(f"train/{name}" for name in two), "test/a/0.png", "test/z/0.png"])
    fill(folder / "no test", [f"train/{name}" for name in two])
    (folder / "no test/test/a").mkdir(parents=True)
    fill(folder / "few", ["a/0.png", *(f"b/{i}.png" for i in range(20))])
    fill(folder / "groups", [f"{c}/{c}_{i}.png" for c in "ab" for i in range(12)])
    fill(folder / "fine", two)
    (folder / "a file").write_text("")
    return folder


LAYOUT = "expected FOLDER/train/CLASS"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({}, "there is no such folder"),
    "a file": ({}, "there is no such folder"),
    "nothing": ({}, f"no folders of classes in it; {LAYOUT}"),
    "only train": ({}, f"there is train but no test; {LAYOUT}"),
    "no classes": ({}, f"no folders of classes in it; {LAYOUT}"),
    "one class": ({}, "one class only, 'a'; a classifier needs two"),
    "no images": ({}, "c: no images in it; remove the folder or fill it"),
    "new class": ({}, "no class 'z' among the training images, which have a, b"),
    "no test": ({}, "no test/test: no images in it"),
    "few": ({}, "a: too few images: all are for the test, which is to have 0.2 of all"),
    "groups": ({"group_by": "^."}, "a: too few images: all are for the test"),
    "fine": ({"held_out": 24}, "24 for validation of (1|2). training samples; give a number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_folders_that_cannot_be_used(layouts: Path, case: str) -> None:
    options, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as refused:
        image_folder(layouts / case, **options)
    assert str(layouts / case) in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": 0}, "0 for validation of"),
        ({"held_out": -0.5}, "-0.5 for validation of"),
        ({"held_out": 0.001}, "0.001 for validation of"),
        ({"held_out": float("inf")}, "inf for validation of"),
        ({"held_out": 1}, r"1 for validation of .* for validation at least 2, one of each class"),
        ({"held_out": 0.98}, r"class '[ab]' has no samples left for training; hold out less"),
        ({"test_share": 0.0}, "0 of the images for the test; give a share from 0 to 1"),
        ({"test_share": 1.5}, "1.5 of the images for the test"),
        ({"group_by": "("}, r"'\(' is no regular expression to group by"),
        ({"group_by": "^q"}, r"p\d_\d.png: its name does not match '\^q' to group by"),
    ],
    ids=str,
)
def test_splits_that_cannot_be(flat: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        image_folder(flat, **options)


# ---- pixels ------------------------------------------------------------------------------------


def of_test(folder: Path, size: Any, part: str = "test", **options: Any) -> np.ndarray[Any, Any]:
    """The pixels [N, H, W, C] of a part."""
    options = {"workers": 0, **options}
    task = image_task(image_folder(folder), size, **options)
    return int8_inputs(split_of(task, part)).astype(int) + 128


def with_test_image(folder: Path, image: Any, name: str = "x.png", **options: Any) -> Path:
    """A folder whose first image for the test is this one."""
    fill(folder, [f"train/{c}/{i}.png" for c in "ab" for i in range(9)] + ["test/b/0.png"])
    save(folder / "test/a" / name, image, **options)
    return folder


def test_images_of_the_right_size_stay_as_they_are(parted: Path) -> None:
    task = image_task(image_folder(parted), 8, workers=0)
    assert (task.name, task.classes, task.input_shape) == ("pets", ("cat", "dog"), (8, 8, 3))
    assert (task.scale, task.zero_point) == (1 / 64, 0)
    source = image_folder(parted)
    for part in PARTS:
        rows = getattr(source, part)
        real, labels = batch(split_of(task, part), range(len(rows)))
        assert labels.tolist() == source.labels[rows].tolist()
        expected = np.stack([np.asarray(Image.open(source.names[i])) for i in rows])
        expected = (expected.transpose(0, 3, 1, 2).astype(np.float32) - 128) / 64
        np.testing.assert_array_equal(real.numpy(), expected)


def test_the_middle_of_the_longer_side_is_taken(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, :20], wide[:, 20:40], wide[:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    for name, image in (("wide", wide), ("tall", wide.transpose(1, 0, 2))):
        found = of_test(with_test_image(tmp_path / name, image), 20)[0]
        np.testing.assert_array_equal(found, np.broadcast_to((0, 255, 0), found.shape))
    found = of_test(tmp_path / "wide", (10, 30))[0]
    assert found.shape == (10, 30, 3)
    assert found[:, 2].mean(0).tolist() == [255, 0, 0]
    assert found[:, 27].mean(0).tolist() == [0, 0, 255]


def test_shrinking_takes_in_all_pixels(tmp_path: Path) -> None:
    checkers = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    found = of_test(with_test_image(tmp_path, checkers), 8)[0]
    assert ((found > 120) & (found < 136)).all()


def test_large_jpegs_are_read_at_a_fraction_and_no_less(tmp_path: Path) -> None:
    squares = np.kron(np.indices((50, 50)).sum(0) % 2, np.ones((8, 8))) * 255
    image = Image.fromarray(squares.astype(np.uint8))
    found = of_test(with_test_image(tmp_path, image, "x.jpg", quality=95), 100)[0, ..., 0]
    expected = np.asarray(image.resize((100, 100), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(found - expected).mean() < 12
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_photographs_are_turned(tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat(np.uint8([[0], [255]]), 16, 0).repeat(32, 1))  # dark above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    found = of_test(with_test_image(tmp_path, image, "x.jpg", exif=exif, quality=95), 16)[0]
    assert found[:7].mean() > 240
    assert found[9:].mean() < 15


def test_grey_images(parted: Path) -> None:
    task = image_task(image_folder(parted), 8, channels=1, workers=0)
    assert task.input_shape == (8, 8, 1)
    assert batch(task.train, [0])[0].shape == (1, 1, 8, 8)
    first = Image.open(parted / "test/cat/0.png").convert("L")
    found = int8_inputs(task.test, [0])[0, :, :, 0].astype(int) + 128
    np.testing.assert_array_equal(found, np.asarray(first))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_other_kinds_of_pixels_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (8, 8), "white").convert(mode)
    found = of_test(with_test_image(tmp_path, image, "x.tif" if mode == "CMYK" else "x.png"), 8)
    assert (found[0] == 255).all()


def test_the_default_augmentation_suits_the_size(parted: Path) -> None:
    source = image_folder(parted)
    assert image_task(source, 8, workers=0).augment == ImageAugmentation(shift=1)
    large = image_task(source, 48, workers=0)
    assert isinstance(large.augment, ImageAugmentation)
    assert large.augment.area is not None
    mine = ImageAugmentation(flip=False)
    assert image_task(source, 8, augment=mine, workers=0).augment is mine


# ---- what cannot be read -----------------------------------------------------------------------


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (_truncated, "truncated"),
    "empty": (lambda path: path.write_bytes(b""), "cannot identify image file"),
    "text": (lambda path: path.write_text("not an image"), "cannot identify image file"),
    "postscript": (
        lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"),
        "cannot identify image file",  # which Pillow would have Ghostscript run
    ),
    "16 bits": (
        lambda path: Image.fromarray(np.zeros((8, 8), np.uint16)).save(path),
        r"pixels of more than 8 bits \(mode I;16\); convert it to 8 bits",
    ),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_is_named(
    parted: Path,
    damage: Callable[[Path], object],
    message: str,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_module, "_CHUNK", 2000)  # bytes, so that there are some
    path = parted / "train/cat/7.png"
    damage(path)
    source = image_folder(parted)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{message}") as refused:
        image_task(source, 8, workers=workers)
    assert "\n" not in str(refused.value)


def test_a_link_to_nowhere_is_named(parted: Path) -> None:
    (parted / "train/cat/7.png").unlink()
    (parted / "train/cat/7.png").symlink_to("nowhere")
    with pytest.raises(DataError, match="cat/7.png: cannot be read: No such file"):
        image_folder(parted)


@pytest.mark.parametrize("limit", [10**9, 0], ids=["in memory", "read again"])
def test_images_that_cannot_be_read_may_be_left_out(
    parted: Path, tmp_path: Path, limit: int
) -> None:
    bad = ("train/cat/7.png", "test/dog/2.png")
    for name in bad:
        _truncated(parted / name)
    source, said = image_folder(parted), []
    whole = image_task(source, 8, workers=0, skip_unreadable=True, memory_limit=limit,
                       cache=tmp_path / "cache", progress=said.append)  # fmt: skip
    (line,) = said
    assert all(str(parted / name) in line for name in bad)
    assert len(whole.train) + len(whole.validation) == 29
    assert len(whole.test) == 7
    for part in PARTS:
        split = split_of(whole, part)
        real, labels = batch(split, range(len(split)))
        assert set(labels.tolist()) == {0, 1}
        assert (real != 0).any((1, 2, 3)).all()
    again = image_task(source, 8, workers=0, skip_unreadable=True, memory_limit=limit,
                       cache=tmp_path / "cache")  # fmt: skip
    assert again.key == whole.key
    with pytest.raises(DataError, match="cannot be read as an image"):
        task = image_task(source, 8, workers=0, memory_limit=limit, cache=tmp_path / "cache")
        list(batches(task.train, 4, 0, 0))
        int8_inputs(task.test)


def test_a_class_without_readable_images(parted: Path) -> None:
    for path in (parted / "test/dog").iterdir():
        _truncated(path)
    with pytest.raises(DataError, match="no image of class 'dog' for test can be read: /"):
        image_task(image_folder(parted), 8, workers=0, skip_unreadable=True)


@pytest.mark.parametrize("options", [{"size": 0}, {"size": (8, -1)}, {"channels": 2}], ids=str)
def test_shapes_that_cannot_be(parted: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="task 'pets': images of .* give sizes above 0"):
        image_task(image_folder(parted), **{"size": 8, "workers": 0, **options})


# ---- memory and cache --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_large_folders_are_read_again_and_are_the_same(
    parted: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 5)
    source = image_folder(parted)
    kept = image_task(source, 8, workers=0)
    read = image_task(source, 8, workers=workers, memory_limit=6 * 192)
    assert read.key == kept.key
    for one, other in zip(
        batches(kept.train, 8, 0, 0, augment=kept.augment),
        batches(read.train, 8, 0, 0, augment=read.augment),
        strict=True,
    ):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    for part in ("validation", "test"):
        np.testing.assert_array_equal(
            int8_inputs(split_of(read, part)), int8_inputs(split_of(kept, part))
        )


def test_what_calibrates_and_validates_is_in_memory(
    parted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 5)
    task = image_task(image_folder(parted), 8, workers=0, memory_limit=6 * 192)
    for path in parted.rglob("*.png"):
        path.unlink()
    batch(task.train, range(5))
    batch(task.validation, range(len(task.validation)))
    with pytest.raises(DataError, match="cannot be read as an image"):
        batch(task.train, [5])


def test_the_cache_spares_reading(parted: Path, tmp_path: Path) -> None:
    cache, source = tmp_path / "made/cache", image_folder(parted)
    first = image_task(source, 8, cache=cache, workers=0)
    (file,) = cache.iterdir()
    changed = file.stat().st_mtime_ns
    for path in parted.rglob("*.png"):
        path.unlink()  # after it was listed
    again = image_task(source, 8, cache=cache, workers=0)
    assert again.key == first.key
    assert torch.equal(again.train.dataset.inputs, first.train.dataset.inputs)
    assert [file.stat().st_mtime_ns] == [changed]
    with pytest.raises(DataError, match="cannot be read as an image"):
        image_task(source, 7, cache=cache, workers=0)


def test_the_cache_serves_any_split(parted: Path, tmp_path: Path) -> None:
    image_task(image_folder(parted), 8, cache=tmp_path / "c", workers=0)
    other = image_task(image_folder(parted, seed=5, held_out=9), 8, cache=tmp_path / "c", workers=0)
    assert len([*(tmp_path / "c").iterdir()]) == 1
    fresh = image_task(image_folder(parted, seed=5, held_out=9), 8, workers=0)
    np.testing.assert_array_equal(int8_inputs(other.validation), int8_inputs(fresh.validation))


def test_the_cache_of_large_folders_is_that_of_the_split(
    parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 3)  # as many as validate
    for seed in (1, 2):
        source = image_folder(parted, seed=seed)
        task = image_task(source, 8, cache=tmp_path / "c", workers=0, memory_limit=6 * 192)
        fresh = image_task(source, 8, workers=0)
        for part in ("train", "validation"):
            np.testing.assert_array_equal(
                int8_inputs(split_of(task, part)), int8_inputs(split_of(fresh, part))
            )


def test_a_changed_image_is_read_anew(parted: Path, tmp_path: Path) -> None:
    """Even if it has as many bytes as before."""
    for path in parted.rglob("*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    before = of_test(parted, 8, cache=tmp_path)
    path = parted / "test/cat/0.bmp"
    facts = path.stat()
    Image.fromarray(pixels(99)).save(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert path.stat().st_size == facts.st_size
    after = of_test(parted, 8, cache=tmp_path)
    np.testing.assert_array_equal(after[0], pixels(99))
    np.testing.assert_array_equal(after[1:], before[1:])


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "other", "pickle"])
def test_a_damaged_cache_is_made_anew(parted: Path, tmp_path: Path, damage: str) -> None:
    cache, said = tmp_path / "cache", []
    before = of_test(parted, 8, cache=cache)
    (file,) = cache.iterdir()
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[len(data) // 2] ^= 255
        file.write_bytes(data)
    elif damage == "text":
        file.write_text("cache")
    elif damage == "other":
        np.savez(file, inputs=np.zeros((3, 3)), labels=np.zeros(38, np.int64))
    else:
        np.savez(file, inputs=np.array([object()]), labels=np.zeros(38, np.int64))
    after = of_test(parted, 8, cache=cache, progress=said.append)
    np.testing.assert_array_equal(after, before)
    assert damage == "other" or "is damaged and made anew" in said[0]
    assert [*cache.iterdir()] == [file]
    assert file.stat().st_size == len(data)


def test_a_cache_that_cannot_be_written(parted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="cannot write"):
        image_task(image_folder(parted), 8, cache=tmp_path / "file" / "cache", workers=0)


def test_the_key_tells_images_and_splits_apart(parted: Path, tmp_path: Path) -> None:
    source = image_folder(parted)
    keys = [
        image_task(source, 8, workers=0).key,
        image_task(source, 9, workers=0).key,
        image_task(source, (8, 9), workers=0).key,
        image_task(source, 8, channels=1, workers=0).key,
        image_task(source, 8, augment=ImageAugmentation(), workers=0).key,
        image_task(image_folder(parted, seed=1), 8, workers=0).key,
        image_task(image_folder(parted, held_out=4), 8, workers=0).key,
    ]
    fill(parted, ["train/cat/20.png"])
    keys.append(image_task(image_folder(parted), 8, workers=0).key)
    assert len({*keys}) == len(keys)
    parted.rename(tmp_path / "elsewhere")
    os.utime(tmp_path / "elsewhere/train/cat/0.png")
    assert image_task(image_folder(tmp_path / "elsewhere"), 8, workers=0).key == keys[-1]


# ---- CIFAR-10 ----------------------------------------------------------------------------------

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
