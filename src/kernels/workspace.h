/* How compute->workspace is divided. An operation uses it alone and keeps nothing in it between calls, so every
 * operation has the whole of it: first what the threads share, then one scratch area per thread. */
#ifndef DQ_KERNELS_WORKSPACE_H
#define DQ_KERNELS_WORKSPACE_H

#include "kernels/kernels.h"

enum {
    /* The packed operands of one pass of the matrix product: at most these sizes, whatever the variant (slivers.h).
     * Rows and columns are multiples of every variant's sliver (6, 12, 32 rows; 16, 32 columns); 2,048 rows are one panel. */
    DQ_GEMM_ROWS = 2112,
    /* f32: a sliver of A and one of B fit into L1, a chunk of A (144 x 320 x 4 bytes = 180 KB) into L2. */
    DQ_GEMM_DEPTH = 320,
    DQ_GEMM_COLUMNS = 3072,
    DQ_GEMM_CHUNK_ROWS = 144,
    /* Pairs of bf16. Dots: what follows one sliver of B through L1 is light, so blocks are long instead, because every block
     * passes over C once more; with 1024 steps the sums of most layers of small models are one block. A chunk of A takes
     * 288 KB of L2. */
    DQ_BF16_COLUMNS = 2048,
    DQ_BF16_DEPTH_DOTS = 1024,
    DQ_BF16_CHUNK_ROWS_DOTS = 144,
    /* Tiles: two tiles of A and two of B are 4 KB for 64 cycles, more than L2 gives, so a sliver of B (40 KB) has L1 (48 KB) for
     * itself while a chunk of A (640 KB) comes from L2 (2 MB); and as that sliver itself comes from beyond L2, it meets many
     * rows. */
    DQ_BF16_DEPTH_TILES = 640,
    DQ_BF16_CHUNK_ROWS_TILES = 512,

    DQ_WORKSPACE_F32 = (DQ_GEMM_ROWS + DQ_GEMM_COLUMNS) * DQ_GEMM_DEPTH * 4,
    DQ_WORKSPACE_BF16 = (DQ_GEMM_ROWS + DQ_BF16_COLUMNS) * DQ_BF16_DEPTH_DOTS * 2,
    DQ_WORKSPACE_SHARED = DQ_WORKSPACE_F32 > DQ_WORKSPACE_BF16 ? DQ_WORKSPACE_F32 : DQ_WORKSPACE_BF16,
    DQ_WORKSPACE_THREAD = 1024 * 1024
};
_Static_assert(DQ_GEMM_CHUNK_ROWS *DQ_GEMM_DEPTH * 4 <= DQ_WORKSPACE_THREAD &&
                   DQ_BF16_CHUNK_ROWS_DOTS * DQ_BF16_DEPTH_DOTS * 2 <= DQ_WORKSPACE_THREAD &&
                   DQ_BF16_CHUNK_ROWS_TILES * DQ_BF16_DEPTH_TILES * 2 <= DQ_WORKSPACE_THREAD,
               "a thread's workspace holds a block of its rows of A");

static inline float *dq_workspace_shared(const dq_compute *compute) {
    return compute->workspace;
}

static inline float *dq_workspace_thread(const dq_compute *compute, int thread) {
    unsigned char *base = compute->workspace;
    return (float *)(void *)(base + DQ_WORKSPACE_SHARED + (size_t)thread * DQ_WORKSPACE_THREAD);
}

#endif
