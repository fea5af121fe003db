/* board.c: the BBC micro:bit 1 (nRF51822).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common/nrf_uart.h"
#include "port.h"

void tn_port_init(void) { tn_nrf_uart_start(); }

uint32_t tn_port_hz(void) { return 16000000u; }
