/* How fast the kernels are: every operation of tests/kernels/operations.h at its benchmark sizes, in every variant that
 * runs here, beside what the arithmetic units give for a loop of fused multiply-adds (of products of bf16, where the
 * variant has such) that touches no memory.
 *
 *     bench_kernels [--threads N] [--variant NAME] [--operation NAME] [--seconds S]
 *
 * Median of repeated runs of at least S seconds together (default 0.3), and the best of them, which a busy
 * machine disturbs least; rates are of the best. */
#define _GNU_SOURCE /* getopt_long */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "operations.h"
#include "register_peak.h"

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* most: the peaks in f32 and in bf16. */
static void measure(const operation *o, const int64_t *size, const dq_compute *compute, const double most[2],
                    double seconds) {
    enum { MOST_RUNS = 200 };
    /* The last size of a gemm is its variation. */
    trial *t = trial_open(o, size, (int)size[SIZES - 1]);
    if (!t) return;
    double times[MOST_RUNS], all = 0;
    int runs = 0;
    trial_run(t, compute);
    while (runs < MOST_RUNS && (all < seconds || runs < 3)) {
        double start = dq_seconds();
        o->run(t, compute);
        times[runs] = dq_seconds() - start;
        all += times[runs++];
    }
    qsort(times, (size_t)runs, sizeof times[0], ascending);
    double median = times[runs / 2], flops = o->flops(t), bytes = o->bytes(t);
    char label[96];
    trial_label(t, label, sizeof label);
    printf("%-19s %-28s %-10s %9.3f %9.3f ms", o->name, label, compute->kernels->name, median * 1e3, times[0] * 1e3);
    if (flops > 0)
        printf(" %8.1f GFLOP/s %5.1f %%", flops / times[0] * 1e-9,
               100 * flops / times[0] / most[o->in_bf16 && o->in_bf16(t)]);
    else
        printf(" %25s", "");
    printf(" %7.1f GB/s\n", bytes / times[0] * 1e-9);
    fflush(stdout);
    trial_close(t);
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"threads", required_argument, NULL, 't'},
                                            {"variant", required_argument, NULL, 'v'},
                                            {"operation", required_argument, NULL, 'o'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    int threads = 0;
    const char *variant = NULL, *only = NULL;
    double seconds = 0.3;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 't')
            threads = atoi(optarg);
        else if (c == 'v')
            variant = optarg;
        else if (c == 'o')
            only = optarg;
        else if (c == 's')
            seconds = atof(optarg);
        else
            return 2;
    }
    printf("operation           sizes                          variant         median        products   of peak       "
           "memory\n");
    for (size_t i = 0; i < dq_kernels_count(); i++) {
        bool usable;
        const dq_kernels *kernels = dq_kernels_at(i, &usable);
        if (!usable || (variant && strcmp(variant, kernels->name) != 0)) continue;
        dq_compute compute;
        dlqat_error error;
        if (dq_compute_open(&compute, kernels->name, threads, DQ_MULTIPLY_F32, &error) != DLQAT_OK) {
            fprintf(stderr, "bench_kernels: %s\n", error.message);
            return 1;
        }
        const double most[2] = {register_peak(kernels->name, false, compute.threads),
                                register_peak(kernels->name, true, compute.threads)};
        for (int j = 0; j < 2; j++)
            printf("peak                %-28s %-10s %31.1f GFLOP/s\n", j ? "registers, bf16" : "registers, f32",
                   kernels->name, most[j] * 1e-9);
        for (int j = 0; j < operation_count(); j++) {
            const operation *o = operation_at(j);
            if (only && strcmp(only, o->name) != 0) continue;
            for (int k = 0; k < o->bench_count; k++) measure(o, o->benches[k], &compute, most, seconds);
        }
        dq_compute_close(&compute);
    }
    return 0;
}
