/* main.c: two models take turns on one arena; a third run preempts them, on an arena of its own.
 *
 * Prints every output in hexadecimal. The inputs are bytes of a counter that is easy to write again
 * in another language.
 */
#include "first.h"
#include "port.h"
#include "second.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define ICSR (*(volatile uint32_t *)0xE000ED04u)
#define PERIOD 50000u

#define ROUNDS 3
#define PREEMPTIONS 6u
#define URGENT_SEED 99u

#define MAX(a, b) ((a) > (b) ? (a) : (b))

static uint8_t shared[MAX(FIRST_ARENA_SIZE, SECOND_ARENA_SIZE)] FIRST_ARENA_ALIGN;
static uint8_t urgent[FIRST_ARENA_SIZE] FIRST_ARENA_ALIGN;
static uint8_t expected[FIRST_OUTPUT_SIZE * sizeof *first_output(urgent)];
static volatile uint32_t running; /* 1 while one of the two models runs */
static volatile uint32_t preemptions, differences;

static void fill(void *data, uint32_t size, uint32_t seed) {
    uint8_t *bytes = data;
    for (uint32_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

static void print(const char *what, const void *data, uint32_t size) {
    const uint8_t *bytes = data;
    tn_print(what);
    for (uint32_t i = 0; i < size; i++) {
        tn_port_putc(' ');
        tn_port_putc("0123456789abcdef"[bytes[i] >> 4]);
        tn_port_putc("0123456789abcdef"[bytes[i] & 15]);
    }
    tn_print("\n");
}

static void run_urgent(void) {
    fill(first_input(urgent), FIRST_INPUT_SIZE * sizeof *first_input(urgent), URGENT_SEED);
    first_run(urgent);
}

/* The interrupt. The same model may be running below; that run has another arena. */
void tn_systick(void) {
    run_urgent();
    const uint8_t *out = (const uint8_t *)first_output(urgent);
    for (uint32_t i = 0; i < sizeof expected; i++) {
        differences += out[i] != expected[i];
    }
    preemptions += running;
    SYST_CVR = 0;     /* a whole period for what is below, */
    ICSR = 1u << 25;  /* and no interrupt that came meanwhile */
}

int tn_main(void) {
    run_urgent();
    const uint8_t *out = (const uint8_t *)first_output(urgent);
    for (uint32_t i = 0; i < sizeof expected; i++) {
        expected[i] = out[i];
    }
    print("urgent", expected, sizeof expected);

    SYST_RVR = PERIOD;
    SYST_CVR = 0;
    SYST_CSR = 7; /* core clock, interrupt, on */
    for (uint32_t round = 0; round < ROUNDS || preemptions < PREEMPTIONS; round++) {
        fill(first_input(shared), FIRST_INPUT_SIZE * sizeof *first_input(shared), round);
        running = 1;
        first_run(shared);
        running = 0;
        print("first", first_output(shared), FIRST_OUTPUT_SIZE * sizeof *first_output(shared));

        fill(second_input(shared), SECOND_INPUT_SIZE * sizeof *second_input(shared), round);
        running = 1;
        second_run(shared);
        running = 0;
        print("second", second_output(shared), SECOND_OUTPUT_SIZE * sizeof *second_output(shared));
    }
    SYST_CSR = 0;

    tn_print("preempted runs ");
    tn_print_decimal(preemptions);
    tn_print(", different bytes ");
    tn_print_decimal(differences);
    tn_print("\n");
    return differences == 0 ? 0 : 1;
}
