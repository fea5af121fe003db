/* listener.h: sound in, words out: audio front end, streamed network, detector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The same C on the board (main.c) and on the host (host.c). listener_settings.h is written from
 * detector.json and kws.json: TN_LISTENER_SETTINGS, the words, and TN_DETECTOR_WORDS.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "kws.h"
#include "listener_settings.h"
#include "detector.h"
#include "tn_log_mel.h"

enum { TN_LISTENER_ROWS = KWS_INPUT_SIZE / TN_LOG_MEL_BANDS }; /* columns that a run takes */

typedef struct {
    uint8_t arena[KWS_ARENA_SIZE] KWS_ARENA_ALIGN;
    int32_t scratch[TN_LOG_MEL_SCRATCH_WORDS];
    tn_log_mel front_end;
    tn_detector detector;
    int32_t columns; /* that wait in the network's input */
} tn_listener;

/* Before the first hop, and again before a stream that has nothing to do with the last. */
static void tn_listener_init(tn_listener *listener) {
    kws_init(listener->arena);
    tn_log_mel_init(&listener->front_end);
    tn_detector_init(&listener->detector);
    listener->columns = 0;
}

/* Takes the next TN_LOG_MEL_HOP samples. 1: the network has the columns for a run. */
static TN_NOINLINE int tn_listener_hear(tn_listener *listener, const int16_t *pcm) {
    int8_t *const column = kws_input(listener->arena) + listener->columns * TN_LOG_MEL_BANDS;
    listener->columns += tn_log_mel_push(&listener->front_end, pcm, listener->scratch, column);
    if (listener->columns < TN_LISTENER_ROWS) {
        return 0;
    }
    listener->columns = 0;
    return 1;
}

/* Runs the network; its outputs are the posteriors of the last second. */
static TN_NOINLINE void tn_listener_run(tn_listener *listener) { kws_run(listener->arena); }

/* The word that was heard, with the sum of its posteriors in `score`, or -1. */
static TN_NOINLINE int32_t tn_listener_decide(tn_listener *listener,
                                              const tn_detector_settings *settings,
                                              int32_t *score) {
    return tn_detector_push(&listener->detector, settings, kws_output(listener->arena), score);
}

#endif
