"""The firmware's integers against their twins in Python: the crop, and the match."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cffi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from thumbnet import apps
from thumbnet.apps.camera.crop import Window, crop_face, grey_from_rgb565
from thumbnet.apps.face_unlock import match

APPS = Path(apps.__file__).resolve().parent
FIRMWARE = APPS / "face_unlock" / "firmware"
SOURCE = """
#include "crop.h"
#include "face_match.h"
/* Rows of a picture that a frame gives. */
int crop(const uint8_t *frame, uint32_t rows, uint32_t row_bytes, const tn_crop_window *window,
         uint32_t *sums, int8_t *picture) {
    tn_crop crop;
    int made = 0;
    tn_crop_begin(&crop, sums, window->picture);
    for (uint32_t y = 0; y < rows; y++) {
        if (tn_crop_row(&crop, window, frame + y * row_bytes, picture)) {
            picture += window->picture * window->channels;
            made++;
        }
    }
    return made;
}
"""
DECLARATIONS = """
typedef struct { uint32_t top, left, size, picture, channels, rgb565; } tn_crop_window;
int crop(const uint8_t *frame, uint32_t rows, uint32_t row_bytes, const tn_crop_window *window,
         uint32_t *sums, int8_t *picture);
void tn_face_unit(int32_t *values, uint32_t count, int16_t *unit);
int32_t tn_face_cosine(const int16_t *a, const int16_t *b, uint32_t count);
"""
FFI = cffi.FFI()
FFI.cdef(DECLARATIONS)


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("match")
    (folder / "crop.c").write_text(SOURCE)
    command = [
        "gcc", "-std=c11", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wconversion",
        "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all",
        "-fsanitize-undefined-trap-on-error", f"-I{FIRMWARE}",
        f"-I{APPS / 'camera'}", "crop.c",
        str(FIRMWARE / "face_match.c"), "-o", "twin.so",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return FFI.dlopen(str(folder / "twin.so"))


# --- match ----------------------------------------------------------------------------------------


def unit_in_c(c, values: NDArray[np.integer]) -> NDArray[np.int16]:
    given_values = values.astype(np.int32)
    made = np.empty(len(given_values), np.int16)
    c.tn_face_unit(
        FFI.from_buffer("int32_t[]", given_values), len(made), FFI.from_buffer("int16_t[]", made)
    )
    return made


EMBEDDINGS = st.lists(st.integers(-255, 255), min_size=1, max_size=512)
VECTORS = st.one_of(EMBEDDINGS, st.lists(st.integers(-(2**30) + 1, 2**30 - 1), min_size=1))


@settings(max_examples=300, deadline=None)
@given(VECTORS)
def test_unit_vectors_are_the_twins(c, values: list[int]) -> None:
    vector = np.array(values)
    found = unit_in_c(c, vector)
    np.testing.assert_array_equal(found, match.unit(vector))
    exact = vector / max(np.linalg.norm(vector), 1e-9) * match.ONE
    assert np.abs(found - exact).max() <= 4


@pytest.mark.parametrize("value", [1, -1, 127, -255, 2**30 - 1, -(2**30) + 1])
@pytest.mark.parametrize("count", [1, 2, 512])
def test_the_ends_of_the_range(c, value: int, count: int) -> None:
    vector = np.full(count, value)
    found = unit_in_c(c, vector)
    np.testing.assert_array_equal(found, match.unit(vector))
    assert abs(match.cosine(found, found) - match.ONE) <= 4 * np.sqrt(count)


def test_all_zeros_point_nowhere(c) -> None:
    assert not unit_in_c(c, np.zeros(5)).any()
    assert not match.unit(np.zeros(5, np.int32)).any()


def test_cosines_are_the_twins_and_the_real_ones(c) -> None:
    random = np.random.default_rng(3)
    for count in (1, 31, 128, 512):
        a, b = random.integers(-255, 256, (2, count))
        units = match.unit(a), match.unit(b)
        buffers = [FFI.from_buffer("int16_t[]", each) for each in units]
        found = c.tn_face_cosine(*buffers, count)
        assert found == match.cosine(*units)
        real = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert abs(found / match.ONE - real) < 1e-3


def test_a_template_lies_between_its_frames() -> None:
    random = np.random.default_rng(4)
    middle = random.normal(size=64) * 60
    frames = [np.rint(middle + random.normal(size=64) * 40).astype(int) for _ in range(16)]
    made = match.template(frames)
    assert match.cosine(made, match.unit(np.rint(middle).astype(int))) > 0.97 * match.ONE
    assert all(match.cosine(made, match.unit(each)) < 0.97 * match.ONE for each in frames)


# --- crop -----------------------------------------------------------------------------------------


def crop_in_c(c, frame: NDArray[np.uint8], window: Window, side: int, channels: int, rgb565: int):
    row_bytes = frame.shape[1]
    made = np.zeros((side, side, channels), np.int8)
    given_window = FFI.new(
        "tn_crop_window *", [window.top, window.left, window.size, side, channels, rgb565]
    )
    rows = c.crop(
        FFI.from_buffer("uint8_t[]", frame), len(frame), row_bytes, given_window,
        FFI.new("uint32_t[]", side), FFI.from_buffer("int8_t[]", made),
    )  # fmt: skip
    assert rows == side
    return made


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_window_gives_the_twins_bytes(c, data: st.DataObject) -> None:
    height = data.draw(st.integers(1, 50))
    width = data.draw(st.integers(1, 60))
    size = data.draw(st.integers(1, min(height, width)))
    side = data.draw(st.integers(1, size))
    window = Window(
        data.draw(st.integers(0, height - size)), data.draw(st.integers(0, width - size)), size
    )
    rgb565, channels = data.draw(st.integers(0, 1)), data.draw(st.sampled_from([1, 3]))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    frame = random.integers(0, 256, (height, width * (1 + rgb565)), np.uint8)
    grey = grey_from_rgb565(frame.view(">u2").astype(np.uint16)) if rgb565 else frame
    found = crop_in_c(c, frame, window, side, channels, rgb565)
    for channel in range(channels):
        np.testing.assert_array_equal(found[..., channel], crop_face(grey, window, side))


def test_qvga_in_white(c) -> None:
    frame = np.full((240, 640), 255, np.uint8)
    assert (crop_in_c(c, frame, Window(0, 40, 240), 112, 3, 1) == 127).all()
