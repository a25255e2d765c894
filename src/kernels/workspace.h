/* How compute->workspace is divided. An operation uses it alone and keeps nothing in it between calls, so every
 * operation has the whole of it: first what the threads share, then one scratch area per thread. */
#ifndef DQ_KERNELS_WORKSPACE_H
#define DQ_KERNELS_WORKSPACE_H

#include "kernels/kernels.h"

enum {
    /* The packed operands of one pass of the matrix product: at most these sizes, whatever the variant. Rows and
     * columns are multiples of every variant's register tile (6, 12, 14 rows; 16, 32, 64 columns). */
    DQ_GEMM_DEPTH = 320,
    DQ_GEMM_ROWS = 2016,
    DQ_GEMM_COLUMNS = 3072,
    DQ_WORKSPACE_SHARED = (DQ_GEMM_ROWS + DQ_GEMM_COLUMNS) * DQ_GEMM_DEPTH * 4,
    DQ_WORKSPACE_THREAD = 1024 * 1024
};

static inline float *dq_workspace_shared(const dq_compute *compute) {
    return compute->workspace;
}

static inline float *dq_workspace_thread(const dq_compute *compute, int thread) {
    unsigned char *base = compute->workspace;
    return (float *)(void *)(base + DQ_WORKSPACE_SHARED + (size_t)thread * DQ_WORKSPACE_THREAD);
}

#endif
