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

#endif
