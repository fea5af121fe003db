/* flash.c: the last pages of the nRF52840's flash, through its NVMC.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The core stands still while a page is erased (85 ms) or a word is written (41 us). Shape, times and
 * endurance: nRF52840 PS v1.7, "NVMC". A word may be written twice between erasures there; once is
 * what flash.h allows.
 */
#include "flash.h"

#include "nrf52.h"

enum { TN_PAGE_BYTES = 4096, TN_PAGES = 4 };

#define TN_READY_TRIES 64000000u /* more than a second; an erasure takes 85 ms */

const tn_flash_shape tn_flash = {.page_bytes = TN_PAGE_BYTES, .pages = TN_PAGES, .word_bytes = 4,
                                 .endurance = 10000};

extern uint8_t __tn_flash_base[]; /* of the linker script: an address and, as one, a size */
extern uint8_t __tn_flash_size[];

static uintptr_t tn_at(uint32_t at) {
    const uintptr_t end = (uintptr_t)__tn_flash_base + (uintptr_t)__tn_flash_size;
    return end - TN_PAGES * TN_PAGE_BYTES + at;
}

static int tn_ready(void) {
    for (uint32_t left = TN_READY_TRIES; left != 0; left--) {
        if ((NVMC_READY & NVMC_READY_READY_READY) != 0) {
            return 1;
        }
    }
    return 0;
}

/* Writes one register or word of flash while `mode` is on; leaves the flash read-only. */
static int tn_write_as(uint32_t mode, volatile uint32_t *to, uint32_t value) {
    int ready = tn_ready();
    if (ready) {
        NVMC_CONFIG = mode;
        ready = tn_ready();
        if (ready) {
            *to = value;
            ready = tn_ready();
        }
        NVMC_CONFIG = NVMC_CONFIG_WEN_REN;
    }
    return ready ? 0 : -1;
}

int tn_flash_read(uint32_t at, void *to, uint32_t bytes) {
    uint8_t *out = to;
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = *(const volatile uint8_t *)tn_at(at + i);
    }
    return 0;
}

int tn_flash_program(uint32_t at, const void *word) {
    return tn_write_as(NVMC_CONFIG_WEN_WEN, (volatile uint32_t *)tn_at(at),
                       *(const uint32_t *)word);
}

int tn_flash_erase(uint32_t page) {
    return tn_write_as(NVMC_CONFIG_WEN_EEN, &NVMC_ERASEPAGE,
                       (uint32_t)tn_at(page * TN_PAGE_BYTES));
}
