/* tn_depthwise_conv_2d.h: DEPTHWISE_CONV_2D, int8, any channel multiplier.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[ky][kx][o] * in[y*sh - pt + ky*dh][...][o / m]);
 * a tap outside the input has the value in_zero_point. The input's zero point is folded into bias.
 * Output row y may lie over input rows that no output row >= y reads.
 *
 * A pixel at a time, any geometry. A table in scratch holds the offset from in.data of each input
 * pixel under the window; outside the input it leads to a run of in_zero_point, also in scratch. So
 * scratch and input lie within 2 GiB of each other (they share the arena). The table of a window
 * that is all inside serves the next such windows from another base.
 * tn_depthwise_square.h is faster, where it serves.
 *
 * Groups: one for every four output channels a, b, c, d (missing ones of the last repeat the last
 * channel), 4-byte aligned:
 *   int32 bias a, b, c, d
 *   weights of each two taps 0 and 1: a[0] b[0] a[1] b[1]   c[0] d[0] c[1] d[1]
 *   of the last of an odd number of taps: a b c d
 *   int32 multiplier a, b, c, d, int8 shift a, b, c, d
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

#define TN_DEPTHWISE_GROUP(taps) (36 + 4 * (taps))

/* The offsets of all inputs of the pixel x, y. */
static TN_NOINLINE TN_UNUSED void tn_depthwise_conv_2d_offsets(const tn_depthwise_conv_2d *g,
                                                               tn_rows in, int32_t y, int32_t x,
                                                               int32_t outside, int32_t *offsets) {
    const int32_t kernel_w = g->kernel_w, step = g->dilation_w, width = g->in_w;
    const int32_t first = x * g->stride_w - g->pad_left;
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = g->kernel_h; ky > 0; ky--, iy += g->dilation_h) {
        const int32_t inside = (uint32_t)iy < (uint32_t)g->in_h;
        const int32_t row = inside != 0 ? (int32_t)(tn_row(in, iy) - in.data) : 0;
        int32_t ix = first;
        for (int32_t *const end = offsets + kernel_w; offsets != end; ix += step)
            *offsets++ = inside != 0 && (uint32_t)ix < (uint32_t)width ? row + ix * g->in_c
                                                                       : outside;
    }
}

/* Channels [o, out_c) of one pixel, plain C; m is the depth multiplier. */
#define tn_depthwise_conv_2d_plain TN_VARIANT(tn_depthwise_conv_2d_plain)
TN_SHARED void tn_depthwise_conv_2d_plain(const tn_tile *t, const int8_t *in,
                                          const int32_t *offsets, int32_t taps, int32_t m,
                                          int32_t o, int8_t *out) {
    const int32_t *const end = offsets + (taps & ~1);
    for (; o < t->out_c; o++) {
        const int8_t *const group = t->blocks + (o >> 2) * TN_DEPTHWISE_GROUP(taps);
        const int8_t *const multipliers = group + 16 + 4 * taps;
        const int8_t *w = group + 16 + (o & 1) + 2 * (o & 2);
        const int8_t *const x = in + (m == 1 ? o : o / m);
        uint32_t acc = tn_load32(group + 4 * (o & 3));
        for (const int32_t *p = offsets; p != end; p += 2, w += 8) {
            acc = tn_mac(acc, x[p[0]], w[0]);
            acc = tn_mac(acc, x[p[1]], w[2]);
        }
        if ((taps & 1) != 0) acc = tn_mac(acc, x[*end], multipliers[(o & 3) - 4]);
        out[o] = tn_tile_output(t, (int32_t)acc, (int32_t)tn_load32(multipliers + 4 * (o & 3)),
                                multipliers[16 + (o & 3)]);
    }
}

#if TN_DSP_NATIVE
#include "tn_depthwise_conv_2d_armv7em.h"
#endif

/* A pixel from inputs at `in` and the table. */
TN_INLINE void tn_depthwise_conv_2d_pixel(const tn_tile *t, const int8_t *in,
                                          const int32_t *offsets, int32_t taps,
                                          int32_t multiplier, int32_t fast, int8_t *out) {
    int32_t o = 0;
#if TN_DSP_NATIVE
    if (multiplier == 1 && fast != 0) {
        tn_depthwise_conv_2d_fours(t, in, offsets, taps, out);
        o = t->out_c & ~3;
    }
#endif
    (void)fast;
    if (o < t->out_c) tn_depthwise_conv_2d_plain(t, in, offsets, taps, multiplier, o, out);
}

/* Output rows [y_begin, y_end). scratch: TN_DEPTHWISE_CONV_2D_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_depthwise_conv_2d_s8(const tn_depthwise_conv_2d *g, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    /* literals, before g's address leaves */
    const int32_t multiplier = g->depth_multiplier, fast = g->fast_requantize;
    const int32_t taps = g->kernel_h * g->kernel_w;
    const int32_t right = g->in_w - (g->kernel_w - 1) * g->dilation_w;
    const int32_t bottom = g->in_h - (g->kernel_h - 1) * g->dilation_h;
    const tn_tile shared = {g->groups,
                            g->out_c,
                            0,
                            g->out_zero_point,
                            g->out_min,
                            g->out_max,
                            fast,
                            tn_clamps(g->out_min, g->out_max)};
    int8_t *const run = (int8_t *)scratch;
    int32_t *const offsets = (int32_t *)scratch + TN_PAD4(g->in_c) / 4;
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    /* The table is that of the window inside at (base_x, base_y). */
    int32_t filled = 0, serves = 0, base_x = 0, base_y = 0;
    for (int32_t y = y_begin; y < y_end; y++) {
        const int32_t iy = y * g->stride_h - g->pad_top;
        int8_t *d = tn_row(out, y);
        if (in.ring != NULL) serves = 0;
        for (int32_t x = 0; x < g->out_w; x++, d += g->out_c) {
            const int32_t ix = x * g->stride_w - g->pad_left;
            const int32_t inside = iy >= 0 && iy < bottom && ix >= 0 && ix < right;
            if (inside == 0 && filled == 0) {
                memset(run, g->in_zero_point, (size_t)g->in_c);
                filled = 1;
            }
            if (serves == 0 || inside == 0) {
                tn_depthwise_conv_2d_offsets(g, in, y, x, outside, offsets);
                serves = inside, base_x = ix, base_y = iy;
            }
            const int8_t *const base =
                in.data + (iy - base_y) * in.pitch + (ix - base_x) * g->in_c;
            tn_depthwise_conv_2d_pixel(&shared, base, offsets, taps, multiplier, fast, d);
        }
    }
}

#endif
