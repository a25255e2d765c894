#include "register_peak.h"

#include <math.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "base/file.h"

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

double register_peak(const char *variant, int threads) {
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
        double sink = 0, start = dq_seconds();
#pragma omp parallel num_threads(threads) reduction(+ : sink)
        sink += loop(rounds, 1);
        double rate = 2.0 * CHAINS * width * (double)rounds * threads / (dq_seconds() - start);
        if (rate > best && sink != 0) best = rate;
    }
    return best;
}
