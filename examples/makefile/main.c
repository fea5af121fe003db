/* main.c: scores of the keyword network for one second of silence. */
#include <stdio.h>

#include "kws.h"

static uint8_t arena[KWS_ARENA_SIZE] KWS_ARENA_ALIGN;

int main(void) {
    int8_t *in = kws_input(arena);
    for (int i = 0; i < KWS_INPUT_SIZE; i++) {
        in[i] = kws_quantize_input(0.0f);
    }
    kws_run(arena);
    const int8_t *out = kws_output(arena);
    for (int i = 0; i < KWS_OUTPUT_SIZE; i++) {
        printf("%d: %d\n", i, out[i]);
    }
    return 0;
}
