/* tn_dot_armv6m.h: an inner product of tn_dot.h in assembly, for cores without Thumb-2.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A compiler spills here: eight registers are all that most instructions reach, and all are in use.
 * codegen/stack.py knows the bytes of stack.
 */
#ifndef TN_DOT_ARMV6M_H
#define TN_DOT_ARMV6M_H

#include "tn_core.h"

#if defined(__clang__)
#define TN_ARMV6M_ASSEMBLY __attribute__((naked))
#else
#define TN_ARMV6M_ASSEMBLY __attribute__((naked, noipa))
#endif

/* Sums of channel a and of ab, of a pair of channels: joined weights at w, words 0 and 8 of every
 * 16 bytes, and bytes from x to end. All are 4-byte aligned, and x < end. 36 instructions for 8
 * products: x in r4, the words of weights in r5. */
#define tn_dot_joined TN_VARIANT(tn_dot_joined)
TN_SHARED TN_ARMV6M_ASSEMBLY void tn_dot_joined(const int8_t *w TN_UNUSED,
                                                const int8_t *x TN_UNUSED,
                                                const int8_t *end TN_UNUSED,
                                                uint32_t *sums TN_UNUSED) {
    __asm__(".syntax unified\n"
            "push {r3-r7, lr}\n mov r12, r2\n ldr r2, [r3]\n ldr r3, [r3, #4]\n"
            "1: ldmia r1!, {r4}\n ldr r5, [r0]\n"
            "sxtb r6, r4\n sxth r7, r5\n muls r7, r6, r7\n adds r3, r3, r7\n" /* k 0 */
            "sxtb r7, r5\n muls r7, r6, r7\n adds r2, r2, r7\n"
            "asrs r5, r5, #16\n lsrs r6, r4, #16\n sxtb r6, r6\n"            /* k 2 */
            "sxtb r7, r5\n muls r7, r6, r7\n adds r2, r2, r7\n"
            "muls r5, r6, r5\n adds r3, r3, r5\n"
            "ldr r5, [r0, #8]\n lsrs r6, r4, #8\n"
            "sxtb r6, r6\n sxth r7, r5\n muls r7, r6, r7\n adds r3, r3, r7\n" /* k 1 */
            "sxtb r7, r5\n muls r7, r6, r7\n adds r2, r2, r7\n"
            "asrs r5, r5, #16\n asrs r4, r4, #24\n"                           /* k 3 */
            "sxtb r7, r5\n muls r7, r4, r7\n adds r2, r2, r7\n"
            "muls r5, r4, r5\n adds r3, r3, r5\n"
            "adds r0, #16\n cmp r1, r12\n bne 1b\n"
            "pop {r0}\n str r2, [r0]\n str r3, [r0, #4]\n pop {r4-r7, pc}");
}

#endif
