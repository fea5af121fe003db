"""Folders of pictures per identity, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.apps.face_unlock.drawn_faces import HEIGHT, WIDTH, drawn_face, make_folder
from thumbnet.apps.camera.crop import crop_face
from thumbnet.apps.face_unlock.dataset import (
    HELD_OUT,
    VALIDATION,
    drawn,
    face_window,
    load_faces,
    picture_with_margin,
    read_face,
    read_identities,
    read_names,
)
from thumbnet.codegen.errors import DataError


def test_identities_and_pictures_come_in_order_of_name(tmp_path: Path) -> None:
    make_folder(tmp_path, people=3, takes=2)
    (tmp_path / "person-001" / "notes.txt").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no folder")
    identities = read_identities(tmp_path)
    assert [i.name for i in identities] == ["person-000", "person-001", "person-002"]
    assert [p.name for p in identities[1].paths] == ["take-0.png", "take-1.png"]
    faces = load_faces(identities, 48)
    assert faces.pictures.shape == (6, 48, 48)
    assert faces.identities.tolist() == [0, 0, 1, 1, 2, 2]
    window = face_window(HEIGHT, WIDTH)
    expected = crop_face(drawn_face(1, 1), window, 48)
    assert np.array_equal(faces.inputs[3], expected)
    named = read_identities(tmp_path, ["person-002", "person-000"])
    assert [i.name for i in named] == ["person-000", "person-002"]


@pytest.mark.parametrize(("height", "width"), [(112, 92), (112, 112), (480, 640), (100, 60)])
def test_the_window_is_a_centred_square_within_the_picture(height: int, width: int) -> None:
    window = face_window(height, width)
    right, bottom = window.left + window.size, window.top + window.size
    assert 0 <= window.top <= height - bottom <= window.top + 1
    assert 0 <= window.left <= width - right <= window.left + 1
    assert window.size == min(width, height * 13 // 16)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".pgm", ".bmp", ".TIFF"])
def test_any_format_in_grey_or_colour(suffix: str, tmp_path: Path) -> None:
    grey = drawn_face(4, 0)
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(grey).save(path)
    near = 3 if suffix == ".jpg" else 0  # the mean difference
    assert np.abs(read_face(path).astype(int) - grey).mean() <= near
    if suffix != ".pgm":
        Image.fromarray(grey).convert("RGB").save(path)
        assert np.abs(read_face(path).astype(int) - grey).mean() <= near


def test_a_picture_is_turned_as_it_says(tmp_path: Path) -> None:
    grey = drawn_face(4, 0)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(grey[::-1, ::-1]).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_face(tmp_path / "a.png"), grey)


def test_transparent_and_indexed_pictures(tmp_path: Path) -> None:
    grey = Image.fromarray(drawn_face(4, 0))
    for mode in ("LA", "RGBA", "P"):
        grey.convert(mode).save(tmp_path / "a.png")
        assert np.array_equal(read_face(tmp_path / "a.png"), drawn_face(4, 0)), mode


def test_a_margin_lies_around_the_networks_picture() -> None:
    rows = np.arange(112, dtype=np.uint8)[:, None].repeat(112, 1)
    picture = picture_with_margin(rows, 64, 8, Path("rows"))
    assert picture.shape == (80, 80)
    inside = crop_face(rows, face_window(112, 112), 64).astype(int) + 128
    assert np.abs(picture[8:72, 8:72].astype(int) - inside).max() <= 2  # of 91 rows
    narrow = picture_with_margin(rows[:, :60], 48, 8, Path("rows"))  # goes on with its border
    assert narrow.shape == (64, 64) and np.ptp(narrow, axis=1).max() == 0


def test_identities_are_drawn_by_their_names_alone(tmp_path: Path) -> None:
    identities = read_identities(make_folder(tmp_path, people=12, takes=3))
    first = drawn(identities, 4)
    assert drawn(tuple(reversed(identities)), 4) == first
    assert drawn(identities, 6)[:4] == first
    with pytest.raises(DataError, match="13 identities .* there are 12"):
        drawn(identities, 13)
    with pytest.raises(DataError, match="2 to 2"):
        drawn(identities, 1, most=2)


def test_the_lists_that_come_with_it() -> None:
    held_out, validation = read_names(HELD_OUT), read_names(VALIDATION)
    assert len(held_out) == 100 and len(validation) == 75
    assert not set(held_out) & set(validation)


def test_folders_that_are_not_of_the_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_identities(tmp_path / "none")
    with pytest.raises(DataError, match="no folders in it; expected"):
        read_identities(tmp_path)
    (tmp_path / "anna").mkdir()
    with pytest.raises(DataError, match="anna: no pictures"):
        read_identities(tmp_path)
    Image.fromarray(drawn_face(0, 0)).save(tmp_path / "anna" / "a.png")
    with pytest.raises(DataError, match=r"no folder of identity 'ben' \(and 1 more\)"):
        read_identities(tmp_path, ["anna", "ben", "clara"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "names no identity"),
        ("# nobody\n\n", "names no identity"),
        ("anna\nben\nanna\n", "names 'anna' more than once"),
        (b"\xff\xfe\x00", "cannot read this list"),
    ],
)
def test_lists_that_are_wrong(content: str | bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_names(file)
    with pytest.raises(DataError, match="cannot read this list"):
        read_names(tmp_path / "none.txt")


def test_names_may_have_comments(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("# people\nanna  # first\n\nben\n")
    assert read_names(tmp_path / "names.txt") == ("anna", "ben")


def test_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    own = tmp_path / "data" / "anna"
    own.mkdir(parents=True)
    path = own / "a.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"anna/a\.png: cannot read"):
        load_faces(read_identities(own.parent), 48)
    Image.fromarray(drawn_face(0, 0)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"anna/a\.png: cannot read"):
        read_face(path)
    Image.fromarray(np.full((60, 60), 40000, np.uint16)).save(path)
    with pytest.raises(DataError, match="no fixed white"):
        read_face(path)
    Image.fromarray(drawn_face(0, 0)[:50, :50]).save(path)
    with pytest.raises(DataError, match="50x50 pixels leave a face of 40; the network sees 48"):
        load_faces(read_identities(own.parent), 48)
