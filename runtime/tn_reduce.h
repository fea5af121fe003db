/* tn_reduce.h: MEAN and SUM of int8 over any axes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: the input is whole (no ring). `loops` (tn_nest.h, operand A the input) runs over the kept
 * axes in output order; each output sums size[0] * size[1] * size[2] inputs, `step` bytes apart in
 * each of the three loops. All output rows in one band. Aliasing: none.
 * out = output_zero_point + (sum + bias) requantised, where a mean's count is in the multiplier;
 * or, `brief`, (sum * multiplier + bias) >> 21, where codegen/lowering/short_sums.py has found this
 * to be the same for all sums.
 */
#ifndef TN_REDUCE_H
#define TN_REDUCE_H

#include "tn_nest.h"
#include "tn_requantize.h"
#include "tn_row_sums.h"

/* A sum becomes an output. */
TN_INLINE int8_t tn_reduce_output(int32_t sum, int32_t brief, int32_t bias, int32_t multiplier,
                                  int32_t shift, int32_t zero_point) {
    if (brief != 0) return (int8_t)tn_ssat8_asr21(sum * multiplier + bias);
    return (int8_t)tn_clamp(tn_requantize_exact(sum + bias, multiplier, shift) + zero_point, -128,
                            127);
}

typedef struct {
    int32_t size[3]; /* reduced loops, innermost first */
    int32_t step[3];
    int32_t few;   /* literal: what is summed are few pixels, as tn_row_sums.h has it */
    int32_t brief; /* literal */
    int32_t bias;  /* unless `brief` minus the input zero point, times the count */
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero_point;
    const int32_t *loops;
} tn_reduce;

/* Sums of `n` neighbours from p on. */
TN_INLINE void tn_reduce_sums(const tn_reduce *g, const int8_t *p, int32_t n, tn_sums *sums) {
    tn_sums_begin(sums, g->few);
    for (int32_t k = 0; k < g->size[2]; k++)
        for (int32_t j = 0; j < g->size[1]; j++)
            tn_sums_add(sums, g->few, p + k * g->step[2] + j * g->step[1], g->size[0], g->step[0],
                        n);
    tn_sums_end(sums, g->few);
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
            const int32_t width = inner_step == 1 ? tn_min(left, TN_ROW_SUMS_CHANNELS) : 1;
            tn_sums sums;
            tn_reduce_sums(layer, p, width, &sums);
            for (int32_t i = 0; i < width; i++)
                *target++ = tn_reduce_output(sums.sums[i], layer->brief, layer->bias,
                                             layer->multiplier, layer->shift,
                                             layer->output_zero_point);
            p += width * inner_step;
            left -= width;
        }
    } while (tn_nest_next(loops, &at));
}

/* ---- over height and width, from rows as they come ------------------------------------------- */

typedef struct {
    int32_t rows; /* of the input */
    int32_t in_w; /* <= TN_ROW_SUMS_PIXELS */
    int32_t channels;
    int32_t few;   /* literal, see tn_row_sums */
    int32_t brief; /* literal; the last five as in tn_reduce */
    int32_t bias;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero_point;
} tn_reduce_rows;

/* Takes input rows [y_begin, y_end), all of them in order over the calls of one run; the last call
 * writes the output, after it has read its rows. scratch: TN_ROW_SUMS_SCRATCH bytes, kept
 * between calls. */
TN_INLINE void tn_reduce_rows_s8(const tn_reduce_rows *layer, tn_rows in, tn_rows out,
                                 void *scratch, int32_t y_begin, int32_t y_end) {
    tn_row_sums(in, layer->few, layer->in_w, layer->channels, scratch, y_begin, y_end);
    if (y_end != layer->rows) return;
    int8_t *const target = tn_row(out, 0);
    for (int32_t c = 0; c < layer->channels; c += 4) {
        int32_t sums[4];
        tn_row_sums_four(scratch, layer->few, c, sums);
        for (int32_t i = 0; i < 4 && c + i < layer->channels; i++)
            target[c + i] =
                tn_reduce_output(sums[i], layer->brief, layer->bias, layer->multiplier,
                                 layer->shift, layer->output_zero_point);
    }
}

#endif
