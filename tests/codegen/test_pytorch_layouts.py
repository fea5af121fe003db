"""Layouts of PyTorch's views: the same elements of the same memory."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("torchao")

from thumbnet.codegen.frontends.pytorch.layout import (
    Layout,
    layout_of,
    permuted,
    reshaped,
)
from thumbnet.codegen.frontends.pytorch.values import from_graph, to_graph

Shape = tuple[int, ...]


@pytest.mark.parametrize("seed", range(40))
def test_layout_follows_views(seed: int) -> None:
    """Random views and permutations: the layout finds every element where memory has it."""
    random = np.random.default_rng(seed)
    shape = (1, 4, 6, 5)
    array = np.arange(120).reshape(shape)
    layout = layout_of(shape, (0, 2, 3, 1))
    memory = to_graph(array, layout)
    for _ in range(6):
        if random.random() < 0.5:
            order = [int(d) for d in random.permutation(array.ndim)]
            array, layout = array.transpose(order), permuted(layout, order)
        else:
            target = _random_shape(random, array.size)
            found = reshaped(layout, target)
            if found is None:
                continue
            array, layout = array.reshape(target), found
        assert layout.shape == array.shape
        np.testing.assert_array_equal(from_graph(memory, layout), array)
        np.testing.assert_array_equal(to_graph(array, layout), memory)


def test_a_view_across_the_memory_is_not_a_layout() -> None:
    assert reshaped(Layout((6, 5), ((0,), (1,)), (1, 0)), (10, 3)) is None


def _random_shape(random: np.random.Generator, size: int) -> Shape:
    shape, rest = [], size
    while rest > 1 and len(shape) < 4:
        divisors = [d for d in range(1, rest + 1) if rest % d == 0]
        shape.append(int(random.choice(divisors)))
        rest //= shape[-1]
    return (*shape, rest)
