/* nrf52.h: the registers of the nRF52840 that board.c uses.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Names: see common/nrf_uart.h, which has those of the console.
 */
#ifndef TN_NRF52_H
#define TN_NRF52_H

#include <stdint.h>

#define TN_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define CLOCK_BASE 0x40000000u
#define CLOCK_TASKS_HFCLKSTART TN_REG(CLOCK_BASE + 0x000u)
#define CLOCK_EVENTS_HFCLKSTARTED TN_REG(CLOCK_BASE + 0x100u)

#define NVMC_BASE 0x4001E000u
#define NVMC_ICACHECNF TN_REG(NVMC_BASE + 0x540u)
#define NVMC_ICACHECNF_CACHEEN_ENABLED (1u << 0)

#define APPROTECT_BASE 0x40000000u
#define APPROTECT_DISABLE TN_REG(APPROTECT_BASE + 0x558u)
#define APPROTECT_DISABLE_DISABLE_SWDISABLE (0x5Au << 0)

#define UICR_BASE 0x10001000u
#define UICR_APPROTECT TN_REG(UICR_BASE + 0x208u)
#define UICR_APPROTECT_PALL (0xFFu << 0)
#define UICR_APPROTECT_PALL_HWDISABLED (0x5Au << 0)

#endif
