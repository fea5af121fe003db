"""Assembly that is no tile of a convolution on an emulated Cortex-M4, and registers it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from arm_image import run_image

SUMS = """
#include "tn_row_sums.h"
int guarded(const uintptr_t *call);
static uint32_t seed = 1;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }
static int8_t input[32 * 256];
static uint32_t wanted[14], found[14];

/* f(p, columns, step, channels, pairs), whose last argument is on the stack. */
static int32_t columns, channels, step;
static void add(const int8_t *p) { tn_row_sums_add(p, columns, step, channels, found + 1); }

int check_sums(void);
int check_sums(void) {
    for (int32_t turn = 0; turn < 3000; turn++) {
        columns = turn < 2900 ? 1 + turn % 29 : 256 - turn % 5;
        channels = 1 + turn / 29 % 23;
        step = channels + (int32_t)(next() % 8);
        for (uint32_t i = 0; i < sizeof input; i++) input[i] = (int8_t)next();
        for (int i = 0; i < 14; i++) wanted[i] = found[i] = next();
        for (int32_t c = 0; c < channels; c++) {
            uint16_t *half = (uint16_t *)(void *)(wanted + 1 + c / 4 * 2 + c % 2) + c % 4 / 2;
            for (int32_t i = 0; i < columns; i++)
                *half = (uint16_t)(*half + input[i * step + c]);
        }
        const uintptr_t call[] = {(uintptr_t)add, (uintptr_t)input, 0, 0, 0};
        if (guarded(call) != 0) return 1;
        if (memcmp(wanted, found, sizeof wanted) != 0) return 2;
    }
    return 0;
}
"""

TAPS = """
#include "tn_depthwise_conv_2d.h"
int guarded(const uintptr_t *call);
static uint32_t seed = 1;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }
static int8_t input[1024], wanted[32], found[32];
static int8_t groups[6 * TN_DEPTHWISE_GROUP(12)] __attribute__((aligned(4)));
static int32_t offsets[12];
static int32_t taps;
static void four(const tn_tile *t) {
    tn_depthwise_conv_2d_fours(t, input, offsets, taps, found + 1);
}

int check_taps(void);
int check_taps(void) {
    for (int32_t turn = 0; turn < 3000; turn++) {
        const int32_t clamp = (int32_t)(next() & 1), channels = 4 + turn / 12 % 17;
        const tn_tile t = {groups, channels, 0, -3, clamp ? -20 : -128, clamp ? 50 : 127, 1, clamp};
        taps = 1 + turn % 12;
        for (uint32_t i = 0; i < sizeof input; i++) input[i] = (int8_t)next();
        for (int32_t i = 0; i < taps; i++) offsets[i] = (int32_t)(next() % 1000);
        for (int32_t g = 0; g < 6; g++) {
            int8_t *p = groups + g * TN_DEPTHWISE_GROUP(taps);
            for (int i = 0; i < 4; i++, p += 4) tn_store32(p, next() % 60000 - 30000);
            for (int32_t i = 0; i < 4 * taps; i++) *p++ = (int8_t)next();
            for (int i = 0; i < 4; i++, p += 4) tn_store32(p, 0x40000000u + next());
            for (int i = 0; i < 4; i++) *p++ = (int8_t)(6 + (next() & 3));
        }
        memset(wanted, 0x5A, sizeof wanted);
        memset(found, 0x5A, sizeof found);
        tn_tile whole = t;
        whole.out_c &= ~3;
        tn_depthwise_conv_2d_plain(&whole, input, offsets, taps, 1, 0, wanted + 1);
        const uintptr_t call[] = {(uintptr_t)four, (uintptr_t)&t, 0, 0, 0};
        if (guarded(call) != 0) return 1;
        if (memcmp(wanted, found, sizeof wanted) != 0) return 2;
    }
    return 0;
}
"""

DENSE = """
#include "tn_fully_connected.h"
int guarded(const uintptr_t *call);
static uint32_t seed = 1;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }
enum { K = 4 * 19, BLOCKS = 6 };
static int8_t fours[BLOCKS * TN_BLOCK_BYTES(K)] __attribute__((aligned(4)));
static int8_t eights[BLOCKS * TN_BLOCK_BYTES(K)] __attribute__((aligned(4)));
static int8_t x[K], wanted[4 * BLOCKS + 8], found[4 * BLOCKS + 8];
static uint32_t pairs[K / 2];

/* Random blocks of four channels, and the same in blocks of eight. */
static void fill(int32_t k, int32_t fast) {
    for (int32_t b = 0; b < BLOCKS; b++) {
        int8_t *const block = fours + b * TN_BLOCK_BYTES(k), *p = block;
        for (int i = 0; i < 4; i++, p += 4) tn_store32(p, (next() % 20000) * 256u);
        for (int32_t i = 0; i < 2 * k; i++, p += 2) {
            const int32_t a = (int32_t)(next() & 127) - 64, c = (int32_t)(next() & 127) - 64;
            *(int16_t *)(void *)p = (int16_t)(256 * c + a);
        }
        for (int i = 0; i < 6; i++, p += 4)
            tn_store32(p, fast == 1   ? i < 4 ? 0x40000000u + next() : 0x06070906u
                          : i % 3 == 1 ? next() % 2000 - 1000
                                       : 0x4000000u + next());
        int8_t *const eight = eights + (b & ~1) * TN_BLOCK_BYTES(k);
        const int32_t second = b & 1;
        memcpy(eight + 16 * second, block, 16);
        for (int32_t i = 0; i < k / 2; i++)
            memcpy(eight + 32 + 16 * i + 8 * second, block + 16 + 8 * i, 8);
        memcpy(eight + 32 + 8 * k + 24 * second, block + 16 + 4 * k, 24);
    }
}

int check_dense(void);
int check_dense(void) {
    for (int32_t turn = 0; turn < 19 * 24; turn++) {
        const int32_t k = 4 * (1 + turn % 19), fast = 1 + turn / 19 % 2, n = 1 + turn / 38 % 3;
        const int32_t clamp = fast == 1 && (next() & 1) != 0;
        tn_tile t = {fours, 8 * n, k / 4, -3, clamp ? -20 : -128, clamp ? 50 : 127, fast, clamp};
        for (int32_t i = 0; i < k; i++) x[i] = (int8_t)next();
        fill(k, fast);
        memset(wanted, 0x5A, sizeof wanted);
        tn_tile_bytes(&t, 1, x, wanted + 3);
        tn_widen_1(pairs, x, k);
        t.blocks = eights;
        const uintptr_t calls[2][5] = {
            {(uintptr_t)tn_dense_bytes, (uintptr_t)&t, (uintptr_t)x, (uintptr_t)(found + 3),
             (uintptr_t)n},
            {(uintptr_t)tn_dense_pairs, (uintptr_t)&t, (uintptr_t)pairs, (uintptr_t)(found + 3),
             (uintptr_t)n}};
        for (int i = 0; i < 2; i++) {
            memset(found, 0x5A, sizeof found);
            if (guarded(calls[i]) != 0) return 1 + 2 * i;
            if (memcmp(wanted, found, sizeof wanted) != 0) return 2 + 2 * i;
        }
    }
    return 0;
}
"""


@pytest.mark.parametrize("level", ["-O1", "-O2", "-Os"])
def test_dense(level: str, tmp_path: Path, qemu: None) -> None:
    """One to nineteen groups of k, one to three times eight channels, folded and not."""
    assert run_image(tmp_path, {"dense": DENSE}, [level], ["dense"]) == 0


@pytest.mark.parametrize("level", ["-O1", "-O2", "-Os"])
def test_depthwise_taps(level: str, tmp_path: Path, qemu: None) -> None:
    """One to twelve taps, four to twenty channels, limits or none, against plain C."""
    assert run_image(tmp_path, {"taps": TAPS}, [level], ["taps"]) == 0


@pytest.mark.parametrize("level", ["-O1", "-O2", "-Os"])
def test_row_sums(level: str, tmp_path: Path, qemu: None) -> None:
    """Up to 23 channels, some that are no multiple of four, at any step."""
    flags = [level, "-fno-strict-aliasing"]
    assert run_image(tmp_path, {"sums": SUMS}, flags, ["sums"]) == 0
