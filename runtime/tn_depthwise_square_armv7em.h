/* tn_depthwise_square_armv7em.h: rows of tn_depthwise_square.h in assembly, with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One function for each kernel K, stride S, lead L, tile T and `positive` P, whole: fourteen
 * registers are in use. For each four channels it fills a strip, then takes tile by tile and
 * channel by channel: r0 is the strip at the tile and channel, r1 the weights, r4 and the
 * registers behind it are the sums. Conditional assembly leaves out what a tile T has not (K, S, L,
 * T, P are strings). codegen/stack.py knows the bytes of stack.
 */
#ifndef TN_DEPTHWISE_SQUARE_ARMV7EM_H
#define TN_DEPTHWISE_SQUARE_ARMV7EM_H

#include "tn_depthwise_fill_armv7em.h"
#include "tn_depthwise_strips.h"

#if TN_DSP && TN_DSP_NATIVE

#if defined(__clang__)
#define TN_DW_NAKED __attribute__((naked, aligned(4)))
#else
#define TN_DW_NAKED __attribute__((naked, noipa, aligned(4)))
#endif

/* ---- pairs of rows --------------------------------------------------------------------------- */

/* The word of column J of a tile (J: a number; L: the lead). */
#define TN_DW_COLUMN(REGISTER, J, K, L)                                                           \
    "ldr " REGISTER ", [r0, #(((" J ")+" L ")/2*16*" K "+((" J ")+" L ")%2*16)]\n"

/* Both of the tile's last two sums. */
#define TN_DW_LAST_2(TEXT) TEXT("r4", "r5")
#define TN_DW_LAST_3(TEXT) TEXT("r5", "r6")
#define TN_DW_LAST_4(TEXT) TEXT("r6", "r7")
#define TN_DW_LAST_5(TEXT) TEXT("r7", "r8")
#define TN_DW_LAST_6(TEXT) TEXT("r8", "r9")
#define TN_DW_LAST_7(TEXT) TEXT("r9", "r10")
#define TN_DW_LAST_8(TEXT) TEXT("r10", "r11")

/* Three rows: words are loaded into the sums and give way to the sum that begins with them. r2, r3
 * and r12 are weights, lr the bias. */
#define TN_DW_BEGIN(A) "smlad " A ", " A ", r2, lr\n"
#define TN_DW_SECOND(A, WORD) "smlad " A ", " WORD ", r3, " A "\n"
#define TN_DW_THIRD(A, WORD) "smlad " A ", " WORD ", r12, " A "\n"
/* All columns are a sum's first, apart from the last two. */
#define TN_DW_NEXT(A, B, C) TN_DW_THIRD(A, C) TN_DW_SECOND(B, C) TN_DW_BEGIN(C)
#define TN_DW_END(A, B)                                                                           \
    TN_DW_THIRD(A, "r2") TN_DW_SECOND(B, "r2") TN_DW_THIRD(B, "lr")
#define TN_DW_TOP_1(L, T, LAST)                                                                   \
    TN_DW_COLUMN("r4", "0", "3", L) TN_DW_COLUMN("r5", "1", "3", L)                               \
    TN_DW_IF(T " > 2", TN_DW_COLUMN("r6", "2", "3", L))                                           \
    TN_DW_IF(T " > 3", TN_DW_COLUMN("r7", "3", "3", L))                                           \
    TN_DW_IF(T " > 4", TN_DW_COLUMN("r8", "4", "3", L))                                           \
    TN_DW_IF(T " > 5", TN_DW_COLUMN("r9", "5", "3", L))                                           \
    TN_DW_IF(T " > 6", TN_DW_COLUMN("r10", "6", "3", L))                                          \
    TN_DW_IF(T " > 7", TN_DW_COLUMN("r11", "7", "3", L))                                          \
    TN_DW_BEGIN("r4") TN_DW_SECOND("r4", "r5") TN_DW_BEGIN("r5")                                  \
    TN_DW_IF(T " > 2", TN_DW_NEXT("r4", "r5", "r6"))                                              \
    TN_DW_IF(T " > 3", TN_DW_NEXT("r5", "r6", "r7"))                                              \
    TN_DW_IF(T " > 4", TN_DW_NEXT("r6", "r7", "r8"))                                              \
    TN_DW_IF(T " > 5", TN_DW_NEXT("r7", "r8", "r9"))                                              \
    TN_DW_IF(T " > 6", TN_DW_NEXT("r8", "r9", "r10"))                                             \
    TN_DW_IF(T " > 7", TN_DW_NEXT("r9", "r10", "r11"))                                            \
    TN_DW_COLUMN("r2", T, "3", L) TN_DW_COLUMN("lr", T "+1", "3", L) LAST(TN_DW_END)

/* Stride 2: columns 2i begin sum i and end sum i - 1, columns 2i + 1 come after them. */
#define TN_DW_NEXT_2(A, B) TN_DW_THIRD(A, B) TN_DW_BEGIN(B)
#define TN_DW_END_2(A, B) TN_DW_THIRD(B, "lr")
#define TN_DW_TOP_2(L, T, LAST)                                                                   \
    TN_DW_COLUMN("r4", "0", "3", L) TN_DW_COLUMN("r5", "2", "3", L)                               \
    TN_DW_IF(T " > 2", TN_DW_COLUMN("r6", "4", "3", L))                                           \
    TN_DW_IF(T " > 3", TN_DW_COLUMN("r7", "6", "3", L))                                           \
    TN_DW_IF(T " > 4", TN_DW_COLUMN("r8", "8", "3", L))                                           \
    TN_DW_IF(T " > 5", TN_DW_COLUMN("r9", "10", "3", L))                                          \
    TN_DW_IF(T " > 6", TN_DW_COLUMN("r10", "12", "3", L))                                         \
    TN_DW_IF(T " > 7", TN_DW_COLUMN("r11", "14", "3", L))                                         \
    TN_DW_BEGIN("r4") TN_DW_NEXT_2("r4", "r5")                                                    \
    TN_DW_IF(T " > 2", TN_DW_NEXT_2("r5", "r6"))                                                  \
    TN_DW_IF(T " > 3", TN_DW_NEXT_2("r6", "r7"))                                                  \
    TN_DW_IF(T " > 4", TN_DW_NEXT_2("r7", "r8"))                                                  \
    TN_DW_IF(T " > 5", TN_DW_NEXT_2("r8", "r9"))                                                  \
    TN_DW_IF(T " > 6", TN_DW_NEXT_2("r9", "r10"))                                                 \
    TN_DW_IF(T " > 7", TN_DW_NEXT_2("r10", "r11"))                                                \
    TN_DW_COLUMN("lr", "2*" T, "3", L) TN_DW_COLUMN("r2", "1", "3", L)                            \
    LAST(TN_DW_END_2) TN_DW_SECOND("r4", "r2")                                                    \
    TN_DW_COLUMN("r2", "3", "3", L) TN_DW_IF(T " > 2", TN_DW_COLUMN("r12", "5", "3", L))          \
    TN_DW_IF(T " > 3", TN_DW_COLUMN("lr", "7", "3", L)) TN_DW_SECOND("r5", "r2")                  \
    TN_DW_IF(T " > 2", TN_DW_SECOND("r6", "r12"))                                                 \
    TN_DW_IF(T " > 3", TN_DW_SECOND("r7", "lr"))                                                  \
    TN_DW_IF(T " > 4", TN_DW_COLUMN("r2", "9", "3", L))                                           \
    TN_DW_IF(T " > 5", TN_DW_COLUMN("r12", "11", "3", L))                                         \
    TN_DW_IF(T " > 6", TN_DW_COLUMN("lr", "13", "3", L))                                          \
    TN_DW_IF(T " > 4", TN_DW_SECOND("r8", "r2"))                                                  \
    TN_DW_IF(T " > 5", TN_DW_SECOND("r9", "r12"))                                                 \
    TN_DW_IF(T " > 6", TN_DW_SECOND("r10", "lr"))                                                 \
    TN_DW_IF(T " > 7", TN_DW_COLUMN("r2", "15", "3", L) TN_DW_SECOND("r11", "r2"))

/* Sums go on: weights r2, r3, r12, or two of them, meet words STEP columns apart from column C. */
#define TN_DW_MAC(T, I, A, WORD, W) TN_DW_IF(T " > " I, "smlad " A ", " WORD ", " W ", " A "\n")
#define TN_DW_AT_COLUMN(REGISTER, C, STEP, J, K, L) TN_DW_COLUMN(REGISTER, C "+" STEP "*" J, K, L)
#define TN_DW_SWEEP_3_AT(T, I, A, J, B, M, D, C, STEP, N, K, L)                                   \
    TN_DW_IF(T " > " M, TN_DW_AT_COLUMN("lr", C, STEP, N, K, L))                                  \
    TN_DW_MAC(T, I, A, "lr", "r2") TN_DW_MAC(T, J, B, "lr", "r3") TN_DW_MAC(T, M, D, "lr", "r12")
#define TN_DW_SWEEP_3(T, C, STEP, K, L)                                                           \
    TN_DW_AT_COLUMN("lr", C, STEP, "0", K, L) TN_DW_MAC(T, "0", "r4", "lr", "r2")                 \
    TN_DW_AT_COLUMN("lr", C, STEP, "1", K, L) TN_DW_MAC(T, "1", "r5", "lr", "r2")                 \
    TN_DW_MAC(T, "0", "r4", "lr", "r3")                                                           \
    TN_DW_SWEEP_3_AT(T, "2", "r6", "1", "r5", "0", "r4", C, STEP, "2", K, L)                      \
    TN_DW_SWEEP_3_AT(T, "3", "r7", "2", "r6", "1", "r5", C, STEP, "3", K, L)                      \
    TN_DW_SWEEP_3_AT(T, "4", "r8", "3", "r7", "2", "r6", C, STEP, "4", K, L)                      \
    TN_DW_SWEEP_3_AT(T, "5", "r9", "4", "r8", "3", "r7", C, STEP, "5", K, L)                      \
    TN_DW_SWEEP_3_AT(T, "6", "r10", "5", "r9", "4", "r8", C, STEP, "6", K, L)                     \
    TN_DW_SWEEP_3_AT(T, "7", "r11", "6", "r10", "5", "r9", C, STEP, "7", K, L)                    \
    TN_DW_IF(T " > 6", TN_DW_AT_COLUMN("lr", C, STEP, "8", K, L))                                 \
    TN_DW_MAC(T, "7", "r11", "lr", "r3") TN_DW_MAC(T, "6", "r10", "lr", "r12")                    \
    TN_DW_IF(T " > 7", TN_DW_AT_COLUMN("lr", C, STEP, "9", K, L))                                 \
    TN_DW_MAC(T, "7", "r11", "lr", "r12")

#define TN_DW_SWEEP_2_AT(T, I, Z, J, A, M, B, C, STEP, K, L)                                      \
    TN_DW_IF(T " > " I, TN_DW_AT_COLUMN("r12", C, STEP, J, K, L))                                 \
    TN_DW_IF(T " > " J, TN_DW_AT_COLUMN("lr", C, STEP, M, K, L))                                  \
    TN_DW_MAC(T, J, A, "r12", "r2") TN_DW_MAC(T, I, Z, "r12", "r3")                               \
    TN_DW_MAC(T, M, B, "lr", "r2") TN_DW_MAC(T, J, A, "lr", "r3")
#define TN_DW_SWEEP_2(T, C, STEP, K, L)                                                           \
    "ldm r1!, {r2, r3}\n" TN_DW_AT_COLUMN("r12", C, STEP, "0", K, L)                              \
    TN_DW_AT_COLUMN("lr", C, STEP, "1", K, L) TN_DW_MAC(T, "0", "r4", "r12", "r2")                \
    TN_DW_MAC(T, "1", "r5", "lr", "r2") TN_DW_MAC(T, "0", "r4", "lr", "r3")                       \
    TN_DW_SWEEP_2_AT(T, "1", "r5", "2", "r6", "3", "r7", C, STEP, K, L)                           \
    TN_DW_SWEEP_2_AT(T, "3", "r7", "4", "r8", "5", "r9", C, STEP, K, L)                           \
    TN_DW_SWEEP_2_AT(T, "5", "r9", "6", "r10", "7", "r11", C, STEP, K, L)                         \
    TN_DW_IF(T " > 7", TN_DW_AT_COLUMN("r12", C, STEP, "8", K, L))                                \
    TN_DW_MAC(T, "7", "r11", "r12", "r3")

/* A pair of rows, by kernel and stride, in the order of tn_depthwise_order; on to the next pair. */
#define TN_DW_ROWS_51(T, L) TN_DW_SWEEP_3(T, "0", "1", "5", L) TN_DW_SWEEP_2(T, "3", "1", "5", L)
#define TN_DW_ROWS_52(T, L) TN_DW_SWEEP_3(T, "0", "2", "5", L) TN_DW_SWEEP_2(T, "1", "2", "5", L)
#define TN_DW_ROWS_71(T, L)                                                                       \
    TN_DW_SWEEP_3(T, "0", "1", "7", L) TN_DW_SWEEP_2(T, "3", "1", "7", L)                         \
    TN_DW_SWEEP_2(T, "5", "1", "7", L)
#define TN_DW_ROWS_72(T, L)                                                                       \
    TN_DW_SWEEP_3(T, "1", "2", "7", L) TN_DW_SWEEP_2(T, "0", "2", "7", L)                         \
    TN_DW_SWEEP_2(T, "4", "2", "7", L)
#define TN_DW_MOVE_BIAS(A) "mov " A ", lr\n"
#define TN_DW_ALL_ROWS(ROWS, K, L, T)                                                             \
    TN_DW_EACH(T, TN_DW_MOVE_BIAS) ROWS(T, L) "add r0, r0, #32\n"                                 \
    ".rept " K "/2-1\n ldm r1!, {r2, r3, r12}\n" ROWS(T, L) "add r0, r0, #32\n .endr\n"

/* ---- the last row ---------------------------------------------------------------------------- */

/* r2 and r3 are the weights (0, 1) and (1, 2). A sum whose first column is even takes E and F of
 * two neighbouring words, one whose first column is odd O and P. I: its number. */
#define TN_DW_E(T, I, A, WORD) TN_DW_IF(T " > " I, "smlad " A ", " WORD ", r2, " A "\n")
#define TN_DW_F(T, I, A, WORD) TN_DW_IF(T " > " I, "smlabt " A ", " WORD ", r3, " A "\n")
#define TN_DW_O(T, I, A, WORD) TN_DW_IF(T " > " I, "smlatb " A ", " WORD ", r2, " A "\n")
#define TN_DW_P(T, I, A, WORD) TN_DW_IF(T " > " I, "smlad " A ", " WORD ", r3, " A "\n")

/* The word of columns 2N, 2N + 1; B: what r0 is before it. Two of them, up to number LAST. */
#define TN_DW_WORD(REGISTER, N, K, B) "ldr " REGISTER ", [r0, #((" N ")*16*" K "+" B ")]\n"
#define TN_DW_TWO(N, M, LAST, K, B)                                                               \
    TN_DW_IF("(" LAST ") >= (" N ")", TN_DW_WORD("r12", N, K, B))                                 \
    TN_DW_IF("(" LAST ") >= (" M ")", TN_DW_WORD("lr", M, K, B))

#define TN_DW_BELOW_1_EVEN(T, K, B)                                                               \
    TN_DW_E(T, "0", "r4", "r12") TN_DW_O(T, "1", "r5", "r12")                                     \
    TN_DW_F(T, "0", "r4", "lr") TN_DW_P(T, "1", "r5", "lr")                                       \
    TN_DW_E(T, "2", "r6", "lr") TN_DW_O(T, "3", "r7", "lr")                                       \
    TN_DW_TWO("2", "3", "(" T "+1)/2", K, B)                                                      \
    TN_DW_F(T, "2", "r6", "r12") TN_DW_P(T, "3", "r7", "r12")                                     \
    TN_DW_E(T, "4", "r8", "r12") TN_DW_O(T, "5", "r9", "r12")                                     \
    TN_DW_F(T, "4", "r8", "lr") TN_DW_P(T, "5", "r9", "lr")                                       \
    TN_DW_E(T, "6", "r10", "lr") TN_DW_O(T, "7", "r11", "lr")                                     \
    TN_DW_TWO("4", "5", "(" T "+1)/2", K, B)                                                      \
    TN_DW_F(T, "6", "r10", "r12") TN_DW_P(T, "7", "r11", "r12")

#define TN_DW_BELOW_1_ODD(T, K, B)                                                                \
    TN_DW_O(T, "0", "r4", "r12")                                                                  \
    TN_DW_P(T, "0", "r4", "lr") TN_DW_E(T, "1", "r5", "lr") TN_DW_O(T, "2", "r6", "lr")           \
    TN_DW_TWO("2", "3", "(" T "+2)/2", K, B)                                                      \
    TN_DW_F(T, "1", "r5", "r12") TN_DW_P(T, "2", "r6", "r12")                                     \
    TN_DW_E(T, "3", "r7", "r12") TN_DW_O(T, "4", "r8", "r12")                                     \
    TN_DW_F(T, "3", "r7", "lr") TN_DW_P(T, "4", "r8", "lr")                                       \
    TN_DW_E(T, "5", "r9", "lr") TN_DW_O(T, "6", "r10", "lr")                                      \
    TN_DW_TWO("4", "5", "(" T "+2)/2", K, B)                                                      \
    TN_DW_F(T, "5", "r9", "r12") TN_DW_P(T, "6", "r10", "r12")                                    \
    TN_DW_E(T, "7", "r11", "r12") TN_DW_F(T, "7", "r11", "lr")

/* Stride 2: a word begins a sum with FIRST and ends the one before with THEN. */
#define TN_DW_BELOW_2(T, FIRST, THEN, K, B)                                                       \
    FIRST(T, "0", "r4", "r12") THEN(T, "0", "r4", "lr") FIRST(T, "1", "r5", "lr")                 \
    TN_DW_TWO("2", "3", T, K, B) THEN(T, "1", "r5", "r12") FIRST(T, "2", "r6", "r12")             \
    THEN(T, "2", "r6", "lr") FIRST(T, "3", "r7", "lr")                                            \
    TN_DW_TWO("4", "5", T, K, B) THEN(T, "3", "r7", "r12") FIRST(T, "4", "r8", "r12")             \
    THEN(T, "4", "r8", "lr") FIRST(T, "5", "r9", "lr")                                            \
    TN_DW_TWO("6", "7", T, K, B) THEN(T, "5", "r9", "r12") FIRST(T, "6", "r10", "r12")            \
    THEN(T, "6", "r10", "lr") FIRST(T, "7", "r11", "lr")                                          \
    TN_DW_TWO("8", "9", T, K, B) THEN(T, "7", "r11", "r12")

/* Three taps, by stride and lead. r1: the multiplier, which is before the weights. */
#define TN_DW_BELOW_10(T, K, B) TN_DW_BELOW_1_EVEN(T, K, B)
#define TN_DW_BELOW_11(T, K, B) TN_DW_BELOW_1_ODD(T, K, B)
#define TN_DW_BELOW_20(T, K, B) TN_DW_BELOW_2(T, TN_DW_E, TN_DW_F, K, B)
#define TN_DW_BELOW_21(T, K, B) TN_DW_BELOW_2(T, TN_DW_O, TN_DW_P, K, B)
#define TN_DW_BELOW(BELOW, K, T, B)                                                               \
    "ldr r2, [r1, #8]\n ldr r3, [r1, #12]\n" TN_DW_TWO("0", "1", "1", K, B) BELOW(T, K, B)

/* Two taps more, r2, the first of which is at an odd column where those sums' first column is even:
 * then it takes O and G of neighbouring words, else E. N: the first word. */
#define TN_DW_G(T, I, A, WORD) TN_DW_IF(T " > " I, "smlabt " A ", " WORD ", r2, " A "\n")
#define TN_DW_PLUS(N, M, LAST, K) TN_DW_TWO(N, M, N "+" LAST, K, "0")
#define TN_DW_MORE_10(T, K, N)                                                                    \
    TN_DW_PLUS(N, N "+1", "(" T "+1)/2", K) TN_DW_O(T, "0", "r4", "r12")                          \
    TN_DW_G(T, "0", "r4", "lr") TN_DW_E(T, "1", "r5", "lr") TN_DW_O(T, "2", "r6", "lr")           \
    TN_DW_PLUS(N "+2", N "+3", "(" T "+1)/2-2", K)                                                \
    TN_DW_G(T, "2", "r6", "r12") TN_DW_E(T, "3", "r7", "r12") TN_DW_O(T, "4", "r8", "r12")        \
    TN_DW_G(T, "4", "r8", "lr") TN_DW_E(T, "5", "r9", "lr") TN_DW_O(T, "6", "r10", "lr")          \
    TN_DW_PLUS(N "+4", N "+5", "(" T "+1)/2-4", K)                                                \
    TN_DW_G(T, "6", "r10", "r12") TN_DW_E(T, "7", "r11", "r12")
#define TN_DW_MORE_11(T, K, N)                                                                    \
    TN_DW_PLUS(N, N "+1", T "/2", K) TN_DW_E(T, "0", "r4", "r12") TN_DW_O(T, "1", "r5", "r12")    \
    TN_DW_G(T, "1", "r5", "lr") TN_DW_E(T, "2", "r6", "lr") TN_DW_O(T, "3", "r7", "lr")           \
    TN_DW_PLUS(N "+2", N "+3", T "/2-2", K)                                                       \
    TN_DW_G(T, "3", "r7", "r12") TN_DW_E(T, "4", "r8", "r12") TN_DW_O(T, "5", "r9", "r12")        \
    TN_DW_G(T, "5", "r9", "lr") TN_DW_E(T, "6", "r10", "lr") TN_DW_O(T, "7", "r11", "lr")         \
    TN_DW_PLUS(N "+4", N "+5", T "/2-4", K) TN_DW_G(T, "7", "r11", "r12")
#define TN_DW_MORE_20(T, K, N)                                                                    \
    TN_DW_PLUS(N, N "+1", T, K)                                                                   \
    TN_DW_O(T, "0", "r4", "r12") TN_DW_G(T, "0", "r4", "lr") TN_DW_O(T, "1", "r5", "lr")          \
    TN_DW_PLUS(N "+2", N "+3", T "-2", K)                                                         \
    TN_DW_G(T, "1", "r5", "r12") TN_DW_O(T, "2", "r6", "r12")                                     \
    TN_DW_G(T, "2", "r6", "lr") TN_DW_O(T, "3", "r7", "lr")                                       \
    TN_DW_PLUS(N "+4", N "+5", T "-4", K)                                                         \
    TN_DW_G(T, "3", "r7", "r12") TN_DW_O(T, "4", "r8", "r12")                                     \
    TN_DW_G(T, "4", "r8", "lr") TN_DW_O(T, "5", "r9", "lr")                                       \
    TN_DW_PLUS(N "+6", N "+7", T "-6", K)                                                         \
    TN_DW_G(T, "5", "r9", "r12") TN_DW_O(T, "6", "r10", "r12")                                    \
    TN_DW_G(T, "6", "r10", "lr") TN_DW_O(T, "7", "r11", "lr")                                     \
    TN_DW_PLUS(N "+8", N "+9", T "-8", K) TN_DW_G(T, "7", "r11", "r12")
#define TN_DW_MORE_21(T, K, N)                                                                    \
    TN_DW_PLUS(N, N "+1", T "-1", K) TN_DW_E(T, "0", "r4", "r12") TN_DW_E(T, "1", "r5", "lr")     \
    TN_DW_PLUS(N "+2", N "+3", T "-3", K) TN_DW_E(T, "2", "r6", "r12") TN_DW_E(T, "3", "r7", "lr") \
    TN_DW_PLUS(N "+4", N "+5", T "-5", K) TN_DW_E(T, "4", "r8", "r12") TN_DW_E(T, "5", "r9", "lr") \
    TN_DW_PLUS(N "+6", N "+7", T "-7", K) TN_DW_E(T, "6", "r10", "r12") TN_DW_E(T, "7", "r11", "lr")

/* ---- outputs --------------------------------------------------------------------------------- */

#define TN_DW_EACH(T, TEXT)                                                                       \
    TEXT("r4") TEXT("r5") TN_DW_IF(T " > 2", TEXT("r6")) TN_DW_IF(T " > 3", TEXT("r7"))           \
    TN_DW_IF(T " > 4", TEXT("r8")) TN_DW_IF(T " > 5", TEXT("r9"))                                 \
    TN_DW_IF(T " > 6", TEXT("r10")) TN_DW_IF(T " > 7", TEXT("r11"))

/* r2 is the multiplier, r3 the addend, lr the shift. */
#define TN_DW_POSITIVE(A) "smmla " A ", " A ", r2, r3\n ssat " A ", #8, " A ", asr #8\n"
#define TN_DW_ANY(A)                                                                              \
    "add r12, r3, " A ", asr #31\n smmlar " A ", " A ", r2, r12\n"                                \
    "asr " A ", " A ", lr\n ssat " A ", #8, " A "\n"
#define TN_DW_REQUANTIZE(K, T, P)                                                                 \
    TN_DW_IF(P " == 1", "ldr r3, [r1, #4]\n ldr r2, [r1], #(2*" K "+10)\n"                        \
              TN_DW_EACH(T, TN_DW_POSITIVE))                                                      \
    TN_DW_IF(P " == 0", "ldr r3, [r1, #4]\n ldr lr, [r1, #(2*" K "+10)]\n"                        \
              "ldr r2, [r1], #(2*" K "+14)\n"                                                     \
              TN_DW_EACH(T, TN_DW_ANY))

/* Bytes c apart. Up to six pixels r10 and r11 are the outputs and c. */
#define TN_DW_STORE(T)                                                                            \
    TN_DW_IF(T " <= 6",                                                                           \
        TN_DW_IF(T " > 3", "add lr, r10, r11\n add lr, lr, r11, lsl #1\n")                        \
        "strb r5, [r10, r11]\n"                                                                   \
        TN_DW_IF(T " > 2", "strb r6, [r10, r11, lsl #1]\n")                                       \
        TN_DW_IF(T " > 3", "strb r7, [lr]\n")                                                     \
        TN_DW_IF(T " > 4", "strb r8, [lr, r11]\n")                                                \
        TN_DW_IF(T " > 5", "strb r9, [lr, r11, lsl #1]\n")                                        \
        "strb r4, [r10], #1\n")                                                                   \
    TN_DW_IF(T " > 6",                                                                            \
        "ldr r2, " TN_DW_AT_TILE "\n ldr r3, " TN_DW_AT_C "\n"                                    \
        "add r12, r3, r3, lsl #1\n add lr, r2, r12\n"                                             \
        "strb r5, [r2, r3]\n strb r6, [r2, r3, lsl #1]\n strb r7, [lr]\n"                         \
        "strb r8, [lr, r3]\n strb r9, [lr, r3, lsl #1]\n strb r10, [r2, r12, lsl #1]\n"           \
        TN_DW_IF(T " > 7", "strb r11, [lr, r3, lsl #2]\n")                                        \
        "strb r4, [r2], #1\n str r2, " TN_DW_AT_TILE "\n")

/* To the outputs r3 bytes on. */
#define TN_DW_MOVE(T)                                                                             \
    TN_DW_IF(T " <= 6", "add r10, r10, r3\n")                                                     \
    TN_DW_IF(T " > 6", "ldr r2, " TN_DW_AT_TILE "\n add r2, r2, r3\n"                             \
              "str r2, " TN_DW_AT_TILE "\n")

/* ---- a row ----------------------------------------------------------------------------------- */

/* Sums of a tile of a channel; r1 goes on to the multiplier. */
#define TN_DW_SUMS_3(S, L, T)                                                                     \
    TN_DW_TOP_##S(#L, #T, TN_DW_LAST_##T) TN_DW_BELOW(TN_DW_BELOW_##S##L, "3", #T, "32")
#define TN_DW_SUMS_5(S, L, T)                                                                     \
    TN_DW_ALL_ROWS(TN_DW_ROWS_5##S, "5", #L, #T) TN_DW_BELOW(TN_DW_BELOW_##S##L, "5", #T, "0")    \
    "ldr r2, [r1, #16]\n" TN_DW_MORE_##S##L(#T, "5", "(3+" #L ")/2") "sub r0, r0, #64\n"
#define TN_DW_SUMS_7(S, L, T)                                                                     \
    TN_DW_ALL_ROWS(TN_DW_ROWS_7##S, "7", #L, #T) TN_DW_BELOW(TN_DW_BELOW_##S##L, "7", #T, "0")    \
    "ldr r2, [r1, #16]\n" TN_DW_MORE_##S##L(#T, "7", "(3+" #L ")/2")                              \
    "ldr r2, [r1, #20]\n" TN_DW_MORE_##S##L(#T, "7", "(5+" #L ")/2") "sub r0, r0, #96\n"
#define TN_DW_FILL_5 TN_DW_FILL_PAIRS("5")
#define TN_DW_FILL_7 TN_DW_FILL_PAIRS("7")

#define TN_DW_ROW(FILL, SUMS, K, S, T, P)                                                         \
    "push {r4-r11, lr}\n sub sp, #" TN_DW_FRAME "\n"                                              \
    "ldm r0!, {r1-r12}\n stm sp, {r1-r12}\n"                                                      \
    "ldm r0, {r1-r9}\n add r10, sp, #48\n stm r10, {r1-r9}\n"                                     \
    "20:\n" FILL                                                                                  \
    "7: ldr r0, " TN_DW_AT_STRIP "\n ldr r1, " TN_DW_AT_BLOCKS "\n"                               \
    TN_DW_IF(T " <= 6", "ldr r10, " TN_DW_AT_OUTPUTS "\n ldr r11, " TN_DW_AT_C "\n")              \
    TN_DW_IF(T " > 6", "ldr r2, " TN_DW_AT_OUTPUTS "\n str r2, " TN_DW_AT_TILE "\n")              \
    "9: ldm r1!, {r2, r3, r12, lr}\n" SUMS TN_DW_REQUANTIZE(K, T, P) TN_DW_STORE(T)               \
    "add r0, r0, #4\n tst r0, #12\n bne.w 9b\n" /* the next channel */                            \
    "ldr r2, " TN_DW_AT_X_END "\n ldr r3, " TN_DW_AT_OUT_STEP "\n"                                \
    TN_DW_IF(S " == 1", "add r0, r0, #(" T "/2*16*" K "-16)\n")                                   \
    TN_DW_IF(S " == 2", "add r0, r0, #(" T "*16*" K "-16)\n")                                     \
    "cmp r0, r2\n blo 10f\n bne 11f\n"                                                            \
    "ldr r2, " TN_DW_AT_X_TAIL "\n ldr r3, " TN_DW_AT_OUT_TAIL "\n sub r0, r0, r2\n"              \
    "10: sub r1, r1, #(4*(2*" K "*" K "+18-4*" P "))\n" TN_DW_MOVE(T) "b.w 9b\n"                  \
    "11: str r1, " TN_DW_AT_BLOCKS "\n"                                                           \
    "ldr r2, " TN_DW_AT_OUTPUTS "\n ldr r3, " TN_DW_AT_OUT_END "\n add r2, r2, #4\n"              \
    "str r2, " TN_DW_AT_OUTPUTS "\n cmp r2, r3\n bne.w 20b\n"                                     \
    "add sp, #" TN_DW_FRAME "\n pop {r4-r11, pc}\n"

#define TN_DW_FUNCTION(K, S, L, T, P)                                                             \
    static TN_NOINLINE TN_UNUSED TN_DW_NAKED void tn_depthwise_square_##K##S##L##T##P(            \
        const tn_depthwise_band *b TN_UNUSED) {                                                   \
        __asm__(TN_DW_ROW(TN_DW_FILL_##K, TN_DW_SUMS_##K(S, L, T), #K, #S, #T, #P));              \
    }
#define TN_DW_CASE(K, S, L, T, P)                                                                 \
    case 1000 * S + 100 * L + 10 * T + P:                                                         \
        tn_depthwise_square_##K##S##L##T##P(b);                                                   \
        break;
#define TN_DW_TILES(TEXT, K, S, L, P)                                                             \
    TEXT(K, S, L, 2, P) TEXT(K, S, L, 3, P) TEXT(K, S, L, 4, P) TEXT(K, S, L, 5, P)               \
    TEXT(K, S, L, 6, P) TEXT(K, S, L, 7, P) TEXT(K, S, L, 8, P)
#define TN_DW_FORMS(TEXT, K)                                                                      \
    TN_DW_TILES(TEXT, K, 1, 0, 0) TN_DW_TILES(TEXT, K, 1, 0, 1) TN_DW_TILES(TEXT, K, 1, 1, 0)     \
    TN_DW_TILES(TEXT, K, 1, 1, 1) TN_DW_TILES(TEXT, K, 2, 0, 0) TN_DW_TILES(TEXT, K, 2, 0, 1)     \
    TN_DW_TILES(TEXT, K, 2, 1, 0) TN_DW_TILES(TEXT, K, 2, 1, 1)

/* All forms of a kernel; all channels of a band by one of them, told by literals. */
#define TN_DEPTHWISE_RUN(K)                                                                       \
    TN_DW_FORMS(TN_DW_FUNCTION, K)                                                                \
    TN_INLINE void tn_depthwise_run_##K(const tn_depthwise_band *b, int32_t span, int32_t stride, \
                                        int32_t lead, int32_t tile, int32_t positive) {           \
        (void)span;                                                                               \
        switch (1000 * stride + 100 * lead + 10 * tile + positive) {                              \
            TN_DW_FORMS(TN_DW_CASE, K)                                                            \
        default: break;                                                                           \
        }                                                                                         \
    }

#endif

#endif
