/* tn_depthwise_rows_7x7.h: DEPTHWISE_CONV_2D of 7x7 taps: see tn_depthwise_rows.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DEPTHWISE_ROWS_7X7_H
#define TN_DEPTHWISE_ROWS_7X7_H

#include "tn_depthwise_rows.h"

TN_DEPTHWISE_ROWS(7)

#endif
