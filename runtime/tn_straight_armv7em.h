/* tn_straight_armv7em.h: the straight tiles of tn_straight.h in assembly, for cores with the DSP
 * extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Made by macros for a count of words and the places of x, so all offsets are constants and nothing
 * counts but channels and pixels. 15 cycles a word of k (see tn_dot_armv7em.h) and for each block
 * of four channels by two pixels 49 more, or where x is on the stack, which leaves a register for
 * outputs, 46; some 37 more where requantisation is not folded. codegen/stack.py knows the bytes of
 * stack.
 */
#ifndef TN_STRAIGHT_ARMV7EM_H
#define TN_STRAIGHT_ARMV7EM_H

#include "tn_straight.h"

#if TN_DSP_NATIVE

/* of a tn_straight, in bytes */
#define TN_STRAIGHT_X "4"
#define TN_STRAIGHT_OUT "8"
#define TN_STRAIGHT_OUT_C "12"
#define TN_STRAIGHT_PAIRS "16"
#define TN_STRAIGHT_IN "20"
#define TN_STRAIGHT_ZERO_POINT "24"

/* the stack frame; behind it a pointwise tile has the columns of a pair */
#define TN_STRAIGHT_FRAME "28"
#define TN_ST_OTHER "[sp, #0]"  /* from outputs of pixel 0 to those of pixel 1, less 4 */
#define TN_ST_LAST "[sp, #4]"   /* where pixel 0's outputs end; of a pointwise tile less 4 */
#define TN_ST_BLOCKS "[sp, #8]" /* less 4 */
#define TN_ST_PAIRS "[sp, #12]" /* that are left */
#define TN_ST_IN "[sp, #16]"    /* inputs of the next pair */
#define TN_ST_ZERO_POINT "[sp, #20]"
#define TN_ST_OUT "[sp, #24]" /* outputs of pixel 0 */

#define TN_ST_IF(CONDITION, TEXT) ".if " CONDITION "\n" TEXT ".endif\n"

/* Fills the frame, of `FRAME` bytes. Out: r0 blocks less 4, r1 outputs of pixel 0, r8 x. */
#define TN_STRAIGHT_BEGIN(FRAME)                                                                   \
    "push {r4-r11, lr}\n sub sp, sp, #(" FRAME ")\n"                                               \
    "ldr r8, [r0, #" TN_STRAIGHT_X "]\n ldr r1, [r0, #" TN_STRAIGHT_OUT "]\n"                      \
    "ldr r3, [r0, #" TN_STRAIGHT_OUT_C "]\n ldr r4, [r0, #" TN_STRAIGHT_PAIRS "]\n"                \
    "ldr r5, [r0, #" TN_STRAIGHT_IN "]\n ldr r7, [r0, #" TN_STRAIGHT_ZERO_POINT "]\n"              \
    "ldr r0, [r0]\n sub r0, #4\n add r6, r1, r3\n sub r3, #4\n"                                    \
    "str r1, " TN_ST_OUT "\n str r3, " TN_ST_OTHER "\n str r6, " TN_ST_LAST "\n"                   \
    "str r0, " TN_ST_BLOCKS "\n str r4, " TN_ST_PAIRS "\n"                                         \
    "str r5, " TN_ST_IN "\n str r7, " TN_ST_ZERO_POINT "\n"

/* The first word of k: its sums are those of both pixels. */
#define TN_STRAIGHT_FIRST                                                                          \
    "smlad r9, lr, r2, r5\n smlad r5, r12, r2, r5\n sxtb16 r2, r2\n"                               \
    "smlad r8, lr, r2, r4\n smlad r4, r12, r2, r4\n"                                               \
    "smlad r11, lr, r3, r7\n smlad r7, r12, r3, r7\n sxtb16 r3, r3\n"                              \
    "smlad r10, lr, r3, r6\n smlad r6, r12, r3, r6\n"

/* The sums of a block of N words of k: r0 is 4 before it; words of pixel 0 lie from X0 on at X,
 * STEP bytes apart, and those of pixel 1 D bytes on. */
#define TN_STRAIGHT_SUMS(N, X, X0, STEP, D)                                                        \
    "ldr.w r4, [r0, #4]\n ldr.w r5, [r0, #8]\n ldr.w r6, [r0, #12]\n ldr.w r7, [r0, #16]\n"        \
    "ldr.w r2, [r0, #20]\n ldr.w r3, [r0, #24]\n"                                                  \
    "ldr.w r12, [" X ", #" X0 "]\n ldr.w lr, [" X ", #(" X0 "+" D ")]\n"                           \
    TN_STRAIGHT_FIRST                                                                              \
    ".set .Ltn_k, 1\n .rept " N "-1\n"                                                             \
    "ldr.w r2, [r0, #(20+8*.Ltn_k)]\n ldr.w r3, [r0, #(24+8*.Ltn_k)]\n"                            \
    "ldr.w r12, [" X ", #(" X0 "+" STEP "*.Ltn_k)]\n"                                              \
    "ldr.w lr, [" X ", #(" X0 "+" STEP "*.Ltn_k+" D ")]\n"                                         \
    TN_TILE_2_MACS("r12", "lr") ".set .Ltn_k, .Ltn_k+1\n .endr\n"

/* The last word of a block of N words of k to R; r0 moves to the next block. */
#define TN_STRAIGHT_NEXT(N, R)                                                                     \
    TN_ST_IF(N "<=26", "ldr.w " R ", [r0, #(40+8*" N ")]!\n")                                      \
    TN_ST_IF(N ">26", "ldr.w " R ", [r0, #(40+8*" N ")]\n add r0, r0, #(40+8*" N ")\n")

/* Sums become outputs as tn_requantize_fast has them; r0 moves to the next block. */
#define TN_STRAIGHT_LONG(N)                                                                        \
    TN_TILE_SECOND("r4", "r5") TN_TILE_SECOND("r6", "r7")                                          \
    TN_TILE_SECOND("r8", "r9") TN_TILE_SECOND("r10", "r11")                                        \
    "ldr.w r2, [r0, #(20+8*" N ")]\n ldrb.w r3, [r0, #(36+8*" N ")]\n"                             \
    "ldr lr, " TN_ST_ZERO_POINT "\n" TN_TILE_OUTPUT("r4") TN_TILE_OUTPUT("r8")                     \
    "ldr.w r2, [r0, #(24+8*" N ")]\n ldrb.w r3, [r0, #(37+8*" N ")]\n"                             \
    TN_TILE_OUTPUT("r5") TN_TILE_OUTPUT("r9")                                                      \
    "ldr.w r2, [r0, #(28+8*" N ")]\n ldrb.w r3, [r0, #(38+8*" N ")]\n"                             \
    TN_TILE_OUTPUT("r6") TN_TILE_OUTPUT("r10")                                                     \
    "ldr.w r2, [r0, #(32+8*" N ")]\n ldrb.w r3, [r0, #(39+8*" N ")]\n"                             \
    TN_TILE_OUTPUT("r7") TN_TILE_OUTPUT("r11") "add r0, r0, #(40+8*" N ")\n"

#define TN_STRAIGHT_PACK                                                                           \
    TN_TILE_PACK("r4", "r5", "r6", "r7") TN_TILE_PACK("r8", "r9", "r10", "r11")

/* ---- of a strip ------------------------------------------------------------------------------ */

/* Sums become outputs; r12, r2, r3 become TN_ST_OUT, TN_ST_OTHER, TN_ST_LAST. */
#define TN_STRIP_OUTPUTS_0(N)                                                                      \
    "ldr.w r2, [r0, #(20+8*" N ")]\n ldr.w r3, [r0, #(24+8*" N ")]\n"                              \
    "ldr.w r12, [r0, #(28+8*" N ")]\n ldr.w lr, [r0, #(32+8*" N ")]\n"                             \
    "sub r5, r5, r4\n sub r9, r9, r8\n sub r7, r7, r6\n sub r11, r11, r10\n"                       \
    "smmla r4, r4, r2, r3\n smmla r8, r8, r2, r3\n smmul r5, r5, r12\n smmul r9, r9, r12\n"        \
    "ldr r12, " TN_ST_OUT "\n ldr.w r2, [r0, #(36+8*" N ")]\n" TN_STRAIGHT_NEXT(N, "r3")           \
    "smmla r6, r6, lr, r2\n smmla r10, r10, lr, r2\n smmul r7, r7, r3\n smmul r11, r11, r3\n"      \
    "ldr r2, " TN_ST_OTHER "\n ldr r3, " TN_ST_LAST "\n"                                           \
    TN_TILE_FOLDED("r4", "r5", "r6", "r7") TN_TILE_FOLDED("r8", "r9", "r10", "r11")
#define TN_STRIP_OUTPUTS_1(N)                                                                      \
    TN_STRAIGHT_LONG(N)                                                                            \
    "ldr r12, " TN_ST_OUT "\n ldr r2, " TN_ST_OTHER "\n ldr r3, " TN_ST_LAST "\n"

/* tn_strip_tile_N_D_LONG: r1 is where the words of pixel 0 lie. */
#define TN_STRIP_TILE(N, D, LONG)                                                                  \
    TN_SHARED TN_ASSEMBLY void TN_VARIANT(tn_strip_tile_##N##_##D##_##LONG)(                       \
        const tn_straight *t TN_UNUSED) {                                                          \
        __asm__(TN_STRAIGHT_BEGIN(TN_STRAIGHT_FRAME) "mov r1, r8\n"                                \
                "1: " TN_STRAIGHT_SUMS(#N, "r1", "0", "4", #D) TN_STRIP_OUTPUTS_##LONG(#N)         \
                TN_STRAIGHT_PACK                                                                   \
                "str r4, [r12], #4\n str r8, [r12, r2]\n str r12, " TN_ST_OUT "\n"                 \
                "cmp r12, r3\n bne.w 1b\n"                                                         \
                "ldr r4, " TN_ST_PAIRS "\n ldr r0, " TN_ST_BLOCKS "\n add r1, r1, #(2*" #D ")\n"   \
                "add r12, r12, r2\n add r12, #4\n add r3, r12, r2\n add r3, #4\n"                  \
                "str r12, " TN_ST_OUT "\n str r3, " TN_ST_LAST "\n"                                \
                "subs r4, #1\n str r4, " TN_ST_PAIRS "\n bne.w 1b\n"                               \
                "add sp, #" TN_STRAIGHT_FRAME "\n pop {r4-r11, pc}\n");                            \
    }

/* ---- of a pointwise layer -------------------------------------------------------------------- */

/* Four bytes of k, or eight, of both pixels, of N words, from IN go to r12. */
#define TN_POINTWISE_FOUR(N, IN)                                                                       \
    "ldr.w r4, [" IN ", #.Ltn_k]\n ldr.w r5, [" IN ", #(.Ltn_k+2*" N ")]\n"                                \
    "sxtb16 r6, r4, ror #8\n sxtb16 r7, r5, ror #8\n sxtb16 r4, r4\n sxtb16 r5, r5\n"              \
    "stmia r12!, {r4-r7}\n"
#define TN_POINTWISE_EIGHT(N, IN)                                                                      \
    "ldr.w r4, [" IN ", #.Ltn_k]\n ldr.w r5, [" IN ", #(.Ltn_k+2*" N ")]\n"                                \
    "ldr.w r8, [" IN ", #(.Ltn_k+4)]\n ldr.w r9, [" IN ", #(.Ltn_k+4+2*" N ")]\n"                          \
    "sxtb16 r6, r4, ror #8\n sxtb16 r7, r5, ror #8\n sxtb16 r4, r4\n sxtb16 r5, r5\n"              \
    "sxtb16 r10, r8, ror #8\n sxtb16 r11, r9, ror #8\n sxtb16 r8, r8\n sxtb16 r9, r9\n"            \
    "stmia r12!, {r4-r11}\n"

/* Sums become outputs; r2 becomes TN_ST_OTHER, and the flags tell whether the outputs at r1 are the
 * last ones. */
#define TN_POINTWISE_OUTPUTS_0(N)                                                                  \
    "ldr.w r2, [r0, #(20+8*" N ")]\n ldr.w r3, [r0, #(24+8*" N ")]\n"                              \
    "ldr.w r12, [r0, #(28+8*" N ")]\n ldr.w lr, " TN_ST_LAST "\n"                                  \
    "sub r5, r5, r4\n sub r9, r9, r8\n sub r7, r7, r6\n sub r11, r11, r10\n"                       \
    "smmla r4, r4, r2, r3\n smmla r8, r8, r2, r3\n smmul r5, r5, r12\n smmul r9, r9, r12\n"        \
    "cmp r1, lr\n ldr r2, " TN_ST_OTHER "\n ldr.w r3, [r0, #(32+8*" N ")]\n"                       \
    "ldr.w r12, [r0, #(36+8*" N ")]\n" TN_STRAIGHT_NEXT(N, "lr")                                   \
    "smmla r6, r6, r3, r12\n smmla r10, r10, r3, r12\n smmul r7, r7, lr\n smmul r11, r11, lr\n"    \
    TN_TILE_FOLDED("r4", "r5", "r6", "r7") TN_TILE_FOLDED("r8", "r9", "r10", "r11")
#define TN_POINTWISE_OUTPUTS_1(N)                                                                  \
    TN_STRAIGHT_LONG(N) "ldr r2, " TN_ST_OTHER "\n ldr r3, " TN_ST_LAST "\n cmp r1, r3\n"

/* The inputs of the next pair to the stack, at 2. IN: a register for where they lie. */
#define TN_POINTWISE_GATHER(N, IN)                                                                 \
    "2: ldr.w " IN ", " TN_ST_IN "\n add r12, sp, #" TN_STRAIGHT_FRAME "\n"                        \
    ".set .Ltn_k, 0\n .rept " N "/4\n" TN_POINTWISE_EIGHT(N, IN)                                   \
    ".set .Ltn_k, .Ltn_k+8\n .endr\n"                                                              \
    TN_ST_IF(N "%4", TN_POINTWISE_FOUR(N, IN))                                                     \
    "add.w " IN ", " IN ", #(4*" N ")\n str.w " IN ", " TN_ST_IN "\n"

/* tn_pointwise_tile_N_LONG: of pixels that follow each other, widened two at a time; r1 is where
 * outputs of pixel 0 go. */
#define TN_POINTWISE_TILE(N, LONG)                                                                 \
    TN_SHARED TN_ASSEMBLY void TN_VARIANT(tn_pointwise_tile_##N##_##LONG)(                         \
        const tn_straight *t TN_UNUSED) {                                                          \
        __asm__(TN_STRAIGHT_BEGIN(TN_STRAIGHT_FRAME "+8*" #N)                                      \
                "sub r6, #4\n str r6, " TN_ST_LAST "\n"                                            \
                TN_POINTWISE_GATHER(#N, "r0") "ldr r0, " TN_ST_BLOCKS "\n"                         \
                "1: " TN_STRAIGHT_SUMS(#N, "sp", TN_STRAIGHT_FRAME, "8", "4")                      \
                TN_POINTWISE_OUTPUTS_##LONG(#N) TN_STRAIGHT_PACK                                   \
                "str r4, [r1], #4\n str r8, [r1, r2]\n bne.w 1b\n"                                 \
                "ldr r3, " TN_ST_LAST "\n ldr r4, " TN_ST_PAIRS "\n add r2, #4\n add r1, r1, r2\n" \
                "add r3, r3, r2, lsl #1\n str r3, " TN_ST_LAST "\n"                                \
                "subs r4, #1\n str r4, " TN_ST_PAIRS "\n bne.w 2b\n"                               \
                "add sp, sp, #(" TN_STRAIGHT_FRAME "+8*" #N ")\n pop {r4-r11, pc}\n");             \
    }

/* ---- several blocks a turn ------------------------------------------------------------------- */

/* U blocks of C channels, of folded sums: as TN_STRAIGHT_SUMS and outputs, all places relative to
 * r0 and OUT, the outputs of pixel 0, which LOAD loads. */
#define TN_UNROLLED_BLOCKS(N, X, X0, STEP, D, C, U, OUT, LOAD)                                     \
    ".set .Ltn_b, 0\n .rept " U "\n .set .Ltn_w, .Ltn_b*(40+8*" N ")\n"                            \
    "ldr.w r4, [r0, #(4+.Ltn_w)]\n ldr.w r5, [r0, #(8+.Ltn_w)]\n"                                  \
    "ldr.w r6, [r0, #(12+.Ltn_w)]\n ldr.w r7, [r0, #(16+.Ltn_w)]\n"                                \
    "ldr.w r2, [r0, #(20+.Ltn_w)]\n ldr.w r3, [r0, #(24+.Ltn_w)]\n"                                \
    "ldr.w r12, [" X ", #" X0 "]\n ldr.w lr, [" X ", #(" X0 "+" D ")]\n" TN_STRAIGHT_FIRST         \
    ".set .Ltn_k, 1\n .rept " N "-1\n"                                                             \
    "ldr.w r2, [r0, #(20+8*.Ltn_k+.Ltn_w)]\n ldr.w r3, [r0, #(24+8*.Ltn_k+.Ltn_w)]\n"              \
    "ldr.w r12, [" X ", #(" X0 "+" STEP "*.Ltn_k)]\n"                                              \
    "ldr.w lr, [" X ", #(" X0 "+" STEP "*.Ltn_k+" D ")]\n"                                         \
    TN_TILE_2_MACS("r12", "lr") ".set .Ltn_k, .Ltn_k+1\n .endr\n"                                  \
    ".set .Ltn_w, .Ltn_w+8*" N "\n"                                                                \
    "ldr.w r2, [r0, #(20+.Ltn_w)]\n ldr.w r3, [r0, #(24+.Ltn_w)]\n"                                \
    "ldr.w r12, [r0, #(28+.Ltn_w)]\n ldr.w lr, [r0, #(32+.Ltn_w)]\n"                               \
    "sub r5, r5, r4\n sub r9, r9, r8\n sub r7, r7, r6\n sub r11, r11, r10\n"                       \
    "smmla r4, r4, r2, r3\n smmla r8, r8, r2, r3\n smmul r5, r5, r12\n smmul r9, r9, r12\n"        \
    "ldr.w r2, [r0, #(36+.Ltn_w)]\n ldr.w r3, [r0, #(40+.Ltn_w)]\n" LOAD                           \
    "smmla r6, r6, lr, r2\n smmla r10, r10, lr, r2\n smmul r7, r7, r3\n smmul r11, r11, r3\n"      \
    TN_TILE_FOLDED("r4", "r5", "r6", "r7") TN_TILE_FOLDED("r8", "r9", "r10", "r11")                \
    TN_STRAIGHT_PACK                                                                               \
    "str r4, [" OUT ", #(4*.Ltn_b)]\n str r8, [" OUT ", #(4*.Ltn_b+" C ")]\n"                      \
    ".set .Ltn_b, .Ltn_b+1\n .endr\n"

/* Where a turn is all C channels TN_ST_LAST is where the last pair's outputs end; r1 and r4 are as
 * TN_STRAIGHT_BEGIN leaves them. */
#define TN_UNROLLED_BEGIN(C, U)                                                                    \
    TN_ST_IF("4*" U "==" C, "mov r2, #(2*" C ")\n mla r2, r4, r2, r1\n str r2, " TN_ST_LAST "\n")

/* tn_unrolled_strip_tile_N_D_C_U. */
#define TN_UNROLLED_STRIP_TILE(N, D, C, U)                                                         \
    TN_SHARED TN_ASSEMBLY void TN_VARIANT(tn_unrolled_strip_tile_##N##_##D##_##C##_##U)(           \
        const tn_straight *t TN_UNUSED) {                                                          \
        __asm__(TN_STRAIGHT_BEGIN(TN_STRAIGHT_FRAME) TN_UNROLLED_BEGIN(#C, #U) "mov r1, r8\n"      \
                "1: " TN_UNROLLED_BLOCKS(#N, "r1", "0", "4", #D, #C, #U, "r12",                    \
                                         "ldr r12, " TN_ST_OUT "\n")                               \
                TN_ST_IF("4*" #U "==" #C, "ldr r3, " TN_ST_LAST "\n add r12, r12, #(2*" #C ")\n"   \
                         "add r1, r1, #(2*" #D ")\n cmp r12, r3\n str r12, " TN_ST_OUT "\n"        \
                         "bne.w 1b\n .else\n"                                                      \
                         "ldr r3, " TN_ST_LAST "\n add r12, r12, #(4*" #U ")\n"                    \
                         "add r0, r0, #(" #U "*(40+8*" #N "))\n str r12, " TN_ST_OUT "\n"          \
                         "cmp r12, r3\n bne.w 1b\n"                                                \
                         "ldr r4, " TN_ST_PAIRS "\n ldr r0, " TN_ST_BLOCKS "\n"                    \
                         "add r3, r3, #(2*" #C ")\n str r3, " TN_ST_LAST "\n"                      \
                         "add r1, r1, #(2*" #D ")\n add r12, r12, #" #C "\n"                       \
                         "str r12, " TN_ST_OUT "\n subs r4, #1\n str r4, " TN_ST_PAIRS "\n"        \
                         "bne.w 1b\n")                                                             \
                "add sp, #" TN_STRAIGHT_FRAME "\n pop {r4-r11, pc}\n");                            \
    }

/* tn_unrolled_pointwise_tile_N_C_U. */
#define TN_UNROLLED_POINTWISE_TILE(N, C, U)                                                        \
    TN_SHARED TN_ASSEMBLY void TN_VARIANT(tn_unrolled_pointwise_tile_##N##_##C##_##U)(             \
        const tn_straight *t TN_UNUSED) {                                                          \
        __asm__(TN_STRAIGHT_BEGIN(TN_STRAIGHT_FRAME "+8*" #N) TN_UNROLLED_BEGIN(#C, #U)            \
                TN_POINTWISE_GATHER(#N, "lr")                                                      \
                TN_ST_IF("4*" #U "<" #C, "ldr r0, " TN_ST_BLOCKS "\n")                             \
                "1: " TN_UNROLLED_BLOCKS(#N, "sp", TN_STRAIGHT_FRAME, "8", "4", #C, #U, "r1", "")  \
                TN_ST_IF("4*" #U "==" #C, "ldr r3, " TN_ST_LAST "\n add r1, r1, #(2*" #C ")\n"     \
                         "cmp r1, r3\n bne.w 2b\n .else\n"                                         \
                         "ldr r3, " TN_ST_LAST "\n add r1, r1, #(4*" #U ")\n"                      \
                         "add r0, r0, #(" #U "*(40+8*" #N "))\n cmp r1, r3\n bne.w 1b\n"           \
                         "ldr r4, " TN_ST_PAIRS "\n add r3, r3, #(2*" #C ")\n add r1, r1, #" #C "\n" \
                         "str r3, " TN_ST_LAST "\n subs r4, #1\n str r4, " TN_ST_PAIRS "\n"        \
                         "bne.w 2b\n")                                                             \
                "add sp, sp, #(" TN_STRAIGHT_FRAME "+8*" #N ")\n pop {r4-r11, pc}\n");             \
    }

/* ---- one pixel ------------------------------------------------------------------------------- */

/* The words of k from .Ltn_k on: one, 10 cycles for 8 products, or two, 19 cycles. */
#define TN_SINGLE_WORD                                                                             \
    "ldr.w r2, [r0, #(20+8*.Ltn_k)]\n ldr.w r3, [r0, #(24+8*.Ltn_k)]\n"                            \
    "ldr.w r12, [r1, #(4*.Ltn_k)]\n"                                                               \
    "smlad r5, r12, r2, r5\n sxtb16 r2, r2\n smlad r7, r12, r3, r7\n sxtb16 r3, r3\n"              \
    "smlad r4, r12, r2, r4\n smlad r6, r12, r3, r6\n"
#define TN_SINGLE_WORDS                                                                            \
    "ldr.w r2, [r0, #(20+8*.Ltn_k)]\n ldr.w r3, [r0, #(24+8*.Ltn_k)]\n"                            \
    "ldr.w r10, [r0, #(28+8*.Ltn_k)]\n ldr.w r11, [r0, #(32+8*.Ltn_k)]\n"                          \
    "ldr.w r12, [r1, #(4*.Ltn_k)]\n ldr.w lr, [r1, #(4*.Ltn_k+4)]\n"                               \
    "smlad r5, r12, r2, r5\n sxtb16 r2, r2\n smlad r7, r12, r3, r7\n sxtb16 r3, r3\n"              \
    "smlad r4, r12, r2, r4\n smlad r6, r12, r3, r6\n"                                              \
    "smlad r5, lr, r10, r5\n sxtb16 r10, r10\n smlad r7, lr, r11, r7\n sxtb16 r11, r11\n"          \
    "smlad r4, lr, r10, r4\n smlad r6, lr, r11, r6\n"

/* As TN_STRAIGHT_OUTPUTS, of r4 to r7. */
#define TN_SINGLE_OUTPUTS_0(N)                                                                     \
    "add r0, r0, #(40+8*" N ")\n"                                                                  \
    "ldr r2, [r0, #-20]\n ldr r3, [r0, #-16]\n ldr r10, [r0, #-12]\n"                              \
    "ldr r11, [r0, #-8]\n ldr r12, [r0, #-4]\n ldr lr, [r0]\n"                                     \
    "sub r5, r5, r4\n sub r7, r7, r6\n smmla r4, r4, r2, r3\n smmul r5, r5, r10\n"                 \
    "smmla r6, r6, r11, r12\n smmul r7, r7, lr\n" TN_TILE_FOLDED("r4", "r5", "r6", "r7")
#define TN_SINGLE_OUTPUTS_1(N)                                                                     \
    TN_TILE_SECOND("r4", "r5") TN_TILE_SECOND("r6", "r7")                                          \
    "add r0, r0, #(40+8*" N ")\n ldr lr, [sp]\n"                                                   \
    "ldr r2, [r0, #-20]\n ldrb r3, [r0, #-4]\n"                                                    \
    "ldr r10, [r0, #-16]\n ldrb r11, [r0, #-3]\n"                                                  \
    TN_TILE_OUTPUT("r4") "mov r2, r10\n mov r3, r11\n" TN_TILE_OUTPUT("r5")                        \
    "ldr r2, [r0, #-12]\n ldrb r3, [r0, #-2]\n"                                                    \
    "ldr r10, [r0, #-8]\n ldrb r11, [r0, #-1]\n"                                                   \
    TN_TILE_OUTPUT("r6") "mov r2, r10\n mov r3, r11\n" TN_TILE_OUTPUT("r7")

/* tn_strip_single_N_LONG: of one pixel; outputs at r8 up to r9, the zero point on the stack. */
#define TN_STRIP_SINGLE(N, LONG)                                                                   \
    TN_SHARED TN_ASSEMBLY void TN_VARIANT(tn_strip_single_##N##_##LONG)(                           \
        const tn_straight *t TN_UNUSED) {                                                          \
        __asm__("push {r4-r11, lr}\n"                                                              \
                "ldr r1, [r0, #" TN_STRAIGHT_X "]\n ldr r8, [r0, #" TN_STRAIGHT_OUT "]\n"          \
                "ldr r9, [r0, #" TN_STRAIGHT_OUT_C "]\n"                                           \
                "ldr r2, [r0, #" TN_STRAIGHT_ZERO_POINT "]\n ldr r0, [r0]\n"                       \
                "push {r2}\n add r9, r8\n sub r0, #4\n"                                            \
                "1: ldr.w r4, [r0, #4]\n ldr.w r5, [r0, #8]\n"                                     \
                "ldr.w r6, [r0, #12]\n ldr.w r7, [r0, #16]\n"                                      \
                ".set .Ltn_k, 0\n .rept " #N "/2\n" TN_SINGLE_WORDS                                \
                ".set .Ltn_k, .Ltn_k+2\n .endr\n" TN_ST_IF(#N "%2", TN_SINGLE_WORD)                \
                TN_SINGLE_OUTPUTS_##LONG(#N) TN_TILE_PACK("r4", "r5", "r6", "r7")                  \
                "str r4, [r8], #4\n cmp r8, r9\n bne.w 1b\n add sp, #4\n pop {r4-r11, pc}\n");     \
    }

#endif
#endif
