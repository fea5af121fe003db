/* tn_softmax.h: SOFTMAX over the last axis, int8 to int8 or int16.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: a row is a whole number of groups of `depth` values; depth < 4096.
 * Aliasing: elements (units of depth input bytes and depth * output_bytes output bytes).
 * Output: 1/256 with zero point -128, or 1/65536 with zero point -32768.
 * Where int8 exponentials sum up to 512 or more the reference aborts; here all outputs are zero.
 */
#ifndef TN_SOFTMAX_H
#define TN_SOFTMAX_H

#include "tn_requantize.h"

typedef struct {
    int32_t depth;
    int32_t output_bytes;    /* literal: 1 or 2 */
    int32_t table_length;    /* 1..256 */
    const int32_t *exp_table; /* exp of (x - largest x) in Q0.31, by largest x - x */
} tn_softmax;

/* 1 / (1 + a) for a in [0, 1), both Q0.31: Newton's division, as the reference does it. */
TN_INLINE int32_t tn_softmax_reciprocal(int32_t a) {
    const int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) >> 1);
    int32_t x = 1515870810 + tn_saturating_rounding_doubling_high_mul(half, -1010580540);
    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = (1 << 29) - tn_saturating_rounding_doubling_high_mul(half, x);
        /* |x * error| < 2^29 in this format after the first guess, so * 4 does not overflow. */
        x += tn_saturating_rounding_doubling_high_mul(x, error) * 4;
    }
    return x >= (1 << 30) ? INT32_MAX : x * 2;
}

TN_INLINE int32_t tn_softmax_leading_zeros(uint32_t x) {
#if defined(__GNUC__) || defined(__clang__)
    return x == 0 ? 32 : (int32_t)__builtin_clz(x);
#else
    int32_t n = 32;
    for (; x != 0; x >>= 1) n--;
    return n;
#endif
}

TN_INLINE void tn_softmax_group(const tn_softmax *layer, const int8_t *in, int8_t *out) {
    const int32_t depth = layer->depth;
    const int32_t lowest = layer->output_bytes == 2 ? -32768 : -128;
    int32_t largest = -128;
    uint32_t sum = 0;
    for (int32_t c = 0; c < depth; c++) largest = tn_max(largest, in[c]);
    for (int32_t c = 0; c < depth; c++) {
        const int32_t difference = largest - in[c];
        if (difference < layer->table_length) {
            sum += (uint32_t)tn_rounding_divide_by_pot(layer->exp_table[difference], 12);
        }
    }
    /* sum has 12 integer bits and is at least one: 1 <= sum / 2^19 < 4096. */
    const int32_t headroom = tn_softmax_leading_zeros(sum);
    const int32_t scale = tn_softmax_reciprocal((int32_t)((sum << headroom) - 0x80000000u));
    const int32_t exponent = 12 - headroom + 31 - 8 * layer->output_bytes;
    for (int32_t c = 0; c < depth; c++) {
        const int32_t difference = largest - in[c];
        int32_t y = lowest;
        if (difference < layer->table_length && exponent <= 31) { /* else less than half a unit */
            y += tn_rounding_divide_by_pot(
                tn_saturating_rounding_doubling_high_mul(scale, layer->exp_table[difference]),
                exponent);
            y = tn_clamp(y, lowest, -1 - lowest);
        }
        if (layer->output_bytes == 2) {
            const int16_t wide = (int16_t)y;
            memcpy(out + 2 * c, &wide, sizeof wide);
        } else {
            out[c] = (int8_t)y;
        }
    }
}

TN_INLINE void tn_softmax_s8(const tn_softmax *layer, tn_rows in, tn_rows out, int32_t y_begin,
                             int32_t y_end) {
    for (int32_t y = y_begin; y < y_end; y++) {
        const int8_t *source = tn_row(in, y);
        int8_t *target = tn_row(out, y);
        for (int32_t left = in.pitch; left > 0; left -= layer->depth) {
            tn_softmax_group(layer, source, target);
            source += layer->depth;
            target += layer->depth * layer->output_bytes;
        }
    }
}

#endif
