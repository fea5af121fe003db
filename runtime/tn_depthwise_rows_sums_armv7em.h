/* tn_depthwise_rows_sums_armv7em.h: sums of tn_depthwise_rows.h in assembly.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Text of the functions of tn_depthwise_rows_armv7em.h, which tells about registers. Row 0 begins
 * sums: words are loaded into them and give way. U and V are registers of weights.
 */
#ifndef TN_DEPTHWISE_ROWS_SUMS_ARMV7EM_H
#define TN_DEPTHWISE_ROWS_SUMS_ARMV7EM_H

#include "tn_depthwise_fill_armv7em.h"

/* Weights number N of row ROW; the word of columns 2N, 2N + 1 of row ROW. */
#define TN_DR_WEIGHTS(REGISTER, K, ROW, N)                                                        \
    "ldr " REGISTER ", [r1, #(.Ltn_dr+4*((" K "+1)/2*" ROW "+" N "))]\n"
#define TN_DR_WORD(REGISTER, N, ROW) "ldr " REGISTER ", [r0, #(256*(" N ")+16*" ROW ")]\n"
#define TN_DR_BIAS(K) "ldr lr, [r1, #(.Ltn_dr+2*" K "*(" K "+1))]\n"
#define TN_DR_WORD_IF(LAST, REGISTER, N, ROW)                                                     \
    TN_DW_IF("(" LAST ") >= " N, TN_DR_WORD(REGISTER, N, ROW))

#define TN_DR_MAC(OP, T, I, A, WORD, W)                                                           \
    TN_DW_IF(T " > " I, OP " " A ", " WORD ", " W ", " A "\n")

/* Stride 1: sums go in pairs, of an even and an odd pixel; P is one of these: numbers and
 * registers. A word begins a pair with FIRST, goes on with NEXT (E: weights of the even pixel, O:
 * of the odd one), CROSS (E the other way round), EVEN or ODD alone, and ends with LAST. BEGIN:
 * FIRST of the word in A, and the bias in lr. */
#define TN_DR_0 "0", "1", "r4", "r5"
#define TN_DR_1 "2", "3", "r6", "r7"
#define TN_DR_2 "4", "5", "r8", "r9"
#define TN_DR_3 "6", "7", "r10", "r11"
#define TN_DR_FIRST(T, P, WORD, W) TN_DR_FIRST_OF(T, P, WORD, W)
#define TN_DR_FIRST_OF(T, I, J, A, B, WORD, W)                                                    \
    TN_DR_MAC("smlad", T, I, A, WORD, W) TN_DR_MAC("smlatb", T, J, B, WORD, W)
#define TN_DR_NEXT(T, P, WORD, E, O) TN_DR_NEXT_OF(T, P, WORD, E, O)
#define TN_DR_NEXT_OF(T, I, J, A, B, WORD, E, O)                                                  \
    TN_DR_MAC("smlad", T, I, A, WORD, E) TN_DR_MAC("smlad", T, J, B, WORD, O)
#define TN_DR_CROSS(T, P, WORD, E, O) TN_DR_CROSS_OF(T, P, WORD, E, O)
#define TN_DR_CROSS_OF(T, I, J, A, B, WORD, E, O)                                                 \
    TN_DR_MAC("smladx", T, I, A, WORD, E) TN_DR_MAC("smlad", T, J, B, WORD, O)
#define TN_DR_EVEN(T, P, WORD, W) TN_DR_EVEN_OF(T, P, WORD, W)
#define TN_DR_EVEN_OF(T, I, J, A, B, WORD, W) TN_DR_MAC("smlad", T, I, A, WORD, W)
#define TN_DR_ODD(T, P, WORD, W) TN_DR_ODD_OF(T, P, WORD, W)
#define TN_DR_ODD_OF(T, I, J, A, B, WORD, W) TN_DR_MAC("smlad", T, J, B, WORD, W)
#define TN_DR_LAST(T, P, WORD, W) TN_DR_LAST_OF(T, P, WORD, W)
#define TN_DR_LAST_OF(T, I, J, A, B, WORD, W)                                                     \
    TN_DR_MAC("smlabt", T, I, A, WORD, W) TN_DR_MAC("smlad", T, J, B, WORD, W)
#define TN_DR_BEGIN(T, P) TN_DR_BEGIN_OF(T, P)
#define TN_DR_BEGIN_OF(T, I, J, A, B)                                                             \
    TN_DW_IF(T " > " J, "smlatb " B ", " A ", r2, lr\n") "smlad " A ", " A ", r2, lr\n"

/* 3x3: weights r2 and r3. */
#define TN_DR_TOP_31(T)                                                                           \
    TN_DR_WEIGHTS("r2", "3", "0", "0") TN_DR_WEIGHTS("r3", "3", "0", "1") TN_DR_BIAS("3")         \
    TN_DR_WORD("r4", "0", "0") TN_DW_IF(T " > 2", TN_DR_WORD("r6", "1", "0"))                     \
    TN_DW_IF(T " > 4", TN_DR_WORD("r8", "2", "0"))                                                \
    TN_DW_IF(T " > 6", TN_DR_WORD("r10", "3", "0")) TN_DR_WORD("r12", "(" T "+1)/2", "0")         \
    TN_DR_BEGIN(T, TN_DR_0)                                                                       \
    TN_DW_IF(T " > 2", TN_DR_LAST(T, TN_DR_0, "r6", "r3") TN_DR_BEGIN(T, TN_DR_1))                \
    TN_DW_IF(T " > 4", TN_DR_LAST(T, TN_DR_1, "r8", "r3") TN_DR_BEGIN(T, TN_DR_2))                \
    TN_DW_IF(T " > 6", TN_DR_LAST(T, TN_DR_2, "r10", "r3") TN_DR_BEGIN(T, TN_DR_3))               \
    TN_DW_IF("(" T "+1)/2 == 1", TN_DR_LAST(T, TN_DR_0, "r12", "r3"))                             \
    TN_DW_IF("(" T "+1)/2 == 2", TN_DR_LAST(T, TN_DR_1, "r12", "r3"))                             \
    TN_DW_IF("(" T "+1)/2 == 3", TN_DR_LAST(T, TN_DR_2, "r12", "r3"))                             \
    TN_DW_IF("(" T "+1)/2 == 4", TN_DR_LAST(T, TN_DR_3, "r12", "r3"))
#define TN_DR_ROW_31(T, ROW)                                                                      \
    TN_DR_WEIGHTS("r2", "3", ROW, "0") TN_DR_WEIGHTS("r3", "3", ROW, "1")                         \
    TN_DR_WORD("r12", "0", ROW) TN_DR_WORD("lr", "1", ROW)                                        \
    TN_DR_FIRST(T, TN_DR_0, "r12", "r2")                                                          \
    TN_DR_LAST(T, TN_DR_0, "lr", "r3") TN_DR_FIRST(T, TN_DR_1, "lr", "r2")                        \
    TN_DR_WORD_IF("(" T "+1)/2", "r12", "2", ROW) TN_DR_WORD_IF("(" T "+1)/2", "lr", "3", ROW)    \
    TN_DR_LAST(T, TN_DR_1, "r12", "r3") TN_DR_FIRST(T, TN_DR_2, "r12", "r2")                      \
    TN_DR_LAST(T, TN_DR_2, "lr", "r3") TN_DR_FIRST(T, TN_DR_3, "lr", "r2")                        \
    TN_DR_WORD_IF("(" T "+1)/2", "r12", "4", ROW) TN_DR_LAST(T, TN_DR_3, "r12", "r3")

/* Halves of weights in registers: D becomes (A low, B low), or (B high, A high). */
#define TN_DR_LOWS(D, A, B) "pkhbt " D ", " A ", " B ", lsl #16\n"
#define TN_DR_HIGHS(D, A, B) "pkhtb " D ", " A ", " B ", asr #16\n"

/* 5x5: weights r2 (0, 1), r3 (1, 2), U (3, 2) and V (3, 4). */
#define TN_DR_WEIGHTS_51(ROW, U, V)                                                               \
    TN_DR_WEIGHTS("r2", "5", ROW, "0") TN_DR_WEIGHTS(U, "5", ROW, "1")                            \
    TN_DR_WEIGHTS(V, "5", ROW, "2")
#define TN_DR_PAIRS_51(U, V) TN_DR_HIGHS("r3", U, "r2") TN_DR_LOWS(V, U, V)
#define TN_DR_TOP_51(T, U, V)                                                                     \
    TN_DR_WEIGHTS_51("0", U, V) TN_DR_BIAS("5")                                                   \
    TN_DR_WORD("r4", "0", "0") TN_DW_IF(T " > 2", TN_DR_WORD("r6", "1", "0"))                     \
    TN_DW_IF(T " > 4", TN_DR_WORD("r8", "2", "0")) TN_DR_WORD("r12", "(" T "+1)/2", "0")          \
    TN_DR_PAIRS_51(U, V) TN_DR_BEGIN(T, TN_DR_0)                                                  \
    TN_DW_IF(T " > 2", TN_DR_CROSS(T, TN_DR_0, "r6", U, "r3") TN_DR_BEGIN(T, TN_DR_1))            \
    TN_DW_IF(T " > 4", TN_DR_LAST(T, TN_DR_0, "r8", V) TN_DR_CROSS(T, TN_DR_1, "r8", U, "r3")     \
             TN_DR_BEGIN(T, TN_DR_2))                                                             \
    TN_DR_WORD("lr", "(" T "+1)/2+1", "0")                                                        \
    TN_DW_IF("(" T "+1)/2 == 1", TN_DR_CROSS(T, TN_DR_0, "r12", U, "r3")                          \
             TN_DR_LAST(T, TN_DR_0, "lr", V))                                                     \
    TN_DW_IF("(" T "+1)/2 == 2", TN_DR_LAST(T, TN_DR_0, "r12", V)                                 \
             TN_DR_CROSS(T, TN_DR_1, "r12", U, "r3") TN_DR_LAST(T, TN_DR_1, "lr", V))             \
    TN_DW_IF("(" T "+1)/2 == 3", TN_DR_LAST(T, TN_DR_1, "r12", V)                                 \
             TN_DR_CROSS(T, TN_DR_2, "r12", U, "r3") TN_DR_LAST(T, TN_DR_2, "lr", V))
#define TN_DR_ROW_51(T, ROW, U, V)                                                                \
    TN_DR_WEIGHTS_51(ROW, U, V) TN_DR_WORD("r12", "0", ROW) TN_DR_WORD("lr", "1", ROW)            \
    TN_DR_PAIRS_51(U, V)                                                                          \
    TN_DR_FIRST(T, TN_DR_0, "r12", "r2")                                                          \
    TN_DR_CROSS(T, TN_DR_0, "lr", U, "r3") TN_DR_FIRST(T, TN_DR_1, "lr", "r2")                    \
    TN_DR_WORD("r12", "2", ROW) TN_DR_WORD_IF("(" T "+1)/2+1", "lr", "3", ROW)                    \
    TN_DR_LAST(T, TN_DR_0, "r12", V) TN_DR_CROSS(T, TN_DR_1, "r12", U, "r3")                      \
    TN_DR_FIRST(T, TN_DR_2, "r12", "r2")                                                          \
    TN_DR_LAST(T, TN_DR_1, "lr", V) TN_DR_CROSS(T, TN_DR_2, "lr", U, "r3")                        \
    TN_DR_WORD_IF("(" T "+1)/2+1", "r12", "4", ROW) TN_DR_LAST(T, TN_DR_2, "r12", V)

/* 7x7, up to four pixels: weights r2 (0, 1), r3 (1, 2), r8 (3, 2), r9 (3, 4), r10 (4, 5) and
 * r11 (5, 6). */
#define TN_DR_WEIGHTS_71(ROW)                                                                     \
    TN_DR_WEIGHTS("r2", "7", ROW, "0") TN_DR_WEIGHTS("r8", "7", ROW, "1")                         \
    TN_DR_WEIGHTS("r10", "7", ROW, "2") TN_DR_WEIGHTS("r11", "7", ROW, "3")
#define TN_DR_PAIRS_71                                                                            \
    TN_DR_HIGHS("r3", "r8", "r2") TN_DR_LOWS("r9", "r8", "r10") TN_DR_HIGHS("r11", "r11", "r10")
#define TN_DR_TOP_71(T)                                                                           \
    TN_DR_WEIGHTS_71("0") TN_DR_BIAS("7") TN_DR_WORD("r4", "0", "0")                              \
    TN_DW_IF(T " > 2", TN_DR_WORD("r6", "1", "0")) TN_DR_WORD("r12", "(" T "+1)/2", "0")          \
    TN_DR_PAIRS_71 TN_DR_BEGIN(T, TN_DR_0)                                                        \
    TN_DW_IF(T " > 2", TN_DR_CROSS(T, TN_DR_0, "r6", "r8", "r3") TN_DR_BEGIN(T, TN_DR_1))         \
    TN_DR_WORD("lr", "(" T "+1)/2+1", "0")                                                        \
    TN_DW_IF(T " <= 2", TN_DR_CROSS(T, TN_DR_0, "r12", "r8", "r3")                                \
             TN_DR_NEXT(T, TN_DR_0, "lr", "r10", "r9"))                                           \
    TN_DW_IF(T " > 2", TN_DR_NEXT(T, TN_DR_0, "r12", "r10", "r9")                                 \
             TN_DR_CROSS(T, TN_DR_1, "r12", "r8", "r3")                                           \
             TN_DR_LAST(T, TN_DR_0, "lr", "r11") TN_DR_NEXT(T, TN_DR_1, "lr", "r10", "r9"))       \
    TN_DR_WORD("r12", "(" T "+1)/2+2", "0")                                                       \
    TN_DW_IF(T " <= 2", TN_DR_LAST(T, TN_DR_0, "r12", "r11"))                                     \
    TN_DW_IF(T " > 2", TN_DR_LAST(T, TN_DR_1, "r12", "r11"))
#define TN_DR_ROW_71(T, ROW)                                                                      \
    TN_DR_WEIGHTS_71(ROW) TN_DR_WORD("r12", "0", ROW) TN_DR_WORD("lr", "1", ROW) TN_DR_PAIRS_71   \
    TN_DR_FIRST(T, TN_DR_0, "r12", "r2")                                                          \
    TN_DR_CROSS(T, TN_DR_0, "lr", "r8", "r3") TN_DR_FIRST(T, TN_DR_1, "lr", "r2")                 \
    TN_DR_WORD("r12", "2", ROW) TN_DR_WORD("lr", "3", ROW)                                        \
    TN_DR_NEXT(T, TN_DR_0, "r12", "r10", "r9") TN_DR_CROSS(T, TN_DR_1, "r12", "r8", "r3")         \
    TN_DR_LAST(T, TN_DR_0, "lr", "r11") TN_DR_NEXT(T, TN_DR_1, "lr", "r10", "r9")                 \
    TN_DW_IF(T " > 2", TN_DR_WORD("r12", "4", ROW) TN_DR_LAST(T, TN_DR_1, "r12", "r11"))

/* 7x7, five pixels or six: twice over a row, first with weights r2 (0, 1), r3 (1, 2), r10 (3, 2)
 * and r11 (3, 4), then with r2 (4, 5) and r3 (5, 6). */
#define TN_DR_WEIGHTS_76(ROW)                                                                     \
    TN_DR_WEIGHTS("r2", "7", ROW, "0") TN_DR_WEIGHTS("r10", "7", ROW, "1")                        \
    TN_DR_WEIGHTS("r11", "7", ROW, "2")
#define TN_DR_PAIRS_76 TN_DR_HIGHS("r3", "r10", "r2") TN_DR_LOWS("r11", "r10", "r11")
#define TN_DR_TOP_76(T)                                                                           \
    TN_DR_WEIGHTS_76("0") TN_DR_BIAS("7") TN_DR_WORD("r4", "0", "0") TN_DR_WORD("r6", "1", "0")   \
    TN_DR_WORD("r8", "2", "0") TN_DR_WORD("r12", "3", "0") TN_DR_PAIRS_76                         \
    TN_DR_BEGIN(T, TN_DR_0) TN_DR_CROSS(T, TN_DR_0, "r6", "r10", "r3") TN_DR_BEGIN(T, TN_DR_1)    \
    TN_DR_ODD(T, TN_DR_0, "r8", "r11") TN_DR_CROSS(T, TN_DR_1, "r8", "r10", "r3")                 \
    TN_DR_BEGIN(T, TN_DR_2) TN_DW_IF(T " > 5", TN_DR_WORD("lr", "4", "0"))                        \
    TN_DR_ODD(T, TN_DR_1, "r12", "r11") TN_DR_CROSS(T, TN_DR_2, "r12", "r10", "r3")               \
    TN_DR_ODD(T, TN_DR_2, "lr", "r11") TN_DR_REST_76(T, "0")
#define TN_DR_ROW_76(T, ROW)                                                                      \
    TN_DR_WEIGHTS_76(ROW) TN_DR_WORD("r12", "0", ROW) TN_DR_WORD("lr", "1", ROW) TN_DR_PAIRS_76   \
    TN_DR_FIRST(T, TN_DR_0, "r12", "r2")                                                          \
    TN_DR_CROSS(T, TN_DR_0, "lr", "r10", "r3") TN_DR_FIRST(T, TN_DR_1, "lr", "r2")                \
    TN_DR_WORD("r12", "2", ROW) TN_DR_WORD("lr", "3", ROW)                                        \
    TN_DR_ODD(T, TN_DR_0, "r12", "r11") TN_DR_CROSS(T, TN_DR_1, "r12", "r10", "r3")               \
    TN_DR_FIRST(T, TN_DR_2, "r12", "r2")                                                          \
    TN_DR_ODD(T, TN_DR_1, "lr", "r11") TN_DR_CROSS(T, TN_DR_2, "lr", "r10", "r3")                 \
    TN_DW_IF(T " > 5", TN_DR_WORD("r12", "4", ROW) TN_DR_ODD(T, TN_DR_2, "r12", "r11"))           \
    TN_DR_REST_76(T, ROW)
#define TN_DR_REST_76(T, ROW)                                                                     \
    TN_DR_WEIGHTS("r2", "7", ROW, "2") TN_DR_WEIGHTS("r3", "7", ROW, "3")                         \
    TN_DR_WORD("r12", "2", ROW) TN_DR_WORD("lr", "3", ROW) TN_DR_HIGHS("r3", "r3", "r2")          \
    TN_DR_EVEN(T, TN_DR_0, "r12", "r2")                                                           \
    TN_DR_LAST(T, TN_DR_0, "lr", "r3") TN_DR_EVEN(T, TN_DR_1, "lr", "r2")                         \
    TN_DR_WORD("r12", "4", ROW) TN_DR_WORD("lr", "5", ROW)                                        \
    TN_DR_LAST(T, TN_DR_1, "r12", "r3") TN_DR_EVEN(T, TN_DR_2, "r12", "r2")                       \
    TN_DR_LAST(T, TN_DR_2, "lr", "r3")

/* Stride 2: S is the number and register of a sum, NO before the first. A word begins the last
 * sum that STEP has, ends the first and goes on with those between. */
#define TN_DR_NO "99", "r0"
#define TN_DR_S0 "0", "r4"
#define TN_DR_S1 "1", "r5"
#define TN_DR_S2 "2", "r6"
#define TN_DR_S3 "3", "r7"
#define TN_DR_S4 "4", "r8"
#define TN_DR_S5 "5", "r9"
#define TN_DR_S6 "6", "r10"
#define TN_DR_S7 "7", "r11"
#define TN_DR_BEGIN_2(A) "smlad " A ", " A ", r2, lr\n"
#define TN_DR_STEP_3(T, A, B, WORD)                                                               \
    TN_DR_MAC("smlabt", T, A, WORD, "r3") TN_DR_MAC("smlad", T, B, WORD, "r2")
#define TN_DR_STEP_5(T, A, B, C, WORD, U)                                                         \
    TN_DR_MAC("smlabt", T, A, WORD, U) TN_DR_MAC("smladx", T, B, WORD, "r3")                      \
    TN_DR_MAC("smlad", T, C, WORD, "r2")
#define TN_DR_STEP_7(T, A, B, C, D, WORD, U, V)                                                   \
    TN_DR_MAC("smlabt", T, A, WORD, V) TN_DR_MAC("smlad", T, B, WORD, U)                          \
    TN_DR_MAC("smladx", T, C, WORD, "r3") TN_DR_MAC("smlad", T, D, WORD, "r2")
#define TN_DR_END_7(T, A, WORD, V) TN_DR_MAC("smlabt", T, A, WORD, V)

#define TN_DR_WEIGHTS_32(ROW)                                                                     \
    TN_DR_WEIGHTS("r2", "3", ROW, "0") TN_DR_WEIGHTS("r3", "3", ROW, "1")
#define TN_DR_TOP_32(T)                                                                           \
    TN_DR_WEIGHTS_32("0") TN_DR_BIAS("3") TN_DR_WORD("r4", "0", "0") TN_DR_WORD("r5", "1", "0")   \
    TN_DW_IF(T " > 2", TN_DR_WORD("r6", "2", "0"))                                                \
    TN_DW_IF(T " > 3", TN_DR_WORD("r7", "3", "0"))                                                \
    TN_DW_IF(T " > 4", TN_DR_WORD("r8", "4", "0"))                                                \
    TN_DW_IF(T " > 5", TN_DR_WORD("r9", "5", "0"))                                                \
    TN_DW_IF(T " > 6", TN_DR_WORD("r10", "6", "0"))                                               \
    TN_DW_IF(T " > 7", TN_DR_WORD("r11", "7", "0")) TN_DR_WORD("r12", T, "0")                     \
    TN_DR_BEGIN_2("r4") TN_DR_STEP_3(T, TN_DR_S0, TN_DR_NO, "r5") TN_DR_BEGIN_2("r5")             \
    TN_DW_IF(T " > 2", TN_DR_STEP_3(T, TN_DR_S1, TN_DR_NO, "r6") TN_DR_BEGIN_2("r6"))             \
    TN_DW_IF(T " > 3", TN_DR_STEP_3(T, TN_DR_S2, TN_DR_NO, "r7") TN_DR_BEGIN_2("r7"))             \
    TN_DW_IF(T " > 4", TN_DR_STEP_3(T, TN_DR_S3, TN_DR_NO, "r8") TN_DR_BEGIN_2("r8"))             \
    TN_DW_IF(T " > 5", TN_DR_STEP_3(T, TN_DR_S4, TN_DR_NO, "r9") TN_DR_BEGIN_2("r9"))             \
    TN_DW_IF(T " > 6", TN_DR_STEP_3(T, TN_DR_S5, TN_DR_NO, "r10") TN_DR_BEGIN_2("r10"))           \
    TN_DW_IF(T " > 7", TN_DR_STEP_3(T, TN_DR_S6, TN_DR_NO, "r11") TN_DR_BEGIN_2("r11"))           \
    TN_DW_IF(T " == 2", TN_DR_STEP_3(T, TN_DR_S1, TN_DR_NO, "r12"))                               \
    TN_DW_IF(T " == 3", TN_DR_STEP_3(T, TN_DR_S2, TN_DR_NO, "r12"))                               \
    TN_DW_IF(T " == 4", TN_DR_STEP_3(T, TN_DR_S3, TN_DR_NO, "r12"))                               \
    TN_DW_IF(T " == 5", TN_DR_STEP_3(T, TN_DR_S4, TN_DR_NO, "r12"))                               \
    TN_DW_IF(T " == 6", TN_DR_STEP_3(T, TN_DR_S5, TN_DR_NO, "r12"))                               \
    TN_DW_IF(T " == 7", TN_DR_STEP_3(T, TN_DR_S6, TN_DR_NO, "r12"))                               \
    TN_DW_IF(T " == 8", TN_DR_STEP_3(T, TN_DR_S7, TN_DR_NO, "r12"))
#define TN_DR_ROW_32(T, ROW)                                                                      \
    TN_DR_WEIGHTS_32(ROW) TN_DR_WORD_IF(T, "r12", "0", ROW) TN_DR_WORD_IF(T, "lr", "1", ROW)      \
    TN_DR_STEP_3(T, TN_DR_NO, TN_DR_S0, "r12") TN_DR_STEP_3(T, TN_DR_S0, TN_DR_S1, "lr")          \
    TN_DR_WORD_IF(T, "r12", "2", ROW) TN_DR_WORD_IF(T, "lr", "3", ROW)                            \
    TN_DR_STEP_3(T, TN_DR_S1, TN_DR_S2, "r12") TN_DR_STEP_3(T, TN_DR_S2, TN_DR_S3, "lr")          \
    TN_DR_WORD_IF(T, "r12", "4", ROW) TN_DR_WORD_IF(T, "lr", "5", ROW)                            \
    TN_DR_STEP_3(T, TN_DR_S3, TN_DR_S4, "r12") TN_DR_STEP_3(T, TN_DR_S4, TN_DR_S5, "lr")          \
    TN_DR_WORD_IF(T, "r12", "6", ROW) TN_DR_WORD_IF(T, "lr", "7", ROW)                            \
    TN_DR_STEP_3(T, TN_DR_S5, TN_DR_S6, "r12") TN_DR_STEP_3(T, TN_DR_S6, TN_DR_S7, "lr")          \
    TN_DR_WORD_IF(T, "r12", "8", ROW) TN_DR_STEP_3(T, TN_DR_S7, TN_DR_NO, "r12")

#define TN_DR_WEIGHTS_52(ROW, U)                                                                  \
    TN_DR_WEIGHTS("r2", "5", ROW, "0") TN_DR_WEIGHTS("r3", "5", ROW, "1")                         \
    TN_DR_WEIGHTS(U, "5", ROW, "2")
#define TN_DR_TOP_52(T, U, V)                                                                     \
    TN_DR_WEIGHTS_52("0", U) TN_DR_BIAS("5") TN_DR_WORD("r4", "0", "0")                           \
    TN_DR_WORD("r5", "1", "0") TN_DW_IF(T " > 2", TN_DR_WORD("r6", "2", "0"))                     \
    TN_DW_IF(T " > 3", TN_DR_WORD("r7", "3", "0"))                                                \
    TN_DW_IF(T " > 4", TN_DR_WORD("r8", "4", "0"))                                                \
    TN_DW_IF(T " > 5", TN_DR_WORD("r9", "5", "0")) TN_DR_WORD("r12", T, "0")                      \
    TN_DR_BEGIN_2("r4")                                                                           \
    TN_DR_STEP_5(T, TN_DR_NO, TN_DR_S0, TN_DR_NO, "r5", U) TN_DR_BEGIN_2("r5")                    \
    TN_DW_IF(T " > 2", TN_DR_STEP_5(T, TN_DR_S0, TN_DR_S1, TN_DR_NO, "r6", U)                     \
             TN_DR_BEGIN_2("r6"))                                                                 \
    TN_DW_IF(T " > 3", TN_DR_STEP_5(T, TN_DR_S1, TN_DR_S2, TN_DR_NO, "r7", U)                     \
             TN_DR_BEGIN_2("r7"))                                                                 \
    TN_DW_IF(T " > 4", TN_DR_STEP_5(T, TN_DR_S2, TN_DR_S3, TN_DR_NO, "r8", U)                     \
             TN_DR_BEGIN_2("r8"))                                                                 \
    TN_DW_IF(T " > 5", TN_DR_STEP_5(T, TN_DR_S3, TN_DR_S4, TN_DR_NO, "r9", U)                     \
             TN_DR_BEGIN_2("r9"))                                                                 \
    TN_DR_WORD("lr", T "+1", "0")                                                                 \
    TN_DW_IF(T " == 2", TN_DR_STEP_5(T, TN_DR_S0, TN_DR_S1, TN_DR_NO, "r12", U))                  \
    TN_DW_IF(T " == 2", TN_DR_STEP_5(T, TN_DR_S1, TN_DR_NO, TN_DR_NO, "lr", U))                   \
    TN_DW_IF(T " == 3", TN_DR_STEP_5(T, TN_DR_S1, TN_DR_S2, TN_DR_NO, "r12", U))                  \
    TN_DW_IF(T " == 3", TN_DR_STEP_5(T, TN_DR_S2, TN_DR_NO, TN_DR_NO, "lr", U))                   \
    TN_DW_IF(T " == 4", TN_DR_STEP_5(T, TN_DR_S2, TN_DR_S3, TN_DR_NO, "r12", U))                  \
    TN_DW_IF(T " == 4", TN_DR_STEP_5(T, TN_DR_S3, TN_DR_NO, TN_DR_NO, "lr", U))                   \
    TN_DW_IF(T " == 5", TN_DR_STEP_5(T, TN_DR_S3, TN_DR_S4, TN_DR_NO, "r12", U))                  \
    TN_DW_IF(T " == 5", TN_DR_STEP_5(T, TN_DR_S4, TN_DR_NO, TN_DR_NO, "lr", U))                   \
    TN_DW_IF(T " == 6", TN_DR_STEP_5(T, TN_DR_S4, TN_DR_S5, TN_DR_NO, "r12", U))                  \
    TN_DW_IF(T " == 6", TN_DR_STEP_5(T, TN_DR_S5, TN_DR_NO, TN_DR_NO, "lr", U))
#define TN_DR_ROW_52(T, ROW, U, V)                                                                \
    TN_DR_WEIGHTS_52(ROW, U) TN_DR_WORD_IF(T "+1", "r12", "0", ROW)                               \
    TN_DR_WORD_IF(T "+1", "lr", "1", ROW)                                                         \
    TN_DR_STEP_5(T, TN_DR_NO, TN_DR_NO, TN_DR_S0, "r12", U)                                       \
    TN_DR_STEP_5(T, TN_DR_NO, TN_DR_S0, TN_DR_S1, "lr", U)                                        \
    TN_DR_WORD_IF(T "+1", "r12", "2", ROW) TN_DR_WORD_IF(T "+1", "lr", "3", ROW)                  \
    TN_DR_STEP_5(T, TN_DR_S0, TN_DR_S1, TN_DR_S2, "r12", U)                                       \
    TN_DR_STEP_5(T, TN_DR_S1, TN_DR_S2, TN_DR_S3, "lr", U)                                        \
    TN_DR_WORD_IF(T "+1", "r12", "4", ROW) TN_DR_WORD_IF(T "+1", "lr", "5", ROW)                  \
    TN_DR_STEP_5(T, TN_DR_S2, TN_DR_S3, TN_DR_S4, "r12", U)                                       \
    TN_DR_STEP_5(T, TN_DR_S3, TN_DR_S4, TN_DR_S5, "lr", U)                                        \
    TN_DR_WORD_IF(T "+1", "r12", "6", ROW) TN_DR_WORD_IF(T "+1", "lr", "7", ROW)                  \
    TN_DR_STEP_5(T, TN_DR_S4, TN_DR_S5, TN_DR_S6, "r12", U)                                       \
    TN_DR_STEP_5(T, TN_DR_S5, TN_DR_S6, TN_DR_S7, "lr", U)

#define TN_DR_WEIGHTS_72(ROW, U, V)                                                               \
    TN_DR_WEIGHTS("r2", "7", ROW, "0") TN_DR_WEIGHTS("r3", "7", ROW, "1")                         \
    TN_DR_WEIGHTS(U, "7", ROW, "2") TN_DR_WEIGHTS(V, "7", ROW, "3")
#define TN_DR_TOP_72(T, U, V)                                                                     \
    TN_DR_WEIGHTS_72("0", U, V) TN_DR_BIAS("7") TN_DR_WORD("r4", "0", "0")                        \
    TN_DR_WORD("r5", "1", "0") TN_DW_IF(T " > 2", TN_DR_WORD("r6", "2", "0"))                     \
    TN_DW_IF(T " > 3", TN_DR_WORD("r7", "3", "0"))                                                \
    TN_DW_IF(T " > 4", TN_DR_WORD("r8", "4", "0"))                                                \
    TN_DW_IF(T " > 5", TN_DR_WORD("r9", "5", "0")) TN_DR_WORD("r12", T, "0")                      \
    TN_DR_BEGIN_2("r4")                                                                           \
    TN_DR_STEP_7(T, TN_DR_NO, TN_DR_NO, TN_DR_S0, TN_DR_NO, "r5", U, V) TN_DR_BEGIN_2("r5")       \
    TN_DW_IF(T " > 2", TN_DR_STEP_7(T, TN_DR_NO, TN_DR_S0, TN_DR_S1, TN_DR_NO, "r6", U, V)        \
             TN_DR_BEGIN_2("r6"))                                                                 \
    TN_DW_IF(T " > 3", TN_DR_STEP_7(T, TN_DR_S0, TN_DR_S1, TN_DR_S2, TN_DR_NO, "r7", U, V)        \
             TN_DR_BEGIN_2("r7"))                                                                 \
    TN_DW_IF(T " > 4", TN_DR_STEP_7(T, TN_DR_S1, TN_DR_S2, TN_DR_S3, TN_DR_NO, "r8", U, V)        \
             TN_DR_BEGIN_2("r8"))                                                                 \
    TN_DW_IF(T " > 5", TN_DR_STEP_7(T, TN_DR_S2, TN_DR_S3, TN_DR_S4, TN_DR_NO, "r9", U, V)        \
             TN_DR_BEGIN_2("r9"))                                                                 \
    TN_DR_WORD("lr", T "+1", "0")                                                                 \
    TN_DW_IF(T " == 2", TN_DR_STEP_7(T, TN_DR_NO, TN_DR_S0, TN_DR_S1, TN_DR_NO, "r12", U, V))     \
    TN_DW_IF(T " == 2", TN_DR_STEP_7(T, TN_DR_S0, TN_DR_S1, TN_DR_NO, TN_DR_NO, "lr", U, V))      \
    TN_DW_IF(T " == 3", TN_DR_STEP_7(T, TN_DR_S0, TN_DR_S1, TN_DR_S2, TN_DR_NO, "r12", U, V))     \
    TN_DW_IF(T " == 3", TN_DR_STEP_7(T, TN_DR_S1, TN_DR_S2, TN_DR_NO, TN_DR_NO, "lr", U, V))      \
    TN_DW_IF(T " == 4", TN_DR_STEP_7(T, TN_DR_S1, TN_DR_S2, TN_DR_S3, TN_DR_NO, "r12", U, V))     \
    TN_DW_IF(T " == 4", TN_DR_STEP_7(T, TN_DR_S2, TN_DR_S3, TN_DR_NO, TN_DR_NO, "lr", U, V))      \
    TN_DW_IF(T " == 5", TN_DR_STEP_7(T, TN_DR_S2, TN_DR_S3, TN_DR_S4, TN_DR_NO, "r12", U, V))     \
    TN_DW_IF(T " == 5", TN_DR_STEP_7(T, TN_DR_S3, TN_DR_S4, TN_DR_NO, TN_DR_NO, "lr", U, V))      \
    TN_DW_IF(T " == 6", TN_DR_STEP_7(T, TN_DR_S3, TN_DR_S4, TN_DR_S5, TN_DR_NO, "r12", U, V))     \
    TN_DW_IF(T " == 6", TN_DR_STEP_7(T, TN_DR_S4, TN_DR_S5, TN_DR_NO, TN_DR_NO, "lr", U, V))      \
    TN_DR_WORD("r12", T "+2", "0")                                                                \
    TN_DW_IF(T " == 2", TN_DR_END_7(T, TN_DR_S1, "r12", V))                                       \
    TN_DW_IF(T " == 3", TN_DR_END_7(T, TN_DR_S2, "r12", V))                                       \
    TN_DW_IF(T " == 4", TN_DR_END_7(T, TN_DR_S3, "r12", V))                                       \
    TN_DW_IF(T " == 5", TN_DR_END_7(T, TN_DR_S4, "r12", V))                                       \
    TN_DW_IF(T " == 6", TN_DR_END_7(T, TN_DR_S5, "r12", V))
#define TN_DR_ROW_72(T, ROW, U, V)                                                                \
    TN_DR_WEIGHTS_72(ROW, U, V) TN_DR_WORD_IF(T "+2", "r12", "0", ROW)                            \
    TN_DR_WORD_IF(T "+2", "lr", "1", ROW)                                                         \
    TN_DR_STEP_7(T, TN_DR_NO, TN_DR_NO, TN_DR_NO, TN_DR_S0, "r12", U, V)                          \
    TN_DR_STEP_7(T, TN_DR_NO, TN_DR_NO, TN_DR_S0, TN_DR_S1, "lr", U, V)                           \
    TN_DR_WORD_IF(T "+2", "r12", "2", ROW) TN_DR_WORD_IF(T "+2", "lr", "3", ROW)                  \
    TN_DR_STEP_7(T, TN_DR_NO, TN_DR_S0, TN_DR_S1, TN_DR_S2, "r12", U, V)                          \
    TN_DR_STEP_7(T, TN_DR_S0, TN_DR_S1, TN_DR_S2, TN_DR_S3, "lr", U, V)                           \
    TN_DR_WORD_IF(T "+2", "r12", "4", ROW) TN_DR_WORD_IF(T "+2", "lr", "5", ROW)                  \
    TN_DR_STEP_7(T, TN_DR_S1, TN_DR_S2, TN_DR_S3, TN_DR_S4, "r12", U, V)                          \
    TN_DR_STEP_7(T, TN_DR_S2, TN_DR_S3, TN_DR_S4, TN_DR_S5, "lr", U, V)                           \
    TN_DR_WORD_IF(T "+2", "r12", "6", ROW) TN_DR_WORD_IF(T "+2", "lr", "7", ROW)                  \
    TN_DR_STEP_7(T, TN_DR_S3, TN_DR_S4, TN_DR_S5, TN_DR_S6, "r12", U, V)                          \
    TN_DR_STEP_7(T, TN_DR_S4, TN_DR_S5, TN_DR_S6, TN_DR_S7, "lr", U, V)                           \
    TN_DR_WORD_IF(T "+2", "r12", "8", ROW)                                                        \
    TN_DR_STEP_7(T, TN_DR_S5, TN_DR_S6, TN_DR_S7, TN_DR_NO, "r12", U, V)

/* All sums of a tile. */
#define TN_DR_SUMS_31(T)                                                                          \
    TN_DR_TOP_31(T) ".irp row, 1, 2\n" TN_DR_ROW_31(T, "\\row") ".endr\n"
#define TN_DR_SUMS_32(T)                                                                          \
    TN_DR_TOP_32(T) ".irp row, 1, 2\n" TN_DR_ROW_32(T, "\\row") ".endr\n"
#define TN_DR_SUMS_5(T, U, V, S)                                                                  \
    TN_DR_TOP_5##S(T, U, V) ".irp row, 1, 2, 3, 4\n" TN_DR_ROW_5##S(T, "\\row", U, V) ".endr\n"
#define TN_DR_SUMS_51(T)                                                                          \
    TN_DW_IF(T " <= 4", TN_DR_SUMS_5(T, "r8", "r9", 1))                                           \
    TN_DW_IF(T " > 4", TN_DR_SUMS_5(T, "r10", "r11", 1))
#define TN_DR_SUMS_52(T)                                                                          \
    TN_DW_IF(T " <= 4", TN_DR_SUMS_5(T, "r8", "r9", 2))                                           \
    TN_DW_IF(T " > 4", TN_DR_SUMS_5(T, "r10", "r11", 2))
#define TN_DR_SUMS_71(T)                                                                          \
    TN_DW_IF(T " <= 4", TN_DR_TOP_71(T)                                                           \
             ".irp row, 1, 2, 3, 4, 5, 6\n" TN_DR_ROW_71(T, "\\row") ".endr\n")                   \
    TN_DW_IF(T " > 4", TN_DR_TOP_76(T)                                                            \
             ".irp row, 1, 2, 3, 4, 5, 6\n" TN_DR_ROW_76(T, "\\row") ".endr\n")
#define TN_DR_SUMS_7(T, U, V)                                                                     \
    TN_DR_TOP_72(T, U, V)                                                                         \
    ".irp row, 1, 2, 3, 4, 5, 6\n" TN_DR_ROW_72(T, "\\row", U, V) ".endr\n"
#define TN_DR_SUMS_72(T)                                                                          \
    TN_DW_IF(T " <= 4", TN_DR_SUMS_7(T, "r8", "r9"))                                              \
    TN_DW_IF(T " > 4", TN_DR_SUMS_7(T, "r10", "r11"))

#endif
