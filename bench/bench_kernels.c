/* How fast the kernels are: every operation of tests/kernels/operations.h at its benchmark sizes, in every variant that
 * runs here, beside what the arithmetic units give for a loop of fused multiply-adds that touches no memory.
 *
 *     bench_kernels [--threads N] [--variant NAME] [--operation NAME] [--seconds S]
 *
 * Median of repeated runs of at least S seconds together (default 0.3), and the best of them, which a busy
 * machine disturbs least; rates are of the best. */
#define _GNU_SOURCE /* getopt_long, clock_gettime */
#include <getopt.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "operations.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve sums that never leave the registers: enough for two units of a latency of four or five. */
enum { CHAINS = 12 };

#define PEAK_LOOP(set, fma)                                                                                            \
    vector x[CHAINS], factor = set(0.999f), step = set(start);                                                         \
    for (int i = 0; i < CHAINS; i++) x[i] = set(start + (float)i);                                                     \
    for (long round = 0; round < rounds; round++)                                                                      \
        for (int i = 0; i < CHAINS; i++) x[i] = fma(x[i], factor, step);                                               \
    float sum = 0;                                                                                                     \
    for (int i = 0; i < CHAINS; i++) sum += ((const float *)&x[i])[0];                                                 \
    return sum;

#ifdef __x86_64__
__attribute__((noinline, target("avx2,fma"), optimize("O3"))) static float peak_avx2(long rounds, float start) {
    typedef __m256 vector;
    PEAK_LOOP(_mm256_set1_ps, _mm256_fmadd_ps)
}
__attribute__((noinline, target("avx512f"), optimize("O3"))) static float peak_avx512(long rounds, float start) {
    typedef __m512 vector;
    PEAK_LOOP(_mm512_set1_ps, _mm512_fmadd_ps)
}
#endif
__attribute__((noinline, optimize("O3"))) static float peak_plain(long rounds, float start) {
    typedef float vector;
#define SAME(x) (x)
    PEAK_LOOP(SAME, fmaf)
}

/* f32 operations per second of the registers alone, on so many threads. */
static double peak(const char *variant, int threads) {
    float (*loop)(long, float) = peak_plain;
    int width = 1;
#ifdef __x86_64__
    if (!strcmp(variant, "avx2") || !strcmp(variant, "c")) loop = peak_avx2, width = 8;
    if (!strcmp(variant, "avx512")) loop = peak_avx512, width = 16;
#else
    (void)variant;
#endif
    const long rounds = 10000000;
    double best = 0;
    for (int attempt = 0; attempt < 5; attempt++) {
        double sink = 0, start = now();
#pragma omp parallel num_threads(threads) reduction(+ : sink)
        sink += loop(rounds, 1);
        double rate = 2.0 * CHAINS * width * (double)rounds * threads / (now() - start);
        if (rate > best && sink != 0) best = rate;
    }
    return best;
}

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void measure(const operation *o, const int64_t *size, const dq_compute *compute, double most, double seconds) {
    enum { MOST_RUNS = 200 };
    /* The last size of a gemm is its variation. */
    trial *t = trial_open(o, size, (int)size[SIZES - 1]);
    if (!t) return;
    double times[MOST_RUNS], all = 0;
    int runs = 0;
    trial_run(t, compute);
    while (runs < MOST_RUNS && (all < seconds || runs < 3)) {
        double start = now();
        o->run(t, compute);
        times[runs] = now() - start;
        all += times[runs++];
    }
    qsort(times, (size_t)runs, sizeof times[0], ascending);
    double median = times[runs / 2], flops = o->flops(t), bytes = o->bytes(t);
    char label[96];
    trial_label(t, label, sizeof label);
    printf("%-19s %-28s %-7s %9.3f %9.3f ms", o->name, label, compute->kernels->name, median * 1e3, times[0] * 1e3);
    if (flops > 0)
        printf(" %8.1f GFLOP/s %5.1f %%", flops / times[0] * 1e-9, 100 * flops / times[0] / most);
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
    printf("operation           sizes                          variant      median        products   of peak       "
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
        double most = peak(kernels->name, compute.threads);
        printf("peak                fused multiply-adds, %d threads %-7s %34.1f GFLOP/s\n", compute.threads,
               kernels->name, most * 1e-9);
        for (int j = 0; j < operation_count(); j++) {
            const operation *o = operation_at(j);
            if (only && strcmp(only, o->name) != 0) continue;
            for (int k = 0; k < o->bench_count; k++) measure(o, o->benches[k], &compute, most, seconds);
        }
        dq_compute_close(&compute);
    }
    return 0;
}
