/* The row-wise operations of a decoder block, plainly. */
#include "kernels/variant.h"

#include <math.h>

DQ_VARIANT_DECLARE(c);

/* y = w x r, r = 1 / sqrt(mean(x^2) + eps) */
void dq_rmsnorm_forward_c(const dq_compute *compute, float *y, float *r_out, const float *x, const float *w, float eps,
                          int64_t T, int64_t D) {
#pragma omp parallel for num_threads(compute->threads)
    for (int64_t t = 0; t < T; t++) {
        const float *row = x + t * D;
        double sum = 0;
        for (int64_t i = 0; i < D; i++) sum += (double)row[i] * row[i];
        float r = (float)(1 / sqrt(sum / (double)D + eps));
        for (int64_t i = 0; i < D; i++) y[t * D + i] = w[i] * (row[i] * r);
        if (r_out) r_out[t] = r;
    }
}

/* dx += r (w dy - x r^2 mean(w dy x)) ; dw += sum_t dy x r */
void dq_rmsnorm_backward_c(const dq_compute *compute, float *dx, float *dw, const float *dy, const float *x,
                           const float *w, const float *r, int64_t T, int64_t D) {
#pragma omp parallel num_threads(compute->threads)
    {
#pragma omp for
        for (int64_t t = 0; t < T; t++) {
            double sum = 0;
            for (int64_t i = t * D; i < (t + 1) * D; i++) sum += (double)(w[i - t * D] * dy[i]) * x[i];
            float pull = (float)(sum / (double)D) * r[t] * r[t];
            for (int64_t i = t * D; i < (t + 1) * D; i++) dx[i] += r[t] * (w[i - t * D] * dy[i] - x[i] * pull);
        }
        if (dw) {
#pragma omp for
            for (int64_t i = 0; i < D; i++) {
                double sum = 0;
                for (int64_t t = 0; t < T; t++) sum += (double)(dy[t * D + i] * x[t * D + i]) * r[t];
                dw[i] += (float)sum;
            }
        }
    }
}

/* (x_i, x_{i+d/2}) turned by the angle position inv_freq_i */
void dq_rope_c(const dq_compute *compute, float *x, const int32_t *position, const float *inv_freq, int64_t T,
               int heads, int head_width, bool inverse) {
    int half = head_width / 2;
#pragma omp parallel for num_threads(compute->threads)
    for (int64_t t = 0; t < T; t++)
        for (int i = 0; i < half; i++) {
            float angle = (float)position[t] * inv_freq[i];
            float cosine = cosf(angle), sine = inverse ? -sinf(angle) : sinf(angle);
            for (int h = 0; h < heads; h++) {
                float *head = x + (t * heads + h) * head_width, first = head[i], second = head[i + half];
                head[i] = first * cosine - second * sine;
                head[i + half] = second * cosine + first * sine;
            }
        }
}

/* y = gate sigma(gate) up */
void dq_swiglu_forward_c(const dq_compute *compute, float *y, const float *gate, const float *up, int64_t n) {
#pragma omp parallel for num_threads(compute->threads)
    for (int64_t i = 0; i < n; i++) y[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

/* dup = dy gate sigma ; dgate = dy up sigma (1 + gate (1 - sigma)), sigma = sigma(gate) */
void dq_swiglu_backward_c(const dq_compute *compute, float *dgate, float *dup, const float *dy, const float *gate,
                          const float *up, int64_t T, int64_t D, float *gate_dots, float *up_dots) {
#pragma omp parallel for num_threads(compute->threads)
    for (int64_t j = 0; j < D; j++) {
        float gate_dot = 0, up_dot = 0;
        for (int64_t i = j; i < T * D; i += D) {
            float g = gate[i], u = up[i], e = expf(-g), sigma = 1 / (1 + e);
            float rest = e < INFINITY ? e * sigma : 1; /* 1 - sigma, without cancellation */
            dup[i] = dy[i] * (g * sigma);
            dgate[i] = dy[i] * u * (sigma * (1 + g * rest));
            gate_dot += dgate[i] * g;
            up_dot += dup[i] * u;
        }
        if (gate_dots) gate_dots[j] += gate_dot;
        if (up_dots) up_dots[j] += up_dot;
    }
}

void dq_column_dots_c(const dq_compute *compute, float *dots, const float *dy, const float *y, const float *less,
                      const float *bias, int64_t T, int64_t D) {
#pragma omp parallel for num_threads(compute->threads)
    for (int64_t j = 0; j < D; j++) {
        float sum = 0;
        for (int64_t i = j; i < T * D; i += D)
            sum += dy[i] * ((y ? y[i] : 0) - (less ? less[i] : 0) - (bias ? bias[j] : 0));
        dots[j] += sum;
    }
}

/* loss = log sum_j exp(x_j) - x_label ; gradient = scale (softmax - onehot). A NaN or +Inf among the logits makes the
 * loss NaN: Inf - Inf and NaN pass through exp and the sum. */
void dq_cross_entropy_c(const dq_compute *compute, float *logits, const int32_t *label, double *loss, int64_t n,
                        int64_t V, float scale, bool gradient) {
#pragma omp parallel for num_threads(compute->threads)
    for (int64_t i = 0; i < n; i++) {
        float *x = logits + i * V, top = x[0], target = x[label[i]];
        for (int64_t j = 1; j < V; j++) top = x[j] > top ? x[j] : top;
        double sum = 0;
        for (int64_t j = 0; j < V; j++) sum += expf(x[j] - top);
        loss[i] = (double)top - target + log(sum);
        if (gradient) {
            float factor = (float)(scale / sum);
            for (int64_t j = 0; j < V; j++) x[j] = factor * expf(x[j] - top);
            x[label[i]] -= scale;
        }
    }
}
