/* The pairs of pair.h in plain C, to the letter of the manual's description of VDPBF16PS: for the tests. */
#ifndef DQ_KERNELS_BF16_PAIR_PLAIN_H
#define DQ_KERNELS_BF16_PAIR_PLAIN_H

#include "base/half.h"

typedef struct dq_pair {
    uint32_t lane[DQ_VEC_WIDTH];
} dq_pair;

DQ_INLINE dq_pair dq_pair_set(uint32_t x) {
    dq_pair r;
    DQ_EACH_LANE r.lane[i] = x;
    return r;
}
DQ_INLINE dq_pair dq_pair_zero(void) {
    return dq_pair_set(0);
}
DQ_INLINE dq_pair dq_pair_load(const uint32_t *x) {
    dq_pair r;
    DQ_EACH_LANE r.lane[i] = x[i];
    return r;
}
DQ_INLINE void dq_pair_store_part(uint32_t *to, dq_pair a, int count) {
    for (int i = 0; i < count && i < DQ_VEC_WIDTH; i++) to[i] = a.lane[i];
}
DQ_INLINE void dq_pair_store(uint32_t *to, dq_pair a) {
    dq_pair_store_part(to, a, DQ_VEC_WIDTH);
}

DQ_INLINE uint32_t dq_pair_join_(float first, float second) {
    return dq_f32_to_bf16(first) | (uint32_t)dq_f32_to_bf16(second) << 16;
}
DQ_INLINE dq_pair dq_pair_of(dq_vec first, dq_vec second) {
    dq_pair r;
    DQ_EACH_LANE r.lane[i] = dq_pair_join_(first.lane[i], second.lane[i]);
    return r;
}
DQ_INLINE dq_pair dq_pair_along(dq_vec first, dq_vec second) {
    dq_pair r;
    for (int i = 0; i < DQ_VEC_WIDTH / 2; i++) {
        r.lane[i] = dq_pair_join_(first.lane[2 * i], first.lane[2 * i + 1]);
        r.lane[i + DQ_VEC_WIDTH / 2] = dq_pair_join_(second.lane[2 * i], second.lane[2 * i + 1]);
    }
    return r;
}

DQ_INLINE void dq_pair_transpose(dq_pair row[DQ_VEC_WIDTH]) {
    DQ_EACH_LANE for (int j = 0; j < i; j++) {
        uint32_t kept = row[i].lane[j];
        row[i].lane[j] = row[j].lane[i];
        row[j].lane[i] = kept;
    }
}

/* Half h of all halves of the lanes. */
DQ_INLINE uint32_t dq_pair_half_(dq_pair a, int h) {
    return a.lane[h / 2] >> h % 2 * 16 & 0xffff;
}
DQ_INLINE dq_pair dq_pair_pick(dq_pair table, dq_pair at) {
    dq_pair r;
    DQ_EACH_LANE r.lane[i] = dq_pair_half_(table, at.lane[i] & 31) | dq_pair_half_(table, at.lane[i] >> 16 & 31) << 16;
    return r;
}
DQ_INLINE dq_pair dq_pair_bytes(const uint8_t *p) {
    dq_pair r;
    DQ_EACH_LANE r.lane[i] = p[2 * i] | (uint32_t)p[2 * i + 1] << 16;
    return r;
}
DQ_INLINE dq_pair dq_pair_nibbles(const uint8_t *p) {
    uint8_t apart[2 * DQ_VEC_WIDTH];
    DQ_EACH_LANE {
        apart[i] = p[i] & 15;
        apart[i + DQ_VEC_WIDTH] = p[i] >> 4;
    }
    return dq_pair_bytes(apart);
}
DQ_INLINE dq_pair dq_pair_bytes_of(const uint8_t *p, const uint8_t *q) {
    dq_pair r;
    DQ_EACH_LANE r.lane[i] = p[i] | (uint32_t)(q[i] + DQ_VEC_WIDTH) << 16;
    return r;
}
DQ_INLINE dq_pair dq_pair_nibbles_of(const uint8_t *p, const uint8_t *q, bool high) {
    uint8_t first[DQ_VEC_WIDTH], second[DQ_VEC_WIDTH];
    DQ_EACH_LANE {
        first[i] = high ? p[i] >> 4 : p[i] & 15;
        second[i] = high ? q[i] >> 4 : q[i] & 15;
    }
    return dq_pair_bytes_of(first, second);
}

/* Subnormal numbers are zeros that keep their sign, before and after. */
DQ_INLINE float dq_pair_flushed_(float x) {
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}
DQ_INLINE float dq_pair_fma_(float a, float b, float c) {
    return dq_pair_flushed_(fmaf(dq_pair_flushed_(a), dq_pair_flushed_(b), dq_pair_flushed_(c)));
}
DQ_INLINE float dq_pair_first_(uint32_t pair) {
    return dq_f32_from_bits(pair << 16);
}
DQ_INLINE float dq_pair_second_(uint32_t pair) {
    return dq_f32_from_bits(pair & 0xffff0000u);
}

DQ_INLINE dq_vec dq_pair_dot(dq_vec sum, dq_pair a, dq_pair b) {
    DQ_EACH_LANE {
        float partial = dq_pair_fma_(dq_pair_second_(a.lane[i]), dq_pair_second_(b.lane[i]), sum.lane[i]);
        sum.lane[i] = dq_pair_fma_(dq_pair_first_(a.lane[i]), dq_pair_first_(b.lane[i]), partial);
    }
    return sum;
}

#endif
