/* Gradients of phase 2 where a row of W is one group, without G = dL/dW_hat.
 *
 * With one m and one grid a row, and E the weights that are clipped (G_ij for them alone):
 *
 *   dV = m G M              dB_i = c m_i ( (dy^T (x A^T))_i - sum_E G_ij A_:j )
 *                           dA_:j = (c (dy (m B))^T x)_:j - sum_E c m_i B_i G_ij
 *   y = x W_hat^T, W_hat = S u + O, so with g_i = sum_j G_ij = sum_t dy_ti sum_j x_tj
 *                           sum_t dy_ti y_ti = sum_j G_ij W_hat_ij = S_i sum_j G_ij u_ij + O_i g_i
 *   dm_i = sum_j G_ij (s q + b) = s/S sum_t dy_ti y_ti + (s Qn + b - O s/S) g_i
 *
 * so the products have as many columns as A has rows, not as W has columns. Where more than half of a row is clipped the other
 * half is summed up instead, and the row takes no part in the products: neither sum is the small difference of two large ones,
 * and what is 0 comes out as 0. For the same reason this way is closed when a column of W is clipped for the most part, and when
 * the exceptions are so many that they cost more than G. */
#include "quant/quantizer_channel.h"

#include <math.h>
#include <string.h>

enum {
    /* One weight in so many may be an exception: each costs four to five times what it does as one of all. */
    EXCEPTIONS_PER = 16,
    EXCEPTIONS_LEAST = 4096, /* of a small matrix all may be */
    WORDS_AT_ONCE = 16
};

/* m is never so small that dividing by it would swell the rounding of y. */
static const float least_magnitude = 1.0f / 16;

static int64_t most_exceptions(const dq_quantizer *q) {
    const int64_t most = q->out * q->in / EXCEPTIONS_PER;
    return most > EXCEPTIONS_LEAST ? most : EXCEPTIONS_LEAST;
}

static bool is_channelwise(const dq_quantizer *q) {
    return q->groups == 1 && q->recipe.adapter == DQ_ADAPTER_LORA;
}

/* Word `word` of row i: bits of the clipped weights. */
static uint32_t clipped(const dq_quantizer *q, int64_t i, int64_t word) {
    const int64_t left = q->in - word * 32;
    const uint32_t there = left >= 32 ? UINT32_MAX : (1u << left) - 1;
    return ~q->kept.unclipped[i * dq_fakequant_mask_words(q->in) + word] & there;
}

static int64_t clipped_in_row(const dq_quantizer *q, int64_t i) {
    int64_t count = 0;
    for (int64_t word = 0; word < dq_fakequant_mask_words(q->in); word++)
        count += __builtin_popcount(clipped(q, i, word));
    return count;
}

/* Whether the row's exceptions are its unclipped weights. */
static bool is_mostly_clipped(const dq_quantizer *q, int64_t count) {
    return 2 * count > q->in;
}

/* Whether some column of these words is clipped in more than half of the rows. */
static bool has_clipped_column(const dq_quantizer *q, int64_t first, int64_t end) {
    int64_t count[32 * WORDS_AT_ONCE] = {0};
    for (int64_t i = 0; i < q->out; i++)
        for (int64_t word = first; word < end; word++)
            for (uint32_t bits = clipped(q, i, word); bits; bits &= bits - 1)
                count[(word - first) * 32 + __builtin_ctz(bits)]++;
    for (int k = 0; k < 32 * WORDS_AT_ONCE; k++)
        if (2 * count[k] > q->out) return true;
    return false;
}

int64_t dq_quantizer_count_exceptions(const dq_quantizer *q, const dq_compute *compute) {
    if (!is_channelwise(q) || !q->kept.codes) return -1;
    const float *s = q->parameter[DQ_PARAMETER_SCALE].value;
    const int64_t words = dq_fakequant_mask_words(q->in);
    int64_t exceptions = 0, closed = 0;
#pragma omp parallel num_threads(compute->threads) reduction(+ : exceptions, closed)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < q->out; i++) {
            const int64_t count = clipped_in_row(q, i);
            exceptions += is_mostly_clipped(q, count) ? q->in - count : count;
            closed += !(fabsf(q->kept_S[i]) >= least_magnitude * fabsf(s[i]));
        }
#pragma omp for schedule(static)
        for (int64_t word = 0; word < words; word += WORDS_AT_ONCE)
            closed += has_clipped_column(q, word, word + WORDS_AT_ONCE < words ? word + WORDS_AT_ONCE : words);
    }
    return closed || exceptions > most_exceptions(q) ? -1 : exceptions;
}

bool dq_quantizer_admits_dots(const dq_quantizer *q, dq_trained trained) {
    return q->exceptions >= 0 && dq_quantizer_trains(q, DQ_PARAMETER_A, trained) &&
           !dq_quantizer_trains(q, DQ_PARAMETER_SCALE, trained);
}

/* 2 in out products a token against 4 rank (in + out), which run at a half of their speed and worse. */
bool dq_quantizer_gains_by_dots(const dq_quantizer *q, dq_trained trained) {
    return dq_quantizer_admits_dots(q, trained) && q->in * q->out > 8 * (int64_t)q->rank * (q->in + q->out);
}

/* Where the scratch holds what. r: rank; one column more carries the sums of x. */
typedef struct room {
    float *turned_A;        /* [in, r + 1]: A^T, and 1 */
    float *xA;              /* [T, r + 1] */
    float *dyxA;            /* [out, r + 1] */
    float *mB, *dymB;       /* [out, r], [T, r]: c m B, and dy times that */
    float *taken;           /* [in, r]: of dA, what the exceptions take away */
    float *whole;           /* [out]: 1: the row's exceptions are taken away from the whole; 0: they are all there is */
    float *value, *sampled; /* [exceptions]: their G; and the kernels' room */
    int32_t *first, *column;
} room;

/* Counts with from NULL. */
static size_t lay_out(const dq_quantizer *q, int64_t T, float *from, room *r) {
    size_t used = 0;
    const int64_t rank = q->rank, exceptions = most_exceptions(q);
    float **const place[] = {&r->turned_A, &r->xA,    &r->dyxA,  &r->mB,     &r->dymB,
                             &r->taken,    &r->whole, &r->value, &r->sampled};
    const int64_t floats[] = {q->in * (rank + 1), T * (rank + 1), q->out * (rank + 1), q->out * rank,         T * rank,
                              q->in * rank,       q->out,         exceptions,          dq_sampled_room(q->in)};
    for (size_t k = 0; k < sizeof place / sizeof place[0]; k++) {
        *place[k] = from ? from + used : NULL;
        used += (size_t)(floats[k] + 15) / 16 * 16;
    }
    _Static_assert(sizeof(int32_t) == sizeof(float), "lists lie in the same scratch");
    r->first = from ? (int32_t *)(void *)(from + used) : NULL;
    used += (size_t)q->out + 1;
    r->column = from ? (int32_t *)(void *)(from + used) : NULL;
    return used + (size_t)exceptions;
}

size_t dq_quantizer_channel_scratch(const dq_quantizer *q, int64_t T) {
    room r;
    return is_channelwise(q) ? lay_out(q, T, NULL, &r) : 0;
}

/* The lists of exceptions, and what is read of A and B. */
static void prepare(const dq_quantizer *q, const dq_compute *compute, const room *r) {
    const float *A = q->parameter[DQ_PARAMETER_A].value, *B = q->parameter[DQ_PARAMETER_B].value,
                *m = q->parameter[DQ_PARAMETER_MAGNITUDE].value;
    const int64_t rank = q->rank, words = dq_fakequant_mask_words(q->in);
#pragma omp parallel num_threads(compute->threads)
    {
#pragma omp for schedule(static) nowait
        for (int64_t j = 0; j < q->in; j++) {
            for (int64_t k = 0; k < rank; k++) r->turned_A[j * (rank + 1) + k] = A[k * q->in + j];
            r->turned_A[j * (rank + 1) + rank] = 1.0f;
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < q->out; i++) {
            const int64_t count = clipped_in_row(q, i);
            const bool mostly = is_mostly_clipped(q, count);
            r->whole[i] = mostly ? 0.0f : 1.0f;
            r->first[i + 1] = (int32_t)(mostly ? q->in - count : count);
            for (int64_t k = 0; k < rank; k++) r->mB[i * rank + k] = mostly ? 0.0f : q->c * m[i] * B[i * rank + k];
        }
#pragma omp single
        {
            r->first[0] = 0;
            for (int64_t i = 0; i < q->out; i++) r->first[i + 1] += r->first[i];
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < q->out; i++) {
            int32_t *to = r->column + r->first[i];
            for (int64_t word = 0; word < words; word++) {
                uint32_t bits = clipped(q, i, word);
                if (r->whole[i] == 0.0f) bits ^= word * 32 + 32 <= q->in ? UINT32_MAX : (1u << (q->in - word * 32)) - 1;
                for (; bits; bits &= bits - 1) *to++ = (int32_t)(word * 32 + __builtin_ctz(bits));
            }
        }
    }
}

/* xA = x [A^T 1] ; dyxA = dy^T xA ; dymB = dy (c m B) ; dA += dymB^T x */
static void multiply(dq_quantizer *q, const dq_compute *compute, const dq_linear_gradient *g, const room *r) {
    const int64_t rank = q->rank, T = g->T;
    const dq_kernels *kernels = compute->kernels;
    kernels->gemm(compute, &(dq_gemm){.m = T,
                                      .n = rank + 1,
                                      .k = q->in,
                                      .a = g->x,
                                      .a_row = q->in,
                                      .a_column = 1,
                                      .b = r->turned_A,
                                      .b_row = rank + 1,
                                      .b_column = 1,
                                      .c = r->xA,
                                      .c_row = rank + 1});
    kernels->gemm(compute, &(dq_gemm){.m = q->out,
                                      .n = rank + 1,
                                      .k = T,
                                      .a = g->dy,
                                      .a_row = 1,
                                      .a_column = q->out,
                                      .b = r->xA,
                                      .b_row = rank + 1,
                                      .b_column = 1,
                                      .c = r->dyxA,
                                      .c_row = rank + 1});
    kernels->gemm(compute, &(dq_gemm){.m = T,
                                      .n = rank,
                                      .k = q->out,
                                      .a = g->dy,
                                      .a_row = q->out,
                                      .a_column = 1,
                                      .b = r->mB,
                                      .b_row = rank,
                                      .b_column = 1,
                                      .c = r->dymB,
                                      .c_row = rank});
    const dq_gemm dA = {.m = rank,
                        .n = q->in,
                        .k = T,
                        .a = r->dymB,
                        .a_row = 1,
                        .a_column = rank,
                        .b = g->x,
                        .b_row = q->in,
                        .b_column = 1,
                        .c = q->parameter[DQ_PARAMETER_A].gradient,
                        .c_row = q->in,
                        .accumulate = true};
    kernels->gemm_packed(compute, &dA, &(dq_packed){.b = g->packed});
}

/* Of dA, columns [from, to): rows add in their order, whoever owns the columns. */
static void correct_columns(const dq_quantizer *q, const room *r, int64_t from, int64_t to) {
    const int64_t rank = q->rank;
    const float *B = q->parameter[DQ_PARAMETER_B].value, *m = q->parameter[DQ_PARAMETER_MAGNITUDE].value;
    float *dA = q->parameter[DQ_PARAMETER_A].gradient;
    memset(r->taken + from * rank, 0, (size_t)((to - from) * rank) * sizeof(float));
    for (int64_t i = 0; i < q->out; i++) {
        const float sign = r->whole[i] == 0.0f ? -q->c * m[i] : q->c * m[i];
        for (int32_t e = r->first[i]; e < r->first[i + 1]; e++) {
            const int64_t j = r->column[e];
            if (j < from || j >= to) continue;
            for (int64_t k = 0; k < rank; k++) r->taken[j * rank + k] += sign * r->value[e] * B[i * rank + k];
        }
    }
    for (int64_t j = from; j < to; j++)
        for (int64_t k = 0; k < rank; k++) dA[k * q->in + j] -= r->taken[j * rank + k];
}

/* dB_i, from dyxA and the row's exceptions. */
static void finish_row(const dq_quantizer *q, const room *r, int64_t i) {
    const int64_t rank = q->rank;
    float *sum = r->dyxA + i * (rank + 1), *dB = q->parameter[DQ_PARAMETER_B].gradient + i * rank;
    const bool whole = r->whole[i] != 0.0f;
    for (int64_t k = 0; k < rank && !whole; k++) sum[k] = 0.0f;
    for (int32_t e = r->first[i]; e < r->first[i + 1]; e++) {
        const float *A = r->turned_A + (int64_t)r->column[e] * (rank + 1), G = whole ? -r->value[e] : r->value[e];
        for (int64_t k = 0; k < rank; k++) sum[k] += G * A[k];
    }
    for (int64_t k = 0; k < rank; k++) dB[k] += q->c * q->parameter[DQ_PARAMETER_MAGNITUDE].value[i] * sum[k];
}

static float magnitude_gradient(const dq_quantizer *q, int64_t i, float dots, float g) {
    const float s = q->parameter[DQ_PARAMETER_SCALE].value[i], b = q->parameter[DQ_PARAMETER_OFFSET].value[i];
    const float Qn = -(float)(1 << (q->grid.bits - 1)), ratio = s / q->kept_S[i];
    return ratio * dots + (s * Qn + b - q->kept_O[i] * ratio) * g;
}

void dq_quantizer_channel_backward(dq_quantizer *q, const dq_compute *compute, dq_trained trained,
                                   const dq_linear_gradient *g, float *scratch) {
    const int threads = compute->threads;
    const double rank = (double)q->rank, T = (double)g->T;
    float *dm =
        dq_quantizer_trains(q, DQ_PARAMETER_MAGNITUDE, trained) ? q->parameter[DQ_PARAMETER_MAGNITUDE].gradient : NULL;
    room r;
    lay_out(q, g->T, scratch, &r);
    dq_operation before = dq_profile_enter(compute->profile, DQ_QUANTIZER_GRADIENT, 2.0 * T * (double)q->exceptions);
    prepare(q, compute, &r);
    const dq_sampled exceptions = {.T = g->T,
                                   .m = q->out,
                                   .n = q->in,
                                   .a = g->dy,
                                   .b = g->x,
                                   .first = r.first,
                                   .column = r.column,
                                   .value = r.value,
                                   .room = r.sampled};
    if (r.first[q->out]) compute->kernels->sampled_multiply(compute, &exceptions);
    dq_profile_enter(compute->profile, DQ_ADAPTER_GRADIENT, 2.0 * T * (double)(q->in + q->out) * (2 * rank + 1));
    multiply(q, compute, g, &r);
    dq_profile_enter(compute->profile, DQ_QUANTIZER_GRADIENT, 0);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static) nowait
        for (int part = 0; part < threads; part++)
            correct_columns(q, &r, q->in * part / threads, q->in * (part + 1) / threads);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < q->out; i++) {
            finish_row(q, &r, i);
            if (dm) dm[i] += magnitude_gradient(q, i, g->dots[i], r.dyxA[i * (q->rank + 1) + q->rank]);
        }
    }
    dq_profile_return(compute->profile, before);
}
