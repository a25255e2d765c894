#include "base/random.h"

#include <math.h>

void dq_random_block(uint64_t seed, dq_random_stream stream, uint32_t detail, uint64_t index, uint32_t out[4]) {
    uint32_t x0 = (uint32_t)index, x1 = (uint32_t)(index >> 32), x2 = detail, x3 = (uint32_t)stream;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0, y2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x0 = y0;
        x1 = (uint32_t)p1;
        x2 = y2;
        x3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

static double unit(uint32_t high, uint32_t low) {
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

double dq_random_uniform(uint64_t seed, dq_random_stream stream, uint32_t detail, uint64_t index) {
    uint32_t block[4];
    dq_random_block(seed, stream, detail, index, block);
    return unit(block[0], block[1]);
}

void dq_random_normal(uint64_t seed, dq_random_stream stream, uint32_t detail, float deviation, float *x,
                      size_t count) {
    const double two_pi = 6.283185307179586476925286766559;
    for (size_t i = 0; i < count; i += 2) {
        uint32_t block[4];
        dq_random_block(seed, stream, detail, i / 2, block);
        double radius = sqrt(-2.0 * log(1.0 - unit(block[0], block[1])));
        double angle = two_pi * unit(block[2], block[3]);
        x[i] = (float)(deviation * radius * cos(angle));
        if (i + 1 < count) x[i + 1] = (float)(deviation * radius * sin(angle));
    }
}

void dq_random_fill(uint64_t seed, dq_random_stream stream, uint32_t detail, float low, float high, float *x,
                    size_t count) {
    const float last = nextafterf(high, low); /* rounding to f32 must not reach high */
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)(low + ((double)high - low) * dq_random_uniform(seed, stream, detail, i));
        if (x[i] >= high) x[i] = last;
    }
}

void dq_random_permutation(uint64_t seed, dq_random_stream stream, uint32_t detail, size_t *order, size_t count) {
    for (size_t i = 0; i < count; i++) order[i] = i;
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)(dq_random_uniform(seed, stream, detail, i) * (double)i);
        size_t kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}
