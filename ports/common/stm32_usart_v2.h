/* stm32_usart_v2.h: the registers of a USART or LPUART of the second generation (STM32F7, L4, H7).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * RM0385 31.8, RM0432 50.8 and 51.7, RM0433 48.7 and 49.7. TN_UART is the address of the console's.
 */
#ifndef TN_STM32_USART_V2_H
#define TN_STM32_USART_V2_H

#define TN_UART_GENERATION 2

#define USART_CR1 TN_REG(TN_UART + 0x00u)
#define USART_CR1_UE TN_BITS(0, 1)
#define USART_CR1_RE TN_BITS(2, 1)
#define USART_CR1_TE TN_BITS(3, 1)
#define USART_CR1_FIFOEN TN_BITS(29, 1) /* not on the F7 */
#define USART_BRR TN_REG(TN_UART + 0x0Cu)
#define USART_ISR TN_REG(TN_UART + 0x1Cu)
#define USART_ISR_ORE TN_BITS(3, 1)
#define USART_ISR_RXNE TN_BITS(5, 1) /* with FIFOs: something is there */
#define USART_ISR_TC TN_BITS(6, 1)
#define USART_ISR_TXE TN_BITS(7, 1) /* with FIFOs: there is room */
#define USART_ICR TN_REG(TN_UART + 0x20u)
#define USART_ICR_ORECF TN_BITS(3, 1)
#define USART_RDR TN_REG(TN_UART + 0x24u)
#define USART_TDR TN_REG(TN_UART + 0x28u)

#endif
