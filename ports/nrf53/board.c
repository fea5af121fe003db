/* board.c: clock, cache, trims and debug port of the nRF5340's application core.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The core runs in secure state from reset; every peripheral and all of RAM are secure by default.
 */
#include "nrf53.h"
#include "port.h"

#define TN_CRYSTAL_TRIES 200000u /* more than 10 ms at 128 MHz */
#define TN_TRIMS 32u

/* The factory leaves pairs of address and value that the firmware is to copy. */
static void tn_trim(void) {
    for (uint32_t i = 0; i < TN_TRIMS; i++) {
        const uint32_t address = FICR_TRIMCNF_ADDR(i);
        if (address == 0xFFFFFFFFu || address == 0) {
            break;
        }
        TN_REG(address) = FICR_TRIMCNF_DATA(i);
    }
}

/* The debug port is locked at reset, unless flash says otherwise and the firmware agrees. Flash says
 * so where a debugger has once unlocked the chip for good. */
static void tn_leave_debug_port_open(void) {
    if (UICR_APPROTECT == UICR_APPROTECT_PALL_UNPROTECTED) {
        CTRLAP_APPROTECT_DISABLE = UICR_APPROTECT_PALL_UNPROTECTED;
    }
    if (UICR_SECUREAPPROTECT == UICR_APPROTECT_PALL_UNPROTECTED) {
        CTRLAP_SECUREAPPROTECT_DISABLE = UICR_APPROTECT_PALL_UNPROTECTED;
    }
}

/* The UART needs the crystal to keep its baud rate when it is warm or cold. A crystal that does not
 * start leaves the RC oscillator in charge, at the same frequency. */
static void tn_start_crystal(void) {
    CLOCK_EVENTS_HFCLKSTARTED = 0;
    CLOCK_TASKS_HFCLKSTART = 1;
    for (uint32_t left = TN_CRYSTAL_TRIES; left > 0 && CLOCK_EVENTS_HFCLKSTARTED == 0; left--) {
    }
}

void tn_port_init(void) {
    tn_trim();
    tn_leave_debug_port_open();
    CACHE_ENABLE = CACHE_ENABLE_ENABLE_ENABLED;
    CLOCK_HFCLKCTRL = CLOCK_HFCLKCTRL_HCLK_DIV1;
    tn_start_crystal();
    tn_uarte_start();
}

uint32_t tn_port_hz(void) { return 128000000u; }
