/* The packed affine matrix: the project's stored form, in MLX's layout.
 *
 *   W_hat[i, j] = fl32( fl32( S[i, j/g] * u[i, j] ) + O[i, j/g] ),   u in [0, 2^bits - 1]
 *
 * codes: each row an LSB-first bit stream of `bits` per code in little-endian u32 words, row_words words a row, which is
 * ceil(in * bits / 32): MLX demands an exact fit, this reader pads a row with zero bits. S and O: [out, in/g], both of one type
 * (F16, BF16 or F32). bits 2 .. 8. g divides in. */
#ifndef DQ_FORMATS_AFFINE_H
#define DQ_FORMATS_AFFINE_H

#include "formats/tensor.h"

typedef struct dq_affine {
    int64_t out, in, group; /* group: columns that share S and O; in for one group per output channel */
    int bits;
    dq_dtype scale_dtype;
    const uint32_t *codes;        /* [out, row_words] */
    const void *scales, *offsets; /* [out, in / group] */
} dq_affine;

int64_t dq_affine_row_words(int64_t in, int bits);
int64_t dq_affine_groups(const dq_affine *matrix);
/* One row: in codes, each below 2^bits, to words and back. */
void dq_pack_codes(const uint8_t *codes, int64_t in, int bits, uint32_t *words);
void dq_unpack_codes(const uint32_t *words, int64_t in, int bits, uint8_t *codes);
/* S and O of one row as f32 (exact), in/group values each. */
void dq_affine_row_grid(const dq_affine *matrix, int64_t row, float *scales, float *offsets);
/* Rows [first, first + count) of W_hat. */
void dq_affine_rows(const dq_affine *matrix, int64_t first, int64_t count, float *out);
/* The arithmetic of one group, as everywhere: out[j] = fl(fl(S u[j]) + O). */
void dq_affine_decode(float *out, const uint8_t *codes, int64_t n, float scale, float offset);

#endif
