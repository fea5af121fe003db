/* stm32_usart.c: the console on a USART, UART or LPUART of any STM32 from the F4 on.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * There are two generations. The first (F4) has one status and one data register; the second (F7,
 * L4, H7) has a register to clear errors and, on the later chips, FIFOs: a console that is polled
 * then loses nothing while the core is busy for some bytes. The chip's header says:
 *   TN_UART_GENERATION   by including stm32_usart_v1.h or stm32_usart_v2.h
 *   TN_UART_FIFO         whether a UART of the second generation has FIFOs
 *   GPIOA_BASE           where the ports begin, 0x400 apart
 *   GPIO_GATE, _GATE_A   the register and bit that clock port A; the others' bits follow it
 *   USART2_BASE          (say) where a UART lies
 *   USART2_GATE, _GATE_BIT  the register and bit that clock it
 */
#include TN_CHIP

#include "common/console.h"
#include "port.h"

#define TN_BAUD 115200u

/* Reads before a wait for a byte to leave gives up, so that a fault before the start of the console
 * ends in a reset: some milliseconds at any clock of ours; a byte takes less than 0.1. */
#define TN_BYTE_READS 1000000u

/* An LPUART counts its baud rate in 1/256 of its clock. */
#if defined(LPUART1_BASE)
#define TN_BRR_SCALE (TN_UART == LPUART1_BASE ? 256u : 1u)
#else
#define TN_BRR_SCALE 1u
#endif

/* --- start ----------------------------------------------------------------------------------- */

static void tn_connect(uint32_t port_and_pin) {
    const uint32_t port = port_and_pin / 16u;
    const uint32_t pin = port_and_pin % 16u;
    GPIO_GATE |= GPIO_GATE_A << port;
    (void)GPIO_GATE; /* the gate opens some cycles after it is written */
    tn_set(&GPIO_PUPDR(port), TN_BITS(2u * pin, 2), 1); /* pull-up: an open line is an idle line */
    volatile uint32_t *function = pin < 8u ? &GPIO_AFRL(port) : &GPIO_AFRH(port);
    tn_set(function, TN_BITS(4u * (pin % 8u), 4), TN_CONSOLE_AF);
    tn_set(&GPIO_MODER(port), TN_BITS(2u * pin, 2), 2); /* alternate function */
}

void tn_console_start(uint32_t hz) {
    TN_CONSOLE_HAS(_GATE) |= TN_CONSOLE_HAS(_GATE_BIT);
    (void)TN_CONSOLE_HAS(_GATE);
    tn_connect(TN_CONSOLE_TX);
    tn_connect(TN_CONSOLE_RX);
    const uint32_t whole = hz / TN_BAUD;
    const uint32_t rest = (hz % TN_BAUD * TN_BRR_SCALE + TN_BAUD / 2u) / TN_BAUD;
    USART_BRR = whole * TN_BRR_SCALE + rest;
#if TN_UART_GENERATION == 1
    USART_CR1 = USART_CR1_UE | USART_CR1_RE | USART_CR1_TE;
#else
    const uint32_t fifo = TN_UART_FIFO ? USART_CR1_FIFOEN : 0;
    USART_CR1 = fifo; /* only while the UART is off */
    USART_CR1 = fifo | USART_CR1_UE | USART_CR1_RE | USART_CR1_TE;
#endif
}

/* --- the console of port.h and console.h ----------------------------------------------------- */

#if TN_UART_GENERATION == 1

void tn_port_putc(char c) {
    for (uint32_t left = TN_BYTE_READS; left != 0 && (USART_SR & USART_SR_TXE) == 0; left--) {
    }
    USART_DR = (uint8_t)c;
}

int tn_port_getc(void) {
    const uint32_t status = USART_SR;
    if ((status & (USART_SR_RXNE | USART_SR_ORE)) == 0) {
        return -1;
    }
    const uint32_t data = USART_DR & 0xFFu; /* read after the status, it clears an overrun */
    return (status & USART_SR_RXNE) != 0 ? (int)data : -1;
}

static int tn_sent(void) { return (USART_SR & USART_SR_TC) != 0; }

#else

void tn_port_putc(char c) {
    for (uint32_t left = TN_BYTE_READS; left != 0 && (USART_ISR & USART_ISR_TXE) == 0; left--) {
    }
    USART_TDR = (uint8_t)c;
}

int tn_port_getc(void) {
    const uint32_t status = USART_ISR;
    if ((status & USART_ISR_ORE) != 0) {
        USART_ICR = USART_ICR_ORECF;
    }
    return (status & USART_ISR_RXNE) != 0 ? (int)(USART_RDR & 0xFFu) : -1;
}

static int tn_sent(void) { return (USART_ISR & USART_ISR_TC) != 0; }

#endif

void tn_console_flush(void) {
    for (uint32_t left = TN_BYTE_READS; left != 0 && !tn_sent(); left--) {
    }
}
