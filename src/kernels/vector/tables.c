/* Products of many tokens with weights of few bits, by tables. For a run of 64 columns with scale S, offset O and codes
 * u_j = sum_p 2^p b_pj, whose bits of one place make a plane,
 *
 *     sum_j W_j x_j = S sum_p 2^p ( sum_j b_pj x_j ) + O sum_j x_j
 *
 * The sum over a plane adds some of the x_j. The columns are cut into pieces; of a piece of n columns all 2^n sums that can be are
 * made once, for a vector of tokens, and serve all rows of W: n bits of a plane say which one is meant. So a weight costs bits / n
 * additions instead of a multiply-add, without being made, and what is read of it are its bits alone. The tables of a run stay in
 * the first cache; what limits them is how fast that gives vectors. */
#include "kernels/tables.h"

#include <omp.h>
#include <string.h>

#include "kernels/vector/array.h"
#include "kernels/workspace.h"

enum {
    W = DQ_VEC_WIDTH,
    RUN = DQ_TABLES_RUN,
    /* 10 pieces of 6 and 7 columns, 28 KB of tables; 13 of 4 and 5, 25 KB. The wide ones, of a column more, come first. */
    PIECES = W == 8 ? 10 : 13,
    COLUMNS = RUN / PIECES,
    WIDE = RUN % PIECES,
    TABLES = (PIECES + WIDE) << COLUMNS, /* vectors */
    MOST_ROWS = 4096 /* of a tile: their sums for a vector of tokens stay in the thread's workspace */
};

_Static_assert((TABLES + RUN + MOST_ROWS) * W * sizeof(float) <= DQ_WORKSPACE_THREAD,
               "tables, a run and sums fit a thread's workspace");

_Static_assert((8 * DQ_TABLES_PLANES + 8) * (DQ_TABLES_WIDEST / RUN) <= DQ_WORKSPACE_SHARED,
               "the runs of a row fit the shared workspace");

/* ---- Runs: of 64 weights of a row their planes, S and O ---- */

DQ_INLINE int64_t run_bytes(int planes) {
    return 8 * planes + 8;
}

/* Bit p of eight bytes, the first lowest: the product moves bit 8 i to 56 + i, and nothing else there. */
static uint64_t bits_of(const uint8_t *bytes, int p) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return (word >> p & 0x0101010101010101u) * 0x0102040810204080u >> 56;
}

static void make_run(const dq_coded *w, int planes, int64_t row, int64_t run, uint8_t *to) {
    const uint8_t *codes = (const uint8_t *)w->codes + row * w->row_bytes + run * RUN;
    const int64_t at = row * (w->in / w->group) + run * RUN / w->group;
    for (int p = 0; p < planes; p++, to += 8) {
        uint64_t plane = 0;
        for (int i = 0; i < 8; i++) plane |= bits_of(codes + 8 * i, p) << 8 * i;
        memcpy(to, &plane, sizeof plane);
    }
    memcpy(to, (const float *)w->scales + at, sizeof(float));
    memcpy(to + 4, (const float *)w->offsets + at, sizeof(float));
}

/* ---- Tables ---- */

/* 64 columns of so many tokens, turned to [64, W]; tokens that are not there are 0. */
static void turn(const float *x, int64_t stride, int tokens, float *out) {
    for (int j = 0; j < RUN; j += W) {
        dq_vec square[W];
        for (int i = 0; i < W; i++) square[i] = i < tokens ? dq_vec_load(x + i * stride + j) : dq_vec_zero();
        dq_vec_transpose(square);
        for (int i = 0; i < W; i++) dq_vec_store(out + (j + i) * W, square[i]);
    }
}

static dq_vec total_of(const float *x) {
    dq_vec sum[4] = {dq_vec_zero(), dq_vec_zero(), dq_vec_zero(), dq_vec_zero()};
    for (int j = 0; j < RUN; j++) sum[j % 4] = dq_vec_add(sum[j % 4], dq_vec_load(x + j * W));
    return dq_vec_add(dq_vec_add(sum[0], sum[1]), dq_vec_add(sum[2], sum[3]));
}

/* All sums of some of the `bits` vectors at x: entry i adds those whose bit is set in i. */
static void make_table(const float *x, int bits, float *table) {
    dq_vec_store(table, dq_vec_zero());
    for (int bit = 0; bit < bits; bit++) {
        const dq_vec more = dq_vec_load(x + bit * W);
        float *next = table + (W << bit);
        for (int i = 0; i < W << bit; i += W) dq_vec_store(next + i, dq_vec_add(dq_vec_load(table + i), more));
    }
}

/* Of a piece: its columns, the first of them, and where its table begins. */
DQ_INLINE int columns_of(int piece) {
    return COLUMNS + (piece < WIDE);
}
DQ_INLINE int first_of(int piece) {
    return piece * COLUMNS + (piece < WIDE ? piece : WIDE);
}
DQ_INLINE int table_of(int piece) {
    return ((piece + (piece < WIDE ? piece : WIDE)) << COLUMNS) * W;
}

static void make_tables(const float *x, float *tables) {
    for (int piece = 0; piece < PIECES; piece++)
        make_table(x + first_of(piece) * W, columns_of(piece), tables + table_of(piece));
}

/* The sum that a piece of a plane means. */
DQ_INLINE dq_vec entry(const float *tables, int piece, uint64_t plane) {
    const uint64_t sum = plane >> first_of(piece) & ((1u << columns_of(piece)) - 1);
    return dq_vec_load(tables + table_of(piece) + sum * W);
}

/* More planes than this at one time do not stay in registers: what says which sums are meant, when pieces are many. */
enum { TOGETHER = W == 8 ? 3 : 2 };

/* sum_p 2^p (sum_j b_pj x_j) over at most TOGETHER planes. */
DQ_INLINE dq_vec sum_together(int planes, const uint8_t *run, const float *tables) {
    uint64_t plane[TOGETHER];
    for (int p = 0; p < planes; p++) memcpy(&plane[p], run + 8 * p, 8);
    dq_vec of[TOGETHER];
    for (int p = 0; p < planes; p++) of[p] = entry(tables, 0, plane[p]);
    for (int piece = 1; piece < PIECES; piece++) {
        for (int p = 0; p < planes; p++) of[p] = dq_vec_add(of[p], entry(tables, piece, plane[p]));
        for (int p = 1; p < planes; p++) dq_vec_abreast(&of[p - 1], &of[p]);
    }
    dq_vec sum = of[planes - 1];
    for (int p = planes - 2; p >= 0; p--) sum = dq_vec_fma(dq_vec_set(2), sum, of[p]);
    return sum;
}

/* The same over all. */
DQ_INLINE dq_vec sum_of_planes(int planes, const uint8_t *run, const float *tables) {
    if (planes <= TOGETHER) return sum_together(planes, run, tables);
    const dq_vec low = sum_together(2, run, tables), high = sum_together(planes - 2, run + 2 * 8, tables);
    return dq_vec_fma(dq_vec_set(4), high, low);
}

/* sums [rows, W] += what the run adds to each of so many rows. */
DQ_INLINE void add_run(int planes, const uint8_t *run, int64_t rows, const float *tables, dq_vec total, float *sums) {
    for (int64_t row = 0; row < rows; row++, run += run_bytes(planes), sums += W) {
        float scale, offset;
        memcpy(&scale, run + 8 * planes, sizeof scale);
        memcpy(&offset, run + 8 * planes + 4, sizeof offset);
        const dq_vec before = dq_vec_fma(dq_vec_set(offset), total, dq_vec_load(sums));
        dq_vec_store(sums, dq_vec_fma(dq_vec_set(scale), sum_of_planes(planes, run, tables), before));
    }
}

/* ---- Tiles ---- */

/* Rows of the weights of a product, one weight's after another's, [first, end) of all; their runs, [in / 64][rows]. */
typedef struct tile {
    const dq_coded_product *p;
    int planes;
    int64_t first, end;
    uint8_t *runs;
} tile;

/* The weight that row `at` of all belongs to, and which of its rows it is. */
static int weight_of(const dq_coded_product *p, int64_t at, int64_t *row) {
    int i = 0;
    for (; at >= p->weight[i]->out; i++) at -= p->weight[i]->out;
    *row = at;
    return i;
}

static uint8_t *runs_at(const tile *t, int64_t run, int64_t row) {
    return t->runs + (run * (t->end - t->first) + row) * run_bytes(t->planes);
}

static void make_runs(const tile *t, int64_t at) {
    int64_t row;
    const dq_coded *w = t->p->weight[weight_of(t->p, at, &row)];
    for (int64_t run = 0; run < w->in / RUN; run++) make_run(w, t->planes, row, run, runs_at(t, run, at - t->first));
}

/* sums [rows, W], of so many tokens, to y [tokens, stride], or added to it. */
static void put_sums(const float *sums, int64_t rows, int tokens, float *y, int64_t stride, bool accumulate) {
    for (int64_t row = 0; row < rows; row += W) {
        dq_vec square[W];
        const int some = dq_lanes(rows, row);
        for (int i = 0; i < W; i++) square[i] = i < some ? dq_vec_load(sums + (row + i) * W) : dq_vec_zero();
        dq_vec_transpose(square);
        for (int i = 0; i < tokens; i++) {
            float *to = y + i * stride + row;
            dq_put(to, accumulate ? dq_vec_add(dq_get(to, some), square[i]) : square[i], some);
        }
    }
}

static void multiply_tokens(const tile *t, int64_t token, float *space) {
    const dq_coded_product *p = t->p;
    const int64_t in = p->weight[0]->in, rows = t->end - t->first;
    const int tokens = p->tokens - token < W ? (int)(p->tokens - token) : W;
    float *tables = space, *x = tables + TABLES * W, *sums = x + RUN * W;
    memset(sums, 0, (size_t)(rows * W) * sizeof *sums);
    for (int64_t run = 0; run < in / RUN; run++) {
        turn(p->x + token * in + run * RUN, in, tokens, x);
        make_tables(x, tables);
        const dq_vec total = total_of(x);
        const uint8_t *runs = runs_at(t, run, 0);
        if (t->planes == 1)
            add_run(1, runs, rows, tables, total, sums);
        else if (t->planes == 2)
            add_run(2, runs, rows, tables, total, sums);
        else if (t->planes == 3)
            add_run(3, runs, rows, tables, total, sums);
        else
            add_run(4, runs, rows, tables, total, sums);
    }
    for (int64_t at = t->first; at < t->end;) {
        int64_t row;
        const int i = weight_of(p, at, &row);
        const int64_t out = p->weight[i]->out, some = out - row < t->end - at ? out - row : t->end - at;
        put_sums(sums + (at - t->first) * W, some, tokens, p->y[i] + token * out + row, out, p->accumulate);
        at += some;
    }
}

void NAME(tables_multiply)(const dq_compute *compute, const dq_coded_product *p) {
    int64_t all = 0;
    tile t = {.p = p, .runs = (uint8_t *)dq_workspace_shared(compute)};
    for (int i = 0; i < p->count; i++) {
        all += p->weight[i]->out;
        if (t.planes < p->weight[i]->code_bits) t.planes = p->weight[i]->code_bits;
    }
    if (all == 0) return;
    int64_t most = DQ_WORKSPACE_SHARED / (p->weight[0]->in / RUN * run_bytes(t.planes));
    if (most > MOST_ROWS) most = MOST_ROWS;
#pragma omp parallel num_threads(compute->threads) firstprivate(t)
    for (int64_t first = 0; first < all; first += most) {
        t.first = first;
        t.end = all - first < most ? all : first + most;
#pragma omp for schedule(static)
        for (int64_t at = t.first; at < t.end; at++) make_runs(&t, at);
#pragma omp for schedule(dynamic)
        for (int64_t token = 0; token < p->tokens; token += W)
            multiply_tokens(&t, token, dq_workspace_thread(compute, omp_get_thread_num()));
    }
}
