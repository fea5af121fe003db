/* caches.c: turns on the instruction and the data cache of a Cortex-M7.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Out of reset both are off and hold anything, so they are invalidated first: the instruction cache
 * at once, the data cache set by set and way by way. Nothing else masters the bus here (no DMA), so
 * the data cache needs no further care. Registers: Armv7-M Architecture Reference Manual, B3.2.8
 * (CCR), B4.8 (CCSIDR, CSSELR) and B3.2.2 (cache maintenance).
 */
#include "common/caches.h"

#include <stdint.h>

#define TN_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define TN_CCR TN_REG(0xE000ED14u) /* bit 16: data cache on, bit 17: instruction cache on */
#define TN_CCSIDR TN_REG(0xE000ED80u)
#define TN_CSSELR TN_REG(0xE000ED84u)
#define TN_ICIALLU TN_REG(0xE000EF50u)
#define TN_DCISW TN_REG(0xE000EF60u)

void tn_caches_start(void) {
    TN_CSSELR = 0; /* level 1, data */
    __asm volatile("dsb\n\tisb" ::: "memory");
    const uint32_t geometry = TN_CCSIDR;
    const uint32_t line_shift = (geometry & 7u) + 4u; /* log2 of the bytes of a line */
    const uint32_t last_way = geometry >> 3 & 0x3FFu;
    const uint32_t last_set = geometry >> 13 & 0x7FFFu;
    /* the way lies in the topmost bits of DCISW, as many as its number needs */
    const uint32_t way_shift = last_way == 0 ? 0 : (uint32_t)__builtin_clz(last_way);
    for (uint32_t set = 0; set <= last_set; set++) {
        for (uint32_t way = 0; way <= last_way; way++) {
            TN_DCISW = way << way_shift | set << line_shift;
        }
    }
    TN_ICIALLU = 0;
    __asm volatile("dsb\n\tisb" ::: "memory");
    TN_CCR |= 1u << 16 | 1u << 17;
    __asm volatile("dsb\n\tisb" ::: "memory");
}
