/* tn_widened_conv_2d.h: CONV_2D of 1x1 filters at stride 1 over inputs that are int16 already.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As tn_pointwise_conv_2d.h, of layers that tn_straight.h has tiles for. What computes the input
 * leaves it as the tiles read it (tn_depthwise_rows.h, `widened`): nothing is gathered. Outputs may
 * lie over no input.
 */
#ifndef TN_WIDENED_CONV_2D_H
#define TN_WIDENED_CONV_2D_H

#include "tn_straight.h"

typedef struct {
    int32_t in_c;         /* a multiple of four */
    int32_t out_w, out_c; /* out_w at least 2 */
    int32_t out_zero_point;
    const int8_t *blocks;
} tn_widened_conv_2d;

/* Output rows [y_begin, y_end). The last of an odd number of pixels is computed with the one before
 * it once more. */
TN_INLINE void tn_widened_rows(const tn_widened_conv_2d *g, tn_rows in, tn_rows out,
                               int32_t y_begin, int32_t y_end, tn_straight_tile *tile) {
    const int32_t flat = in.ring == NULL && out.ring == NULL;
    const int32_t pixels = flat ? (y_end - y_begin) * g->out_w : g->out_w;
    tn_straight t;
    t.blocks = g->blocks, t.out_c = g->out_c, t.zero_point = g->out_zero_point;
    for (int32_t y = y_begin; y < y_end; y = flat ? y_end : y + 1) {
        int8_t *const x = (int8_t *)(uintptr_t)tn_row(in, y);
        t.x = x, t.out = tn_row(out, y), t.pairs = pixels / 2, t.in = NULL;
        tile(&t);
        if ((pixels & 1) != 0) {
            t.x = x + 2 * (pixels - 2) * g->in_c, t.out += (pixels - 2) * g->out_c, t.pairs = 1;
            tile(&t);
        }
    }
}

/* tn_widened_conv_2d_N_D_s8, of N words of k, D = 4 * N bytes; tn_widened_exact_conv_2d_N_D_s8 where
 * requantisation is not folded:
 *
 *     void tn_widened_conv_2d_N_D_s8(const tn_widened_conv_2d *g, tn_rows in, tn_rows out,
 *                                    int32_t y_begin, int32_t y_end); */
#define TN_WIDENED_CONV_2D_S8(N, D)                                                                \
    TN_STRIP_TILE(N, D)                                                                            \
    TN_INLINE void tn_widened_conv_2d_##N##_##D##_s8(const tn_widened_conv_2d *g, tn_rows in,      \
                                                     tn_rows out, int32_t y_begin,                 \
                                                     int32_t y_end) {                              \
        tn_widened_rows(g, in, out, y_begin, y_end, TN_VARIANT(tn_strip_tile_##N##_##D));          \
    }
#define TN_WIDENED_EXACT_CONV_2D_S8(N, D)                                                          \
    TN_EXACT_TILE(N, D)                                                                            \
    TN_INLINE void tn_widened_exact_conv_2d_##N##_##D##_s8(                                        \
        const tn_widened_conv_2d *g, tn_rows in, tn_rows out, int32_t y_begin, int32_t y_end) {    \
        tn_widened_rows(g, in, out, y_begin, y_end, TN_VARIANT(tn_exact_tile_##N##_##D));          \
    }

#endif
