/* Products by tables: sizes code bits, out, in, group, tokens, code bits and rows of a second weight. Variation: accumulate. */
#include "operations.h"

#include <math.h>
#include <stddef.h>

#include "kernels/tables.h"

enum { BITS, OUT, IN, GROUP, TOKENS, BITS_2, OUT_2 };
enum { X, CODES, SCALES, OFFSETS, Y, Y_2 };

static int64_t rows(const trial *t) {
    return t->size[OUT] + t->size[OUT_2];
}

/* The rows of both weights, one after the other: a byte each, at the end of the array, where the unreadable page begins. */
static uint8_t *bytes_of(float *x, const trial *t) {
    return (uint8_t *)(x + t->slots[CODES].n) - rows(t) * t->size[IN];
}

static void prepare(trial *t) {
    const int64_t *size = t->size, groups = rows(t) * (size[IN] / size[GROUP]);
    slot_values(t, X, size[TOKENS] * size[IN], -1, 1);
    slot_values(t, CODES, (rows(t) * size[IN] + 3) / 4, 0, 1);
    slot_values(t, SCALES, groups, -1, 1);
    slot_values(t, OFFSETS, groups, -3, 3);
    slot_values(t, Y, size[TOKENS] * size[OUT], -1, 1);
    slot_values(t, Y_2, size[TOKENS] * size[OUT_2], -1, 1);
    slot_result(t, Y);
    slot_result(t, Y_2);
    uint8_t *codes = bytes_of(t->slots[CODES].fresh, t);
    for (int64_t i = 0; i < rows(t) * size[IN]; i++)
        codes[i] = (uint8_t)trial_pick(t, i, 1 << size[i < size[OUT] * size[IN] ? BITS : BITS_2]);
}

static void run(trial *t, const dq_compute *compute) {
    const int64_t *size = t->size, groups = size[IN] / size[GROUP];
    dq_coded w = {.coding = DQ_CODING_BITS,
                  .out = size[OUT],
                  .in = size[IN],
                  .row_bytes = size[IN],
                  .codes = bytes_of(t->slots[CODES].x, t),
                  .bits = 8,
                  .code_bits = (int)size[BITS],
                  .group = size[GROUP],
                  .scale_type = DQ_SCALE_F32,
                  .scales = t->slots[SCALES].x,
                  .offsets = t->slots[OFFSETS].x};
    dq_coded second = w;
    second.out = size[OUT_2];
    second.code_bits = (int)size[BITS_2];
    second.codes = (const uint8_t *)w.codes + size[OUT] * size[IN];
    second.scales = t->slots[SCALES].x + size[OUT] * groups;
    second.offsets = t->slots[OFFSETS].x + size[OUT] * groups;
    dq_coded_product p = {.x = t->slots[X].x,
                          .tokens = size[TOKENS],
                          .count = 2,
                          .weight = {&w, &second},
                          .y = {t->slots[Y].x, t->slots[Y_2].x},
                          .accumulate = t->variation};
    compute->kernels->tables_multiply(compute, &p);
}

/* A term S u x or O x goes through the additions of its table (at most 6) and of its plane's pieces (12 in the shortest), the planes'
 * (3), the product with S, one addition for each run and one to y; in the sum of a run 18. The plain way rounds S u and S u + O. */
static void expect_rows(trial *t, int which, int64_t first, int64_t count) {
    const int64_t *size = t->size, in = size[IN], groups = in / size[GROUP];
    const double units = sum_units(24 + (double)(in / DQ_TABLES_RUN));
    const uint8_t *codes = bytes_of(t->slots[CODES].fresh, t);
    slot *y = &t->slots[which];
    for (int64_t i = 0; i < size[TOKENS]; i++)
        for (int64_t row = 0; row < count; row++) {
            double sum = t->variation ? y->fresh[i * count + row] : 0, total = fabs(sum);
            for (int64_t j = 0; j < in; j++) {
                const int64_t at = (first + row) * groups + j / size[GROUP];
                const double x = t->slots[X].fresh[i * in + j], offset = t->slots[OFFSETS].fresh[at];
                const double product = (double)t->slots[SCALES].fresh[at] * codes[(first + row) * in + j];
                sum += (product + offset) * x;
                total += (fabs(product) + fabs(offset)) * fabs(x);
            }
            y->want[i * count + row] = sum;
            y->allowed[i * count + row] = units * total * UNIT;
        }
}

static void expect(trial *t) {
    expect_rows(t, Y, 0, t->size[OUT]);
    expect_rows(t, Y_2, t->size[OUT], t->size[OUT_2]);
}

static double flops(const trial *t) {
    return 2.0 * (double)t->size[TOKENS] * (double)rows(t) * (double)t->size[IN];
}

static double bytes(const trial *t) {
    return (double)(rows(t) * t->size[IN]) + 4.0 * (double)(t->size[TOKENS] * (t->size[IN] + rows(t)));
}

/* The last two are of more rows than a tile, by count and by room. */
static const int64_t tests[][SIZES] = {
    {3, 7, 64, 64, 9, 3, 5},     {2, 5, 128, 64, 8, 2, 3},       {1, 3, 128, 128, 3, 1, 9},
    {3, 20, 192, 64, 17, 2, 1},  {2, 33, 256, 128, 33, 3, 16},   {3, 1, 64, 64, 1, 1, 0},
    {3, 0, 64, 64, 5, 2, 6},     {3, 16, 576, 576, 64, 3, 8},    {3, 9, 1536, 192, 40, 2, 17},
    {4, 7, 64, 64, 9, 3, 5},     {4, 33, 256, 128, 33, 4, 16},   {3, 4, 64, 64, 0, 3, 4},
    {2, 4090, 64, 64, 5, 1, 30}, {3, 1600, 8192, 256, 2, 1, 70},
};
/* The linears of a 135M model that read one x, and a wide one. */
static const int64_t benches[][SIZES] = {
    {3, 576, 576, 64, 753, 3, 384},   {3, 1536, 576, 64, 753, 3, 1536}, {3, 576, 1536, 64, 753, 3, 0},
    {2, 1536, 576, 64, 753, 2, 1536}, {4, 1536, 576, 64, 753, 4, 1536}, {3, 1536, 576, 64, 64, 3, 1536},
    {3, 11008, 4096, 128, 256, 3, 0},
};

#define COUNT(list) (int)(sizeof(list) / sizeof(list)[0])

const operation tables_multiply_operation = {.name = "tables_multiply",
                                             .tests = tests,
                                             .test_count = COUNT(tests),
                                             .benches = benches,
                                             .bench_count = COUNT(benches),
                                             .variations = 2,
                                             .prepare = prepare,
                                             .run = run,
                                             .expect = expect,
                                             .flops = flops,
                                             .bytes = bytes,
                                             .entry = offsetof(dq_kernels, tables_multiply)};
