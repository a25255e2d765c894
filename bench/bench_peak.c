/* The fastest matrix product here, of f32 and of bf16: our kernels in every variant that runs, and oneDNN where it was found.
 *
 *     bench_peak [--size 4096] [--threads N] [--repeats 5] [--json]
 *
 * Median and best of so many repetitions. Beside them what the arithmetic units give at the most. With --json one
 * object a line, for bench_peak.py, which adds PyTorch and says who won. */
#define _GNU_SOURCE /* getopt_long */
#include <getopt.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "register_peak.h"

#ifdef HAVE_ONEDNN
#include "peak_onednn.h"
#endif

enum { MOST_REPEATS = 100 };

typedef struct bench {
    int64_t size;
    int threads, repeats;
    bool json;
    double best[2]; /* rates of f32 and bf16 so far */
} bench;

typedef void product_fn(void *user);

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void report(bench *b, const char *who, bool bf16, product_fn *run, void *user) {
    double times[MOST_REPEATS], flops = 2.0 * (double)b->size * (double)b->size * (double)b->size;
    run(user);
    for (int i = 0; i < b->repeats; i++) {
        double start = dq_seconds();
        run(user);
        times[i] = dq_seconds() - start;
    }
    qsort(times, (size_t)b->repeats, sizeof times[0], ascending);
    double median = flops / times[b->repeats / 2], best = flops / times[0];
    if (best > b->best[bf16]) b->best[bf16] = best;
    if (b->json)
        printf(
            "{\"who\": \"%s\", \"type\": \"%s\", \"size\": %lld, \"threads\": %d, \"median\": %.6g, \"best\": %.6g}\n",
            who, bf16 ? "bf16" : "f32", (long long)b->size, b->threads, median, best);
    else
        printf("%-32s %-5s %8.1f GFLOP/s, at best %8.1f\n", who, bf16 ? "bf16" : "f32", median * 1e-9, best * 1e-9);
    fflush(stdout);
}

/* ---- Our kernels ------------------------------------------------------------------------------------------------------ */

typedef struct ours {
    dq_compute compute;
    dq_gemm gemm;
} ours;

static void run_ours(void *user) {
    const ours *o = user;
    o->compute.kernels->gemm(&o->compute, &o->gemm);
}

/* x W^T, as every linear has it. */
static dq_gemm square(int64_t size, const float *x, const float *w, float *y) {
    return (dq_gemm){.m = size,
                     .n = size,
                     .k = size,
                     .a = x,
                     .a_row = size,
                     .a_column = 1,
                     .b = w,
                     .b_row = 1,
                     .b_column = size,
                     .c = y,
                     .c_row = size};
}

/* A variant that has no chance is not made to spend minutes on it. */
static bool hopeless(const bench *b, ours *o, int64_t small, bool bf16) {
    dq_gemm whole = o->gemm;
    o->gemm = square(small, whole.a, whole.b, whole.c);
    run_ours(o);
    double start = dq_seconds();
    run_ours(o);
    double rate = 2.0 * (double)small * (double)small * (double)small / (dq_seconds() - start);
    o->gemm = whole;
    return rate < b->best[bf16] / 8;
}

static int measure_ours(bench *b) {
    size_t count = (size_t)(b->size * b->size);
    float *x = malloc(count * sizeof *x), *w = malloc(count * sizeof *w), *y = malloc(count * sizeof *y);
    if (!x || !w || !y) {
        fprintf(stderr, "bench_peak: error: no memory for three matrices of %lld squared\n", (long long)b->size);
        return 1;
    }
    dq_random_fill(1, DQ_STREAM_SAMPLE, 0, -1, 1, x, count);
    dq_random_fill(1, DQ_STREAM_SAMPLE, 1, -1, 1, w, count);
    /* The reference comes first in the table and last here. */
    for (size_t i = dq_kernels_count(); i-- > 0;) {
        bool usable;
        const dq_kernels *kernels = dq_kernels_at(i, &usable);
        for (int bf16 = 0; usable && bf16 < 2; bf16++) {
            ours o = {.gemm = square(b->size, x, w, y)};
            dlqat_error error;
            char who[64];
            if (dq_compute_open(&o.compute, kernels->name, b->threads, bf16 ? DQ_MULTIPLY_BF16 : DQ_MULTIPLY_F32,
                                &error) != DLQAT_OK) {
                fprintf(stderr, "bench_peak: error: %s\n", error.message);
                return 1;
            }
            snprintf(who, sizeof who, "dlqat %s", kernels->name);
            if (!hopeless(b, &o, b->size / 8, bf16)) report(b, who, bf16, run_ours, &o);
            dq_compute_close(&o.compute);
        }
    }
    free(x);
    free(w);
    free(y);
    return 0;
}

/* ---- oneDNN ----------------------------------------------------------------------------------------------------------- */

#ifdef HAVE_ONEDNN
static void run_onednn(void *user) {
    onednn_run(user);
}

static void measure_onednn(bench *b) {
    omp_set_num_threads(b->threads);
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int own = 0; own < 2; own++) {
            onednn_product *product = onednn_open(b->size, bf16, own);
            if (!product) continue;
            char who[64], version[32];
            snprintf(who, sizeof who, "oneDNN %s%s", onednn_version(version), own ? ", own layout" : "");
            report(b, who, bf16, run_onednn, product);
            onednn_close(product);
        }
}
#endif

int main(int argc, char **argv) {
    static const struct option options[] = {{"size", required_argument, NULL, 's'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"repeats", required_argument, NULL, 'r'},
                                            {"json", no_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    bench b = {.size = 4096, .threads = omp_get_max_threads(), .repeats = 5};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's') b.size = atoll(optarg);
        if (c == 't') b.threads = atoi(optarg);
        if (c == 'r') b.repeats = atoi(optarg);
        if (c == 'j') b.json = true;
        if (c == '?') return 2;
    }
    if (b.size < 64 || b.threads < 1 || b.repeats < 1 || b.repeats > MOST_REPEATS) {
        fprintf(stderr, "bench_peak: --size from 64, --threads from 1, --repeats 1 to %d\n", MOST_REPEATS);
        return 2;
    }
    const dq_kernels *best;
    if (dq_kernels_choose(NULL, &best, NULL) == DLQAT_OK) {
        for (int bf16 = 0; bf16 < 2; bf16++) {
            double rate = register_peak(best->name, bf16, b.threads);
            const char *type = bf16 ? "bf16" : "f32";
            if (b.json)
                printf("{\"who\": \"registers alone, %s\", \"type\": \"%s\", \"threads\": %d, \"limit\": %.6g}\n",
                       best->name, type, b.threads, rate);
            else
                printf("%-32s %-5s %8.1f GFLOP/s\n", "registers alone", type, rate * 1e-9);
        }
    }
    int failed = measure_ours(&b);
#ifdef HAVE_ONEDNN
    if (!failed) measure_onednn(&b);
#endif
    return failed;
}
