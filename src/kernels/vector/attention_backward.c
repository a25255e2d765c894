/* Attention backward. The maths stands in reference/attention.c. P is made again from log_sum, block by block, in two
 * passes, so that every sum has one owner and a fixed order however many threads there are:
 *
 *   by rows:  dq += dS K              over the key blocks a block of rows sees
 *   by keys:  dv += P^T do, dk += dS^T q   over the blocks of rows that see a key block
 *
 * S and dP are computed twice for it, 7 products instead of 5. */
#include "kernels/vector/attention.h"

#include <omp.h>
#include <string.h>

#include "kernels/vector/array.h"
#include "kernels/vector/math.h"
#include "kernels/workspace.h"

DQ_VARIANT_DECLARE(c);

/* Where the thread's workspace holds what. */
typedef struct scratch {
    float *q, *g;        /* [DQ_ROWS, padded]: q and do */
    float *k, *v;        /* [width, DQ_KEYS]: turned */
    float *p, *ds;       /* [DQ_ROWS, DQ_KEYS] */
    float *rows;         /* [DQ_KEYS, padded]: k as rows */
    float *sums, *sums2; /* [DQ_ROWS, padded]: dq, or dk and dv */
} scratch;

static scratch scratch_of(const dq_attention_plan *x, float *space) {
    scratch s = {.q = space};
    s.g = s.q + DQ_ROWS * x->padded;
    s.sums = s.g + DQ_ROWS * x->padded;
    s.sums2 = s.sums + DQ_ROWS * x->padded;
    s.k = s.sums2 + DQ_ROWS * x->padded;
    s.v = s.k + DQ_KEYS * x->padded;
    s.rows = s.v + DQ_KEYS * x->padded;
    s.p = s.rows + DQ_KEYS * x->padded;
    s.ds = s.p + DQ_ROWS * DQ_KEYS;
    return s;
}

/* One row: p holds scores and ds holds dP in the tiles' columns; they become P and dS, zero in all columns not seen. */
static void finish_row(float *p, float *ds, dq_span seen, dq_span tiles, float log_sum, float delta, float scale) {
    const dq_vec shift = dq_vec_set(log_sum), level = dq_vec_set(delta), factor = dq_vec_set(scale);
    for (int j = tiles.lo; j < tiles.hi; j += DQ_VEC_WIDTH) {
        dq_vec probability = dq_vec_exp(dq_vec_sub(dq_vec_load(p + j), shift));
        dq_vec slope = dq_vec_mul(dq_vec_mul(factor, probability), dq_vec_sub(dq_vec_load(ds + j), level));
        dq_vec_store(p + j, probability);
        dq_vec_store(ds + j, slope);
    }
    if (seen.lo >= seen.hi) seen.lo = seen.hi = 0;
    for (int j = 0; j < seen.lo; j++) p[j] = ds[j] = 0;
    for (int j = seen.hi; j < DQ_KEYS; j++) p[j] = ds[j] = 0;
}

/* P and dS of the rows, whose q and do are in s, and the key block at start, turned in s. */
static void probabilities(const dq_attention_plan *x, const dq_rows *r, const float *delta, int64_t start, scratch *s) {
    for (int row = 0; row < r->count; row += DQ_TILE_ROWS) {
        int rows = r->count - row < DQ_TILE_ROWS ? r->count - row : DQ_TILE_ROWS;
        dq_span seen = dq_seen(x, r, row, rows, start), tiles = dq_tiles_around(seen);
        float *p = s->p + row * DQ_KEYS, *ds = s->ds + row * DQ_KEYS;
        if (seen.lo >= seen.hi) {
            memset(p, 0, (size_t)(rows * DQ_KEYS) * sizeof *p);
            memset(ds, 0, (size_t)(rows * DQ_KEYS) * sizeof *ds);
            continue;
        }
        dq_sliver product = {.rows = rows,
                             .columns = tiles.hi - tiles.lo,
                             .depth = x->width,
                             .a = s->q + row * x->padded,
                             .a_row = x->padded,
                             .a_step = 1,
                             .b = s->k + tiles.lo,
                             .b_step = DQ_KEYS,
                             .c = p + tiles.lo,
                             .c_row = DQ_KEYS};
        NAME(sliver_scaled)(&product, x->a->scale);
        product.a = s->g + row * x->padded;
        product.b = s->v + tiles.lo;
        product.c = ds + tiles.lo;
        NAME(sliver_scaled)(&product, 1);
        for (int i = 0; i < rows; i++) {
            int64_t at = dq_row_at(x, r, row + i);
            finish_row(p + i * DQ_KEYS, ds + i * DQ_KEYS, dq_seen(x, r, row + i, 1, start), tiles, x->a->log_sum[at],
                       delta[at], x->a->scale);
        }
    }
}

static int64_t min_of(int64_t x, int64_t y) {
    return x < y ? x : y;
}

static void backward_rows(const dq_attention_plan *x, const dq_rows *r, const float *do_, const float *delta, float *dq,
                          float *space) {
    scratch s = scratch_of(x, space);
    NAME(attention_gather)(x, r, x->a->q, s.q);
    NAME(attention_gather)(x, r, do_, s.g);
    memset(s.sums, 0, (size_t)(r->count * x->padded) * sizeof *s.sums);
    for (int64_t start = r->first_key / DQ_KEYS * DQ_KEYS; start < r->end_key; start += DQ_KEYS) {
        int64_t end = min_of(start + DQ_KEYS, r->end_key), step;
        NAME(attention_turn)(x, x->a->k, r->kv_head, start, end, s.k);
        NAME(attention_turn)(x, x->a->v, r->kv_head, start, end, s.v);
        const float *k = NAME(attention_lay)(x, x->a->k, r->kv_head, start, end, s.rows, &step);
        probabilities(x, r, delta, start, &s);
        for (int row = 0; row < r->count; row += DQ_TILE_ROWS) {
            int rows = (int)min_of(r->count - row, DQ_TILE_ROWS);
            dq_span seen = dq_seen(x, r, row, rows, start);
            if (seen.lo >= seen.hi) continue;
            dq_sliver product = {.rows = rows,
                                 .columns = x->padded,
                                 .depth = seen.hi - seen.lo,
                                 .a = s.ds + row * DQ_KEYS + seen.lo,
                                 .a_row = DQ_KEYS,
                                 .a_step = 1,
                                 .b = k + seen.lo * step,
                                 .b_step = step,
                                 .c = s.sums + row * x->padded,
                                 .c_row = x->padded};
            NAME(sliver_added)(&product);
        }
    }
    for (int row = 0; row < r->count; row++)
        memcpy(dq + dq_row_at(x, r, row) * x->width, s.sums + row * x->padded, (size_t)x->width * sizeof *dq);
}

/* What a block of rows adds to dk (in s->sums) and dv (s->sums2) of keys [start, end). */
static void add_to_keys(const dq_attention_plan *x, const dq_rows *r, const float *do_, const float *delta,
                        int64_t start, int64_t end, scratch *s) {
    NAME(attention_gather)(x, r, x->a->q, s->q);
    NAME(attention_gather)(x, r, do_, s->g);
    probabilities(x, r, delta, start, s);
    for (int64_t key = start; key < end; key += DQ_TILE_ROWS) {
        /* Queries before the key do not see it. */
        int64_t before = key - r->first_query, row = before > 0 ? before * r->heads : 0;
        if (row >= r->count) break;
        int64_t column = key - start;
        dq_sliver product = {.rows = (int)min_of(end - key, DQ_TILE_ROWS),
                             .columns = x->padded,
                             .depth = r->count - row,
                             .a = s->ds + row * DQ_KEYS + column,
                             .a_row = 1,
                             .a_step = DQ_KEYS,
                             .b = s->q + row * x->padded,
                             .b_step = x->padded,
                             .c = s->sums + column * x->padded,
                             .c_row = x->padded};
        NAME(sliver_added)(&product);
        product.a = s->p + row * DQ_KEYS + column;
        product.b = s->g + row * x->padded;
        product.c = s->sums2 + column * x->padded;
        NAME(sliver_added)(&product);
    }
}

static void backward_keys(const dq_attention_plan *x, int kv_head, int64_t start, const float *do_, const float *delta,
                          float *dk, float *dv, float *space) {
    scratch s = scratch_of(x, space);
    int64_t end = min_of(start + DQ_KEYS, x->keys);
    size_t bytes = (size_t)(DQ_KEYS * x->padded) * sizeof(float);
    memset(s.sums, 0, bytes);
    memset(s.sums2, 0, bytes);
    NAME(attention_turn)(x, x->a->k, kv_head, start, end, s.k);
    NAME(attention_turn)(x, x->a->v, kv_head, start, end, s.v);
    for (int64_t block = start / x->queries; block < x->blocks; block++) {
        if (dq_first_key(x->a, block * x->queries) >= end) break;
        for (int part = 0; part < x->parts; part++) {
            dq_rows r = dq_rows_of(x, block, kv_head, part);
            add_to_keys(x, &r, do_, delta, start, end, &s);
        }
    }
    for (int64_t key = start; key < end; key++) {
        int64_t to = (key * x->a->kv_heads + kv_head) * x->width, from = (key - start) * x->padded;
        memcpy(dk + to, s.sums + from, (size_t)x->width * sizeof *dk);
        memcpy(dv + to, s.sums2 + from, (size_t)x->width * sizeof *dv);
    }
}

void NAME(attention_backward)(const dq_compute *compute, const dq_attention *a, const float *do_, float *delta,
                              float *dq, float *dk, float *dv) {
    if (a->head_width > DQ_WIDEST_HEAD) {
        dq_attention_backward_c(compute, a, do_, delta, dq, dk, dv);
        return;
    }
    dq_attention_plan x = dq_attention_plan_of(a);
    int64_t lanes = (int64_t)a->kv_heads * x.parts, key_blocks = (x.keys + DQ_KEYS - 1) / DQ_KEYS;
#pragma omp parallel num_threads(compute->threads)
    {
        float *space = dq_workspace_thread(compute, omp_get_thread_num());
#pragma omp for schedule(static)
        for (int64_t at = 0; at < a->query_count * a->heads; at++)
            delta[at] = dq_dot(do_ + at * x.width, a->o + at * x.width, NULL, x.width);
#pragma omp for schedule(dynamic)
        for (int64_t task = x.blocks * lanes - 1; task >= 0; task--) {
            int lane = (int)(task % lanes);
            dq_rows r = dq_rows_of(&x, task / lanes, lane / x.parts, lane % x.parts);
            backward_rows(&x, &r, do_, delta, dq, space);
        }
        /* Early keys are seen by more queries. */
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < key_blocks * a->kv_heads; task++)
            backward_keys(&x, (int)(task % a->kv_heads), task / a->kv_heads * DQ_KEYS, do_, delta, dk, dv, space);
    }
}
