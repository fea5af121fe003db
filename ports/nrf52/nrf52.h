/* nrf52.h: the registers of the nRF52840 that board.c and flash.c use.
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
#define NVMC_READY TN_REG(NVMC_BASE + 0x400u)
#define NVMC_READY_READY_READY (1u << 0)
#define NVMC_CONFIG TN_REG(NVMC_BASE + 0x504u)
#define NVMC_CONFIG_WEN_REN (0u << 0) /* read only */
#define NVMC_CONFIG_WEN_WEN (1u << 0) /* words may be written */
#define NVMC_CONFIG_WEN_EEN (2u << 0) /* pages may be erased */
#define NVMC_ERASEPAGE TN_REG(NVMC_BASE + 0x508u) /* takes the page's address */
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
