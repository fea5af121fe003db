/* log_mel.h: see log_mel.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LOG_MEL_H
#define LOG_MEL_H

#include "tn_log_mel.h"

typedef struct {
    tn_log_mel state;
    int32_t scratch[TN_LOG_MEL_SCRATCH_WORDS];
    int16_t pcm[TN_LOG_MEL_HOP];
    int8_t column[TN_LOG_MEL_BANDS];
    int8_t ready;
} log_mel_arena;

#define LOG_MEL_ARENA_SIZE sizeof(log_mel_arena)
#define LOG_MEL_ARENA_ALIGN __attribute__((aligned(4)))

void log_mel_init(uint8_t *arena);
void log_mel_run(uint8_t *arena);
int16_t *log_mel_input(uint8_t *arena);
int8_t *log_mel_output_column(uint8_t *arena);
int8_t *log_mel_output_ready(uint8_t *arena);

/* For a host: all whole hops of a recording, from a fresh start. Returns the columns written. */
int64_t log_mel_columns(const int16_t *pcm, int64_t hops, int8_t *columns);

#endif
