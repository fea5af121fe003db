/* empty.c: see empty.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "empty.h"

int8_t *empty_input(uint8_t *arena) { return (int8_t *)arena; }
const int8_t *empty_output(const uint8_t *arena) { return (const int8_t *)arena; }
void empty_run(uint8_t *arena) { (void)arena; }
