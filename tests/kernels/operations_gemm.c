/* C = A B: sizes m, n, k; variation bits: 1 A transposed, 2 B transposed, 4 accumulate, 8 bf16, 16 neither stride is 1. */
#include "operations.h"

#include <math.h>
#include <stddef.h>

#include "base/half.h"

enum { M, N, K };
enum { A, B, C, PACKED, PACKED_A };
enum { A_TURNED = 1, B_TURNED = 2, ACCUMULATE = 4, BF16 = 8, SPREAD = 16 };
/* Which operands are packed beforehand: SIZES[3]. */
enum { WAY = 3, PACK_B = 0, PACK_A = 1, PACK_BOTH = 2 };
enum { GAP = 3 }; /* between the rows of C: must stay as it is */

static dq_gemm shape(const trial *t) {
    int64_t m = t->size[M], n = t->size[N], k = t->size[K], spread = t->variation & SPREAD ? 2 : 1;
    dq_gemm g = {.m = m, .n = n, .k = k, .c_row = n + GAP, .accumulate = t->variation & ACCUMULATE};
    g.a_row = t->variation & A_TURNED ? spread : k * spread + 1;
    g.a_column = t->variation & A_TURNED ? m * spread + 1 : spread;
    g.b_row = t->variation & B_TURNED ? spread : n * spread + 1;
    g.b_column = t->variation & B_TURNED ? k * spread + 1 : spread;
    g.a = t->slots[A].x;
    g.b = t->slots[B].x;
    g.c = t->slots[C].x;
    return g;
}

static int64_t extent(int64_t rows, int64_t row, int64_t columns, int64_t column) {
    return rows > 0 && columns > 0 ? (rows - 1) * row + (columns - 1) * column + 1 : 0;
}

static void prepare(trial *t) {
    dq_gemm g = shape(t);
    slot_values(t, A, extent(g.m, g.a_row, g.k, g.a_column), -1, 1);
    slot_values(t, B, extent(g.k, g.b_row, g.n, g.b_column), -1, 1);
    slot_values(t, C, extent(g.m, g.c_row, g.n, 1), -1, 1);
    slot_result(t, C);
}

static void run(trial *t, const dq_compute *compute) {
    dq_gemm g = shape(t);
    dq_compute here = *compute;
    here.multiply = t->variation & BF16 ? DQ_MULTIPLY_BF16 : DQ_MULTIPLY_F32;
    here.kernels->gemm(&here, &g);
}

/* A B packed piece by piece, of different widths, when the kernels run the trial first. The pieces of a second run would be
 * the same. */
static void pack(trial *t, const dq_compute *compute, const dq_gemm *g) {
    const size_t bytes = compute->kernels->packed_bytes(compute, g->k, g->n);
    if (!slot_to_make(t, compute->kernels, PACKED, (int64_t)(bytes / sizeof(float)))) return;
    dq_pack piece = {.k = g->k, .n = g->n, .b_row = g->b_row, .b_column = g->b_column};
    for (int64_t p = 0, part = 1; p < g->k; p += piece.rows, part++)
        for (int64_t j = 0; j < g->n; j += piece.columns, part++) {
            int64_t rows = (part % 3 + 1) * DQ_PACK_UNIT, columns = (part % 2 + 1) * DQ_PACK_UNIT;
            if (j > 0) rows = piece.rows; /* of one height across */
            piece.first_row = p;
            piece.rows = g->k - p < rows ? g->k - p : rows;
            piece.first_column = j;
            piece.columns = g->n - j < columns ? g->n - j : columns;
            piece.b = g->b + p * g->b_row + j * g->b_column;
            compute->kernels->pack(compute, &piece, t->slots[PACKED].x);
        }
}

static void run_packed(trial *t, const dq_compute *compute) {
    dq_gemm g = shape(t);
    dq_compute here = *compute;
    here.multiply = t->variation & BF16 ? DQ_MULTIPLY_BF16 : DQ_MULTIPLY_F32;
    const bool a = t->size[WAY] != PACK_B, b = t->size[WAY] != PACK_A;
    const int64_t a_floats = (int64_t)(here.kernels->packed_a_bytes(&here, g.m, g.k) / sizeof(float));
    if (a && slot_to_make(t, here.kernels, PACKED_A, a_floats)) here.kernels->pack_a(&here, &g, t->slots[PACKED_A].x);
    if (b) pack(t, &here, &g);
    if (a) g.a = NULL;
    if (b) g.b = NULL;
    here.kernels->gemm_packed(&here, &g, &(dq_packed){a ? t->slots[PACKED_A].x : NULL, b ? t->slots[PACKED].x : NULL});
}

static bool in_bf16(const trial *t) {
    return t->variation & BF16;
}

static double rounded(const trial *t, float x) {
    return t->variation & BF16 ? dq_bf16_to_f32(dq_f32_to_bf16(x)) : x;
}

static void expect(trial *t) {
    dq_gemm g = shape(t);
    slot *c = &t->slots[C];
    for (int64_t i = 0; i < c->n; i++) c->want[i] = c->fresh[i];
    for (int64_t i = 0; i < g.m; i++)
        for (int64_t j = 0; j < g.n; j++) {
            int64_t at = i * g.c_row + j;
            double sum = g.accumulate ? c->fresh[at] : 0, size = fabs(sum);
            for (int64_t p = 0; p < g.k; p++) {
                double term = rounded(t, t->slots[A].fresh[i * g.a_row + p * g.a_column]) *
                              rounded(t, t->slots[B].fresh[p * g.b_row + j * g.b_column]);
                sum += term;
                size += fabs(term);
            }
            c->want[at] = sum;
            /* The product and each partial sum may round: one unit for the first, a walk for the others. */
            c->allowed[at] = g.k ? (sum_units((double)g.k) + 2) * UNIT * size : 0;
        }
}

static double flops(const trial *t) {
    return 2.0 * (double)t->size[M] * (double)t->size[N] * (double)t->size[K];
}

static double bytes(const trial *t) {
    double m = (double)t->size[M], n = (double)t->size[N], k = (double)t->size[K];
    return 4 * (m * k + k * n + m * n);
}

static const int64_t tests[][SIZES] = {
    {1, 1, 1},     {1, 100, 37},   {3, 17, 5},    {5, 16, 1},    {6, 16, 320},   {7, 33, 321},  {13, 47, 70},
    {100, 50, 0},  {0, 5, 3},      {5, 0, 3},     {13, 35, 977}, {150, 130, 20}, {2, 3100, 9},  {2130, 18, 4},
    {8, 1100, 30}, {150, 1100, 3}, {1, 300, 330}, {3, 17, 2050}, {1, 770, 1030}, {40, 16, 700}, {29, 7, 330},
};
/* Forward, weight gradient and input gradient of the feed-forward of a 135M model at 900 tokens; larger ones; a token
 * at a time; rank 16. SIZES[7] holds the variation. */
static const int64_t benches[][SIZES] = {
    {900, 1536, 576, 0, 0, 0, 0, B_TURNED},
    {1536, 576, 900, 0, 0, 0, 0, A_TURNED},
    {900, 576, 1536, 0, 0, 0, 0, 0},
    {900, 1536, 576, 0, 0, 0, 0, B_TURNED | BF16},
    {1536, 576, 900, 0, 0, 0, 0, A_TURNED | BF16},
    {900, 576, 1536, 0, 0, 0, 0, BF16},
    {2048, 2048, 2048, 0, 0, 0, 0, B_TURNED | BF16},
    {1, 49152, 576, 0, 0, 0, 0, B_TURNED | BF16},
    {900, 576, 576, 0, 0, 0, 0, B_TURNED},
    {900, 192, 576, 0, 0, 0, 0, B_TURNED},
    {192, 576, 900, 0, 0, 0, 0, A_TURNED},
    {256, 49152, 576, 0, 0, 0, 0, B_TURNED},
    {2048, 2048, 2048, 0, 0, 0, 0, B_TURNED},
    {1, 49152, 576, 0, 0, 0, 0, B_TURNED},
    {1, 1536, 576, 0, 0, 0, 0, B_TURNED},
    {4, 49152, 576, 0, 0, 0, 0, B_TURNED},
    {8, 49152, 576, 0, 0, 0, 0, B_TURNED},
    {1, 16384, 2048, 0, 0, 0, 0, 0},
    {1536, 576, 16, 0, 0, 0, 0, 0},
    {16, 576, 1536, 0, 0, 0, 0, A_TURNED},
    {1536, 16, 576, 0, 0, 0, 0, B_TURNED},
};

/* Beside shared and narrow products of every kind: more rows, and more columns, than are packed on the way at one time. */
static const int64_t packed_tests[][SIZES] = {
    {7, 33, 321},
    {13, 100, 70},
    {3, 150, 2100},
    {1, 800, 33},
    {40, 5, 1},
    {7, 33, 321, PACK_A},
    {70, 35, 970, PACK_A},
    {3, 150, 2100, PACK_A},
    {1, 800, 33, PACK_A},
    {40, 5, 1, PACK_A},
    {2130, 18, 4, PACK_A},
    {7, 33, 321, PACK_BOTH},
    {40, 100, 650, PACK_BOTH},
    {3, 150, 2100, PACK_BOTH},
    {1, 800, 33, PACK_BOTH},
    {2130, 18, 4, PACK_BOTH},
    {2, 3100, 9, PACK_BOTH},
    {2, 3100, 9, PACK_A},
};
static const int64_t packed_benches[][SIZES] = {
    {900, 1536, 576, 0, 0, 0, 0, B_TURNED},        {900, 576, 1536, 0, 0, 0, 0, 0},
    {900, 1536, 576, 0, 0, 0, 0, B_TURNED | BF16}, {900, 576, 1536, 0, 0, 0, 0, BF16},
    {256, 49152, 576, 0, 0, 0, 0, B_TURNED},       {1, 49152, 576, 0, 0, 0, 0, B_TURNED},
    {1, 49152, 576, 0, 0, 0, 0, B_TURNED | BF16},  {900, 1536, 576, PACK_BOTH, 0, 0, 0, B_TURNED},
    {900, 576, 1536, PACK_BOTH, 0, 0, 0, 0},
};

#define COUNT(list) (int)(sizeof(list) / sizeof(list)[0])

const operation gemm_operation = {.name = "gemm",
                                  .tests = tests,
                                  .test_count = COUNT(tests),
                                  .benches = benches,
                                  .bench_count = COUNT(benches),
                                  .variations = 32,
                                  .prepare = prepare,
                                  .run = run,
                                  .expect = expect,
                                  .flops = flops,
                                  .in_bf16 = in_bf16,
                                  .bytes = bytes,
                                  .entry = offsetof(dq_kernels, gemm)};

const operation gemm_packed_operation = {.name = "gemm_packed",
                                         .tests = packed_tests,
                                         .test_count = COUNT(packed_tests),
                                         .benches = packed_benches,
                                         .bench_count = COUNT(packed_benches),
                                         .variations = 32,
                                         .prepare = prepare,
                                         .run = run_packed,
                                         .expect = expect,
                                         .flops = flops,
                                         .in_bf16 = in_bf16,
                                         .bytes = bytes,
                                         .entry = offsetof(dq_kernels, gemm_packed)};
