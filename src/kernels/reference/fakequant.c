/* The functions of fakequant.h, in plain loops that compilers turn into vector code. Compiled once for each instruction set, named by
 * DQ_VARIANT; without it these are the reference. Not one operation is contracted or reordered, so all give the same bits. */
#include "kernels/fakequant.h"

#include "kernels/variant.h"

#include <math.h>

#ifndef DQ_VARIANT
#define DQ_VARIANT c
#endif
#define NAME_JOIN(operation, variant) dq_##operation##_##variant
#define NAME_IN(operation, variant)   NAME_JOIN(operation, variant)
#define NAME(operation)               NAME_IN(operation, DQ_VARIANT)
#define DECLARE(variant)              DQ_VARIANT_DECLARE(variant)

DECLARE(DQ_VARIANT);

enum { COLUMNS = 64 }; /* a stretch of a row whose B A stays in registers */

/* n: COLUMNS as a constant, or what is left. */
static inline __attribute__((always_inline)) void adapt_stretch(const dq_fakequant *f, const float *restrict b,
                                                                const float *restrict A, float *restrict w, int n) {
    float product[COLUMNS];
    for (int j = 0; j < n; j++) product[j] = 0.0f;
    for (int k = 0; k < f->rank; k++)
        for (int j = 0; j < n; j++) product[j] += b[k] * A[k * f->in + j];
    for (int j = 0; j < n; j++) w[j] += f->c * product[j];
}

/* A stretch of A serves all rows while it is in the first cache. */
void NAME(fakequant_adapt)(const dq_fakequant *f, float *w) {
    if (f->rank == 0) return;
    for (int64_t column = 0; column < f->in; column += COLUMNS) {
        const int64_t left = f->in - column;
        for (int64_t i = 0; i < f->rows; i++) {
            const float *b = f->B + i * f->rank;
            if (left >= COLUMNS)
                adapt_stretch(f, b, f->A + column, w + i * f->in + column, COLUMNS);
            else
                adapt_stretch(f, b, f->A + column, w + i * f->in + column, (int)left);
        }
    }
}

/* round(x) to nearest even for |x| < 2^22: the sum has no room for a fraction. */
static inline float round_even(float x) {
    const float shift = 0x1.8p23f;
    return (x + shift) - shift;
}

static inline float clamp(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

void NAME(fakequant_codes)(const dq_fakequant *f, float *w) {
    const float Qn = -(float)(1 << (f->bits - 1)), Qp = -Qn - 1.0f;
    int64_t groups = f->in / f->group;
    for (int64_t i = 0; i < f->rows * groups; i++) {
        float s = f->s[i], b = f->b[i];
        float *restrict x = w + i * f->group;
        for (int64_t j = 0; j < f->group; j++) x[j] = round_even(clamp((x[j] - b) / s, Qn, Qp)) - Qn;
    }
}

void NAME(fakequant_decode)(const dq_fakequant *f, float *w) {
    int64_t groups = f->in / f->group;
    for (int64_t i = 0; i < f->rows * groups; i++) {
        float S = f->S[i], O = f->O[i];
        float *restrict x = w + i * f->group;
        for (int64_t j = 0; j < f->group; j++) x[j] = S * x[j] + O;
    }
}

/* x in [low, high] is the mask; x is round(v) or v. */
typedef struct mask_bounds {
    bool on_round;
    float low, high;
} mask_bounds;

static mask_bounds bounds_of(dq_clip_mask mask, float Qn, float Qp) {
    const float e = 0x1p-12f;
    switch (mask) {
    case DQ_MASK_VALUE:
        return (mask_bounds){false, nextafterf(Qn + e, Qp), nextafterf(Qp - e, Qn)};
    case DQ_MASK_VALUE_CLOSED:
        return (mask_bounds){false, Qn - e, Qp + e};
    case DQ_MASK_CODE:
        break;
    }
    return (mask_bounds){true, Qn, Qp};
}

typedef struct lane_sums {
    float ds[DQ_FAKEQUANT_LANES], db[DQ_FAKEQUANT_LANES], dm[DQ_FAKEQUANT_LANES];
} lane_sums;

static inline __attribute__((always_inline)) void backward_lanes(const float *restrict V, float *restrict g, int64_t n,
                                                                 float s, float b, float cm, float Qn, float Qp,
                                                                 bool on_round, float low, float high,
                                                                 lane_sums *restrict sums) {
    for (int64_t j = 0; j < n; j++) {
        float v = (V[j] - b) / s;
        float r = round_even(clamp(v, Qn - 1.0f, Qp + 1.0f));
        float q = clamp(r, Qn, Qp);
        float x = on_round ? r : v;
        bool keep = (x >= low) & (x <= high);
        float G = g[j];
        sums->ds[j] += G * (q - (keep ? v : 0.0f));
        sums->db[j] += keep ? 0.0f : G;
        sums->dm[j] += G * (s * q + b);
        g[j] = keep ? cm * G : 0.0f;
    }
}

static float add_lanes(const float lane[DQ_FAKEQUANT_LANES]) {
    float sum[DQ_FAKEQUANT_LANES];
    for (int j = 0; j < DQ_FAKEQUANT_LANES; j++) sum[j] = lane[j];
    for (int half = DQ_FAKEQUANT_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sum[j] += sum[j + half];
    return sum[0];
}

void NAME(fakequant_backward)(const dq_fakequant *f, const float *V, float *g, const dq_fakequant_sums *out) {
    const float Qn = -(float)(1 << (f->bits - 1)), Qp = -Qn - 1.0f;
    const mask_bounds mask = bounds_of(f->mask, Qn, Qp);
    int64_t groups = f->in / f->group;
    for (int64_t i = 0; i < f->rows * groups; i++) {
        const float *x = V + i * f->group;
        float *y = g + i * f->group;
        float s = f->s[i], b = f->b[i], m = f->m[i], cm = f->c * m;
        lane_sums sums = {{0}, {0}, {0}};
        for (int64_t j = 0; j < f->group; j += DQ_FAKEQUANT_LANES) {
            int64_t n = f->group - j;
            /* The full stretch has a constant length, which is what lets it become straight vector code. */
            if (n >= DQ_FAKEQUANT_LANES) {
                if (mask.on_round)
                    backward_lanes(x + j, y + j, DQ_FAKEQUANT_LANES, s, b, cm, Qn, Qp, true, mask.low, mask.high,
                                   &sums);
                else
                    backward_lanes(x + j, y + j, DQ_FAKEQUANT_LANES, s, b, cm, Qn, Qp, false, mask.low, mask.high,
                                   &sums);
            } else
                backward_lanes(x + j, y + j, n, s, b, cm, Qn, Qp, mask.on_round, mask.low, mask.high, &sums);
        }
        if (out->ds) out->ds[i] += m * add_lanes(sums.ds);
        if (out->db) out->db[i] += m * add_lanes(sums.db);
        if (out->dm) out->dm[i] += add_lanes(sums.dm);
    }
}

/* Bits [column, column + n) of a row of words, n <= 16; and setting them, where they were 0. */
static inline uint32_t mask_bits(const uint32_t *words, int64_t column, int64_t n) {
    int64_t word = column / 32, shift = column % 32;
    uint32_t bits = words[word] >> shift;
    if (shift + n > 32) bits |= words[word + 1] << (32 - shift);
    return bits;
}

static inline void set_mask_bits(uint32_t *words, int64_t column, int64_t n, uint32_t bits) {
    int64_t word = column / 32, shift = column % 32;
    words[word] |= bits << shift;
    if (shift + n > 32) words[word + 1] |= bits >> (32 - shift);
}

/* Codes of n <= DQ_FAKEQUANT_LANES weights; returns their mask. Adds to nan[j] where there is one. */
static inline __attribute__((always_inline)) uint32_t keep_lanes(const float *restrict V, uint8_t *restrict codes,
                                                                 int64_t n, float s, float b, float Qn, float Qp,
                                                                 bool on_round, float low, float high,
                                                                 int32_t *restrict nan) {
    uint32_t bits = 0;
    for (int64_t j = 0; j < n; j++) {
        float v = (V[j] - b) / s;
        float r = round_even(clamp(v >= Qn - 1.0f ? v : Qn - 1.0f, Qn - 1.0f, Qp + 1.0f)); /* NaN: Qn - 1 */
        float x = on_round ? r : v;
        nan[j] |= v != v;
        codes[j] = (uint8_t)(int32_t)(clamp(r, Qn, Qp) - Qn);
        bits |= (uint32_t)((x >= low) & (x <= high)) << j;
    }
    return bits;
}

bool NAME(fakequant_keep)(const dq_fakequant *f, const float *V, const dq_fakequant_kept *kept) {
    enum { LANES = DQ_FAKEQUANT_LANES };
    const float Qn = -(float)(1 << (f->bits - 1)), Qp = -Qn - 1.0f;
    const mask_bounds mask = bounds_of(f->mask, Qn, Qp);
    const int64_t groups = f->in / f->group, words = dq_fakequant_mask_words(f->in);
    int32_t nan[LANES] = {0}, any = 0;
    for (int64_t i = 0; i < f->rows; i++) {
        uint32_t *bits = kept->unclipped + i * words;
        for (int64_t w = 0; w < words; w++) bits[w] = 0;
        for (int64_t column = 0; column < f->in; column += f->group) {
            const int64_t at = i * groups + column / f->group;
            for (int64_t j = 0; j < f->group; j += LANES) {
                const int64_t n = f->group - j < LANES ? f->group - j : LANES;
                const float *x = V + i * f->in + column + j;
                uint8_t *u = kept->codes + i * f->in + column + j;
                uint32_t some;
                if (n < LANES)
                    some = keep_lanes(x, u, n, f->s[at], f->b[at], Qn, Qp, mask.on_round, mask.low, mask.high, nan);
                else if (mask.on_round)
                    some = keep_lanes(x, u, LANES, f->s[at], f->b[at], Qn, Qp, true, mask.low, mask.high, nan);
                else
                    some = keep_lanes(x, u, LANES, f->s[at], f->b[at], Qn, Qp, false, mask.low, mask.high, nan);
                set_mask_bits(bits, column + j, n, some);
            }
        }
    }
    for (int j = 0; j < LANES; j++) any |= nan[j];
    return !any;
}

static inline __attribute__((always_inline)) void kept_lanes(const uint8_t *restrict codes, uint32_t bits,
                                                             float *restrict g, int64_t n, float s, float b, float cm,
                                                             float Qn, float *restrict dm) {
    for (int64_t j = 0; j < n; j++) {
        float q = (float)codes[j] + Qn, G = g[j];
        dm[j] += G * (s * q + b);
        g[j] = bits >> j & 1 ? cm * G : 0.0f;
    }
}

void NAME(fakequant_kept_backward)(const dq_fakequant *f, const dq_fakequant_kept *kept, float *g, float *dm) {
    enum { LANES = DQ_FAKEQUANT_LANES };
    const float Qn = -(float)(1 << (f->bits - 1));
    const int64_t groups = f->in / f->group, words = dq_fakequant_mask_words(f->in);
    for (int64_t i = 0; i < f->rows; i++)
        for (int64_t column = 0; column < f->in; column += f->group) {
            const int64_t at = i * groups + column / f->group;
            const float s = f->s[at], b = f->b[at], cm = f->c * f->m[at];
            float sums[LANES] = {0};
            for (int64_t j = 0; j < f->group; j += LANES) {
                const int64_t n = f->group - j < LANES ? f->group - j : LANES, from = i * f->in + column + j;
                const uint32_t bits = mask_bits(kept->unclipped + i * words, column + j, n);
                if (n < LANES)
                    kept_lanes(kept->codes + from, bits, g + from, n, s, b, cm, Qn, sums);
                else
                    kept_lanes(kept->codes + from, bits, g + from, LANES, s, b, cm, Qn, sums);
            }
            if (dm) dm[at] += add_lanes(sums);
        }
}
