/* tn_row_sums_armv7em.h: the sums of tn_row_sums.h in assembly, for cores with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_ROW_SUMS_ARMV7EM_H
#define TN_ROW_SUMS_ARMV7EM_H

#include "tn_dsp.h"

#if TN_DSP_NATIVE

#include "tn_assembly.h"

/* Eight channels of the pixel at r12, 8 cycles and 28 bytes. */
#define TN_ROW_SUMS_EIGHT                                                                          \
    "ldr.w r9, [r12]\n ldr.w r10, [r12, #4]\n add.w r12, r12, r2\n"                                \
    "sxtab16 r5, r5, r9\n sxtab16 r6, r6, r9, ror #8\n"                                            \
    "sxtab16 r7, r7, r10\n sxtab16 r8, r8, r10, ror #8\n"

/* Four channels of the pixel at r12 in r9. */
#define TN_ROW_SUMS_FOUR                                                                           \
    "sxtab16 r5, r5, r9\n sxtab16 r6, r6, r9, ror #8\n add r12, r12, r2\n subs lr, #1\n"

/* Adds the bytes of `columns` pixels, `step` bytes apart from p on, of as many channels. Eight at a
 * time; the loop over four pixels a turn is entered late, at r11, where they are no multiple of
 * four. Then four channels, then one to three. */
#define tn_row_sums_add TN_VARIANT(tn_row_sums_add)
TN_SHARED TN_ASSEMBLY void tn_row_sums_add(const int8_t *p TN_UNUSED, int32_t columns TN_UNUSED,
                                           int32_t step TN_UNUSED, int32_t channels TN_UNUSED,
                                           uint32_t *pairs TN_UNUSED) {
    __asm__("push {r4-r11, lr}\n ldr r4, [sp, #36]\n"
            "rsb r11, r1, #0\n and r11, r11, #3\n mov r12, #28\n mul r11, r11, r12\n"
            "adr r12, 2f\n add r11, r11, r12\n add r11, #1\n"
            "subs r3, #8\n blt 3f\n"
            "1: ldm r4, {r5-r8}\n mov r12, r0\n mov lr, r1\n bx r11\n"
            ".balign 4\n"
            "2:\n" TN_ROW_SUMS_EIGHT TN_ROW_SUMS_EIGHT TN_ROW_SUMS_EIGHT TN_ROW_SUMS_EIGHT
            "subs lr, #4\n bgt 2b\n"
            "stm r4!, {r5-r8}\n add r0, #8\n subs r3, #8\n bge 1b\n"
            "3: adds r3, #4\n blt 5f\n"
            "ldm r4, {r5, r6}\n mov r12, r0\n mov lr, r1\n"
            "4: ldr r9, [r12]\n" TN_ROW_SUMS_FOUR "bne 4b\n"
            "stm r4!, {r5, r6}\n add r0, #4\n subs r3, #4\n"
            "5: adds r3, #4\n beq 7f\n"
            "ldm r4, {r5, r6}\n mov r12, r0\n mov lr, r1\n"
            "6: ldrb r9, [r12]\n cmp r3, #2\n"
            "itt ge\n ldrbge r10, [r12, #1]\n orrge r9, r9, r10, lsl #8\n"
            "itt gt\n ldrbgt r10, [r12, #2]\n orrgt r9, r9, r10, lsl #16\n"
            TN_ROW_SUMS_FOUR "bne 6b\n"
            "stm r4, {r5, r6}\n"
            "7: pop {r4-r11, pc}\n");
}

#endif
#endif
