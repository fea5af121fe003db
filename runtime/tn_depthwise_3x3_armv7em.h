/* tn_depthwise_3x3_armv7em.h: a row of tn_depthwise_3x3.h in assembly, with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One function for each stride S, lead L, tile T and `positive` P, whole: fourteen registers are in
 * use. For each four channels it fills a strip, then takes tile by tile, channel by channel. The sums
 * of a tile are in r4 and the registers behind it. Its words of rows 0 and 1 are loaded into them and
 * give way to the sum that begins with them: r2, r3, r12 hold the weights, lr the bias. Conditional
 * assembly (S, L, T, P are strings) leaves out what a tile has not. codegen/stack.py knows the bytes
 * of stack.
 */
#ifndef TN_DEPTHWISE_3X3_ARMV7EM_H
#define TN_DEPTHWISE_3X3_ARMV7EM_H

#include "tn_depthwise_3x3.h"

#if defined(__clang__)
#define TN_3X3_ASSEMBLY __attribute__((naked, aligned(4)))
#else
#define TN_3X3_ASSEMBLY __attribute__((naked, noipa, aligned(4)))
#endif

/* The frame: a tn_depthwise_3x3_band, and the outputs of the tile with seven or eight pixels. */
#define TN_3X3_FRAME "72"
#define TN_3X3_AT_FIRST "[sp, #16]"
#define TN_3X3_AT_X "[sp, #24]"
#define TN_3X3_AT_BLOCKS "[sp, #28]"
#define TN_3X3_AT_OUT "[sp, #32]"
#define TN_3X3_AT_OUT_END "[sp, #36]"
#define TN_3X3_AT_X_END "[sp, #40]"
#define TN_3X3_AT_OUT_STEP "[sp, #44]"
#define TN_3X3_AT_X_TAIL "[sp, #48]"
#define TN_3X3_AT_OUT_TAIL "[sp, #52]"
#define TN_3X3_AT_SPECIAL "[sp, #56]"
#define TN_3X3_AT_ZERO_POINT "[sp, #60]"
#define TN_3X3_AT_PATCH_END "[sp, #64]"
#define TN_3X3_AT_C "[sp, #12]"
#define TN_3X3_AT_TILE "[sp, #68]"

#define TN_3X3_IF(CONDITION, TEXT) ".if " CONDITION "\n" TEXT ".endif\n"

/* ---- strips ------------------------------------------------------------------------------------ */

/* Words of four channels in A and C, of two columns or rows, become four words in A to D. */
#define TN_3X3_WIDEN(A, B, C, D)                                                       \
    "pkhtb " D ", " C ", " A ", asr #16\n pkhbt " B ", " A ", " C ", lsl #16\n"        \
    "sxtb16 " A ", " B "\n sxtb16 " B ", " B ", ror #8\n"                              \
    "sxtb16 " C ", " D "\n sxtb16 " D ", " D ", ror #8\n"

/* r0, r1, r2: rows, r3: c, r12: strip, lr: its end; at 1 for each two columns. */
#define TN_3X3_FILL                                                                    \
    "ldm sp, {r0, r1, r2, r3, r12, lr}\n"                                              \
    "add r4, r0, #4\n add r5, r1, #4\n add r6, r2, #4\n stm sp, {r4, r5, r6}\n"        \
    "cmp r12, lr\n beq 2f\n"                                                           \
    "1: ldr r4, [r0]\n ldr r6, [r1]\n ldr r8, [r0, r3]\n ldr r10, [r1, r3]\n"          \
    "add r0, r0, r3, lsl #1\n add r1, r1, r3, lsl #1\n"                                \
    TN_3X3_WIDEN("r4", "r5", "r6", "r7") TN_3X3_WIDEN("r8", "r9", "r10", "r11")        \
    "stm r12!, {r4-r11}\n"                                                             \
    "ldr r4, [r2]\n ldr r6, [r2, r3]\n add r2, r2, r3, lsl #1\n"                       \
    TN_3X3_WIDEN("r4", "r5", "r6", "r7")                                               \
    "stm r12!, {r4-r7}\n cmp r12, lr\n bne 1b\n"                                       \
    "2: ldr r11, " TN_3X3_AT_SPECIAL "\n cmp r11, #0\n beq.w 7f\n"                     \
    TN_3X3_SINGLE TN_3X3_OUTSIDE

/* The single column. */
#define TN_3X3_SINGLE                                                                  \
    "tst r11, #1\n beq 3f\n"                                                           \
    "ldr r4, [r0]\n ldr r6, [r1]\n" TN_3X3_WIDEN("r4", "r5", "r6", "r7")               \
    "stm r12, {r4-r7}\n"                                                               \
    "ldr r4, [r2]\n ldr r6, " TN_3X3_AT_ZERO_POINT "\n"                                \
    TN_3X3_WIDEN("r4", "r5", "r6", "r7") "add r12, r12, #32\n stm r12, {r4-r7}\n"

/* Rows outside of the input. */
#define TN_3X3_OUTSIDE                                                                 \
    "3: lsrs r11, r11, #1\n beq 7f\n"                                                  \
    "ldr lr, " TN_3X3_AT_PATCH_END "\n ldr r3, " TN_3X3_AT_FIRST "\n"                  \
    "ldr r12, " TN_3X3_AT_ZERO_POINT "\n sxtb16 r12, r12\n"                            \
    "tst r11, #1\n beq 4f\n mov r4, r3\n" TN_3X3_LANES                                 \
    "4: tst r11, #2\n beq 5f\n add r4, r3, #2\n" TN_3X3_LANES                          \
    "5: tst r11, #4\n beq 7f\n"                                                        \
    "6: str r12, [r3, #32]\n str r12, [r3, #36]\n str r12, [r3, #40]\n"                \
    "str r12, [r3, #44]\n add r3, r3, #48\n cmp r3, lr\n bne 6b\n"

/* Halves of the words of rows 0 and 1 from r4 on. */
#define TN_3X3_LANES                                                                   \
    "8: strh r12, [r4]\n strh r12, [r4, #4]\n strh r12, [r4, #8]\n"                    \
    "strh r12, [r4, #12]\n strh r12, [r4, #16]\n strh r12, [r4, #20]\n"                \
    "strh r12, [r4, #24]\n strh r12, [r4, #28]\n"                                      \
    "add r4, r4, #48\n cmp r4, lr\n blo 8b\n"

/* ---- rows 0 and 1 ------------------------------------------------------------------------------ */

/* The word of column J of a tile (J: a number; L: the lead). */
#define TN_3X3_COLUMN(REGISTER, J, L)                                                  \
    "ldr " REGISTER ", [r0, #(((" J ")+" L ")/2*48+((" J ")+" L ")%2*16)]\n"

/* The word in the place of sum A begins it, after it went on with the sums before. */
#define TN_3X3_BEGIN(A) "smlad " A ", " A ", r2, lr\n"
#define TN_3X3_SECOND(A, WORD) "smlad " A ", " WORD ", r3, " A "\n"
#define TN_3X3_THIRD(A, WORD) "smlad " A ", " WORD ", r12, " A "\n"

/* Both of the tile's last two sums, or one, by the tile: TEXT takes one or two registers. */
#define TN_3X3_LAST(T, TEXT)                                                           \
    TN_3X3_IF(T " == 2", TEXT("r4", "r5")) TN_3X3_IF(T " == 3", TEXT("r5", "r6"))      \
    TN_3X3_IF(T " == 4", TEXT("r6", "r7")) TN_3X3_IF(T " == 5", TEXT("r7", "r8"))      \
    TN_3X3_IF(T " == 6", TEXT("r8", "r9")) TN_3X3_IF(T " == 7", TEXT("r9", "r10"))     \
    TN_3X3_IF(T " == 8", TEXT("r10", "r11"))

/* All columns are a sum's first, apart from the last two. */
#define TN_3X3_NEXT(A, B, C) TN_3X3_THIRD(A, C) TN_3X3_SECOND(B, C) TN_3X3_BEGIN(C)
#define TN_3X3_END(A, B)                                                               \
    TN_3X3_THIRD(A, "r2") TN_3X3_SECOND(B, "r2") TN_3X3_THIRD(B, "lr")
#define TN_3X3_TOP_1(L, T)                                                             \
    TN_3X3_COLUMN("r4", "0", L) TN_3X3_COLUMN("r5", "1", L)                            \
    TN_3X3_IF(T " > 2", TN_3X3_COLUMN("r6", "2", L))                                   \
    TN_3X3_IF(T " > 3", TN_3X3_COLUMN("r7", "3", L))                                   \
    TN_3X3_IF(T " > 4", TN_3X3_COLUMN("r8", "4", L))                                   \
    TN_3X3_IF(T " > 5", TN_3X3_COLUMN("r9", "5", L))                                   \
    TN_3X3_IF(T " > 6", TN_3X3_COLUMN("r10", "6", L))                                  \
    TN_3X3_IF(T " > 7", TN_3X3_COLUMN("r11", "7", L))                                  \
    TN_3X3_BEGIN("r4") TN_3X3_SECOND("r4", "r5") TN_3X3_BEGIN("r5")                    \
    TN_3X3_IF(T " > 2", TN_3X3_NEXT("r4", "r5", "r6"))                                 \
    TN_3X3_IF(T " > 3", TN_3X3_NEXT("r5", "r6", "r7"))                                 \
    TN_3X3_IF(T " > 4", TN_3X3_NEXT("r6", "r7", "r8"))                                 \
    TN_3X3_IF(T " > 5", TN_3X3_NEXT("r7", "r8", "r9"))                                 \
    TN_3X3_IF(T " > 6", TN_3X3_NEXT("r8", "r9", "r10"))                                \
    TN_3X3_IF(T " > 7", TN_3X3_NEXT("r9", "r10", "r11"))                               \
    TN_3X3_COLUMN("r2", T, L) TN_3X3_COLUMN("lr", T "+1", L) TN_3X3_LAST(T, TN_3X3_END)

/* Stride 2: columns 2i begin sum i and end sum i - 1, columns 2i + 1 come after them. */
#define TN_3X3_NEXT_2(A, B) TN_3X3_THIRD(A, B) TN_3X3_BEGIN(B)
#define TN_3X3_END_2(A, B) TN_3X3_THIRD(B, "lr")
#define TN_3X3_TOP_2(L, T)                                                             \
    TN_3X3_COLUMN("r4", "0", L) TN_3X3_COLUMN("r5", "2", L)                            \
    TN_3X3_IF(T " > 2", TN_3X3_COLUMN("r6", "4", L))                                   \
    TN_3X3_IF(T " > 3", TN_3X3_COLUMN("r7", "6", L))                                   \
    TN_3X3_IF(T " > 4", TN_3X3_COLUMN("r8", "8", L))                                   \
    TN_3X3_IF(T " > 5", TN_3X3_COLUMN("r9", "10", L))                                  \
    TN_3X3_IF(T " > 6", TN_3X3_COLUMN("r10", "12", L))                                 \
    TN_3X3_IF(T " > 7", TN_3X3_COLUMN("r11", "14", L))                                 \
    TN_3X3_BEGIN("r4") TN_3X3_NEXT_2("r4", "r5")                                       \
    TN_3X3_IF(T " > 2", TN_3X3_NEXT_2("r5", "r6"))                                     \
    TN_3X3_IF(T " > 3", TN_3X3_NEXT_2("r6", "r7"))                                     \
    TN_3X3_IF(T " > 4", TN_3X3_NEXT_2("r7", "r8"))                                     \
    TN_3X3_IF(T " > 5", TN_3X3_NEXT_2("r8", "r9"))                                     \
    TN_3X3_IF(T " > 6", TN_3X3_NEXT_2("r9", "r10"))                                    \
    TN_3X3_IF(T " > 7", TN_3X3_NEXT_2("r10", "r11"))                                   \
    TN_3X3_COLUMN("lr", "2*" T, L) TN_3X3_COLUMN("r2", "1", L)                         \
    TN_3X3_LAST(T, TN_3X3_END_2) TN_3X3_SECOND("r4", "r2")                             \
    TN_3X3_COLUMN("r2", "3", L) TN_3X3_IF(T " > 2", TN_3X3_COLUMN("r12", "5", L))      \
    TN_3X3_IF(T " > 3", TN_3X3_COLUMN("lr", "7", L)) TN_3X3_SECOND("r5", "r2")         \
    TN_3X3_IF(T " > 2", TN_3X3_SECOND("r6", "r12"))                                    \
    TN_3X3_IF(T " > 3", TN_3X3_SECOND("r7", "lr"))                                     \
    TN_3X3_IF(T " > 4", TN_3X3_COLUMN("r2", "9", L))                                   \
    TN_3X3_IF(T " > 5", TN_3X3_COLUMN("r12", "11", L))                                 \
    TN_3X3_IF(T " > 6", TN_3X3_COLUMN("lr", "13", L))                                  \
    TN_3X3_IF(T " > 4", TN_3X3_SECOND("r8", "r2"))                                     \
    TN_3X3_IF(T " > 5", TN_3X3_SECOND("r9", "r12"))                                    \
    TN_3X3_IF(T " > 6", TN_3X3_SECOND("r10", "lr"))                                    \
    TN_3X3_IF(T " > 7", TN_3X3_COLUMN("r2", "15", L) TN_3X3_SECOND("r11", "r2"))

/* ---- row 2 ------------------------------------------------------------------------------------- */

/* r2 and r3 are the weights (0, 1) and (1, 2). A sum whose first column is even takes E and F of two
 * neighbouring words, one whose first column is odd O and P. I: its number. */
#define TN_3X3_E(T, I, A, WORD) TN_3X3_IF(T " > " I, "smlad " A ", " WORD ", r2, " A "\n")
#define TN_3X3_F(T, I, A, WORD) TN_3X3_IF(T " > " I, "smlabt " A ", " WORD ", r3, " A "\n")
#define TN_3X3_O(T, I, A, WORD) TN_3X3_IF(T " > " I, "smlatb " A ", " WORD ", r2, " A "\n")
#define TN_3X3_P(T, I, A, WORD) TN_3X3_IF(T " > " I, "smlad " A ", " WORD ", r3, " A "\n")

#define TN_3X3_WORD(REGISTER, K) "ldr " REGISTER ", [r0, #" K "*48+32]\n"
#define TN_3X3_TWO(K, J, LAST)                                                         \
    TN_3X3_IF(LAST " >= " K, TN_3X3_WORD("r12", K))                                    \
    TN_3X3_IF(LAST " >= " J, TN_3X3_WORD("lr", J))

#define TN_3X3_BELOW_1_EVEN(T)                                                         \
    TN_3X3_E(T, "0", "r4", "r12") TN_3X3_O(T, "1", "r5", "r12")                        \
    TN_3X3_F(T, "0", "r4", "lr") TN_3X3_P(T, "1", "r5", "lr")                          \
    TN_3X3_E(T, "2", "r6", "lr") TN_3X3_O(T, "3", "r7", "lr")                          \
    TN_3X3_TWO("2", "3", "(" T "+1)/2")                                                \
    TN_3X3_F(T, "2", "r6", "r12") TN_3X3_P(T, "3", "r7", "r12")                        \
    TN_3X3_E(T, "4", "r8", "r12") TN_3X3_O(T, "5", "r9", "r12")                        \
    TN_3X3_F(T, "4", "r8", "lr") TN_3X3_P(T, "5", "r9", "lr")                          \
    TN_3X3_E(T, "6", "r10", "lr") TN_3X3_O(T, "7", "r11", "lr")                        \
    TN_3X3_TWO("4", "5", "(" T "+1)/2")                                                \
    TN_3X3_F(T, "6", "r10", "r12") TN_3X3_P(T, "7", "r11", "r12")

#define TN_3X3_BELOW_1_ODD(T)                                                          \
    TN_3X3_O(T, "0", "r4", "r12")                                                      \
    TN_3X3_P(T, "0", "r4", "lr") TN_3X3_E(T, "1", "r5", "lr") TN_3X3_O(T, "2", "r6", "lr") \
    TN_3X3_TWO("2", "3", "(" T "+2)/2")                                                \
    TN_3X3_F(T, "1", "r5", "r12") TN_3X3_P(T, "2", "r6", "r12")                        \
    TN_3X3_E(T, "3", "r7", "r12") TN_3X3_O(T, "4", "r8", "r12")                        \
    TN_3X3_F(T, "3", "r7", "lr") TN_3X3_P(T, "4", "r8", "lr")                          \
    TN_3X3_E(T, "5", "r9", "lr") TN_3X3_O(T, "6", "r10", "lr")                         \
    TN_3X3_TWO("4", "5", "(" T "+2)/2")                                                \
    TN_3X3_F(T, "5", "r9", "r12") TN_3X3_P(T, "6", "r10", "r12")                       \
    TN_3X3_E(T, "7", "r11", "r12") TN_3X3_F(T, "7", "r11", "lr")

/* Stride 2: a word begins a sum with FIRST and ends the one before with THEN. */
#define TN_3X3_BELOW_2(T, FIRST, THEN)                                                 \
    FIRST(T, "0", "r4", "r12") THEN(T, "0", "r4", "lr") FIRST(T, "1", "r5", "lr")      \
    TN_3X3_TWO("2", "3", T) THEN(T, "1", "r5", "r12") FIRST(T, "2", "r6", "r12")       \
    THEN(T, "2", "r6", "lr") FIRST(T, "3", "r7", "lr")                                 \
    TN_3X3_TWO("4", "5", T) THEN(T, "3", "r7", "r12") FIRST(T, "4", "r8", "r12")       \
    THEN(T, "4", "r8", "lr") FIRST(T, "5", "r9", "lr")                                 \
    TN_3X3_TWO("6", "7", T) THEN(T, "5", "r9", "r12") FIRST(T, "6", "r10", "r12")      \
    THEN(T, "6", "r10", "lr") FIRST(T, "7", "r11", "lr")                               \
    TN_3X3_TWO("8", "9", T) THEN(T, "7", "r11", "r12")

#define TN_3X3_BELOW(S, L, T)                                                          \
    "ldr r2, [r1, #8]\n ldr r3, [r1, #12]\n" TN_3X3_TWO("0", "1", "1")                 \
    TN_3X3_IF(S "*2+" L " == 2", TN_3X3_BELOW_1_EVEN(T))                               \
    TN_3X3_IF(S "*2+" L " == 3", TN_3X3_BELOW_1_ODD(T))                                \
    TN_3X3_IF(S "*2+" L " == 4", TN_3X3_BELOW_2(T, TN_3X3_E, TN_3X3_F))                \
    TN_3X3_IF(S "*2+" L " == 5", TN_3X3_BELOW_2(T, TN_3X3_O, TN_3X3_P))

/* ---- outputs ----------------------------------------------------------------------------------- */

#define TN_3X3_EACH(T, TEXT)                                                           \
    TEXT("r4") TEXT("r5") TN_3X3_IF(T " > 2", TEXT("r6")) TN_3X3_IF(T " > 3", TEXT("r7")) \
    TN_3X3_IF(T " > 4", TEXT("r8")) TN_3X3_IF(T " > 5", TEXT("r9"))                    \
    TN_3X3_IF(T " > 6", TEXT("r10")) TN_3X3_IF(T " > 7", TEXT("r11"))

/* r2 is the multiplier, r3 the addend, lr the shift. */
#define TN_3X3_POSITIVE(A) "smmla " A ", " A ", r2, r3\n ssat " A ", #8, " A ", asr #8\n"
#define TN_3X3_ANY(A)                                                                  \
    "add r12, r3, " A ", asr #31\n smmlar " A ", " A ", r2, r12\n"                     \
    "asr " A ", " A ", lr\n ssat " A ", #8, " A "\n"
#define TN_3X3_REQUANTIZE(T, P)                                                        \
    TN_3X3_IF(P " == 1", "ldr r3, [r1, #4]\n ldr r2, [r1], #16\n"                      \
              TN_3X3_EACH(T, TN_3X3_POSITIVE))                                         \
    TN_3X3_IF(P " == 0", "ldr r3, [r1, #4]\n ldr lr, [r1, #16]\n ldr r2, [r1], #20\n"  \
              TN_3X3_EACH(T, TN_3X3_ANY))

/* Bytes c apart. Up to six pixels r10 and r11 are the outputs and c. */
#define TN_3X3_STORE(T)                                                                \
    TN_3X3_IF(T " <= 6",                                                               \
        TN_3X3_IF(T " > 3", "add lr, r10, r11\n add lr, lr, r11, lsl #1\n")            \
        "strb r5, [r10, r11]\n"                                                        \
        TN_3X3_IF(T " > 2", "strb r6, [r10, r11, lsl #1]\n")                           \
        TN_3X3_IF(T " > 3", "strb r7, [lr]\n")                                         \
        TN_3X3_IF(T " > 4", "strb r8, [lr, r11]\n")                                    \
        TN_3X3_IF(T " > 5", "strb r9, [lr, r11, lsl #1]\n")                            \
        "strb r4, [r10], #1\n")                                                        \
    TN_3X3_IF(T " > 6",                                                                \
        "ldr r2, " TN_3X3_AT_TILE "\n ldr r3, " TN_3X3_AT_C "\n"                       \
        "add r12, r3, r3, lsl #1\n add lr, r2, r12\n"                                  \
        "strb r5, [r2, r3]\n strb r6, [r2, r3, lsl #1]\n strb r7, [lr]\n"              \
        "strb r8, [lr, r3]\n strb r9, [lr, r3, lsl #1]\n strb r10, [r2, r12, lsl #1]\n" \
        TN_3X3_IF(T " > 7", "strb r11, [lr, r3, lsl #2]\n")                            \
        "strb r4, [r2], #1\n str r2, " TN_3X3_AT_TILE "\n")

/* To the outputs r3 bytes on. */
#define TN_3X3_MOVE(T)                                                                 \
    TN_3X3_IF(T " <= 6", "add r10, r10, r3\n")                                         \
    TN_3X3_IF(T " > 6", "ldr r2, " TN_3X3_AT_TILE "\n add r2, r2, r3\n"                \
              "str r2, " TN_3X3_AT_TILE "\n")

/* ---- a row ------------------------------------------------------------------------------------- */

#define TN_3X3_ROW(S, L, T, P)                                                         \
    "push {r4-r11, lr}\n sub sp, #" TN_3X3_FRAME "\n"                                  \
    "ldm r0!, {r1-r12}\n stm sp, {r1-r12}\n"                                           \
    "ldm r0, {r1-r5}\n add r6, sp, #48\n stm r6, {r1-r5}\n"                            \
    "0:\n" TN_3X3_FILL                                                                 \
    "7: ldr r0, " TN_3X3_AT_X "\n ldr r1, " TN_3X3_AT_BLOCKS "\n"                      \
    TN_3X3_IF(T " <= 6", "ldr r10, " TN_3X3_AT_OUT "\n ldr r11, " TN_3X3_AT_C "\n")    \
    TN_3X3_IF(T " > 6", "ldr r2, " TN_3X3_AT_OUT "\n str r2, " TN_3X3_AT_TILE "\n")    \
    "9: ldm r1!, {r2, r3, r12, lr}\n"                                                  \
    TN_3X3_IF(S " == 1", TN_3X3_TOP_1(L, T)) TN_3X3_IF(S " == 2", TN_3X3_TOP_2(L, T))  \
    TN_3X3_BELOW(S, L, T) TN_3X3_REQUANTIZE(T, P) TN_3X3_STORE(T)                      \
    "add r0, r0, #4\n tst r0, #12\n bne.w 9b\n" /* the next channel */                 \
    "ldr r2, " TN_3X3_AT_X_END "\n ldr r3, " TN_3X3_AT_OUT_STEP "\n"                   \
    TN_3X3_IF(S " == 1", "add r0, r0, #(" T "/2*48-16)\n")                             \
    TN_3X3_IF(S " == 2", "add r0, r0, #(" T "*48-16)\n")                               \
    "cmp r0, r2\n blo 10f\n bne 11f\n"                                                 \
    "ldr r2, " TN_3X3_AT_X_TAIL "\n ldr r3, " TN_3X3_AT_OUT_TAIL "\n sub r0, r0, r2\n" \
    "10: sub r1, r1, #(4*(36-4*" P "))\n" TN_3X3_MOVE(T) "b.w 9b\n"                    \
    "11: str r1, " TN_3X3_AT_BLOCKS "\n"                                               \
    "ldr r2, " TN_3X3_AT_OUT "\n ldr r3, " TN_3X3_AT_OUT_END "\n add r2, r2, #4\n"     \
    "str r2, " TN_3X3_AT_OUT "\n cmp r2, r3\n bne.w 0b\n"                              \
    "add sp, #" TN_3X3_FRAME "\n pop {r4-r11, pc}\n"

#define TN_3X3_FUNCTION(S, L, T, P)                                                    \
    static TN_NOINLINE TN_UNUSED TN_3X3_ASSEMBLY void tn_depthwise_3x3_##S##L##T##P(   \
        const tn_depthwise_3x3_band *b TN_UNUSED) {                                    \
        __asm__(TN_3X3_ROW(#S, #L, #T, #P));                                           \
    }
#define TN_3X3_FUNCTIONS(S, L, P)                                                      \
    TN_3X3_FUNCTION(S, L, 2, P) TN_3X3_FUNCTION(S, L, 3, P) TN_3X3_FUNCTION(S, L, 4, P) \
    TN_3X3_FUNCTION(S, L, 5, P) TN_3X3_FUNCTION(S, L, 6, P) TN_3X3_FUNCTION(S, L, 7, P) \
    TN_3X3_FUNCTION(S, L, 8, P)
TN_3X3_FUNCTIONS(1, 0, 0)
TN_3X3_FUNCTIONS(1, 0, 1)
TN_3X3_FUNCTIONS(1, 1, 0)
TN_3X3_FUNCTIONS(1, 1, 1)
TN_3X3_FUNCTIONS(2, 0, 0)
TN_3X3_FUNCTIONS(2, 0, 1)
TN_3X3_FUNCTIONS(2, 1, 0)
TN_3X3_FUNCTIONS(2, 1, 1)

#define TN_3X3_CASE(S, L, T, P)                                                        \
    case 1000 * S + 100 * L + 10 * T + P:                                              \
        tn_depthwise_3x3_##S##L##T##P(b);                                              \
        break;
#define TN_3X3_CASES(S, L, P)                                                          \
    TN_3X3_CASE(S, L, 2, P) TN_3X3_CASE(S, L, 3, P) TN_3X3_CASE(S, L, 4, P)            \
    TN_3X3_CASE(S, L, 5, P) TN_3X3_CASE(S, L, 6, P) TN_3X3_CASE(S, L, 7, P)            \
    TN_3X3_CASE(S, L, 8, P)

/* All channels of a band; all arguments but b are literals. */
TN_INLINE void tn_depthwise_3x3_run(const tn_depthwise_3x3_band *b, int32_t stride, int32_t lead,
                                    int32_t tile, int32_t positive) {
    switch (1000 * stride + 100 * lead + 10 * tile + positive) {
        TN_3X3_CASES(1, 0, 0)
        TN_3X3_CASES(1, 0, 1)
        TN_3X3_CASES(1, 1, 0)
        TN_3X3_CASES(1, 1, 1)
        TN_3X3_CASES(2, 0, 0)
        TN_3X3_CASES(2, 0, 1)
        TN_3X3_CASES(2, 1, 0)
        TN_3X3_CASES(2, 1, 1)
    default: break;
    }
}

#endif
