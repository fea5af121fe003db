/* tn_depthwise_fill_armv7em.h: strips of tn_depthwise_square.h in assembly, with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Text of the functions of tn_depthwise_square_armv7em.h. It leaves for label 7.
 */
#ifndef TN_DEPTHWISE_FILL_ARMV7EM_H
#define TN_DEPTHWISE_FILL_ARMV7EM_H

/* The frame: a tn_depthwise_band, and the outputs of a tile of seven or eight pixels. */
#define TN_DW_FRAME "88"
#define TN_DW_AT_C "[sp, #28]"
#define TN_DW_AT_FIRST "[sp, #32]"
#define TN_DW_AT_LAST "[sp, #36]"
#define TN_DW_AT_STRIP "[sp, #40]"
#define TN_DW_AT_BLOCKS "[sp, #44]"
#define TN_DW_AT_OUTPUTS "[sp, #48]"
#define TN_DW_AT_OUT_END "[sp, #52]"
#define TN_DW_AT_X_END "[sp, #56]"
#define TN_DW_AT_OUT_STEP "[sp, #60]"
#define TN_DW_AT_X_TAIL "[sp, #64]"
#define TN_DW_AT_OUT_TAIL "[sp, #68]"
#define TN_DW_AT_SPECIAL "[sp, #72]"
#define TN_DW_AT_ZERO "[sp, #76]"
#define TN_DW_AT_PATCH_END "[sp, #80]"
#define TN_DW_AT_TILE "[sp, #84]"

#define TN_DW_IF(CONDITION, TEXT) ".if " CONDITION "\n" TEXT ".endif\n"

/* ---- strips ---------------------------------------------------------------------------------- */

/* Words of four channels in A and C, of two columns or rows, become four words in A to D. */
#define TN_DW_WIDEN(A, B, C, D)                                                                   \
    "pkhtb " D ", " C ", " A ", asr #16\n pkhbt " B ", " A ", " C ", lsl #16\n"                   \
    "sxtb16 " A ", " B "\n sxtb16 " B ", " B ", ror #8\n"                                         \
    "sxtb16 " C ", " D "\n sxtb16 " D ", " D ", ror #8\n"

/* Two columns of the rows r0 and r1 become eight words. */
#define TN_DW_WIDEN_TWO                                                                           \
    "ldr r4, [r0]\n ldr r6, [r1]\n ldr r8, [r0, r3]\n ldr r10, [r1, r3]\n"                        \
    "add r0, r0, r3, lsl #1\n add r1, r1, r3, lsl #1\n"                                           \
    TN_DW_WIDEN("r4", "r5", "r6", "r7") TN_DW_WIDEN("r8", "r9", "r10", "r11")

/* Three rows at once: r0, r1, r2, columns c = r3 bytes apart; r12: the strip, up to lr. */
#define TN_DW_FILL_3                                                                              \
    "ldm sp, {r0, r1, r2}\n add r4, r0, #4\n add r5, r1, #4\n add r6, r2, #4\n"                   \
    "stm sp, {r4, r5, r6}\n"                                                                      \
    "ldr r3, " TN_DW_AT_C "\n ldr r12, " TN_DW_AT_FIRST "\n ldr lr, " TN_DW_AT_LAST "\n"          \
    "cmp r12, lr\n beq 2f\n"                                                                      \
    "1:\n" TN_DW_WIDEN_TWO "stm r12!, {r4-r11}\n"                                                 \
    "ldr r4, [r2]\n ldr r6, [r2, r3]\n add r2, r2, r3, lsl #1\n"                                  \
    TN_DW_WIDEN("r4", "r5", "r6", "r7")                                                           \
    "stm r12!, {r4-r7}\n cmp r12, lr\n bne 1b\n"                                                  \
    "2: ldr r11, " TN_DW_AT_SPECIAL "\n cmp r11, #0\n beq.w 7f\n"                                 \
    "tst r11, #1\n beq 3f\n"                                                                      \
    "ldr r4, [r0]\n ldr r6, [r1]\n" TN_DW_WIDEN("r4", "r5", "r6", "r7")                           \
    "stm r12!, {r4-r7}\n add r12, r12, #16\n"                                                     \
    "ldr r4, [r2]\n ldr r6, " TN_DW_AT_ZERO "\n" TN_DW_WIDEN("r4", "r5", "r6", "r7")              \
    "stm r12, {r4-r7}\n"                                                                          \
    "3:\n" TN_DW_OUTSIDE("3")

/* Two rows at a time, of which r2 tells on the stack, then the last one. */
#define TN_DW_FILL_PAIRS(K)                                                                       \
    "mov r2, sp\n ldr r3, " TN_DW_AT_C "\n"                                                       \
    "0: ldr r12, " TN_DW_AT_FIRST "\n ldr lr, " TN_DW_AT_LAST "\n"                                \
    "mov r4, sp\n sub r4, r2, r4\n"                                                               \
    "add r12, r12, r4, lsl #2\n add lr, lr, r4, lsl #2\n"                                         \
    "ldr r0, [r2]\n ldr r1, [r2, #4]\n add r4, r0, #4\n add r5, r1, #4\n"                         \
    "str r4, [r2], #4\n str r5, [r2], #4\n cmp r12, lr\n beq 2f\n"                                \
    "1:\n" TN_DW_WIDEN_TWO "stm r12, {r4-r11}\n add r12, r12, #(16*" K ")\n"                      \
    "cmp r12, lr\n bne 1b\n"                                                                      \
    "2: ldr r11, " TN_DW_AT_SPECIAL "\n tst r11, #1\n beq 3f\n"                                   \
    "ldr r4, [r0]\n ldr r6, [r1]\n" TN_DW_WIDEN("r4", "r5", "r6", "r7")                           \
    "stm r12, {r4-r7}\n"                                                                          \
    "3: mov r4, sp\n sub r4, r2, r4\n cmp r4, #(4*" K "-4)\n bne.w 0b\n"                          \
    "ldr r12, " TN_DW_AT_FIRST "\n ldr lr, " TN_DW_AT_LAST "\n ldr r0, [r2]\n"                    \
    "add r4, r0, #4\n str r4, [r2]\n"                                                             \
    "add r12, r12, #(16*" K "-16)\n add lr, lr, #(16*" K "-16)\n cmp r12, lr\n beq 2f\n"          \
    "1: ldr r4, [r0]\n ldr r6, [r0, r3]\n add r0, r0, r3, lsl #1\n"                               \
    TN_DW_WIDEN("r4", "r5", "r6", "r7")                                                           \
    "stm r12, {r4-r7}\n add r12, r12, #(16*" K ")\n cmp r12, lr\n bne 1b\n"                       \
    "2: cmp r11, #0\n beq.w 7f\n tst r11, #1\n beq 3f\n"                                          \
    "ldr r4, [r0]\n ldr r6, " TN_DW_AT_ZERO "\n" TN_DW_WIDEN("r4", "r5", "r6", "r7")              \
    "stm r12, {r4-r7}\n"                                                                          \
    "3:\n" TN_DW_OUTSIDE(K)

/* Rows outside of the input: halves of words, and the words of the last row. r11: special. */
#define TN_DW_OUTSIDE(K)                                                                          \
    "lsrs r11, r11, #1\n beq 7f\n"                                                                \
    "ldr lr, " TN_DW_AT_PATCH_END "\n ldr r3, " TN_DW_AT_FIRST "\n"                               \
    "ldr r12, " TN_DW_AT_ZERO "\n sxtb16 r12, r12\n mov r5, #0\n"                                 \
    "4: tst r11, #1\n beq 6f\n"                                                                   \
    "bic r6, r5, #1\n add r4, r3, r6, lsl #4\n and r6, r5, #1\n add r4, r4, r6, lsl #1\n"         \
    "5: strh r12, [r4]\n strh r12, [r4, #4]\n strh r12, [r4, #8]\n"                               \
    "strh r12, [r4, #12]\n strh r12, [r4, #16]\n strh r12, [r4, #20]\n"                           \
    "strh r12, [r4, #24]\n strh r12, [r4, #28]\n"                                                 \
    "add r4, r4, #(16*" K ")\n cmp r4, lr\n blo 5b\n"                                             \
    "6: lsr r11, r11, #1\n add r5, r5, #1\n cmp r5, #(" K "-1)\n bne 4b\n"                        \
    "cmp r11, #0\n beq 7f\n add r3, r3, #(16*" K "-16)\n"                                         \
    "5: str r12, [r3]\n str r12, [r3, #4]\n str r12, [r3, #8]\n"                                  \
    "str r12, [r3, #12]\n add r3, r3, #(16*" K ")\n cmp r3, lr\n blo 5b\n"

#endif
