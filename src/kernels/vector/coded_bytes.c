/* Packed weights times activations of 8 bits. For a block B of 32 columns with scale S, offset O and codes u
 *
 *     sum_{j in B} W_j x'_j = (S d) sum u_j q_j + O (d sum q_j)             x'_j = d q_j
 *
 * of which the sum of u q is exact in integers, so that a weight costs a byte's share of two instructions and is never
 * unpacked to f32. d and d sum q belong to x and serve all rows. q stands in the order in which codes come out of their
 * registers, which is not that of the columns. A row's sums run block after block in eight parts, added at its end; those of
 * the offsets in one. */
#include <string.h>

#include "kernels/rounded.h"
#include "kernels/vector/coded_grid.h"
#include "kernels/workspace.h"

enum { BLOCK = DQ_CODED_BLOCK, TOKENS = DQ_CODED_TOKENS };
_Static_assert(BLOCK == (int)DQ_BYTES && BLOCK == (int)DQ_ROUNDED_BLOCK, "a block of x is a block of codes");
_Static_assert(DQ_ROUNDED_TOKENS *DQ_ROUNDED_WIDEST *(sizeof(float) + 1 + DQ_CODED_TOGETHER) +
                       DQ_ROUNDED_TOKENS * DQ_ROUNDED_WIDEST / BLOCK * 2 * sizeof(float) <=
                   DQ_WORKSPACE_SHARED,
               "what is made of x fits the workspace");
_Static_assert(DQ_ROUNDED_WIDEST + DQ_CODED_REACH <= DQ_WORKSPACE_THREAD, "so does a row of codes");

/* ---- Codes --------------------------------------------------------------------------------------------------------------- */

/* Codes of 8 bits are centred, and so signed. */
DQ_INLINE bool is_signed(dq_form f) {
    return f.coding == DQ_CODING_Q8_0 || (f.coding == DQ_CODING_BITS && f.bits == 8);
}

DQ_INLINE dq_bytes unpack(dq_form f, const uint8_t *block) {
    switch (f.coding) {
    case DQ_CODING_BITS:
        if (f.bits == 2) return dq_bytes_quarters(block);
        if (f.bits == 4) return dq_bytes_nibbles(block);
        if (f.bits == 8) return dq_bytes_centre(dq_bytes_load(block));
        return dq_bytes_stream(block, f.bits);
    case DQ_CODING_Q4_0:
        return dq_bytes_nibbles(block + 2);
    case DQ_CODING_Q4_1:
        return dq_bytes_nibbles(block + 4);
    case DQ_CODING_Q5_0:
        return dq_bytes_or(dq_bytes_nibbles(block + 6), dq_bytes_high(block + 2));
    case DQ_CODING_Q5_1:
        return dq_bytes_or(dq_bytes_nibbles(block + 8), dq_bytes_high(block + 4));
    default:
        return dq_bytes_load(block + 2);
    }
}

/* Where unpack puts column j of a block. */
static int place_of(const dq_coded *w, int j) {
    if (w->coding != DQ_CODING_BITS || w->bits == 8) return j;
    if (w->bits == 2) return j % 4 * 8 + j / 4;
    if (w->bits == 4) return j % 2 * 16 + j / 2;
    return j / 8 == 1 ? j + 8 : j / 8 == 2 ? j - 8 : j;
}

DQ_INLINE dq_run_grid stream_grid(dq_form f, const dq_coded *w, int64_t at) {
    dq_run_grid g = dq_stream_grid(w, at);
    if (f.bits == 8) g.offset += 128 * g.scale;
    return g;
}

/* ---- Rows ---------------------------------------------------------------------------------------------------------------- */

DQ_INLINE void row_sums(dq_form f, int tokens, const dq_coded *w, int64_t place, const uint8_t *codes,
                        const dq_coded_columns *k) {
    const int64_t in = w->in, blocks = in / BLOCK, size = dq_form_block_bytes(f), row = dq_coded_row_at(w, place);
    const int64_t together = f.coding == DQ_CODING_BITS ? w->group / BLOCK : 1; /* blocks of one scale */
    const dq_rounded *x = &k->rounded;
    dq_sums of_codes[TOKENS];
    float of_offsets[TOKENS];
    for (int t = 0; t < tokens; t++) {
        of_codes[t] = dq_sums_zero();
        of_offsets[t] = 0;
    }
    for (int64_t first = 0, at = place * (blocks / together); first < blocks; first += together, at++) {
        const dq_run_grid g = f.coding == DQ_CODING_BITS ? stream_grid(f, w, at) : dq_block_grid(f, codes);
        for (int64_t b = first; b < first + together; b++, codes += size) {
            __builtin_prefetch(codes + DQ_CODED_AHEAD);
            const dq_bytes u = unpack(f, codes);
            for (int t = 0; t < tokens; t++) {
                const dq_bytes q = dq_bytes_load(x->q + t * in + b * BLOCK);
                const float factor = g.scale * x->d[t * blocks + b];
                of_codes[t] = is_signed(f) ? dq_sums_add_signed(of_codes[t], factor, u, q)
                                           : dq_sums_add(of_codes[t], factor, u, q);
                if (f.coding != DQ_CODING_Q8_0) of_offsets[t] += g.offset * x->total[t * blocks + b];
            }
        }
    }
    for (int t = 0; t < tokens; t++) {
        float *y = k->y + t * w->out + row, sum = dq_sums_total(of_codes[t]) + of_offsets[t];
        *y = k->accumulate ? *y + sum : sum;
    }
}

DQ_CODED_ROWS_OF_BLOCKS(row_sums)

dq_coded_rows_of_fn *NAME(coded_bytes_rows)(const dq_coded *w) {
    return rows_for(w);
}

/* ---- x ------------------------------------------------------------------------------------------------------------------- */

/* dq_round_block of a whole block; *sum: of its q. */
static float round_whole(const float *x, int8_t *q, float *sum) {
    enum { W = DQ_VEC_WIDTH, PARTS = BLOCK / W };
    dq_vec most = dq_vec_zero(), check = dq_vec_zero();
    for (int i = 0; i < PARTS; i++) {
        const dq_vec value = dq_vec_load(x + i * W);
        most = dq_vec_max(dq_vec_max(value, dq_vec_sub(dq_vec_zero(), value)), most);
        check = dq_vec_fma(value, dq_vec_zero(), check);
    }
    const float largest = dq_vec_top(most), spoiled = dq_vec_total(check);
    *sum = 0;
    if (largest == 0 || spoiled != 0 || largest < 0x1p-120f) return dq_round_block(x, BLOCK, q);
    const dq_vec factor = dq_vec_set(127.0f / largest), middle = dq_vec_set(128);
    dq_vec total = dq_vec_zero();
    for (int i = 0; i < PARTS; i++) {
        const dq_vec rounded = dq_vec_round(dq_vec_mul(dq_vec_load(x + i * W), factor));
        total = dq_vec_add(total, rounded); /* whole numbers: exact */
        dq_vec_store_bytes((uint8_t *)q + i * W, dq_vec_add(rounded, middle));
    }
    for (int j = 0; j < BLOCK; j++) q[j] = (int8_t)((uint8_t)q[j] ^ 0x80);
    *sum = dq_vec_total(total);
    return largest / 127.0f;
}

static float round_part(const float *x, int n, int8_t *q, float *sum) {
    const float d = dq_round_block(x, n, q);
    int all = 0;
    for (int j = 0; j < n; j++) all += q[j];
    *sum = (float)all;
    return d;
}

/* d, d sum q, and q in the columns' order. */
static void round_tokens(const float *x, int64_t tokens, int64_t in, float *d, float *total, int8_t *q) {
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t first = 0; first < in; first += BLOCK, d++, total++) {
            const int64_t at = t * in + first;
            float sum;
            *d = in - first < BLOCK ? round_part(x + at, (int)(in - first), q + at, &sum)
                                    : round_whole(x + at, q + at, &sum);
            *total = *d * sum;
        }
}

/* x' of the same. */
static void take_back(int64_t tokens, int64_t in, const float *d, const int8_t *q, float *x) {
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t first = 0; first < in; first += BLOCK, d++)
            for (int64_t j = first; j < in && j < first + BLOCK; j++) x[t * in + j] = *d * (float)q[t * in + j];
}

/* q in the order of w's codes: as it is, or in out. */
static const int8_t *arranged(const dq_coded *w, const int8_t *q, int64_t tokens, int8_t *out) {
    int place[BLOCK];
    bool same = true;
    for (int j = 0; j < BLOCK; j++) {
        place[j] = place_of(w, j);
        same = same && place[j] == j;
    }
    if (same) return q;
    for (int64_t at = 0; at < tokens * w->in; at += BLOCK)
        for (int j = 0; j < BLOCK; j++) out[at + place[j]] = q[at + j];
    return out;
}

dq_coded_product NAME(coded_round)(const dq_compute *compute, const dq_coded_product *p,
                                   dq_rounded rounded[DQ_CODED_TOGETHER]) {
    const int64_t in = p->weight[0]->in, blocks = (in + BLOCK - 1) / BLOCK, all = p->tokens * in;
    float *d = dq_workspace_shared(compute), *total = d + p->tokens * blocks, *x = total + p->tokens * blocks;
    int8_t *q = (int8_t *)(x + all);
    bool wanted = false; /* x', by weights without a form for bytes */
    round_tokens(p->x, p->tokens, in, d, total, q);
    for (int i = 0; i < p->count; i++) {
        rounded[i] = (dq_rounded){.d = d, .total = total};
        if (dq_coded_has_blocks(p->weight[i]))
            rounded[i].q = arranged(p->weight[i], q, p->tokens, q + (i + 1) * all);
        else
            wanted = true;
    }
    dq_coded_product with = *p;
    with.x = x;
    if (wanted) take_back(p->tokens, in, d, q, x);
    return with;
}
