/* tn_depthwise_strips.h: rows of tn_depthwise_square.h with the DSP extension: where strips lie.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DEPTHWISE_STRIPS_H
#define TN_DEPTHWISE_STRIPS_H

#include "tn_depthwise_square.h"

#if TN_DSP

/* A band of pixels of a row: how strips are filled and outputs found.
 * tn_depthwise_square_armv7em.h knows the order of the fields. */
typedef struct {
    const int8_t *rows[7]; /* inputs, channel 0, of the first column inside; any where outside */
    int32_t c;
    int8_t *first, *last;  /* in the strip: where columns inside begin; after whole pairs of them */
    int8_t *x;              /* the strip */
    const int8_t *blocks;
    int8_t *out, *out_end;  /* outputs of pixel 0: of channel 0; after the last channel */
    int8_t *x_end;          /* see tn_depthwise_tiles */
    int32_t out_step, x_tail, out_tail;
    int32_t special; /* bit 0: a single column follows the pairs; bit 1 + i: row i lies outside */
    uint32_t zero_point; /* four bytes of it */
    int8_t *patch_end;   /* after all columns inside */
} tn_depthwise_band;

/* How the tiles of `span` pixels follow each other: `step` pixels apart, and a last one that ends
 * with the span, over pixels of the one before. */
TN_INLINE void tn_depthwise_tiles(tn_depthwise_band *b, int32_t span, int32_t kernel,
                                  int32_t stride, int32_t tile) {
    const int32_t step = TN_DEPTHWISE_STEP(stride, tile), last = span - tile;
    const int32_t bytes = stride * TN_DEPTHWISE_PAIR(kernel) / 2, regular = last / step + 1;
    const int32_t over = regular * step - last; /* the step after the regular tiles goes too far */
    b->out_step = step * b->c - 4;
    b->x_end = b->x + regular * step * bytes - (over == step ? 4 : 0); /* less 4: none is left */
    b->x_tail = over * bytes;
    b->out_tail = (step - over) * b->c - 4;
}

/* The pixels from x on of output row y: rows, strip and outputs. Outside of the columns and rows of
 * this band the strip's words are set to the zero point where `stale`. */
#define tn_depthwise_place TN_VARIANT(tn_depthwise_place)
TN_SHARED void tn_depthwise_place(const tn_depthwise_square *g, tn_depthwise_band *b, tn_rows in,
                                  tn_rows out, int32_t y, int32_t x, int32_t stale) {
    const int32_t kernel = g->kernel, pair = TN_DEPTHWISE_PAIR(kernel);
    const int32_t ix = x * g->stride_w - g->pad_left - g->lead;
    const int32_t pairs = TN_DEPTHWISE_PAIRS(kernel, g->stride_w, g->lead, g->span);
    const int32_t begin = tn_max(ix, 0), columns = tn_min(ix + 2 * pairs, g->in_w) - begin;
    const int32_t height = columns > 0 ? g->in_h : 0, near = begin * g->c;
    const int8_t *inside = NULL;
    int32_t iy = y * g->stride_h - g->pad_top, special = 0;
    for (int32_t i = 0; i < kernel; i++, iy += g->dilation_h) {
        if ((uint32_t)iy < (uint32_t)height)
            inside = b->rows[i] = tn_row(in, iy) + near;
        else
            special |= 2 << i;
    }
    b->out = tn_row(out, y) + x * g->c;
    b->out_end = b->out + g->c;
    b->first = b->last = b->patch_end = b->x + (begin - ix) / 2 * pair;
    if (inside != NULL) {
        for (int32_t i = 0; special >> (1 + i) != 0; i++)
            if ((special >> (1 + i) & 1) != 0) b->rows[i] = inside;
        b->last += (columns >> 1) * pair;
        special |= columns & 1;
        b->patch_end = b->last + (columns & 1) * pair;
        b->special = special;
    } else {
        b->special = 0;
    }
    if (stale != 0 || inside == NULL) {
        const uint32_t both = (uint32_t)(uint16_t)g->in_zero_point * 0x10001u;
        int8_t *const end = b->x + pairs * pair;
        for (int8_t *p = b->x; p != b->first; p += 4) tn_store32(p, both);
        for (int8_t *p = b->last; p != end; p += 4) tn_store32(p, both);
    }
}

#if TN_DSP_NATIVE

#include "tn_depthwise_square_armv7em.h"

#else

/* Channels o to o + 3 of the rows become a strip. */
TN_INLINE void tn_depthwise_fill(const tn_depthwise_band *b, int32_t kernel, int32_t o) {
    const int32_t last = kernel - 1, zero_point = (int8_t)(uint8_t)(b->zero_point & 0xFFu);
    int32_t at = o;
    for (int8_t *s = b->first; s != b->patch_end; s += TN_DEPTHWISE_PAIR(kernel), at += 2 * b->c)
        for (int32_t i = 0; i < kernel; i++)
            for (int32_t n = 0; n < 8; n++) {
                const int32_t column = n >> 2, k = n & 3;
                const int32_t outside =
                    (b->special >> (1 + i) & 1) != 0 || (column != 0 && s == b->last);
                const int16_t value =
                    (int16_t)(outside != 0 ? zero_point : b->rows[i][at + column * b->c + k]);
                const int32_t half = i == last ? column : (i & 1) + 8 * column;
                memcpy(s + 16 * (i & ~1) + 4 * k + 2 * half, &value, 2);
            }
}

/* One output; its first column is that of the pair at x, or the odd one. */
TN_INLINE int8_t tn_depthwise_output(const int8_t *x, const int8_t *block, int32_t kernel,
                                     int32_t stride, int32_t odd, int32_t positive) {
    int32_t sum = (int32_t)tn_load32(block + 12);
    for (int32_t j = 0; j < kernel / 2; j++)
        for (int32_t i = 0; i < kernel; i++) {
            const int32_t column = odd + tn_depthwise_order(kernel, stride, i);
            const int32_t n = j * kernel + i;
            sum = tn_smlad(tn_load32(x + (column >> 1) * TN_DEPTHWISE_PAIR(kernel) + 32 * j +
                                     16 * (column & 1)),
                           tn_load32(block + 4 * (n + (n >= 3))), sum);
        }
    for (int32_t i = 0; i < kernel; i++) {
        const int8_t *const p = x + ((odd + i) >> 1) * TN_DEPTHWISE_PAIR(kernel) +
                                16 * (kernel - 1) + 2 * ((odd + i) & 1);
        const int8_t *const w =
            block + TN_DEPTHWISE_BEGIN(kernel) + 8 + 2 * (i < 2 ? i : i + 1);
        int16_t value, weight;
        memcpy(&value, p, 2);
        memcpy(&weight, w, 2);
        sum = tn_smlabb((uint16_t)value, (uint16_t)weight, sum);
    }
    return tn_depthwise_requantize(sum, block, kernel, positive);
}

/* All channels of a band. */
TN_INLINE void tn_depthwise_run(const tn_depthwise_band *b, int32_t span, int32_t kernel,
                                int32_t stride, int32_t lead, int32_t positive) {
    const int8_t *block = b->blocks;
    for (int32_t o = 0; o < b->c; o++, block += TN_DEPTHWISE_BLOCK(kernel, positive)) {
        if ((o & 3) == 0) tn_depthwise_fill(b, kernel, o);
        for (int32_t i = 0; i < span; i++) {
            const int32_t column = lead + i * stride;
            const int8_t *const x =
                b->x + 4 * (o & 3) + (column >> 1) * TN_DEPTHWISE_PAIR(kernel);
            b->out[i * b->c + o] =
                tn_depthwise_output(x, block, kernel, stride, column & 1, positive);
        }
    }
}
#define TN_DEPTHWISE_RUN(K)                                                                       \
    TN_INLINE void tn_depthwise_run_##K(const tn_depthwise_band *b, int32_t span, int32_t stride, \
                                        int32_t lead, int32_t tile, int32_t positive) {           \
        (void)tile;                                                                               \
        tn_depthwise_run(b, span, K, stride, lead, positive);                                     \
    }

#endif

/* What does not change from band to band. */
#define tn_depthwise_begin TN_VARIANT(tn_depthwise_begin)
TN_SHARED void tn_depthwise_begin(const tn_depthwise_square *g, tn_depthwise_band *b,
                                  void *scratch) {
    b->c = g->c;
    b->x = (int8_t *)scratch + ((16u - ((uintptr_t)scratch & 15u)) & 15u);
    b->blocks = g->blocks;
    b->zero_point = (uint32_t)(uint8_t)g->in_zero_point * 0x1010101u;
    tn_depthwise_tiles(b, g->span, g->kernel, g->stride_w, g->tile);
}

/* Output rows [y_begin, y_end) in bands of `span` pixels. Literals of g are read before its address
 * leaves the function, so that they stay literals. */
#define TN_DEPTHWISE_SQUARE(K)                                                                    \
    TN_DEPTHWISE_RUN(K)                                                                           \
    TN_INLINE void tn_depthwise_##K##x##K##_s8(const tn_depthwise_square *g, tn_rows in,          \
                                               tn_rows out, void *scratch, int32_t y_begin,       \
                                               int32_t y_end) {                                   \
        const int32_t stride = g->stride_w, lead = g->lead, tile = g->tile;                       \
        const int32_t positive = g->positive, clamp = g->clamp;                                   \
        const int32_t span = g->span, last = g->out_w - span;                                     \
        tn_depthwise_band b;                                                                      \
        int32_t stale = 1;                                                                        \
        tn_depthwise_begin(g, &b, scratch);                                                       \
        for (int32_t y = y_begin; y < y_end; y++)                                                 \
            for (int32_t x = 0, end = 0; end == 0; x += TN_DEPTHWISE_STEP(stride, tile)) {        \
                end = x >= last;                                                                  \
                x = tn_min(x, last);                                                              \
                tn_depthwise_place(g, &b, in, out, y, x, stale);                                  \
                stale = last != 0;                                                                \
                tn_depthwise_run_##K(&b, span, stride, lead, tile, positive);                     \
                if (clamp != 0)                                                                   \
                    tn_depthwise_limit(b.out, span * b.c, g->out_min, g->out_max);                \
            }                                                                                     \
    }

#endif

#endif
