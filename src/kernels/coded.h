/* Weights in the packed forms in which files hold them: rows of them as f32, and their products with few tokens.
 *
 * Every form gives each weight one f32 value W[i, j]. u are codes, d and m f16 numbers of a block of 32 columns, whose bytes
 * follow one another; "nibbles" are 16 bytes, the low nibble of byte j is code j, the high one code j + 16; "high" is a
 * little-endian word whose bit j is bit 4 of code j.
 *
 *   BITS   fl(fl(S[i, j/group] u) + O[i, j/group]); u: a stream of `bits` per code from the row's first byte on, the
 *          lowest bits first
 *   Q4_0   d (u - 8)         block: d, nibbles
 *   Q4_1   fl(d u + m)              d, m, nibbles
 *   Q5_0   d (u - 16)               d, high, nibbles
 *   Q5_1   fl(d u + m)              d, m, high, nibbles
 *   Q8_0   d u                      d, 32 signed bytes
 *   F16, BF16: the numbers themselves
 */
#ifndef DQ_KERNELS_CODED_H
#define DQ_KERNELS_CODED_H

#include <stdbool.h>
#include <stdint.h>

typedef enum dq_coding {
    DQ_CODING_NONE, /* not in one of these forms */
    DQ_CODING_BITS,
    DQ_CODING_Q4_0,
    DQ_CODING_Q4_1,
    DQ_CODING_Q5_0,
    DQ_CODING_Q5_1,
    DQ_CODING_Q8_0,
    DQ_CODING_F16,
    DQ_CODING_BF16
} dq_coding;

typedef enum dq_scale_type { DQ_SCALE_F16, DQ_SCALE_BF16, DQ_SCALE_F32 } dq_scale_type;

enum { DQ_CODED_BLOCK = 32 }; /* columns of a block of the Q forms */

typedef struct dq_coded {
    dq_coding coding;
    int64_t out, in;   /* in: whole blocks */
    int64_t row_bytes; /* from one row of codes to the next, at least what the row fills */
    const void *codes; /* [out, row_bytes], at any address */
    /* BITS */
    int bits;      /* 2 .. 8 */
    int code_bits; /* codes are below 2^code_bits, if that is known to be less; else 0 */
    int64_t group; /* divides in */
    dq_scale_type scale_type;
    const void *scales, *offsets; /* [out, in / group], at multiples of their size */
    /* > 0: rows of a head, even: the two halves of each head's rows are dealt alternately, so that row h head_rows + p
     * head_rows/2 + j (half p) lies where row h head_rows + 2 j + p would. W, y and dst have the rows in order. */
    int64_t head_rows;
} dq_coded;

/* Of a block of the Q forms; else 0. */
static inline int dq_coded_block_bytes(dq_coding coding) {
    return coding == DQ_CODING_Q4_0   ? 18
           : coding == DQ_CODING_Q4_1 ? 20
           : coding == DQ_CODING_Q5_0 ? 22
           : coding == DQ_CODING_Q5_1 ? 24
           : coding == DQ_CODING_Q8_0 ? 34
                                      : 0;
}

/* Where row i of W lies among the rows of codes, and back. */
static inline int64_t dq_coded_place(const dq_coded *w, int64_t row) {
    if (!w->head_rows) return row;
    int64_t half = w->head_rows / 2, within = row % w->head_rows;
    return row - within + 2 * (within % half) + within / half;
}
static inline int64_t dq_coded_row_at(const dq_coded *w, int64_t place) {
    if (!w->head_rows) return place;
    int64_t within = place % w->head_rows;
    return place - within + within % 2 * (w->head_rows / 2) + within / 2;
}

/* y[i] [tokens, weight[i]->out] = x [tokens, in] W_i^T, or += with accumulate, for up to DQ_CODED_TOGETHER weights of one
 * `in`. For few tokens the codes are unpacked anew for every four, for more than DQ_CODED_FEW once, to f32, for all of them.
 * Each element is one sum over `in` in f32, whose order depends on the weight's form and sizes, and on whether tokens are more
 * than DQ_CODED_FEW: not on tokens otherwise, on other weights, or on threads. For more than that the weights are W, bit for bit;
 * for few, S u + O may lack its roundings, and S and O may be factors of whole sums. Nothing is rounded to bf16.
 * int8: x is rounded to 8 bits first (rounded.h), unless it is wider than DQ_ROUNDED_WIDEST; the sum's order is then another one,
 * which depends on the same. */
enum { DQ_CODED_TOGETHER = 4, DQ_CODED_FEW = 8 };

typedef struct dq_coded_product {
    const float *x;
    int64_t tokens;
    int count;
    const dq_coded *weight[DQ_CODED_TOGETHER];
    float *y[DQ_CODED_TOGETHER];
    bool accumulate, int8;
} dq_coded_product;

/* Rows [first, first + count) of W to dst [count, in]: the same bits in every variant. Serial; callers divide the rows. */
typedef void dq_coded_rows_fn(const dq_coded *w, int64_t first, int64_t count, float *dst);

#endif
