"""CONV_2D by Winograd: the kernel against PyTorch, and its assembly on an emulated Cortex-M4."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arm_image import run_image
from convolution_case import EXAMPLES, SAME, Case, Numbers, bands_of, conv_case
from hypothesis import given
from hypothesis import strategies as st
from kernel_loader import RUNTIME, compile_c, run_kernel

from thumbnet.codegen.graph import Padding
from thumbnet.codegen.kernel import Constant, Kernel
from thumbnet.codegen.lowering.winograd import FACTOR, TILES, G, transformed, winograd_scratch
from thumbnet.codegen.stack import ASSEMBLY_BYTES

SQUARE = (3, 3), (1, 1), (1, 1)


def forms(case: Case) -> dict[str, Kernel]:
    return {kernel.form: kernel for kernel in case.kernel.faster}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    padding = Padding(*[draw(st.integers(0, 3)) for _ in range(4)])
    low_h = max(1, 3 - padding.top - padding.bottom)
    low_w = max(1, 3 - padding.left - padding.right)
    size = draw(st.integers(low_h, low_h + 9)), draw(st.integers(low_w, low_w + 12))
    channels = 4 * draw(st.integers(1, 7)), draw(st.integers(1, 9))
    numbers = Numbers(
        seed=draw(st.integers(0, 2**32 - 1)),
        zero_point=draw(st.sampled_from([-128, 127, 0, -3])),
        out_zero_point=draw(st.sampled_from([-128, 127, 3])),
        activation=draw(st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
        extreme=draw(st.booleans()),
        bias=draw(st.booleans()),
    )
    return conv_case("CONV_2D", size, channels, *SQUARE, padding, numbers)


@EXAMPLES
@given(cases(), st.integers(0, 20))
def test_matches_pytorch_whole_and_in_bands(case: Case, cut: int) -> None:
    assert "winograd 2x2" in forms(case)
    bands = bands_of(case.expected.shape[1], cut)
    for form in forms(case).values():
        for dsp in (False, True):
            for rows in (None, bands):
                found = run_kernel(form, case.graph, {"x": case.x}, dsp=dsp, bands=rows)
                np.testing.assert_array_equal(found, case.expected, form.form)


@pytest.mark.parametrize("form", ["winograd 2x2", "winograd 4x4"])
@pytest.mark.parametrize("channels", [(4, 4), (8, 5), (4, 12)])
def test_output_row_may_overlap_input_rows_that_are_done(
    form: str, channels: tuple[int, int]
) -> None:
    case = conv_case("CONV_2D", (11, 7), channels, *SQUARE, SAME, Numbers(seed=6))
    in_row, out_row = 7 * channels[0], case.graph.tensors["y"].row_bytes
    # output row y ends where input row y - 1 begins
    offset = min((y - 1) * in_row - (y + 1) * out_row for y in (0, 10))
    for dsp in (False, True):
        found = run_kernel(forms(case)[form], case.graph, {"x": case.x}, dsp=dsp, overlap=offset)
        np.testing.assert_array_equal(found, case.expected)


@pytest.mark.parametrize("dsp", [False, True])
@pytest.mark.parametrize("form", ["winograd 2x2", "winograd 4x4"])
@pytest.mark.parametrize("padding", [SAME, Padding(), Padding(2, 0, 0, 3)], ids=str)
def test_specialised_and_sanitized_programs_agree(form: str, padding: Padding, dsp: bool) -> None:
    numbers = Numbers(seed=7, extreme=True)
    case = conv_case("CONV_2D", (7, 9), (8, 6), *SQUARE, padding, numbers)
    bands = bands_of(case.expected.shape[1], 1)
    how = {"dsp": dsp, "specialise": True, "sanitize": True, "bands": bands}
    found = run_kernel(forms(case)[form], case.graph, {"x": case.x}, **how)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, case.expected)


def test_transforms_give_a_multiple_of_the_convolution() -> None:
    """FACTOR times the sums, with the transposed transforms of Lavin and Gray (2016)."""
    b = {
        2: [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        4: [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
    }
    a = {
        2: [[1, 1, 1, 0], [0, 1, -1, -1]],
        4: [[6, 4, 4, 1, 1, 0], [0, 4, -4, 2, -2, 0], [0, 4, 4, 4, 4, 0], [0, 4, -4, 8, -8, 24]],
    }
    rng = np.random.default_rng(1)
    for tile in TILES:
        x, w = rng.integers(-128, 128, (tile + 2, tile + 2)), rng.integers(-127, 128, (3, 3))
        u = transformed(w.astype(np.int8)[None, :, :, None], tile)[0, :, :, 0]
        bt, at = np.array(b[tile]), np.array(a[tile])
        sums = [[(x[i : i + 3, j : j + 3] * w).sum() for j in range(tile)] for i in range(tile)]
        np.testing.assert_array_equal(
            at @ (u * (bt @ x @ bt.T)) @ at.T, FACTOR[tile] * np.array(sums)
        )
        # an input of 0 to 255 stays an int16, the largest weights do
        most = np.abs(bt).sum(axis=1).max() ** 2 * 255
        assert min(most, np.clip(np.kron(bt, bt), 0, None).sum(axis=1).max() * 255) < 2**15
        assert np.abs(G[tile]).sum(axis=1).max() ** 2 * 128 < 2**15


def test_where_sums_are_too_large_there_is_no_form() -> None:
    """576 times a sum must be an int32: of all weights 127, that are 9 * 4 * n > 14,620 / 127."""
    numbers = Numbers(seed=1, extreme=True)

    def of(channels: int) -> set[str]:
        case = conv_case("CONV_2D", (4, 4), (channels, 4), *SQUARE, SAME, numbers)
        weights = case.graph.tensors["w"]
        tensors = {
            **case.graph.tensors,
            "w": replace(weights, data=np.full(weights.shape, 127, "i1")),
        }
        return set(forms(replace(case, graph=replace(case.graph, tensors=tensors))))

    assert of(12) == {"winograd 2x2", "winograd 4x4"}
    assert of(16) == {"winograd 2x2"}


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "dilation"),
    [
        ((6, 4), (3, 3), (1, 1), (1, 1)),
        ((4, 4), (3, 3), (2, 1), (1, 1)),
        ((4, 4), (3, 3), (1, 1), (1, 2)),
        ((4, 4), (1, 3), (1, 1), (1, 1)),
    ],
)
def test_other_convolutions_have_no_form(
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    assert not forms(
        conv_case("CONV_2D", (7, 7), channels, kernel, stride, dilation, SAME, Numbers(seed=1))
    )


def test_scratch_matches_the_header() -> None:
    shapes = [(2, 7, 8, 7), (4, 32, 16, 32), (4, 9, 12, 7)]
    prints = "".join(f'printf("%d ", TN_WINOGRAD_SCRATCH{shape});' for shape in shapes)
    source = (
        f'#include <stdio.h>\n#include "tn_winograd_conv_2d.h"\nint main(void) {{ {prints} }}\n'
    )
    program = compile_c(source, "winograd_scratch", [])
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    assert [int(v) for v in done.stdout.split()] == [winograd_scratch(*shape) for shape in shapes]


def test_stack_of_the_assembly() -> None:
    text = (RUNTIME / "tn_winograd_armv7em.h").read_text()
    functions = re.split(r"#define (\w+) TN_VARIANT", text)[1:]
    found = {}
    for name, body in zip(functions[::2], functions[1::2], strict=True):
        frame = re.search(r'"push \{r4-r11, lr\}.*?sub sp, #(\d+)', body, re.S)
        assert frame is not None
        found[name] = 9 * 4 + int(frame[1])
    assert found == {n: b for n, b in ASSEMBLY_BYTES.items() if n.startswith("tn_winograd")}


# ---- on a core ---------------------------------------------------------------------------------

LAYER = """
#include "tn_winograd_conv_2d.h"
int guarded(const uintptr_t *call);
static const uint32_t weights[] = {WEIGHTS};
static const int32_t numbers[] = {NUMBERS};
static const int8_t input[] = {INPUT};
static const int8_t wanted[] = {WANTED};
static int8_t found[sizeof wanted];
static uint32_t scratch[SCRATCH];
static tn_winograd_conv_2d layer = {FIELDS};
static void run(void) {
    const tn_rows in = {(int8_t *)(uintptr_t)input, IN_PITCH, 0}, out = {found, OUT_PITCH, 0};
    tn_winograd_conv_2d_s8(&layer, in, out, scratch, 0, ROWS);
}
int check_NAME(void);
int check_NAME(void) {
    const uintptr_t call[5] = {(uintptr_t)run};
    if (guarded(call) != 0) return 1;
    return memcmp(found, wanted, sizeof wanted) != 0 ? 2 : 0;
}
"""


def _layer(name: str, case: Case, form: Kernel) -> str:
    """A program that runs the form with its descriptor, all at run time."""

    def listed(values: np.ndarray) -> str:
        return ", ".join(map(str, values.ravel().tolist()))

    fields, constants = [], {}
    for field, value in form.calls[0].fields.items():
        if isinstance(value, Constant):
            constants[field.upper()] = listed(value.data)
        fields.append(field if isinstance(value, Constant) else str(value))
    x, y = case.graph.tensors["x"], case.graph.tensors["y"]
    text = LAYER
    for word, by in {
        **constants,
        "INPUT": listed(case.x),
        "WANTED": listed(case.expected),
        "SCRATCH": str(-(-form.scratch_bytes // 4)),
        "FIELDS": ", ".join(fields),
        "IN_PITCH": str(x.row_bytes),
        "OUT_PITCH": str(y.row_bytes),
        "ROWS": str(y.rows),
        "NAME": name,
    }.items():
        text = re.sub(rf"\b{word}\b|(?<=check_){word}\b", by, text)
    return text


@pytest.mark.parametrize("level", ["-O1", "-O2", "-O3", "-Os"])
def test_assembly_on_arm(level: str, tmp_path: Path, qemu: None) -> None:
    """Depths on both sides of a turn of eight pairs; channels that are left; clamps."""
    sources = {}
    for n, (in_c, out_c) in enumerate([(4, 5), (16, 4), (20, 9), (32, 4), (36, 7)]):
        numbers = Numbers(seed=n, zero_point=-3, activation="RELU6" if n % 2 else "NONE")
        case = conv_case("CONV_2D", (5, 9), (in_c, out_c), *SQUARE, SAME, numbers)
        for form in forms(case).values():
            name = f"{form.form[-1]}_{in_c}"
            sources[f"layer_{name}"] = _layer(name, case, form)
    names = [name.removeprefix("layer_") for name in sources]
    status = run_image(tmp_path, sources, [level], names)
    assert status == 0, f"{names[status // 16 - 1]} (exit status {status})"
