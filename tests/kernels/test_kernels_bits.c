/* What is promised to the bit: an element of a product wherever it lies, a token decoded alone, and the operations that
 * are rounded exactly, which are the same in every variant. And what must not be hidden: NaN and infinities. */
#include "support.h"

#include <math.h>

#include "base/half.h"
#include "base/random.h"
#include "blocked.h"
#include "emulated.h"
#include "kernels/kernels.h"
#include "operations.h"

typedef void check(const dq_compute *compute);

static void in_every_variant(check *c) {
    dlqat_error error;
    dq_compute compute;
    assert_ok(dq_compute_open(&compute, "c", 2, DQ_MULTIPLY_F32, &error));
    bool usable;
    for (size_t i = 0; (compute.kernels = kernels_to_test(i, &usable)); i++)
        if (usable) c(&compute);
    dq_compute_close(&compute);
}

/* Values without pattern in [-1, 1). */
static float *values(size_t n, uint32_t seed) {
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)((double)seed * 0x1p-31 - 1);
    }
    return x;
}

static void elements_multiplied(const dq_compute *compute) {
    /* Large enough that the whole and its rows go different ways through the vector products. */
    enum { M = 101, N = 523, K = 700 };
    float *a = values(M * K, 1), *b = values(N * K, 2), *c = values(M * N, 3), *alone = values(M * N, 4);
    dq_gemm g = {.m = M,
                 .n = N,
                 .k = K,
                 .a = a,
                 .a_row = K,
                 .a_column = 1,
                 .b = b,
                 .b_row = 1,
                 .b_column = K,
                 .c = c,
                 .c_row = N};
    compute->kernels->gemm(compute, &g);
    for (int64_t i = 0; i < M; i += 9)
        for (int64_t j = 0; j < N; j += 14) {
            dq_gemm one = g;
            one.m = one.n = 1;
            one.a = a + i * K;
            one.b = b + j * K;
            one.c = alone;
            compute->kernels->gemm(compute, &one);
            if (memcmp(alone, c + i * N + j, sizeof *c) != 0)
                fail_msg("%s: element %d, %d: %.9g alone, %.9g within", compute->kernels->name, (int)i, (int)j,
                         alone[0], c[i * N + j]);
        }
    /* Rows alone, and B laid out the other way. */
    float *turned = values(N * K, 5);
    for (int64_t j = 0; j < N; j++)
        for (int64_t p = 0; p < K; p++) turned[p * N + j] = b[j * K + p];
    for (int64_t i = 0; i < M; i += 9) {
        dq_gemm row = g;
        row.m = 1;
        row.a = a + i * K;
        row.b = turned;
        row.b_row = N;
        row.b_column = 1;
        row.c = alone + i * N;
        compute->kernels->gemm(compute, &row);
        assert_memory_equal(row.c, c + i * N, N * sizeof *c);
    }
    free(a);
    free(b);
    free(c);
    free(alone);
    free(turned);
}

static void elements_of(const dq_compute *compute) {
    dq_compute here = *compute;
    here.multiply = DQ_MULTIPLY_F32;
    elements_multiplied(&here);
    here.multiply = DQ_MULTIPLY_BF16;
    elements_multiplied(&here);
}

/* With operands packed beforehand the products are the same to the bit. */
static void packed_as_not(const dq_compute *compute) {
    const operation *packed = NULL, *plain = NULL;
    for (int i = 0; i < operation_count(); i++) {
        if (!strcmp(operation_at(i)->name, "gemm")) plain = operation_at(i);
        if (!strcmp(operation_at(i)->name, "gemm_packed")) packed = operation_at(i);
    }
    for (int i = 0; i < packed->test_count; i++)
        for (int variation = 0; variation < packed->variations; variation++) {
            trial *one = trial_open(packed, packed->tests[i], variation);
            trial *other = trial_open(plain, packed->tests[i], variation);
            trial_run(one, compute);
            trial_run(other, compute);
            if (trial_bits(one) != trial_bits(other))
                fail_msg("%s: product %d /%d has other bits once packed", compute->kernels->name, i, variation);
            trial_close(one);
            trial_close(other);
        }
}

/* What a pass reserves for a packed tile holds it, whatever the variant. */
static void packed_size(const dq_compute *compute) {
    static const int64_t sizes[] = {1, 15, 64, 172, 576, 1000, 4096};
    for (int multiply = DQ_MULTIPLY_F32; multiply <= DQ_MULTIPLY_BF16; multiply++)
        for (int i = 0; i < 49; i++) {
            int64_t k = sizes[i / 7], n = sizes[i % 7], unit = DQ_PACK_UNIT;
            dq_compute here = *compute;
            here.multiply = (dq_multiply)multiply;
            int64_t height = (k + DQ_PACK_ROWS - 1) / DQ_PACK_ROWS * DQ_PACK_ROWS, depth = (k + unit - 1) / unit * unit,
                    width = (n + unit - 1) / unit * unit;
            assert_in_range(compute->kernels->packed_bytes(&here, k, n), 1, (size_t)(depth * width) * sizeof(float));
            assert_in_range(compute->kernels->packed_a_bytes(&here, k, n), 1, (size_t)(height * width) * sizeof(float));
        }
}

static void test_packed(void **state) {
    (void)state;
    in_every_variant(packed_as_not);
    in_every_variant(packed_size);
}

static void test_elements(void **state) {
    (void)state;
    in_every_variant(elements_of);
}

/* In bf16 a cache's blocks are not rounded. */
static void decoded_by(const dq_compute *compute) {
    enum { T = 150, H = 6, G = 2, D = 20 };
    for (int64_t window = 0; window <= 40; window += 40) {
        float *q = values(T * H * D, 1), *k = values(T * G * D, 2), *v = values(T * G * D, 3);
        float *o = values(T * H * D, 4), *sums = values(T * H, 5), *alone = values(H * D, 6), *sum = values(H, 7);
        int32_t start[T] = {0};
        float *cached_k = values((size_t)blocked_floats(T, G, D), 8),
              *cached_v = values((size_t)blocked_floats(T, G, D), 9);
        make_blocked(cached_k, k, T, G, D, true);
        make_blocked(cached_v, v, T, G, D, false);
        const dq_attention a = {.query_count = T,
                                .heads = H,
                                .kv_heads = G,
                                .head_width = D,
                                .window = window,
                                .scale = 0.2f,
                                .row_start = start,
                                .q = q,
                                .k = k,
                                .v = v,
                                .o = o,
                                .log_sum = sums};
        compute->kernels->attention_forward(compute, &a);
        for (int64_t i = 0; i < T; i++) {
            for (int blocked = 0; blocked < (compute->multiply == DQ_MULTIPLY_BF16 ? 1 : 2); blocked++) {
                dq_attention one = a;
                one.query_count = 1;
                one.first_position = i;
                one.q = q + i * H * D;
                one.k = blocked ? cached_k : k;
                one.v = blocked ? cached_v : v;
                one.o = alone;
                one.log_sum = sum;
                one.blocked = blocked;
                compute->kernels->attention_forward(compute, &one);
                assert_memory_equal(alone, o + i * H * D, H * D * sizeof *o);
                assert_memory_equal(sum, sums + i * H, H * sizeof *sum);
            }
        }
        free(cached_k);
        free(cached_v);
        free(q);
        free(k);
        free(v);
        free(o);
        free(sums);
        free(alone);
        free(sum);
    }
}

static void decoded(const dq_compute *compute) {
    dq_compute here = *compute;
    here.multiply = DQ_MULTIPLY_F32;
    decoded_by(&here);
    here.multiply = DQ_MULTIPLY_BF16;
    decoded_by(&here);
}

static void test_decoded(void **state) {
    (void)state;
    in_every_variant(decoded);
}

/* Where attention's products are of bf16, what goes in is rounded to the nearest: values that are rounded already give the same
 * bits, in the forward and in dv, which delta does not reach. Rows of 37 and of 113 queries, and of 600: both ways of the
 * backward. */
static void rounded_inputs(const dq_compute *compute) {
    enum { T = 750, H = 3, G = 1, D = 70 };
    if (!compute->kernels->pack_coded) return;
    dq_compute here = *compute;
    here.multiply = DQ_MULTIPLY_BF16;
    float *in[4] = {values(T * H * D, 1), values(T * G * D, 2), values(T * G * D, 3), values(T * H * D, 4)};
    float *o[2], *sums[2], *dv[2], *dq = values(T * H * D, 5), *dk = values(T * G * D, 6), *delta = values(T * H, 7);
    int32_t start[T];
    for (int i = 0; i < T; i++) start[i] = i < 37 ? 0 : i < 150 ? 37 : 150;
    for (int tokens = 150; tokens <= T; tokens += T - 150) {
        for (int rounded = 0; rounded < 2; rounded++) {
            for (int k = 0; rounded && k < 4; k++)
                for (int i = 0; i < T * D * (k % 3 ? G : H); i++) in[k][i] = dq_bf16_to_f32(dq_f32_to_bf16(in[k][i]));
            o[rounded] = values(T * H * D, 8);
            sums[rounded] = values(T * H, 9);
            dv[rounded] = values(T * G * D, 10);
            const dq_attention a = {.query_count = tokens,
                                    .heads = H,
                                    .kv_heads = G,
                                    .head_width = D,
                                    .scale = 0.3f,
                                    .row_start = start,
                                    .q = in[0],
                                    .k = in[1],
                                    .v = in[2],
                                    .o = o[rounded],
                                    .log_sum = sums[rounded]};
            here.kernels->attention_forward(&here, &a);
            here.kernels->attention_backward(&here, &a, in[3], delta, dq, dk, dv[rounded]);
        }
        assert_memory_equal(o[0], o[1], (size_t)(tokens * H * D) * sizeof(float));
        assert_memory_equal(sums[0], sums[1], (size_t)(tokens * H) * sizeof(float));
        assert_memory_equal(dv[0], dv[1], (size_t)(tokens * G * D) * sizeof(float));
        for (int k = 0; k < 4; k++) { /* as they were */
            free(in[k]);
            in[k] = values((size_t)(T * D * (k % 3 ? G : H)), (uint32_t)k + 1);
        }
        for (int rounded = 0; rounded < 2; rounded++) {
            free(o[rounded]);
            free(sums[rounded]);
            free(dv[rounded]);
        }
    }
    for (int k = 0; k < 4; k++) free(in[k]);
    free(dq);
    free(dk);
    free(delta);
}

static void test_rounded_inputs(void **state) {
    (void)state;
    in_every_variant(rounded_inputs);
}

/* A token beside packed weights gets the bits that it gets among others, as long as both are few tokens or both are many; and a
 * weight those that it gives alone. */
static void coded_among(const dq_compute *compute, const dq_coded *const weight[2], const float *x, int64_t tokens,
                        int64_t some, bool int8) {
    const int64_t in = weight[0]->in, out = weight[0]->out;
    float *y[2] = {values(tokens * out, 6), values(tokens * out, 6)}, *alone = values(some * out, 6);
    dq_coded_product all = {
        .x = x, .tokens = tokens, .count = 2, .weight = {weight[0], weight[1]}, .y = {y[0], y[1]}, .int8 = int8};
    compute->kernels->coded_multiply(compute, &all);
    for (int64_t t = 0; t + some <= tokens; t++)
        for (int i = 0; i < 2; i++) {
            dq_coded_product part = {
                .x = x + t * in, .tokens = some, .count = 1, .weight = {weight[i]}, .y = {alone}, .int8 = int8};
            compute->kernels->coded_multiply(compute, &part);
            assert_memory_equal(alone, y[i] + t * out, (size_t)(some * out) * sizeof *alone);
        }
    for (int i = 0; i < 2; i++) free(y[i]);
    free(alone);
}

static void coded_alone_in(const dq_compute *compute, bool int8) {
    /* MANY: more than are rounded at one time, and than codes are unpacked for in registers. */
    enum { FEW = DQ_CODED_FEW, MANY = 11, IN = 192, OUT = 11 };
    float *x = values(MANY * IN, 1), *scales = values(OUT * IN, 2), *offsets = values(OUT * IN, 3);
    float *codes = values(OUT * IN, 4), *numbers = values(OUT * IN, 5);
    uint16_t halves[OUT * IN];
    for (int i = 0; i < OUT * IN; i++) halves[i] = (uint16_t)(dq_f32_bits(numbers[i]) >> 16);
    for (int bits = 2; bits <= 8; bits++)
        for (int64_t group = 12, f16 = 0; group <= 96; f16 = !f16, group *= 1 + !f16) { /* 12: by way of the buffer */
            const dq_coded w = {.coding = DQ_CODING_BITS,
                                .out = OUT,
                                .in = IN,
                                .row_bytes = IN * bits / 8,
                                .codes = codes,
                                .bits = bits,
                                .group = group,
                                .scale_type = f16 ? DQ_SCALE_F16 : DQ_SCALE_F32,
                                .scales = f16 ? (const void *)halves : scales,
                                .offsets = f16 ? (const void *)halves : offsets};
            const dq_coded other = {
                .coding = DQ_CODING_BF16, .out = OUT, .in = IN, .row_bytes = 2 * IN, .codes = halves};
            const dq_coded *const both[2] = {&w, &other};
            coded_among(compute, both, x, FEW, 1, int8);
            coded_among(compute, both, x, MANY, int8 ? 1 : FEW + 1, int8);
        }
    free(x);
    free(scales);
    free(offsets);
    free(codes);
    free(numbers);
}

static void coded_alone(const dq_compute *compute) {
    coded_alone_in(compute, false);
    coded_alone_in(compute, true);
}

/* A value that is not finite makes those sums NaN that it is part of, and no others. */
static void coded_not_finite(const dq_compute *compute) {
    enum { T = 2, IN = 64, OUT = 5 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float *codes = values(OUT * IN, 1), *scales = values(OUT * 2, 2), *offsets = values(OUT * 2, 3);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int bits = 2; bits <= 8; bits++) {
            float *x = values(T * IN, 4), y[T * OUT];
            x[IN + 40] = bad[i];
            dq_coded w = {.coding = DQ_CODING_BITS,
                          .out = OUT,
                          .in = IN,
                          .row_bytes = IN * bits / 8,
                          .codes = codes,
                          .bits = bits,
                          .group = 32,
                          .scale_type = DQ_SCALE_F32,
                          .scales = scales,
                          .offsets = offsets};
            dq_coded_product p = {.x = x, .tokens = T, .count = 1, .weight = {&w}, .y = {y}, .int8 = true};
            compute->kernels->coded_multiply(compute, &p);
            for (int j = 0; j < T * OUT; j++) assert_int_equal(isnan(y[j]) != 0, j >= OUT);
            free(x);
        }
    free(codes);
    free(scales);
    free(offsets);
}

static void test_coded_alone(void **state) {
    (void)state;
    in_every_variant(coded_alone);
    in_every_variant(coded_not_finite);
}

/* Codes that go by tables, in groups of 64. */
static dq_coded few_bits(const uint8_t *codes, int code_bits, const float *scales, const float *offsets, int64_t out,
                         int64_t in) {
    return (dq_coded){.coding = DQ_CODING_BITS,
                      .out = out,
                      .in = in,
                      .row_bytes = in,
                      .codes = codes,
                      .bits = 8,
                      .code_bits = code_bits,
                      .group = 64,
                      .scale_type = DQ_SCALE_F32,
                      .scales = scales,
                      .offsets = offsets};
}

/* By tables a token gets the bits that it gets among others, and a weight those that it gives alone. */
static void tables_alone(const dq_compute *compute) {
    enum { TOKENS = 21, IN = 192, OUT = 37, GROUPS = OUT * IN / 64 };
    float *x = values(TOKENS * IN, 1), *scales = values(GROUPS, 2), *offsets = values(GROUPS, 3);
    float *y[2] = {values(TOKENS * OUT, 4), values(TOKENS * OUT, 4)}, alone[OUT];
    uint8_t codes[OUT * IN];
    for (int i = 0; i < OUT * IN; i++) codes[i] = (uint8_t)(dq_random_uniform(5, DQ_STREAM_SPLIT, 0, (uint64_t)i) * 8);
    const dq_coded w = few_bits(codes, 3, scales, offsets, OUT, IN), part = few_bits(codes, 3, scales, offsets, 5, IN);
    dq_coded_product all = {.x = x, .tokens = TOKENS, .count = 2, .weight = {&part, &w}, .y = {y[0], y[1]}};
    compute->kernels->tables_multiply(compute, &all);
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < 2; i++) {
            dq_coded_product one = {.x = x + t * IN, .tokens = 1, .count = 1, .weight = {all.weight[i]}, .y = {alone}};
            compute->kernels->tables_multiply(compute, &one);
            assert_memory_equal(alone, y[i] + t * all.weight[i]->out, (size_t)all.weight[i]->out * sizeof *alone);
        }
    float *const made[] = {x, scales, offsets, y[0], y[1]};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) free(made[i]);
}

/* A value that is not finite reaches all sums of its token, whatever the codes. */
static void tables_not_finite(const dq_compute *compute) {
    enum { TOKENS = 3, IN = 64, OUT = 9 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const uint8_t codes[OUT * IN];
    float *scales = values(OUT, 1), *offsets = values(OUT, 2);
    const dq_coded w = few_bits(codes, 2, scales, offsets, OUT, IN);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        float *x = values(TOKENS * IN, 3), y[TOKENS * OUT];
        x[IN + 63] = bad[i];
        dq_coded_product p = {.x = x, .tokens = TOKENS, .count = 1, .weight = {&w}, .y = {y}};
        compute->kernels->tables_multiply(compute, &p);
        for (int j = 0; j < TOKENS * OUT; j++) assert_int_equal(!isfinite(y[j]), j / OUT == 1);
        free(x);
    }
    free(scales);
    free(offsets);
}

static void test_tables(void **state) {
    (void)state;
    in_every_variant(tables_alone);
    in_every_variant(tables_not_finite);
}

/* Operations whose every step is rounded exactly, in one order. */
static void same_as_reference(const dq_compute *compute) {
    static const char *const exact[] = {
        "adamw",
        "add",
        "bias_forward",
        "bias_backward",
        "sum_of_squares",
        "coded_rows",
        "fakequant_adapt",
        "fakequant_codes",
        "fakequant_decode",
        "fakequant_backward",
        "fakequant_kept",
    };
    bool usable;
    for (int i = 0; i < operation_count(); i++) {
        const operation *o = operation_at(i);
        for (size_t j = 0; j < sizeof exact / sizeof *exact; j++)
            for (int k = 0; k < o->test_count * o->variations && !strcmp(exact[j], o->name); k++) {
                trial *t = trial_open(o, o->tests[k / o->variations], k % o->variations);
                dq_compute reference = *compute;
                reference.kernels = dq_kernels_at(0, &usable);
                trial_run(t, &reference);
                uint64_t bits = trial_bits(t);
                trial_run(t, compute);
                if (trial_bits(t) != bits)
                    fail_msg("%s %s: other bits than the reference", compute->kernels->name, o->name);
                trial_close(t);
            }
    }
}

static void test_same_as_reference(void **state) {
    (void)state;
    in_every_variant(same_as_reference);
}

/* NaN or +inf among the logits must make the loss NaN wherever it stands, -inf alone must not, and -inf at the label
 * makes it infinite. Other rows stay as they are. */
static void not_hidden(const dq_compute *compute) {
    enum { V = 77 };
    static const int places[] = {0, 5, 40, V - 1};
    for (int p = 0; p < 4; p++)
        for (int kind = 0; kind < 4; kind++) {
            float *x = values(2 * V, 9);
            int32_t label[2] = {kind == 3 ? places[p] : 33, 3};
            double loss[2];
            x[places[p]] = kind == 0 ? NAN : kind == 1 ? INFINITY : -INFINITY;
            compute->kernels->cross_entropy(compute, x, label, loss, 2, V, 1, true);
            if (kind < 2) assert_true(isnan(loss[0]));
            if (kind == 2) assert_true(isfinite(loss[0]) && loss[0] > 0);
            if (kind == 3) assert_true(isinf(loss[0]) && loss[0] > 0);
            if (kind == 0) assert_true(isnan(x[places[p]]));
            assert_true(isfinite(loss[1]) && isfinite(x[V]));
            free(x);
        }
    float x[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    int32_t label = 1;
    double loss;
    compute->kernels->cross_entropy(compute, x, &label, &loss, 1, 4, 1, false);
    assert_true(isnan(loss));
}

/* One NaN in an operand reaches its row or column of the product, and the outputs of the other operations. */
static void nan_passes(const dq_compute *compute) {
    enum { N = 50 };
    float *a = values(N * N, 1), *b = values(N * N, 2), *c = values(N * N, 3);
    a[7 * N + 11] = NAN;
    for (int multiply = 0; multiply < 2; multiply++) {
        dq_compute here = *compute;
        here.multiply = multiply ? DQ_MULTIPLY_BF16 : DQ_MULTIPLY_F32;
        dq_gemm g = {.m = N,
                     .n = N,
                     .k = N,
                     .a = a,
                     .a_row = N,
                     .a_column = 1,
                     .b = b,
                     .b_row = N,
                     .b_column = 1,
                     .c = c,
                     .c_row = N};
        here.kernels->gemm(&here, &g);
        for (int i = 0; i < N * N; i++) assert_int_equal(isnan(c[i]) != 0, i / N == 7);
    }
    compute->kernels->rmsnorm_forward(compute, c, NULL, a, b, 1e-5f, N, N);
    for (int i = 0; i < N * N; i++) assert_int_equal(isnan(c[i]) != 0, i / N == 7);
    compute->kernels->swiglu_forward(compute, c, a, b, N * N);
    for (int i = 0; i < N * N; i++) assert_int_equal(isnan(c[i]) != 0, i == 7 * N + 11);
    assert_true(isnan(compute->kernels->sum_of_squares(compute, a, N * N)));

    int32_t start[N] = {0};
    float *sum = values(N, 5);
    const dq_attention attention = {.query_count = N,
                                    .heads = 1,
                                    .kv_heads = 1,
                                    .head_width = N,
                                    .scale = 0.1f,
                                    .row_start = start,
                                    .q = a,
                                    .k = b,
                                    .v = b,
                                    .o = c,
                                    .log_sum = sum};
    compute->kernels->attention_forward(compute, &attention);
    for (int i = 0; i < N * N; i++) assert_int_equal(isnan(c[i]) != 0, i / N == 7);
    free(a);
    free(b);
    free(c);
    free(sum);
}

/* A weight that is NaN: codes keep it, its group's sums show it, and what cannot hold it says so. */
static void nan_weight(const dq_compute *compute) {
    enum { GROUP = 20, N = 3 * GROUP };
    const dq_kernels *kernels = compute->kernels;
    float V[N], g[N], s[3] = {0.25f, 0.25f, 0.25f}, b[3] = {0}, m[3] = {1, 1, 1}, sums[3][3] = {{0}};
    uint8_t codes[N];
    uint32_t unclipped[2];
    const dq_fakequant_kept kept = {codes, unclipped};
    const dq_fakequant_sums out = {sums[0], sums[1], sums[2]};
    const dq_fakequant f = {.rows = 1, .in = N, .group = GROUP, .bits = 3, .c = 1, .s = s, .b = b, .m = m};
    for (int i = 0; i < N; i++) V[i] = g[i] = (float)(i % 7) * 0.1f;
    assert_true(kernels->fakequant_keep(&f, V, &kept));
    V[GROUP + 17] = INFINITY;
    assert_false(kernels->fakequant_keep(&f, V, &kept));
    V[GROUP + 17] = NAN;
    assert_false(kernels->fakequant_keep(&f, V, &kept));
    kernels->fakequant_backward(&f, V, g, &out);
    for (int k = 0; k < 3; k++) assert_int_equal(isnan(sums[2][k]) != 0, k == 1);
    kernels->fakequant_codes(&f, V);
    for (int i = 0; i < N; i++) assert_int_equal(isnan(V[i]) != 0, i == GROUP + 17);
}

static void test_not_hidden(void **state) {
    (void)state;
    in_every_variant(not_hidden);
    in_every_variant(nan_passes);
    in_every_variant(nan_weight);
}

/* Subnormal operands and sums may count as zero in products of bf16, and nothing else. */
static void tiny_at_most_lost(const dq_compute *compute) {
    enum { N = 40 };
    float *a = values(N * N, 1), *b = values(N * N, 2), *c = values(N * N, 3);
    for (int i = 0; i < N * N; i++) {
        a[i] = dq_bf16_to_f32(dq_f32_to_bf16(a[i]));
        b[i] = dq_bf16_to_f32(dq_f32_to_bf16(b[i])) * (i % N % 2 ? 0x1p-127f : 0x1p-60f);
    }
    dq_compute here = *compute;
    here.multiply = DQ_MULTIPLY_BF16;
    dq_gemm g = {.m = N, .n = N, .k = N, .a = a, .a_row = N, .a_column = 1, .b = b, .b_row = N, .b_column = 1, .c = c};
    g.c_row = N;
    here.kernels->gemm(&here, &g);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double want = 0, size = 0;
            for (int p = 0; p < N; p++) {
                want += (double)a[i * N + p] * b[p * N + j];
                size += fabs((double)a[i * N + p] * b[p * N + j]);
            }
            /* One operand and two sums for each step. */
            double allowed = 3 * N * 0x1p-126 + N * 0x1p-24 * size;
            if (!(fabs(c[i * N + j] - want) <= allowed))
                fail_msg("%s: %.9g, wanted %.9g", compute->kernels->name, c[i * N + j], want);
        }
    free(a);
    free(b);
    free(c);
}

static void test_tiny(void **state) {
    (void)state;
    in_every_variant(tiny_at_most_lost);
}

static void test_choice(void **state) {
    (void)state;
    dlqat_error error;
    dq_compute compute;
    const dq_kernels *kernels;
    bool usable;
    assert_string_equal(dq_kernels_at(0, &usable)->name, "c");
    assert_true(usable);
    assert_null(dq_kernels_at(dq_kernels_count(), &usable));
    assert_ok(dq_kernels_choose("c", &kernels, &error));
    assert_string_equal(kernels->name, "c");
    assert_fails(dq_kernels_choose("mmx", &kernels, &error), DLQAT_ERROR_USAGE, "\"mmx\"");
    assert_ok(dq_kernels_choose(NULL, &kernels, &error));
    for (size_t i = 0; i < dq_kernels_count(); i++) {
        const dq_kernels *one = dq_kernels_at(i, &usable);
        if (!usable) assert_fails(dq_kernels_choose(one->name, &kernels, &error), DLQAT_ERROR_USAGE, one->name);
    }
    assert_ok(dq_compute_open(&compute, NULL, 0, DQ_MULTIPLY_BF16, &error));
    assert_true(compute.threads >= 1 && compute.workspace && compute.multiply == DQ_MULTIPLY_BF16);
    dq_compute_close(&compute);
    assert_null(compute.workspace);
    assert_fails(dq_compute_open(&compute, "none", 1, DQ_MULTIPLY_F32, &error), DLQAT_ERROR_USAGE, "none");
}

/* ---- AdamW beside PyTorch's: tests/fixtures/make_adamw.py ---- */

enum { NUMBERS = 24 };

static void read_line(FILE *stream, const char *name, double *to, int n) {
    char word[16];
    assert_int_equal(fscanf(stream, "%15s", word), 1);
    assert_string_equal(word, name);
    for (int i = 0; i < n; i++) assert_int_equal(fscanf(stream, "%la", &to[i]), 1);
}

/* Within three units of the last place of the value or of what it was before, whichever is larger: m and x are sums that
 * may cancel, PyTorch fuses a multiplication with an addition where we do not, and steps add up. */
static void compare(const char *name, int64_t step, const float *got, const float *before, const double *want) {
    for (int i = 0; i < NUMBERS; i++) {
        double unit = fmax(fabs(want[i]), fabs(before[i])) * 3 * 0x1p-23;
        if (fabs(got[i] - want[i]) > unit)
            fail_msg("step %d %s[%d]: %.9g, torch %.9g", (int)step, name, i, got[i], want[i]);
    }
}

static void as_torch(const dq_compute *compute) {
    FILE *stream = fopen(TEST_FIXTURES "/adamw/steps.txt", "r");
    assert_non_null(stream);
    double options[5], line[NUMBERS];
    float x[NUMBERS], m[NUMBERS] = {0}, v[NUMBERS] = {0}, g[NUMBERS], x0[NUMBERS], m0[NUMBERS], v0[NUMBERS];
    read_line(stream, "options", options, 5);
    read_line(stream, "x", line, NUMBERS);
    for (int i = 0; i < NUMBERS; i++) x[i] = (float)line[i];
    dq_adamw o = {options[0], options[1], options[2], options[3], options[4], 0, 2.0f};
    for (o.step = 1; o.step <= 5; o.step++) {
        read_line(stream, "g", line, NUMBERS);
        for (int i = 0; i < NUMBERS; i++) g[i] = (float)(line[i] / o.gradient_scale); /* exact: a power of two */
        memcpy(x0, x, sizeof x);
        memcpy(m0, m, sizeof m);
        memcpy(v0, v, sizeof v);
        compute->kernels->adamw(compute, &o, x, m, v, g, NUMBERS);
        read_line(stream, "x", line, NUMBERS);
        compare("x", o.step, x, x0, line);
        read_line(stream, "m", line, NUMBERS);
        compare("m", o.step, m, m0, line);
        read_line(stream, "v", line, NUMBERS);
        compare("v", o.step, v, v0, line);
    }
    fclose(stream);
}

static void test_as_torch(void **state) {
    (void)state;
    in_every_variant(as_torch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_decoded),
        cmocka_unit_test(test_rounded_inputs),
        cmocka_unit_test(test_same_as_reference),
        cmocka_unit_test(test_not_hidden),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_as_torch),
        cmocka_unit_test(test_coded_alone),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
