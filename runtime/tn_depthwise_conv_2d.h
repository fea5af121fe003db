/* tn_depthwise_conv_2d.h: DEPTHWISE_CONV_2D, int8, any channel multiplier.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[ky][kx][o] * in[y*sh - pt + ky*dh][...][o / m]); a tap
 * outside the input has the value in_zero_point. The input's zero point is folded into bias.
 * Output row y may lie over input rows that no output row >= y reads.
 *
 * Weights: groups of four channels (the last padded with zeros), then taps: word
 * [group][ky * kernel_w + kx] holds the bytes of its four channels.
 *
 * Borders cost nothing: for each pixel group a table in scratch holds the offset from in.data of
 * each input pixel under the window; outside the input it leads to a run of in_zero_point, also in
 * scratch. So scratch and input lie within 2 GiB of each other (they share the arena).
 */
#ifndef TN_DEPTHWISE_CONV_2D_H
#define TN_DEPTHWISE_CONV_2D_H

#include "tn_dot.h"
#include "tn_requantize.h"

typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t depth_multiplier; /* out_c = in_c * depth_multiplier */
    int32_t in_zero_point;
    int32_t out_zero_point, out_min, out_max;
    int32_t clamp;           /* 0: out_min, out_max are -128, 127 */
    int32_t window;          /* kernel_w when 3, 5 or 7, stride_w 1 or 2, dilation_w 1,
                              * depth_multiplier 1: the fast path; else 0 */
    int32_t fast_requantize; /* see tn_requantize_s8 */
    const int8_t *weights;
    const int32_t *bias; /* [out_c] */
    const int32_t *multiplier;
    const int8_t *shift;
} tn_depthwise_conv_2d;

#define TN_DEPTHWISE_CONV_2D_PIXELS 3
/* Bytes of scratch; `window` and `stride_w` as in the descriptor. */
#define TN_DEPTHWISE_CONV_2D_SCRATCH(in_c, kernel_h, kernel_w, stride_w, window)                  \
    (TN_PAD4(in_c) + 4 * (kernel_h) *                                                             \
                         ((kernel_w) +                                                            \
                          ((window) != 0 ? (TN_DEPTHWISE_CONV_2D_PIXELS - 1) * (stride_w) : 0)))

TN_INLINE int8_t tn_depthwise_conv_2d_output(const tn_depthwise_conv_2d *g, int32_t acc,
                                             int32_t multiplier, int32_t shift) {
    return tn_requantize_s8(acc, multiplier, shift, g->fast_requantize, g->out_zero_point, g->clamp,
                            g->out_min, g->out_max);
}

/* Offsets of kernel_h rows of `columns` input pixels, dilation_w apart, from output pixel (y, x). */
TN_INLINE void tn_depthwise_conv_2d_offsets(const tn_depthwise_conv_2d *g, tn_rows in, int32_t y,
                                            int32_t x, int32_t columns, int32_t outside,
                                            int32_t *offsets) {
    const int32_t ix = x * g->stride_w - g->pad_left, step = g->dilation_w * g->in_c;
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
        const int32_t *const end = offsets + columns;
        if (iy < 0 || iy >= g->in_h) {
            while (offsets != end) *offsets++ = outside;
        } else {
            int32_t offset = (int32_t)(tn_row(in, iy) - in.data) + ix * g->in_c;
            for (int32_t tx = ix; offsets != end; tx += g->dilation_w, offset += step)
                *offsets++ = (uint32_t)tx < (uint32_t)g->in_w ? offset : outside;
        }
    }
}

/* Channels [o, out_c) of one pixel, plain C. */
TN_INLINE void tn_depthwise_conv_2d_plain(const tn_depthwise_conv_2d *g, const int8_t *in,
                                          const int32_t *offsets, int32_t columns, int32_t o,
                                          int8_t *out) {
    const int32_t taps = g->kernel_h * g->kernel_w;
    for (; o < g->out_c; o++) {
        const int8_t *w = g->weights + (o >> 2) * 4 * taps + (o & 3);
        const int8_t *x = in + (g->depth_multiplier == 1 ? o : o / g->depth_multiplier);
        uint32_t acc = (uint32_t)g->bias[o];
        const int32_t *row = offsets;
        for (int32_t ky = 0; ky < g->kernel_h; ky++, row += columns)
            for (int32_t kx = 0; kx < g->kernel_w; kx++, w += 4) acc = tn_mac(acc, x[row[kx]], *w);
        out[o] = tn_depthwise_conv_2d_output(g, (int32_t)acc, g->multiplier[o], g->shift[o]);
    }
}

#if TN_DSP

/* One pixel, four channels from o. */
TN_INLINE void tn_depthwise_conv_2d_1x4(const tn_depthwise_conv_2d *g, const int8_t *in,
                                        const int32_t *offsets, int32_t o, int8_t *out) {
    const int32_t taps = g->kernel_h * g->kernel_w;
    const int8_t *w = g->weights + o * taps;
    int32_t a = g->bias[o], b = g->bias[o + 1], c = g->bias[o + 2], d = g->bias[o + 3];
    in += o;
    for (const int32_t *end = offsets + taps; offsets != end; offsets++, w += 4) {
        const uint32_t x = tn_load32(in + *offsets), v = tn_load32(w);
        const uint32_t x02 = tn_sxtb16(x), v02 = tn_sxtb16(v);
        const uint32_t x13 = tn_sxtb16_ror8(x), v13 = tn_sxtb16_ror8(v);
        a = tn_smlabb(x02, v02, a);
        c = tn_smlatt(x02, v02, c);
        b = tn_smlabb(x13, v13, b);
        d = tn_smlatt(x13, v13, d);
    }
    out[o] = tn_depthwise_conv_2d_output(g, a, g->multiplier[o], g->shift[o]);
    out[o + 1] = tn_depthwise_conv_2d_output(g, b, g->multiplier[o + 1], g->shift[o + 1]);
    out[o + 2] = tn_depthwise_conv_2d_output(g, c, g->multiplier[o + 2], g->shift[o + 2]);
    out[o + 3] = tn_depthwise_conv_2d_output(g, d, g->multiplier[o + 3], g->shift[o + 3]);
}

TN_INLINE uint32_t tn_depthwise_conv_2d_half(const void *p, int32_t odd) {
    const uint32_t word = tn_load32(p);
    return odd != 0 ? tn_sxtb16_ror8(word) : tn_sxtb16(word);
}

/* Three neighbouring pixels, channels o and o + 2 (o is a multiple of four, plus `odd`). kw, stride
 * and odd are literals; a tap's three inputs slide along the taps of the same phase kx mod stride.
 * Where outputs coincide, the lower index is written last. */
TN_INLINE void tn_depthwise_conv_2d_3x2(const tn_depthwise_conv_2d *g, const int8_t *in,
                                        const int32_t *offsets, const int8_t *w, int32_t o,
                                        int8_t *const out[3], int32_t kw, int32_t stride,
                                        int32_t odd) {
    const int32_t columns = kw + 2 * stride;
    int32_t a0 = g->bias[o], b0 = g->bias[o + 2];
    int32_t a1 = a0, a2 = a0, b1 = b0, b2 = b0;
    for (const int32_t *end = offsets + g->kernel_h * columns; offsets != end;) {
#pragma GCC unroll 2
        for (int32_t phase = 0; phase < stride; phase++) {
            uint32_t x0, x1 = tn_depthwise_conv_2d_half(in + offsets[phase], odd);
            uint32_t x2 = tn_depthwise_conv_2d_half(in + offsets[phase + stride], odd);
#pragma GCC unroll 8
            for (int32_t kx = phase; kx < kw; kx += stride) {
                const uint32_t v = tn_depthwise_conv_2d_half(w + 4 * kx, odd);
                x0 = x1;
                x1 = x2;
                x2 = tn_depthwise_conv_2d_half(in + offsets[kx + 2 * stride], odd);
                a0 = tn_smlabb(x0, v, a0);
                b0 = tn_smlatt(x0, v, b0);
                a1 = tn_smlabb(x1, v, a1);
                b1 = tn_smlatt(x1, v, b1);
                a2 = tn_smlabb(x2, v, a2);
                b2 = tn_smlatt(x2, v, b2);
            }
        }
        offsets += columns;
        w += 4 * kw;
    }
    int32_t m = g->multiplier[o], s = g->shift[o];
    a0 = tn_depthwise_conv_2d_output(g, a0, m, s);
    a1 = tn_depthwise_conv_2d_output(g, a1, m, s);
    a2 = tn_depthwise_conv_2d_output(g, a2, m, s);
    m = g->multiplier[o + 2], s = g->shift[o + 2];
    b0 = tn_depthwise_conv_2d_output(g, b0, m, s);
    b1 = tn_depthwise_conv_2d_output(g, b1, m, s);
    b2 = tn_depthwise_conv_2d_output(g, b2, m, s);
    out[2][o] = (int8_t)a2, out[2][o + 2] = (int8_t)b2;
    out[1][o] = (int8_t)a1, out[1][o + 2] = (int8_t)b1;
    out[0][o] = (int8_t)a0, out[0][o + 2] = (int8_t)b0;
}

/* A row of pixels for a literal kernel width and stride; dilation_w 1, depth_multiplier 1. */
TN_INLINE void tn_depthwise_conv_2d_window(const tn_depthwise_conv_2d *g, tn_rows in, int8_t *out,
                                           int32_t y, int32_t outside, int32_t *offsets, int32_t kw,
                                           int32_t stride) {
    const int32_t columns = kw + 2 * stride, c = g->out_c;
    const int32_t group_bytes = 4 * g->kernel_h * kw;
    for (int32_t x = 0; x < g->out_w; x += 3) {
        const int32_t n = tn_min(3, g->out_w - x);
        int8_t *const pixel = out + x * c;
        int8_t *outputs[3];
        outputs[0] = pixel;
        outputs[1] = n > 1 ? pixel + c : pixel;
        outputs[2] = n > 2 ? pixel + 2 * c : pixel;
        tn_depthwise_conv_2d_offsets(g, in, y, x, columns, outside, offsets);
        const int8_t *w = g->weights;
        int32_t o = 0;
        for (; o + 4 <= c; o += 4, w += group_bytes) {
            tn_depthwise_conv_2d_3x2(g, in.data + o, offsets, w, o, outputs, kw, stride, 0);
            tn_depthwise_conv_2d_3x2(g, in.data + o, offsets, w, o + 1, outputs, kw, stride, 1);
        }
        if (o < c)
            for (int32_t i = 0; i < n; i++)
                tn_depthwise_conv_2d_plain(g, in.data, offsets + i * stride, columns, o,
                                           outputs[i]);
    }
}

#endif

/* Any geometry, a pixel at a time. */
TN_INLINE void tn_depthwise_conv_2d_general(const tn_depthwise_conv_2d *g, tn_rows in, int8_t *out,
                                            int32_t y, int32_t outside, int32_t *offsets) {
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
        int32_t o = 0;
        tn_depthwise_conv_2d_offsets(g, in, y, x, g->kernel_w, outside, offsets);
#if TN_DSP
        if (g->depth_multiplier == 1)
            for (; o + 4 <= g->out_c; o += 4) tn_depthwise_conv_2d_1x4(g, in.data, offsets, o, out);
#endif
        tn_depthwise_conv_2d_plain(g, in.data, offsets, g->kernel_w, o, out);
    }
}

/* Output rows [y_begin, y_end). scratch: TN_DEPTHWISE_CONV_2D_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_depthwise_conv_2d_s8(const tn_depthwise_conv_2d *g, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    int8_t *const run = (int8_t *)scratch;
    int32_t *const offsets = (int32_t *)scratch + TN_PAD4(g->in_c) / 4;
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    memset(run, g->in_zero_point, (size_t)g->in_c);
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *d = tn_row(out, y);
#if TN_DSP
        const int32_t stride = g->stride_w;
        if (g->window == 3 && stride == 1) {
            tn_depthwise_conv_2d_window(g, in, d, y, outside, offsets, 3, 1);
        } else if (g->window == 3 && stride == 2) {
            tn_depthwise_conv_2d_window(g, in, d, y, outside, offsets, 3, 2);
        } else if (g->window == 5 && stride == 1) {
            tn_depthwise_conv_2d_window(g, in, d, y, outside, offsets, 5, 1);
        } else if (g->window == 5 && stride == 2) {
            tn_depthwise_conv_2d_window(g, in, d, y, outside, offsets, 5, 2);
        } else if (g->window == 7 && stride == 1) {
            tn_depthwise_conv_2d_window(g, in, d, y, outside, offsets, 7, 1);
        } else if (g->window == 7 && stride == 2) {
            tn_depthwise_conv_2d_window(g, in, d, y, outside, offsets, 7, 2);
        } else {
            tn_depthwise_conv_2d_general(g, in, d, y, outside, offsets);
        }
#else
        tn_depthwise_conv_2d_general(g, in, d, y, outside, offsets);
#endif
    }
}

#endif
