/* tn_copy.h: moving values without changing them: SLICE, TRANSPOSE, PAD, CONCATENATION, copies.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * `loops` (tn_nest.h) is the block that one output row takes from the input, steps in bytes,
 * operand A the input, B the output. Output row y takes it from input row y * row_stride +
 * row_begin, and leaves the row alone (PAD: filled only) where that is not a row of the input.
 * Aliasing: rows.
 */
#ifndef TN_COPY_H
#define TN_COPY_H

#include "tn_nest.h"

typedef struct {
    int32_t element; /* literal: 1, 2 or 4 bytes moved at a time, or 0: the inner run is memcpy */
    int32_t whole;   /* literal: one block moves all rows; input and output are whole */
    int32_t row_stride;
    int32_t row_begin;
    int32_t in_rows;
    int32_t in_start;  /* byte offset in the input (row) */
    int32_t out_start; /* byte offset in the output row */
    int32_t value;         /* PAD: what the rest of the row is filled with */
    int32_t value_element; /* PAD: its bytes, 1, 2 or 4 */
    const int8_t *constant; /* the input of tn_copy_constant_any, or 0 */
    int32_t constant_pitch;
    const int32_t *loops;
} tn_copy;

TN_INLINE void tn_copy_block(const tn_copy *g, const int8_t *in, int8_t *out) {
    const int32_t *const loops = g->loops;
    const int32_t n = loops[TN_NEST_INNER];
    tn_nest at = {{0, 0, 0, 0}, 0, 0};
    do {
        const int8_t *source = in + at.a;
        int8_t *target = out + at.b;
        if (g->element == 0) {
            memcpy(target, source, (size_t)n);
            continue;
        }
        for (int32_t i = 0; i < n; i++) {
            if (g->element == 4) {
                memcpy(target, source, 4);
            } else if (g->element == 2) {
                memcpy(target, source, 2);
            } else {
                *target = *source;
            }
            source += loops[TN_NEST_INNER_A];
            target += loops[TN_NEST_INNER_B];
        }
    } while (tn_nest_next(loops, &at));
}

TN_INLINE void tn_copy_row(const tn_copy *g, tn_rows in, tn_rows out, int32_t y) {
    const int32_t row = y * g->row_stride + g->row_begin;
    if (row < 0 || row >= g->in_rows) return;
    tn_copy_block(g, tn_row(in, row) + y * g->loops[TN_NEST_STEP_A] + g->in_start,
                  tn_row(out, y) + g->out_start);
}

/* Any dense or strided move; output bytes outside the block keep their value. */
TN_INLINE void tn_copy_any(const tn_copy *layer, tn_rows in, tn_rows out, int32_t y_begin,
                           int32_t y_end) {
    const int32_t end = layer->whole ? y_begin + 1 : y_end;
    for (int32_t y = y_begin; y < end; y++) tn_copy_row(layer, in, out, y);
}

/* The same from a constant. */
TN_INLINE void tn_copy_constant_any(const tn_copy *layer, tn_rows out, int32_t y_begin,
                                    int32_t y_end) {
    const int32_t end = layer->whole ? y_begin + 1 : y_end;
    for (int32_t y = y_begin; y < end; y++) {
        const int32_t row = y * layer->row_stride + layer->row_begin;
        if (row < 0 || row >= layer->in_rows) continue;
        tn_copy_block(layer, layer->constant + row * layer->constant_pitch + layer->in_start,
                      tn_row(out, y) + layer->out_start);
    }
}

/* PAD: each output row is filled with `value`, then takes its block. */
TN_INLINE void tn_pad_any(const tn_copy *layer, tn_rows in, tn_rows out, int32_t y_begin,
                          int32_t y_end) {
    const int32_t end = layer->whole ? y_begin + 1 : y_end;
    const int32_t bytes = layer->whole ? out.pitch * (y_end - y_begin) : out.pitch;
    for (int32_t y = y_begin; y < end; y++) {
        int8_t *const row = tn_row(out, y);
        if (layer->value_element == 1) {
            memset(row, (int)layer->value & 0xFF, (size_t)bytes);
        } else {
            for (int32_t i = 0; i < bytes; i += layer->value_element) {
                memcpy(row + i, &layer->value, (size_t)layer->value_element);
            }
        }
        tn_copy_row(layer, in, out, y);
    }
}

#endif
