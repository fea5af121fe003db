/* tn_pointwise_conv_2d.h: CONV_2D of 1x1 filters at stride 1 without padding.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[o][i] * in[y][x][i]); the input's zero point is
 * folded into bias. The inputs of an output pixel, or of two, are gathered in scratch before any of
 * their outputs is written: an output pixel may lie over input pixels up to its own.
 */
#ifndef TN_POINTWISE_CONV_2D_H
#define TN_POINTWISE_CONV_2D_H

#include "tn_dot.h"
#include "tn_straight.h"

typedef struct {
    int32_t in_c, out_w, out_c;
    int32_t groups; /* of four k: of in_c */
    int32_t out_zero_point, out_min, out_max;
    int32_t words;           /* 1: in_c is a multiple of four */
    int32_t tiles;           /* see tn_dot.h: 2, or 1 in little scratch; 0: none */
    int32_t fast_requantize; /* of a tn_tile */
    int32_t joined;          /* see tn_dot.h */
    const int8_t *blocks;    /* as in tn_dot.h */
} tn_pointwise_conv_2d;

/* Bytes of scratch, k in_c to a multiple of four: a column of bytes, or two widened. */
#define TN_POINTWISE_SCRATCH(k, tiles) ((tiles) < 2 ? (k) : 4 * (k))

TN_INLINE tn_tile tn_pointwise_tile(const tn_pointwise_conv_2d *g) {
    const int32_t clamp = tn_clamps(g->out_min, g->out_max);
    const tn_tile t = {g->blocks,  g->out_c,   g->groups,          g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize, clamp};
    return t;
}

/* One pixel. */
TN_INLINE void tn_pointwise_single(const tn_pointwise_conv_2d *g, const tn_tile *tile,
                                   const int8_t *src, int8_t *column, int8_t *out) {
    for (int32_t i = 0; i < g->in_c >> 2; i++) tn_store32(column + 4 * i, tn_load32(src + 4 * i));
    if (g->words == 0)
        for (int32_t i = g->in_c & ~3; i < g->in_c; i++) column[i] = src[i];
    tn_tile_column(tile, g->tiles, g->joined, column, out);
}

/* Output rows [y_begin, y_end), as one run of pixels: two may lie in two rows. scratch:
 * TN_POINTWISE_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_pointwise_conv_2d_s8(const tn_pointwise_conv_2d *g, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    const tn_tile tile = tn_pointwise_tile(g);
    int32_t y = y_begin, x = 0, pixels = (y_end - y_begin) * g->out_w, line = g->out_w;
    const int8_t *source = tn_row(in, y);
    int8_t *target = tn_row(out, y);
    /* rows that follow each other are one */
    if (in.ring == NULL && out.ring == NULL) line = pixels;
#if TN_DSP
    tn_pairs p;
    p.columns = p.gathered = (uint32_t *)scratch;
    p.width = p.next = g->in_c, p.last = NULL;
#endif
    while (pixels > 0) {
        int32_t done = 1;
#if TN_DSP
        p.pairs = g->words != 0 ? (line - x) / 2 : 0;
        p.base = source, p.runs = 1;
        p.out = target, p.apart = g->out_c;
        if (g->tiles == 2 && p.pairs > 0) {
            done = 2 * p.pairs;
        } else if (g->tiles == 2 && pixels > 1) {
            const int32_t wraps = x + 1 == line;
            tn_widen_2(p.columns, source, wraps ? tn_row(in, y + 1) : source + g->in_c, g->in_c);
            if (wraps) p.apart = (int32_t)(tn_row(out, y + 1) - target);
            p.runs = 0, p.pairs = 1;
            done = 2;
        }
        if (done > 1)
            tn_tile_2(&tile, &p);
        else
#endif
            tn_pointwise_single(g, &tile, source, (int8_t *)scratch, target);
        pixels -= done;
        x += done;
        source += done * g->in_c;
        target += done * g->out_c;
        for (; x >= line && pixels > 0; x -= line, y++) {
            source = tn_row(in, y + 1) + (x - line) * g->in_c;
            target = tn_row(out, y + 1) + (x - line) * g->out_c;
        }
    }
}

/* The same of a layer that tn_straight.h has tiles for, by `straight`. */
TN_INLINE void tn_straight_rows(const tn_pointwise_conv_2d *g, tn_rows in, tn_rows out,
                                void *scratch, int32_t y_begin, int32_t y_end,
                                tn_straight_tile *straight) {
    const tn_tile tile = tn_pointwise_tile(g);
    const int32_t flat = in.ring == NULL && out.ring == NULL;
    const int32_t pixels = flat ? (y_end - y_begin) * g->out_w : g->out_w;
    tn_straight t;
    t.blocks = g->blocks, t.x = scratch, t.out_c = g->out_c, t.pairs = pixels / 2;
    t.zero_point = g->out_zero_point;
    for (int32_t y = y_begin; y < y_end; y = flat ? y_end : y + 1) {
        t.in = tn_row(in, y), t.out = tn_row(out, y);
        if (t.pairs > 0) straight(&t);
        if ((pixels & 1) != 0)
            tn_pointwise_single(g, &tile, t.in + (pixels - 1) * g->in_c, (int8_t *)scratch,
                                t.out + (pixels - 1) * g->out_c);
    }
}

#if !TN_DSP_NATIVE

/* Pairs of pixels of N words of k each. */
#define tn_straight_pairs TN_VARIANT(tn_straight_pairs)
TN_SHARED void tn_straight_pairs(const tn_straight *t, int32_t words, int32_t is_long) {
    const tn_tile tile = tn_straight_as_tile(t, words, is_long);
    int8_t *const columns = (int8_t *)t->x;
    for (int32_t i = 0; i < t->pairs; i++) {
        memcpy(columns, t->in + 4 * i * words, (size_t)(4 * words));
        for (int32_t j = 0; j < 2; j++)
            tn_tile_bytes(&tile, 1, columns + 2 * j * words, t->out + (2 * i + j) * t->out_c);
    }
}
#define TN_POINTWISE_TILE(N, LONG)                                                                 \
    TN_INLINE void TN_VARIANT(tn_pointwise_tile_##N##_##LONG)(const tn_straight *t) {              \
        tn_straight_pairs(t, N, LONG);                                                             \
    }

#define TN_UNROLLED_POINTWISE_TILE(N, C, U)                                                        \
    TN_INLINE void TN_VARIANT(tn_unrolled_pointwise_tile_##N##_##C##_##U)(const tn_straight *t) {  \
        tn_straight_pairs(t, N, 0);                                                                \
    }

#endif

/* tn_straight_conv_2d_N_LONG_s8, of N words of k, 2 * N channels; LONG: see tn_straight.h. Of what
 * TN_POINTWISE_TILE(N, LONG) made.
 *
 *     void tn_straight_conv_2d_N_LONG_s8(const tn_pointwise_conv_2d *g, tn_rows in, tn_rows out,
 *                                        void *scratch, int32_t y_begin, int32_t y_end); */
#define TN_STRAIGHT_CONV_2D_S8(N, LONG)                                                            \
    TN_INLINE void tn_straight_conv_2d_##N##_##LONG##_s8(                                          \
        const tn_pointwise_conv_2d *g, tn_rows in, tn_rows out, void *scratch, int32_t y_begin,    \
        int32_t y_end) {                                                                           \
        tn_straight_rows(g, in, out, scratch, y_begin, y_end,                                      \
                         TN_VARIANT(tn_pointwise_tile_##N##_##LONG));                              \
    }

/* tn_unrolled_conv_2d_N_C_U_s8, of C channels, U blocks a turn, of what
 * TN_UNROLLED_POINTWISE_TILE(N, C, U) made. */
#define TN_UNROLLED_CONV_2D_S8(N, C, U)                                                            \
    TN_INLINE void tn_unrolled_conv_2d_##N##_##C##_##U##_s8(                                       \
        const tn_pointwise_conv_2d *g, tn_rows in, tn_rows out, void *scratch, int32_t y_begin,    \
        int32_t y_end) {                                                                           \
        tn_straight_rows(g, in, out, scratch, y_begin, y_end,                                      \
                         TN_VARIANT(tn_unrolled_pointwise_tile_##N##_##C##_##U));                  \
    }

#endif
