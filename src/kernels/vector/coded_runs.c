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

DQ_INLINE void row_sums(dq_form f, int tokens, const dq_coded *w, int64_t place, const uint8_t *codes,
                        const dq_coded_columns *k) {
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
                const float *x = k->x.x + t * in + b * BLOCK;
                dq_vec part = dq_vec_mul(u[0], dq_vec_load(x));
                for (int v = 1; v < PARTS; v++) part = dq_vec_fma(u[v], dq_vec_load(x + v * W), part);
                of_codes[t] = dq_vec_fma(g.scale, part, of_codes[t]);
                if (has_offset(f)) of_offsets[t] += g.offset * k->x.total[t * blocks + b];
            }
        }
    }
    for (int t = 0; t < tokens; t++) {
        float *y = k->y + t * w->out + row, sum = dq_vec_total(of_codes[t]) + of_offsets[t];
        *y = k->accumulate ? *y + sum : sum;
    }
}

DQ_CODED_ROWS_OF_BLOCKS(row_sums)

dq_coded_rows_of_fn *NAME(coded_runs_rows)(const dq_coded *w) {
    return rows_for(w);
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

void NAME(coded_runs_input)(const dq_compute *compute, const dq_coded_product *p, dq_x x[DQ_CODED_TOGETHER]) {
    const int64_t n = p->tokens * p->weight[0]->in;
    float *total = dq_workspace_shared(compute), *next = total + n / BLOCK, *spread[4] = {NULL};
    bool made = false;
    for (int i = 0; i < p->count; i++) {
        const dq_coded *w = p->weight[i];
        if (!NAME(coded_runs_suit)(w)) continue;
        if (!made) make_totals(p->x, n, total);
        made = true;
        x[i] = (dq_x){p->x, total};
        if (!is_spread((dq_form){w->coding, w->bits})) continue;
        if (!spread[w->bits]) {
            make_spread(p->x, n, w->bits, next);
            spread[w->bits] = next;
            next += n;
        }
        x[i].x = spread[w->bits];
    }
}
