/* main.c: listens to sound.pcm of the host, a hop at a time, and prints the words that it hears.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * sound.pcm holds int16 samples, little-endian, at TN_LOG_MEL_SAMPLE_RATE; what is left of them
 * behind the last whole hop is not heard. posteriors.bin gets the network's outputs after each run.
 * A line for each word,
 *     12.340 s  word  0.93
 * tells when the hop ended after which it was known, and the mean of its smoothed posteriors. The
 * last line is
 *     thumbnet: hops=N runs=N words=N stack=BYTES
 * where stack is the deepest use of all that was called from here.
 */
#include "listener.h"
#include "port.h"

#define TN_PAINT 0xC3A5F00Du

static tn_listener listener;
static int16_t pcm[TN_LOG_MEL_HOP] __attribute__((aligned(4)));
static const tn_detector_settings settings = TN_LISTENER_SETTINGS;

/* By the addresses of these the meter knows where the work on a hop begins and ends. */
__attribute__((noinline, noclone)) void tn_run_begin(void) { __asm volatile("" ::: "memory"); }
__attribute__((noinline, noclone)) void tn_run_end(void) { __asm volatile("" ::: "memory"); }

static void print_padded(uint32_t value, uint32_t digits) {
    for (uint32_t power = digits == 3 ? 100 : 10; power > 1 && value < power; power /= 10) {
        tn_port_putc('0');
    }
    tn_print_decimal(value);
}

static void print_word(uint32_t hops, int32_t word, int32_t score) {
    const uint32_t second_hops = TN_LOG_MEL_SAMPLE_RATE / TN_LOG_MEL_HOP;
    const uint32_t whole = 256u * (uint32_t)settings.smoothing;
    const uint32_t hundredths = ((uint32_t)score * 100 + whole / 2) / whole;
    tn_print_decimal(hops / second_hops);
    tn_port_putc('.');
    print_padded(hops % second_hops * (1000 / second_hops), 3);
    tn_print(" s  ");
    tn_print(tn_listener_words[word]);
    tn_print("  ");
    tn_print_decimal(hundredths / 100);
    tn_port_putc('.');
    print_padded(hundredths % 100, 2);
    tn_port_putc('\n');
}

static __attribute__((noinline)) int listen(int32_t sound, int32_t posteriors) {
    uint32_t hops = 0, runs = 0, words = 0;
    tn_listener_init(&listener);
    while (tn_port_read(sound, pcm, sizeof pcm) == sizeof pcm) {
        int32_t word = -1, score = 0;
        tn_run_begin();
        const int ready = tn_listener_hear(&listener, pcm);
        if (ready) {
            tn_listener_run(&listener);
            word = tn_listener_decide(&listener, &settings, &score);
        }
        tn_run_end();
        hops++;
        runs += ready != 0;
        if (ready &&
            tn_port_write(posteriors, kws_output(listener.arena), KWS_OUTPUT_SIZE) != 0) {
            tn_print("thumbnet: cannot write posteriors.bin\n");
            return TN_EXIT_OUTPUT;
        }
        if (word >= 0) {
            words++;
            print_word(hops, word, score);
        }
    }
    tn_print("thumbnet: hops=");
    tn_print_decimal(hops);
    tn_print(" runs=");
    tn_print_decimal(runs);
    tn_print(" words=");
    tn_print_decimal(words);
    return 0;
}

int tn_main(void) {
    const int32_t sound = tn_port_open("sound.pcm", 0);
    if (sound < 0) {
        tn_print("thumbnet: cannot open sound.pcm\n");
        return TN_EXIT_INPUT;
    }
    const int32_t posteriors = tn_port_open("posteriors.bin", 1);
    if (posteriors < 0) {
        tn_print("thumbnet: cannot open posteriors.bin\n");
        return TN_EXIT_OUTPUT;
    }
    volatile uint32_t *sp;
    __asm volatile("mov %0, sp" : "=r"(sp)::"memory");
    for (volatile uint32_t *p = tn_stack_bottom; p < sp; p++) {
        *p = TN_PAINT;
    }
    const int status = listen(sound, posteriors);
    if (status != 0) {
        return status;
    }
    volatile uint32_t *deepest = tn_stack_bottom;
    while (deepest < sp && *deepest == TN_PAINT) {
        deepest++;
    }
    tn_port_close(posteriors);
    tn_print(" stack=");
    tn_print_decimal((uint32_t)((uintptr_t)sp - (uintptr_t)deepest));
    tn_print("\n");
    return 0;
}
