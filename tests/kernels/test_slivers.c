/* The ways through packed slivers, with slivers so small that products of a few elements have many blocks, panels and chunks. Values
 * are small whole numbers, whose sums are exact in any order. */
#include "support.h"

#include "kernels/slivers.h"
#include "kernels/workspace.h"

enum { ROWS = 2, COLUMNS = 3, UNIT = 2, MOST = 40, GAP = 2 };

static void pack(const dq_operand *o, int64_t first, int64_t lanes, int slivers, int64_t start, int width, int depth,
                 float *out, int64_t apart) {
    const int steps = (depth + UNIT - 1) / UNIT * UNIT;
    for (int s = 0; s < slivers; s++)
        for (int p = 0; p < steps; p++)
            for (int lane = 0; lane < width; lane++) {
                const int64_t at = s * width + lane;
                const bool there = at < lanes && p < depth;
                out[s * apart + p * width + lane] =
                    there ? o->x[(first + at) * o->lane_stride + (start + p) * o->step] : 0;
            }
}

static void pack_a(const dq_operand *o, int64_t first, int64_t lanes, int slivers, int64_t start, int depth, void *out,
                   int64_t apart) {
    pack(o, first, lanes, slivers, start, ROWS, depth, out, apart);
}
static void pack_b(const dq_operand *o, int64_t first, int64_t lanes, int slivers, int64_t start, int depth, void *out,
                   int64_t apart) {
    pack(o, first, lanes, slivers, start, COLUMNS, depth, out, apart);
}

static void multiply_in_place(int64_t rows, int steps, const float *a, int64_t a_row, int64_t a_step, const float *b,
                              int64_t b_step, float *c, int64_t c_row, int64_t columns, bool accumulate) {
    for (int i = 0; i < ROWS && i < rows; i++)
        for (int j = 0; j < COLUMNS && j < columns; j++) {
            float sum = accumulate ? c[i * c_row + j] : 0;
            for (int p = 0; p < steps; p++) sum += a[i * a_row + p * a_step] * b[p * b_step + j];
            c[i * c_row + j] = sum;
        }
}
static void multiply(int64_t rows, int steps, const void *a, const void *b, float *c, int64_t c_row, int64_t columns,
                     bool accumulate) {
    multiply_in_place(rows, steps, a, 1, ROWS, b, COLUMNS, c, c_row, columns, accumulate);
}

static float a[MOST * MOST], b[MOST * MOST], c[MOST * (MOST + GAP)], packed_a[4 * MOST * MOST],
    packed_b[4 * MOST * MOST];

static void check(const dq_slivers *s, const dq_compute *compute, dq_gemm g, int packing) {
    dq_packed packed = {0};
    memset(packed_a, 0xff, sizeof packed_a); /* NaN */
    memset(packed_b, 0xff, sizeof packed_b);
    if (packing & 1) {
        dq_slivers_pack_a(s, compute, &g, packed_a);
        packed.a = packed_a;
        g.a = NULL;
    }
    if (packing & 2) {
        dq_slivers_pack(
            s,
            &(dq_pack){
                .k = g.k, .n = g.n, .rows = g.k, .columns = g.n, .b = g.b, .b_row = g.b_row, .b_column = g.b_column},
            packed_b);
        packed.b = packed_b;
        g.b = NULL;
    }
    for (int64_t i = 0; i < g.m * g.c_row; i++) c[i] = 7;
    memset(compute->workspace, 0xff, 4 * sizeof packed_a);
    dq_slivers_gemm(s, compute, &g, &packed);
    for (int64_t i = 0; i < g.m; i++)
        for (int64_t j = 0; j < g.c_row; j++) {
            float sum = j >= g.n || g.accumulate ? 7 : 0;
            for (int64_t p = 0; p < g.k && j < g.n; p++) sum += a[i * g.k + p] * b[p * g.n + j];
            if (c[i * g.c_row + j] != sum)
                fail_msg("%lld x %lld x %lld, packed %d: c[%lld, %lld] is %g, expected %g", (long long)g.m,
                         (long long)g.n, (long long)g.k, packing, (long long)i, (long long)j,
                         (double)c[i * g.c_row + j], (double)sum);
        }
}

static void every_way(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 5, 6, 7, 13, MOST};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    for (int i = 0; i < MOST * MOST; i++) {
        a[i] = (float)(i * 7 % 11 - 5);
        b[i] = (float)(i * 5 % 13 - 6);
    }
    dlqat_error error;
    dq_compute compute;
    assert_ok(dq_compute_open(&compute, "c", 2, DQ_MULTIPLY_F32, &error));
    /* whole, and by panels; with and without a product in place */
    for (int way = 0; way < 4; way++) {
        const dq_slivers s = {.rows = ROWS,
                              .columns = COLUMNS,
                              .unit = UNIT,
                              .cut = UNIT,
                              .value_bytes = sizeof(float),
                              .depth = 4,
                              .panel_rows = 3 * ROWS,
                              .panel_columns = 2 * COLUMNS,
                              .chunk_rows = 2 * ROWS,
                              .whole_bytes = way & 1 ? DQ_WORKSPACE_SHARED : 0,
                              .a_together = 2,
                              .b_together = 3,
                              .pack_a = pack_a,
                              .pack_b = pack_b,
                              .multiply = multiply,
                              .multiply_in_place = way & 2 ? multiply_in_place : NULL};
        for (int at = 0; at < COUNT * COUNT * COUNT; at++)
            for (int variant = 0; variant < 8; variant++) {
                dq_gemm g = {.m = sizes[at % COUNT],
                             .n = sizes[at / COUNT % COUNT],
                             .k = sizes[at / COUNT / COUNT],
                             .a = a,
                             .a_column = 1,
                             .b = b,
                             .b_column = 1,
                             .c = c,
                             .accumulate = variant & 1};
                g.a_row = g.k;
                g.b_row = g.n;
                g.c_row = g.n + GAP;
                check(&s, &compute, g, variant / 2);
            }
    }
    dq_compute_close(&compute);
}

/* An A that is too large for the narrow way, beside a B of many panels. */
static void panels_of_a_large_a(void **state) {
    (void)state;
    enum { M = 300, N = 100, K = 230 };
    dlqat_error error;
    dq_compute compute;
    assert_ok(dq_compute_open(&compute, "c", 2, DQ_MULTIPLY_F32, &error));
    float *x = malloc(M * K * sizeof *x), *y = malloc(K * N * sizeof *y), *z[2];
    for (int i = 0; i < M * K; i++) x[i] = (float)(i * 7 % 11 - 5);
    for (int i = 0; i < K * N; i++) y[i] = (float)(i * 5 % 13 - 6);
    for (int whole = 0; whole < 2; whole++) {
        const dq_slivers s = {.rows = ROWS,
                              .columns = COLUMNS,
                              .unit = UNIT,
                              .cut = UNIT,
                              .value_bytes = sizeof(float),
                              .depth = 24,
                              .panel_rows = 35 * ROWS,
                              .panel_columns = 11 * COLUMNS,
                              .chunk_rows = 6 * ROWS,
                              .whole_bytes = whole ? DQ_WORKSPACE_SHARED : 0,
                              .a_together = 3,
                              .b_together = 2,
                              .pack_a = pack_a,
                              .pack_b = pack_b,
                              .multiply = multiply};
        z[whole] = malloc(M * N * sizeof **z);
        const dq_gemm g = {.m = M,
                           .n = N,
                           .k = K,
                           .a = x,
                           .a_row = K,
                           .a_column = 1,
                           .b = y,
                           .b_row = N,
                           .b_column = 1,
                           .c = z[whole],
                           .c_row = N};
        memset(compute.workspace, 0xff, dq_workspace_bytes(compute.threads));
        dq_slivers_gemm(&s, &compute, &g, &(dq_packed){0});
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                float sum = 0;
                for (int p = 0; p < K; p++) sum += x[i * K + p] * y[p * N + j];
                assert_true(z[whole][i * N + j] == sum);
            }
    }
    free(x);
    free(y);
    free(z[0]);
    free(z[1]);
    dq_compute_close(&compute);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_way), cmocka_unit_test(panels_of_a_large_a)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
