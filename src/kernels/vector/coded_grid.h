/* Inside the vector kernels: scale S and offset O of a run of packed weights, as numbers. */
#ifndef DQ_KERNELS_VECTOR_CODED_GRID_H
#define DQ_KERNELS_VECTOR_CODED_GRID_H

#include "base/half.h"
#include "kernels/vector/coded_task.h"

typedef struct dq_run_grid {
    float scale, offset;
} dq_run_grid;

DQ_INLINE float dq_scale_number(dq_scale_type type, const void *scales, int64_t at) {
    const uint8_t *bytes = scales;
    if (type == DQ_SCALE_F16) return dq_f16_at(bytes + 2 * at);
    if (type == DQ_SCALE_F32) return ((const float *)scales)[at];
    return dq_bf16_to_f32(((const uint16_t *)scales)[at]);
}

/* Of group `at` of all groups of w, a weight of BITS. */
DQ_INLINE dq_run_grid dq_stream_grid(const dq_coded *w, int64_t at) {
    return (dq_run_grid){dq_scale_number(w->scale_type, w->scales, at), dq_scale_number(w->scale_type, w->offsets, at)};
}

DQ_INLINE dq_run_grid dq_block_grid(dq_form f, const uint8_t *block) {
    dq_run_grid g = {dq_f16_at(block), 0};
    if (f.coding == DQ_CODING_Q4_1 || f.coding == DQ_CODING_Q5_1) g.offset = dq_f16_at(block + 2);
    if (f.coding == DQ_CODING_Q4_0) g.offset = -8 * g.scale;
    if (f.coding == DQ_CODING_Q5_0) g.offset = -16 * g.scale;
    return g;
}

#endif
