/* Inside the vector kernels: what the ways of multiplying with packed weights share, with x in f32 (coded.c, coded_runs.c) and
 * with x rounded to 8 bits (coded_bytes.c). */
#ifndef DQ_KERNELS_VECTOR_CODED_TASK_H
#define DQ_KERNELS_VECTOR_CODED_TASK_H

#include "kernels/vector/bytes.h"

enum {
    DQ_CODED_TOKENS = 4,  /* of one pass over the codes */
    DQ_CODED_PIECE = 512, /* columns decoded at once: whole blocks, and whole bytes of codes */
    DQ_CODED_ROWS = 2,    /* at once, for one or two tokens */
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

/* Rows at up to DQ_CODED_ROWS neighbouring places, times up to DQ_CODED_TOKENS tokens. */
typedef struct dq_coded_task {
    const dq_coded *w;
    int64_t place;                       /* of the first */
    const uint8_t *codes[DQ_CODED_ROWS]; /* of each row */
    const float *x;                      /* [tokens, in] */
    dq_rounded rounded;                  /* or this */
    float sum[DQ_CODED_ROWS][DQ_CODED_TOKENS];
} dq_coded_task;

typedef void dq_coded_dot_fn(int rows, int tokens, dq_coded_task *k);

/* A function of one form, which has the cases of rows and tokens in it. */
#define DQ_CODED_DOT(name, dot, ...)                                                                                   \
    static void name(int rows, int tokens, dq_coded_task *k) {                                                         \
        const dq_form f = {__VA_ARGS__};                                                                               \
        if (rows == 2 && tokens == 1)                                                                                  \
            dot(f, 2, 1, k);                                                                                           \
        else if (rows == 2)                                                                                            \
            dot(f, 2, 2, k);                                                                                           \
        else if (tokens == 1)                                                                                          \
            dot(f, 1, 1, k);                                                                                           \
        else if (tokens == 2)                                                                                          \
            dot(f, 1, 2, k);                                                                                           \
        else if (tokens == 3)                                                                                          \
            dot(f, 1, 3, k);                                                                                           \
        else                                                                                                           \
            dot(f, 1, 4, k);                                                                                           \
    }
/* Those of the forms made of codes; dot_by_bits[bits] and dot_by_coding[coding] name them. */
#define DQ_CODED_DOTS(dot)                                                                                             \
    DQ_CODED_DOT(dot_2, dot, DQ_CODING_BITS, 2)                                                                        \
    DQ_CODED_DOT(dot_3, dot, DQ_CODING_BITS, 3)                                                                        \
    DQ_CODED_DOT(dot_4, dot, DQ_CODING_BITS, 4)                                                                        \
    DQ_CODED_DOT(dot_5, dot, DQ_CODING_BITS, 5)                                                                        \
    DQ_CODED_DOT(dot_6, dot, DQ_CODING_BITS, 6)                                                                        \
    DQ_CODED_DOT(dot_7, dot, DQ_CODING_BITS, 7)                                                                        \
    DQ_CODED_DOT(dot_8, dot, DQ_CODING_BITS, 8)                                                                        \
    DQ_CODED_DOT(dot_q4_0, dot, DQ_CODING_Q4_0, 0)                                                                     \
    DQ_CODED_DOT(dot_q4_1, dot, DQ_CODING_Q4_1, 0)                                                                     \
    DQ_CODED_DOT(dot_q5_0, dot, DQ_CODING_Q5_0, 0)                                                                     \
    DQ_CODED_DOT(dot_q5_1, dot, DQ_CODING_Q5_1, 0)                                                                     \
    DQ_CODED_DOT(dot_q8_0, dot, DQ_CODING_Q8_0, 0)                                                                     \
    static dq_coded_dot_fn *const dot_by_bits[] = {                                                                    \
        [2] = dot_2, [3] = dot_3, [4] = dot_4, [5] = dot_5, [6] = dot_6, [7] = dot_7, [8] = dot_8};                    \
    static dq_coded_dot_fn *const dot_by_coding[] = {[DQ_CODING_Q4_0] = dot_q4_0,                                      \
                                                     [DQ_CODING_Q4_1] = dot_q4_1,                                      \
                                                     [DQ_CODING_Q5_0] = dot_q5_0,                                      \
                                                     [DQ_CODING_Q5_1] = dot_q5_1,                                      \
                                                     [DQ_CODING_Q8_0] = dot_q8_0};

/* Columns [first, first + n) of the row at a place; first is a multiple of DQ_CODED_PIECE. */
void NAME(coded_decode)(const dq_coded *w, int64_t place, int64_t first, int64_t n, float *dst);

/* The codes of the row at a place. Vectors may read DQ_CODED_REACH bytes beyond them: those of the last row, after which there may be
 * nothing, are copied to space. */
const uint8_t *NAME(coded_codes)(const dq_coded *w, int64_t place, uint8_t *space);

/* Of a weight for which coded_round left q. */
dq_coded_dot_fn *NAME(coded_bytes_dot)(const dq_coded *w);

/* x as NAME(coded_runs) takes it. */
typedef struct dq_runs_input {
    const float *total;                /* [tokens, in / 32]: sums of its blocks */
    const float *x[DQ_CODED_TOGETHER]; /* [tokens, in], as each weight wants it */
} dq_runs_input;

/* Of at most DQ_CODED_FEW tokens; in the shared workspace. */
dq_runs_input NAME(coded_runs_input)(const dq_compute *compute, const dq_coded_product *p);
/* Rows [first, end) of weight i of the same product; space: of a thread. Only for weights that suit. */
bool NAME(coded_runs_suit)(const dq_coded *w);
void NAME(coded_runs)(const dq_coded_product *p, int i, const dq_runs_input *input, int64_t first, int64_t end,
                      uint8_t *space);

/* p with x' in the place of x, for weights whose forms coded_bytes_dot does not have, and x as all others want it; in the shared
 * workspace. At most DQ_ROUNDED_TOKENS tokens. */
dq_coded_product NAME(coded_round)(const dq_compute *compute, const dq_coded_product *p,
                                   dq_rounded rounded[DQ_CODED_TOGETHER]);

/* Rows [first, end) of weight i of a product, for more than DQ_CODED_FEW tokens and x as it is; space: of a thread. Only for an `in`
 * that suits. */
bool NAME(coded_many_suits)(int64_t in);
void NAME(coded_many)(const dq_coded_product *p, int i, int64_t first, int64_t end, float *space);

#endif
