"""Multipliers and shifts, and the fast requantisation against the generic one."""

from __future__ import annotations

import subprocess

import pytest
from kernel_loader import compile_c

from thumbnet.codegen.lowering.quantize import (
    quantize_multiplier,
)


def test_fast_requantisation_equals_the_generic_one() -> None:
    """tn_requantize_fast over edges, halves and random values of every shift."""
    source = """
#include <stdio.h>
#include "tn_requantize.h"
int main(void) {
    uint32_t state = 1;
    for (int32_t right = 1; right <= 31; right++)
        for (int32_t i = 0; i < 20000; i++) {
            state = state * 1664525u + 1013904223u;
            const int32_t m = (int32_t)(0x40000000u | (i % 7 == 0 ? 0u : state >> 2));
            state = state * 1664525u + 1013904223u;
            int32_t x = (int32_t)(state >> (i % 31)) * (i % 2 == 0 ? 1 : -1);
            if (i < 200) x = i - 100;
            if (x == INT32_MIN) x++;
            const int32_t doubled = (int32_t)(2u * (uint32_t)m);
            const int32_t fast = tn_requantize_fast(x, doubled, right, 5);
            if (fast != tn_multiply_by_quantized_multiplier(x, m, -right) + 5) {
                printf("%d %d %d\\n", x, m, right);
                return 1;
            }
        }
    return 0;
}
"""
    program = compile_c(source, "requantise", ["-O1", "-fsanitize=undefined"])
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (0.5, (2**30, 0)),
        (1.0 - 2.0**-40, (2**30, 1)),
        (0.75, (3 * 2**29, 0)),
        (2.0**-33, (0, 0)),
        (2.0**-32, (2**30, -31)),
        (3.0, (3 * 2**29, 2)),
    ],
)
def test_quantize_multiplier(real: float, expected: tuple[int, int]) -> None:
    assert quantize_multiplier(real) == expected
