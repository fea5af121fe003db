/* tn_quantize.h: QUANTIZE between integer types of which at least one has 16 bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: input and output have the same rows and elements in a row.
 * Aliasing: elements (units of input_bytes and output_bytes).
 */
#ifndef TN_QUANTIZE_H
#define TN_QUANTIZE_H

#include "tn_requantize.h"

typedef struct {
    int32_t input_bytes;    /* literal: 1 or 2 */
    int32_t output_bytes;   /* literal: 1 or 2 */
    int32_t input_unsigned; /* literal: the input is uint8 */
    int32_t input_zero_point;
    int32_t multiplier;
    int32_t shift;
    int32_t output_zero_point;
    int32_t minimum;
    int32_t maximum;
} tn_quantize;

TN_INLINE void tn_quantize_16(const tn_quantize *layer, tn_rows in, tn_rows out, int32_t y_begin,
                              int32_t y_end) {
    for (int32_t y = y_begin; y < y_end; y++) {
        const int8_t *source = tn_row(in, y);
        int8_t *target = tn_row(out, y);
        for (int32_t left = out.pitch; left > 0; left -= layer->output_bytes) {
            int32_t x;
            if (layer->input_bytes == 2) {
                int16_t wide;
                memcpy(&wide, source, sizeof wide);
                x = wide;
            } else {
                x = layer->input_unsigned ? (int32_t)(uint8_t)*source : (int32_t)*source;
            }
            x = tn_multiply_by_quantized_multiplier(x - layer->input_zero_point, layer->multiplier,
                                                    layer->shift);
            x = tn_clamp(x + layer->output_zero_point, layer->minimum, layer->maximum);
            if (layer->output_bytes == 2) {
                const int16_t wide = (int16_t)x;
                memcpy(target, &wide, sizeof wide);
            } else {
                *target = (int8_t)(uint8_t)x;
            }
            source += layer->input_bytes;
            target += layer->output_bytes;
        }
    }
}

#endif
