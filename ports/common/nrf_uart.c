/* nrf_uart.c: the console on the UART of the nRF51 and nRF52, 115200 baud, no flow control.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The UART without DMA: its receiver holds six bytes (product specification of the nRF52840, UART,
 * "Reception"), so that nothing is lost as long as a reader comes every half millisecond.
 * TN_CONSOLE_TX and TN_CONSOLE_RX are pins, from the board's TOML file. CONFIG stays as at reset:
 * eight bits, no parity, one stop bit.
 */
#include "common/nrf_uart.h"

#include "common/console.h"
#include "port.h"

/* Reads before a wait for a byte to leave gives up: more than 10 ms; a byte takes less than 0.1. */
#define TN_BYTE_READS 200000u

void tn_nrf_uart_start(void) {
    P0_OUTSET(TN_CONSOLE_TX) = 1u << (TN_CONSOLE_TX & 31u); /* a line at rest is high */
    P0_PIN_CNF(TN_CONSOLE_TX) = P0_PIN_CNF_DIR_OUTPUT | P0_PIN_CNF_INPUT_DISCONNECT;
    P0_PIN_CNF(TN_CONSOLE_RX) = P0_PIN_CNF_PULL_PULLUP;
    UART0_PSEL_TXD = TN_CONSOLE_TX;
    UART0_PSEL_RXD = TN_CONSOLE_RX;
    UART0_BAUDRATE = UART0_BAUDRATE_BAUDRATE_BAUD115200;
    UART0_ENABLE = UART0_ENABLE_ENABLE_ENABLED;
    UART0_TASKS_STARTTX = 1;
    UART0_TASKS_STARTRX = 1;
}

void tn_port_putc(char c) {
    UART0_EVENTS_TXDRDY = 0;
    UART0_TXD = (uint8_t)c;
    for (uint32_t left = TN_BYTE_READS; left != 0 && UART0_EVENTS_TXDRDY == 0; left--) {
    }
}

int tn_port_getc(void) {
    if (UART0_EVENTS_RXDRDY == 0) {
        return -1;
    }
    UART0_EVENTS_RXDRDY = 0; /* first: reading RXD brings the next byte, and its event */
    return (int)(UART0_RXD & UART0_RXD_RXD);
}

void tn_console_flush(void) {} /* tn_port_putc returns when the byte has been sent */
