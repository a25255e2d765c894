/* The primitives of vec.h for AVX2 with FMA. */
#ifndef DQ_KERNELS_VECTOR_VEC_AVX2_H
#define DQ_KERNELS_VECTOR_VEC_AVX2_H

#include <immintrin.h>
#include <string.h>

/* 6 x 16: twelve sums, two vectors of B and one broadcast of A fill the sixteen registers, and twelve independent sums
 * hide the latency of two FMA units. */
enum { DQ_VEC_WIDTH = 8, DQ_TILE_ROWS = 6, DQ_TILE_VECTORS = 2 };

typedef __m256 dq_vec;

DQ_INLINE dq_vec dq_vec_zero(void) {
    return _mm256_setzero_ps();
}
DQ_INLINE dq_vec dq_vec_set(float x) {
    return _mm256_set1_ps(x);
}
DQ_INLINE dq_vec dq_vec_load(const float *x) {
    return _mm256_loadu_ps(x);
}
DQ_INLINE void dq_vec_store(float *x, dq_vec a) {
    _mm256_storeu_ps(x, a);
}

DQ_INLINE __m256i dq_vec_mask_(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
DQ_INLINE dq_vec dq_vec_load_part(const float *x, int count) {
    return _mm256_maskload_ps(x, dq_vec_mask_(count));
}
DQ_INLINE void dq_vec_store_part(float *x, dq_vec a, int count) {
    _mm256_maskstore_ps(x, dq_vec_mask_(count), a);
}

DQ_INLINE dq_vec dq_vec_add(dq_vec a, dq_vec b) {
    return _mm256_add_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_sub(dq_vec a, dq_vec b) {
    return _mm256_sub_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_mul(dq_vec a, dq_vec b) {
    return _mm256_mul_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_div(dq_vec a, dq_vec b) {
    return _mm256_div_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_sqrt(dq_vec a) {
    return _mm256_sqrt_ps(a);
}
DQ_INLINE dq_vec dq_vec_fma(dq_vec a, dq_vec b, dq_vec c) {
    return _mm256_fmadd_ps(a, b, c);
}
DQ_INLINE dq_vec dq_vec_fnma(dq_vec a, dq_vec b, dq_vec c) {
    return _mm256_fnmadd_ps(a, b, c);
}
DQ_INLINE void dq_vec_abreast(dq_vec *a, dq_vec *b) {
    __asm__("" : "+x"(*a), "+x"(*b));
}
DQ_INLINE dq_vec dq_vec_max(dq_vec a, dq_vec b) {
    return _mm256_max_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_min(dq_vec a, dq_vec b) {
    return _mm256_min_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_round(dq_vec a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* In two factors, because 2^n itself may be beyond the range of f32. */
DQ_INLINE dq_vec dq_vec_scale(dq_vec x, dq_vec n) {
    __m256i whole = _mm256_cvtps_epi32(n), first = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, first);
    __m256i one = _mm256_set1_epi32(127);
    x = _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(first, one), 23)));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, one), 23)));
}

DQ_INLINE dq_vec dq_vec_bf16(dq_vec a) {
    __m256i bits = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256 nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    sum = _mm256_blendv_epi8(sum, quiet, _mm256_castps_si256(nan));
    return _mm256_castsi256_ps(_mm256_and_si256(sum, _mm256_set1_epi32((int)0xffff0000)));
}

DQ_INLINE float dq_vec_total(dq_vec a) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

DQ_INLINE float dq_vec_top(dq_vec a) {
    __m128 top = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    top = _mm_max_ps(top, _mm_movehl_ps(top, top));
    return _mm_cvtss_f32(_mm_max_ss(top, _mm_movehdup_ps(top)));
}

DQ_INLINE void dq_vec_transpose(dq_vec row[DQ_VEC_WIDTH]) {
    __m256 pair[8], four[8];
    for (int i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        four[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        four[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
        four[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        four[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        row[i] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x20);
        row[i + 4] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x31);
    }
}

typedef __m256 dq_mask; /* all bits of a lane, or none */

DQ_INLINE dq_mask dq_mask_within(dq_vec x, dq_vec low, dq_vec high) {
    return _mm256_and_ps(_mm256_cmp_ps(x, low, _CMP_GE_OQ), _mm256_cmp_ps(x, high, _CMP_LE_OQ));
}
DQ_INLINE uint32_t dq_mask_bits(dq_mask m) {
    return (uint32_t)_mm256_movemask_ps(m);
}
DQ_INLINE dq_mask dq_mask_of(uint32_t bits) {
    __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), lane), lane));
}
DQ_INLINE dq_vec dq_vec_keep(dq_vec a, dq_mask m) {
    return _mm256_and_ps(a, m);
}

DQ_INLINE void dq_vec_store_bytes(uint8_t *p, dq_vec a) {
    __m256i whole = _mm256_cvtps_epi32(a);
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
}

typedef __m256i dq_ints;

DQ_INLINE dq_ints dq_ints_bytes(const uint8_t *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
DQ_INLINE dq_ints dq_ints_signed_bytes(const uint8_t *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
/* Up to four bits the eight codes lie in one word; above, each lane picks the two bytes in which its code lies. */
DQ_INLINE dq_ints dq_ints_stream(const uint8_t *p, int bits) {
    if (bits == 8) return dq_ints_bytes(p);
    if (bits <= 4) {
        int32_t word;
        memcpy(&word, p, sizeof word);
        __m256i shift = _mm256_setr_epi32(0, bits, 2 * bits, 3 * bits, 4 * bits, 5 * bits, 6 * bits, 7 * bits);
        return _mm256_srlv_epi32(_mm256_set1_epi32(word), shift);
    }
    int64_t word;
    memcpy(&word, p, sizeof word);
#define DQ_PICK_(i)  (i) * bits / 8 | ((i)*bits / 8 + 1) << 8 | (int)0x80800000
#define DQ_SHIFT_(i) (i) * bits % 8
    __m256i pick = _mm256_setr_epi32(DQ_PICK_(0), DQ_PICK_(1), DQ_PICK_(2), DQ_PICK_(3), DQ_PICK_(4), DQ_PICK_(5),
                                     DQ_PICK_(6), DQ_PICK_(7));
    __m256i shift = _mm256_setr_epi32(DQ_SHIFT_(0), DQ_SHIFT_(1), DQ_SHIFT_(2), DQ_SHIFT_(3), DQ_SHIFT_(4),
                                      DQ_SHIFT_(5), DQ_SHIFT_(6), DQ_SHIFT_(7));
#undef DQ_PICK_
#undef DQ_SHIFT_
    return _mm256_srlv_epi32(_mm256_shuffle_epi8(_mm256_set1_epi64x(word), pick), shift);
}
#define DQ_HAS_INTS_OF_WORDS
DQ_INLINE dq_ints dq_ints_spread(const uint8_t *p, int bits) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    const int one = (1 << bits) - 1;
    return _mm256_and_si256(_mm256_set1_epi32(word),
                            _mm256_setr_epi32(one, one << bits, one << 2 * bits, one << 3 * bits, one << 4 * bits,
                                              one << 5 * bits, one << 6 * bits, one << 7 * bits));
}
DQ_INLINE dq_ints dq_ints_nibbles(const uint8_t *p, int v) {
    const __m128i both = _mm_loadu_si128((const __m128i *)(const void *)p), fifteen = _mm_set1_epi8(15);
    const __m128i even = _mm_and_si128(both, fifteen), odd = _mm_and_si128(_mm_srli_epi16(both, 4), fifteen);
    const __m128i half = v < 2 ? _mm_unpacklo_epi8(even, odd) : _mm_unpackhi_epi8(even, odd);
    return _mm256_cvtepu8_epi32(v % 2 ? _mm_srli_si128(half, 8) : half);
}
DQ_INLINE dq_ints dq_ints_and(dq_ints a, int mask) {
    return _mm256_and_si256(a, _mm256_set1_epi32(mask));
}
DQ_INLINE dq_ints dq_ints_or(dq_ints a, dq_ints b) {
    return _mm256_or_si256(a, b);
}
DQ_INLINE dq_ints dq_ints_right(dq_ints a, int n) {
    return _mm256_srli_epi32(a, n);
}
DQ_INLINE dq_ints dq_ints_left(dq_ints a, int n) {
    return _mm256_slli_epi32(a, n);
}
DQ_INLINE dq_ints dq_ints_count(void) {
    return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
}
DQ_INLINE dq_vec dq_vec_of_ints(dq_ints a) {
    return _mm256_cvtepi32_ps(a);
}
DQ_INLINE dq_vec dq_vec_pick(dq_vec table, dq_ints a) {
    return _mm256_permutevar8x32_ps(table, a);
}
DQ_INLINE dq_vec dq_vec_set_f16(const void *p) {
    int16_t half;
    memcpy(&half, p, sizeof half);
    return _mm256_cvtph_ps(_mm_set1_epi16(half));
}
DQ_INLINE dq_vec dq_vec_set_f16_pair(const void *p, float *second) {
    int32_t halves;
    memcpy(&halves, p, sizeof halves);
    const __m128 both = _mm_cvtph_ps(_mm_cvtsi32_si128(halves));
    *second = _mm_cvtss_f32(_mm_movehdup_ps(both));
    return _mm256_broadcastss_ps(both);
}
DQ_INLINE dq_vec dq_vec_load_f16(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
DQ_INLINE dq_vec dq_vec_load_bf16(const void *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}

#endif
