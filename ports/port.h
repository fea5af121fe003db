/* port.h: the contract between a port (ports/FAMILY) and an application (ports/runner, say).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A port boots the core, calls tn_main() once and never returns from it. It gives it a console, a
 * cycle counter, a way to end, and the bounds of the stack; an emulated one gives files as well.
 * Nothing in a port or in the runner may call the C library or libgcc: what an image of a model has
 * more than the image of the empty model is then the model's own, memcpy and divisions included.
 */
#ifndef TN_PORT_H
#define TN_PORT_H

#include <stdint.h>

/* Exit statuses of the firmware; 0 is success. */
enum {
    TN_EXIT_FAULT = 70,          /* a fault that is not a stack overflow; details on the console */
    TN_EXIT_STACK_OVERFLOW = 71, /* the stack ran out; said on the console */
    TN_EXIT_INPUT = 72,          /* the input file is missing or is not a whole number of calls */
    TN_EXIT_OUTPUT = 73          /* the output file cannot be written */
};

/* --- given by every port --------------------------------------------------------------------- */

/* The stack is [tn_stack_bottom, tn_stack_top), full descending, 8-byte aligned (linker script). */
extern uint32_t tn_stack_bottom[];
extern uint32_t tn_stack_top[];

/* Called once, with .data and .bss set up: clocks, caches, the console. */
void tn_port_init(void);

/* Core clock in Hz, as tn_port_init left it. */
uint32_t tn_port_hz(void);

/* Writes one byte to the console; waits until it is taken. */
void tn_port_putc(char c);

/* The next byte from the console, 0 to 255, or -1 when none has come. Never waits. */
int tn_port_getc(void);

/* Ends the firmware with a status of the list above: an emulator stops, a board starts anew. */
_Noreturn void tn_port_exit(int status);

/* --- given by emulated ports with semihosting ------------------------------------------------ */

/* Files of the host, in the folder in which the emulator or loader was started.
 * open returns a handle, or -1. read fills up to `size` bytes and returns how many it got.
 * write returns 0, or -1 when not every byte was taken. */
int32_t tn_port_open(const char *name, int writing);
uint32_t tn_port_read(int32_t file, void *data, uint32_t size);
int32_t tn_port_write(int32_t file, const void *data, uint32_t size);
void tn_port_close(int32_t file);

/* --- given by the application ----------------------------------------------------------------
 *
 * ports/runner holds two that run any model: files.c over files, link.c over the console. */

/* What the firmware does; returns the exit status. */
int tn_main(void);

/* --- given by ports/common/print.c: console output without the C library --------------------- */

void tn_print(const char *text);
void tn_print_decimal(uint32_t value);
void tn_print_hex(uint32_t value);

/* --- given by ports/common/cycles.c: DWT's counter where it counts, else SysTick ------------- */

/* Starts the counter; call it before the first tn_cycles. */
void tn_cycles_start(void);

/* Core cycles, modulo 2^32. */
uint32_t tn_cycles(void);

#endif
