/* flash.c: memory of the emulated board that behaves as flash does; MPS2 boards have none.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * It lies in the PSRAM, which nothing else uses and no reset clears. QEMU keeps it in a file where
 * it is told to (tools/emulator.py), and then it outlasts the emulator, as flash outlasts the power.
 * Programming only clears bits; shape and endurance are the nRF52840's.
 */
#include "flash.h"

#define TN_PSRAM ((volatile uint8_t *)(uintptr_t)0x21000000u)

const tn_flash_shape tn_flash = {.page_bytes = 4096, .pages = 4, .word_bytes = 4,
                                 .endurance = 10000};

int tn_flash_read(uint32_t at, void *to, uint32_t bytes) {
    uint8_t *out = to;
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = TN_PSRAM[at + i];
    }
    return 0;
}

int tn_flash_program(uint32_t at, const void *word) {
    const uint8_t *in = word;
    for (uint32_t i = 0; i < tn_flash.word_bytes; i++) {
        TN_PSRAM[at + i] = (uint8_t)(TN_PSRAM[at + i] & in[i]);
    }
    return 0;
}

int tn_flash_erase(uint32_t page) {
    for (uint32_t i = 0; i < tn_flash.page_bytes; i++) {
        TN_PSRAM[page * tn_flash.page_bytes + i] = 0xFF;
    }
    return 0;
}
