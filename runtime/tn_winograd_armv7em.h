/* tn_winograd_armv7em.h: products and outputs of tn_winograd_conv_2d.h in assembly, for cores with
 * the DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * codegen/stack.py knows the bytes of stack.
 */
#ifndef TN_WINOGRAD_ARMV7EM_H
#define TN_WINOGRAD_ARMV7EM_H

#include "tn_dot.h"

#if TN_DSP_NATIVE

/* ---- products: four channels by two tiles ---------------------------------------------------- */

/* One pair of k, 16 cycles for 16 products: four words of weights, one of each tile. r0 and r1 are
 * 4 before weights and x, sums of tile 0 are r4 to r7, of tile 1 r8 to r11. */
#define TN_WINOGRAD_PAIR(W0, W1, W2, W3, X0, X1)                                                   \
    "ldr.w r2, [r0, #" W0 "]\n ldr.w r3, [r0, #" W1 "]\n"                                          \
    "ldr.w r12, [r1, #" X0 "]\n ldr.w lr, [r1, #" X1 "\n"                                          \
    "smlad r4, r12, r2, r4\n smlad r8, lr, r2, r8\n"                                               \
    "smlad r5, r12, r3, r5\n smlad r9, lr, r3, r9\n"                                               \
    "ldr.w r2, [r0, #" W2 "]\n ldr.w r3, [r0, #" W3 "\n"                                           \
    "smlad r6, r12, r2, r6\n smlad r10, lr, r2, r10\n"                                             \
    "smlad r7, r12, r3, r7\n smlad r11, lr, r3, r11\n"

/* The sums over k < 2 * pairs of all positions: int32 sums[positions][2 tiles][4 channels] from
 * weights[positions][pairs][4 channels] and x[positions][pairs][2 tiles], words of two int16. The
 * first pair of k begins the sums, the others run eight a turn, and the first turn is entered
 * late. */
#define tn_winograd_products TN_VARIANT(tn_winograd_products)
TN_SHARED TN_ASSEMBLY void tn_winograd_products(const uint32_t *weights TN_UNUSED,
                                                const uint32_t *x TN_UNUSED,
                                                int32_t *sums TN_UNUSED, int32_t pairs TN_UNUSED,
                                                int32_t positions TN_UNUSED) {
    __asm__(
        "push {r4-r11, lr}\n ldr r4, [sp, #36]\n sub sp, #24\n"
        "sub r0, #4\n sub r1, #4\n"
        "str r2, [sp]\n add r4, r2, r4, lsl #5\n str r4, [sp, #4]\n"  /* sums, and their end */
        "lsl r5, r3, #3\n add r6, r1, r5\n strd r5, r6, [sp, #8]\n" /* bytes of x, and their end */
        "rsb r5, r3, #1\n and r5, r5, #7\n sub r6, r5, #1\n lsl r6, r6, #4\n" /* skipped weights */
        "adr.w r7, 2f\n mov r8, #56\n mla r7, r5, r8, r7\n add r7, #1\n"
        "strd r6, r7, [sp, #16]\n"                                  /* and the first turn's entry */
        "1: ldr.w r2, [r0, #4]\n ldr.w r3, [r0, #8]\n ldr.w r12, [r1, #4]\n ldr.w lr, [r1, #8]\n"
        "smuad r4, r12, r2\n smuad r8, lr, r2\n smuad r5, r12, r3\n smuad r9, lr, r3\n"
        "ldr.w r2, [r0, #12]\n ldr.w r3, [r0, #16]\n"
        "smuad r6, r12, r2\n smuad r10, lr, r2\n smuad r7, r12, r3\n smuad r11, lr, r3\n"
        "ldr r2, [sp, #16]\n ldr r3, [sp, #20]\n"
        "sub r0, r0, r2\n sub r1, r1, r2, asr #1\n bx r3\n"
        "2:\n"
        TN_WINOGRAD_PAIR("4", "8", "12", "16]", "4", "8]")
        TN_WINOGRAD_PAIR("20", "24", "28", "32]", "12", "16]")
        TN_WINOGRAD_PAIR("36", "40", "44", "48]", "20", "24]")
        TN_WINOGRAD_PAIR("52", "56", "60", "64]", "28", "32]")
        TN_WINOGRAD_PAIR("68", "72", "76", "80]", "36", "40]")
        TN_WINOGRAD_PAIR("84", "88", "92", "96]", "44", "48]")
        TN_WINOGRAD_PAIR("100", "104", "108", "112]", "52", "56]")
        TN_WINOGRAD_PAIR("116", "120", "124", "128]!", "60", "64]!")
        "ldr r2, [sp, #12]\n cmp r1, r2\n bne 2b\n"
        "ldr r12, [sp]\n ldr lr, [sp, #4]\n ldr r3, [sp, #8]\n add r2, r2, r3\n"
        "stmia r12!, {r4-r11}\n cmp r12, lr\n str r12, [sp]\n str r2, [sp, #12]\n bne 1b\n"
        "add sp, #24\n pop {r4-r11, pc}");
}

/* ---- outputs: At of columns of both tiles, in place, then of rows, and requantised ----------- */

/* At of r7 to r12 (or to r10) become r7 to r10 (or r7 and r8); lr is lost. */
#define TN_WINOGRAD_AT_4                                                                           \
    "add lr, r8, r9\n sub r8, r8, r9\n add r9, r10, r11\n sub r10, r10, r11\n"                    \
    "add r7, r7, r7, lsl #1\n add r12, r12, r12, lsl #1\n"                                         \
    "add r7, r9, r7, lsl #1\n add r7, r7, lr, lsl #2\n add r9, r9, lr\n"                           \
    "add r12, r8, r12, lsl #1\n add r8, r10, r8, lsl #1\n add r10, r12, r10, lsl #1\n"
#define TN_WINOGRAD_AT_2                                                                           \
    "add r7, r7, r8\n add r7, r7, r9\n sub r8, r8, r9\n sub r8, r8, r10\n"

/* A column at r0 plus bytes. */
#define TN_WINOGRAD_COLUMN_4(I0, I1, I2, I3, I4, I5)                                               \
    "ldr r7, [r0, #" I0 "]\n ldr r8, [r0, #" I1 "]\n ldr r9, [r0, #" I2 "]\n"                      \
    "ldr r10, [r0, #" I3 "]\n ldr r11, [r0, #" I4 "]\n ldr r12, [r0, #" I5 "]\n"                   \
    TN_WINOGRAD_AT_4                                                                               \
    "str r7, [r0, #" I0 "]\n str r8, [r0, #" I1 "]\n str r9, [r0, #" I2 "]\n"                      \
    "str r10, [r0, #" I3 "]\n"
#define TN_WINOGRAD_COLUMN_2(I0, I1, I2, I3)                                                       \
    "ldr r7, [r0, #" I0 "]\n ldr r8, [r0, #" I1 "]\n ldr r9, [r0, #" I2 "]\n"                      \
    "ldr r10, [r0, #" I3 "]\n"                                                                     \
    TN_WINOGRAD_AT_2                                                                               \
    "str r7, [r0, #" I0 "]\n str r8, [r0, #" I1 "]\n"

/* To the rows of four channels of two tiles, from r0: channel by channel r0 to r6 are sums,
 * outputs, bias, multiplier, right shift, zero point, 1/9. ROWS: what they become. */
#define TN_WINOGRAD_CHANNELS(TILE, ROWS)                                                     \
    "add r4, r3, #2 * " TILE "\n strd r1, r4, [sp]\n"                                             \
    "mov r5, r2\n mov r1, r3\n movw r6, #0x8e39\n movt r6, #0x38e3\n"                            \
    "2: ldr r12, [sp]\n ldmia r12!, {r2-r4}\n str r12, [sp]\n"                                    \
    ROWS                                                                                           \
    "add r0, #4\n add r1, #1\n tst r1, #3\n bne 2b\n"                                             \
    "ldrd r3, r2, [sp]\n sub r3, #48\n str r3, [sp]\n"                                            \
    "add r1, #" TILE " - 4\n cmp r1, r2\n bne 2b\n"                                               \
    "add sp, #8\n pop {r4-r11, pc}"

/* A sum with its bias in Y: as tn_requantize_fast, saturated. */
#define TN_WINOGRAD_OUTPUT(Y)                                                                      \
    "add lr, " Y ", " Y ", asr #31\n smmlar " Y ", " Y ", r3, lr\n"                                \
    "asrs " Y ", r4\n adc " Y ", " Y ", r5\n ssat " Y ", #8, " Y "\n"
#define TN_WINOGRAD_OUTPUT_4(Y, RIGHT)                                                             \
    "asr " Y ", " Y ", #" RIGHT "\n mla " Y ", " Y ", r6, r2\n" TN_WINOGRAD_OUTPUT(Y)
#define TN_WINOGRAD_OUTPUT_2(Y) "add " Y ", r2, " Y ", asr #2\n" TN_WINOGRAD_OUTPUT(Y)

/* A row: its sums and outputs at r0 and r1 plus bytes, and what outputs are to be shifted by. */
#define TN_WINOGRAD_ROW_4(S0, S1, S2, S3, S4, S5, Y0, Y1, Y2, Y3, R0, R1, R2)                      \
    "ldr r7, [r0, #" S0 "]\n ldr r8, [r0, #" S1 "]\n ldr r9, [r0, #" S2 "]\n"                      \
    "ldr r10, [r0, #" S3 "]\n ldr r11, [r0, #" S4 "]\n ldr r12, [r0, #" S5 "]\n"                   \
    TN_WINOGRAD_AT_4                                                                               \
    TN_WINOGRAD_OUTPUT_4("r7", R0) TN_WINOGRAD_OUTPUT_4("r8", R1)                                  \
    TN_WINOGRAD_OUTPUT_4("r9", R2) TN_WINOGRAD_OUTPUT_4("r10", R2)                                 \
    "strb r7, [r1, #" Y0 "]\n strb r8, [r1, #" Y1 "]\n"                                            \
    "strb r9, [r1, #" Y2 "]\n strb r10, [r1, #" Y3 "]\n"
#define TN_WINOGRAD_ROW_2(S0, S1, S2, S3, Y0, Y1)                                                  \
    "ldr r7, [r0, #" S0 "]\n ldr r8, [r0, #" S1 "]\n ldr r9, [r0, #" S2 "]\n"                      \
    "ldr r10, [r0, #" S3 "]\n"                                                                     \
    TN_WINOGRAD_AT_2 TN_WINOGRAD_OUTPUT_2("r7") TN_WINOGRAD_OUTPUT_2("r8")                         \
    "strb r7, [r1, #" Y0 "]\n strb r8, [r1, #" Y1 "]\n"

/* Outputs [2 tiles][4][4][4 channels] from sums as of tn_winograd_products, which are lost, and
 * numbers of four channels. */
#define tn_winograd_out_4 TN_VARIANT(tn_winograd_out_4)
TN_SHARED TN_ASSEMBLY void tn_winograd_out_4(int32_t *sums TN_UNUSED,
                                             const int32_t *numbers TN_UNUSED,
                                             int32_t zero_point TN_UNUSED,
                                             uint32_t *out TN_UNUSED) {
    __asm__(
        "push {r4-r11, lr}\n sub sp, #8\n add r4, r0, #192\n"
        "1:\n"
        TN_WINOGRAD_COLUMN_4("0", "192", "384", "576", "768", "960")
        TN_WINOGRAD_COLUMN_4("4", "196", "388", "580", "772", "964")
        "add r0, #8\n cmp r0, r4\n bne 1b\n sub r0, #192\n"
        TN_WINOGRAD_CHANNELS("64",
            TN_WINOGRAD_ROW_4("0", "32", "64", "96", "128", "160",
                              "0", "4", "8", "12", "6", "5", "4")
            TN_WINOGRAD_ROW_4("192", "224", "256", "288", "320", "352",
                              "16", "20", "24", "28", "5", "4", "3")
            TN_WINOGRAD_ROW_4("384", "416", "448", "480", "512", "544",
                              "32", "36", "40", "44", "4", "3", "2")
            TN_WINOGRAD_ROW_4("576", "608", "640", "672", "704", "736",
                              "48", "52", "56", "60", "4", "3", "2")));
}

/* Outputs [2 tiles][2][2][4 channels]. */
#define tn_winograd_out_2 TN_VARIANT(tn_winograd_out_2)
TN_SHARED TN_ASSEMBLY void tn_winograd_out_2(int32_t *sums TN_UNUSED,
                                             const int32_t *numbers TN_UNUSED,
                                             int32_t zero_point TN_UNUSED,
                                             uint32_t *out TN_UNUSED) {
    __asm__(
        "push {r4-r11, lr}\n sub sp, #8\n add r4, r0, #128\n"
        "1:\n"
        TN_WINOGRAD_COLUMN_2("0", "128", "256", "384")
        TN_WINOGRAD_COLUMN_2("4", "132", "260", "388")
        "add r0, #8\n cmp r0, r4\n bne 1b\n sub r0, #128\n"
        TN_WINOGRAD_CHANNELS("16",
            TN_WINOGRAD_ROW_2("0", "32", "64", "96", "0", "4")
            TN_WINOGRAD_ROW_2("128", "160", "192", "224", "8", "12")));
}

#endif
#endif
