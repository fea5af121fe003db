"""`thumbnet bench --kernels`: its rows, its picture, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import refusal_of, thumbnet

from thumbnet.codegen.errors import ToolError
from thumbnet.tools import kernel_bench
from thumbnet.tools.kernel_bench import FLOORS, Case, cases, draw, measure
from thumbnet.tools.session import place_named


def smallest() -> list[Case]:
    """One case of each kind."""
    found = {case.kind: case for case in reversed(list(cases()))}
    return [found[kind] for kind in FLOORS]


def test_every_kind_is_measured_and_none_is_below_its_floor(qemu: None, tmp_path: Path) -> None:
    place = place_named("mps2-an386")
    rows = [measure(case, place, "balanced") for case in smallest()]
    assert [row["kind"] for row in rows] == list(FLOORS)
    for row in rows:
        assert row["cycles_per_mac"] == row["cycles"] / row["macs"] > row["floor"]
    pytest.importorskip("matplotlib")
    draw(rows, tmp_path / "kernels.png")
    assert (tmp_path / "kernels.png").read_bytes().startswith(b"\x89PNG")


def test_shapes_are_told_apart() -> None:
    names = [(case.kind, case.shape) for case in cases()]
    assert len(names) == len(set(names)) > 40


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="emulated boards, not on 'host'"):
        measure(next(kernel_bench.cases()), place_named("host"), "balanced")
    for words in ((), ("--kernels", "x.tflite"), ("x.tflite", "--picture", "x.png")):
        kind, text = refusal_of(thumbnet(tmp_path, "bench", *words, "--json"), 2)
        assert kind == "usage" and "give models, or --kernels" in text
