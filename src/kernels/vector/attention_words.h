/* Words: what the operands of attention's products are made of. A word is a value of f32, or, with DQ_PAIRS, two of bf16 that
 * follow one another in the sum: two components of a vector in scores, two keys or two rows elsewhere. "Words(n)" below is n, or
 * n / 2 rounded up, and what is not there is 0.
 *
 * C = A B in tiles: A's words lie anywhere with two strides, B's lie side by side for neighbouring columns. */
#ifndef DQ_KERNELS_VECTOR_ATTENTION_WORDS_H
#define DQ_KERNELS_VECTOR_ATTENTION_WORDS_H

#include "kernels/vector/array.h"
#include "kernels/vector/pack.h"
#include "kernels/vector/tile.h"

#ifdef DQ_PAIRS
#include "kernels/bf16/pair.h"
typedef uint32_t dq_word;
enum { DQ_WORD_STEPS = 2 };
#else
typedef float dq_word;
enum { DQ_WORD_STEPS = 1 };
#endif

static inline int64_t dq_words(int64_t steps) {
    return (steps + DQ_WORD_STEPS - 1) / DQ_WORD_STEPS;
}

#ifdef DQ_PAIRS

/* The first count of a vector, however many that are. */
DQ_INLINE dq_vec dq_some(const float *x, int64_t count) {
    return count >= DQ_VEC_WIDTH ? dq_vec_load(x) : count > 0 ? dq_vec_load_part(x, (int)count) : dq_vec_zero();
}

/* One vector of x as words along it: out [Words(n)], of n values. Up to a whole vector is written behind. */
DQ_INLINE void dq_words_along(const float *x, int64_t n, dq_word *out) {
    for (int64_t p = 0; p < n; p += 2 * DQ_VEC_WIDTH)
        dq_pair_store(out + p / 2,
                      dq_pair_along(dq_some(x + p, n - p), dq_some(x + p + DQ_VEC_WIDTH, n - p - DQ_VEC_WIDTH)));
}

/* out [n]: words of the values of two vectors at one place; second NULL: there is none. n: a multiple of the vector's width. */
DQ_INLINE void dq_words_across(const float *first, const float *second, int64_t n, dq_word *out) {
    for (int64_t c = 0; c < n; c += DQ_VEC_WIDTH)
        dq_pair_store(out + c, dq_pair_of(dq_vec_load(first + c), second ? dq_vec_load(second + c) : dq_vec_zero()));
}

DQ_INLINE void dq_word_tile(int rows, int64_t depth, const dq_word *a, int64_t a_row, int64_t a_step, const dq_word *b,
                            int64_t b_step, dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS]) {
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < DQ_TILE_VECTORS; v++) sum[i][v] = dq_vec_zero();
    for (int64_t p = 0; p < depth; p++, a += a_step, b += b_step) {
        dq_pair column[DQ_TILE_VECTORS];
        for (int v = 0; v < DQ_TILE_VECTORS; v++) column[v] = dq_pair_load(b + v * DQ_VEC_WIDTH);
        for (int i = 0; i < rows; i++) {
            dq_pair x = dq_pair_set(a[i * a_row]);
            for (int v = 0; v < DQ_TILE_VECTORS; v++) sum[i][v] = dq_pair_dot(sum[i][v], x, column[v]);
        }
    }
}

/* out [Words(depth), width]: lanes of x, `lanes` of them, whose steps lie side by side: dq_pack_columns of words. width: a
 * multiple of the vector's. */
DQ_INLINE void dq_words_turn(const float *x, int64_t lane_stride, int lanes, int width, int depth, dq_word *out) {
    for (int p = 0; p < depth; p += 2 * DQ_VEC_WIDTH)
        for (int lane = 0; lane < width; lane += DQ_VEC_WIDTH) {
            dq_pair square[DQ_VEC_WIDTH];
            for (int i = 0; i < DQ_VEC_WIDTH; i++) {
                const float *from = x + (lane + i) * lane_stride + p;
                square[i] = lane + i < lanes ? dq_pair_along(dq_some(from, depth - p),
                                                             dq_some(from + DQ_VEC_WIDTH, depth - p - DQ_VEC_WIDTH))
                                             : dq_pair_zero();
            }
            dq_pair_transpose(square);
            for (int i = 0; i < DQ_VEC_WIDTH && p + 2 * i < depth; i++)
                dq_pair_store(out + (p / 2 + i) * width + lane, square[i]);
        }
}

#else

DQ_INLINE void dq_word_tile(int rows, int64_t depth, const dq_word *a, int64_t a_row, int64_t a_step, const dq_word *b,
                            int64_t b_step, dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS]) {
    dq_tile(rows, depth, a, a_row, a_step, b, b_step, sum);
}

DQ_INLINE void dq_words_turn(const float *x, int64_t lane_stride, int lanes, int width, int depth, dq_word *out) {
    dq_pack_columns(x, lane_stride, lanes, width, depth, false, out);
}

#endif

#endif
