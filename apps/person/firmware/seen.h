/* seen.h: is someone there?
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The network's output is two int8 probabilities in 1/256, zero point -128: nobody, somebody
 * (TFLite Micro's person_detect, MLPerf Tiny's visual wake words).
 */
#ifndef SEEN_H
#define SEEN_H

#include "eye.h"
#include "port.h"

/* The probability that somebody is there, in 1/256. */
static int32_t tn_person_score(tn_eye *eye) { return tn_eye_output(eye)[1] + 128; }

/* "person 0.87", "nobody 0.12": the word by the larger probability. */
static void tn_person_tell(tn_eye *eye) {
    const uint32_t hundredths = ((uint32_t)tn_person_score(eye) * 100u + 128u) / 256u;
    const int8_t *const output = tn_eye_output(eye);
    tn_print(output[1] > output[0] ? "person " : "nobody ");
    tn_print_decimal(hundredths / 100u);
    tn_print(hundredths % 100u < 10u ? ".0" : ".");
    tn_print_decimal(hundredths % 100u);
    tn_print("\n");
}

#endif
