/* Training steps against float64 trajectories of a real model: losses of five steps of each phase, and what the first step
 * changes. */
#include "oracle.h"

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The change of each tensor in the first step against the oracle's: 1e-2 in relative norm, the median tensor 1e-4. Adam's first step
 * is the sign of the gradient, so an entry whose gradient is smaller than the gradients' own tolerance (5e-5 of their root mean
 * square) may go either way; one such entry of 1,024 is a change of 6e-2. The reference kernels, which add products in double, decide
 * all of them as the oracle does; of the others such entries are left out, and counted. before: values at the start. */
static void check_change(const oracle *o, dq_quantizer_set *set, dq_parameter_kind kind, const char *before,
                         const char *after, bool reference) {
    double errors[64];
    int n = 0, undecided = 0;
    for (int i = 0; i < set->count; i++) {
        const dq_parameter *p = &set->at[i].parameter[kind];
        int64_t count = p->rows * p->columns;
        const double *x0 = oracle_values(o, before, set->at[i].name, NULL),
                     *x1 = oracle_values(o, after, set->at[i].name, NULL);
        if (!x1) fail_msg("no %s.%s in the oracle", after, set->at[i].name);
        double difference = 0, norm = 0, squares = 0;
        for (int64_t j = 0; j < count; j++) squares += (double)p->gradient[j] * p->gradient[j];
        double least = reference ? 0 : 5e-5 * sqrt(squares / (double)count);
        for (int64_t j = 0; j < count; j++) {
            double from = x0 ? x0[j] : 1.0; /* m starts at 1 */
            double change = (double)p->value[j] - (double)(float)from, expected = x1[j] - from;
            bool decided = p->gradient[j] == 0 || fabs((double)p->gradient[j]) >= least;
            undecided += !decided;
            if (decided) difference += (change - expected) * (change - expected);
            norm += expected * expected;
        }
        errors[n] = norm > 0 ? sqrt(difference / norm) : sqrt(difference);
        if (!(errors[n] <= 1e-2))
            fail_msg("%s of %s: the first step's change is off by %g", after, set->at[i].name, errors[n]);
        n++;
    }
    qsort(errors, (size_t)n, sizeof errors[0], compare_doubles);
    print_message("  change of %-3s median %.2g, worst %.2g, %d entries left out\n", after, errors[n / 2],
                  errors[n - 1], undecided);
    if (!(errors[n / 2] <= 1e-4)) fail_msg("%s: the median change is off by %g", after, errors[n / 2]);
}

/* Five steps of one phase; tolerance[k]: relative, of loss k. */
static void phase_case_with(const char *kernels, const char *name, const char *bits, const char *group, int phase,
                            const double tolerance[5]) {
    oracle o;
    dlqat_error error;
    char n[16], g[32];
    snprintf(n, sizeof n, "bits=%s", bits);
    snprintf(g, sizeof g, "group-size=%s", group);
    const char *steps = phase == 1 ? "phase1-steps=10" : "phase1-steps=0";
    if (!oracle_open(&o, name, (const char *const[]){n, g, "method=dlqat", "max-steps=10", steps, NULL}, kernels))
        return;
    print_message("%s, phase %d, %s kernels\n", name, phase, kernels);
    bool reference = strcmp(kernels, "c") == 0;
    dq_trainer_options with = {.model = o.model, .data = &o.data, .compute = &o.compute, .resident = true};
    dq_trainer *trainer;
    assert_ok(dq_trainer_open(&trainer, o.options, &with, &error));
    dq_quantizer_set *set = dq_trainer_quantizers(trainer);
    oracle_unbind(set);
    oracle_set(&o, set, DQ_PARAMETER_SCALE, phase == 1 ? "s" : "s0");
    oracle_set(&o, set, DQ_PARAMETER_OFFSET, phase == 1 ? "b" : "b0");
    oracle_set(&o, set, DQ_PARAMETER_A, "A");
    oracle_set(&o, set, DQ_PARAMETER_B, "B");
    assert_ok(dq_quantizer_set_refresh(set, &o.compute, &error));
    const double *losses = oracle_values(&o, phase == 1 ? "traj1" : "traj2", NULL, NULL);
    for (int k = 0; k < 5; k++) {
        dq_step_record record;
        assert_ok(dq_trainer_step(trainer, &record, &error));
        double off = fabs(record.loss - losses[k]) / losses[k];
        print_message("  loss %d: %.7f, expected %.7f, off by %.2g\n", k + 1, record.loss, losses[k], off);
        if (!(off <= tolerance[k])) fail_msg("loss %d is off by %g, more than %g", k + 1, off, tolerance[k]);
        if (k > 0) continue;
        if (phase == 1) {
            check_change(&o, set, DQ_PARAMETER_SCALE, "s", "s@1", reference);
            check_change(&o, set, DQ_PARAMETER_OFFSET, "b", "b@1", reference);
        } else {
            check_change(&o, set, DQ_PARAMETER_MAGNITUDE, "m", "m@1", reference);
            check_change(&o, set, DQ_PARAMETER_A, "A", "A@1", reference);
            check_change(&o, set, DQ_PARAMETER_B, "B", "B@1", reference);
        }
    }
    dq_trainer_close(trainer);
    oracle_close(&o);
}

static void phase_case(const char *name, const char *bits, const char *group, int phase, const double tolerance[5]) {
    for (size_t i = 0; oracle_kernels(i); i++) phase_case_with(oracle_kernels(i), name, bits, group, phase, tolerance);
}

/* In phase 1 every step moves codes across ties, so rounding differences grow from step to step. */
static const double phase1[5] = {2e-6, 2e-5, 1e-2, 1e-2, 1e-2}, phase1_clip[5] = {2e-6, 1e-3, 3e-2, 3e-2, 3e-2};
static const double phase2[5] = {1e-5, 1e-5, 1e-5, 1e-5, 1e-5}, phase2_start[5] = {1e-3, 1e-3, 1e-3, 1e-3, 1e-3};

static void n3_g4(void **state) {
    (void)state;
    phase_case("dlqat_n3_g4", "3", "4", 1, phase1);
    phase_case("dlqat_n3_g4", "3", "4", 2, phase2);
}

static void n3_g4_start(void **state) {
    (void)state;
    phase_case("dlqat_n3_g4_start", "3", "4", 1, phase1);
    phase_case("dlqat_n3_g4_start", "3", "4", 2, phase2_start);
}

static void n4_channel(void **state) {
    (void)state;
    phase_case("dlqat_n4_chan", "4", "-1", 1, phase1);
    phase_case("dlqat_n4_chan", "4", "-1", 2, phase2);
}

static void n2_clip(void **state) {
    (void)state;
    phase_case("dlqat_n2_clip", "2", "-1", 1, phase1_clip);
    phase_case("dlqat_n2_clip", "2", "-1", 2, phase2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(n3_g4),
        cmocka_unit_test(n3_g4_start),
        cmocka_unit_test(n4_channel),
        cmocka_unit_test(n2_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
