/* What the forward and the backward of attention share: how queries and keys are cut into blocks.
 *
 * A row is one query under one head; the rows of a block are neighbouring queries under the heads that read the same
 * key/value head, so that keys and values, copied once into the layout of a tile, serve all of them:
 *
 *     row r of a block: query first_query + r / heads, head first_head + r % heads
 *
 * Keys come in blocks that begin at multiples of DQ_KEYS (in the backward of short rows: at the row's first key and every
 * DQ_KEYS from there). So what a row sums up, and in which order, depends on its own key range alone: neither on the block
 * it is in nor on threads, and a token decoded alone gets the bits it would get within a prompt. Key blocks that no row of
 * the block sees are not visited, and within a block each sliver of DQ_TILE_ROWS rows computes the part it sees: the work
 * follows the sum of squared row lengths. */
#ifndef DQ_KERNELS_VECTOR_ATTENTION_H
#define DQ_KERNELS_VECTOR_ATTENTION_H

#include "kernels/vector/attention_words.h"

enum {
    DQ_KEYS = DQ_KEY_BLOCK, /* keys of a block, a multiple of DQ_TILE_COLUMNS */
    DQ_ROWS = 96,           /* rows of a block at most */
    DQ_ROW_HEADS = 16,      /* heads of a block at most */
    DQ_WIDEST_HEAD = 256    /* wider heads go through the reference: their blocks would not fit the workspace */
};

typedef struct dq_attention_plan {
    const dq_attention *a;
    int width, padded; /* head width, and that up to a multiple of DQ_TILE_COLUMNS */
    int group;         /* query heads of a key/value head */
    int heads, parts;  /* heads of a block, and how many blocks a group takes */
    int64_t queries;   /* of a block */
    int64_t blocks;    /* of queries */
    int64_t keys;
} dq_attention_plan;

/* A block of rows. */
typedef struct dq_rows {
    int64_t first_query;
    int kv_head, first_head, heads, count;
    int64_t first_key, end_key; /* what they see together */
} dq_rows;

static inline dq_attention_plan dq_attention_plan_of(const dq_attention *a) {
    dq_attention_plan x = {.a = a, .width = a->head_width, .group = a->heads / a->kv_heads};
    x.padded = (x.width + DQ_TILE_COLUMNS - 1) / DQ_TILE_COLUMNS * DQ_TILE_COLUMNS;
    x.heads = x.group < DQ_ROW_HEADS ? x.group : DQ_ROW_HEADS;
    x.parts = (x.group + x.heads - 1) / x.heads;
    x.queries = DQ_ROWS / x.heads;
    x.blocks = (a->query_count + x.queries - 1) / x.queries;
    x.keys = a->key ? a->key_count : a->first_position + a->query_count;
    return x;
}

/* Where query i stands. */
static inline int64_t dq_own_key(const dq_attention *a, int64_t i) {
    return a->key ? a->key[i] : a->first_position + i;
}

/* Keys [first, end) are seen by query i. Neither bound ever decreases with i. */
static inline int64_t dq_first_key(const dq_attention *a, int64_t i) {
    int64_t first = a->row_start[i], position = dq_own_key(a, i);
    return a->window > 0 && first < position - a->window + 1 ? position - a->window + 1 : first;
}
static inline int64_t dq_end_key(const dq_attention *a, int64_t i) {
    return dq_own_key(a, i) + 1;
}

/* The first query that stands at this key or behind it; query_count: none does. */
static inline int64_t dq_first_query(const dq_attention *a, int64_t key) {
    int64_t low = 0, high = a->query_count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (dq_own_key(a, middle) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Queries [first, end), of which a block takes those that it has room for. */
static inline dq_rows dq_rows_between(const dq_attention_plan *x, int64_t first, int64_t end, int kv_head, int part) {
    int64_t queries = end - first < x->queries ? end - first : x->queries;
    int rest = x->group - part * x->heads;
    dq_rows r = {.first_query = first, .kv_head = kv_head, .first_head = kv_head * x->group + part * x->heads};
    r.heads = rest < x->heads ? rest : x->heads;
    r.count = (int)queries * r.heads;
    r.first_key = dq_first_key(x->a, first);
    r.end_key = dq_end_key(x->a, first + queries - 1);
    return r;
}

static inline dq_rows dq_rows_of(const dq_attention_plan *x, int64_t block, int kv_head, int part) {
    return dq_rows_between(x, block * x->queries, x->a->query_count, kv_head, part);
}

/* Row r's place among the [query, head] pairs. */
static inline int64_t dq_row_at(const dq_attention_plan *x, const dq_rows *r, int row) {
    return (r->first_query + row / r->heads) * x->a->heads + r->first_head + row % r->heads;
}

/* Block of a blocked array of keys or values: key is its first. */
static inline const float *dq_block_of(const dq_attention_plan *x, const float *from, int kv_head, int64_t key) {
    return from + (key / DQ_KEYS * x->a->kv_heads + kv_head) * x->width * DQ_KEYS;
}

/* Part of DQ_KEYS columns, [lo, hi). */
typedef struct dq_span {
    int lo, hi;
} dq_span;

/* What rows [row, row + count) together see of the key block at start; lo >= hi: nothing. */
static inline dq_span dq_seen(const dq_attention_plan *x, const dq_rows *r, int row, int count, int64_t start) {
    int64_t lo = dq_first_key(x->a, r->first_query + row / r->heads) - start;
    int64_t hi = dq_end_key(x->a, r->first_query + (row + count - 1) / r->heads) - start;
    return (dq_span){lo < 0 ? 0 : lo > DQ_KEYS ? DQ_KEYS : (int)lo, hi < 0 ? 0 : hi > DQ_KEYS ? DQ_KEYS : (int)hi};
}

/* The columns of whole tiles around a span. */
static inline dq_span dq_tiles_around(dq_span seen) {
    return (dq_span){seen.lo / DQ_TILE_COLUMNS * DQ_TILE_COLUMNS,
                     (seen.hi + DQ_TILE_COLUMNS - 1) / DQ_TILE_COLUMNS * DQ_TILE_COLUMNS};
}

/* Keys or values [start, end) of a block as the B of products over their components: out [Words(width), DQ_KEYS], or the array
 * itself where they lie so. And over the keys: rows [Words(DQ_KEYS), padded], *step words from one to the next, which are the
 * array itself where a word is a value and no padding is needed. */
const dq_word *NAME(attention_turn)(const dq_attention_plan *x, const float *from, int kv_head, int64_t start,
                                    int64_t end, dq_word *out);
const dq_word *NAME(attention_lay)(const dq_attention_plan *x, const float *from, int kv_head, int64_t start,
                                   int64_t end, dq_word *out, int64_t *step);
/* The rows' own vectors (q or do), padded words apart: as the A of products over their components, a [count, Words(padded)];
 * and, unless b is NULL, as the B of products over the rows, b [Words(count), padded], which is the same where a word is a
 * value. */
void NAME(attention_gather)(const dq_attention_plan *x, const dq_rows *r, const float *from, dq_word *a, dq_word *b);

/* A sliver of at most DQ_TILE_ROWS rows times `columns` columns, a multiple of DQ_TILE_COLUMNS:
 * C = scale A B, or C += A B (scale unused); depth in words, strides as in dq_word_tile. */
typedef struct dq_sliver {
    int rows, columns;
    int64_t depth;
    const dq_word *a;
    int64_t a_row, a_step;
    const dq_word *b;
    int64_t b_step;
    float *c;
    int64_t c_row;
} dq_sliver;
void NAME(sliver_scaled)(const dq_sliver *s, float scale);
void NAME(sliver_added)(const dq_sliver *s);

#endif
