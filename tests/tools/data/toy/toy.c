/* toy.c: see toy.h. out[i] = narrow(running[i] / (|b[0]| + 1)) + high64(b[1] * weight[i]) where
 * running[i] is a state that adds a[i] * weight[i] at every call.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Arena: [0, 64) a, [64, 68) b, [68, 128) free, [128, 192) out, [192, 288) state (24 x int32).
 */
#include "toy.h"

#include <string.h>

#define TOY_WEIGHTS __attribute__((section(".rodata.tn_weights"), aligned(4)))
#define TOY_NOINLINE __attribute__((noinline, noclone))

static const int8_t toy_00_weights[64] TOY_WEIGHTS = {
    1,  -2, 3,  -4, 5,  -6, 7,  -8, 9,  -10, 11, -12, 13, -14, 15, -16, 17, -18, 19, -20, 21, -22,
    23, -24, 25, -26, 27, -28, 29, -30, 31, -32, 33, -34, 35, -36, 37, -38, 39, -40, 41, -42, 43,
    -44, 45, -46, 47, -48, 49, -50, 51, -52, 53, -54, 55, -56, 57, -58, 59, -60, 61, -62, 63, -64};
static const int32_t toy_02_weights[24] TOY_WEIGHTS = {
    1 << 20, -(1 << 21), 3 << 22, 77777777, -99999999, 5, 6, 7, 8, 9, 10, 11,
    12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 2000000000};

static TOY_NOINLINE void toy_layer_00_mul_add(uint8_t *arena) {
    const int8_t *a = (const int8_t *)arena;
    int32_t sum[24];
    memcpy(sum, arena + 192, sizeof sum);
    for (int i = 0; i < 24; i++) {
        sum[i] += a[i] * toy_00_weights[i];
    }
    memcpy(arena + 192, sum, sizeof sum);
}

static TOY_NOINLINE void toy_layer_01_divide(uint8_t *arena) {
    int16_t b[2];
    memcpy(b, arena + 64, sizeof b);
    const int32_t divisor = (b[0] < 0 ? -b[0] : b[0]) + 1;
    for (int i = 0; i < 64; i++) {
        int32_t running;
        memcpy(&running, arena + 192 + 4 * (i % 24), sizeof running);
        arena[128 + i] = (uint8_t)(running / divisor);
    }
}

static TOY_NOINLINE void toy_layer_02_high(uint8_t *arena) {
    int16_t b[2];
    memcpy(b, arena + 64, sizeof b);
    /* HOOK */
    for (int i = 0; i < 64; i++) {
        const int64_t product = (int64_t)(b[1] * 65536) * toy_02_weights[i % 24];
        arena[128 + i] = (uint8_t)(arena[128 + i] + (uint8_t)(product >> 40));
    }
}

void toy_init(uint8_t *arena) { memset(arena + 192, 0, 96); }
int8_t *toy_input_a(uint8_t *arena) { return (int8_t *)arena; }
int16_t *toy_input_b(uint8_t *arena) { return (int16_t *)(void *)(arena + 64); }
const int8_t *toy_output(const uint8_t *arena) { return (const int8_t *)(arena + 128); }

void toy_run(uint8_t *arena) {
    toy_layer_00_mul_add(arena);
    toy_layer_01_divide(arena);
    toy_layer_02_high(arena);
}
