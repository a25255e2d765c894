/* Fake quantization of a tile of weight rows, and its gradient. Serial: callers divide rows among threads.
 *
 *   V = W0 + c B A              (B A summed over the rank in ascending order, product and sum rounded separately)
 *   v = (V - b) / s ;  q = clip(round(v), Qn, Qp) ;  u = q - Qn            Qn = -2^(n-1), Qp = 2^(n-1) - 1
 *   W_hat = fl(fl(S u) + O)
 *
 * round is to nearest even. Every element is made by the same few operations, none of them contracted, so that all variants of
 * these functions give the same bits, however rows are divided into tiles.
 *
 * Gradients (G = dL/dW_hat, M = 1 where the weight is not clipped, by the mask's rule):
 *   dm = sum_g G (s q + b) ;  ds = sum_g m G (q - M v) ;  db = sum over the clipped of m G ;  dV = m G M
 * db is a sum over clipped entries, never a difference of two sums: it is exactly 0 where nothing is clipped. Sums run in
 * DQ_FAKEQUANT_LANES interleaved partial sums, added in a fixed order. */
#ifndef DQ_KERNELS_FAKEQUANT_H
#define DQ_KERNELS_FAKEQUANT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* Which weights count as clipped, and so pass no gradient to V (LRQ and EfficientQAT use code, LSQ and L4Q value-closed). e = 2^-12. */
typedef enum dq_clip_mask {
    DQ_MASK_CODE,        /* M = Qn <= round(v) <= Qp */
    DQ_MASK_VALUE,       /* M = Qn + e < v < Qp - e */
    DQ_MASK_VALUE_CLOSED /* M = Qn - e <= v <= Qp + e */
} dq_clip_mask;

enum { DQ_FAKEQUANT_LANES = 16 };

/* The mask as bounds: low <= x <= high, where x is round(v), or v itself. */
typedef struct dq_mask_bounds {
    bool on_round;
    float low, high;
} dq_mask_bounds;

static inline dq_mask_bounds dq_mask_bounds_of(dq_clip_mask mask, int bits) {
    const float Qn = -(float)(1 << (bits - 1)), Qp = -Qn - 1.0f, e = 0x1p-12f;
    switch (mask) {
    case DQ_MASK_VALUE:
        return (dq_mask_bounds){false, nextafterf(Qn + e, Qp), nextafterf(Qp - e, Qn)};
    case DQ_MASK_VALUE_CLOSED:
        return (dq_mask_bounds){false, Qn - e, Qp + e};
    case DQ_MASK_CODE:
        break;
    }
    return (dq_mask_bounds){true, Qn, Qp};
}

typedef struct dq_fakequant {
    int64_t rows, in, group; /* group divides in */
    int bits;                /* 2 .. 8 */
    dq_clip_mask mask;
    int rank; /* 0: no adapter inside the rounding */
    float c;
    const float *A;                 /* [rank, in] */
    const float *B;                 /* [rows, rank] */
    const float *s, *b, *m, *S, *O; /* [rows, in / group] */
} dq_fakequant;

/* Sums of the groups of the tile, added to what is there; NULL: not wanted. [rows, in / group] */
typedef struct dq_fakequant_sums {
    float *ds, *db, *dm;
} dq_fakequant_sums;

/* What is kept of W_hat between the products and the backward: the codes, a byte each, and M, a bit each (column j: bit j mod 32 of
 * word j / 32 of its row). */
typedef struct dq_fakequant_kept {
    uint8_t *codes;      /* [rows, in] u */
    uint32_t *unclipped; /* [rows, dq_fakequant_mask_words(in)] */
} dq_fakequant_kept;

static inline int64_t dq_fakequant_mask_words(int64_t in) {
    return (in + 31) / 32;
}

/* Bits [column, column + n) of a row's words, n <= 32, the others undefined; and setting them where all n are 0. */
static inline uint32_t dq_fakequant_mask_get(const uint32_t *words, int64_t column, int64_t n) {
    const int64_t word = column / 32, shift = column % 32;
    uint32_t bits = words[word] >> shift;
    if (shift + n > 32) bits |= words[word + 1] << (32 - shift);
    return bits;
}
static inline void dq_fakequant_mask_set(uint32_t *words, int64_t column, int64_t n, uint32_t bits) {
    const int64_t word = column / 32, shift = column % 32;
    words[word] |= bits << shift;
    if (shift + n > 32) words[word + 1] |= bits >> (32 - shift);
}

/* w [rows, in]: W0 becomes V. */
typedef void dq_fakequant_adapt_fn(const dq_fakequant *f, float *w);
/* w: V becomes the codes u, as floats. */
typedef void dq_fakequant_codes_fn(const dq_fakequant *f, float *w);
/* w: u becomes W_hat. */
typedef void dq_fakequant_decode_fn(const dq_fakequant *f, float *w);
/* V as adapt leaves it; g: G becomes c m G M, which is c dV. */
typedef void dq_fakequant_backward_fn(const dq_fakequant *f, const float *V, float *g, const dq_fakequant_sums *sums);
/* V as adapt leaves it: what is kept of it. False where some v is not finite, which a code cannot tell. */
typedef bool dq_fakequant_keep_fn(const dq_fakequant *f, const float *V, const dq_fakequant_kept *kept);
/* The backward where neither ds nor db is wanted, and so V is not needed: dm [rows, in / group] (NULL: not wanted) and g, to the
 * bit as fakequant_backward makes them. */
typedef void dq_fakequant_kept_backward_fn(const dq_fakequant *f, const dq_fakequant_kept *kept, float *g, float *dm);

#endif
