/* stm32f4.h: the registers of the STM32F405 and STM32F446 that this port uses.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Names, addresses and fields: RM0090 (F405) and RM0390 (F446), chapters "Embedded flash memory
 * interface", "Power controller", "Reset and clock control". Where the two differ the note says so.
 */
#ifndef TN_STM32F4_H
#define TN_STM32F4_H

#include "common/stm32.h"
#include "common/stm32_usart_v1.h"

/* --- clocks (clock.c) ------------------------------------------------------------------------ */

#define TN_HSI_HZ 16000000u
#define TN_NO_OVER_DRIVE_HZ 168000000u /* faster, the regulator needs the over-drive mode */

#define RCC_CR TN_REG(0x40023800u)
#define RCC_CR_PLLON TN_BITS(24, 1)
#define RCC_CR_PLLRDY TN_BITS(25, 1)
#define RCC_PLLCFGR TN_REG(0x40023804u)
#define RCC_PLLCFGR_PLLM TN_BITS(0, 6)
#define RCC_PLLCFGR_PLLN TN_BITS(6, 9)
#define RCC_PLLCFGR_PLLP TN_BITS(16, 2)
#define RCC_PLLCFGR_PLLSRC TN_BITS(22, 1)
#define RCC_PLLCFGR_PLLQ TN_BITS(24, 4)
#define RCC_CFGR TN_REG(0x40023808u)
#define RCC_CFGR_SW TN_BITS(0, 2)
#define RCC_CFGR_SWS TN_BITS(2, 2)
#define RCC_CFGR_HPRE TN_BITS(4, 4)
#define RCC_CFGR_PPRE1 TN_BITS(10, 3)
#define RCC_CFGR_PPRE2 TN_BITS(13, 3)
#define RCC_AHB1ENR TN_REG(0x40023830u)
#define RCC_AHB1ENR_GPIOAEN TN_BITS(0, 1)
#define RCC_APB1ENR TN_REG(0x40023840u)
#define RCC_APB1ENR_USART2EN TN_BITS(17, 1)
#define RCC_APB1ENR_USART3EN TN_BITS(18, 1)
#define RCC_APB1ENR_PWREN TN_BITS(28, 1)
#define RCC_APB2ENR TN_REG(0x40023844u)
#define RCC_APB2ENR_USART1EN TN_BITS(4, 1)
#define RCC_APB2ENR_USART6EN TN_BITS(5, 1)

#define PWR_CR TN_REG(0x40007000u)
#define PWR_CR_VOS TN_BITS(14, 2)    /* F405: bit 14 alone */
#define PWR_CR_ODEN TN_BITS(16, 1)   /* F446 */
#define PWR_CR_ODSWEN TN_BITS(17, 1) /* F446 */
#define PWR_CSR TN_REG(0x40007004u)
#define PWR_CSR_VOSRDY TN_BITS(14, 1)
#define PWR_CSR_ODRDY TN_BITS(16, 1)   /* F446 */
#define PWR_CSR_ODSWRDY TN_BITS(17, 1) /* F446 */

#define FLASH_ACR TN_REG(0x40023C00u)
#define FLASH_ACR_LATENCY TN_BITS(0, 4) /* F405: 3 bits, and the fourth reads 0 */
#define FLASH_ACR_PRFTEN TN_BITS(8, 1)
#define FLASH_ACR_ICEN TN_BITS(9, 1)
#define FLASH_ACR_DCEN TN_BITS(10, 1)

/* The first revision of the F405 has no working prefetch (ES0182): its boards leave it off. */
#if defined(TN_NO_PREFETCH)
#define TN_FLASH_SPEED (FLASH_ACR_ICEN | FLASH_ACR_DCEN)
#else
#define TN_FLASH_SPEED (FLASH_ACR_ICEN | FLASH_ACR_DCEN | FLASH_ACR_PRFTEN)
#endif

/* --- the console (common/stm32_usart.c) ------------------------------------------------------ */

#define GPIOA_BASE 0x40020000u
#define GPIO_GATE RCC_AHB1ENR
#define GPIO_GATE_A RCC_AHB1ENR_GPIOAEN

/* _BUS: the APB that clocks it. */
#define USART1_BASE 0x40011000u
#define USART1_GATE RCC_APB2ENR
#define USART1_GATE_BIT RCC_APB2ENR_USART1EN
#define USART1_BUS 2
#define USART2_BASE 0x40004400u
#define USART2_GATE RCC_APB1ENR
#define USART2_GATE_BIT RCC_APB1ENR_USART2EN
#define USART2_BUS 1
#define USART3_BASE 0x40004800u
#define USART3_GATE RCC_APB1ENR
#define USART3_GATE_BIT RCC_APB1ENR_USART3EN
#define USART3_BUS 1
#define USART6_BASE 0x40011400u
#define USART6_GATE RCC_APB2ENR
#define USART6_GATE_BIT RCC_APB2ENR_USART6EN
#define USART6_BUS 2

#endif
