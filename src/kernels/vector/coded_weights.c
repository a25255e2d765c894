/* Products of few tokens with packed weights that are made one by one, in registers: from a table where the codes of a run have one
 * (coded_forms.h), of runs that are no blocks, or numbers. Rows that are not made of runs of whole pairs of vectors are decoded into a
 * buffer first.
 *
 * A row's sum runs in two vectors, even and odd ones of the row, added at its end. So few registers are enough for one
 * token with two rows at a time, which hides the latency of the sums, and for four tokens. */
#include <string.h>

#include "kernels/vector/array.h"
#include "kernels/vector/coded_forms.h"
#include "kernels/workspace.h"

enum {
    W = DQ_VEC_WIDTH,
    PAIR = 2 * W,
    TOKENS = DQ_CODED_TOKENS,
    ROWS = 2 /* at once, for one or two tokens */
};

/* Rows at up to ROWS neighbouring places, times up to TOKENS tokens. */
typedef struct task {
    const dq_coded *w;
    int64_t place;              /* of the first */
    const uint8_t *codes[ROWS]; /* of each row */
    const float *x;             /* [tokens, in] */
    float sum[ROWS][TOKENS];
} task;

DQ_INLINE void take(int tokens, const float *x, int64_t in, dq_vec weights, dq_vec sum[TOKENS][2], int which) {
    for (int t = 0; t < tokens; t++) sum[t][which] = dq_vec_fma(weights, dq_vec_load(x + t * in), sum[t][which]);
}

DQ_INLINE void dot_stream(dq_form f, int rows, int tokens, const task *k, dq_vec sum[ROWS][TOKENS][2]) {
    const dq_coded *w = k->w;
    const int64_t in = w->in, group = w->group, groups = in / group;
    const uint8_t *codes[ROWS];
    for (int r = 0; r < rows; r++) codes[r] = k->codes[r];
    for (int64_t i = 0; i < groups; i++) {
        dq_run g[ROWS];
        for (int r = 0; r < rows; r++) {
            g[r] = dq_run_of_stream(w, (k->place + r) * groups + i);
            if (dq_run_is_table(f)) g[r].scale = dq_run_table(f, g[r]);
        }
        for (int r = 0; r < rows; r++) __builtin_prefetch(codes[r] + DQ_CODED_AHEAD);
        for (const float *x = k->x + i * group, *end = x + group; x < end; x += PAIR)
            for (int v = 0; v < 2; v++)
                for (int r = 0; r < rows; r++) {
                    dq_ints u = dq_ints_stream(codes[r], f.bits);
                    if (!dq_run_is_table(f) && f.bits < 8) u = dq_ints_and(u, (1 << f.bits) - 1);
                    take(tokens, x + v * W, in, dq_run_weights(f, &g[r], u), sum[r], v);
                    codes[r] += W * f.bits / 8;
                }
    }
}

DQ_INLINE void dot_blocks(dq_form f, int rows, int tokens, const task *k, dq_vec sum[ROWS][TOKENS][2]) {
    const int64_t in = k->w->in, size = dq_coded_block_bytes(f.coding);
    for (int64_t i = 0; i < in / DQ_CODED_BLOCK; i++)
        for (int r = 0; r < rows; r++) {
            const uint8_t *block = k->codes[r] + i * size;
            __builtin_prefetch(block + DQ_CODED_AHEAD);
            dq_run g = dq_run_of_block(f, block);
            if (dq_run_is_table(f)) g.scale = dq_run_table(f, g);
            for (int v = 0; v < DQ_CODED_BLOCK / W; v++)
                take(tokens, k->x + i * DQ_CODED_BLOCK + v * W, in,
                     dq_run_weights(f, &g, dq_block_codes(f, block, v, !dq_run_is_table(f))), sum[r], v % 2);
        }
}

DQ_INLINE void dot_numbers(dq_form f, int rows, int tokens, const task *k, dq_vec sum[ROWS][TOKENS][2]) {
    for (int64_t j = 0; j < k->w->in; j += PAIR)
        for (int v = 0; v < 2; v++)
            for (int r = 0; r < rows; r++) {
                const uint8_t *at = k->codes[r] + 2 * (j + v * W);
                __builtin_prefetch(at + DQ_CODED_AHEAD);
                dq_vec weights = f.coding == DQ_CODING_F16 ? dq_vec_load_f16(at) : dq_vec_load_bf16(at);
                take(tokens, k->x + j + v * W, k->w->in, weights, sum[r], v);
            }
}

DQ_INLINE void dot(dq_form f, int rows, int tokens, task *k) {
    dq_vec sum[ROWS][TOKENS][2];
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tokens; t++) sum[r][t][0] = sum[r][t][1] = dq_vec_zero();
    if (f.coding == DQ_CODING_BITS)
        dot_stream(f, rows, tokens, k, sum);
    else if (dq_form_has_blocks(f))
        dot_blocks(f, rows, tokens, k, sum);
    else
        dot_numbers(f, rows, tokens, k, sum);
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tokens; t++) k->sum[r][t] = dq_vec_total(dq_vec_add(sum[r][t][0], sum[r][t][1]));
}

typedef void dot_fn(int rows, int tokens, task *k);

/* A function of one form, which has the cases of rows and tokens in it. */
#define DOT(name, dot, ...)                                                                                            \
    static void name(int rows, int tokens, task *k) {                                                                  \
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
#define DOTS(dot)                                                                                                      \
    DOT(dot_2, dot, DQ_CODING_BITS, 2)                                                                                 \
    DOT(dot_3, dot, DQ_CODING_BITS, 3)                                                                                 \
    DOT(dot_4, dot, DQ_CODING_BITS, 4)                                                                                 \
    DOT(dot_5, dot, DQ_CODING_BITS, 5)                                                                                 \
    DOT(dot_6, dot, DQ_CODING_BITS, 6)                                                                                 \
    DOT(dot_7, dot, DQ_CODING_BITS, 7)                                                                                 \
    DOT(dot_8, dot, DQ_CODING_BITS, 8)                                                                                 \
    DOT(dot_q4_0, dot, DQ_CODING_Q4_0, 0)                                                                              \
    DOT(dot_q4_1, dot, DQ_CODING_Q4_1, 0)                                                                              \
    DOT(dot_q5_0, dot, DQ_CODING_Q5_0, 0)                                                                              \
    DOT(dot_q5_1, dot, DQ_CODING_Q5_1, 0)                                                                              \
    DOT(dot_q8_0, dot, DQ_CODING_Q8_0, 0)                                                                              \
    static dot_fn *const dot_by_bits[] = {                                                                             \
        [2] = dot_2, [3] = dot_3, [4] = dot_4, [5] = dot_5, [6] = dot_6, [7] = dot_7, [8] = dot_8};                    \
    static dot_fn *const dot_by_coding[] = {[DQ_CODING_Q4_0] = dot_q4_0,                                               \
                                            [DQ_CODING_Q4_1] = dot_q4_1,                                               \
                                            [DQ_CODING_Q5_0] = dot_q5_0,                                               \
                                            [DQ_CODING_Q5_1] = dot_q5_1,                                               \
                                            [DQ_CODING_Q8_0] = dot_q8_0};

DOTS(dot)
DOT(dot_f16, dot, DQ_CODING_F16, 0)
DOT(dot_bf16, dot, DQ_CODING_BF16, 0)

/* NULL: the rows are decoded into a buffer first; also where the last of them would not fit the workspace (codes_of). */
static dot_fn *dot_of(const dq_coded *w) {
    if ((w->in * w->bits + 7) / 8 + DQ_CODED_REACH > DQ_WORKSPACE_THREAD / ROWS) return NULL;
    switch (w->coding) {
    case DQ_CODING_BITS:
        return w->group % PAIR ? NULL : dot_by_bits[w->bits];
    case DQ_CODING_F16:
        return w->in % PAIR ? NULL : dot_f16;
    case DQ_CODING_BF16:
        return w->in % PAIR ? NULL : dot_bf16;
    default:
        return dot_by_coding[w->coding];
    }
}

static void dot_decoded(int tokens, task *k) {
    const dq_coded *w = k->w;
    dq_vec sum[TOKENS][2];
    for (int t = 0; t < tokens; t++) sum[t][0] = sum[t][1] = dq_vec_zero();
    for (int64_t first = 0; first < w->in; first += DQ_CODED_PIECE) {
        const int64_t n = w->in - first < DQ_CODED_PIECE ? w->in - first : DQ_CODED_PIECE;
        float piece[DQ_CODED_PIECE];
        NAME(coded_decode)(w, k->place, first, n, piece);
        for (int64_t j = 0; j < n; j += W) {
            const int lanes = dq_lanes(n, j);
            const dq_vec weights = dq_get(piece + j, lanes);
            for (int t = 0; t < tokens; t++) {
                dq_vec *to = &sum[t][j / W % 2];
                *to = dq_vec_fma(weights, dq_get(k->x + t * w->in + first + j, lanes), *to);
            }
        }
    }
    for (int t = 0; t < tokens; t++) k->sum[0][t] = dq_vec_total(dq_vec_add(sum[t][0], sum[t][1]));
}

static void put_sums(const dq_coded_product *p, int i, const task *k, int rows, int tokens, int64_t first_token) {
    for (int r = 0; r < rows; r++) {
        const int64_t row = dq_coded_row_at(k->w, k->place + r);
        for (int t = 0; t < tokens; t++) {
            float *y = p->y[i] + (first_token + t) * k->w->out + row;
            *y = p->accumulate ? *y + k->sum[r][t] : k->sum[r][t];
        }
    }
}

void NAME(coded_weights)(const dq_coded_product *p, int i, int64_t first, int64_t end, uint8_t *space) {
    const dq_coded *w = p->weight[i];
    dot_fn *f = dot_of(w);
    for (int64_t start = 0; start < p->tokens; start += TOKENS) {
        const int tokens = p->tokens - start < TOKENS ? (int)(p->tokens - start) : TOKENS;
        for (int64_t place = first; place < end;) {
            const int rows = f && tokens <= 2 && end - place >= ROWS ? ROWS : 1;
            task k = {.w = w, .place = place, .x = p->x + start * w->in};
            if (f) {
                for (int r = 0; r < rows; r++)
                    k.codes[r] = NAME(coded_codes)(w, place + r, space + r * (DQ_WORKSPACE_THREAD / ROWS));
                f(rows, tokens, &k);
            } else {
                dot_decoded(tokens, &k);
            }
            put_sums(p, i, &k, rows, tokens, start);
            place += rows;
        }
    }
}
