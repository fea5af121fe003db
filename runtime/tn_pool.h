/* tn_pool.h: AVERAGE_POOL_2D and MAX_POOL_2D, int8, any filter, stride and padding.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: input rows of in_w * channels bytes, output rows of out_w * channels bytes. Padded taps
 * do not count. Every window has at least one tap inside the input.
 * Aliasing: rows; an output row may lie on input rows that neither it nor a later row reads.
 */
#ifndef TN_POOL_H
#define TN_POOL_H

#include "tn_dsp.h"
#include "tn_row_sums.h"

typedef struct {
    int32_t in_h;
    int32_t in_w;
    int32_t channels;
    int32_t out_w;
    int32_t filter_h;
    int32_t filter_w;
    int32_t stride_h;
    int32_t stride_w;
    int32_t pad_top;
    int32_t pad_left;
    int32_t minimum;
    int32_t maximum;
    int32_t few; /* literal: windows are of few pixels, as tn_row_sums.h has it */
} tn_pool;

/* The taps of one output pixel: in rows [y_begin, y_end), `columns` pixels from byte `start` on. */
typedef struct {
    int32_t y_begin, y_end;
    int32_t start;
    int32_t columns;
} tn_pool_window;

TN_INLINE tn_pool_window tn_pool_taps(const tn_pool *g, int32_t y, int32_t x) {
    const int32_t top = y * g->stride_h - g->pad_top;
    const int32_t left = x * g->stride_w - g->pad_left;
    const int32_t x0 = tn_max(left, 0);
    tn_pool_window taps;
    taps.y_begin = tn_max(top, 0);
    taps.y_end = tn_min(top + g->filter_h, g->in_h);
    taps.start = x0 * g->channels;
    taps.columns = tn_min(left + g->filter_w, g->in_w) - x0;
    return taps;
}

/* ---- average ------------------------------------------------------------------------------ */

/* Sums over the taps of some channels from c on. */
TN_INLINE void tn_pool_sums(const tn_pool *g, tn_rows in, tn_pool_window taps, int32_t c,
                            int32_t channels, tn_sums *sums) {
    const int32_t whole = in.ring == NULL && taps.columns == g->in_w; /* rows follow each other */
    const int32_t rows = whole != 0 ? 1 : taps.y_end - taps.y_begin;
    const int32_t columns = whole != 0 ? taps.columns * (taps.y_end - taps.y_begin) : taps.columns;
    tn_sums_begin(sums, g->few);
    for (int32_t y = taps.y_begin; y < taps.y_begin + rows; y++)
        tn_sums_add(sums, g->few, tn_row(in, y) + taps.start + c, columns, g->channels, channels);
    tn_sums_end(sums, g->few);
}

/* sum / count to nearest, halves away from zero; half is count / 2. */
TN_INLINE int8_t tn_pool_mean(int32_t sum, int32_t count, int32_t half, int32_t minimum,
                              int32_t maximum) {
    return (int8_t)tn_clamp((sum > 0 ? sum + half : sum - half) / count, minimum, maximum);
}

TN_INLINE void tn_average_pool_s8(const tn_pool *layer, tn_rows in, tn_rows out, int32_t y_begin,
                                  int32_t y_end) {
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *target = tn_row(out, y);
        for (int32_t x = 0; x < layer->out_w; x++) {
            const tn_pool_window taps = tn_pool_taps(layer, y, x);
            const int32_t count = (taps.y_end - taps.y_begin) * taps.columns;
            const int32_t half = count / 2;
            for (int32_t c = 0; c < layer->channels; c += TN_ROW_SUMS_CHANNELS) {
                const int32_t channels = tn_min(layer->channels - c, TN_ROW_SUMS_CHANNELS);
                tn_sums sums;
                tn_pool_sums(layer, in, taps, c, channels, &sums);
                for (int32_t i = 0; i < channels; i++)
                    *target++ =
                        tn_pool_mean(sums.sums[i], count, half, layer->minimum, layer->maximum);
            }
        }
    }
}

/* ---- the average of the whole image, from its rows as they come ----------------------------- */

typedef struct {
    int32_t rows; /* of the input */
    int32_t in_w; /* <= TN_ROW_SUMS_PIXELS */
    int32_t channels;
    int32_t few; /* literal, see tn_row_sums */
    int32_t minimum;
    int32_t maximum;
} tn_pool_rows;

/* Takes input rows [y_begin, y_end), all of them in order over the calls of one run; the last call
 * writes the output, after it has read its rows. scratch: TN_ROW_SUMS_SCRATCH bytes, kept
 * between calls. */
TN_INLINE void tn_average_pool_rows_s8(const tn_pool_rows *layer, tn_rows in, tn_rows out,
                                       void *scratch, int32_t y_begin, int32_t y_end) {
    const int32_t count = layer->rows * layer->in_w;
    tn_row_sums(in, layer->few, layer->in_w, layer->channels, scratch, y_begin, y_end);
    if (y_end != layer->rows) return;
    int8_t *const target = tn_row(out, 0);
    for (int32_t c = 0; c < layer->channels; c += 4) {
        int32_t sums[4];
        tn_row_sums_four(scratch, layer->few, c, sums);
        for (int32_t i = 0; i < 4 && c + i < layer->channels; i++)
            target[c + i] =
                tn_pool_mean(sums[i], count, count / 2, layer->minimum, layer->maximum);
    }
}

/* ---- maximum ------------------------------------------------------------------------------ */

/* The larger (or smaller) of each of four signed bytes. */
#if TN_DSP_NATIVE
TN_INLINE uint32_t tn_pool_max4(uint32_t a, uint32_t b) {
    uint32_t r;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(r) : "r"(a), "r"(b) : "cc");
    return r;
}
TN_INLINE uint32_t tn_pool_min4(uint32_t a, uint32_t b) {
    uint32_t r;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %2, %1" : "=&r"(r) : "r"(a), "r"(b) : "cc");
    return r;
}
#else
TN_INLINE uint32_t tn_pool_pick4(uint32_t a, uint32_t b, int want_larger) {
    uint32_t r = 0;
    for (int32_t shift = 0; shift < 32; shift += 8) {
        const uint32_t x = (a >> shift) & 0xFFu;
        const uint32_t y = (b >> shift) & 0xFFu;
        const int larger = (x ^ 0x80u) > (y ^ 0x80u);
        r |= (larger == want_larger ? x : y) << shift;
    }
    return r;
}
TN_INLINE uint32_t tn_pool_max4(uint32_t a, uint32_t b) { return tn_pool_pick4(a, b, 1); }
TN_INLINE uint32_t tn_pool_min4(uint32_t a, uint32_t b) { return tn_pool_pick4(a, b, 0); }
#endif

TN_INLINE void tn_max_pool_s8(const tn_pool *layer, tn_rows in, tn_rows out, int32_t y_begin,
                              int32_t y_end) {
    const int32_t channels = layer->channels;
    const uint32_t low4 = 0x01010101u * (uint8_t)layer->minimum;
    const uint32_t high4 = 0x01010101u * (uint8_t)layer->maximum;
    for (int32_t y = y_begin; y < y_end; y++) {
        int8_t *target = tn_row(out, y);
        for (int32_t x = 0; x < layer->out_w; x++) {
            const tn_pool_window taps = tn_pool_taps(layer, y, x);
            int32_t c = 0;
            for (; c + 4 <= channels; c += 4) {
                uint32_t best = low4;
                for (int32_t iy = taps.y_begin; iy < taps.y_end; iy++) {
                    const int8_t *p = tn_row(in, iy) + taps.start + c;
                    for (int32_t i = taps.columns; i > 0; i--) {
                        best = tn_pool_max4(best, tn_load32(p));
                        p += channels;
                    }
                }
                tn_store32(target, tn_pool_min4(best, high4));
                target += 4;
            }
            for (; c < channels; c++) {
                int32_t best = layer->minimum;
                for (int32_t iy = taps.y_begin; iy < taps.y_end; iy++) {
                    const int8_t *p = tn_row(in, iy) + taps.start + c;
                    for (int32_t i = taps.columns; i > 0; i--) {
                        best = tn_max(best, *p);
                        p += channels;
                    }
                }
                *target++ = (int8_t)tn_min(best, layer->maximum);
            }
        }
    }
}

#endif
