/* stm32l4.h: the registers of the STM32L4R5 that this port uses.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Names, addresses and fields: RM0432, chapters 3 (flash), 5 (power), 6 (reset and clock control).
 */
#ifndef TN_STM32L4_H
#define TN_STM32L4_H

#include "common/stm32.h"
#include "common/stm32_usart_v2.h"

/* --- clocks (clock.c) ------------------------------------------------------------------------ */

#define RCC_CR TN_REG(0x40021000u)
#define RCC_CR_PLLON TN_BITS(24, 1)
#define RCC_CR_PLLRDY TN_BITS(25, 1)
#define RCC_CFGR TN_REG(0x40021008u)
#define RCC_CFGR_SW TN_BITS(0, 2)
#define RCC_CFGR_SWS TN_BITS(2, 2)
#define RCC_CFGR_HPRE TN_BITS(4, 4)
#define RCC_PLLCFGR TN_REG(0x4002100Cu)
#define RCC_PLLCFGR_PLLSRC TN_BITS(0, 2)
#define RCC_PLLCFGR_PLLM TN_BITS(4, 4)
#define RCC_PLLCFGR_PLLN TN_BITS(8, 7)
#define RCC_PLLCFGR_PLLREN TN_BITS(24, 1)
#define RCC_PLLCFGR_PLLR TN_BITS(25, 2)
#define RCC_AHB2ENR TN_REG(0x4002104Cu)
#define RCC_AHB2ENR_GPIOAEN TN_BITS(0, 1)
#define RCC_APB1ENR1 TN_REG(0x40021058u)
#define RCC_APB1ENR1_USART2EN TN_BITS(17, 1)
#define RCC_APB1ENR1_USART3EN TN_BITS(18, 1)
#define RCC_APB1ENR1_PWREN TN_BITS(28, 1)
#define RCC_APB1ENR2 TN_REG(0x4002105Cu)
#define RCC_APB1ENR2_LPUART1EN TN_BITS(0, 1)
#define RCC_APB2ENR TN_REG(0x40021060u)
#define RCC_APB2ENR_USART1EN TN_BITS(14, 1)

#define PWR_CR2 TN_REG(0x40007004u)
#define PWR_CR2_IOSV TN_BITS(9, 1)
#define PWR_CR5 TN_REG(0x40007080u)
#define PWR_CR5_R1MODE TN_BITS(8, 1)

#define FLASH_ACR TN_REG(0x40022000u)
#define FLASH_ACR_LATENCY TN_BITS(0, 4)
#define FLASH_ACR_PRFTEN TN_BITS(8, 1)
#define FLASH_ACR_ICEN TN_BITS(9, 1)
#define FLASH_ACR_DCEN TN_BITS(10, 1)

/* --- the console (common/stm32_usart.c) ------------------------------------------------------ */

#define TN_UART_FIFO 1

#define GPIOA_BASE 0x48000000u
#define GPIO_GATE RCC_AHB2ENR
#define GPIO_GATE_A RCC_AHB2ENR_GPIOAEN

/* Each is clocked by its APB (RCC_CCIPR at reset), and the APBs are as fast as the core. */
#define USART1_BASE 0x40013800u
#define USART1_GATE RCC_APB2ENR
#define USART1_GATE_BIT RCC_APB2ENR_USART1EN
#define USART2_BASE 0x40004400u
#define USART2_GATE RCC_APB1ENR1
#define USART2_GATE_BIT RCC_APB1ENR1_USART2EN
#define USART3_BASE 0x40004800u
#define USART3_GATE RCC_APB1ENR1
#define USART3_GATE_BIT RCC_APB1ENR1_USART3EN
#define LPUART1_BASE 0x40008000u
#define LPUART1_GATE RCC_APB1ENR2
#define LPUART1_GATE_BIT RCC_APB1ENR2_LPUART1EN

#endif
