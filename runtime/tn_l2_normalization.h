/* tn_l2_normalization.h: L2_NORMALIZATION over the last axis, int8 to int8 (scale 1/128).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: a row is a whole number of groups of `depth` values; depth < 2^15.
 * Aliasing: elements (units of depth bytes).
 */
#ifndef TN_L2_NORMALIZATION_H
#define TN_L2_NORMALIZATION_H

#include "tn_requantize.h"

typedef struct {
    int32_t depth;
    int32_t input_zero_point;
} tn_l2_normalization;

/* x * 2^bits, saturated to int32. */
TN_INLINE int32_t tn_l2_shift_left(int32_t x, int32_t bits) {
    const int32_t limit = INT32_MAX >> bits;
    if (x > limit) return INT32_MAX;
    if (x < -limit - 1) return INT32_MIN;
    return x * (1 << bits);
}

/* 1 / sqrt(sum) as multiplier * 2^(shift - 31): five Newton steps, as the reference does them. */
TN_INLINE int32_t tn_l2_inverse_root(int32_t sum, int32_t *shift) {
    if (sum <= 1) {
        *shift = 0;
        return INT32_MAX;
    }
    int32_t right = 11;
    while (sum >= (1 << 29)) {
        sum /= 4;
        right++;
    }
    while (sum < (1 << 27)) {
        sum *= 4;
        right--;
    }
    const int32_t half = tn_rounding_divide_by_pot(sum >> 1, 1); /* Q3.28 from here on */
    int32_t x = 1 << 28;
    for (int32_t i = 0; i < 5; i++) {
        const int32_t square = tn_saturating_rounding_doubling_high_mul(x, x);
        const int32_t cube =
            tn_l2_shift_left(tn_saturating_rounding_doubling_high_mul(square, x), 6);
        const int32_t next =
            tn_saturating_rounding_doubling_high_mul((1 << 28) + (1 << 27), x) -
            tn_saturating_rounding_doubling_high_mul(half, cube);
        x = tn_l2_shift_left(next, 3);
    }
    x = tn_saturating_rounding_doubling_high_mul(x, 1518500250); /* sqrt(1/2) */
    if (right < 0) {
        x = (int32_t)((uint32_t)x << -right);
        right = 0;
    }
    *shift = -right;
    return x;
}

TN_INLINE void tn_l2_normalization_s8(const tn_l2_normalization *layer, tn_rows in, tn_rows out,
                                      int32_t y_begin, int32_t y_end) {
    const int32_t depth = layer->depth;
    for (int32_t y = y_begin; y < y_end; y++) {
        const int8_t *source = tn_row(in, y);
        int8_t *target = tn_row(out, y);
        for (int32_t left = in.pitch; left > 0; left -= depth) {
            int32_t sum = 0;
            int32_t shift;
            for (int32_t c = 0; c < depth; c++) {
                const int32_t x = source[c] - layer->input_zero_point;
                sum += x * x;
            }
            const int32_t multiplier = tn_l2_inverse_root(sum, &shift);
            for (int32_t c = 0; c < depth; c++) {
                const int32_t x = source[c] - layer->input_zero_point;
                target[c] = (int8_t)tn_clamp(
                    tn_multiply_by_quantized_multiplier(x, multiplier, shift + 7), -128, 127);
            }
            source += depth;
            target += depth;
        }
    }
}

#endif
