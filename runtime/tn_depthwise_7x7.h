/* tn_depthwise_7x7.h: DEPTHWISE_CONV_2D of 7x7 taps: see tn_depthwise_square.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DEPTHWISE_7X7_H
#define TN_DEPTHWISE_7X7_H

#include "tn_depthwise_square.h"

TN_DEPTHWISE_SQUARE(7)

#endif
