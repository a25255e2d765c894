/* exp, and cos with sin, over the primitives. */
#ifndef DQ_KERNELS_VECTOR_MATH_H
#define DQ_KERNELS_VECTOR_MATH_H

#include "kernels/vector/vec.h"

/* e^x = 2^n e^r, n = round(x / log 2), r = x - n log 2 with log 2 in two parts, e^r = 1 + r + r^2 q(r), q fitted for the
 * least largest relative error on |r| <= log(2) / 2: 3e-9. With rounding at most 1.02 units in the last place (all f32 in
 * the range were tried); subnormal results are rounded, beyond the range 0 and infinity, NaN stays NaN. */
DQ_INLINE dq_vec dq_vec_exp(dq_vec x) {
    x = dq_vec_max(dq_vec_set(-104.0f), dq_vec_min(dq_vec_set(89.0f), x));
    dq_vec n = dq_vec_round(dq_vec_mul(x, dq_vec_set(1.44269502f)));
    dq_vec r = dq_vec_fnma(n, dq_vec_set(0.693359375f), x);
    r = dq_vec_fnma(n, dq_vec_set(-2.12194442e-4f), r);
    dq_vec q = dq_vec_fma(r, dq_vec_set(1.38145383e-3f), dq_vec_set(8.36874545e-3f));
    q = dq_vec_fma(q, r, dq_vec_set(4.1668389e-2f));
    q = dq_vec_fma(q, r, dq_vec_set(1.66665211e-1f));
    q = dq_vec_fma(q, r, dq_vec_set(4.9999994e-1f));
    q = dq_vec_fma(dq_vec_mul(r, r), q, r);
    return dq_vec_scale(dq_vec_add(q, dq_vec_set(1.0f)), n);
}

/* cos and sin of x, |x| < 2^21: x = n pi + r with pi in two parts, of which the first product and difference are exact;
 * then polynomials in r^2 on |r| <= pi/2, and both change sign where n is odd. Absolute error at most 1.7e-7. */
DQ_INLINE void dq_vec_cos_sin(dq_vec x, dq_vec *cosine, dq_vec *sine) {
    dq_vec n = dq_vec_round(dq_vec_mul(x, dq_vec_set(0.318309873f)));
    dq_vec r = dq_vec_fnma(n, dq_vec_set(3.14159274f), x);
    r = dq_vec_fma(n, dq_vec_set(8.74227766e-8f), r);
    /* n/2 less its nearest integer is 0 or a half, +1/2 or -1/2 when n is odd: sign = 1 - 8 (1/2)^2 = -1. */
    dq_vec half = dq_vec_mul(n, dq_vec_set(0.5f));
    half = dq_vec_sub(half, dq_vec_round(half));
    dq_vec sign = dq_vec_fnma(dq_vec_mul(half, dq_vec_set(8.0f)), half, dq_vec_set(1.0f));

    dq_vec square = dq_vec_mul(r, r);
    dq_vec s = dq_vec_fma(square, dq_vec_set(-2.38165345e-8f), dq_vec_set(2.75208458e-6f));
    s = dq_vec_fma(s, square, dq_vec_set(-1.98407681e-4f));
    s = dq_vec_fma(s, square, dq_vec_set(8.33333004e-3f));
    s = dq_vec_fma(s, square, dq_vec_set(-1.66666672e-1f));
    s = dq_vec_fma(dq_vec_mul(s, square), r, r);
    *sine = dq_vec_mul(s, sign);

    dq_vec c = dq_vec_fma(square, dq_vec_set(1.9952342e-9f), dq_vec_set(-2.75284663e-7f));
    c = dq_vec_fma(c, square, dq_vec_set(2.48011602e-5f));
    c = dq_vec_fma(c, square, dq_vec_set(-1.38888857e-3f));
    c = dq_vec_fma(c, square, dq_vec_set(4.16666679e-2f));
    c = dq_vec_fma(c, square, dq_vec_set(-0.5f));
    c = dq_vec_fma(c, square, dq_vec_set(1.0f));
    *cosine = dq_vec_mul(c, sign);
}

#endif
