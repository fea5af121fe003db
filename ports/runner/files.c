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
#include "port.h"
#include "runner.h"

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
    tn_fill_arena();

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
        uint32_t cycles;
        const uint32_t used = tn_measured_run(&cycles);
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

    tn_print("thumbnet: calls=");
    tn_print_decimal(calls);
    tn_print(" stack=");
    tn_print_decimal(stack);
    tn_print(" init_stack=");
    tn_print_decimal(init_stack);
    tn_print(tn_arena_intact() ? " canaries=ok\n" : " canaries=broken\n");
    return 0;
}
