/* model.c: one model as the runner sees it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * tn_model.h is written from the model's manifest.json. It includes the model's header and defines
 *   TN_MODEL_NAME, TN_MODEL_BOARD               strings
 *   TN_MODEL_ARENA_SIZE, TN_MODEL_ARENA_ALIGN, TN_MODEL_WEIGHTS_CRC   the model's own macros
 *   TN_MODEL_INIT, TN_MODEL_RUN                 its functions; TN_MODEL_INIT is 0 without state
 *   TN_MODEL_INPUTS(X), TN_MODEL_OUTPUTS(X)     X(index, accessor, bytes) for each
 *   TN_MODEL_TIMED_LAYERS                       how many layers are timed (layers.h)
 */
#include "runner.h"
#include "tn_model.h"

static struct {
    uint8_t before[TN_RUNNER_CANARY_BYTES] TN_MODEL_ARENA_ALIGN;
    uint8_t arena[TN_MODEL_ARENA_SIZE] TN_MODEL_ARENA_ALIGN;
    uint8_t after[TN_RUNNER_CANARY_BYTES];
} tn_memory __attribute__((section(".arena")));

#define TN_LOCATE_INPUT(index, accessor, bytes) \
    static void *tn_input_##index(uint8_t *arena) { return accessor(arena); }
#define TN_LOCATE_OUTPUT(index, accessor, bytes) \
    static void *tn_output_##index(uint8_t *arena) { return (void *)(uintptr_t)accessor(arena); }
TN_MODEL_INPUTS(TN_LOCATE_INPUT)
TN_MODEL_OUTPUTS(TN_LOCATE_OUTPUT)

#define TN_INPUT_ENTRY(index, accessor, bytes) {tn_input_##index, bytes},
#define TN_OUTPUT_ENTRY(index, accessor, bytes) {tn_output_##index, bytes},
static const tn_runner_port tn_inputs[] = {TN_MODEL_INPUTS(TN_INPUT_ENTRY)};
static const tn_runner_port tn_outputs[] = {TN_MODEL_OUTPUTS(TN_OUTPUT_ENTRY)};

#if TN_MODEL_TIMED_LAYERS > 0
uint32_t tn_layer_cycles[TN_MODEL_TIMED_LAYERS];
#define TN_LAYER_CYCLES tn_layer_cycles
#else
#define TN_LAYER_CYCLES 0
#endif

const tn_runner_model tn_model = {
    .name = TN_MODEL_NAME,
    .board = TN_MODEL_BOARD,
    .weights_crc = TN_MODEL_WEIGHTS_CRC,
    .arena = tn_memory.arena,
    .arena_bytes = TN_MODEL_ARENA_SIZE,
    .canary_before = tn_memory.arena - TN_RUNNER_CANARY_BYTES,
    .canary_after = tn_memory.after,
    .init = TN_MODEL_INIT,
    .run = TN_MODEL_RUN,
    .inputs = tn_inputs,
    .input_count = sizeof tn_inputs / sizeof tn_inputs[0],
    .outputs = tn_outputs,
    .output_count = sizeof tn_outputs / sizeof tn_outputs[0],
    .layer_cycles = TN_LAYER_CYCLES,
    .layer_count = TN_MODEL_TIMED_LAYERS,
};
