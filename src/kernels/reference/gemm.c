/* C = A B or C += A B, plainly: for every panel of columns and every block of the sum, the panel of B is copied
 * (rounded to bf16 where asked), then every row of A runs over it.
 *
 *     c_ij = [c_ij +] sum over blocks P of ( sum_{p in P, ascending} a_ip b_pj )
 *
 * A block is summed in double: the reference is the accurate one. */
#include "kernels/variant.h"

#include "base/half.h"

DQ_VARIANT_DECLARE(c);

enum { WIDTH = 64, DEPTH = 256 };

static float rounded(float x, dq_multiply multiply) {
    return multiply == DQ_MULTIPLY_BF16 ? dq_bf16_to_f32(dq_f32_to_bf16(x)) : x;
}

/* Columns [first, first + width) of C, width <= WIDTH. */
static void multiply_panel(const dq_gemm *g, dq_multiply multiply, int64_t first, int width) {
    float panel[DEPTH][WIDTH];
    for (int64_t i = 0; i < g->m && !g->accumulate; i++)
        for (int j = 0; j < width; j++) g->c[i * g->c_row + first + j] = 0;

    for (int64_t start = 0; start < g->k; start += DEPTH) {
        int depth = g->k - start < DEPTH ? (int)(g->k - start) : DEPTH;
        for (int p = 0; p < depth; p++)
            for (int j = 0; j < width; j++)
                panel[p][j] = rounded(g->b[(start + p) * g->b_row + (first + j) * g->b_column], multiply);

        for (int64_t i = 0; i < g->m; i++) {
            double sum[WIDTH] = {0};
            for (int p = 0; p < depth; p++) {
                double a = rounded(g->a[i * g->a_row + (start + p) * g->a_column], multiply);
                for (int j = 0; j < width; j++) sum[j] += a * panel[p][j];
            }
            for (int j = 0; j < width; j++) g->c[i * g->c_row + first + j] += (float)sum[j];
        }
    }
}

void dq_gemm_c(const dq_compute *compute, const dq_gemm *g) {
#pragma omp parallel for schedule(dynamic) num_threads(compute->threads)
    for (int64_t first = 0; first < g->n; first += WIDTH)
        multiply_panel(g, compute->multiply, first, g->n - first < WIDTH ? (int)(g->n - first) : WIDTH);
}

/* "Packed" is f32 as it was, row after row. */
size_t dq_packed_bytes_c(const dq_compute *compute, int64_t k, int64_t n) {
    (void)compute;
    return (size_t)(k * n) * sizeof(float);
}

void dq_pack_c(const dq_compute *compute, const dq_pack *piece, void *packed) {
    (void)compute;
    float *to = (float *)packed + piece->first_row * piece->n + piece->first_column;
    for (int64_t p = 0; p < piece->rows; p++)
        for (int64_t j = 0; j < piece->columns; j++)
            to[p * piece->n + j] = piece->b[p * piece->b_row + j * piece->b_column];
}

size_t dq_packed_a_bytes_c(const dq_compute *compute, int64_t m, int64_t k) {
    (void)compute;
    return (size_t)(m * k) * sizeof(float);
}

void dq_pack_a_c(const dq_compute *compute, const dq_gemm *g, void *packed) {
    (void)compute;
    float *to = packed;
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t p = 0; p < g->k; p++) *to++ = g->a[i * g->a_row + p * g->a_column];
}

void dq_gemm_packed_c(const dq_compute *compute, const dq_gemm *g, const dq_packed *packed) {
    dq_gemm plain = *g;
    if (packed->a) {
        plain.a = packed->a;
        plain.a_row = g->k;
        plain.a_column = 1;
    }
    if (packed->b) {
        plain.b = packed->b;
        plain.b_row = g->n;
        plain.b_column = 1;
    }
    dq_gemm_c(compute, &plain);
}
