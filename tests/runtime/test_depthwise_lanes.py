"""tn_depthwise_lanes.h: against PyTorch, and its assembly on an emulated Cortex-M4."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from convolution_case import EXAMPLES, Case, Numbers, bands_of, conv_case
from hypothesis import given
from hypothesis import strategies as st
from kernel_loader import RUNTIME, run_kernel
from test_depthwise_on_arm import run_forms

from thumbnet.codegen.graph import Padding
from thumbnet.codegen.lowering.depthwise_lanes import MOST_CHANNELS, MOST_ROWS
from thumbnet.codegen.stack import ASSEMBLY_BYTES


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kernel = draw(st.sampled_from([(5, 5), (7, 7), (4, 5), (6, 7)]))
    size = draw(st.integers(4, 14)), draw(st.integers(4, 22))
    stride = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    left, top = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    # an output row and two columns at least
    bottom = max(kernel[0] - size[0] - top, 0) + draw(st.integers(0, 1))
    right = max(kernel[1] + stride[1] - size[1] - left, 0) + draw(st.integers(0, 3))
    numbers = Numbers(
        seed=draw(st.integers(0, 2**32 - 1)),
        zero_point=draw(st.sampled_from([-128, 127, 0, -3])),
        out_zero_point=-128,
        extreme=draw(st.booleans()),
        bias=draw(st.booleans()),
    )
    channels = 4 * draw(st.integers(1, 4))
    padding = Padding(top, bottom, left, right)
    return conv_case(
        "DEPTHWISE_CONV_2D", size, (channels, 1), kernel, stride, (1, 1), padding, numbers
    )


@EXAMPLES
@given(cases(), st.integers(0, 20))
def test_matches_pytorch_whole_and_inbands_of(case: Case, cut: int) -> None:
    bands = bands_of(case.expected.shape[1], cut)
    for form in case.kernel.faster:
        for dsp in (False, True):
            for rows in (None, bands):
                found = run_kernel(form, case.graph, {"x": case.x}, dsp=dsp, bands=rows)
                np.testing.assert_array_equal(found, case.expected, form.form)


def _case(kernel: int, stride: int, activation: str = "NONE", zero_point: int = -128) -> Case:
    numbers = Numbers(seed=7, out_zero_point=zero_point, activation=activation, extreme=True)
    sides = kernel // 2
    return conv_case(
        "DEPTHWISE_CONV_2D", (9, 11), (8, 1), (kernel, kernel), (stride, stride), (1, 1),
        Padding(sides, sides, sides, sides), numbers,
    )  # fmt: skip


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [5, 7])
def test_specialised_and_sanitized_programs_agree(kernel: int, stride: int, dsp: bool) -> None:
    case = _case(kernel, stride)
    (lanes,) = [form for form in case.kernel.faster if form.form == "lanes"]
    bands = bands_of(case.expected.shape[1], 1)
    how = {"dsp": dsp, "specialise": True, "sanitize": True, "bands": bands}
    found = run_kernel(lanes, case.graph, {"x": case.x}, **how)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, case.expected)


def test_other_layers_have_no_lanes() -> None:
    assert {form.form for form in _case(5, 1).kernel.faster} == {"lanes", "rows"}
    assert {form.form for form in _case(3, 1).kernel.faster} == {"rows"}
    assert {form.form for form in _case(5, 1, zero_point=0).kernel.faster} == {"rows"}


# ---- in assembly -------------------------------------------------------------------------------

# Every form as its own function, as the generator makes them.
FUNCTIONS = """
#include "tn_depthwise_lanes.h"
#define FORM(I, S, OW, L, R, H, W, IW, PL, C, Z)                                              \\
    TN_DEPTHWISE_LANES_S8(KERNEL, S, OW, L, R, H, C, Z, 6, W)                                     \\
    static void form_##I##S##OW##L##R##H##W##IW##PL##C##Z(                                    \\
        const tn_depthwise_square *g, tn_rows in, tn_rows out, void *scratch, int32_t rows) { \\
        tn_depthwise_lanes_KERNEL##_##S##_##OW##_##L##_##R##_##H##_##C##_##Z##_6_##W##_s8(     \\
            g, in, out, scratch, 0, rows);                                                    \\
    }
DEFINITIONS
typedef void form(const tn_depthwise_square *, tn_rows, tn_rows, void *, int32_t);
extern form *const TABLE[];
form *const TABLE[] = {NAMES};
"""

CHECK = """
#include "tn_depthwise_lanes.h"
static const int16_t forms[][11] = {FORMS};
enum { C = CHANNELS, OUTPUTS = 2 * C * 24 * 20, SCRATCH = 12000 };
COMPARISON
static int8_t blocks[C * TN_DEPTHWISE_LANES_BLOCK(7)] __attribute__((aligned(4)));
static int8_t in[24 * 48 * C] __attribute__((aligned(4)));

/* Any weights, extremes too; lanes begin with what makes them non-negative, just, or with more. */
static void fill(int32_t k, int32_t stride, int32_t zero, int32_t extreme) {
    const int32_t words = (k + 1) / 2, evens = (k + 3) / 4;
    for (int32_t o = 0; o < C; o++) {
        int8_t *const block = blocks + o * TN_DEPTHWISE_LANES_BLOCK(k);
        int32_t least_0 = 0, least = 0;
        for (int32_t i = 0; i < k * words; i++) {
            const int32_t j = i % words;
            const int32_t column = stride == 1 ? 2 * j + 1
                                   : j < evens ? 4 * j + 2 : 4 * (j - evens) + 3;
            int32_t low = extreme ? -127 + 254 * next(2) : next(255) - 127;
            const int32_t high = extreme ? -127 + 254 * next(2) : next(255) - 127;
            if (column >= k) low = 0;
            least_0 += low > 0 ? (-128 - zero) * low : (127 - zero) * low;
            least += high > 0 ? (-128 - zero) * high : (127 - zero) * high;
            tn_store32(block + 16 + 4 * i, (uint32_t)(low + high * (1 << 21)));
        }
        least += least_0;
        const uint64_t begin = (uint64_t)(-least + (extreme ? 0 : next(100000)));
        const uint64_t sum = (uint64_t)-least_0 + (begin << 21) +
                             ((begin - (uint64_t)-least_0) << 42);
        const int32_t multiplier = 0x1000000 + next(0x7000000);
        tn_store32(block, (uint32_t)sum);
        tn_store32(block + 4, (uint32_t)(sum >> 32));
        tn_store32(block + 8, (uint32_t)multiplier);
        tn_store32(block + 12, (uint32_t)-(int32_t)((begin * (uint32_t)multiplier) >> 32));
    }
}

int check(void);
int check(void) {
    const int32_t k = KERNEL;
    for (int32_t i = 0; i < (int32_t)(sizeof forms / sizeof *forms); i++)
        for (int32_t turn = 0; turn < TURNS; turn++) {
            const int16_t *const f = forms[i];
            const int32_t stride_h = 1 + next(2), most = (f[5] - k) / stride_h + 1;
            const tn_depthwise_square g = {
                2 + next(20), f[7], C, f[2], k, stride_h, f[1], 1, next(k), f[8],
                next(256) - 128, 0, -128, 127, 0, 0, 0, 1, f[6], blocks};
            const int32_t rows = tn_min(1 + next((g.in_h - 1 + g.pad_top) / g.stride_h + 1),
                                        tn_min(24, 3 * most));
            const int32_t bytes = TN_DEPTHWISE_LANES_SCRATCH(C, k, f[1], f[2], f[5]);
            const int32_t pitch = (f[2] * C) << f[6];
            const tn_rows from = {in, g.in_w * C, NULL}, to = {wanted, pitch, NULL};
            int8_t *const place = scratch + 4 * next(4);
            fill(k, f[1], f[10] ? g.in_zero_point : 0, turn % 4 == 0);
            for (int32_t n = 0; n < (int32_t)sizeof in; n++)
                in[n] = (int8_t)(turn % 3 == 0 ? -128 + 255 * next(2) : next(256) - 128);
            const int status = differ(i, &g, from, to, place, bytes, rows);
            if (status != 0) return status;
        }
    return 0;
}
"""


def _forms(kernel: int, channels: int, widths: list[int]) -> list[tuple[int, ...]]:
    """Rows of one tile to four, even and odd; columns outside on both sides, or cut off; inputs
    less the zero point or not."""
    rng = np.random.default_rng(kernel)
    forms: list[tuple[int, ...]] = []
    for stride, out_w, widened in product((1, 2), widths, (0, 1)):
        fours = (stride * (out_w - 1) + kernel + 3) // 4
        pad_left = int(rng.integers(0, kernel))
        in_w = int(rng.integers(max(-pad_left % 4, 1), 48))
        rest = (min(in_w, 4 * fours - pad_left) - -pad_left % 4) % 4
        height = int(rng.integers(kernel, MOST_ROWS + 1))
        less = int(rng.integers(0, 2))
        form = (stride, out_w, pad_left % 4, rest, height, widened, in_w, pad_left, channels, less)
        forms.append((100 + len(forms), *form))
    return forms


def _check(channels: int, turns: int) -> str:
    return CHECK.replace("CHANNELS", str(channels)).replace("TURNS", str(turns))


@pytest.mark.parametrize("level", ["-O2", "-Os"])
@pytest.mark.parametrize("kernel", [5, 7])
def test_forms_in_assembly(kernel: int, level: str, tmp_path: Path, qemu: None) -> None:
    forms = _forms(kernel, 8, [*range(2, 15), 18, 19])
    run_forms(forms, FUNCTIONS, _check(8, 12), kernel, level, tmp_path)  # type: ignore[arg-type]


def test_pixels_far_apart_in_assembly(tmp_path: Path, qemu: None) -> None:
    forms = _forms(5, MOST_CHANNELS, [5, 13])
    check = _check(MOST_CHANNELS, 1).replace("24 * 48", "12 * 48").replace("24 * 20", "12 * 13")
    check = check.replace("2 + next(20)", "2 + next(10)").replace("tn_min(24", "tn_min(12")
    run_forms(forms, FUNCTIONS, check, 5, "-O2", tmp_path)  # type: ignore[arg-type]


def test_stack_of_assembly_is_what_it_pushes() -> None:
    text = (RUNTIME / "tn_depthwise_lanes_armv7em.h").read_text()
    found = re.search(r'#define TN_DL_FRAME "(\d+)"', text)
    assert found and ASSEMBLY_BYTES["tn_depthwise_lanes"] == 9 * 4 + int(found[1])
