/* tn_elementwise.h: ADD, SUB, MUL, MINIMUM and MAXIMUM of two int8 tensors, with broadcasting.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: without `broadcast`, both operands have the output's rows and row bytes; with it, the nest
 * (tn_nest.h) says how the operands step. One operand may be a constant array instead of rows.
 * Aliasing: elements, with any operand that has the output's shape.
 *
 * Sums: operand A is the one with the larger scale, so that its rescaling is exactly one half.
 *   twice = (a + za) * 2^20 +- 2 * requantised (b + zb) * 2^20,  |twice| < 2^30
 *   out = zo + round(round(twice * output_multiplier / 2^32) / 2^output_shift)
 * SMMULR of a doubled operand is the reference's doubling high multiply here: no operand overflows.
 */
#ifndef TN_ELEMENTWISE_H
#define TN_ELEMENTWISE_H

#include "tn_dsp.h"
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
    TN_SCALE_HALF = 0,  /* multiplier 1/2, no shift: exact (operand B of sums only) */
    TN_SCALE_PLAIN = 1, /* multiplier, no right shift */
    TN_SCALE_SHIFT = 2, /* multiplier, then a right shift of at least 1 */
    TN_SCALE_WIDE = 3   /* products whose left shift would overflow: `left_shift` is the exact one */
};

typedef struct {
    int32_t operation;      /* literal */
    int32_t b_scaling;      /* literal: TN_SCALE_... of operand B of sums */
    int32_t output_scaling; /* literal: TN_SCALE_... */
    int32_t saturate;       /* literal: minimum and maximum are those of int8 */
    int32_t constant_first; /* literal: the constant is operand A, not B */
    int32_t a_offset;       /* minus the zero point of A */
    int32_t b_offset;
    int32_t b_multiplier;
    int32_t b_shift; /* right */
    int32_t left_shift; /* products: 1 + the left shift, at most 14 */
    int32_t output_multiplier;
    int32_t output_shift; /* right */
    int32_t output_offset;
    int32_t minimum;
    int32_t maximum;
    const int8_t *constant;   /* or 0 */
    const int32_t *broadcast; /* nest, or 0 */
} tn_elementwise;

TN_INLINE int32_t tn_elementwise_one(const tn_elementwise *g, int32_t a, int32_t b) {
    int32_t x;
    if (g->operation == TN_MINIMUM) return a < b ? a : b;
    if (g->operation == TN_MAXIMUM) return a > b ? a : b;
    if (g->operation == TN_MUL) {
        x = (a + g->a_offset) * (b + g->b_offset);
        if (g->output_scaling == TN_SCALE_WIDE) {
            x = tn_multiply_by_quantized_multiplier(x, g->output_multiplier, g->left_shift);
        } else {
            x = tn_smmlar(x * (1 << g->left_shift), g->output_multiplier, 0);
        }
    } else {
        const int32_t twice_a = (a + g->a_offset) * (1 << 20);
        int32_t twice_b;
        if (g->b_scaling == TN_SCALE_HALF) {
            twice_b = (b + g->b_offset) * (1 << 20);
        } else {
            twice_b = tn_smmlar((b + g->b_offset) * (1 << 21), g->b_multiplier, 0);
            if (g->b_scaling == TN_SCALE_SHIFT) {
                twice_b = tn_asr_round_add(twice_b + (twice_b >> 31), g->b_shift, 0);
            }
            twice_b *= 2;
        }
        if (g->operation == TN_ADD) {
            x = twice_a + twice_b;
        } else {
            x = g->operation == TN_SUB ? twice_a - twice_b : twice_b - twice_a;
        }
        x = tn_smmlar(x, g->output_multiplier, 0);
    }
    if (g->output_scaling == TN_SCALE_SHIFT) {
        x = tn_asr_round_add(x + (x >> 31), g->output_shift, g->output_offset);
    } else {
        x += g->output_offset;
    }
    return g->saturate ? tn_ssat8(x) : tn_clamp(x, g->minimum, g->maximum);
}

/* n outputs from two dense operands. */
TN_INLINE void tn_elementwise_dense(const tn_elementwise *g, const int8_t *a, const int8_t *b,
                                    int8_t *out, int32_t n) {
    for (; n >= 4; n -= 4) {
        const int32_t a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
        const int32_t b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
        out[0] = (int8_t)tn_elementwise_one(g, a0, b0);
        out[1] = (int8_t)tn_elementwise_one(g, a1, b1);
        out[2] = (int8_t)tn_elementwise_one(g, a2, b2);
        out[3] = (int8_t)tn_elementwise_one(g, a3, b3);
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
    const int flat = a.ring == 0 && b.ring == 0 && out.ring == 0;
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

/* The same with one constant operand, with or without broadcasting. */
TN_INLINE void tn_elementwise_constant_s8(const tn_elementwise *layer, tn_rows in, tn_rows out,
                                          int32_t y_begin, int32_t y_end) {
    const int32_t *const nest = layer->broadcast;
    const int first = layer->constant_first != 0;
    for (int32_t y = y_begin; y < y_end; y++) {
        if (nest == 0) {
            const int8_t *x = tn_row(in, y);
            const int8_t *k = layer->constant + y * out.pitch;
            tn_elementwise_dense(layer, first ? k : x, first ? x : k, tn_row(out, y), out.pitch);
        } else {
            const int32_t row = nest[first ? TN_NEST_ROW_B : TN_NEST_ROW_A];
            const int32_t step = nest[first ? TN_NEST_STEP_B : TN_NEST_STEP_A];
            const int8_t *x = tn_row(in, y * row) + y * step;
            const int8_t *k = layer->constant + y * nest[first ? TN_NEST_STEP_A : TN_NEST_STEP_B];
            tn_elementwise_nest(layer, first ? k : x, first ? x : k, tn_row(out, y));
        }
    }
}

#endif
