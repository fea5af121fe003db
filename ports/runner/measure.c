/* measure.c: one run of a model with its stack, its cycles, and a guard on both sides of its arena.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "port.h"
#include "runner.h"

#define TN_PAINT 0xC3A5F00Du
#define TN_CANARY 0x5Au
#define TN_ARENA_FILL 0xA5u

/* --- stack and cycles --------------------------------------------------------------------- */

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

__attribute__((noinline)) uint32_t tn_measured_init(void) {
    volatile uint32_t *sp = tn_paint();
    tn_model.init(tn_model.arena);
    return tn_mark(sp);
}

__attribute__((noinline)) uint32_t tn_measured_run(uint32_t *cycles) {
    volatile uint32_t *sp = tn_paint();
    const uint32_t began = tn_cycles();
    tn_run_begin();
    tn_model.run(tn_model.arena);
    tn_run_end();
    *cycles = tn_cycles() - began;
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

void tn_fill_arena(void) {
    tn_fill(tn_model.canary_before, TN_RUNNER_CANARY_BYTES, TN_CANARY);
    tn_fill(tn_model.canary_after, TN_RUNNER_CANARY_BYTES, TN_CANARY);
    tn_fill(tn_model.arena, tn_model.arena_bytes, TN_ARENA_FILL);
}

int tn_arena_intact(void) {
    return tn_filled(tn_model.canary_before, TN_RUNNER_CANARY_BYTES, TN_CANARY) &&
           tn_filled(tn_model.canary_after, TN_RUNNER_CANARY_BYTES, TN_CANARY);
}
