/* tn_depthwise_lanes.h: DEPTHWISE_CONV_2D of 5x5 and 7x7 taps, two columns in a word.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * What tn_depthwise_rows.h computes with `positive` 1 and clamp 0, with half the multiplications.
 * lead, tile and span are not used; in_w is at least 4 - pad_left % 4 where that is not 4.
 *
 * With D = 2^21 two columns of a row are the word a + b * D, and so are two taps; SMLAL adds their
 * product to 64 bits, four products of a convolution in three lanes of 21 bits:
 *   stride 1: words x[2j] + x[2j+1] * D, taps w[2i+1] + w[2i] * D
 *   stride 2: words x[4j] + x[4j+2] * D of even columns, x[4j+1] + x[4j+3] * D of odd ones; taps
 *   w[4i+2] + w[4i] * D and w[4i+3] + w[4i+1] * D
 * where w[K] and beyond are 0. An accumulator sums words j + i by taps i: lane 0 is a part of pixel
 * 2j - 1, lane 1 pixel 2j, lane 2 the other part of pixel 2j + 1. A constant that it begins with
 * makes all lanes non-negative, so that no lane borrows from the next.
 *
 * The strip: columns from -pad_left on, four by four, two words: of H rows, of four channels.
 * Columns and rows outside hold in_zero_point. With Z 1 it has inputs less in_zero_point: columns
 * outside hold 0, and rows outside are left out of the sums.
 *
 * Blocks: one for each channel, words:
 *   uint64 that accumulators begin with, int32 multiplier, addend
 *   of each row, (K + 1) / 2 words of taps, those of even columns first
 * A lane X becomes an output by ssat8((addend + floor(X * multiplier / 2^32)) >> shift);
 * codegen/lowering/depthwise_lanes.py finds numbers with which this is exact.
 */
#ifndef TN_DEPTHWISE_LANES_H
#define TN_DEPTHWISE_LANES_H

#include "tn_depthwise_rows.h"

/* tn_depthwise_lanes_..._s8 is of TN_DEPTHWISE_LANES_S8(K, S, OW, L, R, H, C, Z, SHIFT, W):
 *
 *     void tn_depthwise_lanes_..._s8(const tn_depthwise_square *g, tn_rows in, tn_rows out,
 *                                    void *scratch, int32_t y_begin, int32_t y_end);
 *
 * Kernel, stride_w, out_w; of the columns from -pad_left on, four by four, L before the input share
 * four with the first ones of it, and R are left behind the last whole four; rows of the strip,
 * kernel to TN_DEPTHWISE_LANES_MOST; channels c, up to 1020; Z; shift; widened.
 * scratch: TN_DEPTHWISE_LANES_SCRATCH bytes, 4-byte aligned. */

#define TN_DEPTHWISE_LANES_MOST 28
#define TN_DEPTHWISE_LANES_FOUR(height) (32 * (height)) /* bytes of four columns */
#define TN_DEPTHWISE_LANES_FOURS(kernel, stride_w, out_w)                                         \
    (((stride_w) * ((out_w) - 1) + (kernel) + 3) / 4)
#define TN_DEPTHWISE_LANES_BLOCK(kernel) (16 + 2 * (kernel) * ((kernel) + 1))
#define TN_DEPTHWISE_LANES_STRIP(kernel, stride_w, out_w, height)                                 \
    (12 + TN_DEPTHWISE_LANES_FOUR(height) * TN_DEPTHWISE_LANES_FOURS(kernel, stride_w, out_w))

/* Bytes of scratch: a strip, or without the DSP extension what tn_depthwise_rows.h takes. */
#define TN_DEPTHWISE_LANES_SCRATCH(c, kernel, stride_w, out_w, height)                            \
    (TN_DEPTHWISE_LANES_STRIP(kernel, stride_w, out_w, height) >                                  \
             TN_DEPTHWISE_SQUARE_TABLE(c, kernel)                                                 \
         ? TN_DEPTHWISE_LANES_STRIP(kernel, stride_w, out_w, height)                              \
         : TN_DEPTHWISE_SQUARE_TABLE(c, kernel))

#if TN_DSP && TN_DSP_NATIVE

/* An output row. */
typedef struct {
    int8_t *out;
    int32_t below, outside; /* rows under it that are below the input; above or below */
} tn_depthwise_lanes_row;

/* A band of output rows. tn_depthwise_lanes_armv7em.h knows the order of fields up to blocks. */
typedef struct {
    const int8_t **fills, **fills_end; /* an input row from column 0 on, and where it goes */
    int32_t four_bytes;                /* of whole fours of columns in the strip */
    uint32_t zero_point;               /* of two columns */
    int32_t row_step;                  /* in the strip, from output row to output row */
    int8_t *x_stop;                    /* what x is after the last row */
    int32_t c;
    int8_t *x;                         /* the strip at the first row */
    const tn_depthwise_lanes_row *rows;
    const int8_t *blocks;
    const int8_t *fill[2 * TN_DEPTHWISE_LANES_MOST];
    tn_depthwise_lanes_row row[TN_DEPTHWISE_LANES_MOST];
} tn_depthwise_lanes_band;

/* `rows` words of four channels, of `fours` fours of columns, each `four` bytes: the zero point. */
#define tn_depthwise_lanes_outside TN_VARIANT(tn_depthwise_lanes_outside)
TN_SHARED void tn_depthwise_lanes_outside(int8_t *x, int32_t four, int32_t fours, int32_t rows,
                                          int32_t zero) {
    const uint32_t both = (uint32_t)zero * ((1u << 21) + 1u);
    for (int32_t i = 0; i < 2 * fours; i++, x += four / 2)
        for (int8_t *p = x, *const end = x + 16 * rows; p < end; p += 4) tn_store32(p, both);
}

/* What does not change from band to band. `strip` is 16-byte aligned, of `rows` rows. */
#define tn_depthwise_lanes_begin TN_VARIANT(tn_depthwise_lanes_begin)
TN_SHARED void tn_depthwise_lanes_begin(const tn_depthwise_square *g, tn_depthwise_lanes_band *b,
                                        int8_t *strip, int32_t rows, int32_t skip) {
    const int32_t four = TN_DEPTHWISE_LANES_FOUR(rows);
    const int32_t zero = skip != 0 ? 0 : g->in_zero_point;
    const int32_t fours = TN_DEPTHWISE_LANES_FOURS(g->kernel, g->stride_w, g->out_w);
    const int32_t begin = (g->pad_left + 3) / 4; /* the first whole four */
    const int32_t columns = tn_min(g->in_w, 4 * fours - g->pad_left) - (4 * begin - g->pad_left);
    const int32_t after = begin + (columns + 3) / 4; /* fours up to the right border */
    b->four_bytes = columns / 4 * four;
    b->zero_point = (uint32_t)g->in_zero_point * ((1u << 21) + 1u);
    b->row_step = 16 * g->stride_h;
    b->c = g->c;
    b->x = strip;
    b->fills = b->fill;
    b->rows = b->row;
    b->blocks = g->blocks;
    tn_depthwise_lanes_outside(strip, four, g->pad_left / 4, rows, zero);
    tn_depthwise_lanes_outside(strip + after * four, four, fours - after, rows, zero);
}

/* Output rows y to y + n - 1. */
#define tn_depthwise_lanes_place TN_VARIANT(tn_depthwise_lanes_place)
TN_SHARED void tn_depthwise_lanes_place(const tn_depthwise_square *g, tn_depthwise_lanes_band *b,
                                        tn_rows in, tn_rows out, int32_t rows, int32_t skip,
                                        int32_t y, int32_t n) {
    const int32_t four = TN_DEPTHWISE_LANES_FOUR(rows);
    const int32_t zero = skip != 0 ? 0 : g->in_zero_point;
    const int32_t fours = TN_DEPTHWISE_LANES_FOURS(g->kernel, g->stride_w, g->out_w);
    const int32_t first = y * g->stride_h - g->pad_top;
    const int32_t height = (n - 1) * g->stride_h + g->kernel;
    const int32_t above = tn_min(tn_max(-first, 0), height);
    const int32_t end = tn_max(tn_min(height, g->in_h - first), above);
    const int8_t **fill = b->fill;
    for (int32_t i = above; i < end; i++) {
        *fill++ = tn_row(in, first + i);
        *fill++ = b->x + 16 * i + g->pad_left / 4 * four;
    }
    b->fills_end = fill;
    tn_depthwise_lanes_outside(b->x, four, fours, above, zero);
    tn_depthwise_lanes_outside(b->x + 16 * end, four, fours, height - end, zero);
    b->x_stop = b->x + n * b->row_step;
    for (int32_t i = 0; i < n; i++) {
        const int32_t begin = first + i * g->stride_h, behind = begin + g->kernel - g->in_h;
        b->row[i].out = tn_row(out, y + i);
        b->row[i].below = skip != 0 ? tn_max(behind, 0) : 0;
        b->row[i].outside = skip != 0 ? tn_max(behind, 0) + tn_max(-begin, 0) : 0;
    }
}

#include "tn_depthwise_lanes_armv7em.h"

/* Output rows [y_begin, y_end) in bands of about the same height. */
#define TN_DEPTHWISE_LANES_S8(K, S, OW, L, R, H, C, Z, SHIFT, W)                                  \
    TN_DEPTHWISE_LANES_RUN(K, S, OW, L, R, H, C, Z, SHIFT, W)                                     \
    TN_INLINE void                                                                                \
        tn_depthwise_lanes_##K##_##S##_##OW##_##L##_##R##_##H##_##C##_##Z##_##SHIFT##_##W##_s8(   \
        const tn_depthwise_square *g, tn_rows in, tn_rows out, void *scratch, int32_t y_begin,    \
        int32_t y_end) {                                                                          \
        const int32_t most = (H - K) / g->stride_h + 1;                                           \
        int8_t *const strip = (int8_t *)scratch + ((16u - ((uintptr_t)scratch & 15u)) & 15u);     \
        int32_t bands = (y_end - y_begin + most - 1) / most;                                      \
        tn_depthwise_lanes_band b;                                                                \
        tn_depthwise_lanes_begin(g, &b, strip, H, Z);                                             \
        for (int32_t y = y_begin, n; y < y_end; y += n, bands--) {                                \
            n = (y_end - y + bands - 1) / bands;                                                  \
            tn_depthwise_lanes_place(g, &b, in, out, H, Z, y, n);                                 \
            tn_depthwise_lanes_##K##_##S##_##OW##_##L##_##R##_##H##_##C##_##Z##_##SHIFT##_##W(&b);\
        }                                                                                         \
    }

#else

/* The columns of the taps in a word, the one in the high lane first; kernel where there is none. */
#define tn_depthwise_lanes_column TN_VARIANT(tn_depthwise_lanes_column)
TN_SHARED int32_t tn_depthwise_lanes_column(int32_t kernel, int32_t stride_w, int32_t word,
                                            int32_t low) {
    const int32_t evens = (kernel + 3) / 4; /* words of even columns */
    const int32_t odd = stride_w == 2 && word >= evens;
    return tn_min(2 * stride_w * (word - (odd != 0 ? evens : 0)) + odd + stride_w * low, kernel);
}

/* All channels of a pixel. */
#define tn_depthwise_lanes_pixel TN_VARIANT(tn_depthwise_lanes_pixel)
TN_SHARED void tn_depthwise_lanes_pixel(const tn_depthwise_square *g, const int8_t *in,
                                        const int32_t *offsets, int8_t *out, int32_t zero,
                                        int32_t shift) {
    const int32_t kernel = g->kernel, words = (kernel + 1) / 2;
    const int8_t *block = g->blocks;
    for (int32_t i = 0; i < g->c; i++, in++) {
        const uint32_t low = tn_load32(block), high = tn_load32(block + 4);
        const int32_t multiplier = (int32_t)tn_load32(block + 8);
        const int32_t addend = (int32_t)tn_load32(block + 12);
        int32_t sum = (int32_t)(((high << 11) | (low >> 21)) & 0x1FFFFFu);
        const int32_t *p = offsets;
        block += 16;
        for (int32_t ky = 0; ky < kernel; ky++, p += kernel)
            for (int32_t j = 0; j < words; j++, block += 4) {
                const int32_t word = (int32_t)tn_load32(block);
                const int32_t w = (int32_t)((uint32_t)word << 11) >> 11;
                const int32_t odd = tn_depthwise_lanes_column(kernel, g->stride_w, j, 1);
                const int32_t even = tn_depthwise_lanes_column(kernel, g->stride_w, j, 0);
                sum += ((word - w) >> 21) * (in[p[even]] - zero);
                if (odd < kernel) sum += w * (in[p[odd]] - zero);
            }
        const int32_t scaled = (int32_t)(((int64_t)sum * multiplier) >> 32);
        const int8_t y = (int8_t)tn_ssat8((addend + scaled) >> shift);
        if (g->widened != 0)
            ((int16_t *)(void *)out)[i] = y;
        else
            out[i] = y;
    }
}

/* Output rows [y_begin, y_end), a pixel at a time. */
#define tn_depthwise_lanes_plain TN_VARIANT(tn_depthwise_lanes_plain)
TN_SHARED void tn_depthwise_lanes_plain(const tn_depthwise_square *g, tn_rows in, tn_rows out,
                                        void *scratch, int32_t y_begin, int32_t y_end,
                                        int32_t zero, int32_t shift) {
    int32_t *const offsets = (int32_t *)scratch;
    int8_t *const run = (int8_t *)(offsets + g->kernel * g->kernel); /* of the zero point */
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    memset(run, g->in_zero_point, (size_t)g->c);
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *d = tn_row(out, y);
        for (int32_t x = 0; x < g->out_w; x++, d += g->c << g->widened) {
            tn_depthwise_rows_offsets(g, in, y, x, outside, offsets);
            tn_depthwise_lanes_pixel(g, in.data, offsets, d, zero, shift);
        }
    }
}

#define TN_DEPTHWISE_LANES_S8(K, S, OW, L, R, H, C, Z, SHIFT, W)                                  \
    TN_INLINE void                                                                                \
        tn_depthwise_lanes_##K##_##S##_##OW##_##L##_##R##_##H##_##C##_##Z##_##SHIFT##_##W##_s8(   \
        const tn_depthwise_square *g, tn_rows in, tn_rows out, void *scratch, int32_t y_begin,    \
        int32_t y_end) {                                                                          \
        const int32_t zero = Z != 0 ? g->in_zero_point : 0;                                       \
        tn_depthwise_lanes_plain(g, in, out, scratch, y_begin, y_end, zero, SHIFT);               \
    }

#endif

#endif
