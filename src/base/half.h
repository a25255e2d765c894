/* f16 and bf16 as bits in a uint16_t; conversions exact or to nearest even, subnormals kept, NaN stays NaN. */
#ifndef DQ_BASE_HALF_H
#define DQ_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t dq_f32_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float dq_f32_from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float dq_bf16_to_f32(uint16_t h) { return dq_f32_from_bits((uint32_t)h << 16); }

static inline uint16_t dq_f32_to_bf16(float x) {
    uint32_t u = dq_f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40); /* keep a NaN a NaN */
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

static inline float dq_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 1023;
    if (exponent == 31) return dq_f32_from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) {
        float x = (float)fraction * 0x1p-24f; /* exact */
        return dq_f32_from_bits(sign | dq_f32_bits(x));
    }
    return dq_f32_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t dq_f32_to_f16(float x) {
    uint32_t u = dq_f32_bits(x), magnitude = u & 0x7fffffffu;
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (magnitude > 0x7f800000u) return sign | 0x7e00;
    if (magnitude >= 0x477ff000u) return sign | 0x7c00; /* 65520 and above round to infinity */
    if (magnitude < 0x38800000u) {
        /* Subnormal: adding 0.5 puts the f16 unit 2^-24 at the last place, so the addition rounds to nearest even. */
        float shifted = dq_f32_from_bits(magnitude) + 0.5f;
        return sign | (uint16_t)(dq_f32_bits(shifted) - dq_f32_bits(0.5f));
    }
    uint32_t rounded = magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1);
    return sign | (uint16_t)(rounded >> 13);
}

#endif
