/* console.c: the console on the nRF5340's UARTE0, 115200 baud, no flow control.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A UARTE only moves bytes between the line and buffers in RAM (EasyDMA). Both buffers are one byte
 * long. While the one for receiving is full, what comes waits in the receiver, which holds four more
 * bytes (product specification of the nRF5340, UARTE, "Reception"); starting anew moves the next
 * one. TN_CONSOLE_TX and TN_CONSOLE_RX are pins, from the board's TOML file. CONFIG stays as at
 * reset: eight bits, no parity, one stop bit.
 */
#include "common/console.h"
#include "nrf53.h"
#include "port.h"

#define TN_BYTE_READS 200000u /* more than 10 ms at 128 MHz; a byte takes 0.1 ms */

static volatile uint8_t tn_sending;
static volatile uint8_t tn_received;

/* What was written before is in RAM before EasyDMA is started; what it wrote is not read early. */
static inline void tn_order(void) { __asm volatile("dmb" ::: "memory"); }

void tn_uarte_start(void) {
    P0_OUTSET(TN_CONSOLE_TX) = 1u << (TN_CONSOLE_TX & 31u); /* a line at rest is high */
    P0_PIN_CNF(TN_CONSOLE_TX) = P0_PIN_CNF_DIR_OUTPUT | P0_PIN_CNF_INPUT_DISCONNECT;
    P0_PIN_CNF(TN_CONSOLE_RX) = P0_PIN_CNF_PULL_PULLUP;
    UARTE0_PSEL_TXD = TN_CONSOLE_TX;
    UARTE0_PSEL_RXD = TN_CONSOLE_RX;
    UARTE0_BAUDRATE = UARTE0_BAUDRATE_BAUDRATE_BAUD115200;
    UARTE0_ENABLE = UARTE0_ENABLE_ENABLE_ENABLED;
    UARTE0_TXD_PTR = (uint32_t)(uintptr_t)&tn_sending;
    UARTE0_TXD_MAXCNT = 1;
    UARTE0_RXD_PTR = (uint32_t)(uintptr_t)&tn_received;
    UARTE0_RXD_MAXCNT = 1;
    UARTE0_TASKS_STARTRX = 1;
}

void tn_port_putc(char c) {
    tn_sending = (uint8_t)c;
    UARTE0_EVENTS_ENDTX = 0;
    tn_order();
    UARTE0_TASKS_STARTTX = 1;
    for (uint32_t left = TN_BYTE_READS; left > 0 && UARTE0_EVENTS_ENDTX == 0; left--) {
    }
}

int tn_port_getc(void) {
    if (UARTE0_EVENTS_ENDRX == 0) {
        return -1;
    }
    tn_order();
    const int byte = tn_received;
    UARTE0_EVENTS_ENDRX = 0;
    tn_order();
    UARTE0_TASKS_STARTRX = 1;
    return byte;
}

void tn_console_flush(void) {
    UARTE0_EVENTS_TXSTOPPED = 0;
    UARTE0_TASKS_STOPTX = 1;
    for (uint32_t left = TN_BYTE_READS; left > 0 && UARTE0_EVENTS_TXSTOPPED == 0; left--) {
    }
}
