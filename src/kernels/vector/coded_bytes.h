/* Inside the vector kernels: products of packed weights with activations rounded to 8 bits (dq_coded_product.int8). */
#ifndef DQ_KERNELS_VECTOR_CODED_BYTES_H
#define DQ_KERNELS_VECTOR_CODED_BYTES_H

#include "kernels/vector/vec.h"

/* Tokens that are rounded at one time. */
enum { DQ_ROUNDED_TOKENS = 8 };

/* x for one weight. */
typedef struct dq_rounded {
    const int8_t *q; /* [tokens, in], in the order in which the weight's codes are unpacked; NULL: another form */
    const float *d, *total; /* [tokens, in / 32]: the blocks' scales, and d times the sum of their q */
} dq_rounded;

/* p with x' in the place of x, for weights whose forms coded_bytes_rows does not have, and x as all others want it; in the shared
 * workspace. At most DQ_ROUNDED_TOKENS tokens. */
dq_coded_product NAME(coded_round)(const dq_compute *compute, const dq_coded_product *p,
                                   dq_rounded rounded[DQ_CODED_TOGETHER]);

/* Rows at places [first, end) of weight i. space: dq_workspace_thread. */
void NAME(coded_bytes_rows)(const dq_coded_product *p, int i, const dq_rounded *x, int64_t first, int64_t end,
                            uint8_t *space);

#endif
