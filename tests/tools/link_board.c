/* link_board.c: the link runner of ports/runner on this machine, with a model that counts its calls.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * tn_main runs in a context of its own, which gives way when it wants a byte that has not come.
 */
#include <string.h>
#include <ucontext.h>

#include "runner/link.c"

#define LAYERS 70u

static ucontext_t tester, board;
static uint8_t board_stack[1 << 16];
static const uint8_t *incoming;
static size_t incoming_left;
static uint8_t sent[1 << 20];
static size_t sent_count;
static int intact = 1;
static int crash_in; /* requests to run until one ends in a fault; -1: never */

/* --- the port -------------------------------------------------------------------------------- */

uint32_t tn_stack_bottom[4], tn_stack_top[4];

uint32_t tn_port_hz(void) { return 168000000u; }
void tn_cycles_start(void) {}

void tn_port_putc(char c) {
    if (sent_count < sizeof sent) {
        sent[sent_count++] = (uint8_t)c;
    }
}

int tn_port_getc(void) {
    if (incoming_left == 0) {
        swapcontext(&board, &tester);
        return -1;
    }
    incoming_left--;
    return *incoming++;
}

/* --- the model: two inputs, two outputs, and a count of its runs that both outputs depend on --- */

static struct { uint8_t left[300], right[5], sums[259], calls[3]; } arena;
static uint8_t runs;
static uint32_t layer_cycles[LAYERS];

static void *left(uint8_t *a) { (void)a; return arena.left; }
static void *right(uint8_t *a) { (void)a; return arena.right; }
static void *sums(uint8_t *a) { (void)a; return arena.sums; }
static void *calls(uint8_t *a) { (void)a; return arena.calls; }

static void model_init(uint8_t *a) { (void)a; runs = 0; }

static void model_run(uint8_t *a) {
    (void)a;
    runs++;
    for (size_t i = 0; i < sizeof arena.sums; i++) {
        arena.sums[i] = (uint8_t)(arena.left[i] + arena.left[i + 41] * arena.right[i % 5] + runs);
    }
    memset(arena.calls, runs, sizeof arena.calls);
    for (uint32_t i = 0; i < LAYERS; i++) {
        layer_cycles[i] = 1000u * runs + i;
    }
}

static const tn_runner_port inputs[] = {{left, 300}, {right, 5}};
static const tn_runner_port outputs[] = {{sums, 259}, {calls, 3}};

const tn_runner_model tn_model = {
    "counting", "nucleo-f446re", 0xC0FFEE00u, (uint8_t *)&arena, sizeof arena, 0, 0,
    model_init, model_run, inputs, 2, outputs, 2, layer_cycles, LAYERS,
};

/* --- measure.c ------------------------------------------------------------------------------- */

void tn_fill_arena(void) { memset(&arena, 0xA5, sizeof arena); }
int tn_arena_intact(void) { return intact; }
uint32_t tn_measured_init(void) { tn_model.init(tn_model.arena); return 40; }

uint32_t tn_measured_run(uint32_t *cycles) {
    if (crash_in == 0) {
        for (const char *text = "thumbnet: stack overflow: the stack has 4096 bytes\n"; *text; text++) {
            tn_port_putc(*text);
        }
        crash_in = -1;
        swapcontext(&board, &tester); /* and never comes back: board_reset begins anew */
    }
    crash_in -= crash_in > 0;
    tn_model.run(tn_model.arena);
    *cycles = 123456u + runs;
    return 96;
}

/* --- for the tester -------------------------------------------------------------------------- */

static void board_main(void) { tn_main(); }

void board_reset(void) {
    memset(tn_request, 0, sizeof tn_request);
    memset(tn_answer, 0, sizeof tn_answer);
    tn_answer_bytes = tn_session = tn_sequence = tn_has_session = tn_init_stack = 0;
    incoming_left = 0;
    getcontext(&board);
    board.uc_stack.ss_sp = board_stack;
    board.uc_stack.ss_size = sizeof board_stack;
    board.uc_link = &tester;
    makecontext(&board, board_main, 0);
    swapcontext(&tester, &board);
}

void board_be_intact(int whole) { intact = whole; }
void board_crash_in(int requests) { crash_in = requests; }

/* Gives the board bytes; it runs until it has taken all, or has crashed and is reset. */
void board_give(const uint8_t *bytes, size_t count) {
    incoming = bytes;
    incoming_left = count;
    const int may_crash = crash_in >= 0;
    swapcontext(&tester, &board);
    if (may_crash && crash_in < 0) {
        board_reset();
    }
}

/* What it has sent since the last call. */
size_t board_take(uint8_t *to) {
    const size_t count = sent_count;
    memcpy(to, sent, count);
    sent_count = 0;
    return count;
}
