/* Inside the vector kernels: what the ways of multiplying with packed weights share. */
#ifndef DQ_KERNELS_VECTOR_CODED_TASK_H
#define DQ_KERNELS_VECTOR_CODED_TASK_H

#include "kernels/vector/bytes.h"

enum {
    DQ_CODED_TOKENS = 4,  /* of one pass over the codes */
    DQ_CODED_PIECE = 512, /* columns decoded at once: whole blocks, and whole bytes of codes */
    DQ_CODED_AHEAD =
        1024, /* bytes of codes that are fetched ahead: rows are too short for the processor's own prefetcher */
    DQ_ROUNDED_TOKENS = 8, /* that are rounded at one time */
    DQ_CODED_REACH = (int)DQ_STREAM_REACH > (int)DQ_BYTES_REACH ? (int)DQ_STREAM_REACH : (int)DQ_BYTES_REACH
};

/* Which of the forms: constants once a function is inlined. */
typedef struct dq_form {
    dq_coding coding;
    int bits; /* of BITS */
} dq_form;

/* Whether the codes come in blocks of 32 that have one scale each. */
DQ_INLINE bool dq_coded_has_blocks(const dq_coded *w) {
    return w->coding == DQ_CODING_BITS ? w->group % DQ_CODED_BLOCK == 0 : dq_coded_block_bytes(w->coding) != 0;
}
DQ_INLINE int64_t dq_form_block_bytes(dq_form f) {
    return f.coding == DQ_CODING_BITS ? 4 * f.bits : dq_coded_block_bytes(f.coding);
}

/* x rounded for one weight. */
typedef struct dq_rounded {
    const int8_t *q;        /* [tokens, in], in the order in which the weight's codes are unpacked; NULL: it wants x */
    const float *d, *total; /* [tokens, in / 32]: the blocks' scales, and d times the sum of their q */
} dq_rounded;

/* x in f32, as one weight wants it. */
typedef struct dq_x {
    const float *x;     /* [tokens, in] */
    const float *total; /* [tokens, in / 32]: the sums of its blocks */
} dq_x;

/* What up to DQ_CODED_TOKENS tokens multiply, and where the sums go. */
typedef struct dq_coded_columns {
    dq_x x; /* one of the two */
    dq_rounded rounded;
    float *y; /* [tokens, out] */
    bool accumulate;
} dq_coded_columns;

/* Rows at places [first, end). Vectors may read DQ_CODED_REACH bytes beyond a row's codes: `last` has those of the last row of BITS
 * with room after them, unless it is NULL. */
typedef void dq_coded_rows_of_fn(int tokens, const dq_coded *w, int64_t first, int64_t end, const uint8_t *last,
                                 const dq_coded_columns *k);

/* A function of one form, which has the cases of tokens in it, from
 * row_sums(form, tokens, w, place, codes of the row, columns). */
#define DQ_CODED_ROWS_OF(name, row_sums, ...)                                                                          \
    DQ_INLINE void name##_(int tokens, const dq_coded *w, int64_t first, int64_t end, const uint8_t *last,             \
                           const dq_coded_columns *k) {                                                                \
        for (int64_t place = first; place < end; place++)                                                              \
            row_sums((dq_form){__VA_ARGS__}, tokens, w, place,                                                         \
                     last &&place == w->out - 1 ? last : (const uint8_t *)w->codes + place * w->row_bytes, k);         \
    }                                                                                                                  \
    static void name(int tokens, const dq_coded *w, int64_t first, int64_t end, const uint8_t *last,                   \
                     const dq_coded_columns *k) {                                                                      \
        if (tokens == 1)                                                                                               \
            name##_(1, w, first, end, last, k);                                                                        \
        else if (tokens == 2)                                                                                          \
            name##_(2, w, first, end, last, k);                                                                        \
        else if (tokens == 3)                                                                                          \
            name##_(3, w, first, end, last, k);                                                                        \
        else                                                                                                           \
            name##_(4, w, first, end, last, k);                                                                        \
    }
/* Those of the forms that have blocks; rows_for(w) chooses one. */
#define DQ_CODED_ROWS_OF_BLOCKS(row_sums)                                                                              \
    DQ_CODED_ROWS_OF(rows_2, row_sums, DQ_CODING_BITS, 2)                                                              \
    DQ_CODED_ROWS_OF(rows_3, row_sums, DQ_CODING_BITS, 3)                                                              \
    DQ_CODED_ROWS_OF(rows_4, row_sums, DQ_CODING_BITS, 4)                                                              \
    DQ_CODED_ROWS_OF(rows_5, row_sums, DQ_CODING_BITS, 5)                                                              \
    DQ_CODED_ROWS_OF(rows_6, row_sums, DQ_CODING_BITS, 6)                                                              \
    DQ_CODED_ROWS_OF(rows_7, row_sums, DQ_CODING_BITS, 7)                                                              \
    DQ_CODED_ROWS_OF(rows_8, row_sums, DQ_CODING_BITS, 8)                                                              \
    DQ_CODED_ROWS_OF(rows_q4_0, row_sums, DQ_CODING_Q4_0, 0)                                                           \
    DQ_CODED_ROWS_OF(rows_q4_1, row_sums, DQ_CODING_Q4_1, 0)                                                           \
    DQ_CODED_ROWS_OF(rows_q5_0, row_sums, DQ_CODING_Q5_0, 0)                                                           \
    DQ_CODED_ROWS_OF(rows_q5_1, row_sums, DQ_CODING_Q5_1, 0)                                                           \
    DQ_CODED_ROWS_OF(rows_q8_0, row_sums, DQ_CODING_Q8_0, 0)                                                           \
    static dq_coded_rows_of_fn *rows_for(const dq_coded *w) {                                                          \
        static dq_coded_rows_of_fn *const by_bits[] = {                                                                \
            [2] = rows_2, [3] = rows_3, [4] = rows_4, [5] = rows_5, [6] = rows_6, [7] = rows_7, [8] = rows_8};         \
        static dq_coded_rows_of_fn *const by_coding[] = {[DQ_CODING_Q4_0] = rows_q4_0,                                 \
                                                         [DQ_CODING_Q4_1] = rows_q4_1,                                 \
                                                         [DQ_CODING_Q5_0] = rows_q5_0,                                 \
                                                         [DQ_CODING_Q5_1] = rows_q5_1,                                 \
                                                         [DQ_CODING_Q8_0] = rows_q8_0};                                \
        return w->coding == DQ_CODING_BITS ? by_bits[w->bits] : by_coding[w->coding];                                  \
    }

/* Columns [first, first + n) of the row at a place; first is a multiple of DQ_CODED_PIECE. */
void NAME(coded_decode)(const dq_coded *w, int64_t place, int64_t first, int64_t n, float *dst);

/* The codes of the row at a place. Vectors may read DQ_CODED_REACH bytes beyond them: those of the last row, after which there may be
 * nothing, are copied to space. */
const uint8_t *NAME(coded_codes)(const dq_coded *w, int64_t place, uint8_t *space);

/* For few tokens and x in f32, weights that suit alone: x as each of them wants it, of at most DQ_CODED_FEW tokens; in the shared
 * workspace. And their rows. */
bool NAME(coded_runs_suit)(const dq_coded *w);
void NAME(coded_runs_input)(const dq_compute *compute, const dq_coded_product *p, dq_x x[DQ_CODED_TOGETHER]);
dq_coded_rows_of_fn *NAME(coded_runs_rows)(const dq_coded *w);

/* The rows of a weight for which coded_round left q. */
dq_coded_rows_of_fn *NAME(coded_bytes_rows)(const dq_coded *w);

/* p with x' in the place of x, for weights whose forms coded_bytes_rows does not have, and x as all others want it; in the shared
 * workspace. At most DQ_ROUNDED_TOKENS tokens. */
dq_coded_product NAME(coded_round)(const dq_compute *compute, const dq_coded_product *p,
                                   dq_rounded rounded[DQ_CODED_TOGETHER]);

/* Rows [first, end) of weight i of a product, for few tokens and x in f32, weight by weight; space: of a thread. */
void NAME(coded_weights)(const dq_coded_product *p, int i, int64_t first, int64_t end, uint8_t *space);

/* Rows [first, end) of weight i of a product, for more than DQ_CODED_FEW tokens and x as it is; space: of a thread. Only for an `in`
 * that suits. */
bool NAME(coded_many_suits)(int64_t in);
void NAME(coded_many)(const dq_coded_product *p, int i, int64_t first, int64_t end, float *space);

#endif
