/* tn_dot.h: packed channel blocks and their inner products, for convolution and dense layers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Blocks: one for every four output channels a, b, c, d (channels that lack are zeros), 4-byte
 * aligned, one after the other:
 *   int32 a, ab, c, cd: what the sums below begin with
 *   weights, padded with zeros to K a multiple of four. 16 bytes are a group of four k, four words:
 *     ab[0] ab[2]   cd[0] cd[2]   ab[1] ab[3]   cd[1] cd[3]
 *   of int16 256 * b + a, modulo 2^16: the weights of two channels, joined
 *   int32 multiplier a, b, c, d, int16 shift a, b, c, d
 * SXTB16 of a word gives the weights of channel a (or c) alone. The word as it is gives the sum of
 * x * (256 * b + a); less that of channel a it is 256 times that of channel b. Where that is exact
 * (`joined` 1: every 256 * b + a is an int16, and 256 times a sum with its bias, of any x, is an
 * int32), `ab` begins with bias a + 256 * bias b; otherwise (`joined` 0) b is taken out of each
 * word and `ab` is bias b. The order (k, k + 2) is that of SXTB16 and SXTB16 with ROR #8 of four
 * activations.
 */
#ifndef TN_DOT_H
#define TN_DOT_H

#include "tn_core.h"
#include "tn_dsp.h"
#include "tn_requantize.h"

#define TN_PAD4(n) (((n) + 3) & ~3)
#define TN_BLOCK_BEGIN 16 /* bytes before the weights */
#define TN_BLOCK_END 24   /* and behind them */
#define TN_BLOCK_BYTES(k) (TN_BLOCK_BEGIN + 4 * TN_PAD4(k) + TN_BLOCK_END)

/* Multipliers and shifts of two channels: bias a, bias b, multiplier a, multiplier b, shifts (int8
 * a, int8 b, 0, 0). Of the depthwise kernels' groups. */
#define TN_BLOCK_HEADER 20

/* What computes outputs from columns: blocks, and how an accumulator becomes an int8.
 * tn_dot_armv7em.h knows the order of the fields. */
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

/* acc += x * w in wrapping arithmetic. */
TN_INLINE uint32_t tn_mac(uint32_t acc, int32_t x, int32_t w) { return acc + (uint32_t)(x * w); }

/* The sum of channel b from the sums of a and ab. */
TN_INLINE int32_t tn_second_sum(int32_t joined, int32_t a, int32_t ab) {
    return joined != 0 ? (int32_t)((uint32_t)ab - (uint32_t)a) >> 8 : ab;
}

/* Sums of a block become the outputs of channels o, o + 1, ... `end`: what is behind its weights. */
TN_INLINE void tn_tile_store_4(const tn_tile *t, int32_t joined, const int8_t *end, int32_t o,
                               const int32_t *sums, int8_t *out) {
    for (int32_t i = 0; i < 4 && o + i < t->out_c; i++) {
        const int32_t sum = (i & 1) != 0 ? tn_second_sum(joined, sums[i - 1], sums[i]) : sums[i];
        const int8_t *const p = end + 16 + 2 * i; /* two bytes, the shift or addend */
        const int32_t shift = p[1] * 256 + (uint8_t)p[0];
        out[o + i] = tn_tile_output(t, sum, (int32_t)tn_load32(end + 4 * i), shift);
    }
}

#if TN_DSP

/* sums += those over k < 4 * groups of x[k] and a block's weights. */
TN_INLINE void tn_dot_4(const int8_t *w, const int8_t *x, int32_t groups, int32_t joined,
                        int32_t *sums) {
    int32_t a = sums[0], ab = sums[1], c = sums[2], cd = sums[3];
    for (const int8_t *end = x + 4 * groups; x != end; x += 4, w += 16) {
        const uint32_t four = tn_load32(x);
        uint32_t p = tn_load32(w), q = tn_load32(w + 4), r = tn_load32(w + 8), s = tn_load32(w + 12);
        const uint32_t u = tn_sxtb16(four), v = tn_sxtb16_ror8(four);
        if (joined == 0) { /* words of channels b and d alone */
            a = tn_smlad(u, tn_sxtb16(p), a), p = tn_sxtb16_ror8(tn_ssub16(p, tn_sxtb16(p)));
            c = tn_smlad(u, tn_sxtb16(q), c), q = tn_sxtb16_ror8(tn_ssub16(q, tn_sxtb16(q)));
            a = tn_smlad(v, tn_sxtb16(r), a), r = tn_sxtb16_ror8(tn_ssub16(r, tn_sxtb16(r)));
            c = tn_smlad(v, tn_sxtb16(s), c), s = tn_sxtb16_ror8(tn_ssub16(s, tn_sxtb16(s)));
        }
        ab = tn_smlad(u, p, ab);
        cd = tn_smlad(u, q, cd);
        ab = tn_smlad(v, r, ab);
        cd = tn_smlad(v, s, cd);
        if (joined != 0) {
            a = tn_smlad(u, tn_sxtb16(p), a);
            c = tn_smlad(u, tn_sxtb16(q), c);
            a = tn_smlad(v, tn_sxtb16(r), a);
            c = tn_smlad(v, tn_sxtb16(s), c);
        }
    }
    sums[0] = a, sums[1] = ab, sums[2] = c, sums[3] = cd;
}

#else

typedef int16_t __attribute__((may_alias)) tn_joined_weights;

TN_INLINE void tn_dot_4(const int8_t *w, const int8_t *x, int32_t groups, int32_t joined,
                        int32_t *sums) {
    const int8_t *const begin = x, *const end = x + 4 * groups;
    for (int32_t pair = 0; pair < 2; pair++, w += 4 - 16 * groups, x = begin, sums += 2) {
        uint32_t a = (uint32_t)sums[0], ab = (uint32_t)sums[1];
        for (; x != end; x += 4, w += 16) {
#pragma GCC unroll 4
            for (int32_t i = 0; i < 4; i++) { /* k in the order 0, 2, 1, 3 */
                const int8_t *const p = w + 4 * (i & 2) + 2 * (i & 1);
                const int32_t both = *(const tn_joined_weights *)(const void *)p;
                const int32_t y = x[2 * (i & 1) + (i >> 1)];
                a = tn_mac(a, y, *p);
                ab = tn_mac(ab, y, joined != 0 ? both : (int16_t)(both - *p) >> 8);
            }
        }
        sums[0] = (int32_t)a, sums[1] = (int32_t)ab;
    }
}

#endif

/* All channels of one pixel from a column of bytes, readable to 4 * groups. Any layer. */
#define tn_tile_bytes TN_VARIANT(tn_tile_bytes)
TN_SHARED void tn_tile_bytes(const tn_tile *t, int32_t joined, const int8_t *column, int8_t *out) {
    const int8_t *block = t->blocks;
    for (int32_t o = 0; o < t->out_c; o += 4) {
        int32_t sums[4];
        memcpy(sums, block, sizeof sums);
        block += TN_BLOCK_BEGIN;
        tn_dot_4(block, column, t->groups, joined, sums);
        block += 16 * t->groups;
        tn_tile_store_4(t, joined, block, o, sums, out);
        block += TN_BLOCK_END;
    }
}

/* Bytes p[0..n) as a little-endian word, n in 1..3, the rest 0. */
TN_INLINE uint32_t tn_load_tail(const int8_t *p, int32_t n) {
    uint32_t word = (uint8_t)p[0];
    if (n > 1) word |= (uint32_t)(uint8_t)p[1] << 8;
    if (n > 2) word |= (uint32_t)(uint8_t)p[2] << 16;
    return word;
}

#if TN_DSP

/* ---- widened columns: two interleaved, word x[2 * pair + column] -------------------------------- */

/* Four bytes become the two pairs of one of two columns. */
TN_INLINE void tn_widen(uint32_t *x, uint32_t word) {
    x[0] = tn_sxtb16(word);
    x[2] = tn_sxtb16_ror8(word);
}

/* Four bytes each become the two pairs of both columns. */
TN_INLINE void tn_widen_both(uint32_t *x, uint32_t p, uint32_t q) {
    x[0] = tn_sxtb16(p), x[1] = tn_sxtb16(q);
    x[2] = tn_sxtb16_ror8(p), x[3] = tn_sxtb16_ror8(q);
}

/* Eight bytes at *p and at *q become four pairs of both columns; all pointers move on. */
TN_INLINE void tn_widen_eight(uint32_t **x, const int8_t **p, const int8_t **q) {
#if TN_DSP_NATIVE
    uint32_t a, b, c, d, e, f, g, h;
    __asm__ volatile(
        "ldr %3, [%1], #4\n ldr %4, [%2], #4\n ldr %5, [%1], #4\n ldr %6, [%2], #4\n"
        "sxtb16 %7, %3\n sxtb16 %8, %4\n sxtb16 %3, %3, ror #8\n sxtb16 %4, %4, ror #8\n"
        "sxtb16 %9, %5\n sxtb16 %10, %6\n sxtb16 %5, %5, ror #8\n sxtb16 %6, %6, ror #8\n"
        "str %7, [%0], #4\n str %8, [%0], #4\n str %3, [%0], #4\n str %4, [%0], #4\n"
        "str %9, [%0], #4\n str %10, [%0], #4\n str %5, [%0], #4\n str %6, [%0], #4"
        : "+&r"(*x), "+&r"(*p), "+&r"(*q), "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "=&r"(e),
          "=&r"(f), "=&r"(g), "=&r"(h)
        :
        : "memory");
#else
    tn_widen_both(*x, tn_load32(*p), tn_load32(*q));
    tn_widen_both(*x + 4, tn_load32(*p + 4), tn_load32(*q + 4));
    *x += 8, *p += 8, *q += 8;
#endif
}

/* n bytes at p and at q become the columns, padded with zeros to a multiple of four. */
#define tn_widen_2 TN_VARIANT(tn_widen_2)
TN_SHARED void tn_widen_2(uint32_t *x, const int8_t *p, const int8_t *q, int32_t n) {
    for (const int8_t *const end = p + (n & ~7); p != end;) tn_widen_eight(&x, &p, &q);
    if ((n & 4) != 0) {
        tn_widen_both(x, tn_load32(p), tn_load32(q));
        p += 4, q += 4, x += 4;
    }
    if ((n & 3) != 0) tn_widen_both(x, tn_load_tail(p, n & 3), tn_load_tail(q, n & 3));
}

/* ---- tiles: layers that are `fast` and `joined` -------------------------------------------------- */

#if TN_DSP_NATIVE

#include "tn_dot_armv7em.h"

#else

/* All channels of two pixels from widened columns. */
TN_INLINE void tn_tile_2(const tn_tile *t, const uint32_t *columns, int8_t *out, int8_t *other) {
    const uint32_t *w = (const uint32_t *)(const void *)t->blocks;
    int8_t *const outs[2] = {out, other};
    for (int32_t o = 0; o < t->out_c; o += 4, w += TN_BLOCK_END / 4) {
        int32_t sums[2][4];
        for (int32_t i = 0; i < 4; i++) sums[0][i] = sums[1][i] = (int32_t)w[i];
        w += TN_BLOCK_BEGIN / 4;
        for (const uint32_t *x = columns; x != columns + 4 * t->groups; x += 2, w += 2)
            for (int32_t i = 0; i < 2; i++) {
                sums[i][0] = tn_smlad(x[i], tn_sxtb16(w[0]), sums[i][0]);
                sums[i][1] = tn_smlad(x[i], w[0], sums[i][1]);
                sums[i][2] = tn_smlad(x[i], tn_sxtb16(w[1]), sums[i][2]);
                sums[i][3] = tn_smlad(x[i], w[1], sums[i][3]);
            }
        for (int32_t i = 0; i < 2; i++)
            tn_tile_store_4(t, 1, (const int8_t *)w, o, sums[i], outs[i]);
    }
}

/* All channels of one pixel from a column of bytes, readable to 4 * groups. */
TN_INLINE void tn_tile_1(const tn_tile *t, const int8_t *column, int8_t *out) {
    tn_tile_bytes(t, 1, column, out);
}

#endif
#endif

/* All channels of one pixel from a column of bytes, readable to 4 * groups. */
TN_INLINE void tn_tile_column(const tn_tile *t, int32_t joined, const int8_t *column, int8_t *out) {
#if TN_DSP
    if (t->fast != 0 && joined != 0)
        tn_tile_1(t, column, out);
    else
#endif
        tn_tile_bytes(t, joined, column, out);
}

#endif
