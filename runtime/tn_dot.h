/* tn_dot.h: packed channel blocks and their inner products, for convolution and dense layers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Blocks: one for every two output channels a and b (a last odd channel is stored twice), 4-byte
 * aligned, one after the other:
 *   int32 bias a, bias b, multiplier a, multiplier b, shifts (int8 a, int8 b, 0, 0);
 *   K weights of each, padded with zeros to a multiple of four. Eight bytes are a group of four k:
 *   a[0] b[0] a[2] b[2]   a[1] b[1] a[3] b[3]
 * SXTB16 of a word gives a pair of channel a, SXTB16 with ROR #8 the pair of channel b, in the
 * order (k, k + 2) that the same two instructions give for four activations: a widened word pair.
 */
#ifndef TN_DOT_H
#define TN_DOT_H

#include "tn_core.h"
#include "tn_dsp.h"
#include "tn_requantize.h"

#define TN_PAD4(n) (((n) + 3) & ~3)
#define TN_BLOCK_HEADER 20
#define TN_BLOCK_BYTES(k) (TN_BLOCK_HEADER + 2 * TN_PAD4(k))

/* What computes outputs from columns: blocks, and how an accumulator becomes an int8. */
typedef struct {
    const int8_t *blocks;
    int32_t out_c;
    int32_t groups; /* groups of four k, >= 1 */
    int32_t zero_point, low, high;
    int32_t fast, clamp; /* see tn_requantize_s8 */
} tn_tile;

TN_INLINE int8_t tn_tile_output(const tn_tile *t, int32_t acc, int32_t multiplier, int32_t shift) {
    return tn_requantize_s8(acc, multiplier, shift, t->fast, t->zero_point, t->clamp, t->low,
                            t->high);
}

/* Accumulators of one pixel become the outputs of block `o / 2`. */
#define tn_tile_store_2 TN_VARIANT(tn_tile_store_2)
TN_SHARED void tn_tile_store_2(const tn_tile *t, const int8_t *block, int32_t o, int32_t a,
                               int32_t b, int8_t *out) {
    out[o] = tn_tile_output(t, a, (int32_t)tn_load32(block + 8), block[16]);
    if (o + 1 < t->out_c)
        out[o + 1] = tn_tile_output(t, b, (int32_t)tn_load32(block + 12), block[17]);
}

/* Outputs below this channel have a second one after them, and the four-instruction form with no
 * other clamp than that of an int8 does for both. */
TN_INLINE int32_t tn_tile_narrow(const tn_tile *t) {
    return t->fast != 0 && t->clamp == 0 ? t->out_c - 1 : 0;
}

TN_INLINE void tn_put_2(int8_t *out, int32_t a, int32_t b) {
    out[0] = (int8_t)a;
    out[1] = (int8_t)b;
}

/* Bytes p[0..n) as a little-endian word, n in 1..3, the rest 0. */
TN_INLINE uint32_t tn_load_tail(const int8_t *p, int32_t n) {
    uint32_t word = (uint8_t)p[0];
    if (n > 1) word |= (uint32_t)(uint8_t)p[1] << 8;
    if (n > 2) word |= (uint32_t)(uint8_t)p[2] << 16;
    return word;
}

/* acc += x * w in wrapping arithmetic. */
TN_INLINE uint32_t tn_mac(uint32_t acc, int32_t x, int32_t w) { return acc + (uint32_t)(x * w); }

/* Plain C, one column of bytes: a, b += sum over k < 4 * groups of x[k] and a block's weights. */
TN_INLINE void tn_dot_bytes(const int8_t *w, const int8_t *x, int32_t groups, int32_t *a,
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

/* ---- widened columns: n interleaved, 1 to 4, word x[n * pair + column] ------------------------- */

/* Four bytes become the two pairs of one of n columns. */
TN_INLINE void tn_widen(uint32_t *x, int32_t n, uint32_t word) {
    x[0] = tn_sxtb16(word);
    x[n] = tn_sxtb16_ror8(word);
}

/* k bytes at src become one of n columns, padded with zeros to a multiple of four. */
static TN_NOINLINE TN_UNUSED void tn_widen_run(uint32_t *x, int32_t n, const int8_t *src,
                                               int32_t k) {
    for (; k >= 4; k -= 4, src += 4, x += 2 * n) tn_widen(x, n, tn_load32(src));
    if (k > 0) tn_widen(x, n, tn_load_tail(src, k));
}

/* Four runs of n bytes, n apart from src on, become the four columns. */
#define tn_widen_4 TN_VARIANT(tn_widen_4)
TN_SHARED void tn_widen_4(uint32_t *x, const int8_t *src, int32_t n) {
    for (const int8_t *const end = src + (n & ~3); src != end; src += 4, x += 8) {
        const int8_t *const other = src + n;
        const uint32_t p = tn_load32(src), q = tn_load32(other);
        const uint32_t r = tn_load32(src + 2 * n), s = tn_load32(other + 2 * n);
        x[0] = tn_sxtb16(p), x[1] = tn_sxtb16(q), x[2] = tn_sxtb16(r), x[3] = tn_sxtb16(s);
        x[4] = tn_sxtb16_ror8(p), x[5] = tn_sxtb16_ror8(q);
        x[6] = tn_sxtb16_ror8(r), x[7] = tn_sxtb16_ror8(s);
    }
    if ((n & 3) != 0)
        for (int32_t i = 0; i < 4; i++) tn_widen(x + i, 4, tn_load_tail(src + i * n, n & 3));
}

#define TN_TILE_4_STEP(i)                                \
    do {                                                 \
        uint32_t v = tn_load32(w + 4 * (i)), u, p, q;    \
        tn_load_two(x + 4 * (i), &p, &q);                \
        u = tn_sxtb16(v);                                \
        v = tn_sxtb16_ror8(v);                           \
        a0 = tn_smlad(p, u, a0);                         \
        b0 = tn_smlad(p, v, b0);                         \
        a1 = tn_smlad(q, u, a1);                         \
        b1 = tn_smlad(q, v, b1);                         \
        tn_load_two(x + 4 * (i) + 2, &p, &q);            \
        a2 = tn_smlad(p, u, a2);                         \
        b2 = tn_smlad(p, v, b2);                         \
        a3 = tn_smlad(q, u, a3);                         \
        b3 = tn_smlad(q, v, b3);                         \
    } while (0)

/* All channels of four pixels, of which pixel i begins at out[i]. Not inlined: its registers are
 * spoken for, and one copy serves every layer. */
#define tn_tile_4 TN_VARIANT(tn_tile_4)
TN_SHARED void tn_tile_4(const tn_tile *t, const uint32_t *columns, int8_t *const *out) {
    const int32_t odd_group = t->groups & 1;
    const uint32_t *const end = columns + 8 * t->groups;
    const int32_t narrow = tn_tile_narrow(t);
    const int8_t *w = t->blocks;
    for (int32_t o = 0; o < t->out_c; o += 2) {
        const int8_t *const block = w;
        const uint32_t *x = columns;
        int32_t a0 = (int32_t)tn_load32(w), b0 = (int32_t)tn_load32(w + 4);
        int32_t a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0;
        w += TN_BLOCK_HEADER;
        if (odd_group != 0) {
            TN_TILE_4_STEP(0);
            TN_TILE_4_STEP(1);
            w += 8;
            x += 8;
        }
        while (x != end) {
            TN_TILE_4_STEP(0);
            TN_TILE_4_STEP(1);
            TN_TILE_4_STEP(2);
            TN_TILE_4_STEP(3);
            w += 16;
            x += 16;
        }
        if (o < narrow) {
            const int32_t zero_point = t->zero_point, m = (int32_t)tn_load32(block + 8);
            const int32_t s = block[16];
            a0 = tn_ssat8(tn_requantize_fast(a0, m, s, zero_point));
            a1 = tn_ssat8(tn_requantize_fast(a1, m, s, zero_point));
            a2 = tn_ssat8(tn_requantize_fast(a2, m, s, zero_point));
            a3 = tn_ssat8(tn_requantize_fast(a3, m, s, zero_point));
            const int32_t n = (int32_t)tn_load32(block + 12), r = block[17];
            b0 = tn_ssat8(tn_requantize_fast(b0, n, r, zero_point));
            b1 = tn_ssat8(tn_requantize_fast(b1, n, r, zero_point));
            b2 = tn_ssat8(tn_requantize_fast(b2, n, r, zero_point));
            b3 = tn_ssat8(tn_requantize_fast(b3, n, r, zero_point));
            tn_put_2(out[0] + o, a0, b0);
            tn_put_2(out[1] + o, a1, b1);
            tn_put_2(out[2] + o, a2, b2);
            tn_put_2(out[3] + o, a3, b3);
        } else {
            const int32_t a[4] = {a0, a1, a2, a3}, b[4] = {b0, b1, b2, b3};
            for (int32_t i = 0; i < 4; i++) tn_tile_store_2(t, block, o, a[i], b[i], out[i]);
        }
    }
}

/* A pair of weights and of n columns. */
#define TN_TILE_FEW_PAIR(i, v)                                            \
    do {                                                                  \
        const uint32_t u = tn_sxtb16(v), r = tn_sxtb16_ror8(v);           \
        uint32_t p = x[n * (i)], q = 0;                                   \
        if (n > 1) tn_load_two(x + n * (i), &p, &q);                      \
        a0 = tn_smlad(p, u, a0);                                          \
        b0 = tn_smlad(p, r, b0);                                          \
        if (n > 1) a1 = tn_smlad(q, u, a1), b1 = tn_smlad(q, r, b1);      \
        if (n > 2) p = x[n * (i) + 2];                                    \
        if (n > 2) a2 = tn_smlad(p, u, a2), b2 = tn_smlad(p, r, b2);      \
    } while (0)

/* All channels of n pixels, 1 <= n <= 3, in n columns; pixel i begins at out[i]. */
TN_INLINE void tn_tile_few(const tn_tile *t, const uint32_t *columns, int8_t *const *out,
                           int32_t n) {
    const uint32_t *const end = columns + 2 * n * t->groups;
    const int32_t narrow = tn_tile_narrow(t);
    const uint32_t *w = (const uint32_t *)(const void *)t->blocks;
    for (int32_t o = 0; o < t->out_c; o += 2) {
        const int8_t *const block = (const int8_t *)w;
        uint32_t v, z;
        tn_load_two(w, &v, &z);
        int32_t a0 = (int32_t)v, b0 = (int32_t)z, a1 = a0, a2 = a0, b1 = b0, b2 = b0;
        w += TN_BLOCK_HEADER / 4;
        for (const uint32_t *x = columns; x != end; w += 2, x += 2 * n) {
            tn_load_two(w, &v, &z);
            TN_TILE_FEW_PAIR(0, v);
            TN_TILE_FEW_PAIR(1, z);
        }
        if (n > 1 && o < narrow) {
            const int32_t zero_point = t->zero_point;
            const int32_t m = (int32_t)tn_load32(block + 8), s = block[16];
            const int32_t k = (int32_t)tn_load32(block + 12), r = block[17];
            tn_put_2(out[0] + o, tn_ssat8(tn_requantize_fast(a0, m, s, zero_point)),
                     tn_ssat8(tn_requantize_fast(b0, k, r, zero_point)));
            tn_put_2(out[1] + o, tn_ssat8(tn_requantize_fast(a1, m, s, zero_point)),
                     tn_ssat8(tn_requantize_fast(b1, k, r, zero_point)));
            if (n > 2)
                tn_put_2(out[2] + o, tn_ssat8(tn_requantize_fast(a2, m, s, zero_point)),
                         tn_ssat8(tn_requantize_fast(b2, k, r, zero_point)));
        } else {
            tn_tile_store_2(t, block, o, a0, b0, out[0]);
            if (n > 1) tn_tile_store_2(t, block, o, a1, b1, out[1]);
            if (n > 2) tn_tile_store_2(t, block, o, a2, b2, out[2]);
        }
    }
}
#define tn_tile_1 TN_VARIANT(tn_tile_1)
TN_SHARED void tn_tile_1(const tn_tile *t, const uint32_t *columns, int8_t *const *out) {
    tn_tile_few(t, columns, out, 1);
}
#define tn_tile_2 TN_VARIANT(tn_tile_2)
TN_SHARED void tn_tile_2(const tn_tile *t, const uint32_t *columns, int8_t *const *out) {
    tn_tile_few(t, columns, out, 2);
}
#define tn_tile_3 TN_VARIANT(tn_tile_3)
TN_SHARED void tn_tile_3(const tn_tile *t, const uint32_t *columns, int8_t *const *out) {
    tn_tile_few(t, columns, out, 3);
}

/* All channels of the n pixels of n columns, 1 <= n <= 4; pixel i begins at out[i]. */
static TN_NOINLINE TN_UNUSED void tn_tile_n(const tn_tile *t, const uint32_t *columns,
                                            int8_t *const *out, int32_t n) {
    if (n == 4)
        tn_tile_4(t, columns, out);
    else if (n == 3)
        tn_tile_3(t, columns, out);
    else if (n == 2)
        tn_tile_2(t, columns, out);
    else
        tn_tile_1(t, columns, out);
}

/* All channels of one pixel from a column of bytes, readable to 4 * groups; plain C. */
TN_INLINE void tn_tile_bytes(const tn_tile *t, const int8_t *column, int8_t *out) {
    const int8_t *block = t->blocks;
    for (int32_t o = 0; o < t->out_c; o += 2, block += TN_BLOCK_HEADER + 8 * t->groups) {
        int32_t a = (int32_t)tn_load32(block), b = (int32_t)tn_load32(block + 4);
        tn_dot_bytes(block + TN_BLOCK_HEADER, column, t->groups, &a, &b);
        tn_tile_store_2(t, block, o, a, b, out);
    }
}

#endif
