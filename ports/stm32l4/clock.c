/* clock.c: the clock tree of the STM32L4+, and the start of its port.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The internal oscillator (MSI, 4 MHz out of reset) feeds the PLL, which clocks the core and both
 * APBs with 120 MHz. If the PLL does not get ready in time the core stays on the MSI, and
 * everything is right for that.
 *
 * Sources: RM0432 3.3.3, 5.1.8, 6.2.9 and 6.4. Left as reset leaves them: MSI on at 4 MHz and
 * chosen, voltage range 1 (PWR_CR1.VOS), APB prescalers of 1.
 */
#include TN_CHIP

#include "port.h"

#define TN_MSI_HZ 4000000u
#define TN_CORE_HZ 120000000u

static uint32_t tn_hz = TN_MSI_HZ;

/* 1 when the core runs from the PLL. */
static int tn_clock_start(void) {
    PWR_CR5 &= ~PWR_CR5_R1MODE; /* range 1 boost, without which 80 MHz is the limit */

    FLASH_ACR = FLASH_ACR_PRFTEN | FLASH_ACR_ICEN | FLASH_ACR_DCEN | TN_PUT(FLASH_ACR_LATENCY, 5u);
    if (!tn_wait(&FLASH_ACR, FLASH_ACR_LATENCY, 5)) {
        return 0;
    }

    uint32_t pll = RCC_PLLCFGR & ~(RCC_PLLCFGR_PLLSRC | RCC_PLLCFGR_PLLM | RCC_PLLCFGR_PLLN |
                                   RCC_PLLCFGR_PLLREN | RCC_PLLCFGR_PLLR);
    pll |= TN_PUT(RCC_PLLCFGR_PLLSRC, 1u); /* MSI; PLLM 0: by one */
    pll |= TN_PUT(RCC_PLLCFGR_PLLN, TN_CORE_HZ * 2u / TN_MSI_HZ);
    pll |= RCC_PLLCFGR_PLLREN; /* PLLR 0: half */
    RCC_PLLCFGR = pll;
    RCC_CR |= RCC_CR_PLLON;
    if (!tn_wait(&RCC_CR, RCC_CR_PLLRDY, 1)) {
        return 0;
    }

    /* from below to above 80 MHz by way of half the speed, for a microsecond at least */
    tn_set(&RCC_CFGR, RCC_CFGR_HPRE, 8);
    tn_set(&RCC_CFGR, RCC_CFGR_SW, 3);
    if (!tn_wait(&RCC_CFGR, RCC_CFGR_SWS, 3)) {
        return 0;
    }
    for (uint32_t reads = 64; reads != 0; reads--) { /* more than one cycle of 60 MHz each */
        (void)RCC_CFGR;
    }
    tn_set(&RCC_CFGR, RCC_CFGR_HPRE, 0);
    return 1;
}

static void tn_clock_give_up(void) {
    RCC_CFGR &= ~(RCC_CFGR_SW | RCC_CFGR_HPRE);
    (void)tn_wait(&RCC_CFGR, RCC_CFGR_SWS, 0);
    RCC_CR &= ~RCC_CR_PLLON;
}

void tn_port_init(void) {
    RCC_APB1ENR1 |= RCC_APB1ENR1_PWREN;
    (void)RCC_APB1ENR1;
#if defined(TN_HAS_VDDIO2)
    PWR_CR2 |= PWR_CR2_IOSV; /* pins PG2 to PG15 are cut off until told that they have power */
#endif
    if (tn_clock_start()) {
        tn_hz = TN_CORE_HZ;
    } else {
        tn_clock_give_up();
    }
    tn_console_start(tn_hz);
}

uint32_t tn_port_hz(void) { return tn_hz; }
