/* lm3s.h: the registers of the LM3S6965 that board.c uses.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Names, addresses and fields: LM3S6965 data sheet, chapters System Control, GPIOs and UARTs. The
 * data sheet writes UARTDR and GPIODEN; here, as for the other chips, PERIPHERAL_REGISTER_FIELD.
 */
#ifndef TN_LM3S_H
#define TN_LM3S_H

#include <stdint.h>

#define TN_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* --- system control -------------------------------------------------------------------------- */

#define SYSCTL_BASE 0x400FE000u

#define SYSCTL_DID0 TN_REG(SYSCTL_BASE + 0x000u)
#define SYSCTL_DID0_MAJ (0xFFu << 8) /* 0: A */
#define SYSCTL_DID0_MIN (0xFFu << 0)

#define SYSCTL_LDOPCTL TN_REG(SYSCTL_BASE + 0x034u)
#define SYSCTL_LDOPCTL_VADJ_2V75 (0x1Bu << 0)

#define SYSCTL_RIS TN_REG(SYSCTL_BASE + 0x050u)
#define SYSCTL_RIS_PLLLRIS (1u << 6)

#define SYSCTL_MISC TN_REG(SYSCTL_BASE + 0x058u) /* writing a bit clears it, in RIS as well */
#define SYSCTL_MISC_PLLLMIS (1u << 6)

#define SYSCTL_RCC TN_REG(SYSCTL_BASE + 0x060u)
#define SYSCTL_RCC_SYSDIV (0xFu << 23)
#define SYSCTL_RCC_SYSDIV_4 (3u << 23)
#define SYSCTL_RCC_USESYSDIV (1u << 22)
#define SYSCTL_RCC_PWRDN (1u << 13)
#define SYSCTL_RCC_OEN (1u << 12) /* active low; only in the oldest data sheets */
#define SYSCTL_RCC_BYPASS (1u << 11)
#define SYSCTL_RCC_XTAL (0xFu << 6)
#define SYSCTL_RCC_XTAL_8MHZ (0xEu << 6)
#define SYSCTL_RCC_OSCSRC (3u << 4) /* 0: the main oscillator */
#define SYSCTL_RCC_OSCSRC_IOSC (1u << 4)
#define SYSCTL_RCC_IOSCDIS (1u << 1)
#define SYSCTL_RCC_MOSCDIS (1u << 0)

#define SYSCTL_RCGC1 TN_REG(SYSCTL_BASE + 0x104u)
#define SYSCTL_RCGC1_UART0 (1u << 0)

#define SYSCTL_RCGC2 TN_REG(SYSCTL_BASE + 0x108u)
#define SYSCTL_RCGC2_GPIOA (1u << 0)

/* --- port A ---------------------------------------------------------------------------------- */

#define GPIOA_BASE 0x40004000u
#define GPIOA_AFSEL TN_REG(GPIOA_BASE + 0x420u)
#define GPIOA_PUR TN_REG(GPIOA_BASE + 0x510u)
#define GPIOA_DEN TN_REG(GPIOA_BASE + 0x51Cu)
#define GPIOA_PIN_U0RX (1u << 0)
#define GPIOA_PIN_U0TX (1u << 1)

/* --- UART0 (Arm's PL011) --------------------------------------------------------------------- */

#define UART0_BASE 0x4000C000u

#define UART0_DR TN_REG(UART0_BASE + 0x000u)
#define UART0_DR_OE (1u << 11)

#define UART0_ECR TN_REG(UART0_BASE + 0x004u) /* any write clears the errors */

#define UART0_FR TN_REG(UART0_BASE + 0x018u)
#define UART0_FR_TXFF (1u << 5)
#define UART0_FR_RXFE (1u << 4)
#define UART0_FR_BUSY (1u << 3)

#define UART0_IBRD TN_REG(UART0_BASE + 0x024u)
#define UART0_FBRD TN_REG(UART0_BASE + 0x028u)

#define UART0_LCRH TN_REG(UART0_BASE + 0x02Cu)
#define UART0_LCRH_WLEN_8 (3u << 5)
#define UART0_LCRH_FEN (1u << 4)

#define UART0_CTL TN_REG(UART0_BASE + 0x030u)
#define UART0_CTL_RXE (1u << 9)
#define UART0_CTL_TXE (1u << 8)
#define UART0_CTL_UARTEN (1u << 0)

#endif
