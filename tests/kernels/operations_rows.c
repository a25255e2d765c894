/* The operations on rows and on long arrays. */
#include "operations.h"

#include <math.h>
#include <stddef.h>

enum { T, D };

#define X(which)             (t->slots[which].x)
#define FRESH(which)         (t->slots[which].fresh)
#define COUNT(list)          (int)(sizeof(list) / sizeof(list)[0])
#define SIZED(list, benched) .tests = list, .test_count = COUNT(list), .benches = benched, .bench_count = COUNT(benched)

static void expect_at(trial *t, int which, int64_t i, double want, double allowed) {
    t->slots[which].want[i] = want;
    t->slots[which].allowed[i] = allowed;
}

static double all_bytes(const trial *t) {
    double sum = 0;
    for (int i = 0; i < SLOTS; i++) sum += (double)t->slots[i].n * (t->slots[i].wide ? 8 : t->slots[i].want ? 8 : 4);
    return sum; /* results here are read and written */
}

static double no_flops(const trial *t) {
    (void)t;
    return 0;
}

/* ---- rmsnorm: sizes T, D; variation 1: in place and without r, or without dw ---- */

enum { NORM_Y, NORM_R, NORM_X, NORM_W, NORM_DY, NORM_DX, NORM_DW };
static const float norm_eps = 1e-5f;

static double norm_r(const trial *t, int64_t row) {
    int64_t d = t->size[D];
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += (double)FRESH(NORM_X)[row * d + i] * FRESH(NORM_X)[row * d + i];
    return 1 / sqrt(sum / (double)d + norm_eps);
}

static void norm_prepare(trial *t) {
    int64_t n = t->size[T] * t->size[D];
    slot_values(t, NORM_X, n, -2, 2);
    slot_values(t, NORM_W, t->size[D], -1, 2);
    if (t->variation == 0) {
        slot_values(t, NORM_Y, n, 0, 1);
        slot_values(t, NORM_R, t->size[T], 0, 1);
        slot_result(t, NORM_Y);
        slot_result(t, NORM_R);
    } else {
        slot_result(t, NORM_X);
    }
}

static void norm_run(trial *t, const dq_compute *compute) {
    float *y = t->variation ? X(NORM_X) : X(NORM_Y), *r = t->variation ? NULL : X(NORM_R);
    compute->kernels->rmsnorm_forward(compute, y, r, X(NORM_X), X(NORM_W), norm_eps, t->size[T], t->size[D]);
}

/* r has half the relative error of the sum, and four roundings. */
static void norm_expect(trial *t) {
    int64_t d = t->size[D];
    double off = (sum_units((double)d) / 2 + 4) * UNIT;
    for (int64_t row = 0; row < t->size[T]; row++) {
        double r = norm_r(t, row);
        if (t->variation == 0) expect_at(t, NORM_R, row, r, off * r);
        for (int64_t i = 0; i < d; i++) {
            double y = (double)FRESH(NORM_W)[i] * FRESH(NORM_X)[row * d + i] * r;
            expect_at(t, t->variation ? NORM_X : NORM_Y, row * d + i, y, (off + 2 * UNIT) * fabs(y));
        }
    }
}

static void norm_back_prepare(trial *t) {
    int64_t n = t->size[T] * t->size[D];
    slot_values(t, NORM_X, n, -2, 2);
    slot_values(t, NORM_W, t->size[D], -1, 2);
    slot_values(t, NORM_R, t->size[T], 0, 1);
    slot_values(t, NORM_DY, n, -1, 1);
    slot_values(t, NORM_DX, n, -1, 1);
    slot_result(t, NORM_DX);
    for (int64_t row = 0; row < t->size[T]; row++) FRESH(NORM_R)[row] = (float)norm_r(t, row);
    if (t->variation == 0) {
        slot_values(t, NORM_DW, t->size[D], -1, 1);
        slot_result(t, NORM_DW);
    }
}

static void norm_back_run(trial *t, const dq_compute *compute) {
    compute->kernels->rmsnorm_backward(compute, X(NORM_DX), t->variation ? NULL : X(NORM_DW), X(NORM_DY), X(NORM_X),
                                       X(NORM_W), X(NORM_R), t->size[T], t->size[D]);
}

static void norm_back_expect(trial *t) {
    int64_t d = t->size[D], rows = t->size[T];
    for (int64_t i = 0; i < d && t->variation == 0; i++) {
        double sum = FRESH(NORM_DW)[i], size = fabs(sum);
        for (int64_t row = 0; row < rows; row++) {
            double term = (double)FRESH(NORM_DY)[row * d + i] * FRESH(NORM_X)[row * d + i] * FRESH(NORM_R)[row];
            sum += term;
            size += fabs(term);
        }
        expect_at(t, NORM_DW, i, sum, (sum_units((double)rows) + 3) * UNIT * size);
    }
    for (int64_t row = 0; row < rows; row++) {
        double r = FRESH(NORM_R)[row], mean = 0, mean_size = 0;
        for (int64_t i = 0; i < d; i++) {
            double term =
                (double)FRESH(NORM_W)[i] * FRESH(NORM_DY)[row * d + i] * FRESH(NORM_X)[row * d + i] / (double)d;
            mean += term;
            mean_size += fabs(term);
        }
        for (int64_t i = row * d; i < (row + 1) * d; i++) {
            double x = FRESH(NORM_X)[i], wdy = (double)FRESH(NORM_W)[i - row * d] * FRESH(NORM_DY)[i];
            double before = FRESH(NORM_DX)[i], want = before + r * (wdy - x * r * r * mean);
            double size = fabs(before) + r * (fabs(wdy) + fabs(x) * r * r * mean_size);
            double off = r * fabs(x) * r * r * mean_size * sum_units((double)d);
            expect_at(t, NORM_DX, i, want, UNIT * (off + 6 * size));
        }
    }
}

static const int64_t norm_tests[][SIZES] = {{1, 1}, {1, 3}, {5, 8}, {3, 64}, {7, 100}, {130, 33}, {17, 576}, {0, 4}};
static const int64_t norm_benches[][SIZES] = {{2048, 576}, {2048, 2048}, {18432, 64}};

/* ---- rope: sizes T, heads, head width, largest position; variation 1: back ---- */

enum { ROPE_X, ROPE_FREQ };

static void rope_prepare(trial *t) {
    int64_t width = t->size[2];
    slot_indices(t, t->size[T]);
    for (int64_t i = 0; i < t->size[T]; i++) t->index[i] = (int32_t)trial_pick(t, i, t->size[3]);
    slot_values(t, ROPE_X, t->size[T] * t->size[1] * width, -1, 1);
    slot_values(t, ROPE_FREQ, width / 2, 0, 1);
    for (int64_t i = 0; i < width / 2; i++) FRESH(ROPE_FREQ)[i] = (float)pow(10000, -2.0 * (double)i / (double)width);
    slot_result(t, ROPE_X);
}

static void rope_run(trial *t, const dq_compute *compute) {
    compute->kernels->rope(compute, X(ROPE_X), t->index, X(ROPE_FREQ), t->size[T], (int)t->size[1], (int)t->size[2],
                           t->variation);
}

static void rope_expect(trial *t) {
    int64_t heads = t->size[1], width = t->size[2], half = width / 2;
    for (int64_t row = 0; row < t->size[T] * heads; row++)
        for (int64_t i = 0; i < half; i++) {
            float angle = (float)t->index[row / heads] * FRESH(ROPE_FREQ)[i];
            double c = cos(angle), s = t->variation ? -sin(angle) : sin(angle);
            double first = FRESH(ROPE_X)[row * width + i], second = FRESH(ROPE_X)[row * width + i + half];
            /* cos and sin within 2 units, a product and a sum each */
            expect_at(t, ROPE_X, row * width + i, first * c - second * s, 4 * UNIT * (fabs(first) + fabs(second)));
            expect_at(t, ROPE_X, row * width + i + half, second * c + first * s,
                      4 * UNIT * (fabs(first) + fabs(second)));
        }
}

static const int64_t rope_tests[][SIZES] = {{1, 1, 2, 1},      {3, 2, 8, 100},      {50, 3, 64, 2048},
                                            {5, 1, 20, 9000},  {9, 4, 130, 131072}, {40, 1, 6, 1000000},
                                            {2, 2, 1000, 4096}};
static const int64_t rope_benches[][SIZES] = {{2048, 9, 64, 256}, {2048, 3, 64, 256}};

/* ---- swiglu: sizes T, D, largest gate; variation 1 of the backward: in place; 2: in place and with dots ---- */

enum { GLU_Y, GLU_GATE, GLU_UP, GLU_DY, GLU_DGATE, GLU_DUP, GLU_GATE_DOTS, GLU_UP_DOTS };

static int64_t glu_elements(const trial *t) {
    return t->size[T] * t->size[D];
}

static void glu_prepare(trial *t) {
    float most = (float)t->size[2];
    slot_values(t, GLU_Y, glu_elements(t), 0, 1);
    slot_values(t, GLU_GATE, glu_elements(t), -most, most);
    slot_values(t, GLU_UP, glu_elements(t), -2, 2);
    slot_result(t, GLU_Y);
}

static void glu_run(trial *t, const dq_compute *compute) {
    compute->kernels->swiglu_forward(compute, X(GLU_Y), X(GLU_GATE), X(GLU_UP), glu_elements(t));
}

/* exp within 2 units, relative to sigma no more than that; four roundings. Where exp(-gate) is beyond f32, sigma, then
 * below 2^-127, may be 0. */
#define GLU_TINY 1e-36

static void glu_expect(trial *t) {
    for (int64_t i = 0; i < glu_elements(t); i++) {
        double gate = FRESH(GLU_GATE)[i], y = gate / (1 + exp(-gate)) * FRESH(GLU_UP)[i];
        expect_at(t, GLU_Y, i, y, 8 * UNIT * fabs(y) + GLU_TINY);
    }
}

static void glu_back_prepare(trial *t) {
    float most = (float)t->size[2];
    slot_values(t, GLU_GATE, glu_elements(t), -most, most);
    slot_values(t, GLU_UP, glu_elements(t), -2, 2);
    slot_values(t, GLU_DY, glu_elements(t), -1, 1);
    if (t->variation == 0) {
        slot_values(t, GLU_DGATE, glu_elements(t), 0, 1);
        slot_values(t, GLU_DUP, glu_elements(t), 0, 1);
    }
    slot_result(t, t->variation ? GLU_GATE : GLU_DGATE);
    slot_result(t, t->variation ? GLU_UP : GLU_DUP);
    for (int dots = GLU_GATE_DOTS; dots <= GLU_UP_DOTS && t->variation == 2; dots++) {
        slot_values(t, dots, t->size[D], -1, 1);
        slot_result(t, dots);
    }
}

static void glu_back_run(trial *t, const dq_compute *compute) {
    compute->kernels->swiglu_backward(compute, X(t->variation ? GLU_GATE : GLU_DGATE),
                                      X(t->variation ? GLU_UP : GLU_DUP), X(GLU_DY), X(GLU_GATE), X(GLU_UP), t->size[T],
                                      t->size[D], X(GLU_GATE_DOTS), X(GLU_UP_DOTS));
}

/* Of T products that are each off by `off` units of their factors' size, and their sum. */
static void expect_dot(trial *t, int which, int64_t j, double sum, double size, double off) {
    double y = FRESH(which)[j];
    expect_at(t, which, j, y + sum,
              UNIT * (size * (off + 1 + sum_units((double)t->size[T])) + fabs(y + sum)) + GLU_TINY);
}

static void glu_back_expect(trial *t) {
    for (int64_t j = 0; j < t->size[D]; j++) {
        double gate_dot = 0, gate_size = 0, up_dot = 0, up_size = 0;
        for (int64_t i = j; i < glu_elements(t); i += t->size[D]) {
            double gate = FRESH(GLU_GATE)[i], up = FRESH(GLU_UP)[i], dy = FRESH(GLU_DY)[i],
                   sigma = 1 / (1 + exp(-gate));
            double dup = dy * gate * sigma, slope = sigma * (1 + gate * (1 - sigma));
            expect_at(t, t->variation ? GLU_UP : GLU_DUP, i, dup, 8 * UNIT * fabs(dup) + GLU_TINY);
            /* 1 + gate (1 - sigma) cancels near gate = -1.28 */
            double size = fabs(dy * up) * sigma * (1 + fabs(gate) * (1 - sigma));
            expect_at(t, t->variation ? GLU_GATE : GLU_DGATE, i, dy * up * slope, 12 * UNIT * size + GLU_TINY);
            gate_dot += dy * up * slope * gate;
            gate_size += size * fabs(gate);
            up_dot += dup * up;
            up_size += fabs(dup * up);
        }
        if (t->variation < 2) continue;
        expect_dot(t, GLU_GATE_DOTS, j, gate_dot, gate_size, 12);
        expect_dot(t, GLU_UP_DOTS, j, up_dot, up_size, 8);
    }
}

static const int64_t glu_tests[][SIZES] = {{1, 1, 3},  {1, 7, 5},     {2, 4, 5},      {3, 11, 20},
                                           {7, 70, 5}, {1, 5000, 10}, {130, 65, 200}, {0, 5, 1}};
static const int64_t glu_benches[][SIZES] = {{2048, 1536, 5}};

/* ---- column dots: sizes T, D; variation 1: less a second array; 2: less a bias; 3: of a bias alone, negative ---- */

enum { DOTS_SUM, DOTS_DY, DOTS_Y, DOTS_LESS, DOTS_BIAS };

static void dots_prepare(trial *t) {
    slot_values(t, DOTS_SUM, t->size[D], -1, 1);
    slot_values(t, DOTS_DY, t->size[T] * t->size[D], -1, 1);
    if (t->variation < 3) slot_values(t, DOTS_Y, t->size[T] * t->size[D], -1, 1);
    if (t->variation == 1) slot_values(t, DOTS_LESS, t->size[T] * t->size[D], -1, 1);
    if (t->variation > 1) slot_values(t, DOTS_BIAS, t->size[D], -1, 1);
    slot_result(t, DOTS_SUM);
}

static void dots_run(trial *t, const dq_compute *compute) {
    compute->kernels->column_dots(compute, X(DOTS_SUM), X(DOTS_DY), X(DOTS_Y), X(DOTS_LESS), X(DOTS_BIAS), t->size[T],
                                  t->size[D]);
}

static void dots_expect(trial *t) {
    const float *y = FRESH(DOTS_Y), *less = FRESH(DOTS_LESS), *bias = FRESH(DOTS_BIAS);
    for (int64_t j = 0; j < t->size[D]; j++) {
        double sum = 0, size = 0;
        for (int64_t i = j; i < t->size[T] * t->size[D]; i += t->size[D]) {
            double term = FRESH(DOTS_DY)[i] *
                          ((y ? (double)y[i] : 0) - (less ? (double)less[i] : 0) - (bias ? (double)bias[j] : 0));
            sum += term;
            size += fabs(term);
        }
        expect_dot(t, DOTS_SUM, j, sum, size, 1);
    }
}

static const int64_t dots_tests[][SIZES] = {{1, 1}, {5, 33}, {130, 64}, {64, 3}, {65, 129}, {0, 5}};
static const int64_t dots_benches[][SIZES] = {{753, 576}, {2048, 1536}};

/* ---- cross-entropy: sizes n, V, largest logit; variation 1: without the gradient ---- */

enum { CE_LOGITS, CE_LOSS };

static void ce_prepare(trial *t) {
    float most = (float)t->size[2];
    slot_indices(t, t->size[T]);
    for (int64_t i = 0; i < t->size[T]; i++) t->index[i] = (int32_t)trial_pick(t, i, t->size[1]);
    slot_values(t, CE_LOGITS, t->size[T] * t->size[1], -most, most);
    slot_wide_result(t, CE_LOSS, t->size[T]);
    slot_result(t, CE_LOGITS);
}

static void ce_run(trial *t, const dq_compute *compute) {
    compute->kernels->cross_entropy(compute, X(CE_LOGITS), t->index, t->slots[CE_LOSS].wide, t->size[T], t->size[1],
                                    0.37f, t->variation == 0);
}

/* x - top is rounded, so exp is off by u |x - top| and its own 2 units; chunks of 64 terms at most are summed in f32. */
static void ce_expect(trial *t) {
    int64_t v = t->size[1];
    double scale = 0.37f;
    for (int64_t i = 0; i < t->size[T]; i++) {
        const float *x = FRESH(CE_LOGITS) + i * v;
        double top = x[0], sum = 0, off = 0;
        for (int64_t j = 1; j < v; j++) top = fmax(top, x[j]);
        for (int64_t j = 0; j < v; j++) {
            sum += exp(x[j] - top);
            off += exp(x[j] - top) * (fabs(x[j] - top) + 2 + sum_units(fmin((double)v, 64))) * UNIT;
        }
        expect_at(t, CE_LOSS, i, top + log(sum) - x[t->index[i]], off / sum + 1e-14 * fabs(top));
        for (int64_t j = 0; j < v; j++) {
            double p = exp(x[j] - top) / sum, label = j == t->index[i];
            double allowed = scale * (p * ((fabs(x[j] - top) + 5) * UNIT + off / sum) + label * UNIT) + 1e-37;
            if (t->variation == 0)
                expect_at(t, CE_LOGITS, i * v + j, scale * (p - label), allowed);
            else
                expect_at(t, CE_LOGITS, i * v + j, x[j], 0);
        }
    }
}

static const int64_t ce_tests[][SIZES] = {{1, 1, 1},     {3, 7, 5},     {5, 64, 30},
                                          {2, 1001, 10}, {9, 300, 100}, {1, 50000, 3}};
static const int64_t ce_benches[][SIZES] = {{256, 49152, 10}};

/* ---- adamw: sizes n, step ---- */

enum { ADAM_X, ADAM_M, ADAM_V, ADAM_G };

static dq_adamw adam_options(const trial *t) {
    return (dq_adamw){.learning_rate = 3e-3,
                      .beta1 = 0.9,
                      .beta2 = 0.98,
                      .epsilon = 1e-6,
                      .weight_decay = 0.05,
                      .step = t->size[1],
                      .gradient_scale = 0.75f};
}

static void adam_prepare(trial *t) {
    slot_values(t, ADAM_X, t->size[T], -1, 1);
    slot_values(t, ADAM_M, t->size[T], -1, 1);
    slot_values(t, ADAM_V, t->size[T], 0, 1);
    slot_values(t, ADAM_G, t->size[T], -1, 1);
    for (int i = ADAM_X; i <= ADAM_V; i++) slot_result(t, i);
}

static void adam_run(trial *t, const dq_compute *compute) {
    dq_adamw o = adam_options(t);
    compute->kernels->adamw(compute, &o, X(ADAM_X), X(ADAM_M), X(ADAM_V), X(ADAM_G), t->size[T]);
}

static void adam_expect(trial *t) {
    dq_adamw o = adam_options(t);
    for (int64_t i = 0; i < t->size[T]; i++) {
        double g = (double)FRESH(ADAM_G)[i] * o.gradient_scale, m0 = FRESH(ADAM_M)[i], v0 = FRESH(ADAM_V)[i];
        double m = m0 + (1 - o.beta1) * (g - m0), v = o.beta2 * v0 + (1 - o.beta2) * g * g;
        double root = sqrt(v / (1 - pow(o.beta2, (double)o.step))) + o.epsilon;
        double x = FRESH(ADAM_X)[i], change = o.learning_rate / (1 - pow(o.beta1, (double)o.step)) / root;
        double m_off = 5 * UNIT * (fabs(m0) + fabs(g));
        expect_at(t, ADAM_M, i, m, m_off);
        expect_at(t, ADAM_V, i, v, 6 * UNIT * v);
        expect_at(t, ADAM_X, i, x * (1 - o.learning_rate * o.weight_decay) - change * m,
                  3 * UNIT * fabs(x) + change * (m_off + 12 * UNIT * fabs(m)));
    }
}

static const int64_t adam_tests[][SIZES] = {{1, 1}, {13, 2}, {1000, 100}, {0, 1}};
static const int64_t adam_benches[][SIZES] = {{4000000, 10}};

/* ---- add, bias, sum of squares ---- */

enum { PLAIN_Y, PLAIN_X };

static void add_prepare(trial *t) {
    slot_values(t, PLAIN_Y, t->size[T], -1, 1);
    slot_values(t, PLAIN_X, t->size[T], -1, 1);
    slot_result(t, PLAIN_Y);
}

static void add_run(trial *t, const dq_compute *compute) {
    compute->kernels->add(compute, X(PLAIN_Y), X(PLAIN_X), t->size[T]);
}

static void add_expect(trial *t) {
    for (int64_t i = 0; i < t->size[T]; i++) {
        double y = (double)FRESH(PLAIN_Y)[i] + FRESH(PLAIN_X)[i];
        expect_at(t, PLAIN_Y, i, y, UNIT * fabs(y));
    }
}

static const int64_t add_tests[][SIZES] = {{1}, {7}, {1000}, {0}};
static const int64_t add_benches[][SIZES] = {{4000000}};

static void bias_prepare(trial *t) {
    slot_values(t, PLAIN_Y, t->size[T] * t->size[D], -1, 1);
    slot_values(t, PLAIN_X, t->size[D], -1, 1);
    slot_result(t, PLAIN_Y);
}

static void bias_run(trial *t, const dq_compute *compute) {
    compute->kernels->bias_forward(compute, X(PLAIN_Y), X(PLAIN_X), t->size[T], t->size[D]);
}

static void bias_expect(trial *t) {
    for (int64_t i = 0; i < t->size[T] * t->size[D]; i++) {
        double y = (double)FRESH(PLAIN_Y)[i] + FRESH(PLAIN_X)[i % t->size[D]];
        expect_at(t, PLAIN_Y, i, y, UNIT * fabs(y));
    }
}

static void bias_back_prepare(trial *t) {
    slot_values(t, PLAIN_Y, t->size[D], -1, 1);
    slot_values(t, PLAIN_X, t->size[T] * t->size[D], -1, 1);
    slot_result(t, PLAIN_Y);
}

static void bias_back_run(trial *t, const dq_compute *compute) {
    compute->kernels->bias_backward(compute, X(PLAIN_Y), X(PLAIN_X), t->size[T], t->size[D]);
}

static void bias_back_expect(trial *t) {
    for (int64_t i = 0; i < t->size[D]; i++) {
        double sum = 0;
        for (int64_t row = 0; row < t->size[T]; row++) sum += FRESH(PLAIN_X)[row * t->size[D] + i];
        double y = FRESH(PLAIN_Y)[i];
        expect_at(t, PLAIN_Y, i, y + sum, UNIT * (fabs(sum) + fabs(y + sum)));
    }
}

static const int64_t bias_tests[][SIZES] = {{1, 1}, {5, 33}, {100, 64}, {3, 100}, {0, 5}};
static const int64_t bias_benches[][SIZES] = {{2048, 1536}};

static void squares_prepare(trial *t) {
    slot_values(t, PLAIN_X, t->size[T], -1, 1);
    slot_wide_result(t, PLAIN_Y, 1);
}

static void squares_run(trial *t, const dq_compute *compute) {
    t->slots[PLAIN_Y].wide[0] = compute->kernels->sum_of_squares(compute, X(PLAIN_X), t->size[T]);
}

static void squares_expect(trial *t) {
    double sum = 0;
    for (int64_t i = 0; i < t->size[T]; i++) sum += (double)FRESH(PLAIN_X)[i] * FRESH(PLAIN_X)[i];
    expect_at(t, PLAIN_Y, 0, sum, sum * sum_units((double)t->size[T]) * 0x1p-52); /* both sums round */
}

static const int64_t squares_tests[][SIZES] = {{1}, {15}, {5000}, {100000}, {0}};
static const int64_t squares_benches[][SIZES] = {{4000000}};

#define ROWS(function, stem, list, benched, ways)                                                                      \
    {                                                                                                                  \
        .name = #function, SIZED(list, benched), .variations = ways, .prepare = stem##_prepare, .run = stem##_run,     \
        .expect = stem##_expect, .flops = no_flops, .bytes = all_bytes, .by_bytes = true,                              \
        .entry = offsetof(dq_kernels, function)                                                                        \
    }

const operation row_operations[] = {
    ROWS(rmsnorm_forward, norm, norm_tests, norm_benches, 2),
    ROWS(rmsnorm_backward, norm_back, norm_tests, norm_benches, 2),
    ROWS(rope, rope, rope_tests, rope_benches, 2),
    ROWS(swiglu_forward, glu, glu_tests, glu_benches, 1),
    ROWS(swiglu_backward, glu_back, glu_tests, glu_benches, 3),
    ROWS(column_dots, dots, dots_tests, dots_benches, 4),
    ROWS(cross_entropy, ce, ce_tests, ce_benches, 2),
    ROWS(adamw, adam, adam_tests, adam_benches, 1),
    ROWS(add, add, add_tests, add_benches, 1),
    ROWS(bias_forward, bias, bias_tests, bias_benches, 1),
    ROWS(bias_backward, bias_back, bias_tests, bias_benches, 1),
    ROWS(sum_of_squares, squares, squares_tests, squares_benches, 1),
};
const int row_operation_count = COUNT(row_operations);
