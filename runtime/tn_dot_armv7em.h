/* tn_dot_armv7em.h: the tiles of tn_dot.h in assembly, for cores with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Two functions, whole: fourteen registers are in use in the inner loop, more than a compiler gives
 * away. Both loop over blocks of four channels; in each over groups of four k, sixteen or eight a
 * turn, and the first turn is entered late, with pointers moved back by what is skipped of eight
 * groups. Neighbouring single loads pipeline, so they stand together. codegen/stack.py knows the
 * bytes of stack.
 */
#ifndef TN_DOT_ARMV7EM_H
#define TN_DOT_ARMV7EM_H

#include "tn_dot.h"

/* Aligned: ADR and literals count from a word's address, and the assembler takes a function to begin at
 * one. With -Os functions begin at any halfword. */
#if defined(__clang__)
#define TN_ASSEMBLY __attribute__((naked, aligned(4)))
#else
#define TN_ASSEMBLY __attribute__((naked, noipa, aligned(4)))
#endif

/* of a tn_tile, in bytes */
#define TN_TILE_OUT_C "4"
#define TN_TILE_GROUPS "8"
#define TN_TILE_ZERO_POINT "12"
#define TN_TILE_LOW "16"
#define TN_TILE_HIGH "20"
#define TN_TILE_FAST "24"
#define TN_TILE_CLAMP "28"

/* the stack frame: words at these bytes */
#define TN_FRAME "48"
#define TN_AT_X "[sp, #0]"      /* where x begins, less what a late entry skips, less 4 */
#define TN_AT_BACK "[sp, #4]"   /* what a late entry skips of the weights, less 12 */
#define TN_AT_ENTRY "[sp, #8]"  /* of the first turn */
#define TN_AT_END "[sp, #12]"   /* x after the last turn */
#define TN_AT_OUT "[sp, #16]"   /* outputs of pixel 0, and of pixel 1 */
#define TN_AT_OTHER "[sp, #20]"
#define TN_AT_LEFT "[sp, #24]"  /* channels */
#define TN_AT_CLAMP "[sp, #28]" /* tn_tile.clamp */
#define TN_AT_LOW "[sp, #32]"   /* four times the byte */
#define TN_AT_HIGH "[sp, #36]"
#define TN_AT_ZERO_POINT "[sp, #40]"
#define TN_AT_FAST "[sp, #44]" /* tn_tile.fast: 1 or 2 */

/* Fills the frame. In: r0 the tile, r1 x, r2 and r3 outputs, r12 log2 of the bytes of a group of x.
 * Out: r0 28 bytes before the blocks, r3 as TN_AT_END. GROUP: bytes of code of a group, at 2f; MASK:
 * groups of a turn, less 1. */
#define TN_TILE_BEGIN(GROUP, MASK)                                                                 \
    "push {r4-r11, lr}\n sub sp, #" TN_FRAME "\n"                                                  \
    "str r2, " TN_AT_OUT "\n str r3, " TN_AT_OTHER "\n"                                            \
    "ldr r4, [r0, #" TN_TILE_GROUPS "]\n rsb r5, r4, #0\n and r5, r5, #" MASK "\n"                 \
    "sub r1, #4\n lsl r6, r4, r12\n add r3, r1, r6\n str r3, " TN_AT_END "\n"                      \
    "and r7, r5, #7\n lsl r6, r7, r12\n sub r6, r1, r6\n str r6, " TN_AT_X "\n"                    \
    "lsl r6, r7, #4\n sub r6, #12\n str r6, " TN_AT_BACK "\n"                                      \
    "adr.w r6, 2f\n mov r7, #" GROUP "\n mla r6, r5, r7, r6\n add r6, #1\n"                        \
    "str r6, " TN_AT_ENTRY "\n"                                                                    \
    "ldr r6, [r0, #" TN_TILE_OUT_C "]\n str r6, " TN_AT_LEFT "\n"                                  \
    "ldr r6, [r0, #" TN_TILE_CLAMP "]\n str r6, " TN_AT_CLAMP "\n"                                 \
    "ldr r6, [r0, #" TN_TILE_ZERO_POINT "]\n str r6, " TN_AT_ZERO_POINT "\n"                       \
    "ldr r6, [r0, #" TN_TILE_FAST "]\n str r6, " TN_AT_FAST "\n"                                   \
    "ldrb r6, [r0, #" TN_TILE_LOW "]\n ldrb r7, [r0, #" TN_TILE_HIGH "]\n"                         \
    "mov r8, #0x01010101\n mul r6, r6, r8\n mul r7, r7, r8\n"                                      \
    "str r6, " TN_AT_LOW "\n str r7, " TN_AT_HIGH "\n"                                             \
    "ldr r0, [r0]\n sub r0, #28\n"

#define TN_TILE_RETURN "add sp, #" TN_FRAME "\n pop {r4-r11, pc}\n"

/* The next block's first sums, and into the loop. Before: r0 is 28 bytes before the block. */
#define TN_TILE_SUMS                                                                               \
    "ldr r4, [r0, #28]!\n ldr r5, [r0, #4]\n ldr r6, [r0, #8]\n ldr r7, [r0, #12]\n"               \
    "ldr r1, " TN_AT_X "\n ldr r12, " TN_AT_BACK "\n ldr lr, " TN_AT_ENTRY "\n"                    \
    "sub r0, r0, r12\n"

/* r2 and r3 are multiplier and right shift: `sum` as tn_requantize_fast with addend lr, saturated. */
#define TN_TILE_OUTPUT(SUM)                                                                        \
    "add r12, " SUM ", " SUM ", asr #31\n smmlar " SUM ", " SUM ", r2, r12\n"                      \
    "asrs " SUM ", " SUM ", r3\n adc " SUM ", " SUM ", lr\n ssat " SUM ", #8, " SUM "\n"

/* The same as tn_requantize_short, MULTIPLIER and ADDEND being registers. */
#define TN_TILE_SHORT(SUM, MULTIPLIER, ADDEND)                                                     \
    "smmlar " SUM ", " SUM ", " MULTIPLIER ", " ADDEND "\n ssat " SUM ", #8, " SUM ", asr #4\n"
/* Multipliers and addends of two channels: r2 and r3, r12 and lr. From where multipliers begin. */
#define TN_TILE_TWO(M0, M1, A0, A1)                                                                \
    "ldr r2, [r0, #" M0 "]\n ldr r12, [r0, #" M1 "]\n"                                             \
    "ldrsh r3, [r0, #" A0 "]\n ldrsh lr, [r0, #" A1 "]\n"
#define TN_TILE_SECOND(A, AB) "sub " AB ", " AB ", " A "\n asr " AB ", " AB ", #8\n"

/* Four bytes become a word in the first register. */
#define TN_TILE_PACK(A, B, C, D)                                                                   \
    "bfi " A ", " B ", #8, #8\n bfi " A ", " C ", #16, #8\n bfi " A ", " D ", #24, #8\n"

/* Bytes limited to those of r5 and r6. */
#define TN_TILE_LIMIT(V)                                                                           \
    "ssub8 r7, " V ", r5\n sel " V ", " V ", r5\n"                                                 \
    "ssub8 r7, " V ", r6\n sel " V ", r6, " V "\n"

/* ---- two pixels ------------------------------------------------------------------------------ */

/* Sums a, ab, c, cd: r4 to r7 of pixel 0, r8 to r11 of pixel 1. r0, r1 are 4 before weights and x.
 * One pair of k, 15 cycles for 16 products: two words of weights, one of each column. W and X:
 * bytes of the first word and the second; the last words of eight groups move the pointers. */
#define TN_TILE_2_PAIR(W, X, W_LAST, X_LAST)                                                       \
    "ldr.w r2, [r0, #" W "]\n ldr.w r3, [r0, #" W_LAST "\n"                                        \
    "ldr.w r12, [r1, #" X "]\n ldr.w lr, [r1, #" X_LAST "\n"                                       \
    "smlad r5, r12, r2, r5\n smlad r9, lr, r2, r9\n sxtb16.w r2, r2\n"                             \
    "smlad r4, r12, r2, r4\n smlad r8, lr, r2, r8\n"                                               \
    "smlad r7, r12, r3, r7\n smlad r11, lr, r3, r11\n sxtb16.w r3, r3\n"                           \
    "smlad r6, r12, r3, r6\n smlad r10, lr, r3, r10\n"
#define TN_TILE_2_GROUP(A, B, C, D)                                                                \
    TN_TILE_2_PAIR(A, A, B "]", B "]") TN_TILE_2_PAIR(C, C, D "]", D "]")

#define TN_TILE_2_EIGHT                                                                            \
    TN_TILE_2_GROUP("4", "8", "12", "16") TN_TILE_2_GROUP("20", "24", "28", "32")                  \
    TN_TILE_2_GROUP("36", "40", "44", "48") TN_TILE_2_GROUP("52", "56", "60", "64")                \
    TN_TILE_2_GROUP("68", "72", "76", "80") TN_TILE_2_GROUP("84", "88", "92", "96")                \
    TN_TILE_2_GROUP("100", "104", "108", "112")                                                    \
    TN_TILE_2_PAIR("116", "116", "120]", "120]")                                                   \
    TN_TILE_2_PAIR("124", "124", "128]!", "128]!")

/* All channels of two pixels from widened columns. */
#define tn_tile_2 TN_VARIANT(tn_tile_2)
TN_SHARED TN_ASSEMBLY void tn_tile_2(const tn_tile *t TN_UNUSED, const uint32_t *columns TN_UNUSED,
                                     int8_t *out TN_UNUSED, int8_t *other TN_UNUSED) {
    __asm__(
        "mov r12, #4\n" TN_TILE_BEGIN("112", "15")
        "1:\n" TN_TILE_SUMS
        "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n bx lr\n"
        "2:\n"
        TN_TILE_2_EIGHT TN_TILE_2_EIGHT
        "ldr r2, " TN_AT_END "\n cmp r1, r2\n bne 2b\n"
        TN_TILE_SECOND("r4", "r5") TN_TILE_SECOND("r6", "r7")
        TN_TILE_SECOND("r8", "r9") TN_TILE_SECOND("r10", "r11")
        "ldr r1, " TN_AT_FAST "\n" TN_TILE_TWO("4", "8", "20", "22") "cmp r1, #2\n bne 6f\n"
        TN_TILE_SHORT("r4", "r2", "r3") TN_TILE_SHORT("r8", "r2", "r3")
        TN_TILE_SHORT("r5", "r12", "lr") TN_TILE_SHORT("r9", "r12", "lr")
        TN_TILE_TWO("12", "16", "24", "26")
        TN_TILE_SHORT("r6", "r2", "r3") TN_TILE_SHORT("r10", "r2", "r3")
        TN_TILE_SHORT("r7", "r12", "lr") TN_TILE_SHORT("r11", "r12", "lr")
        "7:\n"
        TN_TILE_PACK("r4", "r5", "r6", "r7") TN_TILE_PACK("r8", "r9", "r10", "r11")
        "ldr r2, " TN_AT_OUT "\n ldr r3, " TN_AT_OTHER "\n ldr r12, " TN_AT_LEFT "\n"
        "ldr r1, " TN_AT_CLAMP "\n cbz r1, 3f\n"
        "ldr r5, " TN_AT_LOW "\n ldr r6, " TN_AT_HIGH "\n"
        TN_TILE_LIMIT("r4") TN_TILE_LIMIT("r8")
        "3: subs r12, #4\n blt 4f\n"
        "str r4, [r2], #4\n str r8, [r3], #4\n str r2, " TN_AT_OUT "\n"
        "str r3, " TN_AT_OTHER "\n str r12, " TN_AT_LEFT "\n bne 1b\n"
        TN_TILE_RETURN
        "4: adds r12, #4\n" /* one to three channels */
        "5: strb r4, [r2], #1\n strb r8, [r3], #1\n lsr r4, r4, #8\n lsr r8, r8, #8\n"
        "subs r12, #1\n bne 5b\n" TN_TILE_RETURN
        "6: ldr lr, " TN_AT_ZERO_POINT "\n" TN_TILE_OUTPUT("r4") TN_TILE_OUTPUT("r8")
        "ldr r2, [r0, #8]\n ldrh r3, [r0, #22]\n" TN_TILE_OUTPUT("r5") TN_TILE_OUTPUT("r9")
        "ldr r2, [r0, #12]\n ldrh r3, [r0, #24]\n" TN_TILE_OUTPUT("r6") TN_TILE_OUTPUT("r10")
        "ldr r2, [r0, #16]\n ldrh r3, [r0, #26]\n" TN_TILE_OUTPUT("r7") TN_TILE_OUTPUT("r11")
        "b 7b");
}

/* ---- one pixel --------------------------------------------------------------------------------- */

/* Sums in r4 to r7, r3 is the end of x. A group, 20 cycles for 16 products: four words of weights,
 * one of x. */
#define TN_TILE_1_GROUP(X, A, B, C, D)                                                             \
    "ldr.w r12, [r1, #" X "\n ldr.w r8, [r0, #" A "]\n ldr.w r9, [r0, #" B "]\n"                   \
    "ldr.w r10, [r0, #" C "]\n ldr.w r11, [r0, #" D "\n"                                           \
    "sxtb16.w lr, r12\n sxtb16.w r12, r12, ror #8\n"                                               \
    "smlad r5, lr, r8, r5\n sxtb16.w r8, r8\n smlad r4, lr, r8, r4\n"                              \
    "smlad r7, lr, r9, r7\n sxtb16.w r9, r9\n smlad r6, lr, r9, r6\n"                              \
    "smlad r5, r12, r10, r5\n sxtb16.w r10, r10\n smlad r4, r12, r10, r4\n"                        \
    "smlad r7, r12, r11, r7\n sxtb16.w r11, r11\n smlad r6, r12, r11, r6\n"

/* All channels of one pixel from a column of bytes, readable to 4 * groups. */
#define tn_tile_1 TN_VARIANT(tn_tile_1)
TN_SHARED TN_ASSEMBLY void tn_tile_1(const tn_tile *t TN_UNUSED, const int8_t *column TN_UNUSED,
                                     int8_t *out TN_UNUSED) {
    __asm__(
        "mov r12, #2\n" TN_TILE_BEGIN("76", "7")
        "1:\n" TN_TILE_SUMS "bx lr\n"
        "2:\n"
        TN_TILE_1_GROUP("4]", "4", "8", "12", "16]") TN_TILE_1_GROUP("8]", "20", "24", "28", "32]")
        TN_TILE_1_GROUP("12]", "36", "40", "44", "48]")
        TN_TILE_1_GROUP("16]", "52", "56", "60", "64]")
        TN_TILE_1_GROUP("20]", "68", "72", "76", "80]")
        TN_TILE_1_GROUP("24]", "84", "88", "92", "96]")
        TN_TILE_1_GROUP("28]", "100", "104", "108", "112]")
        TN_TILE_1_GROUP("32]!", "116", "120", "124", "128]!")
        "cmp r1, r3\n bne 2b\n"
        TN_TILE_SECOND("r4", "r5") TN_TILE_SECOND("r6", "r7")
        "ldr r1, " TN_AT_FAST "\n" TN_TILE_TWO("4", "8", "20", "22") "cmp r1, #2\n bne 6f\n"
        TN_TILE_SHORT("r4", "r2", "r3") TN_TILE_SHORT("r5", "r12", "lr")
        TN_TILE_TWO("12", "16", "24", "26")
        TN_TILE_SHORT("r6", "r2", "r3") TN_TILE_SHORT("r7", "r12", "lr")
        "7:\n"
        TN_TILE_PACK("r4", "r5", "r6", "r7")
        "ldr r2, " TN_AT_OUT "\n ldr r3, " TN_AT_END "\n ldr r12, " TN_AT_LEFT "\n"
        "ldr r1, " TN_AT_CLAMP "\n cbz r1, 3f\n"
        "ldr r5, " TN_AT_LOW "\n ldr r6, " TN_AT_HIGH "\n" TN_TILE_LIMIT("r4")
        "3: subs r12, #4\n blt 4f\n"
        "str r4, [r2], #4\n str r2, " TN_AT_OUT "\n str r12, " TN_AT_LEFT "\n bne 1b\n"
        TN_TILE_RETURN
        "4: adds r12, #4\n" /* one to three channels */
        "5: strb r4, [r2], #1\n lsr r4, r4, #8\n subs r12, #1\n bne 5b\n" TN_TILE_RETURN
        "6: mov r8, r12\n mov r9, lr\n"
        "ldr lr, " TN_AT_ZERO_POINT "\n ldr r10, [r0, #12]\n ldrh r11, [r0, #24]\n"
        TN_TILE_OUTPUT("r4") "mov r2, r8\n mov r3, r9\n" TN_TILE_OUTPUT("r5")
        "mov r2, r10\n mov r3, r11\n" TN_TILE_OUTPUT("r6")
        "ldr r2, [r0, #16]\n ldrh r3, [r0, #26]\n" TN_TILE_OUTPUT("r7")
        "b 7b");
}

#endif
