"""What a search promised against what was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from thumbnet.nas.cost import Deployment, Limits, NetworkCost
from thumbnet.nas.search_plan import Plan
from thumbnet.tools.search_measure import (
    broken_promises,
    calls_of,
    cycles_error,
    over_limits,
)


def test_broken_promises_are_told() -> None:
    plan = Plan(Limits(cycles=1050))
    cost = NetworkCost(10, 10, arena_bytes=64, weights_bytes=99, code_bytes=9, cycles=1000)
    measured: dict[str, Any] = {
        "arena_bytes": 64,
        "flash": {"weights": 99},
        "cycles": 1048,
        "calls": 20,
        "calls_equal": 20,
    }
    assert broken_promises(plan, cost, 1000, measured) == []
    assert cycles_error(plan, cost, measured) == pytest.approx(0.048)
    assert over_limits(plan, measured) is None
    slower = {**measured, "cycles": 1110}
    assert broken_promises(plan, cost, 1060, slower) == []  # its numbers are to blame
    assert over_limits(plan, slower) == "1110 cycles, 60 more than the limit of 1050"
    (told,) = broken_promises(plan, cost, 1000, slower)
    assert told == "cycles: 1110, estimated 1000 (+11.0%; stated is 10%)"
    streamed = replace(plan, deployment=Deployment(input="stream"))
    assert broken_promises(streamed, cost, 1000, slower) == []
    wrong = {**measured, "arena_bytes": 65, "flash": {"weights": 98}, "calls_equal": 19}
    assert broken_promises(plan, cost, 1000, wrong) == [
        "weights: 98 bytes, promised 99",
        "arena: 65 bytes, promised 64",
        "outputs: 1 of 20 calls differ from the host's",
    ]
    tflm = replace(plan, deployment=Deployment(memory="tflm"))
    assert broken_promises(tflm, cost, 1000, {**measured, "arena_bytes": 65}) == []
    assert cycles_error(tflm, cost, measured) is None
    other = replace(plan, deployment=Deployment(target="cortex-m33"))
    assert broken_promises(other, cost, 1000, slower) == []
    skipped = {"skipped": "no emulator"}
    assert broken_promises(plan, cost, 1000, skipped) == []
    assert over_limits(plan, skipped) is None


def test_a_streamed_model_takes_the_rows_of_all_inputs_in_turn() -> None:
    @dataclass(frozen=True)
    class Edge:
        shape: tuple[int, ...]

    @dataclass(frozen=True)
    class Streamed:
        inputs: tuple[Edge, ...]
        window_rows: int

    inputs = np.arange(2 * 5 * 3, dtype=np.int8).reshape(2, 5, 3, 1)
    calls = calls_of(Streamed((Edge((1, 4, 3, 1)),), 5), inputs)  # type: ignore[arg-type]
    assert [len(call) for call in calls] == [1, 1]
    rows = np.concatenate([call[0] for call in calls], axis=1)
    assert np.array_equal(rows[0], inputs.reshape(10, 3, 1)[:8])
    whole = calls_of(Streamed((Edge((1, 5, 3, 1)),), 0), inputs)  # type: ignore[arg-type]
    assert np.array_equal(np.concatenate([call[0] for call in whole]), inputs)
