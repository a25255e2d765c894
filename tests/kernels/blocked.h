/* Keys and values [.., K, d] in the blocks of dq_attention, and NAN where there are none. */
#ifndef TESTS_KERNELS_BLOCKED_H
#define TESTS_KERNELS_BLOCKED_H

#include <math.h>

#include "kernels/kernels.h"

static inline int64_t blocked_floats(int64_t keys, int64_t heads, int64_t d) {
    return (keys + DQ_KEY_BLOCK - 1) / DQ_KEY_BLOCK * DQ_KEY_BLOCK * heads * d;
}

/* turned: as keys lie, else as values. */
static inline void make_blocked(float *to, const float *from, int64_t keys, int64_t heads, int64_t d, bool turned) {
    for (int64_t i = 0; i < blocked_floats(keys, heads, d); i++) to[i] = NAN;
    for (int64_t key = 0; key < keys; key++)
        for (int64_t g = 0; g < heads; g++)
            for (int64_t c = 0; c < d; c++) {
                int64_t block = (key / DQ_KEY_BLOCK * heads + g) * d * DQ_KEY_BLOCK, within = key % DQ_KEY_BLOCK;
                to[block + (turned ? c * DQ_KEY_BLOCK + within : within * d + c)] = from[(key * heads + g) * d + c];
            }
}

#endif
