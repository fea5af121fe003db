"""All forms of tn_depthwise_square.h in assembly, on an emulated Cortex-M4, against plain C."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from arm_image import run_objects
from test_operators_on_arm import START

Form = tuple[int, int, int, int]  # stride, lead, tile, positive
FORMS = list(product((1, 2), (0, 1), range(2, 9), (0, 1)))

# Every form as its own function, as the generator makes them.
FUNCTIONS = """
#include "tn_depthwise_KERNELxKERNEL.h"
#define FORM(S, L, T, P)                                                                  \\
    static void form_##S##L##T##P(const tn_depthwise_square *layer, tn_rows in, tn_rows out, \\
                                  void *scratch, int32_t rows) {                          \\
        tn_depthwise_square g = *layer;                                                   \\
        g.stride_w = S, g.lead = L, g.tile = T, g.positive = P;                           \\
        tn_depthwise_KERNELxKERNEL_s8(&g, in, out, scratch, 0, rows);                     \\
    }
DEFINITIONS
typedef void form(const tn_depthwise_square *, tn_rows, tn_rows, void *, int32_t);
extern form *const TABLE[];
form *const TABLE[] = {NAMES};
"""

# What all checks of forms share. OUTPUTS and SCRATCH are the bytes of an output and of the scratch.
COMPARISON = """
enum { GUARD = 0x5A };
typedef void form(const tn_depthwise_square *, tn_rows, tn_rows, void *, int32_t);
extern form *const native[], *const plain[];
static uint32_t seed = 1;
static int32_t next(int32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (int32_t)((seed >> 8) % (uint32_t)n);
}
static int8_t wanted[OUTPUTS] __attribute__((aligned(4)));
static int8_t found[OUTPUTS] __attribute__((aligned(4)));
static int8_t scratch[SCRATCH] __attribute__((aligned(16)));

/* Form i, plain to `wanted` and native to `found`, with `bytes` of scratch at place. 1: outputs
 * differ, 2: native writes beyond its scratch. */
static int differ(int32_t i, const tn_depthwise_square *g, tn_rows from, tn_rows to, int8_t *place,
                  int32_t bytes, int32_t rows) {
    tn_rows other = to;
    other.data = found;
    memset(wanted, GUARD, sizeof wanted);
    memset(found, GUARD, sizeof found);
    plain[i](g, from, to, place, rows);
    memset(scratch, GUARD, sizeof scratch);
    native[i](g, from, other, place, rows);
    if (memcmp(wanted, found, sizeof wanted) != 0) return 1;
    for (int8_t *p = scratch; p != scratch + sizeof scratch; p++)
        if ((p < place || p >= place + bytes) && *p != GUARD) return 2;
    return 0;
}
"""

CHECK = """
#include "tn_depthwise_square.h"
static const int8_t forms[][4] = {FORMS};
enum { C = 8, OUTPUTS = 6 * 20 * C, SCRATCH = 8192 };
COMPARISON
static int8_t blocks[C * TN_DEPTHWISE_BLOCK(7, 0)] __attribute__((aligned(4)));
static int8_t in[12 * 40 * C] __attribute__((aligned(4)));

/* Weights whose sums fit, and numbers that spread the outputs. */
static void fill(int32_t kernel, int32_t positive) {
    const int32_t begin = TN_DEPTHWISE_BEGIN(kernel);
    for (int32_t o = 0; o < C; o++) {
        int8_t *const block = blocks + o * TN_DEPTHWISE_BLOCK(kernel, positive);
        for (int32_t i = 0; i < TN_DEPTHWISE_BLOCK(kernel, positive); i += 2) {
            const int16_t weight = (int16_t)(next(4000) - 2000);
            memcpy(block + i, &weight, 2);
        }
        memcpy(block + begin + 12, block + begin + 10, 2); /* twice in a block */
        tn_store32(block + 12, (uint32_t)(next(200000) - 100000));
        tn_store32(block + begin, 0x40000000u + (uint32_t)next(0x40000000));
        tn_store32(block + begin + 4, (uint32_t)(next(60000) - 30000));
        if (positive == 0)
            tn_store32(block + begin + 8 + 2 * (kernel + 1), (uint32_t)(10 + next(4)));
    }
}

int check(void);
int check(void) {
    const int32_t k = KERNEL;
    for (int32_t i = 0; i < (int32_t)(sizeof forms / sizeof *forms); i++)
        for (int32_t turn = 0; turn < 24; turn++) {
            const int32_t stride = forms[i][0], lead = forms[i][1], tile = forms[i][2];
            const int32_t out_w = tile + (stride == 1 ? 2 * next(5) : next(6));
            const int32_t span = turn & 1 ? tile : out_w, clamp = next(2);
            const tn_depthwise_square g = {
                1 + next(12), 1 + next(40), C, out_w, k, 1 + next(2), stride, 1 + next(2),
                next(k), lead + 2 * next(k / 2), next(256) - 128, clamp, clamp ? -100 : -128,
                clamp ? 90 : 127, lead, tile, span, forms[i][3], 0, blocks};
            const int32_t bytes = TN_DEPTHWISE_SQUARE_SCRATCH(C, k, stride, lead, span);
            const tn_rows from = {in, g.in_w * C, NULL}, to = {wanted, out_w * C, NULL};
            int8_t *const place = scratch + 4 * next(4);
            fill(k, g.positive);
            for (int32_t n = 0; n < (int32_t)sizeof in; n++) in[n] = (int8_t)(next(256) - 128);
            const int status = differ(i, &g, from, to, place, bytes, 5);
            if (status != 0) return status;
        }
    return 0;
}
"""


def _functions(forms: Sequence[Form], text: str, kernel: int, table: str) -> str:
    names = ["".join(map(str, form)) for form in forms]
    definitions = "\n".join(f"FORM({', '.join(map(str, form))})" for form in forms)
    text = text.replace("DEFINITIONS", definitions).replace("TABLE", table)
    text = text.replace("NAMES", ", ".join(f"form_{name}" for name in names))
    return text.replace("KERNEL", str(kernel))


def run_forms(
    forms: Sequence[Form], functions: str, check: str, kernel: int, level: str, folder: Path
) -> None:
    """Runs `check`, whose COMPARISON is that of above, of C `functions`, of which there is one for
    each form, in assembly and plain."""
    table = ", ".join("{" + ", ".join(map(str, form)) + "}" for form in forms)
    check = check.replace("COMPARISON", COMPARISON)
    start = START.replace("CHECKS", "int check(void);").replace("RUN", "stop(check());")
    sources = {
        "native": (_functions(forms, functions, kernel, "native"), []),
        "plain": (_functions(forms, functions, kernel, "plain"), ["-DTN_DSP=0"]),
        "check": (check.replace("FORMS", table).replace("KERNEL", str(kernel)), []),
        "start": (start, []),
    }
    status = run_objects(folder, sources, level)
    assert status == 0, {1: "outputs differ", 2: "scratch is larger than told"}.get(status, status)


@pytest.mark.parametrize("level", ["-O2", "-Os"])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_forms(kernel: int, level: str, tmp_path: Path, qemu: None) -> None:
    """Any geometry: rows and columns outside, odd widths, last tiles over others, narrow strips."""
    run_forms(FORMS, FUNCTIONS, CHECK, kernel, level, tmp_path)
