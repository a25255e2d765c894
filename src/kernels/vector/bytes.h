/* Products of 32 codes and 32 activations of 8 bits: the primitives of coded_bytes.c, alike in every variant, since memory and
 * not arithmetic bounds them.
 *
 *   dq_bytes               32 bytes
 *   load                   as they lie
 *   nibbles(p)             of 16 bytes: the low nibbles, then the high ones
 *   quarters(p)            of 8 bytes: their bits 0 and 1, then 2 and 3, 4 and 5, 6 and 7
 *   stream(p, bits)        32 codes of 3, 5, 6 or 7 bits, lowest bits first, in the order 0..7, 16..23, 8..15, 24..31; reads
 *                          16 bytes from p and from p + 2 bits
 *   high(p)                of a word of 32 bits: 16 in byte j where bit j is set
 *   or(a, b); centre(a)    unsigned bytes less 128, as signed ones
 *
 *   dq_sums                eight f32
 *   dq_sums_add(s, f, u, q)         s_l + f (u q of bytes 4 l .. 4 l + 3), rounded once; u 0 .. 127, q -127 .. 127
 *   dq_sums_add_signed(s, f, w, q)  with w -128 .. 127
 *   dq_sums_total          in a fixed order
 *   dq_f16_at(p)           an f16 at any address */
#ifndef DQ_KERNELS_VECTOR_BYTES_H
#define DQ_KERNELS_VECTOR_BYTES_H

#include "kernels/vector/vec.h"

enum { DQ_BYTES = 32, DQ_SUMS = 8, DQ_BYTES_REACH = 16 };

#if defined(DQ_VEC_AVX512) || defined(DQ_VEC_AVX2)

#include <immintrin.h>
#include <string.h>

typedef __m256i dq_bytes;
typedef __m256 dq_sums;

DQ_INLINE dq_bytes dq_bytes_load(const void *p) {
    return _mm256_loadu_si256(p);
}
DQ_INLINE dq_bytes dq_bytes_nibbles(const uint8_t *p) {
    __m128i both = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m256i spread = _mm256_inserti128_si256(_mm256_castsi128_si256(both), _mm_srli_epi16(both, 4), 1);
    return _mm256_and_si256(spread, _mm256_set1_epi8(15));
}
DQ_INLINE dq_bytes dq_bytes_quarters(const uint8_t *p) {
    int64_t eight;
    memcpy(&eight, p, sizeof eight);
    __m256i shifted = _mm256_srlv_epi64(_mm256_set1_epi64x(eight), _mm256_setr_epi64x(0, 2, 4, 6));
    return _mm256_and_si256(shifted, _mm256_set1_epi8(3));
}

/* Sixteen codes, each in the low byte of a 16-bit lane, above it zeros; other bits of the byte are undefined. A lane gets the two bytes
 * that its code lies in; multiplied by 2^(8 - shift) the code stands in the upper byte. */
DQ_INLINE __m256i dq_bytes_sixteen_(const uint8_t *p, int bits) {
#define DQ_PICK_(c)  (char)((c)*bits / 8), (char)((c)*bits / 8 + 1)
#define DQ_SHIFT_(c) (short)(1 << (8 - (c)*bits % 8))
    const __m256i pick = _mm256_setr_epi8(DQ_PICK_(0), DQ_PICK_(1), DQ_PICK_(2), DQ_PICK_(3), DQ_PICK_(4), DQ_PICK_(5),
                                          DQ_PICK_(6), DQ_PICK_(7), DQ_PICK_(8), DQ_PICK_(9), DQ_PICK_(10),
                                          DQ_PICK_(11), DQ_PICK_(12), DQ_PICK_(13), DQ_PICK_(14), DQ_PICK_(15));
    const __m256i shift =
        _mm256_setr_epi16(DQ_SHIFT_(0), DQ_SHIFT_(1), DQ_SHIFT_(2), DQ_SHIFT_(3), DQ_SHIFT_(4), DQ_SHIFT_(5),
                          DQ_SHIFT_(6), DQ_SHIFT_(7), DQ_SHIFT_(8), DQ_SHIFT_(9), DQ_SHIFT_(10), DQ_SHIFT_(11),
                          DQ_SHIFT_(12), DQ_SHIFT_(13), DQ_SHIFT_(14), DQ_SHIFT_(15));
#undef DQ_PICK_
#undef DQ_SHIFT_
    const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_srli_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(twice, pick), shift), 8);
}
DQ_INLINE dq_bytes dq_bytes_stream(const uint8_t *p, int bits) {
    __m256i packed = _mm256_packus_epi16(dq_bytes_sixteen_(p, bits), dq_bytes_sixteen_(p + 2 * bits, bits));
    return _mm256_and_si256(packed, _mm256_set1_epi8((char)((1 << bits) - 1)));
}
DQ_INLINE dq_bytes dq_bytes_high(const uint8_t *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    const __m256i pick = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    __m256i bytes = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), pick), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bit), _mm256_set1_epi8(16));
}
DQ_INLINE dq_bytes dq_bytes_or(dq_bytes a, dq_bytes b) {
    return _mm256_or_si256(a, b);
}
DQ_INLINE dq_bytes dq_bytes_centre(dq_bytes a) {
    return _mm256_xor_si256(a, _mm256_set1_epi8((char)0x80));
}

DQ_INLINE dq_sums dq_sums_zero(void) {
    return _mm256_setzero_ps();
}
DQ_INLINE dq_sums dq_sums_add(dq_sums s, float f, dq_bytes u, dq_bytes q) {
    __m256i fours = _mm256_madd_epi16(_mm256_maddubs_epi16(u, q), _mm256_set1_epi16(1));
    return _mm256_fmadd_ps(_mm256_set1_ps(f), _mm256_cvtepi32_ps(fours), s);
}
DQ_INLINE dq_sums dq_sums_add_signed(dq_sums s, float f, dq_bytes w, dq_bytes q) {
    return dq_sums_add(s, f, _mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
}
DQ_INLINE float dq_sums_total(dq_sums s) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
DQ_INLINE float dq_f16_at(const void *p) {
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

#else

#include <string.h>

#include "base/half.h"

typedef struct dq_bytes {
    uint8_t at[DQ_BYTES];
} dq_bytes;
typedef struct dq_sums {
    float at[DQ_SUMS];
} dq_sums;

DQ_INLINE dq_bytes dq_bytes_load(const void *p) {
    dq_bytes r;
    memcpy(&r, p, sizeof r);
    return r;
}
DQ_INLINE dq_bytes dq_bytes_nibbles(const uint8_t *p) {
    dq_bytes r;
    for (int j = 0; j < DQ_BYTES; j++) r.at[j] = p[j % 16] >> j / 16 * 4 & 15;
    return r;
}
DQ_INLINE dq_bytes dq_bytes_quarters(const uint8_t *p) {
    dq_bytes r;
    for (int j = 0; j < DQ_BYTES; j++) r.at[j] = p[j % 8] >> j / 8 * 2 & 3;
    return r;
}
DQ_INLINE dq_bytes dq_bytes_stream(const uint8_t *p, int bits) {
    dq_bytes r;
    for (int j = 0; j < DQ_BYTES; j++) {
        int code = j / 8 == 1 ? j + 8 : j / 8 == 2 ? j - 8 : j, first = code * bits;
        unsigned two = p[first / 8] | (unsigned)(first % 8 + bits > 8 ? p[first / 8 + 1] : 0) << 8;
        r.at[j] = (uint8_t)(two >> first % 8 & ((1u << bits) - 1));
    }
    return r;
}
DQ_INLINE dq_bytes dq_bytes_high(const uint8_t *p) {
    dq_bytes r;
    for (int j = 0; j < DQ_BYTES; j++) r.at[j] = (uint8_t)((p[j / 8] >> j % 8 & 1) << 4);
    return r;
}
DQ_INLINE dq_bytes dq_bytes_or(dq_bytes a, dq_bytes b) {
    for (int j = 0; j < DQ_BYTES; j++) a.at[j] |= b.at[j];
    return a;
}
DQ_INLINE dq_bytes dq_bytes_centre(dq_bytes a) {
    for (int j = 0; j < DQ_BYTES; j++) a.at[j] ^= 0x80;
    return a;
}

DQ_INLINE dq_sums dq_sums_zero(void) {
    return (dq_sums){{0}};
}
DQ_INLINE dq_sums dq_sums_add(dq_sums s, float f, dq_bytes u, dq_bytes q) {
    for (int l = 0; l < DQ_SUMS; l++) {
        int four = 0;
        for (int j = 4 * l; j < 4 * l + 4; j++) four += u.at[j] * (int8_t)q.at[j];
        s.at[l] = fmaf(f, (float)four, s.at[l]);
    }
    return s;
}
DQ_INLINE dq_sums dq_sums_add_signed(dq_sums s, float f, dq_bytes w, dq_bytes q) {
    for (int l = 0; l < DQ_SUMS; l++) {
        int four = 0;
        for (int j = 4 * l; j < 4 * l + 4; j++) four += (int8_t)w.at[j] * (int8_t)q.at[j];
        s.at[l] = fmaf(f, (float)four, s.at[l]);
    }
    return s;
}
DQ_INLINE float dq_sums_total(dq_sums s) {
    for (int half = DQ_SUMS / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) s.at[l] += s.at[l + half];
    return s.at[0];
}
DQ_INLINE float dq_f16_at(const void *p) {
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return dq_f16_to_f32(half);
}

#endif
#endif
