"""Images as tasks: pixels, broken files, memory and caches."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("PIL", reason="needs Pillow")

import torch
from image_files import PARTS, fill, pets, pixels, save, split_of
from PIL import Image

from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.nas import image_task as module
from thumbnet.nas import task as task_module
from thumbnet.nas.augmentation import ImageAugmentation
from thumbnet.nas.image_source import image_folder
from thumbnet.nas.image_task import image_task
from thumbnet.nas.task import batch, batches, int8_inputs


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    return pets(tmp_path / "pets")


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
