/* console.c: the first CMSDK APB UART of the MPS2 boards.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "port.h"

/* TN_UART_BASE and TN_CORE_HZ come from the board's TOML file. */
#define TN_UART(offset) (*(volatile uint32_t *)(uintptr_t)(TN_UART_BASE + (offset)))
#define TN_UART_DATA TN_UART(0x00u)
#define TN_UART_STATE TN_UART(0x04u)   /* bit 0: transmit buffer full; bit 1: receive buffer full */
#define TN_UART_CTRL TN_UART(0x08u)    /* bit 0: transmit enable; bit 1: receive enable */
#define TN_UART_BAUDDIV TN_UART(0x10u) /* at least 16 */

void tn_port_init(void) {
    TN_UART_BAUDDIV = 16;
    TN_UART_CTRL = 3;
}

uint32_t tn_port_hz(void) { return TN_CORE_HZ; }

void tn_port_putc(char c) {
    while ((TN_UART_STATE & 1u) != 0) {
    }
    TN_UART_DATA = (uint8_t)c;
}

int tn_port_getc(void) {
    return (TN_UART_STATE & 2u) != 0 ? (int)(TN_UART_DATA & 0xFFu) : -1;
}
