/* tn_winograd_conv_2d.h: CONV_2D of 3x3 filters at stride 1 with fewer products, int8, exact.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Winograd's minimal filtering (Lavin and Gray, CVPR 2016) in integers: a tile of m x m outputs, m
 * 2 or 4, comes from (m + 2) x (m + 2) inputs d and as many transformed weights u, its positions:
 *     outputs = At [sum over channels of (B' d B) * u] A'
 * 16 products for 4 outputs, or 36 for 16, instead of 9 each. The rows of G are multiplied by
 * integers until they are whole, and those of At make up for it: outputs are 4 or 576 times the
 * sums of a convolution. All is exact modulo 2^32; codegen/lowering/winograd.py takes the kernel
 * only where no transformed weight leaves an int16 and no multiple of a sum an int32.
 *
 * Transforms take two channels at a time in one word, low + 65536 * high, by plain arithmetic
 * modulo 2^32, and inputs as x + 128, which are not negative. Adding 2^15 to the low half before
 * the last sums and taking it off by EOR gives back both as int16.
 *
 * All input rows of a row of tiles are read before any of its outputs is written. Rows that no row
 * of the band needs are not read; what they would give is not written.
 */
#ifndef TN_WINOGRAD_CONV_2D_H
#define TN_WINOGRAD_CONV_2D_H

#include "tn_dot.h"

typedef struct {
    int32_t in_h, in_w, in_c; /* in_c is a multiple of four */
    int32_t out_w, out_c;
    int32_t pad_top, pad_left;
    int32_t in_zero_point;
    int32_t out_zero_point, out_min, out_max;
    int32_t tile;             /* m: 2 or 4 */
    /* for every four output channels: (m + 2)^2 positions, in_c / 2 pairs of input channels, four
     * channels, a word of two int16. Pairs: (0, 2), (1, 3) of every four. Channels that lack are
     * zeros. */
    const uint32_t *weights;
    const int32_t *numbers;   /* of channels, a multiple of four: bias, multiplier, shift as in
                                 tn_requantize_fast */
} tn_winograd_conv_2d;

#if defined(__GNUC__) || defined(__clang__)
#define TN_WINOGRAD_UNROLL _Pragma("GCC unroll 6")
#else
#define TN_WINOGRAD_UNROLL
#endif

#define TN_WINOGRAD_POSITIONS(m) (((m) + 2) * ((m) + 2))

/* Columns of a row of tiles. */
#define TN_WINOGRAD_COLUMNS(m, out_w) (((out_w) + (m) - 1) / (m) * (m) + 2)

/* Bytes of scratch: transformed inputs, sums and outputs of two tiles, lines of a row of tiles, and
 * padding. */
#define TN_WINOGRAD_SCRATCH(m, in_w, in_c, out_w)                            \
    (4 * TN_WINOGRAD_POSITIONS(m) * ((in_c) + 8) + 8 * (m) * (m) +           \
     2 * ((m) + 2) * TN_WINOGRAD_COLUMNS(m, out_w) * (in_c) + (in_w) * (in_c))

/* ---- inputs ---------------------------------------------------------------------------------- */

/* B' d for a column of m + 2 words. `last` is added to the low halves. */
TN_INLINE void tn_winograd_in(int32_t m, const uint32_t *d, uint32_t last, uint32_t *v) {
    if (m == 2) {
        const uint32_t middle = d[2] + last;
        v[0] = d[0] + last - d[2];
        v[1] = middle + d[1];
        v[2] = middle - d[1];
        v[3] = d[1] + last - d[3];
    } else {
        const uint32_t end = d[4] + last, twice = (d[3] - d[1]) << 1;
        const uint32_t a = end - (d[2] << 2), b = d[3] - (d[1] << 2), c = end - d[2];
        v[0] = c + ((d[0] - d[2]) << 2);
        v[1] = a + b;
        v[2] = a - b;
        v[3] = c + twice;
        v[4] = c - twice;
        v[5] = d[5] + last - d[3] - (twice << 1);
    }
}

/* Bytes 0 and 2 of x + 128, and 1 and 3. */
TN_INLINE uint32_t tn_winograd_even(uint32_t x) { return (x ^ 0x80808080u) & 0x00FF00FFu; }
TN_INLINE uint32_t tn_winograd_odd(uint32_t x) { return ((x ^ 0x80808080u) >> 8) & 0x00FF00FFu; }

/* B' of m + 2 rows of n bytes: two words from each column of a word, lines `pitch` words apart. */
#define tn_winograd_columns_2 TN_VARIANT(tn_winograd_columns_2)
#define tn_winograd_columns_4 TN_VARIANT(tn_winograd_columns_4)
TN_INLINE void tn_winograd_columns(int32_t m, const int8_t *const *rows, int32_t n, uint32_t *lines,
                                   int32_t pitch) {
    for (int32_t i = 0; i < n; i += 4, lines += 2) {
        uint32_t x[6], d[6], v[6];
        TN_WINOGRAD_UNROLL for (int32_t y = 0; y < m + 2; y++) x[y] = tn_load32(rows[y] + i);
        TN_WINOGRAD_UNROLL for (int32_t y = 0; y < m + 2; y++) d[y] = tn_winograd_even(x[y]);
        tn_winograd_in(m, d, 0, v);
        TN_WINOGRAD_UNROLL for (int32_t y = 0; y < m + 2; y++) lines[y * pitch] = v[y];
        TN_WINOGRAD_UNROLL for (int32_t y = 0; y < m + 2; y++) d[y] = tn_winograd_odd(x[y]);
        tn_winograd_in(m, d, 0, v);
        TN_WINOGRAD_UNROLL for (int32_t y = 0; y < m + 2; y++) lines[y * pitch + 1] = v[y];
    }
}
TN_SHARED void tn_winograd_columns_2(const int8_t *const *rows, int32_t n, uint32_t *lines,
                                     int32_t pitch) {
    tn_winograd_columns(2, rows, n, lines, pitch);
}
TN_SHARED void tn_winograd_columns_4(const int8_t *const *rows, int32_t n, uint32_t *lines,
                                     int32_t pitch) {
    tn_winograd_columns(4, rows, n, lines, pitch);
}

/* B' of the input rows of the tiles from row y on become m + 2 lines of words; input rows from
 * `end` on are not read. */
TN_INLINE void tn_winograd_lines(const tn_winograd_conv_2d *g, tn_rows in, int32_t y, int32_t end,
                                 uint32_t *lines, int8_t *padding) {
    const int32_t m = g->tile, half = g->in_c / 2, n = g->in_w * g->in_c;
    const int32_t columns = TN_WINOGRAD_COLUMNS(m, g->out_w), pitch = columns * half;
    const uint32_t pad = (uint8_t)g->in_zero_point * 0x01010101u;
    const int8_t *rows[6];
    uint32_t d[6], v[6];
    for (int32_t i = 0; i < m + 2; i++) {
        const int32_t iy = y - g->pad_top + i;
        const int32_t inside = iy >= 0 && iy < g->in_h && iy < end;
        rows[i] = inside ? tn_row(in, iy) : padding;
        d[i] = tn_winograd_even(pad);
    }
    for (int32_t i = 0; i < n; i += 4) tn_store32(padding + i, pad);
    const int32_t left = tn_min(g->pad_left, columns), right = tn_min(left + g->in_w, columns);
    const int32_t inside = (right - left) * g->in_c;
    if (m == 2)
        tn_winograd_columns_2(rows, inside, lines + left * half, pitch);
    else
        tn_winograd_columns_4(rows, inside, lines + left * half, pitch);
    tn_winograd_in(m, d, 0, v);
    for (int32_t i = 0; i < m + 2; i++, lines += pitch) {
        for (int32_t x = 0; x < left * half; x++) lines[x] = v[i];
        for (int32_t x = right * half; x < pitch; x++) lines[x] = v[i];
    }
}

/* (B' d) B of a tile, whose lines begin at `lines`, of which `pitch` words lie between the first of
 * each: every second word at x. */
TN_INLINE void tn_winograd_tile(int32_t m, int32_t in_c, const uint32_t *lines, int32_t pitch,
                                uint32_t *x) {
    const int32_t half = in_c / 2;
    for (int32_t i = 0; i < m + 2; i++, lines += pitch, x += (m + 2) * in_c) {
        uint32_t *to = x;
        for (const uint32_t *from = lines; from != lines + half; from++, to += 2) {
            uint32_t d[6], v[6];
            TN_WINOGRAD_UNROLL for (int32_t j = 0; j < m + 2; j++) d[j] = from[j * half];
            tn_winograd_in(m, d, 0x8000u, v);
            TN_WINOGRAD_UNROLL for (int32_t j = 0; j < m + 2; j++) to[j * in_c] = v[j] ^ 0x8000u;
        }
    }
}

/* ---- products and outputs -------------------------------------------------------------------- */

#if TN_DSP_NATIVE

#include "tn_winograd_armv7em.h"

#else

/* The sums over k < 2 * pairs of all positions: int32 sums[positions][2 tiles][4 channels] from
 * weights[positions][pairs][4 channels] and x[positions][pairs][2 tiles], words of two int16. */
TN_INLINE void tn_winograd_products(const uint32_t *weights, const uint32_t *x, int32_t *sums,
                                    int32_t pairs, int32_t positions) {
    for (int32_t p = 0; p < positions; p++, sums += 8) {
        memset(sums, 0, 32);
        for (int32_t k = 0; k < pairs; k++, weights += 4, x += 2)
            for (int32_t i = 0; i < 8; i++) sums[i] = tn_smlad(x[i / 4], weights[i & 3], sums[i]);
    }
}

/* At of m + 2 sums. Of tiles of 4, output i lacks a factor 2^TN_WINOGRAD_LACKS(i). */
#define TN_WINOGRAD_LACKS(i) ((i) < 2 ? (i) : 2)
TN_INLINE void tn_winograd_out(int32_t m, const uint32_t *s, uint32_t *y) {
    if (m == 2) {
        y[0] = s[0] + s[1] + s[2];
        y[1] = s[1] - s[2] - s[3];
    } else {
        const uint32_t a = s[1] + s[2], b = s[1] - s[2], c = s[3] + s[4], d = s[3] - s[4];
        y[0] = c + (a << 2) + ((s[0] + (s[0] << 1)) << 1);
        y[1] = d + (b << 1);
        y[2] = a + c;
        y[3] = b + (d << 1) + ((s[5] + (s[5] << 1)) << 1);
    }
}

/* Outputs [2 tiles][m][m][4 channels] from sums as of tn_winograd_products, which are lost, and
 * numbers of four channels. 0x38E38E39 * 9 is 1. */
TN_INLINE void tn_winograd_outputs(int32_t m, int32_t *sums, const int32_t *numbers,
                                   int32_t zero_point, uint32_t *out) {
    const int32_t pitch = 8 * (m + 2);
    int8_t *bytes = (int8_t *)out;
    for (int32_t *p = sums; p != sums + pitch; p++) {
        uint32_t s[6], y[4];
        for (int32_t i = 0; i < m + 2; i++) s[i] = (uint32_t)p[i * pitch];
        tn_winograd_out(m, s, y);
        for (int32_t i = 0; i < m; i++) p[i * pitch] = (int32_t)y[i];
    }
    for (int32_t t = 0; t < 2; t++)
        for (int32_t i = 0; i < m; i++)
            for (int32_t k = 0; k < 4; k++) {
                const int32_t *const c = numbers + 3 * k, *const p = sums + i * pitch + 4 * t + k;
                uint32_t s[6], y[4];
                for (int32_t j = 0; j < m + 2; j++) s[j] = (uint32_t)p[8 * j];
                tn_winograd_out(m, s, y);
                for (int32_t j = 0; j < m; j++) {
                    const int32_t lacks = TN_WINOGRAD_LACKS(i) + TN_WINOGRAD_LACKS(j);
                    const int32_t right = m == 2 ? 2 : 6 - lacks;
                    const uint32_t part = (uint32_t)((int32_t)y[j] >> right);
                    const uint32_t sum = part * (m == 2 ? 1u : 0x38E38E39u) + (uint32_t)c[0];
                    bytes[4 * (m * (m * t + i) + j) + k] = (int8_t)tn_ssat8(
                        tn_requantize_fast((int32_t)sum, c[1], c[2], zero_point));
                }
            }
}

TN_INLINE void tn_winograd_out_2(int32_t *sums, const int32_t *numbers, int32_t zero_point,
                                 uint32_t *out) {
    tn_winograd_outputs(2, sums, numbers, zero_point, out);
}
TN_INLINE void tn_winograd_out_4(int32_t *sums, const int32_t *numbers, int32_t zero_point,
                                 uint32_t *out) {
    tn_winograd_outputs(4, sums, numbers, zero_point, out);
}

#endif

/* ---- a layer --------------------------------------------------------------------------------- */

/* Outputs of channels o to o + 3 of two tiles to (y, x), as many of them as there are, down to
 * y_end. */
TN_INLINE void tn_winograd_store(const tn_winograd_conv_2d *g, const uint32_t *outputs, tn_rows out,
                                 int32_t y, int32_t x, int32_t o, int32_t y_end) {
    const int32_t m = g->tile, clamp = tn_clamps(g->out_min, g->out_max), n = g->out_c - o;
    for (int32_t i = 0; i < m && y + i < y_end; i++, outputs += m) {
        int8_t *to = tn_row(out, y + i) + x * g->out_c + o;
        for (int32_t j = 0; j < 2 * m && x + j < g->out_w; j++, to += g->out_c) {
            uint32_t word = outputs[j < m ? j : m * m - m + j];
            if (clamp) {
                for (int32_t k = 0; k < 32; k += 8) {
                    const int32_t v = (int8_t)(word >> k & 0xFFu);
                    const uint32_t kept = (uint8_t)tn_clamp(v, g->out_min, g->out_max);
                    word = (word & ~(0xFFu << k)) | kept << k;
                }
            }
            if (n >= 4)
                tn_store32(to, word);
            else
                for (int32_t k = 0; k < n; k++) to[k] = (int8_t)(word >> (8 * k) & 0xFFu);
        }
    }
}

/* Output rows [y_begin, y_end). scratch: TN_WINOGRAD_SCRATCH bytes, 4-byte aligned. */
TN_INLINE void tn_winograd_conv_2d_s8(const tn_winograd_conv_2d *g, tn_rows in, tn_rows out,
                                      void *scratch, int32_t y_begin, int32_t y_end) {
    const int32_t m = g->tile, in_c = g->in_c, positions = TN_WINOGRAD_POSITIONS(m);
    const int32_t pitch = TN_WINOGRAD_COLUMNS(m, g->out_w) * (in_c / 2);
    uint32_t *const x = (uint32_t *)scratch;
    int32_t *const sums = (int32_t *)(x + positions * in_c);
    uint32_t *const outputs = (uint32_t *)(sums + 8 * positions);
    uint32_t *const lines = outputs + 2 * m * m;
    int8_t *const padding = (int8_t *)(lines + (m + 2) * pitch);
    for (int32_t y = y_begin; y < y_end; y += m) {
        tn_winograd_lines(g, in, y, y_end + 2 - g->pad_top, lines, padding);
        for (int32_t left = 0; left < g->out_w; left += 2 * m) {
            const int32_t second = left + m < g->out_w ? m : 0; /* of one tile: the first again */
            const uint32_t *const from = lines + left * (in_c / 2), *weights = g->weights;
            tn_winograd_tile(m, in_c, from, pitch, x);
            tn_winograd_tile(m, in_c, from + second * (in_c / 2), pitch, x + 1);
            for (int32_t o = 0; o < g->out_c; o += 4, weights += 2 * positions * in_c) {
                tn_winograd_products(weights, x, sums, in_c / 2, positions);
                if (m == 2)
                    tn_winograd_out_2(sums, g->numbers + 3 * o, g->out_zero_point, outputs);
                else
                    tn_winograd_out_4(sums, g->numbers + 3 * o, g->out_zero_point, outputs);
                tn_winograd_store(g, outputs, out, y, left, o, y_end);
            }
        }
    }
}

#endif
