/* semihosting.c: the files and the exit of port.h through Arm semihosting (QEMU, debug probes).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Call numbers: "Semihosting for AArch32 and AArch64", Arm.
 */
#include "port.h"

enum { TN_SYS_OPEN = 0x01, TN_SYS_CLOSE = 0x02, TN_SYS_WRITE = 0x05, TN_SYS_READ = 0x06,
       TN_SYS_EXIT_EXTENDED = 0x20 };
enum { TN_OPEN_READ_BINARY = 1, TN_OPEN_WRITE_BINARY = 5 };

static uint32_t tn_semihost(uint32_t operation, const uint32_t *arguments) {
    register uint32_t r0 __asm("r0") = operation;
    register const uint32_t *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int32_t tn_port_open(const char *name, int writing) {
    uint32_t length = 0;
    while (name[length] != '\0') {
        length++;
    }
    const uint32_t mode = writing ? TN_OPEN_WRITE_BINARY : TN_OPEN_READ_BINARY;
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, mode, length};
    return (int32_t)tn_semihost(TN_SYS_OPEN, arguments);
}

uint32_t tn_port_read(int32_t file, void *data, uint32_t size) {
    uint8_t *to = data;
    uint32_t got = 0;
    while (got < size) {
        const uint32_t want = size - got;
        const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)(to + got), want};
        const uint32_t left = tn_semihost(TN_SYS_READ, arguments);
        if (left >= want) { /* end of file, or an error */
            break;
        }
        got += want - left;
    }
    return got;
}

int32_t tn_port_write(int32_t file, const void *data, uint32_t size) {
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)data, size};
    return tn_semihost(TN_SYS_WRITE, arguments) == 0 ? 0 : -1;
}

void tn_port_close(int32_t file) {
    const uint32_t arguments[1] = {(uint32_t)file};
    (void)tn_semihost(TN_SYS_CLOSE, arguments);
}

_Noreturn void tn_port_exit(int status) {
    const uint32_t arguments[2] = {0x20026u /* application exit */, (uint32_t)status};
    for (;;) {
        (void)tn_semihost(TN_SYS_EXIT_EXTENDED, arguments);
    }
}
