/* tn_row_sums.h: sums over pixels by channel from rows as they come, for pools and means.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Shapes: rows of columns * channels bytes, columns <= 256; `sums` holds one int32 a channel and
 * lives from the first row to the last.
 */
#ifndef TN_ROW_SUMS_H
#define TN_ROW_SUMS_H

#include "tn_dsp.h"

/* sums[c] += the row's bytes of channel c. 256 bytes of -128..127 add up inside an int16. */
#define tn_row_sums_add TN_VARIANT(tn_row_sums_add)
TN_SHARED void tn_row_sums_add(const int8_t *row, int32_t columns, int32_t channels,
                               int32_t *sums) {
    int32_t left = channels;
    for (; left >= 4; left -= 4, row += 4, sums += 4) {
        uint32_t even = 0, odd = 0;
        const int8_t *p = row;
        for (int32_t i = columns; i > 0; i--, p += channels) {
            const uint32_t four = tn_load32(p);
            even = tn_sxtab16(even, four);
            odd = tn_sxtab16_ror8(odd, four);
        }
        sums[0] += (int16_t)(even & 0xFFFFu);
        sums[1] += (int16_t)(odd & 0xFFFFu);
        sums[2] += (int16_t)(even >> 16);
        sums[3] += (int16_t)(odd >> 16);
    }
    for (; left > 0; left--, row++, sums++) {
        const int8_t *p = row;
        int32_t sum = *sums;
        for (int32_t i = columns; i > 0; i--, p += channels) sum += *p;
        *sums = sum;
    }
}

/* Adds rows [y_begin, y_end); row 0 starts from nothing. */
TN_INLINE void tn_row_sums(tn_rows in, int32_t columns, int32_t channels, int32_t *sums,
                           int32_t y_begin, int32_t y_end) {
    if (y_begin == 0) memset(sums, 0, (size_t)channels * sizeof *sums);
    for (int32_t y = y_begin; y < y_end; y++)
        tn_row_sums_add(tn_row(in, y), columns, channels, sums);
}

#endif
