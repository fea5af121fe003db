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
    const int8_t *blocks;    /* as in tn_dot.h */
} tn_fully_connected;

#if TN_DSP

/* Four activations times a group of block w (a, b) and of block z (c, d). */
#define TN_FULLY_CONNECTED_STEP(FOUR, i)                                                        \
    do {                                                                                        \
        const uint32_t four = (FOUR);                                                           \
        uint32_t first = tn_load32(w + (i)), second = tn_load32(w + (i) + 4), weights;          \
        const uint32_t u = tn_sxtb16(four), v = tn_sxtb16_ror8(four);                           \
        weights = tn_sxtb16(first);                                                             \
        a = tn_smlad(u, weights, a);                                                            \
        weights = tn_sxtb16_ror8(first);                                                        \
        b = tn_smlad(u, weights, b);                                                            \
        weights = tn_sxtb16(second);                                                            \
        a = tn_smlad(v, weights, a);                                                            \
        weights = tn_sxtb16_ror8(second);                                                       \
        b = tn_smlad(v, weights, b);                                                            \
        first = tn_load32(z + (i)), second = tn_load32(z + (i) + 4);                            \
        weights = tn_sxtb16(first);                                                             \
        c = tn_smlad(u, weights, c);                                                            \
        weights = tn_sxtb16_ror8(first);                                                        \
        d = tn_smlad(u, weights, d);                                                            \
        weights = tn_sxtb16(second);                                                            \
        c = tn_smlad(v, weights, c);                                                            \
        weights = tn_sxtb16_ror8(second);                                                       \
        d = tn_smlad(v, weights, d);                                                            \
    } while (0)

/* All outputs of one batch: two blocks at a time, then one. */
#define tn_fully_connected_row TN_VARIANT(tn_fully_connected_row)
TN_SHARED void tn_fully_connected_row(const tn_tile *t, int32_t k,
                                      const int8_t *in, int8_t *out) {
    const int32_t block_bytes = TN_BLOCK_BYTES(k);
    const int32_t usual = t->fast != 0 && t->clamp == 0;
    const int8_t *block = t->blocks;
    for (int32_t o = 0; o < t->out_c; o += 4, block += 2 * block_bytes) {
        const int32_t two = o + 2 < t->out_c;
        const int8_t *const other = two ? block + block_bytes : block;
        const int8_t *w = block, *z = other, *x = in;
        int32_t a = (int32_t)tn_load32(w), b = (int32_t)tn_load32(w + 4);
        int32_t c = (int32_t)tn_load32(z), d = (int32_t)tn_load32(z + 4);
        w += TN_BLOCK_HEADER, z += TN_BLOCK_HEADER;
        if ((k & 4) != 0) {
            TN_FULLY_CONNECTED_STEP(tn_load32(x), 0);
            x += 4, w += 8, z += 8;
        }
        for (const int8_t *end = in + (k & ~3); x != end; x += 8, w += 16, z += 16) {
            TN_FULLY_CONNECTED_STEP(tn_load32(x), 0);
            TN_FULLY_CONNECTED_STEP(tn_load32(x + 4), 8);
        }
        if ((k & 3) != 0) TN_FULLY_CONNECTED_STEP(tn_load_tail(x, k & 3), 0);
        if (usual && o + 4 <= t->out_c) {
            const int32_t zero_point = t->zero_point;
            a = tn_requantize_fast(a, (int32_t)tn_load32(block + 8), block[16], zero_point);
            b = tn_requantize_fast(b, (int32_t)tn_load32(block + 12), block[17], zero_point);
            c = tn_requantize_fast(c, (int32_t)tn_load32(other + 8), other[16], zero_point);
            d = tn_requantize_fast(d, (int32_t)tn_load32(other + 12), other[17], zero_point);
            out[o] = (int8_t)tn_ssat8(a);
            out[o + 1] = (int8_t)tn_ssat8(b);
            out[o + 2] = (int8_t)tn_ssat8(c);
            out[o + 3] = (int8_t)tn_ssat8(d);
        } else {
            tn_tile_store_2(t, block, o, a, b, out);
            if (two) tn_tile_store_2(t, other, o + 2, c, d, out);
        }
    }
}

#else

TN_INLINE void tn_fully_connected_row(const tn_tile *t, int32_t k, const int8_t *in, int8_t *out) {
    const int8_t *block = t->blocks;
    for (int32_t o = 0; o < t->out_c; o += 2, block += TN_BLOCK_BYTES(k)) {
        int32_t a = (int32_t)tn_load32(block), b = (int32_t)tn_load32(block + 4);
        const int8_t *w = block + TN_BLOCK_HEADER;
        tn_dot_bytes(w, in, k >> 2, &a, &b);
        if ((k & 3) != 0) {
            int8_t tail[4] = {0, 0, 0, 0};
            for (int32_t i = 0; i < (k & 3); i++) tail[i] = in[(k & ~3) + i];
            tn_dot_bytes(w + 2 * (k & ~3), tail, 1, &a, &b);
        }
        tn_tile_store_2(t, block, o, a, b, out);
    }
}

#endif

/* One step: y_begin 0, y_end 1 (the tensors are taken whole). */
TN_INLINE void tn_fully_connected_s8(const tn_fully_connected *g, tn_rows in, tn_rows out,
                                     int32_t y_begin, int32_t y_end) {
    const tn_tile t = {g->blocks,  g->out_c,   TN_PAD4(g->in_c) / 4, g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize,   tn_clamps(g->out_min, g->out_max)};
    (void)y_begin;
    (void)y_end;
    for (int32_t n = 0; n < g->batches; n++)
        tn_fully_connected_row(&t, g->in_c, in.data + n * g->in_c, out.data + n * g->out_c);
}

/* ---- from rows as they come ------------------------------------------------------------------ */

/* The input is `rows` rows of `row_bytes` bytes: in_c = rows * row_bytes, a batch of one. */
typedef struct {
    int32_t rows, row_bytes, out_c;
    int32_t out_zero_point, out_min, out_max;
    int32_t fast_requantize; /* see tn_requantize_s8 */
    const int8_t *headers;   /* of the blocks of tn_dot.h, without the weights */
    const int8_t *weights;   /* for each row: of each block, the weights of the row's bytes */
} tn_fully_connected_rows;

/* Adds one row of k bytes to the accumulators; w are the row's weights. With an odd number of
 * blocks the last two accumulators take rubbish. Gives the next row's weights. */
#define tn_fully_connected_add TN_VARIANT(tn_fully_connected_add)
TN_SHARED const int8_t *tn_fully_connected_add(const int8_t *w, int32_t k, int32_t out_c,
                                               const int8_t *in, int32_t *acc) {
#if TN_DSP
    for (int32_t left = out_c; left > 0; left -= 4, acc += 4) {
        const int8_t *z = left > 2 ? w + 2 * TN_PAD4(k) : w;
        const int8_t *x = in;
        int32_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];
        for (const int8_t *end = in + (k & ~3); x != end; x += 4, w += 8, z += 8)
            TN_FULLY_CONNECTED_STEP(tn_load32(x), 0);
        if ((k & 3) != 0) {
            TN_FULLY_CONNECTED_STEP(tn_load_tail(x, k & 3), 0);
            z += 8;
        }
        acc[0] = a, acc[1] = b, acc[2] = c, acc[3] = d;
        w = z;
    }
#else
    for (int32_t left = out_c; left > 0; left -= 2, acc += 2, w += 2 * TN_PAD4(k)) {
        tn_dot_bytes(w, in, k >> 2, acc, acc + 1);
        if ((k & 3) != 0) {
            int8_t tail[4] = {0, 0, 0, 0};
            for (int32_t i = 0; i < (k & 3); i++) tail[i] = in[(k & ~3) + i];
            tn_dot_bytes(w + 2 * (k & ~3), tail, 1, acc, acc + 1);
        }
    }
#endif
    return w;
}

/* Takes input rows [y_begin, y_end), all of them in order over the calls of one run; the last call
 * writes the output, after it has read its rows. scratch: 4 * TN_PAD4(out_c) bytes, kept between
 * calls. */
TN_INLINE void tn_fully_connected_rows_s8(const tn_fully_connected_rows *g, tn_rows in,
                                          tn_rows out, void *scratch, int32_t y_begin,
                                          int32_t y_end) {
    int32_t *const acc = (int32_t *)scratch;
    const int32_t row_weights = ((g->out_c + 1) & ~1) * TN_PAD4(g->row_bytes);
    const int8_t *const headers = g->headers, *w = g->weights + y_begin * row_weights;
    if (y_begin == 0) {
        memset(acc, 0, (size_t)TN_PAD4(g->out_c) * sizeof *acc);
        for (int32_t o = 0; o < g->out_c; o += 2)
            memcpy(acc + o, headers + o / 2 * TN_BLOCK_HEADER, 2 * sizeof *acc);
    }
    for (int32_t y = y_begin; y < y_end; y++)
        w = tn_fully_connected_add(w, g->row_bytes, g->out_c, tn_row(in, y), acc);
    if (y_end != g->rows) return;
    const tn_tile t = {g->headers, g->out_c,   1,                  g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize, tn_clamps(g->out_min, g->out_max)};
    for (int32_t o = 0; o < g->out_c; o += 2)
        tn_tile_store_2(&t, headers + o / 2 * TN_BLOCK_HEADER, o, acc[o], acc[o + 1],
                        tn_row(out, 0));
}

#endif
