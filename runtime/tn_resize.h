/* tn_resize.h: RESIZE_NEAREST_NEIGHBOR (any type) and RESIZE_BILINEAR (int8).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Where each output row and column comes from is a table made at compile time. The input is whole
 * (no ring) or holds the rows that the band needs. Aliasing: none.
 */
#ifndef TN_RESIZE_H
#define TN_RESIZE_H

#include "tn_core.h"

typedef struct {
    int32_t pixel_bytes;
    int32_t out_w;
    const uint16_t *rows;    /* input row of each output row */
    const uint16_t *columns; /* input column of each output column */
} tn_resize_nearest;

TN_INLINE void tn_resize_nearest_any(const tn_resize_nearest *layer, tn_rows in, tn_rows out,
                                     int32_t y_begin, int32_t y_end) {
    for (int32_t y = y_begin; y < y_end; y++) {
        const int8_t *const row = tn_row(in, layer->rows[y]);
        int8_t *target = tn_row(out, y);
        for (int32_t x = 0; x < layer->out_w; x++) {
            memcpy(target, row + layer->columns[x] * layer->pixel_bytes,
                   (size_t)layer->pixel_bytes);
            target += layer->pixel_bytes;
        }
    }
}

/* A tap is three int16: the lower and upper input index, and the weight of the upper in 1/1024
 * (which half-pixel centres make negative at the edge, where both indices are the same). */
typedef struct {
    int32_t channels;
    int32_t out_w;
    const int16_t *rows;    /* a tap for each output row */
    const int16_t *columns; /* a tap for each output column */
} tn_resize_bilinear;

TN_INLINE void tn_resize_bilinear_s8(const tn_resize_bilinear *layer, tn_rows in, tn_rows out,
                                     int32_t y_begin, int32_t y_end) {
    const int32_t channels = layer->channels;
    for (int32_t y = y_begin; y < y_end; y++) {
        const int16_t *const v = layer->rows + 3 * y;
        const int8_t *const upper = tn_row(in, v[0]);
        const int8_t *const lower = tn_row(in, v[1]);
        int8_t *target = tn_row(out, y);
        for (int32_t x = 0; x < layer->out_w; x++) {
            const int16_t *const h = layer->columns + 3 * x;
            const int32_t left = h[0] * channels;
            const int32_t right = h[1] * channels;
            for (int32_t c = 0; c < channels; c++) {
                const int32_t first =
                    upper[left + c] * (1024 - v[2]) + lower[left + c] * v[2];
                const int32_t second =
                    upper[right + c] * (1024 - v[2]) + lower[right + c] * v[2];
                const int32_t sum = first * (1024 - h[2]) + second * h[2];
                *target++ = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
            }
        }
    }
}

#endif
