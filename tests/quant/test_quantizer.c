/* The quantizer of one linear: the stored form holds for every axis value, whoever computes it and in whatever pieces. */
#include "support.h"

#include "base/random.h"
#include "quant/quantizer.h"

#include <math.h>

enum { OUT = 24, IN = 192 };

typedef struct fixture {
    float W0[OUT * IN];
    dq_quantizer q;
    dq_arena arena;
    dq_compute compute;
    float scratch[(OUT + 2 * DQ_QUANTIZER_ROWS) * IN];
    dlqat_error error;
} fixture;

static void base_rows(const void *user, int64_t first, int64_t count, float *dst) {
    memcpy(dst, (const float *)user + first * IN, (size_t)(count * IN) * sizeof(float));
}

/* A quantizer of random weights, with adapters and magnitudes moved away from their start. */
static fixture *open_fixture(const char *method, int bits, int64_t group, dq_dtype scale, dq_offset offset,
                             const char *kernels) {
    fixture *f = calloc(1, sizeof *f);
    dlqat_error error;
    const dq_recipe *recipe;
    assert_ok(dq_compute_open(&f->compute, kernels, 2, DQ_MULTIPLY_F32, &error));
    assert_ok(dq_recipe_find(method, &recipe, &error));
    dq_random_normal(1, DQ_STREAM_SAMPLE, 0, 0.05f, f->W0, OUT * IN);
    f->q = (dq_quantizer){.name = "linear",
                          .recipe = *recipe,
                          .grid = {bits, group, scale, offset},
                          .base = {.rows = base_rows, .user = f->W0},
                          .out = OUT,
                          .in = IN,
                          .kernels = f->compute.kernels};
    f->q.recipe.rank = 4;
    f->q.recipe.alpha = 0;
    f->q.recipe.offset = offset;
    dq_quantizer_lay_out(&f->q, &f->arena);
    assert_ok(dq_arena_reserve(&f->arena, "test", &error));
    dq_quantizer_lay_out(&f->q, &f->arena);
    assert_ok(dq_quantizer_start(&f->q, &f->compute, 7, f->scratch, &error));
    dq_parameter *B = &f->q.parameter[DQ_PARAMETER_B], *m = &f->q.parameter[DQ_PARAMETER_MAGNITUDE];
    dq_random_normal(2, DQ_STREAM_SAMPLE, 0, 0.02f, B->value, (size_t)(B->rows * B->columns));
    if (recipe->magnitude) /* of both signs: formats store any */
        dq_random_normal(3, DQ_STREAM_SAMPLE, 0, 1.0f, m->value, (size_t)(m->rows * m->columns));
    assert_ok(dq_quantizer_refresh(&f->q, &f->compute, f->scratch, NULL, &error));
    return f;
}

static void close_fixture(fixture *f) {
    dq_arena_release(&f->arena);
    dq_compute_close(&f->compute);
    free(f);
}

/* Every weight is fl(fl(S u) + O) with the codes that are written and S, O that the file's type holds; a fused multiply-add gives
 * the same. And W_hat is near V: within half a step, and the rounding of S and O, wherever the code is inside. */
static void check_stored_form(const char *method, int bits, int64_t group, dq_dtype scale, dq_offset offset) {
    fixture *f = open_fixture(method, bits, group, scale, offset, "c");
    dq_quantizer *q = &f->q;
    for (int64_t i = 0; i < OUT; i++) {
        uint8_t codes[IN];
        float what[IN];
        dq_quantizer_codes(q, i, 1, codes, f->scratch);
        dq_quantizer_rows(q, i, 1, what);
        for (int64_t j = 0; j < IN; j++) {
            float S, O;
            dq_quantizer_stored(q, i, j / group, 1, &S, &O);
            assert_true(codes[j] < 1 << bits);
            assert_true(dq_grid_round(&q->grid, S) == S);
            assert_true(dq_grid_round(&q->grid, O) == O);
            if (offset == DQ_OFFSET_NONE) assert_true(O == -(float)(1 << (bits - 1)) * S);
            assert_true(what[j] == fmaf(S, codes[j], O));
        }
    }
    close_fixture(f);
}

static void stored_form(void **state) {
    (void)state;
    static const char *const methods[] = {"dlqat", "l4q", "qalora", "rtn"};
    static const dq_dtype scales[] = {DQ_F16, DQ_BF16, DQ_F32};
    static const int64_t groups[] = {32, 64, IN};
    for (int method = 0; method < 4; method++)
        for (int bits = 2; bits <= 8; bits++)
            for (int g = 0; g < 3; g++)
                for (int t = 0; t < 3; t++) {
                    if (scales[t] == DQ_BF16 && bits > 5) continue;
                    check_stored_form(methods[method], bits, groups[g], scales[t], DQ_OFFSET_FLOAT);
                    if (strcmp(methods[method], "qalora") != 0)
                        check_stored_form(methods[method], bits, groups[g], scales[t], DQ_OFFSET_NONE);
                }
}

/* Whole, row by row, or in uneven pieces, with every variant of the kernels: the same bits. */
static void same_bits_however_divided(void **state) {
    (void)state;
    fixture *reference = open_fixture("dlqat", 3, 64, DQ_F16, DQ_OFFSET_FLOAT, "c");
    float *whole = malloc(sizeof reference->W0), *pieces = malloc(sizeof reference->W0);
    dq_quantizer_rows(&reference->q, 0, OUT, whole);
    for (size_t v = 0; v < dq_kernels_count(); v++) {
        bool usable;
        const dq_kernels *kernels = dq_kernels_at(v, &usable);
        if (!usable) continue;
        fixture *f = open_fixture("dlqat", 3, 64, DQ_F16, DQ_OFFSET_FLOAT, kernels->name);
        for (int64_t first = 0, step = 1; first < OUT; first += step, step = step % 7 + 2) {
            if (step > OUT - first) step = OUT - first;
            dq_quantizer_rows(&f->q, first, step, pieces + first * IN);
        }
        assert_memory_equal(pieces, whole, sizeof reference->W0);
        close_fixture(f);
    }
    free(whole);
    free(pieces);
    close_fixture(reference);
}

/* The same quantizer with W_hat kept: its rows, its codes, and the gradients of phase 2 are those of one that makes W_hat anew,
 * to the bit, in every variant. Groups of 12 have masks that cross the words. */
static void check_kept(const char *kernels, int bits, int64_t group, dq_clip_mask mask) {
    enum { T = 5 };
    dlqat_error error;
    float dy[T * OUT], x[T * IN];
    dq_random_normal(11, DQ_STREAM_SAMPLE, 0, 1.0f, dy, T * OUT);
    dq_random_normal(12, DQ_STREAM_SAMPLE, 0, 1.0f, x, T * IN);
    fixture *f = open_fixture("dlqat", bits, group, DQ_F16, DQ_OFFSET_FLOAT, kernels);
    dq_quantizer *q = &f->q;
    float *rows[2] = {malloc(sizeof f->W0), malloc(sizeof f->W0)};
    uint8_t *codes[2] = {malloc(OUT * IN), malloc(OUT * IN)};
    dq_arena room[2] = {{0}}, kept = {0};
    for (int pass = 0; pass < 2; pass++) { /* counted, then carved */
        if (pass) assert_ok(dq_arena_reserve(&kept, "test", &error));
        dq_quantizer_lay_out_kept(q, &kept);
    }
    const dq_fakequant_kept place = q->kept;
    q->recipe.mask = mask;
    /* s as phase 1 may leave it: many weights are clipped. */
    for (int64_t i = 0; i < OUT * q->groups; i += 2) q->parameter[DQ_PARAMETER_SCALE].value[i] *= 0.7f;
    float *gradient[2][DQ_PARAMETERS] = {{0}};
    for (int way = 0; way < 2; way++) {
        q->kept = way ? place : (dq_fakequant_kept){0};
        dq_quantizer_lay_out_optimizer(q, &room[way], DQ_PHASE_2);
        assert_ok(dq_arena_reserve(&room[way], "test", &error));
        dq_quantizer_lay_out_optimizer(q, &room[way], DQ_PHASE_2);
        assert_ok(dq_quantizer_refresh(q, &f->compute, f->scratch, NULL, &error));
        dq_quantizer_rows(q, 0, OUT, rows[way]);
        dq_quantizer_codes(q, 0, OUT, codes[way], f->scratch);
        float *scratch = malloc(dq_quantizer_scratch(q, T, 2) * sizeof *scratch);
        const dq_linear_gradient given = {.T = T, .dy = dy, .x = x};
        dq_quantizer_backward(q, &f->compute, dq_recipe_trained(&q->recipe, 2), &given, scratch);
        free(scratch);
        for (int kind = 0; kind < DQ_PARAMETERS; kind++) gradient[way][kind] = q->parameter[kind].gradient;
    }
    assert_memory_equal(rows[0], rows[1], sizeof f->W0);
    assert_memory_equal(codes[0], codes[1], OUT * IN);
    for (int kind = DQ_PARAMETER_MAGNITUDE; kind <= DQ_PARAMETER_B; kind++) {
        const dq_parameter *p = &q->parameter[kind];
        double squares = 0;
        for (int64_t i = 0; i < p->rows * p->columns; i++)
            squares += (double)gradient[0][kind][i] * gradient[0][kind][i];
        assert_true(squares > 0);
        assert_memory_equal(gradient[0][kind], gradient[1][kind], (size_t)(p->rows * p->columns) * sizeof(float));
    }
    /* A weight that is no number has no code. */
    f->W0[7 * IN + 3] = NAN;
    assert_fails(dq_quantizer_refresh(q, &f->compute, f->scratch, NULL, &error), DLQAT_ERROR_NUMERIC,
                 "linear: a weight of rows 0 to 15 is not a finite number");
    for (int way = 0; way < 2; way++) {
        free(rows[way]);
        free(codes[way]);
        dq_arena_release(&room[way]);
    }
    dq_arena_release(&kept);
    close_fixture(f);
}

static void kept_or_made_anew(void **state) {
    (void)state;
    static const int64_t groups[] = {12, 32, IN};
    for (size_t v = 0; v < dq_kernels_count(); v++) {
        bool usable;
        const dq_kernels *kernels = dq_kernels_at(v, &usable);
        for (int bits = 2; usable && bits <= 8; bits += 3)
            for (int g = 0; g < 3; g++)
                for (int mask = DQ_MASK_CODE; mask <= DQ_MASK_VALUE_CLOSED; mask++)
                    check_kept(kernels->name, bits, groups[g], (dq_clip_mask)mask);
    }
}

/* Gradients of all variants agree with the reference's bit for bit: the sums run in lanes of a fixed count. */
static void same_gradients_in_every_variant(void **state) {
    (void)state;
    for (int mask = DQ_MASK_CODE; mask <= DQ_MASK_VALUE_CLOSED; mask++)
        for (int64_t group = 12; group <= IN; group *= 16) { /* 12: shorter than the lanes; 192 */
            fixture *f = open_fixture("dlqat", 2, group, DQ_F16, DQ_OFFSET_FLOAT, "c");
            float V[IN], G[IN], g0[IN], sums0[3][IN / 12];
            for (size_t v = 0; v < dq_kernels_count(); v++) {
                bool usable;
                const dq_kernels *kernels = dq_kernels_at(v, &usable);
                if (!usable) continue;
                float sums[3][IN / 12] = {{0}};
                dq_fakequant view = dq_quantizer_view(&f->q, 3, 1);
                view.mask = (dq_clip_mask)mask;
                dq_fakequant_sums out = {sums[0], sums[1], sums[2]};
                memcpy(V, f->W0 + 3 * IN, sizeof V);
                dq_random_normal(9, DQ_STREAM_SAMPLE, 0, 1.0f, G, IN);
                kernels->fakequant_adapt(&view, V);
                kernels->fakequant_backward(&view, V, G, &out);
                if (v == 0) {
                    memcpy(g0, G, sizeof G);
                    memcpy(sums0, sums, sizeof sums);
                }
                assert_memory_equal(G, g0, sizeof G);
                assert_memory_equal(sums, sums0, sizeof sums);
            }
            close_fixture(f);
        }
}

/* s below its floor is lifted to it and counted; a stored value that overflows f16 is refused by name. */
static void floor_and_overflow(void **state) {
    (void)state;
    dlqat_error error;
    int64_t held;
    fixture *f = open_fixture("dlqat", 3, 64, DQ_F16, DQ_OFFSET_FLOAT, NULL);
    float *s = f->q.parameter[DQ_PARAMETER_SCALE].value, *m = f->q.parameter[DQ_PARAMETER_MAGNITUDE].value;
    s[1] = -0.5f;
    s[4] = dq_grid_floor(f->q.floor_exponent[4]) / 2;
    assert_ok(dq_quantizer_refresh(&f->q, &f->compute, f->scratch, &held, &error));
    assert_int_equal(held, 2);
    assert_true(s[1] == dq_grid_floor(f->q.floor_exponent[1]) && s[4] == dq_grid_floor(f->q.floor_exponent[4]));
    m[5] = 1e9f;
    assert_fails(dq_quantizer_refresh(&f->q, &f->compute, f->scratch, &held, &error), DLQAT_ERROR_NUMERIC,
                 "linear: a scale");
    close_fixture(f);
}

static void refuses_weights_that_are_not_numbers(void **state) {
    (void)state;
    dlqat_error error;
    fixture *f = open_fixture("dlqat", 3, 64, DQ_F16, DQ_OFFSET_FLOAT, NULL);
    f->W0[5 * IN + 100] = NAN;
    assert_fails(dq_quantizer_start(&f->q, &f->compute, 7, f->scratch, &error), DLQAT_ERROR_INPUT,
                 "linear: a weight in row 5");
    close_fixture(f);
}

/* A before the first step: Gaussian of deviation 1/r (dlqat), uniform within 1/sqrt(in) (l4q), within sqrt(6/(groups + r))
 * (qalora); B is 0. Bounds: 4 standard errors of the deviation of n draws, 1/sqrt(2 n) for normal ones. */
static void adapters_start_as_the_papers_say(void **state) {
    (void)state;
    static const struct {
        const char *method;
        double deviation, bound;
        int n;
    } cases[] = {{"dlqat", 0.25, INFINITY, 4 * IN},
                 {"l4q", 0.041666, 0.0721688, 4 * IN},   /* bound 1/sqrt(192), over sqrt(3) */
                 {"qalora", 0.447214, 0.774597, 4 * 6}}; /* bound sqrt(6/10) */
    for (int i = 0; i < 3; i++) {
        fixture *f = open_fixture(cases[i].method, 3, 32, DQ_F16, DQ_OFFSET_FLOAT, NULL);
        dlqat_error error;
        assert_ok(dq_quantizer_start(&f->q, &f->compute, 7, f->scratch, &error));
        const dq_parameter *A = &f->q.parameter[DQ_PARAMETER_A], *B = &f->q.parameter[DQ_PARAMETER_B];
        double squares = 0, most = 0;
        assert_int_equal(A->rows * A->columns, cases[i].n);
        for (int j = 0; j < cases[i].n; j++) {
            squares += (double)A->value[j] * A->value[j];
            most = fmax(most, fabs((double)A->value[j]));
        }
        double deviation = sqrt(squares / cases[i].n);
        assert_true(most <= cases[i].bound * (1 + 1e-6));
        assert_true(fabs(deviation / cases[i].deviation - 1) < 4 / sqrt(2.0 * cases[i].n));
        for (int64_t j = 0; j < B->rows * B->columns; j++) assert_true(B->value[j] == 0.0f);
        close_fixture(f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_form),
        cmocka_unit_test(same_bits_however_divided),
        cmocka_unit_test(kept_or_made_anew),
        cmocka_unit_test(same_gradients_in_every_variant),
        cmocka_unit_test(floor_and_overflow),
        cmocka_unit_test(refuses_weights_that_are_not_numbers),
        cmocka_unit_test(adapters_start_as_the_papers_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
