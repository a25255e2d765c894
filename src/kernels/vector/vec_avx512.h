/* The primitives of vec.h for AVX-512 F, BW, VL and DQ. */
#ifndef DQ_KERNELS_VECTOR_VEC_AVX512_H
#define DQ_KERNELS_VECTOR_VEC_AVX512_H

#include <immintrin.h>

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

#endif
