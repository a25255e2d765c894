/* Copying part of a matrix into a sliver, which a tile reads from one end to the other:
 *
 *     out[p * width + lane] = x[lane * lane_stride + p * step]    for lane < lanes, p < depth
 *
 * and 0 for lanes up to width. One function for each stride that may be 1. With bf16 the values are rounded on the way. */
#ifndef DQ_KERNELS_VECTOR_PACK_H
#define DQ_KERNELS_VECTOR_PACK_H

#include "kernels/vector/vec.h"

/* How many steps ahead their lines are asked for. */
enum { DQ_PACK_AHEAD = 6 };

DQ_INLINE dq_vec dq_pack_rounded(dq_vec x, bool bf16) {
    return bf16 ? dq_vec_bf16(x) : x;
}

/* Lanes side by side in memory. Several slivers, `apart` values from one another, are filled together: a step's lanes
 * are then read once, where sliver after sliver would come back to the same lines of memory after `depth` others, which
 * often have pushed them out (strides are multiples of few sets of the cache). */
DQ_INLINE void dq_pack_rows(const float *x, int64_t step, int64_t lanes, int slivers, int width, int depth, bool bf16,
                            float *out, int64_t apart) {
    for (int p = 0; p < depth; p++, x += step) {
        /* Steps lie on pages of their own, which the processor's own prefetcher does not cross. */
        for (int64_t lane = 0; p + DQ_PACK_AHEAD < depth && lane < lanes; lane += DQ_LINE)
            __builtin_prefetch(x + DQ_PACK_AHEAD * step + lane);
        for (int s = 0; s < slivers; s++)
            for (int lane = 0; lane < width; lane += DQ_VEC_WIDTH) {
                const float *from = x + s * width + lane;
                float *to = out + s * apart + p * width + lane;
                int64_t left = lanes - s * width - lane;
                int wanted = width - lane, given = left < wanted ? (int)left : wanted;
                /* More than is wanted may be read where it is there, and written where the next steps overwrite it. */
                bool room = p * width + lane + DQ_VEC_WIDTH <= depth * width;
                dq_vec value = left >= DQ_VEC_WIDTH ? dq_vec_load(from)
                               : given > 0          ? dq_vec_load_part(from, given)
                                                    : dq_vec_zero();
                value = dq_pack_rounded(value, bf16);
                if (wanted >= DQ_VEC_WIDTH || (given == wanted && room))
                    dq_vec_store(to, value);
                else
                    dq_vec_store_part(to, value, wanted);
            }
    }
}

/* Steps side by side in memory: squares of DQ_VEC_WIDTH are turned in registers. */
DQ_INLINE void dq_pack_columns(const float *x, int64_t lane_stride, int lanes, int width, int depth, bool bf16,
                               float *out) {
    for (int p = 0; p < depth; p += DQ_VEC_WIDTH) {
        int steps = depth - p < DQ_VEC_WIDTH ? depth - p : DQ_VEC_WIDTH;
        for (int lane = 0; lane < width; lane += DQ_VEC_WIDTH) {
            dq_vec square[DQ_VEC_WIDTH];
            for (int i = 0; i < DQ_VEC_WIDTH; i++) {
                const float *from = x + (lane + i) * lane_stride + p;
                /* Rows this short are over before the processor's own prefetcher knows them: fetch the next sliver's. */
                __builtin_prefetch(from + width * lane_stride);
                square[i] = lane + i >= lanes       ? dq_vec_zero()
                            : steps == DQ_VEC_WIDTH ? dq_vec_load(from)
                                                    : dq_vec_load_part(from, steps);
            }
            dq_vec_transpose(square);
            int wanted = width - lane;
            for (int i = 0; i < steps; i++) {
                float *to = out + (p + i) * width + lane;
                /* A vector wider than the sliver spills into the next step, which is written after it; not into what
                 * follows the sliver. */
                if (wanted >= DQ_VEC_WIDTH || (p + i) * width + lane + DQ_VEC_WIDTH <= depth * width)
                    dq_vec_store(to, dq_pack_rounded(square[i], bf16));
                else
                    dq_vec_store_part(to, dq_pack_rounded(square[i], bf16), wanted);
            }
        }
    }
}

DQ_INLINE void dq_pack_any(const float *x, int64_t lane_stride, int64_t step, int lanes, int width, int depth,
                           bool bf16, float *out) {
    for (int p = 0; p < depth; p++)
        for (int lane = 0; lane < width; lane++)
            out[p * width + lane] = lane < lanes ? x[lane * lane_stride + p * step] : 0;
    for (int i = 0; bf16 && i < depth * width; i += DQ_VEC_WIDTH) {
        int left = depth * width - i;
        dq_vec_store_part(out + i, dq_vec_bf16(dq_vec_load_part(out + i, left)), left);
    }
}

#endif
