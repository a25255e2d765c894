/* One function per type, each a plain loop over blocks whose inner loops the compiler turns into vector code. The order of
 * the float operations is part of the format: products of d with small integers are exact, but not those with dmin added. */
#include "formats/blocks.h"

#include "base/half.h"

void dq_q4_0_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q4_0 *block = blocks;
    for (; n > 0; n -= DQ_BLOCK, out += DQ_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d);
        for (int j = 0; j < 16; j++) out[j] = d * (float)((block->codes[j] & 15) - 8);
        for (int j = 0; j < 16; j++) out[j + 16] = d * (float)((block->codes[j] >> 4) - 8);
    }
}

void dq_q4_1_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q4_1 *block = blocks;
    for (; n > 0; n -= DQ_BLOCK, out += DQ_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d), m = dq_f16_to_f32(block->m);
        for (int j = 0; j < 16; j++) out[j] = d * (float)(block->codes[j] & 15) + m;
        for (int j = 0; j < 16; j++) out[j + 16] = d * (float)(block->codes[j] >> 4) + m;
    }
}

void dq_q5_0_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q5_0 *block = blocks;
    for (; n > 0; n -= DQ_BLOCK, out += DQ_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d);
        const uint32_t high = block->high;
        for (int j = 0; j < 16; j++) {
            const int u = (block->codes[j] & 15) | (int)(high >> j & 1) << 4;
            out[j] = d * (float)(u - 16);
        }
        for (int j = 0; j < 16; j++) {
            const int u = (block->codes[j] >> 4) | (int)(high >> (j + 16) & 1) << 4;
            out[j + 16] = d * (float)(u - 16);
        }
    }
}

void dq_q5_1_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q5_1 *block = blocks;
    for (; n > 0; n -= DQ_BLOCK, out += DQ_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d), m = dq_f16_to_f32(block->m);
        const uint32_t high = block->high;
        for (int j = 0; j < 16; j++) {
            const int u = (block->codes[j] & 15) | (int)(high >> j & 1) << 4;
            out[j] = d * (float)u + m;
        }
        for (int j = 0; j < 16; j++) {
            const int u = (block->codes[j] >> 4) | (int)(high >> (j + 16) & 1) << 4;
            out[j + 16] = d * (float)u + m;
        }
    }
}

void dq_q8_0_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q8_0 *block = blocks;
    for (; n > 0; n -= DQ_BLOCK, out += DQ_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d);
        for (int j = 0; j < 32; j++) out[j] = d * (float)block->codes[j];
    }
}

/* In Q2_K and Q3_K a half block of 128 weights is four runs of 32: run r takes bits 2r and 2r + 1 of the same 32 bytes. */
void dq_q2_k_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q2_k *block = blocks;
    for (; n > 0; n -= DQ_K_BLOCK, out += DQ_K_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d), dmin = dq_f16_to_f32(block->dmin);
        for (int sub = 0; sub < 16; sub++) {
            const float scale = d * (float)(block->scales[sub] & 15), minimum = dmin * (float)(block->scales[sub] >> 4);
            const uint8_t *codes = block->codes + 32 * (sub / 8) + 16 * (sub % 2);
            const int shift = 2 * (sub / 2 % 4);
            for (int j = 0; j < 16; j++) out[16 * sub + j] = scale * (float)(codes[j] >> shift & 3) - minimum;
        }
    }
}

void dq_q3_k_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q3_k *block = blocks;
    for (; n > 0; n -= DQ_K_BLOCK, out += DQ_K_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d);
        for (int sub = 0; sub < 16; sub++) {
            /* Bytes 0-7 hold the low four bits of the scales (0-7 in low nibbles), bytes 8-11 the two upper ones. */
            const int low = block->scales[sub % 8] >> 4 * (sub / 8) & 15;
            const int top = block->scales[8 + sub % 4] >> 2 * (sub / 4) & 3;
            const float scale = d * (float)((low | top << 4) - 32);
            const uint8_t *codes = block->codes + 32 * (sub / 8) + 16 * (sub % 2);
            const uint8_t *high = block->high + 16 * (sub % 2);
            const int shift = 2 * (sub / 2 % 4), bit = sub / 2;
            for (int j = 0; j < 16; j++) {
                const int code = (codes[j] >> shift & 3) + 4 * (high[j] >> bit & 1);
                out[16 * sub + j] = scale * (float)(code - 4);
            }
        }
    }
}

/* Scale and minimum of sub-block i: 0-3 are the low six bits of bytes i and i + 4; of 4-7 the low four bits lie in byte
 * i + 4 and the two upper ones on top of the bytes of sub-block i - 4. */
static void scale_and_minimum(const uint8_t scales[12], int i, int *scale, int *minimum) {
    if (i < 4) {
        *scale = scales[i] & 63;
        *minimum = scales[i + 4] & 63;
    } else {
        *scale = (scales[i + 4] & 15) | scales[i - 4] >> 6 << 4;
        *minimum = scales[i + 4] >> 4 | scales[i] >> 6 << 4;
    }
}

/* In Q4_K and Q5_K 64 weights share 32 bytes: the first 32 in the low nibbles, the next 32 in the high ones. */
void dq_q4_k_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q4_k *block = blocks;
    for (; n > 0; n -= DQ_K_BLOCK, out += DQ_K_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d), dmin = dq_f16_to_f32(block->dmin);
        for (int sub = 0; sub < 8; sub++) {
            int s, m;
            scale_and_minimum(block->scales, sub, &s, &m);
            const float scale = d * (float)s, minimum = dmin * (float)m;
            const uint8_t *codes = block->codes + 32 * (sub / 2);
            const int shift = 4 * (sub % 2);
            for (int j = 0; j < 32; j++) out[32 * sub + j] = scale * (float)(codes[j] >> shift & 15) - minimum;
        }
    }
}

void dq_q5_k_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q5_k *block = blocks;
    for (; n > 0; n -= DQ_K_BLOCK, out += DQ_K_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d), dmin = dq_f16_to_f32(block->dmin);
        for (int sub = 0; sub < 8; sub++) {
            int s, m;
            scale_and_minimum(block->scales, sub, &s, &m);
            const float scale = d * (float)s, minimum = dmin * (float)m;
            const uint8_t *codes = block->codes + 32 * (sub / 2);
            const int shift = 4 * (sub % 2);
            for (int j = 0; j < 32; j++) {
                const int code = (codes[j] >> shift & 15) | (block->high[j] >> sub & 1) << 4;
                out[32 * sub + j] = scale * (float)code - minimum;
            }
        }
    }
}

/* In Q6_K a half block of 128 weights is four runs of 32: nibbles (low of bytes 0-31, low of 32-63, high of 0-31, high of
 * 32-63), and bits 2r and 2r + 1 of the same 32 bytes of high for run r. */
void dq_q6_k_to_f32(const void *blocks, float *restrict out, int64_t n) {
    const dq_block_q6_k *block = blocks;
    for (; n > 0; n -= DQ_K_BLOCK, out += DQ_K_BLOCK, block++) {
        const float d = dq_f16_to_f32(block->d);
        for (int sub = 0; sub < 16; sub++) {
            const float scale = d * (float)block->scales[sub];
            const int half = sub / 8, run = sub / 2 % 4, at = 16 * (sub % 2);
            const uint8_t *codes = block->codes + 64 * half + 32 * (run % 2) + at;
            const uint8_t *high = block->high + 32 * half + at;
            for (int j = 0; j < 16; j++) {
                const int code = (codes[j] >> 4 * (run / 2) & 15) | (high[j] >> 2 * run & 3) << 4;
                out[16 * sub + j] = scale * (float)(code - 32);
            }
        }
    }
}
