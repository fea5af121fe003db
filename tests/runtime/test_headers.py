"""Headers of the runtime: they stand alone, and the compiler knows their scratch and stack."""

from __future__ import annotations

import re
import subprocess
from itertools import product

import pytest
from kernel_loader import RUNTIME, compile_c

from thumbnet.codegen.lowering.convolution import (
    conv_2d_scratch,
    depthwise_conv_2d_scratch,
)
from thumbnet.codegen.lowering.depthwise_square import rows_scratch, square_scratch
from thumbnet.codegen.lowering.pointwise import pointwise_scratch
from thumbnet.codegen.lowering.strips import strip_scratch
from thumbnet.codegen.stack import ASSEMBLY_BYTES


def test_scratch_matches_the_header() -> None:
    source = """
#include <stdio.h>
#include "tn_conv_2d.h"
#include "tn_depthwise_conv_2d.h"
#include "tn_depthwise_rows.h"
#include "tn_pointwise_conv_2d.h"
#include "tn_strip_conv_2d.h"
int main(void) {
    printf("%d %d ", TN_CONV_2D_SCRATCH(28, 3, 0, 0, 2), TN_CONV_2D_SCRATCH(64, 1, 1, 0, 1));
    printf("%d %d ", TN_POINTWISE_SCRATCH(28, 2), TN_POINTWISE_SCRATCH(28, 1));
    printf("%d %d ", (int)TN_STRIP_SCRATCH(3, 3, 2, 1, 5), (int)TN_STRIP_SCRATCH(3, 3, 2, 3, 8));
    printf("%d ", TN_CONV_2D_SCRATCH(72, 3, 1, 1, 2));
    printf("%d ", TN_DEPTHWISE_CONV_2D_SCRATCH(9, 5, 7));
    printf("%d ", TN_DEPTHWISE_SQUARE_SCRATCH(8, 5, 2, 1, 12));
    printf("%d ", TN_DEPTHWISE_SQUARE_SCRATCH(512, 3, 1, 0, 4));
    printf("%d ", TN_DEPTHWISE_ROWS_SCRATCH(8, 5, 2, 12));
    printf("%d\\n", TN_DEPTHWISE_ROWS_SCRATCH(1024, 3, 1, 3));
    return 0;
}
"""
    for dsp in (0, 1):
        program = compile_c(source, "scratch", [f"-DTN_DSP={dsp}"])
        done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
        assert [int(v) for v in done.stdout.split()] == [
            conv_2d_scratch(28, 3, words=False, taps=False, tiles=2),
            conv_2d_scratch(64, 1, words=True, taps=False, tiles=1),
            pointwise_scratch(28, tiles=2),
            pointwise_scratch(28, tiles=1),
            strip_scratch(3, 3, 2, 1, 5),
            strip_scratch(3, 3, 2, 3, 8),
            conv_2d_scratch(72, 3, words=True, taps=True, tiles=2),
            depthwise_conv_2d_scratch(9, 5, 7),
            square_scratch(8, 5, 2, 1, 12),
            square_scratch(512, 3, 1, 0, 4),
            rows_scratch(8, 5, 2, 12),
            rows_scratch(1024, 3, 1, 3),
        ]


@pytest.mark.parametrize("header", sorted(path.name for path in RUNTIME.glob("*.h")))
def test_headers_compile_as_c_and_cpp(header: str) -> None:
    for compiler, standard in (("gcc", "-std=c11"), ("g++", "-std=c++17")):
        for dsp in (0, 1):
            language = "c" if compiler == "gcc" else "c++"
            flags = [standard, "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
            done = subprocess.run(
                [compiler, *flags, f"-DTN_DSP={dsp}", f"-I{RUNTIME}", "-fsyntax-only"]
                + ["-x", language, "-"],
                input=f'#include "{header}"\n',
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr


def _pushed(header: str, frame: str) -> int:
    """Bytes of stack of the functions in assembly of a header; all registers, and `frame`."""
    found = re.search(rf'#define {frame} "(\d+)"', (RUNTIME / header).read_text())
    assert found
    return 9 * 4 + int(found[1])


def test_stack_of_assembly_is_what_it_pushes() -> None:
    text = "".join((RUNTIME / f"tn_{name}_armv7em.h").read_text() for name in ("dot", "taps"))
    names = re.findall(r"#define (\w+) TN_VARIANT", text)
    expected = dict.fromkeys(names, _pushed("tn_dot_armv7em.h", "TN_FRAME"))
    forms = list(product("357", "12", "01", "2345678", "01"))
    bytes_ = _pushed("tn_depthwise_fill_armv7em.h", "TN_DW_FRAME")
    expected |= {"tn_depthwise_square_" + "".join(form): bytes_ for form in forms}
    rows = product("357", "12", "2345678", "01", "01")
    bytes_ = _pushed("tn_depthwise_rows_armv7em.h", "TN_DR_FRAME")
    expected |= {"tn_depthwise_rows_" + "".join(form): bytes_ for form in rows}
    assert '"push {r3-r7, lr}' in (RUNTIME / "tn_dot_armv6m.h").read_text()
    expected["tn_dot_joined"] = 6 * 4
    straight = _pushed("tn_straight_armv7em.h", "TN_STRAIGHT_FRAME")
    tiles = [
        f"tn_{some}{kind}_tile" for some in ("", "unrolled_") for kind in ("strip", "pointwise")
    ]
    expected |= dict.fromkeys(tiles, straight)
    expected |= {"tn_strip_fill": 9 * 4, "tn_strip_single": 10 * 4}
    for header in ("row_sums", "depthwise_conv_2d", "dense"):
        text = (RUNTIME / f"tn_{header}_armv7em.h").read_text()
        frame = sum(map(int, re.findall(r"sub sp, #(\d+)", text)))
        expected |= dict.fromkeys(re.findall(r"#define (\w+) TN_VARIANT", text), 9 * 4 + frame)
    own = ("winograd", "lanes")  # with tests of their own
    of_others = {n: b for n, b in ASSEMBLY_BYTES.items() if not any(o in n for o in own)}
    assert expected == of_others
