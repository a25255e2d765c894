/* Gradients of a quantizer's parameters.
 *
 *   G = dy^T x                                             [out, in], a tile of rows at a time, never whole
 *   inside the rounding (lora):   ds, db, dm, dV from G and V (fakequant.h) ;  dB = c dV A^T ;  dA = c B^T dV
 *   pooled (QA-LoRA):             dO = dy^T (x summed over each group)      ;  dB = (c/g) dO A^T ;  dA = (c/g) B^T dO
 *
 * Where a row is one group G need not be made: quantizer_channel.c. */
#include "quant/quantizer_channel.h"

#include <omp.h>
#include <string.h>

/* A tile of G is to stay in the cache until it is consumed, but each tile packs all of x again: 4 MiB, and at least 256 rows. */
enum { TILE_ELEMENTS = 1024 * 1024, TILE_ROWS_LEAST = 256 };

static int64_t tile_rows(const dq_quantizer *q) {
    int64_t rows = TILE_ELEMENTS / q->in;
    if (rows < TILE_ROWS_LEAST) rows = TILE_ROWS_LEAST;
    return q->out < rows ? q->out : rows;
}

size_t dq_quantizer_scratch(const dq_quantizer *q, int64_t T, int threads) {
    if (q->recipe.adapter == DQ_ADAPTER_POOLED) return (size_t)(T * q->groups + q->out * q->groups);
    const size_t tiles = (size_t)((tile_rows(q) + threads * DQ_QUANTIZER_ROWS) * q->in),
                 channel = dq_quantizer_channel_scratch(q, T);
    return tiles > channel ? tiles : channel;
}

/* dB (rows of the tile) += D A^T ; dA += B^T D, with D [rows, columns of A] already scaled. */
static void adapter_gradients(dq_quantizer *q, const dq_compute *compute, const float *D, int64_t first, int64_t rows) {
    const dq_parameter *A = &q->parameter[DQ_PARAMETER_A], *B = &q->parameter[DQ_PARAMETER_B];
    int64_t columns = A->columns;
    dq_operation before =
        dq_profile_enter(compute->profile, DQ_ADAPTER_GRADIENT, 4.0 * (double)rows * (double)columns * (double)q->rank);
    dq_gemm dB = {.m = rows,
                  .n = q->rank,
                  .k = columns,
                  .a = D,
                  .a_row = columns,
                  .a_column = 1,
                  .b = A->value,
                  .b_row = 1,
                  .b_column = columns,
                  .c = B->gradient + first * q->rank,
                  .c_row = q->rank,
                  .accumulate = true};
    compute->kernels->gemm(compute, &dB);
    dq_gemm dA = {.m = q->rank,
                  .n = columns,
                  .k = rows,
                  .a = B->value + first * q->rank,
                  .a_row = 1,
                  .a_column = q->rank,
                  .b = D,
                  .b_row = columns,
                  .b_column = 1,
                  .c = A->gradient,
                  .c_row = columns,
                  .accumulate = true};
    compute->kernels->gemm(compute, &dA);
    dq_profile_return(compute->profile, before);
}

static void pooled_backward(dq_quantizer *q, const dq_compute *compute, const dq_linear_gradient *given,
                            float *scratch) {
    const float *x = given->x;
    const int64_t T = given->T;
    float *pooled = scratch, *dO = scratch + T * q->groups;
    const int64_t g = q->grid.group, groups = q->groups, in = q->in;
    const float scale = q->c / (float)g;
    dq_operation before = dq_profile_enter(compute->profile, DQ_LINEAR_WEIGHT_GRADIENT,
                                           2.0 * (double)q->out * (double)groups * (double)T);
#pragma omp parallel for num_threads(compute->threads) schedule(static)
    for (int64_t t = 0; t < T; t++)
        for (int64_t k = 0; k < groups; k++) {
            const float *piece = x + t * in + k * g;
            float sum = 0.0f;
            for (int64_t j = 0; j < g; j++) sum += piece[j];
            pooled[t * groups + k] = scale * sum;
        }
    dq_gemm product = {.m = q->out,
                       .n = groups,
                       .k = T,
                       .a = given->dy,
                       .a_row = 1,
                       .a_column = q->out,
                       .b = pooled,
                       .b_row = groups,
                       .b_column = 1,
                       .c = dO,
                       .c_row = groups};
    compute->kernels->gemm(compute, &product);
    adapter_gradients(q, compute, dO, 0, q->out);
    dq_profile_return(compute->profile, before);
}

/* G of some rows becomes c dV, and its sums are added. V is needed for ds and db, or where nothing is kept; the products of B A
 * that it takes once more are counted where W_hat is made. */
static void rows_backward(const dq_quantizer *q, int64_t first, int64_t count, float *G, const dq_fakequant_sums *sums,
                          float *V) {
    const dq_fakequant view = dq_quantizer_view(q, first, count);
    if (q->kept.codes && !sums->ds && !sums->db) {
        const dq_fakequant_kept kept = dq_quantizer_kept_rows(q, first);
        q->kernels->fakequant_kept_backward(&view, &kept, G, sums->dm);
        return;
    }
    dq_quantizer_adapted(q, &view, first, count, V);
    q->kernels->fakequant_backward(&view, V, G, sums);
}

void dq_quantizer_backward(dq_quantizer *q, const dq_compute *compute, dq_trained trained,
                           const dq_linear_gradient *given, float *scratch) {
    if (q->recipe.adapter == DQ_ADAPTER_POOLED) {
        if (trained.adapter) pooled_backward(q, compute, given, scratch);
        return;
    }
    if (given->dots) {
        dq_quantizer_channel_backward(q, compute, trained, given, scratch);
        return;
    }
    const int64_t in = q->in, T = given->T;
    const bool adapter = dq_quantizer_trains(q, DQ_PARAMETER_A, trained);
    dq_parameter *p = q->parameter;
    float *ds = dq_quantizer_trains(q, DQ_PARAMETER_SCALE, trained) ? p[DQ_PARAMETER_SCALE].gradient : NULL;
    float *db = dq_quantizer_trains(q, DQ_PARAMETER_OFFSET, trained) ? p[DQ_PARAMETER_OFFSET].gradient : NULL;
    float *dm = dq_quantizer_trains(q, DQ_PARAMETER_MAGNITUDE, trained) ? p[DQ_PARAMETER_MAGNITUDE].gradient : NULL;
    const int64_t step = tile_rows(q);
    float *G = scratch, *V = scratch + step * in; /* V: DQ_QUANTIZER_ROWS rows for each thread */

    for (int64_t first = 0; first < q->out; first += step) {
        int64_t rows = q->out - first < step ? q->out - first : step;
        dq_operation before =
            dq_profile_enter(compute->profile, DQ_LINEAR_WEIGHT_GRADIENT, 2.0 * (double)rows * (double)in * (double)T);
        dq_gemm product = {.m = rows,
                           .n = in,
                           .k = T,
                           .a = given->dy + first,
                           .a_row = 1,
                           .a_column = q->out,
                           .b = given->x,
                           .b_row = in,
                           .b_column = 1,
                           .c = G,
                           .c_row = in};
        compute->kernels->gemm_packed(compute, &product, &(dq_packed){.b = given->packed});
        dq_profile_enter(compute->profile, DQ_QUANTIZER_GRADIENT, 0);
#pragma omp parallel for num_threads(compute->threads) schedule(static)
        for (int64_t i = 0; i < rows; i += DQ_QUANTIZER_ROWS) {
            int64_t some = rows - i < DQ_QUANTIZER_ROWS ? rows - i : DQ_QUANTIZER_ROWS, at = (first + i) * q->groups;
            dq_fakequant_sums sums = {.ds = ds ? ds + at : NULL, .db = db ? db + at : NULL, .dm = dm ? dm + at : NULL};
            rows_backward(q, first + i, some, G + i * in, &sums, V + omp_get_thread_num() * DQ_QUANTIZER_ROWS * in);
        }
        if (adapter) adapter_gradients(q, compute, G, first, rows);
        dq_profile_return(compute->profile, before);
    }
}
