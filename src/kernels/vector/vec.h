/* The primitives over which the vector kernels are written. One header per instruction set defines them:
 *
 *   dq_vec                     a vector of DQ_VEC_WIDTH floats
 *   DQ_TILE_ROWS               rows of the register tile of matrix products, DQ_TILE_VECTORS vectors wide
 *   zero, set, load, store     store and load need no alignment
 *   load_part, store_part      the first count lanes; the others are 0, or not touched; nothing beyond is read
 *   add sub mul div sqrt       exactly rounded
 *   fma(a, b, c)               a b + c, rounded once;  fnma: c - a b
 *   max(a, b), min(a, b)       the larger, the smaller; b where either is NaN
 *   round                      to the nearest integer, ties to even
 *   scale(x, n)                x 2^n for integral n in [-252, 252], rounded once more where the result is subnormal
 *   bf16                       rounded to bf16 (nearest even), NaN stays NaN
 *   total, top                 sum and largest of the lanes, in a fixed order
 *   transpose                  of DQ_VEC_WIDTH vectors
 *   abreast(&a, &b)            both are computed before anything that follows from either: chains of operations are kept side by
 *                              side, where compilers like to finish one before they begin the next
 *   set_f16, load_f16, load_bf16   one f16 to all lanes; a vector of f16, of bf16, from any address
 *   set_f16_pair(p, &y)        of two f16 the first to all lanes, the second to y
 *
 *   dq_mask                    a set of lanes
 *   dq_mask_within(x, l, h)    those in which l <= x <= h, so none with NaN
 *   dq_mask_bits, dq_mask_of   as bits, lane 0 lowest; from bits, of which higher ones do not count
 *   dq_vec_keep(a, m)          a in these lanes, 0 in the others
 *
 *   dq_ints                    a vector of as many 32-bit integers
 *   bytes, signed_bytes        from DQ_VEC_WIDTH bytes
 *   stream(p, bits)            from a stream of codes of so many (1 to 8) bits, lowest bits first; other bits of the lanes
 *                              are undefined; reads up to DQ_STREAM_REACH bytes
 *   spread(p, bits)            codes of two or three bits of a stream where they stand in their word: code l times 2^(bits l)
 *   nibbles(p, v)              vector v of 32 codes of four bits of a stream; both where DQ_HAS_INTS_OF_WORDS, in vectors of eight
 *   and, or, left, right       by bits; and with, left and right by, a number; count: 0, 1, 2, ..
 *   dq_vec_of_ints             exact below 2^24
 *   dq_vec_pick(table, a)      table[a mod DQ_VEC_WIDTH]
 *   dq_vec_store_bytes(p, a)   the lanes, integral and in 0 .. 255 (NaN: any), as DQ_VEC_WIDTH bytes
 *
 * DQ_VARIANT names the variant that is being compiled (floor.cmake): avx2, avx512 and so on, or plain16, an
 * emulation in C of vectors of 16 with which the tests run what this machine may lack. */
#ifndef DQ_KERNELS_VECTOR_VEC_H
#define DQ_KERNELS_VECTOR_VEC_H

#include "kernels/variant.h"

/* Without inlining by force nothing would stay in registers; the emulation has none, and would take minutes to compile. */
#if defined(DQ_VEC_AVX512) || defined(DQ_VEC_AVX2)
#define DQ_INLINE static inline __attribute__((always_inline))
#else
#define DQ_INLINE static inline
#endif

#if defined(DQ_VEC_AVX512)
#include "kernels/vector/vec_avx512.h"
#elif defined(DQ_VEC_AVX2)
#include "kernels/vector/vec_avx2.h"
#else
#include "kernels/vector/vec_plain.h"
#endif

enum { DQ_STREAM_REACH = DQ_VEC_WIDTH, DQ_LINE = 16 /* floats of a cache line */ };

/* NAME(gemm) is dq_gemm_avx2 and so on. */
#define DQ_NAME_OF(operation, variant) dq_##operation##_##variant
#define DQ_NAME_IN(operation, variant) DQ_NAME_OF(operation, variant)
#define NAME(operation)                DQ_NAME_IN(operation, DQ_VARIANT)
#define DQ_DECLARE_IN(variant)         DQ_VARIANT_DECLARE(variant)

DQ_DECLARE_IN(DQ_VARIANT);

#endif
