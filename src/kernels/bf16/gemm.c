/* Matrix products whose operands are rounded to bf16 and summed in f32, over slivers (slivers.h) of pairs: two steps of
 * the sum, 2p and 2p + 1, of one lane stand in one 32-bit word.
 *
 *     a sliver of B            out[p * COLUMNS + column]
 *     a sliver of A, dots      out[p * ROWS + row]
 *     a sliver of A, tiles     out[(p / 16 * ROWS + row) * 16 + p % 16], so that 32 steps are rows of 64 bytes
 *
 * The product of two slivers goes pair after pair (dots), or 32 steps after 32 steps (tiles), from zero, and is added to
 * C at the end. So which operations make an element of C depends on k alone. With multiply f32 the product is that of
 * DQ_VARIANT_F32, the variant that is extended. */
#include "kernels/bf16/coded_pairs.h"
#include "kernels/bf16/pair.h"
#include "kernels/slivers.h"
#include "kernels/vector/array.h"
#include "kernels/vector/pack.h"
#include "kernels/vector/tile.h"
#include "kernels/workspace.h"

DQ_DECLARE_IN(DQ_VARIANT_F32);

#ifdef DQ_BF16_TILES
enum { ROWS = 32, COLUMNS = 32, UNIT = 32, A_TOGETHER = 1 };
enum { DEPTH = DQ_BF16_DEPTH_TILES, CHUNK_ROWS = DQ_BF16_CHUNK_ROWS_TILES };
#else
enum { ROWS = DQ_TILE_ROWS, COLUMNS = DQ_TILE_COLUMNS, UNIT = 2, A_TOGETHER = 4 };
enum { DEPTH = DQ_BF16_DEPTH_DOTS, CHUNK_ROWS = DQ_BF16_CHUNK_ROWS_DOTS };
#endif
enum { W = DQ_VEC_WIDTH, B_TOGETHER = 2 };
_Static_assert(W == 16, "tiles are 16 wide");
_Static_assert((int)COLUMNS == (int)DQ_CODED_RUN, "a sliver of B is a run of columns");

/* ---- Packing: `lanes` of `width` are there, and `depth` of `steps`; the rest becomes zeros ---- */

static int to_unit(int depth) {
    return (depth + UNIT - 1) / UNIT * UNIT;
}

/* The first count of a vector, however many that are. */
DQ_INLINE dq_vec some(const float *x, int64_t count) {
    return count >= W ? dq_vec_load(x) : count > 0 ? dq_vec_load_part(x, (int)count) : dq_vec_zero();
}

DQ_INLINE void put_pairs(uint32_t *to, dq_pair value, int wanted) {
    if (wanted >= W)
        dq_pair_store(to, value);
    else
        dq_pair_store_part(to, value, wanted);
}

/* The pair at steps p, p + 1 of W lanes that lie side by side. */
DQ_INLINE dq_pair pair_of_steps(const float *x, int64_t step, int64_t lanes, int p, int depth) {
    dq_vec first = p < depth ? some(x + p * step, lanes) : dq_vec_zero();
    dq_vec second = p + 1 < depth ? some(x + (p + 1) * step, lanes) : dq_vec_zero();
    return dq_pair_of(first, second);
}

/* W pairs along one lane whose steps lie side by side, from step p on. */
DQ_INLINE dq_pair pair_of_lane(const float *x, int p, int depth) {
    return p < depth ? dq_pair_along(some(x + p, depth - p), some(x + p + W, (int64_t)depth - p - W)) : dq_pair_zero();
}

/* How many pairs ahead slivers of A are asked for. */
enum { A_AHEAD = 16 };

/* Lanes side by side in memory and in the slivers, which are filled together (dq_pack_rows says why). */
DQ_INLINE void pack_rows(const float *x, int64_t step, int64_t lanes, int slivers, int width, int depth, uint32_t *out,
                         int64_t apart) {
    const int pairs = to_unit(depth) / 2;
    for (int p = 0; p < pairs; p++) {
        /* Steps lie on pages of their own, which the processor's own prefetcher does not cross. */
        const int ahead = 2 * p + DQ_PACK_AHEAD;
        for (int64_t lane = 0; ahead + 1 < depth && lane < lanes; lane += DQ_LINE) {
            __builtin_prefetch(x + ahead * step + lane);
            __builtin_prefetch(x + (ahead + 1) * step + lane);
        }
        for (int s = 0; s < slivers; s++)
            for (int lane = 0; lane < width; lane += W) {
                const int64_t at = s * width + lane;
                put_pairs(out + s * apart + p * width + lane, pair_of_steps(x + at, step, lanes - at, 2 * p, depth),
                          width - lane);
            }
    }
}

/* Steps side by side in memory, lanes in the sliver: squares of pairs are turned in registers. */
DQ_INLINE void pack_columns(const float *x, int64_t lane_stride, int lanes, int width, int depth, uint32_t *out) {
    const int pairs = to_unit(depth) / 2;
    for (int first = 0; first < pairs; first += W)
        for (int lane = 0; lane < width; lane += W) {
            dq_pair square[W];
            for (int i = 0; i < W; i++) {
                const float *from = x + (lane + i) * lane_stride;
                /* Rows this short are over before the processor's own prefetcher knows them: fetch the next sliver's. */
                __builtin_prefetch(from + width * lane_stride + 2 * first);
                square[i] = lane + i < lanes ? pair_of_lane(from, 2 * first, depth) : dq_pair_zero();
            }
            dq_pair_transpose(square);
            for (int i = 0; i < W && first + i < pairs; i++)
                put_pairs(out + (first + i) * width + lane, square[i], width - lane);
        }
}

/* Neither side by side. `place` says where the pair p of a lane stands. */
DQ_INLINE void pack_any(const float *x, int64_t lane_stride, int64_t step, int lanes, int width, int depth,
                        int (*place)(int p, int lane, int width), uint32_t *out) {
    for (int p = 0; p < to_unit(depth); p += 2)
        for (int lane = 0; lane < width; lane++) {
            const float *from = x + lane * lane_stride + p * step;
            dq_vec first = lane < lanes && p < depth ? dq_vec_set(from[0]) : dq_vec_zero();
            dq_vec second = lane < lanes && p + 1 < depth ? dq_vec_set(from[step]) : dq_vec_zero();
            dq_pair_store_part(out + place(p / 2, lane, width), dq_pair_of(first, second), 1);
        }
}

static int place_of_lanes(int p, int lane, int width) {
    return p * width + lane;
}

DQ_INLINE void pack_lanes(const dq_operand *o, int64_t first, int64_t lanes, int slivers, int64_t start, int width,
                          int depth, uint32_t *out, int64_t apart) {
    const float *x = o->x + first * o->lane_stride + start * o->step;
    if (o->lane_stride == 1) {
        pack_rows(x, o->step, lanes, slivers, width, depth, out, apart);
        return;
    }
    for (int s = 0; s < slivers; s++, x += width * o->lane_stride, lanes -= width, out += apart) {
        int given = lanes < width ? (int)lanes : width;
        if (o->step == 1)
            pack_columns(x, o->lane_stride, given, width, depth, out);
        else
            pack_any(x, o->lane_stride, o->step, given, width, depth, place_of_lanes, out);
    }
}

static void pack_b(const dq_operand *o, int64_t first, int64_t columns, int slivers, int64_t start, int depth,
                   void *out, int64_t apart) {
    pack_lanes(o, first, columns, slivers, start, COLUMNS, depth, out, apart / 2);
}

/* Where a piece of B comes from codes: B's (p, j) is W[row + j, column + p], transposed, or W[row + p, column + j]. */
typedef struct coded_piece {
    const dq_coded *w;
    int64_t row, column;
    bool transposed;
} coded_piece;

DQ_INLINE void put_codes_of(dq_coding coding, const coded_piece *c, int64_t lane, int64_t lanes, int slivers,
                            int64_t step, int depth, uint32_t *out, int64_t apart) {
    if (!c->transposed) {
        dq_coded_put_rows(coding, c->w, c->column + lane, lanes, c->row + step, depth, to_unit(depth), out, apart);
        return;
    }
    for (int s = 0; s < slivers; s++, out += apart)
        for (int i = 0; i < COLUMNS; i += W) {
            const int64_t before = s * COLUMNS + i, left = lanes - before;
            /* Where no lane is left there is no such row either. */
            dq_coded_put_columns(coding, c->w, c->row + lane + (left > 0 ? before : 0), (int)left, c->column + step,
                                 depth, out + i, COLUMNS);
        }
}

static void put_codes(const void *from, int64_t lane, int64_t lanes, int slivers, int64_t step, int depth, void *out,
                      int64_t apart) {
    const coded_piece *c = from;
    if (c->w->coding == DQ_CODING_Q4_0)
        put_codes_of(DQ_CODING_Q4_0, c, lane, lanes, slivers, step, depth, out, apart / 2);
    else if (c->w->coding == DQ_CODING_Q4_1)
        put_codes_of(DQ_CODING_Q4_1, c, lane, lanes, slivers, step, depth, out, apart / 2);
    else
        put_codes_of(DQ_CODING_BITS, c, lane, lanes, slivers, step, depth, out, apart / 2);
}

#ifndef DQ_BF16_TILES

/* ---- Dots ---- */

static void pack_a(const dq_operand *o, int64_t first, int64_t rows, int slivers, int64_t start, int depth, void *out,
                   int64_t apart) {
    pack_lanes(o, first, rows, slivers, start, ROWS, depth, out, apart / 2);
}

DQ_INLINE void dots_into(int rows, int pairs, const uint32_t *a, const uint32_t *b, float *c, int64_t c_row,
                         int64_t columns, bool accumulate) {
    dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS];
    dq_tile_prefetch(rows, c, c_row);
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < DQ_TILE_VECTORS; v++) sum[i][v] = dq_vec_zero();
    for (int p = 0; p < pairs; p++, a += ROWS, b += COLUMNS) {
        __builtin_prefetch(a + A_AHEAD * ROWS); /* A comes from L2, each sliver of it but once */
        dq_pair column[DQ_TILE_VECTORS];
        for (int v = 0; v < DQ_TILE_VECTORS; v++) column[v] = dq_pair_load(b + v * W);
        for (int i = 0; i < rows; i++) {
            dq_pair x = dq_pair_set(a[i]);
            for (int v = 0; v < DQ_TILE_VECTORS; v++) sum[i][v] = dq_pair_dot(sum[i][v], x, column[v]);
        }
    }
    dq_tile_store(rows, sum, c, c_row, columns, accumulate);
}

static void multiply(int64_t rows, int steps, const void *a, const void *b, float *c, int64_t c_row, int64_t columns,
                     bool accumulate) {
    int height = rows < ROWS ? (int)rows : ROWS;
    DQ_TILE_SWITCH(height, dots_into, steps / 2, a, b, c, c_row, columns, accumulate);
}

#else

/* ---- Tiles ---- */

/* Steps side by side in the sliver: 16 pairs of a row, then those of the next row. */
static int place_of_steps(int p, int lane, int width) {
    return (p / 16 * width + lane) * 16 + p % 16;
}

/* One sliver: `rows` of its rows are there. */
DQ_INLINE void pack_tiles(const float *x, int64_t lane_stride, int64_t step, int rows, int depth, uint32_t *out) {
    if (step == 1) {
        for (int p = 0; p < depth; p += UNIT)
            for (int row = 0; row < ROWS; row++, out += W)
                dq_pair_store(out, row < rows ? pair_of_lane(x + row * lane_stride, p, depth) : dq_pair_zero());
    } else if (lane_stride == 1) {
        for (int p = 0; p < depth; p += UNIT)
            for (int row = 0; row < ROWS; row += W) {
                dq_pair square[W];
                for (int i = 0; i < W; i++) square[i] = pair_of_steps(x + row, step, rows - row, p + 2 * i, depth);
                dq_pair_transpose(square);
                for (int i = 0; i < W; i++, out += W) dq_pair_store(out, square[i]);
            }
    } else {
        pack_any(x, lane_stride, step, rows, ROWS, depth, place_of_steps, out);
    }
}

static void pack_a(const dq_operand *o, int64_t first, int64_t rows, int slivers, int64_t start, int depth, void *out,
                   int64_t apart) {
    const float *x = o->x + first * o->lane_stride + start * o->step;
    uint32_t *to = out;
    for (int s = 0; s < slivers; s++, x += ROWS * o->lane_stride, rows -= ROWS, to += apart / 2)
        pack_tiles(x, o->lane_stride, o->step, rows < ROWS ? (int)rows : ROWS, depth, to);
}

/* Rows of the tiles' sums, of which so many columns count, into C. */
static void add_rows(const float *sum, int rows, int columns, float *c, int64_t c_row, bool accumulate) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j += W) {
            int lanes = dq_lanes(columns, j);
            float *to = c + i * c_row + j;
            dq_vec value = dq_vec_load(sum + i * COLUMNS + j);
            dq_put(to, accumulate ? dq_vec_add(dq_get(to, lanes), value) : value, lanes);
        }
}

DQ_INLINE void tiles_into(bool lower, bool right, int rows, int steps, const uint32_t *a, const uint32_t *b, float *c,
                          int64_t c_row, int columns, bool accumulate) {
    dq_tiles t;
    dq_tile_prefetch(rows, c, c_row);
    dq_tiles_clear(&t, lower, right);
    for (int p = 0; p < steps; p += UNIT, a += ROWS * 16, b += COLUMNS * 16) dq_tiles_step(&t, a, b, lower, right);
    if (!accumulate && rows == ROWS && columns == COLUMNS) {
        dq_tiles_store(&t, c, c_row, lower, right);
    } else {
        _Alignas(64) float sum[ROWS * COLUMNS];
        dq_tiles_store(&t, sum, COLUMNS, lower, right);
        add_rows(sum, rows, columns, c, c_row, accumulate);
    }
}

static void multiply(int64_t rows, int steps, const void *a, const void *b, float *c, int64_t c_row, int64_t columns,
                     bool accumulate) {
    int height = rows < ROWS ? (int)rows : ROWS, width = columns < COLUMNS ? (int)columns : COLUMNS;
    if (height > 16 && width > 16)
        tiles_into(true, true, height, steps, a, b, c, c_row, width, accumulate);
    else if (height > 16)
        tiles_into(true, false, height, steps, a, b, c, c_row, width, accumulate);
    else if (width > 16)
        tiles_into(false, true, height, steps, a, b, c, c_row, width, accumulate);
    else
        tiles_into(false, false, height, steps, a, b, c, c_row, width, accumulate);
}

static void begin(void) {
    dq_tiles_begin();
}
static void end(void) {
    dq_tiles_end();
}

#endif

static const dq_slivers of_pairs = {.rows = ROWS,
                                    .columns = COLUMNS,
                                    .unit = UNIT,
                                    .cut = DQ_PACK_UNIT,
                                    .value_bytes = sizeof(uint16_t),
                                    .depth = DEPTH,
                                    .panel_rows = DQ_GEMM_ROWS,
                                    .panel_columns = DQ_BF16_COLUMNS,
                                    .chunk_rows = CHUNK_ROWS,
                                    .whole_bytes = DQ_WORKSPACE_SHARED,
                                    .a_together = A_TOGETHER,
                                    .b_together = B_TOGETHER,
                                    .pack_a = pack_a,
                                    .pack_b = pack_b,
                                    .multiply = multiply,
#ifdef DQ_BF16_TILES
                                    .begin = begin,
                                    .end = end
#endif
};

static bool in_pairs(const dq_compute *compute) {
    return compute->multiply == DQ_MULTIPLY_BF16;
}

void NAME(gemm)(const dq_compute *compute, const dq_gemm *g) {
    NAME(gemm_packed)(compute, g, &(dq_packed){0});
}

void NAME(gemm_packed)(const dq_compute *compute, const dq_gemm *g, const dq_packed *packed) {
    if (in_pairs(compute))
        dq_slivers_gemm(&of_pairs, compute, g, packed);
    else
        DQ_NAME_IN(gemm_packed, DQ_VARIANT_F32)(compute, g, packed);
}

size_t NAME(packed_bytes)(const dq_compute *compute, int64_t k, int64_t n) {
    return in_pairs(compute) ? dq_slivers_packed_bytes(&of_pairs, k, n)
                             : DQ_NAME_IN(packed_bytes, DQ_VARIANT_F32)(compute, k, n);
}

size_t NAME(packed_a_bytes)(const dq_compute *compute, int64_t m, int64_t k) {
    return in_pairs(compute) ? dq_slivers_packed_a_bytes(&of_pairs, m, k)
                             : DQ_NAME_IN(packed_a_bytes, DQ_VARIANT_F32)(compute, m, k);
}

void NAME(pack_a)(const dq_compute *compute, const dq_gemm *g, void *packed) {
    if (in_pairs(compute))
        dq_slivers_pack_a(&of_pairs, compute, g, packed);
    else
        DQ_NAME_IN(pack_a, DQ_VARIANT_F32)(compute, g, packed);
}

void NAME(pack)(const dq_compute *compute, const dq_pack *piece, void *packed) {
    if (in_pairs(compute))
        dq_slivers_pack(&of_pairs, piece, packed);
    else
        DQ_NAME_IN(pack, DQ_VARIANT_F32)(compute, piece, packed);
}

bool NAME(pack_coded)(const dq_compute *compute, const dq_coded *w, int64_t first, const dq_pack *piece,
                      bool transposed, void *packed) {
    if (!in_pairs(compute) || !dq_coded_pairs_admit(w)) return false;
    const coded_piece from = {
        .w = w, .row = first, .column = transposed ? piece->first_row : piece->first_column, .transposed = transposed};
    dq_slivers_put(&of_pairs, piece, put_codes, &from, packed);
    return true;
}
