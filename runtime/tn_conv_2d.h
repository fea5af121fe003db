/* tn_conv_2d.h: CONV_2D, int8.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[o][ky][kx][i] * in[y*sh - pt + ky*dh][...][i]); a tap
 * outside the input has the value in_zero_point. The input's zero point is folded into bias.
 *
 * Columns: the K = kernel_h * kernel_w * in_c inputs of an output pixel are gathered in scratch,
 * four pixels at a time, before any of their outputs is written. So a pointwise output pixel may
 * lie over input pixels up to its own; in general output row y may lie over input rows that no
 * output row >= y reads.
 */
#ifndef TN_CONV_2D_H
#define TN_CONV_2D_H

#include "tn_dot.h"
#include "tn_requantize.h"

typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t in_zero_point;
    int32_t out_zero_point, out_min, out_max;
    int32_t clamp;           /* 0: out_min, out_max are -128, 127 */
    int32_t pointwise;       /* 1: kernel 1x1, stride 1, no padding */
    int32_t word_taps;       /* 1: in_c is a multiple of four */
    int32_t fast_requantize; /* see tn_requantize_s8 */
    const int8_t *weights;   /* packed as in tn_dot.h, k = (ky * kernel_w + kx) * in_c + i */
    const int32_t *bias;     /* [out_c] */
    const int32_t *multiplier;
    const int8_t *shift;
} tn_conv_2d;

#define TN_CONV_2D_COLUMNS 4
/* Bytes of scratch: four widened columns, and one column of bytes. */
#define TN_CONV_2D_SCRATCH(k) (TN_CONV_2D_COLUMNS * 2 * TN_PAD4(k) + TN_PAD4(k))

/* ---- gathering a column ---------------------------------------------------------------------- */

/* Where a column goes: bytes, or words of the widened column. */
typedef struct {
    int8_t *bytes;
    uint32_t *words;
} tn_conv_2d_sink;

/* n more bytes of a column: from src, or the value `pad` where src is NULL. n is a multiple of four
 * when the sink takes words. */
TN_INLINE void tn_conv_2d_put(tn_conv_2d_sink *sink, const int8_t *src, int32_t n, int32_t pad,
                              int32_t to_words) {
    if (to_words != 0) {
        uint32_t *x = sink->words;
        uint32_t *const end = x + 2 * n;
        if (src != NULL) {
            for (; x != end; x += 8, src += 4) tn_widen(x, tn_load32(src));
        } else {
            const uint32_t pair = tn_pkhbt((uint32_t)pad, (uint32_t)pad);
            for (; x != end; x += 8) x[0] = x[4] = pair;
        }
        sink->words = end;
    } else {
        int8_t *d = sink->bytes;
        int8_t *const end = d + n;
        if (src != NULL) {
            for (; end - d >= 4; d += 4, src += 4) tn_store32(d, tn_load32(src));
            for (; d != end; d++, src++) *d = *src;
        } else {
            for (; d != end; d++) *d = (int8_t)pad;
        }
        sink->bytes = end;
    }
}

/* The K inputs of output pixel (y, x), as runs of taps that are all inside or all outside. */
TN_INLINE void tn_conv_2d_gather(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                                 tn_conv_2d_sink sink, int32_t to_words) {
    const int32_t c = g->in_c, kw = g->kernel_w, pad = g->in_zero_point;
    const int32_t ix = x * g->stride_w - g->pad_left;
    int32_t iy = y * g->stride_h - g->pad_top;
    if (g->dilation_w == 1) {
        const int32_t left = tn_clamp(-ix, 0, kw), right = tn_clamp(g->in_w - ix, left, kw);
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
            if (iy < 0 || iy >= g->in_h) {
                tn_conv_2d_put(&sink, NULL, kw * c, pad, to_words);
                continue;
            }
            const int8_t *row = tn_row(in, iy);
            if (left > 0) tn_conv_2d_put(&sink, NULL, left * c, pad, to_words);
            if (right > left)
                tn_conv_2d_put(&sink, row + (ix + left) * c, (right - left) * c, pad, to_words);
            if (kw > right) tn_conv_2d_put(&sink, NULL, (kw - right) * c, pad, to_words);
        }
    } else {
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
            const int32_t inside = iy >= 0 && iy < g->in_h;
            const int8_t *row = inside ? tn_row(in, iy) : NULL;
            for (int32_t kx = 0, tx = ix; kx < kw; kx++, tx += g->dilation_w) {
                const int32_t tap = inside && tx >= 0 && tx < g->in_w;
                tn_conv_2d_put(&sink, tap ? row + tx * c : NULL, c, pad, to_words);
            }
        }
    }
}

TN_INLINE int8_t tn_conv_2d_output(const tn_conv_2d *g, int32_t acc, int32_t multiplier,
                                   int32_t shift) {
    return tn_requantize_s8(acc, multiplier, shift, g->fast_requantize, g->out_zero_point, g->clamp,
                            g->out_min, g->out_max);
}

/* ---- DSP: four widened columns --------------------------------------------------------------- */

#if TN_DSP

/* Column `column` of pixel (y, x) into the interleaved columns. */
TN_INLINE void tn_conv_2d_column(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x, int32_t k,
                                 uint32_t *columns, int32_t column, int8_t *bytes) {
    tn_conv_2d_sink sink;
    sink.bytes = bytes;
    sink.words = columns + column;
    if (g->word_taps != 0) {
        tn_conv_2d_gather(g, in, y, x, sink, 1);
    } else {
        tn_conv_2d_gather(g, in, y, x, sink, 0);
        tn_widen_run(columns + column, bytes, k);
    }
}

/* All channels of four pixels. Where outputs coincide, the lower index is written last. */
TN_INLINE void tn_conv_2d_tile4(const tn_conv_2d *g, const uint32_t *x, int32_t groups,
                                int8_t *const out[4]) {
    const int8_t *w = g->weights;
    for (int32_t o = 0; o < g->out_c; o += 2, w += 8 * groups) {
        const int32_t p = o + 1 < g->out_c ? o + 1 : o;
        int32_t a[4], b[4];
        tn_dot_4x2(w, x, groups, g->bias[o], g->bias[p], a, b);
        int32_t m = g->multiplier[o], s = g->shift[o];
        a[3] = tn_conv_2d_output(g, a[3], m, s);
        a[2] = tn_conv_2d_output(g, a[2], m, s);
        a[1] = tn_conv_2d_output(g, a[1], m, s);
        a[0] = tn_conv_2d_output(g, a[0], m, s);
        m = g->multiplier[p], s = g->shift[p];
        b[3] = tn_conv_2d_output(g, b[3], m, s);
        b[2] = tn_conv_2d_output(g, b[2], m, s);
        b[1] = tn_conv_2d_output(g, b[1], m, s);
        b[0] = tn_conv_2d_output(g, b[0], m, s);
        out[3][o] = (int8_t)a[3], out[3][p] = (int8_t)b[3];
        out[2][o] = (int8_t)a[2], out[2][p] = (int8_t)b[2];
        out[1][o] = (int8_t)a[1], out[1][p] = (int8_t)b[1];
        out[0][o] = (int8_t)a[0], out[0][p] = (int8_t)b[0];
    }
}

/* All channels of the pixel in the first of the four columns. */
TN_INLINE void tn_conv_2d_tile1(const tn_conv_2d *g, const uint32_t *x, int32_t groups,
                                int8_t *out) {
    const int8_t *w = g->weights;
    for (int32_t o = 0; o < g->out_c; o += 2, w += 8 * groups) {
        const int32_t p = o + 1 < g->out_c ? o + 1 : o;
        int32_t a = g->bias[o], b = g->bias[p];
        tn_dot_1x2(w, x, groups, &a, &b);
        out[o] = tn_conv_2d_output(g, a, g->multiplier[o], g->shift[o]);
        out[p] = tn_conv_2d_output(g, b, g->multiplier[p], g->shift[p]);
    }
}

/* Pixels are numbered through the band, `out_w` a row; `n` columns follow pixel (y, x). */
TN_INLINE void tn_conv_2d_band(const tn_conv_2d *g, tn_rows in, tn_rows out, void *scratch,
                               int32_t y_begin, int32_t y_end, int32_t width) {
    const int32_t k = g->pointwise != 0 ? g->in_c : g->kernel_h * g->kernel_w * g->in_c;
    const int32_t groups = TN_PAD4(k) / 4;
    uint32_t *const columns = (uint32_t *)scratch;
    int8_t *const bytes = (int8_t *)scratch + TN_CONV_2D_COLUMNS * 8 * groups;
    int32_t y = y_begin, x = 0, left = (y_end - y_begin) * width;
    while (left > 0) {
        const int32_t n = left >= 3 ? tn_min(left, 4) : 1;
        int8_t *outputs[4];
        for (int32_t i = 0; i < n; i++) {
            outputs[i] = tn_row(out, y) + x * g->out_c;
            if (g->pointwise != 0)
                tn_widen_run(columns + i, tn_row(in, y) + x * g->in_c, k);
            else
                tn_conv_2d_column(g, in, y, x, k, columns, i, bytes);
            if (++x == width) x = 0, y++;
        }
        if (n >= 3) {
            if (n == 3) outputs[3] = outputs[0];
            tn_conv_2d_tile4(g, columns, groups, outputs);
        } else {
            tn_conv_2d_tile1(g, columns, groups, outputs[0]);
        }
        left -= n;
    }
}

/* ---- plain C: one column of bytes ------------------------------------------------------------ */

#else

TN_INLINE void tn_conv_2d_band(const tn_conv_2d *g, tn_rows in, tn_rows out, void *scratch,
                               int32_t y_begin, int32_t y_end, int32_t width) {
    const int32_t k = g->pointwise != 0 ? g->in_c : g->kernel_h * g->kernel_w * g->in_c;
    const int32_t groups = TN_PAD4(k) / 4;
    int8_t *const column = (int8_t *)scratch;
    for (int32_t i = k; i < 4 * groups; i++) column[i] = 0;
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *d = tn_row(out, y);
        for (int32_t x = 0; x < width; x++, d += g->out_c) {
            if (g->pointwise != 0) {
                memcpy(column, tn_row(in, y) + x * k, (size_t)k);
            } else {
                tn_conv_2d_sink sink;
                sink.bytes = column;
                sink.words = NULL;
                tn_conv_2d_gather(g, in, y, x, sink, 0);
            }
            const int8_t *w = g->weights;
            for (int32_t o = 0; o < g->out_c; o += 2, w += 8 * groups) {
                const int32_t p = o + 1 < g->out_c ? o + 1 : o;
                int32_t a = g->bias[o], b = g->bias[p];
                tn_dot_1x2_bytes(w, column, groups, &a, &b);
                d[o] = tn_conv_2d_output(g, a, g->multiplier[o], g->shift[o]);
                d[p] = tn_conv_2d_output(g, b, g->multiplier[p], g->shift[p]);
            }
        }
    }
}

#endif

/* Output rows [y_begin, y_end). scratch: TN_CONV_2D_SCRATCH(K) bytes, 4-byte aligned. */
TN_INLINE void tn_conv_2d_s8(const tn_conv_2d *g, tn_rows in, tn_rows out, void *scratch,
                             int32_t y_begin, int32_t y_end) {
    tn_conv_2d_band(g, in, out, scratch, y_begin, y_end, g->out_w);
}

#endif
