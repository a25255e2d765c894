/* Attention backward. The maths stands in reference/attention.c. P is made again from log_sum, block by block, and every
 * sum has one order however many threads there are. 5 products, in two ways:
 *
 *   short   every row of the batch is so short that its keys, values and their gradients stay in a thread's cache: a task
 *           is one row under one key/value head and owns all of its gradients; key blocks begin where the row begins.
 *   long    a task is a few key blocks under one key/value head and owns their dk and dv. It goes through the blocks of
 *           rows that see them, and adds to the dq of each when its turn has come: after the keys before it.
 *
 * The way depends on the batch alone. */
#define _POSIX_C_SOURCE 200809L /* sched_yield */
#include "kernels/vector/attention.h"

#include <omp.h>
#include <sched.h>
#include <string.h>

#include "kernels/vector/array.h"
#include "kernels/vector/math.h"
#include "kernels/workspace.h"

DQ_VARIANT_DECLARE(c);
#ifdef DQ_PAIRS
DQ_DECLARE_IN(DQ_VARIANT_F32);
#endif

/* Keys of a task of the long way, which are few blocks: what it reads of rows, and adds to their dq, serves all of them. */
enum { TASK_BLOCKS = 2, TASK_KEYS = TASK_BLOCKS * DQ_KEYS };

/* Where the thread's workspace holds what; keys: how many there is room for, a multiple of DQ_KEYS. Where a word is a value the
 * As and the Bs are the same arrays. */
typedef struct scratch {
    dq_word *q_a, *g_a;        /* [DQ_ROWS, Words(padded)]: q and do, products over components */
    dq_word *q_b, *g_b;        /* [Words(DQ_ROWS), padded]: products over rows */
    float *dq;                 /* [DQ_ROWS, padded] */
    float *p, *ds;             /* [DQ_ROWS, DQ_KEYS] */
    dq_word *p_down, *ds_down; /* [Words(DQ_ROWS), DQ_KEYS]: p and ds, products over rows */
    dq_word *ds_along;         /* [DQ_ROWS, Words(DQ_KEYS)]: products over keys */
    dq_word *rows;             /* [Words(TASK_KEYS), padded]: k, products over keys */
    dq_word *k, *v;            /* [keys / DQ_KEYS][Words(padded), DQ_KEYS]: turned */
    float *dk, *dv;            /* [keys, padded] */
} scratch;

static dq_word *take_words(float **space, int64_t words) {
    dq_word *taken = (dq_word *)(void *)*space;
    *space += words;
    return taken;
}

static scratch scratch_of(const dq_attention_plan *x, int64_t keys, float *space) {
    const bool apart = DQ_WORD_STEPS > 1;
    const int64_t vectors = DQ_ROWS * x->padded, scores = DQ_ROWS * DQ_KEYS;
    scratch s;
    s.dq = space;
    s.p = s.dq + vectors;
    s.ds = s.p + scores;
    s.dk = s.ds + scores;
    s.dv = s.dk + keys * x->padded;
    space = s.dv + keys * x->padded;
    s.q_a = take_words(&space, vectors / DQ_WORD_STEPS);
    s.g_a = take_words(&space, vectors / DQ_WORD_STEPS);
    s.rows = take_words(&space, TASK_KEYS * x->padded / DQ_WORD_STEPS);
    s.k = take_words(&space, keys * x->padded / DQ_WORD_STEPS);
    s.v = take_words(&space, keys * x->padded / DQ_WORD_STEPS);
    s.q_b = apart ? take_words(&space, vectors / DQ_WORD_STEPS) : s.q_a;
    s.g_b = apart ? take_words(&space, vectors / DQ_WORD_STEPS) : s.g_a;
    s.p_down = apart ? take_words(&space, scores / DQ_WORD_STEPS) : (dq_word *)(void *)s.p;
    s.ds_down = apart ? take_words(&space, scores / DQ_WORD_STEPS) : (dq_word *)(void *)s.ds;
    s.ds_along = apart ? take_words(&space, scores / DQ_WORD_STEPS) : (dq_word *)(void *)s.ds;
    return s;
}

/* Beside k, v, dk and dv of the short way: what is left of the workspace holds the rest for the widest head. */
enum { SHORT_FLOATS = 128 * 1024 };
_Static_assert(SHORT_FLOATS + 3 * DQ_ROWS * DQ_WIDEST_HEAD + 4 * DQ_ROWS * DQ_KEYS + TASK_KEYS * DQ_WIDEST_HEAD <=
                   DQ_WORKSPACE_THREAD / (int)sizeof(float),
               "a thread's workspace holds the scratch of the short way");

static int64_t whole_blocks(int64_t keys) {
    return (keys + DQ_KEYS - 1) / DQ_KEYS * DQ_KEYS;
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

/* p and ds of the rows as operands, where they are not that already. */
static void make_words(const dq_rows *r, const scratch *s) {
#ifdef DQ_PAIRS
    for (int row = 0; row < r->count; row += 2) {
        const int at = row * DQ_KEYS, other = row + 1 < r->count ? at + DQ_KEYS : -1;
        dq_words_across(s->p + at, other < 0 ? NULL : s->p + other, DQ_KEYS, s->p_down + at / 2);
        dq_words_across(s->ds + at, other < 0 ? NULL : s->ds + other, DQ_KEYS, s->ds_down + at / 2);
        dq_words_along(s->ds + at, DQ_KEYS, s->ds_along + at / 2);
        if (other >= 0) dq_words_along(s->ds + other, DQ_KEYS, s->ds_along + other / 2);
    }
#else
    (void)r;
    (void)s;
#endif
}

/* What goes in and what comes out: as in dq_kernels.attention_backward. */
typedef struct gradients {
    const float *do_;
    const float *delta;
    float *dq, *dk, *dv;
} gradients;

/* q, do and dq of some rows of the next block: strides as far as theirs are not foreseen by the processor. */
static void fetch_ahead(const dq_attention_plan *x, const dq_rows *r, int row, int rows, const gradients *g) {
    const int64_t ahead = x->queries * x->a->heads, all = x->a->query_count * x->a->heads;
    for (int i = row; i < row + rows; i++) {
        const int64_t at = dq_row_at(x, r, i) + ahead;
        for (int c = 0; at < all && c < x->width; c += DQ_LINE) {
            __builtin_prefetch(x->a->q + at * x->width + c);
            __builtin_prefetch(g->do_ + at * x->width + c);
            __builtin_prefetch(g->dq + at * x->width + c, 1);
        }
    }
}

/* P and dS of the rows, whose q and do are in s, and the key block at start, turned in s. */
static void probabilities(const dq_attention_plan *x, const dq_rows *r, const gradients *g, int64_t start,
                          const scratch *s) {
    const int64_t a_row = dq_words(x->padded);
    for (int row = 0; row < r->count; row += DQ_TILE_ROWS) {
        int rows = r->count - row < DQ_TILE_ROWS ? r->count - row : DQ_TILE_ROWS;
        dq_span seen = dq_seen(x, r, row, rows, start), tiles = dq_tiles_around(seen);
        float *p = s->p + row * DQ_KEYS, *ds = s->ds + row * DQ_KEYS;
        fetch_ahead(x, r, row, rows, g);
        if (seen.lo >= seen.hi) {
            memset(p, 0, (size_t)(rows * DQ_KEYS) * sizeof *p);
            memset(ds, 0, (size_t)(rows * DQ_KEYS) * sizeof *ds);
            continue;
        }
        dq_sliver product = {.rows = rows,
                             .columns = tiles.hi - tiles.lo,
                             .depth = dq_words(x->width),
                             .a = s->q_a + row * a_row,
                             .a_row = a_row,
                             .a_step = 1,
                             .b = s->k + tiles.lo,
                             .b_step = DQ_KEYS,
                             .c = p + tiles.lo,
                             .c_row = DQ_KEYS};
        NAME(sliver_scaled)(&product, x->a->scale);
        product.a = s->g_a + row * a_row;
        product.b = s->v + tiles.lo;
        product.c = ds + tiles.lo;
        NAME(sliver_scaled)(&product, 1);
        for (int i = 0; i < rows; i++) {
            int64_t at = dq_row_at(x, r, row + i);
            finish_row(p + i * DQ_KEYS, ds + i * DQ_KEYS, dq_seen(x, r, row + i, 1, start), tiles, x->a->log_sum[at],
                       g->delta[at], x->a->scale);
        }
    }
    make_words(r, s);
}

static int64_t min_of(int64_t x, int64_t y) {
    return x < y ? x : y;
}

/* dq += dS K of the key block at start, whose rows of k are `step` words apart. */
static void add_to_rows(const dq_attention_plan *x, const dq_rows *r, int64_t start, const dq_word *k, int64_t step,
                        const scratch *s) {
    const int64_t a_row = dq_words(DQ_KEYS);
    for (int row = 0; row < r->count; row += DQ_TILE_ROWS) {
        int rows = (int)min_of(r->count - row, DQ_TILE_ROWS);
        dq_span seen = dq_seen(x, r, row, rows, start);
        if (seen.lo >= seen.hi) continue;
        const int64_t first = seen.lo / DQ_WORD_STEPS;
        dq_sliver product = {.rows = rows,
                             .columns = x->padded,
                             .depth = dq_words(seen.hi) - first,
                             .a = s->ds_along + row * a_row + first,
                             .a_row = a_row,
                             .a_step = 1,
                             .b = k + first * step,
                             .b_step = step,
                             .c = s->dq + row * x->padded,
                             .c_row = x->padded};
        NAME(sliver_added)(&product);
    }
}

/* dk += dS^T q, dv += P^T do of keys [start, end), which stand at dk and dv. */
static void add_to_keys(const dq_attention_plan *x, const dq_rows *r, int64_t start, int64_t end, float *dk, float *dv,
                        const scratch *s) {
    for (int64_t key = start; key < end; key += DQ_TILE_ROWS) {
        /* Queries before the key do not see it: their p and ds are 0. */
        int64_t before = dq_first_query(x->a, key) - r->first_query, row = before > 0 ? before * r->heads : 0;
        if (row >= r->count) break;
        const int64_t column = key - start, first = row / DQ_WORD_STEPS;
        dq_sliver product = {.rows = (int)min_of(end - key, DQ_TILE_ROWS),
                             .columns = x->padded,
                             .depth = dq_words(r->count) - first,
                             .a = s->ds_down + first * DQ_KEYS + column,
                             .a_row = 1,
                             .a_step = DQ_KEYS,
                             .b = s->q_b + first * x->padded,
                             .b_step = x->padded,
                             .c = dk + column * x->padded,
                             .c_row = x->padded};
        NAME(sliver_added)(&product);
        product.a = s->p_down + first * DQ_KEYS + column;
        product.b = s->g_b + first * x->padded;
        product.c = dv + column * x->padded;
        NAME(sliver_added)(&product);
    }
}

static void write_rows(const dq_attention_plan *x, const dq_rows *r, const scratch *s, float *dq) {
    for (int row = 0; row < r->count; row++)
        memcpy(dq + dq_row_at(x, r, row) * x->width, s->dq + row * x->padded, (size_t)x->width * sizeof *dq);
}

/* Keys [start, end), whose gradients the scratch holds from the beginning of its dk and dv on. */
static void write_keys(const dq_attention_plan *x, int kv_head, int64_t start, int64_t end, const scratch *s, float *dk,
                       float *dv) {
    for (int64_t key = start; key < end; key++) {
        int64_t to = (key * x->a->kv_heads + kv_head) * x->width, from = (key - start) * x->padded;
        memcpy(dk + to, s->dk + from, (size_t)x->width * sizeof *dk);
        memcpy(dv + to, s->dv + from, (size_t)x->width * sizeof *dv);
    }
}

static void take_rows(const dq_attention_plan *x, const dq_rows *r, const gradients *g, const scratch *s) {
    NAME(attention_gather)(x, r, x->a->q, s->q_a, s->q_b);
    NAME(attention_gather)(x, r, g->do_, s->g_a, s->g_b);
}

/* ---- The short way ---- */

/* A packed row: its queries [query, end_query) and its keys [first, end). */
typedef struct packed_row {
    int64_t query, end_query, first, end;
} packed_row;

/* The one that begins with this query. */
static packed_row row_at(const dq_attention *a, int64_t query) {
    packed_row row = {.query = query, .end_query = query + 1, .first = a->row_start[query]};
    while (row.end_query < a->query_count && a->row_start[row.end_query] == row.first) row.end_query++;
    row.end = dq_end_key(a, row.end_query - 1);
    return row;
}

static bool all_short(const dq_attention_plan *x) {
    for (int64_t query = 0; query < x->a->query_count;) {
        packed_row row = row_at(x->a, query);
        if (4 * whole_blocks(row.end - row.first) * x->padded > SHORT_FLOATS) return false;
        query = row.end_query;
    }
    return true;
}

static void backward_short(const dq_attention_plan *x, const packed_row *row, int kv_head, const gradients *g,
                           float *space) {
    const int64_t first = row->first, end = row->end, keys = whole_blocks(end - first);
    const int64_t block = DQ_KEYS * x->padded, words = block / DQ_WORD_STEPS; /* of a key block */
    const scratch s = scratch_of(x, keys, space);
    memset(s.dk, 0, (size_t)(2 * keys * x->padded) * sizeof(float)); /* dv follows */
    for (int64_t start = first, at = 0; start < end; start += DQ_KEYS, at += words) {
        NAME(attention_turn)(x, x->a->k, kv_head, start, min_of(start + DQ_KEYS, end), s.k + at);
        NAME(attention_turn)(x, x->a->v, kv_head, start, min_of(start + DQ_KEYS, end), s.v + at);
    }
    for (int64_t query = row->query; query < row->end_query; query += x->queries)
        for (int part = 0; part < x->parts; part++) {
            dq_rows r = dq_rows_between(x, query, row->end_query, kv_head, part);
            take_rows(x, &r, g, &s);
            memset(s.dq, 0, (size_t)(r.count * x->padded) * sizeof *s.dq);
            int64_t number = (r.first_key - first) / DQ_KEYS; /* a window may leave out the first blocks */
            for (int64_t start = first + number * DQ_KEYS; start < r.end_key; start += DQ_KEYS, number++) {
                int64_t seen = min_of(start + DQ_KEYS, r.end_key), step;
                scratch here = s;
                here.k += number * words;
                here.v += number * words;
                probabilities(x, &r, g, start, &here);
                const dq_word *k = NAME(attention_lay)(x, x->a->k, kv_head, start, seen, s.rows, &step);
                add_to_rows(x, &r, start, k, step, &s);
                add_to_keys(x, &r, start, seen, s.dk + number * block, s.dv + number * block, &s);
            }
            write_rows(x, &r, &s, g->dq);
        }
    write_keys(x, kv_head, first, end, &s, g->dk, g->dv);
}

/* All rows, by all threads of a parallel region; `next`, shared and 0 before, numbers the tasks taken. */
static void all_short_rows(const dq_attention_plan *x, const gradients *g, int64_t *next, float *space) {
    int64_t task = 0, mine;
#pragma omp atomic capture
    mine = (*next)++;
    for (int64_t query = 0; query < x->a->query_count;) {
        const packed_row row = row_at(x->a, query);
        for (int kv_head = 0; kv_head < x->a->kv_heads; kv_head++, task++) {
            if (task != mine) continue;
            backward_short(x, &row, kv_head, g, space);
#pragma omp atomic capture
            mine = (*next)++;
        }
        query = row.end_query;
    }
}

/* ---- The long way ---- */

/* Which task's keys a block of rows is to meet next under a key/value head: the first that it sees are number 0. In the
 * workspace that the threads share. */
static int32_t *turns(const dq_compute *compute) {
    return (int32_t *)(void *)dq_workspace_shared(compute);
}

static bool turns_fit(const dq_attention_plan *x) {
    return x->blocks * x->a->kv_heads <= (int64_t)(DQ_WORKSPACE_SHARED / sizeof(int32_t));
}

/* Who is waited for took its task earlier and so gets on, whatever the number of threads, or of processors for them. */
static void await_turn(const int32_t *turn, int32_t mine) {
    enum { SPINS = 1000 };
    for (int spins = 0; __atomic_load_n(turn, __ATOMIC_ACQUIRE) != mine; spins++)
        if (spins >= SPINS) sched_yield();
}

/* dq of the rows becomes what the scratch holds, or grows by it. */
static void add_rows(const dq_attention_plan *x, const dq_rows *r, const scratch *s, float *dq) {
    for (int row = 0; row < r->count; row++) {
        float *to = dq + dq_row_at(x, r, row) * x->width;
        const float *from = s->dq + row * x->padded;
        for (int c = 0; c < x->width; c += DQ_VEC_WIDTH) {
            const int lanes = dq_lanes(x->width, c);
            dq_put(to + c, dq_vec_add(dq_get(to + c, lanes), dq_get(from + c, lanes)), lanes);
        }
    }
}

_Static_assert(4 * TASK_KEYS * DQ_WIDEST_HEAD <= SHORT_FLOATS,
               "k, v, dk and dv of a task find the room of the short way");

/* A block of keys of a task: what the products read, and where its gradients grow. */
typedef struct key_block {
    int64_t start, end;
    const dq_word *rows;
    int64_t step;
    scratch s; /* the task's, with k and v of this block */
    float *dk, *dv;
} key_block;

static int key_blocks_of(const dq_attention_plan *x, int kv_head, int64_t start, const scratch *s,
                         key_block block[TASK_BLOCKS]) {
    int count = 0;
    for (; count < TASK_BLOCKS && start < x->keys; count++, start += DQ_KEYS) {
        key_block *b = &block[count];
        const int64_t before = count * DQ_KEYS * x->padded, words = before / DQ_WORD_STEPS;
        *b = (key_block){.start = start, .end = min_of(start + DQ_KEYS, x->keys), .s = *s};
        b->s.k += words;
        b->s.v += words;
        b->dk = s->dk + before;
        b->dv = s->dv + before;
        NAME(attention_turn)(x, x->a->k, kv_head, start, b->end, b->s.k);
        NAME(attention_turn)(x, x->a->v, kv_head, start, b->end, b->s.v);
        b->rows = NAME(attention_lay)(x, x->a->k, kv_head, start, b->end, s->rows + words, &b->step);
    }
    return count;
}

static void backward_keys(const dq_attention_plan *x, int kv_head, int64_t start, const gradients *g, int32_t *turn,
                          float *space) {
    const scratch s = scratch_of(x, TASK_KEYS, space);
    key_block block[TASK_BLOCKS];
    const int count = key_blocks_of(x, kv_head, start, &s, block);
    const int64_t end = block[count - 1].end;
    memset(s.dk, 0, (size_t)(2 * TASK_KEYS * x->padded) * sizeof(float)); /* dv follows */
    for (int64_t at = dq_first_query(x->a, start) / x->queries; at < x->blocks; at++) {
        const int64_t first_key = dq_first_key(x->a, at * x->queries);
        if (first_key >= end) break;
        const int32_t mine = (int32_t)(start / TASK_KEYS - first_key / TASK_KEYS);
        int32_t *of_rows = turn + at * x->a->kv_heads + kv_head;
        for (int part = 0; part < x->parts; part++) {
            dq_rows r = dq_rows_of(x, at, kv_head, part);
            take_rows(x, &r, g, &s);
            memset(s.dq, 0, (size_t)(r.count * x->padded) * sizeof *s.dq);
            for (const key_block *b = block; b < block + count; b++) {
                if (r.first_key >= b->end || r.end_key <= b->start) continue;
                probabilities(x, &r, g, b->start, &b->s);
                add_to_keys(x, &r, b->start, b->end, b->dk, b->dv, &b->s);
                add_to_rows(x, &r, b->start, b->rows, b->step, &b->s);
            }
            if (mine == 0) {
                write_rows(x, &r, &s, g->dq);
                continue;
            }
            await_turn(of_rows, mine);
            add_rows(x, &r, &s, g->dq);
        }
        __atomic_store_n(of_rows, mine + 1, __ATOMIC_RELEASE);
    }
    write_keys(x, kv_head, start, end, &s, g->dk, g->dv);
}

/* All keys, the early ones first, which more queries see, by all threads of a parallel region; next: as all_short_rows has it. */
static void all_keys(const dq_attention_plan *x, const gradients *g, int32_t *turn, int64_t *next, float *space) {
    const int heads = x->a->kv_heads;
    const int64_t tasks = (x->keys + TASK_KEYS - 1) / TASK_KEYS * heads;
    for (;;) {
        int64_t task;
#pragma omp atomic capture
        task = (*next)++;
        if (task >= tasks) break;
        backward_keys(x, (int)(task % heads), task / heads * TASK_KEYS, g, turn, space);
    }
}

void NAME(attention_backward)(const dq_compute *compute, const dq_attention *a, const float *do_, float *delta,
                              float *dq, float *dk, float *dv) {
#ifdef DQ_PAIRS
    if (compute->multiply != DQ_MULTIPLY_BF16) {
        DQ_NAME_IN(attention_backward, DQ_VARIANT_F32)(compute, a, do_, delta, dq, dk, dv);
        return;
    }
#endif
    const dq_attention_plan x = dq_attention_plan_of(a);
    if (a->head_width > DQ_WIDEST_HEAD || !turns_fit(&x)) {
        dq_attention_backward_c(compute, a, do_, delta, dq, dk, dv);
        return;
    }
    const gradients g = {.do_ = do_, .delta = delta, .dq = dq, .dk = dk, .dv = dv};
    const bool in_short_rows = all_short(&x);
    int32_t *turn = turns(compute);
    int64_t next = 0;
    if (!in_short_rows) memset(turn, 0, (size_t)(x.blocks * a->kv_heads) * sizeof *turn);
#pragma omp parallel num_threads(compute->threads)
    {
        float *space = dq_workspace_thread(compute, omp_get_thread_num());
#pragma omp for schedule(static)
        for (int64_t at = 0; at < a->query_count * a->heads; at++)
            delta[at] = dq_dot(do_ + at * x.width, a->o + at * x.width, NULL, x.width);
        if (in_short_rows)
            all_short_rows(&x, &g, &next, space);
        else
            all_keys(&x, &g, turn, &next, space);
    }
}
