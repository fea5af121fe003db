/* linked.c: the same as what the link runner runs: rows of a frame in, probabilities out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "seen.h"
#include "runner/runner.h"

typedef struct {
    uint32_t first; /* 1: a frame begins */
    uint32_t count; /* rows that follow */
    uint8_t rows[TN_LINK_ROWS][TN_FRAME_ROW_BYTES];
} tn_asked;

typedef struct {
    int32_t ready; /* 1: `output` is that of the frame; the rows below are not needed */
    int8_t output[NETWORK_IS(OUTPUT_SIZE)];
} tn_said;

static struct {
    uint8_t before[TN_RUNNER_CANARY_BYTES] __attribute__((aligned(8)));
    tn_eye eye;
    uint8_t after[TN_RUNNER_CANARY_BYTES];
    tn_asked asked;
    tn_said said;
} tn_memory __attribute__((section(".arena")));

static void init(uint8_t *arena) {
    (void)arena;
    tn_eye_begin(&tn_memory.eye);
}

static void run(uint8_t *arena) {
    (void)arena;
    tn_eye *const eye = &tn_memory.eye;
    const tn_asked *const asked = &tn_memory.asked;
    tn_memory.said.ready = 0;
    if (asked->first) {
        tn_eye_begin(eye);
    }
    for (uint32_t i = 0; i < asked->count && i < TN_LINK_ROWS && !tn_memory.said.ready; i++) {
        tn_memory.said.ready = tn_eye_row(eye, asked->rows[i]);
    }
    if (tn_memory.said.ready) {
        memcpy(tn_memory.said.output, tn_eye_output(eye), sizeof tn_memory.said.output);
        tn_person_tell(eye);
    }
}

static void *asked(uint8_t *arena) {
    (void)arena;
    return &tn_memory.asked;
}

static void *said(uint8_t *arena) {
    (void)arena;
    return &tn_memory.said;
}

static const tn_runner_port inputs[] = {{asked, sizeof tn_memory.asked}};
static const tn_runner_port outputs[] = {{said, sizeof tn_memory.said}};

TN_RUNNER_APPLICATION("person " TN_EYE_TEXT, NETWORK_IS(WEIGHTS_CRC), tn_memory, eye);
