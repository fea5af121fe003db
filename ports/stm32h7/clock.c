/* clock.c: the clock tree of the STM32H743, and the start of its port.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The internal oscillator (HSI, 64 MHz) feeds PLL1, which clocks the core with 480 MHz (revision V,
 * voltage scale 0) or 400 MHz (earlier ones, scale 1), the AXI bus with half of that
 * and the APBs with a quarter. If anything does not get ready in time the core stays on the HSI,
 * and everything is right for that.
 *
 * Sources: RM0433 4.3.8, 6.4.1, 6.6, 8.5 and 8.7; ES0392 for what ails the early revisions. Left as
 * reset leaves them: HSI on, undivided and chosen.
 */
#include TN_CHIP

#include "common/caches.h"
#include "port.h"

#define TN_HSI_HZ 64000000u
#define TN_PLL_IN_HZ 16000000u

/* values of DBGMCU_IDC.REV_ID */
#define TN_REVISION_X 0x2001u
#define TN_REVISION_V 0x2003u

static uint32_t tn_hz = TN_HSI_HZ;

/* 1 when the regulator gives what the core needs at full speed. */
static int tn_power_start(int over_drive) {
    /* supplied by the LDO; only the first write after power-on counts, and unlocks the scales */
    PWR_CR3 = (PWR_CR3 & ~(PWR_CR3_SCUEN | PWR_CR3_BYPASS)) | PWR_CR3_LDOEN;
    if (!tn_wait(&PWR_CSR1, PWR_CSR1_ACTVOSRDY, 1)) {
        return 0;
    }
    tn_set(&PWR_D3CR, PWR_D3CR_VOS, 3); /* scale 1 */
    (void)PWR_D3CR;
    if (!tn_wait(&PWR_D3CR, PWR_D3CR_VOSRDY, 1)) {
        return 0;
    }
    if (over_drive) { /* scale 0 */
        RCC_APB4ENR |= RCC_APB4ENR_SYSCFGEN;
        (void)RCC_APB4ENR;
        SYSCFG_PWRCR |= SYSCFG_PWRCR_ODEN;
        (void)SYSCFG_PWRCR;
        return tn_wait(&PWR_D3CR, PWR_D3CR_VOSRDY, 1);
    }
    return 1;
}

/* 1 when the core runs from PLL1 with `hz`. */
static int tn_clock_start(uint32_t hz, uint32_t wait_states) {
    tn_set(&RCC_PLLCKSELR, RCC_PLLCKSELR_PLLSRC, 0); /* HSI */
    tn_set(&RCC_PLLCKSELR, RCC_PLLCKSELR_DIVM1, TN_HSI_HZ / TN_PLL_IN_HZ);
    RCC_PLLCFGR = (RCC_PLLCFGR & ~(RCC_PLLCFGR_PLL1FRACEN | RCC_PLLCFGR_PLL1VCOSEL)) |
                  TN_PUT(RCC_PLLCFGR_PLL1RGE, 3u) | RCC_PLLCFGR_DIVP1EN; /* in: 8 to 16 MHz */
    tn_set(&RCC_PLL1DIVR, RCC_PLL1DIVR_DIVN1, hz * 2u / TN_PLL_IN_HZ - 1u);
    tn_set(&RCC_PLL1DIVR, RCC_PLL1DIVR_DIVP1, 2u - 1u);
    RCC_CR |= RCC_CR_PLL1ON;
    if (!tn_wait(&RCC_CR, RCC_CR_PLL1RDY, 1)) {
        return 0;
    }

    FLASH_ACR = TN_PUT(FLASH_ACR_WRHIGHFREQ, 2u) | TN_PUT(FLASH_ACR_LATENCY, wait_states);
    if (!tn_wait(&FLASH_ACR, FLASH_ACR_LATENCY, wait_states)) {
        return 0;
    }

    tn_set(&RCC_D1CFGR, RCC_D1CFGR_HPRE, 8); /* half */
    tn_set(&RCC_D1CFGR, RCC_D1CFGR_D1PPRE, 4);
    tn_set(&RCC_D2CFGR, RCC_D2CFGR_D2PPRE1, 4);
    tn_set(&RCC_D2CFGR, RCC_D2CFGR_D2PPRE2, 4);
    tn_set(&RCC_D3CFGR, RCC_D3CFGR_D3PPRE, 4);
    tn_set(&RCC_CFGR, RCC_CFGR_SW, 3);
    return tn_wait(&RCC_CFGR, RCC_CFGR_SWS, 3);
}

static void tn_clock_give_up(void) {
    tn_set(&RCC_CFGR, RCC_CFGR_SW, 0);
    (void)tn_wait(&RCC_CFGR, RCC_CFGR_SWS, 0);
    RCC_CR &= ~RCC_CR_PLL1ON;
    RCC_D1CFGR &= ~(RCC_D1CFGR_HPRE | RCC_D1CFGR_D1PPRE | RCC_D1CFGR_D1CPRE);
    RCC_D2CFGR &= ~(RCC_D2CFGR_D2PPRE1 | RCC_D2CFGR_D2PPRE2);
    RCC_D3CFGR &= ~RCC_D3CFGR_D3PPRE;
}

void tn_port_init(void) {
    const uint32_t revision = (DBGMCU_IDC & DBGMCU_IDC_REV_ID) >> 16;
    if (revision < TN_REVISION_X) {
        /* ES0392: reads from the AXI SRAM may go wrong unless they are issued one at a time */
        AXI_TARG7_FN_MOD = AXI_TARG7_FN_MOD_READ_ISS_OVERRIDE;
    }
    tn_caches_start();
    const int over_drive = revision >= TN_REVISION_V;
    const uint32_t full_hz = over_drive ? 480000000u : 400000000u;
    uint32_t divider = 1;
    if (tn_power_start(over_drive) && tn_clock_start(full_hz, over_drive ? 4 : 2)) {
        tn_hz = full_hz;
        divider = 4;
    } else {
        tn_clock_give_up();
    }
    tn_console_start(tn_hz / divider);
}

uint32_t tn_port_hz(void) { return tn_hz; }
