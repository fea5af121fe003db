/* tn_reduce.h: MEAN and SUM of int8 over any axes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: the input is whole (no ring). `loops` (tn_nest.h, operand A the input) runs over the kept
 * axes in output order; each output sums size[0] * size[1] * size[2] inputs, `step` bytes apart in
 * each of the three loops. All output rows in one band. Aliasing: none.
 * out = output_zero_point + (sum + bias) requantised, where a mean's count is in the multiplier.
 */
#ifndef TN_REDUCE_H
#define TN_REDUCE_H

#include "tn_nest.h"
#include "tn_requantize.h"
#include "tn_row_sums.h"

typedef struct {
    int32_t size[3]; /* reduced loops, innermost first */
    int32_t step[3];
    int32_t bias; /* minus the input zero point, times the count */
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero_point;
    const int32_t *loops;
} tn_reduce;

/* Sums of one byte each (width 1) or of four neighbours (width 4), from p on. */
TN_INLINE void tn_reduce_sums(const tn_reduce *g, const int8_t *p, int32_t width, int32_t *sums) {
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int32_t k = 0; k < g->size[2]; k++) {
        for (int32_t j = 0; j < g->size[1]; j++) {
            const int8_t *q = p + k * g->step[2] + j * g->step[1];
            for (int32_t i = g->size[0]; i > 0; i--) {
                if (width == 4) {
                    const uint32_t word = tn_load32(q);
                    s0 += (int8_t)(word & 0xFFu);
                    s1 += (int8_t)((word >> 8) & 0xFFu);
                    s2 += (int8_t)((word >> 16) & 0xFFu);
                    s3 += (int8_t)(word >> 24);
                } else {
                    s0 += *q;
                }
                q += g->step[0];
            }
        }
    }
    sums[0] = s0;
    if (width == 4) {
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
    }
}

TN_INLINE void tn_reduce_s8(const tn_reduce *layer, tn_rows in, tn_rows out, int32_t y_begin,
                            int32_t y_end) {
    const int32_t *const loops = layer->loops;
    const int32_t inner = loops[TN_NEST_INNER];
    const int32_t inner_step = loops[TN_NEST_INNER_A];
    int8_t *target = tn_row(out, y_begin);
    tn_nest at = {{0, 0, 0, 0}, 0, 0};
    (void)y_end;
    do {
        const int8_t *p = in.data + at.a;
        for (int32_t left = inner; left > 0;) {
            int32_t sums[4];
            const int32_t width = inner_step == 1 && left >= 4 ? 4 : 1;
            if (width == 4) {
                tn_reduce_sums(layer, p, 4, sums);
            } else {
                tn_reduce_sums(layer, p, 1, sums);
            }
            for (int32_t i = 0; i < width; i++) {
                const int32_t x = tn_multiply_by_quantized_multiplier(
                    sums[i] + layer->bias, layer->multiplier, layer->shift);
                *target++ = (int8_t)tn_clamp(x + layer->output_zero_point, -128, 127);
            }
            p += width * inner_step;
            left -= width;
        }
    } while (tn_nest_next(loops, &at));
}

/* ---- over height and width, from rows as they come ------------------------------------------- */

typedef struct {
    int32_t rows; /* of the input */
    int32_t in_w; /* <= 256 */
    int32_t channels;
    int32_t bias; /* the last four as in tn_reduce */
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero_point;
} tn_reduce_rows;

/* Takes input rows [y_begin, y_end), all of them in order over the calls of one run; the last call
 * writes the output, after it has read its rows. scratch: 4 * channels bytes, kept between calls. */
TN_INLINE void tn_reduce_rows_s8(const tn_reduce_rows *layer, tn_rows in, tn_rows out,
                                 void *scratch, int32_t y_begin, int32_t y_end) {
    int32_t *const sums = (int32_t *)scratch;
    tn_row_sums(in, layer->in_w, layer->channels, sums, y_begin, y_end);
    if (y_end != layer->rows) return;
    int8_t *const target = tn_row(out, 0);
    for (int32_t c = 0; c < layer->channels; c++) {
        const int32_t x =
            tn_requantize_exact(sums[c] + layer->bias, layer->multiplier, layer->shift);
        target[c] = (int8_t)tn_clamp(x + layer->output_zero_point, -128, 127);
    }
}

#endif
