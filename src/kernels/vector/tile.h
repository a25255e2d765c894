/* The register tile on which matrix products and attention are built:
 *
 *     sum[i][:] = sum over p in ascending order of a[i * a_row + p * a_step] * b[p * b_step + :]
 *
 * for i < rows <= DQ_TILE_ROWS, DQ_TILE_VECTORS vectors of columns; every product is fused into its sum. b must have
 * DQ_TILE_COLUMNS readable columns. DQ_TILE_SWITCH makes `rows` a constant, without which nothing stays in registers. */
#ifndef DQ_KERNELS_VECTOR_TILE_H
#define DQ_KERNELS_VECTOR_TILE_H

#include "kernels/vector/vec.h"

enum { DQ_TILE_COLUMNS = DQ_TILE_VECTORS * DQ_VEC_WIDTH };

DQ_INLINE void dq_tile(int rows, int64_t depth, const float *a, int64_t a_row, int64_t a_step, const float *b,
                       int64_t b_step, dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS]) {
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < DQ_TILE_VECTORS; v++) sum[i][v] = dq_vec_zero();
    for (int64_t p = 0; p < depth; p++) {
        dq_vec column[DQ_TILE_VECTORS];
        for (int v = 0; v < DQ_TILE_VECTORS; v++) column[v] = dq_vec_load(b + v * DQ_VEC_WIDTH);
        for (int i = 0; i < rows; i++) {
            dq_vec x = dq_vec_set(a[i * a_row]);
            for (int v = 0; v < DQ_TILE_VECTORS; v++) sum[i][v] = dq_vec_fma(x, column[v], sum[i][v]);
        }
        a += a_step;
        b += b_step;
    }
}

/* Rows of C lie far apart: have them fetched while the sums are made. */
DQ_INLINE void dq_tile_prefetch(int rows, const float *c, int64_t c_row) {
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < DQ_TILE_COLUMNS; v += DQ_LINE) __builtin_prefetch(c + i * c_row + v, 1);
}

/* The first `columns` columns of the tile (all if there are more) into C, or added to it. */
DQ_INLINE void dq_tile_store(int rows, dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS], float *c, int64_t c_row,
                             int64_t columns, bool accumulate) {
    if (columns >= DQ_TILE_COLUMNS) {
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < DQ_TILE_VECTORS; v++) {
                float *to = c + i * c_row + v * DQ_VEC_WIDTH;
                dq_vec_store(to, accumulate ? dq_vec_add(dq_vec_load(to), sum[i][v]) : sum[i][v]);
            }
        return;
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < DQ_TILE_VECTORS && v * DQ_VEC_WIDTH < columns; v++) {
            int count = (int)columns - v * DQ_VEC_WIDTH;
            float *to = c + i * c_row + v * DQ_VEC_WIDTH;
            dq_vec before = accumulate ? dq_vec_load_part(to, count) : dq_vec_zero();
            dq_vec_store_part(to, accumulate ? dq_vec_add(before, sum[i][v]) : sum[i][v], count);
        }
}

/* Calls f(rows, ...) with rows as a constant expression, so that the always-inlined f is compiled once for each. */
#define DQ_TILE_SWITCH(rows, f, ...)                                                                                   \
    do {                                                                                                               \
        switch (rows) {                                                                                                \
        case 1:                                                                                                        \
            f(1, __VA_ARGS__);                                                                                         \
            break;                                                                                                     \
        case 2:                                                                                                        \
            f(2, __VA_ARGS__);                                                                                         \
            break;                                                                                                     \
        case 3:                                                                                                        \
            f(3, __VA_ARGS__);                                                                                         \
            break;                                                                                                     \
        case 4:                                                                                                        \
            f(4, __VA_ARGS__);                                                                                         \
            break;                                                                                                     \
        case 5:                                                                                                        \
            f(5, __VA_ARGS__);                                                                                         \
            break;                                                                                                     \
        case 6:                                                                                                        \
            f(6, __VA_ARGS__);                                                                                         \
            break;                                                                                                     \
            DQ_TILE_WIDE_CASES(f, __VA_ARGS__)                                                                         \
        default:                                                                                                       \
            break;                                                                                                     \
        }                                                                                                              \
    } while (0)

#ifdef DQ_VEC_AVX2
#define DQ_TILE_WIDE_CASES(f, ...)
#else
#define DQ_TILE_WIDE_CASES(f, ...)                                                                                     \
    case 7:                                                                                                            \
        f(7, __VA_ARGS__);                                                                                             \
        break;                                                                                                         \
    case 8:                                                                                                            \
        f(8, __VA_ARGS__);                                                                                             \
        break;                                                                                                         \
    case 9:                                                                                                            \
        f(9, __VA_ARGS__);                                                                                             \
        break;                                                                                                         \
    case 10:                                                                                                           \
        f(10, __VA_ARGS__);                                                                                            \
        break;                                                                                                         \
    case 11:                                                                                                           \
        f(11, __VA_ARGS__);                                                                                            \
        break;                                                                                                         \
    case 12:                                                                                                           \
        f(12, __VA_ARGS__);                                                                                            \
        break;
#endif

#endif
