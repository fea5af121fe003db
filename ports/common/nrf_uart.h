/* nrf_uart.h: the UART without DMA and the pins of the nRF51 and nRF52.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Names after Nordic's: PERIPHERAL_REGISTER, PERIPHERAL_REGISTER_FIELD for all bits of a field,
 * PERIPHERAL_REGISTER_FIELD_VALUE for one of its values. tests/ports/test_nrf_registers.py compares
 * each with Nordic's descriptions of both chips. A pin is 32 * port + number, as in a PSEL register.
 */
#ifndef TN_NRF_UART_H
#define TN_NRF_UART_H

#include <stdint.h>

#define TN_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define UART0_BASE 0x40002000u
#define UART0_TASKS_STARTRX TN_REG(UART0_BASE + 0x000u)
#define UART0_TASKS_STARTTX TN_REG(UART0_BASE + 0x008u)
#define UART0_EVENTS_RXDRDY TN_REG(UART0_BASE + 0x108u) /* a byte lies in RXD */
#define UART0_EVENTS_TXDRDY TN_REG(UART0_BASE + 0x11Cu) /* the byte of TXD has been sent */
#define UART0_ENABLE TN_REG(UART0_BASE + 0x500u)
#define UART0_ENABLE_ENABLE_ENABLED (4u << 0)
#define UART0_PSEL_TXD TN_REG(UART0_BASE + 0x50Cu)
#define UART0_PSEL_RXD TN_REG(UART0_BASE + 0x514u)
#define UART0_RXD TN_REG(UART0_BASE + 0x518u)
#define UART0_RXD_RXD (0xFFu << 0)
#define UART0_TXD TN_REG(UART0_BASE + 0x51Cu)
#define UART0_BAUDRATE TN_REG(UART0_BASE + 0x524u)
#define UART0_BAUDRATE_BAUDRATE_BAUD115200 (0x01D7E000u << 0)

#define P0_BASE 0x50000000u
#define P0_OUTSET(pin) TN_REG(P0_BASE + 0x300u * ((pin) >> 5) + 0x508u)
#define P0_PIN_CNF(pin) TN_REG(P0_BASE + 0x300u * ((pin) >> 5) + 0x700u + 4u * ((pin) & 31u))
#define P0_PIN_CNF_DIR_OUTPUT (1u << 0)
#define P0_PIN_CNF_INPUT_DISCONNECT (1u << 1)
#define P0_PIN_CNF_PULL_PULLUP (3u << 2)

/* Starts the console of nrf_uart.c; for tn_port_init. */
void tn_nrf_uart_start(void);

#endif
