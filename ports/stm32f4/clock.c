/* clock.c: the clock tree of the STM32F4 and STM32F7, and the start of their ports.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The internal oscillator (HSI, 16 MHz) feeds the PLL, which clocks the core with TN_CORE_HZ (the
 * board's TOML file), APB1 with a quarter and APB2 with half of it. If anything does not get ready
 * in time the core stays on the HSI, and everything is right for that.
 *
 * Sources: RM0390 3.4.1, 5.1.3 and 6.2; RM0385 3.3.3, 4.1.4 and 5.2. Left as reset leaves them:
 * HSI on and chosen, AHB prescaler of 1.
 */
#include TN_CHIP

#include "port.h"
#if defined(TN_HAS_CACHES)
#include "common/caches.h"
#endif

/* The PLL multiplies 2 MHz, as ST recommends for the least jitter, to twice the core's clock. */
#define TN_PLL_IN_HZ 2000000u
#define TN_PLL_N (TN_CORE_HZ * 2u / TN_PLL_IN_HZ)
_Static_assert(TN_CORE_HZ % 1000000u == 0 && TN_PLL_N >= 96u && TN_PLL_N <= 216u,
               "TN_CORE_HZ: whole MHz whose double the PLL can make, 192 to 432 MHz");

/* One wait state for each 30 MHz begun, at 2.7 to 3.6 V. */
#define TN_WAIT_STATES ((TN_CORE_HZ - 1u) / 30000000u)

static uint32_t tn_hz = TN_HSI_HZ;

/* 1 when the core runs from the PLL. */
static int tn_clock_start(void) {
    RCC_APB1ENR |= RCC_APB1ENR_PWREN;
    (void)RCC_APB1ENR;
    PWR_CR |= TN_PUT(PWR_CR_VOS, 1u); /* scale 1: 1 on the F405, 3 as at reset on the others */

    uint32_t pll = RCC_PLLCFGR & ~(RCC_PLLCFGR_PLLM | RCC_PLLCFGR_PLLN | RCC_PLLCFGR_PLLP |
                                   RCC_PLLCFGR_PLLSRC | RCC_PLLCFGR_PLLQ);
    pll |= TN_PUT(RCC_PLLCFGR_PLLM, TN_HSI_HZ / TN_PLL_IN_HZ);
    pll |= TN_PUT(RCC_PLLCFGR_PLLN, TN_PLL_N);
    pll |= TN_PUT(RCC_PLLCFGR_PLLQ, 9u); /* of no use here, but 0 and 1 are forbidden */
    RCC_PLLCFGR = pll;                   /* PLLP 0: half; PLLSRC 0: HSI */
    RCC_CR |= RCC_CR_PLLON;
    if (!tn_wait(&RCC_CR, RCC_CR_PLLRDY, 1) || !tn_wait(&PWR_CSR, PWR_CSR_VOSRDY, 1)) {
        return 0;
    }

#if TN_CORE_HZ > TN_NO_OVER_DRIVE_HZ
    PWR_CR |= PWR_CR_ODEN;
    if (!tn_wait(&PWR_CSR, PWR_CSR_ODRDY, 1)) {
        return 0;
    }
    PWR_CR |= PWR_CR_ODSWEN;
    if (!tn_wait(&PWR_CSR, PWR_CSR_ODSWRDY, 1)) {
        return 0;
    }
#endif

    FLASH_ACR = TN_FLASH_SPEED | TN_PUT(FLASH_ACR_LATENCY, TN_WAIT_STATES);
    if (!tn_wait(&FLASH_ACR, FLASH_ACR_LATENCY, TN_WAIT_STATES)) {
        return 0;
    }

    tn_set(&RCC_CFGR, RCC_CFGR_PPRE1, 5); /* a quarter */
    tn_set(&RCC_CFGR, RCC_CFGR_PPRE2, 4); /* half */
    tn_set(&RCC_CFGR, RCC_CFGR_SW, 2);
    return tn_wait(&RCC_CFGR, RCC_CFGR_SWS, 2);
}

static void tn_clock_give_up(void) {
    RCC_CFGR &= ~(RCC_CFGR_SW | RCC_CFGR_HPRE | RCC_CFGR_PPRE1 | RCC_CFGR_PPRE2);
    (void)tn_wait(&RCC_CFGR, RCC_CFGR_SWS, 0);
    RCC_CR &= ~RCC_CR_PLLON;
}

void tn_port_init(void) {
#if defined(TN_HAS_CACHES)
    tn_caches_start();
#endif
    uint32_t divider = 1;
    if (tn_clock_start()) {
        tn_hz = TN_CORE_HZ;
        divider = TN_CONSOLE_HAS(_BUS) == 1 ? 4 : 2;
    } else {
        tn_clock_give_up();
    }
    tn_console_start(tn_hz / divider);
}

uint32_t tn_port_hz(void) { return tn_hz; }
