/* Causal attention over packed rows, one query and one key at a time.
 *
 *   s_ij = scale q_i . k_j          for the keys j that query i sees
 *   L_i  = log sum_j exp s_ij       (log_sum)
 *   P_ij = exp(s_ij - L_i)
 *   o_i  = sum_j P_ij v_j
 *
 * and backward, with do the gradient of o:
 *
 *   delta_i = do_i . o_i            ( = sum_j P_ij dP_ij )
 *   dP_ij = do_i . v_j,  dS_ij = P_ij (dP_ij - delta_i)
 *   dq_i = scale sum_j dS_ij k_j,   dk_j = scale sum_i dS_ij q_i,   dv_j = sum_i P_ij do_i
 *
 * where a key's sums run over every query head that reads it. Scores are made again wherever they are needed, so that
 * nothing of size T x T exists. */
#include "kernels/variant.h"

#include <math.h>

DQ_VARIANT_DECLARE(c);

static float dot(const float *x, const float *y, int n) {
    float sum = 0;
    for (int c = 0; c < n; c++) sum += x[c] * y[c];
    return sum;
}

/* The last key that query i sees: its own. */
static int64_t last_key(const dq_attention *a, int64_t i) {
    return a->key ? a->key[i] : a->first_position + i;
}

/* The first one. */
static int64_t first_key(const dq_attention *a, int64_t i) {
    int64_t first = a->row_start[i], position = last_key(a, i);
    if (a->window > 0 && first < position - a->window + 1) first = position - a->window + 1;
    return first;
}

/* k and v of key j under key/value head g: where they begin, and how far an element of k is from the next. */
typedef struct place {
    const float *k, *v;
    int64_t k_step;
} place;

static place place_of(const dq_attention *a, int64_t j, int g) {
    const int64_t d = a->head_width;
    if (!a->blocked) return (place){a->k + (j * a->kv_heads + g) * d, a->v + (j * a->kv_heads + g) * d, 1};
    const int64_t block = (j / DQ_KEY_BLOCK * a->kv_heads + g) * d * DQ_KEY_BLOCK, within = j % DQ_KEY_BLOCK;
    return (place){a->k + block + within, a->v + block + within * d, DQ_KEY_BLOCK};
}

static float score(const dq_attention *a, const float *q, place at) {
    float sum = 0;
    for (int c = 0; c < a->head_width; c++) sum += q[c] * at.k[c * at.k_step];
    return a->scale * sum;
}

static void forward_query(const dq_attention *a, int64_t i, int h) {
    int d = a->head_width;
    int64_t at = i * a->heads + h;
    int g = h / (a->heads / a->kv_heads);
    const float *q = a->q + at * d;
    float *o = a->o + at * d;
    int64_t first = first_key(a, i), last = last_key(a, i);

    float top = -INFINITY;
    for (int64_t j = first; j <= last; j++) top = fmaxf(top, score(a, q, place_of(a, j, g)));

    float sum = 0;
    for (int c = 0; c < d; c++) o[c] = 0;
    for (int64_t j = first; j <= last; j++) {
        const place key = place_of(a, j, g);
        float e = expf(score(a, q, key) - top);
        sum += e;
        for (int c = 0; c < d; c++) o[c] += e * key.v[c];
    }
    for (int c = 0; c < d; c++) o[c] /= sum;
    a->log_sum[at] = top + logf(sum);
}

void dq_attention_forward_c(const dq_compute *compute, const dq_attention *a) {
#pragma omp parallel for collapse(2) schedule(dynamic, 16) num_threads(compute->threads)
    for (int64_t i = 0; i < a->query_count; i++)
        for (int h = 0; h < a->heads; h++) forward_query(a, i, h);
}

static void backward_query(const dq_attention *a, const float *do_, float *delta, float *dq, int64_t i, int h) {
    int d = a->head_width;
    int64_t stride = (int64_t)a->kv_heads * d, at = i * a->heads + h;
    int g = h / (a->heads / a->kv_heads);
    const float *k = a->k + (int64_t)g * d, *v = a->v + (int64_t)g * d;

    delta[at] = dot(do_ + at * d, a->o + at * d, d);
    for (int c = 0; c < d; c++) dq[at * d + c] = 0;
    for (int64_t j = first_key(a, i); j <= last_key(a, i); j++) {
        float p = expf(a->scale * dot(a->q + at * d, k + j * stride, d) - a->log_sum[at]);
        float ds = a->scale * p * (dot(do_ + at * d, v + j * stride, d) - delta[at]);
        for (int c = 0; c < d; c++) dq[at * d + c] += ds * k[j * stride + c];
    }
}

static void backward_key(const dq_attention *a, const float *do_, const float *delta, float *dk, float *dv, int64_t j,
                         int g) {
    int d = a->head_width, group = a->heads / a->kv_heads;
    int64_t here = (j * a->kv_heads + g) * d;
    for (int c = 0; c < d; c++) dk[here + c] = dv[here + c] = 0;
    /* Rows follow one another, and a window only moves forward: queries before i stand before j, and the first one that does
     * not see j ends the list. */
    int64_t i = 0;
    while (i < a->query_count && last_key(a, i) < j) i++;
    for (; i < a->query_count && first_key(a, i) <= j; i++)
        for (int h = g * group; h < (g + 1) * group; h++) {
            int64_t at = i * a->heads + h;
            float p = expf(a->scale * dot(a->q + at * d, a->k + here, d) - a->log_sum[at]);
            float ds = a->scale * p * (dot(do_ + at * d, a->v + here, d) - delta[at]);
            for (int c = 0; c < d; c++) {
                dk[here + c] += ds * a->q[at * d + c];
                dv[here + c] += p * do_[at * d + c];
            }
        }
}

void dq_attention_backward_c(const dq_compute *compute, const dq_attention *a, const float *do_, float *delta,
                             float *dq, float *dk, float *dv) {
    const int64_t keys = a->key ? a->key_count : a->query_count;
#pragma omp parallel num_threads(compute->threads)
    {
#pragma omp for collapse(2) schedule(dynamic, 16)
        for (int64_t i = 0; i < a->query_count; i++)
            for (int h = 0; h < a->heads; h++) backward_query(a, do_, delta, dq, i, h);
#pragma omp for collapse(2) schedule(dynamic, 16)
        for (int64_t j = 0; j < keys; j++)
            for (int g = 0; g < a->kv_heads; g++) backward_key(a, do_, delta, dk, dv, j, g);
    }
}
