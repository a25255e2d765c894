#include "kernels/slivers.h"

#include <omp.h>

#include "base/arena.h"
#include "kernels/workspace.h"

enum {
    /* Several tasks a thread even out what the threads get to do. */
    TASKS_EACH = 32,
    /* A as a whole may take this much of L2 on the narrow way. */
    NARROW_BYTES = 256 * 1024
};

static int64_t ceil_div(int64_t x, int64_t y) {
    return (x + y - 1) / y;
}
static int64_t round_up(int64_t x, int64_t unit) {
    return ceil_div(x, unit) * unit;
}
static int64_t min_of(int64_t x, int64_t y) {
    return x < y ? x : y;
}

/* As many equal parts as `most` asks for, each a multiple of unit. */
static int64_t part_of(int64_t whole, int64_t most, int64_t unit) {
    return round_up(ceil_div(whole, ceil_div(whole, most)), unit);
}

/* The operands and how they are cut. */
typedef struct product {
    const dq_slivers *s;
    const dq_gemm *g;
    dq_operand a, b;
    int64_t depth;                          /* of a block of the sum; the last may be shorter */
    unsigned char *packed_a, *packed_b;     /* room for them */
    const unsigned char *whole_a, *whole_b; /* packed beforehand, or NULL */
} product;

/* Rows [top, top + rows) times columns [left, left + columns) of the block of the sum that is packed. */
typedef struct panel {
    int64_t top, rows, left, columns, start;
    int depth, steps; /* of the block, and of its slivers */
} panel;

static int64_t sliver_bytes(const dq_slivers *s, int lanes, int64_t steps) {
    return lanes * steps * s->value_bytes;
}

/* Where a sliver of an operand of so many lanes lies, packed whole, slivers of `width`; the block begins at `start`. */
static size_t place_in_whole(const dq_slivers *s, int64_t lanes, int width, int64_t start, int64_t sliver,
                             int64_t steps) {
    return (size_t)(sliver_bytes(s, width, start) * ceil_div(lanes, width) + sliver * sliver_bytes(s, width, steps));
}

/* Sliver `sliver` of the panel. */
static const unsigned char *sliver_of_a(const product *x, const panel *at, int64_t sliver) {
    const dq_slivers *s = x->s;
    if (!x->whole_a) return x->packed_a + sliver * sliver_bytes(s, s->rows, at->steps);
    return x->whole_a + place_in_whole(s, x->g->m, s->rows, at->start, at->top / s->rows + sliver, at->steps);
}
static const unsigned char *sliver_of_b(const product *x, const panel *at, int64_t sliver) {
    const dq_slivers *s = x->s;
    if (!x->whole_b) return x->packed_b + sliver * sliver_bytes(s, s->columns, at->steps);
    return x->whole_b + place_in_whole(s, x->g->n, s->columns, at->start, at->left / s->columns + sliver, at->steps);
}

static panel panel_of(const product *x, int64_t top, int64_t most_rows, int64_t left, int64_t most_columns,
                      int64_t start) {
    const dq_gemm *g = x->g;
    panel at = {.top = top,
                .rows = min_of(g->m - top, most_rows),
                .left = left,
                .columns = min_of(g->n - left, most_columns),
                .start = start,
                .depth = (int)min_of(g->k - start, x->depth)};
    at.steps = (int)round_up(at.depth, x->s->unit);
    return at;
}

/* Slivers [sliver, sliver + together) of `lanes` lanes from `first` on, of which fewer may be left. */
static void pack(dq_pack_slivers_fn *into, const dq_operand *o, int width, int64_t first, int64_t lanes, int64_t sliver,
                 int together, const panel *at, void *out) {
    int64_t before = sliver * width, some = min_of(lanes - before, (int64_t)together * width);
    into(o, first + before, some, (int)ceil_div(some, width), at->start, at->depth, out, (int64_t)width * at->steps);
}

/* Into how many chunks columns are cut, so that there are tasks enough. */
static int64_t column_chunks_of(const dq_compute *compute, const dq_slivers *s, int64_t columns, int64_t row_chunks) {
    return min_of(ceil_div(TASKS_EACH * compute->threads, row_chunks), ceil_div(columns, s->columns));
}

/* Slivers [first, end) of an operand. */
typedef struct range {
    int64_t first, end;
} range;

/* Part `i` of so many. */
static range part(int64_t slivers, int64_t i, int64_t parts) {
    return (range){slivers * i / parts, slivers * (i + 1) / parts};
}

/* Rows times columns of the panel. own: these rows of A, packed for this call alone; NULL: they lie where all have them. */
static void multiply_slivers(const product *x, const panel *at, range rows, range columns, const unsigned char *own) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    const int64_t own_bytes = sliver_bytes(s, s->rows, at->steps);
    const bool accumulate = g->accumulate || at->start > 0;
    for (int64_t j = columns.first; j < columns.end; j++) {
        const void *b = sliver_of_b(x, at, j);
        for (int64_t i = rows.first; i < rows.end; i++) {
            const void *a = own ? own + (i - rows.first) * own_bytes : sliver_of_a(x, at, i);
            int64_t row = i * s->rows, column = j * s->columns;
            s->multiply(at->rows - row, at->steps, a, b, g->c + (at->top + row) * g->c_row + at->left + column,
                        g->c_row, at->columns - column, accumulate);
        }
    }
}

/* Chunk `row_chunk` of `row_chunks`, `column_chunk` of `column_chunks` of the panel. */
static void multiply_chunk(const product *x, const panel *at, int64_t row_chunk, int64_t row_chunks,
                           int64_t column_chunk, int64_t column_chunks) {
    const dq_slivers *s = x->s;
    multiply_slivers(x, at, part(ceil_div(at->rows, s->rows), row_chunk, row_chunks),
                     part(ceil_div(at->columns, s->columns), column_chunk, column_chunks), NULL);
}

/* One panel, by all threads of a parallel region. */
static void multiply_panel(const dq_compute *compute, const product *x, const panel *at) {
    const dq_slivers *s = x->s;
    int64_t row_slivers = ceil_div(at->rows, s->rows), column_slivers = ceil_div(at->columns, s->columns);
    if (!x->whole_a && at->left == 0) { /* otherwise it is still there */
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < row_slivers; i += s->a_together)
            pack(s->pack_a, &x->a, s->rows, at->top, at->rows, i, s->a_together, at,
                 x->packed_a + i * sliver_bytes(s, s->rows, at->steps));
    }
    if (!x->whole_b) {
#pragma omp for schedule(static) nowait
        for (int64_t j = 0; j < column_slivers; j += s->b_together)
            pack(s->pack_b, &x->b, s->columns, at->left, at->columns, j, s->b_together, at,
                 x->packed_b + j * sliver_bytes(s, s->columns, at->steps));
    }
    if (!x->whole_a || !x->whole_b) {
#pragma omp barrier
    }

    const int64_t row_chunks = ceil_div(at->rows, s->chunk_rows);
    const int64_t column_chunks = column_chunks_of(compute, s, at->columns, row_chunks);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < row_chunks * column_chunks; task++)
        multiply_chunk(x, at, task / column_chunks, row_chunks, task % column_chunks, column_chunks);
}

static void multiply_shared(const dq_compute *compute, const product *x) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    /* As much as there is room to pack; in equal panels, or a last one of a few rows would have all of B packed for it. */
    const int64_t rows = x->whole_a ? round_up(g->m, s->rows) : part_of(g->m, s->panel_rows, s->rows);
    const int64_t columns = x->whole_b ? round_up(g->n, s->columns) : s->panel_columns;
#pragma omp parallel num_threads(compute->threads)
    {
        if (s->begin) s->begin();
        for (int64_t top = 0; top < g->m; top += rows)
            for (int64_t start = 0; start < g->k; start += x->depth)
                for (int64_t left = 0; left < g->n; left += columns) {
                    panel at = panel_of(x, top, rows, left, columns, start);
                    multiply_panel(compute, x, &at);
                }
        if (s->end) s->end();
    }
}

/* A whole, as dq_slivers_pack_a lays it out; by all threads of a parallel region, which do not wait for one another. */
static void pack_whole_a(const product *x, unsigned char *out) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    const int64_t row_slivers = ceil_div(g->m, s->rows);
#pragma omp for schedule(static) nowait
    for (int64_t i = 0; i < row_slivers; i += s->a_together)
        for (int64_t start = 0; start < g->k; start += x->depth) {
            panel at = panel_of(x, 0, g->m, 0, g->n, start);
            pack(s->pack_a, &x->a, s->rows, 0, g->m, i, s->a_together, &at,
                 out + place_in_whole(s, g->m, s->rows, start, i, at.steps));
        }
}

/* B likewise. */
static void pack_whole_b(const product *x, unsigned char *out) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    const int64_t column_slivers = ceil_div(g->n, s->columns);
#pragma omp for schedule(static) nowait
    for (int64_t j = 0; j < column_slivers; j += s->b_together)
        for (int64_t start = 0; start < g->k; start += x->depth) {
            panel at = panel_of(x, 0, g->m, 0, g->n, start);
            pack(s->pack_b, &x->b, s->columns, 0, g->n, j, s->b_together, &at,
                 out + place_in_whole(s, g->n, s->columns, start, j, at.steps));
        }
}

/* What is not packed beforehand as a whole, in bytes. */
static int64_t missing(const product *x) {
    const dq_gemm *g = x->g;
    int64_t a = (int64_t)dq_slivers_packed_a_bytes(x->s, g->m, g->k);
    int64_t b = (int64_t)dq_slivers_packed_bytes(x->s, g->k, g->n);
    return (x->whole_a ? 0 : round_up(a, DQ_ALIGNMENT)) + (x->whole_b ? 0 : b);
}

static void multiply_whole(const dq_compute *compute, const product *x) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    unsigned char *room_a = x->packed_a, *room_b = x->packed_a;
    if (!x->whole_a) room_b += round_up((int64_t)dq_slivers_packed_a_bytes(s, g->m, g->k), DQ_ALIGNMENT);
    product packed = *x;
    packed.whole_a = x->whole_a ? x->whole_a : room_a;
    packed.whole_b = x->whole_b ? x->whole_b : room_b;
    const int64_t row_chunks = ceil_div(g->m, s->chunk_rows);
    const int64_t column_chunks = column_chunks_of(compute, s, g->n, row_chunks);
#pragma omp parallel num_threads(compute->threads)
    {
        if (s->begin) s->begin();
        if (!x->whole_a) pack_whole_a(x, room_a);
        if (!x->whole_b) pack_whole_b(x, room_b);
#pragma omp barrier
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < row_chunks * column_chunks; task++)
            for (int64_t start = 0; start < g->k; start += x->depth) {
                panel at = panel_of(&packed, 0, g->m, 0, g->n, start);
                multiply_chunk(&packed, &at, task / column_chunks, row_chunks, task % column_chunks, column_chunks);
            }
        if (s->end) s->end();
    }
}

/* Into how many chunks rows are cut, as many for each thread; 0: they are too few. Every chunk passes over B once, which comes from
 * further away than L2. */
static int64_t row_chunks_of(const dq_compute *compute, const product *x) {
    const dq_slivers *s = x->s;
    int64_t chunks = ceil_div(x->g->m, (int64_t)s->chunk_rows * compute->threads) * compute->threads;
    return x->g->m >= chunks * (s->chunk_rows / 3) ? chunks : 0;
}

static bool goes_by_rows(const dq_compute *compute, const product *x) {
    const dq_gemm *g = x->g;
    bool there = x->whole_b || (int64_t)dq_slivers_packed_bytes(x->s, g->k, g->n) <= x->s->whole_bytes;
    return there && row_chunks_of(compute, x) > 0;
}

static void multiply_by_rows(const dq_compute *compute, const product *x) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    product packed = *x;
    packed.whole_b = x->whole_b ? x->whole_b : x->packed_a;
    const int64_t chunks = row_chunks_of(compute, x), row_slivers = ceil_div(g->m, s->rows);
    const range columns = {0, ceil_div(g->n, s->columns)};
#pragma omp parallel num_threads(compute->threads)
    {
        if (s->begin) s->begin();
        if (!x->whole_b) {
            pack_whole_b(x, x->packed_a);
#pragma omp barrier
        }
        unsigned char *own = x->whole_a ? NULL : (unsigned char *)dq_workspace_thread(compute, omp_get_thread_num());
#pragma omp for schedule(dynamic)
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            const range rows = part(row_slivers, chunk, chunks);
            for (int64_t start = 0; start < g->k; start += x->depth) {
                panel at = panel_of(&packed, 0, g->m, 0, g->n, start);
                if (own) pack(s->pack_a, &x->a, s->rows, 0, g->m, rows.first, (int)(rows.end - rows.first), &at, own);
                multiply_slivers(&packed, &at, rows, columns, own);
            }
        }
        if (s->end) s->end();
    }
}

static void multiply_narrow(const dq_compute *compute, const product *x) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    product packed = *x;
    packed.whole_a = x->whole_a ? x->whole_a : x->packed_a;
    int64_t row_slivers = ceil_div(g->m, s->rows), column_slivers = ceil_div(g->n, s->columns);
#pragma omp parallel num_threads(compute->threads)
    {
        if (s->begin) s->begin();
        if (!x->whole_a) pack_whole_a(x, x->packed_a);
#pragma omp barrier
        void *sliver = dq_workspace_thread(compute, omp_get_thread_num());
#pragma omp for schedule(dynamic, 4)
        for (int64_t j = 0; j < column_slivers; j++)
            for (int64_t start = 0; start < g->k; start += x->depth) {
                panel at = panel_of(x, 0, g->m, 0, g->n, start);
                const void *b = sliver;
                if (x->whole_b)
                    b = sliver_of_b(x, &at, j);
                else
                    pack(s->pack_b, &x->b, s->columns, 0, g->n, j, 1, &at, sliver);
                for (int64_t i = 0; i < row_slivers; i++)
                    s->multiply(g->m - i * s->rows, at.steps, sliver_of_a(&packed, &at, i), b,
                                g->c + i * s->rows * g->c_row + j * s->columns, g->c_row, g->n - j * s->columns,
                                g->accumulate || start > 0);
            }
        if (s->end) s->end();
    }
}

static bool is_slim(const product *x) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    return s->multiply_in_place && !x->whole_a && !x->whole_b && g->a_column == 1 && g->n <= s->columns &&
           g->m >= 2 * s->rows && g->k * s->columns <= (int64_t)s->panel_columns * s->depth;
}

static void multiply_slim(const dq_compute *compute, const product *x) {
    const dq_slivers *s = x->s;
    const dq_gemm *g = x->g;
    const int64_t row_slivers = ceil_div(g->m, s->rows), blocks = ceil_div(g->k, x->depth);
#pragma omp parallel num_threads(compute->threads)
    {
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            panel at = panel_of(x, 0, g->m, 0, g->n, block * x->depth);
            pack(s->pack_b, &x->b, s->columns, 0, g->n, 0, 1, &at, x->packed_b + sliver_bytes(s, s->columns, at.start));
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < row_slivers; i++)
            for (int64_t start = 0; start < g->k; start += x->depth) {
                panel at = panel_of(x, 0, g->m, 0, g->n, start);
                int64_t row = i * s->rows;
                s->multiply_in_place(g->m - row, at.depth, g->a + row * g->a_row + start, g->a_row, 1,
                                     (const float *)(const void *)(x->packed_b + sliver_bytes(s, s->columns, start)),
                                     s->columns, g->c + row * g->c_row, g->c_row, g->n, g->accumulate || start > 0);
            }
    }
}

static void clear(const dq_gemm *g) {
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) g->c[i * g->c_row + j] = 0;
}

static product product_of(const dq_slivers *s, const dq_compute *compute, const dq_gemm *g, const dq_packed *packed) {
    product x = {.s = s,
                 .g = g,
                 .a = {g->a, g->a_row, g->a_column},
                 .b = {g->b, g->b_column, g->b_row},
                 .depth = part_of(g->k, s->depth, s->cut),
                 .whole_a = packed->a,
                 .whole_b = packed->b};
    x.packed_a = (unsigned char *)dq_workspace_shared(compute);
    x.packed_b = x.packed_a + (int64_t)s->panel_rows * s->depth * s->value_bytes;
    return x;
}

void dq_slivers_gemm(const dq_slivers *s, const dq_compute *compute, const dq_gemm *g, const dq_packed *packed) {
    if (g->m <= 0 || g->n <= 0) return;
    if (g->k <= 0) {
        if (!g->accumulate) clear(g);
        return;
    }
    const product x = product_of(s, compute, g, packed);
    int64_t height = round_up(g->m, s->rows);
    if (height * round_up(g->k, s->unit) <= NARROW_BYTES / s->value_bytes &&
        g->n >= 8 * (int64_t)s->columns * compute->threads)
        multiply_narrow(compute, &x);
    else if (is_slim(&x))
        multiply_slim(compute, &x);
    else if (goes_by_rows(compute, &x))
        multiply_by_rows(compute, &x);
    else if (missing(&x) <= s->whole_bytes)
        multiply_whole(compute, &x);
    else
        multiply_shared(compute, &x);
}

size_t dq_slivers_packed_a_bytes(const dq_slivers *s, int64_t m, int64_t k) {
    return place_in_whole(s, m, s->rows, round_up(k, s->unit), 0, 0);
}

void dq_slivers_pack_a(const dq_slivers *s, const dq_compute *compute, const dq_gemm *g, void *packed) {
    if (g->m <= 0 || g->k <= 0) return;
    const product x = product_of(s, compute, g, &(dq_packed){0});
#pragma omp parallel num_threads(compute->threads)
    pack_whole_a(&x, packed);
}

size_t dq_slivers_packed_bytes(const dq_slivers *s, int64_t k, int64_t n) {
    return place_in_whole(s, n, s->columns, round_up(k, s->unit), 0, 0);
}

void dq_slivers_put(const dq_slivers *s, const dq_pack *piece, dq_put_slivers_fn *put, const void *from, void *packed) {
    if (piece->rows <= 0 || piece->columns <= 0) return;
    const int64_t block = part_of(piece->k, s->depth, s->cut), end = piece->first_row + piece->rows;
    for (int64_t row = piece->first_row; row < end;) {
        int64_t start = row / block * block, steps = round_up(min_of(piece->k - start, block), s->unit);
        int64_t depth = min_of(start + block, end) - row, apart = s->columns * steps;
        for (int64_t column = 0; column < piece->columns; column += s->b_together * s->columns) {
            int64_t lanes = min_of(piece->columns - column, (int64_t)s->b_together * s->columns);
            int64_t sliver = (piece->first_column + column) / s->columns;
            unsigned char *out = (unsigned char *)packed +
                                 place_in_whole(s, piece->n, s->columns, start, sliver, steps) +
                                 sliver_bytes(s, s->columns, row - start);
            put(from, column, lanes, (int)ceil_div(lanes, s->columns), row - piece->first_row, (int)depth, out, apart);
        }
        row += depth;
    }
}

typedef struct values {
    dq_pack_slivers_fn *pack;
    dq_operand operand;
} values;

static void put_values(const void *from, int64_t first, int64_t lanes, int slivers, int64_t start, int depth, void *out,
                       int64_t apart) {
    const values *v = from;
    v->pack(&v->operand, first, lanes, slivers, start, depth, out, apart);
}

void dq_slivers_pack(const dq_slivers *s, const dq_pack *piece, void *packed) {
    const values from = {s->pack_b, {piece->b, piece->b_column, piece->b_row}};
    dq_slivers_put(s, piece, put_values, &from, packed);
}
