/* Every operation, in every variant that runs here and in the emulated ones, against f64, for 1, 2 and 3 threads, whose
 * bits must agree.
 *
 *   test_kernels              all
 *   test_kernels gemm         those whose names match
 *   test_kernels --but gemm*  the others */
#include "support.h"

#include <omp.h>
#include <stddef.h>

#include "emulated.h"
#include "kernels/kernels.h"
#include "operations.h"

enum { MOST_THREADS = 3, MOST_KERNELS = 16 };

/* One of the variants, and how near it came to what is allowed. */
typedef struct contender {
    const dq_kernels *kernels;
    bool extends; /* an earlier one, by products of bf16: those of f32 are passed on */
    double worst;
} contender;

static bool same_function(const dq_kernels *a, const dq_kernels *b, size_t entry) {
    return memcmp((const char *)a + entry, (const char *)b + entry, sizeof(void (*)(void))) == 0;
}

/* Those that run here and have a function of their own: one taken over from another variant is tested there. */
static int contenders(const operation *o, contender *list) {
    int count = 0;
    bool usable;
    const dq_kernels *kernels;
    for (size_t i = 0; (kernels = kernels_to_test(i, &usable)); i++) {
        if (!usable) {
            print_message("%s: %s not run, the processor lacks it\n", o->name, kernels->name);
            continue;
        }
        bool taken = false, extends = false;
        for (int j = 0; j < count; j++) {
            taken = taken || same_function(kernels, list[j].kernels, o->entry);
            extends = extends || same_function(kernels, list[j].kernels, offsetof(dq_kernels, rmsnorm_forward));
        }
        if (taken) continue;
        assert_true(count < MOST_KERNELS);
        list[count++] = (contender){.kernels = kernels, .extends = extends};
    }
    return count;
}

static void check(trial *t, dq_compute *compute, contender *c) {
    uint64_t bits = 0;
    compute->kernels = c->kernels;
    memset(compute->workspace, 0xff, dq_workspace_bytes(MOST_THREADS)); /* NaN: what was there before must not count */
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        char where[160], label[96];
        compute->threads = threads;
        trial_run(t, compute);
        trial_label(t, label, sizeof label);
        double off = trial_worst(t, where, sizeof where);
        if (off > 1)
            fail_msg("%s %s (%s), %d threads: %s", c->kernels->name, t->operation->name, label, threads, where);
        if (off > c->worst) c->worst = off;
        if (threads == 1) bits = trial_bits(t);
        if (bits != trial_bits(t))
            fail_msg("%s %s (%s): %d threads, other bits", c->kernels->name, t->operation->name, label, threads);
    }
}

static void test_operation(void **state) {
    const operation *o = *state;
    contender list[MOST_KERNELS];
    const int count = contenders(o, list);
    dlqat_error error;
    dq_compute compute;
    assert_ok(dq_compute_open(&compute, "c", MOST_THREADS, DQ_MULTIPLY_F32, &error));
    for (int i = 0; i < o->test_count; i++)
        for (int variation = 0; variation < o->variations; variation++) {
            trial *t = trial_open(o, o->tests[i], variation);
            assert_non_null(t);
            o->expect(t);
            for (int j = 0; j < count; j++) {
                const bool passed_on = list[j].extends && o->in_bf16 && !o->in_bf16(t);
                if (!passed_on || i % 4 == 0) check(t, &compute, &list[j]);
            }
            trial_close(t);
        }
    dq_compute_close(&compute);
    for (int j = 0; j < count; j++)
        print_message("%-24s %-12s at most %.3f of what is allowed\n", o->name, list[j].kernels->name, list[j].worst);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--but") == 0)
        cmocka_set_skip_filter(argv[2]);
    else if (argc == 2)
        cmocka_set_test_filter(argv[1]);
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
