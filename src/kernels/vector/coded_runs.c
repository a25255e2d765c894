/* Packed weights whose codes are too many for a table (coded_forms.h), times few tokens. No weight is made, only its code as f32: for
 * a block B of 32 columns with scale S, offset O and codes u
 *
 *     sum_{j in B} W_j x_j = S sum u_j x_j + O sum x_j
 *
 * which takes one multiply-add a weight instead of two. sum x_j belongs to x and serves all rows. A row's sums run block after block,
 * those of the codes in a vector, those of the offsets in a number.
 *
 * In vectors of eight, codes of two and three bits stay where they stand in their word, code j of eight as 2^(bits j) u_j: with
 * 2^(-bits j) x_j in the place of x_j, which is exact unless it is subnormal, no shift is needed. */
#include <math.h>

#include "kernels/rounded.h"
#include "kernels/vector/coded_forms.h"
#include "kernels/vector/coded_grid.h"
#include "kernels/workspace.h"

enum { W = DQ_VEC_WIDTH, BLOCK = DQ_CODED_BLOCK, PARTS = BLOCK / W, TOKENS = DQ_CODED_TOKENS };

_Static_assert((int64_t)DQ_CODED_FEW *DQ_ROUNDED_WIDEST / BLOCK * (2 * BLOCK + 1) * sizeof(float) <=
                   DQ_WORKSPACE_SHARED,
               "what is made of x fits the workspace");

typedef struct run {
    dq_vec scale;
    float offset;
} run;

DQ_INLINE run stream_run(const dq_coded *w, int64_t at) {
    const dq_run_grid g = dq_stream_grid(w, at);
    return (run){dq_vec_set(g.scale), g.offset};
}

DQ_INLINE run block_run(dq_form f, const uint8_t *block) {
    run g;
    if (dq_form_has_minimum(f))
        g.scale = dq_vec_set_f16_pair(block, &g.offset);
    else
        g = (run){dq_vec_set_f16(block), dq_block_grid(f, block).offset};
    return g;
}

DQ_INLINE bool has_offset(dq_form f) {
    return f.coding != DQ_CODING_Q8_0;
}

DQ_INLINE bool is_spread(dq_form f) {
#ifdef DQ_HAS_INTS_OF_WORDS
    return f.coding == DQ_CODING_BITS && f.bits <= 3;
#else
    (void)f;
    return false;
#endif
}

DQ_INLINE dq_vec unpack(dq_form f, const uint8_t *block, int v) {
    if (f.coding != DQ_CODING_BITS) return dq_vec_of_ints(dq_block_codes(f, block, v, true));
#ifdef DQ_HAS_INTS_OF_WORDS
    if (is_spread(f)) return dq_vec_of_ints(dq_ints_spread(block + v * W * f.bits / 8, f.bits));
    if (f.bits == 4) return dq_vec_of_ints(dq_ints_nibbles(block, v));
#endif
    const dq_ints u = dq_ints_stream(block + v * W * f.bits / 8, f.bits);
    return dq_vec_of_ints(f.bits < 8 ? dq_ints_and(u, (1 << f.bits) - 1) : u);
}

/* What the rows of one weight are multiplied with, and where the sums go. */
typedef struct columns {
    const float *x, *total; /* [tokens, in], [tokens, in / 32] */
    float *y;               /* [tokens, out] */
    bool accumulate;
} columns;

DQ_INLINE void row_sums(dq_form f, int tokens, const dq_coded *w, int64_t place, const uint8_t *codes,
                        const columns *k) {
    const int64_t in = w->in, blocks = in / BLOCK, size = dq_form_block_bytes(f), row = dq_coded_row_at(w, place);
    const int64_t together = f.coding == DQ_CODING_BITS ? w->group / BLOCK : 1; /* blocks of one scale */
    dq_vec of_codes[TOKENS];
    float of_offsets[TOKENS];
    for (int t = 0; t < tokens; t++) {
        of_codes[t] = dq_vec_zero();
        of_offsets[t] = 0;
    }
    for (int64_t first = 0, at = place * (blocks / together); first < blocks; first += together, at++) {
        const run g = f.coding == DQ_CODING_BITS ? stream_run(w, at) : block_run(f, codes);
        for (int64_t b = first; b < first + together; b++, codes += size) {
            __builtin_prefetch(codes + DQ_CODED_AHEAD);
            dq_vec u[PARTS];
            for (int v = 0; v < PARTS; v++) u[v] = unpack(f, codes, v);
            for (int t = 0; t < tokens; t++) {
                const float *x = k->x + t * in + b * BLOCK;
                dq_vec part = dq_vec_mul(u[0], dq_vec_load(x));
                for (int v = 1; v < PARTS; v++) part = dq_vec_fma(u[v], dq_vec_load(x + v * W), part);
                of_codes[t] = dq_vec_fma(g.scale, part, of_codes[t]);
                if (has_offset(f)) of_offsets[t] += g.offset * k->total[t * blocks + b];
            }
        }
    }
    for (int t = 0; t < tokens; t++) {
        float *y = k->y + t * w->out + row, sum = dq_vec_total(of_codes[t]) + of_offsets[t];
        *y = k->accumulate ? *y + sum : sum;
    }
}

/* Rows at places [first, end). The codes of the last row may end before what a vector reads: `last` has them with room after. */
DQ_INLINE void rows_of(dq_form f, int tokens, const dq_coded *w, int64_t first, int64_t end, const uint8_t *last,
                       const columns *k) {
    for (int64_t place = first; place < end; place++) {
        const uint8_t *codes = (const uint8_t *)w->codes + place * w->row_bytes;
        row_sums(f, tokens, w, place, last && place == w->out - 1 ? last : codes, k);
    }
}

typedef void rows_fn(int tokens, const dq_coded *w, int64_t first, int64_t end, const uint8_t *last, const columns *k);

#define ROWS_OF(name, ...)                                                                                             \
    static void name(int tokens, const dq_coded *w, int64_t first, int64_t end, const uint8_t *last,                   \
                     const columns *k) {                                                                               \
        const dq_form f = {__VA_ARGS__};                                                                               \
        if (tokens == 1)                                                                                               \
            rows_of(f, 1, w, first, end, last, k);                                                                     \
        else if (tokens == 2)                                                                                          \
            rows_of(f, 2, w, first, end, last, k);                                                                     \
        else if (tokens == 3)                                                                                          \
            rows_of(f, 3, w, first, end, last, k);                                                                     \
        else                                                                                                           \
            rows_of(f, 4, w, first, end, last, k);                                                                     \
    }
ROWS_OF(rows_2, DQ_CODING_BITS, 2)
ROWS_OF(rows_3, DQ_CODING_BITS, 3)
ROWS_OF(rows_4, DQ_CODING_BITS, 4)
ROWS_OF(rows_5, DQ_CODING_BITS, 5)
ROWS_OF(rows_6, DQ_CODING_BITS, 6)
ROWS_OF(rows_7, DQ_CODING_BITS, 7)
ROWS_OF(rows_8, DQ_CODING_BITS, 8)
ROWS_OF(rows_q4_0, DQ_CODING_Q4_0, 0)
ROWS_OF(rows_q4_1, DQ_CODING_Q4_1, 0)
ROWS_OF(rows_q5_0, DQ_CODING_Q5_0, 0)
ROWS_OF(rows_q5_1, DQ_CODING_Q5_1, 0)
ROWS_OF(rows_q8_0, DQ_CODING_Q8_0, 0)

static rows_fn *rows_for(const dq_coded *w) {
    static rows_fn *const by_bits[] = {
        [2] = rows_2, [3] = rows_3, [4] = rows_4, [5] = rows_5, [6] = rows_6, [7] = rows_7, [8] = rows_8};
    static rows_fn *const by_coding[] = {[DQ_CODING_Q4_0] = rows_q4_0,
                                         [DQ_CODING_Q4_1] = rows_q4_1,
                                         [DQ_CODING_Q5_0] = rows_q5_0,
                                         [DQ_CODING_Q5_1] = rows_q5_1,
                                         [DQ_CODING_Q8_0] = rows_q8_0};
    return w->coding == DQ_CODING_BITS ? by_bits[w->bits] : by_coding[w->coding];
}

bool NAME(coded_runs_suit)(const dq_coded *w) {
    return dq_coded_has_blocks(w) && !dq_run_is_table((dq_form){w->coding, w->bits}) && w->in <= DQ_ROUNDED_WIDEST;
}

/* ---- x ---- */

/* Sums of blocks. */
static void make_totals(const float *x, int64_t n, float *total) {
    for (int64_t i = 0; i < n / BLOCK; i++) {
        dq_vec sum = dq_vec_load(x + i * BLOCK);
        for (int v = 1; v < PARTS; v++) sum = dq_vec_add(sum, dq_vec_load(x + i * BLOCK + v * W));
        total[i] = dq_vec_total(sum);
    }
}

static void make_spread(const float *x, int64_t n, int bits, float *out) {
    float factor[W];
    for (int j = 0; j < W; j++) factor[j] = ldexpf(1, -bits * j);
    for (int64_t i = 0; i < n; i += W) dq_vec_store(out + i, dq_vec_mul(dq_vec_load(x + i), dq_vec_load(factor)));
}

dq_runs_input NAME(coded_runs_input)(const dq_compute *compute, const dq_coded_product *p) {
    const int64_t n = p->tokens * p->weight[0]->in;
    float *total = dq_workspace_shared(compute), *next = total + n / BLOCK, *spread[4] = {NULL};
    dq_runs_input input = {.total = NULL};
    for (int i = 0; i < p->count; i++) {
        const dq_coded *w = p->weight[i];
        input.x[i] = p->x;
        if (!NAME(coded_runs_suit)(w)) continue;
        if (!input.total) make_totals(p->x, n, total);
        input.total = total;
        if (!is_spread((dq_form){w->coding, w->bits})) continue;
        if (!spread[w->bits]) {
            make_spread(p->x, n, w->bits, next);
            spread[w->bits] = next;
            next += n;
        }
        input.x[i] = spread[w->bits];
    }
    return input;
}

void NAME(coded_runs)(const dq_coded_product *p, int i, const dq_runs_input *input, int64_t first, int64_t end,
                      uint8_t *space) {
    const dq_coded *w = p->weight[i];
    const uint8_t *last = NULL;
    if (w->coding == DQ_CODING_BITS && end == w->out && first < end) last = NAME(coded_codes)(w, end - 1, space);
    for (int64_t t = 0; t < p->tokens; t += TOKENS) {
        const columns k = {.x = input->x[i] + t * w->in,
                           .total = input->total + t * (w->in / BLOCK),
                           .y = p->y[i] + t * w->out,
                           .accumulate = p->accumulate};
        rows_for(w)(p->tokens - t < TOKENS ? (int)(p->tokens - t) : TOKENS, w, first, end, last, &k);
    }
}
