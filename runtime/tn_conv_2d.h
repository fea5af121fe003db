/* tn_conv_2d.h: CONV_2D, int8.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[o][ky][kx][i] * in[y*sh - pt + ky*dh][...][i]);
 * a tap outside the input has the value in_zero_point. The input's zero point is folded into bias.
 *
 * Columns: the K = kernel_h * kernel_w * in_c inputs of an output pixel are gathered in scratch,
 * two pixels at a time or one, before any of their outputs is written. So a pointwise output pixel may
 * lie over input pixels up to its own; in general output row y may lie over input rows that no
 * output row >= y reads.
 */
#ifndef TN_CONV_2D_H
#define TN_CONV_2D_H

#include "tn_dot.h"

typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t in_zero_point;
    int32_t out_zero_point, out_min, out_max;
    int32_t pointwise;       /* 1: kernel 1x1, stride 1, no padding */
    int32_t word_taps;       /* 1: in_c is a multiple of four */
    int32_t columns;         /* output pixels at a time: 2, or 1 in little scratch */
    int32_t fast_requantize; /* see tn_requantize_s8 */
    int32_t joined;          /* see tn_dot.h */
    const int8_t *blocks;    /* as in tn_dot.h, k = (ky * kernel_w + kx) * in_c + i */
} tn_conv_2d;

/* Bytes of scratch: a column of bytes; or two widened, and two of bytes unless columns are gathered
 * in words (pointwise, or word_taps). */
#define TN_CONV_2D_SCRATCH(k, words, columns) \
    ((columns) == 1 ? TN_PAD4(k) : 4 * TN_PAD4(k) + ((words) != 0 ? 0 : 2 * TN_PAD4(k)))

/* ---- gathering a column ---------------------------------------------------------------------- */

/* n bytes from src to d, which do not overlap. */
TN_INLINE void tn_conv_2d_copy(int8_t *d, const int8_t *src, int32_t n) {
    if (n >= 4) {
        const int32_t last = n - 4;
        for (int32_t i = 0; i < last; i += 4) tn_store32(d + i, tn_load32(src + i));
        tn_store32(d + last, tn_load32(src + last));
    } else {
        for (int32_t i = 0; i < n; i++) d[i] = src[i];
    }
}

/* The K inputs of output pixel (y, x) become a column of bytes, 4-byte aligned, padded to whole words
 * with anything (their weights are zeros). */
TN_INLINE void tn_conv_2d_bytes(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x, int32_t k,
                                int8_t *bytes) {
    const int32_t c = g->in_c, kw = g->kernel_w, ix = x * g->stride_w - g->pad_left;
    int32_t iy = y * g->stride_h - g->pad_top;
    if (g->pointwise != 0) {
        tn_store32(bytes + TN_PAD4(k) - 4, 0);
        tn_conv_2d_copy(bytes, tn_row(in, y) + x * k, k);
        return;
    }
    const uint32_t pad = (uint8_t)g->in_zero_point * 0x01010101u;
    const int32_t wide = (kw - 1) * g->dilation_w, tall = (g->kernel_h - 1) * g->dilation_h;
    if (ix < 0 || ix + wide >= g->in_w || iy < 0 || iy + tall >= g->in_h)
        for (int32_t i = 0; i < k; i += 4) tn_store32(bytes + i, pad);
    else
        tn_store32(bytes + TN_PAD4(k) - 4, pad);
    if (g->dilation_w == 1) {
        const int32_t left = tn_clamp(-ix, 0, kw), right = tn_clamp(g->in_w - ix, left, kw);
        const int32_t from = (ix + left) * c, n = (right - left) * c;
        int8_t *d = bytes + left * c;
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h, d += kw * c)
            if (iy >= 0 && iy < g->in_h) tn_conv_2d_copy(d, tn_row(in, iy) + from, n);
    } else {
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h)
            for (int32_t kx = 0, tx = ix; kx < kw; kx++, tx += g->dilation_w, bytes += c)
                if (iy >= 0 && iy < g->in_h && tx >= 0 && tx < g->in_w)
                    tn_conv_2d_copy(bytes, tn_row(in, iy) + tx * c, c);
    }
}

TN_INLINE tn_tile tn_conv_2d_tile(const tn_conv_2d *g, int32_t k) {
    const tn_tile t = {g->blocks,  g->out_c,   TN_PAD4(k) / 4,     g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize, tn_clamps(g->out_min, g->out_max)};
    return t;
}

#if TN_DSP

/* n more inputs, a multiple of four, of one of two widened columns: from src, or the pair `pad` where
 * src is NULL. */
TN_INLINE uint32_t *tn_conv_2d_put(uint32_t *x, const int8_t *src, int32_t n, uint32_t pad) {
    uint32_t *const end = x + n;
    if (src != NULL) {
        for (; x != end; x += 4, src += 4) tn_widen(x, tn_load32(src));
    } else {
        for (; x != end; x += 2) x[0] = pad;
    }
    return end;
}

/* The K inputs of output pixel (y, x) become one of two widened columns; in_c is a multiple of
 * four. */
TN_INLINE void tn_conv_2d_words(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                                uint32_t *column) {
    const int32_t c = g->in_c, kw = g->kernel_w, ix = x * g->stride_w - g->pad_left;
    const uint32_t pad = tn_pkhbt((uint32_t)g->in_zero_point, (uint32_t)g->in_zero_point);
    int32_t iy = y * g->stride_h - g->pad_top;
    if (g->dilation_w == 1) {
        const int32_t left = tn_clamp(-ix, 0, kw), right = tn_clamp(g->in_w - ix, left, kw);
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
            if (iy < 0 || iy >= g->in_h) {
                column = tn_conv_2d_put(column, NULL, kw * c, pad);
                continue;
            }
            const int8_t *row = tn_row(in, iy);
            column = tn_conv_2d_put(column, NULL, left * c, pad);
            column = tn_conv_2d_put(column, row + (ix + left) * c, (right - left) * c, pad);
            column = tn_conv_2d_put(column, NULL, (kw - right) * c, pad);
        }
    } else {
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
            const int32_t inside = iy >= 0 && iy < g->in_h;
            const int8_t *row = inside ? tn_row(in, iy) : NULL;
            for (int32_t kx = 0, tx = ix; kx < kw; kx++, tx += g->dilation_w) {
                const int32_t tap = inside && tx >= 0 && tx < g->in_w;
                column = tn_conv_2d_put(column, tap ? row + tx * c : NULL, c, pad);
            }
        }
    }
}

/* The inputs of output pixels (y, x) and (y, x + 1), all of whose columns lie inside the input,
 * become two widened columns; kernel_w * in_c is a multiple of four. */
TN_INLINE void tn_conv_2d_inside_2(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                                   uint32_t *columns) {
    const int32_t n = g->kernel_w * g->in_c, next = g->stride_w * g->in_c;
    const int32_t from = (x * g->stride_w - g->pad_left) * g->in_c;
    const uint32_t pad = (uint8_t)g->in_zero_point * 0x01010101u;
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h, columns += n) {
        if (iy >= 0 && iy < g->in_h) {
            const int8_t *const src = tn_row(in, iy) + from;
            tn_widen_2(columns, src, src + next, n);
        } else {
            for (int32_t i = 0; i < n; i += 4) tn_widen_both(columns + i, pad, pad);
        }
    }
}

TN_INLINE void tn_store_both(int8_t *d, int32_t apart, uint32_t p, uint32_t q) {
    tn_store32(d, p);
    tn_store32(d + apart, q);
}

/* The inputs of output pixels (y, x) and (y, x + 1), all of whose columns lie inside the input,
 * become two columns of bytes, `apart` bytes apart; kernel_w * in_c is at least four. */
TN_INLINE void tn_conv_2d_inside_bytes_2(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                                         int8_t *bytes, int32_t apart) {
    const int32_t n = g->kernel_w * g->in_c, next = g->stride_w * g->in_c;
    const int32_t from = (x * g->stride_w - g->pad_left) * g->in_c;
    const uint32_t pad = (uint8_t)g->in_zero_point * 0x01010101u;
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
        int8_t *const last = bytes + n - 4;
        if (iy >= 0 && iy < g->in_h) {
            const int8_t *src = tn_row(in, iy) + from;
            for (; bytes < last; bytes += 4, src += 4)
                tn_store_both(bytes, apart, tn_load32(src), tn_load32(src + next));
            src -= bytes - last;
            tn_store_both(last, apart, tn_load32(src), tn_load32(src + next));
        } else {
            for (; bytes < last; bytes += 4) tn_store_both(bytes, apart, pad, pad);
            tn_store_both(last, apart, pad, pad);
        }
        bytes = last + 4;
    }
}

/* The inputs of any two output pixels become two widened columns. bytes: two columns of bytes, unless
 * word_taps. */
TN_INLINE void tn_conv_2d_any_2(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                                int32_t other_y, int32_t other_x, int32_t k, uint32_t *columns,
                                int8_t *bytes) {
    for (int32_t i = 0; i < 2; i++, y = other_y, x = other_x) {
        if (g->word_taps != 0)
            tn_conv_2d_words(g, in, y, x, columns + i);
        else
            tn_conv_2d_bytes(g, in, y, x, k, bytes + i * TN_PAD4(k));
    }
    if (g->word_taps == 0) tn_widen_2(columns, bytes, bytes + TN_PAD4(k), TN_PAD4(k));
}

#endif

/* Output rows [y_begin, y_end), as one run of pixels: two may lie in two rows. scratch:
 * TN_CONV_2D_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_conv_2d_s8(const tn_conv_2d *g, tn_rows in, tn_rows out, void *scratch,
                             int32_t y_begin, int32_t y_end) {
    const int32_t k = g->pointwise != 0 ? g->in_c : g->kernel_h * g->kernel_w * g->in_c;
    const tn_tile tile = tn_conv_2d_tile(g, k);
    int32_t y = y_begin, x = 0, pixels = (y_end - y_begin) * g->out_w;
    int8_t *target = tn_row(out, y);
#if TN_DSP
    uint32_t *const columns = (uint32_t *)scratch;
    int8_t *const bytes = (int8_t *)(columns + 4 * tile.groups);
    const int8_t *source = g->pointwise != 0 ? tn_row(in, y) : NULL;
    /* pixels in [left, right) and the next one read columns inside the input */
    const int32_t left = (g->pad_left + g->stride_w - 1) / g->stride_w;
    const int32_t right = tn_min((g->in_w + g->pad_left - g->kernel_w) / g->stride_w, g->out_w - 1);
    const int32_t both = g->columns == 2 && tile.fast != 0 && g->joined != 0;
    const int32_t near = g->dilation_w == 1 && g->kernel_w * g->in_c >= 4;
    const int32_t words = g->dilation_w == 1 && (g->kernel_w * g->in_c & 3) == 0;
    for (; both && pixels > 1; pixels -= 2) {
        const int32_t first_y = y, first_x = x;
        const int8_t *const first_source = source;
        int8_t *const first_target = target;
        target += g->out_c;
        if (g->pointwise != 0) source += k;
        if (++x == g->out_w) {
            x = 0, target = tn_row(out, ++y);
            if (g->pointwise != 0) source = tn_row(in, y);
        }
        if (g->pointwise != 0)
            tn_widen_2(columns, first_source, source, k);
        else if (words && x > 0 && first_x >= left && first_x < right)
            tn_conv_2d_inside_2(g, in, y, first_x, columns);
        else if (g->word_taps == 0 && near && x > 0 && first_x >= left && first_x < right) {
            tn_conv_2d_inside_bytes_2(g, in, y, first_x, bytes, TN_PAD4(k));
            tn_widen_2(columns, bytes, bytes + TN_PAD4(k), TN_PAD4(k));
        } else
            tn_conv_2d_any_2(g, in, first_y, first_x, y, x, k, columns, bytes);
        tn_tile_2(&tile, columns, first_target, target);
        target += g->out_c;
        if (g->pointwise != 0) source += k;
        if (++x == g->out_w && ++y < y_end) {
            x = 0, target = tn_row(out, y);
            if (g->pointwise != 0) source = tn_row(in, y);
        }
    }
#endif
    for (; pixels > 0; pixels--) {
        tn_conv_2d_bytes(g, in, y, x, k, (int8_t *)scratch);
        tn_tile_column(&tile, g->joined, (const int8_t *)scratch, target);
        target += g->out_c;
        if (++x == g->out_w && ++y < y_end) x = 0, target = tn_row(out, y);
    }
}

#endif
