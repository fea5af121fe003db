/* tn_depthwise_conv_2d.h: DEPTHWISE_CONV_2D, int8, any channel multiplier.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[ky][kx][o] * in[y*sh - pt + ky*dh][...][o / m]);
 * a tap outside the input has the value in_zero_point. The input's zero point is folded into bias.
 * Output row y may lie over input rows that no output row >= y reads.
 *
 * There are two forms, of which `window` tells one.
 *
 * A pixel at a time (window 0, any geometry). For each pixel a table in scratch holds the offset
 * from in.data of each input pixel under the window; outside the input it leads to a run of
 * in_zero_point, also in scratch. So scratch and input lie within 2 GiB of each other (they share
 * the arena). Groups: one for every four output channels c (missing ones of the last repeat the
 * last channel), 4-byte aligned: a header as in tn_dot.h for channels c, c + 2, one for c + 1,
 * c + 3, then for each tap ky * kernel_w + kx the weights of the four channels.
 *
 * Four or six pixels at a time (window 3, 5 or 7: kernel_w, or one more, whose last weight is 0).
 * Four channels of the rows under the window are copied into strips: for each kernel row one of
 * channels c, c + 1, then one of c + 2, c + 3, two bytes a column. A word of a strip is two columns
 * of two channels; SXTB16 makes it the pair of neighbouring columns (2k, 2k + 1) of one channel,
 * SXTB16 with ROR #8 that of the other. Columns outside the input hold in_zero_point.
 * Groups: for each channel, 4-byte aligned, int32 bias, multiplier and shift, then for each kernel
 * row words of four weights, w[4i] w[4i+2] w[4i+1] w[4i+3]. So the same two instructions give the
 * pairs (w[2j], w[2j + 1]), which meet the inputs of even outputs. Those of odd outputs meet, crossed
 * by SMLADX, (w[2j], w[2j - 1]): PKHBT of two neighbouring pairs. With the last weight only that pair
 * is used: its second weight stands where w[window] would.
 */
#ifndef TN_DEPTHWISE_CONV_2D_H
#define TN_DEPTHWISE_CONV_2D_H

#include "tn_dot.h"

typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t depth_multiplier; /* out_c = in_c * depth_multiplier */
    int32_t in_zero_point;
    int32_t out_zero_point, out_min, out_max;
    int32_t window; /* see above; not 0 only where dilation_w and depth_multiplier are 1, out_c is a
                     * multiple of 4, and stride_w is 1 or 2 */
    int32_t tile;  /* with a window: pixels at a time, 4 or 6; */
    int32_t tiles; /* of how many tiles of outputs strips hold the inputs, >= 1; */
    int32_t usual; /* fast_requantize is 1 and the clamp that of an int8: 1; out_zero_point is -128
                    * as well: 2; else 0 */
    int32_t fast_requantize; /* see tn_requantize_s8 */
    const int8_t *groups;
} tn_depthwise_conv_2d;

/* Bytes of a strip for `pixels` = tile * tiles outputs, and of a run of padding and a table of
 * `columns` entries for a kernel row. */
#define TN_DEPTHWISE_STRIP(window, stride_w, pixels) \
    (2 * ((stride_w) * (pixels) + (window) / 2 * 2))
#define TN_DEPTHWISE_TABLE(in_c, kernel_h, columns) (TN_PAD4(in_c) + 4 * (kernel_h) * (columns))

/* Bytes of scratch: window 0, and else, where cores without the DSP extension keep a table, too. */
#define TN_DEPTHWISE_CONV_2D_SCRATCH(in_c, kernel_h, kernel_w) \
    TN_DEPTHWISE_TABLE(in_c, kernel_h, kernel_w)
#define TN_DEPTHWISE_CONV_2D_WINDOW_SCRATCH(in_c, kernel_h, window, stride_w, pixels)       \
    ((kernel_h) * (4 + 2 * TN_DEPTHWISE_STRIP(window, stride_w, pixels)) >                  \
             TN_DEPTHWISE_TABLE(in_c, kernel_h, window)                                     \
         ? (kernel_h) * (4 + 2 * TN_DEPTHWISE_STRIP(window, stride_w, pixels))              \
         : TN_DEPTHWISE_TABLE(in_c, kernel_h, window))

#define TN_DEPTHWISE_HEADER (2 * TN_BLOCK_HEADER)
#define TN_DEPTHWISE_WINDOW_HEADER 12
#define TN_DEPTHWISE_WINDOW_ROW(window) ((window) > 3 ? 8 : 4) /* bytes of weights */

/* Offsets of `count` input pixels of row iy, `step` apart from ix on; returns the end. */
static TN_NOINLINE TN_UNUSED int32_t *tn_depthwise_conv_2d_offsets(const tn_depthwise_conv_2d *g,
                                                                   tn_rows in, int32_t iy,
                                                                   int32_t ix, int32_t step,
                                                                   int32_t count, int32_t outside,
                                                                   int32_t *offsets) {
    const int32_t *const end = offsets + count;
    if (iy < 0 || iy >= g->in_h) {
        while (offsets != end) *offsets++ = outside;
    } else {
        const int32_t bytes = step * g->in_c, width = g->in_w;
        int32_t offset = (int32_t)(tn_row(in, iy) - in.data) + ix * g->in_c;
        for (; offsets != end; ix += step, offset += bytes)
            *offsets++ = (uint32_t)ix < (uint32_t)width ? offset : outside;
    }
    return offsets;
}

/* Channels [o, out_c) of one pixel, plain C; m is the depth multiplier. */
#define tn_depthwise_conv_2d_plain TN_VARIANT(tn_depthwise_conv_2d_plain)
TN_SHARED void tn_depthwise_conv_2d_plain(const tn_tile *t, const int8_t *in,
                                          const int32_t *offsets, int32_t taps, int32_t m,
                                          int32_t o, int8_t *out) {
    const int32_t group_bytes = TN_DEPTHWISE_HEADER + 4 * taps;
    const int32_t *const end = offsets + taps;
    for (; o < t->out_c; o++) {
        const int8_t *const group = t->blocks + (o >> 2) * group_bytes;
        const int8_t *const block = group + (o & 1) * TN_BLOCK_HEADER;
        const int8_t *w = group + TN_DEPTHWISE_HEADER + (o & 3);
        const int8_t *const x = in + (m == 1 ? o : o / m);
        const int32_t second = (o >> 1) & 1;
        uint32_t acc = tn_load32(block + 4 * second);
        for (const int32_t *p = offsets; p != end; p++, w += 4) acc = tn_mac(acc, x[*p], *w);
        out[o] = tn_tile_output(t, (int32_t)acc, (int32_t)tn_load32(block + 8 + 4 * second),
                                block[16 + second]);
    }
}

#if TN_DSP

/* The usual requantisation of two channels of one pixel, d[0] and d[2]. */
TN_INLINE void tn_depthwise_conv_2d_store(const int8_t *block, int32_t zero_point, int32_t a,
                                          int32_t b, int8_t *d) {
    const int32_t m = (int32_t)tn_load32(block + 8), n = (int32_t)tn_load32(block + 12);
    a = tn_requantize_fast(a, m, block[16], zero_point);
    b = tn_requantize_fast(b, n, block[17], zero_point);
    a = tn_ssat8(a);
    b = tn_ssat8(b);
    d[0] = (int8_t)a;
    d[2] = (int8_t)b;
}

/* Any requantisation of two channels of one pixel, d[0] and d[2]. */
#define tn_depthwise_conv_2d_store_two TN_VARIANT(tn_depthwise_conv_2d_store_two)
TN_SHARED void tn_depthwise_conv_2d_store_two(const tn_tile *t, const int8_t *block, int32_t a,
                                              int32_t b, int8_t *d) {
    d[0] = tn_tile_output(t, a, (int32_t)tn_load32(block + 8), block[16]);
    d[2] = tn_tile_output(t, b, (int32_t)tn_load32(block + 12), block[17]);
}

/* One pixel, whole groups of four channels; returns the channels done. */
#define tn_depthwise_conv_2d_1x4 TN_VARIANT(tn_depthwise_conv_2d_1x4)
TN_SHARED int32_t tn_depthwise_conv_2d_1x4(const tn_tile *t, const int8_t *in,
                                           const int32_t *offsets, int32_t taps, int8_t *out) {
    const int32_t *const end = offsets + taps;
    const int32_t usual = t->fast != 0 && t->clamp == 0, channels = t->out_c & ~3;
    int8_t *const last = out + channels;
    const int8_t *w = t->blocks;
    for (; out != last; out += 4, in += 4) {
        const int8_t *const group = w;
        const int32_t *p = offsets;
        int32_t a = (int32_t)tn_load32(w), c = (int32_t)tn_load32(w + 4);
        int32_t b = (int32_t)tn_load32(w + 20), d = (int32_t)tn_load32(w + 24);
        w += TN_DEPTHWISE_HEADER;
#pragma GCC unroll 2
        for (; p != end; p++, w += 4) {
            const uint32_t x = tn_load32(in + *p), v = tn_load32(w);
            const uint32_t x02 = tn_sxtb16(x), v02 = tn_sxtb16(v);
            const uint32_t x13 = tn_sxtb16_ror8(x), v13 = tn_sxtb16_ror8(v);
            a = tn_smlabb(x02, v02, a);
            c = tn_smlatt(x02, v02, c);
            b = tn_smlabb(x13, v13, b);
            d = tn_smlatt(x13, v13, d);
        }
        if (usual) {
            tn_depthwise_conv_2d_store(group, t->zero_point, a, c, out);
            tn_depthwise_conv_2d_store(group + TN_BLOCK_HEADER, t->zero_point, b, d, out + 1);
        } else {
            tn_depthwise_conv_2d_store_two(t, group, a, c, out);
            tn_depthwise_conv_2d_store_two(t, group + TN_BLOCK_HEADER, b, d, out + 1);
        }
    }
    return channels;
}

#endif

/* A row of pixels, any geometry, a pixel at a time; the table as the groups. */
TN_INLINE void tn_depthwise_conv_2d_general(const tn_depthwise_conv_2d *g, const tn_tile *t,
                                            tn_rows in, int8_t *out, int32_t y, int32_t outside,
                                            int32_t *offsets, int32_t multiplier) {
    const int32_t taps = g->kernel_h * g->kernel_w;
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
        int32_t o = 0, *end = offsets, iy = y * g->stride_h - g->pad_top;
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h)
            end = tn_depthwise_conv_2d_offsets(g, in, iy, x * g->stride_w - g->pad_left,
                                               g->dilation_w, g->kernel_w, outside, end);
#if TN_DSP
        if (multiplier == 1) o = tn_depthwise_conv_2d_1x4(t, in.data, offsets, taps, out);
#endif
        if (o < g->out_c)
            tn_depthwise_conv_2d_plain(t, in.data, offsets, taps, multiplier, o, out);
    }
}

/* ---- four or six pixels at a time ---------------------------------------------------------------- */

#if TN_DSP

/* What all channels of a band of a row share. */
typedef struct {
    tn_tile tile;
    int8_t *strips;
    const int32_t *rows; /* for each kernel row, offset from in.data of the first column inside */
    int32_t kernel_h, strip; /* strip: bytes */
    int32_t lead; /* columns of a strip before the first inside; if odd, one is taken alone, */
    int32_t fours, ones; /* then as many times four, then as many more that are inside */
    int32_t outputs;     /* pixels */
} tn_depthwise_band;

#define TN_DEPTHWISE_OUTSIDE INT32_MIN /* in rows: a row outside the input */

/* Four channels of all rows that are inside the input; `in` is in.data at the first of them. */
#define tn_depthwise_conv_2d_fill TN_VARIANT(tn_depthwise_conv_2d_fill)
TN_SHARED void tn_depthwise_conv_2d_fill(const tn_depthwise_band *b, const int8_t *in) {
    const int32_t c = b->tile.out_c;
    const int32_t *row = b->rows, *const end = row + b->kernel_h;
    int8_t *next = b->strips + 2 * b->lead;
    do {
        const int8_t *p = in + *row;
        int8_t *low = next, *high = low + b->strip;
        next = high + b->strip;
        if (*row++ == TN_DEPTHWISE_OUTSIDE) continue;
        if ((b->lead & 1) != 0) tn_split_one(&p, c, &low, &high); /* words are aligned */
        for (int32_t n = b->fours; n != 0; n--) tn_split_four(&p, c, &low, &high);
        for (int32_t n = b->ones; n != 0; n--) tn_split_one(&p, c, &low, &high);
    } while (row != end);
}

/* The pair of a channel from a word of its strip. */
TN_INLINE uint32_t tn_depthwise_conv_2d_pair(uint32_t word, int32_t odd) {
    return odd != 0 ? tn_sxtb16_ror8(word) : tn_sxtb16(word);
}

/* Neighbouring pairs of inputs p meet weights: u those of the even, v of the odd outputs. */
#define TN_DEPTHWISE_STEP(EVEN, u, ODD, v)      \
    do {                                        \
        a[0] = EVEN(p0, u, a[0]);               \
        a[1] = ODD(p0, v, a[1]);                \
        a[2] = EVEN(p1, u, a[2]);               \
        a[3] = ODD(p1, v, a[3]);                \
        if (tile == 6) a[4] = EVEN(p2, u, a[4]); \
        if (tile == 6) a[5] = ODD(p2, v, a[5]);  \
    } while (0)

/* Inputs slide on by a pair. */
#define TN_DEPTHWISE_SLIDE(word)                                 \
    do {                                                         \
        p0 = p1;                                                 \
        if (tile == 6) p1 = p2;                                  \
        const uint32_t next = tn_depthwise_conv_2d_pair(word, odd); \
        if (tile == 6)                                           \
            p2 = next;                                           \
        else                                                     \
            p1 = next;                                           \
    } while (0)

/* The j-th step, neither the first nor the last, whose inputs are `word`: u is the pair of weights,
 * `before` that of the step before. */
#define TN_DEPTHWISE_NEXT(word, u, before)                \
    do {                                                  \
        const uint32_t crossed = tn_pack_low_high(u, before); \
        TN_DEPTHWISE_SLIDE(word);                         \
        TN_DEPTHWISE_STEP(tn_smlad, u, tn_smladx, crossed); \
    } while (0)

/* A kernel row at stride 1: words of the strip at x and of weights at w + at. */
TN_INLINE void tn_depthwise_conv_2d_row(const int8_t *x, const int8_t *w, int32_t at, int32_t tile,
                                        int32_t window, int32_t odd, int32_t *a) {
    uint32_t q[4] = {0};
    const uint32_t w0 = tn_load_word(w, at);
    if (tile == 6)
        tn_load_four(x, q);
    else
        tn_load_three(x, q);
    const uint32_t u0 = tn_sxtb16(w0), u1 = tn_sxtb16_ror8(w0);
    uint32_t p0 = tn_depthwise_conv_2d_pair(q[0], odd), p1 = tn_depthwise_conv_2d_pair(q[1], odd);
    uint32_t p2 = tile == 6 ? tn_depthwise_conv_2d_pair(q[2], odd) : 0, last = u1;
    TN_DEPTHWISE_STEP(tn_sum_smlad, u0, tn_sum_smlatb, u0);
    if (window > 3) {
        TN_DEPTHWISE_NEXT(q[tile / 2], u1, u0);
        const uint32_t w1 = tn_load_word(w, at + 4), u2 = tn_sxtb16(w1);
        last = u2;
        if (window > 5) {
            q[0] = tn_load_word(x, 2 * tile + 4);
            last = tn_sxtb16_ror8(w1);
            TN_DEPTHWISE_NEXT(q[0], u2, u1);
        }
        q[tile / 2] = tn_load_word(x, 2 * tile - 4 + 4 * (window / 2));
    }
    TN_DEPTHWISE_SLIDE(q[tile / 2]);
    TN_DEPTHWISE_STEP(tn_smlabb, last, tn_smladx, last);
}

/* Stride 2: input pair p, the i-th, meets the weight pairs u and the last weight, v. */
TN_INLINE void tn_depthwise_conv_2d_meet(uint32_t p, int32_t i, const uint32_t *u, uint32_t v,
                                         int32_t tile, int32_t last, int32_t *a) {
    if (i - last >= 0) a[i - last] = tn_smlabb(p, v, a[i - last]);
    if (last > 2 && i >= 2 && i < tile + 2) a[i - 2] = tn_smlad(p, u[2], a[i - 2]);
    if (last > 1 && i >= 1 && i < tile + 1) a[i - 1] = tn_smlad(p, u[1], a[i - 1]);
    if (i < tile) a[i] = tn_smlad(p, u[0], a[i]);
}

#define TN_DEPTHWISE_MEET(i, k) \
    tn_depthwise_conv_2d_meet(tn_depthwise_conv_2d_pair(q[k], odd), i, u, v, tile, last, a)

/* The same at stride 2. */
TN_INLINE void tn_depthwise_conv_2d_row_s2(const int8_t *x, const int8_t *w, int32_t at,
                                           int32_t tile, int32_t window, int32_t odd,
                                           int32_t *a) {
    const int32_t last = window / 2;
    const uint32_t w0 = tn_load_word(w, at), w1 = last > 1 ? tn_load_word(w, at + 4) : 0;
    const uint32_t u[3] = {tn_sxtb16(w0), last > 1 ? tn_sxtb16_ror8(w0) : 0,
                           last > 2 ? tn_sxtb16(w1) : 0};
    const uint32_t v = last == 2 ? tn_sxtb16(w1) : tn_sxtb16_ror8(last > 2 ? w1 : w0);
    uint32_t q[3];
    tn_load_three(x, q);
    TN_DEPTHWISE_MEET(0, 0);
    TN_DEPTHWISE_MEET(1, 1);
    TN_DEPTHWISE_MEET(2, 2);
    if (tile == 6) {
        tn_load_three(x + 12, q);
        TN_DEPTHWISE_MEET(3, 0);
        TN_DEPTHWISE_MEET(4, 1);
        TN_DEPTHWISE_MEET(5, 2);
    } else {
        q[0] = tn_load_word(x, 12);
        TN_DEPTHWISE_MEET(3, 0);
    }
    q[0] = tn_load_word(x, 4 * tile);
    if (last > 1) q[1] = tn_load_word(x, 4 * tile + 4);
    if (last > 2) q[2] = tn_load_word(x, 4 * tile + 8);
    TN_DEPTHWISE_MEET(tile, 0);
    if (last > 1) TN_DEPTHWISE_MEET(tile + 1, 1);
    if (last > 2) TN_DEPTHWISE_MEET(tile + 2, 2);
}

/* Any requantisation of n pixels of a channel; returns the next pixel's output. */
#define tn_depthwise_conv_2d_store_any TN_VARIANT(tn_depthwise_conv_2d_store_any)
TN_SHARED int8_t *tn_depthwise_conv_2d_store_any(const tn_tile *t, const int8_t *block,
                                                 const int32_t *sums, int32_t n, int8_t *out) {
    const int32_t m = (int32_t)tn_load32(block + 4), s = (int32_t)tn_load32(block + 8);
    for (; n > 0; n--, out += t->out_c) *out = tn_tile_output(t, *sums++, m, s);
    return out;
}

/* At an output zero point of -128 all negative x give -128, so halves below 0 may round up. */
#define TN_DEPTHWISE_OUTPUT(i)                                                               \
    a[i] = tn_ssat8(usual == 2 ? tn_asr_round_add(tn_smmlar(a[i], m, a[i]), s, zero_point)   \
                               : tn_requantize_fast(a[i], m, s, zero_point))

/* at: where in w the weights are */
#define TN_DEPTHWISE_ROW(at)                                             \
    do {                                                                 \
        if (stride == 1)                                                 \
            tn_depthwise_conv_2d_row(x, w, at, tile, window, odd, a);    \
        else                                                             \
            tn_depthwise_conv_2d_row_s2(x, w, at, tile, window, odd, a); \
    } while (0)

/* What stays the same in a band, read once. */
typedef struct {
    const tn_tile *tile;
    int32_t pitch; /* of kernel rows in strips */
    int32_t c, zero_point;
    int32_t outputs; /* pixels after the first tile; negative where that is not full */
} tn_depthwise_fixed;

/* A channel of the pixels of a band: its strip, its block, its outputs. All arguments from `kernel`
 * (kernel_h) on are literals. */
TN_INLINE void tn_depthwise_conv_2d_channel(const tn_depthwise_fixed *f, const int8_t *strip,
                                            const int8_t *block, int8_t *out, int32_t kernel,
                                            int32_t window, int32_t stride, int32_t tile,
                                            int32_t usual, int32_t odd) {
    const int32_t pitch = f->pitch, c = f->c;
    for (int32_t n = f->outputs;; n -= tile) {
        const int8_t *x = strip, *w = block;
        const int32_t bias = (int32_t)tn_load32(block);
        int32_t a[6] = {bias, bias, bias, bias, bias, bias};
        if (kernel == 3 && window == 3) {
            TN_DEPTHWISE_ROW(TN_DEPTHWISE_WINDOW_HEADER);
            x += pitch;
            TN_DEPTHWISE_ROW(TN_DEPTHWISE_WINDOW_HEADER + 4);
            x += pitch;
            TN_DEPTHWISE_ROW(TN_DEPTHWISE_WINDOW_HEADER + 8);
        } else {
            int32_t rows = kernel;
            w += TN_DEPTHWISE_WINDOW_HEADER;
            do {
                TN_DEPTHWISE_ROW(0);
                x += pitch;
                w += TN_DEPTHWISE_WINDOW_ROW(window);
            } while (--rows > 0);
        }
        if (usual != 0) {
            const int32_t m = (int32_t)tn_load32(block + 4), s = (int32_t)tn_load32(block + 8);
            const int32_t zero_point = f->zero_point;
            TN_DEPTHWISE_OUTPUT(0);
            TN_DEPTHWISE_OUTPUT(1);
            TN_DEPTHWISE_OUTPUT(2);
            TN_DEPTHWISE_OUTPUT(3);
            if (tile == 6) TN_DEPTHWISE_OUTPUT(4);
            if (tile == 6) TN_DEPTHWISE_OUTPUT(5);
            if (n >= 0) {
                out = tile == 6 ? tn_store_six(out, c, a) : tn_store_four(out, c, a);
            } else {
                int8_t *const d = out + 3 * c;
                switch (n + tile) {
                case 5: d[c] = (int8_t)a[4];       /* fall through */
                case 4: d[0] = (int8_t)a[3];       /* fall through */
                case 3: out[2 * c] = (int8_t)a[2]; /* fall through */
                case 2: out[c] = (int8_t)a[1];     /* fall through */
                default: out[0] = (int8_t)a[0];
                }
            }
        } else {
            const int32_t sums[6] = {a[0], a[1], a[2], a[3], a[4], a[5]};
            out = tn_depthwise_conv_2d_store_any(f->tile, block, sums, tn_min(n, 0) + tile,
                                                 out);
        }
        if (n <= 0) return;
        strip += 2 * tile * stride;
    }
}

/* All channels of a band: `in` is in.data, `out` its first pixel; the rest as above. */
TN_INLINE void tn_depthwise_conv_2d_band(const tn_depthwise_band *b, const int8_t *in, int8_t *out,
                                         int32_t kernel, int32_t window, int32_t stride,
                                         int32_t tile, int32_t usual) {
    const int32_t bytes = TN_DEPTHWISE_WINDOW_HEADER + kernel * TN_DEPTHWISE_WINDOW_ROW(window);
    const tn_depthwise_fixed fixed = {&b->tile, 2 * b->strip, b->tile.out_c, b->tile.zero_point,
                                      b->outputs - tile};
    const tn_depthwise_fixed *const f = &fixed;
    const int32_t strip = b->strip;
    const int8_t *block = b->tile.blocks;
    const int8_t *const last = b->strips + 2 * strip;
    for (const int8_t *const end = out + b->tile.out_c; out != end; in += 4) {
        tn_depthwise_conv_2d_fill(b, in);
        for (const int8_t *q = b->strips; q != last; q += strip) {
            tn_depthwise_conv_2d_channel(f, q, block, out++, kernel, window, stride, tile, usual,
                                         0);
            block += bytes;
            tn_depthwise_conv_2d_channel(f, q, block, out++, kernel, window, stride, tile, usual,
                                         1);
            block += bytes;
        }
    }
}

/* Bands of the output rows [y_begin, y_end). */
TN_INLINE void tn_depthwise_conv_2d_window(const tn_depthwise_conv_2d *g, const tn_tile *t,
                                           tn_rows in, tn_rows out, void *scratch, int32_t y_begin,
                                           int32_t y_end, int32_t kernel, int32_t window,
                                           int32_t stride, int32_t tile, int32_t usual) {
    int32_t *const rows = (int32_t *)scratch;
    const int32_t long_band = tile * g->tiles;
    const int32_t strip = TN_DEPTHWISE_STRIP(window, stride, long_band);
    const size_t all = 2 * (size_t)kernel * (size_t)strip;
    int32_t stale = 1; /* whether strips outside the columns and rows hold anything */
    tn_depthwise_band b;
    b.tile = *t;
    b.strips = (int8_t *)(rows + kernel);
    b.rows = rows;
    b.kernel_h = kernel;
    b.strip = strip;
    for (int32_t y = y_begin; y < y_end; y++)
        for (int32_t x = 0; x < g->out_w; x += long_band) {
            const int32_t ix = x * stride - g->pad_left, begin = tn_max(ix, 0);
            int32_t iy = y * g->stride_h - g->pad_top;
            b.outputs = tn_min(long_band, g->out_w - x);
            b.lead = begin - ix;
            const int32_t columns = tn_min(ix + strip / 2, g->in_w) - begin;
            const int32_t even = columns - (b.lead & 1);
            b.fours = even >> 2;
            b.ones = even & 3;
            for (int32_t ky = 0; ky < kernel; ky++, iy += g->dilation_h) {
                const int32_t inside = iy >= 0 && iy < g->in_h && columns > 0;
                rows[ky] = inside ? (int32_t)(tn_row(in, iy) - in.data) + begin * g->in_c
                                  : TN_DEPTHWISE_OUTSIDE;
                if (!inside) stale = 1;
            }
            if (stale != 0 || g->out_w > long_band) memset(b.strips, g->in_zero_point, all);
            stale = 0;
            tn_depthwise_conv_2d_band(&b, in.data, tn_row(out, y) + x * g->out_c, kernel, window,
                                      stride, tile, usual);
        }
}

#else

/* All channels of a pixel, plain C; the table has `window` entries for each kernel row. */
#define tn_depthwise_conv_2d_pixel TN_VARIANT(tn_depthwise_conv_2d_pixel)
TN_SHARED void tn_depthwise_conv_2d_pixel(const tn_tile *t, const int8_t *in,
                                          const int32_t *offsets, const int32_t *end,
                                          int32_t window, int8_t *out) {
    const int8_t *w = t->blocks;
    for (int8_t *const last = out + t->out_c; out != last; out++, in++) {
        const int8_t *const block = w;
        uint32_t acc = tn_load32(block);
        w += TN_DEPTHWISE_WINDOW_HEADER;
        for (const int32_t *p = offsets; p != end; w += 4) {
            if (window > 3) {
                acc = tn_mac(acc, in[p[0]], w[0]);
                acc = tn_mac(acc, in[p[1]], w[2]);
                acc = tn_mac(acc, in[p[2]], w[1]);
                acc = tn_mac(acc, in[p[3]], w[3]);
                p += 4, w += 4;
            }
            acc = tn_mac(acc, in[*p++], w[0]);
            if (window != 5) {
                acc = tn_mac(acc, in[p[0]], w[2]);
                acc = tn_mac(acc, in[p[1]], w[1]);
                p += 2;
            }
        }
        *out = tn_tile_output(t, (int32_t)acc, (int32_t)tn_load32(block + 4),
                              (int32_t)tn_load32(block + 8));
    }
}

/* Output rows [y_begin, y_end), a pixel at a time. */
TN_INLINE void tn_depthwise_conv_2d_window(const tn_depthwise_conv_2d *g, const tn_tile *t,
                                           tn_rows in, tn_rows out, void *scratch, int32_t y_begin,
                                           int32_t y_end, int32_t kernel, int32_t window,
                                           int32_t stride, int32_t tile, int32_t usual) {
    (void)tile, (void)usual;
    int8_t *const run = (int8_t *)scratch;
    int32_t *const offsets = (int32_t *)scratch + TN_PAD4(g->in_c) / 4;
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    memset(run, g->in_zero_point, (size_t)g->in_c);
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *d = tn_row(out, y);
        for (int32_t x = 0; x < g->out_w; x++, d += g->out_c) {
            int32_t *end = offsets, iy = y * g->stride_h - g->pad_top;
            for (int32_t ky = 0; ky < kernel; ky++, iy += g->dilation_h)
                end = tn_depthwise_conv_2d_offsets(g, in, iy, x * stride - g->pad_left, 1, window,
                                                   outside, end);
            tn_depthwise_conv_2d_pixel(t, in.data, offsets, end, window, d);
        }
    }
}

#endif

/* Output rows [y_begin, y_end). scratch: TN_DEPTHWISE_CONV_2D_SCRATCH bytes, or with a window
 * TN_DEPTHWISE_CONV_2D_WINDOW_SCRATCH, 4-byte aligned. */
TN_INLINE void tn_depthwise_conv_2d_s8(const tn_depthwise_conv_2d *g, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    /* read before g's address leaves this function, so that literals stay literals */
    const int32_t window = g->window, multiplier = g->depth_multiplier;
    const int32_t stride = g->stride_w, kernel = g->kernel_h, tile = g->tile, usual = g->usual;
    const tn_tile shared = {g->groups,
                            g->out_c,
                            TN_DEPTHWISE_HEADER + 4 * g->kernel_h * g->kernel_w, /* of a group */
                            g->out_zero_point,
                            g->out_min,
                            g->out_max,
                            g->fast_requantize,
                            tn_clamps(g->out_min, g->out_max)};
    if (window != 0) {
        tn_depthwise_conv_2d_window(g, &shared, in, out, scratch, y_begin, y_end, kernel, window,
                                    stride, tile, usual);
    } else {
        int8_t *const run = (int8_t *)scratch;
        int32_t *const offsets = (int32_t *)scratch + TN_PAD4(g->in_c) / 4;
        const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
        memset(run, g->in_zero_point, (size_t)g->in_c);
        for (int32_t y = y_begin; y < y_end; y++)
            tn_depthwise_conv_2d_general(g, &shared, in, tn_row(out, y), y, outside, offsets,
                                         multiplier);
    }
}

#endif
