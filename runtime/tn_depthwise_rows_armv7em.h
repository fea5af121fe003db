/* tn_depthwise_rows_armv7em.h: bands of tn_depthwise_rows.h in assembly, with the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One function for each kernel K, stride S, lead L, tile T and `positive` P, whole: fourteen
 * registers are in use. For each four channels it fills the strip, then takes row by row, tile by
 * tile and channel by channel: r0 is the strip at the row, tile and channel, r1 the block, r4 and
 * the registers behind it are the sums, r12 and lr words of the strip, the rest weights. With few
 * weights and sums r10 and r11 are the outputs and c; TN_DR_SPILLS tells where they are not.
 * codegen/stack.py knows the bytes of stack.
 */
#ifndef TN_DEPTHWISE_ROWS_ARMV7EM_H
#define TN_DEPTHWISE_ROWS_ARMV7EM_H

#include "tn_depthwise_rows.h"
#include "tn_depthwise_rows_sums_armv7em.h"
#include "tn_depthwise_square_armv7em.h"

/* The frame begins with a tn_depthwise_band_of_rows. */
#define TN_DR_FRAME "88"
#define TN_DR_AT_FILLS "[sp, #0]"
#define TN_DR_AT_FILLS_END "[sp, #4]"
#define TN_DR_AT_PAIR_BYTES "[sp, #8]"
#define TN_DR_AT_SINGLE "[sp, #12]"
#define TN_DR_AT_ZERO "[sp, #16]"
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
#define TN_DR_AT_CHANNEL "[sp, #60]"
#define TN_DR_AT_ROW "[sp, #64]"
#define TN_DR_AT_ROW_END "[sp, #68]"
#define TN_DR_AT_ROW_OUT "[sp, #72]"
#define TN_DR_AT_TILE TN_DW_AT_TILE /* [sp, #84] */

/* ---- strips ---------------------------------------------------------------------------------- */

/* Eight words, of two columns of two rows, go into the strip. */
#define TN_DR_PUT                                                                                 \
    TN_DW_WIDEN("r4", "r5", "r6", "r7") TN_DW_WIDEN("r8", "r9", "r10", "r11")                     \
    "stm r12, {r4-r11}\n add r12, r12, #256\n"

/* Rows r0 and r1, columns r3 = c bytes apart, into the strip at r12; r2: the list of such. */
#define TN_DR_FILL(L)                                                                             \
    "ldr r2, " TN_DR_AT_FILLS "\n ldr r4, " TN_DR_AT_FILLS_END "\n cmp r2, r4\n beq 4f\n"         \
    "0: ldm r2!, {r0, r1, r12}\n ldr r4, " TN_DR_AT_CHANNEL "\n ldr r3, " TN_DR_AT_C "\n"         \
    "add r0, r0, r4\n add r1, r1, r4\n"                                                           \
    TN_DW_IF(L " == 1", "ldr r4, " TN_DR_AT_ZERO "\n ldr r6, [r0]\n ldr r10, [r1]\n"              \
             "mov r8, r4\n add r0, r0, r3\n add r1, r1, r3\n" TN_DR_PUT)                          \
    "ldr lr, " TN_DR_AT_PAIR_BYTES "\n add lr, r12, lr\n cmp r12, lr\n beq 2f\n"                  \
    "1: ldr r4, [r0]\n ldr r6, [r0, r3]\n ldr r8, [r1]\n ldr r10, [r1, r3]\n"                     \
    "add r0, r0, r3, lsl #1\n add r1, r1, r3, lsl #1\n" TN_DR_PUT "cmp r12, lr\n bne 1b\n"        \
    "2: ldr r4, " TN_DR_AT_SINGLE "\n cmp r4, #0\n beq 3f\n"                                      \
    "ldr r6, " TN_DR_AT_ZERO "\n ldr r4, [r0]\n ldr r8, [r1]\n mov r10, r6\n" TN_DR_PUT           \
    "3: ldr r4, " TN_DR_AT_FILLS_END "\n cmp r2, r4\n bne 0b\n"                                   \
    "4:\n"

/* ---- a band ---------------------------------------------------------------------------------- */

/* Whether the outputs and c are not in registers. */
#define TN_DR_SPILLS(K, S, T)                                                                     \
    "(" K " == 3 && " T " > 6) || (" K " != 3 && " T " > 4) || (" K S " == 71)"

/* r2 is the multiplier, r3 the addend, lr the shift. */
#define TN_DR_REQUANTIZE(K, T, P)                                                                 \
    "ldr r2, [r1, #(2*" K "*(" K "+1)+4)]\n ldr r3, [r1, #(2*" K "*(" K "+1)+8)]\n"               \
    TN_DW_IF(P " == 1", TN_DW_EACH(T, TN_DW_POSITIVE))                                            \
    TN_DW_IF(P " == 0", "ldr lr, [r1, #(2*" K "*(" K "+1)+12)]\n" TN_DW_EACH(T, TN_DW_ANY))

/* Bytes c apart, or with W 1 halfwords. */
#define TN_DR_STORE(T, SPILLS, W)                                                                 \
    TN_DW_IF(W " == 0", TN_DR_STORE_OF(T, SPILLS, "strb", "1", ""))                               \
    TN_DW_IF(W " == 1", TN_DR_STORE_OF(T, SPILLS, "strh", "2", "lsl r3, r3, #1\n"))
#define TN_DR_STORE_OF(T, SPILLS, STR, SIZE, SCALE)                                               \
    TN_DW_IF(SPILLS, "ldr r2, " TN_DR_AT_TILE "\n ldr r3, " TN_DR_AT_C "\n" SCALE                 \
             TN_DR_STORE_AT(T, "r2", "r3", STR, SIZE) "str r2, " TN_DR_AT_TILE "\n .else\n"       \
             TN_DR_STORE_AT(T, "r10", "r11", STR, SIZE))
#define TN_DR_STORE_AT(T, OUT, C, STR, SIZE)                                                      \
    TN_DW_IF(T " > 3", "add r12, " C ", " C ", lsl #1\n add lr, " OUT ", r12\n")                  \
    STR " r5, [" OUT ", " C "]\n"                                                                 \
    TN_DW_IF(T " > 2", STR " r6, [" OUT ", " C ", lsl #1]\n")                                     \
    TN_DW_IF(T " > 3", STR " r7, [lr]\n") TN_DW_IF(T " > 4", STR " r8, [lr, " C "]\n")            \
    TN_DW_IF(T " > 5", STR " r9, [lr, " C ", lsl #1]\n")                                          \
    TN_DW_IF(T " > 6", STR " r10, [" OUT ", r12, lsl #1]\n")                                      \
    TN_DW_IF(T " > 7", STR " r11, [lr, " C ", lsl #2]\n") STR " r4, [" OUT "], #" SIZE "\n"

#define TN_DR_BAND(SUMS, K, S, L, T, P, W, SPILLS)                                                \
    "push {r4-r11, lr}\n sub sp, #" TN_DR_FRAME "\n"                                              \
    "ldm r0!, {r1-r12}\n stm sp, {r1-r12}\n ldm r0, {r1-r3}\n mov r4, #0\n add r5, sp, #48\n"     \
    "stm r5, {r1-r4}\n"                                                                           \
    "20:\n" TN_DR_FILL(L)                                                                         \
    "ldr r0, " TN_DR_AT_X "\n ldr r1, " TN_DR_AT_X_END "\n ldr r2, " TN_DR_AT_OUTS "\n"           \
    "8: str r0, " TN_DR_AT_ROW "\n str r1, " TN_DR_AT_ROW_END "\n"                                \
    "ldr r10, [r2], #4\n ldr r3, " TN_DR_AT_CHANNEL "\n ldr r1, " TN_DR_AT_BLOCKS "\n"            \
    "str r2, " TN_DR_AT_ROW_OUT "\n add r10, r10, r3, lsl #" W "\n"                               \
    TN_DW_IF(SPILLS, "str r10, " TN_DR_AT_TILE "\n .else\n ldr r11, " TN_DR_AT_C "\n"            \
             "lsl r11, r11, #" W "\n")                                                            \
    "9:\n" SUMS(T) TN_DR_REQUANTIZE(K, T, P) TN_DR_STORE(T, SPILLS, W)                            \
    "add r0, r0, #4\n add r1, r1, #(2*" K "*(" K "+1)+16-4*" P ")\n"                              \
    "tst r0, #12\n bne.w 9b\n" /* the next channel */                                             \
    "ldr r2, " TN_DR_AT_ROW_END "\n ldr r3, " TN_DR_AT_OUT_STEP "\n"                              \
    TN_DW_IF(S " == 1", "add r0, r0, #(" T "/2*256-16)\n")                                        \
    TN_DW_IF(S " == 2", "add r0, r0, #(" T "*256-16)\n")                                          \
    "cmp r0, r2\n blo 10f\n bne 11f\n"                                                            \
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

#define TN_DR_FUNCTION(K, S, L, T, P, W)                                                          \
    static TN_NOINLINE TN_UNUSED TN_DW_NAKED void tn_depthwise_rows_##K##S##L##T##P##W(           \
        const tn_depthwise_band_of_rows *b TN_UNUSED) {                                           \
        __asm__(TN_DR_BAND(TN_DR_SUMS_##K##S, #K, #S, #L, #T, #P, #W, TN_DR_SPILLS(#K, #S, #T))); \
    }
#define TN_DR_CASE(K, S, L, T, P, W)                                                              \
    case 10000 * W + 1000 * S + 100 * L + 10 * T + P:                                             \
        tn_depthwise_rows_##K##S##L##T##P##W(b);                                                  \
        break;
#define TN_DR_UP_TO_6(TEXT, K, S, L, P, W)                                                        \
    TEXT(K, S, L, 2, P, W) TEXT(K, S, L, 3, P, W) TEXT(K, S, L, 4, P, W) TEXT(K, S, L, 5, P, W)   \
    TEXT(K, S, L, 6, P, W)
#define TN_DR_UP_TO_8(TEXT, K, S, L, P, W)                                                        \
    TN_DR_UP_TO_6(TEXT, K, S, L, P, W) TEXT(K, S, L, 7, P, W) TEXT(K, S, L, 8, P, W)
#define TN_DR_TILES(TILES, TEXT, K, S, W)                                                         \
    TILES(TEXT, K, S, 0, 0, W) TILES(TEXT, K, S, 0, 1, W) TILES(TEXT, K, S, 1, 0, W)              \
    TILES(TEXT, K, S, 1, 1, W)
#define TN_DR_FORMS(TILES, TEXT, K)                                                               \
    TN_DR_TILES(TILES, TEXT, K, 1, 0) TN_DR_TILES(TILES, TEXT, K, 2, 0)                           \
    TN_DR_TILES(TILES, TEXT, K, 1, 1) TN_DR_TILES(TILES, TEXT, K, 2, 1)
#define TN_DR_FORMS_3(TEXT) TN_DR_FORMS(TN_DR_UP_TO_8, TEXT, 3)
#define TN_DR_FORMS_5(TEXT) TN_DR_FORMS(TN_DR_UP_TO_6, TEXT, 5)
#define TN_DR_FORMS_7(TEXT) TN_DR_FORMS(TN_DR_UP_TO_6, TEXT, 7)

/* All forms of a kernel; all channels of a band by one of them, told by literals. */
#define TN_DEPTHWISE_ROWS_RUN(K)                                                                  \
    TN_DR_FORMS_##K(TN_DR_FUNCTION)                                                               \
    TN_INLINE void tn_depthwise_rows_run_##K(const tn_depthwise_band_of_rows *b, int32_t stride,  \
                                             int32_t lead, int32_t tile, int32_t positive,        \
                                             int32_t widened) {                                   \
        switch (10000 * widened + 1000 * stride + 100 * lead + 10 * tile + positive) {            \
            TN_DR_FORMS_##K(TN_DR_CASE)                                                           \
        default: break;                                                                           \
        }                                                                                         \
    }

#endif
