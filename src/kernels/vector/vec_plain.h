/* The primitives of vec.h in plain C, 16 wide as AVX-512: for the tests. */
#ifndef DQ_KERNELS_VECTOR_VEC_PLAIN_H
#define DQ_KERNELS_VECTOR_VEC_PLAIN_H

#include <math.h>
#include <string.h>

#include "base/half.h"

enum { DQ_VEC_WIDTH = 16, DQ_TILE_ROWS = 12, DQ_TILE_VECTORS = 2 };

typedef struct dq_vec {
    float lane[DQ_VEC_WIDTH];
} dq_vec;

#define DQ_EACH_LANE for (int i = 0; i < DQ_VEC_WIDTH; i++)

DQ_INLINE dq_vec dq_vec_set(float x) {
    dq_vec r;
    DQ_EACH_LANE r.lane[i] = x;
    return r;
}

DQ_INLINE dq_vec dq_vec_zero(void) {
    return dq_vec_set(0);
}

DQ_INLINE dq_vec dq_vec_load_part(const float *x, int count) {
    dq_vec r = dq_vec_zero();
    for (int i = 0; i < count && i < DQ_VEC_WIDTH; i++) r.lane[i] = x[i];
    return r;
}

DQ_INLINE dq_vec dq_vec_load(const float *x) {
    return dq_vec_load_part(x, DQ_VEC_WIDTH);
}

DQ_INLINE void dq_vec_store_part(float *x, dq_vec a, int count) {
    for (int i = 0; i < count && i < DQ_VEC_WIDTH; i++) x[i] = a.lane[i];
}

DQ_INLINE void dq_vec_store(float *x, dq_vec a) {
    dq_vec_store_part(x, a, DQ_VEC_WIDTH);
}

#define DQ_LANEWISE(name, expression)                                                                                  \
    DQ_INLINE dq_vec dq_vec_##name(dq_vec a, dq_vec b) {                                                               \
        dq_vec r;                                                                                                      \
        DQ_EACH_LANE {                                                                                                 \
            float x = a.lane[i], y = b.lane[i];                                                                        \
            r.lane[i] = expression;                                                                                    \
        }                                                                                                              \
        return r;                                                                                                      \
    }

DQ_LANEWISE(add, x + y)
DQ_LANEWISE(sub, x - y)
DQ_LANEWISE(mul, x *y)
DQ_LANEWISE(div, x / y)
DQ_LANEWISE(max, x > y ? x : y)
DQ_LANEWISE(min, x < y ? x : y)
DQ_LANEWISE(scale, ldexpf(x, y == y ? (int)y : 0))

DQ_INLINE dq_vec dq_vec_fma(dq_vec a, dq_vec b, dq_vec c) {
    DQ_EACH_LANE c.lane[i] = fmaf(a.lane[i], b.lane[i], c.lane[i]);
    return c;
}

DQ_INLINE dq_vec dq_vec_fnma(dq_vec a, dq_vec b, dq_vec c) {
    DQ_EACH_LANE c.lane[i] = fmaf(-a.lane[i], b.lane[i], c.lane[i]);
    return c;
}

DQ_INLINE dq_vec dq_vec_sqrt(dq_vec a) {
    DQ_EACH_LANE a.lane[i] = sqrtf(a.lane[i]);
    return a;
}

DQ_INLINE dq_vec dq_vec_round(dq_vec a) {
    DQ_EACH_LANE a.lane[i] = nearbyintf(a.lane[i]);
    return a;
}

DQ_INLINE dq_vec dq_vec_bf16(dq_vec a) {
    DQ_EACH_LANE a.lane[i] = dq_bf16_to_f32(dq_f32_to_bf16(a.lane[i]));
    return a;
}

DQ_INLINE void dq_vec_abreast(dq_vec *a, dq_vec *b) {
    (void)a;
    (void)b;
}

DQ_INLINE float dq_vec_total(dq_vec a) {
    for (int half = DQ_VEC_WIDTH / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a.lane[i] += a.lane[i + half];
    return a.lane[0];
}

DQ_INLINE float dq_vec_top(dq_vec a) {
    for (int half = DQ_VEC_WIDTH / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a.lane[i] = a.lane[i] > a.lane[i + half] ? a.lane[i] : a.lane[i + half];
    return a.lane[0];
}

DQ_INLINE void dq_vec_transpose(dq_vec row[DQ_VEC_WIDTH]) {
    DQ_EACH_LANE for (int j = 0; j < i; j++) {
        float kept = row[i].lane[j];
        row[i].lane[j] = row[j].lane[i];
        row[j].lane[i] = kept;
    }
}

typedef uint32_t dq_mask;

DQ_INLINE dq_mask dq_mask_within(dq_vec x, dq_vec low, dq_vec high) {
    dq_mask m = 0;
    DQ_EACH_LANE m |= (dq_mask)(x.lane[i] >= low.lane[i] && x.lane[i] <= high.lane[i]) << i;
    return m;
}
DQ_INLINE uint32_t dq_mask_bits(dq_mask m) {
    return m;
}
DQ_INLINE dq_mask dq_mask_of(uint32_t bits) {
    return bits & 0xffff;
}
DQ_INLINE dq_vec dq_vec_keep(dq_vec a, dq_mask m) {
    DQ_EACH_LANE a.lane[i] = m >> i & 1 ? a.lane[i] : 0.0f;
    return a;
}

DQ_INLINE void dq_vec_store_bytes(uint8_t *p, dq_vec a) {
    DQ_EACH_LANE p[i] = a.lane[i] > 0 ? (uint8_t)a.lane[i] : 0; /* NaN too */
}

typedef struct dq_ints {
    int32_t lane[DQ_VEC_WIDTH];
} dq_ints;

DQ_INLINE dq_ints dq_ints_bytes(const uint8_t *p) {
    dq_ints r;
    DQ_EACH_LANE r.lane[i] = p[i];
    return r;
}

DQ_INLINE dq_ints dq_ints_signed_bytes(const uint8_t *p) {
    dq_ints r;
    DQ_EACH_LANE r.lane[i] = (int8_t)p[i];
    return r;
}

/* Reads and leaves above the code what AVX-512 does. */
DQ_INLINE dq_ints dq_ints_stream(const uint8_t *p, int bits) {
    if (bits == 8) return dq_ints_bytes(p);
    uint8_t bytes[DQ_VEC_WIDTH + 1] = {0};
    memcpy(bytes, p, bits <= 2 ? 4 : DQ_VEC_WIDTH);
    dq_ints r;
    DQ_EACH_LANE r.lane[i] = (bytes[i * bits / 8] | bytes[i * bits / 8 + 1] << 8) >> (i * bits % 8);
    return r;
}

DQ_INLINE dq_ints dq_ints_and(dq_ints a, int mask) {
    DQ_EACH_LANE a.lane[i] &= mask;
    return a;
}

DQ_INLINE dq_ints dq_ints_or(dq_ints a, dq_ints b) {
    DQ_EACH_LANE a.lane[i] |= b.lane[i];
    return a;
}

DQ_INLINE dq_ints dq_ints_right(dq_ints a, int n) {
    DQ_EACH_LANE a.lane[i] = (int32_t)((uint32_t)a.lane[i] >> n);
    return a;
}

DQ_INLINE dq_ints dq_ints_left(dq_ints a, int n) {
    DQ_EACH_LANE a.lane[i] = (int32_t)((uint32_t)a.lane[i] << n);
    return a;
}

DQ_INLINE dq_ints dq_ints_count(void) {
    dq_ints r;
    DQ_EACH_LANE r.lane[i] = i;
    return r;
}

DQ_INLINE dq_vec dq_vec_of_ints(dq_ints a) {
    dq_vec r;
    DQ_EACH_LANE r.lane[i] = (float)a.lane[i];
    return r;
}

DQ_INLINE dq_vec dq_vec_pick(dq_vec table, dq_ints a) {
    dq_vec r;
    DQ_EACH_LANE r.lane[i] = table.lane[a.lane[i] & (DQ_VEC_WIDTH - 1)];
    return r;
}

DQ_INLINE dq_vec dq_vec_set_f16(const void *p) {
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return dq_vec_set(dq_f16_to_f32(half));
}

DQ_INLINE dq_vec dq_vec_set_f16_pair(const void *p, float *second) {
    uint16_t half;
    memcpy(&half, (const uint8_t *)p + 2, sizeof half);
    *second = dq_f16_to_f32(half);
    return dq_vec_set_f16(p);
}

DQ_INLINE dq_vec dq_vec_load_f16(const void *p) {
    uint16_t half[DQ_VEC_WIDTH];
    memcpy(half, p, sizeof half);
    dq_vec r;
    DQ_EACH_LANE r.lane[i] = dq_f16_to_f32(half[i]);
    return r;
}

DQ_INLINE dq_vec dq_vec_load_bf16(const void *p) {
    uint16_t half[DQ_VEC_WIDTH];
    memcpy(half, p, sizeof half);
    dq_vec r;
    DQ_EACH_LANE r.lane[i] = dq_bf16_to_f32(half[i]);
    return r;
}

#endif
