/* Matrix products over packed slivers: how operands are cut, packed and dealt to threads. What a variant adds, the
 * layout of its slivers and the product of two of them, is a dq_slivers.
 *
 *     c_ij = [c_ij +] sum over blocks P of ( sum_{p in P} a_ip b_pj )
 *
 * The sum is cut into blocks of equal length, at most `depth` and a multiple of `cut` (the last may be shorter), by k
 * alone. For each block both operands are copied into slivers: `rows` rows of A, or `columns` columns of B, the lanes
 * of a sliver, with their values for the same step p side by side. So the product of two slivers reads contiguous
 * memory whatever the strides were, and edges are zeros there. Every element of C is made by the same chain of
 * operations wherever it lies and whichever thread does it.
 *
 * A packed B (dq_kernels.pack) is block after block of the sum, in each sliver after sliver of columns, in each the
 * steps of the block: value (p, j), with p in block P that begins at step s and has d steps (rounded up to unit), lies in
 * sliver j / columns at
 *     s * round_up(n, columns) + (j / columns) * columns * d + place(p - s, j % columns)
 * values from the beginning. place(p, j) is p * columns + j where values are f32, and (p / 2 * columns + j) * 2 + p % 2 where
 * they are bf16, of which two steps make a pair. A packed A (dq_kernels.pack_a) is the same of slivers of rows, in each of
 * which a variant puts the steps as its product of two slivers reads them.
 *
 * Five ways through the same slivers:
 *   rows     B is packed once for all threads, where the workspace has room for it; a task is a chunk of rows with all of its
 *            columns and packs its rows of A for itself, a block of the sum at a time, so that they never leave L2;
 *   whole    with too few rows for that: both operands are packed once for all threads, then chunks of C, each of which stays
 *            in L2 through all blocks of its sum;
 *   shared   the same block after block of the sum and panel after panel, as much as there is room for;
 *   narrow   A has few rows (decoding, low-rank factors): it is packed once, and each thread packs one sliver of B at a
 *            time into L1 and uses it at once, so that B passes through the processor as fast as memory gives it;
 *   slim     B has no more columns than a sliver (gradients of low-rank factors): it is packed once, and A is read where it
 *            lies, because packing it would cost as much as multiplying it. */
#ifndef DQ_KERNELS_SLIVERS_H
#define DQ_KERNELS_SLIVERS_H

#include "kernels/kernels.h"

/* An operand as slivers see it: the value of a lane (row of A, column of B) at a step p of the sum. */
typedef struct dq_operand {
    const float *x;
    int64_t lane_stride, step;
} dq_operand;

/* Copies steps [start, start + depth) of lanes [first, first + lanes) into so many slivers, which lie `apart` values from
 * one another, the first at out. All but the last are full; its other lanes, and steps up to the next multiple of unit,
 * become zeros. */
typedef void dq_pack_slivers_fn(const dq_operand *o, int64_t first, int64_t lanes, int slivers, int64_t start,
                                int depth, void *out, int64_t apart);

/* The same of what is no operand in memory: lanes and steps are counted from the piece's first. */
typedef void dq_put_slivers_fn(const void *from, int64_t first, int64_t lanes, int slivers, int64_t start, int depth,
                               void *out, int64_t apart);

typedef struct dq_slivers {
    int rows, columns; /* lanes of a sliver of A, of B */
    int unit;          /* a sliver holds a multiple of so many steps */
    int value_bytes;   /* of a packed value */
    int depth;         /* steps of a block of the sum at most, a multiple of cut */
    int cut;           /* blocks end at multiples of so many steps, a multiple of unit */
    int panel_rows;    /* of A that are packed at one time at most, a multiple of rows */
    int panel_columns; /* of B likewise */
    int chunk_rows; /* rows of A that a task keeps in L2, a multiple of rows; a block of them fits a thread's workspace */
    int64_t whole_bytes; /* of the shared workspace, for operands that are packed whole */
    int a_together;      /* slivers packed together: a step's lanes are then read in whole cache lines */
    int b_together;
    dq_pack_slivers_fn *pack_a, *pack_b;
    /* C of a sliver of A times a sliver of B, of which so many rows and columns (or more than fit) are there. steps: as
     * many as the slivers hold. */
    void (*multiply)(int64_t rows, int steps, const void *a, const void *b, float *c, int64_t c_row, int64_t columns,
                     bool accumulate);
    /* The same of operands in place, strides as in dq_tile, B with `columns` readable columns; NULL: they must be packed. */
    void (*multiply_in_place)(int64_t rows, int steps, const float *a, int64_t a_row, int64_t a_step, const float *b,
                              int64_t b_step, float *c, int64_t c_row, int64_t columns, bool accumulate);
    /* Around the work of one thread that multiplies; NULL: nothing to do. */
    void (*begin)(void), (*end)(void);
} dq_slivers;

void dq_slivers_gemm(const dq_slivers *s, const dq_compute *compute, const dq_gemm *g, const dq_packed *packed);
size_t dq_slivers_packed_a_bytes(const dq_slivers *s, int64_t m, int64_t k);
void dq_slivers_pack_a(const dq_slivers *s, const dq_compute *compute, const dq_gemm *g, void *packed);
size_t dq_slivers_packed_bytes(const dq_slivers *s, int64_t k, int64_t n);
void dq_slivers_pack(const dq_slivers *s, const dq_pack *piece, void *packed);
/* The same, piece->b aside: put fills its slivers of B, from wherever it has them. */
void dq_slivers_put(const dq_slivers *s, const dq_pack *piece, dq_put_slivers_fn *put, const void *from, void *packed);

#endif
