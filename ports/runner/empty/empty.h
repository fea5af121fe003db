/* empty.h: the model that does nothing; what its image needs is the cost of the runner itself.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_EMPTY_H
#define TN_EMPTY_H

#include <stdint.h>

#define EMPTY_ARENA_SIZE 4
#define EMPTY_ARENA_ALIGN __attribute__((aligned(4)))

int8_t *empty_input(uint8_t *arena);
const int8_t *empty_output(const uint8_t *arena);
void empty_run(uint8_t *arena);

#endif
