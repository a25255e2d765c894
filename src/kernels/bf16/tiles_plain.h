/* The tiles of pair.h in plain C, to the letter of the manual's description of TDPBF16PS: for the tests. */
#ifndef DQ_KERNELS_BF16_TILES_PLAIN_H
#define DQ_KERNELS_BF16_TILES_PLAIN_H

typedef struct dq_tiles {
    float sum[32][32];
} dq_tiles;

DQ_INLINE void dq_tiles_begin(void) {}
DQ_INLINE void dq_tiles_end(void) {}

/* What does not count is spoilt, so that a test sees it used. */
DQ_INLINE void dq_tiles_clear(dq_tiles *t, bool lower, bool right) {
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 32; j++) t->sum[i][j] = (i < 16 || lower) && (j < 16 || right) ? 0 : NAN;
}

DQ_INLINE void dq_tiles_step(dq_tiles *t, const uint32_t *a, const uint32_t *b, bool lower, bool right) {
    for (int i = 0; i < (lower ? 32 : 16); i++)
        for (int j = 0; j < (right ? 32 : 16); j++) {
            float even = 0, odd = 0;
            for (int p = 0; p < 16; p++) {
                uint32_t x = a[i * 16 + p], y = b[p * 32 + j];
                even = dq_pair_fma_(dq_pair_first_(x), dq_pair_first_(y), even);
                odd = dq_pair_fma_(dq_pair_second_(x), dq_pair_second_(y), odd);
            }
            t->sum[i][j] = dq_pair_flushed_(t->sum[i][j] + dq_pair_flushed_(even + odd));
        }
}

DQ_INLINE void dq_tiles_store(dq_tiles *t, float *to, int64_t to_row, bool lower, bool right) {
    for (int i = 0; i < (lower ? 32 : 16); i++)
        for (int j = 0; j < (right ? 32 : 16); j++) to[i * to_row + j] = t->sum[i][j];
}

#endif
