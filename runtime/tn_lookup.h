/* tn_lookup.h: any function of one 8-bit value, as a table of 256.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: input and output have the same rows and the same bytes in a row, any rank.
 * Aliasing: elements; an output row may start at or below its input row.
 */
#ifndef TN_LOOKUP_H
#define TN_LOOKUP_H

#include "tn_core.h"

typedef struct {
    const uint8_t *table; /* output bits for each bit pattern 0..255 of the input byte */
} tn_lookup;

TN_INLINE void tn_lookup_8(const tn_lookup *layer, tn_rows in, tn_rows out, int32_t y_begin,
                           int32_t y_end) {
    const uint8_t *const table = layer->table;
    const int flat = in.ring == NULL && out.ring == NULL;
    const int32_t bytes = flat ? out.pitch * (y_end - y_begin) : out.pitch;
    for (int32_t y = y_begin; y < y_end; y = flat ? y_end : y + 1) {
        const int8_t *source = tn_row(in, y);
        int8_t *target = tn_row(out, y);
        int32_t left = bytes;
        for (; left >= 4; left -= 4) {
            const uint32_t x = tn_load32(source);
            tn_store32(target, (uint32_t)table[x & 0xFFu] | (uint32_t)table[(x >> 8) & 0xFFu] << 8 |
                                   (uint32_t)table[(x >> 16) & 0xFFu] << 16 |
                                   (uint32_t)table[x >> 24] << 24);
            source += 4;
            target += 4;
        }
        for (; left > 0; left--) *target++ = (int8_t)table[(uint8_t)*source++];
    }
}

#endif
