/* nrf53.h: the registers of the nRF5340's application core that the port uses, at secure addresses.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Names: see common/nrf_uart.h; the suffix _S of Nordic's secure peripherals is left out.
 */
#ifndef TN_NRF53_H
#define TN_NRF53_H

#include <stdint.h>

#define TN_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define CLOCK_BASE 0x50005000u
#define CLOCK_TASKS_HFCLKSTART TN_REG(CLOCK_BASE + 0x000u)
#define CLOCK_EVENTS_HFCLKSTARTED TN_REG(CLOCK_BASE + 0x100u)
#define CLOCK_HFCLKCTRL TN_REG(CLOCK_BASE + 0x558u)
#define CLOCK_HFCLKCTRL_HCLK_DIV1 (0u << 0) /* 128 MHz; DIV2, 64 MHz, from reset */

#define CACHE_BASE 0x50001000u
#define CACHE_ENABLE TN_REG(CACHE_BASE + 0x500u)
#define CACHE_ENABLE_ENABLE_ENABLED (1u << 0)

#define CTRLAP_BASE 0x50006000u
#define CTRLAP_APPROTECT_DISABLE TN_REG(CTRLAP_BASE + 0x544u)
#define CTRLAP_SECUREAPPROTECT_DISABLE TN_REG(CTRLAP_BASE + 0x54Cu)

#define UICR_BASE 0x00FF8000u
#define UICR_APPROTECT TN_REG(UICR_BASE + 0x000u)
#define UICR_APPROTECT_PALL_UNPROTECTED (0x50FA50FAu << 0)
#define UICR_SECUREAPPROTECT TN_REG(UICR_BASE + 0x01Cu)

#define FICR_BASE 0x00FF0000u
#define FICR_TRIMCNF_ADDR(n) TN_REG(FICR_BASE + 0x300u + 8u * (n)) /* n: 0 to 31 */
#define FICR_TRIMCNF_DATA(n) TN_REG(FICR_BASE + 0x304u + 8u * (n))

#define P0_BASE 0x50842500u
#define P0_OUTSET(pin) TN_REG(P0_BASE + 0x300u * ((pin) >> 5) + 0x008u)
#define P0_PIN_CNF(pin) TN_REG(P0_BASE + 0x300u * ((pin) >> 5) + 0x200u + 4u * ((pin) & 31u))
#define P0_PIN_CNF_DIR_OUTPUT (1u << 0)
#define P0_PIN_CNF_INPUT_DISCONNECT (1u << 1)
#define P0_PIN_CNF_PULL_PULLUP (3u << 2)

#define UARTE0_BASE 0x50008000u
#define UARTE0_TASKS_STARTRX TN_REG(UARTE0_BASE + 0x000u)
#define UARTE0_TASKS_STARTTX TN_REG(UARTE0_BASE + 0x008u)
#define UARTE0_TASKS_STOPTX TN_REG(UARTE0_BASE + 0x00Cu)
#define UARTE0_EVENTS_ENDRX TN_REG(UARTE0_BASE + 0x110u) /* the buffer for receiving is full */
#define UARTE0_EVENTS_ENDTX TN_REG(UARTE0_BASE + 0x120u) /* the last byte has been sent */
#define UARTE0_EVENTS_TXSTOPPED TN_REG(UARTE0_BASE + 0x158u)
#define UARTE0_ENABLE TN_REG(UARTE0_BASE + 0x500u)
#define UARTE0_ENABLE_ENABLE_ENABLED (8u << 0)
#define UARTE0_PSEL_TXD TN_REG(UARTE0_BASE + 0x50Cu)
#define UARTE0_PSEL_RXD TN_REG(UARTE0_BASE + 0x514u)
#define UARTE0_BAUDRATE TN_REG(UARTE0_BASE + 0x524u)
#define UARTE0_BAUDRATE_BAUDRATE_BAUD115200 (0x01D60000u << 0)
#define UARTE0_RXD_PTR TN_REG(UARTE0_BASE + 0x534u)
#define UARTE0_RXD_MAXCNT TN_REG(UARTE0_BASE + 0x538u)
#define UARTE0_TXD_PTR TN_REG(UARTE0_BASE + 0x544u)
#define UARTE0_TXD_MAXCNT TN_REG(UARTE0_BASE + 0x548u)

/* Starts the console of console.c; for tn_port_init. */
void tn_uarte_start(void);

#endif
