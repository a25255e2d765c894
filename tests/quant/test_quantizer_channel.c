/* The channel-wise backward without dL/dW_hat against the one with it, which other tests hold to outside oracles; what it must
 * not turn from 0 into noise; and where it must not be taken. */
#include "support.h"

#include "base/random.h"
#include "quant/quantizer.h"

#include <math.h>

enum { OUT = 37, IN = 208, T = 301, RANK = 5 };
/* Rows that are prepared: most of the row is clipped; all of it; m is negative. */
enum { MOSTLY = 5, WHOLLY = 7, NEGATIVE = 11 };

typedef struct fixture {
    float W0[OUT * IN], dy[T * OUT], x[T * IN];
    float dots[OUT], size[OUT]; /* size: what dm deviates by, dy and x being normal */
    dq_quantizer q;
    dq_arena arena, kept, optimizer;
    dq_compute compute;
    float *scratch;
} fixture;

static void base_rows(const void *user, int64_t first, int64_t count, float *dst) {
    memcpy(dst, (const float *)user + first * IN, (size_t)(count * IN) * sizeof(float));
}

static void refresh(fixture *f) {
    dlqat_error error;
    assert_ok(dq_quantizer_refresh(&f->q, &f->compute, f->scratch, NULL, &error));
}

static fixture *open_fixture(const char *kernels, int threads, dq_multiply multiply, int bits, int64_t group,
                             dq_clip_mask mask) {
    fixture *f = calloc(1, sizeof *f);
    dlqat_error error;
    const dq_recipe *recipe;
    assert_ok(dq_compute_open(&f->compute, kernels, threads, multiply, &error));
    assert_ok(dq_recipe_find("dlqat", &recipe, &error));
    dq_random_normal(1, DQ_STREAM_SAMPLE, 0, 0.05f, f->W0, OUT * IN);
    dq_random_normal(2, DQ_STREAM_SAMPLE, 0, 1.0f, f->dy, T * OUT);
    dq_random_normal(3, DQ_STREAM_SAMPLE, 0, 1.0f, f->x, T * IN);
    f->q = (dq_quantizer){.name = "linear",
                          .recipe = *recipe,
                          .grid = {bits, group, DQ_BF16, DQ_OFFSET_FLOAT},
                          .base = {.rows = base_rows, .user = f->W0},
                          .out = OUT,
                          .in = IN,
                          .kernels = f->compute.kernels};
    f->q.recipe.rank = RANK;
    f->q.recipe.alpha = 2 * RANK;
    f->q.recipe.mask = mask;
    for (int carve = 0; carve < 2; carve++) {
        if (carve) {
            assert_ok(dq_arena_reserve(&f->arena, "test", &error));
            assert_ok(dq_arena_reserve(&f->kept, "test", &error));
            assert_ok(dq_arena_reserve(&f->optimizer, "test", &error));
        }
        dq_quantizer_lay_out(&f->q, &f->arena);
        dq_quantizer_lay_out_kept(&f->q, &f->kept);
        dq_quantizer_lay_out_optimizer(&f->q, &f->optimizer, DQ_PHASE_2);
    }
    f->scratch = malloc(dq_quantizer_scratch(&f->q, T, threads) * sizeof(float));
    assert_ok(dq_quantizer_start(&f->q, &f->compute, 7, f->scratch, &error));
    dq_parameter *p = f->q.parameter;
    dq_random_normal(4, DQ_STREAM_SAMPLE, 0, 0.02f, p[DQ_PARAMETER_B].value, OUT * RANK);
    dq_random_fill(5, DQ_STREAM_SAMPLE, 0, 0.3f, 2.0f, p[DQ_PARAMETER_MAGNITUDE].value, (size_t)(OUT * f->q.groups));
    for (int64_t i = 0; i < OUT * f->q.groups; i += 2) p[DQ_PARAMETER_SCALE].value[i] *= 0.7f;
    p[DQ_PARAMETER_SCALE].value[MOSTLY] *= 0.05f;
    p[DQ_PARAMETER_OFFSET].value[WHOLLY] += 100 * p[DQ_PARAMETER_SCALE].value[WHOLLY];
    p[DQ_PARAMETER_MAGNITUDE].value[NEGATIVE] = -0.7f;
    refresh(f);
    return f;
}

static void close_fixture(fixture *f) {
    dq_arena_release(&f->arena);
    dq_arena_release(&f->kept);
    dq_arena_release(&f->optimizer);
    dq_compute_close(&f->compute);
    free(f->scratch);
    free(f);
}

/* dots from y = x W_hat^T in f64. */
static void make_dots(fixture *f) {
    float row[IN];
    for (int64_t i = 0; i < OUT; i++) {
        double sum = 0, squares = 0;
        dq_quantizer_rows(&f->q, i, 1, row);
        for (int64_t j = 0; j < IN; j++) squares += (double)row[j] * row[j];
        f->size[i] = (float)(sqrt(T * squares) / fabs((double)f->q.parameter[DQ_PARAMETER_MAGNITUDE].value[i]));
        for (int64_t t = 0; t < T; t++) {
            double y = 0;
            for (int64_t j = 0; j < IN; j++) y += (double)row[j] * f->x[t * IN + j];
            sum += y * f->dy[t * OUT + i];
        }
        f->dots[i] = (float)sum;
    }
}

static const dq_trained phase2 = {.magnitude = true, .adapter = true};

/* Gradients of m, A and B, one after the other. */
enum { GRADIENTS = OUT + RANK * IN + OUT * RANK };
static void gradients(fixture *f, const float *dots, float *out) {
    const dq_linear_gradient given = {.T = T, .dy = f->dy, .x = f->x, .dots = dots};
    for (int kind = DQ_PARAMETER_MAGNITUDE; kind < DQ_PARAMETERS; kind++) {
        dq_parameter *p = &f->q.parameter[kind];
        memset(p->gradient, 0, (size_t)(p->rows * p->columns) * sizeof(float));
    }
    dq_quantizer_backward(&f->q, &f->compute, phase2, &given, f->scratch);
    for (int kind = DQ_PARAMETER_MAGNITUDE; kind < DQ_PARAMETERS; kind++) {
        const dq_parameter *p = &f->q.parameter[kind];
        memcpy(out, p->gradient, (size_t)(p->rows * p->columns) * sizeof(float));
        out += p->rows * p->columns;
    }
}

static void expect_near(const char *what, const float *got, const float *want, int64_t count, double allowed) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += (double)want[i] * want[i];
    }
    assert_true(norm > 0);
    if (!(difference <= allowed * allowed * norm))
        fail_msg("%s: off by %.3g of its norm, allowed %.3g", what, sqrt(difference / norm), allowed);
}

/* In f32 sums of up to T in = 62,608 terms differ in their order: 4 sqrt(T in) 2^-24 = 6e-5 of their terms' norm at worst, and
 * as the errors are as independent as the terms, a twentieth of that in the norm of many sums. With bf16 an operand is off by
 * 2^-8 at most, by 2^-9.3 in the mean square; two are in the one way, three (x A^T or dy B again) in the other: 2^-9.3 sqrt(5) =
 * 3.5e-3, and four deviations of it. */
static void check(const char *kernels, dq_multiply multiply, int bits, dq_clip_mask mask) {
    const double allowed = multiply == DQ_MULTIPLY_BF16 ? 1.4e-2 : 3e-6;
    static float with[GRADIENTS], without[GRADIENTS];
    const float *dB_with = with + OUT + RANK * IN, *dB_without = without + OUT + RANK * IN;
    fixture *f = open_fixture(kernels, 2, multiply, bits, IN, mask);
    if (!dq_quantizer_admits_dots(&f->q, phase2)) fail_msg("%s: dots are not admitted", kernels);
    /* Enough of them to count, whatever the mask. */
    assert_in_range(f->q.exceptions, OUT, OUT * IN / 8);
    make_dots(f);
    gradients(f, NULL, with);
    gradients(f, f->dots, without);
    for (int i = 0; i < OUT; i++)
        if (!(fabsf(without[i] - with[i]) <= allowed * f->size[i]))
            fail_msg("dm of row %d: %.9g, expected %.9g, off by %.3g of its size", i, without[i], with[i],
                     fabsf(without[i] - with[i]) / f->size[i]);
    expect_near("dA", without + OUT, with + OUT, RANK * IN, allowed);
    expect_near("dB", dB_without, dB_with, OUT * RANK, allowed);
    expect_near("dB of a row mostly clipped", dB_without + MOSTLY * RANK, dB_with + MOSTLY * RANK, RANK, allowed);
    for (int k = 0; k < RANK; k++) {
        assert_true(dB_with[WHOLLY * RANK + k] == 0.0f);
        assert_true(dB_without[WHOLLY * RANK + k] == 0.0f);
    }
    close_fixture(f);
}

static void same_as_with_the_weight_gradient(void **state) {
    (void)state;
    for (size_t v = 0; v < dq_kernels_count(); v++) {
        bool usable;
        const dq_kernels *kernels = dq_kernels_at(v, &usable);
        for (int bits = 2; usable && bits <= 4; bits += 2)
            for (int mask = DQ_MASK_CODE; mask <= DQ_MASK_VALUE_CLOSED; mask++)
                for (int multiply = DQ_MULTIPLY_F32; multiply <= DQ_MULTIPLY_BF16; multiply++)
                    check(kernels->name, (dq_multiply)multiply, bits, (dq_clip_mask)mask);
    }
}

/* B = 0, as at the start: A has no gradient, not even a rounded one. */
static void nothing_comes_of_a_zero_B(void **state) {
    (void)state;
    static float without[GRADIENTS];
    fixture *f = open_fixture(NULL, 2, DQ_MULTIPLY_F32, 3, IN, DQ_MASK_VALUE);
    memset(f->q.parameter[DQ_PARAMETER_B].value, 0, OUT * RANK * sizeof(float));
    refresh(f);
    make_dots(f);
    gradients(f, f->dots, without);
    for (int i = 0; i < RANK * IN; i++) assert_true(without[OUT + i] == 0.0f);
    close_fixture(f);
}

static void same_bits_whatever_the_threads(void **state) {
    (void)state;
    static float one[GRADIENTS], many[GRADIENTS];
    for (int threads = 1; threads <= 5; threads += 2) {
        fixture *f = open_fixture(NULL, threads, DQ_MULTIPLY_F32, 3, IN, DQ_MASK_VALUE);
        make_dots(f);
        gradients(f, f->dots, threads == 1 ? one : many);
        if (threads > 1) assert_memory_equal(one, many, sizeof one);
        close_fixture(f);
    }
}

static void where_it_is_not_taken(void **state) {
    (void)state;
    fixture *f = open_fixture(NULL, 2, DQ_MULTIPLY_F32, 3, IN, DQ_MASK_VALUE);
    dq_parameter *p = f->q.parameter;
    assert_true(dq_quantizer_admits_dots(&f->q, phase2));
    /* The grid's gradients need G. */
    assert_false(dq_quantizer_admits_dots(&f->q, (dq_trained){.grid = true}));
    assert_false(dq_quantizer_admits_dots(&f->q, (dq_trained){.grid = true, .magnitude = true, .adapter = true}));
    assert_false(dq_quantizer_admits_dots(&f->q, (dq_trained){.magnitude = true}));
    /* A magnitude that swells the rounding of y. */
    p[DQ_PARAMETER_MAGNITUDE].value[3] = -0.01f;
    refresh(f);
    assert_false(dq_quantizer_admits_dots(&f->q, phase2));
    p[DQ_PARAMETER_MAGNITUDE].value[3] = 1;
    refresh(f);
    assert_true(dq_quantizer_admits_dots(&f->q, phase2));
    /* A column that stands out in most rows is clipped there. */
    for (int i = 0; i < OUT; i += 3) f->W0[i * IN + IN - 3] = f->W0[(i + 1) % OUT * IN + IN - 3] = 0.5f;
    refresh(f);
    assert_false(dq_quantizer_admits_dots(&f->q, phase2));
    close_fixture(f);
    /* Several groups a row; W_hat not kept. */
    f = open_fixture(NULL, 2, DQ_MULTIPLY_F32, 3, IN / 2, DQ_MASK_VALUE);
    assert_false(dq_quantizer_admits_dots(&f->q, phase2));
    close_fixture(f);
    f = open_fixture(NULL, 2, DQ_MULTIPLY_F32, 3, IN, DQ_MASK_VALUE);
    f->q.kept = (dq_fakequant_kept){0};
    refresh(f);
    assert_false(dq_quantizer_admits_dots(&f->q, phase2));
    close_fixture(f);
}

/* Weights near 0, but for `far` of each row, not in the same columns, which are beyond a grid of steps of 0.25. */
enum { MANY = 512 };
static void tenths(const void *user, int64_t first, int64_t count, float *dst) {
    const int far = *(const int *)user;
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j < MANY; j++) dst[i * MANY + j] = (j + first + i) % MANY < far ? 2.0f : (j % 2 ? 0.1f : -0.1f);
}

/* One weight in sixteen may be clipped, not one more. */
static void not_with_many_exceptions(void **state) {
    (void)state;
    dlqat_error error;
    dq_compute compute;
    const dq_recipe *recipe;
    int far = 0;
    assert_ok(dq_compute_open(&compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    assert_ok(dq_recipe_find("dlqat", &recipe, &error));
    dq_quantizer q = {.name = "linear",
                      .recipe = *recipe,
                      .grid = {3, MANY, DQ_F16, DQ_OFFSET_FLOAT},
                      .base = {.rows = tenths, .user = &far},
                      .out = MANY,
                      .in = MANY,
                      .kernels = compute.kernels};
    dq_arena arena = {0};
    for (int carve = 0; carve < 2; carve++) {
        if (carve) assert_ok(dq_arena_reserve(&arena, "test", &error));
        dq_quantizer_lay_out(&q, &arena);
        dq_quantizer_lay_out_kept(&q, &arena);
    }
    float *scratch = malloc(dq_quantizer_scratch(&q, 1, 2) * sizeof *scratch);
    assert_ok(dq_quantizer_start(&q, &compute, 7, scratch, &error));
    for (int i = 0; i < MANY; i++) {
        q.parameter[DQ_PARAMETER_SCALE].value[i] = 0.25f;
        q.parameter[DQ_PARAMETER_OFFSET].value[i] = 0;
    }
    for (far = 0; far <= MANY / 16 + 1; far++) {
        assert_ok(dq_quantizer_refresh(&q, &compute, scratch, NULL, &error));
        if (far <= MANY / 16)
            assert_int_equal(q.exceptions, far * MANY);
        else
            assert_int_equal(q.exceptions, -1);
        assert_true(dq_quantizer_admits_dots(&q, phase2) == (far <= MANY / 16));
        assert_true(dq_quantizer_gains_by_dots(&q, phase2) == (far <= MANY / 16));
    }
    free(scratch);
    dq_arena_release(&arena);
    dq_compute_close(&compute);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_with_the_weight_gradient), cmocka_unit_test(nothing_comes_of_a_zero_B),
        cmocka_unit_test(same_bits_whatever_the_threads),   cmocka_unit_test(where_it_is_not_taken),
        cmocka_unit_test(not_with_many_exceptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
