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
#ifdef DQ_HAVE_AVX512BF16
/* The bits of two f32 as pairs: (-0.24, 0.996) and (0, 1). */
#define DOTS(sum, a, b) _mm512_dpbf16_ps(sum, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b))
__attribute__((noinline, target("avx512f,avx512bw,avx512bf16"), optimize("O3"))) static float peak_dots(long rounds,
                                                                                                        float start) {
    typedef __m512 vector;
    PEAK_LOOP(_mm512_set1_ps, DOTS)
}
#endif
#ifdef DQ_HAVE_AMX
/* A round: four products of tiles of ones. The sums grow; tiles take no longer for it. */
__attribute__((noinline, target("amx-tile,amx-bf16"), optimize("O3"))) static float peak_tiles(long rounds,
                                                                                               float start) {
    static const struct {
        unsigned char palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        unsigned char rows[16];
    } all = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    static const uint32_t ones[16] = {0x3f803f80};
    float sum[16 * 16];
    _tile_loadconfig(&all);
    _tile_loadd(4, ones, 0);
    _tile_loadd(5, ones, 0);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (long round = 0; round < rounds; round++) {
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 5);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 5);
    }
    _tile_stored(0, sum, 64);
    _tile_release();
    return start + sum[0];
}
#endif
__attribute__((noinline, optimize("O3"))) static float peak_plain(long rounds, float start) {
    typedef float vector;
#define SAME(x) (x)
    PEAK_LOOP(SAME, fmaf)
}

double register_peak(const char *variant, bool in_bf16, int threads) {
    float (*loop)(long, float) = peak_plain;
    double operations = 2.0 * CHAINS; /* of a round */
    long rounds = 10000000;
#ifdef __x86_64__
    if (!strcmp(variant, "avx2") || !strcmp(variant, "c")) loop = peak_avx2, operations *= 8;
    if (!strcmp(variant, "avx512") || !strcmp(variant, "avx512bf16") || !strcmp(variant, "amx")) {
        loop = peak_avx512, operations *= 16;
#ifdef DQ_HAVE_AVX512BF16
        if (in_bf16 && !strcmp(variant, "avx512bf16")) loop = peak_dots, operations *= 2;
#endif
#ifdef DQ_HAVE_AMX
        if (in_bf16 && !strcmp(variant, "amx")) loop = peak_tiles, operations = 4 * 2.0 * 16 * 16 * 32, rounds /= 10;
#endif
    }
#endif
    (void)variant;
    (void)in_bf16;
    double best = 0;
    for (int attempt = 0; attempt < 5; attempt++) {
        double sink = 0, start = dq_seconds();
#pragma omp parallel num_threads(threads) reduction(+ : sink)
        sink += loop(rounds, 1);
        double rate = operations * (double)rounds * threads / (dq_seconds() - start);
        if (rate > best && sink != 0) best = rate;
    }
    return best;
}
