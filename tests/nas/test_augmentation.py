"""Random changes of images: what may happen, and that parts of a batch see the same."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

import torch
from torch import Tensor

from thumbnet.codegen.errors import DataError
from thumbnet.nas.augmentation import Draws, ImageAugmentation, default_augmentation

SHAPE = (24, 3, 12, 10)


@pytest.fixture
def images() -> Tensor:
    """On the grid of int8 inputs, and never 0."""
    rng = np.random.default_rng(0)
    q = rng.integers(1, 128, SHAPE) * rng.choice([-1, 1], SHAPE)
    return torch.from_numpy(q.astype(np.float32) / 64)


def test_shifts_and_mirrors_are_those_drawn(images: Tensor) -> None:
    augment = ImageAugmentation(shift=3)
    draws = augment.draw(SHAPE, np.random.default_rng(1))
    before = images.clone()
    changed = augment.apply(images, draws, 0).numpy()
    assert torch.equal(images, before)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (3, 3), (3, 3)))
    for i, ((down, right), flip) in enumerate(zip(draws.shifts, draws.flips, strict=True)):
        expected = padded[i, :, 3 - down : 15 - down, 3 - right : 13 - right]
        np.testing.assert_array_equal(changed[i], expected[..., ::-1] if flip else expected)
    assert {*draws.shifts.flat} == {-3, -2, -1, 0, 1, 2, 3}
    assert {*draws.flips} == {True, False}


def test_half_of_the_images_are_mirrored_or_none() -> None:
    rng = np.random.default_rng(2)
    shape = (4000, 1, 2, 2)
    assert 0.45 < ImageAugmentation().draw(shape, rng).flips.mean() < 0.55
    assert not ImageAugmentation(flip=False).draw(shape, rng).flips.any()


def test_nothing_may_happen(images: Tensor) -> None:
    augment = ImageAugmentation(shift=0, flip=False)
    assert torch.equal(augment(images, np.random.default_rng(3)), images)


def test_a_mirror_alone(images: Tensor) -> None:
    augment = ImageAugmentation(shift=0)
    draws = augment.draw(SHAPE, np.random.default_rng(3))
    expected = torch.where(
        torch.from_numpy(draws.flips)[:, None, None, None], images.flip(3), images
    )
    assert torch.equal(augment.apply(images, draws, 0), expected)


@pytest.mark.parametrize("side", [3, 4])
def test_cutout_is_a_square_within_the_image(images: Tensor, side: int) -> None:
    augment = ImageAugmentation(shift=0, flip=False, cutout=side)
    draws = augment.draw(SHAPE, np.random.default_rng(4))
    changed = augment.apply(images, draws, 0)
    for i, (row, column) in enumerate(draws.centres):
        top, left = row - side // 2, column - side // 2
        expected = images[i].clone()
        expected[:, max(top, 0) : top + side, max(left, 0) : left + side] = 0
        assert torch.equal(changed[i], expected)
        assert (changed[i] == 0).any()
    anywhere = augment.draw((2000, *SHAPE[1:]), np.random.default_rng(4)).centres
    assert (anywhere.min(0).tolist(), anywhere.max(0).tolist()) == ([0, 0], [11, 9])


def test_crops_take_the_box_that_was_drawn() -> None:
    """Bilinear reading of a ramp gives the ramp of the box."""
    size = 32
    ramp = torch.arange(size, dtype=torch.float32).expand(1, 1, size, size)
    images = torch.cat((ramp, ramp.transpose(2, 3)), 1).repeat(2, 1, 1, 1)
    box = (0.25, 0.125, 0.5, 0.75)  # top, left, height, width
    none = np.zeros((2, 2), np.int64)
    draws = Draws(none, np.array([False, True]), none, np.array([box, box]))
    augment = ImageAugmentation(shift=0, area=(0.1, 1.0))
    plain, mirrored = augment.apply(images, draws, 0)
    middles = (np.arange(size) + 0.5) / size
    columns = size * (box[1] + box[3] * middles) - 0.5
    rows = size * (box[0] + box[2] * middles) - 0.5
    np.testing.assert_allclose(plain[0], np.tile(columns, (size, 1)), atol=1e-4)
    np.testing.assert_allclose(plain[1].T, np.tile(rows, (size, 1)), atol=1e-4)
    assert torch.allclose(mirrored, plain.flip(2), atol=1e-4)


def test_the_whole_image_is_a_crop(images: Tensor) -> None:
    square = images[:, :, :10]
    augment = ImageAugmentation(shift=0, flip=False, area=(1.0, 1.0), ratio=(1.0, 1.0))
    assert torch.allclose(augment(square, np.random.default_rng(5)), square, atol=1e-5)


def test_boxes_lie_within_and_have_the_areas_and_ratios_asked_for() -> None:
    augment = ImageAugmentation(area=(0.2, 0.5), ratio=(0.5, 1.5))
    boxes = augment.draw((5000, 3, 40, 80), np.random.default_rng(6)).boxes
    assert boxes is not None
    top, left, height, width = boxes.T
    assert (boxes >= 0).all()
    assert (top + height <= 1 + 1e-9).all()
    assert (left + width <= 1 + 1e-9).all()
    uncut = height < 1
    ratio = (2 * width / height)[uncut]  # of pixels: the image is twice as wide as high
    area = (width * height)[uncut]
    assert 0.5 - 1e-9 < ratio.min() < 0.55
    assert 1.45 < ratio.max() < 1.5 + 1e-9
    assert 0.2 - 1e-9 < area.min() < 0.21
    assert 0.49 < area.max() < 0.5 + 1e-9


VARIANTS = {
    "shift": ImageAugmentation(),
    "cutout": ImageAugmentation(cutout=5),
    "crop": ImageAugmentation(shift=0, area=(0.3, 1.0)),
    "all": ImageAugmentation(shift=2, cutout=4, area=(0.3, 1.0)),
}


@pytest.mark.parametrize("augment", VARIANTS.values(), ids=VARIANTS)
def test_parts_of_a_batch_are_changed_as_the_whole(
    images: Tensor, augment: ImageAugmentation
) -> None:
    whole = augment(images, np.random.default_rng(7))
    draws = augment.draw(SHAPE, np.random.default_rng(7))
    parts = [augment.apply(images[at : at + 8], draws, at) for at in (0, 8, 16)]
    assert torch.equal(torch.cat(parts), whole)
    assert whole.shape == images.shape
    assert not torch.equal(augment(images, np.random.default_rng(8)), whole)
    assert float(whole.min()) >= float(images.min())
    assert float(whole.max()) <= float(images.max())


def test_channels_last_is_the_same(images: Tensor) -> None:
    augment = VARIANTS["all"]
    other = images.contiguous(memory_format=torch.channels_last)
    rngs = (np.random.default_rng(9) for _ in range(2))
    assert torch.allclose(*(augment(x, rng) for x, rng in zip((images, other), rngs, strict=True)))


def test_the_default_suits_the_size() -> None:
    assert default_augmentation(32, 32) == ImageAugmentation()
    assert default_augmentation(20, 28).shift == 2
    assert default_augmentation(4, 4).shift == 1
    assert default_augmentation(32, 32).area is None
    assert default_augmentation(96, 96).area is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"shift": -1},
        {"cutout": -2},
        {"area": (0.0, 1.0)},
        {"area": (0.9, 0.2)},
        {"area": (0.5, 1.5)},
        {"ratio": (0.0, 1.0)},
        {"ratio": (2.0, 1.0)},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong))):
        ImageAugmentation(**wrong)  # type: ignore[arg-type]
