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
 *   int32 multiplier a, b, c, d, int8 shift a, b, c, d, 4 bytes; or, where requantisation is folded
 *   (fast 2, see tn_requantize_folded; then the weights are joined and the sums have offsets):
 *   int32 multiplier a, addend a, multiplier b, multiplier c, addend c, multiplier d
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
    int32_t fast, clamp; /* see tn_requantize_s8; fast 2: folded */
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

/* Sums of a block become the outputs of channels o, o + 1, ... `end`: what is behind its
 * weights. */
TN_INLINE void tn_tile_store_4(const tn_tile *t, int32_t joined, const int8_t *end, int32_t o,
                               const int32_t *sums, int8_t *out) {
    if (t->fast == 2) {
        for (int32_t i = 0; i < 4 && o + i < t->out_c; i += 2, end += 12) {
            const int32_t m = (int32_t)tn_load32(end), n = (int32_t)tn_load32(end + 8);
            const int32_t second = (int32_t)((uint32_t)sums[i + 1] - (uint32_t)sums[i]);
            out[o + i] = tn_requantize_folded(sums[i], m, (int32_t)tn_load32(end + 4));
            if (o + i + 1 < t->out_c) out[o + i + 1] = tn_requantize_folded_256(second, n);
        }
        return;
    }
    for (int32_t i = 0; i < 4 && o + i < t->out_c; i++) {
        const int32_t sum = (i & 1) != 0 ? tn_second_sum(joined, sums[i - 1], sums[i]) : sums[i];
        out[o + i] = tn_tile_output(t, sum, (int32_t)tn_load32(end + 4 * i), end[16 + i]);
    }
}

#if TN_DSP

/* sums += those over k < 4 * groups of x[k] and a block's weights. */
TN_INLINE void tn_dot_4(const int8_t *w, const int8_t *x, int32_t groups, int32_t joined,
                        int32_t *sums) {
    int32_t a = sums[0], ab = sums[1], c = sums[2], cd = sums[3];
    for (const int8_t *end = x + 4 * groups; x != end; x += 4, w += 16) {
        const uint32_t four = tn_load32(x);
        uint32_t p = tn_load32(w), q = tn_load32(w + 4);
        uint32_t r = tn_load32(w + 8), s = tn_load32(w + 12);
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

#if defined(__ARM_ARCH_6M__)
#include "tn_dot_armv6m.h"
#endif

typedef int16_t __attribute__((may_alias)) tn_joined_weights;

TN_INLINE void tn_dot_4(const int8_t *w, const int8_t *x, int32_t groups, int32_t joined,
                        int32_t *sums) {
    const int8_t *const begin = x, *const end = x + 4 * groups;
    for (int32_t pair = 0; pair < 2; pair++, w += 4 - 16 * groups, x = begin, sums += 2) {
#if defined(__ARM_ARCH_6M__)
        if (joined != 0 && ((uintptr_t)x & 3u) == 0 && x != end) {
            tn_dot_joined(w, x, end, (uint32_t *)sums);
            w += 16 * groups;
            continue;
        }
#endif
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

/* ---- widened columns: two interleaved, word x[2 * pair + column] ----------------------------- */

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

/* n bytes at p and at q become the columns, padded with zeros to a multiple of four. */
#define tn_widen_2 TN_VARIANT(tn_widen_2)
TN_SHARED void tn_widen_2(uint32_t *x, const int8_t *p, const int8_t *q, int32_t n) {
    for (const int8_t *const end = p + (n & ~3); p != end; p += 4, q += 4, x += 4)
        tn_widen_both(x, tn_load32(p), tn_load32(q));
    if ((n & 3) != 0) tn_widen_both(x, tn_load_tail(p, n & 3), tn_load_tail(q, n & 3));
}

/* ---- tiles: layers that are `fast` and `joined` ---------------------------------------------- */

/* Pairs of output pixels next to each other, and where their columns come from: `runs` runs of
 * `width` bytes, a multiple of four, and where `last` is not NULL the byte behind each. Two such
 * bytes, of both pixels, lie side by side and become two pairs that follow those of the runs.
 * What of a column is not gathered is in place before. tn_dot_armv7em.h knows the order of the
 * fields. */
typedef struct {
    uint32_t *columns;      /* two, widened; 4-byte aligned */
    int8_t *out;            /* of the first pixel */
    int32_t apart;          /* from the outputs of a pixel to those of the next */
    int32_t pairs;          /* >= 1; counts down */
    int32_t runs;           /* 0 where columns are in place, of one pair */
    const int8_t *base;     /* of the first run of the first pixel; moves on */
    int32_t next;           /* from a pixel's bytes to the next pixel's */
    uint32_t *gathered;     /* where in columns the runs go */
    int32_t width;
    int32_t *skips;         /* from behind the `width` of a run to the next run */
    int8_t *last;           /* where in lasts the bytes behind the runs go */
    int8_t *lasts;          /* such bytes of all runs of two columns; 4-byte aligned */
    int32_t last_words;     /* of them */
    uint32_t *last_columns; /* where in columns they go */
} tn_pairs;

#if TN_DSP_NATIVE

#include "tn_dot_armv7em.h"

#else

/* The columns of the next pair. */
TN_INLINE void tn_gather_pair(tn_pairs *p) {
    const int8_t *source = p->base;
    uint32_t *x = p->gathered;
    if (p->runs == 0) return;
    for (int32_t i = 0; i < p->runs; i++, x += p->width) {
        if (i > 0) source += p->width + p->skips[i - 1];
        tn_widen_2(x, source, source + p->next, p->width);
        if (p->last != NULL) {
            p->last[2 * i] = source[p->width];
            p->last[2 * i + 1] = source[p->width + p->next];
        }
    }
    for (int32_t i = 0; p->last != NULL && i < p->last_words; i++) {
        const uint32_t word = tn_load32(p->lasts + 4 * i);
        p->last_columns[2 * i] = tn_sxtb16(word);
        p->last_columns[2 * i + 1] = tn_sxtb16_ror8(word);
    }
    p->base += 2 * p->next;
}

/* All channels of pairs of pixels. */
TN_INLINE void tn_tile_2(const tn_tile *t, tn_pairs *p) {
    for (int8_t *out = p->out; p->pairs > 0; p->pairs--, out += 2 * p->apart) {
        const uint32_t *w = (const uint32_t *)(const void *)t->blocks;
        tn_gather_pair(p);
        for (int32_t o = 0; o < t->out_c; o += 4, w += TN_BLOCK_END / 4) {
            int32_t sums[2][4];
            for (int32_t i = 0; i < 4; i++) sums[0][i] = sums[1][i] = (int32_t)w[i];
            w += TN_BLOCK_BEGIN / 4;
            for (const uint32_t *x = p->columns; x != p->columns + 4 * t->groups; x += 2, w += 2)
                for (int32_t i = 0; i < 2; i++) {
                    sums[i][0] = tn_smlad(x[i], tn_sxtb16(w[0]), sums[i][0]);
                    sums[i][1] = tn_smlad(x[i], w[0], sums[i][1]);
                    sums[i][2] = tn_smlad(x[i], tn_sxtb16(w[1]), sums[i][2]);
                    sums[i][3] = tn_smlad(x[i], w[1], sums[i][3]);
                }
            for (int32_t i = 0; i < 2; i++)
                tn_tile_store_4(t, 1, (const int8_t *)w, o, sums[i], out + i * p->apart);
        }
    }
}

/* All channels of one pixel from a column of bytes, readable to 4 * groups. */
TN_INLINE void tn_tile_1(const tn_tile *t, const int8_t *column, int8_t *out) {
    tn_tile_bytes(t, 1, column, out);
}

#endif
#endif

/* All channels of one pixel from a column of bytes, readable to 4 * groups. tiles 0: of any
 * layer, not only those of tiles. */
TN_INLINE void tn_tile_column(const tn_tile *t, int32_t tiles, int32_t joined,
                              const int8_t *column, int8_t *out) {
#if TN_DSP
    if (tiles != 0) {
        tn_tile_1(t, column, out);
        return;
    }
#endif
    (void)tiles;
    tn_tile_bytes(t, joined, column, out);
}

#endif
