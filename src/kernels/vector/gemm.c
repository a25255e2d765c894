/* C = A B or C += A B.
 *
 *     c_ij = [c_ij +] sum over blocks P of ( sum_{p in P, ascending} a_ip b_pj )
 *
 * The sum is cut into blocks of equal length, at most DQ_GEMM_DEPTH, by k alone. For each block both operands are copied
 * into slivers: DQ_TILE_ROWS rows of A, or DQ_TILE_COLUMNS columns of B, with their values for one p side by side. So
 * the tile reads contiguous memory whatever the strides were, and edges are zeros there. Every element of C is made by
 * the same chain of fused multiply-adds wherever it lies and whichever thread does it.
 *
 * Two ways through the same slivers:
 *   shared   both operands packed once for all threads, then tiles in chunks of rows that stay in L2;
 *   narrow   A has few rows (decoding, low-rank factors): it is packed once, and each thread packs one sliver of B at a
 *            time into L1 and uses it at once, so that B passes through the processor as fast as memory gives it. */
#include "kernels/vector/tile.h"

#include <omp.h>

#include "kernels/vector/pack.h"
#include "kernels/workspace.h"

enum {
    /* Rows of A that a task keeps in L2: 144 * 320 * 4 bytes = 180 KB. */
    CHUNK_ROWS = 144,
    /* Several tasks a thread even out what the threads get to do. */
    TASKS_EACH = 16,
    /* Slivers packed together: some two or three cache lines of lanes. */
    A_TOGETHER = 48 / DQ_TILE_ROWS,
    B_TOGETHER = 64 / DQ_TILE_COLUMNS,
    /* A as a whole may take this much of L2 on the narrow way. */
    NARROW_FLOATS = 256 * 1024 / 4
};

/* An operand as slivers see it: the value of a lane (row of A, column of B) at a step p of the sum. */
typedef struct operand {
    const float *x;
    int64_t lane_stride, step;
    bool bf16;
} operand;

/* Slivers from lane `first` on, as many as `lanes` lanes fill or at most `slivers`, one after another in out. */
DQ_INLINE void pack(const operand *o, int64_t first, int64_t lanes, int slivers, int64_t start, int width, int depth,
                    float *out) {
    const float *x = o->x + first * o->lane_stride + start * o->step;
    if (lanes <= (int64_t)(slivers - 1) * width) slivers = (int)((lanes + width - 1) / width);
    if (o->lane_stride == 1) {
        dq_pack_rows(x, o->step, lanes, slivers, width, depth, o->bf16, out);
        return;
    }
    for (int s = 0; s < slivers; s++, x += width * o->lane_stride, lanes -= width, out += width * depth) {
        int given = lanes < width ? (int)lanes : width;
        if (o->step == 1)
            dq_pack_columns(x, o->lane_stride, given, width, depth, o->bf16, out);
        else
            dq_pack_any(x, o->lane_stride, o->step, given, width, depth, o->bf16, out);
    }
}

static void pack_a(const operand *o, int64_t first, int64_t rows, int slivers, int64_t start, int depth, float *out) {
    pack(o, first, rows, slivers, start, DQ_TILE_ROWS, depth, out);
}

static void pack_b(const operand *o, int64_t first, int64_t columns, int slivers, int64_t start, int depth,
                   float *out) {
    pack(o, first, columns, slivers, start, DQ_TILE_COLUMNS, depth, out);
}

/* Multiplies a sliver of A with a sliver of B into C. */
DQ_INLINE void tile_into(int rows, int depth, const float *a, const float *b, float *c, int64_t c_row, int64_t columns,
                         bool accumulate) {
    dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS];
    /* Rows of C lie far apart: have them fetched while the sums are made. */
    for (int i = 0; i < rows; i++) __builtin_prefetch(c + i * c_row, 1);
    dq_tile(rows, depth, a, 1, DQ_TILE_ROWS, b, DQ_TILE_COLUMNS, sum);
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

static void multiply_slivers(int64_t rows, int depth, const float *a, const float *b, float *c, int64_t c_row,
                             int64_t columns, bool accumulate) {
    int height = rows < DQ_TILE_ROWS ? (int)rows : DQ_TILE_ROWS;
    DQ_TILE_SWITCH(height, tile_into, depth, a, b, c, c_row, columns, accumulate);
}

static int64_t ceil_div(int64_t x, int64_t y) {
    return (x + y - 1) / y;
}
static int64_t min_of(int64_t x, int64_t y) {
    return x < y ? x : y;
}

/* The operands and how they are cut. */
typedef struct product {
    const dq_gemm *g;
    operand a, b;
    int64_t depth; /* of a block of the sum; the last may be shorter */
    float *packed_a, *packed_b;
} product;

/* Rows [top, top + rows) times columns [left, left + columns) of the block of the sum that is packed. */
typedef struct panel {
    int64_t top, rows, left, columns, start;
    int depth;
} panel;

/* Chunk `row_chunk` of `row_chunks`, `column_chunk` of `column_chunks` of the panel. */
static void multiply_chunk(const product *x, const panel *at, int64_t row_chunk, int64_t row_chunks,
                           int64_t column_chunk, int64_t column_chunks) {
    const dq_gemm *g = x->g;
    int64_t row_slivers = ceil_div(at->rows, DQ_TILE_ROWS), column_slivers = ceil_div(at->columns, DQ_TILE_COLUMNS);
    int64_t row_end = row_slivers * (row_chunk + 1) / row_chunks;
    int64_t column_end = column_slivers * (column_chunk + 1) / column_chunks;
    bool accumulate = g->accumulate || at->start > 0;
    for (int64_t s = column_slivers * column_chunk / column_chunks; s < column_end; s++) {
        int64_t column = s * DQ_TILE_COLUMNS;
        const float *b = x->packed_b + column * at->depth;
        for (int64_t r = row_slivers * row_chunk / row_chunks; r < row_end; r++) {
            int64_t row = r * DQ_TILE_ROWS;
            multiply_slivers(at->rows - row, at->depth, x->packed_a + row * at->depth, b,
                             g->c + (at->top + row) * g->c_row + at->left + column, g->c_row, at->columns - column,
                             accumulate);
        }
    }
}

static void multiply_shared(const dq_compute *compute, const product *x) {
    const dq_gemm *g = x->g;
#pragma omp parallel num_threads(compute->threads)
    for (int64_t top = 0; top < g->m; top += DQ_GEMM_ROWS)
        for (int64_t start = 0; start < g->k; start += x->depth)
            for (int64_t left = 0; left < g->n; left += DQ_GEMM_COLUMNS) {
                panel at = {top,   min_of(g->m - top, DQ_GEMM_ROWS),   left, min_of(g->n - left, DQ_GEMM_COLUMNS),
                            start, (int)min_of(g->k - start, x->depth)};
                int64_t row_slivers = ceil_div(at.rows, DQ_TILE_ROWS);
                int64_t column_slivers = ceil_div(at.columns, DQ_TILE_COLUMNS);
                if (left == 0) {
#pragma omp for schedule(static) nowait
                    for (int64_t s = 0; s < row_slivers; s += A_TOGETHER)
                        pack_a(&x->a, top + s * DQ_TILE_ROWS, at.rows - s * DQ_TILE_ROWS, A_TOGETHER, start, at.depth,
                               x->packed_a + s * DQ_TILE_ROWS * at.depth);
                }
#pragma omp for schedule(static)
                for (int64_t s = 0; s < column_slivers; s += B_TOGETHER)
                    pack_b(&x->b, left + s * DQ_TILE_COLUMNS, at.columns - s * DQ_TILE_COLUMNS, B_TOGETHER, start,
                           at.depth, x->packed_b + s * DQ_TILE_COLUMNS * at.depth);

                int64_t row_chunks = ceil_div(at.rows, CHUNK_ROWS);
                int64_t column_chunks = min_of(ceil_div(TASKS_EACH * compute->threads, row_chunks), column_slivers);
#pragma omp for schedule(dynamic)
                for (int64_t task = 0; task < row_chunks * column_chunks; task++)
                    multiply_chunk(x, &at, task / column_chunks, row_chunks, task % column_chunks, column_chunks);
            }
}

/* A packed whole: block after block of the sum, each as slivers. */
static void multiply_narrow(const dq_compute *compute, const product *x) {
    const dq_gemm *g = x->g;
    int64_t row_slivers = ceil_div(g->m, DQ_TILE_ROWS), height = row_slivers * DQ_TILE_ROWS;
#pragma omp parallel num_threads(compute->threads)
    {
#pragma omp for schedule(static)
        for (int64_t s = 0; s < row_slivers; s++)
            for (int64_t start = 0; start < g->k; start += x->depth) {
                int depth = (int)min_of(g->k - start, x->depth);
                pack_a(&x->a, s * DQ_TILE_ROWS, g->m - s * DQ_TILE_ROWS, 1, start, depth,
                       x->packed_a + start * height + s * DQ_TILE_ROWS * depth);
            }
        float *sliver = dq_workspace_thread(compute, omp_get_thread_num());
#pragma omp for schedule(dynamic, 4)
        for (int64_t column = 0; column < g->n; column += DQ_TILE_COLUMNS)
            for (int64_t start = 0; start < g->k; start += x->depth) {
                int depth = (int)min_of(g->k - start, x->depth);
                pack_b(&x->b, column, g->n - column, 1, start, depth, sliver);
                for (int64_t row = 0; row < g->m; row += DQ_TILE_ROWS)
                    multiply_slivers(g->m - row, depth, x->packed_a + start * height + row * depth, sliver,
                                     g->c + row * g->c_row + column, g->c_row, g->n - column,
                                     g->accumulate || start > 0);
            }
    }
}

static void clear(const dq_gemm *g) {
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) g->c[i * g->c_row + j] = 0;
}

void NAME(gemm)(const dq_compute *compute, const dq_gemm *g) {
    if (g->m <= 0 || g->n <= 0) return;
    if (g->k <= 0) {
        if (!g->accumulate) clear(g);
        return;
    }
    bool bf16 = compute->multiply == DQ_MULTIPLY_BF16;
    product x = {.g = g,
                 .a = {g->a, g->a_row, g->a_column, bf16},
                 .b = {g->b, g->b_column, g->b_row, bf16},
                 .depth = ceil_div(g->k, ceil_div(g->k, DQ_GEMM_DEPTH))};
    x.packed_a = dq_workspace_shared(compute);
    x.packed_b = x.packed_a + (int64_t)DQ_GEMM_ROWS * DQ_GEMM_DEPTH;

    int64_t height = ceil_div(g->m, DQ_TILE_ROWS) * DQ_TILE_ROWS;
    if (height <= NARROW_FLOATS / g->k && g->n >= 8 * DQ_TILE_COLUMNS * compute->threads)
        multiply_narrow(compute, &x);
    else
        multiply_shared(compute, &x);
}
