/* Elements of a product: sizes T, m, n, and one element in so many (0: none). Every third row has none, every fifth has all. */
#include "operations.h"

#include <math.h>
#include <stddef.h>

enum { T, M, N, ONE_IN };
enum { A, B, VALUE, ROOM };

static bool is_wanted(const trial *t, int64_t i, int64_t j) {
    const int64_t one_in = t->size[ONE_IN];
    if (one_in == 0 || i % 3 == 2) return false;
    return (one_in < 100 && i % 5 == 4) || trial_pick(t, i * t->size[N] + j, one_in) == 0;
}

/* t->index: first [m + 1], then the columns. */
static void prepare(trial *t) {
    const int64_t m = t->size[M], n = t->size[N];
    int64_t count = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) count += is_wanted(t, i, j);
    slot_indices(t, m + 1 + count);
    int32_t *first = t->index, *column = first + m + 1;
    first[0] = 0;
    for (int64_t i = 0; i < m; i++) {
        first[i + 1] = first[i];
        for (int64_t j = 0; j < n; j++)
            if (is_wanted(t, i, j)) column[first[i + 1]++] = (int32_t)j;
    }
    slot_values(t, A, t->size[T] * m, -1, 1);
    slot_values(t, B, t->size[T] * n, -1, 1);
    slot_values(t, VALUE, count, 5, 6); /* what is there does not count */
    slot_room(t, ROOM, dq_sampled_room(n));
    slot_result(t, VALUE);
}

static void run(trial *t, const dq_compute *compute) {
    const dq_sampled p = {.T = t->size[T],
                          .m = t->size[M],
                          .n = t->size[N],
                          .a = t->slots[A].x,
                          .b = t->slots[B].x,
                          .first = t->index,
                          .column = t->index + t->size[M] + 1,
                          .value = t->slots[VALUE].x,
                          .room = t->slots[ROOM].x};
    compute->kernels->sampled_multiply(compute, &p);
}

static void expect(trial *t) {
    const float *a = t->slots[A].fresh, *b = t->slots[B].fresh;
    const int32_t *first = t->index, *column = first + t->size[M] + 1;
    for (int64_t i = 0; i < t->size[M]; i++)
        for (int32_t e = first[i]; e < first[i + 1]; e++) {
            double sum = 0, size = 0;
            for (int64_t token = 0; token < t->size[T]; token++) {
                double term = (double)a[token * t->size[M] + i] * b[token * t->size[N] + column[e]];
                sum += term;
                size += fabs(term);
            }
            t->slots[VALUE].want[e] = sum;
            t->slots[VALUE].allowed[e] = UNIT * size * (1 + sum_units((double)t->size[T]));
        }
}

static double flops(const trial *t) {
    return 2.0 * (double)t->size[T] * t->index[t->size[M]];
}

static double bytes(const trial *t) {
    return 4.0 * (double)t->size[T] * (double)(t->size[M] + t->size[N]);
}

static const int64_t tests[][SIZES] = {{1, 1, 1, 1},     {5, 7, 33, 2},    {256, 70, 64, 5}, {257, 20, 129, 9},
                                       {700, 65, 17, 3}, {40, 130, 70, 0}, {0, 3, 5, 1}};
static const int64_t benches[][SIZES] = {{753, 1536, 576, 500}, {753, 576, 1536, 500}, {753, 1536, 576, 50}};

const operation sampled_operation = {.name = "sampled_multiply",
                                     .tests = tests,
                                     .test_count = sizeof tests / sizeof tests[0],
                                     .benches = benches,
                                     .bench_count = sizeof benches / sizeof benches[0],
                                     .variations = 1,
                                     .prepare = prepare,
                                     .run = run,
                                     .expect = expect,
                                     .flops = flops,
                                     .bytes = bytes,
                                     .by_bytes = true,
                                     .entry = offsetof(dq_kernels, sampled_multiply)};
