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
    int32_t out_w, out_c;
    int32_t out_zero_point;
    const int8_t *blocks;
} tn_widened_conv_2d;

/* Output rows [y_begin, y_end). single: for the last of an odd number of pixels. */
TN_INLINE void tn_widened_rows(const tn_widened_conv_2d *g, tn_rows in, tn_rows out,
                               int32_t y_begin, int32_t y_end, tn_straight_tile *tile,
                               tn_straight_tile *single) {
    const int32_t flat = in.ring == NULL && out.ring == NULL;
    const int32_t pixels = flat ? (y_end - y_begin) * g->out_w : g->out_w;
    tn_straight t;
    t.blocks = g->blocks, t.in = NULL, t.out_c = g->out_c, t.pairs = pixels / 2;
    t.zero_point = g->out_zero_point;
    for (int32_t y = y_begin; y < y_end; y = flat ? y_end : y + 1) {
        int8_t *const x = (int8_t *)(uintptr_t)tn_row(in, y);
        t.x = x, t.out = tn_row(out, y);
        if (t.pairs > 0) tile(&t);
        if (single != NULL && (pixels & 1) != 0) {
            t.x = x + 2 * (pixels - 1) * g->in_c, t.out += (pixels - 1) * g->out_c;
            single(&t);
        }
    }
}

/* tn_widened_conv_2d_N_D_ODD_LONG_s8, of N words of k and D = 4 * N bytes, ODD 1 where out_w is
 * odd, else 0; LONG: see tn_straight.h.
 *
 *     void tn_widened_conv_2d_N_D_ODD_LONG_s8(const tn_widened_conv_2d *g, tn_rows in, tn_rows out,
 *                                             int32_t y_begin, int32_t y_end);
 *
 * Of what TN_STRIP_TILE(N, D, LONG) and, where ODD is 1, TN_STRIP_SINGLE(N, LONG) made. */
#define TN_WIDENED_SINGLE_0(N, LONG) NULL
#define TN_WIDENED_SINGLE_1(N, LONG) TN_VARIANT(tn_strip_single_##N##_##LONG)
#define TN_WIDENED_CONV_2D_S8(N, D, ODD, LONG)                                                     \
    TN_INLINE void tn_widened_conv_2d_##N##_##D##_##ODD##_##LONG##_s8(                             \
        const tn_widened_conv_2d *g, tn_rows in, tn_rows out, int32_t y_begin, int32_t y_end) {    \
        tn_widened_rows(g, in, out, y_begin, y_end, TN_VARIANT(tn_strip_tile_##N##_##D##_##LONG),  \
                        TN_WIDENED_SINGLE_##ODD(N, LONG));                                         \
    }

/* tn_unrolled_widened_conv_2d_N_D_ODD_C_U_s8, of C channels, U blocks a turn, of what
 * TN_UNROLLED_STRIP_TILE(N, D, C, U) made and TN_STRIP_SINGLE(N, 0). */
#define TN_UNROLLED_WIDENED_CONV_2D_S8(N, D, ODD, C, U)                                            \
    TN_INLINE void tn_unrolled_widened_conv_2d_##N##_##D##_##ODD##_##C##_##U##_s8(                 \
        const tn_widened_conv_2d *g, tn_rows in, tn_rows out, int32_t y_begin, int32_t y_end) {    \
        tn_widened_rows(g, in, out, y_begin, y_end,                                                \
                        TN_VARIANT(tn_unrolled_strip_tile_##N##_##D##_##C##_##U),                  \
                        TN_WIDENED_SINGLE_##ODD(N, 0));                                            \
    }

#endif
