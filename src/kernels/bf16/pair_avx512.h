/* The pairs of pair.h for AVX512_BF16. */
#ifndef DQ_KERNELS_BF16_PAIR_AVX512_H
#define DQ_KERNELS_BF16_PAIR_AVX512_H

#include <immintrin.h>

typedef __m512i dq_pair;

DQ_INLINE dq_pair dq_pair_zero(void) {
    return _mm512_setzero_si512();
}
DQ_INLINE dq_pair dq_pair_load(const uint32_t *x) {
    return _mm512_loadu_si512(x);
}
DQ_INLINE dq_pair dq_pair_set(uint32_t x) {
    return _mm512_set1_epi32((int)x);
}
DQ_INLINE void dq_pair_store(uint32_t *to, dq_pair a) {
    _mm512_storeu_si512(to, a);
}
DQ_INLINE void dq_pair_store_part(uint32_t *to, dq_pair a, int count) {
    _mm512_mask_storeu_epi32(to, dq_vec_mask_(count), a);
}

DQ_INLINE dq_pair dq_pair_along(dq_vec first, dq_vec second) {
    return (dq_pair)_mm512_cvtne2ps_pbh(second, first);
}

/* Word 2i from the first sixteen, 2i + 1 from the second. */
DQ_INLINE dq_pair dq_pair_of(dq_vec first, dq_vec second) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, dq_pair_along(first, second));
}

DQ_INLINE void dq_pair_transpose(dq_pair row[DQ_VEC_WIDTH]) {
    dq_vec turned[DQ_VEC_WIDTH];
    for (int i = 0; i < DQ_VEC_WIDTH; i++) turned[i] = _mm512_castsi512_ps(row[i]);
    dq_vec_transpose(turned);
    for (int i = 0; i < DQ_VEC_WIDTH; i++) row[i] = _mm512_castps_si512(turned[i]);
}

DQ_INLINE dq_pair dq_pair_pick(dq_pair table, dq_pair at) {
    return _mm512_permutexvar_epi16(at, table);
}
DQ_INLINE dq_pair dq_pair_bytes(const uint8_t *p) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
DQ_INLINE dq_pair dq_pair_nibbles(const uint8_t *p) {
    const __m128i both = _mm_loadu_si128((const __m128i *)(const void *)p), four = _mm_set1_epi8(15);
    const __m128i low = _mm_and_si128(both, four), high = _mm_and_si128(_mm_srli_epi16(both, 4), four);
    return _mm512_cvtepu8_epi16(_mm256_set_m128i(high, low));
}
DQ_INLINE dq_pair dq_pair_joined_(const uint8_t *p, const uint8_t *q) {
    const __m512i first = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    const __m512i second = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)q));
    return _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
}
DQ_INLINE dq_pair dq_pair_bytes_of(const uint8_t *p, const uint8_t *q) {
    return _mm512_or_si512(dq_pair_joined_(p, q), _mm512_set1_epi32(DQ_VEC_WIDTH << 16));
}
DQ_INLINE dq_pair dq_pair_nibbles_of(const uint8_t *p, const uint8_t *q, bool high) {
    const __m512i both = dq_pair_joined_(p, q);
    const __m512i four = _mm512_and_si512(high ? _mm512_srli_epi32(both, 4) : both, _mm512_set1_epi32(0x000f000f));
    return _mm512_or_si512(four, _mm512_set1_epi32(DQ_VEC_WIDTH << 16));
}

DQ_INLINE dq_vec dq_pair_dot(dq_vec sum, dq_pair a, dq_pair b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

#endif
