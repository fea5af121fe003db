/* tn_dot.h: inner products over packed weights, shared by convolution and dense layers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights: output channels in blocks of two (a last odd channel is stored twice), K padded
 * with zeros to a multiple of four. Eight bytes are one group of four k of both channels a and b:
 *   a[0] b[0] a[2] b[2]   a[1] b[1] a[3] b[3]
 * SXTB16 of a word gives a pair of channel a, SXTB16 with ROR #8 the pair of channel b, in the
 * order (k, k + 2) that the same two instructions give for four activations: a widened word pair.
 */
#ifndef TN_DOT_H
#define TN_DOT_H

#include "tn_core.h"
#include "tn_dsp.h"

#define TN_PAD4(n) (((n) + 3) & ~3)

/* Bytes p[0..n) as a little-endian word, n in 1..3, the rest 0. */
TN_INLINE uint32_t tn_load_tail(const int8_t *p, int32_t n) {
    uint32_t word = (uint8_t)p[0];
    if (n > 1) word |= (uint32_t)(uint8_t)p[1] << 8;
    if (n > 2) word |= (uint32_t)(uint8_t)p[2] << 16;
    return word;
}

/* acc += x * w in wrapping arithmetic. */
TN_INLINE uint32_t tn_mac(uint32_t acc, int32_t x, int32_t w) { return acc + (uint32_t)(x * w); }

/* One column, one block, plain C: a, b += sum over k < 4 * groups. x is readable to 4 * groups. */
TN_INLINE void tn_dot_1x2_bytes(const int8_t *w, const int8_t *x, int32_t groups, int32_t *a,
                                int32_t *b) {
    uint32_t sa = (uint32_t)*a, sb = (uint32_t)*b;
    for (const int8_t *end = x + 4 * groups; x != end; x += 4, w += 8) {
        sa = tn_mac(sa, x[0], w[0]);
        sb = tn_mac(sb, x[0], w[1]);
        sa = tn_mac(sa, x[2], w[2]);
        sb = tn_mac(sb, x[2], w[3]);
        sa = tn_mac(sa, x[1], w[4]);
        sb = tn_mac(sb, x[1], w[5]);
        sa = tn_mac(sa, x[3], w[6]);
        sb = tn_mac(sb, x[3], w[7]);
    }
    *a = (int32_t)sa;
    *b = (int32_t)sb;
}

/* ---- widened columns: four interleaved, word x[4 * pair + column] ---------------------------- */

/* Four bytes become the two pairs of one column. */
TN_INLINE void tn_widen(uint32_t *x, uint32_t word) {
    x[0] = tn_sxtb16(word);
    x[4] = tn_sxtb16_ror8(word);
}

/* n bytes at src become one column, padded with zeros to a multiple of four. */
TN_INLINE void tn_widen_run(uint32_t *x, const int8_t *src, int32_t n) {
    for (; n >= 4; n -= 4, src += 4, x += 8) tn_widen(x, tn_load32(src));
    if (n > 0) tn_widen(x, tn_load_tail(src, n));
}

#define TN_DOT_4X2_STEP(i)                                            \
    do {                                                              \
        uint32_t v = tn_load32(w + 4 * (i)), u, p, q;                 \
        tn_load_two(x + 4 * (i), &p, &q);                             \
        u = tn_sxtb16(v);                                             \
        v = tn_sxtb16_ror8(v);                                        \
        a0 = tn_smlad(p, u, a0);                                      \
        b0 = tn_smlad(p, v, b0);                                      \
        a1 = tn_smlad(q, u, a1);                                      \
        b1 = tn_smlad(q, v, b1);                                      \
        tn_load_two(x + 4 * (i) + 2, &p, &q);                         \
        a2 = tn_smlad(p, u, a2);                                      \
        b2 = tn_smlad(p, v, b2);                                      \
        a3 = tn_smlad(q, u, a3);                                      \
        b3 = tn_smlad(q, v, b3);                                      \
    } while (0)

/* Four columns, one block: a[i], b[i] = bias + sum over `groups` >= 1 groups. */
TN_INLINE void tn_dot_4x2(const int8_t *w, const uint32_t *x, int32_t groups, int32_t bias_a,
                          int32_t bias_b, int32_t *a, int32_t *b) {
    int32_t a0 = bias_a, a1 = bias_a, a2 = bias_a, a3 = bias_a;
    int32_t b0 = bias_b, b1 = bias_b, b2 = bias_b, b3 = bias_b;
    const uint32_t *const end = x + 8 * groups;
    if ((groups & 1) != 0) {
        TN_DOT_4X2_STEP(0);
        TN_DOT_4X2_STEP(1);
        w += 8;
        x += 8;
    }
    while (x != end) {
        TN_DOT_4X2_STEP(0);
        TN_DOT_4X2_STEP(1);
        TN_DOT_4X2_STEP(2);
        TN_DOT_4X2_STEP(3);
        w += 16;
        x += 16;
    }
    a[0] = a0, a[1] = a1, a[2] = a2, a[3] = a3;
    b[0] = b0, b[1] = b1, b[2] = b2, b[3] = b3;
}

/* The first of the four columns, one block. */
TN_INLINE void tn_dot_1x2(const int8_t *w, const uint32_t *x, int32_t groups, int32_t *a,
                          int32_t *b) {
    int32_t sa = *a, sb = *b;
    for (const uint32_t *end = x + 8 * groups; x != end; x += 8, w += 8) {
        const uint32_t v0 = tn_load32(w), v1 = tn_load32(w + 4);
        sa = tn_smlad(x[0], tn_sxtb16(v0), sa);
        sb = tn_smlad(x[0], tn_sxtb16_ror8(v0), sb);
        sa = tn_smlad(x[4], tn_sxtb16(v1), sa);
        sb = tn_smlad(x[4], tn_sxtb16_ror8(v1), sb);
    }
    *a = sa;
    *b = sb;
}

#endif
