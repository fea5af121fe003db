"""Each function of tn_dsp.h: the instructions of an emulated Cortex-M4 against the C twin.

The header is compiled twice into one image, with the DSP extension and as if there was none. Every
function gets edge and random operands and a block of random bytes; results, and the block after it,
must be equal. On the host the twin alone gets the same operands under sanitizers.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from arm_image import run_objects
from kernel_loader import RUNTIME, SANITIZE, compile_c
from test_operators_on_arm import START

# By function: what is done to operands and results x[0..6), and to 64 bytes at m, word aligned.
CALLS = {
    **{
        f"tn_{name}": f"x[0] = (uint32_t)tn_{name}(x[0], x[1], (int32_t)x[2])"
        for name in ("smlad", "smlabb", "smlatt")
    },
    **{
        f"tn_{name}": f"x[0] = tn_{name}(x[0])" for name in ("sxtb16", "sxtb16_ror8", "opaque")
    },
    **{
        f"tn_{name}": f"x[0] = tn_{name}(x[0], x[1])"
        for name in ("ssub16", "pkhbt", "pkhtb")
    },
    "tn_smmlar": "x[0] = (uint32_t)tn_smmlar((int32_t)x[0], (int32_t)x[1], (int32_t)x[2])",
    "tn_smmla": "x[0] = (uint32_t)tn_smmla((int32_t)x[0], (int32_t)x[1], (int32_t)x[2])",
    "tn_smlawb": "x[0] = (uint32_t)tn_smlawb((int32_t)x[0], x[1], (int32_t)x[2])",
    "tn_smlawt": "x[0] = (uint32_t)tn_smlawt((int32_t)x[0], x[1], (int32_t)x[2])",
    "tn_asr_round_add": "x[0] = (uint32_t)tn_asr_round_add((int32_t)x[0], 1 + (int32_t)(x[1] % 31),"
    " (int32_t)(x[2] & 255) - 128)",
    "tn_ssat8": "x[0] = (uint32_t)tn_ssat8((int32_t)x[0])",
    "tn_ssat8_asr21": "x[0] = (uint32_t)tn_ssat8_asr21((int32_t)x[0])",
    "tn_pack_bytes": "x[0] = tn_pack_bytes((int32_t)x[0], (int32_t)x[1], (int32_t)x[2],"
    " (int32_t)x[3])",
    "tn_load_two": "tn_load_two((const uint32_t *)(const void *)m + x[0] % 14, x + 1, x + 2)",
}  # fmt: skip

# The twin's own helpers, and what declares the others.
HELPERS = {"tn_dsp_low", "tn_dsp_high", "tn_dsp_mac"}
DECLARATION = re.compile(r"^TN_INLINE .*?(\w+)\(|^TN_DSP_MAC\((tn_\w+),", re.M)

FUNCTIONS = """
#include "tn_dsp.h"
#if TN_DSP_NATIVE != NATIVE
#error "not what is tested"
#endif
DEFINITIONS
typedef void call(uint32_t *x, int8_t *m);
extern call *const TABLE[];
call *const TABLE[] = {NAMES};
"""

CHECK = """
#include <stdint.h>
#include <string.h>
typedef void call(uint32_t *x, int8_t *m);
extern call *const native[], *const twin[];
static uint32_t seed = 1;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u, seed ^ seed >> 16; }
static const uint32_t edges[] = {
    0, 1, 0xFFFFFFFFu, 0x80000000u, 0x7FFFFFFFu, 0x80008000u, 0x7FFF7FFFu, 0x7FFF8000u,
    0x80007FFFu, 0x80808080u, 0x7F7F7F7Fu, 0x7F807F80u, 0x0000FFFFu, 0xFFFF0000u, 0x80000001u};
#define EDGES (sizeof edges / sizeof *edges)

static int differ(int function, const uint32_t *operands) {
    uint32_t x[2][6], m[2][16];
    for (int i = 0; i < 16; i++) m[0][i] = m[1][i] = next();
    for (int i = 0; i < 2; i++) memcpy(x[i], operands, sizeof x[i]);
    native[function](x[0], (int8_t *)m[0]);
    twin[function](x[1], (int8_t *)m[1]);
    return memcmp(x[0], x[1], sizeof x[0]) != 0 || memcmp(m[0], m[1], sizeof m[0]) != 0;
}

int check(void);
int check(void) {
    uint32_t x[6];
    for (int f = 0; f < COUNT; f++)
        for (uint32_t i = 0; i < EDGES * EDGES * EDGES + 2000; i++) {
            for (int j = 0; j < 6; j++) x[j] = next();
            if (i < EDGES * EDGES * EDGES)
                x[0] = edges[i % EDGES], x[1] = edges[i / EDGES % EDGES],
                x[2] = edges[i / EDGES / EDGES];
            if (differ(f, x)) return f + 1;
        }
    return 0;
}
"""


def _functions(table: str, native: int) -> str:
    """C of all CALLS and the table of them."""
    definitions = "".join(
        f"static void call_{name}(uint32_t *x, int8_t *m) {{ (void)m; {body}; }}\n"
        for name, body in CALLS.items()
    )
    names = ", ".join(f"call_{name}" for name in CALLS)
    text = FUNCTIONS.replace("DEFINITIONS", definitions).replace("NAMES", names)
    return text.replace("TABLE", table).replace("NATIVE\n", f"{native}\n")


def test_every_function_is_tested() -> None:
    text = (RUNTIME / "tn_dsp.h").read_text()
    found = {a or b for a, b in DECLARATION.findall(text)} - HELPERS
    assert found - {"NAME"} == set(CALLS)


@pytest.mark.parametrize("level", ["-O1", "-O2", "-Os"])
def test_instructions_are_what_their_twins_say(level: str, tmp_path: Path, qemu: None) -> None:
    start = START.replace("CHECKS", "int check(void);").replace("RUN", "stop(check());")
    sources = {
        "native": (_functions("native", 1), []),
        "twin": (_functions("twin", 0), ["-U__ARM_FEATURE_DSP"]),
        "check": (CHECK.replace("COUNT", str(len(CALLS))), []),
        "start": (start, []),
    }
    status = run_objects(tmp_path, sources, level)
    assert status == 0, f"'{['', *CALLS][status]}' differs" if status <= len(CALLS) else status


def test_twins_have_no_undefined_behaviour() -> None:
    text = _functions("native", 0) + CHECK.replace("COUNT", str(len(CALLS)))
    text += "int main(void) { return check(); }\n"
    program = compile_c(text, "dsp_twins", ["-O1", "-DTN_DSP=1", "-Dtwin=native", *SANITIZE])
    done = subprocess.run([program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
