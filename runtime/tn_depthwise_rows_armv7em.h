/* tn_depthwise_rows_armv7em.h: bands of tn_depthwise_rows.h in assembly, with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One function for each kernel K, stride S, tile T and `positive` P, whole: fourteen registers are
 * in use. For each four channels it has the strip filled, then takes row by row, tile by tile and
 * channel by channel: r0 is the strip at the row, tile and channel, r1 the block less .Ltn_dr
 * bytes, so that the last load of a block moves it on. r4 and the registers behind it are the sums,
 * r12 and lr words of the strip, the rest weights. With few weights and sums r10 and r11 are the
 * outputs and c; TN_DR_SPILLS tells where they are not. codegen/stack.py knows the bytes of stack.
 */
#ifndef TN_DEPTHWISE_ROWS_ARMV7EM_H
#define TN_DEPTHWISE_ROWS_ARMV7EM_H

#include "tn_depthwise_rows.h"
#include "tn_depthwise_rows_sums_armv7em.h"
#include "tn_depthwise_square_armv7em.h"

#if TN_DSP && TN_DSP_NATIVE

/* The frame begins with a tn_depthwise_band_of_rows. */
#define TN_DR_FRAME "88"
#define TN_DR_AT_FILLS "[sp, #0]"
#define TN_DR_AT_FILLS_END "[sp, #4]"
#define TN_DR_AT_PAIR_BYTES "[sp, #8]"
#define TN_DR_AT_SINGLES "[sp, #12]"
#define TN_DR_AT_X_STEP "[sp, #16]"
#define TN_DR_AT_ROW_STEP "[sp, #20]"
#define TN_DR_AT_X_STOP "[sp, #24]"
#define TN_DR_AT_C TN_DW_AT_C /* [sp, #28] */
#define TN_DR_AT_X "[sp, #32]"
#define TN_DR_AT_X_END "[sp, #36]"
#define TN_DR_AT_OUT_STEP "[sp, #40]"
#define TN_DR_AT_X_TAIL "[sp, #44]"
#define TN_DR_AT_OUT_TAIL "[sp, #48]"
#define TN_DR_AT_OUTS "[sp, #52]"
#define TN_DR_AT_BLOCKS "[sp, #56]"
#define TN_DR_AT_FILLER "[sp, #60]"
#define TN_DR_AT_CHANNEL "[sp, #64]"
#define TN_DR_AT_ROW "[sp, #68]"
#define TN_DR_AT_ROW_END "[sp, #72]"
#define TN_DR_AT_ROW_OUT "[sp, #76]"
#define TN_DR_AT_LINK "[sp, #80]"
#define TN_DR_AT_TILE TN_DW_AT_TILE /* [sp, #84] */

/* ---- strips ---------------------------------------------------------------------------------- */

/* Eight words, of two columns of two rows, go into the strip. */
#define TN_DR_PUT                                                                                 \
    TN_DW_WIDEN("r4", "r5", "r6", "r7") TN_DW_WIDEN("r8", "r9", "r10", "r11")                     \
    "stm r12, {r4-r11}\n add r12, r12, #256\n"

/* One column of two rows goes into halves of words, B bytes from where the words begin. */
#define TN_DR_LOAD_ONE                                                                            \
    "ldrsb r4, [r0]\n ldrsb r5, [r0, #1]\n ldrsb r6, [r0, #2]\n ldrsb r7, [r0, #3]\n"             \
    "ldrsb r8, [r1]\n ldrsb r9, [r1, #1]\n ldrsb r10, [r1, #2]\n ldrsb r11, [r1, #3]\n"
#define TN_DR_PUT_ONE(B)                                                                          \
    "strh r4, [r12, #" B "]\n strh r5, [r12, #(" B "+4)]\n strh r6, [r12, #(" B "+8)]\n"          \
    "strh r7, [r12, #(" B "+12)]\n strh r8, [r12, #(" B "+16)]\n"                                 \
    "strh r9, [r12, #(" B "+20)]\n strh r10, [r12, #(" B "+24)]\n strh r11, [r12, #(" B "+28)]\n"

/* Called with the frame of a function below. Rows r0 and r1, columns r3 = c bytes apart, into the
 * strip at r12; r2: the list of such. Two pairs of columns a turn, an odd one before them. */
static TN_NOINLINE TN_UNUSED TN_DW_NAKED void tn_depthwise_rows_fill(void) {
    __asm__("ldr r2, " TN_DR_AT_FILLS "\n ldr r4, " TN_DR_AT_FILLS_END "\n"
            "str lr, " TN_DR_AT_LINK "\n cmp r2, r4\n beq 4f\n"
            "0: ldm r2!, {r0, r1, r12}\n ldr r4, " TN_DR_AT_CHANNEL "\n ldr r3, " TN_DR_AT_C "\n"
            "ldr r5, " TN_DR_AT_SINGLES "\n ldr lr, " TN_DR_AT_PAIR_BYTES "\n"
            "add r0, r0, r4\n add r1, r1, r4\n tst r5, #2\n beq 1f\n"
            TN_DR_LOAD_ONE "add r0, r0, r3\n add r1, r1, r3\n" TN_DR_PUT_ONE("2")
            "add r12, r12, #256\n"
            "1: str r2, " TN_DR_AT_TILE "\n tst lr, #256\n add lr, r12, lr\n beq 2f\n"
            "ldr r4, [r0]\n ldr r6, [r0, r3]\n ldr r8, [r1]\n ldr r10, [r1, r3]\n"
            "add r0, r0, r3, lsl #1\n add r1, r1, r3, lsl #1\n" TN_DR_PUT
            "2: add r2, r3, r3, lsl #1\n cmp r12, lr\n beq 2f\n"
            "1: ldr r4, [r0]\n ldr r6, [r0, r3]\n ldr r8, [r1]\n ldr r10, [r1, r3]\n" TN_DR_PUT
            "ldr r4, [r0, r3, lsl #1]\n ldr r6, [r0, r2]\n"
            "ldr r8, [r1, r3, lsl #1]\n ldr r10, [r1, r2]\n"
            "add r0, r0, r3, lsl #2\n add r1, r1, r3, lsl #2\n" TN_DR_PUT "cmp r12, lr\n bne 1b\n"
            "2: ldr r5, " TN_DR_AT_SINGLES "\n tst r5, #1\n beq 3f\n"
            TN_DR_LOAD_ONE TN_DR_PUT_ONE("0")
            "3: ldr r2, " TN_DR_AT_TILE "\n ldr r4, " TN_DR_AT_FILLS_END "\n"
            "cmp r2, r4\n bne 0b\n"
            "4: ldr pc, " TN_DR_AT_LINK "\n");
}

/* ---- a band ---------------------------------------------------------------------------------- */

/* Whether the outputs and c are not in registers. */
#define TN_DR_SPILLS(K, S, T)                                                                     \
    "(" K " == 3 && " T " > 6) || (" K " != 3 && " T " > 4) || (" K S " == 71)"

/* Bytes or halfwords C apart, as STR and SIZE tell; U and V are free. */
#define TN_DR_STORE(T, OUT, C, U, V, STR, SIZE)                                                   \
    TN_DW_IF(T " > 3", "add " U ", " C ", " C ", lsl #1\n add " V ", " OUT ", " U "\n")           \
    STR " r5, [" OUT ", " C "]\n"                                                                 \
    TN_DW_IF(T " > 2", STR " r6, [" OUT ", " C ", lsl #1]\n")                                     \
    TN_DW_IF(T " > 3", STR " r7, [" V "]\n") TN_DW_IF(T " > 4", STR " r8, [" V ", " C "]\n")      \
    TN_DW_IF(T " > 5", STR " r9, [" V ", " C ", lsl #1]\n")                                       \
    TN_DW_IF(T " > 6", STR " r10, [" OUT ", " U ", lsl #1]\n")                                    \
    TN_DW_IF(T " > 7", STR " r11, [" V ", " C ", lsl #2]\n") STR " r4, [" OUT "], #" SIZE "\n"
#define TN_DR_STORES(T, OUT, C, U, V, W)                                                          \
    TN_DW_IF(W " == 0", TN_DR_STORE(T, OUT, C, U, V, "strb", "1"))                                \
    TN_DW_IF(W " == 1", TN_DR_STORE(T, OUT, C, U, V, "strh", "2"))
#define TN_DR_SPILLED(W)                                                                          \
    "ldr r12, " TN_DR_AT_TILE "\n ldr lr, " TN_DR_AT_C "\n"                                       \
    TN_DW_IF(W " == 1", "lsl lr, lr, #1\n")

/* Sums become outputs: r2 is the multiplier, r3 the addend, lr the shift. */
#define TN_DR_OUTPUTS(K, T, P, W, SPILLS)                                                         \
    TN_DW_IF(P " == 0", "ldr lr, [r1, #(.Ltn_dr+2*" K "*(" K "+1)+12)]\n")                        \
    "ldr r2, [r1, #(.Ltn_dr+2*" K "*(" K "+1)+4)]\n"                                              \
    "ldr r3, [r1, #(.Ltn_dr+2*" K "*(" K "+1)+8)]!\n"                                             \
    TN_DW_IF(P " == 1", TN_DW_IF(SPILLS, TN_DR_SPILLED(W)) TN_DW_EACH(T, TN_DW_POSITIVE))         \
    TN_DW_IF(P " == 0", TN_DW_EACH(T, TN_DW_ANY) TN_DW_IF(SPILLS, TN_DR_SPILLED(W)))              \
    TN_DW_IF(SPILLS, TN_DR_STORES(T, "r12", "lr", "r2", "r3", W) "str r12, " TN_DR_AT_TILE "\n"   \
             ".else\n" TN_DR_STORES(T, "r10", "r11", "r12", "lr", W))

#define TN_DR_BAND(SUMS, K, S, T, P, W, SPILLS)                                                   \
    ".set .Ltn_dr, 8-4*" P "\n push {r4-r11, lr}\n sub sp, #" TN_DR_FRAME "\n"                    \
    "ldm r0!, {r1-r12}\n stm sp, {r1-r12}\n ldm r0, {r1-r4}\n mov r5, #0\n add r6, sp, #48\n"     \
    "sub r3, r3, #.Ltn_dr\n stm r6, {r1-r5}\n"                                                    \
    "20: ldr r0, " TN_DR_AT_FILLER "\n blx r0\n"                                                  \
    "ldr r0, " TN_DR_AT_X "\n ldr r1, " TN_DR_AT_X_END "\n ldr r2, " TN_DR_AT_OUTS "\n"           \
    "8: str r0, " TN_DR_AT_ROW "\n str r1, " TN_DR_AT_ROW_END "\n"                                \
    "ldr r10, [r2], #4\n ldr r3, " TN_DR_AT_CHANNEL "\n ldr r1, " TN_DR_AT_BLOCKS "\n"            \
    "str r2, " TN_DR_AT_ROW_OUT "\n add r10, r10, r3, lsl #" W "\n"                               \
    TN_DW_IF(SPILLS, "str r10, " TN_DR_AT_TILE "\n .else\n ldr r11, " TN_DR_AT_C "\n"             \
             "lsl r11, r11, #" W "\n")                                                            \
    "9:\n" SUMS(T) TN_DR_OUTPUTS(K, T, P, W, SPILLS)                                              \
    "add r0, r0, #4\n tst r0, #12\n bne.w 9b\n" /* the next channel */                            \
    "ldr r2, " TN_DR_AT_ROW_END "\n ldr r3, " TN_DR_AT_OUT_STEP "\n"                              \
    "ldr r12, " TN_DR_AT_X_STEP "\n add r0, r0, r12\n cmp r0, r2\n blo 10f\n bne 11f\n"           \
    "ldr r2, " TN_DR_AT_X_TAIL "\n ldr r3, " TN_DR_AT_OUT_TAIL "\n sub r0, r0, r2\n"              \
    "10: sub r1, r1, #(8*" K "*(" K "+1)+64-16*" P ")\n"                                          \
    TN_DW_IF(SPILLS, "ldr r2, " TN_DR_AT_TILE "\n add r2, r2, r3\n str r2, " TN_DR_AT_TILE "\n"   \
             ".else\n add r10, r10, r3\n")                                                        \
    "b.w 9b\n"                                                                                    \
    "11: mov r5, r1\n ldr r0, " TN_DR_AT_ROW "\n ldr r1, " TN_DR_AT_ROW_END "\n"                  \
    "ldr r2, " TN_DR_AT_ROW_OUT "\n ldr r3, " TN_DR_AT_ROW_STEP "\n ldr r4, " TN_DR_AT_X_STOP "\n"\
    "add r0, r0, r3\n add r1, r1, r3\n cmp r0, r4\n bne.w 8b\n"                                   \
    "str r5, " TN_DR_AT_BLOCKS "\n ldr r2, " TN_DR_AT_CHANNEL "\n ldr r3, " TN_DR_AT_C "\n"       \
    "add r2, r2, #4\n str r2, " TN_DR_AT_CHANNEL "\n cmp r2, r3\n bne.w 20b\n"                    \
    "add sp, #" TN_DR_FRAME "\n pop {r4-r11, pc}\n"

#define TN_DR_FUNCTION(K, S, T, P, W)                                                             \
    static TN_NOINLINE TN_UNUSED TN_DW_NAKED void tn_depthwise_rows_##K##S##T##P##W(              \
        const tn_depthwise_band_of_rows *b TN_UNUSED) {                                           \
        __asm__(TN_DR_BAND(TN_DR_SUMS_##K##S, #K, #S, #T, #P, #W, TN_DR_SPILLS(#K, #S, #T)));     \
    }
#define TN_DR_CASE(K, S, T, P, W)                                                                 \
    case 1000 * W + 100 * S + 10 * T + P:                                                         \
        tn_depthwise_rows_##K##S##T##P##W(b);                                                     \
        break;
#define TN_DR_UP_TO_6(TEXT, K, S, P, W)                                                           \
    TEXT(K, S, 2, P, W) TEXT(K, S, 3, P, W) TEXT(K, S, 4, P, W) TEXT(K, S, 5, P, W)               \
    TEXT(K, S, 6, P, W)
#define TN_DR_UP_TO_8(TEXT, K, S, P, W)                                                           \
    TN_DR_UP_TO_6(TEXT, K, S, P, W) TEXT(K, S, 7, P, W) TEXT(K, S, 8, P, W)
#define TN_DR_FORMS(TILES, TEXT, K, S)                                                            \
    TILES(TEXT, K, S, 0, 0) TILES(TEXT, K, S, 1, 0) TILES(TEXT, K, S, 0, 1) TILES(TEXT, K, S, 1, 1)
#define TN_DR_FORMS_3(TEXT)                                                                       \
    TN_DR_FORMS(TN_DR_UP_TO_8, TEXT, 3, 1) TN_DR_FORMS(TN_DR_UP_TO_8, TEXT, 3, 2)
#define TN_DR_FORMS_5(TEXT)                                                                       \
    TN_DR_FORMS(TN_DR_UP_TO_6, TEXT, 5, 1) TN_DR_FORMS(TN_DR_UP_TO_6, TEXT, 5, 2)
#define TN_DR_FORMS_7(TEXT)                                                                       \
    TN_DR_FORMS(TN_DR_UP_TO_6, TEXT, 7, 1) TN_DR_FORMS(TN_DR_UP_TO_6, TEXT, 7, 2)

/* All forms of a kernel; all channels of a band by one of them, told by literals. */
#define TN_DEPTHWISE_ROWS_RUN(K)                                                                  \
    TN_DR_FORMS_##K(TN_DR_FUNCTION)                                                               \
    TN_INLINE void tn_depthwise_rows_run_##K(const tn_depthwise_band_of_rows *b, int32_t stride,  \
                                             int32_t tile, int32_t positive, int32_t widened) {   \
        switch (1000 * widened + 100 * stride + 10 * tile + positive) {                           \
            TN_DR_FORMS_##K(TN_DR_CASE)                                                           \
        default: break;                                                                           \
        }                                                                                         \
    }

#endif

#endif
