/* Operations on long arrays, limited by memory: plain loops that the compiler turns into vectors. Only operations that
 * IEEE 754 rounds exactly are used, in a fixed order, so every variant gives the same bits; each is this file compiled
 * for its instruction set. */
#include "kernels/variant.h"

#include <math.h>

#ifndef DQ_VARIANT
#define DQ_VARIANT c
#endif
#define NAME_OF(operation, variant) dq_##operation##_##variant
#define NAME_IN(operation, variant) NAME_OF(operation, variant)
#define NAME(operation)             NAME_IN(operation, DQ_VARIANT)
#define DECLARE(variant)            DQ_VARIANT_DECLARE(variant)

DECLARE(DQ_VARIANT);

/* With g the scaled gradient:
 *   x *= 1 - rate decay ; m += (1 - beta1)(g - m) ; v = beta2 v + (1 - beta2) g^2
 *   x -= rate / (1 - beta1^step) * m / ( sqrt(v) / sqrt(1 - beta2^step) + eps )
 * in the order of operations and with the f32 constants of torch.optim.AdamW. */
void NAME(adamw)(const dq_compute *compute, const dq_adamw *o, float *x, float *m, float *v, const float *g,
                 int64_t n) {
    double correction1 = 1 - pow(o->beta1, (double)o->step), correction2 = 1 - pow(o->beta2, (double)o->step);
    const float keep = (float)(1 - o->learning_rate * o->weight_decay);
    const float blend1 = (float)(1 - o->beta1), keep2 = (float)o->beta2, blend2 = (float)(1 - o->beta2);
    const float root = (float)sqrt(correction2), epsilon = (float)o->epsilon;
    const float rate = (float)(o->learning_rate / correction1), gradient_scale = o->gradient_scale;
#pragma omp parallel for simd schedule(static) num_threads(compute->threads)
    for (int64_t i = 0; i < n; i++) {
        float gradient = g[i] * gradient_scale;
        float decayed = x[i] * keep;
        float first = m[i] + blend1 * (gradient - m[i]);
        float second = v[i] * keep2 + blend2 * (gradient * gradient);
        m[i] = first;
        v[i] = second;
        x[i] = decayed - rate * first / (sqrtf(second) / root + epsilon);
    }
}

void NAME(add)(const dq_compute *compute, float *y, const float *x, int64_t n) {
#pragma omp parallel for simd schedule(static) num_threads(compute->threads)
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

void NAME(bias_forward)(const dq_compute *compute, float *y, const float *bias, int64_t T, int64_t D) {
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < D; i++) y[t * D + i] += bias[i];
}

/* Each thread owns columns; tokens are summed in ascending order, in double. */
void NAME(bias_backward)(const dq_compute *compute, float *dbias, const float *dy, int64_t T, int64_t D) {
    enum { WIDTH = 32 };
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t first = 0; first < D; first += WIDTH) {
        int width = D - first < WIDTH ? (int)(D - first) : WIDTH;
        double sum[WIDTH] = {0};
        for (int64_t t = 0; t < T; t++)
            for (int i = 0; i < width; i++) sum[i] += dy[t * D + first + i];
        for (int i = 0; i < width; i++) dbias[first + i] += (float)sum[i];
    }
}

/* At most PARTS parts whose bounds depend on n alone, each with LANES running sums; then the parts in order. */
double NAME(sum_of_squares)(const dq_compute *compute, const float *x, int64_t n) {
    enum { PARTS = 256, LANES = 16 };
    double part[PARTS] = {0};
    int64_t length = (n + PARTS - 1) / PARTS;
    length = (length + LANES - 1) / LANES * LANES;
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int which = 0; which < PARTS; which++) {
        int64_t i = which * length, end = i + length < n ? i + length : n;
        double sum[LANES] = {0}, total = 0;
        for (; i + LANES <= end; i += LANES)
            for (int lane = 0; lane < LANES; lane++) sum[lane] += (double)x[i + lane] * x[i + lane];
        for (; i < end; i++) total += (double)x[i] * x[i];
        for (int lane = 0; lane < LANES; lane++) total += sum[lane];
        part[which] = total;
    }
    double total = 0;
    for (int which = 0; which < PARTS; which++) total += part[which];
    return total;
}
