/* Inside the vector kernels: the forms of packed weights (kernels/coded.h) in vectors.
 *
 * A run is what shares one pair of scale and offset: a group of columns, or a block. Where 2^bits codes fit a vector of sixteen their
 * weights are computed once for a run, and a code picks its own; otherwise a fused multiply-add makes each. */
#ifndef DQ_KERNELS_VECTOR_CODED_FORMS_H
#define DQ_KERNELS_VECTOR_CODED_FORMS_H

#include "kernels/vector/coded_grid.h"

DQ_INLINE bool dq_form_has_blocks(dq_form f) {
    return f.coding >= DQ_CODING_Q4_0 && f.coding <= DQ_CODING_Q8_0;
}
DQ_INLINE bool dq_form_has_five(dq_form f) {
    return f.coding == DQ_CODING_Q5_0 || f.coding == DQ_CODING_Q5_1;
}
DQ_INLINE bool dq_form_has_minimum(dq_form f) {
    return f.coding == DQ_CODING_Q4_1 || f.coding == DQ_CODING_Q5_1;
}

/* ---- Codes ---- */

/* The codes of vector v of a block. Lanes may hold more than the code, unless clean. */
DQ_INLINE dq_ints dq_block_codes(dq_form f, const uint8_t *block, int v, bool clean) {
    if (f.coding == DQ_CODING_Q8_0) return dq_ints_signed_bytes(block + 2 + v * DQ_VEC_WIDTH);
    const uint8_t *high = block + (dq_form_has_minimum(f) ? 4 : 2), *nibbles = high + (dq_form_has_five(f) ? 4 : 0);
    dq_ints u = dq_ints_bytes(nibbles + v * DQ_VEC_WIDTH % 16);
    if (v * DQ_VEC_WIDTH >= 16)
        u = dq_ints_right(u, 4);
    else if (clean || dq_form_has_five(f))
        u = dq_ints_and(u, 15);
    if (dq_form_has_five(f))
        u = dq_ints_or(u, dq_ints_and(dq_ints_left(dq_ints_stream(high + v * DQ_VEC_WIDTH / 8, 1), 4), 16));
    return u;
}

DQ_INLINE int dq_form_bits(dq_form f) {
    return f.coding == DQ_CODING_BITS ? f.bits : f.coding == DQ_CODING_Q8_0 ? 8 : dq_form_has_five(f) ? 5 : 4;
}

/* ---- Scale and offset of a run ---- */

typedef struct dq_run {
    dq_vec scale, offset;
} dq_run;

DQ_INLINE dq_vec dq_run_number(dq_scale_type type, const void *scales, int64_t at) {
    if (type == DQ_SCALE_F16) return dq_vec_set_f16((const uint8_t *)scales + 2 * at);
    return dq_vec_set(dq_scale_number(type, scales, at));
}

DQ_INLINE dq_run dq_run_of_stream(const dq_coded *w, int64_t at) {
    return (dq_run){dq_run_number(w->scale_type, w->scales, at), dq_run_number(w->scale_type, w->offsets, at)};
}

/* The offset of the forms without one centres their codes: d u - 8 d is d (u - 8), exactly. */
DQ_INLINE dq_run dq_run_of_block(dq_form f, const uint8_t *block) {
    dq_run g = {dq_vec_set_f16(block), dq_vec_zero()};
    if (dq_form_has_minimum(f))
        g.offset = dq_vec_set_f16(block + 2);
    else if (f.coding != DQ_CODING_Q8_0)
        g.offset = dq_vec_mul(g.scale, dq_vec_set(dq_form_has_five(f) ? -16.0f : -8.0f));
    return g;
}

/* Whether the weights of a run are a table, which then stands in dq_run.scale. In narrower vectors picking from one costs as much as
 * turning codes into f32. */
DQ_INLINE bool dq_run_is_table(dq_form f) {
    return DQ_VEC_WIDTH >= 16 && 1 << dq_form_bits(f) <= DQ_VEC_WIDTH;
}

DQ_INLINE dq_vec dq_run_table(dq_form f, dq_run g) {
    dq_vec u = dq_vec_of_ints(dq_ints_and(dq_ints_count(), (1 << dq_form_bits(f)) - 1));
    return dq_vec_add(dq_vec_mul(g.scale, u), g.offset);
}

DQ_INLINE dq_vec dq_run_weights(dq_form f, const dq_run *g, dq_ints codes) {
    if (dq_run_is_table(f)) return dq_vec_pick(g->scale, codes);
    dq_vec u = dq_vec_of_ints(codes);
    return f.coding == DQ_CODING_Q8_0 ? dq_vec_mul(g->scale, u) : dq_vec_fma(g->scale, u, g->offset);
}

#endif
