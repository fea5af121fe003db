/* detector.h: from the posteriors of every hop to words that were heard.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A word is heard when the sum of its posteriors over the last `smoothing` runs of the network
 * reaches the threshold; of several words, the one of the largest sum, the first of equals. Then
 * none is heard for `refractory` runs. A posterior is 0 to 255 and means so many 256ths; before the
 * first run all are 0.
 *
 * TN_DETECTOR_WORDS is how many words there are: the first outputs of the network.
 */
#ifndef TN_DETECTOR_H
#define TN_DETECTOR_H

#include <stdint.h>
#include <string.h>

#define TN_DETECTOR_RUNS 25 /* the largest smoothing */

typedef struct {
    int32_t smoothing;  /* runs in a sum, 1 to TN_DETECTOR_RUNS */
    int32_t refractory; /* runs, 0 or more */
    int32_t threshold;  /* least sum, in 256ths */
} tn_detector_settings;

typedef struct {
    uint8_t runs[TN_DETECTOR_RUNS][TN_DETECTOR_WORDS]; /* a ring of the newest posteriors */
    int32_t sum[TN_DETECTOR_WORDS];
    int32_t next;  /* the ring's oldest place */
    int32_t quiet; /* runs until a word can be heard again */
} tn_detector;

/* Before the first run, and again before a stream that has nothing to do with the last. */
static inline void tn_detector_init(tn_detector *detector) {
    memset(detector, 0, sizeof *detector);
}

/* Takes the posteriors of one run, as the network gives them: int8, zero point -128. Returns the
 * word that was heard, with its sum in `score`, or -1. The settings must stay the same. */
static inline int32_t tn_detector_push(tn_detector *detector, const tn_detector_settings *settings,
                                       const int8_t *posteriors, int32_t *score) {
    uint8_t *const oldest = detector->runs[detector->next];
    int32_t heard = -1;
    for (int32_t word = 0; word < TN_DETECTOR_WORDS; word++) {
        const int32_t posterior = posteriors[word] + 128;
        const int32_t sum = detector->sum[word] + posterior - oldest[word];
        oldest[word] = (uint8_t)posterior;
        detector->sum[word] = sum;
        if (sum >= settings->threshold && (heard < 0 || sum > *score)) {
            heard = word;
            *score = sum;
        }
    }
    detector->next = detector->next + 1 < settings->smoothing ? detector->next + 1 : 0;
    if (detector->quiet > 0) {
        detector->quiet--;
        return -1;
    }
    if (heard >= 0) {
        detector->quiet = settings->refractory;
    }
    return heard;
}

#endif
