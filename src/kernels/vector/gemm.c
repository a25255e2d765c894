/* The f32 products: slivers of f32 (slivers.h), which a register tile multiplies. With bf16 the values are rounded on the
 * way into the slivers, and the arithmetic is the same.
 *
 * A sliver of A: out[p * DQ_TILE_ROWS + row]; of B: out[p * DQ_TILE_COLUMNS + column]. Every product is fused into the
 * sum of its element, p ascending. */
#include "kernels/slivers.h"
#include "kernels/vector/pack.h"
#include "kernels/vector/tile.h"
#include "kernels/workspace.h"

enum {
    /* Slivers packed together: some two or three cache lines of lanes. */
    A_TOGETHER = 48 / DQ_TILE_ROWS,
    B_TOGETHER = 64 / DQ_TILE_COLUMNS
};

DQ_INLINE void pack(const dq_operand *o, int64_t first, int64_t lanes, int slivers, int64_t start, int width, int depth,
                    bool bf16, float *out, int64_t apart) {
    const float *x = o->x + first * o->lane_stride + start * o->step;
    if (o->lane_stride == 1) {
        dq_pack_rows(x, o->step, lanes, slivers, width, depth, bf16, out, apart);
        return;
    }
    for (int s = 0; s < slivers; s++, x += width * o->lane_stride, lanes -= width, out += apart) {
        int given = lanes < width ? (int)lanes : width;
        if (o->step == 1)
            dq_pack_columns(x, o->lane_stride, given, width, depth, bf16, out);
        else
            dq_pack_any(x, o->lane_stride, o->step, given, width, depth, bf16, out);
    }
}

#define PACK(name, width, bf16)                                                                                        \
    static void name(const dq_operand *o, int64_t first, int64_t lanes, int slivers, int64_t start, int depth,         \
                     void *out, int64_t apart) {                                                                       \
        pack(o, first, lanes, slivers, start, width, depth, bf16, out, apart);                                         \
    }

PACK(pack_a, DQ_TILE_ROWS, false)
PACK(pack_b, DQ_TILE_COLUMNS, false)
PACK(pack_a_rounded, DQ_TILE_ROWS, true)
PACK(pack_b_rounded, DQ_TILE_COLUMNS, true)

DQ_INLINE void tile_into(int rows, int depth, const float *a, int64_t a_row, int64_t a_step, const float *b,
                         int64_t b_step, float *c, int64_t c_row, int64_t columns, bool accumulate) {
    dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS];
    dq_tile_prefetch(rows, c, c_row);
    dq_tile(rows, depth, a, a_row, a_step, b, b_step, sum);
    dq_tile_store(rows, sum, c, c_row, columns, accumulate);
}

static void multiply(int64_t rows, int steps, const void *a, const void *b, float *c, int64_t c_row, int64_t columns,
                     bool accumulate) {
    int height = rows < DQ_TILE_ROWS ? (int)rows : DQ_TILE_ROWS;
    DQ_TILE_SWITCH(height, tile_into, steps, a, 1, DQ_TILE_ROWS, b, DQ_TILE_COLUMNS, c, c_row, columns, accumulate);
}

static void multiply_in_place(int64_t rows, int steps, const float *a, int64_t a_row, int64_t a_step, const float *b,
                              int64_t b_step, float *c, int64_t c_row, int64_t columns, bool accumulate) {
    int height = rows < DQ_TILE_ROWS ? (int)rows : DQ_TILE_ROWS;
    DQ_TILE_SWITCH(height, tile_into, steps, a, a_row, a_step, b, b_step, c, c_row, columns, accumulate);
}

static dq_slivers slivers_of(const dq_compute *compute) {
    dq_slivers s = {.rows = DQ_TILE_ROWS,
                    .columns = DQ_TILE_COLUMNS,
                    .unit = 1,
                    .cut = 1,
                    .value_bytes = sizeof(float),
                    .depth = DQ_GEMM_DEPTH,
                    .panel_rows = DQ_GEMM_ROWS,
                    .panel_columns = DQ_GEMM_COLUMNS,
                    .chunk_rows = DQ_GEMM_CHUNK_ROWS,
                    .whole_bytes = DQ_WORKSPACE_SHARED,
                    .a_together = A_TOGETHER,
                    .b_together = B_TOGETHER,
                    .pack_a = pack_a,
                    .pack_b = pack_b,
                    .multiply = multiply,
                    .multiply_in_place = multiply_in_place};
    if (compute->multiply == DQ_MULTIPLY_BF16) {
        s.pack_a = pack_a_rounded;
        s.pack_b = pack_b_rounded;
        s.multiply_in_place = NULL; /* values are rounded as they are packed */
    }
    return s;
}

void NAME(gemm)(const dq_compute *compute, const dq_gemm *g) {
    NAME(gemm_packed)(compute, g, &(dq_packed){0});
}

void NAME(gemm_packed)(const dq_compute *compute, const dq_gemm *g, const dq_packed *packed) {
    dq_slivers s = slivers_of(compute);
    dq_slivers_gemm(&s, compute, g, packed);
}

size_t NAME(packed_a_bytes)(const dq_compute *compute, int64_t m, int64_t k) {
    dq_slivers s = slivers_of(compute);
    return dq_slivers_packed_a_bytes(&s, m, k);
}

void NAME(pack_a)(const dq_compute *compute, const dq_gemm *g, void *packed) {
    dq_slivers s = slivers_of(compute);
    dq_slivers_pack_a(&s, compute, g, packed);
}

size_t NAME(packed_bytes)(const dq_compute *compute, int64_t k, int64_t n) {
    dq_slivers s = slivers_of(compute);
    return dq_slivers_packed_bytes(&s, k, n);
}

void NAME(pack)(const dq_compute *compute, const dq_pack *piece, void *packed) {
    dq_slivers s = slivers_of(compute);
    dq_slivers_pack(&s, piece, packed);
}
