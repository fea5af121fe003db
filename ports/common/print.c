/* print.c: console output without the C library, over tn_port_putc.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "port.h"

void tn_print(const char *text) {
    while (*text != '\0') {
        tn_port_putc(*text++);
    }
}

void tn_print_decimal(uint32_t value) {
    static const uint32_t power[10] = {1000000000u, 100000000u, 10000000u, 1000000u, 100000u,
                                       10000u,      1000u,      100u,      10u,      1u};
    int started = 0;
    for (int i = 0; i < 10; i++) {
        char digit = '0';
        while (value >= power[i]) {
            value -= power[i];
            digit++;
        }
        if (digit != '0' || started || i == 9) {
            tn_port_putc(digit);
            started = 1;
        }
    }
}

void tn_print_hex(uint32_t value) {
    tn_print("0x");
    for (int shift = 28; shift >= 0; shift -= 4) {
        tn_port_putc("0123456789abcdef"[value >> shift & 15u]);
    }
}
