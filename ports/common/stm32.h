/* stm32.h: what the STM32 ports share: how registers are named, waits that end, the console.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A chip's header (stm32f4/stm32f4.h, say) names registers as ST's reference manual does:
 * PERIPHERAL_REGISTER is a TN_REG, PERIPHERAL_REGISTER_FIELD the TN_BITS of one of its fields.
 * tests/ports/test_stm32_registers.py reads them so and compares them with the manuals' and SVD's.
 *
 * Defines of a board's TOML file:
 *   TN_CHIP                       the chip's header, in angle brackets
 *   TN_CONSOLE                    the UART of the console, as the chip's header calls it: USART2
 *   TN_CONSOLE_TX, TN_CONSOLE_RX  its pins: TN_PIN(A,2)
 *   TN_CONSOLE_AF                 the alternate function that connects them
 */
#ifndef TN_STM32_H
#define TN_STM32_H

#include <stdint.h>

/* --- registers and fields -------------------------------------------------------------------- */

#define TN_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define TN_BITS(lowest, width) (((1u << (width)) - 1u) << (lowest))

/* `value` at the place of `field`. */
#define TN_PUT(field, value) ((value) * ((field) & (~(field) + 1u)))

static inline void tn_set(volatile uint32_t *reg, uint32_t field, uint32_t value) {
    *reg = (*reg & ~field) | TN_PUT(field, value);
}

/* --- waiting --------------------------------------------------------------------------------- */

/* Reads of a register before a wait gives up: some milliseconds at the least, at any clock of ours.
 * The slowest thing waited for is a PLL, which locks in less than a millisecond. */
#define TN_WAIT_READS 50000u

/* Returns 1 as soon as `field` holds `value`, 0 if that does not come. */
static inline int tn_wait(const volatile uint32_t *reg, uint32_t field, uint32_t value) {
    for (uint32_t left = TN_WAIT_READS; left != 0; left--) {
        if ((*reg & field) == TN_PUT(field, value)) {
            return 1;
        }
    }
    return 0;
}

/* --- the console: stm32_usart.c -------------------------------------------------------------- */

/* PERIPHERAL_BASE, _GATE and so on of the UART that TN_CONSOLE names. */
#define TN_JOIN_NOW(a, b) a##b
#define TN_JOIN(a, b) TN_JOIN_NOW(a, b)
#define TN_CONSOLE_HAS(what) TN_JOIN(TN_CONSOLE, what)

/* The console's address. */
#define TN_UART TN_CONSOLE_HAS(_BASE)

/* Pin `number` of port `letter`; ports count from A, 0. */
#define TN_PIN(letter, number) (TN_PORT_##letter * 16u + (number))
enum { TN_PORT_A, TN_PORT_B, TN_PORT_C, TN_PORT_D, TN_PORT_E, TN_PORT_F, TN_PORT_G, TN_PORT_H,
       TN_PORT_I, TN_PORT_J, TN_PORT_K };

#define GPIO_MODER(port) TN_REG(GPIOA_BASE + 0x400u * (port) + 0x00u)
#define GPIO_PUPDR(port) TN_REG(GPIOA_BASE + 0x400u * (port) + 0x0Cu)
#define GPIO_AFRL(port) TN_REG(GPIOA_BASE + 0x400u * (port) + 0x20u)
#define GPIO_AFRH(port) TN_REG(GPIOA_BASE + 0x400u * (port) + 0x24u)

/* Connects the pins and starts the UART, which is clocked with `hz`: 115200 baud, 8N1. */
void tn_console_start(uint32_t hz);

#endif
