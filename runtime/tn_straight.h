/* tn_straight.h: tiles whose count of k and places of x are constants of the code.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * They compute all channels of pairs of output pixels from blocks as tn_dot.h has them: of layers
 * that are joined, whose channels are a multiple of four and whose requantisation is folded (LONG
 * 0) or fast and without limits (LONG 1). K is counted in words of two. Those of a strip have their
 * words in the order of k: (0, 1), (2, 3), ...
 */
#ifndef TN_STRAIGHT_H
#define TN_STRAIGHT_H

#include "tn_dot.h"

/* What a tile computes. tn_straight_armv7em.h knows the order of the fields. */
typedef struct {
    const int8_t *blocks;
    void *x;            /* of the first pixel, two int16 a word, 4-byte aligned */
    int8_t *out;        /* of the first pixel; pixels follow each other */
    int32_t out_c;
    int32_t pairs;      /* of pixels, >= 1 */
    const int8_t *in;   /* of the first pixel, of a pointwise layer; x is not used then */
    int32_t zero_point; /* of the output, where LONG is 1 */
} tn_straight;

typedef void tn_straight_tile(const tn_straight *t);

/* The same as a tile of `words`. */
TN_INLINE tn_tile tn_straight_as_tile(const tn_straight *t, int32_t words, int32_t is_long) {
    const tn_tile tile = {t->blocks, t->out_c, words / 2, t->zero_point, -128, 127, 2 - is_long, 0};
    return tile;
}

#if TN_DSP_NATIVE
#include "tn_straight_armv7em.h"
#endif

#endif
