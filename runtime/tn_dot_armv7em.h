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

#include "tn_assembly.h"
#include "tn_dot.h"

#if TN_DSP_NATIVE

/* of a tn_tile, in bytes */
#define TN_TILE_OUT_C "4"
#define TN_TILE_GROUPS "8"
#define TN_TILE_ZERO_POINT "12"
#define TN_TILE_LOW "16"
#define TN_TILE_HIGH "20"
#define TN_TILE_FAST "24"
#define TN_TILE_CLAMP "28"

/* of a tn_pairs */
#define TN_PAIRS_COLUMNS "0"
#define TN_PAIRS_OUT "4"
#define TN_PAIRS_APART "8"
#define TN_PAIRS_N "12"
#define TN_PAIRS_RUNS "16"
#define TN_PAIRS_BASE "20"
#define TN_PAIRS_NEXT "24"
#define TN_PAIRS_GATHERED "28"
#define TN_PAIRS_WIDTH "32"
#define TN_PAIRS_SKIPS "36"
#define TN_PAIRS_LAST "40"
#define TN_PAIRS_LASTS "44"
#define TN_PAIRS_LAST_WORDS "48"
#define TN_PAIRS_LAST_COLUMNS "52"

/* the stack frame: words at these bytes */
#define TN_FRAME "44"
#define TN_AT_X "[sp, #0]"       /* where x begins, less 4 and what a late entry skips */
#define TN_AT_STEP "[sp, #4]"    /* from 4 before a block's end to 4 before the next weights, less
                                    what a late entry skips. Both are others in tn_tile_2 */
#define TN_AT_ENTRY "[sp, #8]"   /* of the first turn */
#define TN_AT_END "[sp, #12]"    /* x after the last turn; less 1 unless requantisation is folded */
#define TN_AT_OUT "[sp, #16]"    /* outputs of pixel 0 */
#define TN_AT_OTHER "[sp, #20]"  /* from them to those of pixel 1, less 4 */
#define TN_AT_LAST "[sp, #24]"   /* where pixel 0's outputs end */
#define TN_AT_TILE "[sp, #28]"
#define TN_AT_PAIRS "[sp, #32]"
#define TN_AT_SKIP "[sp, #36]" /* from where pixel 0's outputs end to those of the next pair */
#define TN_AT_ROWS "[sp, #40]" /* of the kernel, while taps are gathered */

/* What is behind a block's weights, from r0, 4 before it; and the next block's sums. */
#define TN_AT_SUMS "28"

/* Fills the frame but for outputs. In: r0 the tile, r1 where x begins, r4 groups. X_LOG: log2 of
 * the bytes of x in a group; W: bytes of weights in it; GROUP: bytes of its code, at 2f; TURN,
 * MOVED: groups of a turn, and after how many the pointers move, less 1. Out: r3 as TN_AT_END. */
#define TN_TILE_BEGIN(X_LOG, W, GROUP, TURN, MOVED)                                                \
    "str r0, " TN_AT_TILE "\n ldr r6, [r0, #" TN_TILE_FAST "]\n"                                   \
    "rsb r5, r4, #0\n and r5, r5, #" TURN "\n"                                                     \
    "sub r1, #4\n add r3, r1, r4, lsl #" X_LOG "\n cmp r6, #2\n it ne\n subne r3, #1\n"            \
    "str r3, " TN_AT_END "\n"                                                                      \
    "and r7, r5, #" MOVED "\n sub r6, r1, r7, lsl #" X_LOG "\n str r6, " TN_AT_X "\n"              \
    "mov r6, #" W "\n mul r6, r7, r6\n rsb r6, r6, #40\n str r6, " TN_AT_STEP "\n"                 \
    "adr.w r6, 2f\n mov r7, #" GROUP "\n mla r6, r5, r7, r6\n add r6, #1\n"                        \
    "str r6, " TN_AT_ENTRY "\n"

#define TN_TILE_RETURN "add sp, #" TN_FRAME "\n pop {r4-r11, pc}\n"

/* The next block's first sums, and where its loop is entered in lr. */
#define TN_TILE_SUMS                                                                               \
    "ldr r4, [r0, #28]\n ldr r5, [r0, #32]\n ldr r6, [r0, #36]\n ldr r7, [r0, #40]\n"              \
    "ldr r1, " TN_AT_X "\n ldr r12, " TN_AT_STEP "\n ldr lr, " TN_AT_ENTRY "\n"                    \
    "add r0, r0, r12\n"

/* r2 and r3 are multiplier and right shift: `sum` as tn_requantize_fast with addend lr,
 * saturated. */
#define TN_TILE_OUTPUT(SUM)                                                                        \
    "add r12, " SUM ", " SUM ", asr #31\n smmlar " SUM ", " SUM ", r2, r12\n"                      \
    "asrs " SUM ", " SUM ", r3\n adc " SUM ", " SUM ", lr\n ssat " SUM ", #8, " SUM "\n"
#define TN_TILE_SECOND(A, AB) "sub " AB ", " AB ", " A "\n asr " AB ", " AB ", #8\n"

/* Folded sums, multiplied: as tn_requantize_folded and tn_requantize_folded_256 saturate them. */
#define TN_TILE_FOLDED(A, AB, C, CD)                                                               \
    "ssat " A ", #8, " A ", asr #3\n ssat " AB ", #8, " AB ", asr #11\n"                           \
    "ssat " C ", #8, " C ", asr #3\n ssat " CD ", #8, " CD ", asr #11\n"

/* Four bytes become a word in the first register. */
#define TN_TILE_PACK(A, B, C, D)                                                                   \
    "bfi " A ", " B ", #8, #8\n bfi " A ", " C ", #16, #8\n bfi " A ", " D ", #24, #8\n"

/* Into r5 and r6, for TN_TILE_LIMIT: four times the least and greatest byte of the tile in r2. */
#define TN_TILE_LIMITS                                                                             \
    "ldrb r5, [r2, #" TN_TILE_LOW "]\n ldrb r6, [r2, #" TN_TILE_HIGH "]\n"                         \
    "mov r7, #0x01010101\n mul r5, r5, r7\n mul r6, r6, r7\n"

/* Bytes limited to those of r5 and r6. */
#define TN_TILE_LIMIT(V)                                                                           \
    "ssub8 r7, " V ", r5\n sel " V ", " V ", r5\n"                                                 \
    "ssub8 r7, " V ", r6\n sel " V ", r6, " V "\n"

/* ---- two pixels ------------------------------------------------------------------------------ */

/* Sums a, ab, c, cd: r4 to r7 of pixel 0, r8 to r11 of pixel 1. 16 products of a pair of k: of
 * words of weights in r2 and r3 and a word of each column. */
#define TN_TILE_2_MACS(X, OTHER)                                                                   \
    "smlad r5, " X ", r2, r5\n smlad r9, " OTHER ", r2, r9\n sxtb16.w r2, r2\n"                    \
    "smlad r4, " X ", r2, r4\n smlad r8, " OTHER ", r2, r8\n"                                      \
    "smlad r7, " X ", r3, r7\n smlad r11, " OTHER ", r3, r11\n sxtb16.w r3, r3\n"                  \
    "smlad r6, " X ", r3, r6\n smlad r10, " OTHER ", r3, r10\n"

/* r0, r1 are 4 before weights and x. One pair of k, 15 cycles. W and X: bytes of the first word
 * and the second; the last words of eight groups move the pointers. */
#define TN_TILE_2_PAIR(W, X, W_LAST, X_LAST)                                                       \
    "ldr.w r2, [r0, #" W "]\n ldr.w r3, [r0, #" W_LAST "\n"                                        \
    "ldr.w r12, [r1, #" X "]\n ldr.w lr, [r1, #" X_LAST "\n" TN_TILE_2_MACS("r12", "lr")
#define TN_TILE_2_GROUP(A, B, C, D)                                                                \
    TN_TILE_2_PAIR(A, A, B "]", B "]") TN_TILE_2_PAIR(C, C, D "]", D "]")

#define TN_TILE_2_EIGHT                                                                            \
    TN_TILE_2_GROUP("4", "8", "12", "16") TN_TILE_2_GROUP("20", "24", "28", "32")                  \
    TN_TILE_2_GROUP("36", "40", "44", "48") TN_TILE_2_GROUP("52", "56", "60", "64")                \
    TN_TILE_2_GROUP("68", "72", "76", "80") TN_TILE_2_GROUP("84", "88", "92", "96")                \
    TN_TILE_2_GROUP("100", "104", "108", "112")                                                    \
    TN_TILE_2_PAIR("116", "116", "120]", "120]")                                                   \
    TN_TILE_2_PAIR("124", "124", "128]!", "128]!")

/* The columns of a pair are in place. */
#define TN_TILE_2_BLOCKS                                                                           \
    "ldr r0, " TN_AT_TILE "\n ldr r0, [r0]\n sub r0, #" TN_AT_SUMS "\n b 1f\n"

/* Four bytes of each pixel, from r1 and r2, become two pairs of both columns at r0. */
#define TN_GATHER_FOUR                                                                             \
    "ldr r8, [r1], #4\n ldr r10, [r2], #4\n sxtb16 r3, r8\n sxtb16 r7, r10\n"                      \
    "sxtb16 r8, r8, ror #8\n sxtb16 r9, r10, ror #8\n stmia r0!, {r3, r7, r8, r9}\n"
/* The same of eight bytes. */
#define TN_GATHER_EIGHT                                                                            \
    "ldr r8, [r1], #4\n ldr r9, [r2], #4\n ldr r12, [r1], #4\n ldr lr, [r2], #4\n"                 \
    "sxtb16 r3, r8\n sxtb16 r7, r9\n sxtb16 r8, r8, ror #8\n sxtb16 r9, r9, ror #8\n"              \
    "sxtb16 r10, r12\n sxtb16 r11, lr\n sxtb16 r12, r12, ror #8\n sxtb16 lr, lr, ror #8\n"         \
    "stmia r0!, {r3, r7-r12, lr}\n"

/* The columns of the next pair: runs from r1 and r2, `next` bytes apart, at r0; r4: what is skipped
 * behind a run, r5: runs, r6: bytes of a run. Then on to the blocks. */
#define TN_GATHER                                                                                  \
    "10: ldr r12, " TN_AT_PAIRS "\n ldr r5, [r12, #" TN_PAIRS_RUNS "]\n"                           \
    "ldr r1, [r12, #" TN_PAIRS_BASE "]\n ldr r3, [r12, #" TN_PAIRS_NEXT "]\n"                      \
    "ldr r0, [r12, #" TN_PAIRS_GATHERED "]\n ldr r6, [r12, #" TN_PAIRS_WIDTH "]\n"                 \
    "ldr r4, [r12, #" TN_PAIRS_SKIPS "]\n ldr lr, [r12, #" TN_PAIRS_LAST "]\n"                     \
    "add r2, r1, r3\n add r7, r2, r3\n str r7, [r12, #" TN_PAIRS_BASE "]\n"                        \
    "cmp lr, #0\n bne.w 17f\n"                                                                    \
    "11: lsls r3, r6, #29\n bpl 12f\n" TN_GATHER_FOUR                                              \
    "12: subs r6, #8\n bmi 14f\n"                                                                  \
    "13: " TN_GATHER_EIGHT "subs r6, #8\n bpl 13b\n"                                               \
    "14: subs r5, #1\n bne 15f\n"                                                                  \
    "16: " TN_TILE_2_BLOCKS                                                                        \
    "15: ldr r7, [r4], #4\n ldr r12, " TN_AT_PAIRS "\n ldr r6, [r12, #" TN_PAIRS_WIDTH "]\n"       \
    "add r1, r1, r7\n add r2, r2, r7\n b 11b\n"                                                    \
    "17: " TN_GATHER_LAST "b 16b\n"

/* The same of runs with a byte behind each; lr: where these go, r12: the pairs. */
#define TN_GATHER_LAST                                                                             \
    "add r11, r1, r6\n"                                                                            \
    "18: " TN_GATHER_FOUR "cmp r1, r11\n bne 18b\n"                                                \
    "ldrb r3, [r1]\n ldrb r7, [r2]\n ldr r8, [r4], #4\n orr r3, r3, r7, lsl #8\n"                 \
    "strh r3, [lr], #2\n add r1, r1, r8\n add r2, r2, r8\n subs r5, #1\n bne 17b\n"               \
    "ldr r1, [r12, #" TN_PAIRS_LASTS "]\n ldr r5, [r12, #" TN_PAIRS_LAST_WORDS "]\n"               \
    "ldr r0, [r12, #" TN_PAIRS_LAST_COLUMNS "]\n"                                                  \
    "19: ldr r7, [r1], #4\n sxtb16 r3, r7\n sxtb16 r7, r7, ror #8\n stmia r0!, {r3, r7}\n"         \
    "subs r5, #1\n bne 19b\n"

/* Of tn_tile_2: the frame. Out: r1 where x begins, r4 groups, r2 runs. */
#define TN_TILE_2_BEGIN                                                                            \
    "push {r4-r11, lr}\n sub sp, #" TN_FRAME "\n str r1, " TN_AT_PAIRS "\n"                        \
    "ldr r3, [r1, #" TN_PAIRS_OUT "]\n ldr r2, [r1, #" TN_PAIRS_APART "]\n"                        \
    "ldr r5, [r0, #" TN_TILE_OUT_C "]\n ldr r4, [r0, #" TN_TILE_GROUPS "]\n"                       \
    "ldr r7, [r1, #" TN_PAIRS_COLUMNS "]\n"                                                        \
    "add r6, r3, r5\n rsb r5, r5, r2, lsl #1\n sub r2, #4\n str r3, " TN_AT_OUT "\n"               \
    "str r6, " TN_AT_LAST "\n str r5, " TN_AT_SKIP "\n str r2, " TN_AT_OTHER "\n"                  \
    "ldr r2, [r1, #" TN_PAIRS_RUNS "]\n mov r1, r7\n"

/* Behind the loop at 2: turns; outputs, of folded sums first, of others at 3, of one to three
 * channels at 5; the next block at 1, FIRST: its first sums and where the loop is entered in lr;
 * the next pair, gathered at 10. */
#define TN_TILE_2_END(FIRST)                                                                       \
    "ldr r2, " TN_AT_END "\n cmp r1, r2\n blo 2b\n bhi.w 3f\n"                                     \
    "ldr r2, [r0, #4]\n ldr r3, [r0, #8]\n ldr r12, [r0, #12]\n ldr lr, [r0, #16]\n"               \
    "ldr r1, [r0, #20]\n"                                                                          \
    "sub r5, r5, r4\n sub r9, r9, r8\n sub r7, r7, r6\n sub r11, r11, r10\n"                       \
    "smmla r4, r4, r2, r3\n smmla r8, r8, r2, r3\n smmul r5, r5, r12\n smmul r9, r9, r12\n"        \
    "smmla r6, r6, lr, r1\n smmla r10, r10, lr, r1\n"                                              \
    "ldr r2, [r0, #24]\n ldr r3, " TN_AT_OUT "\n ldr r12, " TN_AT_OTHER "\n"                       \
    "ldr lr, " TN_AT_LAST "\n smmul r7, r7, r2\n smmul r11, r11, r2\n"                             \
    TN_TILE_FOLDED("r4", "r5", "r6", "r7") TN_TILE_FOLDED("r8", "r9", "r10", "r11")                \
    TN_TILE_PACK("r4", "r5", "r6", "r7") TN_TILE_PACK("r8", "r9", "r10", "r11")                    \
    "adds r3, #4\n cmp r3, lr\n bhi 5f\n"                                                          \
    "str r4, [r3, #-4]\n str r8, [r3, r12]\n str r3, " TN_AT_OUT "\n beq 6f\n"                     \
    "1:\n" FIRST "bx lr\n"                                                                         \
    "3:\n"                                                                                         \
    TN_TILE_SECOND("r4", "r5") TN_TILE_SECOND("r6", "r7")                                          \
    TN_TILE_SECOND("r8", "r9") TN_TILE_SECOND("r10", "r11")                                        \
    "ldr r1, " TN_AT_TILE "\n ldr lr, [r1, #" TN_TILE_ZERO_POINT "]\n"                             \
    "ldr r2, [r0, #4]\n ldrb r3, [r0, #20]\n" TN_TILE_OUTPUT("r4") TN_TILE_OUTPUT("r8")            \
    "ldr r2, [r0, #8]\n ldrb r3, [r0, #21]\n" TN_TILE_OUTPUT("r5") TN_TILE_OUTPUT("r9")            \
    "ldr r2, [r0, #12]\n ldrb r3, [r0, #22]\n" TN_TILE_OUTPUT("r6") TN_TILE_OUTPUT("r10")          \
    "ldr r2, [r0, #16]\n ldrb r3, [r0, #23]\n" TN_TILE_OUTPUT("r7") TN_TILE_OUTPUT("r11")          \
    TN_TILE_PACK("r4", "r5", "r6", "r7") TN_TILE_PACK("r8", "r9", "r10", "r11")                    \
    "mov r2, r1\n ldr r1, [r2, #" TN_TILE_CLAMP "]\n ldr r3, " TN_AT_OUT "\n"                      \
    "ldr r12, " TN_AT_OTHER "\n ldr lr, " TN_AT_LAST "\n cbz r1, 4f\n"                             \
    TN_TILE_LIMITS TN_TILE_LIMIT("r4") TN_TILE_LIMIT("r8")                                         \
    "4: adds r3, #4\n cmp r3, lr\n bhi 5f\n"                                                       \
    "str r4, [r3, #-4]\n str r8, [r3, r12]\n str r3, " TN_AT_OUT "\n bne 1b\n"                     \
    "6: ldr r2, " TN_AT_PAIRS "\n ldr r1, [r2, #" TN_PAIRS_N "]\n"                                 \
    "ldr lr, [r2, #" TN_PAIRS_APART "]\n ldr r12, " TN_AT_SKIP "\n"                                \
    "add lr, r3, lr, lsl #1\n add r3, r3, r12\n subs r1, #1\n"                                     \
    "str r1, [r2, #" TN_PAIRS_N "]\n str r3, " TN_AT_OUT "\n str lr, " TN_AT_LAST "\n"             \
    "bne.w 10b\n" TN_TILE_RETURN                                                                   \
    "5: subs r3, #4\n adds r12, #4\n"                                                              \
    "7: strb r8, [r3, r12]\n strb r4, [r3], #1\n lsr r4, r4, #8\n lsr r8, r8, #8\n"                \
    "cmp r3, lr\n bne 7b\n b 6b\n"

/* A block's first group, apart from the loop: its sums are those of both pixels. r0 and r1 are then
 * TN_AT_STEP less than where the second group wants them. */
#define TN_TILE_2_FIRST                                                                            \
    "ldr r4, [r0, #28]\n ldr r5, [r0, #32]\n ldr r6, [r0, #36]\n ldr r7, [r0, #40]\n"              \
    "ldr r2, [r0, #44]\n ldr r3, [r0, #48]\n ldr r1, " TN_AT_X "\n"                                \
    "ldr r12, [r1, #44]\n ldr lr, [r1, #48]\n"                                                     \
    "smlad r9, lr, r2, r5\n smlad r5, r12, r2, r5\n sxtb16 r2, r2\n"                               \
    "smlad r8, lr, r2, r4\n smlad r4, r12, r2, r4\n"                                               \
    "smlad r11, lr, r3, r7\n smlad r7, r12, r3, r7\n sxtb16 r3, r3\n"                              \
    "smlad r10, lr, r3, r6\n smlad r6, r12, r3, r6\n"                                              \
    "ldr r2, [r0, #52]\n ldr r3, [r0, #56]\n ldr r12, [r1, #52]\n ldr lr, [r1, #56]\n"             \
    TN_TILE_2_MACS("r12", "lr")                                                                    \
    "ldr r12, " TN_AT_STEP "\n ldr lr, " TN_AT_ENTRY "\n"                                          \
    "add r0, r0, r12\n add r1, r1, r12\n"

/* All channels of pairs of pixels. */
#define tn_tile_2 TN_VARIANT(tn_tile_2)
TN_SHARED TN_ASSEMBLY void tn_tile_2(const tn_tile *t TN_UNUSED, tn_pairs *pairs TN_UNUSED) {
    __asm__(TN_TILE_2_BEGIN "add r1, #16\n subs r4, #1\n" /* the loop is without the first group */
            TN_TILE_BEGIN("4", "16", "112", "15", "7")
            "cmp r4, #0\n it eq\n addeq r6, #1792\n str r6, " TN_AT_ENTRY "\n" /* 16 * 112: none */
            "ldr r6, " TN_AT_STEP "\n add r6, #16\n str r6, " TN_AT_STEP "\n"
            "sub r1, #56\n str r1, " TN_AT_X "\n"
            "cmp r2, #0\n beq.w 16f\n" TN_GATHER
            "2:\n" TN_TILE_2_EIGHT TN_TILE_2_EIGHT TN_TILE_2_END(TN_TILE_2_FIRST));
}

/* ---- one pixel ------------------------------------------------------------------------------- */

/* Sums in r4 to r7, outputs at r2, r3 is the end of x. A group, 20 cycles for 16 products: four
 * words of weights, one of x. */
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
        "push {r4-r11, lr}\n sub sp, #" TN_FRAME "\n ldr r4, [r0, #" TN_TILE_GROUPS "]\n"
        TN_TILE_BEGIN("2", "16", "76", "7", "7")
        "ldr r5, [r0, #" TN_TILE_OUT_C "]\n ldr r0, [r0]\n add r5, r5, r2\n"
        "str r5, " TN_AT_LAST "\n sub r0, #" TN_AT_SUMS "\n b 1f\n"
        "2:\n"
        TN_TILE_1_GROUP("4]", "4", "8", "12", "16]") TN_TILE_1_GROUP("8]", "20", "24", "28", "32]")
        TN_TILE_1_GROUP("12]", "36", "40", "44", "48]")
        TN_TILE_1_GROUP("16]", "52", "56", "60", "64]")
        TN_TILE_1_GROUP("20]", "68", "72", "76", "80]")
        TN_TILE_1_GROUP("24]", "84", "88", "92", "96]")
        TN_TILE_1_GROUP("28]", "100", "104", "108", "112]")
        TN_TILE_1_GROUP("32]!", "116", "120", "124", "128]!")
        "cmp r1, r3\n blo 2b\n bhi.w 3f\n"
        /* folded */
        "ldr r8, [r0, #4]\n ldr r9, [r0, #8]\n ldr r10, [r0, #12]\n ldr r11, [r0, #16]\n"
        "ldr r12, [r0, #20]\n ldr r1, [r0, #24]\n ldr lr, " TN_AT_LAST "\n"
        "sub r5, r5, r4\n sub r7, r7, r6\n smmla r4, r4, r8, r9\n smmul r5, r5, r10\n"
        "smmla r6, r6, r11, r12\n smmul r7, r7, r1\n" TN_TILE_FOLDED("r4", "r5", "r6", "r7")
        TN_TILE_PACK("r4", "r5", "r6", "r7")
        "adds r2, #4\n cmp r2, lr\n bhi 5f\n str r4, [r2, #-4]\n beq 6f\n"
        "1:\n" TN_TILE_SUMS "bx lr\n"
        "3:\n" /* not folded */
        TN_TILE_SECOND("r4", "r5") TN_TILE_SECOND("r6", "r7")
        "mov r11, r2\n mov r10, r3\n"
        "ldr r1, " TN_AT_TILE "\n ldr lr, [r1, #" TN_TILE_ZERO_POINT "]\n"
        "ldr r2, [r0, #4]\n ldrb r3, [r0, #20]\n" TN_TILE_OUTPUT("r4")
        "ldr r2, [r0, #8]\n ldrb r3, [r0, #21]\n" TN_TILE_OUTPUT("r5")
        "ldr r2, [r0, #12]\n ldrb r3, [r0, #22]\n" TN_TILE_OUTPUT("r6")
        "ldr r2, [r0, #16]\n ldrb r3, [r0, #23]\n" TN_TILE_OUTPUT("r7")
        TN_TILE_PACK("r4", "r5", "r6", "r7")
        "mov r2, r1\n ldr r1, [r2, #" TN_TILE_CLAMP "]\n ldr lr, " TN_AT_LAST "\n cbz r1, 4f\n"
        TN_TILE_LIMITS TN_TILE_LIMIT("r4")
        "4: add r2, r11, #4\n mov r3, r10\n cmp r2, lr\n bhi 5f\n str r4, [r2, #-4]\n bne 1b\n"
        "6: " TN_TILE_RETURN
        "5: subs r2, #4\n" /* one to three channels */
        "7: strb r4, [r2], #1\n lsr r4, r4, #8\n cmp r2, lr\n bne 7b\n b 6b\n");
}

#endif
#endif
