"""The assembly of convolutions and dense layers on an emulated Cortex-M4, and registers it keeps.

Sections lie where they are least welcome: behind a halfword, where they do not ask for more.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from kernel_loader import RUNTIME
from test_operators_on_arm import ARM, LINKER, START

from thumbnet.codegen.compile import Options, compile_graph
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.toolchain import host_library
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.random_graphs import FAMILIES

ASSEMBLY = ("tn_tile_1", "tn_tile_2", "tn_tile_taps", "tn_pointwise_tile")
ASSEMBLY += ("tn_unrolled_strip_tile", "tn_unrolled_pointwise_tile")
ASSEMBLY += ("tn_row_sums_add", "tn_strip_tile", "tn_strip_single", "tn_strip_fill")
ASSEMBLY += ("tn_depthwise_conv_2d_fours", "tn_dense_bytes", "tn_dense_pairs")
ODD = "".join(f". = ALIGN(4) + 2; *(.text.{f}*) " for f in ASSEMBLY)
FLAGS = ["-ffunction-sections", "-fdata-sections", "-fno-ipa-icf", "-Wl,--gc-sections"]
NETWORKS = [("mobilenet", 2), ("resnet", 0), ("resnet", 2), ("ds_cnn", 0), ("plain", 0)]
NETWORKS += [("plain", 1), ("temporal", 0), ("autoencoder", 0)]

# call: a function and what its first four arguments are. 1 when r4 to r11 or sp come back changed.
GUARD = """
#include <stdint.h>
int guarded(const uintptr_t *call);
__attribute__((naked)) int guarded(const uintptr_t *call __attribute__((unused))) {
    __asm__("push {r4-r11, lr}\\n sub sp, #4\\n"
            "ldr r12, [r0]\\n ldr r1, [r0, #8]\\n ldr r2, [r0, #12]\\n ldr r3, [r0, #16]\\n"
            "ldr r0, [r0, #4]\\n mov r4, sp\\n" SENTINELS "blx r12\\n"
            "mov r0, #1\\n mov r12, sp\\n cmp r12, r4\\n bne 1f\\n" COMPARISONS "mov r0, #0\\n"
            "1: add sp, #4\\n pop {r4-r11, pc}");
}
"""
GUARD = GUARD.replace(
    "SENTINELS", " ".join(f'"mov r{r}, #0x{r:02x}{r:02x}{r:02x}{r:02x}\\n"' for r in range(5, 12))
).replace(
    "COMPARISONS",
    " ".join(f'"cmp r{r}, #0x{r:02x}{r:02x}{r:02x}{r:02x}\\n bne 1f\\n"' for r in range(5, 12)),
)

TILES = """
#include "tn_taps.h"
int guarded(const uintptr_t *call);
static uint32_t seed = 1;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }
static int8_t blocks[4 * TN_BLOCK_BYTES(4 * 40)] __attribute__((aligned(4)));
static int8_t columns[6][4 * 40] __attribute__((aligned(4)));
static int8_t input[3][100], lasts[8] __attribute__((aligned(4)));
static uint32_t widened[4 * 40];
static int8_t wanted[6][24], found[6][24];

/* A tile of random blocks: weights in joined words, sums and what requantises. */
static tn_tile random_tile(int32_t groups, int32_t out_c) {
    const int32_t fast = 1 + (int32_t)(next() & 1), clamp = fast == 1 && (next() & 1) != 0;
    const int32_t low = clamp ? -20 : -128, high = clamp ? 50 : 127;
    const tn_tile t = {blocks, out_c, groups, -3, low, high, fast, clamp};
    int8_t *p = blocks;
    for (int32_t o = 0; o < t.out_c; o += 4) {
        for (int i = 0; i < 4; i++, p += 4) tn_store32(p, (next() % 20000) * 256u);
        for (int32_t i = 0; i < 8 * t.groups; i++, p += 2) {
            const int32_t a = (int32_t)(next() & 127) - 64, b = (int32_t)(next() & 127) - 64;
            *(int16_t *)(void *)p = (int16_t)(256 * b + a);
        }
        if (fast == 1) {
            for (int i = 0; i < 4; i++, p += 4) tn_store32(p, 0x40000000u + next());
            for (int i = 0; i < 4; i++) *p++ = (int8_t)(6 + (next() & 3));
            p += 4;
        } else {
            for (int i = 0; i < 6; i++, p += 4)
                tn_store32(p, i % 3 == 1 ? next() % 2000 - 1000 : 0x4000000u + next());
        }
    }
    for (int32_t c = 0; c < 6; c++)
        for (int32_t i = 0; i < 4 * groups; i++) columns[c][i] = (int8_t)next();
    memset(wanted, 0x5A, sizeof wanted);
    memset(found, 0x5A, sizeof found);
    return t;
}

int check_tiles(void);
int check_tiles(void) {
    for (int32_t groups = 1; groups <= 40; groups++)
        for (int32_t out_c = 1; out_c <= 13; out_c++) {
            const tn_tile t = random_tile(groups, out_c);
            tn_pairs pair = {.columns = widened, .out = found[0], .apart = 24, .pairs = 1};
            tn_widen_2(widened, columns[0], columns[1], 4 * groups);
            for (int i = 0; i < 2; i++) tn_tile_bytes(&t, 1, columns[i], wanted[i]);
            const uintptr_t two[] = {(uintptr_t)tn_tile_2, (uintptr_t)&t, (uintptr_t)&pair, 0, 0};
            if (guarded(two) != 0) return 1;
            if (memcmp(wanted, found, sizeof wanted) != 0) return 2;
            memset(found, 0x5A, sizeof found);
            for (int i = 0; i < 2; i++) {
                const uintptr_t one[] = {(uintptr_t)tn_tile_1, (uintptr_t)&t,
                                         (uintptr_t)columns[i], (uintptr_t)found[i], 0};
                if (guarded(one) != 0) return 3;
            }
            if (memcmp(wanted, found, sizeof wanted) != 0) return 4;
        }
    return 0;
}

/* Three pairs whose columns are gathered: by up to three runs of up to five words, and a byte. */
int check_runs(void);
int check_runs(void) {
    for (int32_t turn = 0; turn < 600; turn++) {
        const int32_t runs = 1 + turn % 3, width = 4 + 4 * (turn / 3 % 5);
        const int32_t behind = next() % 2 == 0, step = 1 + (int32_t)(next() % 12);
        const int32_t k = runs * width + (behind ? 4 : 0);
        const tn_tile t = random_tile(k / 4, 1 + (int32_t)(next() % 13));
        for (int32_t i = 0; i < 300; i++) input[0][i] = (int8_t)next();
        int32_t skips[2] = {100 - width, 100 - width};
        const int32_t first = turn / 7 % runs; /* runs before it are in place */
        memset(lasts, 0, sizeof lasts);
        for (int32_t c = 0; c < 6; c++)
            for (int32_t i = 0; i < k; i++) columns[c][i] = 0;
        for (int32_t i = 0; i < 4 * k; i++) widened[i % 160] = 0;
        for (int32_t c = 0; c < 6; c++) {
            for (int32_t run = first; run < runs; run++) {
                memcpy(columns[c] + run * width, input[run] + c * step, (size_t)width);
                if (behind)
                    columns[c][runs * width + 2 * run % 3] = input[run][c * step + width];
            }
            tn_tile_bytes(&t, 1, columns[c], wanted[c]);
        }
        tn_pairs pairs = {widened, found[0], 24, 3, runs - first, input[first], step,
                          widened + first * width, width, skips, behind ? lasts + 2 * first : NULL,
                          lasts, 2, widened + runs * width};
        const uintptr_t call[] = {(uintptr_t)tn_tile_2, (uintptr_t)&t, (uintptr_t)&pairs, 0, 0};
        if (guarded(call) != 0) return 1;
        if (memcmp(wanted, found, sizeof wanted) != 0) return 2;
    }
    return 0;
}

/* Two pairs of taps, of up to three rows of the kernel and sixteen channels. */
int check_taps(void);
int check_taps(void) {
    for (int32_t turn = 0; turn < 200; turn++) {
        const int32_t rows = 1 + turn % 3, c = 4 + 4 * (turn / 3 % 4), first = turn / 7 % rows;
        const tn_tile t = random_tile(3 * rows * c / 4, 1 + (int32_t)(next() % 13));
        for (int32_t i = 0; i < 300; i++) input[0][i] = (int8_t)next();
        memset(input[0], 0, 100 * (size_t)first); /* rows before it are in place */
        memset(widened, 0, sizeof widened);
        for (int32_t p = 0; p < 4; p++) {
            for (int32_t i = 0; i < 3 * rows * c; i += 4) {
                const int32_t four = i / 4 / 3, row = 4 * four / c;
                memcpy(columns[p] + i, input[row] + (p + i / 4 % 3) * c + 4 * four % c, 4);
            }
            tn_tile_bytes(&t, 1, columns[p], wanted[p]);
        }
        int32_t skips[2] = {100 - c, 100 - c};
        tn_pairs pairs = {widened, found[0], 24, 2, rows - first, input[first], c,
                          widened + first * 2 * c, c, skips, NULL, NULL, 0, NULL};
        const uintptr_t call[] = {(uintptr_t)tn_tile_taps, (uintptr_t)&t, (uintptr_t)&pairs, 0, 0};
        if (guarded(call) != 0) return 1;
        if (memcmp(wanted, found, sizeof wanted) != 0) return 2;
    }
    return 0;
}
"""


STRIPS = """
#include "tn_pointwise_conv_2d.h"
#include "tn_strip_conv_2d.h"
int guarded(const uintptr_t *call);
static uint32_t seed = 1;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }
static int8_t blocks[6 * (40 + 8 * 32)] __attribute__((aligned(4)));
static int8_t input[6 * 64], column[64] __attribute__((aligned(4)));
static uint32_t scratch[200];
static int8_t wanted[160], found[160];
static int16_t strip[1200], expected[1200];

/* Random blocks of folded layers, or not. */
static void random_blocks(int32_t out_c, int32_t words, int32_t is_long) {
    int8_t *p = blocks;
    for (int32_t o = 0; o < out_c; o += 4) {
        for (int i = 0; i < 4; i++, p += 4) tn_store32(p, (next() % 20000) * 256u);
        for (int32_t i = 0; i < 4 * words; i++, p += 2) {
            const int32_t a = (int32_t)(next() & 127) - 64, b = (int32_t)(next() & 127) - 64;
            *(int16_t *)(void *)p = (int16_t)(256 * b + a);
        }
        for (int i = 0; i < 6; i++, p += 4)
            tn_store32(p, i % 3 == 1 ? next() % 2000 - 1000 : 0x4000000u + next());
        if (is_long) {
            p -= 24;
            for (int i = 0; i < 4; i++, p += 4) tn_store32(p, 0x40000000u + next());
            for (int i = 0; i < 8; i++) *p++ = (int8_t)(i < 4 ? 6 + (next() & 3) : 99);
        }
    }
    memset(wanted, 0x5A, sizeof wanted);
    memset(found, 0x5A, sizeof found);
}

/* All channels of a pixel of a strip. */
static void pixel(const tn_straight *s, int32_t words, int32_t is_long, const int16_t *x,
                  int8_t *out) {
    const tn_tile t = tn_straight_as_tile(s, words, is_long);
    const int8_t *p = blocks;
    for (int32_t o = 0; o < t.out_c; o += 4, p += 24) {
        int32_t sums[4];
        memcpy(sums, p, 16), p += 16;
        for (int32_t i = 0; i < 4 * words; i++, p += 2) {
            const int32_t w = *(const int16_t *)(const void *)p, pair = i / 2 % 2 * 2;
            const int32_t k = i / 4 * 2 + i % 2;
            sums[pair] += x[k] * (int8_t)w, sums[pair + 1] += x[k] * w;
        }
        tn_tile_store_4(&t, 1, p, o, sums, out);
    }
}

#define SIZES(T) T(2, 4) T(4, 12) T(5, 8) T(6, 40) T(13, 36) T(14, 20) T(26, 16) T(27, 60) T(32, 4)
#define MAKE(N, D)                                                                             \\
    TN_STRIP_TILE(N, D, 0) TN_STRIP_TILE(N, D, 1) TN_STRIP_SINGLE(N, 0) TN_STRIP_SINGLE(N, 1)
SIZES(MAKE)
#define UNROLLED(T) T(2, 4, 8, 2) T(5, 8, 24, 2) T(14, 36, 16, 4) T(27, 60, 16, 2) T(32, 16, 24, 2)
UNROLLED(TN_UNROLLED_STRIP_TILE)

/* channels 0: several counts */
static int check_strip(tn_straight_tile *tile, tn_straight_tile *single, int32_t n, int32_t d,
                       int32_t is_long, int32_t channels) {
    for (int32_t turn = 0; turn < 9; turn++) {
        const int32_t out_c = channels != 0 ? channels : 4 + 4 * (turn % 6), pairs = 1 + turn % 3;
        random_blocks(out_c, n, is_long);
        for (int32_t i = 0; i < 1200; i++) strip[i] = (int16_t)((int8_t)next());
        tn_straight t = {blocks, strip, found, out_c, pairs, NULL, -3};
        for (int32_t i = 0; i < 2 * pairs; i++)
            pixel(&t, n, is_long, strip + i * d / 2, wanted + i * out_c);
        const uintptr_t all[] = {(uintptr_t)tile, (uintptr_t)&t, 0, 0, 0};
        if (guarded(all) != 0) return 1;
        if (memcmp(wanted, found, sizeof wanted) != 0) return 2;
        memset(wanted, 0x5A, sizeof wanted);
        memset(found, 0x5A, sizeof found);
        if (single == NULL) continue;
        pixel(&t, n, is_long, strip, wanted);
        const uintptr_t one[] = {(uintptr_t)single, (uintptr_t)&t, 0, 0, 0};
        if (guarded(one) != 0) return 3;
        if (memcmp(wanted, found, sizeof wanted) != 0) return 4;
    }
    return 0;
}

int check_strips(void);
int check_strips(void) {
    int r;
#define CHECK(N, D)                                                                            \\
    if ((r = check_strip(tn_strip_tile_##N##_##D##_0, tn_strip_single_##N##_0, N, D, 0, 0)) || \\
        (r = check_strip(tn_strip_tile_##N##_##D##_1, tn_strip_single_##N##_1, N, D, 1, 0)))   \\
        return r;
    SIZES(CHECK)
#define CHECK_UNROLLED(N, D, C, U)                                                             \\
    if ((r = check_strip(tn_unrolled_strip_tile_##N##_##D##_##C##_##U, NULL, N, D, 0, C))) return r;
    UNROLLED(CHECK_UNROLLED)
    return 0;
}

#define WORDS(T) T(2, 0) T(2, 1) T(4, 0) T(6, 1) T(8, 0) T(14, 1) T(26, 0) T(28, 1) T(32, 0)
WORDS(TN_POINTWISE_TILE)
#define TURNS(T) T(4, 16, 4) T(2, 8, 2) T(6, 24, 2) T(8, 16, 2) T(26, 24, 2) T(32, 8, 2)
TURNS(TN_UNROLLED_POINTWISE_TILE)

/* Pairs of pixels whose outputs may lie over inputs that are done. channels 0: several counts */
static int check_pairs(tn_straight_tile *tile, int32_t n, int32_t is_long, int32_t channels) {
    for (int32_t turn = 0; turn < 18; turn++) {
        const int32_t out_c = channels != 0 ? channels : 4 + 4 * (turn % 6), pairs = 1 + turn % 3;
        const int32_t in_place = out_c <= 2 * n && turn % 2 == 0;
        tn_straight t = {blocks, scratch, in_place ? input : found, out_c, pairs, input, -3};
        const tn_tile all = tn_straight_as_tile(&t, n, is_long);
        random_blocks(out_c, n, is_long);
        for (int32_t i = 0; i < (int32_t)sizeof input; i++) input[i] = (int8_t)next();
        for (int32_t i = 0; i < 2 * pairs; i++) {
            memcpy(column, input + 2 * i * n, 2 * (size_t)n);
            tn_tile_bytes(&all, 1, column, wanted + i * out_c);
        }
        const uintptr_t call[] = {(uintptr_t)tile, (uintptr_t)&t, 0, 0, 0};
        if (guarded(call) != 0) return 1;
        if (in_place) memcpy(found, input, 2 * (size_t)(pairs * out_c));
        if (memcmp(wanted, found, sizeof wanted) != 0) return 2;
    }
    return 0;
}

int check_pointwise(void);
int check_pointwise(void) {
    int r;
#define PAIRS(N, LONG)                                                                         \\
    if ((r = check_pairs(tn_pointwise_tile_##N##_##LONG, N, LONG, 0))) return r;
    WORDS(PAIRS)
#define PAIRS_UNROLLED(N, C, U)                                                                \\
    if ((r = check_pairs(tn_unrolled_pointwise_tile_##N##_##C##_##U, N, 0, C))) return r;
    TURNS(PAIRS_UNROLLED)
    return 0;
}

#define FILLS(T) T(1, 1) T(1, 10) T(1, 15) T(2, 3) T(2, 15) T(3, 3) T(3, 10)
FILLS(TN_STRIP_FILL)

/* Columns left and right of a row, and rows that are not there. */
static int check_fill(tn_strip_fill *fill, int32_t c, int32_t kh) {
    int32_t lines[15];
    for (int32_t turn = 0; turn < 60; turn++) {
        const int32_t left = (int32_t)next() % 3, right = (int32_t)next() % 3;
        const int32_t inside = (int32_t)next() % 21;
        const int32_t from = (int32_t)next() % 8, columns = left + inside + right;
        for (int32_t i = 0; i < (int32_t)sizeof input; i++) input[i] = (int8_t)next();
        memset(strip, 0x5A, sizeof strip);
        memset(expected, 0x5A, sizeof expected);
        for (int32_t ky = 0; ky < kh; ky++)
            lines[ky] = next() % 4 == 0 ? -1 : (int32_t)next() % 200;
        for (int32_t i = 0; i < columns * kh * c; i++) {
            const int32_t x = i / (kh * c), ky = i / c % kh, at = from + lines[ky];
            const int32_t there = lines[ky] >= 0 && x >= left && x < left + inside;
            expected[i] = there ? input[at + (x - left) * c + i % c] : -77;
        }
        tn_strip s = {strip, lines, input + from, left, inside, right, -77, kh};
        const uintptr_t call[] = {(uintptr_t)fill, (uintptr_t)&s, 0, 0, 0};
        if (guarded(call) != 0) return 1;
        if (memcmp(strip, expected, sizeof strip) != 0) return 2;
    }
    return 0;
}

int check_filling(void);
int check_filling(void) {
    int r;
#define FILL(C, KH) if ((r = check_fill(tn_strip_fill_##C##_##KH, C, KH))) return r;
    FILLS(FILL)
    return 0;
}
"""


def run_image(folder: Path, sources: Mapping[str, str], flags: list[str], checks: list[str]) -> int:
    """The exit status of an image: 16 * number of the check that fails + what it returned, or 0."""
    script, image = folder / "image.ld", folder / "image.elf"
    script.write_text(LINKER.replace("*(.text*)", ODD + "*(.text*)"))
    start = START.replace("CHECKS", "\n".join(f"int check_{c}(void);" for c in checks)).replace(
        "RUN",
        "\n".join(
            f"{{ int r = check_{c}(); if (r) stop(16 * {i} + r); }}"
            for i, c in enumerate(checks, 1)
        ),
    )
    paths = []
    for name, text in {"start": start, "guard": GUARD, **sources}.items():
        (folder / f"{name}.c").write_text(text)
        paths.append(str(folder / f"{name}.c"))
    command = [*ARM, *flags, *FLAGS, f"-I{RUNTIME}", "-nostartfiles", "-T", str(script), *paths]
    subprocess.run([*command, "-lc", "-lgcc", "-o", str(image)], check=True)
    run = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-kernel"]
    return subprocess.run([*run, str(image)], timeout=120, stdin=subprocess.DEVNULL).returncode


@pytest.mark.parametrize("level", ["-O1", "-O2", "-O3", "-Os"])
def test_tiles(level: str, tmp_path: Path, qemu: None) -> None:
    """Every count of groups to 40 and of channels to 13 against tn_tile_bytes; runs and taps."""
    assert run_image(tmp_path, {"tiles": TILES}, [level], ["tiles", "runs", "taps"]) == 0


@pytest.mark.parametrize("level", ["-O1", "-O2", "-Os"])
def test_strips_and_straight_tiles(level: str, tmp_path: Path, qemu: None) -> None:
    checks = ["strips", "pointwise", "filling"]
    assert run_image(tmp_path, {"strips": STRIPS}, [level], checks) == 0


@pytest.mark.parametrize("optimize", ["balanced", "size", "latency"])
def test_networks(optimize: str, tmp_path: Path, qemu: None) -> None:
    """Two calls of each network against the host; a run gives back what the caller keeps."""
    sources, names = {}, []
    for family, seed in NETWORKS:
        graph = FAMILIES[family](seed)
        made = {}
        for target in ("host", "cortex-m4"):
            options, folder = Options(target, optimize), tmp_path / target / graph.name
            made[target] = compile_graph(graph, Path(graph.source), folder, options)
        manifest = made["cortex-m4"].manifest
        name, folder = manifest.name, made["cortex-m4"].folder
        assert not manifest.state and not manifest.row_fed
        on_host = HostModel(host_library(made["host"].folder), made["host"].manifest)
        body = ""
        for call in random_calls(manifest.inputs, 8)[-2:]:
            raw = [np.ascontiguousarray(a).tobytes() for a in call]
            for edges, values, test in (
                (manifest.inputs, raw, "memcpy(arena + {0}, v, sizeof v);"),
                (manifest.outputs, on_host(raw), "if (memcmp(arena + {0}, v, sizeof v)) return 2;"),
            ):
                if edges is manifest.outputs:
                    body += "if (guarded(call) != 0) return 1;\n"
                for edge, value in zip(edges, values, strict=True):
                    numbers = ",".join(map(str, value))
                    body += f"{{ static const uint8_t v[] = {{{numbers}}}; "
                    body += test.format(edge.offset) + " }\n"
        sources[f"check_{name}"] = (
            f'#include "{folder / name}.h"\n#include <string.h>\nint guarded(const uintptr_t *);\n'
            f"int check_{name}(void);\nint check_{name}(void) {{\n"
            f"static uint8_t arena[{manifest.arena_bytes}] __attribute__((aligned(8)));\n"
            f"const uintptr_t call[5] = {{(uintptr_t){name}_run, (uintptr_t)arena}};\n"
            f"{body}return 0;\n}}\n"
        )
        sources[name] = f'#include "{folder / name}.c"\n'
        names.append(name)
    status = run_image(tmp_path, sources, ["-Os" if optimize == "size" else "-O2"], names)
    assert status == 0, f"'{names[status // 16 - 1]}' (exit status {status})"
