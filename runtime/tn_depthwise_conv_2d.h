/* tn_depthwise_conv_2d.h: DEPTHWISE_CONV_2D, int8, any channel multiplier.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[ky][kx][o] * in[y*sh - pt + ky*dh][...][o / m]);
 * a tap outside the input has the value in_zero_point. The input's zero point is folded into bias.
 * Output row y may lie over input rows that no output row >= y reads.
 *
 * Groups: one for every four output channels c (missing ones of the last repeat the last channel),
 * 4-byte aligned: a header as in tn_dot.h for channels c, c + 2, one for c + 1, c + 3, then for
 * each tap the weights of the four channels. Taps are in the order ky * kernel_w + kx, or, with
 * `window`, cut into chunks (below).
 *
 * Chunks: with stride_w s, the taps kx, kx + s, kx + 2s ... of a kernel row read neighbouring
 * inputs for neighbouring output pixels. Such a phase of `width` taps is cut into chunks of three,
 * and one or two chunks of two at its end. All chunks of three come first, by ky, phase, place;
 * then those of two. Widths of one do not occur (kernel 3 with stride 2 is a case of its own, window 2:
 * there a row is tap 0, 2, 1).
 *
 * Borders cost nothing: for each pixel group a table in scratch holds the offset from in.data of
 * each input pixel under the window; outside the input it leads to a run of in_zero_point, also in
 * scratch. So scratch and input lie within 2 GiB of each other (they share the arena).
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
    int32_t window; /* dilation_w 1, depth_multiplier 1, out_c a multiple of 4: 1 chunks, 2 kernel_w
                     * 3 with stride_w 2; else 0: a pixel at a time */
    int32_t fast_requantize; /* see tn_requantize_s8 */
    const int8_t *groups;
} tn_depthwise_conv_2d;

/* Chunks of two and of three of a phase of `width` >= 2 taps. */
#define TN_DEPTHWISE_TWOS(width) ((3 - (width) % 3) % 3)
#define TN_DEPTHWISE_THREES(width) (((width) - 2 * TN_DEPTHWISE_TWOS(width)) / 3)

/* Bytes of scratch; `columns` is the number of table entries for a kernel row: kernel_w when window
 * is 0, 7 when it is 2, else 5 for every chunk of three and 4 for every chunk of two. */
#define TN_DEPTHWISE_CONV_2D_SCRATCH(in_c, kernel_h, columns) \
    (TN_PAD4(in_c) + 4 * (kernel_h) * (columns))

#define TN_DEPTHWISE_HEADER (2 * TN_BLOCK_HEADER)

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
#define tn_depthwise_conv_2d_store_any TN_VARIANT(tn_depthwise_conv_2d_store_any)
TN_SHARED void tn_depthwise_conv_2d_store_any(const tn_tile *t, const int8_t *block, int32_t a,
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
            tn_depthwise_conv_2d_store_any(t, group, a, c, out);
            tn_depthwise_conv_2d_store_any(t, group + TN_BLOCK_HEADER, b, d, out + 1);
        }
    }
    return channels;
}

TN_INLINE uint32_t tn_depthwise_conv_2d_half(uint32_t word, int32_t odd) {
    return odd != 0 ? tn_sxtb16_ror8(word) : tn_sxtb16(word);
}

/* One tap v of three neighbouring pixels, whose inputs x0, x1, x2 slide on to `next`. */
#define TN_DEPTHWISE_TAP(NEXT, V)                                 \
    do {                                                          \
        const uint32_t next_word = (NEXT), tap_word = (V);        \
        const uint32_t x0 = x1;                                   \
        x1 = x2;                                                  \
        x2 = tn_depthwise_conv_2d_half(next_word, odd);           \
        const uint32_t v = tn_depthwise_conv_2d_half(tap_word, odd); \
        a0 = tn_smlabb(x0, v, a0);                                \
        b0 = tn_smlatt(x0, v, b0);                                \
        a1 = tn_smlabb(x1, v, a1);                                \
        b1 = tn_smlatt(x1, v, b1);                                \
        a2 = tn_smlabb(x2, v, a2);                                \
        b2 = tn_smlatt(x2, v, b2);                                \
    } while (0)

/* Table entry i as the pair of one tap's input. */
#define TN_DEPTHWISE_INPUT(i) tn_depthwise_conv_2d_half(tn_load32(in + offsets[i]), odd)

/* Three neighbouring pixels, two channels two apart: those of even or odd index of a group at
 * `out`. odd is a literal. The table has its chunks of three up to middle, of two up to end; or,
 * with the literal `strided`, rows of window 2 up to end. */
TN_INLINE void tn_depthwise_conv_2d_3x2(const tn_tile *t, int32_t usual, const int8_t *in,
                                        const int32_t *offsets, const int32_t *middle,
                                        const int32_t *end, const int8_t *group, int8_t *out,
                                        int32_t step1, int32_t step2, int32_t strided,
                                        int32_t odd) {
    const int8_t *const block = group + odd * TN_BLOCK_HEADER;
    const int8_t *w = group + TN_DEPTHWISE_HEADER;
    int32_t a0 = (int32_t)tn_load32(block), b0 = (int32_t)tn_load32(block + 4);
    int32_t a1 = a0, a2 = a0, b1 = b0, b2 = b0;
    if (strided != 0) {
        for (; offsets != end; offsets += 7, w += 12) {
            uint32_t x1 = TN_DEPTHWISE_INPUT(0), x2 = TN_DEPTHWISE_INPUT(1);
            TN_DEPTHWISE_TAP(tn_load32(in + offsets[2]), tn_load32(w));
            TN_DEPTHWISE_TAP(tn_load32(in + offsets[3]), tn_load32(w + 4));
            x1 = TN_DEPTHWISE_INPUT(4), x2 = TN_DEPTHWISE_INPUT(5);
            TN_DEPTHWISE_TAP(tn_load32(in + offsets[6]), tn_load32(w + 8));
        }
    } else {
        for (; offsets != middle; offsets += 5, w += 12) {
            uint32_t x1 = TN_DEPTHWISE_INPUT(0), x2 = TN_DEPTHWISE_INPUT(1);
            TN_DEPTHWISE_TAP(tn_load32(in + offsets[2]), tn_load32(w));
            TN_DEPTHWISE_TAP(tn_load32(in + offsets[3]), tn_load32(w + 4));
            TN_DEPTHWISE_TAP(tn_load32(in + offsets[4]), tn_load32(w + 8));
        }
        for (; offsets != end; offsets += 4, w += 8) {
            uint32_t x1 = TN_DEPTHWISE_INPUT(0), x2 = TN_DEPTHWISE_INPUT(1);
            TN_DEPTHWISE_TAP(tn_load32(in + offsets[2]), tn_load32(w));
            TN_DEPTHWISE_TAP(tn_load32(in + offsets[3]), tn_load32(w + 4));
        }
    }
    out += odd;
    if (usual) {
        const int32_t zero_point = t->zero_point;
        const int32_t m = (int32_t)tn_load32(block + 8), s = block[16];
        a2 = tn_ssat8(tn_requantize_fast(a2, m, s, zero_point));
        a1 = tn_ssat8(tn_requantize_fast(a1, m, s, zero_point));
        a0 = tn_ssat8(tn_requantize_fast(a0, m, s, zero_point));
        const int32_t n = (int32_t)tn_load32(block + 12), r = block[17];
        b2 = tn_ssat8(tn_requantize_fast(b2, n, r, zero_point));
        b1 = tn_ssat8(tn_requantize_fast(b1, n, r, zero_point));
        b0 = tn_ssat8(tn_requantize_fast(b0, n, r, zero_point));
        int8_t *d = out + step2;
        d[0] = (int8_t)a2, d[2] = (int8_t)b2;
        d = out + step1;
        d[0] = (int8_t)a1, d[2] = (int8_t)b1;
        out[0] = (int8_t)a0, out[2] = (int8_t)b0;
    } else {
        tn_depthwise_conv_2d_store_any(t, block, a2, b2, out + step2);
        tn_depthwise_conv_2d_store_any(t, block, a1, b1, out + step1);
        tn_depthwise_conv_2d_store_any(t, block, a0, b0, out);
    }
}

/* All groups of four channels of three pixels, step1 and step2 bytes from the first. Where outputs
 * coincide, the lower index is written last. */
TN_INLINE void tn_depthwise_conv_2d_3(const tn_tile *t, const int8_t *in, const int32_t *offsets,
                                      const int32_t *middle, const int32_t *end, int8_t *out,
                                      int32_t step1, int32_t step2, int32_t strided) {
    const int32_t usual = t->fast != 0 && t->clamp == 0;
    const int8_t *group = t->blocks;
    for (int8_t *const last = out + t->out_c; out != last; out += 4, in += 4) {
        tn_depthwise_conv_2d_3x2(t, usual, in, offsets, middle, end, group, out, step1, step2,
                                 strided, 0);
        tn_depthwise_conv_2d_3x2(t, usual, in, offsets, middle, end, group, out, step1, step2,
                                 strided, 1);
        group += t->groups;
    }
}

#define tn_depthwise_conv_2d_chunks TN_VARIANT(tn_depthwise_conv_2d_chunks)
TN_SHARED void tn_depthwise_conv_2d_chunks(
    const tn_tile *t, const int8_t *in, const int32_t *offsets, const int32_t *middle,
    const int32_t *end, int8_t *out, int32_t step1, int32_t step2) {
    tn_depthwise_conv_2d_3(t, in, offsets, middle, end, out, step1, step2, 0);
}

#define tn_depthwise_conv_2d_strided TN_VARIANT(tn_depthwise_conv_2d_strided)
TN_SHARED void tn_depthwise_conv_2d_strided(const tn_tile *t, const int8_t *in,
                                            const int32_t *offsets, const int32_t *end, int8_t *out,
                                            int32_t step1, int32_t step2) {
    tn_depthwise_conv_2d_3(t, in, offsets, end, end, out, step1, step2, 1);
}

/* The table of three pixels from (y, x) on, for chunks of `size` taps (3 or 2). */
static TN_NOINLINE TN_UNUSED int32_t *tn_depthwise_conv_2d_chunk_table(
    const tn_depthwise_conv_2d *g, tn_rows in, int32_t y, int32_t x, int32_t outside, int32_t size,
    int32_t *offsets) {
    const int32_t s = g->stride_w;
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h)
        for (int32_t phase = 0; phase < s; phase++) {
            const int32_t width = (g->kernel_w - phase + s - 1) / s;
            const int32_t threes = TN_DEPTHWISE_THREES(width);
            int32_t ix = x * s - g->pad_left + phase + (size == 3 ? 0 : 3 * threes * s);
            int32_t count = size == 3 ? threes : TN_DEPTHWISE_TWOS(width);
            for (; count > 0; count--, ix += size * s)
                offsets =
                    tn_depthwise_conv_2d_offsets(g, in, iy, ix, s, size + 2, outside, offsets);
        }
    return offsets;
}

/* The table of the next three pixels from that of the three before, neither at a side border. */
static TN_NOINLINE TN_UNUSED void tn_depthwise_conv_2d_advance(int32_t *offsets, const int32_t *end,
                                                               int32_t bytes, int32_t outside) {
    for (; offsets != end; offsets++) {
        const int32_t offset = *offsets;
        *offsets = offset == outside ? offset : offset + bytes;
    }
}

/* A row of pixels, three at a time. */
TN_INLINE void tn_depthwise_conv_2d_window(const tn_depthwise_conv_2d *g, const tn_tile *t,
                                           tn_rows in, int8_t *out, int32_t y, int32_t outside,
                                           int32_t *offsets, int32_t window) {
    const int32_t c = g->out_c, s = window == 1 ? g->stride_w : 2;
    const int32_t inside = g->in_w - g->kernel_w - 2 * s; /* greatest ix without a border */
    int32_t *middle = offsets, *end = offsets;
    for (int32_t x = 0, ix = -g->pad_left; x < g->out_w; x += 3, ix += 3 * s, out += 3 * c) {
        const int32_t n = tn_min(3, g->out_w - x);
        const int32_t step1 = n > 1 ? c : 0, step2 = n > 2 ? 2 * c : 0;
        if (ix - 3 * s >= 0 && ix <= inside && x > 0) {
            tn_depthwise_conv_2d_advance(offsets, end, 3 * s * c, outside);
        } else if (window == 1) {
            middle = tn_depthwise_conv_2d_chunk_table(g, in, y, x, outside, 3, offsets);
            end = tn_depthwise_conv_2d_chunk_table(g, in, y, x, outside, 2, middle);
        } else {
            int32_t iy = y * g->stride_h - g->pad_top;
            end = offsets;
            for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
                end = tn_depthwise_conv_2d_offsets(g, in, iy, ix, 2, 4, outside, end);
                end = tn_depthwise_conv_2d_offsets(g, in, iy, ix + 1, 2, 3, outside, end);
            }
        }
        if (window == 1)
            tn_depthwise_conv_2d_chunks(t, in.data, offsets, middle, end, out, step1, step2);
        else
            tn_depthwise_conv_2d_strided(t, in.data, offsets, end, out, step1, step2);
    }
}

#endif

/* A row of pixels, any geometry, a pixel at a time; taps in the order ky * kernel_w + kx. */
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

#if !TN_DSP

/* A row of pixels whose taps are in the order of chunks, a pixel at a time. */
TN_INLINE void tn_depthwise_conv_2d_window(const tn_depthwise_conv_2d *g, const tn_tile *t,
                                           tn_rows in, int8_t *out, int32_t y, int32_t outside,
                                           int32_t *offsets, int32_t window) {
    const int32_t s = g->stride_w, taps = g->kernel_h * g->kernel_w;
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
        int32_t *end = offsets;
        for (int32_t size = 3; size >= (window == 1 ? 2 : 3); size--) {
            int32_t iy = y * g->stride_h - g->pad_top;
            for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h)
                for (int32_t phase = 0; phase < s; phase++) {
                    const int32_t ix = x * s - g->pad_left + phase;
                    const int32_t width = (g->kernel_w - phase + s - 1) / s;
                    const int32_t threes = 3 * TN_DEPTHWISE_THREES(width);
                    int32_t first = 0, count = width;
                    if (window == 1) {
                        first = size == 3 ? 0 : threes;
                        count = size == 3 ? threes : width - threes;
                    }
                    end = tn_depthwise_conv_2d_offsets(g, in, iy, ix + first * s, s, count, outside,
                                                       end);
                }
        }
        tn_depthwise_conv_2d_plain(t, in.data, offsets, taps, 1, 0, out);
    }
}

#endif

/* Output rows [y_begin, y_end). scratch: TN_DEPTHWISE_CONV_2D_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_depthwise_conv_2d_s8(const tn_depthwise_conv_2d *g, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    /* read before g's address leaves this function, so that literals stay literals */
    const int32_t window = g->window, multiplier = g->depth_multiplier;
    int8_t *const run = (int8_t *)scratch;
    int32_t *const offsets = (int32_t *)scratch + TN_PAD4(g->in_c) / 4;
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    const tn_tile tile = {g->groups,
                          g->out_c,
                          TN_DEPTHWISE_HEADER + 4 * g->kernel_h * g->kernel_w, /* of a group */
                          g->out_zero_point,
                          g->out_min,
                          g->out_max,
                          g->fast_requantize,
                          tn_clamps(g->out_min, g->out_max)};
    memset(run, g->in_zero_point, (size_t)g->in_c);
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *const d = tn_row(out, y);
        if (window != 0)
            tn_depthwise_conv_2d_window(g, &tile, in, d, y, outside, offsets, window);
        else
            tn_depthwise_conv_2d_general(g, &tile, in, d, y, outside, offsets, multiplier);
    }
}

#endif
