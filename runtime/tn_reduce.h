/* tn_reduce.h: MEAN and SUM of int8 over any axes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: the input is whole (ring 0). `loops` (tn_nest.h, operand A the input) runs over the kept
 * axes in output order; each output sums size[0] * size[1] * size[2] inputs, `step` bytes apart in
 * each of the three loops. All output rows in one band. Aliasing: none.
 * out = output_zero_point + (sum + bias) requantised, where a mean's count is in the multiplier.
 */
#ifndef TN_REDUCE_H
#define TN_REDUCE_H

#include "tn_nest.h"
#include "tn_requantize.h"

typedef struct {
    int32_t size[3]; /* reduced loops, innermost first */
    int32_t step[3];
    int32_t bias; /* minus the input zero point, times the count */
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero_point;
    const int32_t *loops;
} tn_reduce;

TN_INLINE int8_t tn_reduce_output(const tn_reduce *g, int32_t sum) {
    const int32_t x =
        tn_multiply_by_quantized_multiplier(sum + g->bias, g->multiplier, g->shift);
    return (int8_t)tn_clamp(x + g->output_zero_point, -128, 127);
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
        const int8_t *base = in.data + at.a;
        int32_t c = 0;
        for (; inner_step == 1 && c + 4 <= inner; c += 4) {
            int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            for (int32_t k = 0; k < layer->size[2]; k++) {
                for (int32_t j = 0; j < layer->size[1]; j++) {
                    const int8_t *p = base + c + k * layer->step[2] + j * layer->step[1];
                    for (int32_t i = layer->size[0]; i > 0; i--) {
                        const uint32_t word = tn_load32(p);
                        s0 += (int8_t)(word & 0xFFu);
                        s1 += (int8_t)((word >> 8) & 0xFFu);
                        s2 += (int8_t)((word >> 16) & 0xFFu);
                        s3 += (int8_t)(word >> 24);
                        p += layer->step[0];
                    }
                }
            }
            target[0] = tn_reduce_output(layer, s0);
            target[1] = tn_reduce_output(layer, s1);
            target[2] = tn_reduce_output(layer, s2);
            target[3] = tn_reduce_output(layer, s3);
            target += 4;
        }
        for (; c < inner; c++) {
            int32_t sum = 0;
            for (int32_t k = 0; k < layer->size[2]; k++) {
                for (int32_t j = 0; j < layer->size[1]; j++) {
                    const int8_t *p =
                        base + c * inner_step + k * layer->step[2] + j * layer->step[1];
                    for (int32_t i = layer->size[0]; i > 0; i--) {
                        sum += *p;
                        p += layer->step[0];
                    }
                }
            }
            *target++ = tn_reduce_output(layer, sum);
        }
    } while (tn_nest_next(loops, &at));
}

#endif
