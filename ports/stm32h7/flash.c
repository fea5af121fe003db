/* flash.c: the last two sectors of the STM32H743's flash, in bank 2.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The image lies in bank 1, and goes on running while bank 2 is erased or programmed, unless it is
 * larger than 1 MiB: then it waits. A flash word of 256 bits has 10 bits of error correction
 * behind it: it is programmed whole, and once. One whose programming was cut short may be read as
 * anything, or raise a bus fault; here that is a status. Source: RM0433 4.3; DS12110, "Flash memory
 * characteristics" (10,000 cycles, up to 4 s for a sector). The data cache may hold old words, so
 * its lines are dropped before a read: Armv7-M Architecture Reference Manual, B3.2.2.
 */
#include "flash.h"

#include "stm32h7.h"

enum { TN_SECTOR_BYTES = 131072, TN_SECTORS = 2, TN_FIRST_SECTOR = 6, TN_LINE = 32 };

#define TN_FIRST 0x081C0000u /* bank 2, sector 6 */
#define TN_READY_READS 500000000u /* some seconds at the least */
#define TN_KEYS 0x45670123u, 0xCDEF89ABu
#define TN_ERRORS                                                                           \
    (FLASH_SR2_WRPERR2 | FLASH_SR2_PGSERR2 | FLASH_SR2_STRBERR2 | FLASH_SR2_INCERR2 |       \
     FLASH_SR2_OPERR2)

#define TN_SCB_CCR TN_REG(0xE000ED14u)
#define TN_SCB_CCR_BFHFNMIGN (1u << 8) /* no bus fault of data where faults are masked */
#define TN_SCB_CFSR TN_REG(0xE000ED28u)
#define TN_SCB_CFSR_BUS_FAULTS 0xFF00u
#define TN_SCB_DCIMVAC TN_REG(0xE000EF5Cu)

const tn_flash_shape tn_flash = {.page_bytes = TN_SECTOR_BYTES, .pages = TN_SECTORS,
                                 .word_bytes = 32, .endurance = 10000};

static void tn_barrier(void) { __asm volatile("dsb\n\tisb" ::: "memory"); }

static int tn_ready(void) {
    for (uint32_t left = TN_READY_READS; left != 0; left--) {
        if ((FLASH_SR2 & (FLASH_SR2_QW2 | FLASH_SR2_BSY2)) == 0) {
            return 1;
        }
    }
    return 0;
}

static int tn_unlock_bank(void) {
    static const uint32_t keys[] = {TN_KEYS};
    if (!tn_ready()) {
        return 0;
    }
    FLASH_CCR2 = TN_ERRORS;
    if ((FLASH_CR2 & FLASH_CR2_LOCK2) != 0) {
        FLASH_KEYR2 = keys[0];
        FLASH_KEYR2 = keys[1];
    }
    tn_set(&FLASH_CR2, FLASH_CR2_PSIZE2, 3); /* 64 bits at a time */
    return 1;
}

/* Waits for the end of what was begun; locks the bank again. */
static int tn_lock_bank(uint32_t mode) {
    tn_barrier();
    const int ready = tn_ready();
    const uint32_t errors = FLASH_SR2 & TN_ERRORS;
    FLASH_CR2 &= ~mode;
    FLASH_CR2 |= FLASH_CR2_LOCK2;
    return ready && errors == 0 ? 0 : -1;
}

int tn_flash_read(uint32_t at, void *to, uint32_t bytes) {
    uint8_t *out = to;
    uint32_t masked;
    const uint32_t begin = TN_FIRST + at;
    for (uint32_t line = begin & ~(TN_LINE - 1u); line < begin + bytes; line += TN_LINE) {
        TN_SCB_DCIMVAC = line;
    }
    FLASH_CCR2 = FLASH_SR2_DBECCERR2;
    __asm volatile("mrs %0, faultmask\n\tcpsid f" : "=r"(masked)::"memory");
    TN_SCB_CCR |= TN_SCB_CCR_BFHFNMIGN;
    tn_barrier();
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = *(const volatile uint8_t *)(uintptr_t)(begin + i);
    }
    tn_barrier();
    const uint32_t damaged = FLASH_SR2 & FLASH_SR2_DBECCERR2;
    TN_SCB_CFSR = TN_SCB_CFSR_BUS_FAULTS; /* written bits are cleared */
    TN_SCB_CCR &= ~TN_SCB_CCR_BFHFNMIGN;
    __asm volatile("msr faultmask, %0" ::"r"(masked) : "memory");
    FLASH_CCR2 = FLASH_SR2_DBECCERR2;
    return damaged ? -1 : 0;
}

int tn_flash_program(uint32_t at, const void *word) {
    const uint32_t *in = word;
    if (!tn_unlock_bank()) {
        return -1;
    }
    FLASH_CR2 |= FLASH_CR2_PG2;
    tn_barrier();
    for (uint32_t i = 0; i < tn_flash.word_bytes / 4u; i++) {
        TN_REG(TN_FIRST + at + 4u * i) = in[i];
    }
    return tn_lock_bank(FLASH_CR2_PG2);
}

int tn_flash_erase(uint32_t page) {
    if (!tn_unlock_bank()) {
        return -1;
    }
    tn_set(&FLASH_CR2, FLASH_CR2_SNB2, TN_FIRST_SECTOR + page);
    FLASH_CR2 |= FLASH_CR2_SER2;
    FLASH_CR2 |= FLASH_CR2_START2;
    return tn_lock_bank(FLASH_CR2_SER2);
}
