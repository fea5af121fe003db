/* runner.h: what the runner needs to know of a model; model.c fills it in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_RUNNER_H
#define TN_RUNNER_H

#include <stdint.h>

#define TN_RUNNER_CANARY_BYTES 32u

/* One input or output: `bytes` bytes at `locate(arena)`. */
typedef struct {
    void *(*locate)(uint8_t *arena);
    uint32_t bytes;
} tn_runner_port;

typedef struct {
    const char *name;
    const char *board;
    uint32_t weights_crc;
    uint8_t *arena;         /* canaries lie just before it and just behind it */
    uint32_t arena_bytes;
    uint8_t *canary_before; /* TN_RUNNER_CANARY_BYTES each */
    uint8_t *canary_after;
    void (*init)(uint8_t *arena); /* 0 where the model keeps no state */
    void (*run)(uint8_t *arena);
    const tn_runner_port *inputs;
    uint32_t input_count;
    const tn_runner_port *outputs;
    uint32_t output_count;
    uint32_t *layer_cycles; /* one for each layer, summed over a run */
    uint32_t layer_count;   /* 0 where layers are not timed (layers.h) */
} tn_runner_model;

extern const tn_runner_model tn_model;

/* Defines the model of an application (apps/APPLICATION/firmware/linked.c) from its own functions
 * init and run and its arrays inputs and outputs. MEMORY has canaries `before` and `after` around
 * the member KEPT, its arena. TN_BOARD comes from the build. */
#define TN_RUNNER_APPLICATION(NAME, WEIGHTS_CRC, MEMORY, KEPT)                                     \
    const tn_runner_model tn_model = {                                                             \
        .name = (NAME),                                                                            \
        .board = TN_BOARD,                                                                         \
        .weights_crc = (WEIGHTS_CRC),                                                              \
        .arena = (uint8_t *)&(MEMORY).KEPT,                                                        \
        .arena_bytes = sizeof (MEMORY).KEPT,                                                       \
        .canary_before = (MEMORY).before,                                                          \
        .canary_after = (MEMORY).after,                                                            \
        .init = init,                                                                              \
        .run = run,                                                                                \
        .inputs = inputs,                                                                          \
        .input_count = sizeof inputs / sizeof inputs[0],                                           \
        .outputs = outputs,                                                                        \
        .output_count = sizeof outputs / sizeof outputs[0],                                        \
    }

/* --- measure.c ---------------------------------------------------------------------------- */

/* Empty functions by whose addresses the meter knows where a run begins and ends. */
void tn_run_begin(void);
void tn_run_end(void);

/* Run the model's functions and return the deepest use of the stack below their caller, in bytes. */
uint32_t tn_measured_init(void);
uint32_t tn_measured_run(uint32_t *cycles);

/* Sets the canaries, and fills the arena with 0xA5: a model owes nothing to its content. */
void tn_fill_arena(void);

/* Whether nothing was written just before or behind the arena. */
int tn_arena_intact(void);

#endif
