"""The MobileNetV2 family of docs/memory.md and what it is compared with."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from xml.etree import ElementTree

import pytest

from thumbnet.codegen.arena import Block
from thumbnet.codegen.tflm_memory import greedy_arena, whole_tensors
from thumbnet.tools.family import (
    Member,
    family_svg,
    member,
    mobilenet_v2,
    table_head,
    table_row,
)
from thumbnet.tools.random_graphs import Net

PAGE = Path(__file__).parents[2] / "docs" / "memory.md"


@pytest.fixture(scope="module")
def smallest() -> Member:
    return member(0.35, 96)


def test_greedy_places_the_largest_first_and_fills_the_lowest_gap() -> None:
    a, b = Block("a", 100, 0, 1), Block("b", 60, 1, 2)
    assert greedy_arena([]) == 0
    assert greedy_arena([b]) == 60
    assert greedy_arena([b, a]) == 160
    assert greedy_arena([a, Block("after a", 60, 2, 3)]) == 100
    # a at 0, b on it at 100; c meets b only, so it goes below b, d into the gap that c leaves
    c, d = Block("c", 50, 2, 3), Block("d", 40, 2, 4)
    assert greedy_arena([d, c, b, a]) == 160
    assert greedy_arena([Block("e", 20, 2, 4), d, c, b, a]) == 180  # 10 bytes are left below b


def test_greedy_is_not_optimal() -> None:
    """At no step more than 4 are in use, yet the largest at 0 leaves holes of the wrong size."""
    buffers = [
        Block("p", 3, 1, 1),
        Block("q", 2, 2, 3),
        Block("r", 1, 1, 2),
        Block("s", 2, 3, 3),
    ]
    assert greedy_arena(buffers) == 5


def test_tensors_live_from_their_maker_to_their_last_reader() -> None:
    net = Net(0)
    x = net.input(1, 4, 4, 3)
    y = net.conv(x, 3)
    z = net.binary("ADD", y, net.conv(y, 3))
    graph = net.graph("net", z)
    found = [(b.nbytes, b.first, b.last) for b in whole_tensors(graph)]
    assert found == [(48, 0, 0), (48, 0, 2), (48, 1, 2), (48, 2, 2)]


@pytest.mark.parametrize(("width", "resolution", "macs"), [(1.0, 224, 300e6), (0.35, 96, 11e6)])
def test_the_family_is_the_published_one(width: float, resolution: int, macs: float) -> None:
    graph = mobilenet_v2(width, resolution)
    assert len(graph.operators) == 52 + 10 + 3  # convolutions, additions, the head
    assert graph.macs == pytest.approx(macs, rel=0.1)


def test_rows_need_less_than_both_others(smallest: Member) -> None:
    assert smallest.fed < smallest.whole < smallest.in_place < smallest.greedy
    assert smallest.whole < 0.3 * smallest.in_place


def test_the_table_is_fresh(smallest: Member) -> None:
    page = PAGE.read_text(encoding="utf-8")
    wanted = "run python -m thumbnet.tools.family -o docs/pictures"
    assert f"{table_head()}\n{table_row(smallest)}\n" in page, wanted


def test_the_picture_shows_every_value(smallest: Member) -> None:
    drawn = "".join(ElementTree.fromstring(family_svg([smallest])).itertext())
    sizes = {f.name: getattr(smallest, f.name) for f in fields(Member)}
    for name in ("greedy", "in_place", "whole", "fed"):
        assert f"{sizes[name]:,} bytes" in drawn
