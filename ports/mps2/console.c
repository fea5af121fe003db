/* console.c: the first CMSDK APB UART of the MPS2 boards.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "port.h"

/* TN_UART_BASE comes from the board's TOML file. */
#define TN_UART(offset) (*(volatile uint32_t *)(uintptr_t)(TN_UART_BASE + (offset)))
#define TN_UART_DATA TN_UART(0x00u)
#define TN_UART_STATE TN_UART(0x04u)   /* bit 0: transmit buffer full */
#define TN_UART_CTRL TN_UART(0x08u)    /* bit 0: transmit enable */
#define TN_UART_BAUDDIV TN_UART(0x10u) /* at least 16 */

void tn_port_init(void) {
    TN_UART_BAUDDIV = 16;
    TN_UART_CTRL = 1;
}

void tn_port_putc(char c) {
    while ((TN_UART_STATE & 1u) != 0) {
    }
    TN_UART_DATA = (uint8_t)c;
}
