/* stm32_usart_v1.h: the registers of a USART of the first generation (STM32F4).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * RM0390 25.6. TN_UART is the address of the console's.
 */
#ifndef TN_STM32_USART_V1_H
#define TN_STM32_USART_V1_H

#define TN_UART_GENERATION 1

#define USART_SR TN_REG(TN_UART + 0x00u)
#define USART_SR_ORE TN_BITS(3, 1)
#define USART_SR_RXNE TN_BITS(5, 1)
#define USART_SR_TC TN_BITS(6, 1)
#define USART_SR_TXE TN_BITS(7, 1)
#define USART_DR TN_REG(TN_UART + 0x04u)
#define USART_BRR TN_REG(TN_UART + 0x08u)
#define USART_CR1 TN_REG(TN_UART + 0x0Cu)
#define USART_CR1_RE TN_BITS(2, 1)
#define USART_CR1_TE TN_BITS(3, 1)
#define USART_CR1_UE TN_BITS(13, 1)

#endif
