/* What attention's products are made of, and the products of a sliver of rows. */
#include "kernels/vector/attention.h"

#include <string.h>

/* How far apart two keys of a head are. */
static int64_t stride_of(const dq_attention_plan *x) {
    return (int64_t)x->a->kv_heads * x->width;
}

static const float *key_of(const dq_attention_plan *x, const float *from, int kv_head, int64_t key) {
    return from + key * stride_of(x) + (int64_t)kv_head * x->width;
}

#ifdef DQ_PAIRS

const dq_word *NAME(attention_turn)(const dq_attention_plan *x, const float *from, int kv_head, int64_t start,
                                    int64_t end, dq_word *out) {
    dq_words_turn(key_of(x, from, kv_head, start), stride_of(x), (int)(end - start), DQ_KEYS, x->width, out);
    return out;
}

/* A vector with zeros up to the padding: where it lies if it needs none. */
static const float *padded(const dq_attention_plan *x, const float *from, float *room) {
    if (x->width == x->padded) return from;
    memcpy(room, from, (size_t)x->width * sizeof *room);
    for (int c = x->width; c < x->padded; c++) room[c] = 0;
    return room;
}

const dq_word *NAME(attention_lay)(const dq_attention_plan *x, const float *from, int kv_head, int64_t start,
                                   int64_t end, dq_word *out, int64_t *step) {
    float first[DQ_WIDEST_HEAD], second[DQ_WIDEST_HEAD];
    *step = x->padded;
    for (int64_t key = start; key < end; key += 2) {
        const float *one = key_of(x, from, kv_head, key), *other = key + 1 < end ? one + stride_of(x) : NULL;
        dq_words_across(padded(x, one, first), other ? padded(x, other, second) : NULL, x->padded,
                        out + (key - start) / 2 * x->padded);
    }
    return out;
}

void NAME(attention_gather)(const dq_attention_plan *x, const dq_rows *r, const float *from, dq_word *a, dq_word *b) {
    float first[DQ_WIDEST_HEAD], second[DQ_WIDEST_HEAD];
    for (int row = 0; row < r->count; row += 2) {
        const bool both = row + 1 < r->count;
        const float *one = padded(x, from + dq_row_at(x, r, row) * x->width, first);
        const float *other = both ? padded(x, from + dq_row_at(x, r, row + 1) * x->width, second) : NULL;
        dq_words_along(one, x->padded, a + row * dq_words(x->padded));
        if (both) dq_words_along(other, x->padded, a + (row + 1) * dq_words(x->padded));
        if (b) dq_words_across(one, other, x->padded, b + row / 2 * x->padded);
    }
}

#else

const dq_word *NAME(attention_turn)(const dq_attention_plan *x, const float *from, int kv_head, int64_t start,
                                    int64_t end, dq_word *out) {
    if (x->a->blocked) return dq_block_of(x, from, kv_head, start);
    dq_words_turn(key_of(x, from, kv_head, start), stride_of(x), (int)(end - start), DQ_KEYS, x->width, out);
    return out;
}

const dq_word *NAME(attention_lay)(const dq_attention_plan *x, const float *from, int kv_head, int64_t start,
                                   int64_t end, dq_word *out, int64_t *step) {
    int64_t stride = x->a->blocked ? x->width : stride_of(x);
    from = x->a->blocked ? dq_block_of(x, from, kv_head, start) : key_of(x, from, kv_head, start);
    *step = x->width == x->padded ? stride : x->padded;
    if (x->width == x->padded) return from;
    dq_pack_rows(from, stride, x->width, 1, x->padded, (int)(end - start), false, out, 0);
    return out;
}

void NAME(attention_gather)(const dq_attention_plan *x, const dq_rows *r, const float *from, dq_word *a, dq_word *b) {
    (void)b;
    for (int row = 0; row < r->count; row++, a += x->padded) {
        memcpy(a, from + dq_row_at(x, r, row) * x->width, (size_t)x->width * sizeof *a);
        for (int c = x->width; c < x->padded; c++) a[c] = 0;
    }
}

#endif

DQ_INLINE void scaled(int rows, const dq_sliver *s, float scale) {
    const dq_vec factor = dq_vec_set(scale);
    for (int column = 0; column < s->columns; column += DQ_TILE_COLUMNS) {
        dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS];
        dq_word_tile(rows, s->depth, s->a, s->a_row, s->a_step, s->b + column, s->b_step, sum);
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < DQ_TILE_VECTORS; v++)
                dq_vec_store(s->c + i * s->c_row + column + v * DQ_VEC_WIDTH, dq_vec_mul(factor, sum[i][v]));
    }
}

void NAME(sliver_scaled)(const dq_sliver *s, float scale) {
    DQ_TILE_SWITCH(s->rows, scaled, s, scale);
}

DQ_INLINE void added(int rows, const dq_sliver *s) {
    for (int column = 0; column < s->columns; column += DQ_TILE_COLUMNS) {
        dq_vec sum[DQ_TILE_ROWS][DQ_TILE_VECTORS];
        dq_word_tile(rows, s->depth, s->a, s->a_row, s->a_step, s->b + column, s->b_step, sum);
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < DQ_TILE_VECTORS; v++) {
                float *to = s->c + i * s->c_row + column + v * DQ_VEC_WIDTH;
                dq_vec_store(to, dq_vec_add(dq_vec_load(to), sum[i][v]));
            }
    }
}

void NAME(sliver_added)(const dq_sliver *s) {
    DQ_TILE_SWITCH(s->rows, added, s);
}
