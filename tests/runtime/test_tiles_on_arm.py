"""The assembly of tiles, and whole networks, on an emulated Cortex-M4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arm_image import run_image

from thumbnet.codegen.compile import Options, compile_graph
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.toolchain import host_library
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.random_graphs import FAMILIES

NETWORKS = [("mobilenet", 2), ("resnet", 0), ("resnet", 2), ("ds_cnn", 0), ("plain", 0)]
NETWORKS += [("plain", 1), ("temporal", 0), ("autoencoder", 0)]

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


@pytest.mark.parametrize("level", ["-O1", "-O2", "-O3", "-Os"])
def test_tiles(level: str, tmp_path: Path, qemu: None) -> None:
    """Every count of groups to 40 and of channels to 13 against tn_tile_bytes; runs and taps."""
    assert run_image(tmp_path, {"tiles": TILES}, [level], ["tiles", "runs", "taps"]) == 0


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
