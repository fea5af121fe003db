/* tn_assembly.h: functions that are whole in assembly.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TN_ASSEMBLY_H
#define TN_ASSEMBLY_H

/* Aligned: ADR and literals count from a word's address, and the assembler takes a function to
 * begin at one. With -Os functions begin at any halfword. */
#if defined(__clang__)
#define TN_ASSEMBLY __attribute__((naked, aligned(4)))
#else
#define TN_ASSEMBLY __attribute__((naked, noipa, aligned(4)))
#endif

#endif
