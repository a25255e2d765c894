/* Products with packed weights: which way each of them goes, and threads. For a few tokens codes are unpacked in registers, weight by
 * weight (coded_weights.c) or in sums that are scaled (coded_runs.c), with x of 8 bits as bytes (coded_bytes.c); for more, rows are
 * decoded (coded_many.c). */
#include <omp.h>
#include <string.h>

#include "kernels/rounded.h"
#include "kernels/vector/coded_task.h"
#include "kernels/workspace.h"

enum {
    TOKENS = DQ_CODED_TOKENS,
    /* Below this many weights a second thread is not worth waking. */
    SMALL = 16384,
    PIECE_ROWS = 2 /* pieces of rows are of a multiple of this */
};
_Static_assert(DQ_ROUNDED_TOKENS <= (int)DQ_CODED_FEW, "x of 8 bits comes for few tokens at a time");

const uint8_t *NAME(coded_codes)(const dq_coded *w, int64_t place, uint8_t *space) {
    const uint8_t *codes = (const uint8_t *)w->codes + place * w->row_bytes;
    int64_t bytes = (w->in * w->bits + 7) / 8;
    if (w->coding != DQ_CODING_BITS || w->row_bytes * (w->out - place) >= bytes + DQ_CODED_REACH) return codes;
    memset(space + bytes, 0, DQ_CODED_REACH);
    return memcpy(space, codes, (size_t)bytes);
}

/* What is made of x before its products, for each weight: one of the two, or neither. */
typedef struct prepared {
    dq_rounded rounded[DQ_CODED_TOGETHER];
    dq_x x[DQ_CODED_TOGETHER];
} prepared;

/* Rows at places [first, end) of weight i, all of one block of tokens after the other. */
static void multiply_blocks(const dq_coded_product *p, int i, const prepared *of, int64_t first, int64_t end,
                            uint8_t *space) {
    const dq_coded *w = p->weight[i];
    const dq_rounded *rounded = &of->rounded[i];
    const dq_x *x = &of->x[i];
    const int64_t blocks = w->in / DQ_CODED_BLOCK;
    dq_coded_rows_of_fn *rows = rounded->q ? NAME(coded_bytes_rows)(w) : NAME(coded_runs_rows)(w);
    const uint8_t *last = NULL;
    if (w->coding == DQ_CODING_BITS && end == w->out && first < end) last = NAME(coded_codes)(w, end - 1, space);
    for (int64_t t = 0; t < p->tokens; t += TOKENS) {
        dq_coded_columns k = {.y = p->y[i] + t * w->out, .accumulate = p->accumulate};
        if (rounded->q)
            k.rounded = (dq_rounded){rounded->q + t * w->in, rounded->d + t * blocks, rounded->total + t * blocks};
        else
            k.x = (dq_x){x->x + t * w->in, x->total + t * blocks};
        rows(p->tokens - t < TOKENS ? (int)(p->tokens - t) : TOKENS, w, first, end, last, &k);
    }
}

static void multiply_rows(const dq_coded_product *p, int i, const prepared *of, int64_t first, int64_t end,
                          uint8_t *space) {
    if (of->rounded[i].q || of->x[i].x)
        multiply_blocks(p, i, of, first, end, space);
    else if (p->tokens > DQ_CODED_FEW)
        NAME(coded_many)(p, i, first, end, (float *)(void *)space);
    else
        NAME(coded_weights)(p, i, first, end, space);
}

static int64_t pieces_of(const dq_coded *w, int64_t rows) {
    return (w->out + rows - 1) / rows;
}

static void multiply_all(const dq_compute *compute, const dq_coded_product *p, const prepared *of) {
    int64_t all = 0;
    for (int i = 0; i < p->count; i++) all += p->weight[i]->out;
    if (all == 0 || p->tokens == 0) return;
    /* Pieces of like size, some for each thread, so that one that is held up loses little. */
    const int threads = all * p->weight[0]->in < SMALL ? 1 : compute->threads;
    int64_t rows = all / (threads * (int64_t)4) / PIECE_ROWS * PIECE_ROWS, pieces = 0;
    if (rows < 8) rows = 8;
    for (int i = 0; i < p->count; i++) pieces += pieces_of(p->weight[i], rows);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t piece = 0; piece < pieces; piece++) {
        int i = 0;
        int64_t at = piece;
        for (; at >= pieces_of(p->weight[i], rows); i++) at -= pieces_of(p->weight[i], rows);
        const int64_t first = at * rows, left = p->weight[i]->out - first;
        multiply_rows(p, i, of, first, first + (left < rows ? left : rows),
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
        prepared of = {.x = {{NULL, NULL}}};
        if (int8)
            part = NAME(coded_round)(compute, &part, of.rounded);
        else if (!many)
            NAME(coded_runs_input)(compute, &part, of.x);
        multiply_all(compute, &part, &of);
    }
}
