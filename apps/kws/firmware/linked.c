/* linked.c: the listener as what the link runner runs: a hop of sound in, what was heard out.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Input: TN_LOG_MEL_HOP int16 samples. Outputs: three int32, whether the network ran on this hop,
 * the word that was heard or -1, and its score; and the network's outputs.
 */
#include "listener.h"
#include "runner/runner.h"

typedef struct {
    int32_t ran, word, score;
} tn_heard;

static struct {
    uint8_t before[TN_RUNNER_CANARY_BYTES] __attribute__((aligned(8)));
    tn_listener listener;
    uint8_t after[TN_RUNNER_CANARY_BYTES];
    int16_t pcm[TN_LOG_MEL_HOP];
    tn_heard heard;
} tn_memory __attribute__((section(".arena")));

static const tn_detector_settings settings = TN_LISTENER_SETTINGS;

static void init(uint8_t *arena) {
    (void)arena;
    tn_listener_init(&tn_memory.listener);
}

static void run(uint8_t *arena) {
    (void)arena;
    tn_listener *const listener = &tn_memory.listener;
    tn_memory.heard = (tn_heard){tn_listener_hear(listener, tn_memory.pcm), -1, 0};
    if (tn_memory.heard.ran) {
        tn_listener_run(listener);
        tn_memory.heard.word = tn_listener_decide(listener, &settings, &tn_memory.heard.score);
    }
}

static void *pcm(uint8_t *arena) {
    (void)arena;
    return tn_memory.pcm;
}

static void *heard(uint8_t *arena) {
    (void)arena;
    return &tn_memory.heard;
}

static void *posteriors(uint8_t *arena) {
    (void)arena;
    return (void *)(uintptr_t)kws_output(tn_memory.listener.arena);
}

static const tn_runner_port inputs[] = {{pcm, sizeof tn_memory.pcm}};
static const tn_runner_port outputs[] = {{heard, sizeof tn_memory.heard},
                                         {posteriors, KWS_OUTPUT_SIZE}};

TN_RUNNER_APPLICATION("kws listener " TN_LISTENER_SETTINGS_TEXT, KWS_WEIGHTS_CRC, tn_memory,
                      listener);
