/* tn_depthwise_rows_5x5.h: DEPTHWISE_CONV_2D of 5x5 taps: see tn_depthwise_rows.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DEPTHWISE_ROWS_5X5_H
#define TN_DEPTHWISE_ROWS_5X5_H

#include "tn_depthwise_rows.h"

TN_DEPTHWISE_ROWS(5)

#endif
