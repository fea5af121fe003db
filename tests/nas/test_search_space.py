"""Search spaces: what is drawn lies in them, and templates scale as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from thumbnet.codegen.errors import DataError, ModelFormatError
from thumbnet.nas.architecture import checked, macs, parameters
from thumbnet.nas.search_space import (
    IMAGES,
    SPECTROGRAMS,
    TEMPLATES,
    Choice,
    SearchSpace,
    Stage,
    SubNetwork,
    crossover,
    make_divisible,
    mutate,
    sample,
)

SHAPES = {"images": (96, 96, 3), "small-images": (32, 32, 3), "spectrograms": (49, 40, 1)}


def one_space(name: str) -> SearchSpace:
    """The middle one, with squeeze-and-excite among the choices."""
    template = replace(TEMPLATES[name], squeezes=(False, True))
    spaces = list(template.spaces(SHAPES[name], 10))
    return spaces[len(spaces) // 2]


def assert_in(space: SearchSpace, chosen: SubNetwork) -> None:
    assert len(chosen) == len(space.stages)
    for stage, choices in zip(space.stages, chosen, strict=True):
        assert len(choices) in stage.depths
        assert set(choices) <= set(space.stage_choices[stage])
    checked(space.architecture(chosen), "drawn")


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_drawn_lies_in_the_space(name: str) -> None:
    space, rng = one_space(name), np.random.default_rng(0)
    pool = [space.smallest, space.largest]
    for i in range(300):
        a, b = (pool[int(rng.integers(len(pool)))] for _ in range(2))
        drawn = (
            sample(space, rng),
            mutate(space, a, (0.0, 0.1, 1.0)[i % 3], rng),
            crossover(a, b, rng),
        )
        for chosen in drawn:
            assert_in(space, chosen)
        pool += drawn


@pytest.mark.parametrize("name", TEMPLATES)
def test_sampling_reaches_every_choice_and_depth(name: str) -> None:
    space, rng = one_space(name), np.random.default_rng(0)
    drawn = [sample(space, rng) for _ in range(600)]
    for i, stage in enumerate(space.stages):
        depths = [len(chosen[i]) for chosen in drawn]
        share = 1 / len(stage.depths)
        assert {depth: depths.count(depth) / 600 for depth in stage.depths} == pytest.approx(
            dict.fromkeys(stage.depths, share), abs=0.08
        )
        assert {choice for chosen in drawn for choice in chosen[i][:1]} == set(
            space.stage_choices[stage]
        )


def test_the_same_seed_draws_the_same() -> None:
    space = one_space("images")

    def drawn(seed: int) -> list[SubNetwork]:
        rng = np.random.default_rng(seed)
        a, b = sample(space, rng), sample(space, rng)
        return [a, b, mutate(space, a, 0.3, rng), crossover(a, b, rng)]

    assert drawn(4) == drawn(4) != drawn(5)


def test_mutation_changes_as_much_as_its_rate_says() -> None:
    space, rng = one_space("images"), np.random.default_rng(0)
    parent = space.largest
    assert all(mutate(space, parent, 0.0, rng) == parent for _ in range(20))
    changed = same_depth = 0
    for _ in range(500):
        for stage, before, after in zip(
            space.stages, parent, mutate(space, parent, 0.1, rng), strict=True
        ):
            if len(stage.depths) > 1:
                same_depth += len(before) == len(after)
            changed += sum(a.kernel != b.kernel for a, b in zip(before, after, strict=False))
    elastic = sum(len(stage.depths) > 1 for stage in space.stages)
    assert same_depth / (500 * elastic) == pytest.approx(1 - 0.1 * 2 / 3, abs=0.02)
    kernels = sum(len(choices) for choices in parent)
    assert changed / (500 * kernels) == pytest.approx(0.1 * 2 / 3, abs=0.02)


def test_a_child_takes_from_both_parents_and_nothing_else() -> None:
    space, rng = one_space("images"), np.random.default_rng(0)
    a, b = space.smallest, space.largest
    children = [crossover(a, b, rng) for _ in range(200)]
    for child in children:
        for one, other, mixed in zip(a, b, child, strict=True):
            assert len(mixed) in {len(one), len(other)}
            assert set(mixed) <= {*one, *other}
    assert len(set(children)) > 150
    assert crossover(a, a, rng) == a


def test_smallest_and_largest_bound_every_network() -> None:
    rng = np.random.default_rng(3)
    for name in TEMPLATES:
        space = one_space(name)
        least, most = space.architecture(space.smallest), space.architecture(space.largest)
        for _ in range(50):
            drawn = space.architecture(sample(space, rng))
            if space.pad_rows:  # else larger kernels leave fewer rows to later layers
                assert macs(least) <= macs(drawn) <= macs(most)
            assert parameters(least) <= parameters(drawn) <= parameters(most)


def test_size_counts_every_sub_network() -> None:
    space = replace(
        one_space("small-images"),
        stages=(Stage(8, (1, 1), (1, 2)), Stage(16, (2, 2), (1,))),
        kernels=((3, 3), (5, 5)),
        expansions=(3,),
        squeezes=(False,),
    )
    rng = np.random.default_rng(0)
    assert space.size == (2 + 4) * 2 == len({sample(space, rng) for _ in range(500)})


def test_what_an_architecture_has_of_its_choices() -> None:
    space = IMAGES.space(0.5, (96, 96, 3), (2, 2), 10)
    choices = tuple(
        tuple(Choice((5, 5), 4, squeeze=i == 0) for i in range(stage.depths[-1]))
        for stage in space.stages
    )
    made = replace(space, squeezes=(False, True)).architecture(choices)
    first, second, third = made.blocks[:3]
    assert (first.channels, first.expanded, first.kernel) == (8, 0, (3, 3))
    assert (second.channels, second.expanded, second.stride) == (16, 32, (2, 2))
    assert second.squeeze == 8 and not second.residual
    assert (third.channels, third.expanded, third.stride) == (16, 64, (1, 1))
    assert third.squeeze == 0 and third.residual


@pytest.mark.parametrize(
    ("channels", "divisor", "expected"),
    [(8, 8, 8), (1, 8, 8), (11.9, 8, 16), (12, 8, 16), (20, 8, 24), (35.2, 8, 32), (3.2, 4, 4)],
)
def test_make_divisible(channels: float, divisor: int, expected: int) -> None:
    assert make_divisible(channels, divisor) == expected


def test_make_divisible_is_near_and_not_a_tenth_below() -> None:
    for tenths in range(1, 4000):
        for divisor in (4, 8):
            rounded = make_divisible(tenths / 10, divisor)
            assert rounded % divisor == 0 and rounded >= max(divisor, 0.9 * tenths / 10)
            assert rounded - tenths / 10 <= divisor


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_give_every_width_resolution_and_stride(name: str) -> None:
    spaces = list(TEMPLATES[name].spaces((224, 224, 3), 10))
    template = TEMPLATES[name]
    assert len(spaces) == len(template.widths) * len(template.stem_strides) * max(
        1, len(template.resolutions)
    )
    assert len({space.name for space in spaces}) == len(spaces)
    assert [space.width for space in spaces] == sorted(space.width for space in spaces)
    for space in spaces:
        widths = [space.stem.channels, *(stage.channels for stage in space.stages)]
        assert all(channels % template.divisor == 0 for channels in widths)
    full = next(space for space in spaces if space.width == 1.0)
    assert [stage.channels for stage in full.stages] == [s.channels for s in template.stages]


def test_resolutions_above_the_task_are_left_out() -> None:
    assert {space.input_shape[0] for space in IMAGES.spaces((96, 110, 3), 2)} == {48, 64, 80, 96}
    with pytest.raises(DataError, match="inputs of 40x64 are smaller than its least resolution"):
        list(IMAGES.spaces((40, 64, 3), 2))


def test_a_spectrogram_that_is_too_short_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="search space 'spectrograms' w0.5.*no rows left"):
        list(SPECTROGRAMS.spaces((12, 40, 1), 2))


def test_unpadded_time_allows_every_depth_and_kernel() -> None:
    for space in SPECTROGRAMS.spaces((49, 40, 1), 12):
        rows = list(space.architecture(space.largest).sizes())
        assert rows[-1][0] >= 1 and rows[-1][0] < rows[0][0]
