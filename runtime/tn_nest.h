/* tn_nest.h: loops over two operands whose steps differ, for broadcasting and moving data.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A nest is a constant array of TN_NEST_LENGTH int32: four outer loops, outermost first, around an
 * inner run. Operand A and operand B advance by their own step in every loop, in elements of the
 * kernel's choosing; the third operand, if any, is dense. `row` and `step` place an operand for
 * output row y: it starts at tn_row(operand, y * row) + y * step.
 */
#ifndef TN_NEST_H
#define TN_NEST_H

#include "tn_core.h"

enum {
    TN_NEST_LOOPS = 4,
    TN_NEST_SIZE = 0, /* [4] iterations of each outer loop, all at least 1 */
    TN_NEST_A = 4,    /* [4] step of operand A in each outer loop */
    TN_NEST_B = 8,    /* [4] step of operand B in each outer loop */
    TN_NEST_INNER = 12,
    TN_NEST_INNER_A = 13,
    TN_NEST_INNER_B = 14,
    TN_NEST_ROW_A = 15, /* 1: operand A has a row for each output row, 0: it is one row */
    TN_NEST_ROW_B = 16,
    TN_NEST_STEP_A = 17,
    TN_NEST_STEP_B = 18,
    TN_NEST_LENGTH = 19
};

/* Position in the outer loops; starts as all zeros. */
typedef struct {
    int32_t index[TN_NEST_LOOPS];
    int32_t a;
    int32_t b;
} tn_nest;

/* Moves to the next position of the outer loops; 0 when there is none. */
TN_INLINE int tn_nest_next(const int32_t *loops, tn_nest *at) {
    for (int32_t d = TN_NEST_LOOPS - 1; d >= 0; d--) {
        at->a += loops[TN_NEST_A + d];
        at->b += loops[TN_NEST_B + d];
        if (++at->index[d] < loops[TN_NEST_SIZE + d]) return 1;
        at->a -= loops[TN_NEST_SIZE + d] * loops[TN_NEST_A + d];
        at->b -= loops[TN_NEST_SIZE + d] * loops[TN_NEST_B + d];
        at->index[d] = 0;
    }
    return 0;
}

#endif
