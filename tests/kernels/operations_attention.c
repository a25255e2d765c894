/* Attention forward and backward against the naive one in f64, which stores every T x T matrix.
 *
 * Sizes: queries, heads, kv heads, head width, window, first position, longest row. Rows of random length follow one another.
 * Variations: LEFT_OUT, the queries of the first keys of rows are not there (dq_attention.key); BLOCKED, of the forward, keys
 * and values in blocks; BF16, products in bf16, where the kernels round their operands at all: what goes in is bf16 already, so
 * that scores are those of f32, and only P and dS are rounded, to 2^-8 at most. With S = scale q k^T, errors of f32 are bounded
 * thus: a score is off by e_s = units(d) u scale sum |q k|, so every probability by the factor 1 + 2 max e_s (its own score and
 * those of the sum); the rest are sums. */
#include "operations.h"

#include <math.h>
#include <stddef.h>

#include <stdlib.h>

#include "base/half.h"
#include "blocked.h"

enum { QUERIES, HEADS, KV_HEADS, WIDTH, WINDOW, FIRST, LONGEST };
enum { Q, KEYS, V, O, LOG_SUM, DO, DELTA, DQ, DK, DV };
enum { BLOCKED_KEYS = DK, BLOCKED_V = DV }; /* in the forward */
enum { LEFT_OUT = 1, BF16 = 2, BLOCKED = 4 };
/* By a trial's variation; the backward has the first four. */
static const int ways[] = {0, LEFT_OUT, BF16, LEFT_OUT | BF16, BLOCKED, BLOCKED | BF16};
enum { WAY_BF16 = 2, WAY_BLOCKED = 4 }; /* the last size of a benchmark */

static int64_t key_count(const trial *t) {
    return t->size[QUERIES] + t->size[FIRST];
}

/* The list of row starts, behind it that of the queries' keys, and how many queries there are. */
static int64_t query_count(const trial *t) {
    return t->index[2 * key_count(t)];
}

static dq_attention shape(const trial *t) {
    int width = (int)t->size[WIDTH];
    const bool left_out = ways[t->variation] & LEFT_OUT;
    return (dq_attention){.query_count = query_count(t),
                          .first_position = left_out ? 0 : t->size[FIRST],
                          .heads = (int)t->size[HEADS],
                          .kv_heads = (int)t->size[KV_HEADS],
                          .head_width = width,
                          .window = t->size[WINDOW],
                          .scale = (float)(1 / sqrt(width)),
                          .row_start = t->index,
                          .q = t->slots[Q].x,
                          .k = t->slots[KEYS].x,
                          .v = t->slots[V].x,
                          .o = t->slots[O].x,
                          .log_sum = t->slots[LOG_SUM].x,
                          .key = left_out ? t->index + key_count(t) : NULL,
                          .key_count = left_out ? key_count(t) : 0};
}

static int64_t own_key(const dq_attention *a, int64_t i) {
    return a->key ? a->key[i] : a->first_position + i;
}

/* Row starts over the key positions; queries see the end of that list. Every row keeps its last query. */
static void prepare_rows(trial *t) {
    const int64_t keys = key_count(t);
    int64_t start = 0, end = 0, left_out = 0;
    int32_t queries = 0;
    slot_indices(t, 2 * keys + 1);
    for (int64_t position = 0; position < keys; position++) {
        if (position == end) {
            start = position;
            end = start + 1 + trial_pick(t, position, t->size[LONGEST]);
            if (end > keys) end = keys;
            left_out = ways[t->variation] & LEFT_OUT ? trial_pick(t, keys + position, end - start) : 0;
        }
        if (position < t->size[FIRST] || position < start + left_out) continue;
        t->index[queries] = (int32_t)start;
        t->index[keys + queries++] = (int32_t)position;
    }
    t->index[2 * keys] = queries;
}

static bool in_bf16(const trial *t) {
    return ways[t->variation] & BF16;
}

/* The relative error of P and dS as operands. */
static double rounding(const trial *t) {
    return in_bf16(t) ? 0x1p-8 : 0;
}

static void inputs(trial *t, int which, int64_t n, float most) {
    slot_values(t, which, n, -most, most);
    for (int64_t i = 0; in_bf16(t) && i < n; i++)
        t->slots[which].fresh[i] = dq_bf16_to_f32(dq_f32_to_bf16(t->slots[which].fresh[i]));
}

static dq_compute as_asked(const trial *t, const dq_compute *compute) {
    dq_compute here = *compute;
    here.multiply = in_bf16(t) ? DQ_MULTIPLY_BF16 : DQ_MULTIPLY_F32;
    return here;
}

static void prepare_inputs(trial *t) {
    prepare_rows(t);
    int64_t queries = query_count(t), keys = key_count(t), d = t->size[WIDTH];
    int64_t h = t->size[HEADS], g = t->size[KV_HEADS];
    inputs(t, Q, queries * h * d, 2);
    inputs(t, KEYS, keys * g * d, 2);
    inputs(t, V, keys * g * d, 1);
    slot_values(t, O, queries * h * d, 0, 1);
    slot_values(t, LOG_SUM, queries * h, 0, 1);
}

/* One head of the naive computation; everything [queries, keys] or [.., d]. */
typedef struct head {
    int64_t queries, keys;
    int d;
    double *p, *e; /* probabilities, and the relative error they may have */
    double *log_sum, *log_sum_error;
} head;

static const float *row_of(const trial *t, int which, int64_t row, int64_t heads, int64_t h) {
    return t->slots[which].fresh + (row * heads + h) * t->size[WIDTH];
}

static head head_open(const trial *t, int64_t h) {
    dq_attention a = shape(t);
    head x = {.queries = a.query_count, .keys = key_count(t), .d = a.head_width};
    x.p = calloc((size_t)(x.queries * x.keys), sizeof(double));
    x.e = calloc((size_t)x.queries * 3, sizeof(double));
    if (!x.p || !x.e) abort();
    x.log_sum = x.e + x.queries;
    x.log_sum_error = x.log_sum + x.queries;
    int64_t g = h / (a.heads / a.kv_heads);
    for (int64_t i = 0; i < x.queries; i++) {
        double *p = x.p + i * x.keys, sum = 0, worst = 0, count = 0;
        int64_t position = own_key(&a, i);
        const float *q = row_of(t, Q, i, a.heads, h);
        for (int pass = 0; pass < 2; pass++)
            for (int64_t j = 0; j <= position; j++) {
                if (j < a.row_start[i] || (a.window > 0 && j <= position - a.window)) continue;
                const float *k = row_of(t, KEYS, j, a.kv_heads, g);
                double s = 0, size = 0;
                for (int c = 0; c < x.d; c++) {
                    s += (double)q[c] * k[c];
                    size += fabs((double)q[c] * k[c]);
                }
                if (pass == 0) {
                    sum += exp(a.scale * s);
                    worst = fmax(worst, a.scale * size);
                    count++;
                } else {
                    p[j] = exp(a.scale * s) / sum;
                }
            }
        x.log_sum[i] = log(sum);
        double score = (sum_units(x.d) + 4) * UNIT * worst;
        x.log_sum_error[i] = score + (sum_units(count) + 6) * UNIT + 2 * UNIT * fabs(x.log_sum[i]);
        x.e[i] = score + x.log_sum_error[i] + 6 * UNIT;
    }
    return x;
}

static void head_close(head *x) {
    free(x->p);
    free(x->e);
}

static void expect_forward(trial *t, bool only_values) {
    dq_attention a = shape(t);
    for (int64_t h = 0; h < a.heads; h++) {
        head x = head_open(t, h);
        int64_t g = h / (a.heads / a.kv_heads);
        for (int64_t i = 0; i < x.queries; i++) {
            int64_t at = i * a.heads + h;
            if (!only_values) {
                t->slots[LOG_SUM].want[at] = x.log_sum[i];
                t->slots[LOG_SUM].allowed[at] = x.log_sum_error[i];
            } else {
                t->slots[LOG_SUM].fresh[at] = (float)x.log_sum[i];
            }
            for (int c = 0; c < x.d; c++) {
                double o = 0, size = 0;
                for (int64_t j = 0; j <= own_key(&a, i); j++) {
                    double v = row_of(t, V, j, a.kv_heads, g)[c];
                    o += x.p[i * x.keys + j] * v;
                    size += x.p[i * x.keys + j] * fabs(v);
                }
                if (!only_values) {
                    t->slots[O].want[at * x.d + c] = o;
                    t->slots[O].allowed[at * x.d + c] =
                        (x.e[i] + rounding(t) + (sum_units((double)own_key(&a, i) + 1) + 2) * UNIT) * size;
                } else {
                    t->slots[O].fresh[at * x.d + c] = (float)o;
                }
            }
        }
        head_close(&x);
    }
}

static void forward_prepare(trial *t) {
    prepare_inputs(t);
    slot_result(t, O);
    slot_result(t, LOG_SUM);
}

static void forward_expect(trial *t) {
    expect_forward(t, false);
}

static const float *blocked(trial *t, const dq_kernels *kernels, int which, int from) {
    int64_t keys = key_count(t), heads = t->size[KV_HEADS], d = t->size[WIDTH];
    if (slot_to_make(t, kernels, which, blocked_floats(keys, heads, d)))
        make_blocked(t->slots[which].x, t->slots[from].x, keys, heads, d, from == KEYS);
    return t->slots[which].x;
}

static void forward_run(trial *t, const dq_compute *compute) {
    dq_attention a = shape(t);
    if (ways[t->variation] & BLOCKED) {
        a.blocked = true;
        a.k = blocked(t, compute->kernels, BLOCKED_KEYS, KEYS);
        a.v = blocked(t, compute->kernels, BLOCKED_V, V);
    }
    const dq_compute here = as_asked(t, compute);
    here.kernels->attention_forward(&here, &a);
}

static void backward_prepare(trial *t) {
    prepare_inputs(t);
    int64_t rows = query_count(t), keys = key_count(t), h = t->size[HEADS], g = t->size[KV_HEADS], d = t->size[WIDTH];
    inputs(t, DO, rows * h * d, 1);
    slot_values(t, DELTA, rows * h, 0, 1);
    slot_values(t, DQ, rows * h * d, 0, 1);
    slot_values(t, DK, keys * g * d, 0, 1);
    slot_values(t, DV, keys * g * d, 0, 1);
    slot_result(t, DQ);
    slot_result(t, DK);
    slot_result(t, DV);
    if (rows <= 1024) expect_forward(t, true); /* not for the benchmark, whose results nobody looks at */
}

/* dS_ij = scale P_ij (dP_ij - delta_i), whose error is scale P (e |dP - delta| + units(d) u (sum |do v| + sum |do o|)). */
static void backward_expect(trial *t) {
    dq_attention a = shape(t);
    int d = a.head_width;
    for (int64_t h = 0; h < a.heads; h++) {
        head x = head_open(t, h);
        int64_t g = h / (a.heads / a.kv_heads);
        for (int64_t i = 0; i < x.queries; i++) {
            int64_t at = (i * a.heads + h) * d;
            const float *do_ = row_of(t, DO, i, a.heads, h), *q = row_of(t, Q, i, a.heads, h);
            const float *o = row_of(t, O, i, a.heads, h);
            double delta = 0, delta_size = 0;
            for (int c = 0; c < d; c++) {
                delta += (double)do_[c] * o[c];
                delta_size += fabs((double)do_[c] * o[c]);
            }
            for (int64_t j = 0; j <= own_key(&a, i); j++) {
                double p = x.p[i * x.keys + j], dp = 0, dp_size = 0;
                if (p == 0) continue;
                const float *k = row_of(t, KEYS, j, a.kv_heads, g), *v = row_of(t, V, j, a.kv_heads, g);
                for (int c = 0; c < d; c++) {
                    dp += (double)do_[c] * v[c];
                    dp_size += fabs((double)do_[c] * v[c]);
                }
                double ds = a.scale * p * (dp - delta),
                       many = rounding(t) + (sum_units((double)(x.queries * a.heads)) + 2) * UNIT;
                double error =
                    a.scale * p * (x.e[i] * fabs(dp - delta) + (sum_units(d) + 4) * UNIT * (dp_size + delta_size));
                int64_t here = (j * a.kv_heads + g) * d;
                for (int c = 0; c < d; c++) {
                    t->slots[DQ].want[at + c] += ds * k[c];
                    t->slots[DQ].allowed[at + c] += (error + many * fabs(ds)) * fabs((double)k[c]);
                    t->slots[DK].want[here + c] += ds * q[c];
                    t->slots[DK].allowed[here + c] += (error + many * fabs(ds)) * fabs((double)q[c]);
                    t->slots[DV].want[here + c] += p * do_[c];
                    t->slots[DV].allowed[here + c] += p * (x.e[i] + many) * fabs((double)do_[c]);
                }
            }
        }
        head_close(&x);
    }
}

static void backward_run(trial *t, const dq_compute *compute) {
    dq_attention a = shape(t);
    const dq_compute here = as_asked(t, compute);
    here.kernels->attention_backward(&here, &a, t->slots[DO].x, t->slots[DELTA].x, t->slots[DQ].x, t->slots[DK].x,
                                     t->slots[DV].x);
}

/* Pairs of a query and a key it sees. */
static double pairs(const trial *t) {
    dq_attention a = shape(t);
    double sum = 0;
    for (int64_t i = 0; i < a.query_count; i++) {
        int64_t seen = own_key(&a, i) - a.row_start[i] + 1;
        sum += (double)(a.window > 0 && seen > a.window ? a.window : seen);
    }
    return sum * a.heads;
}

static double forward_flops(const trial *t) {
    return 4 * pairs(t) * (double)t->size[WIDTH];
}
static double backward_flops(const trial *t) {
    return 10 * pairs(t) * (double)t->size[WIDTH];
}

static double bytes(const trial *t) {
    double sum = 0;
    for (int i = 0; i < SLOTS; i++) sum += 4.0 * (double)t->slots[i].n;
    return sum;
}

static const int64_t forward_tests[][SIZES] = {
    {1, 1, 1, 1, 0, 0, 1},     {7, 2, 2, 8, 0, 0, 7},     {40, 4, 2, 16, 0, 0, 13},   {33, 3, 1, 5, 0, 0, 33},
    {70, 4, 1, 20, 9, 0, 70},  {130, 2, 1, 64, 0, 0, 90}, {100, 1, 1, 72, 33, 0, 60}, {1, 4, 2, 64, 0, 77, 100},
    {5, 6, 2, 12, 0, 30, 100}, {3, 3, 3, 7, 10, 50, 100}, {90, 9, 3, 64, 0, 0, 40},   {200, 2, 2, 33, 70, 0, 300},
    {6, 2, 1, 130, 0, 3, 9},   {1, 9, 3, 64, 0, 0, 1},    {66, 4, 1, 31, 1, 0, 66},   {9, 20, 1, 8, 0, 60, 100},
    {3, 2, 1, 300, 0, 2, 9},
};
static const int64_t backward_tests[][SIZES] = {
    {1, 1, 1, 1, 0, 0, 1},
    {7, 2, 2, 8, 0, 0, 7},
    {40, 4, 2, 16, 0, 0, 13},
    {33, 3, 1, 5, 0, 0, 33},
    {70, 4, 1, 20, 9, 0, 70},
    {130, 2, 1, 64, 0, 0, 90},
    {90, 9, 3, 64, 0, 0, 40},
    {100, 1, 1, 72, 33, 0, 60},
    {6, 2, 1, 130, 0, 0, 9},
    {66, 4, 1, 31, 1, 0, 66},
    {150, 2, 2, 33, 70, 0, 300},
    {30, 20, 1, 8, 0, 0, 30},
    {5, 2, 1, 300, 0, 0, 5},
    /* many heads and windows over several blocks of keys; and rows too long for what the short way has room for */
    {150, 3, 1, 64, 0, 0, 140},
    {140, 4, 2, 40, 30, 0, 400},
    {70, 40, 2, 16, 0, 0, 50},
    {200, 2, 1, 150, 0, 0, 100000},
    {210, 2, 1, 150, 80, 0, 100000},
    /* several tasks of keys for one block of queries, in a row, in a window that leaves out whole tasks, in rows of all lengths */
    {460, 2, 1, 72, 0, 0, 100000},
    {460, 2, 1, 72, 100, 0, 100000},
    {900, 1, 1, 64, 0, 0, 800},
};
static const int64_t benches[][SIZES] = {
    {2048, 9, 3, 64, 0, 0, 256},
    {2048, 9, 3, 64, 0, 0, 1},
    {2048, 9, 3, 64, 0, 0, 1000000},
    {4096, 32, 8, 64, 0, 0, 1000000},
    {2048, 9, 3, 64, 0, 0, 256, WAY_BF16},
    {2048, 9, 3, 64, 0, 0, 1000000, WAY_BF16},
    {4096, 32, 8, 64, 0, 0, 1000000, WAY_BF16},
};
static const int64_t forward_benches[][SIZES] = {
    {2048, 9, 3, 64, 0, 0, 256},
    {2048, 9, 3, 64, 0, 0, 1000000},
    {4096, 32, 8, 64, 0, 0, 1000000},
    {1, 9, 3, 64, 0, 1000, 1000000},
    {1, 9, 3, 64, 0, 1000, 1000000, WAY_BLOCKED},
    {2048, 9, 3, 64, 0, 0, 256, WAY_BF16},
    {2048, 9, 3, 64, 0, 0, 1000000, WAY_BF16},
    {4096, 32, 8, 64, 0, 0, 1000000, WAY_BF16},
};

#define COUNT(list) (int)(sizeof(list) / sizeof(list)[0])

const operation attention_forward_operation = {.name = "attention_forward",
                                               .tests = forward_tests,
                                               .test_count = COUNT(forward_tests),
                                               .benches = forward_benches,
                                               .bench_count = COUNT(forward_benches),
                                               .variations = 6,
                                               .prepare = forward_prepare,
                                               .run = forward_run,
                                               .expect = forward_expect,
                                               .flops = forward_flops,
                                               .in_bf16 = in_bf16,
                                               .bytes = bytes,
                                               .entry = offsetof(dq_kernels, attention_forward)};
const operation attention_backward_operation = {.name = "attention_backward",
                                                .tests = backward_tests,
                                                .test_count = COUNT(backward_tests),
                                                .benches = benches,
                                                .bench_count = COUNT(benches),
                                                .variations = 4,
                                                .prepare = backward_prepare,
                                                .run = backward_run,
                                                .expect = backward_expect,
                                                .flops = backward_flops,
                                                .in_bf16 = in_bf16,
                                                .bytes = bytes,
                                                .entry = offsetof(dq_kernels, attention_backward)};
