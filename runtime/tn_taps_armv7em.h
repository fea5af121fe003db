/* tn_taps_armv7em.h: the tile of tn_taps.h in assembly, with the pieces of tn_dot_armv7em.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_TAPS_ARMV7EM_H
#define TN_TAPS_ARMV7EM_H

#include "tn_dot_armv7em.h"

#if TN_DSP_NATIVE

/* Three taps of a pair of channels, 43 cycles for 48 products. W, X: bytes from r0 and r1, which
 * are 4 before, of the first words; W_LAST and X_LAST are those of the last ones. */
#define TN_TAPS_PAIR(W, X, W_LAST, X_LAST)                                                         \
    "ldr.w r2, [r0, #" W "+4]\n ldr.w r3, [r0, #" W "+8]\n"                                        \
    "ldr.w r12, [r1, #" X "+4]\n ldr.w lr, [r1, #" X "+8]\n" TN_TILE_2_MACS("r12", "lr")           \
    "ldr.w r2, [r0, #" W "+20]\n ldr.w r3, [r0, #" W "+24]\n ldr.w r12, [r1, #" X "+12]\n"         \
    TN_TILE_2_MACS("lr", "r12")                                                                    \
    "ldr.w r2, [r0, #" W "+36]\n ldr.w r3, [r0, #" W_LAST "\n ldr.w lr, [r1, #" X_LAST "\n"        \
    TN_TILE_2_MACS("r12", "lr")
#define TN_TAPS_FOUR(W, X)                                                                         \
    TN_TAPS_PAIR(W, X, W "+40]", X "+16]") TN_TAPS_PAIR(W "+8", X "+16", W "+48]", X "+32]")

/* Sixteen channels; the last words move the pointers. */
#define TN_TAPS_SIXTEEN                                                                            \
    TN_TAPS_FOUR("0", "0") TN_TAPS_FOUR("48", "32") TN_TAPS_FOUR("96", "64")                       \
    TN_TAPS_PAIR("144", "96", "144+40]", "96+16]")                                                 \
    TN_TAPS_PAIR("144+8", "96+16", "144+48]!", "96+32]!")

/* Four channels of four input pixels, from r1 on, at r0. */
#define TN_TAPS_WIDEN                                                                              \
    "ldr r11, [r1, r2]\n ldr r12, [r1, r2, lsl #1]\n ldr lr, [r1, r3]\n ldr r10, [r1], #4\n"       \
    "sxtb16 r5, r10\n sxtb16 r7, r11\n sxtb16 r8, r12\n sxtb16 r9, lr\n"                           \
    "sxtb16 r10, r10, ror #8\n sxtb16 r11, r11, ror #8\n"                                         \
    "sxtb16 r12, r12, ror #8\n sxtb16 lr, lr, ror #8\n stmia r0!, {r5, r7-r12, lr}\n"             \
    "subs r6, #4\n"

/* The taps of the next pair: rows of the kernel from r1 on, at r0; r2, r3: to the next pixel and
 * to the third from it, r4: what is skipped behind a row, r6: channels. Then on to the blocks. */
#define TN_TAPS_GATHER                                                                             \
    "10: ldr r12, " TN_AT_PAIRS "\n ldr r5, [r12, #" TN_PAIRS_RUNS "]\n"                           \
    "ldr r1, [r12, #" TN_PAIRS_BASE "]\n ldr r2, [r12, #" TN_PAIRS_NEXT "]\n"                      \
    "ldr r0, [r12, #" TN_PAIRS_GATHERED "]\n ldr r6, [r12, #" TN_PAIRS_WIDTH "]\n"                 \
    "ldr r4, [r12, #" TN_PAIRS_SKIPS "]\n"                                                         \
    "add r7, r1, r2, lsl #1\n add r3, r2, r2, lsl #1\n"                                            \
    "str r7, [r12, #" TN_PAIRS_BASE "]\n str r5, " TN_AT_ROWS "\n"                                 \
    "11: " TN_TAPS_WIDEN "beq 12f\n" TN_TAPS_WIDEN "bne 11b\n12: "                                 \
    "ldr r5, " TN_AT_ROWS "\n subs r5, #1\n beq 16f\n"                                             \
    "ldr r7, [r4], #4\n ldr r12, " TN_AT_PAIRS "\n ldr r6, [r12, #" TN_PAIRS_WIDTH "]\n"           \
    "str r5, " TN_AT_ROWS "\n add r1, r1, r7\n b 11b\n"                                            \
    "16: " TN_TILE_2_BLOCKS

#define TN_TAPS_FIRST TN_TILE_SUMS "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"

/* See tn_taps.h. */
#define tn_tile_taps TN_VARIANT(tn_tile_taps)
TN_SHARED TN_ASSEMBLY void tn_tile_taps(const tn_tile *t TN_UNUSED, tn_pairs *pairs TN_UNUSED) {
    __asm__(TN_TILE_2_BEGIN "mov r3, #3\n udiv r4, r4, r3\n"
            TN_TILE_BEGIN("5", "48", "320", "7", "3")
            "cmp r2, #0\n beq 16f\n" TN_TAPS_GATHER
            "2:\n" TN_TAPS_SIXTEEN TN_TAPS_SIXTEEN TN_TILE_2_END(TN_TAPS_FIRST));
}

#endif
#endif
