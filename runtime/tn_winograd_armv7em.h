/* tn_winograd_armv7em.h: the products of tn_winograd_conv_2d.h in assembly, for cores with the DSP
 * extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Four channels by two tiles: eight sums, two pointers, four operands. The first pair of k begins
 * the sums, the others run eight a turn, and the first turn is entered late. Of the weights and of x
 * all positions follow each other. codegen/stack.py knows the bytes of stack.
 */
#ifndef TN_WINOGRAD_ARMV7EM_H
#define TN_WINOGRAD_ARMV7EM_H

#include "tn_dot.h"

/* One pair of k, 16 cycles for 16 products: four words of weights, one of each tile. r0 and r1 are 4
 * before weights and x, sums of tile 0 are r4 to r7, of tile 1 r8 to r11. */
#define TN_WINOGRAD_PAIR(W0, W1, W2, W3, X0, X1)                                                   \
    "ldr.w r2, [r0, #" W0 "]\n ldr.w r3, [r0, #" W1 "]\n"                                          \
    "ldr.w r12, [r1, #" X0 "]\n ldr.w lr, [r1, #" X1 "\n"                                          \
    "smlad r4, r12, r2, r4\n smlad r8, lr, r2, r8\n"                                               \
    "smlad r5, r12, r3, r5\n smlad r9, lr, r3, r9\n"                                               \
    "ldr.w r2, [r0, #" W2 "]\n ldr.w r3, [r0, #" W3 "\n"                                           \
    "smlad r6, r12, r2, r6\n smlad r10, lr, r2, r10\n"                                             \
    "smlad r7, r12, r3, r7\n smlad r11, lr, r3, r11\n"

/* The sums over k < 2 * pairs of all positions: int32 sums[positions][2 tiles][4 channels] from
 * weights[positions][pairs][4 channels] and x[positions][pairs][2 tiles], words of two int16. */
#define tn_winograd_products TN_VARIANT(tn_winograd_products)
TN_SHARED TN_ASSEMBLY void tn_winograd_products(const uint32_t *weights TN_UNUSED,
                                                const uint32_t *x TN_UNUSED,
                                                int32_t *sums TN_UNUSED, int32_t pairs TN_UNUSED,
                                                int32_t positions TN_UNUSED) {
    __asm__(
        "push {r4-r11, lr}\n ldr r4, [sp, #36]\n sub sp, #24\n"
        "sub r0, #4\n sub r1, #4\n"
        "str r2, [sp]\n add r4, r2, r4, lsl #5\n str r4, [sp, #4]\n"  /* sums, and their end */
        "lsl r5, r3, #3\n add r6, r1, r5\n strd r5, r6, [sp, #8]\n"   /* bytes of x, and their end */
        "rsb r5, r3, #1\n and r5, r5, #7\n sub r6, r5, #1\n lsl r6, r6, #4\n" /* skipped weights */
        "adr.w r7, 2f\n mov r8, #56\n mla r7, r5, r8, r7\n add r7, #1\n"
        "strd r6, r7, [sp, #16]\n"                                    /* and the first turn's entry */
        "1: ldr.w r2, [r0, #4]\n ldr.w r3, [r0, #8]\n ldr.w r12, [r1, #4]\n ldr.w lr, [r1, #8]\n"
        "smuad r4, r12, r2\n smuad r8, lr, r2\n smuad r5, r12, r3\n smuad r9, lr, r3\n"
        "ldr.w r2, [r0, #12]\n ldr.w r3, [r0, #16]\n"
        "smuad r6, r12, r2\n smuad r10, lr, r2\n smuad r7, r12, r3\n smuad r11, lr, r3\n"
        "ldr r2, [sp, #16]\n ldr r3, [sp, #20]\n"
        "sub r0, r0, r2\n sub r1, r1, r2, asr #1\n bx r3\n"
        "2:\n"
        TN_WINOGRAD_PAIR("4", "8", "12", "16]", "4", "8]")
        TN_WINOGRAD_PAIR("20", "24", "28", "32]", "12", "16]")
        TN_WINOGRAD_PAIR("36", "40", "44", "48]", "20", "24]")
        TN_WINOGRAD_PAIR("52", "56", "60", "64]", "28", "32]")
        TN_WINOGRAD_PAIR("68", "72", "76", "80]", "36", "40]")
        TN_WINOGRAD_PAIR("84", "88", "92", "96]", "44", "48]")
        TN_WINOGRAD_PAIR("100", "104", "108", "112]", "52", "56]")
        TN_WINOGRAD_PAIR("116", "120", "124", "128]!", "60", "64]!")
        "ldr r2, [sp, #12]\n cmp r1, r2\n bne 2b\n"
        "ldr r12, [sp]\n ldr lr, [sp, #4]\n ldr r3, [sp, #8]\n add r2, r2, r3\n"
        "stmia r12!, {r4-r11}\n cmp r12, lr\n str r12, [sp]\n str r2, [sp, #12]\n bne 1b\n"
        "add sp, #24\n pop {r4-r11, pc}");
}

#endif
