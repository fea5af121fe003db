/* tn_depthwise_rows_3x3.h: DEPTHWISE_CONV_2D of 3x3 taps: see tn_depthwise_rows.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DEPTHWISE_ROWS_3X3_H
#define TN_DEPTHWISE_ROWS_3X3_H

#include "tn_depthwise_rows.h"

TN_DEPTHWISE_ROWS(3)

#endif
