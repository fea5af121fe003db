/* tn_strip_armv7em.h: what fills the strips of tn_strip_conv_2d.h, in assembly.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * 2.7 cycles a value: loads of six or eight values pipeline. codegen/stack.py knows the bytes of
 * stack.
 */
#ifndef TN_STRIP_ARMV7EM_H
#define TN_STRIP_ARMV7EM_H

#include "tn_strip_conv_2d.h"

#if TN_DSP_NATIVE

/* of a tn_strip, in bytes */
#define TN_STRIP_D "0"
#define TN_STRIP_LINES "4"
#define TN_STRIP_FROM "8"
#define TN_STRIP_LEFT "12"
#define TN_STRIP_INSIDE "16"
#define TN_STRIP_RIGHT "20"
#define TN_STRIP_ZERO "24"
#define TN_STRIP_ROWS "28"

/* The values from V on of those at r1, C a pixel, and to the columns at r0, PITCH bytes apart. */
#define TN_STRIP_LOADS(V, REGISTERS)                                                               \
    ".set .Ltn_v, " V "\n .irp r, " REGISTERS "\n ldrsb.w \\r, [r1, #.Ltn_v]\n"                    \
    ".set .Ltn_v, .Ltn_v+1\n .endr\n"
#define TN_STRIP_STORES(V, REGISTERS, C, PITCH)                                                    \
    ".set .Ltn_v, " V "\n .irp r, " REGISTERS "\n"                                                 \
    "strh.w \\r, [r0, #(.Ltn_v/" C "*" PITCH "+2*(.Ltn_v%" C "))]\n"                               \
    ".set .Ltn_v, .Ltn_v+1\n .endr\n"
/* The same from the first on, U pixels; the first is the last and moves the pointers. */
#define TN_STRIP_FIRST(REGISTERS, U, C, PITCH)                                                     \
    TN_STRIP_LOADS("1", REGISTERS) "ldrsb.w r3, [r1], #(" U "*" C ")\n"                            \
    TN_STRIP_STORES("1", REGISTERS, C, PITCH) "strh.w r3, [r0], #(" U "*" PITCH ")\n"
/* U pixels, and one. */
#define TN_STRIP_U_1 "8"
#define TN_STRIP_U_2 "4"
#define TN_STRIP_U_3 "8"
#define TN_STRIP_PIXELS_1(PITCH) TN_STRIP_FIRST("r4,r5,r6,r7,r8,r9,r10", "8", "1", PITCH)
#define TN_STRIP_PIXELS_2(PITCH) TN_STRIP_FIRST("r4,r5,r6,r7,r8,r9,r10", "4", "2", PITCH)
#define TN_STRIP_EIGHT(V, PITCH)                                                                   \
    TN_STRIP_LOADS(V, "r3,r4,r5,r6,r7,r8,r9,r10")                                                  \
    TN_STRIP_STORES(V, "r3,r4,r5,r6,r7,r8,r9,r10", "3", PITCH)
#define TN_STRIP_PIXELS_3(PITCH)                                                                   \
    TN_STRIP_EIGHT("0", PITCH) TN_STRIP_EIGHT("8", PITCH) TN_STRIP_EIGHT("16", PITCH)              \
    "add r1, r1, #24\n add r0, r0, #(8*" PITCH ")\n"
#define TN_STRIP_PIXEL_1(PITCH) "ldrsb.w r3, [r1], #1\n strh.w r3, [r0], #(" PITCH ")\n"
#define TN_STRIP_PIXEL_2(PITCH) TN_STRIP_FIRST("r4", "1", "2", PITCH)
#define TN_STRIP_PIXEL_3(PITCH) TN_STRIP_FIRST("r4,r5", "1", "3", PITCH)

/* r2 columns of lr, at r0. */
#define TN_STRIP_PAD(C, PITCH)                                                                     \
    "10: .set .Ltn_v, 0\n .rept " C "\n strh.w lr, [r0, #(2*.Ltn_v)]\n"                            \
    ".set .Ltn_v, .Ltn_v+1\n .endr\n add r0, r0, #(" PITCH ")\n subs r2, #1\n bne 10b\n"

#define TN_STRIP_LINES_OF(PIXELS, U, PIXEL, C, PITCH)                                              \
    "push {r4-r11, lr}\n mov r11, r0\n ldr r12, [r11, #" TN_STRIP_ROWS "]\n"                        \
    "ldr lr, [r11, #" TN_STRIP_ZERO "]\n"                                                         \
    "5: ldr r0, [r11, #" TN_STRIP_D "]\n ldr r3, [r11, #" TN_STRIP_LINES "]\n"                     \
    "ldr r4, [r11, #" TN_STRIP_FROM "]\n ldr r2, [r11, #" TN_STRIP_LEFT "]\n"                      \
    "ldr r1, [r3], #4\n add r5, r0, #(2*" C ")\n"                                                  \
    "str r5, [r11, #" TN_STRIP_D "]\n str r3, [r11, #" TN_STRIP_LINES "]\n"                        \
    "cbz r2, 6f\n" TN_STRIP_PAD(C, PITCH)                                                          \
    "6: ldr r2, [r11, #" TN_STRIP_INSIDE "]\n cmp r1, #0\n blt 7f\n add r1, r4\n"                  \
    "subs r2, #" U "\n blt 2f\n"                                                                   \
    "1: " PIXELS "subs r2, #" U "\n bge 1b\n"                                                      \
    "2: adds r2, #" U "\n beq 8f\n"                                                                \
    "3: " PIXEL "subs r2, #1\n bne 3b\n"                                                           \
    "8: ldr r2, [r11, #" TN_STRIP_RIGHT "]\n cbz r2, 9f\n" TN_STRIP_PAD(C, PITCH)                  \
    "9: subs r12, #1\n bne 5b\n pop {r4-r11, pc}\n"                                                \
    "7: cmp r2, #0\n beq 8b\n" TN_STRIP_PAD(C, PITCH) "b 8b\n"

/* tn_strip_fill_C_KH: see tn_strip_conv_2d.h. U pixels of a strip are at most 255 bytes. */
#define TN_STRIP_FILL(C, KH)                                                                       \
    TN_SHARED TN_ASSEMBLY void TN_VARIANT(tn_strip_fill_##C##_##KH)(tn_strip *s TN_UNUSED) {       \
        __asm__(TN_STRIP_LINES_OF(TN_STRIP_PIXELS_##C("(2*" #C "*" #KH ")"), TN_STRIP_U_##C,       \
                                  TN_STRIP_PIXEL_##C("(2*" #C "*" #KH ")"), #C,                    \
                                  "(2*" #C "*" #KH ")"));                                          \
    }

#endif
#endif
