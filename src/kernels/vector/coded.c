/* Packed weights, unpacked in registers.
 *
 * A run is what shares one pair of scale and offset: a group of columns, or a block. Where 2^bits codes fit a vector their
 * weights are computed once for a run, and a code picks its own; otherwise a fused multiply-add makes each. Rows that are
 * not made of runs of whole pairs of vectors are decoded into a buffer first.
 *
 * A row's sum runs in two vectors, even and odd ones of the row, added at its end. So few registers are enough for one
 * token with two rows at a time, which hides the latency of the sums, and for four tokens. */
#include "kernels/coded.h"

#include <omp.h>
#include <string.h>

#include "base/half.h"
#include "kernels/rounded.h"
#include "kernels/vector/array.h"
#include "kernels/vector/coded_task.h"
#include "kernels/workspace.h"

enum {
    W = DQ_VEC_WIDTH,
    PAIR = 2 * W,
    PIECE = 512, /* columns decoded at once: whole blocks, and whole bytes of codes */
    TOKENS = DQ_CODED_TOKENS,
    ROWS = DQ_CODED_ROWS,
    REACH = (int)DQ_STREAM_REACH > (int)DQ_BYTES_REACH ? (int)DQ_STREAM_REACH : (int)DQ_BYTES_REACH,
    /* Below this many weights a second thread is not worth waking. */
    SMALL = 16384
};

DQ_INLINE bool is_block(dq_form f) {
    return f.coding >= DQ_CODING_Q4_0 && f.coding <= DQ_CODING_Q8_0;
}
DQ_INLINE bool has_five(dq_form f) {
    return f.coding == DQ_CODING_Q5_0 || f.coding == DQ_CODING_Q5_1;
}
DQ_INLINE bool has_minimum(dq_form f) {
    return f.coding == DQ_CODING_Q4_1 || f.coding == DQ_CODING_Q5_1;
}

/* ---- Codes ---- */

/* The codes of vector v of a block. Lanes may hold more than the code, unless clean. */
DQ_INLINE dq_ints block_codes(dq_form f, const uint8_t *block, int v, bool clean) {
    if (f.coding == DQ_CODING_Q8_0) return dq_ints_signed_bytes(block + 2 + v * W);
    const uint8_t *high = block + (has_minimum(f) ? 4 : 2), *nibbles = high + (has_five(f) ? 4 : 0);
    dq_ints u = dq_ints_bytes(nibbles + v * W % 16);
    if (v * W >= 16)
        u = dq_ints_right(u, 4);
    else if (clean || has_five(f))
        u = dq_ints_and(u, 15);
    if (has_five(f)) u = dq_ints_or(u, dq_ints_and(dq_ints_left(dq_ints_stream(high + v * W / 8, 1), 4), 16));
    return u;
}

DQ_INLINE int code_bits(dq_form f) {
    return f.coding == DQ_CODING_BITS ? f.bits : f.coding == DQ_CODING_Q8_0 ? 8 : has_five(f) ? 5 : 4;
}

/* ---- Scale and offset of a run ---- */

typedef struct grid {
    dq_vec scale, offset;
} grid;

DQ_INLINE dq_vec scale_at(dq_scale_type type, const void *scales, int64_t at) {
    const uint8_t *bytes = scales;
    if (type == DQ_SCALE_F16) return dq_vec_set_f16(bytes + 2 * at);
    if (type == DQ_SCALE_F32) return dq_vec_set(((const float *)scales)[at]);
    return dq_vec_set(dq_bf16_to_f32(((const uint16_t *)scales)[at]));
}

DQ_INLINE grid stream_grid(const dq_coded *w, int64_t at) {
    return (grid){scale_at(w->scale_type, w->scales, at), scale_at(w->scale_type, w->offsets, at)};
}

/* The offset of the forms without one centres their codes: d u - 8 d is d (u - 8), exactly. */
DQ_INLINE grid block_grid(dq_form f, const uint8_t *block) {
    grid g = {dq_vec_set_f16(block), dq_vec_zero()};
    if (has_minimum(f))
        g.offset = dq_vec_set_f16(block + 2);
    else if (f.coding != DQ_CODING_Q8_0)
        g.offset = dq_vec_mul(g.scale, dq_vec_set(has_five(f) ? -16.0f : -8.0f));
    return g;
}

/* Whether the weights of a run are a table, which then stands in grid.scale. */
DQ_INLINE bool tabular(dq_form f) {
    return 1 << code_bits(f) <= W;
}

DQ_INLINE dq_vec grid_table(dq_form f, grid g) {
    dq_vec u = dq_vec_of_ints(dq_ints_and(dq_ints_count(), (1 << code_bits(f)) - 1));
    return dq_vec_add(dq_vec_mul(g.scale, u), g.offset);
}

DQ_INLINE dq_vec weights_of(dq_form f, const grid *g, dq_ints codes) {
    if (tabular(f)) return dq_vec_pick(g->scale, codes);
    dq_vec u = dq_vec_of_ints(codes);
    return f.coding == DQ_CODING_Q8_0 ? dq_vec_mul(g->scale, u) : dq_vec_fma(g->scale, u, g->offset);
}

/* ---- Rows ---- */

/* The codes of vector j of a stream as floats; available: bytes that may be read from there. */
DQ_INLINE dq_vec codes_at(const uint8_t *codes, int64_t available, int bits) {
    uint8_t last[DQ_STREAM_REACH] = {0};
    if (available < DQ_STREAM_REACH) codes = memcpy(last, codes, (size_t)available);
    return dq_vec_of_ints(dq_ints_and(dq_ints_stream(codes, bits), (1 << bits) - 1));
}

/* n columns of a row from column `first` on, which stands on a byte border. */
DQ_INLINE void decode_bits(int bits, const dq_coded *w, const uint8_t *codes, int64_t place, int64_t first, int64_t n,
                           float *dst) {
    const int64_t bytes = W * bits / 8, begun = first / w->group; /* divisions are slow: none for every group */
    int64_t available = (w->in * bits + 7) / 8 - first / 8 * bits;
    codes += first / 8 * bits;
    /* Groups of whole vectors are scaled as they are unpacked; of others a vector may hold the codes of two. */
    const bool whole = w->group % W == 0;
    for (int64_t j = 0; !whole && j < n; j += W)
        dq_put(dst + j, codes_at(codes + j / W * bytes, available - j / W * bytes, bits), dq_lanes(n, j));
    int64_t end = (begun + 1) * w->group - first, at = place * (w->in / w->group) + begun;
    for (int64_t j = 0; j < n; end += w->group, at++) {
        const int64_t stop = end < n ? end : n;
        const grid g = stream_grid(w, at);
        for (; whole && j < stop; j += W, codes += bytes, available -= bytes)
            dq_vec_store(dst + j, dq_vec_add(dq_vec_mul(g.scale, codes_at(codes, available, bits)), g.offset));
        for (; j < stop; j += W) {
            const int lanes = dq_lanes(stop, j);
            dq_put(dst + j, dq_vec_add(dq_vec_mul(g.scale, dq_get(dst + j, lanes)), g.offset), lanes);
        }
        j = stop;
    }
}

static void decode_stream(const dq_coded *w, const uint8_t *codes, int64_t place, int64_t first, int64_t n,
                          float *dst) {
    switch (w->bits) {
    case 2:
        decode_bits(2, w, codes, place, first, n, dst);
        break;
    case 3:
        decode_bits(3, w, codes, place, first, n, dst);
        break;
    case 4:
        decode_bits(4, w, codes, place, first, n, dst);
        break;
    case 5:
        decode_bits(5, w, codes, place, first, n, dst);
        break;
    case 6:
        decode_bits(6, w, codes, place, first, n, dst);
        break;
    case 7:
        decode_bits(7, w, codes, place, first, n, dst);
        break;
    default:
        decode_bits(8, w, codes, place, first, n, dst);
    }
}

/* As the reference rounds it: the sign of a zero is d's where there is no minimum. */
DQ_INLINE void decode_blocks(dq_form f, const uint8_t *block, int64_t n, float *dst) {
    for (int64_t j = 0; j < n; j += DQ_CODED_BLOCK, block += dq_coded_block_bytes(f.coding)) {
        const grid g = block_grid(f, block);
        for (int v = 0; v < DQ_CODED_BLOCK / W; v++) {
            dq_vec u = dq_vec_of_ints(block_codes(f, block, v, true));
            if (f.coding == DQ_CODING_Q4_0) u = dq_vec_sub(u, dq_vec_set(8));
            if (f.coding == DQ_CODING_Q5_0) u = dq_vec_sub(u, dq_vec_set(16));
            dq_vec value = dq_vec_mul(g.scale, u);
            dq_vec_store(dst + j + v * W, has_minimum(f) ? dq_vec_add(value, g.offset) : value);
        }
    }
}

static void decode_numbers(dq_coding coding, const uint8_t *from, int64_t n, float *dst) {
    for (int64_t j = 0; j < n; j += W) {
        const int lanes = dq_lanes(n, j);
        uint8_t last[2 * W] = {0};
        const uint8_t *at = from + 2 * j;
        if (lanes < W) at = memcpy(last, at, (size_t)lanes * 2);
        dq_put(dst + j, coding == DQ_CODING_F16 ? dq_vec_load_f16(at) : dq_vec_load_bf16(at), lanes);
    }
}

/* Columns [first, first + n) of the row at a place; first is a multiple of PIECE. */
static void decode(const dq_coded *w, int64_t place, int64_t first, int64_t n, float *dst) {
    const uint8_t *codes = (const uint8_t *)w->codes + place * w->row_bytes;
    const uint8_t *block = codes + first / DQ_CODED_BLOCK * dq_coded_block_bytes(w->coding);
    switch (w->coding) {
    case DQ_CODING_NONE:
        break;
    case DQ_CODING_BITS:
        decode_stream(w, codes, place, first, n, dst);
        break;
    case DQ_CODING_Q4_0:
        decode_blocks((dq_form){.coding = DQ_CODING_Q4_0}, block, n, dst);
        break;
    case DQ_CODING_Q4_1:
        decode_blocks((dq_form){.coding = DQ_CODING_Q4_1}, block, n, dst);
        break;
    case DQ_CODING_Q5_0:
        decode_blocks((dq_form){.coding = DQ_CODING_Q5_0}, block, n, dst);
        break;
    case DQ_CODING_Q5_1:
        decode_blocks((dq_form){.coding = DQ_CODING_Q5_1}, block, n, dst);
        break;
    case DQ_CODING_Q8_0:
        decode_blocks((dq_form){.coding = DQ_CODING_Q8_0}, block, n, dst);
        break;
    case DQ_CODING_F16:
    case DQ_CODING_BF16:
        decode_numbers(w->coding, codes + 2 * first, n, dst);
        break;
    }
}

void NAME(coded_rows)(const dq_coded *w, int64_t first, int64_t count, float *dst) {
    for (int64_t row = first; row < first + count; row++, dst += w->in) {
        const int64_t place = dq_coded_place(w, row);
        for (int64_t j = 0; j < w->in; j += PIECE) decode(w, place, j, w->in - j < PIECE ? w->in - j : PIECE, dst + j);
    }
}

/* ---- Products ---- */

DQ_INLINE void take(int tokens, const float *x, int64_t in, dq_vec weights, dq_vec sum[TOKENS][2], int which) {
    for (int t = 0; t < tokens; t++) sum[t][which] = dq_vec_fma(weights, dq_vec_load(x + t * in), sum[t][which]);
}

DQ_INLINE void dot_stream(dq_form f, int rows, int tokens, const dq_coded_task *k, dq_vec sum[ROWS][TOKENS][2]) {
    const dq_coded *w = k->w;
    const int64_t in = w->in, group = w->group, groups = in / group;
    const uint8_t *codes[ROWS];
    for (int r = 0; r < rows; r++) codes[r] = k->codes[r];
    for (int64_t i = 0; i < groups; i++) {
        grid g[ROWS];
        for (int r = 0; r < rows; r++) {
            g[r] = stream_grid(w, (k->place + r) * groups + i);
            if (tabular(f)) g[r].scale = grid_table(f, g[r]);
        }
        for (int r = 0; r < rows; r++) __builtin_prefetch(codes[r] + DQ_CODED_AHEAD);
        for (const float *x = k->x + i * group, *end = x + group; x < end; x += PAIR)
            for (int v = 0; v < 2; v++)
                for (int r = 0; r < rows; r++) {
                    dq_ints u = dq_ints_stream(codes[r], f.bits);
                    if (!tabular(f) && f.bits < 8) u = dq_ints_and(u, (1 << f.bits) - 1);
                    take(tokens, x + v * W, in, weights_of(f, &g[r], u), sum[r], v);
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
            grid g = block_grid(f, block);
            if (tabular(f)) g.scale = grid_table(f, g);
            for (int v = 0; v < DQ_CODED_BLOCK / W; v++)
                take(tokens, k->x + i * DQ_CODED_BLOCK + v * W, in,
                     weights_of(f, &g, block_codes(f, block, v, !tabular(f))), sum[r], v % 2);
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
    else if (is_block(f))
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
    if ((w->in * w->bits + 7) / 8 + REACH > DQ_WORKSPACE_THREAD / ROWS) return NULL;
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
    for (int64_t first = 0; first < w->in; first += PIECE) {
        const int64_t n = w->in - first < PIECE ? w->in - first : PIECE;
        float piece[PIECE];
        decode(w, k->place, first, n, piece);
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

/* The codes of a row. A vector may read a little beyond them: of the last row that would be beyond the matrix, so it is
 * copied. */
static const uint8_t *codes_of(const dq_coded *w, int64_t place, uint8_t *space) {
    const uint8_t *codes = (const uint8_t *)w->codes + place * w->row_bytes;
    int64_t bytes = (w->in * w->bits + 7) / 8;
    if (w->coding != DQ_CODING_BITS || w->row_bytes * (w->out - place) >= bytes + REACH) return codes;
    memset(space + bytes, 0, REACH);
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

/* Rows at places [first, end) of weight i. */
static void multiply_rows(const dq_coded_product *p, int i, const dq_rounded *x, int64_t first, int64_t end,
                          uint8_t *space) {
    const dq_coded *w = p->weight[i];
    if (p->tokens > DQ_CODED_FEW && !x->q && NAME(coded_many_suits)(w)) {
        NAME(coded_many)(p, i, first, end, (float *)(void *)space);
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
                    k.codes[r] = codes_of(w, place + r, space + r * (DQ_WORKSPACE_THREAD / ROWS));
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

/* x: as the weights have it where it is rounded; else all NULL. */
static void multiply_all(const dq_compute *compute, const dq_coded_product *p, const dq_rounded x[DQ_CODED_TOGETHER]) {
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
        multiply_rows(p, i, &x[i], first, first + (left < rows ? left : rows),
                      (uint8_t *)dq_workspace_thread(compute, omp_get_thread_num()));
    }
}

void NAME(coded_multiply)(const dq_compute *compute, const dq_coded_product *p) {
    dq_rounded x[DQ_CODED_TOGETHER] = {{0}};
    if (!p->int8 || p->count == 0 || p->weight[0]->in > DQ_ROUNDED_WIDEST) {
        multiply_all(compute, p, x);
        return;
    }
    for (int64_t start = 0; start < p->tokens; start += DQ_ROUNDED_TOKENS) {
        dq_coded_product part = *p;
        part.tokens = p->tokens - start < DQ_ROUNDED_TOKENS ? p->tokens - start : DQ_ROUNDED_TOKENS;
        part.x += start * p->weight[0]->in;
        for (int i = 0; i < p->count; i++) part.y[i] += start * p->weight[i]->out;
        part = NAME(coded_round)(compute, &part, x);
        multiply_all(compute, &part, x);
    }
}
