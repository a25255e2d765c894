/* s and b at the start, codes, W_hat and the gradients of every quantizer parameter against float64 oracles of a real model. */
#include "oracle.h"

typedef struct sink {
    oracle *o;
    dq_trained trained;
    float *scratch;
    bool dots; /* ask for them where they are admitted */
    int given; /* how many linears had them */
} sink;

static bool asks_dots(void *user, int index) {
    const sink *s = user;
    return s->dots && dq_quantizer_admits_dots(&s->o->set.at[index], s->trained);
}

static void take(void *user, const dq_compute *compute, const dq_linears_gradient *given) {
    sink *s = user;
    for (int i = 0; i < given->count; i++) {
        const dq_linear_gradient one = {
            .T = given->T, .dy = given->dy[i], .x = given->x, .packed = given->packed, .dots = given->dots[i]};
        s->given += one.dots != NULL;
        dq_quantizer_backward(&s->o->set.at[given->index + i], compute, s->trained, &one, s->scratch);
    }
}

/* A place of its own for the gradient of every parameter. */
static void take_gradients(oracle *o) {
    for (int i = 0; i < o->set.count; i++)
        for (int kind = 0; kind < DQ_PARAMETERS; kind++) {
            dq_parameter *p = &o->set.at[i].parameter[kind];
            p->gradient = dq_arena_take(&o->gradients, (size_t)(p->rows * p->columns), sizeof(float));
        }
}

static void open_set(oracle *o) {
    dlqat_error error;
    dq_quantizer_set_options how = {.training = true, .resident = true, .threads = 2, .capacity = 256};
    assert_ok(dq_quantizer_set_open(&o->set, o->model, o->options, &how, &o->compute, &error));
    oracle_unbind(&o->set);
    /* Here one backward trains what a run trains in two phases, whose gradients would lie in one place. */
    take_gradients(o);
    assert_ok(dq_arena_reserve(&o->gradients, "gradients", &error));
    take_gradients(o);
}

/* One forward and backward over the oracle's batch; returns the mean loss. by_dots: without dL/dW_hat where the quantizers admit
 * it, and in how many linears they did; NULL: nowhere. */
static double run_pass_with(oracle *o, dq_trained trained, int *by_dots) {
    dlqat_error error;
    dq_batch batch;
    dq_pass *pass;
    double sum;
    assert_ok(dq_quantizer_set_refresh(&o->set, &o->compute, &error));
    assert_ok(dq_batch_open(&batch, 256, 0, &error));
    for (size_t row = 0; row < o->data.rows; row++) assert_true(dq_batch_add(&batch, &o->data, row));
    dq_pass_options options = {.capacity = 256, .training = true, .threads = 2};
    assert_ok(dq_pass_open(&pass, o->model, &options, &error));
    sink s = {o, trained, o->set.scratch, by_dots != NULL, 0};
    dq_gradients gradients = {.user = &s, .linears = take, .packed = true, .dots = asks_dots};
    dq_pass_want(pass, &gradients);
    assert_ok(dq_pass_forward(pass, &o->compute, &batch, &error));
    assert_ok(dq_pass_loss(pass, &o->compute, &batch, true, 1.0f / (float)batch.labels, &sum, NULL, &error));
    assert_ok(dq_pass_backward(pass, &o->compute, &batch, &error));
    sum /= (double)batch.labels;
    dq_pass_close(pass);
    dq_batch_close(&batch);
    if (by_dots) *by_dots = s.given;
    return sum;
}

static double run_pass(oracle *o, dq_trained trained) {
    return run_pass_with(o, trained, NULL);
}

/* Gradient of parameter `kind` against PREFIX.LAYER: 5e-5 in relative norm (an f32 PyTorch is within 1.7e-5), and exactly 0
 * where the oracle's norm is. Returns the worst. */
static double check_gradient(const oracle *o, dq_parameter_kind kind, const char *prefix) {
    double worst = 0;
    for (int i = 0; i < o->set.count; i++) {
        const dq_parameter *p = &o->set.at[i].parameter[kind];
        int64_t count = 0;
        const double *values = oracle_values(o, prefix, o->set.at[i].name, &count);
        if (!values) fail_msg("no %s.%s in the oracle", prefix, o->set.at[i].name);
        assert_int_equal(count, p->rows * p->columns);
        double error = relative_error(p->gradient, values, count);
        if (!(error <= 5e-5)) fail_msg("%s.%s: relative error %g", prefix, o->set.at[i].name, error);
        if (error > worst) worst = error;
    }
    print_message("  %-6s worst relative error %.2g\n", prefix, worst);
    return worst;
}

/* The gradients of phase 2 once more, without dL/dW_hat: the same oracles, the same tolerance. */
static void check_by_dots(oracle *o, const char *prefix, int linears) {
    int by_dots;
    for (int i = 0; i < o->set.count; i++)
        for (int kind = DQ_PARAMETER_MAGNITUDE; kind < DQ_PARAMETERS; kind++) {
            const dq_parameter *p = &o->set.at[i].parameter[kind];
            memset(p->gradient, 0, (size_t)(p->rows * p->columns) * sizeof(float));
        }
    run_pass_with(o, (dq_trained){.magnitude = o->set.recipe.magnitude, .adapter = true}, &by_dots);
    print_message("  without dL/dW_hat in %d of %d linears:\n", by_dots, o->set.count);
    assert_int_equal(by_dots, linears);
    static const char *const names[] = {"dm", "dA", "dB"};
    for (int kind = 0; kind < 3; kind++) {
        char name[16];
        snprintf(name, sizeof name, "%s%s", prefix, names[kind]);
        if (kind > 0 || o->set.recipe.magnitude)
            check_gradient(o, (dq_parameter_kind)(DQ_PARAMETER_MAGNITUDE + kind), name);
    }
}

/* s within 1e-6 relative, b within 1e-6 of the greatest |W| of its group. */
static void check_start(const oracle *o, double shrink) {
    for (int i = 0; i < o->set.count; i++) {
        const dq_quantizer *q = &o->set.at[i];
        const double *s = oracle_values(o, "s", q->name, NULL), *b = oracle_values(o, "b", q->name, NULL);
        float *row = malloc((size_t)q->in * sizeof *row);
        for (int64_t r = 0; r < q->out; r++) {
            q->base.rows(q->base.user, r, 1, row);
            for (int64_t k = 0; k < q->groups; k++) {
                int64_t at = r * q->groups + k;
                double greatest = 0;
                for (int64_t j = 0; j < q->grid.group; j++)
                    greatest = fmax(greatest, fabs((double)row[k * q->grid.group + j]));
                double ds = fabs(q->parameter[DQ_PARAMETER_SCALE].value[at] * shrink - s[at]);
                double db = fabs(q->parameter[DQ_PARAMETER_OFFSET].value[at] - b[at]);
                if (!(ds <= 1e-6 * s[at]) || !(db <= 1e-6 * greatest))
                    fail_msg("%s row %d group %d: s off by %g of %g, b off by %g of %g", q->name, (int)r, (int)k, ds,
                             s[at], db, greatest);
            }
        }
        free(row);
    }
}

/* Codes equal except where v lies within 1e-5 of a tie; W_hat within 1e-6 in relative norm where codes agree: a few f32
 * roundings of S, O and their sum, each at most 6e-8. */
static void check_codes(const oracle *o) {
    int64_t ties = 0, all = 0;
    for (int i = 0; i < o->set.count; i++) {
        const dq_quantizer *q = &o->set.at[i];
        char name[256];
        snprintf(name, sizeof name, "codes.%s", q->name);
        const dq_tensor *expected = dq_safetensors_find(o->file, name);
        const int8_t *codes = expected->data;
        const double *what = oracle_values(o, "what", q->name, NULL);
        const double *A = oracle_values(o, "A", q->name, NULL), *B = oracle_values(o, "B", q->name, NULL);
        const double *s = oracle_values(o, "s", q->name, NULL), *b = oracle_values(o, "b", q->name, NULL);
        uint8_t *u = malloc((size_t)q->in);
        float *row = malloc((size_t)q->in * sizeof *row);
        double difference = 0, norm = 0;
        for (int64_t r = 0; r < q->out; r++) {
            dq_quantizer_codes(q, r, 1, u, row);
            float *w = malloc((size_t)q->in * sizeof *w);
            q->base.rows(q->base.user, r, 1, w);
            dq_quantizer_rows(q, r, 1, row);
            for (int64_t j = 0; j < q->in; j++) {
                int Qn = -(1 << (q->grid.bits - 1)), got = (int)u[j] + Qn, at = (int)(r * q->in + j);
                all++;
                if (got != codes[at]) {
                    int64_t g = r * q->groups + j / q->grid.group;
                    double V = w[j];
                    for (int k = 0; k < q->rank; k++) V += B[r * q->rank + k] * A[k * q->in + j];
                    double v = (V - b[g]) / s[g], tie = fabs(v - floor(v) - 0.5);
                    if (tie > 1e-5)
                        fail_msg("%s[%d,%d]: code %d, expected %d, v = %g", q->name, (int)r, (int)j, got, codes[at], v);
                    ties++;
                    continue;
                }
                difference += (row[j] - what[at]) * (row[j] - what[at]);
                norm += what[at] * what[at];
            }
            free(w);
        }
        if (!(sqrt(difference / norm) <= 1e-6)) fail_msg("%s: W_hat off by %g", q->name, sqrt(difference / norm));
        free(u);
        free(row);
    }
    print_message("  codes: %d of %d differ, all at ties\n", (int)ties, (int)all);
}

static void dlqat_case_with(const char *kernels, const char *name, const char *bits, const char *group, double shrink,
                            bool at_start) {
    oracle o;
    char n[16], g[32];
    snprintf(n, sizeof n, "bits=%s", bits);
    snprintf(g, sizeof g, "group-size=%s", group);
    if (!oracle_open(&o, name, (const char *const[]){n, g, "method=dlqat", NULL}, kernels)) return;
    print_message("%s, %s kernels\n", name, kernels);
    open_set(&o);
    check_start(&o, shrink);
    oracle_set(&o, &o.set, DQ_PARAMETER_SCALE, "s");
    oracle_set(&o, &o.set, DQ_PARAMETER_OFFSET, "b");
    oracle_set(&o, &o.set, DQ_PARAMETER_A, "A");
    oracle_set(&o, &o.set, DQ_PARAMETER_B, "B");
    double loss = run_pass(&o, (dq_trained){.grid = true, .magnitude = true, .adapter = true});
    double expected = oracle_values(&o, "traj1", NULL, NULL)[0];
    if (!(fabs(loss - expected) <= 2e-6 * expected)) fail_msg("%s: loss %.9g, expected %.9g", name, loss, expected);
    check_codes(&o);
    check_gradient(&o, DQ_PARAMETER_SCALE, "p1.ds");
    check_gradient(&o, DQ_PARAMETER_OFFSET, "p1.db");
    check_gradient(&o, DQ_PARAMETER_MAGNITUDE, "p2.dm");
    check_gradient(&o, DQ_PARAMETER_A, "p2.dA");
    check_gradient(&o, DQ_PARAMETER_B, "p2.dB");
    if (at_start)
        for (int i = 0; i < o.set.count; i++) {
            const dq_parameter *b = &o.set.at[i].parameter[DQ_PARAMETER_OFFSET],
                               *A = &o.set.at[i].parameter[DQ_PARAMETER_A];
            for (int64_t j = 0; j < b->rows * b->columns; j++) assert_true(b->gradient[j] == 0.0f);
            for (int64_t j = 0; j < A->rows * A->columns; j++) assert_true(A->gradient[j] == 0.0f);
        }
    if (strcmp(group, "-1") == 0) check_by_dots(&o, "p2.", o.set.count);
    oracle_close(&o);
}

static void dlqat_case(const char *name, const char *bits, const char *group, double shrink, bool at_start) {
    for (size_t i = 0; oracle_kernels(i); i++) dlqat_case_with(oracle_kernels(i), name, bits, group, shrink, at_start);
}

static void dlqat_n3_g4(void **state) {
    (void)state;
    dlqat_case("dlqat_n3_g4", "3", "4", 1, false);
}

static void dlqat_n3_g4_start(void **state) {
    (void)state;
    dlqat_case("dlqat_n3_g4_start", "3", "4", 1, true);
}

static void dlqat_n4_channel(void **state) {
    (void)state;
    dlqat_case("dlqat_n4_chan", "4", "-1", 1, false);
}

static void dlqat_n2_clip(void **state) {
    (void)state;
    dlqat_case("dlqat_n2_clip", "2", "-1", 0.6, false);
}

/* One backward with everything trained, m random: the masks, the ranges, and the other methods. */
static void variant_with(const char *kernels, const char *name, const char *const *words, bool minmax) {
    oracle o;
    if (!oracle_open(&o, name, words, kernels)) return;
    print_message("%s, %s kernels\n", name, kernels);
    open_set(&o);
    bool pooled = o.set.recipe.adapter == DQ_ADAPTER_POOLED;
    oracle_set(&o, &o.set, DQ_PARAMETER_A, "A");
    oracle_set(&o, &o.set, DQ_PARAMETER_B, "B");
    oracle_set(&o, &o.set, DQ_PARAMETER_MAGNITUDE, "m");
    if (!minmax) { /* the min-max range makes s and b itself */
        oracle_set(&o, &o.set, DQ_PARAMETER_SCALE, "s");
        oracle_set(&o, &o.set, DQ_PARAMETER_OFFSET, "b");
    }
    double loss =
        run_pass(&o, (dq_trained){.grid = !minmax && !pooled, .magnitude = o.set.recipe.magnitude, .adapter = true});
    double expected = oracle_values(&o, "loss", NULL, NULL)[0];
    if (!(fabs(loss - expected) <= 2e-6 * expected)) fail_msg("%s: loss %.9g, expected %.9g", name, loss, expected);
    if (!minmax && !pooled) {
        check_gradient(&o, DQ_PARAMETER_SCALE, "ds");
        check_gradient(&o, DQ_PARAMETER_OFFSET, "db");
    }
    if (o.set.recipe.magnitude) check_gradient(&o, DQ_PARAMETER_MAGNITUDE, "dm");
    check_gradient(&o, DQ_PARAMETER_A, "dA");
    check_gradient(&o, DQ_PARAMETER_B, "dB");
    if (!pooled) check_by_dots(&o, "", o.set.count);
    oracle_close(&o);
}

static void variant(const char *name, const char *const *words, bool minmax) {
    for (size_t i = 0; oracle_kernels(i); i++) variant_with(oracle_kernels(i), name, words, minmax);
}

static void mask_value(void **state) {
    (void)state;
    variant("grad_value", (const char *const[]){"method=dlqat", "bits=3", "group-size=-1", "clip-mask=value", NULL},
            false);
}

static void range_adaptive(void **state) {
    (void)state;
    variant("grad_adaptive", (const char *const[]){"method=dlqat", "bits=3", "group-size=-1", "range=adaptive", NULL},
            false);
}

static void range_minmax(void **state) {
    (void)state;
    variant("grad_minmax", (const char *const[]){"method=dlqat", "bits=3", "group-size=-1", "range=minmax", NULL},
            true);
}

static void method_l4q(void **state) {
    (void)state;
    variant("grad_l4q", (const char *const[]){"method=l4q", "bits=3", "group-size=-1", NULL}, false);
}

static void method_qalora(void **state) {
    (void)state;
    variant("grad_qalora", (const char *const[]){"method=qalora", "bits=3", "group-size=4", NULL}, false);
}

/* L4Q's own start, before anything is set. */
static void start_l4q(void **state) {
    (void)state;
    oracle o;
    if (!oracle_open(&o, "grad_l4q", (const char *const[]){"method=l4q", "bits=3", "group-size=-1", NULL}, NULL))
        return;
    open_set(&o);
    check_start(&o, 1);
    oracle_close(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dlqat_n3_g4),   cmocka_unit_test(dlqat_n3_g4_start), cmocka_unit_test(dlqat_n4_channel),
        cmocka_unit_test(dlqat_n2_clip), cmocka_unit_test(mask_value),        cmocka_unit_test(range_adaptive),
        cmocka_unit_test(range_minmax),  cmocka_unit_test(method_l4q),        cmocka_unit_test(method_qalora),
        cmocka_unit_test(start_l4q),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
