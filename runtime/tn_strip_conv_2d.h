/* tn_strip_conv_2d.h: CONV_2D of few input channels.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As tn_conv_2d.h, of layers that tn_straight.h has tiles for, dilation_w 1.
 *
 * Strips. The inputs of `span` output pixels next to each other are widened to int16: for each input
 * column, for each row of the kernel, for each channel, in_zero_point outside the input. The K
 * inputs of an output pixel follow each other there, and those of the next pixel lie
 * stride_w * kernel_h * in_c values on, which must be even: words stay words. So weights are in the
 * order kx, ky, channel, with zeros to an even K. Output row y may lie over input rows that no
 * output row >= y reads.
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
    int32_t in_zero_point;
    const int8_t *blocks;
} tn_strip_conv_2d;

/* Words of a pixel's inputs, bytes from them to the next pixel's, and bytes of a strip. */
#define TN_STRIP_WORDS(kernel_h, kernel_w, in_c) (((kernel_h) * (kernel_w) * (in_c) + 1) / 2)
#define TN_STRIP_APART(kernel_h, stride_w, in_c) (2 * (kernel_h) * (stride_w) * (in_c))
#define TN_STRIP_SCRATCH(kernel_h, kernel_w, stride_w, in_c, span)                                 \
    (((span) - 1) * TN_STRIP_APART(kernel_h, stride_w, in_c) +                                     \
     4 * TN_STRIP_WORDS(kernel_h, kernel_w, in_c))

typedef void tn_strip_widen(int16_t *d, const int8_t *src, int32_t n);

TN_INLINE void tn_strip_pad(int16_t *d, int32_t n, int32_t c, int32_t pitch, int32_t value) {
    for (; n > 0; n--, d += pitch)
        for (int32_t i = 0; i < c; i++) d[i] = (int16_t)value;
}

/* The strip of output row y from pixel x on. */
TN_INLINE void tn_strip_fill(const tn_strip_conv_2d *g, tn_rows in, int32_t y, int32_t x,
                             int16_t *strip, tn_strip_widen *widen) {
    const int32_t c = g->in_c, pitch = g->kernel_h * c, zero = g->in_zero_point;
    const int32_t columns = (g->span - 1) * g->stride_w + g->kernel_w;
    const int32_t ix = x * g->stride_w - g->pad_left;
    const int32_t left = tn_clamp(-ix, 0, columns), right = tn_clamp(g->in_w - ix, left, columns);
    int32_t iy = y * g->stride_h - g->pad_top;
    for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h, strip += c) {
        if (iy < 0 || iy >= g->in_h) {
            tn_strip_pad(strip, columns, c, pitch, zero);
            continue;
        }
        tn_strip_pad(strip, left, c, pitch, zero);
        widen(strip + left * pitch, tn_row(in, iy) + (ix + left) * c, right - left);
        tn_strip_pad(strip + right * pitch, columns - right, c, pitch, zero);
    }
}

#if !TN_DSP_NATIVE

typedef int16_t __attribute__((may_alias)) tn_strip_value;

/* The sums of a block, of one pixel. */
TN_INLINE void tn_strip_sums(const int8_t *block, const int16_t *x, int32_t words, int32_t *sums) {
    memcpy(sums, block, TN_BLOCK_BEGIN);
    block += TN_BLOCK_BEGIN;
    for (const int16_t *const end = x + 2 * words; x != end; x += 2, block += 8)
        for (int32_t i = 0; i < 2; i++) {
            const tn_strip_value *const w = (const tn_strip_value *)(const void *)(block + 4 * i);
            for (int32_t j = 0; j < 2; j++) {
                sums[2 * i] = (int32_t)tn_mac((uint32_t)sums[2 * i], x[j], (int8_t)w[j]);
                sums[2 * i + 1] = (int32_t)tn_mac((uint32_t)sums[2 * i + 1], x[j], w[j]);
            }
        }
}

/* A tile of pixels `apart` bytes from each other in a strip. */
#define tn_strip_tile TN_VARIANT(tn_strip_tile)
TN_SHARED void tn_strip_tile(const tn_straight *t, int32_t words, int32_t apart) {
    const tn_tile tile = {t->blocks, t->out_c, 0, 0, 0, 0, 2, 0};
    for (int32_t i = 0; i < 2 * t->pairs; i++) {
        const int16_t *const x = (const int16_t *)t->x + i * apart / 2;
        const int8_t *block = t->blocks;
        for (int32_t o = 0; o < t->out_c; o += 4, block += TN_BLOCK_BEGIN + 8 * words + TN_BLOCK_END) {
            int32_t sums[4];
            tn_strip_sums(block, x, words, sums);
            tn_tile_store_4(&tile, 1, block + TN_BLOCK_BEGIN + 8 * words, o, sums,
                            t->out + i * t->out_c);
        }
    }
}

/* The C channels of n pixels go every C * KH values to d. */
#define TN_STRIP_WIDEN(C, KH)                                                                      \
    TN_INLINE void TN_VARIANT(tn_strip_widen_##C##_##KH)(int16_t *d, const int8_t *src,            \
                                                         int32_t n) {                              \
        for (; n > 0; n--, src += C, d += C * KH)                                                  \
            for (int32_t i = 0; i < C; i++) d[i] = src[i];                                         \
    }
#define TN_STRIP_TILE(N, D)                                                                        \
    TN_INLINE void TN_VARIANT(tn_strip_tile_##N##_##D)(const tn_straight *t) {                     \
        tn_strip_tile(t, N, D);                                                                    \
    }

#endif

/* Output rows [y_begin, y_end). */
TN_INLINE void tn_strip_rows(const tn_strip_conv_2d *g, tn_rows in, tn_rows out, void *scratch,
                             int32_t y_begin, int32_t y_end, tn_straight_tile *tile,
                             tn_strip_widen *widen) {
    const int32_t span = g->span, apart = TN_STRIP_APART(g->kernel_h, g->stride_w, g->in_c);
    int16_t *const strip = (int16_t *)scratch;
    tn_straight t;
    t.blocks = g->blocks, t.out_c = g->out_c, t.in = NULL;
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *const row = tn_row(out, y);
        for (int32_t x = 0; x < g->out_w; x += span) {
            x = tn_min(x, g->out_w - span);
            tn_strip_fill(g, in, y, x, strip, widen);
            t.x = strip, t.out = row + x * g->out_c, t.pairs = span / 2;
            tile(&t);
            if ((span & 1) != 0) { /* the last pixel, and once more the one before it */
                t.x = (int8_t *)scratch + (span - 2) * apart, t.pairs = 1;
                t.out = row + (x + span - 2) * g->out_c;
                tile(&t);
            }
        }
    }
}

/* tn_strip_conv_2d_N_D_C_KH_s8, of N words, D bytes from a pixel to the next in a strip, C channels and
 * KH rows of the kernel:
 *
 *     void tn_strip_conv_2d_N_D_C_KH_s8(const tn_strip_conv_2d *g, tn_rows in, tn_rows out,
 *                                       void *scratch, int32_t y_begin, int32_t y_end);
 *
 * scratch: TN_STRIP_SCRATCH bytes, 4-byte aligned. */
#define TN_STRIP_CONV_2D_S8(N, D, C, KH)                                                           \
    TN_STRIP_TILE(N, D)                                                                            \
    TN_STRIP_WIDEN(C, KH)                                                                          \
    TN_INLINE void tn_strip_conv_2d_##N##_##D##_##C##_##KH##_s8(                                   \
        const tn_strip_conv_2d *g, tn_rows in, tn_rows out, void *scratch, int32_t y_begin,        \
        int32_t y_end) {                                                                           \
        tn_strip_rows(g, in, out, scratch, y_begin, y_end,                                         \
                      TN_VARIANT(tn_strip_tile_##N##_##D),                                         \
                      TN_VARIANT(tn_strip_widen_##C##_##KH));                                      \
    }

#endif
