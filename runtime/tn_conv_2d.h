/* tn_conv_2d.h: CONV_2D, int8.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][o] = requantise(bias[o] + sum of w[o][ky][kx][i] * in[y*sh - pt + ky*dh][...][i]); a
 * tap outside the input has the value in_zero_point. The input's zero point is folded into bias.
 *
 * Columns: the inputs of an output pixel are gathered in scratch, two pixels at a time or one,
 * before any of their outputs is written. Output row y may lie over input rows that no output
 * row >= y reads.
 *
 * A column is made of runs, one for each row of the kernel, or one for each tap where dilation_w is
 * not 1: inputs that follow each other in memory. The first `width` of each, a multiple of four,
 * come first, run by run; a run may have one more, and then these last bytes of all runs follow,
 * every four of them in the order 0, 2, 1, 3. Where a run has less than `width`, there is anything
 * (weights of zero). A column of `taps` is as tn_taps.h has it; its runs are rows of the kernel,
 * and `width` is in_c.
 *
 */
#ifndef TN_CONV_2D_H
#define TN_CONV_2D_H

#include "tn_dot.h"
#include "tn_taps.h"

typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t runs, width; /* of a column */
    int32_t groups;      /* of four k: of a column */
    int32_t left, right; /* pixels left <= x < right: `width` bytes of a run are inside a row */
    int32_t in_zero_point;
    int32_t out_zero_point, out_min, out_max;
    int32_t word_taps;       /* 1: in_c is a multiple of four */
    int32_t taps;            /* 1: word_taps, kernel_w 3, stride_w, dilation_w 1: see tn_taps.h */
    int32_t tiles;           /* see tn_dot.h: 2, or 1 in little scratch; 0: none */
    int32_t fast_requantize; /* of a tn_tile */
    int32_t joined;          /* see tn_dot.h */
    const int8_t *blocks;    /* as in tn_dot.h */
} tn_conv_2d;

/* Bytes of scratch, k a multiple of four: a column of bytes; or for tiles of two pixels two
 * widened columns (of taps, four thirds of one), a word for every run but the first, and two
 * columns of bytes unless they are gathered in words (word_taps). */
#define TN_CONV_2D_SCRATCH(k, runs, words, taps, tiles)                   \
    ((tiles) < 2 ? (k)                                                    \
                 : ((taps) != 0 ? 8 * ((k) / 3) : 4 * (k)) + 4 * ((runs) - 1) + \
                       ((words) != 0 ? 0 : 2 * (k)))

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

/* n inputs at src become those of run i of a column, from the byte `from` of the run on. */
TN_INLINE void tn_conv_2d_run(const tn_conv_2d *g, int8_t *bytes, int32_t i, const int8_t *src,
                              int32_t from, int32_t n) {
    if (from + n > g->width) {
        n = g->width - from;
        bytes[g->runs * g->width + (i & ~3) + ((i & 1) << 1) + ((i >> 1) & 1)] = src[n];
    }
    tn_conv_2d_copy(bytes + i * g->width + from, src, n);
}

/* The channels of an input pixel, or NULL outside the input. */
TN_INLINE const int8_t *tn_conv_2d_pixel(const tn_conv_2d *g, tn_rows in, int32_t iy, int32_t ix) {
    if (iy < 0 || iy >= g->in_h || ix < 0 || ix >= g->in_w) return NULL;
    return tn_row(in, iy) + ix * g->in_c;
}

/* The inputs of output pixel (y, x) become a column of bytes, 4-byte aligned. */
TN_INLINE void tn_conv_2d_bytes(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                                int8_t *bytes) {
    const int32_t c = g->in_c, kw = g->kernel_w, ix = x * g->stride_w - g->pad_left;
    int32_t iy = y * g->stride_h - g->pad_top;
    const uint32_t pad = (uint8_t)g->in_zero_point * 0x01010101u;
    const int32_t tall = (g->kernel_h - 1) * g->dilation_h;
    if (g->taps != 0) {
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h, bytes += 3 * c)
            for (int32_t kx = 0; kx < 3; kx++) {
                const int8_t *const src = tn_conv_2d_pixel(g, in, iy, ix + kx);
                for (int32_t i = 0; i < c; i += 4)
                    tn_store32(bytes + 3 * i + 4 * kx, src != NULL ? tn_load32(src + i) : pad);
            }
        return;
    }
    if (x < g->left || x >= g->right || iy < 0 || iy + tall >= g->in_h)
        for (int32_t i = 0; i < g->groups; i++) tn_store32(bytes + 4 * i, pad);
    if (g->dilation_w == 1) {
        const int32_t left = tn_clamp(-ix, 0, kw), right = tn_clamp(g->in_w - ix, left, kw);
        const int32_t from = left * c, n = (right - left) * c;
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h)
            if (iy >= 0 && iy < g->in_h && n != 0)
                tn_conv_2d_run(g, bytes, ky, tn_row(in, iy) + (ix + left) * c, from, n);
    } else {
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h)
            for (int32_t kx = 0; kx < kw; kx++) {
                const int8_t *const src = tn_conv_2d_pixel(g, in, iy, ix + kx * g->dilation_w);
                if (src != NULL) tn_conv_2d_run(g, bytes, ky * kw + kx, src, 0, c);
            }
    }
}

TN_INLINE tn_tile tn_conv_2d_tile(const tn_conv_2d *g) {
    const int32_t clamp = tn_clamps(g->out_min, g->out_max);
    const tn_tile t = {g->blocks,  g->out_c,   g->groups,          g->out_zero_point,
                       g->out_min, g->out_max, g->fast_requantize, clamp};
    return t;
}

#if TN_DSP

/* n more inputs, a multiple of four, of one of two widened columns: from src, or the pair `pad`
 * where src is NULL. */
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
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h)
            for (int32_t kx = 0, tx = ix; kx < kw; kx++, tx += g->dilation_w)
                column = tn_conv_2d_put(column, tn_conv_2d_pixel(g, in, iy, tx), c, pad);
    }
}

/* The inputs of output pixels (y, x) and (y, x + 1) become taps. */
TN_INLINE void tn_conv_2d_taps(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                               uint32_t *column) {
    const uint32_t pad = tn_pkhbt((uint32_t)g->in_zero_point, (uint32_t)g->in_zero_point);
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
        const int32_t ix = x - g->pad_left, inside = iy >= 0 && iy < g->in_h;
        const int8_t *const row = inside ? tn_row(in, iy) : NULL;
        uint32_t *const end = column + 2 * g->in_c;
        for (int32_t j = 0; j < 4; j++) {
            uint32_t *d = column + j;
            if (inside && ix + j >= 0 && ix + j < g->in_w) {
                const int8_t *src = row + (ix + j) * g->in_c;
                for (; d < end; d += 8, src += 4) {
                    const uint32_t word = tn_load32(src);
                    d[0] = tn_sxtb16(word), d[4] = tn_sxtb16_ror8(word);
                }
            } else {
                for (; d < end; d += 4) d[0] = pad;
            }
        }
        column = end;
    }
}

/* The inputs of two output pixels become two widened columns, or taps: then of pixels next to each
 * other. bytes: two columns of bytes, unless they are gathered in words. */
TN_INLINE void tn_conv_2d_any_2(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                                int32_t other_y, int32_t other_x, uint32_t *columns,
                                int8_t *bytes) {
    if (g->taps != 0) {
        tn_conv_2d_taps(g, in, y, x, columns);
        return;
    }
    for (int32_t i = 0; i < 2; i++, y = other_y, x = other_x) {
        if (g->word_taps != 0)
            tn_conv_2d_words(g, in, y, x, columns + i);
        else
            tn_conv_2d_bytes(g, in, y, x, bytes + i * 4 * g->groups);
    }
    if (g->word_taps == 0) tn_widen_2(columns, bytes, bytes + 4 * g->groups, 4 * g->groups);
}

/* Pairs of output row y from the pixel at x on, left <= x: where their runs begin, and what lies
 * outside the input. */
TN_INLINE void tn_conv_2d_inside(const tn_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                                 tn_pairs *p) {
    const int32_t taps = g->dilation_w == 1 ? 1 : g->kernel_w;
    const int32_t words = g->taps != 0 ? 2 * g->width : taps * g->width;
    const int32_t from = (x * g->stride_w - g->pad_left) * g->in_c;
    const uint32_t pad = tn_pkhbt((uint32_t)g->in_zero_point, (uint32_t)g->in_zero_point);
    uint32_t *column = p->columns;
    int32_t iy = y * g->stride_h - g->pad_top;
    const int8_t *end = NULL; /* behind the last run */
    p->runs = 0;
    for (int32_t run = 0; run < g->runs; run += taps, iy += g->dilation_h, column += words) {
        if (iy < 0 || iy >= g->in_h) {
            for (int32_t i = 0; i < words; i++) column[i] = pad;
            for (int32_t i = 2 * run; p->lasts != NULL && i < 2 * (run + taps); i++)
                p->lasts[i] = (int8_t)g->in_zero_point;
            continue;
        }
        const int8_t *source = tn_row(in, iy) + from;
        for (int32_t i = 0; i < taps; i++, source += g->dilation_w * g->in_c) {
            if (p->runs++ == 0) {
                p->base = source, p->gathered = column;
                if (p->lasts != NULL) p->last = p->lasts + 2 * run;
            } else
                p->skips[p->runs - 2] = (int32_t)(source - end);
            end = source + g->width;
        }
    }
}

/* What does not change of pairs. */
TN_INLINE tn_pairs tn_conv_2d_pairs(const tn_conv_2d *g, void *scratch) {
    tn_pairs p;
    p.columns = (uint32_t *)scratch;
    p.next = g->stride_w * g->in_c;
    p.width = g->width;
    p.gathered = p.columns;
    p.skips = (int32_t *)(p.columns + (g->taps != 0 ? 2 * g->runs * g->width : 4 * g->groups));
    p.last_columns = p.columns + g->runs * g->width;
    p.last_words = g->taps != 0 ? 0 : (4 * g->groups - g->runs * g->width) / 2;
    p.lasts = p.last_words != 0 ? (int8_t *)(p.skips + g->runs - 1) : NULL;
    p.last = p.lasts;
    return p;
}

#endif

/* Output rows [y_begin, y_end), as one run of pixels: two may lie in two rows. scratch:
 * TN_CONV_2D_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_conv_2d_s8(const tn_conv_2d *g, tn_rows in, tn_rows out, void *scratch,
                             int32_t y_begin, int32_t y_end) {
    const tn_tile tile = tn_conv_2d_tile(g);
    int32_t y = y_begin, x = 0, pixels = (y_end - y_begin) * g->out_w;
    int8_t *target = tn_row(out, y);
#if TN_DSP
    tn_pairs p = tn_conv_2d_pairs(g, scratch);
#endif
    while (pixels > 0) {
        int32_t done = 1;
#if TN_DSP
        p.pairs = (g->right - x) / 2;
        if (g->tiles == 2 && p.pairs > 0 && x >= g->left) {
            tn_conv_2d_inside(g, in, y, x, &p);
            p.apart = g->out_c;
            done = 2 * p.pairs;
        } else if (g->tiles == 2 && pixels > 1 && (g->taps == 0 || x + 1 < g->out_w)) {
            const int32_t wraps = x + 1 == g->out_w;
            tn_conv_2d_any_2(g, in, y, x, y + wraps, wraps ? 0 : x + 1, p.columns,
                             (int8_t *)(p.skips + g->runs - 1));
            p.runs = 0, p.pairs = 1;
            p.apart = wraps ? (int32_t)(tn_row(out, y + 1) - target) : g->out_c;
            done = 2;
        }
        p.out = target;
        if (done > 1 && g->taps != 0)
            tn_tile_taps(&tile, &p);
        else if (done > 1)
            tn_tile_2(&tile, &p);
        else
#endif
        {
            tn_conv_2d_bytes(g, in, y, x, (int8_t *)scratch);
            tn_tile_column(&tile, g->tiles, g->joined, (const int8_t *)scratch, target);
        }
        pixels -= done;
        x += done;
        target += done * g->out_c;
        for (; x >= g->out_w && pixels > 0; x -= g->out_w, y++)
            target = tn_row(out, y + 1) + (x - g->out_w) * g->out_c;
    }
}

#endif
