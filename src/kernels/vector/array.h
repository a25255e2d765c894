/* Arrays of any length, taken as vectors: the last one may count fewer lanes. */
#ifndef DQ_KERNELS_VECTOR_ARRAY_H
#define DQ_KERNELS_VECTOR_ARRAY_H

#include "kernels/vector/vec.h"

/* How many lanes of the vector at i of n count. */
DQ_INLINE int dq_lanes(int64_t n, int64_t i) {
    return n - i < DQ_VEC_WIDTH ? (int)(n - i) : DQ_VEC_WIDTH;
}

DQ_INLINE dq_vec dq_get(const float *x, int lanes) {
    return lanes == DQ_VEC_WIDTH ? dq_vec_load(x) : dq_vec_load_part(x, lanes);
}

DQ_INLINE void dq_put(float *x, dq_vec value, int lanes) {
    if (lanes == DQ_VEC_WIDTH)
        dq_vec_store(x, value);
    else
        dq_vec_store_part(x, value, lanes);
}

/* Sum of x_i y_i over n, in four vectors of running sums; with z, of x_i y_i z_i. */
DQ_INLINE float dq_dot(const float *x, const float *y, const float *z, int64_t n) {
    enum { W = DQ_VEC_WIDTH };
    dq_vec sum[4] = {dq_vec_zero(), dq_vec_zero(), dq_vec_zero(), dq_vec_zero()};
    int64_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W)
        for (int v = 0; v < 4; v++) {
            dq_vec a = dq_vec_load(x + i + v * W), b = dq_vec_load(y + i + v * W);
            if (z) a = dq_vec_mul(a, dq_vec_load(z + i + v * W));
            sum[v] = dq_vec_fma(a, b, sum[v]);
        }
    for (; i < n; i += W) {
        int lanes = dq_lanes(n, i);
        dq_vec a = dq_get(x + i, lanes), b = dq_get(y + i, lanes);
        if (z) a = dq_vec_mul(a, dq_get(z + i, lanes));
        sum[0] = dq_vec_fma(a, b, sum[0]);
    }
    return dq_vec_total(dq_vec_add(dq_vec_add(sum[0], sum[1]), dq_vec_add(sum[2], sum[3])));
}

#endif
