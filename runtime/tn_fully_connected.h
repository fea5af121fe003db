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
#include "tn_requantize.h"

typedef struct {
    int32_t batches, in_c, out_c;
    int32_t out_zero_point, out_min, out_max;
    int32_t clamp;           /* 0: out_min, out_max are -128, 127 */
    int32_t fast_requantize; /* see tn_requantize_s8 */
    int32_t per_channel;     /* 0: multiplier and shift have one element */
    const int8_t *weights;   /* packed as in tn_dot.h */
    const int32_t *bias;     /* [out_c] */
    const int32_t *multiplier;
    const int8_t *shift;
} tn_fully_connected;

TN_INLINE int8_t tn_fully_connected_output(const tn_fully_connected *g, int32_t acc, int32_t o) {
    const int32_t i = g->per_channel != 0 ? o : 0;
    return tn_requantize_s8(acc, g->multiplier[i], g->shift[i], g->fast_requantize,
                            g->out_zero_point, g->clamp, g->out_min, g->out_max);
}

#if TN_DSP

/* Pairs u, v of four activations times one group of one block. */
#define TN_FULLY_CONNECTED_GROUP(w, a, b)              \
    do {                                               \
        const uint32_t first = tn_load32(w);           \
        const uint32_t second = tn_load32((w) + 4);    \
        a = tn_smlad(u, tn_sxtb16(first), a);          \
        b = tn_smlad(u, tn_sxtb16_ror8(first), b);     \
        a = tn_smlad(v, tn_sxtb16(second), a);         \
        b = tn_smlad(v, tn_sxtb16_ror8(second), b);    \
    } while (0)

/* Two blocks, block_bytes apart: acc[0..4) += inner products over n bytes of x. */
TN_INLINE void tn_fully_connected_4(const int8_t *w, int32_t block_bytes, const int8_t *x,
                                    int32_t n, int32_t acc[4]) {
    int32_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];
    const int8_t *z = w + block_bytes;
    for (const int8_t *end = x + (n & ~3); x != end; x += 4, w += 8, z += 8) {
        const uint32_t four = tn_load32(x), u = tn_sxtb16(four), v = tn_sxtb16_ror8(four);
        TN_FULLY_CONNECTED_GROUP(w, a, b);
        TN_FULLY_CONNECTED_GROUP(z, c, d);
    }
    if ((n & 3) != 0) {
        const uint32_t four = tn_load_tail(x, n & 3), u = tn_sxtb16(four), v = tn_sxtb16_ror8(four);
        TN_FULLY_CONNECTED_GROUP(w, a, b);
        TN_FULLY_CONNECTED_GROUP(z, c, d);
    }
    acc[0] = a, acc[1] = b, acc[2] = c, acc[3] = d;
}

/* One block. */
TN_INLINE void tn_fully_connected_2(const int8_t *w, const int8_t *x, int32_t n, int32_t acc[2]) {
    int32_t a = acc[0], b = acc[1];
    for (; n > 0; n -= 4, x += 4, w += 8) {
        const uint32_t four = n >= 4 ? tn_load32(x) : tn_load_tail(x, n);
        const uint32_t u = tn_sxtb16(four), v = tn_sxtb16_ror8(four);
        TN_FULLY_CONNECTED_GROUP(w, a, b);
    }
    acc[0] = a, acc[1] = b;
}

#else

TN_INLINE void tn_fully_connected_2(const int8_t *w, const int8_t *x, int32_t n, int32_t acc[2]) {
    tn_dot_1x2_bytes(w, x, n >> 2, &acc[0], &acc[1]);
    if ((n & 3) != 0) {
        int8_t tail[4] = {0, 0, 0, 0};
        for (int32_t i = 0; i < (n & 3); i++) tail[i] = x[(n & ~3) + i];
        tn_dot_1x2_bytes(w + 2 * (n & ~3), tail, 1, &acc[0], &acc[1]);
    }
}

#endif

/* One step: y_begin 0, y_end 1 (the tensors are taken whole). */
TN_INLINE void tn_fully_connected_s8(const tn_fully_connected *g, tn_rows in, tn_rows out,
                                     int32_t y_begin, int32_t y_end) {
    const int32_t block_bytes = 2 * TN_PAD4(g->in_c);
    const int8_t *x = in.data;
    int8_t *d = out.data;
    (void)y_begin;
    (void)y_end;
    for (int32_t n = 0; n < g->batches; n++, x += g->in_c, d += g->out_c) {
        const int8_t *w = g->weights;
        int32_t o = 0;
#if TN_DSP
        for (; o + 4 <= g->out_c; o += 4, w += 2 * block_bytes) {
            int32_t acc[4] = {g->bias[o], g->bias[o + 1], g->bias[o + 2], g->bias[o + 3]};
            tn_fully_connected_4(w, block_bytes, x, g->in_c, acc);
            d[o] = tn_fully_connected_output(g, acc[0], o);
            d[o + 1] = tn_fully_connected_output(g, acc[1], o + 1);
            d[o + 2] = tn_fully_connected_output(g, acc[2], o + 2);
            d[o + 3] = tn_fully_connected_output(g, acc[3], o + 3);
        }
#endif
        for (; o < g->out_c; o += 2, w += block_bytes) {
            const int32_t p = o + 1 < g->out_c ? o + 1 : o;
            int32_t acc[2] = {g->bias[o], g->bias[p]};
            tn_fully_connected_2(w, x, g->in_c, acc);
            d[o] = tn_fully_connected_output(g, acc[0], o);
            d[p] = tn_fully_connected_output(g, acc[1], p);
        }
    }
}

#endif
