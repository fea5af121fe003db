/* tn_core.h: what every kernel shares: rows, bands, word access, clamping.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The unit of work is a band of output rows [y_begin, y_end). A row is the W*C elements of one y of
 * an NHWC tensor; a tensor of another rank is one row. Kernels are static inline functions whose
 * layer descriptor becomes literals where the generator wants them; they own no memory, call
 * nothing but memcpy, memmove and memset, and cannot fail.
 */
#ifndef TN_CORE_H
#define TN_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* TN_DSP 1: use the Armv7E-M / Armv8-M DSP instructions, or their exact C twins on a host. */
#ifndef TN_DSP
#if defined(__ARM_FEATURE_DSP)
#define TN_DSP 1
#else
#define TN_DSP 0
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#define TN_INLINE static inline __attribute__((always_inline))
#define TN_UNUSED __attribute__((unused))
#else
#define TN_INLINE static inline
#define TN_UNUSED
#endif

/* A function that stays one function under its own name: layers, and specialised kernels. */
#if defined(__clang__)
#define TN_NOINLINE __attribute__((noinline))
#elif defined(__GNUC__)
#define TN_NOINLINE __attribute__((noinline, noclone))
#else
#define TN_NOINLINE
#endif

/* A kernel out of line. Generated C defines TN_RUNTIME, which tells the text of the runtime; then
 * the function is weak under a name that tells its text and how it was compiled, so that the linker
 * keeps one of the copies that several models of an image bring. Sections that nothing refers to
 * must go (-ffunction-sections, --gc-sections); where they stay, define TN_UNSHARED.
 *
 *     #define tn_f TN_VARIANT(tn_f)
 *     TN_SHARED void tn_f(...) {
 */
#if defined(TN_RUNTIME) && !defined(TN_UNSHARED) && defined(__GNUC__) && defined(__ELF__)
#define TN_SHARED __attribute__((weak, visibility("hidden"))) TN_NOINLINE
#define TN_PASTE(name, runtime, build) name##_##runtime##build
#define TN_EXPAND(name, runtime, build) TN_PASTE(name, runtime, build)
#define TN_VARIANT(name) TN_EXPAND(name, TN_RUNTIME, TN_BUILD)
#if TN_DSP && defined(__OPTIMIZE_SIZE__)
#define TN_BUILD _dsp_small
#elif TN_DSP
#define TN_BUILD _dsp
#elif defined(__OPTIMIZE_SIZE__)
#define TN_BUILD _small
#else
#define TN_BUILD
#endif
#ifndef __cplusplus
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#endif
#else
#define TN_SHARED static TN_NOINLINE TN_UNUSED
#define TN_VARIANT(name) name
#endif

/* Around each layer of a model, `index` its number in the manifest's order; they do nothing unless
 * the firmware defines them (for the whole image), e.g. to read a cycle counter. A layer that runs
 * in bands comes once for each band. */
#ifndef TN_LAYER_BEGIN
#define TN_LAYER_BEGIN(index) ((void)0)
#endif
#ifndef TN_LAYER_END
#define TN_LAYER_END(index) ((void)0)
#endif

/* Constant arrays of a model: word aligned, in one section, so that an image tells their size. */
#if defined(__GNUC__) && defined(__ELF__)
#define TN_WEIGHTS __attribute__((section(".rodata.tn_weights"), aligned(4)))
#else
#define TN_WEIGHTS
#endif

/* Rows of a tensor in the arena. Without a ring the tensor is whole: row y starts at data + y *
 * pitch and rows follow each other without a gap. With a ring only some rows exist at a time, each
 * in a slot of `pitch` bytes, and other tensors may use the slots in between: ring[0] is after how
 * many rows the slots repeat, ring[1 + y] the slot of row y below that. */
typedef struct {
    int8_t *data;
    int32_t pitch;       /* bytes from a row, or slot, to the next: the bytes of a row */
    const uint16_t *ring; /* NULL: none */
} tn_rows;

/* Where the rows of a tensor lie: `offset` bytes into the arena; the rest as in tn_rows. */
typedef struct {
    int32_t offset, pitch;
    const uint16_t *ring;
} tn_place;

TN_INLINE tn_rows tn_rows_at(uint8_t *arena, const tn_place *place) {
    tn_rows rows;
    rows.data = (int8_t *)arena + place->offset;
    rows.pitch = place->pitch;
    rows.ring = place->ring;
    return rows;
}

/* The same of a tensor of one row, which is never in a ring. */
TN_INLINE tn_rows tn_one_row_at(uint8_t *arena, const tn_place *place) {
    tn_rows rows = tn_rows_at(arena, place);
    rows.ring = NULL;
    return rows;
}

TN_INLINE int8_t *tn_row(tn_rows rows, int32_t y) {
    if (rows.ring != NULL) {
        const int32_t period = rows.ring[0];
        y = rows.ring[1 + (y < period ? y : y % period)];
    }
    return rows.data + y * rows.pitch;
}

TN_INLINE int32_t tn_min(int32_t a, int32_t b) { return a < b ? a : b; }
TN_INLINE int32_t tn_max(int32_t a, int32_t b) { return a > b ? a : b; }
TN_INLINE int32_t tn_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : (x > high ? high : x);
}

/* Little-endian word at any address (one LDR where the core allows unaligned access). */
TN_INLINE uint32_t tn_load32(const void *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}
TN_INLINE void tn_store32(void *p, uint32_t word) { memcpy(p, &word, sizeof word); }

#endif
