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
    int32_t fast_requantize; /* see tn_requantize_s8 */
    int32_t joined;          /* see tn_dot.h */
    const int8_t *blocks;    /* as in tn_dot.h */
} tn_fully_connected;

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
    const tn_tile t = {g->blocks,  g->out_c,   TN_PAD4(g->in_c) / 4, g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize,   tn_clamps(g->out_min, g->out_max)};
    (void)y_begin;
    (void)y_end;
    const int8_t *x = in.data;
    int8_t *y = out.data;
    for (int32_t n = 0; n < g->batches; n++, x += g->in_c, y += g->out_c) {
        if ((g->in_c & 3) == 0)
            tn_tile_column(&t, g->joined, x, y);
        else
            tn_fully_connected_tail(&t, g->joined, g->in_c, x, y);
    }
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
    const tn_tile t = {NULL,       g->out_c,   1,                  g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize, tn_clamps(g->out_min, g->out_max)};
    for (int32_t o = 0; o < g->out_c; o += 4)
        tn_tile_store_4(&t, 0, ends + o / 4 * TN_BLOCK_ENDS + TN_BLOCK_BEGIN, o, sums + o,
                        tn_row(out, 0));
}

#endif
