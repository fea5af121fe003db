/* tn_straight.h: tiles whose count of k and places of x are constants of the code.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * They compute all channels of pairs of output pixels from blocks as tn_dot.h has them: of layers
 * that are joined, whose channels are a multiple of four and whose requantisation is folded (LONG
 * 0) or fast and without limits (LONG 1). Unrolled ones are for C channels, U blocks a turn, of
 * folded requantisation. K is counted in words of two. Those of a strip have their
 * words in the order of k: (0, 1), (2, 3), ...
 */
#ifndef TN_STRAIGHT_H
#define TN_STRAIGHT_H

#include "tn_dot.h"

/* What a tile computes. tn_straight_armv7em.h knows the order of the fields. */
typedef struct {
    const int8_t *blocks;
    void *x;            /* of the first pixel, two int16 a word, 4-byte aligned */
    int8_t *out;        /* of the first pixel; pixels follow each other */
    int32_t out_c;
    int32_t pairs;      /* of pixels, >= 1 */
    const int8_t *in;   /* of the first pixel, of a pointwise layer; x is not used then */
    int32_t zero_point; /* of the output, where LONG is 1 */
} tn_straight;

typedef void tn_straight_tile(const tn_straight *t);

/* The same as a tile of `words`. */
TN_INLINE tn_tile tn_straight_as_tile(const tn_straight *t, int32_t words, int32_t is_long) {
    const tn_tile tile = {t->blocks, t->out_c, words / 2, t->zero_point, -128, 127, 2 - is_long, 0};
    return tile;
}

#if TN_DSP_NATIVE

#include "tn_straight_armv7em.h"

#else

typedef int16_t __attribute__((may_alias)) tn_straight_value;

/* The sums of a block, of one pixel. */
TN_INLINE void tn_straight_sums(const int8_t *block, const int16_t *x, int32_t words,
                                int32_t *sums) {
    memcpy(sums, block, TN_BLOCK_BEGIN);
    block += TN_BLOCK_BEGIN;
    for (const int16_t *const end = x + 2 * words; x != end; x += 2, block += 8)
        for (int32_t i = 0; i < 2; i++) {
            const void *const word = block + 4 * i;
            const tn_straight_value *const w = (const tn_straight_value *)word;
            for (int32_t j = 0; j < 2; j++) {
                sums[2 * i] = (int32_t)tn_mac((uint32_t)sums[2 * i], x[j], (int8_t)w[j]);
                sums[2 * i + 1] = (int32_t)tn_mac((uint32_t)sums[2 * i + 1], x[j], w[j]);
            }
        }
}

/* Pixels whose inputs lie `apart` bytes from each other, in the order of k. */
#define tn_straight_pixels TN_VARIANT(tn_straight_pixels)
TN_SHARED void tn_straight_pixels(const tn_straight *t, int32_t pixels, int32_t words,
                                  int32_t apart, int32_t is_long) {
    const tn_tile tile = tn_straight_as_tile(t, words, is_long);
    for (int32_t i = 0; i < pixels; i++) {
        const int16_t *const x = (const int16_t *)t->x + i * apart / 2;
        const int8_t *block = t->blocks;
        for (int32_t o = 0; o < t->out_c; o += 4) {
            int32_t sums[4];
            tn_straight_sums(block, x, words, sums);
            block += TN_BLOCK_BEGIN + 8 * words;
            tn_tile_store_4(&tile, 1, block, o, sums, t->out + i * t->out_c);
            block += TN_BLOCK_END;
        }
    }
}

#define TN_STRIP_TILE(N, D, LONG)                                                                  \
    TN_INLINE void TN_VARIANT(tn_strip_tile_##N##_##D##_##LONG)(const tn_straight *t) {            \
        tn_straight_pixels(t, 2 * t->pairs, N, D, LONG);                                           \
    }
#define TN_UNROLLED_STRIP_TILE(N, D, C, U)                                                         \
    TN_INLINE void TN_VARIANT(tn_unrolled_strip_tile_##N##_##D##_##C##_##U)(                       \
        const tn_straight *t) {                                                                    \
        tn_straight_pixels(t, 2 * t->pairs, N, D, 0);                                              \
    }
#define TN_STRIP_SINGLE(N, LONG)                                                                   \
    TN_INLINE void TN_VARIANT(tn_strip_single_##N##_##LONG)(const tn_straight *t) {                \
        tn_straight_pixels(t, 1, N, 0, LONG);                                                      \
    }

#endif

#endif
