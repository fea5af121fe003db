/* tn_depthwise_lanes_armv7em.h: bands of tn_depthwise_lanes.h in assembly, with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One function for each list of numbers: kernel K, stride S, out_w OW, lead L, rest R, height H,
 * channels C, shift and widened W (strings). For each four channels it fills the strip, then takes
 * row by row, channel by channel and tile by tile: r0 is the strip at the tile and channel, r1 the
 * block; accumulators are r4:r5, r6:r7 and r8:r9, the other registers weights and words of the
 * strip. A tile has A = 1 to 3 accumulators; FIRST 1: it is the first of a row; HALF 1: of the last
 * accumulator only lane 0 is wanted. codegen/stack.py knows the bytes of stack.
 */
#ifndef TN_DEPTHWISE_LANES_ARMV7EM_H
#define TN_DEPTHWISE_LANES_ARMV7EM_H

#include "tn_depthwise_fill_armv7em.h"
#include "tn_depthwise_lanes.h"

/* The frame begins with a tn_depthwise_lanes_band. */
#define TN_DL_FRAME "80"
#define TN_DL_AT_FILLS "[sp, #0]"
#define TN_DL_AT_FILLS_END "[sp, #4]"
#define TN_DL_AT_FOUR_BYTES "[sp, #8]"
#define TN_DL_AT_ZERO "[sp, #12]"
#define TN_DL_AT_ROW_STEP "[sp, #16]"
#define TN_DL_AT_X_STOP "[sp, #20]"
#define TN_DL_AT_C "[sp, #24]"
#define TN_DL_AT_X "[sp, #28]"
#define TN_DL_AT_OUTS "[sp, #32]"
#define TN_DL_AT_BLOCKS "[sp, #36]"
#define TN_DL_AT_CHANNEL "[sp, #40]"
#define TN_DL_AT_ROW "[sp, #44]"
#define TN_DL_AT_ROW_OUT "[sp, #48]"
#define TN_DL_AT_OUT "[sp, #52]"
#define TN_DL_AT_PIXEL "[sp, #56]"
#define TN_DL_AT_CARRY "[sp, #60]"
#define TN_DL_AT_TILES "[sp, #64]"
#define TN_DL_AT_TAPS "[sp, #68]" /* bytes of taps that r1 goes back */
#define TN_DL_AT_ENTRY "[sp, #72]"
#define TN_DL_AT_NEXT "[sp, #76]"

/* ---- strips ---------------------------------------------------------------------------------- */

/* Bytes of column J from r0 on, of four channels; the zero point where it is OUTSIDE. */
#define TN_DL_BYTES(OUTSIDE, J, C, A, B, D, E)                                                    \
    TN_DW_IF(OUTSIDE,                                                                             \
             "sbfx " A ", lr, #0, #21\n mov " B ", " A "\n mov " D ", " A "\n"                    \
             "mov " E ", " A "\n .else\n"                                                         \
             "ldrsb " A ", [r0, #(" C "*(" J "))]\n ldrsb " B ", [r0, #(" C "*(" J ")+1)]\n"      \
             "ldrsb " D ", [r0, #(" C "*(" J ")+2)]\n ldrsb " E ", [r0, #(" C "*(" J ")+3)]\n")
/* Two columns become words of the strip at AT; lr: the word of two zero points. */
#define TN_DL_JOIN(OUTSIDE_I, I, OUTSIDE_J, J, C, Z, AT)                                          \
    TN_DL_BYTES(OUTSIDE_I, I, C, "r4", "r5", "r6", "r7")                                          \
    TN_DL_BYTES(OUTSIDE_J, J, C, "r8", "r9", "r10", "r11")                                        \
    "add r4, r4, r8, lsl #21\n add r5, r5, r9, lsl #21\n"                                         \
    "add r6, r6, r10, lsl #21\n add r7, r7, r11, lsl #21\n"                                       \
    TN_DW_IF(Z " == 1", "sub r4, r4, lr\n sub r5, r5, lr\n sub r6, r6, lr\n sub r7, r7, lr\n")    \
    "str r4, [r12, #(" AT ")]\n str r5, [r12, #(" AT "+4)]\n"                                     \
    "str r6, [r12, #(" AT "+8)]\n str r7, [r12, #(" AT "+12)]\n"
/* Four columns, of which those before L and from R on are outside. */
#define TN_DL_PUT(S, L, R, H, C, Z)                                                               \
    TN_DW_IF(S " == 1",                                                                           \
             TN_DL_JOIN(L " > 0", "0-" L, L " > 1 || " R " < 2", "1-" L, C, Z, "0")               \
             TN_DL_JOIN(L " > 2 || " R " < 3", "2-" L, R " < 4", "3-" L, C, Z, "16*" H))          \
    TN_DW_IF(S " == 2",                                                                           \
             TN_DL_JOIN(L " > 0", "0-" L, L " > 2 || " R " < 3", "2-" L, C, Z, "0")               \
             TN_DL_JOIN(L " > 1 || " R " < 2", "1-" L, R " < 4", "3-" L, C, Z, "16*" H))          \
    "add r12, r12, #(32*" H ")\n"

/* Row r0 into the strip at r12; r2: the list of such; r3: bytes of four columns. */
#define TN_DL_FILL(S, L, R, H, C, Z)                                                              \
    "ldr r2, " TN_DL_AT_FILLS "\n ldr r4, " TN_DL_AT_FILLS_END "\n cmp r2, r4\n beq.w 4f\n"       \
    "mov r3, #(4*" C ")\n"                                                                        \
    "0: ldm r2!, {r0, r12}\n ldr r4, " TN_DL_AT_CHANNEL "\n ldr lr, " TN_DL_AT_ZERO "\n"          \
    "add r0, r0, r4\n"                                                                            \
    TN_DW_IF(L " > 0", TN_DL_PUT(S, L, "4", H, C, Z) "add r0, r0, #(" C "*(4-" L "))\n")          \
    "ldr r1, " TN_DL_AT_FOUR_BYTES "\n add r1, r12, r1\n cmp r12, r1\n beq 2f\n"                  \
    "1:\n" TN_DL_PUT(S, "0", "4", H, C, Z) "add r0, r0, r3\n cmp r12, r1\n bne 1b\n"              \
    "2:\n" TN_DW_IF(R " > 0", TN_DL_PUT(S, "0", R, H, C, Z))                                      \
    "ldr r4, " TN_DL_AT_FILLS_END "\n cmp r2, r4\n bne.w 0b\n"                                    \
    "4:\n"

/* ---- sums ------------------------------------------------------------------------------------ */

/* Weights number N of row ROW; word N of the strip at row ROW. */
#define TN_DL_WEIGHTS(REGISTER, K, ROW, N)                                                        \
    "ldr " REGISTER ", [r1, #(16+4*((" K "+1)/2*" ROW "+" N "))]\n"
#define TN_DL_WORD(REGISTER, N, ROW, H) "ldr " REGISTER ", [r0, #(16*" H "*" N "+16*" ROW ")]\n"
#define TN_DL_WORD_IF(CONDITION, REGISTER, N, ROW, H)                                             \
    TN_DW_IF(CONDITION, TN_DL_WORD(REGISTER, N, ROW, H))
/* Accumulator I, if there are more. */
#define TN_DL_0 "0", "r4", "r5"
#define TN_DL_1 "1", "r6", "r7"
#define TN_DL_2 "2", "r8", "r9"
#define TN_DL_MAC(A, I, WORD, W) TN_DL_MAC_OF(A, I, WORD, W)
#define TN_DL_MAC_OF(A, I, LOW, HIGH, WORD, W)                                                    \
    TN_DW_IF(A " > " I, "smlal " LOW ", " HIGH ", " WORD ", " W "\n")

/* A row of a tile: A accumulators, B of them meet the weights that have no low part. */
#define TN_DL_ROW_51(A, B, ROW, H)                                                                \
    TN_DL_WEIGHTS("r2", "5", ROW, "0") TN_DL_WEIGHTS("r3", "5", ROW, "1")                         \
    TN_DL_WEIGHTS("r10", "5", ROW, "2") TN_DL_WORD("r11", "0", ROW, H)                            \
    TN_DL_WORD("r12", "1", ROW, H)                                                                \
    TN_DL_WORD_IF(A "+" B " > 1", "lr", "2", ROW, H)                                              \
    TN_DL_MAC(A, TN_DL_0, "r11", "r2") TN_DL_MAC(A, TN_DL_0, "r12", "r3")                         \
    TN_DL_MAC(A, TN_DL_1, "r12", "r2") TN_DL_MAC(B, TN_DL_0, "lr", "r10")                         \
    TN_DL_MAC(A, TN_DL_1, "lr", "r3") TN_DL_MAC(A, TN_DL_2, "lr", "r2")                           \
    TN_DL_WORD_IF(A "+" B " > 3", "r11", "3", ROW, H)                                             \
    TN_DL_WORD_IF(A "+" B " > 5", "r12", "4", ROW, H)                                             \
    TN_DL_MAC(B, TN_DL_1, "r11", "r10") TN_DL_MAC(A, TN_DL_2, "r11", "r3")                        \
    TN_DL_MAC(B, TN_DL_2, "r12", "r10")

#define TN_DL_ROW_71(A, B, ROW, H)                                                                \
    TN_DL_WEIGHTS("r2", "7", ROW, "0") TN_DL_WEIGHTS("r3", "7", ROW, "1")                         \
    TN_DL_WORD("r10", "0", ROW, H) TN_DL_WORD("r11", "1", ROW, H) TN_DL_WORD("r12", "2", ROW, H)  \
    TN_DL_WORD_IF(A "+" B " > 1", "lr", "3", ROW, H)                                              \
    TN_DL_MAC(A, TN_DL_0, "r10", "r2") TN_DL_MAC(A, TN_DL_0, "r11", "r3")                         \
    TN_DL_MAC(A, TN_DL_1, "r11", "r2") TN_DL_MAC(A, TN_DL_1, "r12", "r3")                         \
    TN_DL_MAC(A, TN_DL_2, "r12", "r2") TN_DL_MAC(A, TN_DL_2, "lr", "r3")                          \
    TN_DL_WEIGHTS("r2", "7", ROW, "2") TN_DW_IF(B " > 0", TN_DL_WEIGHTS("r3", "7", ROW, "3"))     \
    TN_DL_WORD_IF(A "+" B " > 3", "r10", "4", ROW, H)                                             \
    TN_DL_WORD_IF(A "+" B " > 5", "r11", "5", ROW, H)                                             \
    TN_DL_MAC(A, TN_DL_0, "r12", "r2") TN_DL_MAC(B, TN_DL_0, "lr", "r3")                          \
    TN_DL_MAC(A, TN_DL_1, "lr", "r2") TN_DL_MAC(B, TN_DL_1, "r10", "r3")                          \
    TN_DL_MAC(A, TN_DL_2, "r10", "r2") TN_DL_MAC(B, TN_DL_2, "r11", "r3")

/* Stride 2: words 2j are of even columns, words 2j + 1 of odd ones. */
#define TN_DL_ROW_52(A, B, ROW, H)                                                                \
    TN_DL_WEIGHTS("r2", "5", ROW, "0") TN_DW_IF(B " > 0", TN_DL_WEIGHTS("r3", "5", ROW, "1"))     \
    TN_DL_WORD("r10", "0", ROW, H) TN_DL_WORD_IF(A "+" B " > 1", "r11", "2", ROW, H)              \
    TN_DL_WORD_IF(A "+" B " > 3", "r12", "4", ROW, H) TN_DL_WORD_IF(B " > 2", "lr", "6", ROW, H)  \
    TN_DL_MAC(A, TN_DL_0, "r10", "r2") TN_DL_MAC(B, TN_DL_0, "r11", "r3")                         \
    TN_DL_MAC(A, TN_DL_1, "r11", "r2") TN_DL_MAC(B, TN_DL_1, "r12", "r3")                         \
    TN_DL_MAC(A, TN_DL_2, "r12", "r2") TN_DL_MAC(B, TN_DL_2, "lr", "r3")                          \
    TN_DL_WEIGHTS("r2", "5", ROW, "2") TN_DL_WORD("r10", "1", ROW, H)                             \
    TN_DL_WORD_IF(A " > 1", "r11", "3", ROW, H) TN_DL_WORD_IF(A " > 2", "r12", "5", ROW, H)       \
    TN_DL_MAC(A, TN_DL_0, "r10", "r2") TN_DL_MAC(A, TN_DL_1, "r11", "r2")                         \
    TN_DL_MAC(A, TN_DL_2, "r12", "r2")

#define TN_DL_ROW_72(A, B, ROW, H)                                                                \
    TN_DL_WEIGHTS("r2", "7", ROW, "0") TN_DL_WEIGHTS("r3", "7", ROW, "1")                         \
    TN_DL_WORD("r10", "0", ROW, H) TN_DL_WORD("r11", "2", ROW, H)                                 \
    TN_DL_WORD_IF(A " > 1", "r12", "4", ROW, H) TN_DL_WORD_IF(A " > 2", "lr", "6", ROW, H)        \
    TN_DL_MAC(A, TN_DL_0, "r10", "r2") TN_DL_MAC(A, TN_DL_0, "r11", "r3")                         \
    TN_DL_MAC(A, TN_DL_1, "r11", "r2") TN_DL_MAC(A, TN_DL_1, "r12", "r3")                         \
    TN_DL_MAC(A, TN_DL_2, "r12", "r2") TN_DL_MAC(A, TN_DL_2, "lr", "r3")                          \
    TN_DL_WEIGHTS("r2", "7", ROW, "2") TN_DW_IF(B " > 0", TN_DL_WEIGHTS("r3", "7", ROW, "3"))     \
    TN_DL_WORD("r10", "1", ROW, H) TN_DL_WORD_IF(A "+" B " > 1", "r11", "3", ROW, H)              \
    TN_DL_WORD_IF(A "+" B " > 3", "r12", "5", ROW, H) TN_DL_WORD_IF(B " > 2", "lr", "7", ROW, H)  \
    TN_DL_MAC(A, TN_DL_0, "r10", "r2") TN_DL_MAC(B, TN_DL_0, "r11", "r3")                         \
    TN_DL_MAC(A, TN_DL_1, "r11", "r2") TN_DL_MAC(B, TN_DL_1, "r12", "r3")                         \
    TN_DL_MAC(A, TN_DL_2, "r12", "r2") TN_DL_MAC(B, TN_DL_2, "lr", "r3")

/* ---- tiles ----------------------------------------------------------------------------------- */

/* With Z 1 strips have inputs less the zero point, and rows outside of the input are left out: r3
 * row blocks of a tile, with the others taking rows from r0 and taps from r1 earlier. */
#define TN_DL_ENTER                                                                               \
    "tbh [pc, r3, lsl #1]\n"                                                                      \
    "29: .hword (30f-29b)/2, (31f-29b)/2, (32f-29b)/2, (33f-29b)/2, (34f-29b)/2, (35f-29b)/2\n"   \
    ".hword (36f-29b)/2\n"
#define TN_DL_BEGIN(A, FIRST, Z, ENTER)                                                           \
    "ldr r4, [r1]\n ldr r5, [r1, #4]\n" TN_DW_IF(FIRST " == 0", "ldr r12, " TN_DL_AT_CARRY "\n")  \
    TN_DW_IF(Z " == 1", "ldr r2, " TN_DL_AT_TAPS "\n ldr r3, " TN_DL_AT_ENTRY "\n")               \
    TN_DW_IF(A " > 1", "mov r6, r4\n mov r7, r5\n") TN_DW_IF(A " > 2", "mov r8, r4\n mov r9, r5\n")\
    TN_DW_IF(FIRST " == 0", "add r4, r4, r12, lsr #10\n")                                         \
    TN_DW_IF(Z " == 1", "sub r1, r1, r2\n" ENTER)

/* Lanes become outputs where they are; r2 and r3 are multiplier and addend. One of lane 0 takes the
 * place of the accumulator before, whose lane 2 is a part of it. */
#define TN_DL_SCALE(X, SHIFT)                                                                     \
    "smmla " X ", " X ", r2, r3\n ssat " X ", #8, " X ", asr #" SHIFT "\n"
#define TN_DL_LANE_1(LOW, HIGH, SHIFT)                                                            \
    "lsr " LOW ", " LOW ", #21\n bfi " LOW ", " HIGH ", #11, #10\n" TN_DL_SCALE(LOW, SHIFT)
#define TN_DL_LANES(LAST, HALF, BEFORE, LOW, HIGH, SHIFT)                                         \
    "add " LOW ", " LOW ", " BEFORE ", lsr #10\n"                                                 \
    "ubfx " BEFORE ", " LOW ", #0, #21\n" TN_DL_SCALE(BEFORE, SHIFT)                              \
    TN_DW_IF("(" LAST ") * " HALF " == 0", TN_DL_LANE_1(LOW, HIGH, SHIFT))
#define TN_DL_STORE(W, X, AT)                                                                     \
    TN_DW_IF(W " == 0", "strb " X ", [" AT "]\n") TN_DW_IF(W " == 1", "strh " X ", [" AT "]\n")
#define TN_DL_STORE_IF(CONDITION, W, X, AT) TN_DW_IF(CONDITION, TN_DL_STORE(W, X, AT))
#define TN_DL_ADD(D, X, N)                                                                        \
    TN_DW_IF(N " < 4096", "add " D ", " X ", #(" N ")\n .else\n"                                  \
             "movw " D ", #(" N ")\n add " D ", " D ", " X "\n")
/* N outputs from r10 on, P bytes apart; stores are next to each other, which is fastest. */
#define TN_DL_STORES(N, P, W, P0, P1, P2, P3, P4)                                                 \
    TN_DL_STORE(W, P0, "r10") TN_DL_STORE_IF(N " > 1", W, P1, "r10, #(" P ")")                    \
    TN_DL_STORE_IF(N " > 2", W, P2, "r10, #(2*" P ")") TN_DL_STORE_IF(N " > 3", W, P3, "lr")      \
    TN_DL_STORE_IF(N " > 4", W, P4, "lr, #(" P ")")
#define TN_DL_END_OF(A, N, FIRST, HALF, LAST, P, W, SHIFT)                                        \
    "ldr r2, [r1, #8]\n ldr r3, [r1, #12]\n"                                                      \
    TN_DW_IF(FIRST " == 1", "ldr r10, " TN_DL_AT_OUT "\n .else\n ldr r10, " TN_DL_AT_PIXEL "\n"   \
             "ubfx r12, r4, #0, #21\n" TN_DL_SCALE("r12", SHIFT))                                 \
    TN_DW_IF("(" A " == 1) * " HALF " == 0", TN_DL_LANE_1("r4", "r5", SHIFT))                     \
    TN_DW_IF(A " > 1", TN_DL_LANES(A " == 2", HALF, "r5", "r6", "r7", SHIFT))                     \
    TN_DW_IF(A " > 2", TN_DL_LANES(A " == 3", HALF, "r7", "r8", "r9", SHIFT))                     \
    TN_DW_IF(N " > 3", TN_DL_ADD("lr", "r10", "3*" P))                                            \
    TN_DW_IF(LAST " == 0", TN_DL_ADD("r3", "r10", "(6-" FIRST ")*" P))                            \
    TN_DW_IF(FIRST " == 1",                                                                       \
             "add r2, r10, #(1+" W ")\n" TN_DL_STORES(N, P, W, "r4", "r5", "r6", "r7", "r8")      \
             "str r2, " TN_DL_AT_OUT "\n .else\n"                                                 \
             TN_DL_STORES(N, P, W, "r12", "r4", "r5", "r6", "r7")                                 \
             TN_DL_STORE_IF(N " > 5", W, "r8", "lr, #(2*" P ")"))                                 \
    TN_DW_IF(LAST " == 0", "str r9, " TN_DL_AT_CARRY "\n str r3, " TN_DL_AT_PIXEL "\n")
#define TN_DL_END(A, FIRST, HALF, LAST, C, W, SHIFT)                                              \
    TN_DL_END_OF(A, "(2*" A "-" FIRST "-" HALF ")", FIRST, HALF, LAST, "(" C "*(1+" W "))", W,    \
                 SHIFT)

#define TN_DL_TILE(K, S, H, C, Z, A, FIRST, HALF, LAST, W, SHIFT)                                 \
    TN_DL_BEGIN(A, FIRST, Z, TN_DL_ENTER)                                                         \
    TN_DW_IF(K S " == 51", ".irp row, 0, 1, 2, 3, 4\n3\\row:\n"                                   \
             TN_DL_ROW_51(A, "(" A "-" HALF ")", "\\row", H) ".endr\n")                           \
    TN_DW_IF(K S " == 52", ".irp row, 0, 1, 2, 3, 4\n3\\row:\n"                                   \
             TN_DL_ROW_52(A, "(" A "-" HALF ")", "\\row", H) ".endr\n")                           \
    TN_DW_IF(K S " == 71", ".irp row, 0, 1, 2, 3, 4, 5, 6\n3\\row:\n"                             \
             TN_DL_ROW_71(A, "(" A "-" HALF ")", "\\row", H) ".endr\n")                           \
    TN_DW_IF(K S " == 72", ".irp row, 0, 1, 2, 3, 4, 5, 6\n3\\row:\n"                             \
             TN_DL_ROW_72(A, "(" A "-" HALF ")", "\\row", H) ".endr\n")                           \
    TN_DW_IF(K " == 5", "35: 36:\n")                                                              \
    TN_DW_IF(Z " == 1", "ldr r2, " TN_DL_AT_TAPS "\n add r1, r1, r2\n")                           \
    TN_DL_END(A, FIRST, HALF, LAST, C, W, SHIFT)

/* All tiles of a row: three accumulators each, the last up to three. */
#define TN_DL_TILES(K, S, OW, H, C, Z, W, SHIFT)                                                  \
    TN_DW_IF(OW " < 6",                                                                           \
             TN_DL_TILE(K, S, H, C, Z, "(" OW "/2+1)", "1", "(1-" OW "%2)", "1", W, SHIFT)        \
             ".else\n"                                                                            \
             TN_DL_TILE(K, S, H, C, Z, "3", "1", "0", "0", W, SHIFT)                              \
             "add r0, r0, #(48*" H "*" S ")\n"                                                    \
             TN_DW_IF(OW " >= 12",                                                                \
                 "mov r12, #(" OW "/6-1)\n"                                                       \
                 "10: str r12, " TN_DL_AT_TILES "\n"                                              \
                 TN_DL_TILE(K, S, H, C, Z, "3", "0", "0", "0", W, SHIFT)                          \
                 "ldr r12, " TN_DL_AT_TILES "\n add r0, r0, #(48*" H "*" S ")\n"                  \
                 "subs r12, r12, #1\n bne.w 10b\n")                                               \
             TN_DL_TILE(K, S, H, C, Z, "(" OW "/2%3+1)", "0", "(1-" OW "%2)", "1", W, SHIFT)      \
             "ldr r2, " TN_DL_AT_ROW "\n and r0, r0, #12\n add r0, r0, r2\n")

#define TN_DL_BAND(K, S, OW, L, R, H, C, Z, SHIFT, W)                                             \
    "push {r4-r11, lr}\n sub sp, #" TN_DL_FRAME "\n"                                              \
    "ldm r0, {r1-r10}\n mov r11, #0\n stm sp, {r1-r11}\n"                                         \
    "20:\n" TN_DL_FILL(S, L, R, H, C, Z)                                                          \
    "ldr r0, " TN_DL_AT_X "\n ldr r2, " TN_DL_AT_OUTS "\n"                                        \
    "8: str r0, " TN_DL_AT_NEXT "\n ldm r2!, {r10, r11, r12}\n"                                   \
    "ldr r3, " TN_DL_AT_CHANNEL "\n ldr r1, " TN_DL_AT_BLOCKS "\n"                                \
    "str r2, " TN_DL_AT_ROW_OUT "\n str r12, " TN_DL_AT_ENTRY "\n"                                \
    "add r10, r10, r3, lsl #" W "\n sub r0, r0, r11, lsl #4\n"                                    \
    "mov r2, #(2*" K "+2)\n mul r11, r11, r2\n str r10, " TN_DL_AT_OUT "\n"                       \
    "str r11, " TN_DL_AT_TAPS "\n str r0, " TN_DL_AT_ROW "\n"                                     \
    "9:\n" TN_DL_TILES(K, S, OW, H, C, Z, W, SHIFT)                                               \
    "add r0, r0, #4\n add r1, r1, #(16+2*" K "*(" K "+1))\n"                                      \
    "tst r0, #12\n bne.w 9b\n" /* the next channel */                                             \
    "ldr r0, " TN_DL_AT_NEXT "\n ldr r2, " TN_DL_AT_ROW_OUT "\n"                                  \
    "ldr r3, " TN_DL_AT_ROW_STEP "\n ldr r4, " TN_DL_AT_X_STOP "\n"                               \
    "add r0, r0, r3\n cmp r0, r4\n bne.w 8b\n"                                                    \
    "str r1, " TN_DL_AT_BLOCKS "\n ldr r2, " TN_DL_AT_CHANNEL "\n ldr r3, " TN_DL_AT_C "\n"       \
    "add r2, r2, #4\n str r2, " TN_DL_AT_CHANNEL "\n cmp r2, r3\n bne.w 20b\n"                    \
    "add sp, #" TN_DL_FRAME "\n pop {r4-r11, pc}\n"

#define TN_DEPTHWISE_LANES_RUN(K, S, OW, L, R, H, C, Z, SHIFT, W)                                 \
    static TN_NOINLINE TN_DW_NAKED void                                                           \
        tn_depthwise_lanes_##K##_##S##_##OW##_##L##_##R##_##H##_##C##_##Z##_##SHIFT##_##W(        \
            const tn_depthwise_lanes_band *b TN_UNUSED) {                                         \
        __asm__(TN_DL_BAND(#K, #S, #OW, #L, #R, #H, #C, #Z, #SHIFT, #W));                         \
    }

#endif
