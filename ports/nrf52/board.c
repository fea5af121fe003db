/* board.c: clock, flash cache and debug port of the nRF52840.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common/nrf_uart.h"
#include "nrf52.h"
#include "port.h"

#define TN_CRYSTAL_TRIES 100000u /* more than 10 ms; it takes less than one to start */

/* Chips of 2021 and later (build code F0) lock the debug port at reset, unless flash says otherwise
 * and the firmware agrees. Flash says so where a debugger has once unlocked the chip for good. */
static void tn_leave_debug_port_open(void) {
    if ((UICR_APPROTECT & UICR_APPROTECT_PALL) == UICR_APPROTECT_PALL_HWDISABLED) {
        APPROTECT_DISABLE = APPROTECT_DISABLE_DISABLE_SWDISABLE;
    }
}

/* The core runs at 64 MHz from its RC oscillator or from the crystal, which the UART needs to keep
 * its baud rate when it is warm or cold. A crystal that does not start leaves the RC oscillator. */
static void tn_start_crystal(void) {
    CLOCK_EVENTS_HFCLKSTARTED = 0;
    CLOCK_TASKS_HFCLKSTART = 1;
    for (uint32_t left = TN_CRYSTAL_TRIES; left > 0 && CLOCK_EVENTS_HFCLKSTARTED == 0; left--) {
    }
}

void tn_port_init(void) {
    tn_leave_debug_port_open();
    NVMC_ICACHECNF = NVMC_ICACHECNF_CACHEEN_ENABLED;
    tn_start_crystal();
    tn_nrf_uart_start();
}

uint32_t tn_port_hz(void) { return 64000000u; }
