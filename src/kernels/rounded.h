/* Activations rounded to 8 bits (dq_coded_product.int8), in blocks of 32 columns of which the last may be shorter:
 *
 *     a = max |x_j| ;  q_j = rint(x_j (127 / a)) ;  d = a / 127 ;  x'_j = d q_j             (a = 0: d = 0, q = 0)
 *
 * llama.cpp's Q8_0 rounds activations thus, but for d, which it keeps as f16. A value that is not finite makes d NaN, and with it
 * the block's part of every sum. */
#ifndef DQ_KERNELS_ROUNDED_H
#define DQ_KERNELS_ROUNDED_H

#include <math.h>
#include <stdint.h>

enum {
    DQ_ROUNDED_BLOCK = 32,
    /* Wider rows are multiplied with x as it is: what is made of x must fit the workspace. No model has them. */
    DQ_ROUNDED_WIDEST = 1 << 16
};

/* n values, at most a block: q, and d is returned. */
static inline float dq_round_block(const float *x, int n, int8_t *q) {
    float most = 0, check = 0;
    for (int j = 0; j < n; j++) {
        const float size = fabsf(x[j]);
        most = size > most ? size : most;
        check += x[j] * 0.0f;
    }
    if (most == 0 || check != 0) {
        for (int j = 0; j < n; j++) q[j] = 0;
        return check; /* 0, or NaN */
    }
    /* A block of subnormal numbers would have no reciprocal: it is nothing beside any other. */
    const float factor = most < 0x1p-120f ? 0 : 127.0f / most;
    for (int j = 0; j < n; j++) q[j] = (int8_t)rintf(x[j] * factor);
    return most / 127.0f;
}

#endif
