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
 * each tap ky * kernel_w + kx the weights of the four channels.
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
    int32_t clamp;           /* 0: out_min, out_max are -128, 127 */
    int32_t window;          /* kernel_w when 3, 5 or 7, stride_w 1 or 2, dilation_w 1,
                              * depth_multiplier 1, out_c a multiple of 4: the fast path; else 0 */
    int32_t fast_requantize; /* see tn_requantize_s8 */
    const int8_t *groups;
} tn_depthwise_conv_2d;

#define TN_DEPTHWISE_CONV_2D_PIXELS 3
/* Bytes of scratch; `window` and `stride_w` as in the descriptor. */
#define TN_DEPTHWISE_CONV_2D_SCRATCH(in_c, kernel_h, kernel_w, stride_w, window)                  \
    (TN_PAD4(in_c) + 4 * (kernel_h) *                                                             \
                         ((kernel_w) +                                                            \
                          ((window) != 0 ? (TN_DEPTHWISE_CONV_2D_PIXELS - 1) * (stride_w) : 0)))

#define TN_DEPTHWISE_HEADER (2 * TN_BLOCK_HEADER)

/* Offsets of kernel_h rows of `columns` input pixels, dilation_w apart, for output pixel (y, x). */
static TN_NOINLINE TN_UNUSED void tn_depthwise_conv_2d_offsets(const tn_depthwise_conv_2d *g,
                                                               tn_rows in, int32_t y, int32_t x,
                                                               int32_t columns, int32_t outside,
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

/* Channels [o, out_c) of one pixel, plain C. `columns` are the offsets in a row of the table, `m`
 * is the depth multiplier. */
static TN_NOINLINE TN_UNUSED void tn_depthwise_conv_2d_plain(const tn_tile *t, const int8_t *in,
                                                             const int32_t *offsets,
                                                             int32_t columns, int32_t kernel_h,
                                                             int32_t kernel_w, int32_t m, int32_t o,
                                                             int8_t *out) {
    const int32_t group_bytes = TN_DEPTHWISE_HEADER + 4 * kernel_h * kernel_w;
    const int32_t *const end = offsets + kernel_h * columns;
    for (; o < t->out_c; o++) {
        const int8_t *const group = t->blocks + (o >> 2) * group_bytes;
        const int8_t *const block = group + (o & 1) * TN_BLOCK_HEADER;
        const int8_t *w = group + TN_DEPTHWISE_HEADER + (o & 3);
        const int8_t *const x = in + (m == 1 ? o : o / m);
        const int32_t second = (o >> 1) & 1;
        uint32_t acc = tn_load32(block + 4 * second);
        for (const int32_t *row = offsets; row != end; row += columns)
            for (int32_t kx = 0; kx < kernel_w; kx++, w += 4) acc = tn_mac(acc, x[row[kx]], *w);
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
static TN_NOINLINE TN_UNUSED void tn_depthwise_conv_2d_store_any(const tn_tile *t,
                                                                 const int8_t *block, int32_t a,
                                                                 int32_t b, int8_t *d) {
    d[0] = tn_tile_output(t, a, (int32_t)tn_load32(block + 8), block[16]);
    d[2] = tn_tile_output(t, b, (int32_t)tn_load32(block + 12), block[17]);
}

/* One pixel, whole groups of four channels; returns the channels done. */
static TN_NOINLINE TN_UNUSED int32_t tn_depthwise_conv_2d_1x4(const tn_tile *t, const int8_t *in,
                                                              const int32_t *offsets, int32_t taps,
                                                              int8_t *out) {
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

/* Three neighbouring pixels, two channels two apart: those of even or odd index of a group at
 * `out`. kw, stride and odd are literals; a tap's three inputs slide along the taps of the same phase
 * kx mod stride. */
TN_INLINE void tn_depthwise_conv_2d_3x2(const tn_tile *t, int32_t usual, const int8_t *in,
                                        const int32_t *offsets, const int32_t *end,
                                        const int8_t *group, int8_t *out, int32_t step1,
                                        int32_t step2, int32_t kw, int32_t stride, int32_t odd) {
    const int8_t *const block = group + odd * TN_BLOCK_HEADER;
    const int8_t *w = group + TN_DEPTHWISE_HEADER;
    int32_t a0 = (int32_t)tn_load32(block), b0 = (int32_t)tn_load32(block + 4);
    int32_t a1 = a0, a2 = a0, b1 = b0, b2 = b0;
    do {
#pragma GCC unroll 2
        for (int32_t phase = 0; phase < stride; phase++) {
            uint32_t x0, x1 = tn_load32(in + offsets[phase]);
            uint32_t x2 = tn_load32(in + offsets[phase + stride]);
            uint32_t next = tn_load32(in + offsets[phase + 2 * stride]);
            uint32_t v = tn_load32(w + 4 * phase);
            x1 = tn_depthwise_conv_2d_half(x1, odd);
            x2 = tn_depthwise_conv_2d_half(x2, odd);
#pragma GCC unroll 8
            for (int32_t kx = phase; kx < kw; kx += stride) {
                if (kx != phase) {
                    next = tn_load32(in + offsets[kx + 2 * stride]);
                    v = tn_load32(w + 4 * kx);
                }
                x0 = x1;
                x1 = x2;
                x2 = tn_depthwise_conv_2d_half(next, odd);
                v = tn_depthwise_conv_2d_half(v, odd);
                a0 = tn_smlabb(x0, v, a0);
                b0 = tn_smlatt(x0, v, b0);
                a1 = tn_smlabb(x1, v, a1);
                b1 = tn_smlatt(x1, v, b1);
                a2 = tn_smlabb(x2, v, a2);
                b2 = tn_smlatt(x2, v, b2);
            }
        }
        offsets += kw + 2 * stride;
        w += 4 * kw;
    } while (offsets != end);
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
                                      int32_t kernel_h, int8_t *out, int32_t step1, int32_t step2,
                                      int32_t kw, int32_t stride) {
    const int32_t *const end = offsets + kernel_h * (kw + 2 * stride);
    const int32_t usual = t->fast != 0 && t->clamp == 0;
    const int8_t *group = t->blocks;
    for (int8_t *const last = out + t->out_c; out != last; out += 4, in += 4) {
        tn_depthwise_conv_2d_3x2(t, usual, in, offsets, end, group, out, step1, step2, kw, stride,
                                 0);
        tn_depthwise_conv_2d_3x2(t, usual, in, offsets, end, group, out, step1, step2, kw, stride,
                                 1);
        group += TN_DEPTHWISE_HEADER + 4 * kw * kernel_h;
    }
}

/* One copy for each kernel width and stride that a model has. */
#define TN_DEPTHWISE_WINDOW(KW, STRIDE)                                                            \
    static TN_NOINLINE TN_UNUSED void tn_depthwise_conv_2d_##KW##_##STRIDE(                        \
        const tn_tile *t, const int8_t *in, const int32_t *offsets, int32_t kernel_h, int8_t *out, \
        int32_t step1, int32_t step2) {                                                            \
        tn_depthwise_conv_2d_3(t, in, offsets, kernel_h, out, step1, step2, KW, STRIDE);           \
    }
TN_DEPTHWISE_WINDOW(3, 1)
TN_DEPTHWISE_WINDOW(3, 2)
TN_DEPTHWISE_WINDOW(5, 1)
TN_DEPTHWISE_WINDOW(5, 2)
TN_DEPTHWISE_WINDOW(7, 1)
TN_DEPTHWISE_WINDOW(7, 2)
#undef TN_DEPTHWISE_WINDOW

/* A row of pixels by one of these functions; window and stride_w are those of g. */
TN_INLINE void tn_depthwise_conv_2d_window(const tn_depthwise_conv_2d *g, const tn_tile *t,
                                           tn_rows in, int8_t *out, int32_t y, int32_t outside,
                                           int32_t *offsets, int32_t window, int32_t stride_w) {
    const int32_t stride = stride_w == 1 ? 1 : 2, columns = window + 2 * stride;
    const int32_t c = g->out_c, h = g->kernel_h;
    for (int32_t x = 0; x < g->out_w; x += 3, out += 3 * c) {
        const int32_t n = tn_min(3, g->out_w - x);
        const int32_t step1 = n > 1 ? c : 0, step2 = n > 2 ? 2 * c : 0;
        tn_depthwise_conv_2d_offsets(g, in, y, x, columns, outside, offsets);
        if (window == 3 && stride == 1)
            tn_depthwise_conv_2d_3_1(t, in.data, offsets, h, out, step1, step2);
        else if (window == 3)
            tn_depthwise_conv_2d_3_2(t, in.data, offsets, h, out, step1, step2);
        else if (window == 5 && stride == 1)
            tn_depthwise_conv_2d_5_1(t, in.data, offsets, h, out, step1, step2);
        else if (window == 5)
            tn_depthwise_conv_2d_5_2(t, in.data, offsets, h, out, step1, step2);
        else if (window == 7 && stride == 1)
            tn_depthwise_conv_2d_7_1(t, in.data, offsets, h, out, step1, step2);
        else
            tn_depthwise_conv_2d_7_2(t, in.data, offsets, h, out, step1, step2);
    }
}

#endif

/* A row of pixels, any geometry, a pixel at a time. */
TN_INLINE void tn_depthwise_conv_2d_general(const tn_depthwise_conv_2d *g, const tn_tile *t,
                                            tn_rows in, int8_t *out, int32_t y, int32_t outside,
                                            int32_t *offsets, int32_t multiplier) {
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
        int32_t o = 0;
        tn_depthwise_conv_2d_offsets(g, in, y, x, g->kernel_w, outside, offsets);
#if TN_DSP
        if (multiplier == 1)
            o = tn_depthwise_conv_2d_1x4(t, in.data, offsets, g->kernel_h * g->kernel_w, out);
#endif
        if (o < g->out_c)
            tn_depthwise_conv_2d_plain(t, in.data, offsets, g->kernel_w, g->kernel_h, g->kernel_w,
                                       multiplier, o, out);
    }
}

/* Output rows [y_begin, y_end). scratch: TN_DEPTHWISE_CONV_2D_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_depthwise_conv_2d_s8(const tn_depthwise_conv_2d *g, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    /* read before g's address leaves this function, so that literals stay literals */
    const int32_t window = g->window, stride_w = g->stride_w, multiplier = g->depth_multiplier;
    int8_t *const run = (int8_t *)scratch;
    int32_t *const offsets = (int32_t *)scratch + TN_PAD4(g->in_c) / 4;
    const int32_t outside = (int32_t)((intptr_t)run - (intptr_t)in.data);
    const tn_tile tile = {g->groups,  g->out_c,   0,                  g->out_zero_point,
                          g->out_min, g->out_max, g->fast_requantize, g->clamp};
    memset(run, g->in_zero_point, (size_t)g->in_c);
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *const d = tn_row(out, y);
#if TN_DSP
        if (window != 0) {
            tn_depthwise_conv_2d_window(g, &tile, in, d, y, outside, offsets, window, stride_w);
            continue;
        }
#else
        (void)window;
        (void)stride_w;
#endif
        tn_depthwise_conv_2d_general(g, &tile, in, d, y, outside, offsets, multiplier);
    }
}

#endif
