/* Fake quantization: sizes rows, in, group, bits, rank, mask. What is rounded must come out to the bit (fakequant.h says in which
 * order), sums to within their rounding. */
#include "operations.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

enum { ROWS, IN, GROUP, BITS, RANK, MASK };
enum { WEIGHTS, GRADIENT, SCALE, OFFSET, MAGNITUDE, LEFT, RIGHT, DS, DB, DM }; /* LEFT: B or S; RIGHT: A or O */

#define SIZED(tested, benched)                                                                                         \
    .tests = tested, .test_count = sizeof(tested) / sizeof(tested)[0], .benches = benched,                             \
    .bench_count = sizeof(benched) / sizeof(benched)[0], .variations = 1

static int64_t elements(const trial *t) {
    return t->size[ROWS] * t->size[IN];
}
static int64_t groups(const trial *t) {
    return elements(t) / t->size[GROUP];
}

static dq_fakequant view_of(const trial *t, bool fresh) {
    const int64_t *size = t->size;
    const float *x[SLOTS];
    for (int i = 0; i < SLOTS; i++) x[i] = fresh ? t->slots[i].fresh : t->slots[i].x;
    return (dq_fakequant){.rows = size[ROWS],
                          .in = size[IN],
                          .group = size[GROUP],
                          .bits = (int)size[BITS],
                          .mask = (dq_clip_mask)size[MASK],
                          .rank = (int)size[RANK],
                          .c = 0.75f,
                          .A = x[RIGHT],
                          .B = x[LEFT],
                          .s = x[SCALE],
                          .b = x[OFFSET],
                          .m = x[MAGNITUDE],
                          .S = x[LEFT],
                          .O = x[RIGHT]};
}

/* A grid that does not reach all of [-1, 1), so that some weights are clipped. */
static void prepare_grid(trial *t) {
    float step = 1.5f / (float)(1 << t->size[BITS]);
    slot_values(t, WEIGHTS, elements(t), -1, 1);
    slot_values(t, SCALE, groups(t), step, 1.4f * step);
    slot_values(t, OFFSET, groups(t), -0.1f, 0.1f);
    slot_values(t, MAGNITUDE, groups(t), 0.5f, 2);
}

/* ---- The definition ---------------------------------------------------------------------------------------------------- */

typedef struct coded_weight {
    float v, q;
    bool unclipped;
} coded_weight;

static coded_weight code_of(const dq_fakequant *f, float V, float s, float b) {
    const float Qn = -(float)(1 << (f->bits - 1)), Qp = -Qn - 1, e = 0x1p-12f;
    coded_weight w = {.v = (V - b) / s};
    float r = nearbyintf(w.v);
    w.q = r < Qn ? Qn : r > Qp ? Qp : r;
    w.unclipped = f->mask == DQ_MASK_CODE    ? r >= Qn && r <= Qp
                  : f->mask == DQ_MASK_VALUE ? w.v > Qn + e && w.v < Qp - e
                                             : w.v >= Qn - e && w.v <= Qp + e;
    return w;
}

/* A sum with what its terms come to, for its error. */
typedef struct sum {
    double value, size;
} sum;

static void add(sum *s, double term) {
    s->value += term;
    s->size += fabs(term);
}

static void want_sum(trial *t, int which, int64_t i, sum s, double factor) {
    slot *to = &t->slots[which];
    double n = (double)t->size[GROUP], before = to->fresh[i];
    to->want[i] = before + factor * s.value;
    /* Each term rounds up to four times, the sum as a sum does, and two more roundings bring it home. */
    to->allowed[i] = UNIT * (fabs(factor) * s.size * (sum_units(n) + 6) + fabs(to->want[i]) + fabs(before));
}

/* ---- adapt, codes, decode ---------------------------------------------------------------------------------------------- */

static void adapt_prepare(trial *t) {
    slot_values(t, WEIGHTS, elements(t), -1, 1);
    slot_values(t, LEFT, t->size[ROWS] * t->size[RANK], -1, 1);
    slot_values(t, RIGHT, t->size[RANK] * t->size[IN], -1, 1);
    slot_result(t, WEIGHTS);
}

static void adapt_run(trial *t, const dq_compute *compute) {
    dq_fakequant f = view_of(t, false);
    compute->kernels->fakequant_adapt(&f, t->slots[WEIGHTS].x);
}

static void adapt_expect(trial *t) {
    dq_fakequant f = view_of(t, true);
    for (int64_t i = 0; i < f.rows; i++)
        for (int64_t j = 0; j < f.in; j++) {
            float product = 0;
            for (int k = 0; k < f.rank; k++) {
                float term = f.B[i * f.rank + k] * f.A[k * f.in + j];
                product = product + term;
            }
            float moved = f.c * product, V = t->slots[WEIGHTS].fresh[i * f.in + j];
            t->slots[WEIGHTS].want[i * f.in + j] = f.rank ? V + moved : V;
        }
}

static double adapt_flops(const trial *t) {
    return 2 * (double)elements(t) * (double)t->size[RANK];
}

static void codes_prepare(trial *t) {
    prepare_grid(t);
    slot_result(t, WEIGHTS);
}

static void codes_run(trial *t, const dq_compute *compute) {
    dq_fakequant f = view_of(t, false);
    compute->kernels->fakequant_codes(&f, t->slots[WEIGHTS].x);
}

static void codes_expect(trial *t) {
    dq_fakequant f = view_of(t, true);
    for (int64_t i = 0; i < elements(t); i++) {
        int64_t at = i / f.group;
        coded_weight w = code_of(&f, t->slots[WEIGHTS].fresh[i], f.s[at], f.b[at]);
        t->slots[WEIGHTS].want[i] = w.q + (float)(1 << (f.bits - 1));
    }
}

static void decode_prepare(trial *t) {
    slot_values(t, WEIGHTS, elements(t), 0, (float)(1 << t->size[BITS]));
    slot_values(t, LEFT, groups(t), -1, 1);
    slot_values(t, RIGHT, groups(t), -1, 1);
    for (int64_t i = 0; i < elements(t); i++) t->slots[WEIGHTS].fresh[i] = floorf(t->slots[WEIGHTS].fresh[i]);
    slot_result(t, WEIGHTS);
}

static void decode_run(trial *t, const dq_compute *compute) {
    dq_fakequant f = view_of(t, false);
    compute->kernels->fakequant_decode(&f, t->slots[WEIGHTS].x);
}

static void decode_expect(trial *t) {
    dq_fakequant f = view_of(t, true);
    for (int64_t i = 0; i < elements(t); i++) {
        float product = f.S[i / f.group] * t->slots[WEIGHTS].fresh[i];
        t->slots[WEIGHTS].want[i] = product + f.O[i / f.group];
    }
}

/* ---- The backward, from V or from what is kept ---------------------------------------------------------------------------- */

static void backward_prepare(trial *t) {
    prepare_grid(t);
    slot_values(t, GRADIENT, elements(t), -1, 1);
    slot_result(t, GRADIENT);
    for (int which = DS; which <= DM; which++) {
        slot_values(t, which, groups(t), -1, 1);
        slot_result(t, which);
    }
}

static void backward_run(trial *t, const dq_compute *compute) {
    dq_fakequant f = view_of(t, false);
    const dq_fakequant_sums sums = {t->slots[DS].x, t->slots[DB].x, t->slots[DM].x};
    compute->kernels->fakequant_backward(&f, t->slots[WEIGHTS].x, t->slots[GRADIENT].x, &sums);
}

static void backward_expect(trial *t) {
    dq_fakequant f = view_of(t, true);
    const bool all = t->slots[DS].want != NULL;
    for (int64_t at = 0; at < groups(t); at++) {
        sum ds = {0, 0}, db = {0, 0}, dm = {0, 0};
        const float cm = f.c * f.m[at];
        for (int64_t i = at * f.group; i < (at + 1) * f.group; i++) {
            coded_weight w = code_of(&f, t->slots[WEIGHTS].fresh[i], f.s[at], f.b[at]);
            const double G = t->slots[GRADIENT].fresh[i];
            add(&ds, G * ((double)w.q - (w.unclipped ? w.v : 0)));
            ds.size += w.unclipped ? fabs(G * w.v) : 0; /* q - v rounds in units of v */
            add(&db, w.unclipped ? 0 : G);
            add(&dm, G * ((double)f.s[at] * w.q + f.b[at]));
            dm.size += fabs(G * f.b[at]);
            t->slots[GRADIENT].want[i] = w.unclipped ? cm * t->slots[GRADIENT].fresh[i] : 0;
        }
        if (all) want_sum(t, DS, at, ds, f.m[at]);
        if (all) want_sum(t, DB, at, db, f.m[at]);
        want_sum(t, DM, at, dm, 1);
    }
}

static int64_t mask_words(const trial *t) {
    return t->size[ROWS] * dq_fakequant_mask_words(t->size[IN]);
}

static void kept_prepare(trial *t) {
    prepare_grid(t);
    slot_values(t, GRADIENT, elements(t), -1, 1);
    slot_values(t, DM, groups(t), -1, 1);
    slot_result(t, GRADIENT);
    slot_result(t, DM);
    slot_room(t, LEFT, (elements(t) + 3) / 4); /* the codes */
    slot_room(t, RIGHT, mask_words(t));
}

static dq_fakequant_kept kept_of(trial *t) {
    slot *codes = &t->slots[LEFT], *mask = &t->slots[RIGHT];
    return (dq_fakequant_kept){.codes = (uint8_t *)(codes->x + codes->n) - elements(t),
                               .unclipped = (uint32_t *)(void *)mask->x};
}

static void kept_run(trial *t, const dq_compute *compute) {
    dq_fakequant f = view_of(t, false);
    const dq_fakequant_kept kept = kept_of(t);
    if (!compute->kernels->fakequant_keep(&f, t->slots[WEIGHTS].x, &kept)) abort(); /* no weight is NaN */
    compute->kernels->fakequant_kept_backward(&f, &kept, t->slots[GRADIENT].x, t->slots[DM].x);
}

/* ---- The table ----------------------------------------------------------------------------------------------------------- */

static double no_flops(const trial *t) {
    (void)t;
    return 0;
}

static double weight_bytes(const trial *t) {
    return 8 * (double)elements(t); /* read and written */
}
static double backward_bytes(const trial *t) {
    return 12 * (double)elements(t);
}

static const int64_t tests[][SIZES] = {{1, 1, 1, 2, 1, 0},     {3, 64, 32, 3, 4, 1},  {2, 172, 43, 4, 2, 2},
                                       {5, 100, 100, 8, 7, 0}, {17, 96, 12, 2, 0, 1}, {4, 192, 64, 5, 16, 2}};
static const int64_t benches[][SIZES] = {{64, 576, 64, 3, 16, 1}, {64, 1536, 64, 3, 16, 1}, {16, 4096, 128, 4, 16, 1}};

#define OPERATION(function, stem, count_flops, count_bytes)                                                            \
    {                                                                                                                  \
        .name = #function, SIZED(tests, benches), .prepare = stem##_prepare, .run = stem##_run,                        \
        .expect = stem##_expect, .flops = count_flops, .bytes = count_bytes, .by_bytes = true,                         \
        .entry = offsetof(dq_kernels, function)                                                                        \
    }

#define kept_expect backward_expect
const operation fakequant_operations[] = {
    OPERATION(fakequant_adapt, adapt, adapt_flops, weight_bytes),
    OPERATION(fakequant_codes, codes, no_flops, weight_bytes),
    OPERATION(fakequant_decode, decode, no_flops, weight_bytes),
    OPERATION(fakequant_backward, backward, no_flops, backward_bytes),
    OPERATION(fakequant_kept_backward, kept, no_flops, backward_bytes),
};
const int fakequant_operation_count = sizeof fakequant_operations / sizeof fakequant_operations[0];
