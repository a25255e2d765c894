/* The blocks of GGUF's low-bit types as they lie in a file, and their values.
 *
 * Every type keeps 32 or 256 weights of one row in a block. d and m are f16 bits; a K block has sub-blocks of 16 or 32 weights
 * with small integer scales (and minima) that multiply d (and dmin). Structures are packed: nothing says that a block lies
 * on an even address. */
#ifndef DQ_FORMATS_BLOCKS_H
#define DQ_FORMATS_BLOCKS_H

#include <assert.h>
#include <stdint.h>

#define DQ_PACKED __attribute__((packed))

enum { DQ_BLOCK = 32, DQ_K_BLOCK = 256 };

/* Of 32 weights: the low nibble of codes[j] is weight j, the high one weight j + 16; bit j of high is bit 4 of weight j. */
typedef struct DQ_PACKED dq_block_q4_0 {
    uint16_t d;
    uint8_t codes[16];
} dq_block_q4_0; /* d (u - 8) */

typedef struct DQ_PACKED dq_block_q4_1 {
    uint16_t d, m;
    uint8_t codes[16];
} dq_block_q4_1; /* d u + m */

typedef struct DQ_PACKED dq_block_q5_0 {
    uint16_t d;
    uint32_t high;
    uint8_t codes[16];
} dq_block_q5_0; /* d (u - 16) */

typedef struct DQ_PACKED dq_block_q5_1 {
    uint16_t d, m;
    uint32_t high;
    uint8_t codes[16];
} dq_block_q5_1; /* d u + m */

typedef struct DQ_PACKED dq_block_q8_0 {
    uint16_t d;
    int8_t codes[32];
} dq_block_q8_0; /* d u */

typedef struct DQ_PACKED dq_block_q2_k {
    uint8_t scales[16]; /* low nibble: scale, high nibble: minimum, of 16 weights */
    uint8_t codes[64];
    uint16_t d, dmin;
} dq_block_q2_k; /* (d scale) u - dmin minimum */

typedef struct DQ_PACKED dq_block_q3_k {
    uint8_t high[32];
    uint8_t codes[64];
    uint8_t scales[12]; /* 16 of 6 bits, biased by 32 */
    uint16_t d;
} dq_block_q3_k; /* (d scale) (u - 4) */

typedef struct DQ_PACKED dq_block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12]; /* 8 scales and 8 minima of 6 bits, each for 32 weights */
    uint8_t codes[128];
} dq_block_q4_k; /* (d scale) u - dmin minimum */

typedef struct DQ_PACKED dq_block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t codes[128];
} dq_block_q5_k; /* (d scale) u - dmin minimum */

typedef struct DQ_PACKED dq_block_q6_k {
    uint8_t codes[128];
    uint8_t high[64];
    int8_t scales[16];
    uint16_t d;
} dq_block_q6_k; /* (d scale) (u - 32) */

static_assert(sizeof(dq_block_q4_0) == 18, "Q4_0");
static_assert(sizeof(dq_block_q4_1) == 20, "Q4_1");
static_assert(sizeof(dq_block_q5_0) == 22, "Q5_0");
static_assert(sizeof(dq_block_q5_1) == 24, "Q5_1");
static_assert(sizeof(dq_block_q8_0) == 34, "Q8_0");
static_assert(sizeof(dq_block_q2_k) == 84, "Q2_K");
static_assert(sizeof(dq_block_q3_k) == 110, "Q3_K");
static_assert(sizeof(dq_block_q4_k) == 144, "Q4_K");
static_assert(sizeof(dq_block_q5_k) == 176, "Q5_K");
static_assert(sizeof(dq_block_q6_k) == 210, "Q6_K");

/* n weights, a multiple of the block, to f32: every product and sum rounded as gguf-py rounds it. */
void dq_q4_0_to_f32(const void *blocks, float *out, int64_t n);
void dq_q4_1_to_f32(const void *blocks, float *out, int64_t n);
void dq_q5_0_to_f32(const void *blocks, float *out, int64_t n);
void dq_q5_1_to_f32(const void *blocks, float *out, int64_t n);
void dq_q8_0_to_f32(const void *blocks, float *out, int64_t n);
void dq_q2_k_to_f32(const void *blocks, float *out, int64_t n);
void dq_q3_k_to_f32(const void *blocks, float *out, int64_t n);
void dq_q4_k_to_f32(const void *blocks, float *out, int64_t n);
void dq_q5_k_to_f32(const void *blocks, float *out, int64_t n);
void dq_q6_k_to_f32(const void *blocks, float *out, int64_t n);

#endif
