/* tn_depthwise_3x3.h: DEPTHWISE_CONV_2D of 3x3 taps and depth multiplier 1, several pixels at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[ky][kx][o] * in[y*sh - pt + ky*dh][x*sw - pl + kx][o]);
 * a tap outside the input has the value in_zero_point. The input's zero point is folded into bias.
 * Output row y may lie over input rows that no output row >= y reads.
 *
 * Strips. For each output row, four channels at a time, the columns under `span` pixels of the three
 * input rows are widened into words of two int16, low half first. Two columns 2i, 2i + 1 (the first
 * column is even) are twelve words, 16-byte aligned:
 *   (row 0, row 1) of column 2i, of four channels, (row 0, row 1) of column 2i + 1, of four channels,
 *   row 2 of (column 2i, column 2i + 1), of four channels
 * An output then takes five SMLAD and the like for its nine taps: three of rows 0 and 1, two of row
 * 2, whichever half its first column is in. Columns and rows outside hold in_zero_point.
 *
 * Blocks: one for each channel, words:
 *   weights, int16 each: (w[0][i], w[1][i]) for i in 0..2
 *   int32 bias, multiplier, addend
 *   weights (w[2][0], w[2][1]), (w[2][1], w[2][2])
 *   with `positive` 0 also int32 shift
 * Weights and bias are multiplied by a power of two, so that the sum X becomes an output by
 *   positive 1: ssat8((addend + floor(X * multiplier / 2^32)) >> TN_DEPTHWISE_3X3_SHIFT)
 *   positive 0: ssat8((addend + round(X * multiplier / 2^32) - (X < 0)) >> shift)
 * codegen/lowering/depthwise_3x3.py finds numbers with which this is exact.
 */
#ifndef TN_DEPTHWISE_3X3_H
#define TN_DEPTHWISE_3X3_H

#include "tn_core.h"
#include "tn_dsp.h"

typedef struct {
    int32_t in_h, in_w, c; /* c: channels, a multiple of 4 */
    int32_t out_w;
    int32_t stride_h, stride_w, dilation_h; /* stride_w: 1 or 2 */
    int32_t pad_top, pad_left;
    int32_t in_zero_point;
    int32_t lead; /* pad_left & 1: columns of a strip before the first */
    int32_t tile; /* pixels at a time, 2 to 8, <= out_w; with stride_w 1 odd where out_w is */
    int32_t span; /* of how many pixels strips hold the inputs: tile or out_w */
    int32_t positive;
    const int8_t *blocks;
} tn_depthwise_3x3;

#define TN_DEPTHWISE_3X3_SHIFT 8
#define TN_DEPTHWISE_3X3_BLOCK(positive) ((positive) != 0 ? 32 : 36)
#define TN_DEPTHWISE_3X3_PAIR 48 /* bytes of two columns of a strip */
#define TN_DEPTHWISE_3X3_PAIRS(stride_w, lead, span) \
    (((lead) + (stride_w) * ((span) - 1) + 4) / 2)

/* Bytes of scratch: a strip, or, on cores without the DSP extension, a table of a pixel's inputs and
 * a run of padding. */
#define TN_DEPTHWISE_3X3_STRIP(stride_w, lead, span) \
    (12 + TN_DEPTHWISE_3X3_PAIR * TN_DEPTHWISE_3X3_PAIRS(stride_w, lead, span))
#define TN_DEPTHWISE_3X3_SCRATCH(c, stride_w, lead, span)           \
    (TN_DEPTHWISE_3X3_STRIP(stride_w, lead, span) > 36 + (c)        \
         ? TN_DEPTHWISE_3X3_STRIP(stride_w, lead, span)             \
         : 36 + (c))

/* Pixels from a tile to the next. */
#define TN_DEPTHWISE_3X3_STEP(stride_w, tile) ((stride_w) == 1 ? (tile) & ~1 : (tile))

/* A sum, of weights and bias as they are in a block, becomes an output. */
TN_INLINE int8_t tn_depthwise_3x3_requantize(int32_t sum, const int8_t *block, int32_t positive) {
    const int32_t multiplier = (int32_t)tn_load32(block + 16);
    const int32_t addend = (int32_t)tn_load32(block + 20);
    const int64_t product = (int64_t)sum * multiplier;
    if (positive != 0)
        return (int8_t)tn_ssat8((addend + (int32_t)(product >> 32)) >> TN_DEPTHWISE_3X3_SHIFT);
    const int32_t rounded = (int32_t)((product + ((int64_t)1 << 31)) >> 32) - (sum < 0);
    return (int8_t)tn_ssat8((addend + rounded) >> tn_load32(block + 32));
}

#if TN_DSP

/* A band of pixels of a row: how strips are filled and outputs found.
 * tn_depthwise_3x3_armv7em.h knows the order of the fields. */
typedef struct {
    const int8_t *rows[3]; /* inputs, channel 0, of the first column inside; any row where outside */
    int32_t c;
    int8_t *first, *last;  /* in the strip: where columns inside begin; after whole pairs of them */
    int8_t *x;             /* the strip */
    const int8_t *blocks;
    int8_t *out, *out_end; /* outputs of pixel 0: of channel 0; after the last channel */
    int8_t *x_end;         /* see tn_depthwise_3x3_tiles */
    int32_t out_step, x_tail, out_tail;
    int32_t special;    /* bit 0: a single column follows the pairs; bit 1 + i: row i lies outside */
    uint32_t zero_point; /* four bytes of it */
    int8_t *patch_end;  /* after all columns inside */
} tn_depthwise_3x3_band;

/* How the tiles of `span` pixels follow each other: `step` pixels apart, and a last one that ends
 * with the span, over pixels of the one before. */
TN_INLINE void tn_depthwise_3x3_tiles(tn_depthwise_3x3_band *b, int32_t span, int32_t stride,
                                      int32_t tile) {
    const int32_t step = TN_DEPTHWISE_3X3_STEP(stride, tile), last = span - tile;
    const int32_t bytes = stride * TN_DEPTHWISE_3X3_PAIR / 2, regular = last / step + 1;
    const int32_t over = regular * step - last; /* the step after the regular tiles goes too far */
    b->out_step = step * b->c - 4;
    b->x_end = b->x + regular * step * bytes - (over == step ? 4 : 0); /* less 4: none is left */
    b->x_tail = over * bytes;
    b->out_tail = (step - over) * b->c - 4;
}

/* The pixels from x on of output row y: rows, strip and outputs. Outside of the columns and rows of
 * this band the strip's words are set to the zero point where `stale`. */
#define tn_depthwise_3x3_place TN_VARIANT(tn_depthwise_3x3_place)
TN_SHARED void tn_depthwise_3x3_place(const tn_depthwise_3x3 *g, tn_depthwise_3x3_band *b,
                                      tn_rows in, tn_rows out, int32_t y, int32_t x,
                                      int32_t stale) {
    const int32_t ix = x * g->stride_w - g->pad_left - g->lead;
    const int32_t pairs = TN_DEPTHWISE_3X3_PAIRS(g->stride_w, g->lead, g->span);
    const int32_t begin = tn_max(ix, 0), columns = tn_min(ix + 2 * pairs, g->in_w) - begin;
    const int8_t *inside = NULL;
    b->special = 0;
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t i = 0; i < 3; i++, iy += g->dilation_h) {
        if (iy >= 0 && iy < g->in_h && columns > 0) {
            b->rows[i] = tn_row(in, iy) + begin * g->c;
            inside = b->rows[i];
        } else {
            b->rows[i] = NULL;
            b->special |= 2 << i;
        }
    }
    for (int32_t i = 0; i < 3; i++)
        if (b->rows[i] == NULL) b->rows[i] = inside;
    b->out = tn_row(out, y) + x * g->c;
    b->out_end = b->out + g->c;
    b->first = b->x + (begin - ix) * (TN_DEPTHWISE_3X3_PAIR / 2);
    b->last = b->first;
    if (inside != NULL) {
        b->last += (columns >> 1) * TN_DEPTHWISE_3X3_PAIR;
        b->special |= columns & 1;
    } else {
        b->special = 0;
    }
    b->patch_end = b->last + (b->special & 1) * TN_DEPTHWISE_3X3_PAIR;
    if (stale != 0 || inside == NULL) {
        const uint32_t pair = (uint32_t)(uint16_t)g->in_zero_point * 0x10001u;
        int8_t *const end = b->x + pairs * TN_DEPTHWISE_3X3_PAIR;
        for (int8_t *p = b->x; p != end; p += 4) tn_store32(p, pair);
    }
}

#if TN_DSP_NATIVE

#include "tn_depthwise_3x3_armv7em.h"

#else

/* Two columns of two rows, or of one, become words of four channels. */
TN_INLINE void tn_depthwise_3x3_widen(int8_t *strip, uint32_t p, uint32_t q) {
    const uint32_t low = tn_pkhbt(p, q), high = tn_pkhtb(p, q);
    tn_store32(strip, tn_sxtb16(low));
    tn_store32(strip + 4, tn_sxtb16_ror8(low));
    tn_store32(strip + 8, tn_sxtb16(high));
    tn_store32(strip + 12, tn_sxtb16_ror8(high));
}

/* Channels o to o + 3 of the rows become a strip. */
TN_INLINE void tn_depthwise_3x3_fill(const tn_depthwise_3x3_band *b, int32_t o) {
    const int32_t c = b->c;
    int32_t at = o;
    for (int8_t *s = b->first; s != b->patch_end; s += TN_DEPTHWISE_3X3_PAIR, at += 2 * c) {
        const int32_t one = s == b->last; /* the single column */
        const uint32_t other = one != 0 ? b->zero_point : tn_load32(b->rows[2] + at + c);
        tn_depthwise_3x3_widen(s, tn_load32(b->rows[0] + at), tn_load32(b->rows[1] + at));
        if (one == 0)
            tn_depthwise_3x3_widen(s + 16, tn_load32(b->rows[0] + at + c),
                                   tn_load32(b->rows[1] + at + c));
        tn_depthwise_3x3_widen(s + 32, tn_load32(b->rows[2] + at), other);
        const int16_t zero_point = (int8_t)(uint8_t)(b->zero_point & 0xFFu);
        for (int32_t i = 0; i < 48; i += 2)
            if ((b->special & (i >= 32 ? 8 : (i & 2) != 0 ? 4 : 2)) != 0)
                memcpy(s + i, &zero_point, 2);
    }
}

/* One output from the strip at x, whose first column is the odd one of a pair if `lead`. */
TN_INLINE int8_t tn_depthwise_3x3_output(const int8_t *x, const int8_t *block, int32_t lead,
                                         int32_t positive) {
    const int8_t *const second = x + (lead != 0 ? TN_DEPTHWISE_3X3_PAIR : 16);
    const int8_t *const third = lead != 0 ? second + 16 : x + TN_DEPTHWISE_3X3_PAIR;
    const uint32_t p = tn_load32(x + 32), q = tn_load32(x + TN_DEPTHWISE_3X3_PAIR + 32);
    const uint32_t u = tn_load32(block + 24), v = tn_load32(block + 28);
    int32_t sum = (int32_t)tn_load32(block + 12);
    sum = tn_smlad(tn_load32(lead != 0 ? x + 16 : x), tn_load32(block), sum);
    sum = tn_smlad(tn_load32(second), tn_load32(block + 4), sum);
    sum = tn_smlad(tn_load32(third), tn_load32(block + 8), sum);
    sum = lead != 0 ? tn_smlad(q, v, tn_smlatb(p, u, sum)) : tn_smlabt(q, v, tn_smlad(p, u, sum));
    return tn_depthwise_3x3_requantize(sum, block, positive);
}

/* All channels of a band. */
TN_INLINE void tn_depthwise_3x3_run(const tn_depthwise_3x3_band *b, int32_t span, int32_t stride,
                                    int32_t lead, int32_t positive) {
    const int8_t *block = b->blocks;
    for (int32_t o = 0; o < b->c; o++, block += TN_DEPTHWISE_3X3_BLOCK(positive)) {
        if ((o & 3) == 0) tn_depthwise_3x3_fill(b, o);
        for (int32_t i = 0; i < span; i++) {
            const int32_t column = lead + i * stride;
            b->out[i * b->c + o] = tn_depthwise_3x3_output(
                b->x + 4 * (o & 3) + (column >> 1) * TN_DEPTHWISE_3X3_PAIR, block, column & 1,
                positive);
        }
    }
}

#endif

/* Output rows [y_begin, y_end); literals as in tn_depthwise_3x3. */
TN_INLINE void tn_depthwise_3x3_rows(const tn_depthwise_3x3 *g, tn_rows in, tn_rows out,
                                     void *scratch, int32_t y_begin, int32_t y_end,
                                     int32_t stride, int32_t lead, int32_t tile,
                                     int32_t positive) {
    const int32_t span = g->span, step = TN_DEPTHWISE_3X3_STEP(stride, tile), c = g->c;
    tn_depthwise_3x3_band b;
    int32_t stale = 1;
    b.c = c;
    b.x = (int8_t *)scratch + ((16 - ((uintptr_t)scratch & 15u)) & 15u);
    b.blocks = g->blocks;
    b.zero_point = (uint32_t)(uint8_t)g->in_zero_point * 0x1010101u;
    tn_depthwise_3x3_tiles(&b, span, stride, tile);
    for (int32_t y = y_begin; y < y_end; y++)
        for (int32_t x = 0;; x += step) {
            x = tn_min(x, g->out_w - span);
            tn_depthwise_3x3_place(g, &b, in, out, y, x, stale);
            stale = span != g->out_w;
#if TN_DSP_NATIVE
            tn_depthwise_3x3_run(&b, stride, lead, tile, positive);
#else
            tn_depthwise_3x3_run(&b, span, stride, lead, positive);
#endif
            if (x == g->out_w - span) break;
        }
}

#else

/* All channels of a pixel; `offsets` from `in` of the nine inputs. */
#define tn_depthwise_3x3_pixel TN_VARIANT(tn_depthwise_3x3_pixel)
TN_SHARED void tn_depthwise_3x3_pixel(const tn_depthwise_3x3 *g, const int8_t *in,
                                      const int32_t *offsets, int32_t positive, int8_t *out) {
    const int8_t *block = g->blocks;
    for (int8_t *const end = out + g->c; out != end; in++, out++) {
        const int16_t *const w = (const int16_t *)(const void *)block;
        int32_t sum = (int32_t)tn_load32(block + 12);
        for (int32_t i = 0; i < 3; i++) {
            sum += in[offsets[i]] * w[2 * i];
            sum += in[offsets[3 + i]] * w[2 * i + 1];
        }
        sum += in[offsets[6]] * w[12];
        sum += in[offsets[7]] * w[13];
        sum += in[offsets[8]] * w[15];
        *out = tn_depthwise_3x3_requantize(sum, block, positive);
        block += TN_DEPTHWISE_3X3_BLOCK(positive);
    }
}

/* Output rows [y_begin, y_end), a pixel at a time. */
TN_INLINE void tn_depthwise_3x3_rows(const tn_depthwise_3x3 *g, tn_rows in, tn_rows out,
                                     void *scratch, int32_t y_begin, int32_t y_end,
                                     int32_t stride, int32_t lead, int32_t tile,
                                     int32_t positive) {
    (void)lead, (void)tile;
    int32_t *const offsets = (int32_t *)scratch;
    int8_t *const run = (int8_t *)(offsets + 9); /* of the zero point */
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    memset(run, g->in_zero_point, (size_t)g->c);
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *d = tn_row(out, y);
        for (int32_t x = 0; x < g->out_w; x++, d += g->c) {
            int32_t *p = offsets, iy = y * g->stride_h - g->pad_top;
            for (int32_t ky = 0; ky < 3; ky++, iy += g->dilation_h) {
                const int32_t in_rows = iy >= 0 && iy < g->in_h;
                const int32_t row = in_rows != 0 ? (int32_t)(tn_row(in, iy) - in.data) : 0;
                for (int32_t kx = 0; kx < 3; kx++) {
                    const int32_t ix = x * stride - g->pad_left + kx;
                    const int32_t inside = in_rows != 0 && ix >= 0 && ix < g->in_w;
                    *p++ = inside != 0 ? row + ix * g->c : outside;
                }
            }
            tn_depthwise_3x3_pixel(g, in.data, offsets, positive, d);
        }
    }
}

#endif

/* Output rows [y_begin, y_end). scratch: TN_DEPTHWISE_3X3_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_depthwise_3x3_s8(const tn_depthwise_3x3 *g, tn_rows in, tn_rows out,
                                   void *scratch, int32_t y_begin, int32_t y_end) {
    /* read before g's address leaves this function, so that literals stay literals */
    tn_depthwise_3x3_rows(g, in, out, scratch, y_begin, y_end, g->stride_w, g->lead, g->tile,
                          g->positive);
}

#endif
