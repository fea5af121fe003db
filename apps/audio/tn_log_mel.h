/* tn_log_mel.h: PCM in, columns of int8 log-mel energies out, one hop at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Hann window, real FFT, power, triangular mel bands (HTK scale), log2, int8; integers only. The
 * README beside this file has the formula. tn_log_mel_parameters.h is written by
 * thumbnet.apps.audio.log_mel and holds the parameters and the tables:
 *   TN_LOG_MEL_HOP, _WINDOW, _BANDS   samples, samples, int8 values of a column
 *   TN_LOG_MEL_SCALE, _ZERO_POINT     quantisation of a column; one step is SCALE octaves of energy
 *   TN_LOG_MEL_SCRATCH_WORDS          int32 words that a push needs while it runs
 *
 *   static tn_log_mel state;
 *   static int32_t scratch[TN_LOG_MEL_SCRATCH_WORDS];
 *   tn_log_mel_init(&state);
 *   for each hop: if (tn_log_mel_push(&state, pcm, scratch, column)) the column is new
 *
 * Include it in one C file. No heap, no globals but constants; the caller owns state and scratch.
 * Run time does not depend on the samples, but for a few cycles in the logarithm.
 */
#ifndef TN_LOG_MEL_H
#define TN_LOG_MEL_H

#include "tn_core.h"
#include "tn_dsp.h"
#include "tn_log_mel_parameters.h"

enum {
    TN_LOG_MEL_TAIL = TN_LOG_MEL_WINDOW - TN_LOG_MEL_HOP, /* samples kept from hop to hop */
    TN_LOG_MEL_POINTS = TN_LOG_MEL_FFT_SIZE / 2           /* of the complex FFT */
};

/* What is kept from one hop to the next. */
typedef struct {
    int16_t tail[TN_LOG_MEL_TAIL]; /* the newest samples, oldest first */
    int32_t missing;               /* samples without which there is no first column */
} tn_log_mel;

/* --- arithmetic ---------------------------------------------------------------------------------
 *
 * floor(x * h / 2^16), where h is a signed half of the pair: one instruction where there are DSP
 * instructions, two multiplications elsewhere. */

#if TN_DSP_NATIVE

TN_INLINE int32_t tn_smulwb(int32_t x, uint32_t pair) {
    int32_t r;
    __asm__("smulwb %0, %1, %2" : "=r"(r) : "r"(x), "r"(pair));
    return r;
}
TN_INLINE int32_t tn_smulwt(int32_t x, uint32_t pair) {
    int32_t r;
    __asm__("smulwt %0, %1, %2" : "=r"(r) : "r"(x), "r"(pair));
    return r;
}
/* acc + tn_smulwt(x, pair) */
TN_INLINE int32_t tn_add_smulwt(int32_t x, uint32_t pair, int32_t acc) {
    int32_t r;
    __asm__("smlawt %0, %1, %2, %3" : "=r"(r) : "r"(x), "r"(pair), "r"(acc));
    return r;
}

#else

TN_INLINE int32_t tn_wide_product(int32_t x, int32_t half) {
    return (x >> 16) * half + (((x & 0xFFFF) * half) >> 16);
}
TN_INLINE int32_t tn_smulwb(int32_t x, uint32_t pair) {
    return tn_wide_product(x, (int16_t)(pair & 0xFFFFu));
}
TN_INLINE int32_t tn_smulwt(int32_t x, uint32_t pair) {
    return tn_wide_product(x, (int16_t)(pair >> 16));
}
TN_INLINE int32_t tn_add_smulwt(int32_t x, uint32_t pair, int32_t acc) {
    return acc + tn_smulwt(x, pair);
}

#endif

typedef struct {
    int32_t re, im;
} tn_complex;

TN_INLINE tn_complex tn_point(int32_t re, int32_t im) {
    const tn_complex z = {re, im};
    return z;
}

TN_INLINE tn_complex tn_loaded(const tn_complex *p) {
    uint32_t re, im;
    tn_load_two((const uint32_t *)(const void *)p, &re, &im);
    return tn_point((int32_t)re, (int32_t)im);
}

TN_INLINE tn_complex tn_half(tn_complex z) { return tn_point(z.re >> 1, z.im >> 1); }

/* z * w / 2, where w is (cosine, -sine) in Q15. */
TN_INLINE tn_complex tn_turned(tn_complex z, uint32_t w) {
    return tn_point(tn_smulwb(z.re, w) - tn_smulwt(z.im, w),
                    tn_add_smulwt(z.re, w, tn_smulwb(z.im, w)));
}

/* --- FFT ----------------------------------------------------------------------------------------
 *
 * A complex radix-4 FFT in time of pairs (even sample, odd sample), in place. The first stage takes
 * the windowed samples and writes them where base-4 digit reversal wants them; each later stage
 * also halves, because a product with a Q15 factor loses 16 bits. By the choice of
 * TN_LOG_MEL_PRODUCT_SHIFT no value passes 2^30 whatever the samples are. */

/* Writes the four-point transform of a, b, c, d to p[0], p[step], p[2 step], p[3 step]. */
TN_INLINE void tn_four_points(tn_complex *p, int32_t step, tn_complex a, tn_complex b,
                              tn_complex c, tn_complex d) {
    const tn_complex s = {a.re + c.re, a.im + c.im};
    const tn_complex t = {a.re - c.re, a.im - c.im};
    const tn_complex u = {b.re + d.re, b.im + d.im};
    const tn_complex v = {b.re - d.re, b.im - d.im};
    p[0] = tn_point(s.re + u.re, s.im + u.im);
    p[step] = tn_point(t.re + v.im, t.im - v.re);
    p[2 * step] = tn_point(s.re - u.re, s.im - u.im);
    p[3 * step] = tn_point(t.re - v.im, t.im + v.re);
}

/* Pair m of a quarter of the window, windowed. Whether it lies in the tail, in the new hop, or behind
 * the window, where there is nothing, is the same for all of a call of tn_first_stage: `begin` tells
 * the compiler. */
TN_INLINE tn_complex tn_windowed(const int16_t *tail, const int16_t *pcm, int32_t quarter,
                                 int32_t begin, int32_t m) {
    const int32_t first = quarter * (TN_LOG_MEL_FFT_SIZE / 4);
    if (first + 2 * begin >= TN_LOG_MEL_WINDOW) return tn_point(0, 0);
    const int32_t at = first + 2 * m;
    const uint32_t x = first + 2 * begin < TN_LOG_MEL_TAIL ? tn_load32(tail + at)
                                                           : tn_load32(pcm + at - TN_LOG_MEL_TAIL);
    const uint32_t w = tn_load32(tn_log_mel_window + at);
    const int32_t even = (int16_t)(x & 0xFFFFu) * (int16_t)(w & 0xFFFFu);
    const int32_t odd = (int16_t)(x >> 16) * (int16_t)(w >> 16);
    return tn_point(even >> TN_LOG_MEL_PRODUCT_SHIFT, odd >> TN_LOG_MEL_PRODUCT_SHIFT);
}

/* The first stage for pairs m of each quarter of the window, begin <= m < end. */
TN_INLINE void tn_first_stage(tn_complex *z, const int16_t *tail, const int16_t *pcm,
                              int32_t begin, int32_t end) {
    for (int32_t m = begin; m < end; m++) {
        tn_four_points(z + 4 * tn_log_mel_order[m], 1, tn_windowed(tail, pcm, 0, begin, m),
                       tn_windowed(tail, pcm, 1, begin, m), tn_windowed(tail, pcm, 2, begin, m),
                       tn_windowed(tail, pcm, 3, begin, m));
    }
}

/* A later stage: groups of four transforms of `quarter` points become one. Returns the factors of
 * the next. */
TN_INLINE const uint32_t *tn_later_stage(tn_complex *z, int32_t quarter, const uint32_t *factors) {
    const uint32_t *factor = factors;
    for (tn_complex *group = z; group < z + TN_LOG_MEL_POINTS; group += 4 * quarter) {
        tn_complex *p = group;
        tn_four_points(p, quarter, tn_half(tn_loaded(p)), tn_half(tn_loaded(p + quarter)),
                       tn_half(tn_loaded(p + 2 * quarter)), tn_half(tn_loaded(p + 3 * quarter)));
        factor = factors;
        for (p++; p < group + quarter; p++) {
            uint32_t first, second;
            tn_load_two(factor, &first, &second);
            tn_four_points(p, quarter, tn_half(tn_loaded(p)),
                           tn_turned(tn_loaded(p + quarter), first),
                           tn_turned(tn_loaded(p + 2 * quarter), second),
                           tn_turned(tn_loaded(p + 3 * quarter), factor[2]));
            factor += 3;
        }
    }
    return factor;
}

/* The spectrum of the real samples behind tail and pcm, in the order of its frequencies, still
 * folded into a complex one of half the points. */
static TN_NOINLINE TN_UNUSED void tn_log_mel_transform(const int16_t *tail, const int16_t *pcm,
                                                       tn_complex *z) {
    enum {
        quarter = TN_LOG_MEL_FFT_SIZE / 4, /* samples */
        hop_at = TN_LOG_MEL_TAIL % quarter / 2,
        end_at = TN_LOG_MEL_WINDOW % quarter / 2,
        low = hop_at < end_at ? hop_at : end_at,
        high = hop_at < end_at ? end_at : hop_at
    };
    if (low > 0) tn_first_stage(z, tail, pcm, 0, low);
    if (high > low) tn_first_stage(z, tail, pcm, low, high);
    tn_first_stage(z, tail, pcm, high, quarter / 2);
    const uint32_t *factors = tn_later_stage(z, 4, tn_log_mel_factors);
    factors = tn_later_stage(z, 16, factors);
    if (TN_LOG_MEL_POINTS == 256) tn_later_stage(z, 64, factors);
}

/* --- energies ---------------------------------------------------------------------------------- */

/* Unfolds the spectrum and puts the power of each frequency in its place: low word, high word.
 * One unit is the square of one step of the samples. */
static TN_NOINLINE TN_UNUSED void tn_log_mel_power(tn_complex *z) {
    for (int32_t k = 1; k <= TN_LOG_MEL_POINTS / 2; k++) {
        tn_complex *const low = z + k, *const high = z + TN_LOG_MEL_POINTS - k;
        const tn_complex a = *low, b = *high;
        const tn_complex even = {(a.re + b.re) >> 1, (a.im - b.im) >> 1};
        const tn_complex odd =
            tn_turned(tn_point(a.im + b.im, b.re - a.re), tn_log_mel_unfold[k - 1]);
        const int32_t re = (even.re + odd.re) >> TN_LOG_MEL_FRACTION_BITS;
        const int32_t im = (even.im + odd.im) >> TN_LOG_MEL_FRACTION_BITS;
        const uint64_t power = (uint64_t)((int64_t)re * re + (int64_t)im * im);
        const int32_t mirrored_re = (even.re - odd.re) >> TN_LOG_MEL_FRACTION_BITS;
        const int32_t mirrored_im = (even.im - odd.im) >> TN_LOG_MEL_FRACTION_BITS;
        const uint64_t mirrored =
            (uint64_t)((int64_t)mirrored_re * mirrored_re + (int64_t)mirrored_im * mirrored_im);
        low->re = (int32_t)(uint32_t)power;
        low->im = (int32_t)(uint32_t)(power >> 32);
        high->re = (int32_t)(uint32_t)mirrored;
        high->im = (int32_t)(uint32_t)(mirrored >> 32);
    }
}

TN_INLINE int32_t tn_leading_zeros(uint32_t x) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_clz(x);
#else
    int32_t count = 0;
    for (; x < 0x80000000u; x <<= 1) count++;
    return count;
#endif
}

/* log2(x) in Q15, x > 0, by a table of 32 chords: at most 0.0002 too low. */
TN_INLINE int32_t tn_log2_q15(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32);
    const int32_t zeros =
        high != 0 ? tn_leading_zeros(high) : 32 + tn_leading_zeros((uint32_t)x);
    const uint32_t top = (uint32_t)((x << zeros) >> 32);
    const uint16_t *const chord = tn_log_mel_log2 + (top >> 26 & 31u);
    const uint32_t rise = (uint32_t)(chord[1] - chord[0]) * (top >> 10 & 0xFFFFu);
    return ((63 - zeros) << 15) + chord[0] + (int32_t)(rise >> 16);
}

/* int8 of a band's energy, which has TN_LOG_MEL_WEIGHT_BITS fraction bits. */
TN_INLINE int8_t tn_log_mel_code(uint64_t energy) {
    const int32_t octaves = tn_log2_q15(energy + TN_LOG_MEL_FLOOR) - TN_LOG_MEL_FLOOR_LOG2_Q15;
    const int32_t steps = (octaves * TN_LOG_MEL_STEPS_PER_OCTAVE + (1 << 14)) >> 15; /* >= 0 */
    return (int8_t)(tn_min(steps, 255) - 128);
}

/* A frequency between two neighbouring band centres counts for both, with weights that sum to 1:
 * `rising` is what the upper band gets, the rest goes to the lower one. */
static TN_NOINLINE TN_UNUSED void tn_log_mel_column(const tn_complex *z, int8_t *column) {
    const uint32_t *power = (const uint32_t *)(const void *)(z + TN_LOG_MEL_FIRST_BIN);
    const uint16_t *weight = tn_log_mel_weights;
    uint64_t before = 0; /* what the band below got from the frequencies below its centre */
    for (int32_t i = 0; i <= TN_LOG_MEL_BANDS; i++) {
        uint64_t all = 0, rising = 0;
        uint32_t rising_high = 0; /* in 2^32 */
        for (int32_t left = tn_log_mel_bins[i]; left > 0; left--) {
            uint32_t low, high;
            tn_load_two(power, &low, &high);
            all += (uint64_t)high << 32 | low;
            rising += (uint64_t)low * *weight;
            rising_high += high * *weight;
            power += 2;
            weight++;
        }
        rising += (uint64_t)rising_high << 32;
        if (i > 0) {
            column[i - 1] =
                tn_log_mel_code(before + (all << TN_LOG_MEL_WEIGHT_BITS) - rising);
        }
        before = rising;
    }
}

/* --- interface --------------------------------------------------------------------------------- */

/* Before the first push, and again before a stream that has nothing to do with the last. */
static TN_UNUSED void tn_log_mel_init(tn_log_mel *state) {
    memset(state, 0, sizeof *state);
    state->missing = TN_LOG_MEL_WINDOW;
}

/* Takes the next TN_LOG_MEL_HOP samples. 1: `column` holds the TN_LOG_MEL_BANDS values of the
 * newest TN_LOG_MEL_WINDOW samples. 0: there are not that many yet, and it is left as it was.
 * `scratch` is TN_LOG_MEL_SCRATCH_WORDS words that carry nothing from call to call; it must not
 * overlap the rest. `pcm` is best 4-byte aligned. */
static TN_UNUSED int tn_log_mel_push(tn_log_mel *state, const int16_t *pcm, int32_t *scratch,
                                     int8_t *column) {
    tn_complex *const z = (tn_complex *)(void *)scratch;
    state->missing = tn_max(state->missing - TN_LOG_MEL_HOP, 0);
    if (state->missing == 0) {
        tn_log_mel_transform(state->tail, pcm, z);
        tn_log_mel_power(z);
        tn_log_mel_column(z, column);
    }
    const int32_t kept = tn_max(TN_LOG_MEL_TAIL - TN_LOG_MEL_HOP, 0);
    memmove(state->tail, state->tail + TN_LOG_MEL_TAIL - kept, (size_t)kept * sizeof(int16_t));
    memcpy(state->tail + kept, pcm + TN_LOG_MEL_HOP - (TN_LOG_MEL_TAIL - kept),
           (size_t)(TN_LOG_MEL_TAIL - kept) * sizeof(int16_t));
    return state->missing == 0;
}

#endif
