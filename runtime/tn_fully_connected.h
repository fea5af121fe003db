/* tn_fully_connected.h: FULLY_CONNECTED, int8.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[n][o] = requantise(bias[o] + sum over k of w[o][k] * in[n][k]). Input and output are whole
 * tensors; the output overlaps nothing. The input's zero point is folded into bias.
 */
#ifndef TN_FULLY_CONNECTED_H
#define TN_FULLY_CONNECTED_H

#include "tn_dot.h"

typedef struct {
    int32_t batches, in_c, out_c;
    int32_t out_zero_point, out_min, out_max;
    int32_t tiles;           /* see tn_dot.h: 1, where in_c is a multiple of four; 0: none */
    int32_t fast_requantize; /* of a tn_tile */
    int32_t joined;          /* see tn_dot.h */
    const int8_t *blocks;    /* as in tn_dot.h */
} tn_fully_connected;

/* ---- eight channels at a time ---------------------------------------------------------------- */

/* Layers with tiles. As far as there are eight more channels, two blocks of tn_dot.h are joined:
 * first come the sums of both, then for each two k the words ab, cd of both, then what is behind
 * the weights of both. */

#if TN_DSP_NATIVE

#include "tn_dense_armv7em.h"

/* n bytes, a multiple of four, become the pairs of one column. */
#define tn_widen_1 TN_VARIANT(tn_widen_1)
TN_SHARED void tn_widen_1(uint32_t *x, const int8_t *p, int32_t n) {
#pragma GCC unroll 2
    for (const int8_t *const end = p + n; p != end; p += 4, x += 2) {
        const uint32_t word = tn_load32(p);
        x[0] = tn_sxtb16(word), x[1] = tn_sxtb16_ror8(word);
    }
}

#else

/* The sums of two channels over 4 * groups k. */
TN_INLINE void tn_dense_pair(const int8_t *w, const int8_t *x, int32_t groups, int32_t *sums) {
    uint32_t a = (uint32_t)sums[0], ab = (uint32_t)sums[1];
    for (const int8_t *const end = x + 4 * groups; x != end; x += 4, w += 32) {
#pragma GCC unroll 4
        for (int32_t i = 0; i < 4; i++) { /* k in the order 0, 2, 1, 3 */
            const int8_t *const p = w + 8 * (i & 2) + 2 * (i & 1);
            const int32_t y = x[2 * (i & 1) + (i >> 1)];
            int16_t both;
            memcpy(&both, p, 2);
            a = tn_mac(a, y, *p);
            ab = tn_mac(ab, y, both);
        }
    }
    sums[0] = (int32_t)a, sums[1] = (int32_t)ab;
}

/* The outputs of eight times `eights` channels. */
#define tn_dense_bytes TN_VARIANT(tn_dense_bytes)
TN_SHARED void tn_dense_bytes(const tn_tile *t, const int8_t *x, int8_t *out, int32_t eights) {
    const int8_t *block = t->blocks;
    for (; eights > 0; eights--, out += 8) {
        const int8_t *const ends = block + 2 * TN_BLOCK_BEGIN + 32 * t->groups;
        int32_t sums[8];
        memcpy(sums, block, sizeof sums);
        block += 2 * TN_BLOCK_BEGIN;
        for (int32_t i = 0; i < 4; i++) tn_dense_pair(block + 4 * i, x, t->groups, sums + 2 * i);
        tn_tile_store_4(t, 1, ends, 0, sums, out);
        tn_tile_store_4(t, 1, ends + TN_BLOCK_END, 4, sums + 4, out);
        block = ends + 2 * TN_BLOCK_END;
    }
}

#endif

/* All outputs of one batch of k, which ends within a group of four. */
#define tn_fully_connected_tail TN_VARIANT(tn_fully_connected_tail)
TN_SHARED void tn_fully_connected_tail(const tn_tile *t, int32_t joined, int32_t k,
                                       const int8_t *in, int8_t *out) {
    const int8_t *block = t->blocks;
    int8_t tail[4];
    tn_store32(tail, tn_load_tail(in + (k & ~3), k & 3));
    for (int32_t o = 0; o < t->out_c; o += 4) {
        int32_t sums[4];
        memcpy(sums, block, sizeof sums);
        block += TN_BLOCK_BEGIN;
        tn_dot_4(block, in, k >> 2, joined, sums);
        tn_dot_4(block + 4 * (k & ~3), tail, 1, joined, sums);
        block += 4 * TN_PAD4(k);
        tn_tile_store_4(t, joined, block, o, sums, out);
        block += TN_BLOCK_END;
    }
}

/* One step: y_begin 0, y_end 1 (the tensors are taken whole). */
TN_INLINE void tn_fully_connected_s8(const tn_fully_connected *g, tn_rows in, tn_rows out,
                                     int32_t y_begin, int32_t y_end) {
    const int32_t clamp = tn_clamps(g->out_min, g->out_max);
    const tn_tile t = {g->blocks,  g->out_c,   TN_PAD4(g->in_c) / 4, g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize,   clamp};
    (void)y_begin;
    (void)y_end;
    const int8_t *x = in.data;
    int8_t *y = out.data;
    for (int32_t n = 0; n < g->batches; n++, x += g->in_c, y += g->out_c) {
        if (g->tiles != 0 || (g->in_c & 3) == 0)
            tn_tile_column(&t, g->tiles, g->joined, x, y);
        else
            tn_fully_connected_tail(&t, g->joined, g->in_c, x, y);
    }
}

/* With blocks of eight channels; `pairs`, or NULL: room for the widened x. */
TN_INLINE void tn_fully_connected_by_eights(const tn_fully_connected *g, tn_rows in, tn_rows out,
                                            uint32_t *pairs) {
    const int32_t eights = g->out_c >> 3, done = g->out_c & ~7;
    tn_tile t = {g->blocks,  g->out_c,   g->in_c / 4,        g->out_zero_point,
                 g->out_min, g->out_max, g->fast_requantize, tn_clamps(g->out_min, g->out_max)};
    const int8_t *x = in.data;
    int8_t *y = out.data;
    for (int32_t n = 0; n < g->batches; n++, x += g->in_c, y += g->out_c) {
        t.blocks = g->blocks;
#if TN_DSP_NATIVE
        if (pairs != NULL) {
            tn_widen_1(pairs, x, g->in_c);
            tn_dense_pairs(&t, pairs, y, eights);
        } else {
            tn_dense_bytes(&t, x, y, eights);
        }
#else
        (void)pairs;
        tn_dense_bytes(&t, x, y, eights);
#endif
        if (done == g->out_c) continue;
        t.blocks += 2 * TN_BLOCK_BYTES(g->in_c) * eights;
        t.out_c = g->out_c - done;
        tn_tile_column(&t, 1, 1, x, y + done);
        t.out_c = g->out_c;
    }
}

TN_INLINE void tn_fully_connected_eights_s8(const tn_fully_connected *g, tn_rows in, tn_rows out,
                                            int32_t y_begin, int32_t y_end) {
    (void)y_begin;
    (void)y_end;
    tn_fully_connected_by_eights(g, in, out, NULL);
}

/* In less time, where the DSP extension is. scratch: 2 * in_c bytes. */
TN_INLINE void tn_fully_connected_widened_s8(const tn_fully_connected *g, tn_rows in, tn_rows out,
                                             void *scratch, int32_t y_begin, int32_t y_end) {
    (void)y_begin;
    (void)y_end;
    tn_fully_connected_by_eights(g, in, out, (uint32_t *)scratch);
}

/* ---- from rows as they come ------------------------------------------------------------------ */

/* The input is `rows` rows of `row_bytes` bytes: in_c = rows * row_bytes, a batch of one. */
typedef struct {
    int32_t rows, row_bytes, out_c;
    int32_t out_zero_point, out_min, out_max;
    int32_t fast_requantize; /* see tn_requantize_s8 */
    int32_t joined;          /* see tn_dot.h; here of the sums of one row, without a bias */
    const int8_t *ends;      /* of the blocks of tn_dot.h, biases and what is behind the weights */
    const int8_t *weights;   /* for each row: of each block, the weights of the row's bytes */
} tn_fully_connected_rows;

#define TN_BLOCK_ENDS (TN_BLOCK_BEGIN + TN_BLOCK_END)

TN_INLINE int32_t tn_sum(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

/* Adds one row of k bytes to the sums of all channels, four a block; w are the row's weights. Gives
 * the next row's weights. */
#define tn_fully_connected_add TN_VARIANT(tn_fully_connected_add)
TN_SHARED const int8_t *tn_fully_connected_add(const int8_t *w, int32_t k, int32_t joined,
                                               int32_t out_c, const int8_t *in, int32_t *sums) {
    int8_t tail[4] = {0, 0, 0, 0};
    if ((k & 3) != 0) tn_store32(tail, tn_load_tail(in + (k & ~3), k & 3));
    for (int32_t left = out_c; left > 0; left -= 4, w += 4 * TN_PAD4(k), sums += 4) {
        int32_t row[4] = {0, 0, 0, 0};
        tn_dot_4(w, in, k >> 2, joined, row);
        if ((k & 3) != 0) tn_dot_4(w + 4 * (k & ~3), tail, 1, joined, row);
        sums[0] = tn_sum(sums[0], row[0]);
        sums[1] = tn_sum(sums[1], tn_second_sum(joined, row[0], row[1]));
        sums[2] = tn_sum(sums[2], row[2]);
        sums[3] = tn_sum(sums[3], tn_second_sum(joined, row[2], row[3]));
    }
    return w;
}

/* Takes input rows [y_begin, y_end), all of them in order over the calls of one run; the last call
 * writes the output, after it has read its rows. scratch: 4 * TN_PAD4(out_c) bytes, kept between
 * calls. */
TN_INLINE void tn_fully_connected_rows_s8(const tn_fully_connected_rows *g, tn_rows in,
                                          tn_rows out, void *scratch, int32_t y_begin,
                                          int32_t y_end) {
    int32_t *const sums = (int32_t *)scratch;
    const int32_t row_weights = TN_PAD4(g->out_c) * TN_PAD4(g->row_bytes);
    const int8_t *const ends = g->ends, *w = g->weights + y_begin * row_weights;
    if (y_begin == 0)
        for (int32_t o = 0; o < g->out_c; o += 4)
            memcpy(sums + o, ends + o / 4 * TN_BLOCK_ENDS, TN_BLOCK_BEGIN);
    for (int32_t y = y_begin; y < y_end; y++)
        w = tn_fully_connected_add(w, g->row_bytes, g->joined, g->out_c, tn_row(in, y), sums);
    if (y_end != g->rows) return;
    const int32_t clamp = tn_clamps(g->out_min, g->out_max);
    const tn_tile t = {NULL,       g->out_c,   1,                  g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize, clamp};
    for (int32_t o = 0; o < g->out_c; o += 4)
        tn_tile_store_4(&t, 0, ends + o / 4 * TN_BLOCK_ENDS + TN_BLOCK_BEGIN, o, sums + o,
                        tn_row(out, 0));
}

#endif
