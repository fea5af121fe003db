/* tn_depthwise_3x3.h: DEPTHWISE_CONV_2D of 3x3 taps: see tn_depthwise_square.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DEPTHWISE_3X3_H
#define TN_DEPTHWISE_3X3_H

#include "tn_depthwise_square.h"

TN_DEPTHWISE_SQUARE(3)

#endif
