/* tn_row_sums.h: sums over pixels by channel, for pools and means.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Pairs: sums as int16, of `few` pixels, TN_ROW_SUMS_PIXELS at most: for every four channels a, b,
 * c, d the words (a, c) and (b, d), low half first.
 */
#ifndef TN_ROW_SUMS_H
#define TN_ROW_SUMS_H

#include "tn_dsp.h"

#define TN_ROW_SUMS_PIXELS 256  /* so many bytes add up inside an int16 */
#define TN_ROW_SUMS_CHANNELS 16 /* of a tn_sums */

#if TN_DSP_NATIVE

#include "tn_row_sums_armv7em.h"

#else

/* Adds the bytes of `columns` pixels, `step` bytes apart from p on, of as many channels. */
#define tn_row_sums_add TN_VARIANT(tn_row_sums_add)
TN_SHARED void tn_row_sums_add(const int8_t *p, int32_t columns, int32_t step, int32_t channels,
                               uint32_t *pairs) {
    for (int32_t c = 0; c < channels; c++) {
        uint32_t *const pair = pairs + (c >> 2) * 2 + (c & 1);
        const int8_t *q = p + c;
        int32_t sum = 0;
#pragma GCC unroll 2
        for (int32_t i = columns; i > 0; i--, q += step) sum += *q;
        if ((c & 2) != 0)
            *pair += (uint32_t)sum << 16;
        else
            *pair = (*pair & 0xFFFF0000u) | ((*pair + (uint32_t)sum) & 0xFFFFu);
    }
}

#endif

/* sums += those that the pairs of four channels hold. */
TN_INLINE void tn_pairs_four(const uint32_t *pairs, int32_t *sums) {
    sums[0] += (int16_t)(pairs[0] & 0xFFFFu);
    sums[1] += (int16_t)(pairs[1] & 0xFFFFu);
    sums[2] += (int16_t)(pairs[0] >> 16);
    sums[3] += (int16_t)(pairs[1] >> 16);
}

/* Sums of up to TN_ROW_SUMS_CHANNELS channels; in pairs until the end where pixels are few. */
typedef struct {
    uint32_t pairs[TN_ROW_SUMS_CHANNELS / 2];
    int32_t sums[TN_ROW_SUMS_CHANNELS];
} tn_sums;

TN_INLINE void tn_sums_begin(tn_sums *s, int32_t few) {
    const uint32_t zero = tn_opaque(0); /* so that no memset comes of it, which is slow */
    for (int32_t i = 0; i < TN_ROW_SUMS_CHANNELS / 2; i++) s->pairs[i] = zero;
    for (int32_t i = 0; few == 0 && i < TN_ROW_SUMS_CHANNELS; i++) s->sums[i] = (int32_t)zero;
}

/* Of few pixels: sums are those of the pairs. */
TN_INLINE void tn_sums_end(tn_sums *s, int32_t few) {
    for (int32_t c = 0; few != 0 && c < TN_ROW_SUMS_CHANNELS; c += 4) {
        int32_t *const four = s->sums + c;
        four[0] = four[1] = four[2] = four[3] = 0;
        tn_pairs_four(s->pairs + c / 2, four);
    }
}

/* As tn_row_sums_add. */
TN_INLINE void tn_sums_add(tn_sums *s, int32_t few, const int8_t *p, int32_t columns, int32_t step,
                           int32_t channels) {
    if (few != 0) {
        tn_row_sums_add(p, columns, step, channels, s->pairs);
        return;
    }
    for (; columns > 0; columns -= TN_ROW_SUMS_PIXELS, p += TN_ROW_SUMS_PIXELS * step) {
        tn_row_sums_add(p, tn_min(columns, TN_ROW_SUMS_PIXELS), step, channels, s->pairs);
        for (int32_t c = 0; c < TN_ROW_SUMS_CHANNELS; c += 4) {
            tn_pairs_four(s->pairs + c / 2, s->sums + c);
            s->pairs[c / 2] = s->pairs[c / 2 + 1] = 0;
        }
    }
}

/* ---- from rows as they come ------------------------------------------------------------------ */

/* Bytes of the sums of so many channels: pairs where pixels are few. */
#define TN_ROW_SUMS_SCRATCH(channels, few) (((few) != 0 ? 2 : 4) * (((channels) + 3) & ~3))

/* Adds rows [y_begin, y_end) of columns * channels bytes, columns <= TN_ROW_SUMS_PIXELS; row 0
 * starts from nothing. Scratch lives from the first row to the last; few: all rows are of few
 * pixels together. */
TN_INLINE void tn_row_sums(tn_rows in, int32_t few, int32_t columns, int32_t channels,
                           void *scratch, int32_t y_begin, int32_t y_end) {
    int32_t *const sums = (int32_t *)scratch;
    if (y_begin == 0) memset(scratch, 0, (size_t)TN_ROW_SUMS_SCRATCH(channels, few));
    for (int32_t y = y_begin; y < y_end; y++) {
        const int8_t *const row = tn_row(in, y);
        if (few != 0) {
            tn_row_sums_add(row, columns, channels, channels, (uint32_t *)scratch);
            continue;
        }
        for (int32_t c = 0; c < channels; c += 4) {
            uint32_t pairs[2] = {0, 0};
            tn_row_sums_add(row + c, columns, channels, tn_min(channels - c, 4), pairs);
            tn_pairs_four(pairs, sums + c);
        }
    }
}

/* The sums of channels c to c + 3, c a multiple of four. */
TN_INLINE void tn_row_sums_four(const void *scratch, int32_t few, int32_t c, int32_t *sums) {
    sums[0] = sums[1] = sums[2] = sums[3] = 0;
    if (few != 0)
        tn_pairs_four((const uint32_t *)scratch + c / 2, sums);
    else
        memcpy(sums, (const int32_t *)scratch + c, 4 * sizeof *sums);
}

#endif
