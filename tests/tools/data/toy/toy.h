/* toy.h: a hand-written model of the shape that `thumbnet compile` writes, for the tests of the
 * toolchain, the ports, the emulator and the meter.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TOY_H
#define TOY_H

#include <stdint.h>

#define TOY_ARENA_SIZE 288
#define TOY_ARENA_ALIGN __attribute__((aligned(16)))

#ifdef __cplusplus
extern "C" {
#endif

void toy_init(uint8_t *arena);
int8_t *toy_input_a(uint8_t *arena);  /* 64 */
int16_t *toy_input_b(uint8_t *arena); /* 2 */
void toy_run(uint8_t *arena);
const int8_t *toy_output(const uint8_t *arena); /* 64 */

#ifdef __cplusplus
}
#endif

#endif
