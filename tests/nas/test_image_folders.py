"""Folders of images: their classes and parts, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("PIL", reason="needs Pillow")

from image_files import PARTS, fill, named, pets

from thumbnet.codegen.errors import DataError
from thumbnet.nas.image_source import image_folder
from thumbnet.nas.splitting import hashed_share, hold_out


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    return pets(tmp_path / "pets")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Of 2 classes 30 images each, of 10 people."""
    folder = tmp_path / "people"
    fill(folder, [f"{c}/p{p}_{i}.png" for c in ("a", "b") for p in range(10) for i in range(3)])
    return folder


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
