/* tn_dsp.h: the DSP instructions that kernels use, each with an exact C twin.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * On Armv7E-M and Armv8-M with the DSP extension each function is one instruction; elsewhere it is
 * C without undefined behaviour, so the same kernels run on a host (TN_DSP 1) under sanitizers.
 * They are volatile so that the compiler keeps their order: moving them about costs registers.
 * A "pair" is a word of two int16: low half first. Accumulation wraps modulo 2^32.
 */
#ifndef TN_DSP_H
#define TN_DSP_H

#include "tn_core.h"

#if defined(__ARM_FEATURE_DSP) && (defined(__GNUC__) || defined(__clang__))
#define TN_DSP_NATIVE 1
#else
#define TN_DSP_NATIVE 0
#endif

#if TN_DSP_NATIVE

#define TN_DSP_MAC(NAME, MNEMONIC)                                                       \
    TN_INLINE int32_t NAME(uint32_t a, uint32_t b, int32_t acc) {                        \
        __asm__ volatile(MNEMONIC " %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));                \
        return acc;                                                                      \
    }
TN_DSP_MAC(tn_smlad, "smlad")   /* acc + a.low * b.low + a.high * b.high */
TN_DSP_MAC(tn_smlabb, "smlabb") /* acc + a.low * b.low */
TN_DSP_MAC(tn_smlatt, "smlatt") /* acc + a.high * b.high */
#undef TN_DSP_MAC

/* Bytes 0 and 2 of x, sign-extended to a pair. */
TN_INLINE uint32_t tn_sxtb16(uint32_t x) {
    uint32_t r;
    __asm__ volatile("sxtb16 %0, %1" : "=r"(r) : "r"(x));
    return r;
}
/* Bytes 1 and 3 of x, sign-extended to a pair. */
TN_INLINE uint32_t tn_sxtb16_ror8(uint32_t x) {
    uint32_t r;
    __asm__ volatile("sxtb16 %0, %1, ror #8" : "=r"(r) : "r"(x));
    return r;
}
/* a - b: each half modulo 2^16. */
TN_INLINE uint32_t tn_ssub16(uint32_t a, uint32_t b) {
    uint32_t r;
    __asm__ volatile("ssub16 %0, %1, %2" : "=r"(r) : "r"(a), "r"(b) : "cc");
    return r;
}
/* (a.low, b.low) */
TN_INLINE uint32_t tn_pkhbt(uint32_t a, uint32_t b) {
    uint32_t r;
    __asm__ volatile("pkhbt %0, %1, %2, lsl #16" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
/* (a.high, b.high) */
TN_INLINE uint32_t tn_pkhtb(uint32_t a, uint32_t b) {
    uint32_t r;
    __asm__ volatile("pkhtb %0, %1, %2, asr #16" : "=r"(r) : "r"(b), "r"(a));
    return r;
}
/* acc + round(a * b / 2^32), halves up, modulo 2^32. */
TN_INLINE int32_t tn_smmlar(int32_t a, int32_t b, int32_t acc) {
    int32_t r;
    __asm__ volatile("smmlar %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
}
/* acc + floor(a * b / 2^32), modulo 2^32. */
TN_INLINE int32_t tn_smmla(int32_t a, int32_t b, int32_t acc) {
    int32_t r;
    __asm__ volatile("smmla %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
}
/* acc + floor(a * b.low / 2^16), acc + floor(a * b.high / 2^16), modulo 2^32. */
TN_INLINE int32_t tn_smlawb(int32_t a, uint32_t b, int32_t acc) {
    int32_t r;
    __asm__ volatile("smlawb %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
}
TN_INLINE int32_t tn_smlawt(int32_t a, uint32_t b, int32_t acc) {
    int32_t r;
    __asm__ volatile("smlawt %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
}
/* floor(x / 2^n + 1/2) + addend: the last bit shifted out is the carry in. n in 1..31. */
TN_INLINE int32_t tn_asr_round_add(int32_t x, int32_t n, int32_t addend) {
    int32_t r;
    __asm__ volatile("asrs %0, %1, %2\n\tadc %0, %0, %3"
                     : "=&r"(r)
                     : "r"(x), "r"(n), "r"(addend)
                     : "cc");
    return r;
}
/* The words p[0] and p[1]; p is 4-byte aligned. */
TN_INLINE void tn_load_two(const uint32_t *p, uint32_t *first, uint32_t *second) {
    typedef uint64_t __attribute__((may_alias, aligned(4))) two_words;
    __asm__ volatile("ldrd %0, %1, %2" : "=&r"(*first), "=r"(*second) : "m"(*(const two_words *)p));
}
/* x, which the compiler keeps in a register as if it was no constant. */
TN_INLINE uint32_t tn_opaque(uint32_t x) {
    __asm__("" : "+r"(x));
    return x;
}
/* x limited to -128..127. */
TN_INLINE int32_t tn_ssat8(int32_t x) {
    int32_t r;
    __asm__ volatile("ssat %0, #8, %1" : "=r"(r) : "r"(x));
    return r;
}
/* floor(x / 2^21) limited to -128..127. */
TN_INLINE int32_t tn_ssat8_asr21(int32_t x) {
    int32_t r;
    __asm__ volatile("ssat %0, #8, %1, asr #21" : "=r"(r) : "r"(x));
    return r;
}
/* The low bytes of a, b, c and d, a's the lowest. */
TN_INLINE uint32_t tn_pack_bytes(int32_t a, int32_t b, int32_t c, int32_t d) {
    __asm__ volatile("bfi %0, %1, #8, #8\n\tbfi %0, %2, #16, #8\n\tbfi %0, %3, #24, #8"
                     : "+&r"(a)
                     : "r"(b), "r"(c), "r"(d));
    return (uint32_t)a;
}

#else

TN_INLINE int32_t tn_dsp_low(uint32_t x) { return (int32_t)(x << 16) >> 16; }
TN_INLINE int32_t tn_dsp_high(uint32_t x) { return (int32_t)x >> 16; }
TN_INLINE int32_t tn_dsp_mac(int32_t a, int32_t b, int32_t acc) {
    return (int32_t)((uint32_t)acc + (uint32_t)(a * b));
}
TN_INLINE int32_t tn_smlabb(uint32_t a, uint32_t b, int32_t acc) {
    return tn_dsp_mac(tn_dsp_low(a), tn_dsp_low(b), acc);
}
TN_INLINE int32_t tn_smlatt(uint32_t a, uint32_t b, int32_t acc) {
    return tn_dsp_mac(tn_dsp_high(a), tn_dsp_high(b), acc);
}
TN_INLINE int32_t tn_smlad(uint32_t a, uint32_t b, int32_t acc) {
    return tn_smlatt(a, b, tn_smlabb(a, b, acc));
}
TN_INLINE uint32_t tn_sxtb16(uint32_t x) {
    const uint32_t low = (uint32_t)((int32_t)(x << 24) >> 24) & 0xFFFFu;
    return low | ((uint32_t)((int32_t)(x << 8) >> 24) << 16);
}
TN_INLINE uint32_t tn_sxtb16_ror8(uint32_t x) { return tn_sxtb16((x >> 8) | (x << 24)); }
TN_INLINE uint32_t tn_ssub16(uint32_t a, uint32_t b) {
    return ((a - b) & 0xFFFFu) | ((a - (b & 0xFFFF0000u)) & 0xFFFF0000u);
}
TN_INLINE uint32_t tn_pkhbt(uint32_t a, uint32_t b) { return (a & 0xFFFFu) | (b << 16); }
TN_INLINE uint32_t tn_pkhtb(uint32_t a, uint32_t b) { return (a >> 16) | (b & 0xFFFF0000u); }
TN_INLINE int32_t tn_smmlar(int32_t a, int32_t b, int32_t acc) {
    const int64_t product = (int64_t)a * b + ((int64_t)1 << 31);
    return (int32_t)((uint32_t)acc + (uint32_t)(product >> 32));
}
TN_INLINE int32_t tn_smmla(int32_t a, int32_t b, int32_t acc) {
    return (int32_t)((uint32_t)acc + (uint32_t)(((int64_t)a * b) >> 32));
}
TN_INLINE int32_t tn_smlawb(int32_t a, uint32_t b, int32_t acc) {
    return (int32_t)((uint32_t)acc + (uint32_t)(((int64_t)a * tn_dsp_low(b)) >> 16));
}
TN_INLINE int32_t tn_smlawt(int32_t a, uint32_t b, int32_t acc) {
    return (int32_t)((uint32_t)acc + (uint32_t)(((int64_t)a * tn_dsp_high(b)) >> 16));
}
TN_INLINE int32_t tn_asr_round_add(int32_t x, int32_t n, int32_t addend) {
    return (x >> n) + ((x >> (n - 1)) & 1) + addend;
}
TN_INLINE void tn_load_two(const uint32_t *p, uint32_t *first, uint32_t *second) {
    *first = p[0];
    *second = p[1];
}
TN_INLINE uint32_t tn_opaque(uint32_t x) { return x; }
TN_INLINE int32_t tn_ssat8(int32_t x) { return tn_clamp(x, -128, 127); }
TN_INLINE int32_t tn_ssat8_asr21(int32_t x) { return tn_ssat8(x >> 21); }
TN_INLINE uint32_t tn_pack_bytes(int32_t a, int32_t b, int32_t c, int32_t d) {
    return ((uint32_t)a & 0xFFu) | ((uint32_t)b & 0xFFu) << 8 | ((uint32_t)c & 0xFFu) << 16 |
           (uint32_t)d << 24;
}

#endif

#endif
