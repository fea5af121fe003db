/* tn_depthwise_conv_2d.h: DEPTHWISE_CONV_2D, int8, any channel multiplier.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[ky][kx][o] * in[y*sh - pt + ky*dh][...][o / m]);
 * a tap outside the input has the value in_zero_point. The input's zero point is folded into bias.
 * Output row y may lie over input rows that no output row >= y reads.
 *
 * A pixel at a time, any geometry. For each pixel a table in scratch holds the offset from in.data
 * of each input pixel under the window; outside the input it leads to a run of in_zero_point, also
 * in scratch. So scratch and input lie within 2 GiB of each other (they share the arena). Groups:
 * one for every four output channels c (missing ones of the last repeat the last channel), 4-byte
 * aligned: a header as in tn_dot.h for channels c, c + 2, one for c + 1, c + 3, then for each tap
 * ky * kernel_w + kx the weights of the four channels. tn_depthwise_square.h is faster, where it
 * serves.
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
    int32_t fast_requantize; /* see tn_requantize_s8 */
    const int8_t *groups;
} tn_depthwise_conv_2d;

/* Bytes of scratch: a run of padding and a table. */
#define TN_DEPTHWISE_CONV_2D_SCRATCH(in_c, kernel_h, kernel_w)                                    \
    (TN_PAD4(in_c) + 4 * (kernel_h) * (kernel_w))

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

/* Output rows [y_begin, y_end). scratch: TN_DEPTHWISE_CONV_2D_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_depthwise_conv_2d_s8(const tn_depthwise_conv_2d *g, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    const int32_t multiplier = g->depth_multiplier; /* a literal, before g's address leaves */
    const tn_tile shared = {g->groups,
                            g->out_c,
                            TN_DEPTHWISE_HEADER + 4 * g->kernel_h * g->kernel_w, /* of a group */
                            g->out_zero_point,
                            g->out_min,
                            g->out_max,
                            g->fast_requantize,
                            tn_clamps(g->out_min, g->out_max)};
    int8_t *const run = (int8_t *)scratch;
    int32_t *const offsets = (int32_t *)scratch + TN_PAD4(g->in_c) / 4;
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    memset(run, g->in_zero_point, (size_t)g->in_c);
    for (int32_t y = y_begin; y < y_end; y++)
        tn_depthwise_conv_2d_general(g, &shared, in, tn_row(out, y), y, outside, offsets,
                                     multiplier);
}

#endif
