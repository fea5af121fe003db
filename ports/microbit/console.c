/* console.c: the UART of the nRF51 on the BBC micro:bit.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "port.h"

#define TN_UART(offset) (*(volatile uint32_t *)(uintptr_t)(0x40002000u + (offset)))
#define TN_UART_STARTTX TN_UART(0x008u)
#define TN_UART_TXDRDY TN_UART(0x11Cu) /* set when TXD has been sent */
#define TN_UART_ENABLE TN_UART(0x500u) /* 4: on */
#define TN_UART_PSELTXD TN_UART(0x50Cu)
#define TN_UART_TXD TN_UART(0x51Cu)
#define TN_UART_BAUDRATE TN_UART(0x524u)

void tn_port_init(void) {
    TN_UART_PSELTXD = 24;
    TN_UART_BAUDRATE = 0x01D7E000u; /* 115200 */
    TN_UART_ENABLE = 4;
    TN_UART_STARTTX = 1;
}

void tn_port_putc(char c) {
    TN_UART_TXDRDY = 0;
    TN_UART_TXD = (uint8_t)c;
    while (TN_UART_TXDRDY == 0) {
    }
}
