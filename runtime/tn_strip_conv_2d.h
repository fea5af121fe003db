/* tn_strip_conv_2d.h: CONV_2D of few input channels.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As tn_conv_2d.h, of layers that tn_straight.h has tiles for, dilation_w 1.
 *
 * Strips. The inputs of `span` output pixels next to each other are widened to int16: for each
 * input column, for each row of the kernel, for each channel, in_zero_point outside the input. The
 * K inputs of an output pixel follow each other there, and those of the next pixel lie
 * stride_w * kernel_h * in_c values on, which must be even: words stay words. So weights are in the
 * order kx, ky, channel, with zeros to an even K. Output row y may lie over input rows that no
 * output row >= y reads.
 *
 * Where neighbouring output rows share one input row (kernel_h is stride_h + 1) and a strip is a whole
 * row, every second strip has the rows of the kernel in reverse: then the shared row is in its place
 * already. The blocks for these are `turned` bytes behind the others.
 */
#ifndef TN_STRIP_CONV_2D_H
#define TN_STRIP_CONV_2D_H

#include "tn_straight.h"

typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h;
    int32_t pad_top, pad_left;
    int32_t span; /* 2 to out_w */
    int32_t in_zero_point, out_zero_point;
    int32_t turned; /* 0: no strip is in reverse */
    const int8_t *blocks;
} tn_strip_conv_2d;

/* Words of a pixel's inputs, bytes from them to the next pixel's, and of a strip and a table. */
#define TN_STRIP_WORDS(kernel_h, kernel_w, in_c) (((kernel_h) * (kernel_w) * (in_c) + 1) / 2)
#define TN_STRIP_APART(kernel_h, stride_w, in_c) (2 * (kernel_h) * (stride_w) * (in_c))
#define TN_STRIP_SCRATCH(kernel_h, kernel_w, stride_w, in_c, span)                                 \
    (4 * (kernel_h) + ((span) - 1) * TN_STRIP_APART(kernel_h, stride_w, in_c) +                    \
     4 * TN_STRIP_WORDS(kernel_h, kernel_w, in_c))

/* What fills a strip: `left` columns of `zero`, `inside` of a line of input and `right` more of
 * zero, for `rows` rows of the kernel. tn_strip_armv7em.h knows the order of the fields. */
typedef struct {
    int16_t *d;           /* of the first line; moves on */
    const int32_t *lines; /* from `data` to input rows, -1 where there is none; moves on */
    const int8_t *from;   /* `data` of the input, and bytes more: of the first column inside */
    int32_t left, inside, right, zero;
    int32_t rows; /* that are filled */
} tn_strip;

typedef void tn_strip_fill(tn_strip *s);

#if TN_DSP_NATIVE

#include "tn_strip_armv7em.h"

#else

/* n columns of c values, `pitch` values apart: of `src`, or `zero` where it is NULL. */
TN_INLINE int16_t *tn_strip_put(int16_t *d, const int8_t *src, int32_t n, int32_t c, int32_t pitch,
                                int32_t zero) {
    for (; n > 0; n--, d += pitch)
        for (int32_t i = 0; i < c; i++) d[i] = (int16_t)(src != NULL ? *src++ : zero);
    return d;
}

TN_INLINE void tn_strip_lines(tn_strip *s, int32_t c, int32_t kernel_h) {
    const int32_t pitch = c * kernel_h;
    for (int32_t ky = 0; ky < s->rows; ky++) {
        const int8_t *const line = s->lines[ky] >= 0 ? s->from + s->lines[ky] : NULL;
        int16_t *d = tn_strip_put(s->d + ky * c, NULL, s->left, c, pitch, s->zero);
        d = tn_strip_put(d, line, s->inside, c, pitch, s->zero);
        tn_strip_put(d, NULL, s->right, c, pitch, s->zero);
    }
}

#define TN_STRIP_FILL(C, KH)                                                                       \
    TN_INLINE void TN_VARIANT(tn_strip_fill_##C##_##KH)(tn_strip *s) { tn_strip_lines(s, C, KH); }
#endif

/* Output rows [y_begin, y_end). */
TN_INLINE void tn_strip_rows(const tn_strip_conv_2d *g, tn_rows in, tn_rows out, void *scratch,
                             int32_t y_begin, int32_t y_end, tn_strip_fill *fill,
                             tn_straight_tile *tile, tn_straight_tile *single) {
    const int32_t span = g->span, apart = TN_STRIP_APART(g->kernel_h, g->stride_w, g->in_c);
    const int32_t columns = (span - 1) * g->stride_w + g->kernel_w;
    int32_t *const lines = (int32_t *)scratch;
    int8_t *const strip = (int8_t *)scratch + 4 * g->kernel_h;
    tn_straight t;
    tn_strip s;
    t.out_c = g->out_c, t.in = NULL;
    t.zero_point = g->out_zero_point;
    s.zero = g->in_zero_point;
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *const row = tn_row(out, y);
        int32_t iy = y * g->stride_h - g->pad_top;
        /* the first row of the kernel may be there, as the last row of the strip before */
        const int32_t kept = g->turned != 0 && y > y_begin;
        const int32_t turned = kept & (y - y_begin), first = kept & (turned ^ 1);
        for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h)
            lines[turned != 0 ? g->kernel_h - 1 - ky : ky] =
                iy >= 0 && iy < g->in_h ? (int32_t)(tn_row(in, iy) - in.data) : -1;
        t.blocks = g->blocks + (turned != 0 ? g->turned : 0);
        s.rows = g->kernel_h - kept;
        for (int32_t x = 0; x < g->out_w; x += span) {
            x = tn_min(x, g->out_w - span);
            const int32_t ix = x * g->stride_w - g->pad_left;
            s.d = (int16_t *)(void *)strip + first * g->in_c, s.lines = lines + first;
            s.left = tn_clamp(-ix, 0, columns);
            s.right = tn_clamp(ix + columns - g->in_w, 0, columns - s.left);
            s.inside = columns - s.left - s.right;
            s.from = in.data + (ix + s.left) * g->in_c;
            fill(&s);
            t.x = strip, t.out = row + x * g->out_c, t.pairs = span / 2;
            tile(&t);
            if (single != NULL) { /* span is odd */
                t.x = strip + (span - 1) * apart, t.out += (span - 1) * g->out_c;
                single(&t);
            }
        }
    }
}

/* tn_strip_conv_2d_N_D_C_KH_ODD_LONG_s8, of N words, D bytes from a pixel to the next in a strip, C
 * channels, KH rows of the kernel, ODD 1 where `span` is odd, else 0; LONG: see tn_straight.h.
 *
 *     void tn_strip_conv_2d_..._s8(const tn_strip_conv_2d *g, tn_rows in, tn_rows out,
 *                                  void *scratch, int32_t y_begin, int32_t y_end);
 *
 * scratch: TN_STRIP_SCRATCH bytes, 4-byte aligned. Of what TN_STRIP_FILL(C, KH), TN_STRIP_TILE(N,
 * D, LONG) and, where ODD is 1, TN_STRIP_SINGLE(N, LONG) made. */
#define TN_STRIP_SINGLE_0(N, LONG) NULL
#define TN_STRIP_SINGLE_1(N, LONG) TN_VARIANT(tn_strip_single_##N##_##LONG)
#define TN_STRIP_CONV_2D_S8(N, D, C, KH, ODD, LONG)                                                \
    TN_INLINE void tn_strip_conv_2d_##N##_##D##_##C##_##KH##_##ODD##_##LONG##_s8(                  \
        const tn_strip_conv_2d *g, tn_rows in, tn_rows out, void *scratch, int32_t y_begin,        \
        int32_t y_end) {                                                                           \
        tn_strip_rows(g, in, out, scratch, y_begin, y_end, TN_VARIANT(tn_strip_fill_##C##_##KH),   \
                      TN_VARIANT(tn_strip_tile_##N##_##D##_##LONG),                                \
                      TN_STRIP_SINGLE_##ODD(N, LONG));                                             \
    }

/* tn_unrolled_strip_conv_2d_N_D_C_KH_ODD_O_U_s8, of O channels, U blocks a turn, of what
 * TN_UNROLLED_STRIP_TILE(N, D, O, U) made instead of TN_STRIP_TILE. */
#define TN_UNROLLED_STRIP_CONV_2D_S8(N, D, C, KH, ODD, O, U)                                       \
    TN_INLINE void tn_unrolled_strip_conv_2d_##N##_##D##_##C##_##KH##_##ODD##_##O##_##U##_s8(      \
        const tn_strip_conv_2d *g, tn_rows in, tn_rows out, void *scratch, int32_t y_begin,        \
        int32_t y_end) {                                                                           \
        tn_strip_rows(g, in, out, scratch, y_begin, y_end, TN_VARIANT(tn_strip_fill_##C##_##KH),   \
                      TN_VARIANT(tn_unrolled_strip_tile_##N##_##D##_##O##_##U),                    \
                      TN_STRIP_SINGLE_##ODD(N, 0));                                                \
    }

#endif
