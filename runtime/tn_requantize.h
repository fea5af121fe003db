/* tn_requantize.h: fixed-point requantisation, bit-exact with TensorFlow Lite's double rounding.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A real multiplier is multiplier * 2^(shift - 31), multiplier in [2^30, 2^31) or 0. shift > 0
 * shifts left before the multiplication, shift < 0 right after it. The numpy twin is
 * codegen/lowering/quantize.py. Right shifts of negative numbers are arithmetic.
 */
#ifndef TN_REQUANTIZE_H
#define TN_REQUANTIZE_H

#include "tn_core.h"
#include "tn_dsp.h"

/* round(a * b / 2^31), halves up; INT32_MIN * INT32_MIN saturates. */
TN_INLINE int32_t tn_saturating_rounding_doubling_high_mul(int32_t a, int32_t b) {
    if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* round(x / 2^exponent), halves away from zero. exponent in 0..31. */
TN_INLINE int32_t tn_rounding_divide_by_pot(int32_t x, int32_t exponent) {
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1u);
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + ((x & mask) > threshold ? 1 : 0);
}

/* x * multiplier * 2^(shift - 31) rounded twice; any x. shift in -31..30; the left shift wraps. */
TN_INLINE int32_t tn_multiply_by_quantized_multiplier(int32_t x, int32_t multiplier,
                                                      int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t shifted = (int32_t)((uint32_t)x << left);
    return tn_rounding_divide_by_pot(tn_saturating_rounding_doubling_high_mul(shifted, multiplier),
                                     right);
}

/* The same value plus `addend`, in four instructions of the DSP extension. `doubled` is
 * 2 * multiplier - 2^32 (multiplier >= 2^30), `right` = -shift in 1..31, and x > INT32_MIN.
 * Exact: smmlar(x, 2m - 2^32, x) is floor((x * m + 2^30) / 2^31), the doubling high product. Taking
 * one off a negative x makes the halves that the shift rounds up round away from zero; where the
 * product of a negative x rounded to 0, both forms give 0. */
TN_INLINE int32_t tn_requantize_fast(int32_t x, int32_t doubled, int32_t right, int32_t addend) {
    return tn_asr_round_add(tn_smmlar(x, doubled, x + (x >> 31)), right, addend);
}

/* (round(x * multiplier / 2^32) + addend) >> TN_SHORT_BITS, halves up: with the saturation that
 * follows two instructions of the DSP extension. Where it gives the same outputs as the reference is a matter of the
 * numbers: codegen/lowering/short_requantize.py. */
#define TN_SHORT_BITS 4
TN_INLINE int32_t tn_requantize_short(int32_t x, int32_t multiplier, int32_t addend) {
    return tn_smmlar(x, multiplier, addend) >> TN_SHORT_BITS;
}

/* tn_multiply_by_quantized_multiplier, out of line: the uncommon case. */
static TN_NOINLINE TN_UNUSED int32_t tn_requantize_exact(int32_t x, int32_t multiplier,
                                                         int32_t shift) {
    return tn_multiply_by_quantized_multiplier(x, multiplier, shift);
}

/* Whether an int8 can lie outside of low..high. */
TN_INLINE int32_t tn_clamps(int32_t low, int32_t high) { return low != -128 || high != 127; }

/* An accumulator becomes an int8 output. fast 2: multiplier and shift are those and the addend of
 * tn_requantize_short, and clamp is 0; 1: `doubled` and `right` of tn_requantize_fast; 0: as tn_multiply_by_quantized_multiplier has them. clamp 0: low and high
 * are -128 and 127. */
TN_INLINE int8_t tn_requantize_s8(int32_t x, int32_t multiplier, int32_t shift, int32_t fast,
                                  int32_t zero_point, int32_t clamp, int32_t low, int32_t high) {
    int32_t y;
    if (fast == 2) {
        y = tn_requantize_short(x, multiplier, shift);
    } else if (fast != 0) {
        y = tn_requantize_fast(x, multiplier, shift, zero_point);
    } else {
        /* modulo 2^32 as the reference adds; the narrow cases never come near */
        y = (int32_t)((uint32_t)tn_requantize_exact(x, multiplier, shift) +
                      (uint32_t)zero_point);
    }
    return (int8_t)(clamp != 0 ? tn_clamp(y, low, high) : tn_ssat8(y));
}

#endif
