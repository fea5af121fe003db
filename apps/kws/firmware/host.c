/* host.c: the listener for recordings, on a host.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "listener.h"

/* All hops of a recording from a fresh start. For each run of the network: the hop after which it
 * ran, its posteriors (KWS_OUTPUT_SIZE), the word heard or -1, and that one's score. Returns the
 * number of runs, at most `hops`. */
int64_t listener_recording(tn_listener *listener, const tn_detector_settings *settings,
                           const int16_t *pcm, int64_t hops, int64_t *hop_of, int8_t *posteriors,
                           int32_t *words, int32_t *scores) {
    int64_t runs = 0;
    tn_listener_init(listener);
    for (int64_t hop = 0; hop < hops; hop++) {
        if (tn_listener_hear(listener, pcm + hop * TN_LOG_MEL_HOP)) {
            tn_listener_run(listener);
            memcpy(posteriors + runs * KWS_OUTPUT_SIZE, kws_output(listener->arena),
                   KWS_OUTPUT_SIZE);
            hop_of[runs] = hop;
            scores[runs] = 0;
            words[runs] = tn_listener_decide(listener, settings, &scores[runs]);
            runs++;
        }
    }
    return runs;
}

/* The detector alone, from a fresh start, on `runs` posteriors. */
void listener_decisions(const tn_detector_settings *settings, const int8_t *posteriors,
                        int64_t runs, int32_t *words, int32_t *scores) {
    tn_detector detector;
    tn_detector_init(&detector);
    for (int64_t i = 0; i < runs; i++) {
        scores[i] = 0;
        words[i] = tn_detector_push(&detector, settings, posteriors + i * KWS_OUTPUT_SIZE,
                                    &scores[i]);
    }
}

int64_t listener_bytes(void) { return (int64_t)sizeof(tn_listener); }
