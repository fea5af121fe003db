/* tn_depthwise_rows.h: DEPTHWISE_CONV_2D of 3x3, 5x5 and 7x7 taps, several rows at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * What tn_depthwise_square.h computes, with dilation_h 1, faster where many rows are wanted at
 * once: four channels at a time, each input row of a band is widened once, for all output rows that
 * it is under. span is how many output rows a band has at most, up to TN_DEPTHWISE_ROWS_MOST.
 * Output row y may lie over input rows that no output row > y - span reads. in_h is at least 2,
 * pad_top and pad_left less than kernel, and each output row is under an input row; tile is up to 8
 * for 3x3, else to 6. With `widened` 1 outputs are int16, and clamp is 0.
 *
 * The strip: columns from -pad_left on, two by two: of TN_DEPTHWISE_ROWS_BAND rows, of four
 * channels, a word (column 2i, column 2i + 1) of int16. An output takes (kernel + 1) / 2 words of a
 * row, with SMLAD, SMLATB and SMLABT. Columns and rows outside hold in_zero_point.
 *
 * Blocks: one for each channel, words:
 *   of each row, weights: 3x3: (w[0], w[1]), (w[1], w[2]); 5x5: (w[0], w[1]), (w[3], w[2]),
 *   (w[4], w[4]); 7x7: (w[0], w[1]), (w[3], w[2]), (w[4], w[5]), (w[6], w[6])
 *   int32 bias, multiplier, addend; with `positive` 0 also shift
 * as tn_depthwise_square.h has them.
 */
#ifndef TN_DEPTHWISE_ROWS_H
#define TN_DEPTHWISE_ROWS_H

#include "tn_depthwise_square.h"

/* tn_depthwise_rows_3x3.h and its likes are of TN_DEPTHWISE_ROWS(kernel):
 *
 *     void tn_depthwise_rows_3x3_s8(const tn_depthwise_square *g, tn_rows in, tn_rows out,
 *                                   void *scratch, int32_t y_begin, int32_t y_end);
 *
 * scratch: TN_DEPTHWISE_ROWS_SCRATCH bytes, 4-byte aligned. */

#define TN_DEPTHWISE_ROWS_BAND 16
#define TN_DEPTHWISE_ROWS_MOST(kernel, stride_h)                                                  \
    ((TN_DEPTHWISE_ROWS_BAND - (kernel)) / (stride_h) + 1)
#define TN_DEPTHWISE_ROWS_PAIR (16 * TN_DEPTHWISE_ROWS_BAND) /* bytes of two columns */
#define TN_DEPTHWISE_ROWS_PAIRS(kernel, stride_w, out_w)                                          \
    (((stride_w) * ((out_w) - 1) + (kernel) + 1) / 2)
#define TN_DEPTHWISE_ROWS_END(kernel) (2 * (kernel) * ((kernel) + 1)) /* of weights, in a block */
#define TN_DEPTHWISE_ROWS_BLOCK(kernel, positive)                                                 \
    (TN_DEPTHWISE_ROWS_END(kernel) + ((positive) != 0 ? 12 : 16))

/* Bytes of scratch: a strip, or without the DSP extension a table of a pixel's inputs and a run of
 * padding. */
#define TN_DEPTHWISE_ROWS_STRIP(kernel, stride_w, out_w)                                          \
    (12 + TN_DEPTHWISE_ROWS_PAIR * TN_DEPTHWISE_ROWS_PAIRS(kernel, stride_w, out_w))
#define TN_DEPTHWISE_ROWS_SCRATCH(c, kernel, stride_w, out_w)                                     \
    (TN_DEPTHWISE_ROWS_STRIP(kernel, stride_w, out_w) > TN_DEPTHWISE_SQUARE_TABLE(c, kernel)      \
         ? TN_DEPTHWISE_ROWS_STRIP(kernel, stride_w, out_w)                                       \
         : TN_DEPTHWISE_SQUARE_TABLE(c, kernel))

#if TN_DSP && TN_DSP_NATIVE

/* A band of output rows. tn_depthwise_rows_armv7em.h knows the order of fields up to fill_four. */
typedef struct {
    const int8_t **fills, **fills_end; /* two input rows from column 0 on, and where they go */
    int32_t pair_bytes; /* of whole pairs of columns in the strip */
    int32_t singles;    /* 1: a column after them; 2: one before them */
    int32_t x_step;     /* in the strip, from a tile to the next, less 16 */
    int32_t row_step;   /* in the strip, from output row to output row */
    int8_t *x_stop;     /* what x is after the last row */
    int32_t c;
    int8_t *x, *x_end;  /* the strip at the first row; where its regular tiles end */
    int32_t out_step, x_tail, out_tail; /* as tn_depthwise_tiles has them */
    int8_t **outs;                      /* rows, channel 0 */
    const int8_t *blocks;
    void (*fill_four)(void); /* widens four channels */
    const int8_t *fill[3 * TN_DEPTHWISE_ROWS_BAND / 2];
    int8_t *out[TN_DEPTHWISE_ROWS_BAND];
    int8_t *strip;
    int32_t chained; /* rows are tiles of one row */
    int32_t x_ends;  /* from x to x_end where they are not */
    const tn_depthwise_square *g;
    tn_rows from, to;
    int32_t y, rows, y_end, bands; /* output rows from y on; bands from this one on */
} tn_depthwise_band_of_rows;

/* `rows` words of four channels, of `pairs` pairs of columns: the zero point. */
#define tn_depthwise_rows_outside TN_VARIANT(tn_depthwise_rows_outside)
TN_SHARED void tn_depthwise_rows_outside(int8_t *x, int32_t pairs, int32_t rows, int32_t zero) {
    const uint32_t both = (uint32_t)(uint16_t)zero * 0x10001u;
    for (; pairs > 0; pairs--, x += TN_DEPTHWISE_ROWS_PAIR)
        for (int8_t *p = x, *const end = x + 16 * rows; p < end; p += 4) tn_store32(p, both);
}

/* What does not change from band to band; output rows [y_begin, y_end) are to be computed. */
#define tn_depthwise_rows_begin TN_VARIANT(tn_depthwise_rows_begin)
TN_SHARED void tn_depthwise_rows_begin(const tn_depthwise_square *g, tn_depthwise_band_of_rows *b,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    const int32_t kernel = g->kernel, stride = g->stride_w, left = g->pad_left;
    const int32_t pairs = TN_DEPTHWISE_ROWS_PAIRS(kernel, stride, g->out_w);
    const int32_t columns = tn_min(g->in_w, 2 * pairs - left) - (left & 1); /* in whole words */
    const int32_t step = TN_DEPTHWISE_STEP(stride, g->tile), last = g->out_w - g->tile;
    const int32_t bytes = stride * TN_DEPTHWISE_ROWS_PAIR / 2, regular = last / step + 1;
    const int32_t over = regular * step - last; /* the step after the regular tiles goes too far */
    const int32_t after = (left + 1) / 2 + columns / 2; /* pairs up to the right border */
    int8_t *const strip = (int8_t *)scratch + ((16u - ((uintptr_t)scratch & 15u)) & 15u);
    b->c = g->c;
    b->pair_bytes = (columns >> 1) * TN_DEPTHWISE_ROWS_PAIR;
    b->singles = (columns & 1) + 2 * (left & 1);
    b->row_step = 16 * g->stride_h;
    b->chained = g->out_w == g->tile && b->to.ring == NULL;
    b->x_step = (b->chained != 0 ? b->row_step : step * bytes) - 16;
    b->out_step = b->chained != 0 ? b->to.pitch - (4 << g->widened)
                                  : (step * g->c - 4) << g->widened;
    b->strip = strip;
    b->x_ends = regular * step * bytes - (over == step ? 4 : 0); /* less 4: none is left */
    b->x_tail = over * bytes;
    b->out_tail = ((step - over) * g->c - 4) << g->widened;
    b->fills = b->fill;
    b->outs = b->out;
    b->blocks = g->blocks;
    b->g = g;
    b->y = y_begin;
    b->rows = 0;
    b->y_end = y_end;
    b->bands = (y_end - y_begin + g->span - 1) / g->span;
    tn_depthwise_rows_outside(strip, (left + 1) / 2, TN_DEPTHWISE_ROWS_BAND, g->in_zero_point);
    tn_depthwise_rows_outside(strip + after * TN_DEPTHWISE_ROWS_PAIR, pairs - after,
                              TN_DEPTHWISE_ROWS_BAND, g->in_zero_point);
}

/* Ends a band, and begins the next: 0 where there is none. All are of about the same height. Rows
 * are filled in twos, the last two over one before. */
#define tn_depthwise_rows_next TN_VARIANT(tn_depthwise_rows_next)
TN_SHARED int32_t tn_depthwise_rows_next(tn_depthwise_band_of_rows *b) {
    const tn_depthwise_square *const g = b->g;
    for (int32_t i = 0; g->clamp != 0 && i < b->rows; i++)
        tn_depthwise_limit(b->out[i], g->out_w * b->c, g->out_min, g->out_max);
    b->y += b->rows;
    if (b->y >= b->y_end) return 0;
    const int32_t n = b->rows = (b->y_end - b->y + b->bands - 1) / b->bands;
    const int32_t pairs = TN_DEPTHWISE_ROWS_PAIRS(g->kernel, g->stride_w, g->out_w);
    const int32_t first = b->y * g->stride_h - g->pad_top;
    const int32_t height = (n - 1) * g->stride_h + g->kernel;
    int32_t begin = tn_max(first, 0), end = tn_min(first + height, g->in_h), up = 0;
    if (end == begin + 1) { /* there is one more, which no output needs */
        if (end < g->in_h)
            end++;
        else
            up = --begin < first;
    }
    int8_t *const x = b->strip + 16 * (up - first); /* where row 0 would be */
    const int8_t **fill = b->fill;
    for (int32_t i = begin; i < end; i += 2) {
        i = tn_min(i, end - 2);
        *fill++ = tn_row(b->from, i);
        *fill++ = tn_row(b->from, i + 1);
        *fill++ = x + 16 * i + g->pad_left / 2 * TN_DEPTHWISE_ROWS_PAIR;
    }
    b->fills_end = fill;
    const int32_t above = tn_max(begin - first, 0), below = tn_max(end, first);
    tn_depthwise_rows_outside(x + 16 * first, pairs, tn_min(above, height), g->in_zero_point);
    tn_depthwise_rows_outside(x + 16 * below, pairs, first + height - below, g->in_zero_point);
    b->x = x + 16 * first;
    b->x_end = b->x + (b->chained != 0 ? n * b->row_step - 4 : b->x_ends);
    b->x_stop = b->x + (b->chained != 0 ? 1 : n) * b->row_step;
    for (int32_t i = 0; i < n; i++) b->out[i] = tn_row(b->to, b->y + i);
    b->bands--;
    return 1;
}

#include "tn_depthwise_rows_armv7em.h"

/* Output rows [y_begin, y_end). Literals of g are read before its address leaves the function, so
 * that they stay literals. */
#define TN_DEPTHWISE_ROWS(K)                                                                      \
    TN_DEPTHWISE_ROWS_RUN(K)                                                                      \
    TN_INLINE void tn_depthwise_rows_##K##x##K##_s8(const tn_depthwise_square *g, tn_rows in,     \
                                                    tn_rows out, void *scratch, int32_t y_begin,  \
                                                    int32_t y_end) {                              \
        const int32_t stride = g->stride_w, tile = g->tile, positive = g->positive;               \
        const int32_t widened = g->widened;                                                       \
        tn_depthwise_band_of_rows b;                                                              \
        b.from = in, b.to = out, b.fill_four = tn_depthwise_rows_fill;                            \
        tn_depthwise_rows_begin(g, &b, scratch, y_begin, y_end);                                  \
        while (tn_depthwise_rows_next(&b) != 0)                                                   \
            tn_depthwise_rows_run_##K(&b, stride, tile, positive, widened);                       \
    }

#else

/* Offsets of the inputs of a pixel, row by row, `outside` where they are not inside the input. */
#define tn_depthwise_rows_offsets TN_VARIANT(tn_depthwise_rows_offsets)
TN_SHARED void tn_depthwise_rows_offsets(const tn_depthwise_square *g, tn_rows in, int32_t y,
                                         int32_t x, int32_t outside, int32_t *offsets) {
    const int32_t kernel = g->kernel, ix = x * g->stride_w - g->pad_left;
    const int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = iy; ky < iy + kernel; ky++) {
        const int32_t inside = (uint32_t)ky < (uint32_t)g->in_h;
        const int32_t row = inside != 0 ? (int32_t)(tn_row(in, ky) - in.data) : 0;
        for (int32_t kx = ix; kx < ix + kernel; kx++)
            *offsets++ =
                inside != 0 && (uint32_t)kx < (uint32_t)g->in_w ? row + kx * g->c : outside;
    }
}

/* All channels of a pixel. */
#define tn_depthwise_rows_pixel TN_VARIANT(tn_depthwise_rows_pixel)
TN_SHARED void tn_depthwise_rows_pixel(const tn_depthwise_square *g, const int8_t *in,
                                       const int32_t *offsets, int8_t *out) {
    const int32_t kernel = g->kernel, positive = g->positive;
    const int8_t *block = g->blocks;
    for (int32_t i = 0; i < g->c; i++, in++) {
        const int16_t *w = (const int16_t *)(const void *)block;
        const int32_t *p = offsets;
        const int8_t *const numbers = block + TN_DEPTHWISE_ROWS_END(kernel);
        int32_t sum = (int32_t)tn_load32(numbers);
        for (int32_t ky = 0; ky < kernel; ky++, p += kernel, w += kernel + 1) {
            sum += in[p[0]] * w[0] + in[p[1]] * w[1] + in[p[2]] * w[3];
            if (kernel > 3) sum += in[p[3]] * w[2];
            for (int32_t kx = 4; kx < kernel; kx++) sum += in[p[kx]] * w[kx];
        }
        const int8_t y = tn_depthwise_scale(sum, numbers + 4, numbers + 12, positive);
        if (g->widened != 0)
            ((int16_t *)(void *)out)[i] = y;
        else
            out[i] = y;
        block += TN_DEPTHWISE_ROWS_BLOCK(kernel, positive);
    }
}

/* Output rows [y_begin, y_end), a pixel at a time. */
TN_INLINE void tn_depthwise_rows_plain(const tn_depthwise_square *g, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    int32_t *const offsets = (int32_t *)scratch;
    int8_t *const run = (int8_t *)(offsets + g->kernel * g->kernel); /* of the zero point */
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    memset(run, g->in_zero_point, (size_t)g->c);
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *d = tn_row(out, y);
        for (int32_t x = 0; x < g->out_w; x++, d += g->c << g->widened) {
            tn_depthwise_rows_offsets(g, in, y, x, outside, offsets);
            tn_depthwise_rows_pixel(g, in.data, offsets, d);
            if (g->clamp != 0) tn_depthwise_limit(d, g->c, g->out_min, g->out_max);
        }
    }
}

#define TN_DEPTHWISE_ROWS(K)                                                                      \
    TN_INLINE void tn_depthwise_rows_##K##x##K##_s8(const tn_depthwise_square *g, tn_rows in,     \
                                                    tn_rows out, void *scratch, int32_t y_begin,  \
                                                    int32_t y_end) {                              \
        tn_depthwise_rows_plain(g, in, out, scratch, y_begin, y_end);                             \
    }

#endif

#endif
