/* Every operation, in every variant that runs here and in the emulated ones, against f64, for 1, 2 and 3 threads, whose
 * bits must agree. */
#include "support.h"

#include <omp.h>

#include "emulated.h"
#include "kernels/kernels.h"
#include "operations.h"

enum { MOST_THREADS = 3 };

static void check(const operation *o, const dq_kernels *kernels, double *worst, char *worst_where, size_t size) {
    dlqat_error error;
    dq_compute compute;
    assert_ok(dq_compute_open(&compute, "c", MOST_THREADS, DQ_MULTIPLY_F32, &error));
    compute.kernels = kernels;
    *worst = 0;
    for (int i = 0; i < o->test_count; i++)
        for (int variation = 0; variation < o->variations; variation++) {
            trial *t = trial_open(o, o->tests[i], variation);
            assert_non_null(t);
            o->expect(t);
            uint64_t bits = 0;
            for (int threads = 1; threads <= MOST_THREADS; threads++) {
                char where[160], label[96];
                compute.threads = threads;
                trial_run(t, &compute);
                trial_label(t, label, sizeof label);
                double off = trial_worst(t, where, sizeof where);
                if (off > 1) fail_msg("%s %s (%s), %d threads: %s", kernels->name, o->name, label, threads, where);
                if (off > *worst) {
                    *worst = off;
                    snprintf(worst_where, size, "%s: %s", label, where);
                }
                if (threads == 1) bits = trial_bits(t);
                if (bits != trial_bits(t))
                    fail_msg("%s %s (%s): %d threads, other bits", kernels->name, o->name, label, threads);
            }
            trial_close(t);
        }
    dq_compute_close(&compute);
}

static void test_operation(void **state) {
    const operation *o = *state;
    bool usable;
    const dq_kernels *kernels;
    for (size_t i = 0; (kernels = kernels_to_test(i, &usable)); i++) {
        if (!usable) {
            print_message("%s: %s not run, the processor lacks it\n", o->name, kernels->name);
            continue;
        }
        double worst;
        char where[300] = "";
        check(o, kernels, &worst, where, sizeof where);
        print_message("%-20s %-12s at most %.3f of what is allowed\n", o->name, kernels->name, worst);
    }
}

int main(void) {
    omp_set_dynamic(0); /* three threads even on two processors */
    int count = operation_count();
    struct CMUnitTest *tests = calloc((size_t)count, sizeof *tests);
    if (!tests) return 1;
    for (int i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){.name = operation_at(i)->name,
                                       .test_func = test_operation,
                                       .initial_state = (void *)(uintptr_t)operation_at(i)};
    int failed = _cmocka_run_group_tests("kernels", tests, (size_t)count, NULL, NULL);
    free(tests);
    return failed;
}
