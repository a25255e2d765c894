/* Attention forward, flash-style: for each block of rows, key blocks in ascending order with a running maximum and sum.
 *
 *   for every key block:  s = scale q K^T ; M' = max(M, max s) ; f = exp(M - M')
 *                         p = exp(s - M') ; l = f l + sum p ; o = f o + p V ; M = M'
 *   o / l ;  log_sum = M + log l */
#include "kernels/vector/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/vector/math.h"
#include "kernels/workspace.h"

DQ_VARIANT_DECLARE(c);
#ifdef DQ_PAIRS
DQ_DECLARE_IN(DQ_VARIANT_F32);
#endif

/* Where the thread's workspace holds what. */
typedef struct scratch {
    dq_word *q;             /* [DQ_ROWS, Words(padded)] */
    dq_word *keys, *values; /* [Words(width), DQ_KEYS], [Words(DQ_KEYS), padded] */
    dq_word *weights;       /* [DQ_TILE_ROWS, Words(DQ_KEYS)]: p of a sliver of rows, where a word is not a value */
    float *o;               /* [DQ_ROWS, padded] */
    float *p;               /* [DQ_ROWS, DQ_KEYS] */
    float top[DQ_ROWS], sum[DQ_ROWS];
} scratch;

/* One row of scores, of which [seen) are real and `tiles` computed: becomes p; the running state moves on. */
static void soften(float *p, dq_span seen, dq_span tiles, float *top, float *sum, float *o, int padded) {
    if (seen.lo >= seen.hi) {
        for (int j = tiles.lo; j < tiles.hi; j++) p[j] = 0;
        return;
    }
    for (int j = tiles.lo; j < seen.lo; j++) p[j] = -INFINITY;
    for (int j = seen.hi; j < tiles.hi; j++) p[j] = -INFINITY;

    dq_vec most = dq_vec_set(*top);
    for (int j = tiles.lo; j < tiles.hi; j += DQ_VEC_WIDTH) most = dq_vec_max(dq_vec_load(p + j), most);
    float before = *top;
    *top = dq_vec_top(most);
    dq_vec total = dq_vec_zero(), shift = dq_vec_set(*top);
    for (int j = tiles.lo; j < tiles.hi; j += DQ_VEC_WIDTH) {
        dq_vec e = dq_vec_exp(dq_vec_sub(dq_vec_load(p + j), shift));
        total = dq_vec_add(total, e);
        dq_vec_store(p + j, e);
    }
    if (*top == before || *sum == 0) {
        *sum += dq_vec_total(total);
        return;
    }
    float fade = expf(before - *top);
    *sum = *sum * fade + dq_vec_total(total);
    for (int c = 0; c < padded; c += DQ_VEC_WIDTH)
        dq_vec_store(o + c, dq_vec_mul(dq_vec_load(o + c), dq_vec_set(fade)));
}

/* A long cache comes from memory: a block of one head is asked for while the one before is worked on. */
static void fetch(const dq_attention_plan *x, const float *from, int kv_head, int64_t start) {
    enum { LINE = 64 / sizeof(float) };
    const float *block = dq_block_of(x, from, kv_head, start);
    for (int c = 0; c < x->width * DQ_KEYS; c += LINE) __builtin_prefetch(block + c, 0, 2);
}

/* Columns of whole tiles of some rows of p as the A of products over the keys. */
static const dq_word *as_words(const float *p, int rows, dq_span tiles, dq_word *out) {
#ifdef DQ_PAIRS
    for (int i = 0; i < rows; i++)
        dq_words_along(p + i * DQ_KEYS + tiles.lo, tiles.hi - tiles.lo, out + i * dq_words(DQ_KEYS) + tiles.lo / 2);
    return out;
#else
    (void)rows;
    (void)tiles;
    (void)out;
    return p;
#endif
}

/* The rows meet the keys [start, start + DQ_KEYS). */
static void meet(const dq_attention_plan *x, const dq_rows *r, int64_t start, scratch *s) {
    int64_t end = start + DQ_KEYS < r->end_key ? start + DQ_KEYS : r->end_key, step;
    const int64_t q_row = dq_words(x->padded);
    if (x->a->blocked && r->count <= DQ_ROW_HEADS && end < r->end_key) {
        fetch(x, x->a->k, r->kv_head, end);
        fetch(x, x->a->v, r->kv_head, end);
    }
    const dq_word *keys = NAME(attention_turn)(x, x->a->k, r->kv_head, start, end, s->keys);
    const dq_word *values = NAME(attention_lay)(x, x->a->v, r->kv_head, start, end, s->values, &step);
    for (int row = 0; row < r->count; row += DQ_TILE_ROWS) {
        int rows = r->count - row < DQ_TILE_ROWS ? r->count - row : DQ_TILE_ROWS;
        dq_span seen = dq_seen(x, r, row, rows, start), tiles = dq_tiles_around(seen);
        if (seen.lo >= seen.hi) continue;
        float *p = s->p + row * DQ_KEYS;
        dq_sliver scores = {.rows = rows,
                            .columns = tiles.hi - tiles.lo,
                            .depth = dq_words(x->width),
                            .a = s->q + row * q_row,
                            .a_row = q_row,
                            .a_step = 1,
                            .b = keys + tiles.lo,
                            .b_step = DQ_KEYS,
                            .c = p + tiles.lo,
                            .c_row = DQ_KEYS};
        NAME(sliver_scaled)(&scores, x->a->scale);
        for (int i = 0; i < rows; i++)
            soften(p + i * DQ_KEYS, dq_seen(x, r, row + i, 1, start), tiles, &s->top[row + i], &s->sum[row + i],
                   s->o + (row + i) * x->padded, x->padded);
        const int64_t first = seen.lo / DQ_WORD_STEPS;
        dq_sliver mixed = {.rows = rows,
                           .columns = x->padded,
                           .depth = dq_words(seen.hi) - first,
                           .a = as_words(p, rows, tiles, s->weights) + first,
                           .a_row = dq_words(DQ_KEYS),
                           .a_step = 1,
                           .b = values + first * step,
                           .b_step = step,
                           .c = s->o + row * x->padded,
                           .c_row = x->padded};
        NAME(sliver_added)(&mixed);
    }
}

static void forward_rows(const dq_attention_plan *x, const dq_rows *r, float *space) {
    const dq_attention *a = x->a;
    scratch s = {.o = space};
    s.p = s.o + DQ_ROWS * x->padded;
    s.q = (dq_word *)(void *)(s.p + DQ_ROWS * DQ_KEYS);
    s.keys = s.q + DQ_ROWS * x->padded;
    s.values = s.keys + DQ_KEYS * x->padded;
    s.weights = s.values + DQ_KEYS * x->padded;
    NAME(attention_gather)(x, r, a->q, s.q, NULL);
    memset(s.o, 0, (size_t)(r->count * x->padded) * sizeof(float));
    for (int row = 0; row < r->count; row++) {
        s.top[row] = -INFINITY;
        s.sum[row] = 0;
    }
    for (int64_t start = r->first_key / DQ_KEYS * DQ_KEYS; start < r->end_key; start += DQ_KEYS) meet(x, r, start, &s);
    for (int row = 0; row < r->count; row++) {
        int64_t at = dq_row_at(x, r, row);
        float share = 1 / s.sum[row], *o = a->o + at * x->width;
        for (int c = 0; c < x->width; c++) o[c] = s.o[row * x->padded + c] * share;
        a->log_sum[at] = s.top[row] + logf(s.sum[row]);
    }
}

/* Few queries, as in generation, are one task for each key/value head: those that would leave threads without one go in shares of
 * their query heads. A row's bits do not depend on it. */
typedef struct tasks {
    dq_attention_plan whole, shared;
    int64_t lanes, wholes, shares; /* shares: of the last heads, each in shared.parts */
} tasks;

static tasks tasks_of(const dq_attention *a, int threads) {
    tasks k = {.whole = dq_attention_plan_of(a)};
    const int left = k.whole.blocks == 1 && k.whole.parts == 1 ? a->kv_heads % threads : 0;
    k.shared = k.whole;
    if (left) {
        const int pieces = (threads + left - 1) / left;
        k.shared.heads = (k.whole.group + pieces - 1) / pieces;
        k.shared.parts = (k.whole.group + k.shared.heads - 1) / k.shared.heads;
    }
    k.lanes = (int64_t)(a->kv_heads - left) * k.whole.parts;
    k.wholes = k.whole.blocks * k.lanes;
    k.shares = (int64_t)left * k.shared.parts;
    return k;
}

/* Late queries see more keys: they go first, so that the threads end together. */
static dq_rows rows_of_task(const tasks *k, int64_t task) {
    if (task >= k->wholes) {
        const int64_t share = task - k->wholes;
        const int kv_head = k->whole.a->kv_heads - 1 - (int)(share / k->shared.parts);
        return dq_rows_of(&k->shared, 0, kv_head, (int)(share % k->shared.parts));
    }
    const int64_t at = k->wholes - 1 - task;
    const int lane = (int)(at % k->lanes);
    return dq_rows_of(&k->whole, at / k->lanes, lane / k->whole.parts, lane % k->whole.parts);
}

void NAME(attention_forward)(const dq_compute *compute, const dq_attention *a) {
#ifdef DQ_PAIRS
    /* A cache's blocks would have to be made words of for a query or two. */
    if (compute->multiply != DQ_MULTIPLY_BF16 || a->blocked) {
        DQ_NAME_IN(attention_forward, DQ_VARIANT_F32)(compute, a);
        return;
    }
#endif
    if (a->head_width > DQ_WIDEST_HEAD) {
        dq_attention_forward_c(compute, a);
        return;
    }
    const tasks k = tasks_of(a, compute->threads);
#pragma omp parallel for schedule(dynamic) num_threads(compute->threads)
    for (int64_t task = 0; task < k.wholes + k.shares; task++) {
        const dq_rows r = rows_of_task(&k, task);
        forward_rows(&k.whole, &r, dq_workspace_thread(compute, omp_get_thread_num()));
    }
}
