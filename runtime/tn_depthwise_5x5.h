/* tn_depthwise_5x5.h: DEPTHWISE_CONV_2D of 5x5 taps: see tn_depthwise_square.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DEPTHWISE_5X5_H
#define TN_DEPTHWISE_5X5_H

#include "tn_depthwise_square.h"

TN_DEPTHWISE_SQUARE(5)

#endif
