/* Products with packed weights, unpacked in registers (coded_forms.h), weight by weight here, or only their codes (coded_runs.c). Rows
 * that are not made of runs of whole pairs of vectors are decoded into a buffer first; for more than a few tokens all rows are
 * (coded_many.c), and with x of 8 bits none (coded_bytes.c).
 *
 * A row's sum runs in two vectors, even and odd ones of the row, added at its end. So few registers are enough for one
 * token with two rows at a time, which hides the latency of the sums, and for four tokens. */
#include <omp.h>
#include <string.h>

#include "kernels/rounded.h"
#include "kernels/vector/array.h"
#include "kernels/vector/coded_forms.h"
#include "kernels/workspace.h"

enum {
    W = DQ_VEC_WIDTH,
    PAIR = 2 * W,
    TOKENS = DQ_CODED_TOKENS,
    ROWS = DQ_CODED_ROWS,
    /* Below this many weights a second thread is not worth waking. */
    SMALL = 16384
};
_Static_assert(DQ_ROUNDED_TOKENS <= (int)DQ_CODED_FEW, "x of 8 bits comes for few tokens at a time");

DQ_INLINE void take(int tokens, const float *x, int64_t in, dq_vec weights, dq_vec sum[TOKENS][2], int which) {
    for (int t = 0; t < tokens; t++) sum[t][which] = dq_vec_fma(weights, dq_vec_load(x + t * in), sum[t][which]);
}

DQ_INLINE void dot_stream(dq_form f, int rows, int tokens, const dq_coded_task *k, dq_vec sum[ROWS][TOKENS][2]) {
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

DQ_INLINE void dot_blocks(dq_form f, int rows, int tokens, const dq_coded_task *k, dq_vec sum[ROWS][TOKENS][2]) {
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

DQ_INLINE void dot_numbers(dq_form f, int rows, int tokens, const dq_coded_task *k, dq_vec sum[ROWS][TOKENS][2]) {
    for (int64_t j = 0; j < k->w->in; j += PAIR)
        for (int v = 0; v < 2; v++)
            for (int r = 0; r < rows; r++) {
                const uint8_t *at = k->codes[r] + 2 * (j + v * W);
                __builtin_prefetch(at + DQ_CODED_AHEAD);
                dq_vec weights = f.coding == DQ_CODING_F16 ? dq_vec_load_f16(at) : dq_vec_load_bf16(at);
                take(tokens, k->x + j + v * W, k->w->in, weights, sum[r], v);
            }
}

DQ_INLINE void dot(dq_form f, int rows, int tokens, dq_coded_task *k) {
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

DQ_CODED_DOTS(dot)
DQ_CODED_DOT(dot_f16, dot, DQ_CODING_F16, 0)
DQ_CODED_DOT(dot_bf16, dot, DQ_CODING_BF16, 0)

/* NULL: the rows are decoded into a buffer first; also where the last of them would not fit the workspace (codes_of). */
static dq_coded_dot_fn *dot_of(const dq_coded *w) {
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

static void dot_decoded(int tokens, dq_coded_task *k) {
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

const uint8_t *NAME(coded_codes)(const dq_coded *w, int64_t place, uint8_t *space) {
    const uint8_t *codes = (const uint8_t *)w->codes + place * w->row_bytes;
    int64_t bytes = (w->in * w->bits + 7) / 8;
    if (w->coding != DQ_CODING_BITS || w->row_bytes * (w->out - place) >= bytes + DQ_CODED_REACH) return codes;
    memset(space + bytes, 0, DQ_CODED_REACH);
    return memcpy(space, codes, (size_t)bytes);
}

static void put_sums(const dq_coded_product *p, int i, const dq_coded_task *k, int rows, int tokens,
                     int64_t first_token) {
    for (int r = 0; r < rows; r++) {
        const int64_t row = dq_coded_row_at(k->w, k->place + r);
        for (int t = 0; t < tokens; t++) {
            float *y = p->y[i] + (first_token + t) * k->w->out + row;
            *y = p->accumulate ? *y + k->sum[r][t] : k->sum[r][t];
        }
    }
}

/* What is made of x before its products: one of the two, or neither. */
typedef struct prepared {
    dq_rounded rounded[DQ_CODED_TOGETHER];
    dq_runs_input runs;
} prepared;

/* Rows at places [first, end) of weight i. */
static void multiply_rows(const dq_coded_product *p, int i, const prepared *of_x, int64_t first, int64_t end,
                          uint8_t *space) {
    const dq_coded *w = p->weight[i];
    const dq_rounded *x = &of_x->rounded[i];
    if (!x->q && p->tokens > DQ_CODED_FEW) {
        NAME(coded_many)(p, i, first, end, (float *)(void *)space);
        return;
    }
    if (!x->q && NAME(coded_runs_suit)(w)) {
        NAME(coded_runs)(p, i, &of_x->runs, first, end, space);
        return;
    }
    const int64_t blocks = w->in / DQ_CODED_BLOCK;
    dq_coded_dot_fn *f = x->q ? NAME(coded_bytes_dot)(w) : dot_of(w);
    for (int64_t start = 0; start < p->tokens; start += TOKENS) {
        const int tokens = p->tokens - start < TOKENS ? (int)(p->tokens - start) : TOKENS;
        for (int64_t place = first; place < end;) {
            const int rows = f && tokens <= 2 && end - place >= ROWS ? ROWS : 1;
            dq_coded_task k = {.w = w, .place = place, .x = p->x + start * w->in};
            if (x->q) k.rounded = (dq_rounded){x->q + start * w->in, x->d + start * blocks, x->total + start * blocks};
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

static int64_t pieces_of(const dq_coded *w, int64_t rows) {
    return (w->out + rows - 1) / rows;
}

static void multiply_all(const dq_compute *compute, const dq_coded_product *p, const prepared *of_x) {
    int64_t all = 0;
    for (int i = 0; i < p->count; i++) all += p->weight[i]->out;
    if (all == 0 || p->tokens == 0) return;
    /* Pieces of like size, some for each thread, so that one that is held up loses little. */
    const int threads = all * p->weight[0]->in < SMALL ? 1 : compute->threads;
    int64_t rows = all / (threads * (int64_t)4) / ROWS * ROWS, pieces = 0;
    if (rows < 8) rows = 8;
    for (int i = 0; i < p->count; i++) pieces += pieces_of(p->weight[i], rows);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t piece = 0; piece < pieces; piece++) {
        int i = 0;
        int64_t at = piece;
        for (; at >= pieces_of(p->weight[i], rows); i++) at -= pieces_of(p->weight[i], rows);
        const int64_t first = at * rows, left = p->weight[i]->out - first;
        multiply_rows(p, i, of_x, first, first + (left < rows ? left : rows),
                      (uint8_t *)dq_workspace_thread(compute, omp_get_thread_num()));
    }
}

void NAME(coded_multiply)(const dq_compute *compute, const dq_coded_product *p) {
    if (p->count == 0) return;
    const int64_t in = p->weight[0]->in;
    const bool int8 = p->int8 && in <= DQ_ROUNDED_WIDEST;
    const bool many = !int8 && p->tokens > DQ_CODED_FEW && NAME(coded_many_suits)(in);
    const int64_t most = int8 ? DQ_ROUNDED_TOKENS : many ? p->tokens : DQ_CODED_FEW;
    for (int64_t start = 0; start < p->tokens; start += most) {
        dq_coded_product part = *p;
        part.tokens = p->tokens - start < most ? p->tokens - start : most;
        part.x += start * in;
        for (int i = 0; i < p->count; i++) part.y[i] += start * p->weight[i]->out;
        prepared of_x = {.runs = {.total = NULL}};
        if (int8)
            part = NAME(coded_round)(compute, &part, of_x.rounded);
        else if (!many)
            of_x.runs = NAME(coded_runs_input)(compute, &part);
        multiply_all(compute, &part, &of_x);
    }
}
