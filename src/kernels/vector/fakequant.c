/* The functions of fakequant.h over vectors. Not one operation is contracted or reordered, so the bits are the reference's. */
#include "kernels/fakequant.h"

#include "kernels/vector/array.h"

enum {
    W = DQ_VEC_WIDTH,
    LANES = DQ_FAKEQUANT_LANES,
    PARTS = LANES / W, /* vectors of the interleaved sums */
    /* A tile of B A stays in registers: with 16 of them eight sums, with 32 sixteen. */
    ADAPT_ROWS = W == 8 ? 2 : 4,
    ADAPT_VECTORS = 4,
    ADAPT_COLUMNS = ADAPT_VECTORS * W
};

/* ---- V = W0 + c B A ------------------------------------------------------------------------------------------------------ */

/* rows of V, `columns` of them; both constants where that counts. */
DQ_INLINE void adapt_tile(const dq_fakequant *f, int rows, int columns, const float *B, const float *A, float *w) {
    dq_vec product[ADAPT_ROWS][ADAPT_VECTORS];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < ADAPT_VECTORS; v++) product[i][v] = dq_vec_zero();
    for (int k = 0; k < f->rank; k++, A += f->in) {
        dq_vec a[ADAPT_VECTORS];
        for (int v = 0; v < ADAPT_VECTORS; v++)
            a[v] = columns == ADAPT_COLUMNS ? dq_vec_load(A + v * W) : dq_vec_load_part(A + v * W, columns - v * W);
        for (int i = 0; i < rows; i++) {
            dq_vec b = dq_vec_set(B[i * f->rank + k]);
            for (int v = 0; v < ADAPT_VECTORS; v++) product[i][v] = dq_vec_add(product[i][v], dq_vec_mul(b, a[v]));
        }
    }
    for (int i = 0; i < rows; i++, w += f->in)
        for (int v = 0; v < ADAPT_VECTORS && v * W < columns; v++) {
            int lanes = dq_lanes(columns, v * W);
            dq_vec moved = dq_vec_mul(dq_vec_set(f->c), product[i][v]);
            dq_put(w + v * W, dq_vec_add(dq_get(w + v * W, lanes), moved), lanes);
        }
}

/* A stretch of A serves all rows while it is in the first cache. */
void NAME(fakequant_adapt)(const dq_fakequant *f, float *w) {
    if (f->rank == 0) return;
    for (int64_t column = 0; column < f->in; column += ADAPT_COLUMNS) {
        const int columns = f->in - column < ADAPT_COLUMNS ? (int)(f->in - column) : ADAPT_COLUMNS;
        const float *A = f->A + column, *B = f->B;
        float *to = w + column;
        int64_t left = f->rows;
        for (; left >= ADAPT_ROWS && columns == ADAPT_COLUMNS; left -= ADAPT_ROWS) {
            adapt_tile(f, ADAPT_ROWS, ADAPT_COLUMNS, B, A, to);
            B += ADAPT_ROWS * f->rank;
            to += ADAPT_ROWS * f->in;
        }
        for (; left > 0; left--, B += f->rank, to += f->in) adapt_tile(f, 1, columns, B, A, to);
    }
}

/* ---- Codes --------------------------------------------------------------------------------------------------------------- */

/* What the weights of a group share. */
typedef struct grid {
    dq_vec s, b, Qn, Qp, below, above; /* below, above: one step outside, where v is clamped before it is rounded */
    dq_vec low, high;                  /* the mask's */
} grid;

DQ_INLINE grid grid_of(const dq_fakequant *f, const dq_mask_bounds *mask, int64_t group) {
    const float Qn = -(float)(1 << (f->bits - 1)), Qp = -Qn - 1.0f;
    return (grid){.s = dq_vec_set(f->s[group]),
                  .b = dq_vec_set(f->b[group]),
                  .Qn = dq_vec_set(Qn),
                  .Qp = dq_vec_set(Qp),
                  .below = dq_vec_set(Qn - 1.0f),
                  .above = dq_vec_set(Qp + 1.0f),
                  .low = dq_vec_set(mask->low),
                  .high = dq_vec_set(mask->high)};
}

typedef struct coded_weights {
    dq_vec v, q;
    dq_mask unclipped;
} coded_weights;

/* The weight stands second in max and min, so that NaN stays NaN. */
DQ_INLINE coded_weights code_of(const grid *g, bool on_round, dq_vec V) {
    coded_weights w;
    w.v = dq_vec_div(dq_vec_sub(V, g->b), g->s);
    dq_vec r = dq_vec_round(dq_vec_min(g->above, dq_vec_max(g->below, w.v)));
    w.q = dq_vec_min(g->Qp, dq_vec_max(g->Qn, r));
    w.unclipped = dq_mask_within(on_round ? r : w.v, g->low, g->high);
    return w;
}

void NAME(fakequant_codes)(const dq_fakequant *f, float *w) {
    const dq_mask_bounds mask = dq_mask_bounds_of(f->mask, f->bits);
    for (int64_t i = 0; i < f->rows * (f->in / f->group); i++, w += f->group) {
        const grid g = grid_of(f, &mask, i);
        for (int64_t j = 0; j < f->group; j += W) {
            int lanes = dq_lanes(f->group, j);
            dq_put(w + j, dq_vec_sub(code_of(&g, false, dq_get(w + j, lanes)).q, g.Qn), lanes);
        }
    }
}

void NAME(fakequant_decode)(const dq_fakequant *f, float *w) {
    for (int64_t i = 0; i < f->rows * (f->in / f->group); i++, w += f->group) {
        const dq_vec S = dq_vec_set(f->S[i]), O = dq_vec_set(f->O[i]);
        for (int64_t j = 0; j < f->group; j += W) {
            int lanes = dq_lanes(f->group, j);
            dq_put(w + j, dq_vec_add(dq_vec_mul(S, dq_get(w + j, lanes)), O), lanes);
        }
    }
}

/* ---- The backward -------------------------------------------------------------------------------------------------------- */

typedef struct lane_sums {
    dq_vec of[PARTS];
} lane_sums;

DQ_INLINE void add_to(lane_sums *sums, int part, dq_vec x) {
    sums->of[part] = dq_vec_add(sums->of[part], x);
}

static float add_lanes(const lane_sums *sums) {
    float sum[LANES];
    for (int part = 0; part < PARTS; part++) dq_vec_store(sum + part * W, sums->of[part]);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sum[j] += sum[j + half];
    return sum[0];
}

DQ_INLINE lane_sums no_sums(void) {
    lane_sums sums;
    for (int part = 0; part < PARTS; part++) sums.of[part] = dq_vec_zero();
    return sums;
}

typedef struct group_sums {
    lane_sums ds, db, dm;
} group_sums;

/* Lanes beyond those that count hold G = 0, which adds nothing. */
DQ_INLINE void backward_vector(const grid *g, bool on_round, dq_vec cm, const float *V, float *G, int lanes, int part,
                               group_sums *sums) {
    const coded_weights w = code_of(g, on_round, dq_get(V, lanes));
    const dq_vec gradient = dq_get(G, lanes), kept = dq_vec_keep(gradient, w.unclipped);
    add_to(&sums->ds, part, dq_vec_mul(gradient, dq_vec_sub(w.q, dq_vec_keep(w.v, w.unclipped))));
    add_to(&sums->db, part, dq_vec_sub(gradient, kept));
    add_to(&sums->dm, part, dq_vec_mul(gradient, dq_vec_add(dq_vec_mul(g->s, w.q), g->b)));
    dq_put(G, dq_vec_keep(dq_vec_mul(cm, gradient), w.unclipped), lanes);
}

DQ_INLINE group_sums backward_group(const grid *g, bool on_round, dq_vec cm, const float *V, float *G, int64_t n) {
    group_sums sums = {no_sums(), no_sums(), no_sums()};
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int part = 0; part < PARTS; part++)
            backward_vector(g, on_round, cm, V + j + part * W, G + j + part * W, W, part, &sums);
    for (int part = 0; j < n; j += W, part++)
        backward_vector(g, on_round, cm, V + j, G + j, dq_lanes(n, j), part, &sums);
    return sums;
}

void NAME(fakequant_backward)(const dq_fakequant *f, const float *V, float *g, const dq_fakequant_sums *out) {
    const dq_mask_bounds mask = dq_mask_bounds_of(f->mask, f->bits);
    for (int64_t i = 0; i < f->rows * (f->in / f->group); i++, V += f->group, g += f->group) {
        const grid of = grid_of(f, &mask, i);
        const dq_vec cm = dq_vec_set(f->c * f->m[i]);
        const group_sums sums = mask.on_round ? backward_group(&of, true, cm, V, g, f->group)
                                              : backward_group(&of, false, cm, V, g, f->group);
        if (out->ds) out->ds[i] += f->m[i] * add_lanes(&sums.ds);
        if (out->db) out->db[i] += f->m[i] * add_lanes(&sums.db);
        if (out->dm) out->dm[i] += add_lanes(&sums.dm);
    }
}

/* ---- What is kept, and the backward from it -------------------------------------------------------------------------------- */

/* Codes and mask bits of up to W weights. Adds 0 to `check`, or NaN where v is not finite. */
DQ_INLINE uint32_t keep_vector(const grid *g, bool on_round, const float *V, uint8_t *codes, int lanes, dq_vec *check) {
    const coded_weights w = code_of(g, on_round, dq_get(V, lanes));
    const dq_vec u = dq_vec_sub(w.q, g->Qn);
    *check = dq_vec_fma(w.v, dq_vec_zero(), *check);
    if (lanes == W)
        dq_vec_store_bytes(codes, u);
    else {
        uint8_t all[W];
        dq_vec_store_bytes(all, u);
        for (int j = 0; j < lanes; j++) codes[j] = all[j];
    }
    return dq_mask_bits(w.unclipped);
}

DQ_INLINE void keep_group(const grid *g, bool on_round, const float *V, uint8_t *codes, uint32_t *words, int64_t column,
                          int64_t n, dq_vec *check) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        uint32_t bits = 0;
        for (int part = 0; part < PARTS; part++)
            bits |= keep_vector(g, on_round, V + j + part * W, codes + j + part * W, W, check) << part * W;
        dq_fakequant_mask_set(words, column + j, LANES, bits);
    }
    for (; j < n; j += W) {
        int lanes = dq_lanes(n, j);
        uint32_t bits = keep_vector(g, on_round, V + j, codes + j, lanes, check);
        dq_fakequant_mask_set(words, column + j, lanes, bits & ((1u << lanes) - 1));
    }
}

bool NAME(fakequant_keep)(const dq_fakequant *f, const float *V, const dq_fakequant_kept *kept) {
    const dq_mask_bounds mask = dq_mask_bounds_of(f->mask, f->bits);
    const int64_t groups = f->in / f->group, words = dq_fakequant_mask_words(f->in);
    dq_vec check = dq_vec_zero();
    for (int64_t i = 0; i < f->rows; i++) {
        uint32_t *bits = kept->unclipped + i * words;
        for (int64_t w = 0; w < words; w++) bits[w] = 0;
        for (int64_t k = 0; k < groups; k++) {
            const grid g = grid_of(f, &mask, i * groups + k);
            const int64_t column = k * f->group, at = i * f->in + column;
            if (mask.on_round)
                keep_group(&g, true, V + at, kept->codes + at, bits, column, f->group, &check);
            else
                keep_group(&g, false, V + at, kept->codes + at, bits, column, f->group, &check);
        }
    }
    return dq_mask_bits(dq_mask_within(check, dq_vec_zero(), dq_vec_zero())) == (1u << W) - 1;
}

DQ_INLINE dq_vec codes_of(const uint8_t *codes, int lanes) {
    if (lanes == W) return dq_vec_of_ints(dq_ints_bytes(codes));
    uint8_t all[W] = {0};
    for (int j = 0; j < lanes; j++) all[j] = codes[j];
    return dq_vec_of_ints(dq_ints_bytes(all));
}

DQ_INLINE void kept_vector(const grid *g, dq_vec cm, const uint8_t *codes, uint32_t bits, float *G, int lanes, int part,
                           lane_sums *dm) {
    const dq_vec q = dq_vec_add(codes_of(codes, lanes), g->Qn), gradient = dq_get(G, lanes);
    add_to(dm, part, dq_vec_mul(gradient, dq_vec_add(dq_vec_mul(g->s, q), g->b)));
    dq_put(G, dq_vec_keep(dq_vec_mul(cm, gradient), dq_mask_of(bits)), lanes);
}

void NAME(fakequant_kept_backward)(const dq_fakequant *f, const dq_fakequant_kept *kept, float *g, float *out) {
    const dq_mask_bounds mask = dq_mask_bounds_of(f->mask, f->bits);
    const int64_t groups = f->in / f->group, words = dq_fakequant_mask_words(f->in);
    for (int64_t i = 0; i < f->rows * groups; i++) {
        const grid of = grid_of(f, &mask, i);
        const dq_vec cm = dq_vec_set(f->c * f->m[i]);
        const int64_t column = i % groups * f->group, at = i / groups * f->in + column;
        const uint32_t *bits = kept->unclipped + i / groups * words;
        const uint8_t *codes = kept->codes + at;
        lane_sums dm = no_sums();
        int64_t j = 0;
        for (; j + LANES <= f->group; j += LANES) {
            const uint32_t some = dq_fakequant_mask_get(bits, column + j, LANES);
            for (int part = 0; part < PARTS; part++)
                kept_vector(&of, cm, codes + j + part * W, some >> part * W, g + at + j + part * W, W, part, &dm);
        }
        for (int part = 0; j < f->group; j += W, part++) {
            int lanes = dq_lanes(f->group, j);
            kept_vector(&of, cm, codes + j, dq_fakequant_mask_get(bits, column + j, lanes), g + at + j, lanes, part,
                        &dm);
        }
        if (out) out[i] += add_lanes(&dm);
    }
}
