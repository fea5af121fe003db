/* files.c: runs a model over a file of inputs, measures its stack, guards its arena.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * inputs.bin holds the calls one after the other, each the model's inputs in order; outputs.bin
 * gets the outputs in the same way. The last console line is
 *   thumbnet: calls=N stack=BYTES init_stack=BYTES canaries=ok|broken
 * where stack is the deepest use of NAME_run alone over all calls, below the stack pointer at its
 * call. The arena is filled with 0xA5 before the first call: a model owes nothing to its content.
 */
#include "runner.h"

#include "port.h"

#define TN_PAINT 0xC3A5F00Du
#define TN_CANARY 0x5Au
#define TN_ARENA_FILL 0xA5u

/* --- markers and stack -------------------------------------------------------------------- */

__attribute__((noinline, noclone)) void tn_run_begin(void) { __asm volatile("" ::: "memory"); }
__attribute__((noinline, noclone)) void tn_run_end(void) { __asm volatile("" ::: "memory"); }

/* Paints all of the stack below the caller's frame; returns the stack pointer. */
static inline __attribute__((always_inline)) volatile uint32_t *tn_paint(void) {
    volatile uint32_t *sp;
    __asm volatile("mov %0, sp" : "=r"(sp)::"memory");
    for (volatile uint32_t *p = tn_stack_bottom; p < sp; p++) {
        *p = TN_PAINT;
    }
    return sp;
}

/* Bytes between the deepest word below `sp` that lost its paint, and `sp`. */
static inline __attribute__((always_inline)) uint32_t tn_mark(volatile uint32_t *sp) {
    volatile uint32_t *p = tn_stack_bottom;
    while (p < sp && *p == TN_PAINT) {
        p++;
    }
    return (uint32_t)((uintptr_t)sp - (uintptr_t)p);
}

static __attribute__((noinline)) uint32_t tn_measured_init(void) {
    volatile uint32_t *sp = tn_paint();
    tn_model.init(tn_model.arena);
    return tn_mark(sp);
}

static __attribute__((noinline)) uint32_t tn_measured_run(void) {
    volatile uint32_t *sp = tn_paint();
    tn_run_begin();
    tn_model.run(tn_model.arena);
    tn_run_end();
    return tn_mark(sp);
}

/* --- arena -------------------------------------------------------------------------------- */

static void tn_fill(uint8_t *bytes, uint32_t count, uint8_t value) {
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = value;
    }
}

static int tn_filled(const uint8_t *bytes, uint32_t count, uint8_t value) {
    for (uint32_t i = 0; i < count; i++) {
        if (bytes[i] != value) {
            return 0;
        }
    }
    return 1;
}

/* --- calls -------------------------------------------------------------------------------- */

/* 1: a call's inputs are loaded; 0: the file is at its end; -1: it ends inside a call. */
static int tn_load(int32_t file) {
    uint32_t done = 0;
    for (uint32_t i = 0; i < tn_model.input_count; i++) {
        const tn_runner_port *port = &tn_model.inputs[i];
        const uint32_t got = tn_port_read(file, port->locate(tn_model.arena), port->bytes);
        if (got != port->bytes) {
            return done == 0 && got == 0 ? 0 : -1;
        }
        done += got;
    }
    return done != 0;
}

int tn_main(void) {
    tn_fill(tn_model.canary_before, TN_RUNNER_CANARY_BYTES, TN_CANARY);
    tn_fill(tn_model.canary_after, TN_RUNNER_CANARY_BYTES, TN_CANARY);
    tn_fill(tn_model.arena, tn_model.arena_bytes, TN_ARENA_FILL);

    const int32_t in = tn_port_open("inputs.bin", 0);
    if (in < 0) {
        tn_print("thumbnet: cannot open inputs.bin\n");
        return TN_EXIT_INPUT;
    }
    const int32_t out = tn_port_open("outputs.bin", 1);
    if (out < 0) {
        tn_print("thumbnet: cannot open outputs.bin\n");
        return TN_EXIT_OUTPUT;
    }

    uint32_t init_stack = 0;
    if (tn_model.init != 0) {
        init_stack = tn_measured_init();
    }
    uint32_t calls = 0;
    uint32_t stack = 0;
    int loaded;
    while ((loaded = tn_load(in)) > 0) {
        const uint32_t used = tn_measured_run();
        stack = used > stack ? used : stack;
        calls++;
        for (uint32_t i = 0; i < tn_model.output_count; i++) {
            const tn_runner_port *port = &tn_model.outputs[i];
            if (tn_port_write(out, port->locate(tn_model.arena), port->bytes) != 0) {
                tn_print("thumbnet: cannot write outputs.bin\n");
                return TN_EXIT_OUTPUT;
            }
        }
    }
    if (loaded < 0) {
        tn_print("thumbnet: inputs.bin ends inside a call\n");
        return TN_EXIT_INPUT;
    }
    tn_port_close(out);

    const int intact = tn_filled(tn_model.canary_before, TN_RUNNER_CANARY_BYTES, TN_CANARY) &&
                       tn_filled(tn_model.canary_after, TN_RUNNER_CANARY_BYTES, TN_CANARY);
    tn_print("thumbnet: calls=");
    tn_print_decimal(calls);
    tn_print(" stack=");
    tn_print_decimal(stack);
    tn_print(" init_stack=");
    tn_print_decimal(init_stack);
    tn_print(intact ? " canaries=ok\n" : " canaries=broken\n");
    return 0;
}
