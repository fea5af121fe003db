/* layers.h: times the layers of a model; the runner's build includes it before the model's source.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * It costs some 40 cycles for each time that a layer is called, and some bytes of stack.
 */
#ifndef TN_LAYERS_H
#define TN_LAYERS_H

#include "port.h"

extern uint32_t tn_layer_cycles[];

#define TN_LAYER_BEGIN(index) const uint32_t tn_layer_began = tn_cycles()
#define TN_LAYER_END(index) tn_layer_cycles[index] += tn_cycles() - tn_layer_began

#endif
