"""All forms of tn_depthwise_rows.h in assembly, on an emulated Cortex-M4, against plain C."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from test_depthwise_on_arm import FUNCTIONS, run_forms

CHECK = """
#include "tn_depthwise_rows.h"
static const int8_t forms[][4] = {FORMS};
enum { C = 8, H = 20, W = 40, OUTPUTS = 2 * 26 * 20 * C, SCRATCH = 10000 };
COMPARISON
static int8_t blocks[C * TN_DEPTHWISE_ROWS_BLOCK(7, 0)] __attribute__((aligned(4)));
static int8_t in[H * W * C] __attribute__((aligned(4)));
static const uint16_t ring[] = {7, 5, 2, 19, 0, 3, 12, 7}; /* rows that are one are the same */

/* Weights whose sums fit, of each row one twice, and numbers that spread the outputs. */
static void fill(int32_t kernel, int32_t positive) {
    const int32_t end = TN_DEPTHWISE_ROWS_END(kernel);
    for (int32_t o = 0; o < C; o++) {
        int8_t *const block = blocks + o * TN_DEPTHWISE_ROWS_BLOCK(kernel, positive);
        for (int32_t i = 0; i < end; i += 2) {
            const int16_t weight = (int16_t)(next(4000) - 2000);
            const int32_t twice = i % (2 * (kernel + 1)) == (kernel == 3 ? 4 : 2 * kernel);
            memcpy(block + i, twice != 0 ? block + i - 2 : (const int8_t *)&weight, 2);
        }
        tn_store32(block + end, (uint32_t)(next(200000) - 100000));
        tn_store32(block + end + 4, 0x40000000u + (uint32_t)next(0x40000000));
        tn_store32(block + end + 8, (uint32_t)(next(60000) - 30000));
        if (positive == 0) tn_store32(block + end + 12, (uint32_t)(10 + next(4)));
    }
}

int check(void);
int check(void) {
    const int32_t k = KERNEL;
    for (int32_t i = 0; i < (int32_t)(sizeof forms / sizeof *forms); i++)
        for (int32_t turn = 0; turn < 24; turn++) {
            const int32_t stride = forms[i][0], lead = forms[i][1], tile = forms[i][2];
            const int32_t out_w = tile + (stride == 1 ? 2 * next(5) : next(6));
            const int32_t clamp = next(2), stride_h = 1 + next(2);
            const int32_t widened = clamp ? 0 : next(2);
            const int32_t span = 1 + next(TN_DEPTHWISE_ROWS_MOST(k, stride_h));
            const tn_depthwise_square g = {
                2 + next(H - 1), 1 + next(W), C, out_w, k, stride_h, stride, 1,
                next(k), lead + 2 * next(k / 2), next(256) - 128, clamp, clamp ? -100 : -128,
                clamp ? 90 : 127, lead, tile, span, forms[i][3], widened, blocks};
            const int32_t rows = 1 + next((g.in_h - 1 + g.pad_top) / g.stride_h + 1);
            const int32_t bytes = TN_DEPTHWISE_ROWS_SCRATCH(C, k, stride, out_w);
            const int32_t rings = turn % 3 == 0;
            const tn_rows from = {in, g.in_w * C, rings ? ring : NULL};
            const int32_t pitch = (out_w * C) << g.widened;
            const tn_rows to = {wanted, pitch, rings ? ring : NULL};
            int8_t *const place = scratch + 4 * next(4);
            fill(k, g.positive);
            for (int32_t n = 0; n < (int32_t)sizeof in; n++) in[n] = (int8_t)(next(256) - 128);
            const int status = differ(i, &g, from, to, place, bytes, rows);
            if (status != 0) return status;
        }
    return 0;
}
"""


@pytest.mark.parametrize("level", ["-O2", "-Os"])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_forms(kernel: int, level: str, tmp_path: Path, qemu: None) -> None:
    """Any geometry: rows and columns outside, odd widths, last tiles over others, many bands."""
    most = 8 if kernel == 3 else 6
    forms = list(product((1, 2), (0, 1), range(2, most + 1), (0, 1)))
    functions = FUNCTIONS.replace("tn_depthwise_KERNEL", "tn_depthwise_rows_KERNEL")
    run_forms(forms, functions, CHECK, kernel, level, tmp_path)
