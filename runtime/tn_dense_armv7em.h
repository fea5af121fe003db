/* tn_dense_armv7em.h: eight channels of tn_fully_connected.h in assembly, for cores with the DSP
 * extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DENSE_ARMV7EM_H
#define TN_DENSE_ARMV7EM_H

#include "tn_dsp.h"

#if TN_DSP_NATIVE

#include "tn_dot.h"

/* Four products: x of two k and a word of weights of two channels. */
#define TN_DENSE_MACS(A, AB, X, W)                                                                 \
    "smlad " AB ", " X ", " W ", " AB "\n sxtb16 " W ", " W "\n"                                   \
    "smlad " A ", " X ", " W ", " A "\n"

/* Four k of eight channels, 32 products and 128 bytes: weights at r0, x at r1, sums a, ab, c, cd,
 * e, ef, g, gh in r4 to r11. From bytes in 39 cycles: */
#define TN_DENSE_BYTES                                                                             \
    "ldr.w r12, [r1], #4\n ldr.w r2, [r0], #4\n ldr.w lr, [r0], #4\n sxtb16 r3, r12\n"             \
    TN_DENSE_MACS("r4", "r5", "r3", "r2") TN_DENSE_MACS("r6", "r7", "r3", "lr")                    \
    "ldm.w r0!, {r2, lr}\n sxtb16 r12, r12, ror #8\n"                                              \
    TN_DENSE_MACS("r8", "r9", "r3", "r2") TN_DENSE_MACS("r10", "r11", "r3", "lr")                  \
    "ldm.w r0!, {r2, r3, lr}\n"                                                                    \
    TN_DENSE_MACS("r4", "r5", "r12", "r2") TN_DENSE_MACS("r6", "r7", "r12", "r3")                  \
    "ldr.w r2, [r0], #4\n"                                                                         \
    TN_DENSE_MACS("r8", "r9", "r12", "lr") TN_DENSE_MACS("r10", "r11", "r12", "r2")

/* From pairs in 37 cycles: */
#define TN_DENSE_PAIRS                                                                             \
    "ldr.w r12, [r1], #4\n ldr.w r2, [r0], #4\n ldr.w r3, [r0], #4\n ldr.w lr, [r0], #4\n"         \
    TN_DENSE_MACS("r4", "r5", "r12", "r2") TN_DENSE_MACS("r6", "r7", "r12", "r3")                  \
    TN_DENSE_MACS("r8", "r9", "r12", "lr")                                                         \
    "ldr.w r2, [r0], #4\n ldr.w r3, [r1], #4\n ldr.w lr, [r0], #4\n"                               \
    TN_DENSE_MACS("r10", "r11", "r12", "r2") TN_DENSE_MACS("r4", "r5", "r3", "lr")                 \
    "ldm.w r0!, {r2, r12, lr}\n"                                                                   \
    TN_DENSE_MACS("r6", "r7", "r3", "r2") TN_DENSE_MACS("r8", "r9", "r3", "r12")                   \
    TN_DENSE_MACS("r10", "r11", "r3", "lr")

/* Two channels, folded. */
#define TN_DENSE_FOLDED(A, AB)                                                                     \
    "ldm r0!, {r1, r2, r3}\n sub " AB ", " AB ", " A "\n"                                          \
    "smmla " A ", " A ", r1, r2\n smmul " AB ", " AB ", r3\n"                                      \
    "ssat " A ", #8, " A ", asr #3\n ssat " AB ", #8, " AB ", asr #11\n"

/* One channel, not folded: multiplier and shift at these bytes. */
#define TN_DENSE_OUTPUT(SUM, MULTIPLIER, SHIFT)                                                    \
    "ldr r2, [r0, #" MULTIPLIER "]\n ldrb r3, [r0, #" SHIFT "]\n" TN_TILE_OUTPUT(SUM)

/* The outputs of eight times r3 channels: r0 the tile, r1 x, r2 outputs. GROUP: four k, X_LOG: log2
 * of their bytes of x. The stack: x, where the loop over 32 k is entered, x after the last turn
 * (less 1 unless requantisation is folded), outputs, their end, the tile. */
#define TN_DENSE_EIGHTS(GROUP, X_LOG)                                                              \
    "push {r4-r11, lr}\n sub sp, #24\n"                                                            \
    "ldr r4, [r0, #" TN_TILE_GROUPS "]\n ldr r6, [r0, #" TN_TILE_FAST "]\n"                        \
    "add r5, r2, r3, lsl #3\n mov r3, r2\n add r7, r1, r4, lsl #" X_LOG "\n"                       \
    "cmp r6, #2\n it ne\n subne r7, #1\n rsb r4, r4, #0\n and r4, r4, #7\n"                       \
    "adr.w r2, 2f\n add r2, r2, r4, lsl #7\n add r2, #1\n mov r4, r5\n mov r5, r0\n"              \
    "strd r1, r2, [sp]\n strd r7, r3, [sp, #8]\n strd r4, r5, [sp, #16]\n ldr r0, [r0]\n"          \
    "1: ldm r0!, {r4-r11}\n ldr r1, [sp]\n ldr lr, [sp, #4]\n bx lr\n"                             \
    ".balign 4\n"                                                                                  \
    "2:\n" GROUP GROUP GROUP GROUP GROUP GROUP GROUP GROUP                                         \
    "ldr r2, [sp, #8]\n cmp r1, r2\n blo.w 2b\n bhi 3f\n"                                          \
    TN_DENSE_FOLDED("r4", "r5") TN_DENSE_FOLDED("r6", "r7")                                        \
    TN_DENSE_FOLDED("r8", "r9") TN_DENSE_FOLDED("r10", "r11")                                      \
    TN_TILE_PACK("r4", "r5", "r6", "r7") TN_TILE_PACK("r8", "r9", "r10", "r11")                    \
    "4: ldr r1, [sp, #12]\n ldr r2, [sp, #16]\n"                                                   \
    "str r4, [r1]\n str r8, [r1, #4]\n add r1, #8\n str r1, [sp, #12]\n"                           \
    "cmp r1, r2\n bne.w 1b\n add sp, #24\n pop {r4-r11, pc}\n"                                     \
    "3: ldr r1, [sp, #20]\n ldr lr, [r1, #" TN_TILE_ZERO_POINT "]\n"                               \
    TN_TILE_SECOND("r4", "r5") TN_TILE_SECOND("r6", "r7")                                          \
    TN_TILE_SECOND("r8", "r9") TN_TILE_SECOND("r10", "r11")                                        \
    TN_DENSE_OUTPUT("r4", "0", "16") TN_DENSE_OUTPUT("r5", "4", "17")                              \
    TN_DENSE_OUTPUT("r6", "8", "18") TN_DENSE_OUTPUT("r7", "12", "19")                             \
    TN_DENSE_OUTPUT("r8", "24", "40") TN_DENSE_OUTPUT("r9", "28", "41")                            \
    TN_DENSE_OUTPUT("r10", "32", "42") TN_DENSE_OUTPUT("r11", "36", "43")                          \
    TN_TILE_PACK("r4", "r5", "r6", "r7") TN_TILE_PACK("r8", "r9", "r10", "r11")                    \
    "add r0, #48\n ldr r3, [r1, #" TN_TILE_CLAMP "]\n cmp r3, #0\n beq 4b\n mov r2, r1\n"          \
    TN_TILE_LIMITS TN_TILE_LIMIT("r4") TN_TILE_LIMIT("r8") "b 4b\n"

/* See tn_fully_connected.h. */
#define tn_dense_bytes TN_VARIANT(tn_dense_bytes)
TN_SHARED TN_ASSEMBLY void tn_dense_bytes(const tn_tile *t TN_UNUSED, const int8_t *x TN_UNUSED,
                                          int8_t *out TN_UNUSED, int32_t eights TN_UNUSED) {
    __asm__(TN_DENSE_EIGHTS(TN_DENSE_BYTES, "2"));
}

#define tn_dense_pairs TN_VARIANT(tn_dense_pairs)
TN_SHARED TN_ASSEMBLY void tn_dense_pairs(const tn_tile *t TN_UNUSED, const uint32_t *x TN_UNUSED,
                                          int8_t *out TN_UNUSED, int32_t eights TN_UNUSED) {
    __asm__(TN_DENSE_EIGHTS(TN_DENSE_PAIRS, "3"));
}

#endif
#endif
