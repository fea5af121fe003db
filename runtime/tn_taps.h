/* tn_taps.h: tiles of two pixels for three taps side by side.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Under a kernel three wide at stride 1 two neighbours among the output pixels have four input
 * pixels of a row, of which they share two: these are widened once, and read once for both. Taps:
 * four input pixels are interleaved, word x[4 * pair + pixel], where pairs are (c, c + 2) and
 * (c + 1, c + 3) of every four channels, for each row of the kernel. In a column of bytes, and so
 * in the blocks of tn_dot.h, the three taps follow each other in words of four channels.
 */
#ifndef TN_TAPS_H
#define TN_TAPS_H

#include "tn_dot.h"

#if TN_DSP
#if TN_DSP_NATIVE

#include "tn_taps_armv7em.h"

#else

/* The taps of the next pair. */
TN_INLINE void tn_gather_taps(tn_pairs *p) {
    const int8_t *source = p->base;
    uint32_t *x = p->gathered;
    if (p->runs == 0) return;
    for (int32_t i = 0; i < p->runs; i++) {
        if (i > 0) source += p->skips[i - 1];
        for (const int8_t *const end = source + p->width; source != end; source += 4, x += 8)
            for (int32_t j = 0; j < 4; j++) {
                const uint32_t word = tn_load32(source + j * p->next);
                x[j] = tn_sxtb16(word);
                x[4 + j] = tn_sxtb16_ror8(word);
            }
    }
    p->base += 2 * p->next;
}

/* All channels of pairs of pixels next to each other. The tn_pairs are those of taps: runs are
 * rows of the kernel, of the `width` channels of one input pixel, and `next` is from one to the
 * next. */
TN_INLINE void tn_tile_taps(const tn_tile *t, tn_pairs *p) {
    for (int8_t *out = p->out; p->pairs > 0; p->pairs--, out += 2 * p->apart) {
        const uint32_t *w = (const uint32_t *)(const void *)t->blocks;
        tn_gather_taps(p);
        for (int32_t o = 0; o < t->out_c; o += 4, w += TN_BLOCK_END / 4) {
            int32_t sums[2][4];
            for (int32_t i = 0; i < 4; i++) sums[0][i] = sums[1][i] = (int32_t)w[i];
            w += TN_BLOCK_BEGIN / 4;
            const uint32_t *x = p->columns;
            for (int32_t group = 0; group < t->groups; group++, x += group % 3 == 0 ? 8 : 0)
                for (int32_t half = 0; half < 2; half++, w += 2)
                    for (int32_t i = 0; i < 2; i++) {
                        const uint32_t pair = x[4 * half + group % 3 + i];
                        sums[i][0] = tn_smlad(pair, tn_sxtb16(w[0]), sums[i][0]);
                        sums[i][1] = tn_smlad(pair, w[0], sums[i][1]);
                        sums[i][2] = tn_smlad(pair, tn_sxtb16(w[1]), sums[i][2]);
                        sums[i][3] = tn_smlad(pair, w[1], sums[i][3]);
                    }
            for (int32_t i = 0; i < 2; i++)
                tn_tile_store_4(t, 1, (const int8_t *)w, o, sums[i], out + i * p->apart);
        }
    }
}

#endif
#endif
#endif
