/* tn_depthwise_square.h: DEPTHWISE_CONV_2D of 3x3, 5x5 and 7x7 taps, several pixels at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] +
 *                           sum of w[ky][kx][o] * in[y*sh - pt + ky*dh][x*sw - pl + kx][o]);
 * a tap outside the input has the value in_zero_point. The input's zero point is folded into bias.
 * Output row y may lie over input rows that no output row >= y reads.
 *
 * Strips. For each output row, four channels at a time, the columns under `span` pixels of the
 * `kernel` input rows are widened into words of two int16, low half first. Two columns 2i, 2i + 1
 * (the first column of a strip is even) are 4 * kernel words, 16-byte aligned:
 *   for each pair of rows: (row 2j, row 2j + 1) of column 2i, of four channels; of column 2i + 1
 *   the last row of (column 2i, column 2i + 1), of four channels
 * So an output takes kernel SMLAD for two rows. Of the last row, which half of a word its first
 * column is in decides about SMLAD, SMLATB and SMLABT. Columns and rows outside hold in_zero_point.
 *
 * Blocks: one for each channel, words:
 *   weights (w[2j][i], w[2j + 1][i]), int16 each: for j in order, i as tn_depthwise_order has it;
 *   before the fourth word int32 bias
 *   int32 multiplier, addend
 *   weights (w[k][0], w[k][1]), (w[k][1], w[k][2]), (w[k][3], w[k][4]), (w[k][5], w[k][6]) of the
 *   last row k, as far as there are
 *   with `positive` 0 also int32 shift
 * Weights and bias are multiplied by a power of two, so that the sum X becomes an output by
 *   positive 1: ssat8((addend + floor(X * multiplier / 2^32)) >> TN_DEPTHWISE_SHIFT)
 *   positive 0: ssat8((addend + round(X * multiplier / 2^32) - (X < 0)) >> shift)
 * codegen/lowering/depthwise_square.py finds numbers with which this is exact.
 */
#ifndef TN_DEPTHWISE_SQUARE_H
#define TN_DEPTHWISE_SQUARE_H

#include "tn_core.h"
#include "tn_dsp.h"

typedef struct {
    int32_t in_h, in_w, c; /* c: channels, a multiple of 4 */
    int32_t out_w;
    int32_t kernel;
    int32_t stride_h, stride_w, dilation_h; /* stride_w: 1 or 2 */
    int32_t pad_top, pad_left;
    int32_t in_zero_point;
    int32_t clamp, out_min, out_max; /* clamp 0: these are -128 and 127 */
    int32_t lead; /* pad_left & 1: columns of a strip before the first */
    int32_t tile; /* pixels at a time, 2 to 8, <= out_w; with stride_w 1 odd where out_w is */
    int32_t span; /* of how many pixels strips hold the inputs: tile or out_w; or of rows */
    int32_t positive;
    int32_t widened; /* see tn_depthwise_rows.h; else 0 */
    const int8_t *blocks;
} tn_depthwise_square;

/* tn_depthwise_3x3.h and its likes are of TN_DEPTHWISE_SQUARE(kernel):
 *
 *     void tn_depthwise_3x3_s8(const tn_depthwise_square *g, tn_rows in, tn_rows out,
 *                              void *scratch, int32_t y_begin, int32_t y_end);
 *
 * scratch: TN_DEPTHWISE_SQUARE_SCRATCH bytes, 4-byte aligned. */

#define TN_DEPTHWISE_SHIFT 8
#define TN_DEPTHWISE_PAIR(kernel) (16 * (kernel)) /* bytes of two columns of a strip */
#define TN_DEPTHWISE_PAIRS(kernel, stride_w, lead, span)                                          \
    (((lead) + (stride_w) * ((span) - 1) + (kernel) + 1) / 2)
/* Bytes of a block up to the multiplier, and of all of it. */
#define TN_DEPTHWISE_BEGIN(kernel) (2 * (kernel) * ((kernel) - 1) + 4)
#define TN_DEPTHWISE_BLOCK(kernel, positive)                                                      \
    (TN_DEPTHWISE_BEGIN(kernel) + 8 + 2 * ((kernel) + 1) + ((positive) != 0 ? 0 : 4))

/* Bytes of scratch: a strip, or, on cores without the DSP extension, a table of a pixel's inputs
 * and a run of padding. */
#define TN_DEPTHWISE_SQUARE_STRIP(kernel, stride_w, lead, span)                                   \
    (12 + TN_DEPTHWISE_PAIR(kernel) * TN_DEPTHWISE_PAIRS(kernel, stride_w, lead, span))
#define TN_DEPTHWISE_SQUARE_TABLE(c, kernel) (4 * (kernel) * (kernel) + (c))
#define TN_DEPTHWISE_SQUARE_SCRATCH(c, kernel, stride_w, lead, span)                              \
    (TN_DEPTHWISE_SQUARE_STRIP(kernel, stride_w, lead, span) >                                    \
             TN_DEPTHWISE_SQUARE_TABLE(c, kernel)                                                 \
         ? TN_DEPTHWISE_SQUARE_STRIP(kernel, stride_w, lead, span)                                \
         : TN_DEPTHWISE_SQUARE_TABLE(c, kernel))

/* Pixels from a tile to the next. */
#define TN_DEPTHWISE_STEP(stride_w, tile) ((stride_w) == 1 ? (tile) & ~1 : (tile))

/* The column of the i-th weights of a pair of rows: three whose inputs lie stride_w columns apart,
 * then two and two of which that holds too. */
TN_INLINE int32_t tn_depthwise_order(int32_t kernel, int32_t stride_w, int32_t i) {
    if (stride_w == 1 || kernel == 3) return i;
    if (i < 3) return 2 * i + (kernel == 7);
    return 2 * (i - 3) + (kernel == 5);
}

/* A sum becomes an output; at `numbers` are multiplier and addend. */
TN_INLINE int8_t tn_depthwise_scale(int32_t sum, const int8_t *numbers, const int8_t *shift,
                                    int32_t positive) {
    const int32_t multiplier = (int32_t)tn_load32(numbers);
    const int32_t addend = (int32_t)tn_load32(numbers + 4);
    const int64_t product = (int64_t)sum * multiplier;
    if (positive != 0)
        return (int8_t)tn_ssat8((addend + (int32_t)(product >> 32)) >> TN_DEPTHWISE_SHIFT);
    const int32_t rounded = (int32_t)((product + ((int64_t)1 << 31)) >> 32) - (sum < 0);
    return (int8_t)tn_ssat8((addend + rounded) >> tn_load32(shift));
}

/* A sum, of weights and bias as they are in a block, becomes an output. */
TN_INLINE int8_t tn_depthwise_requantize(int32_t sum, const int8_t *block, int32_t kernel,
                                         int32_t positive) {
    const int8_t *const end = block + TN_DEPTHWISE_BEGIN(kernel);
    return tn_depthwise_scale(sum, end, end + 8 + 2 * (kernel + 1), positive);
}

/* n outputs are limited to low..high. */
#define tn_depthwise_limit TN_VARIANT(tn_depthwise_limit)
TN_SHARED void tn_depthwise_limit(int8_t *out, int32_t n, int32_t low, int32_t high) {
    for (int8_t *const end = out + n; out != end; out++)
        *out = (int8_t)tn_clamp(*out, low, high);
}

#if TN_DSP

#include "tn_depthwise_strips.h"

#else

/* The sum of n taps more; offsets and weights move on. */
TN_INLINE int32_t tn_depthwise_taps(int32_t sum, const int8_t *in, const int32_t **offsets,
                                    const int16_t **weights, int32_t n) {
    const int32_t *p = *offsets;
    const int16_t *w = *weights;
    for (const int32_t *const end = p + n; p != end; p++, w++) sum += in[*p] * *w;
    *offsets = p, *weights = w;
    return sum;
}

/* All channels of a pixel; `offsets` from `in` of its inputs, in the order of the weights. */
#define tn_depthwise_square_pixel TN_VARIANT(tn_depthwise_square_pixel)
TN_SHARED void tn_depthwise_square_pixel(const tn_depthwise_square *g, const int8_t *in,
                                         const int32_t *offsets, int8_t *out) {
    const int32_t kernel = g->kernel, positive = g->positive;
    const int32_t bytes = TN_DEPTHWISE_BLOCK(kernel, positive);
    const int8_t *block = g->blocks;
    for (int8_t *const end = out + g->c; out != end; in++, out++, block += bytes) {
        const int16_t *w = (const int16_t *)(const void *)block;
        const int32_t *p = offsets;
        int32_t sum = tn_depthwise_taps((int32_t)tn_load32(block + 12), in, &p, &w, 6);
        w += 2; /* the bias */
        if (kernel > 3) sum = tn_depthwise_taps(sum, in, &p, &w, kernel * (kernel - 1) - 6);
        w += 4; /* multiplier and addend */
        sum = tn_depthwise_taps(sum, in, &p, &w, 2);
        w++; /* one is there twice */
        sum = tn_depthwise_taps(sum, in, &p, &w, kernel - 2);
        *out = tn_depthwise_requantize(sum, block, kernel, positive);
    }
}

/* Offsets of the inputs of a pixel, `outside` where they are not inside the input. */
#define tn_depthwise_square_offsets TN_VARIANT(tn_depthwise_square_offsets)
TN_SHARED void tn_depthwise_square_offsets(const tn_depthwise_square *g, tn_rows in, int32_t y,
                                           int32_t x, int32_t outside, int32_t *offsets) {
    const int32_t kernel = g->kernel, ix = x * g->stride_w - g->pad_left;
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = 0; ky < kernel; ky++, iy += g->dilation_h) {
        const int32_t rows_in = (uint32_t)iy < (uint32_t)g->in_h, last = ky == kernel - 1;
        const int32_t row = rows_in != 0 ? (int32_t)(tn_row(in, iy) - in.data) : 0;
        int32_t *p = offsets + (ky & ~1) * kernel + (ky & 1);
        for (int32_t i = 0; i < kernel; i++, p += last != 0 ? 1 : 2) {
            const int32_t kx = ix + (last != 0 ? i : tn_depthwise_order(kernel, g->stride_w, i));
            const int32_t inside = rows_in != 0 && (uint32_t)kx < (uint32_t)g->in_w;
            *p = inside != 0 ? row + kx * g->c : outside;
        }
    }
}

/* Output rows [y_begin, y_end), a pixel at a time. */
TN_INLINE void tn_depthwise_square_rows(const tn_depthwise_square *g, tn_rows in, tn_rows out,
                                        void *scratch, int32_t y_begin, int32_t y_end) {
    int32_t *const offsets = (int32_t *)scratch;
    int8_t *const run = (int8_t *)(offsets + g->kernel * g->kernel); /* of the zero point */
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    memset(run, g->in_zero_point, (size_t)g->c);
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *d = tn_row(out, y);
        for (int32_t x = 0; x < g->out_w; x++, d += g->c) {
            tn_depthwise_square_offsets(g, in, y, x, outside, offsets);
            tn_depthwise_square_pixel(g, in.data, offsets, d);
            if (g->clamp != 0) tn_depthwise_limit(d, g->c, g->out_min, g->out_max);
        }
    }
}

#define TN_DEPTHWISE_SQUARE(K)                                                                    \
    TN_INLINE void tn_depthwise_##K##x##K##_s8(const tn_depthwise_square *g, tn_rows in,          \
                                               tn_rows out, void *scratch, int32_t y_begin,       \
                                               int32_t y_end) {                                   \
        tn_depthwise_square_rows(g, in, out, scratch, y_begin, y_end);                            \
    }

#endif

#endif
