"""The assembly of strips and straight tiles on an emulated Cortex-M4."""

from __future__ import annotations

from pathlib import Path

import pytest
from arm_image import run_image

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


@pytest.mark.parametrize("level", ["-O1", "-O2", "-Os"])
def test_strips_and_straight_tiles(level: str, tmp_path: Path, qemu: None) -> None:
    checks = ["strips", "pointwise", "filling"]
    assert run_image(tmp_path, {"strips": STRIPS}, [level], checks) == 0
