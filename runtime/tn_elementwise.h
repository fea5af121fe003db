/* tn_elementwise.h: ADD, SUB, MUL, MINIMUM and MAXIMUM of two int8 tensors, with broadcasting.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: without `broadcast`, both operands have the output's rows and row bytes; with it, the
 * nest (tn_nest.h) says how the operands step. One operand may be a constant array instead of rows.
 * Aliasing: elements, with any operand that has the output's shape.
 *
 * Sums: operand A is the one with the larger scale, so that its rescaling is exactly one half:
 *   x = a * 2^19 +- b' + the zero points' share,   b' = b * 2^20 requantised,   |x| < 2^29
 * Products: x = (a + za) * (b + zb). Then out = x requantised + zo, clamped.
 * Short sums: out = (floor(a * m / 2^8) + floor(b * n / 2^8) + a_offset) >> TN_SHORT_SHIFT,
 * clamped, where codegen/lowering/short_sums.py has found this to be the same for all a and b.
 */
#ifndef TN_ELEMENTWISE_H
#define TN_ELEMENTWISE_H

#include "tn_nest.h"
#include "tn_requantize.h"

enum {
    TN_ADD = 0,          /* a + b */
    TN_SUB = 1,          /* a - b */
    TN_SUB_REVERSED = 2, /* b - a */
    TN_MUL = 3,
    TN_MINIMUM = 4,
    TN_MAXIMUM = 5
};
enum {
    TN_SCALE_HALF = 0, /* operand B of sums: one half as operand A, no requantisation */
    TN_SCALE_FAST = 1, /* multiplier and shift as tn_requantize_fast has them */
    TN_SCALE_EXACT = 2, /* ... as tn_multiply_by_quantized_multiplier has them */
    TN_SCALE_SHORT = 3  /* short sums, of ADD: output_multiplier is m, b_multiplier n */
};

#define TN_SHORT_SHIFT 21 /* of tn_ssat8_asr21 */

typedef struct {
    int32_t operation;      /* literal: TN_ADD ... */
    int32_t b_scaling;      /* literal: TN_SCALE_... of operand B of sums */
    int32_t output_scaling; /* literal: TN_SCALE_FAST or TN_SCALE_EXACT */
    int32_t saturate;       /* literal: minimum and maximum are those of int8 */
    int32_t constant_first; /* literal: the constant is operand A, not B */
    int32_t a_offset;       /* products: minus A's zero point; sums: added to +-b', see below */
    int32_t b_offset;       /* products: minus B's zero point; sums: times 2^20 */
    int32_t b_multiplier;
    int32_t b_shift;
    int32_t output_multiplier;
    int32_t output_shift;
    int32_t output_offset;
    int32_t minimum;
    int32_t maximum;
    const int8_t *constant;   /* or 0 */
    const int32_t *broadcast; /* nest, or 0 */
} tn_elementwise;

/* The sum before the output's requantisation. With HALF, a_offset holds both zero points' share;
 * else TN_ADD: a + (b' + a_offset), TN_SUB: a - (b' + a_offset), reversed: (b' + a_offset) - a. */
TN_INLINE int32_t tn_elementwise_sum(const tn_elementwise *g, int32_t a, int32_t b) {
    int32_t x;
    if (g->b_scaling == TN_SCALE_HALF) {
        return (g->operation == TN_ADD ? a + b : a - b) * (1 << 19) + g->a_offset;
    }
    x = b * (1 << 20) + g->b_offset;
    if (g->b_scaling == TN_SCALE_FAST) {
        x = tn_requantize_fast(x, g->b_multiplier, g->b_shift, g->a_offset);
    } else {
        x = tn_multiply_by_quantized_multiplier(x, g->b_multiplier, g->b_shift) + g->a_offset;
    }
    a *= 1 << 19;
    if (g->operation == TN_ADD) return a + x;
    return g->operation == TN_SUB ? a - x : x - a;
}

TN_INLINE int32_t tn_elementwise_one(const tn_elementwise *g, int32_t a, int32_t b) {
    int32_t x;
    if (g->b_scaling == TN_SCALE_SHORT) {
        x = tn_smlawb(g->output_multiplier, (uint32_t)a << 8, g->a_offset);
        x = tn_ssat8_asr21(tn_smlawb(g->b_multiplier, (uint32_t)b << 8, x));
        return g->saturate != 0 ? x : tn_clamp(x, g->minimum, g->maximum);
    }
    if (g->operation == TN_MINIMUM) return a < b ? a : b;
    if (g->operation == TN_MAXIMUM) return a > b ? a : b;
    if (g->operation == TN_MUL) {
        x = (a + g->a_offset) * (b + g->b_offset);
    } else {
        x = tn_elementwise_sum(g, a, b);
    }
    return tn_requantize_s8(x, g->output_multiplier, g->output_shift,
                            g->output_scaling == TN_SCALE_FAST, g->output_offset,
                            g->saturate == 0, g->minimum, g->maximum);
}

#if TN_DSP

/* Four short sums: the odd bytes of a word, and the even ones moved there, are halfwords of 256
 * times the operands. */
TN_INLINE uint32_t tn_elementwise_short_4(uint32_t p, uint32_t q, uint32_t odd, int32_t m,
                                          int32_t n, int32_t offset) {
    const uint32_t a02 = p << 8 & odd, a13 = p & odd, b02 = q << 8 & odd, b13 = q & odd;
    int32_t x = tn_smlawb(m, a02, offset), y = tn_smlawb(m, a13, offset);
    int32_t z = tn_smlawt(m, a02, offset), w = tn_smlawt(m, a13, offset);
    x = tn_smlawb(n, b02, x), y = tn_smlawb(n, b13, y);
    z = tn_smlawt(n, b02, z), w = tn_smlawt(n, b13, w);
    return tn_pack_bytes(tn_ssat8_asr21(x), tn_ssat8_asr21(y), tn_ssat8_asr21(z),
                         tn_ssat8_asr21(w));
}

/* `count` short sums, a multiple of four, from -128 to 127. */
#define tn_elementwise_short TN_VARIANT(tn_elementwise_short)
TN_SHARED void tn_elementwise_short(const int8_t *a, const int8_t *b, int8_t *out, int32_t count,
                                    int32_t m, int32_t n, int32_t offset) {
    const uint32_t odd = tn_opaque(0xFF00FF00u);
    const int8_t *const end = a + count;
    for (; a != end; a += 4, b += 4, out += 4)
        tn_store32(out, tn_elementwise_short_4(tn_load32(a), tn_load32(b), odd, m, n, offset));
}

#endif

/* n outputs from two dense operands. */
TN_INLINE void tn_elementwise_dense(const tn_elementwise *g, const int8_t *a, const int8_t *b,
                                    int8_t *out, int32_t n) {
#if TN_DSP
    if (g->b_scaling == TN_SCALE_SHORT && g->saturate != 0) {
        const int32_t fours = n & ~3;
        tn_elementwise_short(a, b, out, fours, g->output_multiplier, g->b_multiplier, g->a_offset);
        a += fours, b += fours, out += fours, n &= 3;
    }
#endif
    for (; n >= 4; n -= 4) {
        out[0] = (int8_t)tn_elementwise_one(g, a[0], b[0]);
        out[1] = (int8_t)tn_elementwise_one(g, a[1], b[1]);
        out[2] = (int8_t)tn_elementwise_one(g, a[2], b[2]);
        out[3] = (int8_t)tn_elementwise_one(g, a[3], b[3]);
        a += 4;
        b += 4;
        out += 4;
    }
    for (; n > 0; n--) *out++ = (int8_t)tn_elementwise_one(g, *a++, *b++);
}

/* One output row with broadcasting. */
TN_INLINE void tn_elementwise_nest(const tn_elementwise *g, const int8_t *a, const int8_t *b,
                                   int8_t *out) {
    const int32_t *const loops = g->broadcast;
    const int32_t n = loops[TN_NEST_INNER];
    const int32_t step_a = loops[TN_NEST_INNER_A];
    const int32_t step_b = loops[TN_NEST_INNER_B];
    tn_nest at = {{0, 0, 0, 0}, 0, 0};
    do {
        const int8_t *pa = a + at.a;
        const int8_t *pb = b + at.b;
        for (int32_t i = 0; i < n; i++) {
            *out++ = (int8_t)tn_elementwise_one(g, *pa, *pb);
            pa += step_a;
            pb += step_b;
        }
    } while (tn_nest_next(loops, &at));
}

/* out = operation(a, b) */
TN_INLINE void tn_elementwise_s8(const tn_elementwise *layer, tn_rows a, tn_rows b, tn_rows out,
                                 int32_t y_begin, int32_t y_end) {
    const int flat = a.ring == NULL && b.ring == NULL && out.ring == NULL;
    const int32_t n = flat ? out.pitch * (y_end - y_begin) : out.pitch;
    for (int32_t y = y_begin; y < y_end; y = flat ? y_end : y + 1) {
        tn_elementwise_dense(layer, tn_row(a, y), tn_row(b, y), tn_row(out, y), n);
    }
}

/* The same with broadcasting. */
TN_INLINE void tn_elementwise_broadcast_s8(const tn_elementwise *layer, tn_rows a, tn_rows b,
                                           tn_rows out, int32_t y_begin, int32_t y_end) {
    const int32_t *const nest = layer->broadcast;
    for (int32_t y = y_begin; y < y_end; y++) {
        tn_elementwise_nest(layer, tn_row(a, y * nest[TN_NEST_ROW_A]) + y * nest[TN_NEST_STEP_A],
                            tn_row(b, y * nest[TN_NEST_ROW_B]) + y * nest[TN_NEST_STEP_B],
                            tn_row(out, y));
    }
}

/* The same with one constant operand, which has a value for every output. */
TN_INLINE void tn_elementwise_constant_s8(const tn_elementwise *layer, tn_rows in, tn_rows out,
                                          int32_t y_begin, int32_t y_end) {
    for (int32_t y = y_begin; y < y_end; y++) {
        const int8_t *x = tn_row(in, y);
        const int8_t *k = layer->constant + y * out.pitch;
        if (layer->constant_first) {
            tn_elementwise_dense(layer, k, x, tn_row(out, y), out.pitch);
        } else {
            tn_elementwise_dense(layer, x, k, tn_row(out, y), out.pitch);
        }
    }
}

/* The same with one constant operand and broadcasting. */
TN_INLINE void tn_elementwise_constant_broadcast_s8(const tn_elementwise *layer, tn_rows in,
                                                    tn_rows out, int32_t y_begin, int32_t y_end) {
    const int32_t *const nest = layer->broadcast;
    const int first = layer->constant_first != 0;
    for (int32_t y = y_begin; y < y_end; y++) {
        const int32_t row = nest[first ? TN_NEST_ROW_B : TN_NEST_ROW_A];
        const int32_t step = nest[first ? TN_NEST_STEP_B : TN_NEST_STEP_A];
        const int8_t *x = tn_row(in, y * row) + y * step;
        const int8_t *k = layer->constant + y * nest[first ? TN_NEST_STEP_A : TN_NEST_STEP_B];
        tn_elementwise_nest(layer, first ? k : x, first ? x : k, tn_row(out, y));
    }
}

#endif
