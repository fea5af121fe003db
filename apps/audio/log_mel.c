/* log_mel.c: the front end as `thumbnet` knows a model, so that whatever builds, runs and measures
 * a compiled model does the same with it. Its input is one hop; its outputs are the column, and 1
 * when that is new. Firmware has no need of it: it includes tn_log_mel.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "log_mel.h"

void log_mel_init(uint8_t *arena) {
    log_mel_arena *const all = (log_mel_arena *)(void *)arena;
    tn_log_mel_init(&all->state);
    memset(all->column, 0, sizeof all->column);
}

void log_mel_run(uint8_t *arena) {
    log_mel_arena *const all = (log_mel_arena *)(void *)arena;
    all->ready = (int8_t)tn_log_mel_push(&all->state, all->pcm, all->scratch, all->column);
}

int16_t *log_mel_input(uint8_t *arena) { return ((log_mel_arena *)(void *)arena)->pcm; }
int8_t *log_mel_output_column(uint8_t *arena) { return ((log_mel_arena *)(void *)arena)->column; }
int8_t *log_mel_output_ready(uint8_t *arena) { return &((log_mel_arena *)(void *)arena)->ready; }

int64_t log_mel_columns(const int16_t *pcm, int64_t hops, int8_t *columns) {
    tn_log_mel state;
    int32_t scratch[TN_LOG_MEL_SCRATCH_WORDS];
    int64_t written = 0;
    tn_log_mel_init(&state);
    for (; hops > 0; hops--) {
        written += tn_log_mel_push(&state, pcm, scratch, columns + written * TN_LOG_MEL_BANDS);
        pcm += TN_LOG_MEL_HOP;
    }
    return written;
}
