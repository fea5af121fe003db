/* tn_prelu.h: PRELU with a constant slope tensor that broadcasts over the input.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: output as input; `loops` (tn_nest.h, operand A the input, B alpha) covers an output row.
 * Aliasing: elements.
 */
#ifndef TN_PRELU_H
#define TN_PRELU_H

#include "tn_nest.h"
#include "tn_requantize.h"

typedef struct {
    int32_t input_zero_point;
    int32_t alpha_zero_point;
    int32_t output_zero_point;
    int32_t multiplier; /* of x >= 0 */
    int32_t shift;
    int32_t alpha_multiplier; /* of x * alpha */
    int32_t alpha_shift;
    const int8_t *alpha;
    const int32_t *loops;
} tn_prelu;

TN_INLINE void tn_prelu_s8(const tn_prelu *layer, tn_rows in, tn_rows out, int32_t y_begin,
                           int32_t y_end) {
    const int32_t *const loops = layer->loops;
    for (int32_t y = y_begin; y < y_end; y++) {
        const int8_t *const row = tn_row(in, y);
        const int8_t *const alpha = layer->alpha + y * loops[TN_NEST_STEP_B];
        int8_t *target = tn_row(out, y);
        tn_nest at = {{0, 0, 0, 0}, 0, 0};
        do {
            const int8_t *source = row + at.a;
            const int8_t *slope = alpha + at.b;
            for (int32_t i = 0; i < loops[TN_NEST_INNER]; i++) {
                int32_t x = *source - layer->input_zero_point;
                int32_t multiplier = layer->multiplier;
                int32_t shift = layer->shift;
                if (x < 0) {
                    x *= *slope - layer->alpha_zero_point;
                    multiplier = layer->alpha_multiplier;
                    shift = layer->alpha_shift;
                }
                x = tn_multiply_by_quantized_multiplier(x, multiplier, shift);
                *target++ = (int8_t)tn_clamp(x + layer->output_zero_point, -128, 127);
                source += loops[TN_NEST_INNER_A];
                slope += loops[TN_NEST_INNER_B];
            }
        } while (tn_nest_next(loops, &at));
    }
}

#endif
