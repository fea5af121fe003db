/* reset.c: the end of the firmware on a real board: the chip starts anew.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nobody there can take the status; what is worth knowing has been printed. Addresses and the key:
 * Armv7-M Architecture Reference Manual, B3.2.6 (AIRCR).
 */
#include "common/console.h"
#include "port.h"

#define TN_AIRCR (*(volatile uint32_t *)(uintptr_t)0xE000ED0Cu)

_Noreturn void tn_port_exit(int status) {
    (void)status;
    tn_console_flush();
    __asm volatile("dsb" ::: "memory");
    TN_AIRCR = 0x05FA0000u | 1u << 2; /* SYSRESETREQ */
    __asm volatile("dsb" ::: "memory");
    for (;;) {
    }
}
