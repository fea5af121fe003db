/* face_match.c: see face_match.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "face_match.h"

/* The whole part of the square root, digit by digit. */
static uint32_t tn_face_root(uint64_t of) {
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 40; bit != 0; bit >>= 2) {
        if (of >= root + bit) {
            of -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)root;
}

/* The values are brought to 15 bits first: then neither their squares nor the quotient's
 * numerator overflow, and the root is exact to 2^-14. */
void tn_face_unit(int32_t *values, uint32_t count, int16_t *unit) {
    uint32_t bits = 0; /* of the values, sign apart */
    for (uint32_t i = 0; i < count; i++) {
        bits |= (uint32_t)(values[i] < 0 ? -values[i] : values[i]);
    }
    int32_t up = 0, down = 0;
    for (; bits != 0 && bits < 0x4000u; bits <<= 1) {
        up++;
    }
    for (; bits >= 0x8000u; bits >>= 1) {
        down++;
    }
    uint64_t squares = 0;
    for (uint32_t i = 0; i < count; i++) {
        values[i] = (values[i] >> down) * (INT32_C(1) << up);
        squares += (uint32_t)(values[i] * values[i]);
    }
    const int32_t norm = (int32_t)tn_face_root(squares);
    for (uint32_t i = 0; i < count; i++) {
        const int32_t half = values[i] < 0 ? -(norm / 2) : norm / 2;
        const int32_t q15 = norm == 0 ? 0 : (values[i] * 32768 + half) / norm;
        unit[i] = (int16_t)(q15 > 32767 ? 32767 : q15);
    }
}

int32_t tn_face_cosine(const int16_t *a, const int16_t *b, uint32_t count) {
    int32_t sum = 1 << 14;
    for (uint32_t i = 0; i < count; i++) {
        sum += a[i] * b[i];
    }
    return sum >> 15;
}
