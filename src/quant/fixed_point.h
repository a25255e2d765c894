/* The frozen weight in 8 bits: LR-QAT's fixed-point form (Bondarenko et al. 2024, arXiv:2406.06385, section 3), over the min-max grid.
 *
 *   s0 = (Max - Min) / (2^n - 1)                  the step of the n-bit grid that a run starts from
 *   c  = round((W0 - Min) / (s0 2^(n-8)))         n bits before the binary point, 8 - n behind it; 0 .. 255
 *   W0 becomes  s0 2^(n-8) c + Min
 *
 * Per group, with s0 and Min in f32: one byte for a weight and eight for a group. It is the affine matrix of formats/affine.h at
 * 8 bits, so it is read as one. Min is kept exactly; any other weight moves by at most half a step, s0 2^(n-9). */
#ifndef DQ_QUANT_FIXED_POINT_H
#define DQ_QUANT_FIXED_POINT_H

#include "base/arena.h"
#include "formats/affine.h"
#include "quant/quantizer.h"

/* Shapes, and the arrays from the arena (count first, then carve). */
void dq_fixed_point_lay_out(dq_affine *matrix, int64_t out, int64_t in, int64_t group, dq_arena *arena);
/* Encodes the rows of base for a grid of so many bits. rows: scratch, threads * in. A weight that is not finite is ERROR_INPUT
 * naming the tensor. */
dlqat_status dq_fixed_point_encode(const dq_affine *matrix, const dq_base *base, int bits, const char *name,
                                   int threads, float *rows, dlqat_error *error);
/* Where the encoded weight comes from; the matrix must outlive it. */
dq_base dq_fixed_point_base(const dq_affine *matrix);

#endif
