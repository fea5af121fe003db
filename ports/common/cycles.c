/* cycles.c: core cycles of any Cortex-M, from DWT where its counter counts, else from SysTick.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Armv6-M and Armv8-M base line have no cycle counter, and emulators give one that stands still.
 * SysTick counts 24 bits down; its exception makes 32 of them. Addresses: Armv7-M Architecture
 * Reference Manual, B3.3 (SysTick) and C1.8 (DWT).
 */
#include "port.h"

#define TN_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define TN_SYST_CSR TN_REG(0xE000E010u)
#define TN_SYST_RVR TN_REG(0xE000E014u)
#define TN_SYST_CVR TN_REG(0xE000E018u)
#define TN_ICSR TN_REG(0xE000ED04u)
#define TN_DEMCR TN_REG(0xE000EDFCu)
#define TN_DWT_CTRL TN_REG(0xE0001000u)
#define TN_DWT_CYCCNT TN_REG(0xE0001004u)
#define TN_DWT_LAR TN_REG(0xE0001FB0u) /* Cortex-M7 locks its DWT */

#define TN_ICSR_PENDSTSET (1u << 26)
#define TN_SYST_RANGE 0x1000000u

static volatile uint32_t tn_systick_high; /* cycles of whole periods; 0 while DWT counts */
static uint8_t tn_uses_dwt;

void tn_systick(void) { tn_systick_high += TN_SYST_RANGE; }

static int tn_dwt_counts(void) {
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
    return 0;
#else
    TN_DEMCR |= 1u << 24; /* TRCENA */
    TN_DWT_LAR = 0xC5ACCE55u;
    TN_DWT_CYCCNT = 0;
    TN_DWT_CTRL |= 1u; /* CYCCNTENA */
    __asm volatile("dsb\n\tisb\n\tnop\n\tnop\n\tnop\n\tnop" ::: "memory");
    return TN_DWT_CYCCNT != 0;
#endif
}

void tn_cycles_start(void) {
    tn_uses_dwt = (uint8_t)tn_dwt_counts();
    if (!tn_uses_dwt) {
        TN_SYST_RVR = TN_SYST_RANGE - 1u;
        TN_SYST_CVR = 0;
        TN_SYST_CSR = 7; /* core clock, exception, on */
        for (uint32_t left = 1000u; left != 0 && TN_SYST_CVR == 0; left--) {
        } /* it reads 0 until its first tick, which a later read would take for a whole period */
    }
}

uint32_t tn_cycles(void) {
    if (tn_uses_dwt) {
        return TN_DWT_CYCCNT;
    }
    /* once more when the period ended in between; where exceptions are masked, it is still pending */
    uint32_t high, low;
    do {
        high = tn_systick_high;
        low = TN_SYST_RANGE - 1u - TN_SYST_CVR;
        if ((TN_ICSR & TN_ICSR_PENDSTSET) != 0) {
            low = TN_SYST_RANGE - 1u - TN_SYST_CVR;
            return high + TN_SYST_RANGE + low;
        }
    } while (high != tn_systick_high);
    return high + low;
}
