/* The functions of fakequant.h in plain loops: the oracle of the vector variants, which give the same bits. */
#include "kernels/fakequant.h"

#include "kernels/variant.h"

DQ_VARIANT_DECLARE(c);

void dq_fakequant_adapt_c(const dq_fakequant *f, float *w) {
    if (f->rank == 0) return;
    for (int64_t i = 0; i < f->rows; i++)
        for (int64_t j = 0; j < f->in; j++) {
            float product = 0.0f;
            for (int k = 0; k < f->rank; k++) product += f->B[i * f->rank + k] * f->A[k * f->in + j];
            w[i * f->in + j] += f->c * product;
        }
}

static float clamp(float x, float low, float high) {
    return x < low ? low : x > high ? high : x;
}

/* One weight; v is clamped before it is rounded so that no value is too large for it. */
typedef struct coded_weight {
    float v, q;
    bool unclipped;
} coded_weight;

static coded_weight code_of(const dq_fakequant *f, const dq_mask_bounds *mask, float V, float s, float b) {
    const float Qn = -(float)(1 << (f->bits - 1)), Qp = -Qn - 1.0f;
    coded_weight w = {.v = (V - b) / s};
    float r = nearbyintf(clamp(w.v, Qn - 1.0f, Qp + 1.0f)), x = mask->on_round ? r : w.v;
    w.q = clamp(r, Qn, Qp);
    w.unclipped = x >= mask->low && x <= mask->high;
    return w;
}

void dq_fakequant_codes_c(const dq_fakequant *f, float *w) {
    const dq_mask_bounds mask = dq_mask_bounds_of(f->mask, f->bits);
    const float Qn = -(float)(1 << (f->bits - 1));
    for (int64_t i = 0; i < f->rows * f->in; i++)
        w[i] = code_of(f, &mask, w[i], f->s[i / f->group], f->b[i / f->group]).q - Qn;
}

void dq_fakequant_decode_c(const dq_fakequant *f, float *w) {
    for (int64_t i = 0; i < f->rows * f->in; i++) w[i] = f->S[i / f->group] * w[i] + f->O[i / f->group];
}

static float add_lanes(const float lane[DQ_FAKEQUANT_LANES]) {
    float sum[DQ_FAKEQUANT_LANES];
    for (int j = 0; j < DQ_FAKEQUANT_LANES; j++) sum[j] = lane[j];
    for (int half = DQ_FAKEQUANT_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sum[j] += sum[j + half];
    return sum[0];
}

void dq_fakequant_backward_c(const dq_fakequant *f, const float *V, float *g, const dq_fakequant_sums *out) {
    const dq_mask_bounds mask = dq_mask_bounds_of(f->mask, f->bits);
    for (int64_t i = 0; i < f->rows * (f->in / f->group); i++) {
        const float s = f->s[i], b = f->b[i], m = f->m[i], cm = f->c * m;
        float ds[DQ_FAKEQUANT_LANES] = {0}, db[DQ_FAKEQUANT_LANES] = {0}, dm[DQ_FAKEQUANT_LANES] = {0};
        for (int64_t j = 0; j < f->group; j++) {
            const coded_weight w = code_of(f, &mask, V[i * f->group + j], s, b);
            const int lane = (int)(j % DQ_FAKEQUANT_LANES);
            float *G = &g[i * f->group + j];
            ds[lane] += *G * (w.q - (w.unclipped ? w.v : 0.0f));
            db[lane] += w.unclipped ? 0.0f : *G;
            dm[lane] += *G * (s * w.q + b);
            *G = w.unclipped ? cm * *G : 0.0f;
        }
        if (out->ds) out->ds[i] += m * add_lanes(ds);
        if (out->db) out->db[i] += m * add_lanes(db);
        if (out->dm) out->dm[i] += add_lanes(dm);
    }
}

bool dq_fakequant_keep_c(const dq_fakequant *f, const float *V, const dq_fakequant_kept *kept) {
    const dq_mask_bounds mask = dq_mask_bounds_of(f->mask, f->bits);
    const int64_t words = dq_fakequant_mask_words(f->in);
    const float Qn = -(float)(1 << (f->bits - 1));
    for (int64_t i = 0; i < f->rows * words; i++) kept->unclipped[i] = 0;
    for (int64_t i = 0; i < f->rows * f->in; i++) {
        const coded_weight w = code_of(f, &mask, V[i], f->s[i / f->group], f->b[i / f->group]);
        if (!isfinite(w.v)) return false;
        kept->codes[i] = (uint8_t)(w.q - Qn);
        dq_fakequant_mask_set(kept->unclipped + i / f->in * words, i % f->in, 1, w.unclipped);
    }
    return true;
}

void dq_fakequant_kept_backward_c(const dq_fakequant *f, const dq_fakequant_kept *kept, float *g, float *out) {
    const float Qn = -(float)(1 << (f->bits - 1));
    for (int64_t i = 0; i < f->rows * (f->in / f->group); i++) {
        const float s = f->s[i], b = f->b[i], cm = f->c * f->m[i];
        float dm[DQ_FAKEQUANT_LANES] = {0};
        for (int64_t j = 0; j < f->group; j++) {
            const int64_t at = i * f->group + j;
            const uint32_t *words = kept->unclipped + at / f->in * dq_fakequant_mask_words(f->in);
            const float q = (float)kept->codes[at] + Qn, G = g[at];
            dm[j % DQ_FAKEQUANT_LANES] += G * (s * q + b);
            g[at] = dq_fakequant_mask_get(words, at % f->in, 1) & 1 ? cm * G : 0.0f;
        }
        if (out) out[i] += add_lanes(dm);
    }
}
