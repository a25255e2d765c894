/* The primitives of vec.h for AVX-512 F, BW, VL and DQ. */
#ifndef DQ_KERNELS_VECTOR_VEC_AVX512_H
#define DQ_KERNELS_VECTOR_VEC_AVX512_H

#include <immintrin.h>
#include <string.h>

/* 12 x 32: twenty-four sums of the thirty-two registers; a load of B and half a broadcast of A for each six. */
enum { DQ_VEC_WIDTH = 16, DQ_TILE_ROWS = 12, DQ_TILE_VECTORS = 2 };

typedef __m512 dq_vec;

DQ_INLINE dq_vec dq_vec_zero(void) {
    return _mm512_setzero_ps();
}
DQ_INLINE dq_vec dq_vec_set(float x) {
    return _mm512_set1_ps(x);
}
DQ_INLINE dq_vec dq_vec_load(const float *x) {
    return _mm512_loadu_ps(x);
}
DQ_INLINE void dq_vec_store(float *x, dq_vec a) {
    _mm512_storeu_ps(x, a);
}

DQ_INLINE __mmask16 dq_vec_mask_(int count) {
    return (__mmask16)(count >= 16 ? 0xffffu : count <= 0 ? 0u : (1u << count) - 1);
}
DQ_INLINE dq_vec dq_vec_load_part(const float *x, int count) {
    return _mm512_maskz_loadu_ps(dq_vec_mask_(count), x);
}
DQ_INLINE void dq_vec_store_part(float *x, dq_vec a, int count) {
    _mm512_mask_storeu_ps(x, dq_vec_mask_(count), a);
}

DQ_INLINE dq_vec dq_vec_add(dq_vec a, dq_vec b) {
    return _mm512_add_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_sub(dq_vec a, dq_vec b) {
    return _mm512_sub_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_mul(dq_vec a, dq_vec b) {
    return _mm512_mul_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_div(dq_vec a, dq_vec b) {
    return _mm512_div_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_sqrt(dq_vec a) {
    return _mm512_sqrt_ps(a);
}
DQ_INLINE dq_vec dq_vec_fma(dq_vec a, dq_vec b, dq_vec c) {
    return _mm512_fmadd_ps(a, b, c);
}
DQ_INLINE dq_vec dq_vec_fnma(dq_vec a, dq_vec b, dq_vec c) {
    return _mm512_fnmadd_ps(a, b, c);
}
DQ_INLINE void dq_vec_abreast(dq_vec *a, dq_vec *b) {
    __asm__("" : "+v"(*a), "+v"(*b));
}
DQ_INLINE dq_vec dq_vec_max(dq_vec a, dq_vec b) {
    return _mm512_max_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_min(dq_vec a, dq_vec b) {
    return _mm512_min_ps(a, b);
}
DQ_INLINE dq_vec dq_vec_round(dq_vec a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
DQ_INLINE dq_vec dq_vec_scale(dq_vec x, dq_vec n) {
    return _mm512_scalef_ps(x, n);
}

DQ_INLINE dq_vec dq_vec_bf16(dq_vec a) {
    __m512i bits = _mm512_castps_si512(a), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    sum = _mm512_mask_or_epi32(sum, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_castsi512_ps(_mm512_and_si512(sum, _mm512_set1_epi32((int)0xffff0000)));
}

DQ_INLINE float dq_vec_total(dq_vec a) {
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

DQ_INLINE float dq_vec_top(dq_vec a) {
    __m256 half = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 top = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    top = _mm_max_ps(top, _mm_movehl_ps(top, top));
    return _mm_cvtss_f32(_mm_max_ss(top, _mm_movehdup_ps(top)));
}

DQ_INLINE void dq_vec_transpose(dq_vec row[DQ_VEC_WIDTH]) {
    /* Within quarters of 128 bits as 4 x 4, then the 4 x 4 quarters themselves. */
    __m512 pair[16], four[16];
    for (int i = 0; i < 16; i += 2) {
        pair[i] = _mm512_unpacklo_ps(row[i], row[i + 1]);
        pair[i + 1] = _mm512_unpackhi_ps(row[i], row[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        four[i] = _mm512_shuffle_ps(pair[i], pair[i + 2], 0x44);
        four[i + 1] = _mm512_shuffle_ps(pair[i], pair[i + 2], 0xee);
        four[i + 2] = _mm512_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        four[i + 3] = _mm512_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        __m512 low = _mm512_shuffle_f32x4(four[i], four[i + 4], 0x88);
        __m512 high = _mm512_shuffle_f32x4(four[i + 8], four[i + 12], 0x88);
        __m512 odd_low = _mm512_shuffle_f32x4(four[i], four[i + 4], 0xdd);
        __m512 odd_high = _mm512_shuffle_f32x4(four[i + 8], four[i + 12], 0xdd);
        row[i] = _mm512_shuffle_f32x4(low, high, 0x88);
        row[i + 4] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
        row[i + 8] = _mm512_shuffle_f32x4(low, high, 0xdd);
        row[i + 12] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
    }
}

typedef __mmask16 dq_mask;

DQ_INLINE dq_mask dq_mask_within(dq_vec x, dq_vec low, dq_vec high) {
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(x, low, _CMP_GE_OQ), x, high, _CMP_LE_OQ);
}
DQ_INLINE uint32_t dq_mask_bits(dq_mask m) {
    return m;
}
DQ_INLINE dq_mask dq_mask_of(uint32_t bits) {
    return (dq_mask)bits;
}
DQ_INLINE dq_vec dq_vec_keep(dq_vec a, dq_mask m) {
    return _mm512_maskz_mov_ps(m, a);
}

DQ_INLINE void dq_vec_store_bytes(uint8_t *p, dq_vec a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(a)));
}

typedef __m512i dq_ints;

DQ_INLINE dq_ints dq_ints_bytes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
DQ_INLINE dq_ints dq_ints_signed_bytes(const uint8_t *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
/* Up to two bits the sixteen codes lie in one word; above, each lane picks the two bytes in which its code lies. */
DQ_INLINE dq_ints dq_ints_stream(const uint8_t *p, int bits) {
    if (bits == 8) return dq_ints_bytes(p);
#define DQ_EACH_(f)                                                                                                    \
    _mm512_setr_epi32(f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12), f(13), f(14),   \
                      f(15))
#define DQ_FAR_(i)   (i) * bits
#define DQ_PICK_(i)  (i) * bits / 8 | ((i)*bits / 8 + 1) << 8 | (int)0x80800000
#define DQ_SHIFT_(i) (i) * bits % 8
    if (bits <= 2) {
        int32_t word;
        memcpy(&word, p, sizeof word);
        return _mm512_srlv_epi32(_mm512_set1_epi32(word), DQ_EACH_(DQ_FAR_));
    }
    __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm512_srlv_epi32(_mm512_shuffle_epi8(bytes, DQ_EACH_(DQ_PICK_)), DQ_EACH_(DQ_SHIFT_));
#undef DQ_FAR_
#undef DQ_PICK_
#undef DQ_SHIFT_
#undef DQ_EACH_
}
DQ_INLINE dq_ints dq_ints_and(dq_ints a, int mask) {
    return _mm512_and_si512(a, _mm512_set1_epi32(mask));
}
DQ_INLINE dq_ints dq_ints_or(dq_ints a, dq_ints b) {
    return _mm512_or_si512(a, b);
}
DQ_INLINE dq_ints dq_ints_right(dq_ints a, int n) {
    return _mm512_srli_epi32(a, (unsigned)n);
}
DQ_INLINE dq_ints dq_ints_left(dq_ints a, int n) {
    return _mm512_slli_epi32(a, (unsigned)n);
}
DQ_INLINE dq_ints dq_ints_count(void) {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
DQ_INLINE dq_vec dq_vec_of_ints(dq_ints a) {
    return _mm512_cvtepi32_ps(a);
}
DQ_INLINE dq_vec dq_vec_pick(dq_vec table, dq_ints a) {
    return _mm512_permutexvar_ps(a, table);
}
DQ_INLINE dq_vec dq_vec_set_f16(const void *p) {
    int16_t half;
    memcpy(&half, p, sizeof half);
    return _mm512_cvtph_ps(_mm256_set1_epi16(half));
}
DQ_INLINE dq_vec dq_vec_set_f16_pair(const void *p, float *second) {
    int32_t halves;
    memcpy(&halves, p, sizeof halves);
    const __m128 both = _mm_cvtph_ps(_mm_cvtsi32_si128(halves));
    *second = _mm_cvtss_f32(_mm_movehdup_ps(both));
    return _mm512_broadcastss_ps(both);
}
DQ_INLINE dq_vec dq_vec_load_f16(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
DQ_INLINE dq_vec dq_vec_load_bf16(const void *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}

#endif
