/* Packing weights straight from their codes: a slice of bf16/gemm.c. Where 2^bits values fit a vector the values that a run of
 * columns can have are made once, rounded to bf16, and every code picks its own, two at a time. So nothing is unpacked to f32, and
 * what is packed is, bit for bit, what packing the rows of dq_kernels.coded_rows gives. */
#ifndef DQ_KERNELS_BF16_CODED_PAIRS_H
#define DQ_KERNELS_BF16_CODED_PAIRS_H

#include "kernels/bf16/pair.h"
#include "kernels/coded.h"

/* Columns that are taken at one time. They have one scale and offset, and are a sliver of B where columns are lanes. */
enum { DQ_CODED_RUN = 2 * DQ_VEC_WIDTH };
_Static_assert(DQ_CODED_RUN == (int)DQ_CODED_BLOCK, "a block is a run");

DQ_INLINE bool dq_coded_pairs_admit(const dq_coded *w) {
    if (w->coding == DQ_CODING_Q4_0 || w->coding == DQ_CODING_Q4_1) return true;
    return w->coding == DQ_CODING_BITS && w->bits == 8 && w->code_bits > 0 && 1 << w->code_bits <= DQ_VEC_WIDTH &&
           w->group % DQ_CODED_RUN == 0 && w->scale_type == DQ_SCALE_F32;
}

/* A row: its codes, or blocks, and its scales and offsets. */
typedef struct dq_coded_line {
    const uint8_t *codes;
    const float *scales, *offsets;
} dq_coded_line;

DQ_INLINE dq_coded_line dq_coded_line_of(dq_coding coding, const dq_coded *w, int64_t groups, int64_t row) {
    const int64_t place = dq_coded_place(w, row);
    dq_coded_line line = {.codes = (const uint8_t *)w->codes + place * w->row_bytes};
    if (coding == DQ_CODING_BITS) {
        line.scales = (const float *)w->scales + place * groups;
        line.offsets = (const float *)w->offsets + place * groups;
    }
    return line;
}

/* Where a run lies in any row: the bytes before its codes or its block, its group, and how many columns of one scale there are from
 * there on. */
typedef struct dq_coded_run {
    int64_t byte, group, left;
} dq_coded_run;

DQ_INLINE dq_coded_run dq_coded_run_of(dq_coding coding, const dq_coded *w, int64_t column) {
    if (coding == DQ_CODING_BITS) return (dq_coded_run){column, column / w->group, w->group - column % w->group};
    return (dq_coded_run){column / DQ_CODED_BLOCK * dq_coded_block_bytes(coding), 0, DQ_CODED_BLOCK};
}

/* The values of codes 0, 1, .. as dq_kernels.coded_rows makes them. */
DQ_INLINE dq_vec dq_coded_levels(dq_coding coding, const dq_coded_line *line, dq_coded_run run) {
    const dq_vec u = dq_vec_of_ints(dq_ints_count());
    if (coding == DQ_CODING_BITS)
        return dq_vec_add(dq_vec_mul(dq_vec_set(line->scales[run.group]), u), dq_vec_set(line->offsets[run.group]));
    const uint8_t *block = line->codes + run.byte;
    const dq_vec d = dq_vec_set_f16(block);
    if (coding == DQ_CODING_Q4_1) return dq_vec_add(dq_vec_mul(d, u), dq_vec_set_f16(block + 2));
    return dq_vec_mul(d, dq_vec_sub(u, dq_vec_set(8)));
}

/* The codes themselves, a byte or a nibble each. */
DQ_INLINE const uint8_t *dq_coded_codes(dq_coding coding, const dq_coded_line *line, int64_t byte) {
    return line->codes + byte + (coding == DQ_CODING_Q4_1 ? 4 : coding == DQ_CODING_Q4_0 ? 2 : 0);
}

/* Steps are columns, [column, column + depth), lanes W rows from `row` on, of which `lanes` are there (none, or all, if it
 * is below 0 or above W). A pair is two columns of a row;
 * out: the first of the lanes at the first step, `width` words to the next pair. */
DQ_INLINE void dq_coded_put_columns(dq_coding coding, const dq_coded *w, int64_t row, int lanes, int64_t column,
                                    int depth, uint32_t *out, int width) {
    enum { W = DQ_VEC_WIDTH };
    const int64_t groups = coding == DQ_CODING_BITS ? w->in / w->group : 0;
    dq_coded_line line[W];
    for (int i = 0; i < W; i++) line[i] = dq_coded_line_of(coding, w, groups, row + (i < lanes ? i : 0));
    for (int done = 0; done < depth;) {
        dq_coded_run run = dq_coded_run_of(coding, w, column + done);
        dq_pair levels[W];
        for (int i = 0; i < W; i++) {
            const dq_vec values = dq_coded_levels(coding, &line[i], run);
            levels[i] = i < lanes ? dq_pair_along(values, values) : dq_pair_zero();
        }
        for (; run.left > 0 && done < depth; run.left -= DQ_CODED_RUN, run.byte += DQ_CODED_RUN) {
            dq_pair square[W];
            for (int i = 0; i < W; i++) {
                const uint8_t *codes = dq_coded_codes(coding, &line[i], run.byte);
                square[i] =
                    dq_pair_pick(levels[i], coding == DQ_CODING_BITS ? dq_pair_bytes(codes) : dq_pair_nibbles(codes));
            }
            dq_pair_transpose(square);
            for (int i = 0; i < W; i++) dq_pair_store(out + i * width, square[i]);
            done += DQ_CODED_RUN;
            out += W * width;
        }
    }
}

/* Steps are rows, [row, row + depth), which become zeros up to `steps`, lanes columns [column, column + lanes), whole runs: a sliver
 * each, `apart` words from one another. A pair is two rows of a column. */
DQ_INLINE void dq_coded_put_rows(dq_coding coding, const dq_coded *w, int64_t column, int64_t lanes, int64_t row,
                                 int depth, int steps, uint32_t *out, int64_t apart) {
    enum { W = DQ_VEC_WIDTH };
    const int64_t groups = coding == DQ_CODING_BITS ? w->in / w->group : 0;
    for (int p = 0; p < steps; p += 2, out += DQ_CODED_RUN) {
        const bool there = p < depth, both = p + 1 < depth;
        const dq_coded_line first = dq_coded_line_of(coding, w, groups, row + (there ? p : 0));
        const dq_coded_line second = both ? dq_coded_line_of(coding, w, groups, row + p + 1) : first;
        uint32_t *to = out;
        for (int64_t lane = 0; lane < lanes;) {
            dq_coded_run run = dq_coded_run_of(coding, w, column + lane);
            const dq_vec a = dq_coded_levels(coding, &first, run), b = dq_coded_levels(coding, &second, run);
            const dq_pair levels = there ? dq_pair_along(a, both ? b : dq_vec_zero()) : dq_pair_zero();
            for (; run.left > 0 && lane < lanes; run.left -= DQ_CODED_RUN, run.byte += DQ_CODED_RUN) {
                const uint8_t *x = dq_coded_codes(coding, &first, run.byte),
                              *y = dq_coded_codes(coding, &second, run.byte);
                for (int v = 0; v < 2; v++)
                    dq_pair_store(to + v * W,
                                  dq_pair_pick(levels, coding == DQ_CODING_BITS ? dq_pair_bytes_of(x + v * W, y + v * W)
                                                                                : dq_pair_nibbles_of(x, y, v == 1)));
                lane += DQ_CODED_RUN;
                to += apart;
            }
        }
    }
}

#endif
