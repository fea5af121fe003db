/* tn_depthwise_conv_2d_armv7em.h: four channels of tn_depthwise_conv_2d.h in assembly, for cores
 * with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_DEPTHWISE_CONV_2D_ARMV7EM_H
#define TN_DEPTHWISE_CONV_2D_ARMV7EM_H

#include "tn_dsp.h"

#if TN_DSP_NATIVE

#include "tn_dot.h"

/* Two taps, 22 cycles for 8 products: offsets at r8, weights at r0, inputs from r1. Sums a to d in
 * r4 to r7. */
#define TN_DEPTHWISE_TWO_TAPS                                                                      \
    "ldrd r2, r3, [r8], #8\n"                                                                      \
    "ldr r2, [r1, r2]\n ldr r3, [r1, r3]\n ldr r9, [r0], #4\n ldr r10, [r0], #4\n"                 \
    "pkhbt r12, r2, r3, lsl #16\n pkhtb r3, r3, r2, asr #16\n"                                     \
    "sxtb16 lr, r12\n sxtb16 r2, r9\n smlad r4, lr, r2, r4\n"                                      \
    "sxtb16 r12, r12, ror #8\n sxtb16 r9, r9, ror #8\n smlad r5, r12, r9, r5\n"                    \
    "sxtb16 lr, r3\n sxtb16 r2, r10\n smlad r6, lr, r2, r6\n"                                      \
    "sxtb16 r3, r3, ror #8\n sxtb16 r10, r10, ror #8\n smlad r7, r3, r10, r7\n"

/* The last of an odd number of taps. */
#define TN_DEPTHWISE_TAP                                                                           \
    "ldr r2, [r8]\n ldr r2, [r1, r2]\n ldr r9, [r0], #4\n"                                         \
    "sxtb16 r3, r2\n sxtb16 r10, r9\n sxtb16 r2, r2, ror #8\n sxtb16 r9, r9, ror #8\n"             \
    "smlabb r4, r3, r10, r4\n smlabb r5, r2, r9, r5\n"                                            \
    "smlatt r6, r3, r10, r6\n smlatt r7, r2, r9, r7\n"

/* A sum becomes an output as with tn_requantize_fast and tn_ssat8; the shift in r10's low byte. */
#define TN_DEPTHWISE_OUTPUT(SUM, MULTIPLIER)                                                       \
    "add r12, " SUM ", " SUM ", asr #31\n smmlar " SUM ", " SUM ", " MULTIPLIER ", r12\n"          \
    "asrs " SUM ", " SUM ", r10\n adc " SUM ", " SUM ", lr\n ssat " SUM ", #8, " SUM "\n"

/* All groups of four channels of one pixel: `fast` requantisation, depth multiplier 1. On the
 * stack: the table, zero point, outputs, their end, whether there are limits, the tile. r11: the
 * table's end, less 1 where the number of taps is odd. */
#define tn_depthwise_conv_2d_fours TN_VARIANT(tn_depthwise_conv_2d_fours)
TN_SHARED TN_ASSEMBLY void tn_depthwise_conv_2d_fours(const tn_tile *t TN_UNUSED,
                                                      const int8_t *in TN_UNUSED,
                                                      const int32_t *offsets TN_UNUSED,
                                                      int32_t taps TN_UNUSED,
                                                      int8_t *out TN_UNUSED) {
    __asm__("push {r4-r11, lr}\n ldr r5, [sp, #36]\n sub sp, #24\n"
            "ldr r6, [r0, #" TN_TILE_OUT_C "]\n ldr r4, [r0, #" TN_TILE_ZERO_POINT "]\n"
            "ldr r7, [r0, #" TN_TILE_CLAMP "]\n bics r6, r6, #3\n beq 6f\n add r6, r6, r5\n"
            "mov r8, r0\n stm sp, {r2, r4-r8}\n"
            "bic r11, r3, #1\n and r3, r3, #1\n add r11, r2, r11, lsl #2\n sub r11, r11, r3\n"
            "ldr r0, [r0]\n"
            "1: ldr r8, [sp]\n ldm r0!, {r4-r7}\n cmp r8, r11\n bhs 3f\n"
            "2:\n" TN_DEPTHWISE_TWO_TAPS "cmp r8, r11\n blo 2b\n"
            "3: beq 4f\n" TN_DEPTHWISE_TAP
            "4: ldm r0!, {r2, r3, r8, r9, r10}\n ldr lr, [sp, #4]\n"
            TN_DEPTHWISE_OUTPUT("r4", "r2") "lsr r10, r10, #8\n"
            TN_DEPTHWISE_OUTPUT("r5", "r3") "lsr r10, r10, #8\n"
            TN_DEPTHWISE_OUTPUT("r6", "r8") "lsr r10, r10, #8\n"
            TN_DEPTHWISE_OUTPUT("r7", "r9") TN_TILE_PACK("r4", "r5", "r6", "r7")
            "ldr r8, [sp, #8]\n ldr r9, [sp, #12]\n ldr r3, [sp, #16]\n cbnz r3, 7f\n"
            "5: str r4, [r8], #4\n str r8, [sp, #8]\n add r1, #4\n cmp r8, r9\n bne 1b\n"
            "6: add sp, #24\n pop {r4-r11, pc}\n"
            "7: ldr r2, [sp, #20]\n" TN_TILE_LIMITS TN_TILE_LIMIT("r4") "b 5b\n");
}

#endif
#endif
