/* The primitives over which the bf16 products are written, beside those of vec.h:
 *
 *   dq_pair                    a vector of DQ_VEC_WIDTH pairs of bf16, the first of a pair in its lower half
 *   pair_zero, pair_load, pair_set(x), pair_store, pair_store_part(to, p, count)
 *   pair_of(first, second)     lane i: first[i] and second[i], rounded
 *   pair_along(first, second)  2 DQ_VEC_WIDTH values in their order: lane i holds values 2i and 2i + 1, rounded
 *   pair_transpose             of DQ_VEC_WIDTH vectors of pairs
 *   pair_pick(table, at)       half of a lane by half: the one of the table's 2 DQ_VEC_WIDTH halves that the lowest five bits name
 *   pair_bytes(p)              2 DQ_VEC_WIDTH bytes in their order, a half of a lane each
 *   pair_nibbles(p)            of DQ_VEC_WIDTH bytes the low nibbles, then the high ones, likewise
 *   pair_bytes_of(p, q)        lane i: p[i], and q[i] + DQ_VEC_WIDTH
 *   pair_nibbles_of(p, q, h)   of these bytes the low nibbles, with h the high ones
 *   pair_dot(sum, a, b)        lane i: sum + a1 b1, rounded, + a0 b0, rounded: the second of a pair first
 *
 * and, with DQ_BF16_TILES, products of tiles of 16 x 32 with 32 x 16 values:
 *
 *   tiles_begin, tiles_end     around a thread's use of the others
 *   dq_tiles                   sums of 2 x 2 tiles of 16 x 16
 *   tiles_clear, tiles_step    zeros; plus 32 steps of the sum: even and odd ones apart, each in f32 in ascending order,
 *                              then the two, then what was there
 *   tiles_store                to rows of f32
 *   of which the constants lower and right say whether the second row and column of tiles count.
 *
 * Rounding is to the nearest, ties to even, NaN stays NaN. As the instructions do, dots and tiles take values and sums
 * below 2^-126 for zero. */
#ifndef DQ_KERNELS_BF16_PAIR_H
#define DQ_KERNELS_BF16_PAIR_H

#include "kernels/vector/vec.h"

#if defined(DQ_VEC_AVX512)
#include "kernels/bf16/pair_avx512.h"
#ifdef DQ_BF16_TILES
#include "kernels/bf16/tiles_amx.h"
#endif
#else
#include "kernels/bf16/pair_plain.h"
#ifdef DQ_BF16_TILES
#include "kernels/bf16/tiles_plain.h"
#endif
#endif

#endif
